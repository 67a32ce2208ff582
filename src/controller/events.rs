//! Events for users, written one after the other beside the work: they must neither hold it up nor take the API server from it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, Recorder};
use prometheus::IntCounter;
use tokio::sync::mpsc;

/// Events that may wait. Those beyond are left out.
const WAITING: usize = 4096;
/// Time between two: when much changes at once, the work comes first.
const PACE: Duration = Duration::from_millis(50);
/// How long the writing of one may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The way to the API server.
pub struct Events {
    sender: mpsc::Sender<(Event, ObjectReference)>,
    left_out: IntCounter,
    /// Whether some are left out, which is logged once and not for each of thousands.
    full: AtomicBool,
}

impl Events {
    /// Starts the writer; it ends with the last handle. `left_out` counts those for which there was no room.
    pub fn start(recorder: Recorder, left_out: IntCounter) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(write(recorder, receiver));
        Self {
            sender,
            left_out,
            full: AtomicBool::new(false),
        }
    }

    /// There is room for none.
    #[cfg(test)]
    pub fn none(left_out: IntCounter) -> Self {
        let (sender, _) = mpsc::channel(1);
        Self {
            sender,
            left_out,
            full: AtomicBool::new(true),
        }
    }

    /// Has an event written, if there is room.
    pub fn put(&self, event: Event, about: ObjectReference) {
        if self.sender.try_send((event, about)).is_err() {
            self.left_out.inc();
            if !self.full.swap(true, Ordering::Relaxed) {
                tracing::warn!("{WAITING} events wait to be written: further ones are left out and counted");
            }
        } else if self.sender.capacity() > WAITING / 2 && self.full.swap(false, Ordering::Relaxed) {
            let left_out = self.left_out.get();
            tracing::info!(
                left_out,
                "events are written again; so many were left out since the start"
            );
        }
    }

    /// Waits until nothing waits any more (the last may still be under way), or the time is over.
    pub async fn settle(&self, limit: Duration) {
        let all = self.sender.max_capacity();
        let _ = tokio::time::timeout(limit, self.sender.reserve_many(all)).await;
    }
}

async fn write(recorder: Recorder, mut waiting: mpsc::Receiver<(Event, ObjectReference)>) {
    while let Some((event, about)) = waiting.recv().await {
        match tokio::time::timeout(LIMIT, recorder.publish(&event, &about)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("event {} not written: {error}", event.reason),
            Err(_) => tracing::warn!("event {} not written: no answer in time", event.reason),
        }
        tokio::time::sleep(PACE).await;
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::events::{EventType, Reporter};

    use super::*;
    use crate::controller::testing::client;

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_room_is_counted_and_holds_nobody_up() {
        // An API server that never answers.
        let reporter = Reporter {
            controller: "test".to_owned(),
            instance: None,
        };
        let recorder = Recorder::new(client(|_| None), reporter);
        let left_out = IntCounter::new("left_out", "help").unwrap();
        let events = Events::start(recorder, left_out.clone());
        for _ in 0..WAITING + 10 {
            let event = Event {
                type_: EventType::Normal,
                reason: "Created".to_owned(),
                note: None,
                action: "Reconcile".to_owned(),
                secondary: None,
            };
            events.put(event, ObjectReference::default());
        }
        assert_eq!(left_out.get(), 10);
    }
}
