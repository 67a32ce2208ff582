use crate::api::condition::ConditionType::InstancesHealthy;
use crate::policy::connector::pexip::testing::{World, ago, instance, world};
use crate::policy::connector::pexip::*;

fn with(change: impl FnOnce(&mut World)) -> Vec<String> {
    let mut world = world();
    change(&mut world);
    world.told(InstancesHealthy)
}

fn hub(world: &mut World, enabled: Option<bool>) {
    if let Ok(connectors) = &mut world.configuration.connectors {
        connectors[0].event_hub = enabled;
    }
}

/// Hard input 8.
#[test]
fn an_empty_list_is_empty_for_four_reasons() {
    let empty = |enabled| {
        with(|world| {
            world.status.instances = Ok(Vec::new());
            hub(world, enabled);
        })
    };
    // Really none; event hub off and no calls; and nobody knows.
    assert_eq!(empty(Some(true)), ["Critical NoActiveInstance"]);
    assert_eq!(empty(Some(false)), ["Unknown EventHubDisabled"]);
    assert_eq!(empty(None), ["Unknown InsufficientEvidence"]);
    let denied = with(|world| world.status.instances = Err(ApiFault::Forbidden));
    assert_eq!(denied, ["Unknown ApiRejected"]);
}

#[test]
fn without_the_event_hub_instances_with_calls_are_judged() {
    let told = with(|world| {
        hub(world, Some(false));
        world.status.instances = Ok(vec![Instance {
            state: InstanceState::Failed,
            event_hub_id: None,
            ..instance("eu_1")
        }]);
    });
    assert_eq!(told, ["Critical NoActiveInstance", "Warning InstanceFailed eu_1"]);
}

#[test]
fn states_are_counted() {
    use InstanceState::{Active, Draining, Failed, Maintenance, Other};
    for (least, states, expected) in [
        (1, vec![Active], vec![]),
        (2, vec![Active, Active], vec![]),
        (3, vec![Active, Active], vec!["Warning BelowMinimumInstances"]),
        (2, vec![Active, Other], vec![]),
        (1, vec![Other, Other], vec!["Unknown InsufficientEvidence"]),
        (1, vec![Draining], vec!["Critical NoActiveInstance"]),
        (1, vec![Maintenance], vec!["Critical NoActiveInstance"]),
        (1, vec![Active, Failed], vec!["Warning InstanceFailed i1"]),
        (
            2,
            vec![Active, Failed],
            vec!["Warning BelowMinimumInstances", "Warning InstanceFailed i1"],
        ),
    ] {
        let told = with(|world| {
            if let Ok(connectors) = &mut world.configuration.connectors {
                connectors[0].least_instances = Some(least);
            }
            let made = states.iter().enumerate().map(|(number, state)| Instance {
                state: *state,
                ..instance(&format!("i{number}"))
            });
            world.status.instances = Ok(made.collect());
        });
        assert_eq!(told, expected, "{least} {states:?}");
    }
}

#[test]
fn words_for_states_are_read_in_any_spelling() {
    use InstanceState::{Active, Draining, Failed, Maintenance, Other};
    for (status, state, expected) in [
        (Some("active"), None, Active),
        (Some("Active"), Some("failure"), Active),
        (None, Some("WAITING_FOR_TERMINATION"), Draining),
        (Some("Waiting for termination"), None, Draining),
        (Some("terminating"), None, Draining),
        (Some("maintenance"), None, Maintenance),
        (Some("Failure"), None, Failed),
        (Some("quantum"), Some("active"), Active),
        (Some("quantum"), None, Other),
        (None, None, Other),
        (Some(""), Some(""), Other),
    ] {
        assert_eq!(InstanceState::read(status, state), expected, "{status:?} {state:?}");
    }
}

#[test]
fn heartbeats_age() {
    for (first, second, expected) in [
        (Some(20), Some(299), vec![]),
        (Some(20), Some(301), vec!["Warning HeartbeatStale eu_2"]),
        (
            Some(900),
            Some(301),
            vec!["Critical HeartbeatStale eu_1", "Critical HeartbeatStale eu_2"],
        ),
        (None, None, vec![]),
        (Some(20), Some(-3600), vec!["Unknown InsufficientEvidence eu_2"]),
        (Some(20), Some(-200), vec![]),
        (Some(20), Some(60_000_000_000), vec!["Warning HeartbeatStale eu_2"]),
    ] {
        let told = with(|world| {
            let aged = |id: &str, age: Option<i64>| Instance {
                heartbeat: age.map(ago),
                ..instance(id)
            };
            world.status.instances = Ok(vec![aged("eu_1", first), aged("eu_2", second)]);
        });
        assert_eq!(told, expected, "{first:?} {second:?}");
    }
}

#[test]
fn only_instances_of_this_connector_count() {
    let two = |world: &mut World| {
        if let Ok(connectors) = &mut world.configuration.connectors {
            connectors.push(Connector {
                uri: testing::OTHER.into(),
                name: "us".into(),
                event_hub_id: Some("q2".into()),
                ..Connector::default()
            });
        }
    };
    let failing = |hub: Option<&str>| Instance {
        state: InstanceState::Failed,
        event_hub_id: hub.map(str::to_owned),
        ..instance("us_1")
    };
    for (hub, expected) in [
        (Some("q2"), vec![]),
        (None, vec![]),
        (Some("q1"), vec!["Warning InstanceFailed us_1"]),
    ] {
        let told = with(|world| {
            two(world);
            world.status.instances = Ok(vec![instance("eu_1"), failing(hub)]);
        });
        assert_eq!(told, expected, "{hub:?}");
    }
}

#[test]
fn drift_concerns_own_instances() {
    let drift = |id: &str, is_failing| Drift {
        instance: id.into(),
        is_failing,
    };
    let told =
        with(|world| world.status.drifts = Ok(vec![drift("eu_1", true), drift("eu_2", false), drift("us_1", true)]));
    assert_eq!(told, ["Warning ConfigurationDrift eu_1"]);
    let missing = with(|world| world.status.drifts = Err(ApiFault::Missing));
    assert_eq!(missing, Vec::<String>::new(), "older releases do not have it");
    for (status, failing, expected) in [
        (None, None, false),
        (Some("Success"), Some(""), false),
        (Some("Success"), Some("[]"), false),
        (Some("Success"), Some("[Service]pexteams"), true),
        (Some("Failure"), None, true),
    ] {
        assert_eq!(Drift::tells(status, failing), expected, "{status:?} {failing:?}");
    }
}

#[test]
fn nodes_that_serve_the_connector_have_the_newest_configuration() {
    let node = |name: &str, sync: &str, in_maintenance| NodeStatus {
        name: name.into(),
        sync: SyncState::read(Some(sync)),
        in_maintenance,
    };
    for (name, sync, in_maintenance, expected) in [
        ("edge01", "SYNCED", false, vec![]),
        ("edge01", "OUT_OF_SYNC", false, vec!["Warning NodeOutOfSync edge01"]),
        ("edge01", "out of sync", true, vec![]),
        ("edge01", "whatever", false, vec![]),
        ("far", "unsynced", false, vec![]),
    ] {
        let told = with(|world| world.status.nodes = Ok(vec![node(name, sync, in_maintenance)]));
        assert_eq!(told, expected, "{name} {sync} {in_maintenance}");
    }
}

#[test]
fn alarms_are_told_by_how_bad_they_are() {
    let alarm = |name: &str, level: &str, is_acknowledged| Alarm {
        name: name.into(),
        level: AlarmLevel::read(Some(level)),
        is_acknowledged,
    };
    for (alarms, expected) in [
        (vec![alarm("a", "critical", false)], vec!["Warning VendorAlarm alarms"]),
        (vec![alarm("a", "Error", false)], vec!["Warning VendorAlarm alarms"]),
        (vec![alarm("a", "warning", false)], vec!["Info VendorAlarm alarms"]),
        (vec![alarm("a", "odd", false)], vec!["Info VendorAlarm alarms"]),
        (vec![alarm("a", "critical", true)], vec![]),
    ] {
        let told = with(|world| world.status.alarms = Ok(alarms.clone()));
        assert_eq!(told, expected, "{alarms:?}");
    }
    let mut world = world();
    world.status.alarms = Ok(["c", "a", "b", "a", "d", "e", "f"]
        .map(|name| alarm(name, "error", false))
        .into());
    let found = world.findings();
    let told = found.iter().find(|one| one.subject == "alarms").unwrap();
    assert!(told.message.contains("a, b, c, d, e and 1 more"), "{}", told.message);
}
