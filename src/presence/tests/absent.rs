//! Who has an address on the PBX by Entra, and is not there.

use serde_json::json;

use crate::presence::testing::Stand;

#[tokio::test]
async fn who_is_not_on_the_pbx_is_not_in_step_and_is_named_until_there() {
    let mut stand = Stand::new().await;
    stand.teams.person(1, "ada");
    stand.teams.person(2, "bob");
    stand.pbx.hide_users();
    let sip = json!({"host": "h", "domain": "d", "address": {"stripDomain": true}});
    stand.start(&json!({ "pbx": { "sip": sip } })).await;
    stand.synced(2).await;
    stand.pbx.exists("bob", false);
    stand.synced(1).await;
    let status = stand.status().await;
    assert_eq!((status.users.unmatched, status.unmatched.len()), (1, 1));
    let named = &status.unmatched[0];
    assert!(named.user == "bob" && named.why.contains("not on the PBX"), "{named:?}");
    let bob = stand.user("bob@contoso.com").await;
    assert!(!bob.synced && bob.why.contains("not on the PBX"), "{bob:?}");
    assert!(stand.user("ada@contoso.com").await.synced);
    stand.pbx.exists("bob", true);
    stand.synced(2).await;
    stand.stop().await;
}
