//! Carrying a plan out at Graph. No create can leak or double: finalizer, pending mark, create, record, in this order. Of an
//! object that has no status yet, the finalizer is the mark.

use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

use super::observe::View;
use super::{gaps, look_up};
use crate::api::FINALIZER;
use crate::api::condition::{Reason, time};
use crate::api::subscription::GraphSubscriptionStatus;
use crate::controller::apply;
use crate::controller::context::Context;
use crate::controller::reconcile::Error;
use crate::graph::{Failure, Graph, Kind, NewSubscription, Subscription};
use crate::policy::backoff::Class;
use crate::policy::quota;
use crate::policy::renewal::{MINIMUM_SPACING, lifetime_minutes};
use crate::policy::subscription::pending::needs_mark;
use crate::policy::subscription::{Cause, Plan, Refusal, Release};

/// Urgency of a create among other calls: behind renewals that are about to be late.
pub const CREATE_URGENCY: SignedDuration = SignedDuration::from_hours(1);
/// Urgency of a delete.
const DELETE_URGENCY: SignedDuration = SignedDuration::from_hours(2);
/// Earlier ids that a status keeps.
pub const KEPT_IDS: usize = 8;

/// What came of a plan.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing was to be done at Graph.
    Idle,
    /// There is a subscription.
    Obtained {
        /// Its id.
        id: String,
        /// When it expires, as Graph says.
        expiration: Timestamp,
        /// `Created`, `Recreated`, `Renewed` or `Adopted`.
        how: Reason,
        /// Whether it was there already, for longer than Graph tells.
        found: bool,
    },
    /// The one that was to be renewed does not exist.
    Gone,
    /// It failed.
    Failed(Failed),
    /// The remote subscription is settled; the object may go.
    Released(Release),
}

/// A failed attempt.
#[derive(Clone, Debug)]
pub struct Failed {
    /// Why, in one word.
    pub reason: Reason,
    /// When to try again.
    pub class: Class,
    /// Why, in one sentence.
    pub message: String,
    /// Whether a create that was sent before may have succeeded. Only Graph's refusal of that create says no.
    pub uncertain: bool,
    /// A longest lifetime, in minutes, learned from it.
    pub learned: Option<i64>,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        let learned = match failure.kind {
            Kind::ExpiryTooFar { maximum_minutes } => maximum_minutes,
            _ => None,
        };
        Self {
            reason: reason(&failure.kind),
            class: failure.class,
            message: failure.message,
            uncertain: true,
            learned,
        }
    }
}

impl Failed {
    /// A create that failed.
    fn create(view: &View, mut failure: Failure) -> Self {
        let explained = (failure.kind == Kind::QuotaExceeded)
            .then(|| quota::explain(&view.object.spec.resource))
            .flatten();
        if let Some(explained) = explained {
            failure.message = format!("{} {explained}", failure.message);
        }
        Self {
            uncertain: matches!(failure.kind, Kind::Unavailable | Kind::Protocol),
            ..failure.into()
        }
    }
}

impl From<&Refusal> for Failed {
    fn from(refusal: &Refusal) -> Self {
        let class = if refusal.stalled {
            Class::Invalid
        } else {
            Class::RetrySlowly
        };
        Self {
            reason: refusal.reason,
            class,
            message: refusal.message.clone(),
            uncertain: true,
            learned: None,
        }
    }
}

/// A kind of failure in the vocabulary of conditions.
pub fn reason(kind: &Kind) -> Reason {
    match kind {
        Kind::CredentialsRejected | Kind::MfaRequired | Kind::PasswordExpired | Kind::Unauthorized => {
            Reason::CredentialsRejected
        }
        Kind::CredentialsMalformed => Reason::CredentialsMalformed,
        Kind::CertificateExpired => Reason::CertificateExpired,
        Kind::UnknownTenant => Reason::UnknownTenant,
        Kind::UnknownApplication => Reason::UnknownApplication,
        Kind::ConsentMissing => Reason::Forbidden,
        Kind::NotFound | Kind::Rejected => Reason::RejectedByGraph,
        Kind::Duplicate { .. } | Kind::Limited => Reason::Conflict,
        Kind::ExpiryTooFar { .. } => Reason::LifetimeLimited,
        Kind::EndpointValidation => Reason::EndpointValidationFailed,
        Kind::QuotaExceeded => Reason::QuotaExceeded,
        Kind::Throttled => Reason::Throttled,
        Kind::Unavailable | Kind::Protocol | Kind::ResyncRequired => Reason::GraphUnavailable,
    }
}

/// Carries a plan out.
pub async fn act(context: &Context, view: &mut View, plan: &Plan) -> Result<Outcome, Error> {
    let graph = view.app.as_ref().ok().map(|(graph, _)| graph.clone());
    let Some(graph) = graph else {
        return Ok(match plan {
            Plan::Release(release) => Outcome::Released(release.clone()),
            _ => Outcome::Idle,
        });
    };
    match plan {
        Plan::Refuse(_) | Plan::Suspend | Plan::BackOff { .. } | Plan::LookUp | Plan::Keep { .. } => Ok(Outcome::Idle),
        Plan::Adopt(remote) => {
            hold(context, view).await?;
            Ok(Outcome::Obtained {
                id: remote.id.clone(),
                expiration: remote.expiration,
                how: Reason::Adopted,
                found: true,
            })
        }
        Plan::Create { minutes, cause } => {
            let how = if *cause == Cause::First {
                Reason::Created
            } else {
                Reason::Recreated
            };
            let held_just_now = hold(context, view).await?;
            forget_current(&mut view.status);
            mark_pending(context, view, plan, held_just_now).await?;
            Ok(create(view, &graph, *minutes, how).await)
        }
        Plan::Replace { id, minutes, .. } => {
            let held_just_now = hold(context, view).await?;
            // Before the delete too: what happens in between is found again by a look at Graph's list.
            mark_pending(context, view, plan, held_just_now).await?;
            match graph.delete(id, view.now + CREATE_URGENCY).await {
                Ok(()) => {
                    forget_current(&mut view.status);
                    Ok(create(view, &graph, *minutes, Reason::Recreated).await)
                }
                Err(failure) => Ok(Outcome::Failed(failure.into())),
            }
        }
        Plan::Renew { id, minutes, move_url } => {
            // A renewal that went through before need not have moved the address.
            let renewed = if !move_url && may_be_renewed(context, view) {
                renewed_before(view, &graph, id).await
            } else {
                None
            };
            Ok(match renewed {
                Some(outcome) => outcome,
                None => renew(view, &graph, id, *minutes, *move_url).await,
            })
        }
        Plan::Release(Release::Delete { id }) => match graph.delete(id, view.now + DELETE_URGENCY).await {
            Ok(()) => Ok(Outcome::Released(Release::Delete { id: id.clone() })),
            Err(failure) => Ok(Outcome::Failed(failure.into())),
        },
        Plan::Release(release) => Ok(Outcome::Released(release.clone())),
    }
}

/// From here on a deletion of the object waits for the remote subscription to be settled. `true` when it did not before.
async fn hold(context: &Context, view: &mut View) -> Result<bool, Error> {
    let Some(held) = apply::add_finalizer(&context.client, &*view.object, FINALIZER).await? else {
        return Ok(false);
    };
    view.object = Arc::new(held);
    context.written.put(view.object.clone());
    Ok(true)
}

async fn create(view: &mut View, graph: &Graph, minutes: i64, how: Reason) -> Outcome {
    match send_create(view, graph, minutes).await {
        Ok(made) => obtained(made, how),
        Err(Failure {
            kind: Kind::Duplicate { existing },
            class,
            message,
        }) => adopt_duplicate(view, graph, existing.as_deref(), minutes, class, message).await,
        // Said once what is allowed, there is no reason to wait.
        Err(Failure {
            kind: Kind::ExpiryTooFar {
                maximum_minutes: Some(maximum),
            },
            ..
        }) if maximum < minutes => match send_create(view, graph, lifetime_minutes(None, maximum, None)).await {
            Ok(made) => {
                view.status.learned_maximum_minutes = Some(maximum);
                obtained(made, how)
            }
            Err(failure) => Outcome::Failed(Failed {
                learned: Some(maximum),
                ..Failed::create(view, failure)
            }),
        },
        Err(failure) => Outcome::Failed(Failed::create(view, failure)),
    }
}

fn obtained(made: Subscription, how: Reason) -> Outcome {
    Outcome::Obtained {
        id: made.id,
        expiration: made.expiration,
        how,
        found: false,
    }
}

fn found(there: Subscription, how: Reason) -> Outcome {
    Outcome::Obtained {
        id: there.id,
        expiration: there.expiration,
        how,
        found: true,
    }
}

/// Written before anything is sent, and only if nobody wrote the object since it was read. After a crash, the mark says that
/// the list is to be searched first; what is missed meanwhile is on record.
async fn mark_pending(context: &Context, view: &mut View, plan: &Plan, held_just_now: bool) -> Result<(), Error> {
    let old = view.object.status.clone();
    if let Some(gap) = gaps::opened_by(plan) {
        gaps::open(&mut view.status, gap);
    }
    view.status.create_pending_since = Some(time(view.now));
    if !needs_mark(held_just_now, old.as_ref()) {
        return Ok(());
    }
    if let Some(marked) = apply::status(&context.client, &*view.object, old.as_ref(), &view.status, true).await? {
        view.object = Arc::new(marked);
        context.written.put(view.object.clone());
    }
    Ok(())
}

/// Moves the current id to the earlier ones.
pub fn forget_current(status: &mut GraphSubscriptionStatus) {
    if let Some(id) = status.subscription_id.take() {
        status.previous_ids.insert(0, id);
        status.previous_ids.truncate(KEPT_IDS);
    }
    status.expiration_time = None;
    status.renewal_time = None;
    status.applied = None;
}

async fn send_create(view: &View, graph: &Graph, minutes: i64) -> Result<Subscription, Failure> {
    let spec = &view.object.spec;
    let endpoint = view.endpoint.as_ref().map_err(|refusal| unusable(&refusal.message))?;
    let new = NewSubscription {
        resource: spec.resource.clone(),
        change_type: spec.graph_change_type(),
        notification_url: endpoint.notification_url.clone(),
        lifecycle_notification_url: Some(endpoint.lifecycle_url.clone()),
        client_state: endpoint.client_state.clone(),
        expiration: graph.now() + SignedDuration::from_mins(minutes),
        notification_query_options: spec.notification_query_options.clone(),
    };
    graph.create(&new, view.now + CREATE_URGENCY).await
}

/// The plan is made only with an endpoint, so this is not met; it must not be a panic all the same.
fn unusable(message: &str) -> Failure {
    Failure {
        kind: Kind::Rejected,
        class: Class::Retry,
        message: message.to_owned(),
    }
}

/// 409: it may be ours, made by a create whose answer was lost.
async fn adopt_duplicate(
    view: &View,
    graph: &Graph,
    existing: Option<&str>,
    minutes: i64,
    class: Class,
    message: String,
) -> Outcome {
    let listed = match existing {
        Some(id) => graph.get(id, view.now + CREATE_URGENCY).await.map(|there| vec![there]),
        None => graph
            .list(std::time::Duration::ZERO, view.now + CREATE_URGENCY)
            .await
            .map(|list| list.to_vec()),
    };
    let (listed, endpoint) = match (listed, &view.endpoint) {
        (Ok(listed), Ok(endpoint)) => (listed, endpoint),
        (Err(failure), _) => return Outcome::Failed(failure.into()),
        (_, Err(refusal)) => return Outcome::Failed(refusal.into()),
    };
    let ours = listed.into_iter().find(|one| look_up::is_ours(view, endpoint, one));
    let Some(ours) = ours else {
        return Outcome::Failed(Failed {
            reason: Reason::Conflict,
            class,
            message: format!(
                "{message}; it delivers to another address and is left alone: delete it, or use another app"
            ),
            uncertain: false,
            learned: None,
        });
    };
    let known = look_up::remote_view(view, endpoint, &ours);
    if known.matches && known.expiration > view.now {
        return found(ours, Reason::Adopted);
    }
    // Made with an earlier key or address, or expired: in the way, and of no use.
    match graph.delete(&ours.id, view.now + CREATE_URGENCY).await {
        Ok(()) => match send_create(view, graph, minutes).await {
            Ok(made) => obtained(made, Reason::Recreated),
            Err(failure) => Outcome::Failed(Failed::create(view, failure)),
        },
        Err(failure) => Outcome::Failed(failure.into()),
    }
}

async fn renew(view: &View, graph: &Graph, id: &str, minutes: i64, move_url: bool) -> Outcome {
    let deadline = view.status.expiration_time.as_ref().map_or(view.now, |at| at.0);
    let expiration = graph.now() + SignedDuration::from_mins(minutes);
    let url = view
        .endpoint
        .as_ref()
        .ok()
        .filter(|_| move_url)
        .map(|endpoint| &endpoint.notification_url);
    match graph.renew(id, expiration, url, deadline).await {
        Ok(renewed) => obtained(renewed, Reason::Renewed),
        Err(failure) if failure.kind == Kind::NotFound => Outcome::Gone,
        Err(failure) => Outcome::Failed(failure.into()),
    }
}

/// Whether a renewal may have gone through that the status does not know of: the answer of one of the tries got lost, its record
/// failed, or it was the leader's before.
fn may_be_renewed(context: &Context, view: &View) -> bool {
    let uid = view.object.metadata.uid.as_deref().unwrap_or_default();
    view.status.failure.is_some()
        || context.attempts.broke_off(uid)
        || context.leads_for() < MINIMUM_SPACING.unsigned_abs()
}

/// Graph wants ten minutes between two renewals, so it is asked first. Whatever expiry it has instead of the one on record came of a
/// renewal: an earlier one, too, where that on record was asked for by a clock that was ahead.
async fn renewed_before(view: &View, graph: &Graph, id: &str) -> Option<Outcome> {
    let known = view.status.expiration_time.as_ref()?.0;
    match graph.get(id, known).await {
        Ok(there) if there.expiration.as_second() != known.as_second() => Some(found(there, Reason::Renewed)),
        Ok(_) => None,
        Err(failure) if failure.kind == Kind::NotFound => Some(Outcome::Gone),
        Err(failure) => Some(Outcome::Failed(failure.into())),
    }
}
