//! What a deletion leads to. It always ends.

use jiff::{SignedDuration, Timestamp};

use super::{Plan, Release, Remote, Situation};
use crate::api::condition::Reason;
use crate::api::subscription::DeletionPolicy;

/// How long a deletion is tried before the remote subscription is left to lapse by itself.
pub const DELETION_PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// Whether what has this reason ends by waiting alone. A new leader has looked at no tenant yet.
fn passes(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Throttled | Reason::GraphUnavailable | Reason::TenantNotReady
    )
}

/// What becomes of the remote subscription of an object that is deleted.
pub fn plan(situation: &Situation, deleted_at: Timestamp) -> Plan {
    let status = situation.status;
    if situation.spec.deletion_policy == DeletionPolicy::Orphan {
        return Plan::Release(Release::Orphan);
    }
    let expired = status.expiration_time.as_ref().is_some_and(|at| at.0 <= situation.now);
    let uncertain = status.create_pending_since.is_some();
    if !uncertain && (status.subscription_id.is_none() || expired) {
        return Plan::Release(Release::Nothing);
    }
    // What failed before, a renewal for instance, says nothing about a delete. A deletion makes a new generation.
    let failure = status
        .failure
        .as_ref()
        .filter(|_| status.observed_generation == situation.generation);
    // Nobody mends a Secret or a tenant in a namespace that goes away.
    let refused = situation
        .app
        .as_ref()
        .err()
        .is_some_and(|refusal| !passes(refusal.reason));
    let failed = failure.and_then(|failure| Reason::from_name(&failure.reason));
    let hopeless = refused || failed.is_some_and(|reason| !passes(reason));
    let out_of_time = situation.namespace_terminating && hopeless || situation.now >= deleted_at + DELETION_PATIENCE;
    let trouble = match &situation.app {
        Err(refusal) => Some(refusal.message.clone()),
        Ok(_) => failure.map(|failure| format!("the last attempt failed: {}", failure.reason)),
    };
    if let (true, Some(message)) = (out_of_time, trouble) {
        return Plan::Release(Release::Abandon { message });
    }
    if let Err(refusal) = &situation.app {
        return Plan::Refuse(refusal.clone());
    }
    if let Some(failure) = failure.filter(|failure| failure.not_before.0 > situation.now) {
        return Plan::BackOff {
            until: failure.not_before.0.min(deleted_at + DELETION_PATIENCE),
        };
    }
    match (&status.subscription_id, &situation.remote) {
        (_, Remote::NotAsked) if uncertain => Plan::LookUp,
        (_, Remote::Present(remote)) => Plan::Release(Release::Delete { id: remote.id.clone() }),
        (Some(id), _) => Plan::Release(Release::Delete { id: id.clone() }),
        (None, _) => Plan::Release(Release::Nothing),
    }
}
