//! The status of an object, and what is told of its changes.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::runtime::events::EventType;

use super::found::Found;
use crate::api::condition::{self, ConditionType, Reason, Standing as Readiness, Truth, Verdict};
use crate::api::connector::{ConnectorType, Health, TeamsConnectorHealth, TeamsConnectorHealthStatus};
use crate::controller::apply;
use crate::controller::context::{Context, asked};
use crate::controller::news::turned_bad;
use crate::controller::reconcile::Error;
use crate::policy::connector::course::Standing;
use crate::policy::connector::diagnosis::{PEXIP_LOGS_KEPT, dated};
use crate::policy::connector::health::{Above, CONDITIONS, verdict};

/// How old the time of the last look, and what only moves with the traffic, may become in the status.
const REFRESH: SignedDuration = SignedDuration::from_mins(10);

/// What came of a turn.
pub enum Outcome {
    /// Everything was looked at, as far as it could be.
    Looked(Box<(Found, Standing)>),
    /// The user ended all probes.
    Suspended,
    /// The spec cannot work.
    Invalid(String),
}

/// Until when at the latest a status was true: its time is not written at each look.
pub fn judged_at_latest(status: &TeamsConnectorHealthStatus) -> Option<Timestamp> {
    let looked = status.last_evaluation_time.as_ref()?.0;
    looked.checked_add(REFRESH).ok()
}

/// Writes the status if it differs, and tells of changes.
pub async fn report(
    context: &Context,
    object: &TeamsConnectorHealth,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<(), Error> {
    let old = object.status.clone().unwrap_or_default();
    let next = next_status(object, outcome, now);
    let written = apply::status(&context.client, object, object.status.as_ref(), &next, false).await;
    match written {
        // It was deleted meanwhile.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        other => drop(other?),
    }
    tell(context, object, &old, &next);
    Ok(())
}

/// The status for what was found out.
pub fn next_status(object: &TeamsConnectorHealth, outcome: &Outcome, now: Timestamp) -> TeamsConnectorHealthStatus {
    let old = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    let mut next = old.clone();
    next.observed_generation = generation.unwrap_or(0);
    if let Some(request) = asked(object, old.last_handled_reconcile_at.as_deref()) {
        next.last_handled_reconcile_at = Some(request);
    }
    let (readiness, reason, message) = readiness(outcome);
    condition::set_standing(&mut next.conditions, readiness, reason, &message, generation, now);
    match outcome {
        Outcome::Looked(looked) => {
            let (found, standing) = &**looked;
            looked_at(&mut next, object, found, standing, now);
        }
        Outcome::Suspended => {
            let (healthy, health) = verdict(Above::Suspended, &[]);
            condition::set(&mut next.conditions, &healthy, generation, now);
            next.health = Some(health);
        }
        Outcome::Invalid(message) => {
            let healthy = Verdict::new(
                ConditionType::Healthy,
                Truth::Unknown,
                Reason::InsufficientEvidence,
                format!("nothing is probed: {message}"),
            );
            condition::set(&mut next.conditions, &healthy, generation, now);
            next.health = Some(Health::Unknown);
        }
    }
    settled(&old, next, now)
}

fn readiness(outcome: &Outcome) -> (Readiness, Reason, String) {
    match outcome {
        Outcome::Suspended => (
            Readiness::Working,
            Reason::Suspended,
            "spec.suspend is true: nothing is probed".to_owned(),
        ),
        Outcome::Invalid(message) => (Readiness::Stalled, Reason::InvalidSpec, message.clone()),
        Outcome::Looked(looked) => match &looked.0.refusal {
            None => (
                Readiness::Working,
                Reason::Accepted,
                "the spec is accepted, and everything in it is probed".to_owned(),
            ),
            Some(refusal) if refusal.stalled => (Readiness::Stalled, refusal.reason, refusal.message.clone()),
            Some(refusal) => (Readiness::Waiting, refusal.reason, refusal.message.clone()),
        },
    }
}

fn looked_at(
    next: &mut TeamsConnectorHealthStatus,
    object: &TeamsConnectorHealth,
    found: &Found,
    standing: &Standing,
    now: Timestamp,
) {
    let generation = object.metadata.generation;
    condition::set(&mut next.conditions, &standing.healthy, generation, now);
    for type_ in CONDITIONS {
        match standing.conditions.iter().find(|verdict| verdict.type_ == type_) {
            Some(verdict) => condition::set(&mut next.conditions, verdict, generation, now),
            None => condition::clear(&mut next.conditions, type_),
        }
    }
    next.health = Some(standing.health);
    let leaves = found
        .shown
        .certificates
        .iter()
        .filter(|certificate| certificate.role == "leaf");
    next.certificate_expiration_time = leaves
        .map(|certificate| certificate.not_after)
        .min()
        .map(condition::time);
    next.endpoints.clone_from(&found.endpoints);
    next.pexip.clone_from(&found.pexip);
    let logs_kept = (object.spec.type_ == ConnectorType::PexipInfinity).then_some(PEXIP_LOGS_KEPT);
    next.diagnoses = dated(standing.causes.clone(), &next.diagnoses, logs_kept, now);
    next.last_evaluation_time = Some(condition::time(now));
}

/// What only moves with the traffic and the clock is no reason to write, unless the last time is long ago: otherwise each object
/// would be written at each look.
fn settled(
    old: &TeamsConnectorHealthStatus,
    next: TeamsConnectorHealthStatus,
    now: Timestamp,
) -> TeamsConnectorHealthStatus {
    let due = |at: &Time| now.duration_since(at.0) >= REFRESH;
    if old.last_evaluation_time.as_ref().is_none_or(due) || still(old) != still(&next) {
        return next;
    }
    old.clone()
}

/// A status without what moves with the traffic and the clock. A name behind a load balancer has other addresses at each look.
fn still(status: &TeamsConnectorHealthStatus) -> TeamsConnectorHealthStatus {
    let mut still = status.clone();
    still.last_evaluation_time = None;
    for endpoint in &mut still.endpoints {
        endpoint.addresses.clear();
    }
    if let Some(pexip) = &mut still.pexip {
        (pexip.calls, pexip.capacity, pexip.licences_used) = (None, None, None);
    }
    still
}

/// Events for what changed. In a maintenance window failures are expected.
fn tell(
    context: &Context,
    object: &TeamsConnectorHealth,
    old: &TeamsConnectorHealthStatus,
    next: &TeamsConnectorHealthStatus,
) {
    for (type_, reason, note) in news(old, next) {
        context.event(object, type_, reason, &note);
    }
}

fn news(old: &TeamsConnectorHealthStatus, next: &TeamsConnectorHealthStatus) -> Vec<(EventType, Reason, String)> {
    let note = |condition: &Condition| format!("{}: {}", condition.type_, condition.message);
    let healthy = condition::find(&next.conditions, ConditionType::Healthy);
    let is_maintained = healthy.is_some_and(|healthy| healthy.reason == Reason::Maintenance.to_string());
    // What the verdict on the whole says, a condition says too.
    let whole = ConditionType::Healthy.to_string();
    let bad = turned_bad(&old.conditions, &next.conditions).into_iter();
    let mut news: Vec<_> = bad
        .filter(|(after, _)| after.type_ != whole && !is_maintained)
        .map(|(after, reason)| (EventType::Warning, reason, note(after)))
        .collect();
    let was_bad =
        condition::find(&old.conditions, ConditionType::Healthy).is_some_and(|before| before.status == "False");
    if let Some(healthy) = healthy.filter(|healthy| was_bad && healthy.status == "True") {
        news.push((EventType::Normal, Reason::Succeeded, note(healthy)));
    }
    news
}

#[cfg(test)]
mod tests;
