//! One list for all who ask: Graph admits few list requests.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::error::{Failure, Kind};
use super::subscription::Subscription;

type List = Result<Arc<[Subscription]>, Failure>;

/// A list that takes longer than this is long: who asked for it may have to go before it ends, and ask again.
const LONG: Duration = Duration::from_secs(30);

/// The last list, and the one that is being fetched. Cheap to clone; clones share both.
#[derive(Clone, Default)]
pub(super) struct SharedList(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    last: Option<Fetched>,
    running: Option<Running>,
}

struct Fetched {
    started: Instant,
    ended: Instant,
    list: List,
}

/// A fetch in a task of its own: it goes on when those who wait for it go away.
#[derive(Clone)]
struct Running {
    started: Instant,
    task: AbortHandle,
    list: Shared<BoxFuture<'static, List>>,
}

impl Fetched {
    /// A list counts from its start: what was created while it was read may be missing in it. A failure is only shared with
    /// those who were waiting for it.
    fn serves(&self, asked: Instant, max_age: Duration) -> bool {
        let took = self.ended.duration_since(self.started);
        match self.list {
            // Who asked for a long one when it began comes back after its end.
            Ok(_) => {
                asked.saturating_duration_since(self.started) <= max_age
                    || took > LONG && asked.saturating_duration_since(self.ended) <= took
            }
            Err(_) => self.ended >= asked,
        }
    }
}

impl Running {
    fn serves(&self, asked: Instant, max_age: Duration) -> bool {
        let age = asked.saturating_duration_since(self.started);
        age <= max_age || age > LONG
    }
}

impl SharedList {
    /// A list that was started at most `max_age` before this call; fetched only if there is none. A list that takes long may be
    /// as old as it takes, or nobody would ever see its end: what it lacks then, Graph's 409 tells.
    pub(super) async fn get<F>(&self, max_age: Duration, fetch: impl FnOnce() -> F) -> List
    where
        F: Future<Output = Result<Vec<Subscription>, Failure>> + Send + 'static,
    {
        let asked = Instant::now();
        let mut fetch = Some(fetch);
        loop {
            let running = {
                let mut state = self.state();
                if let Some(last) = state.last.as_ref().filter(|last| last.serves(asked, max_age)) {
                    return last.list.clone();
                }
                let running = state.running.clone().filter(|running| !running.task.is_finished());
                match (running, fetch.take()) {
                    (Some(running), unused) => {
                        fetch = unused;
                        running
                    }
                    (None, Some(fetch)) => self.start(&mut state, fetch()),
                    (None, None) => return Err(cut_off()),
                }
            };
            let serves = running.serves(asked, max_age);
            let list = running.list.await;
            if serves {
                return list;
            }
        }
    }

    /// The last list, however old it is.
    pub(super) fn last(&self) -> Option<Arc<[Subscription]>> {
        self.state().last.as_ref()?.list.clone().ok()
    }

    fn start(
        &self,
        state: &mut State,
        fetch: impl Future<Output = Result<Vec<Subscription>, Failure>> + Send + 'static,
    ) -> Running {
        let (this, started) = (self.clone(), Instant::now());
        let task = tokio::spawn(async move {
            let list: List = fetch.await.map(Arc::from);
            let mut state = this.state();
            state.running = None;
            state.last = Some(Fetched {
                started,
                ended: Instant::now(),
                list: list.clone(),
            });
            list
        });
        let running = Running {
            started,
            task: task.abort_handle(),
            list: task
                .map(|ended| ended.unwrap_or_else(|_| Err(cut_off())))
                .boxed()
                .shared(),
        };
        state.running = Some(running.clone());
        running
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut_off() -> Failure {
    Failure::of(Kind::Unavailable, "Reading Graph's list of subscriptions was cut off.")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Clone, Default)]
    struct Fetches(Arc<AtomicUsize>);

    impl Fetches {
        async fn run(
            self,
            seconds: u64,
            result: Result<Vec<Subscription>, Failure>,
        ) -> Result<Vec<Subscription>, Failure> {
            self.0.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            result
        }

        fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    const AGE: Duration = Duration::from_secs(30);

    fn start() -> (SharedList, Fetches) {
        (SharedList::default(), Fetches::default())
    }

    #[tokio::test(start_paused = true)]
    async fn callers_at_the_same_time_share_one_fetch() {
        let (list, fetches) = start();
        let ask = || list.get(AGE, || fetches.clone().run(1, Ok(Vec::new())));
        let (a, b, c) = tokio::join!(ask(), ask(), ask());
        assert!(Arc::ptr_eq(&a.clone().unwrap(), &b.unwrap()) && Arc::ptr_eq(&a.unwrap(), &c.unwrap()));
        assert_eq!(fetches.count(), 1);
        tokio::time::sleep(AGE).await;
        ask().await.unwrap();
        assert_eq!(fetches.count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn with_no_age_the_fetch_starts_after_the_question() {
        let (list, fetches) = start();
        let late = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            tokio::join!(
                list.get(Duration::ZERO, || fetches.clone().run(1, Ok(Vec::new()))),
                list.get(Duration::ZERO, || fetches.clone().run(1, Ok(Vec::new()))),
            )
        };
        let (_, _) = tokio::join!(list.get(AGE, || fetches.clone().run(1, Ok(Vec::new()))), late);
        assert_eq!(fetches.count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_shared_with_those_who_waited_only() {
        let (list, fetches) = start();
        let failure = || Err(Failure::of(Kind::Unavailable, "x"));
        let ask = || list.get(AGE, || fetches.clone().run(1, failure()));
        let (a, b) = tokio::join!(ask(), ask());
        assert!(a.is_err() && b.is_err());
        assert_eq!(fetches.count(), 1);
        tokio::time::sleep(Duration::from_millis(1)).await;
        ask().await.unwrap_err();
        assert_eq!(fetches.count(), 2);
    }

    /// A reconcile has 90 seconds, and tries again after a pause.
    #[tokio::test(start_paused = true)]
    async fn a_list_that_outlasts_its_readers_is_read_to_its_end() {
        let (list, fetches) = start();
        let ask = || {
            let get = list.get(Duration::ZERO, || fetches.clone().run(200, Ok(Vec::new())));
            tokio::time::timeout(Duration::from_secs(90), get)
        };
        ask().await.unwrap_err();
        tokio::time::sleep(Duration::from_secs(2)).await;
        ask().await.unwrap_err();
        // It ends while nobody waits.
        tokio::time::sleep(Duration::from_secs(40)).await;
        ask().await.unwrap().unwrap();
        assert_eq!(fetches.count(), 1);
        tokio::time::sleep(Duration::from_secs(200)).await;
        ask().await.unwrap_err();
        assert_eq!(fetches.count(), 2);
    }
}
