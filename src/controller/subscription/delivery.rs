//! Whether a receiver takes notifications, as its status and its pods say.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::observe::shifted;
use crate::api::condition::{self, ConditionType};
use crate::api::reference::ObjectRef;
use crate::controller::context::{Context, find};
use crate::local_clock;
use crate::policy::backfill::Window;

#[cfg(test)]
mod tests;

/// Events that come so long after a public address failed our own handshake came by that address: Microsoft reaches it, and only
/// the way from here is closed.
const ARRIVING: SignedDuration = SignedDuration::from_mins(10);

/// Events that came so lately show that they come.
const LATELY: SignedDuration = SignedDuration::from_hours(1);
/// For so long after an outage that nobody watched its gap is written down.
const TOLD: SignedDuration = SignedDuration::from_hours(24);

/// Whether a receiver takes notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It does.
    Fine,
    /// Not since this time, by Graph's clock.
    Unavailable(Timestamp),
    /// So slowly that Graph drops some.
    Dropping,
    /// Nobody can tell.
    Unknown,
}

/// What is known of a receiver, by this cluster's clock.
struct Signs<'a> {
    available: Option<&'a Condition>,
    reachable: Option<&'a Condition>,
    /// Since when its pods take nothing for want of storage.
    refuses_since: Option<Timestamp>,
    /// When Graph last delivered an event.
    last_arrival: Option<Timestamp>,
    /// Whether it answers so slowly that Graph drops some.
    drops: bool,
}

/// Whether a receiver takes notifications; `skew` is Graph's clock minus this cluster's.
pub fn delivery(context: &Context, reference: &ObjectRef, skew: SignedDuration) -> Delivery {
    let receiver = find(&context.stores.receivers, reference);
    let Some(status) = receiver.as_ref().and_then(|receiver| receiver.status.as_ref()) else {
        return Delivery::Unknown;
    };
    let signs = Signs {
        available: condition::find(&status.conditions, ConditionType::Available),
        reachable: condition::find(&status.conditions, ConditionType::Reachable),
        refuses_since: context.observed.refuses_since(reference),
        last_arrival: context.observed.last_arrival(reference),
        drops: context.observed.drops(reference),
    };
    match judge(&signs, local_clock::now()) {
        Delivery::Unavailable(since) => Delivery::Unavailable(shifted(since, skew)),
        other => other,
    }
}

fn judge(signs: &Signs, now: Timestamp) -> Delivery {
    let (Some(available), Some(reachable)) = (signs.available, signs.reachable) else {
        return Delivery::Unknown;
    };
    let since = |condition: &Condition| condition.last_transition_time.0;
    let closed = (reachable.status == "False").then(|| since(reachable));
    let arrives = closed.is_some_and(|closed| signs.last_arrival.is_some_and(|last| last > closed + ARRIVING));
    let absent = (available.status == "False").then(|| since(available));
    let down = [absent, closed.filter(|_| !arrives), signs.refuses_since];
    if let Some(since) = down.into_iter().flatten().min() {
        return Delivery::Unavailable(since);
    }
    // Of what came by an address that is closed from here, nobody knows whether it still does.
    let lately = signs.last_arrival.is_some_and(|last| last + LATELY >= now);
    match (signs.drops, arrives && lately || reachable.status == "True") {
        (true, _) => Delivery::Dropping,
        (false, true) => Delivery::Fine,
        (false, false) => Delivery::Unknown,
    }
}

/// When no pod of a receiver took notifications before they last started, as they say themselves. What ended long ago was watched, or
/// is on record.
pub fn away(context: &Context, reference: &ObjectRef, skew: SignedDuration) -> Option<Window> {
    let receiver = find(&context.stores.receivers, reference)?;
    let (start, end) = context.observed.away(reference, receiver.spec.replicas)?;
    (end + TOLD >= local_clock::now()).then(|| Window {
        start: shifted(start, skew),
        end: shifted(end, skew),
    })
}
