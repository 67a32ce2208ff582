//! When a PBX is tried again.

use std::time::Duration;

use jiff::Timestamp;

use crate::policy::backoff::{self, Class};
use crate::policy::presence::pbx::PbxError;

const FIRST: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_secs(32);
/// A connection that lasted so long worked, and ended by itself. Longer than anything that a PBX may leave unanswered at first.
const LASTED: Duration = Duration::from_mins(2);

/// How many failures in a row there are now that a connection ended for this reason after `lasted`, with `failures` before it. A
/// refused password may show late, and says nothing good of what was before.
pub fn count(failures: u32, lasted: Duration, why: &PbxError) -> u32 {
    if lasted >= LASTED && !matches!(why, PbxError::Auth(_)) {
        1
    } else {
        failures.saturating_add(1)
    }
}

/// How long to wait after the `failures`-th failure in a row, the first being 1. `jitter` in 0..1 shortens the wait by up to a
/// half, so that many workers do not come back at once. What needs somebody to act elsewhere is tried slowly: a wrong password
/// tried often locks the account out.
pub fn delay(why: &PbxError, failures: u32, jitter: f64) -> Duration {
    match why {
        PbxError::Auth(_) | PbxError::Forbidden(_) | PbxError::Licence(_) | PbxError::NotTrusted(_) => {
            by_policy(Class::RetrySlowly, failures, jitter)
        }
        PbxError::Throttled(after) => by_policy(Class::Throttled(Some(*after)), failures, jitter),
        PbxError::NotFound(_) | PbxError::Protocol(_) | PbxError::Transport(_) => {
            let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(5)).min(CAP);
            doubled.mul_f64(1.0 - 0.5 * jitter.clamp(0.0, 1.0))
        }
    }
}

fn by_policy(class: Class, failures: u32, jitter: f64) -> Duration {
    let failures = i32::try_from(failures).unwrap_or(i32::MAX);
    // No deadline ahead, so the time of day plays no part.
    backoff::delay(class, failures, Timestamp::UNIX_EPOCH, None, jitter).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_lasted_makes_good_for_earlier_ones() {
        let broken = PbxError::Transport(String::new());
        let refused = PbxError::Auth(String::new());
        let cases = [
            (0, 0, &broken, 1),
            // A list of users that never comes ends the connection after half a minute.
            (4, 31, &broken, 5),
            (4, 120, &broken, 1),
            (4, 31, &refused, 5),
            (4, 86_400, &refused, 5),
            (u32::MAX, 0, &broken, u32::MAX),
        ];
        for (failures, lasted, why, expected) in cases {
            let counted = count(failures, Duration::from_secs(lasted), why);
            assert_eq!(counted, expected, "{failures} {lasted} {why:?}");
        }
    }

    #[test]
    fn waits_as_long_as_the_error_asks_for() {
        let broken = PbxError::Transport(String::new());
        let refused = PbxError::Auth(String::new());
        let forbidden = PbxError::Forbidden(String::new());
        let busy = PbxError::Throttled(Duration::from_secs(7));
        let cases = [
            (&broken, 0, 0.0, 1.0),
            (&broken, 1, 0.0, 1.0),
            (&broken, 1, 1.0, 0.5),
            (&broken, 3, 0.0, 4.0),
            (&broken, 6, 0.0, 32.0),
            (&broken, u32::MAX, 0.0, 32.0),
            (&refused, 1, 0.0, 15.0),
            (&forbidden, 1, 0.0, 15.0),
            (&refused, u32::MAX, 0.0, 900.0),
            (&busy, 9, 0.0, 7.0),
        ];
        for (why, failures, jitter, seconds) in cases {
            let wait = delay(why, failures, jitter).as_secs_f64();
            assert!((wait - seconds).abs() < 0.001, "{why:?} {failures}: {wait}");
        }
    }
}
