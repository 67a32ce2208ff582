//! Objects that want a reconcile, from any task to the leader's driver: each once, the nearest deadline first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use self::agenda::Agenda;
use super::apply::Object;

mod agenda;

/// A waiting object. One word in each of the structures that name it.
pub type Item<K> = Arc<ObjectRef<K>>;

type Deadline<K> = Box<dyn Fn(&ObjectRef<K>) -> Timestamp + Send + Sync>;

/// What waits, runs, or comes back later; bounded by the number of objects there are.
pub struct Queue<K: Object>(Arc<Shared<K>>);

struct Shared<K: Object> {
    agenda: Mutex<Agenda<Item<K>>>,
    news: Notify,
    deadline: Deadline<K>,
}

impl<K: Object> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// First come, first served.
impl<K: Object> Default for Queue<K> {
    fn default() -> Self {
        Self::new(|_| Timestamp::UNIX_EPOCH)
    }
}

impl<K: Object> Queue<K> {
    /// A queue in the order of `deadline`, which is asked when an object begins to wait.
    pub fn new(deadline: impl Fn(&ObjectRef<K>) -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            agenda: Mutex::default(),
            news: Notify::new(),
            deadline: Box::new(deadline),
        }))
    }

    /// Asks for a reconcile of `object`.
    pub fn push(&self, object: ObjectRef<K>) {
        let deadline = (self.0.deadline)(&object);
        self.push_by(object, deadline);
    }

    /// Asks for one that is needed by `deadline`, for a reason that the object does not show.
    pub fn push_by(&self, object: ObjectRef<K>, deadline: Timestamp) {
        self.agenda().push(item(object), deadline);
        self.0.news.notify_one();
    }

    /// Asks for one after some time, so that what happens until then is looked at together.
    pub fn push_after(&self, object: ObjectRef<K>, delay: Duration) {
        self.agenda().push_at(item(object), Instant::now() + delay);
        self.0.news.notify_one();
    }

    /// Drops an object that is gone: on a follower nothing empties the queue.
    pub fn forget(&self, object: ObjectRef<K>) {
        self.agenda().forget(&item(object));
    }

    /// Who is next, as soon as there is one. Meant for one reader, which says with [`Queue::finish`] when it is done with it.
    /// May be dropped at any time.
    pub async fn next(&self) -> Item<K> {
        loop {
            let due = {
                let mut agenda = self.agenda();
                agenda.advance(Instant::now(), |item| (self.0.deadline)(item));
                if let Some(item) = agenda.take() {
                    return item;
                }
                agenda.next_due()
            };
            let due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.0.news.notified() => {}
                () = due => {}
            }
        }
    }

    /// Ends the turn of an object, which comes back after `delay`, if there is one.
    pub fn finish(&self, item: &Item<K>, delay: Option<Duration>) {
        self.agenda().finish(item, delay.map(|delay| Instant::now() + delay));
        self.0.news.notify_one();
    }

    fn agenda(&self) -> MutexGuard<'_, Agenda<Item<K>>> {
        self.0.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without what a reference carries besides the name: it would be kept for each object.
fn item<K: Object>(object: ObjectRef<K>) -> Item<K> {
    let mut bare = ObjectRef::new(&object.name);
    bare.namespace = object.namespace;
    Arc::new(bare)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wakes_its_reader_at_a_push_at_an_end_and_when_time_has_come() {
        let queue = Queue::<Secret>::default();
        let reader = queue.clone();
        let waiting = tokio::spawn(async move { reader.next().await });
        tokio::task::yield_now().await;
        queue.push(ObjectRef::new("a"));
        let a = waiting.await.unwrap();
        assert_eq!(a.name, "a");

        let reader = queue.clone();
        let waiting = tokio::spawn(async move { reader.next().await });
        queue.push(ObjectRef::new("a"));
        tokio::task::yield_now().await;
        queue.finish(&a, None);
        let a = waiting.await.unwrap();

        let started = Instant::now();
        queue.push_after(ObjectRef::new("b"), Duration::from_secs(5));
        queue.finish(&a, Some(Duration::from_secs(3)));
        assert_eq!(queue.next().await.name, "a");
        assert_eq!(started.elapsed().as_secs(), 3);
        assert_eq!(queue.next().await.name, "b");
        assert_eq!(started.elapsed().as_secs(), 5);
    }

    #[tokio::test]
    async fn serves_by_deadline_whoever_came_first() {
        let queue = Queue::<Secret>::new(|object| object.name.parse().unwrap());
        let late = ["2026-01-03T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"];
        for name in late {
            queue.push(ObjectRef::new(name));
        }
        queue.push_by(ObjectRef::new("2026-01-09T00:00:00Z"), Timestamp::UNIX_EPOCH);
        let mut served = Vec::new();
        for _ in 0..4 {
            served.push(queue.next().await.name.clone());
        }
        assert_eq!(served.remove(0), "2026-01-09T00:00:00Z");
        assert!(served.is_sorted(), "{served:?}");
    }

    #[tokio::test]
    async fn one_that_is_gone_is_not_handed_out() {
        let queue = Queue::<Secret>::default();
        queue.push(ObjectRef::new("gone"));
        queue.push(ObjectRef::new("there"));
        queue.forget(ObjectRef::new("gone"));
        assert_eq!(queue.next().await.name, "there");
    }
}
