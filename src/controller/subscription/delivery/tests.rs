use serde_json::json;

use super::*;

fn at(minutes: i64) -> Timestamp {
    "2026-11-28T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

fn condition(type_: &str, status: &str, since: i64) -> Condition {
    serde_json::from_value(json!({
        "type": type_, "status": status, "reason": "R", "message": "", "lastTransitionTime": at(since),
    }))
    .unwrap()
}

#[test]
fn what_does_not_take_notifications_is_told_from_what_only_cannot_be_reached_from_here() {
    use Delivery::{Dropping, Fine, Unavailable, Unknown};
    let (up, down) = (("True", 0), ("False", 60));
    // Available, Reachable, refuses since, last arrival, drops.
    let cases = [
        (up, up, None, None, false, Fine),
        (up, up, None, None, true, Dropping),
        (up, ("Unknown", 0), None, None, false, Unknown),
        (down, up, None, None, false, Unavailable(at(60))),
        (down, ("False", 70), None, None, false, Unavailable(at(60))),
        (up, up, Some(50), None, false, Unavailable(at(50))),
        (up, down, None, None, false, Unavailable(at(60))),
        // What came just after the address closed came before it was seen.
        (up, down, None, Some(69), false, Unavailable(at(60))),
        (up, down, None, Some(71), false, Fine),
        (up, down, None, Some(100), false, Fine),
        (up, down, None, Some(71), true, Dropping),
        (("False", 80), down, None, Some(71), false, Unavailable(at(80))),
    ];
    for (available, reachable, refuses, arrival, drops, expected) in cases {
        let available = condition("Available", available.0, available.1);
        let reachable = condition("Reachable", reachable.0, reachable.1);
        let signs = Signs {
            available: Some(&available),
            reachable: Some(&reachable),
            refuses_since: refuses.map(at),
            last_arrival: arrival.map(at),
            drops,
        };
        assert_eq!(
            judge(&signs, at(130)),
            expected,
            "{available:?} {reachable:?} {refuses:?} {arrival:?} {drops}"
        );
    }
    let (available, reachable) = (condition("Available", "True", 0), condition("Reachable", "False", 60));
    let long_ago = Signs {
        available: Some(&available),
        reachable: Some(&reachable),
        refuses_since: None,
        last_arrival: Some(at(100)),
        drops: false,
    };
    assert_eq!(
        judge(&long_ago, at(161)),
        Unknown,
        "it may be closed for Microsoft, too, by now"
    );
    let unknown = Signs {
        available: None,
        reachable: None,
        refuses_since: None,
        last_arrival: None,
        drops: false,
    };
    assert_eq!(judge(&unknown, at(0)), Unknown);
}
