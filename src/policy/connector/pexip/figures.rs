//! The deployment in figures, for the status and for metrics.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{AlarmLevel, Instance, InstanceState, Lookup, PexipEvidence, View, capacity};
use crate::api::connector::{InstanceCounts, Pexip, PexipHealth};

/// Most instances that have a series of their own in metrics.
const HEARTBEATS: usize = 64;
/// Most alarms in the status, and the longest name.
const ALARMS: (usize, usize) = (16, 120);

/// The last sign of life of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Name of the instance.
    pub instance: String,
    /// When it was.
    pub at: Timestamp,
}

/// What the status shows. What is not known is absent, and never zero.
pub fn health(spec: &Pexip, evidence: &PexipEvidence, now: Timestamp) -> PexipHealth {
    let view = View::new(spec, evidence, now);
    let usage = capacity::usage(&view);
    let licences = evidence.status.licences.as_ref().ok();
    PexipHealth {
        instances: own(&view).map(|own| counts(&own)),
        calls: usage.map(|usage| usage.calls),
        capacity: usage.map(|usage| usage.capacity),
        licences_used: licences.and_then(|licences| licences.teams_used),
        licences_total: licences.and_then(|licences| licences.teams_total),
        alarms: alarms(evidence),
    }
}

/// Signs of life of the first 64 instances by name.
pub fn heartbeats(spec: &Pexip, evidence: &PexipEvidence, now: Timestamp) -> Vec<Heartbeat> {
    let view = View::new(spec, evidence, now);
    let all = own(&view).unwrap_or_default();
    let known = all
        .into_iter()
        .filter_map(|one| Some((one.name.clone(), one.heartbeat?)));
    // The later one, if a name is there twice.
    let mut by_name: BTreeMap<String, Timestamp> = BTreeMap::new();
    for (name, at) in known {
        let kept = by_name.entry(name).or_insert(at);
        *kept = at.max(*kept);
    }
    let first = by_name.into_iter().take(HEARTBEATS);
    first.map(|(instance, at)| Heartbeat { instance, at }).collect()
}

/// Alarms in force by level, acknowledged ones too. `None`: not known.
pub fn alarm_levels(evidence: &PexipEvidence) -> Option<BTreeMap<AlarmLevel, i32>> {
    let alarms = evidence.status.alarms.as_ref().ok()?;
    let all = [
        AlarmLevel::Critical,
        AlarmLevel::Error,
        AlarmLevel::Warning,
        AlarmLevel::Other,
    ];
    let count = |level| i32::try_from(alarms.iter().filter(|one| one.level == level).count()).unwrap_or(i32::MAX);
    Some(all.into_iter().map(|level| (level, count(level))).collect())
}

/// The connector's instances. An empty list without the event hub means that nothing is known.
fn own<'a>(view: &View<'a>) -> Option<Vec<&'a Instance>> {
    let Lookup::Found(connector) = view.connector else {
        return None;
    };
    let own = view.instances(connector).ok()?;
    (!own.is_empty() || connector.event_hub == Some(true)).then_some(own)
}

fn counts(own: &[&Instance]) -> InstanceCounts {
    let count = |state| i32::try_from(own.iter().filter(|one| one.state == state).count()).unwrap_or(i32::MAX);
    InstanceCounts {
        active: count(InstanceState::Active),
        draining: count(InstanceState::Draining),
        maintenance: count(InstanceState::Maintenance),
        failed: count(InstanceState::Failed),
        other: count(InstanceState::Other),
    }
}

fn alarms(evidence: &PexipEvidence) -> Vec<String> {
    let (most, longest) = ALARMS;
    let alarms = evidence.status.alarms.as_deref().unwrap_or_default();
    let names: BTreeSet<String> = alarms
        .iter()
        .map(|one| one.name.chars().take(longest).collect())
        .collect();
    names.into_iter().take(most).collect()
}
