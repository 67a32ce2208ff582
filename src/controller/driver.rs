//! Runs the reconciles of one kind: whoever its queue says is next, as soon as a slot is free.
//!
//! Not kube's `Controller`: that takes everything from its queue at once into a set without order, and polls all its reconciles
//! in one task.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kube::runtime::reflector::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::apply::Object;
use super::queue::{Item, Queue};
use super::reconcile::Action;

/// Reconciles of a kind that run at a time, unless it says so itself. Most of what they do is to wait for an answer, up to 35 s; hundreds of
/// apps that get none, of which one call each waits now and then, leave enough for the others.
pub const SLOTS: usize = 128;
/// An object whose reconcile broke down is looked at again.
const AFTER_BREAKDOWN: Duration = Duration::from_secs(30);

/// Runs until `stop`, at most `slots` at a time; what runs then may end within `limit`.
pub async fn drive<K, F>(
    store: Store<K>,
    queue: Queue<K>,
    slots: usize,
    reconcile: impl Fn(Arc<K>) -> F,
    stop: CancellationToken,
    limit: Duration,
) where
    K: Object,
    F: Future<Output = Action> + Send + 'static,
{
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = running.join_next() => {}
            item = queue.next(), if running.len() < slots => {
                let turn = Turn { queue: queue.clone(), item, again: Some(AFTER_BREAKDOWN) };
                match store.get(&turn.item) {
                    Some(object) => drop(running.spawn(run(turn, reconcile(object)))),
                    None => turn.end(None),
                }
            }
        }
    }
    let all = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(limit, all).await.is_err() {
        tracing::warn!(
            kind = &*K::kind(&()),
            "reconciles did not end within {} s",
            limit.as_secs()
        );
        running.shutdown().await;
    }
}

async fn run<K: Object>(turn: Turn<K>, work: impl Future<Output = Action>) {
    let span = tracing::info_span!("reconcile", kind = &*K::kind(&()), object = %turn.item);
    let action = work.instrument(span).await;
    turn.end(action.again_after);
}

/// The turn of one object. It ends with this value, however the reconcile ends.
struct Turn<K: Object> {
    queue: Queue<K>,
    item: Item<K>,
    again: Option<Duration>,
}

impl<K: Object> Turn<K> {
    fn end(mut self, again: Option<Duration>) {
        self.again = again;
    }
}

impl<K: Object> Drop for Turn<K> {
    fn drop(&mut self) {
        self.queue.finish(&self.item, self.again);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jiff::{SignedDuration, Timestamp};
    use kube::ResourceExt;
    use kube::runtime::reflector::{ObjectRef, store};
    use kube::runtime::watcher::Event;
    use serde_json::json;
    use tokio::sync::Semaphore;
    use tokio::time::Instant;

    use super::*;
    use crate::api::tenant::GraphTenant;

    const LIMIT: Duration = Duration::from_secs(20);

    /// A driver of objects that stay until `may_end` lets them go. One called `expiring` has the nearest deadline.
    struct World {
        queue: Queue<GraphTenant>,
        ran: Arc<Mutex<Vec<String>>>,
        may_end: Arc<Semaphore>,
        stop: CancellationToken,
        driver: tokio::task::JoinHandle<()>,
    }

    impl World {
        fn start(names: &[String]) -> Self {
            let (objects, mut writer) = store();
            for name in names {
                let spec = json!({ "tenantId": "contoso.example", "credentials": { "workloadIdentity": {} } });
                let object = GraphTenant::new(name, serde_json::from_value(spec).unwrap());
                writer.apply_watcher_event(&Event::Apply(object));
            }
            let deadline = |object: &ObjectRef<GraphTenant>| {
                let minutes = if object.name == "expiring" { 1 } else { 15 };
                Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
            };
            let (queue, ran, may_end) = (
                Queue::new(deadline),
                Arc::<Mutex<Vec<String>>>::default(),
                Arc::new(Semaphore::new(0)),
            );
            let reconcile = {
                let (ran, may_end) = (ran.clone(), may_end.clone());
                move |object: Arc<GraphTenant>| {
                    let (ran, may_end) = (ran.clone(), may_end.clone());
                    async move {
                        ran.lock().unwrap().push(object.name_any());
                        may_end.acquire().await.unwrap().forget();
                        assert_ne!(object.name_any(), "broken");
                        Action::await_change()
                    }
                }
            };
            let stop = CancellationToken::new();
            let driver = tokio::spawn(drive(objects, queue.clone(), SLOTS, reconcile, stop.clone(), LIMIT));
            Self {
                queue,
                ran,
                may_end,
                stop,
                driver,
            }
        }

        async fn push(&self, names: &[String]) {
            for name in names {
                self.queue.push(ObjectRef::new(name));
            }
            self.settle().await;
        }

        async fn settle(&self) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }

        fn ran(&self) -> Vec<String> {
            self.ran.lock().unwrap().clone()
        }
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("create-{number}")).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_nearest_expiry_gets_the_next_slot_whatever_waits() {
        let creates = names(1000);
        let expiring = vec!["expiring".to_owned()];
        let world = World::start(&[creates.clone(), expiring.clone()].concat());
        world.push(&creates).await;
        world.push(&expiring).await;
        assert_eq!(world.ran(), creates[..SLOTS]);
        world.may_end.add_permits(2);
        world.settle().await;
        assert_eq!(world.ran()[SLOTS..], ["expiring".to_owned(), creates[SLOTS].clone()]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_breaks_down_comes_again_and_one_that_is_gone_does_not() {
        let broken = vec!["broken".to_owned()];
        let world = World::start(&broken);
        world.push(&["gone".to_owned()]).await;
        let started = Instant::now();
        world.push(&broken).await;
        world.may_end.add_permits(1);
        while world.ran().len() < 2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(started.elapsed() >= AFTER_BREAKDOWN);
        assert_eq!(world.ran(), ["broken", "broken"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_runs_may_end_but_not_for_ever() {
        for permits in [0, 2] {
            let world = World::start(&names(3));
            world.push(&names(2)).await;
            let started = Instant::now();
            world.stop.cancel();
            world.push(&names(3)).await;
            world.may_end.add_permits(permits);
            world.driver.await.unwrap();
            assert_eq!(started.elapsed() >= LIMIT, permits == 0);
            assert_eq!(world.ran.lock().unwrap().len(), 2, "nothing is begun after the stop");
            assert_eq!(Arc::strong_count(&world.ran), 1, "nothing runs any more");
        }
    }
}
