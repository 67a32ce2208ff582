//! What is told about a subscription: its status, events, and when to look again.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::events::EventType;

use self::notes::{Level, notes};
use super::act::{Failed, KEPT_IDS, Outcome, forget_current};
use super::gaps;
use super::observe::{View, shifted};
use crate::api::FINALIZER;
use crate::api::condition::{self, ConditionType, Reason, Standing, Truth, Verdict, time};
use crate::api::subscription::{Failure, GraphSubscriptionStatus};
use crate::controller::apply::{self, Settled};
use crate::controller::context::{Context, wait};
use crate::controller::reconcile::{Action, Error};
use crate::policy::backoff;
use crate::policy::renewal::{found_life_began, renewal_time};
use crate::policy::subscription::{
    Plan, Refusal, Release, Remote, Situation, basis, cause, desired, reauthorization_asked, removed_at,
};

mod notes;
#[cfg(test)]
mod tests;

/// A status shows the last event's time to within this.
const EVENT_TIME_GRAIN: SignedDuration = SignedDuration::from_mins(10);
/// What waits for another object is woken by it; this is only the net below.
const SAFETY_NET: SignedDuration = SignedDuration::from_mins(5);
/// What was planned by a clock that may be wrong is looked at again this soon: the tenant's look compares the clocks, and the
/// shortest third of a lifetime is longer than both.
const UNSURE_REST: Duration = Duration::from_mins(5);

/// Writes status and events, and says when to look again.
pub async fn report(context: &Context, view: &View, plan: &Plan, outcome: Outcome) -> Result<Action, Error> {
    if let Outcome::Failed(failed) = &outcome {
        let reason = failed.reason.to_string();
        context
            .metrics
            .failures
            .with_label_values(&["GraphSubscription", &reason])
            .inc();
    }
    if let Outcome::Released(release) = &outcome {
        return let_go(context, view, release).await;
    }
    if let Outcome::Obtained {
        id, expiration, how, ..
    } = &outcome
    {
        tracing::debug!(subscription = id, %expiration, "{how}");
    }
    let uid = view.object.metadata.uid.as_deref().unwrap_or_default();
    let last_event = view
        .receiver
        .as_ref()
        .and_then(|receiver| context.observed.last_event(receiver, uid))
        .map(|at| shifted(at, view.skew))
        // By a clock that is not compared with Graph's, or was set since, it would say that what is gone lived on.
        .filter(|at| *at <= view.now && clock_is_known(view));
    let next = next_status(view, plan, &outcome, last_event, fastrand::f64());
    match apply::settle(&context.client, &*view.object, &next).await? {
        Settled::Same => {}
        Settled::Written(written) => context.written.put(Arc::new(written)),
        Settled::Overtaken(newer) => {
            if let Some(newer) = newer {
                context.written.put(Arc::new(newer));
            }
            if let Outcome::Obtained { id, how, .. } = &outcome {
                tracing::warn!(subscription = id, %how, "not recorded: another wrote the status since it was read");
            }
            return Err(Error::Overtaken);
        }
    }
    context.inbox.done(uid, &view.origins);
    context.backfills.written(uid);
    if view.remote != Remote::NotAsked {
        context.doubts.settle(uid);
    }
    for note in notes(view, &next, &outcome) {
        let type_ = if note.type_ == Level::Normal {
            EventType::Normal
        } else {
            EventType::Warning
        };
        context.event(&*view.object, type_, note.reason, &note.text);
    }
    let question = context.backfills.advance(context, view, &next, &outcome);
    let look = next_look(view, plan, &outcome, &next);
    let longest = if view.unsure {
        UNSURE_REST
    } else {
        context.settings.longest_rest
    };
    Ok(again(look.into_iter().chain(question).min(), view.now, longest))
}

fn clock_is_known(view: &View) -> bool {
    view.app.as_ref().is_ok_and(|(graph, _)| graph.skew().is_some())
}

async fn let_go(context: &Context, view: &View, release: &Release) -> Result<Action, Error> {
    let (type_, reason, text) = match release {
        Release::Delete { .. } => (
            EventType::Normal,
            Reason::Deleted,
            "The remote subscription was deleted.".to_owned(),
        ),
        Release::Nothing => (
            EventType::Normal,
            Reason::Deleted,
            "There was no remote subscription to delete.".to_owned(),
        ),
        Release::Orphan => (
            EventType::Normal,
            Reason::Orphaned,
            "The remote subscription was left, as spec.deletionPolicy says.".to_owned(),
        ),
        Release::Abandon { message } => (
            EventType::Warning,
            Reason::DeletionAbandoned,
            format!("The remote subscription could not be deleted and is left to expire by itself: {message}"),
        ),
    };
    let removed = apply::remove_finalizer(&context.client, &*view.object, FINALIZER).await?;
    if let (Release::Abandon { message }, true) = (release, removed) {
        let id = view.status.subscription_id.as_deref().unwrap_or("unknown");
        tracing::warn!(subscription = id, "left at Graph: {message}");
        let labels = ["GraphSubscription", &Reason::DeletionAbandoned.to_string()];
        context.metrics.failures.with_label_values(&labels).inc();
    }
    context.event(&*view.object, type_, reason, &text);
    let uid = view.object.metadata.uid.as_deref().unwrap_or_default();
    context.inbox.done(uid, &view.origins);
    context.backfills.forget(uid);
    context.doubts.forget(uid);
    context.written.forget(uid);
    Ok(Action::await_change())
}

fn again(at: Option<Timestamp>, now: Timestamp, longest: Duration) -> Action {
    at.map_or_else(Action::await_change, |at| Action::requeue(wait(now, at).min(longest)))
}

/// When to look again; never, where only a change helps.
fn next_look(view: &View, plan: &Plan, outcome: &Outcome, next: &GraphSubscriptionStatus) -> Option<Timestamp> {
    let expiration = next.expiration_time.as_ref().map(|at| at.0);
    let at = match (outcome, plan) {
        (Outcome::Gone, _) => Some(view.now),
        (Outcome::Failed(_), _) => next.failure.as_ref().map(|failure| failure.not_before.0),
        (Outcome::Obtained { .. }, _) => next.renewal_time.as_ref().map(|at| at.0),
        (_, Plan::Keep { until } | Plan::BackOff { until }) => Some(*until),
        (_, Plan::Refuse(refusal)) if !refusal.stalled => Some(view.now + SAFETY_NET),
        _ => None,
    };
    let expiry = expiration.filter(|at| *at > view.now);
    let silence = gaps::silence_due(next, view);
    let outage = gaps::outage_due(next, view);
    let look = at.into_iter().chain(expiry).chain(silence).chain(outage).min();
    let final_ = matches!(plan, Plan::Suspend | Plan::Refuse(_));
    look.or_else(|| (!final_).then(|| view.now + SAFETY_NET))
}

/// The status after `outcome`.
fn next_status(
    view: &View,
    plan: &Plan,
    outcome: &Outcome,
    last_event: Option<Timestamp>,
    jitter: f64,
) -> GraphSubscriptionStatus {
    let situation = view.situation();
    let mut next = view.status.clone();
    next.observed_generation = situation.generation;
    if view.asked.is_some() {
        next.last_handled_reconcile_at.clone_from(&view.asked);
    }
    if let Some(at) = last_event.filter(|at| {
        next.last_event_time
            .as_ref()
            .is_none_or(|shown| *at >= shown.0 + EVENT_TIME_GRAIN)
    }) {
        next.last_event_time = Some(time(at));
    }
    gaps::record_missed(&mut next, &situation);
    record_lapse(&mut next, &situation);
    // The create took its time, and what happened meanwhile is missing too.
    let done = view.now + SignedDuration::try_from(view.begun.elapsed()).unwrap_or_default();
    match outcome {
        Outcome::Obtained {
            id,
            expiration,
            how,
            found,
        } => {
            record_success(&mut next, &situation, id, *expiration, *how, done);
            if *found {
                record_found(&mut next, &situation, *expiration);
            }
        }
        Outcome::Failed(failed) => record_failure(&mut next, &situation, failed, jitter),
        Outcome::Idle if matches!(plan, Plan::Keep { .. }) => next.failure = None,
        Outcome::Idle | Outcome::Gone | Outcome::Released(_) => {}
    }
    if !matches!(outcome, Outcome::Obtained { .. }) {
        record_undone(&mut next, &situation, outcome);
    }
    gaps::record_delivery(&mut next, &view.delivery, view.now);
    gaps::record_away(&mut next, &view.object, view.away.filter(|_| !view.unsure));
    gaps::record_silence(&mut next, view);
    gaps::record_backfill(&mut next, view);
    gaps::strike_acknowledged(&mut next, &view.object);
    set_conditions(&mut next, &situation, plan, outcome);
    next
}

/// It expired, whatever keeps it from being made anew.
fn record_lapse(next: &mut GraphSubscriptionStatus, situation: &Situation) {
    let expired = next.expiration_time.as_ref().is_some_and(|at| at.0 <= situation.now);
    let wanted = situation.deleted_at.is_none() && !situation.spec.suspend;
    if let (true, Some(gap)) = (expired && wanted, gaps::of(cause(situation))) {
        gaps::open(next, gap);
    }
}

/// What was learned and not acted on yet, since the lifecycle events that told of it are struck off now.
fn record_undone(next: &mut GraphSubscriptionStatus, situation: &Situation, outcome: &Outcome) {
    let gone =
        matches!(outcome, Outcome::Gone) || situation.remote == Remote::Absent || removed_at(situation).is_some();
    if gone && next.subscription_id.is_some() {
        if let Some(gap) = gaps::of(cause(situation)) {
            gaps::open(next, gap);
        }
        forget_current(next);
    } else if note_asked(next, situation) {
        let due = next.renewal_time.as_ref().map_or(situation.now, |at| at.0);
        next.renewal_time = Some(time(due.min(situation.now)));
    }
}

/// Notes since when Graph has asked for a renewal, if it asks.
fn note_asked(next: &mut GraphSubscriptionStatus, situation: &Situation) -> bool {
    let asked = reauthorization_asked(situation);
    if let Some(asked) = asked {
        next.reauthorization_required_since.get_or_insert(time(asked));
    }
    asked.is_some()
}

fn record_success(
    next: &mut GraphSubscriptionStatus,
    situation: &Situation,
    id: &str,
    expiration: Timestamp,
    how: Reason,
    done: Timestamp,
) {
    let is_another = next.subscription_id.as_deref() != Some(id);
    if is_another {
        let old = next.subscription_id.replace(id.to_owned());
        next.previous_ids.splice(0..0, old);
        next.previous_ids.truncate(KEPT_IDS);
    }
    if how != Reason::Adopted {
        note_asked(next, situation);
        gaps::record_reauthorized(next, done);
    } else if is_another {
        next.reauthorization_required_since = None;
        // Nobody knows since when it lives. Where a create is pending, what began with it is on record.
        if let (true, Some(gap)) = (next.create_pending_since.is_none(), gaps::of(cause(situation))) {
            gaps::open(next, gap);
        }
    }
    gaps::close(next, done);
    next.expiration_time = Some(time(expiration));
    next.renewal_time = Some(time(renewal_time(situation.now, expiration, situation.uid)));
    if how != Reason::Adopted {
        next.last_renewal_time = Some(time(situation.now));
    }
    next.applied = desired(situation).or(next.applied.take());
    next.create_pending_since = None;
    next.failure = None;
}

/// What was there already has lived for a while, and is renewed when a third of what is wanted is left.
fn record_found(next: &mut GraphSubscriptionStatus, situation: &Situation, expiration: Timestamp) {
    let Some(applied) = &next.applied else {
        return;
    };
    let began = found_life_began(situation.now, expiration, applied.lifetime_minutes);
    next.renewal_time = Some(time(renewal_time(began, expiration, situation.uid)));
    // One whose create was not answered may be minutes old. Where it lives longer than is wanted, its age is not known.
    if began < situation.now {
        next.last_renewal_time = next.last_renewal_time.take().max(Some(time(began)));
    }
}

fn record_failure(next: &mut GraphSubscriptionStatus, situation: &Situation, failed: &Failed, jitter: f64) {
    if !failed.uncertain {
        next.create_pending_since = None;
    }
    next.learned_maximum_minutes = failed.learned.or(next.learned_maximum_minutes);
    let count = next
        .failure
        .as_ref()
        .map_or(0, |failure| failure.count)
        .saturating_add(1);
    let deadline = next.expiration_time.as_ref().map(|at| at.0);
    let delay = backoff::delay(failed.class, count, situation.now, deadline, jitter);
    let not_before = situation.now + delay.max(SignedDuration::from_secs(1));
    next.failure = Some(Failure {
        count,
        time: time(situation.now),
        not_before: time(not_before),
        reason: failed.reason.to_string(),
        basis: basis(situation),
    });
}

fn set_conditions(next: &mut GraphSubscriptionStatus, situation: &Situation, plan: &Plan, outcome: &Outcome) {
    let (generation, now) = (Some(situation.generation), situation.now);
    let (standing, reason, message) = standing(plan);
    condition::set_standing(&mut next.conditions, standing, reason, &message, generation, now);
    for verdict in [
        subscribed(next, now, plan, outcome),
        delivering(next, situation),
        gaps::gap_free(next),
    ] {
        condition::set(&mut next.conditions, &verdict, generation, now);
    }
}

/// `Ready` speaks of the spec and the objects it names; what Graph says is `Subscribed`.
fn standing(plan: &Plan) -> (Standing, Reason, String) {
    match plan {
        Plan::Refuse(refusal) if refusal.stalled => (Standing::Stalled, refusal.reason, refusal.message.clone()),
        Plan::Refuse(Refusal {
            reason:
                Reason::PermissionMissing | Reason::QuotaExceeded | Reason::ReceiverNotReady | Reason::TenantNotReady,
            ..
        }) => (Standing::Working, Reason::Accepted, "the spec is accepted".to_owned()),
        Plan::Refuse(refusal) => (Standing::Waiting, refusal.reason, refusal.message.clone()),
        Plan::Suspend => (
            Standing::Working,
            Reason::Suspended,
            "spec.suspend is true: nothing is done".to_owned(),
        ),
        _ => (Standing::Working, Reason::Accepted, "the spec is accepted".to_owned()),
    }
}

fn subscribed(next: &GraphSubscriptionStatus, now: Timestamp, plan: &Plan, outcome: &Outcome) -> Verdict {
    let alive = next.subscription_id.is_some() && next.expiration_time.as_ref().is_some_and(|at| at.0 > now);
    let trouble = match (outcome, plan) {
        (Outcome::Failed(failed), _) => Some((failed.reason, failed.message.clone())),
        (_, Plan::Refuse(refusal)) => Some((refusal.reason, refusal.message.clone())),
        (_, Plan::Suspend) => Some((Reason::Suspended, "spec.suspend is true: it is not renewed".to_owned())),
        (Outcome::Gone, _) => Some((
            Reason::Removed,
            "the subscription was removed at Graph and is created anew".to_owned(),
        )),
        (Outcome::Idle, Plan::BackOff { .. }) => None,
        _ => {
            return Verdict::new(
                ConditionType::Subscribed,
                alive,
                Reason::Succeeded,
                "the subscription is live at Graph",
            );
        }
    };
    // While a failure is waited out, what was said about it stays.
    let Some((reason, message)) = trouble else {
        let reason = next
            .failure
            .as_ref()
            .map_or(Reason::Progressing, |failure| kept_reason(&failure.reason));
        let old = condition::find(&next.conditions, ConditionType::Subscribed);
        let message = old
            .filter(|condition| condition.reason == reason.to_string())
            .map_or("the last attempt failed; the next one waits", |condition| {
                condition.message.as_str()
            })
            .to_owned();
        return Verdict::new(ConditionType::Subscribed, alive, reason, message);
    };
    Verdict::new(ConditionType::Subscribed, alive, reason, message)
}

fn kept_reason(name: &str) -> Reason {
    Reason::from_name(name).unwrap_or(Reason::Progressing)
}

fn delivering(next: &GraphSubscriptionStatus, situation: &Situation) -> Verdict {
    let (truth, reason, message) = match &next.last_event_time {
        _ if situation.spec.external_endpoint.is_some() => (
            Truth::Unknown,
            Reason::NotObserved,
            "notifications go to a webhook that the operator does not run",
        ),
        None => (Truth::Unknown, Reason::NoEventYet, "no notification has arrived yet"),
        Some(_) => (
            Truth::True,
            Reason::EventsArriving,
            "notifications have arrived; see status.lastEventTime",
        ),
    };
    Verdict::new(ConditionType::Delivering, truth, reason, message)
}
