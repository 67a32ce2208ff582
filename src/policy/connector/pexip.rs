//! A Pexip Infinity deployment, judged by what its Management Node says.
//!
//! Resources and fields: <https://docs.pexip.com/api_manage/api_status.htm>, <https://docs.pexip.com/api_manage/api_configuration.htm>.
//! What can hold personal data (aliases, names of participants) or secrets (keys, connection strings) has no place in the evidence.

pub mod calls;
pub mod capacity;
mod evidence;
pub mod explain;
mod figures;
mod instances;
mod nodes;
pub mod routing;
pub mod sequence;
pub mod support_log;
pub mod syslog;
mod tenant;

use std::sync::Arc;

use jiff::Timestamp;

pub use evidence::*;
pub use figures::{Heartbeat, alarm_levels, health, heartbeats};
pub use tenant::judge_tenant;

use super::Finding;
use super::clock::ClockSample;
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::Pexip;
use calls::{CallRecord, Calls};
use capacity::Sample;

/// What one look at a deployment found.
#[derive(Clone, Debug)]
pub struct PexipEvidence {
    /// What changes rarely; read every ten minutes.
    pub configuration: Arc<Configuration>,
    /// What is going on.
    pub status: Arc<PexipStatus>,
    /// How full the connector was at earlier looks, the oldest first, and at this one.
    pub samples: Vec<Sample>,
    /// Calls through this connector that ended lately. `None`: not asked for.
    pub calls: Option<Calls>,
    /// Those among them that no earlier look has told of, so that each is counted once.
    pub fresh_calls: Vec<CallRecord>,
    /// The clock of the Management Node.
    pub clock: Vec<ClockSample>,
}

/// Judges all but the tenant, for which see [`judge_tenant`]. `now` is the local time; times of the Management Node are judged by
/// its own clock, as far as that is known.
pub fn judge(spec: &Pexip, evidence: &PexipEvidence, now: Timestamp) -> Vec<Finding> {
    let view = View::new(spec, evidence, now);
    let mut found = instances::judge(&view);
    found.extend(capacity::judge(&view, &evidence.samples, evidence.calls.as_ref()));
    found.extend(routing::judge(&view));
    found.extend(nodes::judge_allow_list(&view));
    found.extend(nodes::judge_certificates(&view));
    if let Some(calls) = &evidence.calls {
        found.extend(calls::judge(&view, calls));
    }
    found
}

/// The evidence about one connector.
struct View<'a> {
    spec: &'a Pexip,
    configuration: &'a Configuration,
    status: &'a PexipStatus,
    connector: Lookup<'a>,
    /// Now, by the clock of the Management Node.
    now: Timestamp,
}

/// The connector in the configuration.
#[derive(Clone, Copy)]
enum Lookup<'a> {
    Found(&'a Connector),
    Missing,
    Unknown(&'a ApiFault),
}

impl<'a> View<'a> {
    fn new(spec: &'a Pexip, evidence: &'a PexipEvidence, now: Timestamp) -> Self {
        Self {
            spec,
            configuration: &evidence.configuration,
            status: &evidence.status,
            connector: lookup(spec, &evidence.configuration),
            now: vendor_time(&evidence.clock, now),
        }
    }

    /// The connector, or what is to be said of `condition` without it.
    fn connector(&self, condition: ConditionType) -> Result<&'a Connector, Finding> {
        match self.connector {
            Lookup::Found(connector) => Ok(connector),
            Lookup::Unknown(fault) => Err(fault.finding(condition, "Teams Connectors")),
            Lookup::Missing => Err(Finding::unknown(
                condition,
                "",
                Reason::ConnectorNotFound,
                format!(
                    "The Management Node has no Teams Connector named {}: see RoutingValid.",
                    self.spec.connector_name
                ),
            )),
        }
    }

    /// The instances of this connector. Which those are is told by the event hub; where that is not known, a deployment with one
    /// connector has no others.
    fn instances(&self, connector: &Connector) -> Answer<Vec<&'a Instance>> {
        let all = self.status.instances.as_ref().map_err(Clone::clone)?;
        let alone = self.configuration.connectors.as_ref().is_ok_and(|all| all.len() == 1);
        let is_own = |instance: &&Instance| match (&connector.event_hub_id, &instance.event_hub_id) {
            (Some(own), Some(its)) => own == its,
            _ => alone,
        };
        Ok(all.iter().filter(is_own).collect())
    }
}

fn lookup<'a>(spec: &Pexip, configuration: &'a Configuration) -> Lookup<'a> {
    match &configuration.connectors {
        Err(fault) => Lookup::Unknown(fault),
        Ok(all) => all
            .iter()
            .find(|one| one.name == spec.connector_name)
            .map_or(Lookup::Missing, Lookup::Found),
    }
}

/// `now` by the clock that wrote the times: a local clock that is wrong must not make heartbeats stale.
fn vendor_time(clock: &[ClockSample], now: Timestamp) -> Timestamp {
    let best = clock.iter().min_by_key(|sample| sample.error);
    best.filter(|sample| sample.skew.abs() > sample.error)
        .and_then(|sample| now.checked_add(sample.skew).ok())
        .unwrap_or(now)
}

/// Names in one text: sorted, each once, at most five.
fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 5;
    let names: std::collections::BTreeSet<&str> = names.into_iter().collect();
    let shown: Vec<&str> = names.iter().take(SHOWN).copied().collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
