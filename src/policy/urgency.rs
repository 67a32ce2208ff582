//! In which order a crowd of subscriptions is served.

use jiff::{SignedDuration, Timestamp};

use crate::api::subscription::GraphSubscriptionStatus;

/// How long a look may wait for those whose subscription expires before. The third of the shortest usual lifetime (an hour) that
/// a renewal leaves is 20 minutes, and the limiter admits 13,000 creates of one app in 15.
pub const PATIENCE: SignedDuration = SignedDuration::from_mins(15);

/// By when a look at a subscription is needed, by the clock that `now` is of (Graph's). One whose renewal is due needs it before
/// it expires. Any other, one that was never made among them, needs it soon: it goes before whatever expires later than that,
/// and as its deadline stands from then on, nothing that comes after can hold it back for ever.
pub fn deadline(status: Option<&GraphSubscriptionStatus>, now: Timestamp) -> Timestamp {
    status
        .and_then(|status| renewal_deadline(status, now))
        .unwrap_or(now + PATIENCE)
}

fn renewal_deadline(status: &GraphSubscriptionStatus, now: Timestamp) -> Option<Timestamp> {
    status.subscription_id.as_ref()?;
    let due = status.renewal_time.as_ref().is_some_and(|at| at.0 <= now);
    let expiry = status.expiration_time.as_ref()?.0;
    (due && expiry > now).then_some(expiry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::condition::time;

    #[test]
    fn the_nearest_expiry_goes_first_and_creates_go_before_what_has_time() {
        let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let minute = |minute| now + SignedDuration::from_mins(minute);
        let held = |renewal, expiry| GraphSubscriptionStatus {
            subscription_id: Some("s".to_owned()),
            renewal_time: Some(time(minute(renewal))),
            expiration_time: Some(time(minute(expiry))),
            ..Default::default()
        };
        let cases = [
            ("never looked at", None, minute(15)),
            ("never made", Some(GraphSubscriptionStatus::default()), minute(15)),
            ("expires in a minute", Some(held(-19, 1)), minute(1)),
            ("expires in an hour", Some(held(-1, 60)), minute(60)),
            ("not due", Some(held(1, 10)), minute(15)),
            ("lapsed", Some(held(-20, 0)), minute(15)),
            (
                "has no expiry",
                Some(GraphSubscriptionStatus {
                    expiration_time: None,
                    ..held(-1, 1)
                }),
                minute(15),
            ),
            (
                "has no subscription",
                Some(GraphSubscriptionStatus {
                    subscription_id: None,
                    ..held(-1, 1)
                }),
                minute(15),
            ),
        ];
        for (name, status, expected) in cases {
            assert_eq!(deadline(status.as_ref(), now), expected, "{name}");
        }
    }
}
