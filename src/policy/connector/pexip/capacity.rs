//! Whether the connector can take more calls, now and in the time that another instance needs to start.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::calls::{CallEnd, CallRecord, Calls};
use super::{Instance, InstanceState, Licences, View};
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::{CapacityLimits, Severity};
use crate::policy::connector::Finding;

const CONDITION: ConditionType = ConditionType::CapacityAvailable;
/// How long an instance takes to start, at most: <https://docs.pexip.com/admin/teams_scaling.htm>.
const AHEAD: SignedDuration = SignedDuration::from_mins(20);
/// How far back the growth is looked at.
const WINDOW: SignedDuration = SignedDuration::from_mins(30);
/// Fewer samples, or from a shorter time, tell no growth.
const FEWEST: (usize, SignedDuration) = (5, SignedDuration::from_mins(10));
/// A call that failed so near to a sample of a full connector failed because of that.
const SAME_MINUTE: SignedDuration = SignedDuration::from_secs(60);
/// Most samples that are kept.
const KEPT: usize = 128;

/// How full the connector was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When, by the clock of the Management Node.
    pub at: Timestamp,
    /// Calls.
    pub calls: i32,
    /// Calls that active instances can take.
    pub capacity: i32,
}

impl Sample {
    fn is_full(&self) -> bool {
        self.calls >= self.capacity
    }
}

/// How full the connector was at the latest looks: half an hour, and at most 128 of them.
#[derive(Clone, Debug, Default)]
pub struct History(VecDeque<Sample>);

impl History {
    /// Adds the sample of a look. One that is not later than the last one adds nothing.
    pub fn add(&mut self, sample: Sample) {
        if self.0.back().is_some_and(|last| last.at >= sample.at) {
            return;
        }
        self.0.push_back(sample);
        let is_old = |old: &Sample| sample.at.duration_since(old.at) > WINDOW;
        while self.0.len() > KEPT || self.0.front().is_some_and(is_old) {
            self.0.pop_front();
        }
    }

    /// The oldest first.
    pub fn samples(&self) -> Vec<Sample> {
        self.0.iter().copied().collect()
    }
}

/// Calls and capacity at this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) calls: i32,
    pub(super) capacity: i32,
}

/// The sample of this look, if it tells how full the connector is.
pub fn sample(spec: &crate::api::connector::Pexip, evidence: &super::PexipEvidence, now: Timestamp) -> Option<Sample> {
    let view = View::new(spec, evidence, now);
    let Usage { calls, capacity } = usage(&view)?;
    Some(Sample {
        at: view.now,
        calls,
        capacity,
    })
}

/// Active instances count alone: the others take no new calls. `None` when there is none, or when one does not tell its calls.
pub(super) fn usage(view: &View<'_>) -> Option<Usage> {
    let connector = view.connector(CONDITION).ok()?;
    let own = view.instances(connector).ok()?;
    let mut active = own.iter().filter(|one| one.state == InstanceState::Active).peekable();
    active.peek()?;
    let none = Usage { calls: 0, capacity: 0 };
    active.try_fold(none, |sum, one| {
        let most = one.most_calls.filter(|most| *most > 0);
        let most = most.unwrap_or(view.spec.capacity.calls_per_instance);
        Some(Usage {
            calls: sum.calls.saturating_add(calls_of(view, one)?),
            capacity: sum.capacity.saturating_add(most),
        })
    })
}

/// Without the event hub, an instance does not count its calls: they are counted in the list of calls.
fn calls_of(view: &View<'_>, instance: &Instance) -> Option<i32> {
    let counted = || Some(view.status.calls.as_ref().ok()?.get(&instance.id).copied().unwrap_or(0));
    instance.calls.filter(|calls| *calls >= 0).or_else(counted)
}

pub(super) fn judge(view: &View<'_>, samples: &[Sample], calls: Option<&Calls>) -> Vec<Finding> {
    let mut found = match (view.connector(CONDITION), usage(view)) {
        (Err(finding), _) => vec![finding],
        (Ok(_), Some(usage)) => vec![in_use(view, usage, samples)],
        (Ok(connector), None) => vec![unknown(view, &connector.name)],
    };
    if let Some(Ok(calls)) = calls {
        found.extend(lost_calls(view, samples, calls));
    }
    match &view.status.licences {
        Ok(licences) => found.extend(judge_licences(&view.spec.capacity, *licences)),
        Err(fault) => found.push(fault.finding(CONDITION, "licences")),
    }
    found
}

fn unknown(view: &View<'_>, connector: &str) -> Finding {
    match &view.status.instances {
        Err(fault) => fault.finding(CONDITION, "instances"),
        Ok(_) => Finding::unknown(
            CONDITION,
            "",
            Reason::CapacityUnknown,
            format!("Teams Connector {connector} shows no active instance that tells its calls: see InstancesHealthy."),
        ),
    }
}

fn in_use(view: &View<'_>, usage: Usage, samples: &[Sample]) -> Finding {
    let name = &view.spec.connector_name;
    let limits = &view.spec.capacity;
    let used = percent(f64::from(usage.calls), usage.capacity);
    let fail = |severity, reason, message| Finding::fail(CONDITION, "", severity, reason, message);
    let add = "add instances, each of which needs up to 20 minutes to start";
    if usage.calls >= usage.capacity {
        let message = format!("Teams Connector {name} is full, and further calls fail: {add}.");
        return fail(Severity::Critical, Reason::Saturated, message);
    }
    for (limit, severity) in [
        (limits.critical_percent, Severity::Critical),
        (limits.warn_percent, Severity::Warning),
    ] {
        if used >= f64::from(limit) {
            let message = format!("Teams Connector {name} has {limit} % of its capacity in use, or more: {add}.");
            return fail(severity, Reason::NearCapacity, message);
        }
    }
    let limit = limits.warn_percent;
    if predicted(samples, view.now).is_some_and(|calls| percent(calls, usage.capacity) >= f64::from(limit)) {
        let message = format!(
            "At its present growth, Teams Connector {name} will have {limit} % of its capacity in use within 20 minutes: {add}."
        );
        return fail(Severity::Warning, Reason::NearCapacity, message);
    }
    Finding::pass(CONDITION, "", format!("Teams Connector {name} can take more calls."))
}

fn percent(calls: f64, capacity: i32) -> f64 {
    100.0 * calls / f64::from(capacity.max(1))
}

/// Calls in twenty minutes, by the straight line that fits the samples best. `None` when they are too few, or do not grow.
fn predicted(samples: &[Sample], now: Timestamp) -> Option<f64> {
    let age = |sample: &Sample| now.duration_since(sample.at);
    let recent: Vec<(f64, f64)> = samples
        .iter()
        .filter(|sample| (SignedDuration::ZERO..=WINDOW).contains(&age(sample)))
        .map(|sample| (-age(sample).as_secs_f64(), f64::from(sample.calls)))
        .collect();
    let (fewest, shortest) = FEWEST;
    let (first, last) = (recent.first()?, recent.last()?);
    if recent.len() < fewest || last.0 - first.0 < shortest.as_secs_f64() {
        return None;
    }
    let count = f64::from(u32::try_from(recent.len()).ok()?);
    let mean = |of: fn(&(f64, f64)) -> f64| recent.iter().map(of).sum::<f64>() / count;
    let (time, calls) = (mean(|point| point.0), mean(|point| point.1));
    let over: f64 = recent.iter().map(|point| (point.0 - time) * (point.1 - calls)).sum();
    let under: f64 = recent.iter().map(|point| (point.0 - time).powi(2)).sum();
    let slope = over / under;
    (slope > 0.0).then(|| calls + slope * (AHEAD.as_secs_f64() - time))
}

/// Calls that failed while the connector was full.
fn lost_calls(view: &View<'_>, samples: &[Sample], calls: &[CallRecord]) -> Option<Finding> {
    let refused = calls
        .iter()
        .filter(|call| matches!(call.end, CallEnd::DialOutFailed | CallEnd::Rejected));
    let while_full = |call: &CallRecord| {
        let near = |sample: &Sample| call.ended.duration_since(sample.at).abs() <= SAME_MINUTE;
        samples.iter().any(|sample| sample.is_full() && near(sample))
    };
    refused.into_iter().any(while_full).then(|| {
        let message = format!(
            "Calls failed within a minute of Teams Connector {} being full: add instances, or schedule them before busy hours.",
            view.spec.connector_name
        );
        Finding::fail(CONDITION, "calls", Severity::Warning, Reason::Saturated, message)
    })
}

fn judge_licences(limits: &CapacityLimits, licences: Licences) -> Vec<Finding> {
    let kinds = [
        ("Teams", licences.teams_used, licences.teams_total),
        ("port", licences.ports_used, licences.ports_total),
    ];
    let found = kinds.into_iter().filter_map(|(kind, used, total)| {
        let (used, total) = (used?, total.filter(|total| *total > 0)?);
        let subject = format!("{kind} licences");
        let fail = |severity, reason, message| Some(Finding::fail(CONDITION, &subject, severity, reason, message));
        if used >= total {
            let message = format!(
                "All {kind} licences are in use, and further calls fail: a call through the connector takes a Teams licence and two port licences; buy more, or end calls."
            );
            return fail(Severity::Critical, Reason::LicencesExhausted, message);
        }
        let limit = limits.critical_percent;
        if percent(f64::from(used), total) >= f64::from(limit) {
            let message = format!("{limit} % of the {kind} licences are in use, or more: buy more before they are exhausted.");
            return fail(Severity::Warning, Reason::NearCapacity, message);
        }
        None
    });
    found.collect()
}
