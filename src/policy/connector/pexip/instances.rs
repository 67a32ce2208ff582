//! Whether the connector's instances run, and what the deployment itself complains of.

use jiff::SignedDuration;

use super::{
    Alarm, AlarmLevel, Answer, ApiFault, Connector, Drift, Instance, InstanceState, SyncState, View, listed, nodes,
};
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::Severity;
use crate::policy::connector::Finding;

const CONDITION: ConditionType = ConditionType::InstancesHealthy;
/// Most findings of one sort.
const MOST: usize = 32;
/// The default of the spec, for text that the schema would have refused.
const HEARTBEAT_MAX_AGE: i64 = 300;

pub(super) fn judge(view: &View<'_>) -> Vec<Finding> {
    let mut found = match view.connector(CONDITION) {
        Ok(connector) => instances(view, connector),
        Err(finding) => vec![finding],
    };
    found.extend(nodes(view));
    found.extend(alarms(&view.status.alarms));
    found
}

fn instances(view: &View<'_>, connector: &Connector) -> Vec<Finding> {
    let own = match view.instances(connector) {
        Ok(own) => own,
        Err(fault) => return vec![fault.finding(CONDITION, "instances")],
    };
    if own.is_empty() {
        return vec![none(connector)];
    }
    let mut found = vec![counted(connector, &own)];
    found.extend(failed(&own));
    found.extend(heartbeats(view, &own));
    found.extend(drifts(&own, &view.status.drifts));
    found
}

/// An empty list means little: without the event hub, instances are shown only while they have calls.
/// <https://docs.pexip.com/admin/teams_status.htm>
fn none(connector: &Connector) -> Finding {
    let name = &connector.name;
    match connector.event_hub {
        Some(true) => Finding::fail(
            CONDITION,
            "",
            Severity::Critical,
            Reason::NoActiveInstance,
            format!("Teams Connector {name} has no instance: start its scale set in Azure."),
        ),
        Some(false) => Finding::unknown(
            CONDITION,
            "",
            Reason::EventHubDisabled,
            format!(
                "Teams Connector {name} shows instances only during calls: enable its Azure Event Hub to have them watched at all times."
            ),
        ),
        None => Finding::unknown(
            CONDITION,
            "",
            Reason::InsufficientEvidence,
            format!(
                "Teams Connector {name} shows no instance, and the Management Node does not tell whether its Azure Event Hub is enabled."
            ),
        ),
    }
}

fn counted(connector: &Connector, own: &[&Instance]) -> Finding {
    let name = &connector.name;
    let count = |state| own.iter().filter(|one| one.state == state).count();
    let (active, other) = (count(InstanceState::Active), count(InstanceState::Other));
    let least = connector
        .least_instances
        .filter(|_| connector.event_hub == Some(true))
        .and_then(|least| usize::try_from(least).ok())
        .unwrap_or(0);
    if active == 0 && other == 0 {
        let message = format!(
            "Teams Connector {name} has no active instance: look at its scale set in Azure; an instance needs up to 20 minutes to start."
        );
        return Finding::fail(CONDITION, "", Severity::Critical, Reason::NoActiveInstance, message);
    }
    if active == 0 {
        let message = format!("The instances of Teams Connector {name} are in states that are not known here.");
        return Finding::unknown(CONDITION, "", Reason::InsufficientEvidence, message);
    }
    if active + other < least {
        let message = format!(
            "Teams Connector {name} has fewer active instances than the {least} it is configured with: look at its scale set in Azure."
        );
        return Finding::fail(CONDITION, "", Severity::Warning, Reason::BelowMinimumInstances, message);
    }
    Finding::pass(CONDITION, "", format!("Teams Connector {name} has active instances."))
}

fn failed<'a>(own: &'a [&Instance]) -> impl Iterator<Item = Finding> + 'a {
    let failed = own.iter().filter(|one| one.state == InstanceState::Failed);
    failed.take(MOST).map(|one| {
        let message = format!(
            "Instance {} failed: it is in maintenance for longer than expected; restart or delete it in its scale set in Azure.",
            one.name
        );
        Finding::fail(CONDITION, &one.name, Severity::Warning, Reason::InstanceFailed, message)
    })
}

/// A heartbeat ahead of the clock shows clocks that differ, and nothing about the instance.
fn heartbeats(view: &View<'_>, own: &[&Instance]) -> Vec<Finding> {
    let seconds = view.spec.heartbeat_max_age.seconds().unwrap_or(HEARTBEAT_MAX_AGE);
    let limit = SignedDuration::from_secs(seconds);
    let active = own.iter().filter(|one| one.state == InstanceState::Active);
    let aged: Vec<(&Instance, SignedDuration)> = active
        .filter_map(|one| Some((*one, view.now.duration_since(one.heartbeat?))))
        .collect();
    // If none is alive, there is nobody to take calls.
    let severity = if aged.iter().all(|(_, age)| *age > limit) {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let limit_text = &view.spec.heartbeat_max_age.0;
    let judged = aged.iter().filter_map(|(one, age)| {
        let name = &one.name;
        if *age > limit {
            let message = format!(
                "Instance {name} gave no sign of life for more than {limit_text}: look at it, and at its way to the Azure Event Hub."
            );
            return Some(Finding::fail(CONDITION, name, severity, Reason::HeartbeatStale, message));
        }
        (*age < -limit).then(|| {
            let message = format!("The heartbeat of instance {name} lies ahead of the Management Node's clock: compare their clocks.");
            Finding::unknown(CONDITION, name, Reason::InsufficientEvidence, message)
        })
    });
    judged.take(MOST).collect()
}

/// Releases without this resource exist: that it is missing says nothing.
fn drifts(own: &[&Instance], drifts: &Answer<Vec<Drift>>) -> Vec<Finding> {
    let drifts = match drifts {
        Ok(drifts) => drifts,
        Err(ApiFault::Missing) => return Vec::new(),
        Err(fault) => return vec![fault.finding(CONDITION, "instances' agreement with their configuration")],
    };
    let failing = drifts.iter().filter(|drift| drift.is_failing);
    let concerned = failing.filter_map(|drift| own.iter().find(|one| one.id == drift.instance));
    let found = concerned.take(MOST).map(|one| {
        let message = format!(
            "Instance {} could not apply parts of its configuration: see Status > Teams Connector status, and redeploy the connector if it stays so.",
            one.name
        );
        Finding::fail(CONDITION, &one.name, Severity::Warning, Reason::ConfigurationDrift, message)
    });
    found.collect()
}

fn nodes(view: &View<'_>) -> Vec<Finding> {
    let running = match &view.status.nodes {
        Ok(running) => running,
        Err(fault) => return vec![fault.finding(CONDITION, "Conferencing Nodes")],
    };
    // Without the configuration, each node may call the connector.
    let serving = nodes::serving(view).ok();
    let behind = running.iter().filter(|node| {
        let serves = serving
            .as_ref()
            .is_none_or(|serving| serving.iter().any(|one| one.name == node.name));
        serves && node.sync == SyncState::Behind && !node.in_maintenance
    });
    let found = behind.take(MOST).map(|node| {
        let message = format!(
            "Conferencing Node {} does not have the newest configuration: look at its connection to the Management Node.",
            node.name
        );
        Finding::fail(CONDITION, &node.name, Severity::Warning, Reason::NodeOutOfSync, message)
    });
    found.collect()
}

/// One finding for each level: alarms come in numbers.
fn alarms(alarms: &Answer<Vec<Alarm>>) -> Vec<Finding> {
    let alarms = match alarms {
        Ok(alarms) => alarms,
        Err(fault) => return vec![fault.finding(CONDITION, "alarms")],
    };
    let named = |wanted: fn(AlarmLevel) -> bool| {
        let concerned = alarms
            .iter()
            .filter(move |one| !one.is_acknowledged && wanted(one.level));
        listed(concerned.map(|one| one.name.as_str()))
    };
    let severe = named(|level| matches!(level, AlarmLevel::Critical | AlarmLevel::Error));
    let mild = named(|level| matches!(level, AlarmLevel::Warning | AlarmLevel::Other));
    let told = [
        (severe, Severity::Warning, "errors"),
        (mild, Severity::Info, "warnings"),
    ];
    let found = told.into_iter().filter(|(names, ..)| !names.is_empty());
    let found = found.map(|(names, severity, word)| {
        let message = format!("The Management Node has alarms that are {word}: {names}; see Status > Alarms.");
        Finding::fail(CONDITION, "alarms", severity, Reason::VendorAlarm, message)
    });
    found.collect()
}
