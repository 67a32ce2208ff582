//! What is forgotten when Teams is not heard of for long, and of whom.

use std::time::Duration;

use serde_json::json;

use super::{push, push_stand_with};
use crate::api::presence_report::Fault;
use crate::policy::presence::pbx::Activity;
use crate::presence::testing::{Stand, id};

/// Subscriptions only, over these accounts, with a receiver.
async fn subscribed(people: usize, accounts: &[&str]) -> Stand {
    let mut spec = push(accounts);
    spec["source"] = json!("Subscription");
    push_stand_with(people, spec, true).await
}

/// What Teams shows of somebody, as far as is known.
async fn shows(stand: &Stand, number: usize) -> Option<String> {
    // At the start nobody is known.
    let (_, user) = stand.get(&format!("/v1/users/{}", id(number))).await;
    user["teams"]["availability"].as_str().map(str::to_owned)
}

async fn until_known(stand: &Stand, number: usize) {
    stand.until("read", async || shows(stand, number).await.is_some()).await;
}

/// Until it was noted that presence of Teams is learned, or is not.
async fn until_source_is(stand: &Stand, up: bool) {
    let gauge = format!("presence_up{{part=\"source\"}} {}", u8::from(up));
    stand
        .until(&gauge, async || stand.text("/metrics").await.contains(&gauge))
        .await;
}

/// The clock of everything that waits goes forward, as if nothing had come all the while.
async fn eleven_minutes() {
    forward(11).await;
}

async fn forward(minutes: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(minutes)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn who_is_watched_by_a_broken_account_is_forgotten_and_nobody_else() {
    let mut stand = subscribed(651, &["one", "two"]).await;
    stand.teams.refuse_person("two@contoso.com");
    stand.teams.derive(1, "Busy", "InAMeeting");
    stand.start_again().await;
    until_known(&stand, 651).await;
    stand
        .until("told", async || {
            stand.status().await.source.fault == Some(Fault::CredentialsRejected)
        })
        .await;
    stand
        .until("shown", async || stand.pbx.own("user-1") == Some(Activity::Meeting))
        .await;
    until_source_is(&stand, false).await;
    eleven_minutes().await;
    stand
        .until("forgotten", async || shows(&stand, 651).await.is_none())
        .await;
    for number in [1, 2, 650] {
        assert!(shows(&stand, number).await.is_some(), "{number}");
    }
    assert_eq!(stand.pbx.own("user-1"), Some(Activity::Meeting));
    stand.stop().await;
}

#[tokio::test]
async fn one_user_too_many_is_no_fault_of_the_others() {
    let mut stand = subscribed(651, &["one"]).await;
    stand.start_again().await;
    until_known(&stand, 651).await;
    stand
        .until("subscribed", async || stand.status().await.source.is_green())
        .await;
    assert_eq!(stand.status().await.shards.unwrap().fault, Some(Fault::OverLimit));
    eleven_minutes().await;
    stand
        .until("forgotten", async || shows(&stand, 651).await.is_none())
        .await;
    assert!(shows(&stand, 1).await.is_some() && shows(&stand, 650).await.is_some());
    stand.stop().await;
}

/// What did not change meanwhile is told by nobody.
#[tokio::test]
async fn when_the_receiver_is_back_everybody_who_was_forgotten_is_read() {
    let mut stand = subscribed(2, &["one"]).await;
    stand.teams.derive(1, "Busy", "InAMeeting");
    stand.start_again().await;
    until_known(&stand, 1).await;
    until_source_is(&stand, true).await;
    stand.teams.receiver_down(true);
    until_source_is(&stand, false).await;
    eleven_minutes().await;
    stand
        .until("forgotten", async || {
            shows(&stand, 1).await.is_none() && shows(&stand, 2).await.is_none()
        })
        .await;
    stand.teams.derive(1, "Available", "Available");
    stand.teams.receiver_down(false);
    until_known(&stand, 1).await;
    until_known(&stand, 2).await;
    stand
        .until("taken back", async || stand.pbx.own("user-1").is_none())
        .await;
    stand.stop().await;
}

/// Nothing is ever notified here.
#[tokio::test]
async fn with_both_sources_the_slow_poll_finds_what_push_missed() {
    let mut stand = push_stand_with(1, push(&["one"]), true).await;
    stand.start_again().await;
    until_source_is(&stand, true).await;
    until_known(&stand, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    stand.teams.derive(1, "Busy", "InAMeeting");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stand.pbx.own("user-1"), None, "nobody told");
    forward(6).await;
    stand
        .until("found", async || stand.pbx.own("user-1") == Some(Activity::Meeting))
        .await;
    stand.stop().await;
}
