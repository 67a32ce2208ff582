//! Who comes to the tenant while the worker works.

use serde_json::json;

use super::Stand;
use crate::api::presence_report::Fault;
use crate::presence::testing::id;

/// Everybody is read again after ten minutes at the soonest; nobody waits for that.
#[tokio::test]
async fn a_newcomer_is_asked_about_alone_and_a_guest_who_cannot_match_not_at_all() {
    let mut stand = Stand::new().await;
    stand.teams.person(1, "ada");
    for name in ["ada", "bob", "carl"] {
        stand.pbx.user(name);
    }
    let rule = json!({"pbxField": "h323", "graphField": "userPrincipalName", "stripDomain": true});
    stand.start(&json!({ "matching": [rule] })).await;
    stand.synced(1).await;
    stand.teams.newcomer(2, "guest_fabrikam.com#EXT#", true);
    stand.teams.newcomer(3, "carl", false);
    stand.teams.newcomer(4, "bob", true);
    stand.synced(2).await;
    let status = stand.status().await;
    assert_eq!(status.users.unlicensed, 1, "{:?}", status.users);
    let unlicensed = stand.user("carl@contoso.com").await.teams.unwrap().licensed;
    assert_eq!(unlicensed, Some(false));
    let asked = |number| stand.teams.asked(&format!("/v1.0/users/{}", id(number)));
    assert_eq!((asked(2), asked(3), asked(4)), (0, 1, 1));
    assert_eq!(
        stand.teams.asked("/v1.0/users"),
        1,
        "everybody was read at the start only"
    );
    stand.stop().await;
}

#[tokio::test]
async fn a_group_that_is_gone_is_named_and_one_that_cannot_be_read_stops_nobody() {
    let mut stand = Stand::new().await;
    for (number, name) in [(1, "ada"), (2, "bob"), (3, "carl")] {
        stand.teams.person(number, name);
        stand.pbx.user(name);
    }
    stand.teams.group("sales", &[1, 2]);
    stand.start(&json!({"users": {"groups": ["gone", "sales"]}})).await;
    stand.synced(2).await;
    let directory = stand.status().await.directory;
    assert_eq!(directory.fault, Some(Fault::Rejected));
    assert!(directory.message.contains("does not have gone;"), "{directory:?}");

    stand.teams.break_groups(true);
    stand
        .until("told", async || {
            let directory = stand.status().await.directory;
            directory.fault == Some(Fault::Unavailable) && directory.message.contains("group gone")
        })
        .await;
    stand.teams.leaver(2);
    stand.synced(1).await;
    assert_eq!(stand.status().await.directory.fault, Some(Fault::Unavailable));
    stand.teams.group("gone", &[3]);
    stand.teams.break_groups(false);
    stand.synced(2).await;
    stand
        .until("all is well", async || stand.status().await.directory.is_green())
        .await;
    stand.stop().await;
}
