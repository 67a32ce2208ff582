//! The watches: every replica keeps the objects at hand; what changes is put where the leader's controllers find it.

use std::collections::BTreeSet;
use std::future::Future;

use futures::{StreamExt, TryStreamExt};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};

use super::apply::Object;
use super::context::{Queues, Stores, reference_to, to_object};
use super::queue::Queue;
use crate::api::condition::{self, ConditionType, Reason};
use crate::api::receiver::NotificationReceiver;
use crate::api::subscription::GraphSubscription;
use crate::api::tenant::GraphTenant;

/// Below the 240 s after which some load balancers drop an idle connection without a word. A watch that says nothing for
/// longer, not even a bookmark, is begun anew.
const WATCH_TIMEOUT_SECONDS: u32 = 200;
/// Kinds that were not listed yet. (A store's own `wait_until_ready` wakes only who asked last.)
pub type Unlisted = tokio::sync::watch::Receiver<BTreeSet<&'static str>>;

/// Starts the three watches. The future ends only if a watch ends, which is a reason to end the process.
pub fn start(
    client: &Client,
    namespace: Option<&str>,
    queues: &Queues,
) -> (Stores, Unlisted, impl Future<Output = String> + use<>) {
    let (tenants, tenant_writer) = store::<GraphTenant>();
    let (receivers, receiver_writer) = store::<NotificationReceiver>();
    let (subscriptions, subscription_writer) = store::<GraphSubscription>();
    let stores = Stores {
        tenants,
        receivers,
        subscriptions,
    };
    let kinds = ["GraphTenant", "NotificationReceiver", "GraphSubscription"];
    let (listed, unlisted) = tokio::sync::watch::channel(BTreeSet::from(kinds));
    let changes = Changes {
        stores: stores.clone(),
        queues: queues.clone(),
    };
    let watches = [
        tokio::spawn(watch(
            api(client, namespace),
            tenant_writer,
            "GraphTenant",
            listed.clone(),
            {
                let changes = changes.clone();
                move |tenant| changes.tenant(tenant)
            },
        )),
        tokio::spawn(watch(
            api(client, namespace),
            receiver_writer,
            "NotificationReceiver",
            listed.clone(),
            {
                let changes = changes.clone();
                move |receiver| changes.receiver(receiver)
            },
        )),
        tokio::spawn(watch(
            api(client, namespace),
            subscription_writer,
            "GraphSubscription",
            listed,
            move |subscription| {
                changes.subscription(subscription);
            },
        )),
    ];
    let ended = async {
        let (result, ..) = futures::future::select_all(watches).await;
        result.map_or_else(
            |error| format!("a watch failed: {error}"),
            |kind| format!("the watch on {kind} ended"),
        )
    };
    (stores, unlisted, ended)
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
    writer: kube::runtime::reflector::store::Writer<K>,
    kind: &'static str,
    listed: tokio::sync::watch::Sender<BTreeSet<&'static str>>,
    changed: impl Fn(&K) + Send + 'static,
) -> &'static str {
    let config = watcher::Config::default().timeout(WATCH_TIMEOUT_SECONDS);
    let store = writer.as_reader();
    let events = watcher(api, config)
        .default_backoff()
        .reflect(writer)
        .inspect_err(|error| tracing::warn!(kind, "watch: {error}"));
    let mut events = Box::pin(events);
    while let Some(event) = events.next().await {
        let event = event.ok();
        if let Some(watcher::Event::InitDone) = event {
            listed.send_if_modified(|unlisted| unlisted.remove(kind));
        }
        tell(event, &store, &changed);
    }
    kind
}

/// Says what changed. The objects of a new list reach the store together, at its end: told of before, a reconcile would read
/// the old ones, and not be called again.
fn tell<K: Object>(event: Option<watcher::Event<K>>, store: &Store<K>, changed: &impl Fn(&K)) {
    match event {
        Some(watcher::Event::Apply(object) | watcher::Event::Delete(object)) => changed(&object),
        Some(watcher::Event::InitDone) => store.state().iter().for_each(|object| changed(object)),
        Some(watcher::Event::Init | watcher::Event::InitApply(_)) | None => {}
    }
}

/// Which objects a change concerns.
#[derive(Clone)]
struct Changes {
    stores: Stores,
    queues: Queues,
}

impl Changes {
    fn tenant(&self, tenant: &GraphTenant) {
        push(&self.stores.tenants, &self.queues.tenants, tenant);
        let reference = reference_to(tenant);
        self.wake(&self.stores.subscriptions, |subscription| {
            subscription.tenant() == reference && waits(subscription)
        });
    }

    fn receiver(&self, receiver: &NotificationReceiver) {
        push(&self.stores.receivers, &self.queues.receivers, receiver);
        let reference = reference_to(receiver);
        let generation = receiver.metadata.generation;
        let settled = receiver.status.as_ref().map(|status| status.observed_generation) == generation;
        self.wake(&self.stores.subscriptions, |subscription| {
            subscription.receiver().as_ref() == Some(&reference) && (waits(subscription) || !settled)
        });
    }

    fn subscription(&self, subscription: &GraphSubscription) {
        push(&self.stores.subscriptions, &self.queues.subscriptions, subscription);
        // Its twins may have waited for it, and what it refers to may count its users.
        self.wake(&self.stores.subscriptions, |other| {
            other.spec.resource == subscription.spec.resource && reason(other) == Some(Reason::DuplicateSubscription)
        });
        if let Some(receiver) = subscription.receiver() {
            push_deleted(&self.stores.receivers, &self.queues.receivers, &to_object(&receiver));
        }
        push_deleted(
            &self.stores.tenants,
            &self.queues.tenants,
            &to_object(&subscription.tenant()),
        );
        let new = subscription
            .status
            .as_ref()
            .is_none_or(|status| status.observed_generation != subscription.metadata.generation.unwrap_or(0));
        if new {
            self.queues.tenants.push(to_object(&subscription.tenant()));
        }
    }

    fn wake(&self, store: &Store<GraphSubscription>, concerns: impl Fn(&GraphSubscription) -> bool) {
        for subscription in store.state() {
            if concerns(&subscription) {
                self.queues.subscriptions.push(ObjectRef::from_obj(&*subscription));
            }
        }
    }
}

/// Not what is gone: on a follower nothing empties the queue.
fn push<K: Object>(store: &Store<K>, queue: &Queue<K>, object: &K) {
    let reference = ObjectRef::from_obj(object);
    if store.get(&reference).is_some() {
        queue.push(reference);
    }
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
mod tests {
    use std::cell::RefCell;

    use kube::runtime::watcher::Event;
    use serde_json::json;

    use kube::ResourceExt;

    use super::*;

    #[test]
    fn of_a_new_list_is_told_when_the_store_has_it() {
        let (store, mut writer) = store::<GraphTenant>();
        let tenant = |name: &str| {
            let spec = json!({ "tenantId": "contoso.example", "credentials": { "workloadIdentity": {} } });
            GraphTenant::new(name, serde_json::from_value(spec).unwrap())
        };
        let told = RefCell::new(Vec::new());
        let events = [
            Event::Init,
            Event::InitApply(tenant("a")),
            Event::InitApply(tenant("b")),
            Event::InitDone,
            Event::Apply(tenant("a")),
            Event::Delete(tenant("b")),
        ];
        let mut counts = Vec::new();
        for event in events {
            writer.apply_watcher_event(&event);
            tell(Some(event), &store, &|tenant: &GraphTenant| {
                let reference = ObjectRef::from_obj(tenant);
                told.borrow_mut()
                    .push((tenant.name_any(), store.get(&reference).is_some()));
            });
            counts.push(told.borrow().len());
        }
        assert_eq!(counts, [0, 0, 0, 2, 3, 4]);
        let mut told = told.into_inner();
        told[..2].sort();
        let expected = [("a", true), ("b", true), ("a", true), ("b", false)];
        assert_eq!(told, expected.map(|(name, there)| (name.to_owned(), there)));
    }
}
