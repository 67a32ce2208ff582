//! The watches: every replica keeps the objects at hand; what changes is put where the leader's controllers find it.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};

use super::apply::Object;
use super::context::{Context, Stores, find, reference_to, to_object};
use super::index::{Group, Index};
use super::queue::Queue;
use crate::api::condition::{self, ConditionType, Reason};
use crate::api::connector::TeamsConnectorHealth;
use crate::api::presence::PresenceSync;
use crate::api::receiver::NotificationReceiver;
use crate::api::reference::ObjectRef as Reference;
use crate::api::subscription::GraphSubscription;
use crate::api::tenant::GraphTenant;
use crate::policy::resource::rule_for;

/// Below the 240 s after which some load balancers drop an idle connection without a word. A watch that says nothing for
/// longer, not even a bookmark, is begun anew.
const WATCH_TIMEOUT_SECONDS: u32 = 200;
/// What comes together is looked at together: a tenant is not signed in with anew for each of a thousand subscriptions.
const TOGETHER: Duration = Duration::from_secs(1);
/// Kinds that were not listed yet. (A store's own `wait_until_ready` wakes only who asked last.)
pub type Unlisted = tokio::sync::watch::Receiver<BTreeSet<&'static str>>;

/// The ends of the stores that the watches fill.
pub struct Writers {
    tenants: Writer<GraphTenant>,
    receivers: Writer<NotificationReceiver>,
    subscriptions: Writer<GraphSubscription>,
    presence: Writer<PresenceSync>,
    connectors: Writer<TeamsConnectorHealth>,
}

/// Empty stores.
pub fn stores() -> (Stores, Writers) {
    let ((tenants, tenant_writer), (receivers, receiver_writer)) = (store(), store());
    let ((subscriptions, subscription_writer), (presence, presence_writer)) = (store(), store());
    let (connectors, connector_writer) = store();
    let stores = Stores {
        tenants,
        receivers,
        subscriptions,
        presence,
        connectors,
        index: Index::default(),
    };
    let writers = Writers {
        tenants: tenant_writer,
        receivers: receiver_writer,
        subscriptions: subscription_writer,
        presence: presence_writer,
        connectors: connector_writer,
    };
    (stores, writers)
}

/// Starts the five watches. The future ends only if a watch ends, which is a reason to end the process.
pub fn start(context: &Arc<Context>, writers: Writers) -> (Unlisted, impl Future<Output = String> + use<>) {
    let kinds = [
        "GraphTenant",
        "NotificationReceiver",
        "GraphSubscription",
        "PresenceSync",
        "TeamsConnectorHealth",
    ];
    let (listed, unlisted) = tokio::sync::watch::channel(BTreeSet::from(kinds));
    let (client, namespace) = (&context.client, context.settings.namespace.as_deref());
    let tenants = watch(
        api(client, namespace),
        writers.tenants,
        "GraphTenant",
        listed.clone(),
        {
            let context = context.clone();
            move |change| tenant(&context, change)
        },
    );
    let receivers = watch(
        api(client, namespace),
        writers.receivers,
        "NotificationReceiver",
        listed.clone(),
        {
            let context = context.clone();
            move |change| receiver(&context, change)
        },
    );
    let subscriptions = watch(
        api(client, namespace),
        writers.subscriptions,
        "GraphSubscription",
        listed.clone(),
        {
            let context = context.clone();
            move |change| subscriptions_changed(&context, change)
        },
    );
    let presence = watch(
        api(client, namespace),
        writers.presence,
        "PresenceSync",
        listed.clone(),
        {
            let context = context.clone();
            move |change| presence(&context, change)
        },
    );
    let connectors = watch(
        api(client, namespace),
        writers.connectors,
        "TeamsConnectorHealth",
        listed,
        {
            let context = context.clone();
            move |change| connector(&context, change)
        },
    );
    let watches = [
        tokio::spawn(tenants),
        tokio::spawn(receivers),
        tokio::spawn(subscriptions),
        tokio::spawn(presence),
        tokio::spawn(connectors),
    ];
    let ended = async {
        let (result, ..) = futures::future::select_all(watches).await;
        result.map_or_else(
            |error| format!("a watch failed: {error}"),
            |kind| format!("the watch on {kind} ended"),
        )
    };
    (unlisted, ended)
}

/// What is built for receivers and presence syncs: its changes wake them. For the leader alone; ends with the watch.
pub async fn workloads(context: Arc<Context>) {
    let config = watcher::Config::default()
        .labels("app.kubernetes.io/name in (teams-graph-receiver, teams-graph-presence)")
        .timeout(WATCH_TIMEOUT_SECONDS);
    let api = api::<PartialObjectMeta<StatefulSet>>(&context.client, context.settings.namespace.as_deref());
    let sets = watcher(api, config)
        .default_backoff()
        .touched_objects()
        .inspect_err(|error| tracing::warn!(kind = "StatefulSet", "watch: {error}"));
    let mut sets = Box::pin(sets);
    while let Some(set) = sets.next().await {
        let Ok(set) = set else { continue };
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        for owner in set.metadata.owner_references.iter().flatten() {
            if let Some(receiver) = ObjectRef::from_owner_ref(Some(namespace), owner, ()) {
                context.queues.receivers.push(receiver);
            }
            if let Some(sync) = ObjectRef::from_owner_ref(Some(namespace), owner, ()) {
                context.queues.presence.push(sync);
            }
        }
    }
}

/// The API of a kind, in one namespace or all.
pub fn api<K: Object>(client: &Client, namespace: Option<&str>) -> Api<K> {
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

async fn watch<K: Object>(
    api: Api<K>,
    writer: Writer<K>,
    kind: &'static str,
    listed: tokio::sync::watch::Sender<BTreeSet<&'static str>>,
    changed: impl Fn(Change<K>) + Send + 'static,
) -> &'static str {
    let config = watcher::Config::default().timeout(WATCH_TIMEOUT_SECONDS);
    let store = writer.as_reader();
    let events = watcher(api, config)
        .default_backoff()
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer)
        .inspect_err(|error| tracing::warn!(kind, "watch: {error}"));
    let mut events = Box::pin(events);
    while let Some(event) = events.next().await {
        let event = event.ok();
        let complete = matches!(event, Some(watcher::Event::InitDone));
        if let Some(change) = event.and_then(|event| Change::told_by(event, &store)) {
            changed(change);
        }
        if complete {
            listed.send_if_modified(|unlisted| unlisted.remove(kind));
        }
    }
    kind
}

/// What a watch tells, with the store's own objects.
enum Change<K> {
    /// This is how one is now.
    Now(Arc<K>),
    /// This one is gone.
    Gone(K),
    /// These are all there are.
    All(Vec<Arc<K>>),
}

impl<K: Object> Change<K> {
    /// The objects of a new list reach the store together, at its end: told of before, a reconcile would read the old ones, and
    /// not be called again.
    fn told_by(event: watcher::Event<K>, store: &Store<K>) -> Option<Self> {
        match event {
            watcher::Event::Apply(object) => store.get(&ObjectRef::from_obj(&object)).map(Self::Now),
            watcher::Event::Delete(object) => Some(Self::Gone(object)),
            watcher::Event::InitDone => Some(Self::All(store.state())),
            watcher::Event::Init | watcher::Event::InitApply(_) => None,
        }
    }
}

fn tenant(context: &Context, change: Change<GraphTenant>) {
    let now = |tenant: &GraphTenant| {
        context.queues.tenants.push(ObjectRef::from_obj(tenant));
        context.wake(&Group::Tenant(reference_to(tenant)), waits);
        wake_syncs_of_tenant(context, tenant);
    };
    match change {
        Change::Now(tenant) => now(&tenant),
        Change::All(tenants) => {
            for tenant in &tenants {
                now(tenant);
            }
            super::tenant::forget_gone(context);
        }
        Change::Gone(tenant) => {
            context.queues.tenants.forget(ObjectRef::from_obj(&tenant));
            context.wake(&Group::Tenant(reference_to(&tenant)), waits);
            wake_syncs_of_tenant(context, &tenant);
            context
                .attempts
                .succeeded(tenant.metadata.uid.as_deref().unwrap_or_default());
            super::tenant::forget_gone(context);
        }
    }
}

/// The worker is told the tenant's app and addresses. A look costs little, and tenants change seldom.
fn wake_syncs_of_tenant(context: &Context, tenant: &GraphTenant) {
    let reference = reference_to(tenant);
    context.wake_syncs(|sync| sync.tenants().any(|named| named == reference));
}

fn receiver(context: &Context, change: Change<NotificationReceiver>) {
    let now = |receiver: &NotificationReceiver| {
        context.queues.receivers.push(ObjectRef::from_obj(receiver));
        let seen = receiver.status.as_ref().map(|status| status.observed_generation);
        let settled = seen == receiver.metadata.generation;
        context.wake(&Group::Receiver(reference_to(receiver)), |subscription| {
            waits(subscription) || !settled
        });
        if !settled {
            wake_syncs_of_receiver(context, &reference_to(receiver));
        }
    };
    match change {
        Change::Now(receiver) => now(&receiver),
        Change::All(receivers) => receivers.iter().for_each(|receiver| now(receiver)),
        Change::Gone(receiver) => {
            let reference = reference_to(&receiver);
            context.queues.receivers.forget(ObjectRef::from_obj(&receiver));
            context.wake(&Group::Receiver(reference.clone()), |_| true);
            wake_syncs_of_receiver(context, &reference);
            context
                .attempts
                .succeeded(receiver.metadata.uid.as_deref().unwrap_or_default());
            context.keyrings.forget(&reference);
            context.handshakes.forget(&reference);
        }
    }
}

/// Asks for a look at every presence sync that names a receiver.
pub(super) fn wake_syncs_of_receiver(context: &Context, receiver: &Reference) {
    context.wake_syncs(|sync| sync.receiver().as_ref() == Some(receiver));
}

fn presence(context: &Context, change: Change<PresenceSync>) {
    match change {
        Change::Now(sync) => context.queues.presence.push(ObjectRef::from_obj(&*sync)),
        Change::All(syncs) => {
            for sync in syncs {
                context.queues.presence.push(ObjectRef::from_obj(&*sync));
            }
        }
        Change::Gone(sync) => {
            context.queues.presence.forget(ObjectRef::from_obj(&sync));
            let uid = sync.metadata.uid.as_deref().unwrap_or_default();
            context.workers.forget(&reference_to(&sync), uid);
            context.attempts.succeeded(uid);
            for tenant in sync.tenants() {
                push_deleted(&context.stores.tenants, &context.queues.tenants, &to_object(&tenant));
            }
            if let Some(receiver) = sync.receiver() {
                push_deleted(
                    &context.stores.receivers,
                    &context.queues.receivers,
                    &to_object(&receiver),
                );
            }
        }
    }
}

fn connector(context: &Context, change: Change<TeamsConnectorHealth>) {
    match change {
        Change::Now(connector) => context.queues.connectors.push(ObjectRef::from_obj(&*connector)),
        Change::All(connectors) => {
            for connector in &connectors {
                context.queues.connectors.push(ObjectRef::from_obj(&**connector));
            }
            context.connectors.keep_only(&connectors);
        }
        Change::Gone(connector) => {
            context.queues.connectors.forget(ObjectRef::from_obj(&connector));
            let uid = connector.metadata.uid.as_deref().unwrap_or_default();
            context.connectors.forget(uid);
            context.attempts.succeeded(uid);
        }
    }
}

fn subscriptions_changed(context: &Context, change: Change<GraphSubscription>) {
    match change {
        Change::Now(subscription) => {
            if let Some(before) = context.stores.index.put(subscription.clone()) {
                wake_twins(context, &before);
            }
            subscription_now(context, &subscription);
        }
        Change::Gone(subscription) => {
            context
                .stores
                .index
                .remove(subscription.metadata.uid.as_deref().unwrap_or_default());
            context.queues.subscriptions.forget(ObjectRef::from_obj(&subscription));
            subscription_gone(context, &subscription);
        }
        Change::All(subscriptions) => {
            let gone = context.stores.index.replace(subscriptions.clone());
            for subscription in gone {
                subscription_gone(context, &subscription);
            }
            for subscription in subscriptions {
                subscription_now(context, &subscription);
            }
        }
    }
}

/// A subscription is new, or has changed.
pub(super) fn subscription_now(context: &Context, subscription: &GraphSubscription) {
    context.written.catch_up(subscription);
    context.queues.subscriptions.push(ObjectRef::from_obj(subscription));
    tell_others(context, subscription);
    let new = subscription
        .status
        .as_ref()
        .is_none_or(|status| status.observed_generation != subscription.metadata.generation.unwrap_or(0));
    let tenant = subscription.tenant();
    if new && find(&context.stores.tenants, &tenant).is_some_and(|tenant| !permits(&tenant, subscription)) {
        context.queues.tenants.push_after(to_object(&tenant), TOGETHER);
    }
}

/// Whether the tenant says already that its app has the permissions which a subscription needs.
fn permits(tenant: &GraphTenant, subscription: &GraphSubscription) -> bool {
    tenant.status.as_ref().is_some_and(|status| {
        condition::is_true(&status.conditions, ConditionType::PermissionsGranted)
            && rule_for(&subscription.spec.resource).permits(&status.granted_permissions)
    })
}

/// Nothing is kept of what is gone.
fn subscription_gone(context: &Context, subscription: &GraphSubscription) {
    tell_others(context, subscription);
    let uid = subscription.metadata.uid.as_deref().unwrap_or_default();
    context.written.forget(uid);
    context.attempts.succeeded(uid);
    context.inbox.forget_object(uid);
    context.backfills.forget(uid);
    context.doubts.forget(uid);
    // The client of a tenant that is gone was kept for its subscriptions; with the last of them it may go.
    let tenant = subscription.tenant();
    let others = context
        .stores
        .index
        .has_others(&Group::Tenant(tenant.clone()), Some(uid));
    if !others && find(&context.stores.tenants, &tenant).is_none() {
        context.apps.forget(&tenant);
    }
}

/// Its twins may have waited for it, and what it refers to may count its users.
fn tell_others(context: &Context, subscription: &GraphSubscription) {
    wake_twins(context, subscription);
    if let Some(receiver) = subscription.receiver() {
        push_deleted(
            &context.stores.receivers,
            &context.queues.receivers,
            &to_object(&receiver),
        );
    }
    let tenant = to_object(&subscription.tenant());
    push_deleted(&context.stores.tenants, &context.queues.tenants, &tenant);
}

fn wake_twins(context: &Context, subscription: &GraphSubscription) {
    context.wake(&Group::watched_by(subscription), |other| {
        reason(other) == Some(Reason::DuplicateSubscription)
    });
}

/// What is to be deleted may have waited for the object that changed.
fn push_deleted<K: Object>(store: &Store<K>, queue: &Queue<K>, reference: &ObjectRef<K>) {
    let found = store.get(reference);
    if found.is_some_and(|found| found.meta().deletion_timestamp.is_some()) {
        queue.push(reference.clone());
    }
}

fn reason(subscription: &GraphSubscription) -> Option<Reason> {
    let conditions = &subscription.status.as_ref()?.conditions;
    Reason::from_name(&condition::find(conditions, ConditionType::Subscribed)?.reason)
}

/// Whether a subscription waits for the objects it names.
fn waits(subscription: &GraphSubscription) -> bool {
    !matches!(reason(subscription), Some(Reason::Succeeded | Reason::Suspended))
}

#[cfg(test)]
mod tests;
