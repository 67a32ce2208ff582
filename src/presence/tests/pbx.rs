//! What a PBX may do to the worker.

use serde_json::json;

use super::one_user;
use crate::policy::presence::pbx::PbxError;

/// After a PBX was set up anew, its users have other ids.
#[tokio::test]
async fn an_entry_of_a_user_whom_the_pbx_no_longer_has_counts_as_taken_back() {
    let mut stand = one_user().await;
    stand.teams.derive(1, "Busy", "InAMeeting");
    stand.until("shown", async || stand.pbx.own("ada").is_some()).await;
    let unknown = PbxError::NotFound("the PBX has no such user".to_owned());
    stand.pbx.fail(Some(unknown));
    let (status, answer) = stand.release().await;
    assert_eq!((status, &answer["done"]), (200, &json!(true)), "{answer}");
    stand.stop().await;
}
