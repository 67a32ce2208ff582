//! The worker as a whole, between a small Teams and a scripted PBX.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::testing::{Stand, id, write};
use crate::api::presence_report::{Fault, Phase};
use crate::policy::presence::pbx::{Activity, Line, PbxError};

mod absent;
mod pbx;
mod people;
mod silence;

fn pair(one: &str, other: &str) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

async fn one_user() -> Stand {
    let mut stand = Stand::new().await;
    stand.teams.person(1, "ada");
    stand.pbx.user("ada");
    stand.start(&json!({})).await;
    stand.synced(1).await;
    stand
}

async fn two_users() -> Stand {
    let mut stand = Stand::new().await;
    for (number, name) in [(1, "ada"), (2, "bob")] {
        stand.teams.person(number, name);
        stand.pbx.user(name);
    }
    stand.start(&json!({})).await;
    stand.synced(2).await;
    stand
}

#[tokio::test]
async fn a_call_turns_a_user_busy_in_teams_and_back() {
    let mut stand = one_user().await;
    stand.pbx.line("ada", Line::Connected);
    stand
        .until("busy", async || stand.teams.session(1) == Some(pair("Busy", "InACall")))
        .await;
    let user = stand.user("ada@contoso.com").await;
    assert!(
        user.synced && user.layers[0].held.as_deref() == Some("Busy/InACall"),
        "{user:?}"
    );
    assert_eq!(user.pbx.unwrap().line, "Connected");
    stand.pbx.line("ada", Line::Idle);
    stand.until("free", async || stand.teams.session(1).is_none()).await;
    stand
        .until("nothing is held", async || stand.status().await.owned.is_empty())
        .await;
    let metrics = stand.text("/metrics").await;
    for wanted in [
        "teamsgraph_presence_writes_total{kind=\"set_session\",result=\"ok\",target=\"teams\"} 1",
        "teamsgraph_presence_latency_seconds_count{way=\"pbx_to_teams\"} 2",
        "teamsgraph_presence_up{part=\"reader\"} 1",
    ] {
        assert!(metrics.contains(wanted), "{wanted}\n{metrics}");
    }
    // Our own echo was not told to the PBX.
    assert_eq!(stand.pbx.puts(), 0);
    stand.stop().await;
}

#[tokio::test]
async fn teams_is_shown_on_the_pbx_and_a_choice_on_the_pbx_in_teams() {
    let mut stand = one_user().await;
    stand.teams.derive(1, "Busy", "InAMeeting");
    stand
        .until("in a meeting", async || stand.pbx.own("ada") == Some(Activity::Meeting))
        .await;
    stand.teams.derive(1, "Available", "Available");
    stand.until("taken back", async || stand.pbx.own("ada").is_none()).await;
    stand.pbx.choose("ada", Activity::Away);
    stand
        .until("away", async || stand.teams.preferred(1) == Some(pair("Away", "Away")))
        .await;
    let written = stand.teams.writes();
    assert!(
        written.last().is_some_and(|(_, words)| words == "Away/Away P7D"),
        "it expires by itself: {written:?}"
    );
    stand.pbx.choose("ada", Activity::Unset);
    stand
        .until("no choice", async || stand.teams.preferred(1).is_none())
        .await;
    stand.stop().await;
}

#[tokio::test]
async fn a_choice_in_teams_is_never_overwritten() {
    let mut stand = one_user().await;
    stand.teams.choose(1, Some("DoNotDisturb"));
    stand
        .until("seen", async || stand.pbx.own("ada") == Some(Activity::DoNotDisturb))
        .await;
    stand.pbx.choose("ada", Activity::Away);
    stand
        .until("told why", async || {
            stand.user("ada").await.layers[1].why == "somebody chose what Teams shows"
        })
        .await;
    assert!(stand.teams.writes().is_empty(), "{:?}", stand.teams.writes());
    stand.teams.choose(1, None);
    stand
        .until("away", async || stand.teams.preferred(1) == Some(pair("Away", "Away")))
        .await;
    stand.stop().await;
}

/// What the PBX says of when is told to who asks, and decides nothing.
#[tokio::test]
async fn a_pbx_whose_clock_is_a_day_off_is_believed_all_the_same() {
    for hours in [24, -24] {
        let ahead = SignedDuration::from_hours(hours);
        let mut stand = one_user().await;
        stand.pbx.set_clock(ahead);
        stand.pbx.choose("ada", Activity::Away);
        stand
            .until("away", async || stand.teams.preferred(1) == Some(pair("Away", "Away")))
            .await;
        let entries = stand.user("ada").await.pbx.unwrap().entries.unwrap();
        let off = entries[0].since.unwrap().duration_since(Timestamp::now()) - ahead;
        assert!(off.abs() < SignedDuration::from_secs(60), "{off:?}");
        // What is chosen later goes before, though the PBX's clock says that it was long ago.
        stand.pbx.set_clock(ahead - SignedDuration::from_hours(1));
        stand.pbx.choose("ada", Activity::DoNotDisturb);
        let dnd = pair("DoNotDisturb", "DoNotDisturb");
        stand
            .until("dnd", async || stand.teams.preferred(1) == Some(dnd.clone()))
            .await;
        stand.pbx.choose("ada", Activity::Unset);
        stand
            .until("no choice", async || stand.teams.preferred(1).is_none())
            .await;
        let skew = stand.status().await.clock_skew_seconds;
        assert!(skew.is_none_or(|skew| skew.abs() < 60), "that is Microsoft's: {skew:?}");
        stand.stop().await;
    }
}

#[tokio::test]
async fn words_that_nobody_knows_change_nothing_and_are_counted() {
    let mut stand = one_user().await;
    let counted = async |series: &str| stand.text("/metrics").await.contains(series);
    stand.teams.derive(1, "Gardening", "Weeding");
    let weeding = "unmapped_value_total{side=\"teams\",value=\"Weeding\"} 1";
    stand.until("counted", async || counted(weeding).await).await;
    stand.pbx.choose("ada", Activity::Other("knitting".to_owned()));
    let knitting = "unmapped_value_total{side=\"pbx\",value=\"knitting\"} 1";
    stand.until("counted", async || counted(knitting).await).await;
    assert_eq!((stand.pbx.puts(), stand.teams.writes().len()), (0, 0));
    stand.stop().await;
}

/// What a worker wrote and lost the record of is found by looking: the entry by its contact, the session by its state. A choice may be
/// the person's, and is left to expire.
#[tokio::test]
async fn after_the_volume_was_lost_sessions_and_entries_are_taken_back_and_choices_left() {
    let mut stand = Stand::new().await;
    stand.teams.choose(3, Some("Away"));
    for (number, name) in [(1, "ada"), (2, "bob"), (3, "carl")] {
        stand.teams.person(number, name);
        stand.pbx.user(name);
    }
    stand.teams.left_behind(1);
    stand.pbx.left_behind("bob", Activity::Away);
    stand.start(&json!({})).await;
    stand
        .until("session gone", async || stand.teams.session(1).is_none())
        .await;
    stand.until("entry gone", async || stand.pbx.own("bob").is_none()).await;
    stand
        .until("seen", async || stand.pbx.own("carl") == Some(Activity::Away))
        .await;
    assert_eq!(stand.teams.preferred(3), Some(pair("Away", "Away")));
    stand.stop().await;
}

#[tokio::test]
async fn a_restart_knows_what_was_written_and_takes_it_back_when_it_is_over() {
    let mut stand = one_user().await;
    stand.pbx.line("ada", Line::Connected);
    stand.until("busy", async || stand.teams.session(1).is_some()).await;
    stand.stop().await;
    assert!(stand.teams.session(1).is_some(), "it stays");
    stand.pbx.line("ada", Line::Idle);
    stand.start_again().await;
    assert!(stand.pbx.recalled().is_empty(), "no entry was made");
    stand.until("free", async || stand.teams.session(1).is_none()).await;
    stand.stop().await;
}

#[tokio::test]
async fn who_is_no_longer_on_the_pbx_is_let_go() {
    let mut stand = one_user().await;
    stand.pbx.line("ada", Line::Connected);
    stand.until("busy", async || stand.teams.session(1).is_some()).await;
    stand.pbx.remove("ada");
    stand.until("free", async || stand.teams.session(1).is_none()).await;
    stand
        .until("forgotten", async || stand.status().await.users.synced == 0)
        .await;
    stand
        .until("not watched", async || stand.pbx.watched().is_empty())
        .await;
    stand.stop().await;
}

#[tokio::test]
async fn a_release_takes_everything_back_on_both_sides_and_then_rests() {
    let mut stand = two_users().await;
    stand.pbx.line("ada", Line::Connected);
    stand.teams.derive(2, "Busy", "InAMeeting");
    stand
        .until("both", async || {
            stand.teams.session(1).is_some() && stand.pbx.own("bob").is_some()
        })
        .await;
    let (status, answer) = stand.release().await;
    assert_eq!((status, &answer["done"]), (200, &json!(true)), "{answer}");
    assert_eq!((stand.teams.session(1), stand.pbx.own("bob")), (None, None));
    assert_eq!(stand.status().await.phase, Phase::Idle);
    let writes = stand.teams.writes().len();
    stand.pbx.line("ada", Line::Connected);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(stand.teams.writes().len(), writes);
    stand.stop().await;
}

#[tokio::test]
async fn a_release_that_cannot_be_done_says_what_remains_and_why() {
    let mut stand = one_user().await;
    stand.teams.derive(1, "Busy", "InAMeeting");
    stand.until("shown", async || stand.pbx.own("ada").is_some()).await;
    stand
        .pbx
        .fail(Some(PbxError::Transport("the connection broke".to_owned())));
    let (status, answer) = stand.release().await;
    assert_eq!(status, 503, "{answer}");
    assert_eq!(answer["remaining"]["entries"], 1);
    assert!(
        answer["why"].as_str().unwrap().contains("the connection broke"),
        "{answer}"
    );
    // It goes on by itself.
    stand.pbx.fail(None);
    stand.until("gone", async || stand.pbx.own("ada").is_none()).await;
    stand.stop().await;
}

#[tokio::test]
async fn suspend_takes_back_and_the_end_of_it_begins_anew() {
    let mut stand = one_user().await;
    stand.pbx.line("ada", Line::Connected);
    stand.until("busy", async || stand.teams.session(1).is_some()).await;
    let mut config = super::testing::config(&stand.teams.base, &json!({"suspend": true}));
    config["generation"] = json!(2);
    stand.configure(&config);
    stand.until("free", async || stand.teams.session(1).is_none()).await;
    stand
        .until("idle", async || {
            let status = stand.status().await;
            (status.phase, status.generation) == (Phase::Idle, 2)
        })
        .await;
    config["spec"]["suspend"] = json!(false);
    config["generation"] = json!(3);
    stand.configure(&config);
    stand
        .until("busy again", async || stand.teams.session(1).is_some())
        .await;
    // What cannot be used leaves the old in force, and says so.
    write(&stand.dir, "config/presence.json", "{");
    stand
        .until("told", async || stand.status().await.config_error.is_some())
        .await;
    assert_eq!(stand.status().await.generation, 3);
    stand.stop().await;
}

#[tokio::test]
async fn while_the_pbx_is_down_nothing_is_changed() {
    let mut stand = one_user().await;
    stand.pbx.line("ada", Line::Connected);
    stand.until("busy", async || stand.teams.session(1).is_some()).await;
    stand
        .pbx
        .down(PbxError::Auth("the PBX refuses the password".to_owned()));
    stand
        .until("told", async || {
            let pbx = stand.status().await.pbx;
            pbx.fault == Some(Fault::CredentialsRejected) && pbx.message.contains("password")
        })
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert!(stand.teams.session(1).is_some(), "nobody knows that the call ended");
    assert_eq!(
        stand.user("ada").await.layers[0].why,
        "nothing is known from the PBX, so nothing is changed"
    );
    stand.pbx.line("ada", Line::Idle);
    stand.pbx.up();
    stand.until("free", async || stand.teams.session(1).is_none()).await;
    stand.stop().await;
}

#[tokio::test]
async fn who_is_not_kept_in_step_is_told_with_the_reason() {
    let mut stand = Stand::new().await;
    stand.teams.person(1, "ada");
    stand.teams.someone(2, "bob", false);
    for name in ["ada", "bob", "carl"] {
        stand.pbx.user(name);
    }
    // Two users of the PBX for one person: neither, as nobody knows which.
    stand.teams.person(3, "dora");
    stand.pbx.user("dora");
    stand.pbx.user("dora@old");
    stand.start(&json!({})).await;
    stand.synced(1).await;
    let status = stand.status().await;
    let counts = (status.users.unmatched, status.users.ambiguous, status.users.unlicensed);
    assert_eq!(counts, (1, 2, 1), "{status:?}");
    assert_eq!(status.unmatched.len(), 4);
    for (names, why) in [
        (["bob", "bob@contoso.com"], "no Teams plan"),
        (["dora", "dora@contoso.com"], "2 users of the PBX"),
    ] {
        for name in names {
            let user = stand.user(name).await;
            assert!(!user.synced && user.why.contains(why) && user.pbx.is_some(), "{user:?}");
        }
    }
    assert_eq!(stand.get("/v1/users/nobody").await.0, 404);
    stand.stop().await;
}

#[tokio::test]
async fn a_refusal_by_graph_is_told_and_mended() {
    let mut stand = Stand::new().await;
    stand.teams.person(1, "ada");
    stand.pbx.user("ada");
    stand
        .teams
        .fail("getPresencesByUserId", 403, "Forbidden", "Access is denied.");
    stand.start(&json!({})).await;
    stand
        .until("told", async || {
            stand.status().await.reader.fault == Some(Fault::PermissionMissing)
        })
        .await;
    assert_eq!(stand.status().await.directory.ok, Some(true));
    stand.stop().await;
}

#[tokio::test]
async fn the_app_that_writes_signs_in_before_there_is_anything_to_write() {
    let mut stand = Stand::new().await;
    stand.teams.fail("/token", 503, "temporarily_unavailable", "Later.");
    stand.start(&json!({})).await;
    stand
        .until("signed in", async || stand.status().await.writer.ok == Some(true))
        .await;
    assert!(stand.teams.writes().is_empty());
    stand.stop().await;
}

fn push(accounts: &[&str]) -> serde_json::Value {
    let accounts: Vec<_> = accounts
        .iter()
        .map(|name| json!({"name": name, "secretRef": {"name": name}}))
        .collect();
    json!({"source": "Both", "push": {"receiverRef": {"name": "r"}, "consumer": "sync",
        "tokenSecretRef": {"name": "pull", "key": "token"}, "accounts": accounts}})
}

async fn push_stand(people: usize) -> Stand {
    push_stand_with(people, push(&["one"]), false).await
}

async fn push_stand_with(people: usize, spec: serde_json::Value, has_receiver: bool) -> Stand {
    let stand = Stand::new().await;
    for number in 1..=people {
        stand.teams.person(number, &format!("user-{number}"));
        stand.pbx.user(&format!("user-{number}"));
    }
    for (path, content) in [
        ("secrets/pull/token", "t"),
        ("secrets/one/username", "sync@contoso.com"),
        ("secrets/one/password", "p w&+="),
        ("secrets/two/username", "two@contoso.com"),
        ("secrets/two/password", "p"),
        (
            "secrets/push/notification-url",
            "https://hooks.example/v1/n/k1/uid-1/proof",
        ),
        (
            "secrets/push/lifecycle-url",
            "https://hooks.example/v1/l/k1/uid-1/proof",
        ),
        ("secrets/push/client-state", "state"),
    ] {
        write(&stand.dir, path, content);
    }
    let mut config = super::testing::config(&stand.teams.base, &spec);
    let pull_urls: Vec<&str> = has_receiver.then_some(stand.teams.base.as_str()).into_iter().collect();
    config["push"] = json!({"secret": "push", "pullUrls": pull_urls});
    stand.configure(&config);
    stand
}

/// What Graph would refuse is never asked for, and who has no place is named.
#[tokio::test]
async fn the_651st_user_has_no_place_and_is_named() {
    let mut stand = push_stand(651).await;
    stand.start_again().await;
    stand
        .until("subscribed", async || {
            stand
                .status()
                .await
                .accounts
                .first()
                .is_some_and(|account| account.subscribed.is_green())
        })
        .await;
    let status = stand.status().await;
    assert_eq!((status.users.over_limit, status.accounts[0].shard.users), (1, 650));
    assert_eq!(status.users.synced, 650);
    let last = stand.user("user-651").await;
    assert!(!last.synced && last.why.contains("650"), "{last:?}");
    assert!(stand.user("user-1").await.synced);
    assert_eq!(status.shards.unwrap().fault, Some(Fault::OverLimit));
    assert!(
        status.unmatched.iter().any(|user| user.why.contains("650")),
        "{:?}",
        status.unmatched
    );
    let subscriptions = stand.teams.subscriptions();
    assert_eq!(
        subscriptions[0]["resource"].as_str().unwrap().matches("','").count(),
        649
    );
    assert_eq!(subscriptions[0]["clientState"], "state");
    let asked = async || stand.teams.asked("/v1.0/communications/getPresencesByUserId") >= 2;
    stand.until("650 in a request", asked).await;
    stand.stop().await;
    assert_eq!(stand.teams.subscriptions().len(), 1, "it stays for the next worker");
}

#[tokio::test]
async fn a_subscription_of_ours_is_adopted_and_one_for_others_or_of_an_older_key_is_replaced() {
    let own = "https://hooks.example/v1/n/k1/uid-1/proof";
    let older = "https://hooks.example/v1/n/k0/uid-1/older-proof";
    for (person, url, adopted) in [(1, own, true), (7, own, false), (1, older, false)] {
        let resource = format!("communications/presences?$filter=id in ('{}')", id(person));
        let mut stand = push_stand(1).await;
        stand.teams.subscribe(&resource, url);
        let before = stand.teams.subscriptions()[0]["id"].clone();
        stand.start_again().await;
        stand
            .until("subscribed", async || {
                let status = stand.status().await;
                let account = status.accounts.first();
                account.is_some_and(|account| account.subscribed.is_green() && account.shard.users == 1)
            })
            .await;
        let after = stand.teams.subscriptions();
        assert_eq!(
            (after.len(), after[0]["id"] == before),
            (1, adopted),
            "{resource} {url}"
        );
        assert_eq!(after[0]["notificationUrl"], own);
        let (status, answer) = stand.release().await;
        assert_eq!((status, stand.teams.subscriptions().len()), (200, 0), "{answer}");
        stand.stop().await;
    }
}

#[tokio::test]
async fn a_foreign_subscription_is_left_alone_and_told() {
    let mut stand = push_stand(1).await;
    stand.teams.subscribe(
        "communications/presences?$filter=id in ('x')",
        "https://elsewhere.example/hook",
    );
    stand.start_again().await;
    stand
        .until("told", async || {
            let status = stand.status().await;
            let account = status.accounts.first();
            account.is_some_and(|account| account.subscribed.fault == Some(Fault::SubscriptionInUse))
        })
        .await;
    assert_eq!(
        stand.teams.subscriptions()[0]["notificationUrl"],
        "https://elsewhere.example/hook"
    );
    stand.stop().await;
}

#[tokio::test]
async fn an_account_that_cannot_sign_in_says_why() {
    for (number, fault) in [
        (50_076, Fault::MfaRequired),
        (50_126, Fault::CredentialsRejected),
        (50_055, Fault::PasswordExpired),
    ] {
        let mut stand = push_stand(1).await;
        stand.teams.refuse_people(Some(number));
        stand.start_again().await;
        stand
            .until("told", async || {
                let status = stand.status().await;
                let account = status.accounts.first();
                account.is_some_and(|account| account.signed_in.fault == Some(fault))
            })
            .await;
        // Polling, the safety net, works all the same.
        stand.synced(1).await;
        stand.stop().await;
    }
}

/// Also where nobody else needs a licence.
#[tokio::test]
async fn an_account_without_a_licence_is_told_so() {
    for licence in ["Teams", "Any"] {
        let mut spec = push(&["one"]);
        spec["users"] = json!({ "licence": licence });
        let mut stand = push_stand_with(0, spec, false).await;
        stand.teams.someone(1, "sync", false);
        stand.teams.someone(2, "ada", licence == "Teams");
        stand.pbx.user("ada");
        for _ in 0..2 {
            stand
                .teams
                .fail("/subscriptions", 403, "Forbidden", "Access is denied.");
        }
        stand.start_again().await;
        stand
            .until("told", async || {
                let status = stand.status().await;
                let account = status.accounts.first();
                account.is_some_and(|account| account.subscribed.fault == Some(Fault::Unlicensed))
            })
            .await;
        stand.synced(1).await;
        stand.stop().await;
    }
}
