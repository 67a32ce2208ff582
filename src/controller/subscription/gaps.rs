//! Windows in which notifications may be missing: how they are opened, closed, filled and struck off.

use jiff::{SignedDuration, Timestamp};

use super::delivery::Delivery;
use super::observe::View;
use crate::api::GAPS_ACKNOWLEDGED_ANNOTATION;
use crate::api::condition::{self, ConditionType, Reason, Truth, Verdict, time};
use crate::api::subscription::{Gap, GapState, GraphSubscription, GraphSubscriptionStatus};
use crate::policy::backfill::{self, Window, events_in_words};
use crate::policy::backoff::Class;
use crate::policy::subscription::{Cause, LifecycleEvent, Plan, Situation};

/// Gaps that a status keeps.
pub const KEPT_GAPS: usize = 16;
/// Graph repeats what is not answered; a shorter outage of a receiver costs nothing.
/// <https://learn.microsoft.com/graph/change-notifications-delivery-webhooks>
pub const OUTAGE: SignedDuration = SignedDuration::from_mins(10);

/// How long Graph tries to deliver a notification.
/// <https://learn.microsoft.com/graph/change-notifications-delivery-webhooks>
const GRAPH_PATIENCE: SignedDuration = SignedDuration::from_hours(4);
/// Graph drops for ten minutes at a time, and may go on for so long when a receiver answers again.
/// <https://learn.microsoft.com/graph/change-notifications-delivery-webhooks>
const DROPPING: SignedDuration = SignedDuration::from_mins(10);
/// An outage of a receiver may have begun so long before it was seen: between two looks, with a good handshake believed.
const NOTICED_AFTER: SignedDuration = SignedDuration::from_mins(8);
/// Two machines' clocks differ by less than this, unless one is wrong.
const CLOCKS_APART: SignedDuration = SignedDuration::from_mins(1);

/// What a gap comes from. Of each only one can be open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Subscription,
    Receiver,
}

fn source(gap: &Gap) -> Source {
    match Reason::from_name(&gap.cause) {
        Some(Reason::ReceiverUnavailable | Reason::EndpointDropping) => Source::Receiver,
        _ => Source::Subscription,
    }
}

/// The gap that begins where a plan puts a new subscription in the place of an old one: its cause and its start.
pub fn opened_by(plan: &Plan) -> Option<(Reason, Timestamp)> {
    match plan {
        Plan::Create { cause, .. } | Plan::Replace { cause, .. } => of(*cause),
        _ => None,
    }
}

/// The gap that begins where a subscription ended.
pub fn of(cause: Cause) -> Option<(Reason, Timestamp)> {
    match cause {
        Cause::First => None,
        Cause::Replaced(at) => Some((Reason::Recreated, at)),
        Cause::Lapsed(at) => Some((Reason::Lapsed, at)),
        Cause::Removed(at) => Some((Reason::Removed, at)),
    }
}

/// Opens a gap, unless one of its source is open: there is no second beginning.
pub fn open(status: &mut GraphSubscriptionStatus, (cause, start): (Reason, Timestamp)) {
    let gap = new(cause, start, None);
    if !status
        .gaps
        .iter()
        .any(|known| known.end.is_none() && source(known) == source(&gap))
    {
        add(status, gap);
    }
}

/// There is a subscription again.
pub fn close(status: &mut GraphSubscriptionStatus, now: Timestamp) {
    close_of(status, Source::Subscription, now);
}

/// Graph has the renewal that it asked for, or a new subscription instead. What it held longer than it keeps trying is lost.
pub fn record_reauthorized(status: &mut GraphSubscriptionStatus, now: Timestamp) {
    let Some(asked) = status.reauthorization_required_since.take() else {
        return;
    };
    let open = |gap: &Gap| gap.end.is_none() && source(gap) == Source::Subscription && gap.start.0 <= asked.0;
    if asked.0 + GRAPH_PATIENCE < now && !status.gaps.iter().any(open) {
        add(status, new(Reason::ReauthorizedLate, asked.0, Some(now)));
    }
}

fn close_of(status: &mut GraphSubscriptionStatus, from: Source, now: Timestamp) {
    let open = |gap: &&mut Gap| gap.end.is_none() && source(gap) == from;
    for gap in status.gaps.iter_mut().filter(open) {
        gap.end = Some(time(now.max(gap.start.0)));
        gap.state = GapState::Pending;
    }
}

/// Windows that Graph itself tells of.
pub fn record_missed(status: &mut GraphSubscriptionStatus, situation: &Situation) {
    for item in situation
        .lifecycle
        .iter()
        .filter(|item| item.event == LifecycleEvent::Missed)
    {
        // What was lost may be older than what came since: Graph tries for so long.
        let tried = item.received - GRAPH_PATIENCE;
        let told = status.gaps.iter().filter(|gap| gap.cause == Reason::Missed.to_string());
        let told = told.filter_map(|gap| gap.end.as_ref()).map(|end| end.0).max();
        let start = tried.max(told.unwrap_or(tried)).min(item.received);
        add(status, new(Reason::Missed, start, Some(item.received)));
    }
}

/// Windows in which the receiver could not take notifications, or so slowly that Graph drops them.
pub fn record_delivery(status: &mut GraphSubscriptionStatus, delivery: &Delivery, now: Timestamp) {
    let alive = status.subscription_id.is_some();
    match (leaves_gap(delivery, now), delivery) {
        (Some(true), Delivery::Unavailable(since)) if alive => {
            let since = (*since).min(now - OUTAGE);
            open(status, (Reason::ReceiverUnavailable, since - NOTICED_AFTER));
        }
        (Some(true), _) if alive => open(status, (Reason::EndpointDropping, now - OUTAGE)),
        (Some(false), _) => close_of(status, Source::Receiver, now + DROPPING),
        _ => {}
    }
}

/// An outage of the receiver that nobody watched, as its pods tell of it afterwards.
pub fn record_away(status: &mut GraphSubscriptionStatus, object: &GraphSubscription, away: Option<Window>) {
    if let Some(away) = away.filter(|away| lacks(status, object, *away)) {
        add(
            status,
            new(Reason::ReceiverUnavailable, away.start, Some(away.end + DROPPING)),
        );
    }
}

/// Whether a subscription lived through an outage of its receiver that is not on record.
pub fn lacks(status: &GraphSubscriptionStatus, object: &GraphSubscription, away: Window) -> bool {
    let seen = acknowledged_until(object).is_some_and(|until| until >= away.end);
    let subscribed = condition::find(&status.conditions, ConditionType::Subscribed);
    let lived = subscribed
        .is_some_and(|subscribed| subscribed.status == "True" && subscribed.last_transition_time.0 <= away.end);
    let known = status.gaps.iter().any(|gap| {
        let ended = gap.end.as_ref().is_some_and(|end| end.0 < away.end);
        source(gap) == Source::Receiver && gap.start.0 <= away.start + NOTICED_AFTER && !ended
    });
    lived && !known && !seen && away.start + OUTAGE <= away.end
}

/// Whether events get lost; none while nobody knows, or it does not last long enough.
pub fn leaves_gap(delivery: &Delivery, now: Timestamp) -> Option<bool> {
    match delivery {
        // One that begins in the future began before the clock was set back: for how long it has lasted, nobody knows.
        Delivery::Unavailable(since) => (now >= *since + OUTAGE || *since > now + CLOCKS_APART).then_some(true),
        Delivery::Dropping => Some(true),
        Delivery::Fine => Some(false),
        Delivery::Unknown => None,
    }
}

/// Whether a gap is open that the receiver is the cause of.
pub fn has_open_of_receiver(status: &GraphSubscriptionStatus) -> bool {
    status
        .gaps
        .iter()
        .any(|gap| gap.end.is_none() && source(gap) == Source::Receiver)
}

/// When an outage of the receiver will have lasted so long that notifications are lost. Without a look then, one that ends before
/// the next look leaves no trace.
pub fn outage_due(status: &GraphSubscriptionStatus, view: &View) -> Option<Timestamp> {
    let Delivery::Unavailable(since) = view.delivery else {
        return None;
    };
    status.subscription_id.as_ref()?;
    Some(since + OUTAGE).filter(|due| *due > view.now)
}

/// When a silence becomes longer than the user believes.
pub fn silence_due(status: &GraphSubscriptionStatus, view: &View) -> Option<Timestamp> {
    let longest = view.object.spec.max_silence.as_ref()?.seconds()?;
    status.subscription_id.as_ref().filter(|_| !view.object.spec.suspend)?;
    Some(silent_since(status, view)? + SignedDuration::from_secs(longest))
}

/// A window without any notification that is longer than the user believes.
pub fn record_silence(status: &mut GraphSubscriptionStatus, view: &View) {
    let over = silence_due(status, view).is_some_and(|due| due <= view.now);
    let Some(since) = silent_since(status, view).filter(|_| over) else {
        return;
    };
    let gap = new(Reason::Silent, since, Some(view.now));
    // One long silence is one window, as far as nothing was done about it.
    let known = status.gaps.iter_mut().find(|known| {
        known.cause == gap.cause
            && known.state != GapState::Backfilled
            && known.checked_time.is_none()
            && known.end.as_ref().is_some_and(|end| end.0 >= since)
    });
    match known {
        Some(known) => known.end.clone_from(&gap.end),
        None => add(status, gap),
    }
}

/// Since when nothing came that was not looked into: the last notification, the last silence, or the making of the subscription.
fn silent_since(status: &GraphSubscriptionStatus, view: &View) -> Option<Timestamp> {
    let silences = status.gaps.iter().filter(|gap| gap.cause == Reason::Silent.to_string());
    let looked_into = silences.filter_map(|gap| gap.end.as_ref()).max();
    let made = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == ConditionType::Subscribed.to_string());
    let made = made.map(|condition| &condition.last_transition_time);
    let times = status
        .last_event_time
        .iter()
        .chain(made)
        .chain(looked_into)
        .map(|at| at.0);
    // What a person has seen needs no second look.
    let seen = acknowledged_until(&view.object).map(|until| until.min(view.now));
    times.chain(seen).max()
}

/// What the last question to Graph gave.
pub fn record_backfill(status: &mut GraphSubscriptionStatus, view: &View) {
    if let Some(why) = backfill::obstacle(&view.object.spec) {
        for gap in status.gaps.iter_mut().filter(|gap| gap.state == GapState::Pending) {
            give_up(gap, why);
        }
        return;
    }
    let Some(report) = &view.backfill else { return };
    match &report.result {
        Ok(found) => {
            backfill::record(&mut status.gaps, found, &view.object.spec);
            if let Some((window, events)) = found.lost {
                let mut gap = new(Reason::ListingDisagrees, window.start, Some(window.end));
                gap.state = GapState::Backfilled;
                gap.backfilled = Some(events);
                gap.checked_time = Some(time(found.begun));
                gap.outcome = format!(
                    "Found by asking Graph what changed: {} handed to the receiver that no notification had told of.",
                    events_in_words(events)
                );
                add(status, gap);
            }
        }
        Err(trouble) if trouble.class == Class::Invalid => {
            if let (true, Some(window)) = (report.job.windows.is_empty(), trouble.window) {
                let mut gap = new(Reason::ListingDisagrees, window.start, Some(window.end));
                give_up(&mut gap, &trouble.message);
                add(status, gap);
            }
            let asked = |gap: &Gap| report.job.windows.iter().any(|window| is_of(gap, *window));
            let mut oldest = trouble.window.map(|window| window.start);
            for gap in status.gaps.iter_mut().rev().filter(|gap| is_waiting(gap) && asked(gap)) {
                give_up(gap, &trouble.message);
                // What came before the gap and was asked for with it is not looked at again.
                if let Some(before) = oldest.take() {
                    gap.start = time(before.min(gap.start.0));
                }
            }
        }
        Err(trouble) => {
            for gap in status.gaps.iter_mut().filter(|gap| is_waiting(gap)) {
                gap.outcome = format!(
                    "Waits to be filled from Graph; the last try failed: {}",
                    trouble.message
                );
            }
        }
    }
}

fn is_of(gap: &Gap, window: Window) -> bool {
    gap.start.0 == window.start && gap.end.as_ref().is_some_and(|end| end.0 == window.end)
}

fn is_waiting(gap: &Gap) -> bool {
    gap.state == GapState::Pending && gap.end.is_some()
}

fn give_up(gap: &mut Gap, why: &str) {
    gap.state = GapState::CannotBackfill;
    gap.outcome =
        format!("Cannot be filled: {why}. Look at what changed in this window yourself, then acknowledge it.");
}

fn new(cause: Reason, start: Timestamp, end: Option<Timestamp>) -> Gap {
    Gap {
        cause: cause.to_string(),
        start: time(start),
        end: end.map(time),
        state: GapState::Pending,
        backfilled: None,
        checked_time: None,
        outcome: "Waits to be filled from Graph.".to_owned(),
    }
}

fn add(status: &mut GraphSubscriptionStatus, gap: Gap) {
    let known = |known: &Gap| known.cause == gap.cause && known.end == gap.end && gap.end.is_some();
    if status.gaps.iter().any(known) {
        return;
    }
    status.gaps.insert(0, gap);
    if status.gaps.len() > KEPT_GAPS {
        make_room(&mut status.gaps);
    }
}

/// What is settled goes first. Of what is not, nothing may be forgotten: the two oldest become one.
fn make_room(gaps: &mut Vec<Gap>) {
    let settled = gaps.iter().rposition(|gap| gap.state == GapState::Backfilled);
    if let Some(index) = settled.filter(|index| *index > 0) {
        gaps.remove(index);
        return;
    }
    let ended = |gap: &Gap| gap.end.is_some();
    let Some(oldest) = gaps.iter().rposition(ended) else {
        gaps.truncate(KEPT_GAPS);
        return;
    };
    let gone = gaps.remove(oldest);
    if let Some(kept) = gaps.iter_mut().rev().find(|gap| ended(gap)) {
        kept.start = gone.start.min(kept.start.clone());
        kept.end = gone.end.max(kept.end.clone());
        kept.checked_time = None;
        if gone.state == GapState::CannotBackfill {
            (kept.state, kept.outcome) = (gone.state, gone.outcome);
        }
    }
}

/// When what caused a gap was over, for whoever acknowledges it.
fn was_over(gap: &Gap) -> Option<Timestamp> {
    let end = gap.end.as_ref()?.0;
    Some(if source(gap) == Source::Receiver {
        end - DROPPING
    } else {
        end
    })
}

fn acknowledged_until(object: &GraphSubscription) -> Option<Timestamp> {
    let annotations = object.metadata.annotations.as_ref()?;
    annotations.get(GAPS_ACKNOWLEDGED_ANNOTATION)?.parse().ok()
}

/// A person may say that gaps until a time were seen.
pub fn strike_acknowledged(status: &mut GraphSubscriptionStatus, object: &GraphSubscription) {
    let until = acknowledged_until(object);
    if let Some(until) = until {
        status.gaps.retain(|gap| was_over(gap).is_none_or(|over| over > until));
    }
}

/// Whether anything may be missing that was not fetched since.
pub fn gap_free(next: &GraphSubscriptionStatus) -> Verdict {
    let verdict =
        |truth: bool, reason, message: &str| Verdict::new(ConditionType::GapFree, Truth::from(truth), reason, message);
    let unsettled = next.gaps.iter().filter(|gap| gap.state != GapState::Backfilled);
    let worst = unsettled.clone().find(|gap| gap.state == GapState::CannotBackfill);
    let Some(gap) = worst.or_else(|| unsettled.clone().next()) else {
        return if next.gaps.is_empty() {
            verdict(
                true,
                Reason::NoGap,
                "no window is known in which notifications are missing",
            )
        } else {
            verdict(
                true,
                Reason::Backfilled,
                "what was missing was fetched from Graph; see status.gaps",
            )
        };
    };
    let end = gap
        .end
        .as_ref()
        .map_or_else(|| "now".to_owned(), |end| end.0.to_string());
    let remedy = if gap.state == GapState::CannotBackfill {
        format!("{} The annotation is {GAPS_ACKNOWLEDGED_ANNOTATION}", gap.outcome)
    } else if gap.end.is_none() {
        "it is filled from Graph once it has ended".to_owned()
    } else {
        gap.outcome.clone()
    };
    let message = format!(
        "notifications between {} and {end} may be missing ({} such windows): {remedy}",
        gap.start.0,
        unsettled.count()
    );
    let reason = Reason::from_name(&gap.cause).unwrap_or(Reason::Missed);
    verdict(false, reason, &message)
}
