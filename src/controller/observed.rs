//! What the receiver pods last said about themselves.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Deserialize;

use crate::api::reference::ObjectRef;

/// Answer of a receiver pod to `GET /v1/state`, as far as the controller needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodState {
    /// Subscriptions that events came for.
    #[serde(default)]
    pub subscriptions: Vec<SubscriptionState>,
    /// Sinks.
    #[serde(default)]
    pub sinks: Vec<SinkState>,
}

/// When events last came for a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionState {
    /// UID of the object.
    pub uid: String,
    /// When the last one was taken.
    pub last_received: Timestamp,
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

/// States by receiver and pod number.
#[derive(Default)]
pub struct Observed(Mutex<HashMap<(ObjectRef, i32), Result<PodState, String>>>);

impl Observed {
    /// Remembers what a pod said, or why it could not be asked. Returns what was known before.
    pub fn put(
        &self,
        receiver: &ObjectRef,
        pod: i32,
        state: Result<PodState, String>,
    ) -> Option<Result<PodState, String>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((receiver.clone(), pod), state)
    }

    /// Forgets a pod.
    pub fn forget(&self, receiver: &ObjectRef, pod: i32) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&(receiver.clone(), pod));
    }

    /// What the pods of a receiver said.
    pub fn of(&self, receiver: &ObjectRef) -> Vec<Result<PodState, String>> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states
            .iter()
            .filter(|((of, _), _)| of == receiver)
            .map(|(_, state)| state.clone())
            .collect()
    }

    /// When an event last came for the object with this UID.
    pub fn last_event(&self, receiver: &ObjectRef, uid: &str) -> Option<Timestamp> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_receiver = states.iter().filter(|((of, _), _)| of == receiver);
        let subscriptions = of_receiver
            .filter_map(|(_, state)| state.as_ref().ok())
            .flat_map(|state| &state.subscriptions);
        subscriptions
            .filter(|subscription| subscription.uid == uid)
            .map(|subscription| subscription.last_received)
            .max()
    }
}
