//! What was read once, for all who ask at about the same time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

/// The latest of something that is read as a whole.
pub(super) struct Cache<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Cache<T> {
    /// What is known, unless it is older than `age` admits; then what `fetch` reads. While one reads, the others wait for it.
    /// `None` when it is not there by the deadline.
    pub(super) async fn read<F: Future<Output = T>>(
        &self,
        deadline: Instant,
        age: impl Fn(&T) -> Duration,
        fetch: impl FnOnce() -> F,
    ) -> Option<Arc<T>> {
        let mut slot = timeout_at(deadline, self.0.lock()).await.ok()?;
        if let Some((at, known)) = slot.as_ref()
            && at.elapsed() < age(known)
        {
            return Some(known.clone());
        }
        let fresh = Arc::new(fetch().await);
        *slot = Some((Instant::now(), fresh.clone()));
        Some(fresh)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_together_read_once() {
        let (cache, reads) = (Cache::default(), AtomicU32::new(0));
        let age = |_: &u32| Duration::from_secs(10);
        let read = async |limit: u64| {
            let fetch = || async {
                tokio::time::sleep(Duration::from_secs(2)).await;
                reads.fetch_add(1, Ordering::SeqCst) + 1
            };
            let deadline = Instant::now() + Duration::from_secs(limit);
            cache.read(deadline, age, fetch).await.map(|value| *value)
        };
        let (first, second, hasty) = tokio::join!(read(5), read(5), read(1));
        assert_eq!((first, second, hasty), (Some(1), Some(1), None));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(read(5).await, Some(1));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(read(5).await, Some(2));
    }
}
