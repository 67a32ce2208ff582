//! Microsoft's clock, measured by the `Date` headers of its answers.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::local_clock;

/// How many answers the median is taken of: one wrong clock among Microsoft's servers is outvoted, a step of ours soon seen.
/// While there are fewer, the local clock has the missing votes: one answer alone moves nothing.
const SAMPLES: usize = 3;
/// A slower answer says too little about when its header was written.
const SLOWEST: Duration = Duration::from_secs(4);
/// `Date` has whole seconds, and load balancers add their own error: smaller differences are not corrected.
const TOLERATED: SignedDuration = SignedDuration::from_secs(5);

/// Compares the local clock with Microsoft's.
#[derive(Debug, Default)]
pub(super) struct Clock {
    samples: Mutex<VecDeque<Sample>>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    offset: SignedDuration,
    local: Timestamp,
    at: Instant,
}

impl Sample {
    /// False when the local clock was set since: it then no longer agrees with the monotonic one on how long ago this was.
    fn holds(&self, local: Timestamp, at: Instant) -> bool {
        let by_clock = local.duration_since(self.local);
        let elapsed = SignedDuration::try_from(at.duration_since(self.at)).unwrap_or(SignedDuration::MAX);
        (by_clock - elapsed).abs() < TOLERATED
    }
}

impl Clock {
    /// Learns from an answer with this `Date`, which just arrived `round_trip` after its request.
    pub(super) fn learn(&self, date: Timestamp, round_trip: Duration) {
        self.learn_at(date, round_trip, local_clock::now(), Instant::now());
    }

    fn learn_at(&self, date: Timestamp, round_trip: Duration, local: Timestamp, at: Instant) {
        if round_trip > SLOWEST {
            return;
        }
        let half = SignedDuration::try_from(round_trip / 2).unwrap_or_default();
        // The header is cut to whole seconds: on average it is half a second late.
        let offset = date.duration_since(local) + half + SignedDuration::from_millis(500);
        let mut samples = self.lock();
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back(Sample { offset, local, at });
    }

    /// Microsoft's clock minus the local one; `None` while unknown, or while a large difference rests on one answer.
    pub(super) fn skew(&self) -> Option<SignedDuration> {
        self.skew_at(local_clock::now(), Instant::now())
    }

    fn skew_at(&self, local: Timestamp, at: Instant) -> Option<SignedDuration> {
        let mut samples = self.lock();
        samples.retain(|sample| sample.holds(local, at));
        let mut offsets: Vec<SignedDuration> = samples.iter().map(|sample| sample.offset).collect();
        match offsets[..] {
            [] => return None,
            [only] => return Some(only).filter(|only| only.abs() <= TOLERATED),
            _ => offsets.resize(SAMPLES, SignedDuration::ZERO),
        }
        offsets.sort_unstable();
        offsets.get(SAMPLES / 2).copied()
    }

    /// The time, corrected when the local clock is far off.
    pub(super) fn now(&self) -> Timestamp {
        let local = local_clock::now();
        match self.skew() {
            Some(skew) if skew.abs() > TOLERATED => local.checked_add(skew).unwrap_or(local),
            _ => local,
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_TIME: Duration = Duration::ZERO;

    fn seconds(seconds: i64) -> SignedDuration {
        SignedDuration::from_secs(seconds)
    }

    #[test]
    fn a_local_clock_that_is_behind_is_corrected() {
        let clock = Clock::default();
        assert_eq!(clock.skew(), None);
        clock.learn(Timestamp::now() + seconds(90), NO_TIME);
        assert_eq!(clock.skew(), None, "one answer may be a wrong one");
        assert!(clock.now() <= Timestamp::now());
        clock.learn(Timestamp::now() + seconds(90), NO_TIME);
        let skew = clock.skew().unwrap();
        assert!((skew - seconds(90)).abs() < seconds(2), "{skew}");
        assert!(clock.now() > Timestamp::now() + seconds(85));
    }

    #[test]
    fn small_differences_are_told_but_not_corrected() {
        let clock = Clock::default();
        clock.learn(Timestamp::now() + seconds(3), NO_TIME);
        assert!(clock.skew().is_some());
        assert!(clock.now() <= Timestamp::now());
    }

    #[test]
    fn one_odd_answer_does_not_count() {
        let (clock, local, at) = (Clock::default(), Timestamp::now(), Instant::now());
        for offset in [0, 0, 3600, 0, -3600] {
            clock.learn_at(local + seconds(offset), NO_TIME, local, at);
        }
        assert!(clock.skew_at(local, at).unwrap().abs() < seconds(1));
    }

    #[test]
    fn two_answers_move_the_clock_as_far_as_both_agree() {
        for (first, second, expected) in [(3600, 90, 90), (-90, -3600, -90), (3600, -90, 0), (0, 3600, 0)] {
            let (clock, local, at) = (Clock::default(), Timestamp::now(), Instant::now());
            clock.learn_at(local + seconds(first), NO_TIME, local, at);
            clock.learn_at(local + seconds(second), NO_TIME, local, at);
            let skew = clock.skew_at(local, at).unwrap();
            assert!(
                (skew - seconds(expected)).abs() < seconds(1),
                "{first} {second}: {skew}"
            );
        }
    }

    #[test]
    fn half_the_way_is_taken_off_and_slow_answers_are_ignored() {
        let (clock, local, at) = (Clock::default(), Timestamp::now(), Instant::now());
        clock.learn_at(local, Duration::from_secs(30), local, at);
        assert_eq!(clock.skew_at(local, at), None);
        clock.learn_at(local, Duration::from_secs(2), local, at);
        assert_eq!(clock.skew_at(local, at), Some(SignedDuration::from_millis(1500)));
    }

    #[test]
    fn samples_from_before_the_local_clock_was_set_are_forgotten() {
        let (clock, local, at) = (Clock::default(), Timestamp::now(), Instant::now());
        for _ in 0..2 {
            clock.learn_at(local + seconds(600), NO_TIME, local, at);
        }
        let later = at + Duration::from_secs(10);
        assert!(clock.skew_at(local + seconds(10), later).is_some());
        assert_eq!(clock.skew_at(local + seconds(610), later), None);
    }
}
