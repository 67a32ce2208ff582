//! What a person chose on the PBX as preferred presence in Teams, where nobody else chose one.

use jiff::Timestamp;

use super::super::mapping::{Choice, InTeams};
use super::super::pbx::{Activity, Origin};
use super::verdict::Verdict;
use super::{FRESH, Part, SETTLE, Settings, UserState, Why, Write};

/// What is to be chosen in Teams.
enum Wish<'a> {
    /// This, as the PBX says that.
    Choose(Choice, &'a Activity),
    /// Nothing, from now on.
    Nothing(Why),
    /// Whatever it is, as nobody knows.
    Hold,
}

/// What the person chose on the PBX: what the newest entry says that is the person's or an app's. `None`: nobody knows. Calls, and
/// what the PBX itself makes of a calendar, are no choice.
pub(super) fn chosen<'a>(state: &'a UserState, settings: &Settings) -> Option<Option<&'a Activity>> {
    let is_choice = |activity: &Activity| {
        *activity != Activity::OnThePhone || !matches!(settings.mapping.in_teams(activity), InTeams::Session(_))
    };
    let entries = state.entries_of_others()?;
    let mut choices = entries.filter(|entry| entry.origin != Origin::System && is_choice(&entry.activity));
    Some(choices.next().map(|entry| &entry.activity))
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
    let Some(chosen) = chosen(state, settings) else {
        return Wish::Hold;
    };
    let Some(activity) = chosen else {
        return Wish::Nothing(Why::Nothing);
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
    Verdict::write(Write::ClearPreferred, if why == Why::TakenBack { why } else { Why::Due })
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
        Some(reading) if !owned.is_live(now) && reading.state.looks_chosen() && settled(state, now) => {
            return Verdict::rest(Why::ChosenInTeams);
        }
        _ => {}
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

/// Whether what was read from Teams is from after our last write.
fn settled(state: &UserState, now: Timestamp) -> bool {
    let settled = state.owned().choice.settled().map(|at| at + SETTLE);
    settled.is_none_or(|at| at <= now && state.teams().is_some_and(|reading| reading.at >= at))
}

/// What has to happen before a choice may be written: it is written only on what was read just now, and after the last write showed.
fn obstacle(state: &UserState, now: Timestamp) -> Option<Verdict> {
    if let Some(until) = state.waits(Part::Choice, now) {
        return Some(Verdict::wait(Why::Waiting, Some(until)));
    }
    let settled = state.owned().choice.settled().map(|at| at + SETTLE);
    if let Some(at) = settled.filter(|at| *at > now) {
        return Some(Verdict::wait(Why::ToBeRead, Some(at)));
    }
    let needed = settled.map_or(now - FRESH, |at| at.max(now - FRESH));
    let fresh = state.teams().is_some_and(|reading| reading.at >= needed);
    (!fresh).then(Verdict::read)
}
