//! `NotificationReceiver`: the pods are built, reached and listened to.

mod keyring;
mod report;
pub mod workload;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::{Api, ResourceExt};

use super::apply;
use super::context::{Context, asked, reference_to};
use super::reconcile::{Error, guard};
use crate::api::IN_USE_FINALIZER;
use crate::api::condition::{self, ConditionType, Reason};
use crate::api::receiver::{NotificationReceiver, NotificationReceiverStatus};
use crate::api::reference::ObjectRef;
use crate::policy::identity::{Channel, Keyring, path};
use crate::policy::subscription::Refusal;
use crate::probe::{Problem, handshake};

/// A good handshake is believed for this long.
const HANDSHAKE_AGE: Duration = Duration::from_secs(120);
/// What is wrong is looked at again this soon.
const TROUBLE_PERIOD: Duration = Duration::from_secs(15);

/// Results of handshakes, by receiver, with the address they were made with.
#[derive(Default)]
pub struct Handshakes(Mutex<HashMap<ObjectRef, (Instant, String)>>);

/// What was found out about a receiver.
struct Findings {
    /// Why the pods cannot be built, if they cannot.
    refusal: Option<Refusal>,
    /// Pods that are ready.
    ready_replicas: i32,
    /// Id of the active key.
    key_id: Option<String>,
    /// How the handshake at the public address went; `None` while no pod is ready.
    handshake: Option<Result<(), Problem>>,
    /// Objects that deliver here, when the receiver is to be deleted.
    users: Vec<String>,
}

/// Brings one receiver to what its spec says.
pub async fn reconcile(object: Arc<NotificationReceiver>, context: Arc<Context>) -> Action {
    let work = run(object.clone(), &context);
    guard(object, &context.attempts, &context.metrics.reconciles, work).await
}

async fn run(object: Arc<NotificationReceiver>, context: &Context) -> Result<Action, Error> {
    let reference = reference_to(&*object);
    let users = if object.metadata.deletion_timestamp.is_some() {
        let users = users(context, &reference);
        let namespace = reference.namespace.as_deref().unwrap_or_default();
        if users.is_empty() || context.namespace_goes(namespace).await? {
            return let_go(context, &object, &reference).await;
        }
        users
    } else {
        Vec::new()
    };
    let object = match apply::add_finalizer(&context.client, &*object, IN_USE_FINALIZER).await? {
        Some(held) => Arc::new(held),
        None => object,
    };
    let findings = build(context, &object, &reference, users).await?;
    report(context, &object, &reference, &findings).await
}

async fn build(
    context: &Context,
    object: &NotificationReceiver,
    reference: &ObjectRef,
    users: Vec<String>,
) -> Result<Findings, Error> {
    let nothing = Findings {
        refusal: None,
        ready_replicas: 0,
        key_id: None,
        handshake: None,
        users,
    };
    if let Some(refusal) = missing_secret(context, object).await? {
        return Ok(Findings {
            refusal: Some(refusal),
            ..nothing
        });
    }
    let keyring = match keyring::ensure(&context.client, object).await? {
        Ok(keyring) => keyring,
        Err(refusal) => {
            return Ok(Findings {
                refusal: Some(refusal),
                ..nothing
            });
        }
    };
    // Without the key nothing can be decided about a subscription, and no change of an object tells that it was read.
    if context.keyrings.put(reference.clone(), keyring.clone()) {
        wake_users(context, reference);
    }
    let set = match workload::apply(&context.client, object, &context.settings).await? {
        Ok(set) => set,
        Err(refusal) => {
            return Ok(Findings {
                refusal: Some(refusal),
                ..nothing
            });
        }
    };
    let ready_replicas = ready(&set);
    let handshake = if ready_replicas > 0 {
        Some(shake_hands(context, object, reference, &keyring).await)
    } else {
        None
    };
    let key_id = keyring.active().map(|(id, _)| id.to_owned());
    Ok(Findings {
        ready_replicas,
        key_id,
        handshake,
        ..nothing
    })
}

fn ready(set: &StatefulSet) -> i32 {
    set.status
        .as_ref()
        .and_then(|status| status.ready_replicas)
        .unwrap_or(0)
}

/// Graph's handshake, done by ourselves: it tells a broken address before Graph does.
async fn shake_hands(
    context: &Context,
    object: &NotificationReceiver,
    reference: &ObjectRef,
    keyring: &Keyring,
) -> Result<(), Problem> {
    let Some((id, key)) = keyring.active() else {
        return Err(Problem::WrongPath);
    };
    let uid = object.uid().unwrap_or_default();
    let url = format!(
        "{}{}",
        object.spec.public_url.trim_end_matches('/'),
        path(id, key, Channel::Notification, &uid)
    );
    if context.handshakes.believed(reference, &url) {
        return Ok(());
    }
    handshake(&context.http, &url).await?;
    context.handshakes.succeeded(reference.clone(), url);
    Ok(())
}

impl Handshakes {
    fn believed(&self, reference: &ObjectRef, url: &str) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(reference)
            .is_some_and(|(at, with)| with == url && at.elapsed() < HANDSHAKE_AGE)
    }

    fn succeeded(&self, reference: ObjectRef, url: String) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(reference, (Instant::now(), url));
    }

    fn forget(&self, reference: &ObjectRef) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(reference);
    }
}

async fn report(
    context: &Context,
    object: &NotificationReceiver,
    reference: &ObjectRef,
    findings: &Findings,
) -> Result<Action, Error> {
    let old = object.status.clone().unwrap_or_default();
    let pods = context.observed.of(reference);
    let mut next = report::next_status(object, findings, &pods, Timestamp::now());
    next.last_handled_reconcile_at =
        asked(object, old.last_handled_reconcile_at.as_deref()).or(next.last_handled_reconcile_at);
    apply::status(&context.client, object, object.status.as_ref(), &next, false).await?;
    let reachable =
        |status: &NotificationReceiverStatus| condition::is_true(&status.conditions, ConditionType::Reachable);
    if old.ready_replicas != next.ready_replicas || old.key_id != next.key_id || reachable(&old) != reachable(&next) {
        wake_users(context, reference);
    }
    warn(context, object, &old, &next).await;
    let trouble = findings.refusal.is_some() || findings.handshake.as_ref().is_some_and(Result::is_err);
    let period = if trouble {
        TROUBLE_PERIOD
    } else {
        context.settings.interval
    };
    Ok(Action::requeue(period.mul_f64(0.9 + 0.2 * fastrand::f64())))
}

/// Warns of what newly went wrong.
async fn warn(
    context: &Context,
    object: &NotificationReceiver,
    old: &NotificationReceiverStatus,
    next: &NotificationReceiverStatus,
) {
    for (after, reason) in super::news::turned_bad(&old.conditions, &next.conditions) {
        // Pods that are not up yet are not worth a warning.
        if reason != Reason::PodsNotReady || old.ready_replicas > 0 {
            context
                .event(
                    object,
                    EventType::Warning,
                    reason,
                    &format!("{}: {}", after.type_, after.message),
                )
                .await;
        }
    }
}

async fn let_go(context: &Context, object: &NotificationReceiver, reference: &ObjectRef) -> Result<Action, Error> {
    context.keyrings.forget(reference);
    context.handshakes.forget(reference);
    apply::remove_finalizer(&context.client, object, IN_USE_FINALIZER).await?;
    Ok(Action::await_change())
}

fn users(context: &Context, reference: &ObjectRef) -> Vec<String> {
    let subscriptions = context.stores.subscriptions.state();
    let mut users: Vec<_> = subscriptions
        .iter()
        .filter(|subscription| subscription.receiver().as_ref() == Some(reference))
        .map(|subscription| reference_to(&**subscription).to_string())
        .collect();
    users.sort();
    users
}

fn wake_users(context: &Context, reference: &ObjectRef) {
    context.wake_subscriptions(|subscription| subscription.receiver().as_ref() == Some(reference));
}

/// A Secret that the pods mount and that is not there would keep them from starting without a word.
async fn missing_secret(context: &Context, object: &NotificationReceiver) -> Result<Option<Refusal>, Error> {
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    for (field, name, keys) in workload::mounted_secrets(object) {
        let Some(secret) = secrets.get_opt(&name).await? else {
            let message = format!("{field}: Secret {name} does not exist; create it");
            return Ok(Some(Refusal::waiting(Reason::SecretNotFound, message)));
        };
        let data = secret.data.unwrap_or_default();
        if let Some(key) = keys.iter().find(|key| !data.contains_key(**key)) {
            let message = format!("{field}: Secret {name} has no key {key}; add it");
            return Ok(Some(Refusal::waiting(Reason::SecretKeyMissing, message)));
        }
    }
    Ok(None)
}
