//! The watches: every replica keeps the objects at hand; what changes is put where the leader's controllers find it.

use std::future::Future;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use std::sync::{Arc, Mutex, PoisonError};

use super::apply::Object;
use super::context::{Queues, Stores, reference_to, to_object};
use crate::api::condition::{self, ConditionType, Reason};
use crate::api::receiver::NotificationReceiver;
use crate::api::subscription::GraphSubscription;
use crate::api::tenant::GraphTenant;

/// Below the 240 s after which some load balancers drop an idle connection without a word.
const WATCH_TIMEOUT_SECONDS: u32 = 200;
/// Every watch ends at its time-out and begins anew; without any sign for this long, it is dead.
const SILENCE_LIMIT: Duration = Duration::from_secs(600);

/// When each watch last gave a sign of life.
#[derive(Clone, Default)]
pub struct Signs(Arc<Mutex<Vec<(&'static str, Instant)>>>);

impl Signs {
    fn seen(&self, kind: &'static str) {
        let mut signs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match signs.iter_mut().find(|(name, _)| *name == kind) {
            Some(sign) => sign.1 = Instant::now(),
            None => signs.push((kind, Instant::now())),
        }
    }

    /// Says which watch has fallen silent.
    pub fn check(&self) -> Result<(), String> {
        let signs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = signs.iter().find(|(_, at)| at.elapsed() > SILENCE_LIMIT);
        silent.map_or(Ok(()), |(kind, at)| {
            Err(format!(
                "no sign of the watch on {kind} for {} s",
                at.elapsed().as_secs()
            ))
        })
    }
}

/// Starts the three watches. The future ends only if a watch ends, which is a reason to end the process.
pub fn start(
    client: &Client,
    namespace: Option<&str>,
    queues: &Queues,
    signs: &Signs,
) -> (Stores, impl Future<Output = String> + use<>) {
    let (tenants, tenant_writer) = store::<GraphTenant>();
    let (receivers, receiver_writer) = store::<NotificationReceiver>();
    let (subscriptions, subscription_writer) = store::<GraphSubscription>();
    let stores = Stores {
        tenants,
        receivers,
        subscriptions,
    };
    let changes = Changes {
        stores: stores.clone(),
        queues: queues.clone(),
    };
    let watches = [
        tokio::spawn(watch(
            api(client, namespace),
            tenant_writer,
            "GraphTenant",
            signs.clone(),
            {
                let changes = changes.clone();
                move |tenant| changes.tenant(tenant)
            },
        )),
        tokio::spawn(watch(
            api(client, namespace),
            receiver_writer,
            "NotificationReceiver",
            signs.clone(),
            {
                let changes = changes.clone();
                move |receiver| changes.receiver(receiver)
            },
        )),
        tokio::spawn(watch(
            api(client, namespace),
            subscription_writer,
            "GraphSubscription",
            signs.clone(),
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
    (stores, ended)
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
    signs: Signs,
    changed: impl Fn(&K) + Send + 'static,
) -> &'static str {
    signs.seen(kind);
    let config = watcher::Config::default().timeout(WATCH_TIMEOUT_SECONDS);
    let heard = signs.clone();
    let store = writer.as_reader();
    let events = watcher(api, config)
        .default_backoff()
        .inspect(move |_| heard.seen(kind))
        .reflect(writer)
        .inspect_err(|error| tracing::warn!(kind, "watch: {error}"));
    let mut events = Box::pin(events);
    while let Some(event) = events.next().await {
        tell(event.ok(), &store, &changed);
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
        self.queues.tenants.push(ObjectRef::from_obj(tenant));
        let reference = reference_to(tenant);
        self.wake(&self.stores.subscriptions, |subscription| {
            subscription.tenant() == reference && waits(subscription)
        });
    }

    fn receiver(&self, receiver: &NotificationReceiver) {
        self.queues.receivers.push(ObjectRef::from_obj(receiver));
        let reference = reference_to(receiver);
        let generation = receiver.metadata.generation;
        let settled = receiver.status.as_ref().map(|status| status.observed_generation) == generation;
        self.wake(&self.stores.subscriptions, |subscription| {
            subscription.receiver().as_ref() == Some(&reference) && (waits(subscription) || !settled)
        });
    }

    fn subscription(&self, subscription: &GraphSubscription) {
        self.queues.subscriptions.push(ObjectRef::from_obj(subscription));
        // Its twins may have waited for it, and what it refers to may count its users.
        self.wake(&self.stores.subscriptions, |other| {
            other.spec.resource == subscription.spec.resource && reason(other) == Some(Reason::DuplicateSubscription)
        });
        if let Some(receiver) = subscription.receiver() {
            let reference = to_object(&receiver);
            let deleted = self
                .stores
                .receivers
                .get(&reference)
                .is_some_and(|found| found.metadata.deletion_timestamp.is_some());
            if deleted {
                self.queues.receivers.push(reference);
            }
        }
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
