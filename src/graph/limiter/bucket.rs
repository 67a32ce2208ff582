//! A bucket that never lets more through than Graph admits, in any window.
//! <https://learn.microsoft.com/graph/throttling-limits#subscription-service-limits>

use std::time::Duration;

use tokio::time::Instant;

/// The window Graph counts in.
pub(super) const WINDOW: Duration = Duration::from_secs(20);
/// Documented requests per window, app and tenant; four fifths of it are used, since other replicas, tools and Graph's own
/// way of counting need room.
pub(super) const WRITES: u32 = 500 * 4 / 5;
/// Reads of one subscription.
pub(super) const GETS: u32 = 500 * 4 / 5;
/// Pages of the list.
pub(super) const LISTS: u32 = 25 * 4 / 5;
/// The same for an app over all tenants.
pub(super) const WRITES_OF_APP: u32 = 2000 * 4 / 5;
pub(super) const GETS_OF_APP: u32 = 2000 * 4 / 5;
pub(super) const LISTS_OF_APP: u32 = 40 * 4 / 5;
/// Questions about changes in a minute, unless the tenant says otherwise. Graph's limits differ by workload; the tightest that
/// is met, 40 in 20 s for the list of call records, admits twice as many.
pub(super) const CHANGES_PER_MINUTE: u32 = 60;
/// Reads and writes of presence: Graph admits 1,500 in 30 s to an app in a tenant, which is 1,000 in the window.
/// <https://learn.microsoft.com/graph/throttling-limits#cloud-communication-service-limits>
pub(super) const PRESENCES: u32 = 1000 * 4 / 5;
/// What is only looked at: apps, grants, service health. Graph admits 150 questions about keys of apps in a minute, which is 50
/// in the window; the others go along.
/// <https://learn.microsoft.com/graph/api/resources/keycredential>
pub(super) const INSPECTIONS: u32 = 50 * 4 / 5;
/// Fewer cannot be spread over the window.
const FEWEST: u32 = 4;

/// Admits a burst of a quarter of the allowance and spreads the rest over the window, so that burst and refill together stay
/// within the allowance. Kept as the time at which the bucket would be full again (GCRA), which is exact.
#[derive(Debug)]
pub(super) struct Bucket {
    full_at: Instant,
    interval: Duration,
    burst: Duration,
}

impl Bucket {
    pub(super) fn write(now: Instant) -> Self {
        Self::new(WRITES, now)
    }

    pub(super) fn get(now: Instant) -> Self {
        Self::new(GETS, now)
    }

    pub(super) fn list(now: Instant) -> Self {
        Self::new(LISTS, now)
    }

    pub(super) fn presence(now: Instant) -> Self {
        Self::new(PRESENCES, now)
    }

    pub(super) fn inspection(now: Instant) -> Self {
        Self::new(INSPECTIONS, now)
    }

    pub(super) fn changes(per_minute: u32, now: Instant) -> Self {
        Self::new((per_minute / 3).max(FEWEST), now)
    }

    /// Another allowance from now on.
    pub(super) fn resize(&mut self, per_minute: u32, now: Instant) {
        let new = Self::changes(per_minute, now);
        (self.interval, self.burst) = (new.interval, new.burst);
    }

    pub(super) fn new(allowance: u32, now: Instant) -> Self {
        let burst = allowance / 4;
        // A nanosecond more, so that rounding never lets one too many through.
        let interval = WINDOW / (allowance - burst) + Duration::from_nanos(1);
        Self {
            full_at: now,
            interval,
            burst: interval * (burst - 1),
        }
    }

    /// Until when there is none to take.
    pub(super) fn empty_until(&self, now: Instant) -> Option<Instant> {
        self.full_at.checked_sub(self.burst).filter(|possible| *possible > now)
    }

    /// Takes one, whether there is one or not.
    pub(super) fn take(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + self.interval;
    }

    /// Empties the bucket as of `at`: what waits during a pause does not burst out after it.
    pub(super) fn drain(&mut self, at: Instant) {
        self.full_at = self.full_at.max(at + self.burst);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However calls come, no window holds more than the allowance.
        #[test]
        fn no_window_holds_more_than_the_allowance(
            allowance in prop_oneof![Just(LISTS), Just(LISTS_OF_APP), 8u32..100],
            gaps in prop::collection::vec(prop_oneof![Just(0u64), 0u64..50, 0u64..3_000], 1..400),
        ) {
            let mut now = Instant::now();
            let mut bucket = Bucket::new(allowance, now);
            let mut taken: Vec<Instant> = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                if bucket.empty_until(now).is_none() {
                    bucket.take(now);
                    taken.push(now);
                }
            }
            for (index, start) in taken.iter().enumerate() {
                let inside = taken[index..].iter().filter(|t| **t - *start <= WINDOW).count();
                prop_assert!(inside <= allowance as usize, "{inside} of {allowance}");
            }
        }

        /// A refused call is admitted at the very time it was told.
        #[test]
        fn the_told_time_is_kept(allowance in 8u32..500, rush in 1usize..600) {
            let now = Instant::now();
            let mut bucket = Bucket::new(allowance, now);
            for _ in 0..rush {
                if let Some(at) = bucket.empty_until(now) {
                    prop_assert!(at > now && at <= now + WINDOW);
                    prop_assert_eq!(bucket.empty_until(at.checked_sub(Duration::from_nanos(1)).unwrap()), Some(at));
                    prop_assert_eq!(bucket.empty_until(at), None);
                    break;
                }
                bucket.take(now);
            }
        }
    }
}
