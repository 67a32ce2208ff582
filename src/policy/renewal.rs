//! When a subscription is renewed, and for how long.

use jiff::{SignedDuration, Timestamp};

use super::resource::MINIMUM_MINUTES;

/// Kept free below the maximum, for clock differences and the time a create takes.
const MARGIN_MINUTES: i64 = 5;
/// Graph asks for this long between two renewals or reauthorizations of one subscription.
/// <https://learn.microsoft.com/graph/change-notifications-lifecycle-events>
pub const MINIMUM_SPACING: SignedDuration = SignedDuration::from_mins(10);

/// Lifetime to ask for, in minutes: what the user wants, within what Graph allows.
pub fn lifetime_minutes(wanted_seconds: Option<i64>, maximum_minutes: i64, learned_maximum: Option<i64>) -> i64 {
    let maximum = learned_maximum.map_or(maximum_minutes, |learned| {
        learned.max(MINIMUM_MINUTES).min(maximum_minutes)
    });
    let ceiling = (maximum - MARGIN_MINUTES).max(MINIMUM_MINUTES.min(maximum));
    wanted_seconds.map_or(ceiling, |seconds| {
        (seconds / 60).clamp(MINIMUM_MINUTES.min(ceiling), ceiling)
    })
}

/// When to renew what was obtained at `obtained` and expires at `expiration`: after two thirds, so that a third of the lifetime
/// is left for further tries, spread by ± 5 % so that subscriptions made together do not stay together. `seed` is any stable text.
pub fn renewal_time(obtained: Timestamp, expiration: Timestamp, seed: &str) -> Timestamp {
    let lifetime = expiration.duration_since(obtained).as_secs().max(0);
    let offset = lifetime * 2 / 3 + lifetime * (spread(seed) - 50) / 1000;
    Timestamp::from_second(obtained.as_second() + offset).unwrap_or(expiration)
}

/// When what was found at Graph began its life, or later: Graph does not say. Were it taken to begin when it is found, one that is about to
/// expire would be renewed in its last minutes.
pub fn found_life_began(found: Timestamp, expiration: Timestamp, lifetime_minutes: i64) -> Timestamp {
    let began = expiration.checked_sub(SignedDuration::from_mins(lifetime_minutes));
    began.map_or(found, |began| began.min(found))
}

/// 0 to 100, the same for the same text.
fn spread(seed: &str) -> i64 {
    let hash = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    i64::try_from(hash % 101).unwrap_or(50)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn asks_for_what_is_wanted_and_allowed() {
        let cases = [
            (None, 4230, None, 4225),
            (None, 60, None, 55),
            (Some(86_400), 4230, None, 1440),
            (Some(60), 4230, None, 45),
            (Some(10_000_000), 4230, None, 4225),
            (None, 4230, Some(60), 55),
            (None, 60, Some(4230), 55),
            (None, 4230, Some(0), 45),
            (None, 4230, Some(i64::MIN), 45),
            (None, 4230, Some(i64::MAX), 4225),
            (None, 45, None, 45),
            (None, 47, None, 45),
        ];
        for (wanted, maximum, learned, expected) in cases {
            assert_eq!(
                lifetime_minutes(wanted, maximum, learned),
                expected,
                "{wanted:?} {maximum} {learned:?}"
            );
        }
    }

    #[test]
    fn what_was_found_is_as_old_as_what_is_left_of_it_tells() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let minutes = SignedDuration::from_mins;
        let cases = [
            ("made just now", 4225, 0),
            ("half its life is left", 2112, 2113),
            ("about to expire", 3, 4222),
            ("lives longer than is wanted", 10_000, 0),
            ("expired", -1, 4226),
        ];
        for (name, left, age) in cases {
            let began = found_life_began(now, now + minutes(left), 4225);
            assert_eq!(began, now - minutes(age), "{name}");
        }
        assert_eq!(found_life_began(now, Timestamp::MIN, 4225), now);
    }

    proptest! {
        #[test]
        fn at_least_two_tries_ten_minutes_apart_fit_before_expiry(minutes in 45_i64..50_000, seed in "[a-f0-9]{8}") {
            let obtained = Timestamp::from_second(1_800_000_000).unwrap();
            let expiration = obtained + SignedDuration::from_mins(minutes);
            let renewal = renewal_time(obtained, expiration, &seed);
            prop_assert!(renewal >= obtained + MINIMUM_SPACING);
            prop_assert!(renewal + MINIMUM_SPACING < expiration);
        }
    }
}
