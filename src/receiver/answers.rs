//! How quickly the public addresses were answered in the last ten minutes: the figures by which Graph judges them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::metrics::{DROP_SECONDS, SLOW_SECONDS};

/// Graph looks at windows of 10 minutes.
const MINUTES: usize = 10;

/// How many answers there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Of any kind, hang-ups among them.
    pub answers: u64,
    /// After more than 3 s. Over 10 % of them, Graph delays what follows.
    pub slow: u64,
    /// After more than 10 s, and so slow as well. Over 15 % of them, Graph drops what follows.
    pub late: u64,
}

/// The counts of this minute and the nine before.
#[derive(Debug)]
pub struct Answers {
    began: Instant,
    ring: Mutex<[Minute; MINUTES]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    number: u64,
    counts: Counts,
}

impl Answers {
    /// None yet.
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            ring: Mutex::default(),
        }
    }

    /// Counts an answer that is given now and took so long.
    pub fn count(&self, now: Instant, took: Duration) {
        let (number, seconds) = (self.minute(now), took.as_secs_f64());
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let place = usize::try_from(number % MINUTES as u64).ok();
        let Some(minute) = place.and_then(|place| ring.get_mut(place)) else {
            return;
        };
        if minute.number != number {
            *minute = Minute {
                number,
                ..Minute::default()
            };
        }
        minute.counts.answers += 1;
        minute.counts.slow += u64::from(seconds > SLOW_SECONDS);
        minute.counts.late += u64::from(seconds > DROP_SECONDS);
    }

    /// The counts by now.
    pub fn counts(&self, now: Instant) -> Counts {
        let number = self.minute(now);
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = ring.iter().filter(|minute| minute.number + MINUTES as u64 > number);
        recent.fold(Counts::default(), |sum, minute| Counts {
            answers: sum.answers + minute.counts.answers,
            slow: sum.slow + minute.counts.slow,
            late: sum.late + minute.counts.late,
        })
    }

    fn minute(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs() / 60
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_graphs_limits() {
        let now = Instant::now();
        let answers = Answers::new(now);
        for millis in [0, 3000, 3001, 10_000, 10_001] {
            answers.count(now, Duration::from_millis(millis));
        }
        let expected = Counts {
            answers: 5,
            slow: 3,
            late: 1,
        };
        assert_eq!(answers.counts(now), expected);
    }

    #[test]
    fn what_is_ten_minutes_old_counts_no_more() {
        let began = Instant::now();
        let answers = Answers::new(began);
        let at = |seconds| began + Duration::from_secs(seconds);
        // One in each minute, and in the first two.
        answers.count(at(0), Duration::ZERO);
        for minute in 0..12 {
            answers.count(at(minute * 60 + 59), Duration::ZERO);
            let expected = if minute < 10 { minute + 2 } else { 10 };
            assert_eq!(answers.counts(at(minute * 60 + 59)).answers, expected, "{minute}");
        }
        for (seconds, expected) in [(720, 9), (1200, 1), (1259, 1), (1260, 0), (1_000_000, 0)] {
            assert_eq!(answers.counts(at(seconds)).answers, expected, "{seconds}");
        }
        answers.count(at(1_000_000), Duration::ZERO);
        assert_eq!(answers.counts(at(1_000_000)).answers, 1);
    }
}
