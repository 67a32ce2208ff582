//! Windows in which notifications may be missing: how they are opened, closed and struck off.

use jiff::Timestamp;

use crate::api::GAPS_ACKNOWLEDGED_ANNOTATION;
use crate::api::condition::{Reason, time};
use crate::api::subscription::{Gap, GraphSubscription, GraphSubscriptionStatus};
use crate::policy::subscription::{Cause, LifecycleEvent, Plan, Situation};

/// Gaps that a status keeps.
pub const KEPT_GAPS: usize = 16;

/// The gap that begins where a plan puts a new subscription in the place of an old one: its cause and its start.
pub fn opened_by(plan: &Plan, now: Timestamp) -> Option<(Reason, Timestamp)> {
    match plan {
        Plan::Create { cause, .. } => of(*cause),
        Plan::Replace { gap: true, .. } => Some((Reason::Recreated, now)),
        _ => None,
    }
}

/// The gap that begins where a subscription ended.
pub fn of(cause: Cause) -> Option<(Reason, Timestamp)> {
    match cause {
        Cause::First => None,
        Cause::Lapsed(at) => Some((Reason::Lapsed, at)),
        Cause::Removed(at) => Some((Reason::Removed, at)),
    }
}

/// Opens a gap, unless one is open: there is no second beginning.
pub fn open(status: &mut GraphSubscriptionStatus, (cause, start): (Reason, Timestamp)) {
    if status.gaps.iter().all(|gap| gap.end.is_some()) {
        add(status, cause, start, None);
    }
}

/// Notifications flow again.
pub fn close(status: &mut GraphSubscriptionStatus, now: Timestamp) {
    for gap in status.gaps.iter_mut().filter(|gap| gap.end.is_none()) {
        gap.end = Some(time(now.max(gap.start.0)));
    }
}

/// Windows that Graph itself tells of.
pub fn record_missed(status: &mut GraphSubscriptionStatus, situation: &Situation) {
    for item in situation
        .lifecycle
        .iter()
        .filter(|item| item.event == LifecycleEvent::Missed)
    {
        let start = status
            .last_event_time
            .as_ref()
            .or(status.last_renewal_time.as_ref())
            .map_or(item.received, |at| at.0);
        add(status, Reason::Missed, start.min(item.received), Some(item.received));
    }
}

fn add(status: &mut GraphSubscriptionStatus, cause: Reason, start: Timestamp, end: Option<Timestamp>) {
    let gap = Gap {
        cause: cause.to_string(),
        start: time(start),
        end: end.map(time),
        outcome: "Not filled: look at what changed in this window yourself, then acknowledge it.".to_owned(),
    };
    if !status
        .gaps
        .iter()
        .any(|known| known.cause == gap.cause && known.end == gap.end && gap.end.is_some())
    {
        status.gaps.insert(0, gap);
        status.gaps.truncate(KEPT_GAPS);
    }
}

/// A person may say that gaps until a time were seen.
pub fn strike_acknowledged(status: &mut GraphSubscriptionStatus, object: &GraphSubscription) {
    let annotations = object.metadata.annotations.as_ref();
    let until =
        annotations.and_then(|annotations| annotations.get(GAPS_ACKNOWLEDGED_ANNOTATION)?.parse::<Timestamp>().ok());
    if let Some(until) = until {
        status
            .gaps
            .retain(|gap| gap.end.as_ref().is_none_or(|end| end.0 > until));
    }
}
