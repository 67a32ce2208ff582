//! When Graph is asked what changed, and what of its answer did not arrive.

use jiff::{SignedDuration, Timestamp};

use super::resource::{self, Announces, Rule};
use super::truth::Truth;
use crate::api::duration::DurationText;
use crate::api::subscription::{Backfill, ChangeType, Gap, GapState, GraphSubscriptionSpec, GraphSubscriptionStatus};

#[cfg(test)]
mod tests;

/// Time between two sweeps, unless the spec says otherwise.
const SWEEP_INTERVAL: SignedDuration = SignedDuration::from_hours(1);
/// Longer than any pause after a failure.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(20);
/// A gap is looked at when what was on its way when it ended has arrived.
const SETTLE: SignedDuration = SignedDuration::from_secs(30);
/// How far a receiver's clock and Graph's may be apart before a change that came after an arrival is called lost.
const CLOCKS: SignedDuration = SignedDuration::from_secs(10);

/// A stretch of time in which notifications may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its beginning.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
}

/// A question to Graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The gaps to be filled, newest first; none for a sweep.
    pub windows: Vec<Window>,
}

/// What the process remembers of an object's jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// When the last sweep began, or, before the first, when that is to begin less the interval.
    pub swept: Timestamp,
    /// Nothing is asked before this time, after a failure.
    pub not_before: Timestamp,
    /// Failures in a row.
    pub failures: i32,
    /// Whether a job is under way, or its report not written down.
    pub running: bool,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until something changes.
    Nothing,
    /// Nothing before this time.
    At(Timestamp),
    /// This.
    Now(Job),
}

/// Something that changed, as Graph tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its id.
    pub id: String,
    /// Its type, as `#microsoft.graph.user`, if told.
    pub odata_type: Option<String>,
    /// When it was created, if told.
    pub created: Option<Timestamp>,
    /// When it was last changed, if told.
    pub modified: Option<Timestamp>,
    /// Whether it was deleted.
    pub removed: bool,
}

/// Why the gaps of an object cannot be filled, as the end of a sentence.
pub fn obstacle(spec: &GraphSubscriptionSpec) -> Option<&'static str> {
    if spec.backfill == Backfill::Disabled {
        return Some("spec.backfill is Disabled");
    }
    if spec.receiver_ref.is_none() {
        return Some("notifications go to a webhook that the operator does not run");
    }
    let truth = resource::rule_for(&spec.resource).truth.of(&spec.resource);
    let only_deletions = spec.change_types == [ChangeType::Deleted];
    match truth {
        Truth::Nothing(why) => Some(why),
        _ if only_deletions && !truth.tells_deletions() => Some("Graph does not tell deletions there"),
        _ => None,
    }
}

/// Time between two sweeps; none where there is nothing to be found by them.
pub fn sweep_interval(spec: &GraphSubscriptionSpec) -> Option<SignedDuration> {
    let rule = resource::rule_for(&spec.resource);
    let truth = rule.truth.of(&spec.resource);
    // A link has to be kept up with; loss that Graph announces need not be looked for.
    let useful = truth.tells_changes() && (truth.follows_a_link() || rule.announces != Announces::Loss);
    let asked = spec.sweep_interval.as_ref();
    let asked = asked.and_then(DurationText::seconds).map(SignedDuration::from_secs);
    (useful && obstacle(spec).is_none()).then(|| asked.unwrap_or(SWEEP_INTERVAL))
}

/// What is to be done next for an object.
pub fn next(
    spec: &GraphSubscriptionSpec,
    status: &GraphSubscriptionStatus,
    memory: &Memory,
    takes: bool,
    now: Timestamp,
) -> Next {
    if memory.running || spec.suspend || obstacle(spec).is_some() {
        return Next::Nothing;
    }
    let rule = resource::rule_for(&spec.resource);
    let fill = status.gaps.iter().filter_map(|gap| due(gap, rule)).min();
    // What is missing for a known reason is no silent loss: its gap comes first.
    let alive = status.subscription_id.is_some() && status.expiration_time.as_ref().is_some_and(|at| at.0 > now);
    let settled = status.gaps.iter().all(|gap| gap.state != GapState::Pending);
    let swept = alive && status.create_pending_since.is_none() && settled && takes;
    // The clock may have been set back since.
    let last = memory.swept.min(now);
    let sweep = sweep_interval(spec).filter(|_| swept).map(|interval| last + interval);
    let Some(at) = fill.into_iter().chain(sweep).min() else {
        return Next::Nothing;
    };
    let at = at.max(memory.not_before.min(now + LONGEST_PAUSE));
    if at > now {
        return Next::At(at);
    }
    let windows = status
        .gaps
        .iter()
        .filter(|gap| due(gap, rule).is_some_and(|at| at <= now));
    Next::Now(Job {
        windows: windows.filter_map(window).collect(),
    })
}

fn window(gap: &Gap) -> Option<Window> {
    let end = gap.end.as_ref()?.0;
    let start = gap.start.0;
    Some(Window { start, end })
}

/// When a gap is to be looked at next; never when it is settled, or while it is open.
fn due(gap: &Gap, rule: &Rule) -> Option<Timestamp> {
    let end = gap.end.as_ref().filter(|_| gap.state == GapState::Pending)?.0;
    let checked = gap
        .checked_time
        .as_ref()
        .is_some_and(|checked| checked.0 >= end + SETTLE);
    Some(if checked { settled_at(end, rule) } else { end + SETTLE })
}

/// When Graph knows all that happened before `end`: call records appear late.
fn settled_at(end: Timestamp, rule: &Rule) -> Timestamp {
    let late = SignedDuration::from_mins(rule.settles_after_minutes());
    end + late.max(SETTLE)
}

/// What a job found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// When Graph was asked.
    pub begun: Timestamp,
    /// Events handed to the receiver.
    pub handed: i64,
    /// The same, window by window; for a sweep, none.
    pub filled: Vec<(Window, i64)>,
    /// What a sweep found that had not arrived though it should have: the window, and how many events.
    pub lost: Option<(Window, i64)>,
}

/// Writes down what a job found.
pub fn record(gaps: &mut [Gap], found: &Found, spec: &GraphSubscriptionSpec) {
    let rule = resource::rule_for(&spec.resource);
    for (filled, events) in &found.filled {
        let gap = gaps
            .iter_mut()
            .find(|gap| gap.state == GapState::Pending && window(gap) == Some(*filled));
        let Some(gap) = gap else { continue };
        let total = gap.backfilled.unwrap_or(0) + events;
        gap.backfilled = Some(total);
        gap.checked_time = Some(crate::api::condition::time(found.begun));
        if found.begun >= settled_at(filled.end, rule) {
            gap.state = GapState::Backfilled;
            gap.outcome = format!(
                "Filled from Graph: {} handed to the receiver.{}",
                events_in_words(total),
                untold(spec, rule)
            );
        } else {
            gap.outcome = format!(
                "{} handed to the receiver so far; Graph is asked again once it knows all.",
                events_in_words(total)
            );
        }
    }
}

/// What Graph does not tell of such a window.
fn untold(spec: &GraphSubscriptionSpec, rule: &Rule) -> &'static str {
    if !rule.truth.tells_deletions() && spec.change_types.contains(&ChangeType::Deleted) {
        " Graph does not tell deletions there."
    } else if rule.is_of_a_channel() {
        " Graph does not tell replies there."
    } else {
        ""
    }
}

/// A number of events, for people.
pub fn events_in_words(count: i64) -> String {
    match count {
        0 => "no event had to be".to_owned(),
        1 => "1 event was".to_owned(),
        count => format!("{count} events were"),
    }
}

/// As what a change is handed over: of the kinds that the spec asks for, and not from before `since`.
pub fn kind(change: &Change, asked: &[ChangeType], since: Timestamp) -> Option<ChangeType> {
    let has = |kind| asked.contains(&kind).then_some(kind);
    if change.removed {
        return has(ChangeType::Deleted);
    }
    if change.modified.is_some_and(|at| at < since) {
        return None;
    }
    let new = change.created.is_none_or(|at| at >= since);
    let created = has(ChangeType::Created).filter(|_| new && change.created.is_some());
    created
        .or_else(|| has(ChangeType::Updated))
        .or_else(|| has(ChangeType::Created).filter(|_| new))
}

/// Whether a change arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// An item about it came after it happened.
    Came,
    /// An item came shortly before: about this change if clocks differ, about an earlier one if not.
    Doubtful,
    /// Nothing came.
    Missing,
}

/// Whether a change arrived, by when an item about the same object last came. Where it is not known when it happened, that item came
/// after `judged_from`.
pub fn arrival(change: &Change, received: Option<Timestamp>, judged_from: Timestamp) -> Arrival {
    let happened = change.modified.unwrap_or(judged_from);
    match received {
        Some(received) if received >= happened => Arrival::Came,
        Some(received) if received + CLOCKS >= happened => Arrival::Doubtful,
        _ => Arrival::Missing,
    }
}
