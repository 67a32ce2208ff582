//! What is made of what a Management Node says.

mod calls;
mod capacity;
mod instances;
mod nodes;
mod routing;
mod tenant;

use jiff::SignedDuration;

use super::testing::{ago, instance, now, world};
use super::*;
use crate::policy::connector::Outcome;

#[test]
fn a_healthy_deployment_has_nothing_to_complain_of() {
    let found = world().findings();
    let bad: Vec<&Finding> = found.iter().filter(|one| one.outcome != Outcome::Pass).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    for condition in [
        ConditionType::InstancesHealthy,
        ConditionType::CapacityAvailable,
        ConditionType::RoutingValid,
        ConditionType::CertificatesValid,
        ConditionType::CallsSucceeding,
    ] {
        assert!(
            found.iter().any(|one| one.condition == condition),
            "{condition:?} is judged"
        );
    }
}

#[test]
fn without_answers_nothing_is_known_and_nothing_is_false() {
    for (fault, reason) in [
        (
            ApiFault::Unreachable("it does not answer in time"),
            Reason::ApiUnreachable,
        ),
        (ApiFault::Throttled, Reason::ApiUnreachable),
        (ApiFault::Malformed, Reason::ApiUnreachable),
        (ApiFault::Unauthorized, Reason::ApiRejected),
        (ApiFault::Forbidden, Reason::ApiRejected),
        (ApiFault::LoginPage, Reason::ApiRejected),
    ] {
        let mut world = world();
        world.configuration = Configuration::unknown(&fault);
        world.status = PexipStatus::unknown(&fault);
        world.calls = Some(Err(fault.clone().into()));
        let found = world.findings();
        assert!(!found.is_empty());
        for one in found {
            assert_eq!(one.outcome, Outcome::Unknown(reason), "{fault:?} {one:?}");
        }
    }
}

#[test]
fn a_connector_that_is_not_there_is_told_once() {
    let mut world = world();
    world.spec.connector_name = "us".into();
    let found = world.findings();
    let failed: Vec<&Finding> = found
        .iter()
        .filter(|one| matches!(one.outcome, Outcome::Fail(..)))
        .collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(failed[0].reason(), Some(Reason::ConnectorNotFound));
    assert_eq!(failed[0].condition, ConditionType::RoutingValid);
    let unknown = Outcome::Unknown(Reason::ConnectorNotFound);
    assert!(
        found
            .iter()
            .any(|one| one.condition == ConditionType::InstancesHealthy && one.outcome == unknown)
    );
}

#[test]
fn a_local_clock_that_is_wrong_makes_nothing_stale() {
    let told = |skew: i64| {
        let mut world = world();
        // The local clock is ahead by an hour; so the other's is behind.
        world.clock = vec![ClockSample {
            source: "Pexip".into(),
            skew: SignedDuration::from_secs(skew),
            error: SignedDuration::from_secs(1),
        }];
        world.status.instances = Ok(vec![Instance {
            heartbeat: Some(ago(3600)),
            ..instance("eu_1")
        }]);
        world.told(ConditionType::InstancesHealthy)
    };
    assert_eq!(told(-3590), Vec::<String>::new());
    assert_eq!(told(0), ["Critical HeartbeatStale eu_1"]);
}

#[test]
fn messages_are_one_sentence_each() {
    let mut world = world();
    world.rules.push(routing::rule_named("other", "x"));
    world.spec.routing_samples.clear();
    world.status.instances = Ok(Vec::new());
    for finding in world.findings() {
        assert!(finding.message.ends_with('.'), "{finding:?}");
        assert!(!finding.message.contains(". "), "{finding:?}");
        assert!(!finding.message.contains('\n'), "{finding:?}");
    }
}

#[test]
fn the_status_has_figures_only_where_they_are_known() {
    let (spec, evidence) = world().evidence();
    let shown = health(&spec, &evidence, now());
    assert_eq!((shown.calls, shown.capacity), (Some(6), Some(30)));
    assert_eq!((shown.licences_used, shown.licences_total), (Some(6), Some(50)));
    assert_eq!(shown.instances.unwrap().active, 2);
    assert_eq!(heartbeats(&spec, &evidence, now()).len(), 2);

    let mut world = world();
    world.status.instances = Ok(Vec::new());
    world.status.licences = Err(ApiFault::Forbidden);
    if let Ok(connectors) = &mut world.configuration.connectors {
        connectors[0].event_hub = Some(false);
    }
    let (spec, evidence) = world.evidence();
    assert_eq!(
        health(&spec, &evidence, now()),
        crate::api::connector::PexipHealth::default()
    );
    assert_eq!(heartbeats(&spec, &evidence, now()), []);
}

#[test]
fn instances_and_alarms_in_the_status_are_bounded() {
    let mut world = world();
    world.status.instances = Ok((0..500).map(|number| instance(&format!("eu_{number}"))).collect());
    let alarm = |number| Alarm {
        name: format!("{number}").repeat(200),
        level: AlarmLevel::Error,
        is_acknowledged: false,
    };
    world.status.alarms = Ok((0..100).map(alarm).collect());
    let (spec, evidence) = world.evidence();
    assert_eq!(heartbeats(&spec, &evidence, now()).len(), 64);
    let shown = health(&spec, &evidence, now());
    assert_eq!(shown.alarms.len(), 16);
    assert!(shown.alarms.iter().all(|name| name.len() <= 120));
    assert_eq!(alarm_levels(&evidence).unwrap()[&AlarmLevel::Error], 100);
}
