//! The leader's links to the receiver pods: lifecycle events come from their logs, and so does what they know about delivery.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::reflector::ObjectRef;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;

use super::context::{Context, reference_to, to_object};
use super::inbox::Origin;
use super::observed::PodState;
use super::pod::{self, Pod};
use super::subscription::observe::shifted;
use crate::api::receiver_config::CONTROLLER_CONSUMER;
use crate::api::reference::ObjectRef as Reference;
use crate::policy::subscription::{Lifecycle, LifecycleEvent};

/// How often the set of pods is compared with the receivers there are.
const SUPERVISE_PERIOD: Duration = Duration::from_secs(3);
/// How long a pod holds a request open while it has no lifecycle event.
const POLL_SECONDS: u64 = 20;
const POLL_LIMIT: Duration = Duration::from_secs(POLL_SECONDS + 10);
const ACKNOWLEDGE_LIMIT: Duration = Duration::from_secs(10);
/// How long reconciles may take to act on a batch before it is read again.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);
/// A status shows the last event's time to within this.
const EVENT_TIME_GRAIN: SignedDuration = SignedDuration::from_mins(10);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    log_id: String,
    events: Vec<Event>,
    next: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    seq: u64,
    received_time: Timestamp,
    uid: String,
    #[serde(default)]
    subscription_id: Option<String>,
    item: Item,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(default)]
    lifecycle_event: String,
}

/// Keeps one task per receiver pod, for as long as it is polled.
pub async fn supervise(context: Arc<Context>) {
    let mut links: HashMap<(Reference, i32), AbortOnDropHandle<()>> = HashMap::new();
    loop {
        let wanted: Vec<(Reference, i32)> = context
            .stores
            .receivers
            .state()
            .iter()
            .flat_map(|receiver| (0..receiver.spec.replicas).map(|pod| (reference_to(&**receiver), pod)))
            .collect();
        links.retain(|key, link| {
            let keep = wanted.contains(key);
            if !keep {
                link.abort();
                context.observed.forget(&key.0, key.1);
            }
            // One that broke down is begun anew.
            keep && !link.is_finished()
        });
        for (receiver, pod) in wanted {
            links.entry((receiver.clone(), pod)).or_insert_with(|| {
                AbortOnDropHandle::new(tokio::spawn(Link::new(context.clone(), receiver, pod).run()))
            });
        }
        tokio::time::sleep(SUPERVISE_PERIOD).await;
    }
}

struct Link {
    context: Arc<Context>,
    receiver: Reference,
    pod: i32,
    base: String,
}

impl Link {
    fn new(context: Arc<Context>, receiver: Reference, pod: i32) -> Self {
        let base = pod::base(&context.settings.receiver_address, &receiver, pod);
        Self {
            context,
            receiver,
            pod,
            base,
        }
    }

    async fn run(self) {
        let mut failures = 0_u32;
        loop {
            let Err(trouble) = self.turn().await else {
                failures = 0;
                continue;
            };
            self.remember(Err(trouble));
            failures = failures.saturating_add(1).min(5);
            let pause = Duration::from_secs(1 << failures).mul_f64(0.8 + 0.4 * fastrand::f64());
            tokio::time::sleep(pause).await;
        }
    }

    /// One look at the pod's state and one batch of lifecycle events, held open by the pod while there is none.
    async fn turn(&self) -> Result<(), String> {
        let keyring = self
            .context
            .keyrings
            .get(&self.receiver)
            .ok_or("its keyring is not made yet")?;
        let (_, key) = keyring.active().ok_or("its keyring is empty")?;
        let pod = Pod::new(&self.context.http_inside, self.base.clone(), key.internal_token());
        let state: PodState = pod.get("/v1/state", POLL_LIMIT).await?;
        self.remember(Ok(state));
        let events = format!("/v1/consumers/{CONTROLLER_CONSUMER}/events?kind=lifecycle&limit=100&wait={POLL_SECONDS}");
        let batch: Batch = pod.get(&events, POLL_LIMIT).await?;
        self.hand_over(batch.events);
        if tokio::time::timeout(SETTLE_LIMIT, self.context.inbox.settled(&self.base))
            .await
            .is_err()
        {
            self.context.inbox.forget(&self.base);
            return Err("lifecycle events were not acted on in time; they are read again".to_owned());
        }
        self.acknowledge(&pod, &batch.log_id, batch.next).await
    }

    /// Puts the events where the reconciles find them. Events of objects that are gone are dropped.
    fn hand_over(&self, events: Vec<Event>) {
        for event in events {
            let known = self.context.stores.index.get(&event.uid);
            let (Some(object), Some(lifecycle)) = (known, LifecycleEvent::from_graph(&event.item.lifecycle_event))
            else {
                tracing::info!(
                    uid = event.uid,
                    event = event.item.lifecycle_event,
                    "lifecycle event of an unknown object or kind left aside"
                );
                continue;
            };
            self.context
                .metrics
                .lifecycle
                .with_label_values(&[&format!("{lifecycle:?}")])
                .inc();
            let origin = Origin {
                pod: self.base.clone(),
                seq: event.seq,
            };
            let lifecycle = Lifecycle {
                event: lifecycle,
                subscription_id: event.subscription_id,
                received: event.received_time,
            };
            self.context.inbox.put(&event.uid, origin, lifecycle);
            // What was removed misses notifications now, and the pod waits for an answer: not behind a thousand creates.
            let subscriptions = &self.context.queues.subscriptions;
            subscriptions.push_by(ObjectRef::from_obj(&*object), Timestamp::now());
        }
    }

    /// Keeps what the pod said, and wakes the objects whose status it changes.
    fn remember(&self, state: Result<PodState, String>) {
        let old = self.context.observed.put(&self.receiver, self.pod, state.clone());
        let alike = match (&old, &state) {
            (Some(Ok(old)), Ok(new)) => old.alike(new),
            (Some(Err(old)), Err(new)) => old == new,
            _ => false,
        };
        if !alike {
            if let Err(trouble) = &state {
                tracing::warn!(receiver = %self.receiver, pod = self.pod, "{trouble}");
            }
            self.context.queues.receivers.push(to_object(&self.receiver));
        }
        let Ok(state) = state else { return };
        for (uid, at) in state.subscriptions.iter() {
            let Some(subscription) = self.context.stores.index.get(uid) else {
                continue;
            };
            let shown = subscription
                .status
                .as_ref()
                .and_then(|status| status.last_event_time.as_ref());
            // A status is kept in Graph's time.
            let at = shifted(*at, self.context.skew(&subscription.tenant()));
            if shown.is_none_or(|shown| at >= shown.0 + EVENT_TIME_GRAIN) {
                self.context
                    .queues
                    .subscriptions
                    .push(ObjectRef::from_obj(&*subscription));
            }
        }
    }

    /// The pod refuses if its volume was replaced meanwhile: its numbers then speak of other events.
    async fn acknowledge(&self, pod: &Pod, log_id: &str, cursor: u64) -> Result<(), String> {
        let address = format!("/v1/consumers/{CONTROLLER_CONSUMER}/ack");
        let body = json!({ "cursor": cursor, "logId": log_id });
        pod.post(&address, &body, ACKNOWLEDGE_LIMIT).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
