use serde_json::json;

use super::*;
use crate::api::condition::time;

const HOUR: i64 = 3600;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn spec(resource: &str) -> GraphSubscriptionSpec {
    serde_json::from_value(json!({
        "tenantRef": { "name": "t" }, "receiverRef": { "name": "r" },
        "resource": resource, "changeTypes": ["Updated"],
    }))
    .unwrap()
}

fn gap(start: i64, end: Option<i64>) -> Gap {
    serde_json::from_value(json!({
        "cause": "Lapsed", "start": time(at(start)), "end": end.map(|end| time(at(end))), "outcome": "", "state": "Pending",
    }))
    .unwrap()
}

fn alive(gaps: Vec<Gap>) -> GraphSubscriptionStatus {
    GraphSubscriptionStatus {
        subscription_id: Some("s".to_owned()),
        expiration_time: Some(time(at(99_999))),
        gaps,
        ..Default::default()
    }
}

fn memory(swept: i64) -> Memory {
    Memory {
        swept: at(swept),
        not_before: at(swept),
        failures: 0,
        running: false,
    }
}

fn window_of(start: i64, end: i64) -> Window {
    Window {
        start: at(start),
        end: at(end),
    }
}

#[test]
fn some_things_cannot_be_asked_for() {
    assert_eq!(obstacle(&spec("users")), None);
    assert!(
        obstacle(&spec("chats/getAllMessages"))
            .unwrap()
            .contains("no query over")
    );
    assert!(obstacle(&spec("users?$filter=x")).unwrap().contains("has a filter"));
    let mut disabled = spec("users");
    disabled.backfill = Backfill::Disabled;
    assert_eq!(obstacle(&disabled), Some("spec.backfill is Disabled"));
    let mut external = spec("users");
    external.receiver_ref = None;
    assert!(obstacle(&external).unwrap().contains("does not run"));
}

#[test]
fn gaps_come_before_sweeps() {
    let users = spec("users");
    let due = memory(-2 * HOUR);
    let waiting = alive(vec![gap(-90, Some(-10))]);
    assert_eq!(next(&users, &waiting, &due, true, at(0)), Next::At(at(20)));
    assert_eq!(
        next(&users, &alive(vec![gap(-90, None)]), &due, true, at(0)),
        Next::Nothing
    );
    assert_eq!(
        next(&users, &alive(vec![]), &due, false, at(0)),
        Next::Nothing,
        "nothing arrives just now"
    );
    let mut expired = alive(vec![]);
    expired.expiration_time = Some(time(at(-1)));
    assert_eq!(next(&users, &expired, &due, true, at(0)), Next::Nothing);
    // The clock was a day ahead when it was last asked.
    let set_back = Memory {
        not_before: at(24 * HOUR),
        ..memory(24 * HOUR)
    };
    assert_eq!(next(&users, &alive(vec![]), &set_back, true, at(0)), Next::At(at(HOUR)));
}

#[test]
fn sweeps_are_for_what_can_be_lost_in_silence() {
    let hours = |resource| sweep_interval(&spec(resource)).map(|interval| interval.as_hours());
    assert_eq!(hours("users"), Some(1));
    assert_eq!(hours("communications/callRecords"), Some(1));
    assert_eq!(hours("drives/1/root"), Some(1));
    assert_eq!(hours("chats/1/messages"), Some(1), "only a removal is announced");
    assert_eq!(hours("teams/1/channels/2/messages"), Some(1));
    assert_eq!(hours("users/1/messages"), None, "Graph announces its loss");
    assert_eq!(hours("chats/1"), None, "the state does not tell what changed");
    assert_eq!(hours("chats/getAllMessages"), None);
    let mut often = spec("users");
    often.sweep_interval = Some("5m".into());
    assert_eq!(sweep_interval(&often), Some(SignedDuration::from_mins(5)));
}

#[test]
fn gaps_are_asked_for_when_they_have_ended_and_sweeps_by_the_hour() {
    let users = spec("users");
    let sweep = Next::Now(Job { windows: Vec::new() });
    let fill = |start, end| {
        Next::Now(Job {
            windows: vec![window_of(start, end)],
        })
    };
    let cases = [
        ("a sweep is due", alive(vec![]), memory(-HOUR), sweep),
        ("not yet", alive(vec![]), memory(-60), Next::At(at(HOUR - 60))),
        ("open", alive(vec![gap(-90, None)]), memory(0), Next::Nothing),
        (
            "just ended",
            alive(vec![gap(-90, Some(-10))]),
            memory(0),
            Next::At(at(20)),
        ),
        ("ended", alive(vec![gap(-90, Some(-30))]), memory(-60), fill(-90, -30)),
        (
            "no subscription, so no sweep",
            GraphSubscriptionStatus::default(),
            memory(-HOUR),
            Next::Nothing,
        ),
    ];
    for (name, status, memory, expected) in cases {
        assert_eq!(next(&users, &status, &memory, true, at(0)), expected, "{name}");
    }
    let ended = alive(vec![gap(-90, Some(-30))]);
    let failed = Memory {
        not_before: at(7),
        ..memory(-60)
    };
    assert_eq!(next(&users, &ended, &failed, true, at(0)), Next::At(at(7)));
    let running = Memory {
        running: true,
        ..memory(-60)
    };
    assert_eq!(next(&users, &ended, &running, true, at(0)), Next::Nothing);
    let mut suspended = users.clone();
    suspended.suspend = true;
    assert_eq!(next(&suspended, &ended, &memory(-60), true, at(0)), Next::Nothing);
}

fn found(begun: i64, filled: Vec<(Window, i64)>) -> Found {
    Found {
        begun: at(begun),
        handed: 0,
        filled,
        lost: None,
    }
}

#[test]
fn a_gap_is_settled_once_graph_knows_all() {
    let mut gaps = vec![gap(-90, Some(-30)), gap(-200, Some(-150))];
    record(&mut gaps, &found(0, vec![(window_of(-90, -30), 2)]), &spec("users"));
    assert_eq!((gaps[0].state, gaps[0].backfilled), (GapState::Backfilled, Some(2)));
    assert!(gaps[0].outcome.contains("2 events were handed"), "{}", gaps[0].outcome);
    assert_eq!(gaps[1].state, GapState::Pending);

    let calls = spec("communications/callRecords");
    let mut status = alive(vec![gap(-90, Some(-30))]);
    record(&mut status.gaps, &found(0, vec![(window_of(-90, -30), 1)]), &calls);
    assert_eq!(
        (status.gaps[0].state, status.gaps[0].backfilled),
        (GapState::Pending, Some(1))
    );
    assert!(status.gaps[0].outcome.contains("asked again"));
    // Records appear up to 150 minutes late.
    let later = 150 * 60 - 30;
    assert_eq!(
        next(&calls, &status, &memory(later - 60), true, at(0)),
        Next::At(at(later))
    );
    record(&mut status.gaps, &found(later, vec![(window_of(-90, -30), 3)]), &calls);
    assert_eq!(
        (status.gaps[0].state, status.gaps[0].backfilled),
        (GapState::Backfilled, Some(4))
    );
}

#[test]
fn deletions_that_are_not_told_are_named() {
    let mut mail = spec("users/1/messages");
    mail.change_types = vec![ChangeType::Updated, ChangeType::Deleted];
    let mut gaps = vec![gap(-90, Some(-30))];
    record(&mut gaps, &found(0, vec![(window_of(-90, -30), 0)]), &mail);
    let expected = "Filled from Graph: no event had to be handed to the receiver. Graph does not tell deletions there.";
    assert_eq!(gaps[0].outcome, expected);
}

fn change(created: Option<i64>, modified: Option<i64>, removed: bool) -> Change {
    Change {
        id: "1".to_owned(),
        odata_type: None,
        created: created.map(at),
        modified: modified.map(at),
        removed,
    }
}

#[test]
fn changes_are_handed_over_as_what_was_asked_for() {
    use ChangeType::{Created, Deleted, Updated};
    let all = &[Created, Updated, Deleted][..];
    let cases = [
        (change(Some(5), Some(5), false), all, Some(Created)),
        (change(Some(-9), Some(5), false), all, Some(Updated)),
        (change(Some(-9), Some(-5), false), all, None),
        (change(None, None, false), all, Some(Updated)),
        (change(None, None, true), all, Some(Deleted)),
        (change(None, None, true), &[Updated], None),
        (change(Some(5), Some(5), false), &[Updated], Some(Updated)),
        (change(Some(-9), Some(5), false), &[Created], None),
        (change(None, Some(5), false), &[Created], Some(Created)),
        (change(Some(5), Some(5), false), &[Deleted], None),
    ];
    for (change, asked, expected) in cases {
        assert_eq!(kind(&change, asked, at(0)), expected, "{change:?} {asked:?}");
    }
}

#[test]
fn what_came_after_a_change_tells_of_it() {
    use Arrival::{Came, Doubtful, Missing};
    let timed = change(None, Some(100), false);
    let untimed = change(None, None, false);
    let cases = [
        (&timed, None, Missing),
        (&timed, Some(89), Missing),
        (&timed, Some(90), Doubtful),
        (&timed, Some(99), Doubtful),
        (&timed, Some(100), Came),
        (&untimed, None, Missing),
        (&untimed, Some(30), Missing),
        (&untimed, Some(49), Doubtful),
        (&untimed, Some(50), Came),
    ];
    for (change, received, expected) in cases {
        assert_eq!(
            arrival(change, received.map(at), at(50)),
            expected,
            "{change:?} {received:?}"
        );
    }
}
