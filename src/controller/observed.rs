//! What the receiver pods last said about themselves.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use crate::api::reference::ObjectRef;

/// Answer of a receiver pod to `GET /v1/state`, as far as the controller needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodState {
    /// When events last came for subscriptions, by the UID of the object.
    #[serde(default, deserialize_with = "by_uid")]
    pub subscriptions: Arc<HashMap<String, Timestamp>>,
    /// Sinks.
    #[serde(default)]
    pub sinks: Vec<SinkState>,
    /// Ids of the keys that it has.
    #[serde(default)]
    pub key_ids: Vec<String>,
    /// How its log fares.
    #[serde(default)]
    pub storage: StorageState,
    /// How fast it answered Graph in the last ten minutes.
    #[serde(default)]
    pub webhook: Answers,
    /// When it took no notifications before it started.
    #[serde(default)]
    pub away: Option<Away>,
    /// When an event last came for any of them.
    #[serde(skip)]
    pub last_arrival: Option<Timestamp>,
    /// Since when its log takes nothing, by this cluster's clock.
    #[serde(skip)]
    pub refuses_since: Option<Timestamp>,
}

/// When a pod took no notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Away {
    /// When it last did before; unknown of a new volume.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// Since when it does again.
    pub until: Timestamp,
}

/// Answers to Graph in the last ten minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Answers {
    /// All of them.
    #[serde(default)]
    pub answers: u64,
    /// Those that took more than 10 s.
    #[serde(default)]
    pub late: u64,
}

impl Answers {
    /// Over 15 % late answers, Graph drops notifications for ten minutes.
    /// <https://learn.microsoft.com/graph/change-notifications-delivery-webhooks>
    fn drops(self) -> bool {
        self.late * 100 > self.answers * 15
    }
}

impl PodState {
    /// Whether it says the same about itself as `other`; the subscriptions' events aside.
    pub fn alike(&self, other: &Self) -> bool {
        let said = |state: &Self| {
            (
                state.sinks.clone(),
                state.key_ids.clone(),
                state.storage.clone(),
                state.webhook.drops(),
                state.away,
            )
        };
        said(self) == said(other)
    }
}

/// How the log of a pod fares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StorageState {
    /// In one word.
    #[serde(default)]
    pub state: Storage,
    /// Why it cannot be written.
    #[serde(default)]
    pub problem: Option<String>,
}

/// Whether a log takes events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Storage {
    /// It does.
    #[default]
    Ok,
    /// Not until some were delivered.
    Full,
    /// It cannot be written.
    Failing,
}

/// When an event last came for a subscription.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubscriptionState {
    uid: String,
    last_received: Timestamp,
}

fn by_uid<'de, D: Deserializer<'de>>(states: D) -> Result<Arc<HashMap<String, Timestamp>>, D::Error> {
    let states = Vec::<SubscriptionState>::deserialize(states)?;
    let times = states.into_iter().map(|state| (state.uid, state.last_received));
    Ok(Arc::new(times.collect()))
}

/// How a sink fares.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkState {
    /// Its name.
    pub name: String,
    /// Since when deliveries fail, if they do.
    #[serde(default)]
    pub failing_since: Option<Timestamp>,
    /// How they fail.
    #[serde(default)]
    pub last_error: Option<String>,
    /// Events set aside because the sink refused them.
    #[serde(default)]
    pub dead_letters: u64,
}

/// What the pods of a receiver said, by number, or why they could not be asked.
type Pods = BTreeMap<i32, Result<PodState, String>>;

/// States of all pods, by receiver: each look at a subscription asks for those of one.
#[derive(Clone, Default)]
pub struct Observed(Arc<Mutex<HashMap<ObjectRef, Pods>>>);

impl Observed {
    /// Remembers what a pod said, or why it could not be asked. Returns what was known before.
    pub fn put(
        &self,
        receiver: &ObjectRef,
        pod: i32,
        mut state: Result<PodState, String>,
    ) -> Option<Result<PodState, String>> {
        let mut states = self.lock();
        let pods = states.entry(receiver.clone()).or_default();
        if let Ok(state) = &mut state {
            state.last_arrival = state.subscriptions.values().copied().max();
            let before = pods.get(&pod).and_then(|old| old.as_ref().ok()?.refuses_since);
            let refuses = state.storage.state != Storage::Ok;
            state.refuses_since = refuses.then(|| before.unwrap_or_else(crate::local_clock::now));
        }
        pods.insert(pod, state)
    }

    /// Forgets a pod.
    pub fn forget(&self, receiver: &ObjectRef, pod: i32) {
        let mut states = self.lock();
        let Some(pods) = states.get_mut(receiver) else { return };
        pods.remove(&pod);
        if pods.is_empty() {
            states.remove(receiver);
        }
    }

    /// What the pods of a receiver said.
    pub fn of(&self, receiver: &ObjectRef) -> Vec<Result<PodState, String>> {
        let states = self.lock();
        states
            .get(receiver)
            .into_iter()
            .flat_map(BTreeMap::values)
            .cloned()
            .collect()
    }

    /// Since when every pod of a receiver refuses what comes, because its log takes nothing.
    pub fn refuses_since(&self, receiver: &ObjectRef) -> Option<Timestamp> {
        let states = self.lock();
        let since = answers(&states, receiver).map(|pod| pod.refuses_since);
        // One pod that takes them is enough.
        let all: Option<Vec<Timestamp>> = since.collect();
        all?.into_iter().max()
    }

    /// When none of so many pods of a receiver took notifications before they last started: from when on, and until when. Nothing as
    /// long as one of them cannot be asked.
    pub fn away(&self, receiver: &ObjectRef, replicas: i32) -> Option<(Timestamp, Timestamp)> {
        let states = self.lock();
        let pods = states.get(receiver)?;
        let all: Option<Vec<Away>> = (0..replicas).map(|pod| pods.get(&pod)?.as_ref().ok()?.away).collect();
        let all = all?;
        let from = all.iter().filter_map(|away| away.from).max()?;
        let until = all.iter().map(|away| away.until).min()?;
        Some((from, until))
    }

    /// Whether the pods of a receiver answer so slowly that Graph drops notifications: it judges the address as a whole.
    pub fn drops(&self, receiver: &ObjectRef) -> bool {
        let states = self.lock();
        let all = answers(&states, receiver).fold(Answers::default(), |all, pod| Answers {
            answers: all.answers + pod.webhook.answers,
            late: all.late + pod.webhook.late,
        });
        all.drops()
    }

    /// Whether each pod could be asked.
    pub fn reachable(&self) -> Vec<(ObjectRef, i32, bool)> {
        let states = self.lock();
        let pods = states.iter().flat_map(|(receiver, pods)| {
            pods.iter()
                .map(move |(pod, state)| (receiver.clone(), *pod, state.is_ok()))
        });
        pods.collect()
    }

    /// When an event last came for the object with this UID.
    pub fn last_event(&self, receiver: &ObjectRef, uid: &str) -> Option<Timestamp> {
        let states = self.lock();
        answers(&states, receiver)
            .filter_map(|pod| pod.subscriptions.get(uid).copied())
            .max()
    }

    /// When an event last came for any object.
    pub fn last_arrival(&self, receiver: &ObjectRef) -> Option<Timestamp> {
        let states = self.lock();
        answers(&states, receiver).filter_map(|pod| pod.last_arrival).max()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef, Pods>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pods of a receiver that could be asked.
fn answers<'a>(states: &'a HashMap<ObjectRef, Pods>, receiver: &ObjectRef) -> impl Iterator<Item = &'a PodState> {
    let pods = states.get(receiver).into_iter().flat_map(BTreeMap::values);
    pods.filter_map(|state| state.as_ref().ok())
}

#[cfg(test)]
mod tests;
