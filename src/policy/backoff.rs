//! When to try again. A remote answer never ends the trying; only a spec that cannot work does.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How an error is to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Passing trouble: 5xx, network, eventual consistency.
    Retry,
    /// Needs somebody to act elsewhere: consent, credentials, quota, a broken endpoint.
    RetrySlowly,
    /// The service asked for patience, for this long if it said so.
    Throttled(Option<Duration>),
    /// Nothing but a change of the spec helps.
    Invalid,
}

const FIRST: SignedDuration = SignedDuration::from_secs(2);
const CAP: SignedDuration = SignedDuration::from_mins(5);
const SLOW_FIRST: SignedDuration = SignedDuration::from_secs(15);
const SLOW_CAP: SignedDuration = SignedDuration::from_mins(15);
const INVALID: SignedDuration = SignedDuration::from_hours(1);
/// `Retry-After` is obeyed up to here.
const RETRY_AFTER_CAP: SignedDuration = SignedDuration::from_mins(10);
/// However close a deadline is, tries are at least this far apart.
const FLOOR: SignedDuration = SignedDuration::from_secs(2);

/// How long to wait after the `failures`-th failure in a row. With a `deadline` (an expiry) ahead, at least four tries fit
/// before it. `jitter` in 0..1 spreads equal cases apart by up to a fifth.
pub fn delay(class: Class, failures: i32, now: Timestamp, deadline: Option<Timestamp>, jitter: f64) -> SignedDuration {
    let (first, cap) = match class {
        Class::Retry | Class::Throttled(None) => (FIRST, CAP),
        Class::RetrySlowly => (SLOW_FIRST, SLOW_CAP),
        Class::Invalid => (INVALID, INVALID),
        Class::Throttled(Some(after)) => {
            let after = SignedDuration::try_from(after)
                .unwrap_or(RETRY_AFTER_CAP)
                .clamp(FLOOR, RETRY_AFTER_CAP);
            return spread(after, jitter);
        }
    };
    let doubled = first
        .saturating_mul(1 << failures.saturating_sub(1).clamp(0, 16))
        .min(cap);
    let before_deadline = deadline
        .map(|at| at.duration_since(now) / 4)
        .filter(|quarter| *quarter > SignedDuration::ZERO)
        .map_or(doubled, |quarter| doubled.min(quarter.max(FLOOR)));
    spread(before_deadline, jitter)
}

fn spread(delay: SignedDuration, jitter: f64) -> SignedDuration {
    delay.saturating_add(SignedDuration::from_secs_f64(
        delay.as_secs_f64() * 0.2 * jitter.clamp(0.0, 1.0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(class: Class, failures: i32, deadline: Option<i64>) -> i64 {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let deadline = deadline.map(|ahead| now + SignedDuration::from_secs(ahead));
        delay(class, failures, now, deadline, 0.0).as_secs()
    }

    #[test]
    fn waits_longer_and_longer_but_never_past_a_deadline() {
        let cases = [
            (Class::Retry, 1, None, 2),
            (Class::Retry, 2, None, 4),
            (Class::Retry, 5, None, 32),
            (Class::Retry, 50, None, 300),
            (Class::RetrySlowly, 1, None, 15),
            (Class::RetrySlowly, 100, None, 900),
            (Class::RetrySlowly, 100, Some(1200), 300),
            (Class::RetrySlowly, 100, Some(4), 2),
            (Class::RetrySlowly, 1, Some(-60), 15),
            (Class::Throttled(Some(Duration::from_secs(7))), 9, None, 7),
            (Class::Throttled(Some(Duration::from_secs(99_999_999))), 1, None, 600),
            (Class::Throttled(Some(Duration::ZERO)), 1, None, 2),
            (Class::Throttled(None), 3, None, 8),
            (Class::Invalid, 1, None, 3600),
        ];
        for (class, failures, deadline, expected) in cases {
            assert_eq!(
                seconds(class, failures, deadline),
                expected,
                "{class:?} {failures} {deadline:?}"
            );
        }
    }

    #[test]
    fn jitter_adds_up_to_a_fifth() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(delay(Class::RetrySlowly, 100, now, None, 1.0).as_secs(), 1080);
    }
}
