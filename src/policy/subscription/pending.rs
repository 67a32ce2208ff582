//! What tells that a create was begun whose outcome is not on record.

use super::{Look, Situation};
use crate::api::condition::Reason;
use crate::api::subscription::GraphSubscriptionStatus;

/// Whether a create may have been sent of which nobody knows what became. The mark in the status says so; before there is a
/// status, the finalizer, which an object gets right before its first create.
pub fn create_is_pending(held: bool, status: Option<&GraphSubscriptionStatus>) -> bool {
    written(status).map_or(held, |status| status.create_pending_since.is_some())
}

/// Whether the mark has to be written before a create. A finalizer that was put on just now, in a write that only an unchanged
/// object takes, says as much as long as there is no status.
pub fn needs_mark(held_just_now: bool, status: Option<&GraphSubscriptionStatus>) -> bool {
    !held_just_now || written(status).is_some()
}

/// The status, unless it is only what the API server puts on a new object: a generation of -1.
fn written(status: Option<&GraphSubscriptionStatus>) -> Option<&GraphSubscriptionStatus> {
    status.filter(|status| **status != GraphSubscriptionStatus::default())
}

/// Whether the status names whatever this object may have at Graph, so that no list has to be searched: only its own creates make
/// something at an address derived from its UID, and each is on record unless one is pending. Graph admits 25 pages of lists in
/// 20 s, and after an outage thousands would wait for them. Should there be more all the same, because the cluster's objects were
/// set back or the app was changed to and fro, Graph calls a create a conflict; then the list is searched.
pub fn all_is_on_record(situation: &Situation) -> bool {
    let status = situation.status;
    let same_app = status.applied.as_ref().is_none_or(|applied| {
        let app = situation.app.as_ref();
        app.is_ok_and(|app| app.fingerprint == applied.app)
    });
    let conflict = Reason::Conflict.to_string();
    let refused = status
        .failure
        .as_ref()
        .is_some_and(|failure| failure.reason == conflict);
    let pending = status.create_pending_since.is_some();
    situation.spec.receiver_ref.is_some() && same_app && !refused && !pending && situation.look != Look::Forced
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::condition::time;

    #[test]
    fn what_is_on_the_object_before_a_create_says_that_one_is_pending() {
        let new = GraphSubscriptionStatus::default();
        let seen = GraphSubscriptionStatus {
            observed_generation: 1,
            ..Default::default()
        };
        let marked = GraphSubscriptionStatus {
            create_pending_since: Some(time(jiff::Timestamp::UNIX_EPOCH)),
            ..Default::default()
        };
        let cases = [
            ("new", false, None, false),
            ("held for its first create", true, None, true),
            ("new, as the API server shows it", false, Some(&new), false),
            ("the same, held for its first create", true, Some(&new), true),
            ("refused before it was held", false, Some(&seen), false),
            ("on record", true, Some(&seen), false),
            ("marked", true, Some(&marked), true),
        ];
        for (name, held, status, pending) in cases {
            assert_eq!(create_is_pending(held, status), pending, "{name}");
            // A create follows: on a new object with its finalizer alone, otherwise with the mark.
            let after = if needs_mark(!held, status) {
                Some(&marked)
            } else {
                status
            };
            assert!(create_is_pending(true, after), "{name}");
        }
    }
}
