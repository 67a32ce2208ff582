//! Calls on the PBX as a session of our app in Teams.

use jiff::Timestamp;

use super::super::mapping::{InTeams, Session};
use super::super::pbx::{Activity, Line};
use super::choice::{self, Said};
use super::verdict::Verdict;
use super::{Part, Settings, UserState, Why, Write};

/// What the session is to say.
enum Wish {
    /// This.
    Say(Session),
    /// Nothing, from now on.
    Nothing(Why),
    /// Whatever it says, as nobody knows.
    Hold,
}

pub(super) fn verdict(state: &UserState, settings: &Settings, now: Timestamp) -> Verdict {
    if state.under_way(Part::Session) {
        return Verdict::rest(Why::UnderWay);
    }
    let owned = &state.owned().session;
    let verdict = match wish(state, settings) {
        // Without a refresh, it vanishes by itself.
        Wish::Hold => Verdict::rest(Why::PbxUnknown),
        Wish::Nothing(why) if !owned.is_live(now) => Verdict::rest(why),
        Wish::Nothing(why) => clear(state, settings, why, now),
        Wish::Say(session) => say(state, settings, session, now),
    };
    match state.waits(Part::Session, now) {
        Some(until) if verdict.write.is_some() => Verdict::wait(Why::Waiting, Some(until)),
        _ => verdict,
    }
}

fn wish(state: &UserState, settings: &Settings) -> Wish {
    if state.released(settings) {
        return Wish::Nothing(Why::TakenBack);
    }
    if !settings.to_teams {
        return Wish::Nothing(Why::Off);
    }
    let Some(told) = state.pbx() else { return Wish::Hold };
    match choice::chosen(state, settings) {
        Said::This(activity) => {
            if let InTeams::Session(session) = settings.mapping.in_teams(activity) {
                return Wish::Say(session);
            }
        }
        // Whether a choice goes on that is told as a session is not known.
        Said::Unknown if holds(state, Session::DoNotDisturb) && settings.capabilities.reads_presence => {
            return Wish::Hold;
        }
        Said::Nothing | Said::Unknown => {}
    }
    let line = told.view.line;
    match settings.mapping.of_line(line) {
        Some(session) => Wish::Say(session),
        None if line != Line::Unknown => Wish::Nothing(Why::Nothing),
        None => by_entries(state, settings),
    }
}

/// Where the line is not known, an entry may tell of a call.
fn by_entries(state: &UserState, settings: &Settings) -> Wish {
    let on_the_phone = state
        .entries_of_others()
        .map(|mut entries| entries.any(|entry| entry.activity == Activity::OnThePhone));
    match settings.mapping.in_teams(&Activity::OnThePhone) {
        InTeams::Session(session) if on_the_phone == Some(true) => Wish::Say(session),
        _ if settings.capabilities.line => Wish::Hold,
        _ if !settings.capabilities.reads_presence => Wish::Nothing(Why::Off),
        // Who was on the phone may be still.
        _ if on_the_phone.is_none() => Wish::Hold,
        _ => Wish::Nothing(Why::Nothing),
    }
}

fn holds(state: &UserState, session: Session) -> bool {
    let owned = &state.owned().session;
    owned.held.iter().chain(&owned.intent).any(|held| held.value == session)
}

fn clear(state: &UserState, settings: &Settings, why: Why, now: Timestamp) -> Verdict {
    let free_since = state.pbx().and_then(|told| told.free_since);
    let settled = free_since.map(|since| since + settings.debounce);
    match settled.filter(|at| why == Why::Nothing && *at > now) {
        Some(at) => Verdict::wait(Why::LineJustFree, Some(at)),
        None => Verdict::write(Write::ClearSession, if why == Why::Nothing { Why::Due } else { why }),
    }
}

fn say(state: &UserState, settings: &Settings, session: Session, now: Timestamp) -> Verdict {
    let lifetime = settings.session();
    let certain = state.owned().session.certain(now);
    let refresh = certain
        .filter(|held| held.value == session)
        .map(|held| held.sent + lifetime.refresh);
    match refresh.filter(|at| *at > now) {
        Some(at) => Verdict::wait(Why::InStep, Some(at)),
        None => Verdict::write(
            Write::SetSession {
                session,
                ttl: lifetime.ttl,
            },
            Why::Due,
        ),
    }
}
