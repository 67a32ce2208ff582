use std::collections::HashSet;
use std::time::Duration;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;

fn minute(minute: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute)
}

fn all(agenda: &mut Agenda<u32>) -> Vec<u32> {
    std::iter::from_fn(|| agenda.take()).collect()
}

#[test]
fn one_that_expires_overtakes_a_thousand_creates() {
    let mut agenda = Agenda::default();
    (0..1000).for_each(|create| agenda.push(create, minute(15)));
    agenda.push(5000, minute(9));
    agenda.push(5001, minute(4));
    agenda.push(5002, minute(15));
    assert_eq!((agenda.take(), agenda.take()), (Some(5001), Some(5000)));
    let rest: Vec<u32> = (0..1000).chain([5002]).collect();
    assert_eq!(all(&mut agenda), rest, "equals in the order in which they came");
}

/// A deadline stands where it was set, so what comes later with a later one waits.
#[test]
fn a_stream_of_others_does_not_starve_one() {
    let mut agenda = Agenda::default();
    agenda.push(0, minute(15));
    let mut before = 0;
    for arrival in 1.. {
        agenda.push(arrival, minute(i64::from(arrival)));
        if agenda.take() == Some(0) {
            break;
        }
        before += 1;
    }
    assert_eq!(before, 14);
}

#[test]
fn one_that_is_asked_for_twice_is_handed_out_once_by_the_earlier_deadline() {
    let mut agenda = Agenda::default();
    agenda.push(1, minute(5));
    agenda.push(2, minute(4));
    agenda.push(1, minute(3));
    agenda.push(2, minute(9));
    assert_eq!(all(&mut agenda), [1, 2]);
}

#[test]
fn what_runs_comes_again_only_after_its_end() {
    let (mut agenda, now) = (Agenda::default(), Instant::now());
    let later = |seconds| now + Duration::from_secs(seconds);
    agenda.push(1, minute(1));
    assert_eq!(agenda.take(), Some(1));
    agenda.push(1, minute(1));
    assert_eq!(agenda.take(), None);
    agenda.finish(&1, Some(later(60)));
    assert_eq!(agenda.take(), Some(1), "asked for while it ran");

    agenda.push_at(1, later(30));
    agenda.finish(&1, Some(later(60)));
    assert_eq!((agenda.take(), agenda.next_due()), (None, Some(later(30))));
    agenda.push(1, minute(1));
    assert_eq!(agenda.take(), Some(1), "asked for before its time");
    assert_eq!(agenda.next_due(), None);

    agenda.push(1, minute(1));
    agenda.forget(&1);
    agenda.finish(&1, None);
    assert!(agenda.places.is_empty() && agenda.take().is_none());
}

#[derive(Clone, Debug)]
enum Step {
    Push(u8, i64),
    PushAt(u8, u64),
    Advance(u64),
    Take,
    Finish(u8, Option<u64>),
    Forget(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let item = 0_u8..6;
    prop_oneof![
        (item.clone(), 0_i64..50).prop_map(|(item, deadline)| Step::Push(item, deadline)),
        (item.clone(), 0_u64..50).prop_map(|(item, at)| Step::PushAt(item, at)),
        (0_u64..50).prop_map(Step::Advance),
        Just(Step::Take),
        Just(Step::Take),
        (item.clone(), prop::option::of(0_u64..50)).prop_map(|(item, at)| Step::Finish(item, at)),
        item.prop_map(Step::Forget),
    ]
}

proptest! {
    /// Whatever happens: nothing runs twice at a time, who is handed out has the earliest deadline, nobody who asked is lost,
    /// and nothing is kept of those who want nothing.
    #[test]
    fn in_any_history(steps in prop::collection::vec(step(), 1..200)) {
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let mut agenda = Agenda::default();
        let (mut running, mut wanted) = (HashSet::new(), HashSet::new());
        for step in steps {
            match step {
                Step::Push(item, deadline) => {
                    agenda.push(item, minute(deadline));
                    wanted.insert(item);
                }
                Step::PushAt(item, second) => {
                    agenda.push_at(item, at(second));
                    wanted.insert(item);
                }
                Step::Advance(second) => agenda.advance(at(second), |item| minute(i64::from(*item))),
                Step::Take => {
                    let first = agenda.ready.keys().next().copied();
                    if let Some(item) = agenda.take() {
                        prop_assert!(running.insert(item), "{item} runs twice");
                        prop_assert!(agenda.ready.keys().all(|turn| Some(*turn) >= first));
                        wanted.remove(&item);
                    }
                }
                Step::Finish(item, second) => {
                    agenda.finish(&item, second.map(at));
                    if running.remove(&item) && second.is_some() {
                        wanted.insert(item);
                    }
                }
                Step::Forget(item) => {
                    agenda.forget(&item);
                    wanted.remove(&item);
                }
            }
            prop_assert_eq!(agenda.places.len(), running.union(&wanted).count());
        }
        for item in running {
            agenda.finish(&item, None);
        }
        agenda.advance(at(100), |_| minute(0));
        let mut rest = HashSet::new();
        while let Some(item) = agenda.take() {
            prop_assert!(rest.insert(item));
        }
        prop_assert_eq!(rest, wanted);
        prop_assert!(agenda.later.is_empty());
    }
}
