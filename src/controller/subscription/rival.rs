//! Two objects for one subscription: which has the better right.

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::FINALIZER;
use crate::api::condition::{self, ConditionType, Reason};
use crate::api::reference::ObjectRef;
use crate::api::subscription::GraphSubscription;
use crate::controller::apply;
use crate::controller::context::{Context, find, reference_to};
use crate::controller::index::Group;
use crate::policy::subscription::AppView;
use crate::policy::subscription::pending::create_is_pending;

/// Another object for the same app, resource and change types that has better right: one that holds a subscription before one
/// that does not, then the older, then by name.
pub fn rival(context: &Context, object: &GraphSubscription, app: &AppView, now: Timestamp) -> Option<String> {
    context
        .stores
        .index
        .of(&Group::watched_by(object))
        .iter()
        .filter(|other| other.metadata.uid != object.metadata.uid)
        .filter(|other| context.apps.is(&other.tenant(), &app.fingerprint))
        .filter(|other| holds(other, now) || signs_in(context, &other.tenant()))
        .filter(|other| goes_before(other, object, now))
        .map(|other| reference_to(&**other).to_string())
        .min()
}

/// Ids of a tenant and an app are no secret: who only copied them must not stand in the owner's way.
fn signs_in(context: &Context, tenant: &ObjectRef) -> bool {
    let tenant = find(&context.stores.tenants, tenant);
    let status = tenant.as_ref().and_then(|tenant| tenant.status.as_ref());
    status.is_some_and(|status| condition::is_true(&status.conditions, ConditionType::Authenticated))
}

fn goes_before(other: &GraphSubscription, object: &GraphSubscription, now: Timestamp) -> bool {
    (holds(other, now) || strives(other)) && rank(other, now) < rank(object, now)
}

fn rank(object: &GraphSubscription, now: Timestamp) -> (bool, Option<Timestamp>, String, String) {
    let created = object.metadata.creation_timestamp.as_ref().map(|at| at.0);
    (
        !holds(object, now),
        created,
        object.namespace().unwrap_or_default(),
        object.name_any(),
    )
}

/// Whether it has the subscription that its spec asks for, or a create under way that may have made it. One for another
/// resource, held until the spec was changed, gives no right to this one.
fn holds(object: &GraphSubscription, now: Timestamp) -> bool {
    let held = apply::has_finalizer(object, FINALIZER);
    let has_it = object.status.as_ref().is_some_and(|status| {
        let alive = status.subscription_id.is_some() && status.expiration_time.as_ref().is_none_or(|at| at.0 > now);
        let same = status.applied.as_ref().is_none_or(|applied| {
            applied.resource == object.spec.resource && applied.change_type == object.spec.graph_change_type()
        });
        alive && same
    });
    has_it || create_is_pending(held, object.status.as_ref())
}

/// Whether it will make a subscription once it can. One that does not must not stand in the way of one that would.
fn strives(object: &GraphSubscription) -> bool {
    let conditions = object.status.as_ref().map(|status| status.conditions.as_slice());
    let refused = conditions
        .and_then(|conditions| condition::find(conditions, ConditionType::Subscribed))
        .and_then(|subscribed| Reason::from_name(&subscribed.reason));
    let hopeless = matches!(
        refused,
        Some(Reason::NamespaceNotAllowed | Reason::ReceiverNotFound | Reason::SecretNotFound)
    );
    !object.spec.suspend && object.metadata.deletion_timestamp.is_none() && !hopeless
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(name: &str, created: &str, status: &Value) -> GraphSubscription {
        serde_json::from_value(json!({
            "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription",
            "metadata": { "name": name, "namespace": "n", "uid": name, "creationTimestamp": created },
            "spec": {
                "tenantRef": { "name": "t" }, "receiverRef": { "name": "r" },
                "resource": "users", "changeTypes": ["Updated"],
            },
            "status": status,
        }))
        .unwrap()
    }

    fn now() -> Timestamp {
        "2026-03-01T00:00:00Z".parse().unwrap()
    }

    fn holding(resource: &str) -> Value {
        json!({
            "subscriptionId": "s", "applied": {
                "resource": resource, "changeType": "updated", "app": "a", "notificationUrl": "n", "lifecycleUrl": "l",
                "clientState": "c", "lifetimeMinutes": 60,
            },
        })
    }

    fn refused(reason: &str) -> Value {
        json!({ "conditions": [{
            "type": "Subscribed", "status": "False", "reason": reason, "message": "m",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }] })
    }

    #[test]
    fn who_holds_goes_first_then_the_older() {
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
        let nothing = json!({});
        let pending = json!({ "createPendingSince": early });
        let cases = [
            ("the older", &nothing, &nothing, true, false),
            ("the holder", &nothing, &holding("users"), false, true),
            ("both hold", &holding("users"), &holding("users"), true, false),
            // The older one's spec was changed to what the younger one watches.
            ("holds another", &holding("groups"), &holding("users"), false, true),
            ("may have made it", &nothing, &pending, false, true),
            (
                "may not use the tenant",
                &refused("NamespaceNotAllowed"),
                &nothing,
                false,
                false,
            ),
            ("lacks consent", &refused("PermissionMissing"), &nothing, true, false),
        ];
        for (name, older, younger, older_first, younger_first) in cases {
            let (older, younger) = (object("a", early, older), object("b", late, younger));
            assert_eq!(goes_before(&older, &younger, now()), older_first, "{name}");
            assert_eq!(goes_before(&younger, &older, now()), younger_first, "{name}");
        }
    }

    #[test]
    fn one_that_is_held_and_has_no_status_may_have_made_it() {
        let older = object("a", "2026-01-01T00:00:00Z", &Value::Null);
        let mut younger = object("b", "2026-02-01T00:00:00Z", &Value::Null);
        assert!(!goes_before(&younger, &older, now()));
        younger.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        assert!(goes_before(&younger, &older, now()));
    }

    #[test]
    fn one_that_sleeps_or_goes_is_in_nobodys_way() {
        let late = object("b", "2026-02-01T00:00:00Z", &json!({}));
        let mut sleeps = object("a", "2026-01-01T00:00:00Z", &json!({}));
        sleeps.spec.suspend = true;
        assert!(!goes_before(&sleeps, &late, now()));
        sleeps.status = object("a", "2026-01-01T00:00:00Z", &holding("users")).status;
        assert!(goes_before(&sleeps, &late, now()), "Graph would refuse a second one");
        sleeps.status.as_mut().unwrap().expiration_time = Some(condition::time(now()));
        assert!(!goes_before(&sleeps, &late, now()), "it has expired");
    }
}
