//! Everything a decision about an object rests on, gathered.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;

use super::plan::{Released, Situation};
use super::secrets::{self, PushSecret};
use super::{worker, workload};
use crate::api::PRESENCE_FINALIZER;
use crate::api::condition::Reason;
use crate::api::presence::{LocalRef, PresenceSync};
use crate::api::presence_config::{AppConfig, PresenceConfig, PushConfig, TOKEN_KEY, token_secret_name};
use crate::api::presence_report::{Phase, WorkerReport};
use crate::api::receiver::NotificationReceiver;
use crate::api::reference::{ObjectRef, SecretKeyRef};
use crate::controller::apply;
use crate::controller::context::{Context, asked, find, reference_to};
use crate::controller::pod::{self, Pod};
use crate::controller::reconcile::Error;
use crate::controller::subscription::observe::admitted;
use crate::policy::subscription::Refusal;

/// Everything a decision rests on, owned.
pub struct View {
    /// The object, as last read or written.
    pub object: Arc<PresenceSync>,
    /// Its name.
    pub reference: ObjectRef,
    /// Now, by this cluster's clock.
    pub now: Timestamp,
    /// Whether the namespace is going away.
    pub namespace_terminating: bool,
    /// What the worker shall be told, or why it cannot be.
    pub config: Result<PresenceConfig, Refusal>,
    /// Where notifications shall go to, with push.
    pub push: Option<PushSecret>,
    /// The receiver, with push.
    pub receiver: Option<Arc<NotificationReceiver>>,
    /// The worker's StatefulSet, if there is one.
    pub set: Option<StatefulSet>,
    /// The way to the worker, or why there is none.
    pub pod: Result<Pod, String>,
    /// What the worker says; none while none is wanted.
    pub worker: Option<Result<WorkerReport, String>>,
    /// Since when the worker is asked to take everything back.
    pub releasing_since: Option<Timestamp>,
    /// What came of that.
    pub released: Released,
    /// Value of the annotation that asks for a look.
    pub asked: Option<String>,
}

impl View {
    /// Whether a worker's pod is asked for.
    pub fn worker_wanted(&self) -> bool {
        let spec = self.set.as_ref().and_then(|set| set.spec.as_ref());
        spec.is_some_and(|spec| spec.replicas != Some(0))
    }

    /// Whether one exists.
    pub fn worker_exists(&self) -> bool {
        let status = self.set.as_ref().and_then(|set| set.status.as_ref());
        status.is_some_and(|status| status.replicas > 0)
    }

    /// Pods that are ready.
    pub fn ready(&self) -> i32 {
        let status = self.set.as_ref().and_then(|set| set.status.as_ref());
        status.and_then(|status| status.ready_replicas).unwrap_or(0)
    }

    /// As the plan wants it.
    pub fn situation(&self) -> Situation {
        let report = self.worker.as_ref().and_then(|worker| worker.as_ref().ok());
        Situation {
            now: self.now,
            deleted_at: self.object.metadata.deletion_timestamp.as_ref().map(|at| at.0),
            namespace_terminating: self.namespace_terminating,
            suspend: self.object.spec.suspend,
            worker_wanted: self.worker_wanted(),
            worker_exists: self.worker_exists(),
            worker_stopped: report.is_some_and(|report| stopped(report, &self.object)),
            releasing_since: self.releasing_since,
            released: self.released.clone(),
            refusal: self.config.as_ref().err().cloned(),
        }
    }
}

/// Whether a worker does nothing any more though the configuration that it has does not say so: it was asked to.
fn stopped(report: &WorkerReport, object: &PresenceSync) -> bool {
    report.phase == Phase::Idle && Some(report.generation) == object.metadata.generation && !object.spec.suspend
}

/// Gathers it.
pub async fn observe(context: &Context, object: Arc<PresenceSync>) -> Result<View, Error> {
    let object = match apply::add_finalizer(&context.client, &*object, PRESENCE_FINALIZER).await? {
        Some(held) => Arc::new(held),
        None => object,
    };
    let reference = reference_to(&*object);
    let namespace = object.namespace().unwrap_or_default();
    let deleted = object.metadata.deletion_timestamp.is_some();
    let (config, push) = match configure(context, &object, &namespace).await? {
        Ok((config, push)) => (Ok(config), push),
        Err(refusal) => (Err(refusal), None),
    };
    let base = worker::base(&context.settings.presence_address, &reference);
    // Nothing is made for what goes: a namespace that ends refuses it.
    let token = secrets::token(&context.client, &object, !deleted).await?;
    let pod = token
        .map(|token| Pod::new(&context.http_inside, base, token))
        .map_err(|refusal| refusal.message);
    let status = object.status.as_ref();
    let mut view = View {
        now: crate::local_clock::now(),
        namespace_terminating: deleted && context.namespace_goes(&namespace).await?,
        receiver: object
            .receiver()
            .and_then(|receiver| find(&context.stores.receivers, &receiver)),
        set: workload::find(&context.client, &object).await?,
        releasing_since: context
            .workers
            .releasing(object.metadata.uid.as_deref().unwrap_or_default()),
        asked: asked(
            &*object,
            status.and_then(|status| status.last_handled_reconcile_at.as_deref()),
        ),
        released: Released::NotAsked,
        worker: None,
        config,
        push,
        pod,
        reference,
        object,
    };
    if view.worker_wanted() && !deleted {
        let answer = match &view.pod {
            Ok(pod) => worker::status(pod).await,
            Err(trouble) => Err(trouble.clone()),
        };
        view.worker = Some(context.workers.newest(&view.reference, answer));
    }
    Ok(view)
}

type Configured = Result<(PresenceConfig, Option<PushSecret>), Refusal>;

/// What the worker shall be told. At an end it is told to rest, should it be started anew meanwhile.
async fn configure(context: &Context, object: &PresenceSync, namespace: &str) -> Result<Configured, Error> {
    let deleted = object.metadata.deletion_timestamp.is_some();
    let reader = app(context, namespace, "spec.tenantRef", &object.spec.tenant_ref);
    let writer = object.spec.writer_tenant_ref.as_ref();
    let writer = writer.map_or_else(
        || reader.clone(),
        |writer| app(context, namespace, "spec.writerTenantRef", writer),
    );
    let (reader, writer) = match (reader, writer) {
        (Ok(reader), Ok(writer)) => (reader, writer),
        (Err(refusal), _) | (_, Err(refusal)) => return Ok(Err(refusal)),
    };
    if !deleted && let Some(refusal) = unnamed(object, &writer) {
        return Ok(Err(refusal));
    }
    let push = match push(context, object, namespace).await? {
        Ok(push) => push,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut spec = object.spec.clone();
    spec.suspend |= deleted;
    let config = PresenceConfig {
        namespace: namespace.to_owned(),
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        generation: object.metadata.generation.unwrap_or(0),
        token: Some(SecretKeyRef {
            name: token_secret_name(&object.name_any()),
            key: TOKEN_KEY.to_owned(),
        }),
        spec,
        reader,
        writer,
        push: push.as_ref().map(|(config, _)| config.clone()),
    };
    if !deleted && let Some(refusal) = secrets::missing(&context.client, namespace, &config).await? {
        return Ok(Err(refusal));
    }
    Ok(Ok((config, push.map(|(_, secret)| secret))))
}

/// The app of a tenant of this namespace.
fn app(context: &Context, namespace: &str, field: &str, named: &LocalRef) -> Result<AppConfig, Refusal> {
    let reference = ObjectRef {
        name: named.name.clone(),
        namespace: Some(namespace.to_owned()),
    };
    let Some(tenant) = find(&context.stores.tenants, &reference) else {
        let message = format!("{field}: GraphTenant {reference} does not exist");
        return Err(Refusal::waiting(Reason::TenantNotFound, message));
    };
    let spec = &tenant.spec;
    // The worker's own identity is that of its namespace. Who may write objects here need not be one who may use it.
    if spec.credentials.are_the_operators() && !context.settings.lends_identity_to(namespace) {
        let message = format!(
            "{field}: namespace {namespace} may not use workloadIdentity or managedIdentity; add it to the operator's setting --identity-namespaces (IDENTITY_NAMESPACES), or use a clientSecret or certificate"
        );
        return Err(Refusal::waiting(Reason::NamespaceNotAllowed, message));
    }
    let Some(endpoints) = spec.addresses() else {
        let message = format!("{field}: GraphTenant {reference} has cloud: Custom and no endpoints");
        return Err(Refusal::waiting(Reason::TenantNotReady, message));
    };
    Ok(AppConfig {
        tenant_id: spec.tenant_id.clone(),
        client_id: spec.client_id.clone(),
        endpoints,
        credentials: spec.credentials.clone(),
    })
}

/// Graph wants the app's id with every session that is written, which a managed identity of the machine does not tell.
fn unnamed(object: &PresenceSync, writer: &AppConfig) -> Option<Refusal> {
    if writer.client_id.is_some() || !object.spec.direction.to_teams() {
        return None;
    }
    let named = object
        .spec
        .writer_tenant_ref
        .as_ref()
        .unwrap_or(&object.spec.tenant_ref);
    let message = format!(
        "GraphTenant {} has no spec.clientId, which is needed to write presence, also with a managedIdentity; or choose direction: TeamsToPbx",
        named.name
    );
    Some(Refusal::waiting(Reason::TenantNotReady, message))
}

type Pushed = Result<Option<(PushConfig, PushSecret)>, Refusal>;

/// Where notifications come from and go to, with push.
async fn push(context: &Context, object: &PresenceSync, namespace: &str) -> Result<Pushed, Error> {
    let (Some(push), Some(reference)) = (&object.spec.push, object.receiver()) else {
        return Ok(Ok(None));
    };
    let waiting = |reason, message: String| Ok(Err(Refusal::waiting(reason, message)));
    let Some(receiver) = find(&context.stores.receivers, &reference) else {
        let message = format!("spec.push.receiverRef: NotificationReceiver {reference} does not exist");
        return waiting(Reason::ReceiverNotFound, message);
    };
    if !admitted(context, &receiver.spec.allowed_namespaces, &reference, namespace).await? {
        let message = format!(
            "NotificationReceiver {reference} does not allow namespace {namespace}; add it to its spec.allowedNamespaces"
        );
        return waiting(Reason::NamespaceNotAllowed, message);
    }
    let listed = receiver.spec.pull.iter().flat_map(|pull| &pull.consumers);
    if !listed.into_iter().any(|consumer| *consumer == push.consumer) {
        let message = format!(
            "NotificationReceiver {reference} does not list the consumer {}; add it to its spec.pull.consumers",
            push.consumer
        );
        return waiting(Reason::ConsumerNotListed, message);
    }
    let keyring = context.keyrings.get(&reference).unwrap_or_default();
    let Some(secret) = PushSecret::derived(object, &receiver.spec.public_url, &keyring) else {
        let message = format!("NotificationReceiver {reference} has no key yet");
        return waiting(Reason::ReceiverNotReady, message);
    };
    let address = &context.settings.receiver_address;
    let pods = 0..receiver.spec.replicas;
    let config = PushConfig {
        secret: secret.name.clone(),
        pull_urls: pods.map(|number| pod::base(address, &reference, number)).collect(),
    };
    Ok(Ok(Some((config, secret))))
}
