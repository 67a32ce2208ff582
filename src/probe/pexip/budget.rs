//! How many requests a manager is given.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Requests per second on average: 600 within 60 s, of the 1,000 that a manager takes from all its users.
const PER_SECOND: f64 = 10.0;
/// Requests that may be made at once after a pause.
const AT_ONCE: f64 = 50.0;
/// Bounds of the pause that a manager may ask for.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));

/// A bucket of requests that fills up with time, shared by all who ask one manager.
pub(super) struct Budget(Mutex<State>);

struct State {
    left: f64,
    counted: Instant,
    closed_until: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        let now = Instant::now();
        Self(Mutex::new(State {
            left: AT_ONCE,
            counted: now,
            closed_until: now,
        }))
    }
}

impl Budget {
    /// Waits for leave to make one request. False when there is none before the deadline.
    pub(super) async fn take(&self, deadline: Instant) -> bool {
        loop {
            let now = Instant::now();
            let wait = self.wait(now);
            if wait.is_zero() {
                return true;
            }
            if now + wait > deadline {
                return false;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// The manager asked for a pause, in seconds.
    pub(super) fn pause(&self, asked: Duration) {
        let (least, most) = PAUSE;
        let until = Instant::now() + asked.clamp(least, most);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed_until = state.closed_until.max(until);
    }

    /// How long to wait; zero, and one request less, if not at all.
    fn wait(&self, now: Instant) -> Duration {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.duration_since(state.counted).as_secs_f64();
        state.left = (state.left + passed * PER_SECOND).min(AT_ONCE);
        state.counted = now;
        if state.closed_until > now {
            return state.closed_until - now;
        }
        if state.left >= 1.0 {
            state.left -= 1.0;
            return Duration::ZERO;
        }
        // At least a moment, so that rounding cannot spin.
        Duration::from_secs_f64((1.0 - state.left) / PER_SECOND).max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn fewer_than_a_manager_takes_within_a_minute() {
        let budget = Budget::default();
        let end = soon(60);
        let mut made = 0;
        while budget.take(end).await {
            made += 1;
        }
        assert!((640..=660).contains(&made), "{made}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_kept_by_all_and_bounded() {
        let budget = Budget::default();
        budget.pause(Duration::from_secs(30));
        budget.pause(Duration::from_secs(1));
        assert!(!budget.take(soon(10)).await);
        assert!(budget.take(soon(31)).await);
        budget.pause(Duration::from_secs(1_000_000));
        assert!(!budget.take(soon(299)).await);
        assert!(budget.take(soon(301)).await);
        budget.pause(Duration::ZERO);
        assert!(!budget.take(Instant::now()).await);
    }
}
