//! Lifecycle events between the receivers' logs and the reconciles that act on them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::policy::subscription::Lifecycle;

/// Where an event came from: the pod's address and the sequence number in its log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The pod.
    pub pod: String,
    /// The event.
    pub seq: u64,
}

/// Events by UID of the object they are for. A pod's events are acknowledged only when none of them is left here.
#[derive(Default)]
pub struct Inbox {
    waiting: Mutex<HashMap<String, Vec<(Origin, Lifecycle)>>>,
    handled: Notify,
}

impl Inbox {
    /// Puts an event in, once.
    pub fn put(&self, uid: &str, origin: Origin, lifecycle: Lifecycle) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let events = waiting.entry(uid.to_owned()).or_default();
        if !events.iter().any(|(known, _)| *known == origin) {
            events.push((origin, lifecycle));
        }
    }

    /// The events for an object.
    pub fn peek(&self, uid: &str) -> Vec<(Origin, Lifecycle)> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(uid)
            .cloned()
            .unwrap_or_default()
    }

    /// Strikes events off that were acted on, or whose object is gone.
    pub fn done(&self, uid: &str, events: &[Origin]) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rest) = waiting.get_mut(uid) {
            rest.retain(|(origin, _)| !events.contains(origin));
            if rest.is_empty() {
                waiting.remove(uid);
            }
        }
        drop(waiting);
        self.handled.notify_waiters();
    }

    /// Returns when no event of `pod` is left.
    pub async fn settled(&self, pod: &str) {
        loop {
            let handled = self.handled.notified();
            if !self.has_any_of(pod) {
                return;
            }
            handled.await;
        }
    }

    /// Drops what is left of a pod's events, so that they can be read again.
    pub fn forget(&self, pod: &str) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting
            .values_mut()
            .for_each(|events| events.retain(|(origin, _)| origin.pod != pod));
        waiting.retain(|_, events| !events.is_empty());
    }

    /// Drops the events of an object that is gone.
    pub fn forget_object(&self, uid: &str) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        self.handled.notify_waiters();
    }

    fn has_any_of(&self, pod: &str) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.values().flatten().any(|(origin, _)| origin.pod == pod)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::policy::subscription::LifecycleEvent;

    #[tokio::test]
    async fn a_pods_events_are_settled_when_all_were_handled() {
        let inbox = Inbox::default();
        let lifecycle = Lifecycle {
            event: LifecycleEvent::Missed,
            subscription_id: None,
            received: Timestamp::UNIX_EPOCH,
        };
        let origin = |seq| Origin {
            pod: "p".to_owned(),
            seq,
        };
        inbox.put("a", origin(1), lifecycle.clone());
        inbox.put("a", origin(1), lifecycle.clone());
        inbox.put("b", origin(2), lifecycle);
        assert_eq!(inbox.peek("a").len(), 1);
        inbox.settled("other").await;
        tokio::join!(inbox.settled("p"), async {
            inbox.done("a", &[origin(1)]);
            tokio::task::yield_now().await;
            inbox.done("b", &[origin(2)]);
        });
        assert!(inbox.peek("a").is_empty());
    }
}
