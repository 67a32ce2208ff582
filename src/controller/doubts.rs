//! Subscriptions that should live and that Graph's list lacks. The list is known to lack living ones, so each is asked for by id.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::context::Context;
use super::index::Group;
use crate::api::reference::ObjectRef;
use crate::api::subscription::GraphSubscription;
use crate::graph::{Graph, Subscription};

/// One that turned out to live is not doubted again for so long.
pub const TRUST: SignedDuration = SignedDuration::from_hours(1);
/// What was made or renewed just now may not be listed yet.
const LISTED_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// Doubts by UID of the object.
#[derive(Default)]
pub struct Doubts(Mutex<HashMap<String, Doubt>>);

#[derive(Clone, Copy)]
struct Doubt {
    since: Timestamp,
    settled: bool,
}

impl Doubts {
    /// Whether it is doubted that an object's subscription lives.
    pub fn holds(&self, uid: &str) -> bool {
        self.lock().get(uid).is_some_and(|doubt| !doubt.settled)
    }

    /// Graph was asked for it.
    pub fn settle(&self, uid: &str) {
        if let Some(doubt) = self.lock().get_mut(uid) {
            doubt.settled = true;
        }
    }

    /// Forgets an object.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// `false` when there was one just before.
    fn raise(&self, uid: &str, now: Timestamp) -> bool {
        let mut doubts = self.lock();
        // The clock may have been set back since.
        let recent = |doubt: &Doubt| doubt.since <= now && now < doubt.since + TRUST;
        if doubts.get(uid).is_some_and(recent) {
            return false;
        }
        let doubt = Doubt {
            since: now,
            settled: false,
        };
        doubts.insert(uid.to_owned(), doubt);
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Doubt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares what the objects of a tenant have with what Graph lists, and has those looked at that are not in it.
pub fn compare(context: &Context, tenant: &ObjectRef, graph: &Graph, list: &[Subscription]) {
    let now = graph.now();
    let listed: std::collections::HashSet<&str> = list.iter().map(|remote| remote.id.as_str()).collect();
    context.wake(&Group::Tenant(tenant.clone()), |object| {
        let missing = should_be_listed(object, now).is_some_and(|id| !listed.contains(id));
        missing
            && context
                .doubts
                .raise(object.metadata.uid.as_deref().unwrap_or_default(), now)
    });
}

/// The id under which an object's subscription is to be expected in a list.
fn should_be_listed(object: &GraphSubscription, now: Timestamp) -> Option<&str> {
    let status = object.status.as_ref()?;
    let lives = status.expiration_time.as_ref().is_some_and(|at| at.0 > now);
    let settled = status
        .last_renewal_time
        .as_ref()
        .is_none_or(|at| at.0 + LISTED_AFTER <= now);
    let sure = lives && settled && status.create_pending_since.is_none() && !object.spec.suspend;
    status.subscription_id.as_deref().filter(|_| sure)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_doubt_is_looked_into_once_an_hour() {
        let doubts = Doubts::default();
        assert!(doubts.raise("u", at(0)) && doubts.holds("u"));
        doubts.settle("u");
        assert!(!doubts.holds("u"));
        assert!(!doubts.raise("u", at(3599)));
        assert!(doubts.raise("u", at(3600)) && doubts.holds("u"));
        doubts.forget("u");
        assert!(!doubts.holds("u"));
    }

    #[test]
    fn what_is_new_expired_or_half_made_is_not_expected() {
        let object = |status: serde_json::Value| -> GraphSubscription {
            serde_json::from_value(json!({
                "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription", "metadata": { "name": "a" },
                "spec": { "tenantRef": { "name": "t" }, "resource": "users", "changeTypes": ["Updated"] },
                "status": status,
            }))
            .unwrap()
        };
        let with = |renewed: i64, expires: i64| json!({ "subscriptionId": "s", "lastRenewalTime": at(renewed), "expirationTime": at(expires) });
        let now = at(10_000);
        assert_eq!(should_be_listed(&object(with(0, 20_000)), now), Some("s"));
        assert_eq!(
            should_be_listed(&object(with(9_900, 20_000)), now),
            None,
            "just renewed"
        );
        assert_eq!(should_be_listed(&object(with(0, 9_999)), now), None, "expired");
        let mut pending = with(0, 20_000);
        pending["createPendingSince"] = json!(at(9_000));
        assert_eq!(should_be_listed(&object(pending), now), None);
        assert_eq!(should_be_listed(&object(json!({})), now), None);
    }
}
