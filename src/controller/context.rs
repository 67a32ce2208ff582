//! What every reconcile shares.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::events::{Event, EventType};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;

use super::apply::Object;
use super::apps::Apps;
use super::events::Events;
use super::inbox::Inbox;
use super::index::{Group, Index};
use super::metrics::Metrics;
use super::observed::Observed;
use super::queue::Queue;
use super::reconcile::Attempts;
use super::subscription::observe::shifted;
use super::written::Written;
use crate::api::condition::Reason;
use crate::api::connector::TeamsConnectorHealth;
use crate::api::presence::PresenceSync;
use crate::api::receiver::NotificationReceiver;
use crate::api::reference::ObjectRef as Reference;
use crate::api::subscription::GraphSubscription;
use crate::api::tenant::GraphTenant;
use crate::local_clock;
use crate::policy::identity::Keyring;
use crate::policy::urgency;

/// The objects as last seen.
#[derive(Clone)]
pub struct Stores {
    /// Tenants.
    pub tenants: Store<GraphTenant>,
    /// Receivers.
    pub receivers: Store<NotificationReceiver>,
    /// Subscriptions.
    pub subscriptions: Store<GraphSubscription>,
    /// Presence syncs.
    pub presence: Store<PresenceSync>,
    /// Connectors.
    pub connectors: Store<TeamsConnectorHealth>,
    /// The subscriptions, by what they name.
    pub index: Index,
}

/// Objects that want a reconcile.
#[derive(Clone)]
pub struct Queues {
    /// Tenants.
    pub tenants: Queue<GraphTenant>,
    /// Receivers.
    pub receivers: Queue<NotificationReceiver>,
    /// Subscriptions.
    pub subscriptions: Queue<GraphSubscription>,
    /// Presence syncs.
    pub presence: Queue<PresenceSync>,
    /// Connectors.
    pub connectors: Queue<TeamsConnectorHealth>,
}

impl Queues {
    /// Empty ones. Subscriptions are served by the nearest expiry, on one clock: that of this cluster.
    pub fn new(stores: &Stores, apps: Arc<Apps>) -> Self {
        let store = stores.subscriptions.clone();
        let deadline = move |reference: &ObjectRef<GraphSubscription>| {
            let (object, now) = (store.get(reference), local_clock::now());
            let skew = object
                .as_ref()
                .map(|object| apps.skew(&object.tenant()))
                .unwrap_or_default();
            let status = object.as_ref().and_then(|object| object.status.as_ref());
            shifted(urgency::deadline(status, shifted(now, skew)), -skew)
        };
        Self {
            tenants: Queue::default(),
            receivers: Queue::default(),
            subscriptions: Queue::new(deadline),
            presence: Queue::default(),
            connectors: Queue::default(),
        }
    }
}

/// Settings that reach the reconciles.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace that is watched; all when absent.
    pub namespace: Option<String>,
    /// Image of the pods that are built: receivers and presence workers.
    pub receiver_image: String,
    /// Pull policy of that image.
    pub receiver_image_pull_policy: Option<String>,
    /// Environment variables about logging that the receiver pods get too.
    pub logging: Vec<(&'static str, String)>,
    /// Address of a receiver pod's internal port, with `{pod}`, `{service}` and `{namespace}`.
    pub receiver_address: String,
    /// Address of a presence worker's internal port, with the same.
    pub presence_address: String,
    /// How long a sweep waits for notifications that may be on their way.
    pub sweep_grace: Duration,
    /// How often tenants and receivers are looked at without cause.
    pub interval: Duration,
    /// After how long a subscription is looked at whatever is planned: the look costs little, and clocks may be set.
    pub longest_rest: Duration,
    /// Namespaces whose tenants may use the operator's own identity; `*` for all.
    pub identity_namespaces: Vec<String>,
}

impl Settings {
    /// Whether tenants in `namespace` may use the operator's own identity.
    pub fn lends_identity_to(&self, namespace: &str) -> bool {
        self.identity_namespaces
            .iter()
            .any(|allowed| allowed == "*" || allowed == namespace)
    }
}

/// What every reconcile shares.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Microsoft and the receivers' public addresses.
    pub http: reqwest::Client,
    /// What is in the cluster: the receiver pods. Never through a proxy.
    pub http_inside: reqwest::Client,
    /// The objects as last seen.
    pub stores: Stores,
    /// Objects that want a reconcile.
    pub queues: Queues,
    /// Graph clients of the tenants.
    pub apps: Arc<Apps>,
    /// Keyrings of the receivers, by reference.
    pub keyrings: Keyrings,
    /// Handshakes with the receivers.
    pub handshakes: super::receiver::Handshakes,
    /// What the presence workers last said.
    pub workers: super::presence::Workers,
    /// What is remembered of the connectors between two looks.
    pub connectors: super::connector::Connectors,
    /// Lifecycle events not yet acted on.
    pub inbox: Inbox,
    /// Subscriptions that Graph's list lacks.
    pub doubts: super::doubts::Doubts,
    /// Questions to Graph about what changed.
    pub backfills: super::backfill::Backfills,
    /// What the receiver pods say.
    pub observed: Observed,
    /// Events for users.
    pub events: Events,
    /// Metrics.
    pub metrics: Metrics,
    /// Metrics of Graph calls.
    pub graph_metrics: crate::graph::Metrics,
    /// Reconciles that failed in a row, by UID.
    pub attempts: Attempts,
    /// Subscriptions as last written.
    pub written: Written<GraphSubscription>,
    /// Sign-ins that were refused, by tenant.
    pub refusals: super::tenant::Refusals,
    /// Remote subscriptions that belong to no object, by tenant.
    pub orphans: super::tenant::Orphans,
    /// Since when this process leads.
    pub leading_since: OnceLock<Instant>,
    /// Settings.
    pub settings: Settings,
}

/// Keyrings by receiver.
#[derive(Default)]
pub struct Keyrings(Mutex<HashMap<Reference, Keyring>>);

impl Keyrings {
    /// The keyring of a receiver, once it was read or made.
    pub fn get(&self, receiver: &Reference) -> Option<Keyring> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(receiver)
            .cloned()
    }

    /// Remembers a keyring. `true` when its active key is news.
    pub fn put(&self, receiver: Reference, keyring: Keyring) -> bool {
        let active = |keyring: &Keyring| keyring.active().map(|(id, _)| id.to_owned());
        let new = active(&keyring);
        let mut keyrings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let old = keyrings.insert(receiver, keyring);
        old.as_ref().and_then(active) != new
    }

    /// Those of all receivers.
    pub fn all(&self) -> Vec<Keyring> {
        let keyrings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keyrings.values().cloned().collect()
    }

    /// Forgets a receiver that is gone.
    pub fn forget(&self, receiver: &Reference) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(receiver);
    }
}

impl Context {
    /// Tells users of a change.
    pub fn event<K: Object>(&self, object: &K, type_: EventType, reason: Reason, note: &str) {
        let event = Event {
            type_,
            reason: reason.to_string(),
            note: Some(note.chars().take(1000).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        self.events.put(event, object.object_ref(&()));
    }

    /// For how long this process has led.
    pub fn leads_for(&self) -> Duration {
        self.leading_since.get().map(Instant::elapsed).unwrap_or_default()
    }

    /// Microsoft's clock minus this cluster's, as the client of a tenant corrects it.
    pub fn skew(&self, tenant: &Reference) -> SignedDuration {
        self.apps.skew(tenant)
    }

    /// Whether a namespace is going away, or gone.
    pub async fn namespace_goes(&self, name: &str) -> Result<bool, kube::Error> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = namespaces.get_opt(name).await?;
        Ok(found.is_none_or(|found| found.metadata.deletion_timestamp.is_some()))
    }

    /// Asks for a reconcile of every presence sync that `concerns`.
    pub fn wake_syncs(&self, concerns: impl Fn(&PresenceSync) -> bool) {
        for sync in self.stores.presence.state() {
            if concerns(&sync) {
                self.queues.presence.push(ObjectRef::from_obj(&*sync));
            }
        }
    }

    /// Asks for a reconcile of every subscription of a group that `concerns`.
    pub fn wake(&self, group: &Group, concerns: impl Fn(&GraphSubscription) -> bool) {
        for subscription in self.stores.index.of(group) {
            if concerns(&subscription) {
                self.queues.subscriptions.push(ObjectRef::from_obj(&*subscription));
            }
        }
    }
}

/// A reference to `object`, with its namespace.
pub fn reference_to<K: Object>(object: &K) -> Reference {
    Reference {
        name: object.name_any(),
        namespace: object.namespace(),
    }
}

/// A full reference as the stores and queues want it.
pub fn to_object<K: Object>(reference: &Reference) -> ObjectRef<K> {
    ObjectRef::new(&reference.name).within(reference.namespace.as_deref().unwrap_or_default())
}

/// The object a full reference leads to, as last seen.
pub fn find<K: Object>(store: &Store<K>, reference: &Reference) -> Option<std::sync::Arc<K>> {
    store.get(&to_object(reference))
}

/// The value of the annotation that asks for a look, unless it was answered.
pub fn asked<K: Object>(object: &K, handled: Option<&str>) -> Option<String> {
    let value = object.annotations().get(crate::api::RECONCILE_ANNOTATION)?;
    (handled != Some(value)).then(|| value.clone())
}

/// How long until `until`, for a requeue: at least a moment.
pub fn wait(now: Timestamp, until: Timestamp) -> Duration {
    let remaining = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    remaining.max(Duration::from_millis(50))
}
