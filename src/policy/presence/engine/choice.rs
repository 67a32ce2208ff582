//! What a person chose on the PBX as preferred presence in Teams, where nobody else chose one.

use jiff::Timestamp;

use super::super::mapping::{Choice, InTeams};
use super::super::pbx::{Activity, Origin};
use super::super::teams::Reading;
use super::verdict::Verdict;
use super::{FRESH, LATE, Part, SETTLE, Settings, UserState, Why, Write};

/// What is to be chosen in Teams.
enum Wish<'a> {
    /// This, as the PBX says that.
    Choose(Choice, &'a Activity),
    /// Nothing, from now on.
    Nothing(Why),
    /// Whatever it is, as nobody knows.
    Hold,
}

/// What the person chose on the PBX.
pub(super) enum Said<'a> {
    /// This.
    This(&'a Activity),
    /// Nothing.
    Nothing,
    /// Nobody knows.
    Unknown,
}

/// What the person chose on the PBX: what the newest entry says that is the person's or an app's. Calls, and what the PBX itself makes
/// of a calendar, are no choice.
pub(super) fn chosen<'a>(state: &'a UserState, settings: &Settings) -> Said<'a> {
    let is_choice = |activity: &Activity| {
        *activity != Activity::OnThePhone || !matches!(settings.mapping.in_teams(activity), InTeams::Session(_))
    };
    let Some(entries) = state.entries_of_others() else {
        return Said::Unknown;
    };
    let mut choices = entries.filter(|entry| entry.origin != Origin::System && is_choice(&entry.activity));
    choices
        .next()
        .map_or(Said::Nothing, |entry| Said::This(&entry.activity))
}

pub(super) fn verdict(state: &UserState, settings: &Settings, now: Timestamp) -> Verdict {
    if state.under_way(Part::Choice) {
        return Verdict::rest(Why::UnderWay);
    }
    let live = state.owned().choice.is_live(now);
    match wish(state, settings) {
        Wish::Hold => Verdict::rest(Why::PbxUnknown),
        Wish::Nothing(why) if !live => Verdict::rest(why),
        Wish::Nothing(why) => take_back(state, settings, why, now),
        Wish::Choose(choice, activity) => choose(state, settings, choice, activity, now),
    }
}

fn wish<'a>(state: &'a UserState, settings: &Settings) -> Wish<'a> {
    if state.released(settings) {
        return Wish::Nothing(Why::TakenBack);
    }
    if !settings.to_teams || !settings.capabilities.reads_presence {
        return Wish::Nothing(Why::Off);
    }
    let activity = match chosen(state, settings) {
        Said::This(activity) => activity,
        Said::Nothing => return Wish::Nothing(Why::Nothing),
        Said::Unknown => return Wish::Hold,
    };
    match settings.mapping.in_teams(activity) {
        InTeams::Choice(choice) => Wish::Choose(choice, activity),
        InTeams::Session(_) | InTeams::Nothing => Wish::Nothing(Why::Nothing),
        InTeams::Unmapped => Wish::Nothing(Why::Unmapped),
    }
}

fn take_back(state: &UserState, settings: &Settings, why: Why, now: Timestamp) -> Verdict {
    if let Some(verdict) = obstacle(state, now) {
        return verdict;
    }
    let visible = state.teams().is_some_and(|reading| reading.state.visible());
    // Ours may have been replaced by a choice that cannot be seen now. It waits, to be cleared or to vanish, unless nobody will come.
    if !visible && !state.released(settings) {
        return Verdict::wait(Why::NotVisible, state.owned().choice.vanishes());
    }
    Verdict::write(
        Write::ClearPreferred,
        if why == Why::TakenBack { why } else { Why::Due },
    )
}

fn choose(state: &UserState, settings: &Settings, choice: Choice, activity: &Activity, now: Timestamp) -> Verdict {
    let owned = &state.owned().choice;
    if state.owned().replaced.as_ref() == Some(activity) {
        return Verdict::rest(Why::Replaced);
    }
    let lifetime = settings.choice(choice);
    let certain = owned.certain(now).filter(|held| held.value.choice == choice);
    let refresh = certain.map(|held| held.sent + lifetime.refresh);
    if let Some(at) = refresh.filter(|at| *at > now) {
        return Verdict::wait(Why::InStep, Some(at));
    }
    match state.teams() {
        Some(reading) if !reading.state.visible() => {
            return Verdict::wait(Why::NotVisible, owned.vanishes().filter(|at| *at > now));
        }
        Some(reading) if !owned.is_live(now) && reading.state.looks_chosen() && shows_all(state, reading) => {
            return Verdict::rest(Why::ChosenInTeams);
        }
        _ => {}
    }
    let late = owned.unanswered_clear.map(|given_up| given_up + LATE);
    if let Some(late) = late.filter(|late| *late > now) {
        return Verdict::wait(Why::Waiting, Some(late));
    }
    obstacle(state, now).unwrap_or_else(|| {
        Verdict::write(
            Write::SetPreferred {
                choice,
                ttl: lifetime.ttl,
                tells: activity.clone(),
            },
            Why::Due,
        )
    })
}

/// Whether this was read after all that we wrote showed.
fn shows_all(state: &UserState, reading: &Reading) -> bool {
    settled(state).is_none_or(|at| reading.at >= at)
}

/// Since when Teams shows all that we wrote there, a session too: it may look like a choice.
fn settled(state: &UserState) -> Option<Timestamp> {
    let owned = state.owned();
    let changed = owned.choice.settled().max(owned.session.settled());
    changed.map(|changed| changed + SETTLE)
}

/// What has to happen before a choice may be written: it is written only on what was read just now, and after the last write showed.
fn obstacle(state: &UserState, now: Timestamp) -> Option<Verdict> {
    if let Some(until) = state.waits(Part::Choice, now) {
        return Some(Verdict::wait(Why::Waiting, Some(until)));
    }
    if state.under_way(Part::Session) {
        return Some(Verdict::rest(Why::ToBeRead));
    }
    let settled = settled(state);
    if let Some(at) = settled.filter(|at| *at > now) {
        return Some(Verdict::wait(Why::ToBeRead, Some(at)));
    }
    let read = state.teams().map(|reading| reading.at);
    let since = |needed: Timestamp| read.is_some_and(|read| read >= needed);
    if !since(settled.map_or(now - FRESH, |at| at.max(now - FRESH))) {
        return Some(Verdict::read());
    }
    // One without an answer that does not show may be acted on yet, also after another. After that time, a reading tells.
    let late = state.owned().choice.intent.as_ref().map(|intent| intent.sent + LATE)?;
    if late > now {
        return Some(Verdict::wait(Why::Waiting, Some(late)));
    }
    (!since(late)).then(Verdict::read)
}
