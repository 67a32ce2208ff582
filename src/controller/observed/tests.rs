use serde_json::json;

use super::*;

fn receiver() -> ObjectRef {
    ObjectRef {
        name: "calls".to_owned(),
        namespace: Some("n".to_owned()),
    }
}

/// Pods that said this.
fn pods(said: &[serde_json::Value]) -> Observed {
    let observed = Observed::default();
    for (pod, said) in (0..).zip(said) {
        let state = serde_json::from_value(said.clone()).map_err(|_| "no answer".to_owned());
        observed.put(&receiver(), pod, state);
    }
    observed
}

fn at(hour: u8) -> Timestamp {
    format!("2026-11-28T{hour:02}:00:00Z").parse().unwrap()
}

#[test]
fn a_receiver_was_away_while_none_of_its_pods_was_there() {
    let away = |from: u8, until: u8| json!({ "away": { "from": at(from), "until": at(until) } });
    let new = |until: u8| json!({ "away": { "until": at(until) } });
    let cases = [
        (vec![away(1, 6)], Some((1, 6))),
        (vec![away(1, 6), away(2, 5)], Some((2, 5))),
        (vec![away(1, 6), new(9)], Some((1, 6))),
        (vec![away(1, 6), new(4)], Some((1, 4))),
        (vec![new(4)], None),
        (vec![away(1, 6), json!({})], None),
        (vec![away(1, 6), json!("no answer")], None),
        (vec![], None),
    ];
    for (said, expected) in cases {
        let expected = expected.map(|(from, until)| (at(from), at(until)));
        let replicas = i32::try_from(said.len()).unwrap();
        assert_eq!(pods(&said).away(&receiver(), replicas), expected, "{said:?}");
    }
    assert_eq!(pods(&[away(1, 6)]).away(&receiver(), 2), None, "one was not asked yet");
    // One after the other: somebody was there all the time.
    let (from, until) = pods(&[away(1, 2), away(3, 4)]).away(&receiver(), 2).unwrap();
    assert!(from > until);
}

#[test]
fn graph_drops_when_over_fifteen_percent_of_all_answers_are_late() {
    let answers = |answers: u64, late: u64| json!({ "webhook": { "answers": answers, "late": late } });
    assert!(!pods(&[answers(100, 15)]).drops(&receiver()));
    assert!(pods(&[answers(100, 16)]).drops(&receiver()));
    assert!(
        !pods(&[answers(100, 16), answers(100, 0)]).drops(&receiver()),
        "the address as a whole"
    );
    assert!(!pods(&[json!({})]).drops(&receiver()));
}

#[test]
fn a_receiver_refuses_when_each_of_its_pods_does() {
    let storage = |state: &str| json!({ "storage": { "state": state } });
    let both = pods(&[storage("Full"), storage("Failing")]);
    let since = both.refuses_since(&receiver()).unwrap();
    let again = serde_json::from_value(storage("Full")).unwrap();
    both.put(&receiver(), 1, Ok(again));
    assert_eq!(both.refuses_since(&receiver()), Some(since), "as long as it lasts");
    assert_eq!(pods(&[storage("Full"), storage("Ok")]).refuses_since(&receiver()), None);
}
