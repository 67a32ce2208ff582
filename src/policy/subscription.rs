//! What to do about one subscription: an ordered list of checks that ends in exactly one [`Plan`].

use jiff::Timestamp;

use super::identity::fingerprint;
use super::renewal::{self, MINIMUM_SPACING};
use super::resource::{self, Rule};
use crate::api::condition::{self, ConditionType, Reason};
use crate::api::subscription::{Applied, GraphSubscriptionSpec, GraphSubscriptionStatus};

pub mod pending;
mod release;
mod situation;
#[cfg(test)]
mod tests;

pub use release::DELETION_PATIENCE;
pub use situation::{
    AppView, Cause, EndpointView, Lifecycle, LifecycleEvent, Look, Plan, Refusal, Release, Remote, RemoteView,
    Situation,
};

/// Decides. Called again with [`Situation::remote`] filled after [`Plan::LookUp`].
pub fn plan(situation: &Situation) -> Plan {
    if let Some(deleted_at) = situation.deleted_at {
        return release::plan(situation, deleted_at);
    }
    if situation.spec.suspend {
        return Plan::Suspend;
    }
    let rule = resource::rule_for(&situation.spec.resource);
    if let Some(refusal) = check_spec(situation.spec, rule) {
        return Plan::Refuse(refusal);
    }
    let (app, endpoint) = match (&situation.app, &situation.endpoint) {
        (Ok(app), Ok(endpoint)) => (app, endpoint),
        (Ok(app), Err(refusal)) => return plan_without_endpoint(situation, rule, app, refusal),
        (Err(refusal), _) => return Plan::Refuse(refusal.clone()),
    };
    if let Some(rival) = &situation.rival {
        return Plan::Refuse(Refusal::waiting(
            Reason::DuplicateSubscription,
            format!(
                "GraphSubscription {rival} already watches this resource with this app; Graph admits one subscription per resource and change types"
            ),
        ));
    }
    if let Some(until) = backing_off(situation) {
        return Plan::BackOff { until };
    }
    let wanted = Wanted::new(situation, rule, app, endpoint);
    match live(situation, app) {
        Some(id) => plan_live(situation, rule, app, &wanted, id),
        None => plan_absent(situation, rule, app, &wanted),
    }
}

/// What the remote subscription shall be made with.
pub fn desired(situation: &Situation) -> Option<Applied> {
    let rule = resource::rule_for(&situation.spec.resource);
    let (app, endpoint) = (situation.app.as_ref().ok()?, situation.endpoint.as_ref().ok()?);
    Some(Wanted::new(situation, rule, app, endpoint).applied)
}

struct Wanted {
    applied: Applied,
    minutes: i64,
}

impl Wanted {
    fn new(situation: &Situation, rule: &Rule, app: &AppView, endpoint: &EndpointView) -> Self {
        let spec = situation.spec;
        let minutes = lifetime(situation, rule);
        let applied = Applied {
            resource: spec.resource.clone(),
            change_type: spec.graph_change_type(),
            app: app.fingerprint.clone(),
            notification_url: endpoint.notification_url.clone(),
            lifecycle_url: endpoint.lifecycle_url.clone(),
            client_state: endpoint.client_state.clone(),
            lifetime_minutes: minutes,
            notification_query_options: spec.notification_query_options.clone(),
        };
        Self { applied, minutes }
    }
}

/// Lifetime to ask for, in minutes.
fn lifetime(situation: &Situation, rule: &Rule) -> i64 {
    let wanted = situation.spec.lifetime.as_ref();
    let wanted = wanted.and_then(crate::api::duration::DurationText::seconds);
    let learned = situation.status.learned_maximum_minutes;
    renewal::lifetime_minutes(wanted, rule.maximum_minutes, learned)
}

/// A renewal needs no endpoint: what lives is not left to lapse while a receiver or a Secret is missing for a time. Only a
/// receiver that no longer admits this object ends it.
fn plan_without_endpoint(situation: &Situation, rule: &Rule, app: &AppView, refusal: &Refusal) -> Plan {
    let status = situation.status;
    let due = status.renewal_time.as_ref().is_some_and(|at| at.0 <= situation.now);
    let spaced = spaced_until(situation).is_none_or(|at| at <= situation.now);
    let admitted = refusal.reason != Reason::NamespaceNotAllowed && situation.rival.is_none();
    match live(situation, app) {
        Some(id) if due && spaced && admitted && backing_off(situation).is_none() => Plan::Renew {
            id: id.to_owned(),
            minutes: lifetime(situation, rule),
            move_url: false,
        },
        _ => Plan::Refuse(refusal.clone()),
    }
}

fn check_spec(spec: &GraphSubscriptionSpec, rule: &Rule) -> Option<Refusal> {
    let resource = &spec.resource;
    if !rule.app_only {
        return Some(Refusal::stalled(
            Reason::InvalidSpec,
            format!(
                "spec.resource: Graph lets only a signed-in user watch {resource}, not an app; watch another resource"
            ),
        ));
    }
    let unsupported = spec
        .change_types
        .iter()
        .find(|change| !rule.change_types.contains(change))?;
    let supported = rule
        .change_types
        .iter()
        .map(|change| format!("{change:?}"))
        .collect::<Vec<_>>()
        .join(", ");
    Some(Refusal::stalled(
        Reason::InvalidSpec,
        format!("spec.changeTypes: {unsupported:?} is not supported for {resource}; supported: {supported}"),
    ))
}

/// Until when the last failure forbids another try. A new spec, another app, permission or address, a mended endpoint, a
/// person's wish or a lifecycle event ends the wait. So does a clock that was set: what failed in the future did so by a wrong one.
fn backing_off(situation: &Situation) -> Option<Timestamp> {
    let failure = situation.status.failure.as_ref()?;
    let until = failure.not_before.0;
    let news = situation.generation != situation.status.observed_generation
        || situation.look == Look::Forced
        || situation.endpoint_recovered
        || failure.time.0 > situation.now
        || !situation.lifecycle.is_empty()
        || failure.basis.is_some() && failure.basis != basis(situation);
    (until > situation.now && !news).then_some(until)
}

/// Fingerprint of what an attempt is made with, besides the spec.
pub fn basis(situation: &Situation) -> Option<String> {
    let (app, endpoint) = (situation.app.as_ref().ok()?, situation.endpoint.as_ref().ok()?);
    let mut parts = vec![
        &app.fingerprint,
        &endpoint.notification_url,
        &endpoint.lifecycle_url,
        &endpoint.client_state,
    ];
    parts.extend(app.permissions.iter().flatten());
    Some(fingerprint(
        &parts.into_iter().map(String::as_str).collect::<Vec<_>>().join("\n"),
    ))
}

/// The id of the subscription that lives as far as we know: made by this app, not expired, not removed, not half made.
fn live<'a>(situation: &'a Situation, app: &AppView) -> Option<&'a str> {
    let status = situation.status;
    let id = status.subscription_id.as_deref()?;
    let same_app = status
        .applied
        .as_ref()
        .is_none_or(|applied| applied.app == app.fingerprint);
    let expired = status.expiration_time.as_ref().is_none_or(|at| at.0 <= situation.now);
    let pending = status.create_pending_since.is_some();
    (same_app && !expired && !pending && removed_at(situation).is_none()).then_some(id)
}

/// When the current subscription was removed by Graph, if a lifecycle event says so.
pub fn removed_at(situation: &Situation) -> Option<Timestamp> {
    situation
        .lifecycle
        .iter()
        .find(|item| item.event == LifecycleEvent::SubscriptionRemoved && concerns_current(item, situation.status))
        .map(|item| item.received)
}

/// When Graph first asked for a renewal of the current subscription since the last one.
pub fn reauthorization_asked(situation: &Situation) -> Option<Timestamp> {
    let renewed = situation.status.last_renewal_time.as_ref().map(|at| at.0);
    let asks = situation.lifecycle.iter().filter(|item| {
        item.event == LifecycleEvent::ReauthorizationRequired
            && concerns_current(item, situation.status)
            && renewed.is_none_or(|renewed| item.received > renewed)
    });
    asks.map(|item| item.received).min()
}

fn concerns_current(item: &Lifecycle, status: &GraphSubscriptionStatus) -> bool {
    item.subscription_id.is_none() || item.subscription_id == status.subscription_id
}

fn plan_absent(situation: &Situation, rule: &Rule, app: &AppView, wanted: &Wanted) -> Plan {
    match &situation.remote {
        Remote::NotAsked => Plan::LookUp,
        // Graph's list has been seen to show expired ones.
        Remote::Present(remote)
            if remote.matches && remote.expiration > situation.now && !is_outdated(situation, wanted, &remote.id) =>
        {
            Plan::Adopt(remote.clone())
        }
        _ if let Some(refusal) = no_create(situation, rule, app) => Plan::Refuse(refusal),
        Remote::Present(remote) => replace(situation, wanted, &remote.id),
        Remote::Absent if let Some(full) = &situation.full => Plan::Refuse(full.refusal()),
        Remote::Absent => Plan::Create {
            minutes: wanted.minutes,
            cause: cause(situation),
        },
    }
}

/// Whether this is the one of before, that a replacement which was cut off was to delete. What Graph shows of it may look right:
/// it never shows a client state.
fn is_outdated(situation: &Situation, wanted: &Wanted, id: &str) -> bool {
    let status = situation.status;
    let applied = status.applied.as_ref();
    status.subscription_id.as_deref() == Some(id)
        && applied.is_some_and(|applied| drift(applied, &wanted.applied) == Drift::Fixed)
}

/// Why a create would fail, as far as can be told beforehand.
fn no_create(situation: &Situation, rule: &Rule, app: &AppView) -> Option<Refusal> {
    missing_permission(rule, app).or_else(|| not_ready(situation))
}

fn missing_permission(rule: &Rule, app: &AppView) -> Option<Refusal> {
    let granted = app.permissions.as_ref()?;
    (!rule.permits(granted)).then(|| {
        Refusal::waiting(
            Reason::PermissionMissing,
            format!(
                "the app lacks the application permission {}; grant it in Entra with admin consent",
                rule.permissions.join(" or ")
            ),
        )
    })
}

fn not_ready(situation: &Situation) -> Option<Refusal> {
    let ready = situation.endpoint.as_ref().is_ok_and(|endpoint| endpoint.ready);
    (!ready).then(|| Refusal::waiting(Reason::ReceiverNotReady, "no pod of the receiver is ready yet"))
}

/// Graph refuses a create at an address that does not answer, and by then the old subscription is gone.
fn not_proven(situation: &Situation, wanted: &Applied) -> Option<Refusal> {
    let before = situation.status.applied.as_ref()?;
    let moves = (&before.notification_url, &before.lifecycle_url, &before.client_state)
        != (&wanted.notification_url, &wanted.lifecycle_url, &wanted.client_state);
    let proven = situation.endpoint.as_ref().is_ok_and(|endpoint| endpoint.proven);
    (moves && !proven).then(|| {
        Refusal::waiting(
            Reason::ReceiverNotReady,
            "the receiver's new address has not answered a handshake yet; the subscription at the old one is kept",
        )
    })
}

/// What happened to the subscription that a create is to follow.
pub fn cause(situation: &Situation) -> Cause {
    let status = situation.status;
    let last_sign = last_sign(status);
    if let Some(told) = removed_at(situation) {
        return Cause::Removed(last_sign.map_or(told, |at| told.min(at)));
    }
    match (&status.subscription_id, &status.expiration_time) {
        // It may have been removed before, and nobody could ask.
        (Some(_), Some(at)) if at.0 <= situation.now => Cause::Lapsed(last_sign.map_or(at.0, |sign| sign.min(at.0))),
        // It should still live, and the list does not have it. It went at some time after the last sign.
        (Some(_), _) => Cause::Removed(last_sign.unwrap_or(situation.now)),
        (None, _) => Cause::First,
    }
}

/// When the current subscription is known to have lived: when it was last heard of or renewed, else when it was made.
fn last_sign(status: &GraphSubscriptionStatus) -> Option<Timestamp> {
    let sign = status.last_event_time.as_ref().max(status.last_renewal_time.as_ref());
    let made = || condition::find(&status.conditions, ConditionType::Subscribed).filter(|made| made.status == "True");
    sign.or_else(|| made().map(|made| &made.last_transition_time))
        .map(|at| at.0)
}

fn plan_live(situation: &Situation, rule: &Rule, app: &AppView, wanted: &Wanted, id: &str) -> Plan {
    let status = situation.status;
    let asked = situation.look != Look::Usual;
    if asked && situation.remote == Remote::NotAsked {
        return Plan::LookUp;
    }
    if asked && situation.remote == Remote::Absent {
        return Plan::Create {
            minutes: wanted.minutes,
            cause: cause(situation),
        };
    }
    let drift = status
        .applied
        .as_ref()
        .map_or(Drift::None, |applied| drift(applied, &wanted.applied));
    // This one was asked for first, and is gone. The other was made no later than it, perhaps with a secret of before, which Graph
    // does not show.
    if let (true, Remote::Present(other)) = (asked, &situation.remote)
        && other.id != id
    {
        return match (drift, no_create(situation, rule, app)) {
            (Drift::Fixed, Some(refusal)) => Plan::Refuse(refusal),
            (Drift::Fixed, None) => replace(situation, wanted, &other.id),
            _ => plan_absent(situation, rule, app, wanted),
        };
    }
    // Without a new one to be had, the old one is kept alive: Graph holds events back for a receiver that is away for a while.
    let obstacle = (drift == Drift::Fixed)
        .then(|| no_create(situation, rule, app).or_else(|| not_proven(situation, &wanted.applied)))
        .flatten();
    if drift == Drift::Fixed && obstacle.is_none() {
        return replace(situation, wanted, id);
    }
    let due = status.renewal_time.as_ref().map_or(situation.now, |at| at.0);
    let wanted_at = if matches!(drift, Drift::None | Drift::Fixed) && reauthorization_asked(situation).is_none() {
        due
    } else {
        situation.now
    };
    let allowed_at = spaced_until(situation).map_or(wanted_at, |until| wanted_at.max(until));
    if allowed_at > situation.now {
        return obstacle.map_or(Plan::Keep { until: allowed_at }, Plan::Refuse);
    }
    Plan::Renew {
        id: id.to_owned(),
        minutes: wanted.minutes,
        move_url: drift == Drift::Url,
    }
}

/// Until when Graph wants no further renewal. A last one in the future was written by a wrong clock and holds nothing up; what would
/// expire meanwhile cannot wait.
fn spaced_until(situation: &Situation) -> Option<Timestamp> {
    let status = situation.status;
    let renewed = status.last_renewal_time.as_ref().map(|at| at.0)?;
    let until = renewed + MINIMUM_SPACING;
    let lives_on = status.expiration_time.as_ref().is_none_or(|at| at.0 > until);
    (renewed <= situation.now && lives_on).then_some(until)
}

fn replace(situation: &Situation, wanted: &Wanted, id: &str) -> Plan {
    let status = situation.status;
    let before = status.applied.as_ref();
    let cause = if before.is_none_or(|before| before.resource != wanted.applied.resource) {
        Cause::First
    } else if status.subscription_id.as_ref().is_none_or(|known| known == id) {
        Cause::Replaced(situation.now)
    } else {
        cause(situation)
    };
    Plan::Replace {
        id: id.to_owned(),
        minutes: wanted.minutes,
        cause,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Drift {
    None,
    /// Another lifetime is wanted; a renewal does it.
    Lifetime,
    /// Only the notification address differs; Graph lets it change.
    Url,
    /// Something that Graph does not let change.
    Fixed,
}

fn drift(applied: &Applied, wanted: &Applied) -> Drift {
    let changeable = Applied {
        notification_url: wanted.notification_url.clone(),
        lifetime_minutes: wanted.lifetime_minutes,
        ..applied.clone()
    };
    if changeable != *wanted {
        Drift::Fixed
    } else if applied.notification_url != wanted.notification_url {
        Drift::Url
    } else if applied.lifetime_minutes != wanted.lifetime_minutes {
        Drift::Lifetime
    } else {
        Drift::None
    }
}
