//! An answer that all who ask share for a while.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::Failure;

/// The last answer, or why there was none. Whoever asks while one is on its way waits for it.
pub(super) struct Kept<T>(Mutex<Option<Last<T>>>);

/// When it came, and what it was.
type Last<T> = (Instant, Result<Arc<T>, Failure>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Kept<T> {
    /// The last answer if it came at most `max_age` ago, or a new one. A failure is kept for a shorter time than an answer,
    /// [`RETRY`] at most: what was mended should show soon.
    pub(super) async fn get(
        &self,
        max_age: Duration,
        ask: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Arc<T>, Failure> {
        let mut last = self.0.lock().await;
        if let Some((at, result)) = &*last {
            let max_age = if result.is_ok() { max_age } else { max_age.min(RETRY) };
            if at.elapsed() < max_age {
                return result.clone();
            }
        }
        let result = ask.await.map(Arc::new);
        *last = Some((Instant::now(), result.clone()));
        result
    }
}

/// How long a failure is told without asking again.
const RETRY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::graph::error::Kind;

    const MINUTE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_shared_until_it_is_old() {
        let (kept, asked) = (Kept::default(), AtomicUsize::new(0));
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(7)
        };
        let (first, second) = tokio::join!(kept.get(MINUTE, ask()), kept.get(MINUTE, ask()));
        assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
        tokio::time::advance(Duration::from_secs(59)).await;
        kept.get(MINUTE, ask()).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        kept.get(MINUTE, ask()).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_tried_again_sooner() {
        let kept: Kept<u8> = Kept::default();
        let fail = async || Err(Failure::of(Kind::ConsentMissing, "no"));
        kept.get(MINUTE, fail()).await.unwrap_err();
        tokio::time::advance(Duration::from_secs(29)).await;
        kept.get(MINUTE, async { Ok(1) }).await.unwrap_err();
        tokio::time::advance(Duration::from_secs(1)).await;
        kept.get(MINUTE, async { Ok(1) }).await.unwrap();
    }
}
