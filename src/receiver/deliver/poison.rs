//! When an event that is never refused, but never taken either, is given up.

use std::time::{Duration, Instant};

/// How long and how often an event must have failed.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long at least.
    pub time: Duration,
    /// How many times at least.
    pub tries: u32,
}

/// An event's failures, and what happened at the same sink meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    /// When it failed first.
    pub since: Instant,
    /// How often it failed.
    pub tries: u32,
    /// When the sink last took an event. While this one fails, that is one of another subscription.
    pub last_success: Option<Instant>,
    /// When the newest of the other failures at this sink began.
    pub newest_other: Option<Instant>,
}

/// Whether it is this event and not the sink: the sink took others since it began to fail, and nothing began to fail after that.
pub fn is_poison(trouble: &Trouble, patience: &Patience, now: Instant) -> bool {
    let patient = trouble.tries < patience.tries || now.duration_since(trouble.since) < patience.time;
    let Some(success) = trouble.last_success.filter(|at| *at > trouble.since && !patient) else {
        return false;
    };
    trouble.newest_other.is_none_or(|began| began < success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_event_that_fails_alone_and_long_is_poison() {
        let start = Instant::now();
        let at = |minutes: u64| start + Duration::from_mins(minutes);
        let patience = Patience {
            time: Duration::from_hours(1),
            tries: 50,
        };
        // Tries, last success, newest other failure, now, expected; it fails since minute 10.
        for (tries, success, other, now, expected) in [
            (50, Some(11), None, 70, true),
            (500, Some(65), Some(60), 300, true),
            (49, Some(11), None, 70, false),
            (50, Some(11), None, 69, false),
            (500, None, None, 700, false),
            (500, Some(9), None, 700, false),
            (500, Some(65), Some(66), 700, false),
        ] {
            let trouble = Trouble {
                since: at(10),
                tries,
                last_success: success.map(at),
                newest_other: other.map(at),
            };
            assert_eq!(is_poison(&trouble, &patience, at(now)), expected, "{trouble:?}");
        }
    }
}
