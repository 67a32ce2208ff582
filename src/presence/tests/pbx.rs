//! What a PBX may do to the worker.

use std::time::Duration;

use serde_json::json;

use super::{Stand, one_user, pair, two_users};
use crate::api::presence_report::{Fault, Phase};
use crate::policy::presence::pbx::{Activity, Line, PbxError};

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

#[tokio::test]
async fn while_the_pbx_still_lists_its_users_nobody_is_let_go() {
    let mut stand = one_user().await;
    stand.pbx.line("ada", Line::Connected);
    stand.until("busy", async || stand.teams.session(1).is_some()).await;
    stand.stop().await;
    stand.pbx.slow();
    stand.start_again().await;
    let people = async || stand.status().await.directory.is_green();
    stand.until("people are known", people).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let status = stand.status().await;
    assert_eq!(
        (status.phase, status.pbx.ok),
        (Phase::Starting, None),
        "{:?}",
        status.pbx
    );
    assert!(stand.teams.session(1).is_some(), "the call goes on");
    stand.pbx.list();
    stand.synced(1).await;
    assert_eq!(stand.status().await.phase, Phase::Running);
    stand.until("seen", async || stand.user("ada").await.synced).await;
    let cleared = stand.teams.writes().iter().any(|(action, _)| action == "clearPresence");
    assert!(!cleared, "{:?}", stand.teams.writes());
    stand.stop().await;
}

#[tokio::test]
async fn where_teams_is_only_read_no_session_there_is_taken_for_ours() {
    let mut stand = Stand::new().await;
    stand.teams.person(1, "ada");
    stand.pbx.user("ada");
    stand.teams.derive(1, "Busy", "InACall");
    stand.start(&json!({"direction": "TeamsToPbx"})).await;
    stand.synced(1).await;
    let shown = async || stand.user("ada").await.teams.unwrap().activity.as_deref() == Some("InACall");
    stand.until("seen", shown).await;
    let status = stand.status().await;
    assert_eq!(status.owned.sessions, 0, "{:?}", status.owned);
    assert!(stand.teams.writes().is_empty(), "{:?}", stand.teams.writes());
    stand.stop().await;
}

/// Between one look and the next, so that both change at once.
#[tokio::test]
async fn two_users_who_swap_places_on_the_pbx_are_both_followed() {
    let mut stand = two_users().await;
    stand.pbx.swap("ada", "bob");
    let at = async |name: &str| stand.user(name).await.pbx.map(|pbx| pbx.id);
    let swapped = async || at("ada@contoso.com").await.as_deref() == Some("guid-bob");
    stand.until("swapped", swapped).await;
    assert_eq!(at("bob@contoso.com").await.as_deref(), Some("guid-ada"));
    for (desk, number) in [("bob", 1), ("ada", 2)] {
        stand.pbx.line(desk, Line::Connected);
        let busy = async || stand.teams.session(number).is_some();
        stand.until(desk, busy).await;
    }
    stand.stop().await;
}

/// Whom Graph left out once is asked for again, and not only at the next poll.
#[tokio::test]
async fn whom_graph_says_nothing_of_is_asked_for_again() {
    let mut stand = Stand::new().await;
    stand.teams.person(1, "ada");
    stand.pbx.user("ada");
    stand.pbx.choose("ada", Activity::Away);
    stand.teams.leave_out(Some(1));
    stand.start(&json!({"pollInterval": "10m"})).await;
    let asked = || stand.teams.asked("/v1.0/communications/getPresencesByUserId");
    stand.until("polled and asked for", async || asked() >= 2).await;
    stand.teams.leave_out(None);
    let away = Some(pair("Away", "Away"));
    stand.until("away", async || stand.teams.preferred(1) == away).await;
    stand.stop().await;
}

#[tokio::test]
async fn an_adapter_that_ended_is_started_again_and_meanwhile_nothing_is_changed() {
    let mut stand = two_users().await;
    stand.pbx.line("ada", Line::Connected);
    stand.pbx.line("bob", Line::Connected);
    let busy = async || stand.teams.session(1).is_some() && stand.teams.session(2).is_some();
    stand.until("busy", &busy).await;
    stand.pbx.end();
    let told = async || stand.status().await.pbx.fault == Some(Fault::Unavailable);
    stand.until("told", told).await;
    // It ends again when it is started the first time.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(
        stand.user("ada").await.layers[0].why,
        "nothing is known from the PBX, so nothing is changed"
    );
    assert!(busy().await);
    assert_eq!(stand.status().await.users.synced, 2, "they are known all the same");
    // Meanwhile one hangs up, and the other leaves.
    stand.pbx.line("ada", Line::Idle);
    stand.pbx.vanish("bob");
    stand.pbx.mend();
    stand.synced(1).await;
    let free = async || stand.teams.session(1).is_none() && stand.teams.session(2).is_none();
    stand.until("free", free).await;
    let told = async || stand.pbx.watched() == ["guid-ada"];
    stand.until("it was told anew whom to watch", told).await;
    stand.teams.derive(1, "Busy", "InAMeeting");
    let shown = async || stand.pbx.own("ada") == Some(Activity::Meeting);
    stand.until("the new one is written to", shown).await;
    stand.stop().await;
}

/// They are forgotten one after the other, as Teams answers.
#[tokio::test]
async fn who_is_forgotten_is_let_go_on_the_pbx_together_with_others() {
    let mut stand = Stand::new().await;
    let names: Vec<String> = (1..=20).map(|number| format!("user{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        stand.teams.person(number + 1, name);
        stand.pbx.user(name);
    }
    stand.start(&json!({})).await;
    stand.synced(20).await;
    for name in &names {
        stand.pbx.line(name, Line::Connected);
    }
    let busy = async || (1..=20).all(|number| stand.teams.session(number).is_some());
    stand.until("busy", busy).await;
    let before = stand.pbx.watches();
    for name in &names {
        stand.pbx.remove(name);
    }
    let free = async || (1..=20).all(|number| stand.teams.session(number).is_none());
    stand.until("free", free).await;
    let let_go = async || stand.pbx.watched().is_empty();
    stand.until("let go", let_go).await;
    let told = stand.pbx.watches() - before;
    assert!(told <= 3, "told {told} times");
    stand.stop().await;
}

/// Each alone would be a matter of one person.
#[tokio::test]
async fn a_side_that_refuses_everybody_is_not_green_until_it_serves_somebody() {
    let mut stand = two_users().await;
    let refused = PbxError::Forbidden("this contact is not known".to_owned());
    stand.pbx.fail(Some(refused));
    stand.teams.derive(1, "Busy", "InAMeeting");
    stand
        .until("refused", async || !stand.user("ada").await.writes.is_empty())
        .await;
    assert!(stand.status().await.pbx.is_green(), "one of two");
    stand.teams.derive(2, "Busy", "InAMeeting");
    stand
        .until("told", async || stand.status().await.pbx.fault == Some(Fault::Rejected))
        .await;
    let pbx = stand.status().await.pbx;
    assert!(pbx.message.ends_with("this contact is not known"), "{pbx:?}");
    // After an `Up` all is tried again.
    stand.pbx.fail(None);
    stand.pbx.up();
    stand
        .until("served", async || stand.status().await.pbx.is_green())
        .await;

    for _ in 0..2 {
        stand.teams.fail("setPresence", 400, "BadRequest", "Not this app.");
    }
    for name in ["ada", "bob"] {
        stand
            .teams
            .derive(1 + usize::from(name == "bob"), "Available", "Available");
        stand.pbx.line(name, Line::Connected);
    }
    stand
        .until("told", async || {
            stand.status().await.writer.fault == Some(Fault::Rejected)
        })
        .await;
    stand.stop().await;
}

#[tokio::test]
async fn a_pbx_that_takes_no_entries_is_told_so_and_written_to_no_more() {
    let mut stand = one_user().await;
    stand.pbx.take_no_entries("PUBLISH is not known");
    stand
        .until("told", async || stand.status().await.pbx.fault == Some(Fault::Rejected))
        .await;
    stand.teams.derive(1, "Busy", "InAMeeting");
    stand
        .until("off", async || {
            let user = stand.user("ada").await;
            let is_seen = user
                .teams
                .is_some_and(|teams| teams.activity.as_deref() == Some("InAMeeting"));
            is_seen && user.layers[2].why == "this way is off"
        })
        .await;
    assert_eq!(stand.pbx.puts(), 0);
    stand.pbx.line("ada", Line::Connected);
    stand.until("busy", async || stand.teams.session(1).is_some()).await;
    stand.pbx.line("ada", Line::Idle);
    stand.until("free", async || stand.teams.session(1).is_none()).await;
    assert_eq!(stand.pbx.puts(), 0);
    stand.pbx.up();
    stand.until("shown", async || stand.pbx.own("ada").is_some()).await;
    assert!(stand.status().await.pbx.is_green());
    stand.stop().await;
}
