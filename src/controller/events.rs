//! Events for users, written one after the other beside the work: they must neither hold it up nor take the API server from it.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, Recorder};
use tokio::sync::mpsc;

/// Events that may wait. Those beyond are left out.
const WAITING: usize = 4096;
/// Time between two: when much changes at once, the work comes first.
const PACE: Duration = Duration::from_millis(50);
/// How long the writing of one may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The way to the API server.
pub struct Events(mpsc::Sender<(Event, ObjectReference)>);

impl Events {
    /// Starts the writer; it ends with the last handle.
    pub fn start(recorder: Recorder) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(write(recorder, receiver));
        Self(sender)
    }

    /// Has an event written. One that cannot be is only logged.
    pub fn put(&self, event: Event, about: ObjectReference) {
        if let Err(error) = self.0.try_send((event, about)) {
            tracing::warn!("event not written: {error}");
        }
    }

    /// Waits until nothing waits any more (the last may still be under way), or the time is over.
    pub async fn settle(&self, limit: Duration) {
        let all = self.0.max_capacity();
        let _ = tokio::time::timeout(limit, self.0.reserve_many(all)).await;
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
