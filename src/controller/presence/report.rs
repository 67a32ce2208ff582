//! The status of an object, and when to look at it again.

use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::events::EventType;

use super::act::Outcome;
use super::observe::View;
use super::plan::Plan;
use super::verdicts;
use crate::api::condition::{self, ConditionType, Reason, Standing, Verdict};
use crate::api::presence::{EndpointStatus, PresenceSync, PresenceSyncStatus, ShardStatus, Unmatched};
use crate::api::presence_report::{Phase, WorkerReport};
use crate::api::receiver::NotificationReceiver;
use crate::controller::apply;
use crate::controller::context::Context;
use crate::controller::news::turned_bad;
use crate::controller::reconcile::{Action, Error};

#[cfg(test)]
mod tests;

/// How often a worker is asked how it fares.
const LOOK_PERIOD: Duration = Duration::from_secs(20);
/// What is being taken back is asked for again this soon.
const RELEASE_PERIOD: Duration = Duration::from_secs(5);
/// Longest lists and texts that the schema admits.
const UNMATCHED: usize = 10;
const ENTRIES: usize = 64;
const SHORT_TEXT: usize = 256;
const LONG_TEXT: usize = 512;
/// Conditions that speak of the work. Without a worker they say nothing.
const OF_THE_WORK: [ConditionType; 9] = [
    ConditionType::Available,
    ConditionType::PbxConnected,
    ConditionType::Authenticated,
    ConditionType::PresenceSubscribed,
    ConditionType::UsersMatched,
    ConditionType::LicencesValid,
    ConditionType::NotificationUrlReachable,
    ConditionType::ClockSynchronized,
    ConditionType::ShardsReady,
];

/// What the status is made of.
pub struct Findings<'a> {
    /// What was decided.
    pub plan: &'a Plan,
    /// What came of it.
    pub outcome: &'a Outcome,
    /// Pods that are ready.
    pub ready: i32,
    /// What the worker says; none while none is wanted.
    pub worker: Option<&'a Result<WorkerReport, String>>,
    /// The receiver, with push.
    pub receiver: Option<&'a NotificationReceiver>,
}

/// Writes the status, tells of what went wrong, and says when to look again.
pub async fn report(context: &Context, view: &View, plan: &Plan, outcome: Outcome) -> Result<Action, Error> {
    if outcome == Outcome::Gone {
        return Ok(Action::await_change());
    }
    let object = &*view.object;
    let findings = Findings {
        plan,
        outcome: &outcome,
        ready: view.ready(),
        worker: view.worker.as_ref(),
        receiver: view.receiver.as_deref(),
    };
    let old = object.status.clone().unwrap_or_default();
    let mut next = next_status(object, &findings, view.now);
    next.last_handled_reconcile_at = view.asked.clone().or(next.last_handled_reconcile_at);
    apply::status(&context.client, object, object.status.as_ref(), &next, false).await?;
    warn(context, object, &old, &next);
    Ok(again(context, plan, &outcome))
}

/// The status for what was found out.
pub fn next_status(object: &PresenceSync, findings: &Findings, now: Timestamp) -> PresenceSyncStatus {
    let mut next = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    next.observed_generation = generation.unwrap_or(0);
    let (standing, reason, message) = standing(findings);
    condition::set_standing(&mut next.conditions, standing, reason, &message, generation, now);
    let verdicts = if matches!(findings.plan, Plan::Rest { .. }) {
        Vec::new()
    } else {
        verdicts::all(object, findings)
    };
    for type_ in OF_THE_WORK {
        match verdicts.iter().find(|verdict| verdict.type_ == type_) {
            Some(verdict) => condition::set(&mut next.conditions, verdict, generation, now),
            None => condition::clear(&mut next.conditions, type_),
        }
    }
    if let Some(Ok(report)) = findings.worker {
        take_over(&mut next, report);
    } else {
        // What was last known of the users is better than nothing; connections are not.
        (next.endpoints, next.shards) = (Vec::new(), Vec::new());
    }
    next
}

fn standing(findings: &Findings) -> (Standing, Reason, String) {
    if let Outcome::Refused(refusal) = findings.outcome {
        let standing = if refusal.stalled {
            Standing::Stalled
        } else {
            Standing::Waiting
        };
        return (standing, refusal.reason, refusal.message.clone());
    }
    let (standing, reason, message) = match findings.plan {
        Plan::Rest { .. } => (
            Standing::Working,
            Reason::Suspended,
            "spec.suspend is true: nobody is kept in step",
        ),
        Plan::Restart => (Standing::Waiting, Reason::Progressing, "the worker is started anew"),
        Plan::Wait { why } => {
            let message = format!("the worker is taking back what it wrote: {why}");
            return (Standing::Waiting, Reason::Releasing, message);
        }
        Plan::Release => (
            Standing::Waiting,
            Reason::Releasing,
            "the worker is taking back what it wrote",
        ),
        Plan::Run | Plan::Refuse(_) | Plan::LetGo { .. } => {
            (Standing::Working, Reason::Accepted, "the spec is accepted")
        }
    };
    (standing, reason, message.to_owned())
}

/// What the worker counts and lists, within the bounds of the schema.
fn take_over(next: &mut PresenceSyncStatus, report: &WorkerReport) {
    // Before its first look, none is matched and none is not.
    if report.phase == Phase::Running {
        next.users = Some(report.users);
        let unmatched = report.unmatched.iter().take(UNMATCHED);
        next.unmatched = unmatched
            .map(|user| Unmatched {
                user: cut(&user.user, SHORT_TEXT),
                why: cut(&user.why, SHORT_TEXT),
            })
            .collect();
    }
    let endpoints = report.endpoints.iter().take(ENTRIES).map(|endpoint| &endpoint.status);
    next.endpoints = endpoints
        .map(|endpoint| EndpointStatus {
            name: cut(&endpoint.name, LONG_TEXT),
            connected: endpoint.connected,
            message: endpoint.message.as_deref().map(|message| cut(message, LONG_TEXT)),
        })
        .collect();
    let shards = report.accounts.iter().take(ENTRIES).map(|account| &account.shard);
    next.shards = shards
        .map(|shard| ShardStatus {
            expiration_time: shard.expiration_time.as_ref().map(|at| condition::time(at.0)),
            ..shard.clone()
        })
        .collect();
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// Warns of what newly went wrong. A worker that is not up yet is not worth a warning.
fn warn(context: &Context, object: &PresenceSync, old: &PresenceSyncStatus, next: &PresenceSyncStatus) {
    let was_up = condition::is_true(&old.conditions, ConditionType::Available);
    for (after, reason) in turned_bad(&old.conditions, &next.conditions) {
        let starting = matches!(
            reason,
            Reason::PodsNotReady | Reason::WorkerNotAnswering | Reason::Progressing
        );
        if reason != Reason::Releasing && (was_up || !starting) {
            let note = format!("{}: {}", after.type_, after.message);
            context.event(object, EventType::Warning, reason, &note);
        }
    }
}

fn again(context: &Context, plan: &Plan, outcome: &Outcome) -> Action {
    let period = match (plan, outcome) {
        (Plan::Rest { .. }, _) => return Action::await_change(),
        (Plan::Wait { .. } | Plan::Release | Plan::Restart, _) => RELEASE_PERIOD,
        _ => LOOK_PERIOD,
    };
    Action::requeue(
        period
            .min(context.settings.interval)
            .mul_f64(0.9 + 0.2 * fastrand::f64()),
    )
}

/// A verdict that speaks of nothing that was seen.
pub fn unseen(type_: ConditionType, message: impl Into<String>) -> Verdict {
    Verdict::new(type_, condition::Truth::Unknown, Reason::NotObserved, message)
}
