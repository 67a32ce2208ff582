//! `NotificationReceiver`: the pods are built, reached and listened to.

mod keyring;
mod report;
pub mod workload;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::events::EventType;
use kube::{Api, ResourceExt};

use super::apply;
use super::context::{Context, asked, reference_to};
use super::index::Group;
use super::observed::PodState;
use super::reconcile::{Action, Error, guard};
use super::subscription::delivery::{away, delivery};
use super::subscription::gaps;
use super::watching::wake_syncs_of_receiver;
use crate::api::condition::{self, ConditionType, Reason};
use crate::api::receiver::{NotificationReceiver, NotificationReceiverStatus};
use crate::api::reference::ObjectRef;
use crate::api::{IN_USE_FINALIZER, PRESENCE_FINALIZER};
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
    let work = Box::pin(run(object.clone(), &context));
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
    let findings = Findings {
        users,
        ..build(context, &object, &reference).await?
    };
    report(context, &object, &reference, &findings).await
}

/// Builds what the pods need and looks whether they answer. What cannot be built now leaves what was built before at work.
async fn build(context: &Context, object: &NotificationReceiver, reference: &ObjectRef) -> Result<Findings, Error> {
    let (set, keyring, refusal) = match set_up(context, object, reference).await? {
        Ok((set, keyring)) => (Some(set), Some(keyring), None),
        Err(refusal) => (
            workload::find(&context.client, object).await?,
            context.keyrings.get(reference),
            Some(refusal),
        ),
    };
    let ready_replicas = set.as_ref().map_or(0, ready);
    let handshake = match &keyring {
        Some(keyring) if ready_replicas > 0 => Some(shake_hands(context, object, reference, keyring).await),
        _ => None,
    };
    let key_id = keyring.and_then(|keyring| keyring.active().map(|(id, _)| id.to_owned()));
    Ok(Findings {
        refusal,
        ready_replicas,
        key_id,
        handshake,
        users: Vec::new(),
    })
}

async fn set_up(
    context: &Context,
    object: &NotificationReceiver,
    reference: &ObjectRef,
) -> Result<Result<(StatefulSet, Keyring), Refusal>, Error> {
    if let Some(refusal) = missing_secret(context, object).await? {
        return Ok(Err(refusal));
    }
    let keyring = match keyring::ensure(&context.client, object).await? {
        Ok(keyring) => advanced(context, object, reference, keyring),
        Err(refusal) => return Ok(Err(refusal)),
    };
    // Without the key nothing can be decided about a subscription, and no change of an object tells that it was read.
    if context.keyrings.put(reference.clone(), keyring.clone()) {
        wake_users(context, reference);
    }
    match workload::apply(&context.client, object, &context.settings).await {
        Ok(set) => Ok(set.map(|set| (set, keyring))),
        Err(kube::Error::Api(status)) if [400, 403, 422].contains(&status.code) => {
            let message = format!("the cluster refuses what the pods need: {}", status.message);
            Ok(Err(Refusal::waiting(Reason::NotBuilt, message)))
        }
        Err(error) => Err(error.into()),
    }
}

/// A new key counts from when every pod has it: a path that a pod does not know yet is refused.
fn advanced(context: &Context, object: &NotificationReceiver, reference: &ObjectRef, keyring: Keyring) -> Keyring {
    let pods = context.observed.of(reference);
    let all_told = i32::try_from(pods.len()).is_ok_and(|told| told >= object.spec.replicas);
    let has = |pod: &Result<PodState, String>, id: &str| {
        pod.as_ref()
            .is_ok_and(|pod| pod.key_ids.iter().any(|known| known == id))
    };
    let was = object.status.as_ref().and_then(|status| status.key_id.as_deref());
    keyring.advanced(|newest| all_told && pods.iter().all(|pod| has(pod, newest)), was)
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

    /// Forgets a receiver that is gone.
    pub fn forget(&self, reference: &ObjectRef) {
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
    let mut next = report::next_status(object, findings, &pods, crate::local_clock::now());
    next.last_handled_reconcile_at =
        asked(object, old.last_handled_reconcile_at.as_deref()).or(next.last_handled_reconcile_at);
    apply::status(&context.client, object, object.status.as_ref(), &next, false).await?;
    let reachable =
        |status: &NotificationReceiverStatus| condition::is_true(&status.conditions, ConditionType::Reachable);
    if old.ready_replicas != next.ready_replicas || old.key_id != next.key_id || reachable(&old) != reachable(&next) {
        wake_users(context, reference);
    }
    wake_about_gaps(context, reference);
    warn(context, object, &old, &next);
    let trouble = findings.refusal.is_some() || findings.handshake.as_ref().is_some_and(Result::is_err);
    let period = if trouble {
        TROUBLE_PERIOD
    } else {
        context.settings.interval
    };
    Ok(Action::requeue(period.mul_f64(0.9 + 0.2 * fastrand::f64())))
}

/// Warns of what newly went wrong.
fn warn(
    context: &Context,
    object: &NotificationReceiver,
    old: &NotificationReceiverStatus,
    next: &NotificationReceiverStatus,
) {
    for (after, reason) in super::news::turned_bad(&old.conditions, &next.conditions) {
        // Pods that are not up yet are not worth a warning.
        if reason != Reason::PodsNotReady || old.ready_replicas > 0 {
            context.event(
                object,
                EventType::Warning,
                reason,
                &format!("{}: {}", after.type_, after.message),
            );
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
    let subscriptions = context.stores.index.of(&Group::Receiver(reference.clone()));
    let mut users: Vec<_> = subscriptions
        .iter()
        .map(|subscription| reference_to(&**subscription).to_string())
        .collect();
    users.extend(super::presence::users(context, |sync| {
        apply::has_finalizer(sync, PRESENCE_FINALIZER) && sync.receiver().as_ref() == Some(reference)
    }));
    users.sort();
    users
}

fn wake_users(context: &Context, reference: &ObjectRef) {
    context.wake(&Group::Receiver(reference.clone()), |_| true);
    wake_syncs_of_receiver(context, reference);
}

/// Subscriptions whose record of gaps does not fit how the receiver fares.
fn wake_about_gaps(context: &Context, reference: &ObjectRef) {
    let delivery = delivery(context, reference, SignedDuration::ZERO);
    let gap = gaps::leaves_gap(&delivery, crate::local_clock::now());
    let away = away(context, reference, SignedDuration::ZERO);
    if gap.is_none() && away.is_none() {
        return;
    }
    context.wake(&Group::Receiver(reference.clone()), |subscription| {
        let status = subscription.status.as_ref();
        let Some(status) = status.filter(|status| status.subscription_id.is_some()) else {
            return false;
        };
        gap.is_some_and(|gap| gaps::has_open_of_receiver(status) != gap)
            || away.is_some_and(|away| gaps::lacks(status, subscription, away))
    });
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
