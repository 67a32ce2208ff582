//! What Teams shows as an entry of our own on the PBX.

use jiff::Timestamp;

use super::super::mapping::OnPbx;
use super::super::pbx::{Activity, OwnEntry};
use super::super::teams::{Base, Reading};
use super::choice::{self, Said};
use super::owned::{Held, Layer};
use super::verdict::Verdict;
use super::{LATE, Part, SETTLE, Settings, UserState, Why, Write};

/// How often an entry that vanishes as soon as it is there is put again.
const MOST_REPEATS: u8 = 3;

/// What our entry is to say.
enum Wish {
    /// This.
    Say(OwnEntry),
    /// There is to be none.
    Nothing(Why),
    /// What it says, refreshed where entries expire.
    Hold(Why),
    /// What it says, as long as it lasts.
    Leave(Why),
}

pub(super) fn verdict(state: &UserState, settings: &Settings, now: Timestamp) -> Verdict {
    if state.under_way(Part::Entry) {
        return Verdict::rest(Why::UnderWay);
    }
    let verdict = match wish(state, settings, now) {
        Wish::Leave(why) => Verdict::rest(why),
        Wish::Hold(why) => hold(state, settings, why, now),
        Wish::Nothing(why) => clear(state, why, now),
        Wish::Say(entry) => say(state, settings, entry, now),
    };
    let verdict = match state.waits(Part::Entry, now) {
        Some(until) if verdict.write.is_some() => Verdict::wait(Why::Waiting, Some(until)),
        _ => verdict,
    };
    reread(verdict, state, settings, now)
}

fn wish(state: &UserState, settings: &Settings, now: Timestamp) -> Wish {
    if state.released(settings) {
        return Wish::Nothing(Why::TakenBack);
    }
    if state.pbx().is_none() {
        return Wish::Leave(Why::PbxUnknown);
    }
    if !settings.to_pbx || !settings.capabilities.own_entry {
        return Wish::Nothing(Why::Off);
    }
    let Some(reading) = state.teams() else {
        return Wish::Leave(Why::TeamsUnknown);
    };
    let by_teams = if is_echo(state, reading, now) {
        Wish::Hold(Why::Echo)
    } else {
        match settings.mapping.on_pbx(&reading.state) {
            OnPbx::NoChange => Wish::Hold(Why::NoChange),
            OnPbx::Unmapped => Wish::Hold(Why::Unmapped),
            OnPbx::Unset => Wish::Nothing(Why::Nothing),
            OnPbx::Entry(entry) if settings.capabilities.own_is_do_not_disturb => by_switch(state, entry),
            OnPbx::Entry(entry) => Wish::Say(entry),
        }
    };
    // The newest entry is the one that is shown: a change of ours would hide what the person chose on the PBX, and what does not
    // change would be wrong one day.
    match choice::chosen(state, settings) {
        Said::This(activity) if *activity != Activity::Unset => Wish::Nothing(Why::ChosenOnPbx),
        _ => by_teams,
    }
}

/// Where our entry is a switch of the person's, do not disturb is all that it can say, and the person's hand goes before.
fn by_switch(state: &UserState, entry: OwnEntry) -> Wish {
    match entry.activity {
        Activity::DoNotDisturb if state.owned().switched_off => Wish::Nothing(Why::SwitchedOff),
        Activity::DoNotDisturb => Wish::Say(entry),
        _ => Wish::Nothing(Why::Nothing),
    }
}

/// Whether Teams shows, or may still show, what we wrote there.
fn is_echo(state: &UserState, reading: &Reading, now: Timestamp) -> bool {
    let owned = state.owned();
    let base = reading.state.base();
    let in_session = owned.session.live(now).any(|held| held.value.base() == base);
    let in_choice = owned
        .choice
        .live(now)
        .any(|held| held.value.choice.explains(&reading.state));
    let unsettled = unsettled(&owned.session, reading, now) || unsettled(&owned.choice, reading, now);
    let suspect = matches!(base, Base::Busy | Base::DoNotDisturb) || reading.state.looks_chosen();
    in_session || in_choice || (unsettled && suspect)
}

/// When the layer ended, if it has.
fn ended<T>(layer: &Layer<T>, now: Timestamp) -> Option<Timestamp> {
    let over = layer.vanishes().max(layer.ended);
    over.filter(|_| !layer.is_live(now))
}

/// Whether this was read before the layer's last change can be seen: it may show what was there before.
fn unsettled<T>(layer: &Layer<T>, reading: &Reading, now: Timestamp) -> bool {
    let changed = ended(layer, now).max(layer.settled());
    changed.is_some_and(|changed| reading.at < changed + SETTLE)
}

/// When something of ours ended in Teams, what it hid is read once.
fn reread(verdict: Verdict, state: &UserState, settings: &Settings, now: Timestamp) -> Verdict {
    let Some(reading) = state.teams().filter(|_| settings.to_pbx && !state.released(settings)) else {
        return verdict;
    };
    let owned = state.owned();
    let ends = [ended(&owned.session, now), ended(&owned.choice, now)];
    let lapses = [owned.session.vanishes(), owned.choice.vanishes()];
    let due = ends.into_iter().flatten().map(|at| at + SETTLE).max();
    let due = due.filter(|at| reading.at < *at);
    let later = lapses
        .into_iter()
        .flatten()
        .filter(|at| *at > now)
        .map(|at| at + SETTLE);
    Verdict {
        read: verdict.read || due.is_some_and(|at| at <= now),
        look: verdict
            .look
            .into_iter()
            .chain(due.filter(|at| *at > now))
            .chain(later)
            .min(),
        ..verdict
    }
}

fn clear(state: &UserState, why: Why, now: Timestamp) -> Verdict {
    let owned = &state.owned().entry;
    // One that no record tells of is ours all the same: the volume was lost, or a write came late.
    let shown = state.pbx().and_then(|told| told.view.shows_ours());
    // One without an answer may come after it was taken back, which only the PBX could tell.
    let late = owned.intent.as_ref().map(|intent| intent.sent + LATE);
    if let Some(at) = late.filter(|at| *at > now && shown.is_none()) {
        return Verdict::wait(Why::Waiting, Some(at));
    }
    if !owned.is_live(now) {
        let settled = owned.ended.map(|ended| ended + SETTLE).filter(|at| *at > now);
        match settled {
            _ if shown != Some(true) => return Verdict::rest(why),
            Some(at) => return Verdict::wait(why, Some(at)),
            None => {}
        }
    }
    Verdict::write(Write::ClearOwn, if why == Why::Nothing { Why::Due } else { why })
}

fn say(state: &UserState, settings: &Settings, entry: OwnEntry, now: Timestamp) -> Verdict {
    let owned = &state.owned().entry;
    if let Some(held) = owned.certain(now).filter(|held| held.value == entry) {
        match missing_from(state, settings, held) {
            None => return hold(state, settings, Why::InStep, now),
            Some(from) if from > now => return Verdict::wait(Why::InStep, Some(from)),
            Some(_) => {}
        }
    }
    // Another one without an answer may come after this one, and would be what the PBX says from then on.
    let other = owned.intent.as_ref().filter(|intent| intent.value != entry);
    match other.map(|intent| intent.sent + LATE).filter(|late| *late > now) {
        Some(late) => Verdict::wait(Why::Waiting, Some(late)),
        None => Verdict::write(put(settings, entry), Why::Due),
    }
}

/// From when on an entry that was written, but is told of as not there since, is missing: another write without an answer came after
/// it, or a switch was on by the person's hand, stayed theirs, and they turned it off. Just after the write, what is told may be older.
fn missing_from(state: &UserState, settings: &Settings, held: &Held<OwnEntry>) -> Option<Timestamp> {
    let told = state.pbx().filter(|told| told.at > held.sent)?;
    let shown = told.view.shows_ours()?;
    // Some adapters cannot show it.
    let would_show = held.seen || settings.capabilities.own_is_do_not_disturb;
    // Who takes it away each time does not want it.
    let is_fought = held.repeats >= MOST_REPEATS;
    (!shown && would_show && !is_fought).then(|| held.settled + SETTLE)
}

fn hold(state: &UserState, settings: &Settings, why: Why, now: Timestamp) -> Verdict {
    let owned = &state.owned().entry;
    let Some(held) = owned
        .intent
        .as_ref()
        .or(owned.held.as_ref())
        .filter(|_| owned.is_live(now))
    else {
        return Verdict::rest(why);
    };
    // What was begun without an answer is done again; but nothing is said anew by what Teams only shows since we wrote there.
    if owned.clearing {
        return clear(state, Why::Nothing, now);
    }
    if owned.intent.is_some() && why != Why::Echo {
        return Verdict::write(put(settings, held.value.clone()), Why::Due);
    }
    if !settings.capabilities.own_entry_expires {
        return Verdict::rest(why);
    }
    let refresh = held.sent + settings.entry().refresh;
    if refresh > now {
        return Verdict::wait(why, Some(refresh));
    }
    Verdict::write(put(settings, held.value.clone()), Why::Due)
}

fn put(settings: &Settings, entry: OwnEntry) -> Write {
    let ttl = settings.entry().ttl;
    Write::PutOwn {
        entry,
        ttl: settings.capabilities.own_entry_expires.then_some(ttl),
    }
}
