//! Everything a decision about a subscription rests on, gathered.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, ResourceExt};
use secrecy::{ExposeSecret, SecretString};

use super::delivery::{Delivery, away, delivery};
use super::endpoint::Endpoint;
use super::rival::rival;
use crate::api::FINALIZER;
use crate::api::condition::{self, ConditionType, Reason, time};
use crate::api::receiver::NotificationReceiver;
use crate::api::reference::{AllowedNamespaces, ObjectRef};
use crate::api::subscription::{ExternalEndpoint, GraphSubscription, GraphSubscriptionStatus};
use crate::controller::apply;
use crate::controller::apps::Entry;
use crate::controller::backfill::Report;
use crate::controller::context::{Context, asked, find};
use crate::controller::inbox::Origin;
use crate::controller::reconcile::Error;
use crate::graph::Graph;
use crate::policy::backfill::Window;
use crate::policy::identity::Keyring;
use crate::policy::quota::Full;
use crate::policy::subscription::pending::create_is_pending;
use crate::policy::subscription::{AppView, Lifecycle, Look, Refusal, Remote, Situation};

/// How long a new address may fail our own handshake before Graph's is believed instead.
const PROBE_PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// Everything a decision rests on, owned.
#[allow(clippy::struct_excessive_bools)] // facts that have nothing to do with each other
pub struct View {
    /// The object, as last read or written.
    pub object: Arc<GraphSubscription>,
    /// Its status, or a fresh one.
    pub status: GraphSubscriptionStatus,
    /// Now, by Graph's clock.
    pub now: Timestamp,
    /// The app, or why it cannot be used.
    pub app: Result<(Graph, AppView), Refusal>,
    /// The endpoint, or why it cannot be used.
    pub endpoint: Result<Endpoint, Refusal>,
    /// The receiver, unless the webhook is run elsewhere.
    pub receiver: Option<ObjectRef>,
    /// Object that holds the same subscription with better right.
    pub rival: Option<String>,
    /// What Graph's list says.
    pub remote: Remote,
    /// The quota that leaves no room for a new one, as far as that list tells.
    pub full: Option<Full>,
    /// Lifecycle events and where they came from.
    pub lifecycle: Vec<Lifecycle>,
    /// Where they came from.
    pub origins: Vec<Origin>,
    /// Value of the annotation that asks for a look.
    pub asked: Option<String>,
    /// Whether Graph's list lacks what should live.
    pub doubted: bool,
    /// When deletion was asked for, by Graph's clock too.
    pub deleted_at: Option<Timestamp>,
    /// Whether the namespace is going away.
    pub namespace_terminating: bool,
    /// Whether the endpoint answers again since the last attempt failed because of it.
    pub endpoint_recovered: bool,
    /// Graph's clock minus this cluster's.
    pub skew: SignedDuration,
    /// Whether `now` may be by a clock that was set since it was last compared with Graph's.
    pub unsure: bool,
    /// When the look at it began.
    pub begun: tokio::time::Instant,
    /// Whether the receiver takes notifications.
    pub delivery: Delivery,
    /// When no pod of the receiver took notifications before they last started, by Graph's clock.
    pub away: Option<Window>,
    /// What the last question to Graph about changes gave.
    pub backfill: Option<Report>,
}

impl View {
    /// Answers since it was gathered may have shown that the local clock is wrong.
    pub fn see_clock(&mut self) {
        if let Ok((graph, _)) = &self.app {
            (self.now, self.unsure) = (graph.now(), graph.skew().is_none());
        }
        self.begun = tokio::time::Instant::now();
    }

    /// As the policy wants it.
    pub fn situation(&self) -> Situation<'_> {
        Situation {
            now: self.now,
            uid: self.object.metadata.uid.as_deref().unwrap_or_default(),
            generation: self.object.metadata.generation.unwrap_or(0),
            spec: &self.object.spec,
            status: &self.status,
            deleted_at: self.deleted_at,
            namespace_terminating: self.namespace_terminating,
            app: self.app.as_ref().map(|(_, app)| app.clone()).map_err(Clone::clone),
            endpoint: self.endpoint.as_ref().map(Endpoint::view).map_err(Clone::clone),
            endpoint_recovered: self.endpoint_recovered,
            rival: self.rival.clone(),
            remote: self.remote.clone(),
            full: self.full,
            lifecycle: &self.lifecycle,
            look: match self.asked {
                Some(_) => Look::Forced,
                None if self.doubted => Look::Doubted,
                None => Look::Usual,
            },
        }
    }
}

/// Gathers it.
pub async fn observe(context: &Context, object: Arc<GraphSubscription>) -> Result<View, Error> {
    let mut status = object.status.clone().unwrap_or_default();
    unlearn(&mut status, &object);
    forgive(&mut status, &object);
    let namespace = object.namespace().unwrap_or_default();
    let app = observe_app(context, &object, &namespace).await?;
    let receiver = object.receiver();
    let endpoint = match (&receiver, &object.spec.external_endpoint) {
        (Some(receiver), _) => observe_receiver(context, &object, &namespace, receiver).await?,
        (None, Some(external)) => observe_external(context, &namespace, external).await?,
        (None, None) => Err(Refusal::stalled(
            Reason::InvalidSpec,
            "spec: name a receiverRef or an externalEndpoint",
        )),
    };
    let uid = object.uid().unwrap_or_default();
    let (origins, mut lifecycle): (_, Vec<Lifecycle>) = context.inbox.peek(&uid).into_iter().unzip();
    let local = crate::local_clock::now();
    let now = app.as_ref().map_or(local, |(graph, _)| graph.now());
    let unsure = app.as_ref().is_ok_and(|(graph, _)| graph.skew().is_none());
    presume_pending(&mut status, &object, now);
    // Statuses are kept in Graph's time; what this cluster's clocks say is brought to it before the two are compared.
    let skew = now.duration_since(local);
    for item in &mut lifecycle {
        item.received = shifted(item.received, skew);
    }
    let delivery = receiver
        .as_ref()
        .map_or(Delivery::Unknown, |receiver| delivery(context, receiver, skew));
    let away = receiver.as_ref().and_then(|receiver| away(context, receiver, skew));
    let deletion = object.metadata.deletion_timestamp.as_ref();
    let deleted_at = deletion.map(|at| shifted(at.0, skew));
    let backfill = context.backfills.peek(&uid, &object);
    Ok(View {
        now,
        deleted_at,
        rival: app.as_ref().ok().and_then(|(_, app)| rival(context, &object, app, now)),
        namespace_terminating: deleted_at.is_some() && context.namespace_goes(&namespace).await?,
        endpoint_recovered: receiver
            .as_ref()
            .is_some_and(|receiver| recovered(context, receiver, &status, skew)),
        asked: asked(&*object, status.last_handled_reconcile_at.as_deref()),
        remote: Remote::NotAsked,
        full: None,
        object,
        status,
        app,
        endpoint,
        receiver,
        lifecycle,
        origins,
        skew,
        unsure,
        delivery,
        away,
        backfill,
        begun: tokio::time::Instant::now(),
        doubted: context.doubts.holds(&uid),
    })
}

/// A time of this cluster's clocks, by Graph's.
pub fn shifted(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

/// What was learned about one resource does not hold for another.
fn unlearn(status: &mut GraphSubscriptionStatus, object: &GraphSubscription) {
    let other = match &status.applied {
        Some(applied) => applied.resource != object.spec.resource,
        None => Some(status.observed_generation) != object.metadata.generation,
    };
    if other {
        status.learned_maximum_minutes = None;
    }
}

/// Before there is a status, the finalizer is the mark.
pub fn presume_pending(status: &mut GraphSubscriptionStatus, object: &GraphSubscription, now: Timestamp) {
    let held = apply::has_finalizer(object, FINALIZER);
    if create_is_pending(held, object.status.as_ref()) {
        status.create_pending_since.get_or_insert_with(|| time(now));
    }
}

/// What failed before a deletion, a renewal for instance, says nothing about the delete.
pub fn forgive(status: &mut GraphSubscriptionStatus, object: &GraphSubscription) {
    let unseen = Some(status.observed_generation) != object.metadata.generation;
    if object.metadata.deletion_timestamp.is_some() && unseen {
        status.failure = None;
    }
}

type Observed<T> = Result<Result<T, Refusal>, Error>;

async fn observe_app(context: &Context, object: &GraphSubscription, namespace: &str) -> Observed<(Graph, AppView)> {
    let reference = object.tenant();
    let Some(tenant) = find(&context.stores.tenants, &reference) else {
        let refusal = Refusal::waiting(
            Reason::TenantNotFound,
            format!("GraphTenant {reference} does not exist"),
        );
        return Ok(for_release(context, object, &reference).ok_or(refusal));
    };
    if !admitted(context, &tenant.spec.allowed_namespaces, &reference, namespace).await? {
        let message = format!(
            "GraphTenant {reference} does not allow namespace {namespace}; add it to its spec.allowedNamespaces"
        );
        return Ok(Err(Refusal::waiting(Reason::NamespaceNotAllowed, message)));
    }
    Ok(match context.apps.get(&reference) {
        Some(entry) if entry.tried => {
            usable(entry).or_else(|refusal| for_release(context, object, &reference).ok_or(refusal))
        }
        _ => Err(Refusal::waiting(
            Reason::TenantNotReady,
            format!("GraphTenant {reference} was not looked at yet"),
        )),
    })
}

/// What is deleted together goes in any order: the last client of a tenant, whose Secret or itself went before, is good enough
/// for a delete.
fn for_release(context: &Context, object: &GraphSubscription, tenant: &ObjectRef) -> Option<(Graph, AppView)> {
    object.metadata.deletion_timestamp.as_ref()?;
    usable(context.apps.last_good(tenant)?).ok()
}

fn usable(entry: Entry) -> Result<(Graph, AppView), Refusal> {
    let view = AppView {
        fingerprint: entry.fingerprint,
        permissions: entry.permissions,
    };
    entry.graph.map(|graph| (graph, view))
}

async fn observe_receiver(
    context: &Context,
    object: &GraphSubscription,
    namespace: &str,
    reference: &ObjectRef,
) -> Observed<Endpoint> {
    let Some(receiver) = find(&context.stores.receivers, reference) else {
        return Ok(Err(Refusal::waiting(
            Reason::ReceiverNotFound,
            format!("NotificationReceiver {reference} does not exist"),
        )));
    };
    if !admitted(context, &receiver.spec.allowed_namespaces, reference, namespace).await? {
        let message = format!(
            "NotificationReceiver {reference} does not allow namespace {namespace}; add it to its spec.allowedNamespaces"
        );
        return Ok(Err(Refusal::waiting(Reason::NamespaceNotAllowed, message)));
    }
    let ready = receiver.status.as_ref().is_some_and(|status| status.ready_replicas > 0);
    let keyring = context.keyrings.get(reference).unwrap_or_default();
    let uid = object.uid().unwrap_or_default();
    let endpoint = Endpoint::derived(&receiver.spec.public_url, &keyring, &uid).map(|mut endpoint| {
        endpoint.ready = ready;
        endpoint.proven = proven(&receiver, &keyring, crate::local_clock::now());
        endpoint
    });
    Ok(endpoint.ok_or_else(|| {
        Refusal::waiting(
            Reason::ReceiverNotReady,
            format!("NotificationReceiver {reference} has no key yet"),
        )
    }))
}

/// Whether the receiver answers at the addresses that its spec and its active key lead to, or has not for so long that the way
/// from here may be closed where Graph's is open.
fn proven(receiver: &NotificationReceiver, keyring: &Keyring, now: Timestamp) -> bool {
    let Some(status) = &receiver.status else {
        return false;
    };
    let spec_seen = Some(status.observed_generation) == receiver.metadata.generation;
    let key_seen = status.key_id.as_deref() == keyring.active().map(|(id, _)| id);
    let reachable = condition::find(&status.conditions, ConditionType::Reachable);
    let answers = reachable.is_some_and(|reachable| {
        let long = now.duration_since(reachable.last_transition_time.0) > PROBE_PATIENCE;
        reachable.status == "True" || reachable.status == "False" && long
    });
    spec_seen && key_seen && answers
}

async fn observe_external(context: &Context, namespace: &str, external: &ExternalEndpoint) -> Observed<Endpoint> {
    let reference = &external.client_state_ref;
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let Some(secret) = secrets.get_opt(&reference.name).await? else {
        let message = format!(
            "spec.externalEndpoint.clientStateRef: Secret {} does not exist",
            reference.name
        );
        return Ok(Err(Refusal::waiting(Reason::SecretNotFound, message)));
    };
    let text = secret
        .data
        .unwrap_or_default()
        .remove(&reference.key)
        .and_then(|bytes| String::from_utf8(bytes.0).ok());
    let client_state = text
        .map(SecretString::from)
        .filter(|text| (1..=128).contains(&text.expose_secret().len()));
    let Some(client_state) = client_state else {
        let message = format!(
            "spec.externalEndpoint.clientStateRef: key {} of Secret {} must hold 1 to 128 characters",
            reference.key, reference.name
        );
        return Ok(Err(Refusal::waiting(Reason::SecretKeyMissing, message)));
    };
    let lifecycle_url = external.lifecycle_url.as_deref();
    Ok(Ok(Endpoint::external(
        &external.notification_url,
        lifecycle_url,
        client_state,
    )))
}

/// Whether the target of `reference` admits objects of `namespace`. Labels are only read where they count.
pub async fn admitted(
    context: &Context,
    allowed: &AllowedNamespaces,
    reference: &ObjectRef,
    namespace: &str,
) -> Result<bool, Error> {
    let own = reference.namespace.as_deref().unwrap_or_default();
    let labels = if own == namespace || allowed.match_labels.is_none() {
        None
    } else {
        let namespaces: Api<Namespace> = Api::all(context.client.clone());
        namespaces
            .get_opt(namespace)
            .await?
            .and_then(|found| found.metadata.labels)
    };
    Ok(allowed.admits(own, namespace, &labels.unwrap_or_default()))
}

/// Whether the receiver answers the handshake again since the last attempt failed for want of an answer.
fn recovered(context: &Context, receiver: &ObjectRef, status: &GraphSubscriptionStatus, skew: SignedDuration) -> bool {
    let Some(failure) = status
        .failure
        .as_ref()
        .filter(|failure| failure.reason == Reason::EndpointValidationFailed.to_string())
    else {
        return false;
    };
    let receiver = find(&context.stores.receivers, receiver);
    let conditions = receiver
        .as_ref()
        .and_then(|receiver| receiver.status.as_ref())
        .map(|status| &status.conditions);
    let reachable = conditions.and_then(|conditions| condition::find(conditions, ConditionType::Reachable));
    // A reachable address that fails all the same is Graph's word.
    reachable.is_some_and(|reachable| {
        reachable.status == "True" && shifted(reachable.last_transition_time.0, skew) > failure.time.0
    })
}
