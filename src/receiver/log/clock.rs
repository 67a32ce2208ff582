//! The time by which events expire. A wall clock that jumps ahead must not make everything old at once.

use std::time::{Duration, Instant};

/// Steps that are common when a clock is corrected, and too small to matter.
const TOLERATED_MILLIS: i64 = 60_000;

/// Follows the wall clock, but for jumps ahead. After one it goes on at its own pace until what was received before the jump is
/// as old as the retention by any clock; then it follows the wall clock again.
pub struct SteadyClock {
    // When the wall clock was last followed, and what it said.
    followed: (Instant, i64),
    jumped: Option<Instant>,
}

impl SteadyClock {
    /// A clock that trusts the wall clock as it is now.
    pub fn new(at: Instant, wall_millis: i64) -> Self {
        Self {
            followed: (at, wall_millis),
            jumped: None,
        }
    }

    /// The time in milliseconds since 1970 by which events are old.
    pub fn now(&mut self, at: Instant, wall_millis: i64, retention_millis: i64) -> i64 {
        let (since, said) = self.followed;
        let steady = said.saturating_add(millis(at.duration_since(since)));
        if wall_millis > steady.saturating_add(TOLERATED_MILLIS) {
            let jumped = *self.jumped.get_or_insert_with(|| {
                tracing::warn!("the wall clock jumped ahead; events expire by the time that really passed");
                at
            });
            if millis(at.duration_since(jumped)) < retention_millis {
                return steady;
            }
        }
        self.jumped = None;
        self.followed = (at, wall_millis);
        wall_millis
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const YEAR: i64 = 365 * 24 * HOUR;

    #[test]
    fn a_jump_ahead_counts_only_after_the_retention() {
        let start = Instant::now();
        let after = |millis: i64| start + Duration::from_millis(u64::try_from(millis).unwrap());
        let mut clock = SteadyClock::new(start, 0);
        // Time that passed, what the wall clock says, and what is made of it.
        for (passed, wall, expected) in [
            (5_000, 5_000, 5_000),
            (10_000, 60_000, 60_000),
            (20_000, YEAR, 70_000),
            (HOUR, YEAR + HOUR, 50_000 + HOUR),
            (20_000 + 2 * HOUR - 1, YEAR + 2 * HOUR, 70_000 + 2 * HOUR - 1),
            (20_000 + 2 * HOUR, YEAR + 2 * HOUR, YEAR + 2 * HOUR),
            (20_001 + 2 * HOUR, YEAR + 2 * HOUR + 1, YEAR + 2 * HOUR + 1),
        ] {
            assert_eq!(clock.now(after(passed), wall, 2 * HOUR), expected, "{passed}");
        }
    }

    #[test]
    fn a_jump_that_is_taken_back_and_one_backwards_are_followed() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut clock = SteadyClock::new(start, 0);
        assert_eq!(clock.now(after(1), YEAR, HOUR), 1000);
        assert_eq!(clock.now(after(2), 2000, HOUR), 2000);
        assert_eq!(clock.now(after(3), -YEAR, HOUR), -YEAR);
        assert_eq!(clock.now(after(4), YEAR, HOUR), 1000 - YEAR);
    }
}
