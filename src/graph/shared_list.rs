//! One list for all who ask: Graph admits few list requests.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::Failure;
use super::subscription::Subscription;

type List = Result<Arc<[Subscription]>, Failure>;

/// The last list.
#[derive(Debug, Default)]
pub(super) struct SharedList {
    last: Mutex<Option<Fetched>>,
}

#[derive(Debug)]
struct Fetched {
    started: Instant,
    ended: Instant,
    list: List,
}

impl Fetched {
    /// A list counts from its start: what was created while it was read may be missing in it. A failure is only shared with
    /// those who were waiting for it.
    fn serves(&self, asked: Instant, max_age: Duration) -> bool {
        match self.list {
            Ok(_) => asked.saturating_duration_since(self.started) <= max_age,
            Err(_) => self.ended >= asked,
        }
    }
}

impl SharedList {
    /// A list that was started at most `max_age` before this call; fetched only if there is none.
    pub(super) async fn get(
        &self,
        max_age: Duration,
        fetch: impl Future<Output = Result<Vec<Subscription>, Failure>>,
    ) -> List {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some(fetched) = last.as_ref().filter(|fetched| fetched.serves(asked, max_age)) {
            return fetched.list.clone();
        }
        let started = Instant::now();
        let result = fetch.await.map(Arc::from);
        *last = Some(Fetched {
            started,
            ended: Instant::now(),
            list: result.clone(),
        });
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::graph::error::Kind;

    struct Fetches(AtomicUsize);

    impl Fetches {
        async fn run(&self, result: Result<Vec<Subscription>, Failure>) -> Result<Vec<Subscription>, Failure> {
            self.0.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            result
        }

        fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    const AGE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn callers_at_the_same_time_share_one_fetch() {
        let (list, fetches) = (SharedList::default(), Fetches(AtomicUsize::new(0)));
        let ask = || list.get(AGE, fetches.run(Ok(Vec::new())));
        let (a, b, c) = tokio::join!(ask(), ask(), ask());
        assert!(Arc::ptr_eq(&a.clone().unwrap(), &b.unwrap()) && Arc::ptr_eq(&a.unwrap(), &c.unwrap()));
        assert_eq!(fetches.count(), 1);
        tokio::time::sleep(AGE).await;
        ask().await.unwrap();
        assert_eq!(fetches.count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn with_no_age_the_fetch_starts_after_the_question() {
        let (list, fetches) = (SharedList::default(), Fetches(AtomicUsize::new(0)));
        let late = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            tokio::join!(
                list.get(Duration::ZERO, fetches.run(Ok(Vec::new()))),
                list.get(Duration::ZERO, fetches.run(Ok(Vec::new()))),
            )
        };
        let (_, _) = tokio::join!(list.get(AGE, fetches.run(Ok(Vec::new()))), late);
        assert_eq!(fetches.count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_shared_with_those_who_waited_only() {
        let (list, fetches) = (SharedList::default(), Fetches(AtomicUsize::new(0)));
        let failure = || Err(Failure::of(Kind::Unavailable, "x"));
        let ask = || list.get(AGE, fetches.run(failure()));
        let (a, b) = tokio::join!(ask(), ask());
        assert!(a.is_err() && b.is_err());
        assert_eq!(fetches.count(), 1);
        tokio::time::sleep(Duration::from_millis(1)).await;
        ask().await.unwrap_err();
        assert_eq!(fetches.count(), 2);
    }
}
