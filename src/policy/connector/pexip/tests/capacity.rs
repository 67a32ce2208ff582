use std::collections::BTreeMap;

use crate::api::condition::ConditionType::CapacityAvailable;
use crate::policy::connector::pexip::calls::CallEnd;
use crate::policy::connector::pexip::capacity::{History, sample};
use crate::policy::connector::pexip::testing::{World, ago, calls, instance, now, world};
use crate::policy::connector::pexip::*;

fn with(change: impl FnOnce(&mut World)) -> Vec<String> {
    let mut world = world();
    change(&mut world);
    world.told(CapacityAvailable)
}

fn busy(calls: Option<i32>, most_calls: Option<i32>) -> Vec<Instance> {
    vec![Instance {
        calls,
        most_calls,
        ..instance("eu_1")
    }]
}

#[test]
fn what_is_in_use_is_compared_with_what_there_is() {
    for (calls, most, expected) in [
        (Some(11), Some(16), vec![]),
        (Some(12), Some(16), vec!["Warning NearCapacity"]),
        (Some(15), Some(16), vec!["Critical NearCapacity"]),
        (Some(16), Some(16), vec!["Critical Saturated"]),
        (Some(40), Some(16), vec!["Critical Saturated"]),
        // The number of the spec, 15, in place of one that is not told.
        (Some(11), None, vec![]),
        (Some(12), None, vec!["Warning NearCapacity"]),
        (Some(15), Some(0), vec!["Critical Saturated"]),
        (Some(15), Some(-1), vec!["Critical Saturated"]),
    ] {
        let told = with(|world| world.status.instances = Ok(busy(calls, most)));
        assert_eq!(told, expected, "{calls:?} of {most:?}");
    }
}

#[test]
fn instances_that_take_no_calls_do_not_count() {
    let told = with(|world| {
        let draining = Instance {
            state: InstanceState::Draining,
            calls: Some(0),
            ..instance("eu_2")
        };
        let mut all = busy(Some(15), Some(15));
        all.push(draining);
        world.status.instances = Ok(all);
    });
    assert_eq!(told, ["Critical Saturated"]);
}

#[test]
fn calls_that_are_not_counted_are_looked_up() {
    let listed = |calls| {
        with(|world| {
            world.status.instances = Ok(busy(None, Some(15)));
            world.status.calls = calls;
        })
    };
    assert_eq!(listed(Ok(BTreeMap::new())), Vec::<String>::new());
    assert_eq!(
        listed(Ok(BTreeMap::from([("eu_1".to_owned(), 15)]))),
        ["Critical Saturated"]
    );
    assert_eq!(listed(Err(ApiFault::Forbidden)), ["Unknown CapacityUnknown"]);
    let negative = with(|world| {
        world.status.instances = Ok(busy(Some(-3), Some(15)));
        world.status.calls = Err(ApiFault::Malformed);
    });
    assert_eq!(negative, ["Unknown CapacityUnknown"]);
}

#[test]
fn without_instances_the_capacity_is_unknown() {
    assert_eq!(
        with(|world| world.status.instances = Ok(Vec::new())),
        ["Unknown CapacityUnknown"]
    );
    assert_eq!(
        with(|world| world.status.instances = Err(ApiFault::Throttled)),
        ["Unknown ApiUnreachable"]
    );
}

/// Samples each two minutes, the last one now.
fn line(calls: &[i32]) -> Vec<Sample> {
    let ages = (0..i64::try_from(calls.len()).unwrap()).rev();
    let samples = calls.iter().zip(ages).map(|(calls, age)| Sample {
        at: ago(age * 120),
        calls: *calls,
        capacity: 30,
    });
    samples.collect()
}

#[test]
fn growth_is_told_twenty_minutes_ahead() {
    for (samples, expected) in [
        (line(&[0, 1, 2, 3, 4, 5, 6]), vec![]),
        (line(&[0, 2, 4, 6, 8, 10, 12]), vec!["Warning NearCapacity"]),
        (line(&[12, 10, 8, 6, 4, 2, 0]), vec![]),
        (line(&[6, 6, 6, 6, 6, 6, 6]), vec![]),
        (line(&[0, 4, 8, 12]), vec![]),
        (line(&[0, 4, 8, 12, 16]), vec![]),
        (Vec::new(), vec![]),
    ] {
        let told = with(|world| {
            world.status.instances = Ok(vec![instance("eu_1"), instance("eu_2")]);
            world.samples = samples.clone();
        });
        assert_eq!(told, expected, "{samples:?}");
    }
}

#[test]
fn the_history_is_bounded_and_in_order() {
    let mut history = History::default();
    let at = |age| Sample {
        at: ago(age),
        calls: 1,
        capacity: 15,
    };
    for age in (0..10_000).rev() {
        history.add(at(age));
    }
    assert_eq!(history.samples().len(), 128);
    history.add(at(0));
    history.add(at(500));
    assert_eq!(history.samples().len(), 128, "not twice, and not backwards");
    history.add(at(-3600));
    assert_eq!(history.samples(), [at(-3600)]);
    let (spec, evidence) = world().evidence();
    let expected = Sample {
        at: now(),
        calls: 6,
        capacity: 30,
    };
    assert_eq!(sample(&spec, &evidence, now()), Some(expected));
}

#[test]
fn calls_that_failed_while_it_was_full_are_told() {
    let full = |age| Sample {
        at: ago(age),
        calls: 30,
        capacity: 30,
    };
    for (end, sample, expected) in [
        (CallEnd::DialOutFailed, full(90), vec!["Warning Saturated calls"]),
        (CallEnd::Rejected, full(60), vec!["Warning Saturated calls"]),
        (CallEnd::DialOutFailed, full(300), vec![]),
        (CallEnd::Completed, full(60), vec![]),
        (CallEnd::ServerError, full(60), vec![]),
    ] {
        let told = with(|world| {
            world.samples = vec![sample];
            world.calls = Some(Ok(calls(&[(end, 1)])));
        });
        assert_eq!(told, expected, "{end:?} {sample:?}");
    }
}

#[test]
fn licences_run_out() {
    let licences = |used, total, ports| Licences {
        teams_used: used,
        teams_total: total,
        ports_used: ports,
        ports_total: Some(100),
    };
    for (known, expected) in [
        (licences(Some(44), Some(50), Some(10)), vec![]),
        (
            licences(Some(45), Some(50), Some(10)),
            vec!["Warning NearCapacity Teams licences"],
        ),
        (
            licences(Some(50), Some(50), Some(10)),
            vec!["Critical LicencesExhausted Teams licences"],
        ),
        (
            licences(Some(5), Some(50), Some(100)),
            vec!["Critical LicencesExhausted port licences"],
        ),
        (licences(Some(0), Some(0), None), vec![]),
        (licences(None, None, None), vec![]),
    ] {
        let told = with(|world| world.status.licences = Ok(known));
        assert_eq!(told, expected, "{known:?}");
    }
}
