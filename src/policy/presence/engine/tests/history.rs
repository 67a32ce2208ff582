//! Random histories: what people do, and what goes wrong.

use proptest::prelude::*;

use super::teams::{Chosen, Client};
use crate::policy::presence::mapping::Choice;
use crate::policy::presence::pbx::{Activity, Line};

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Action {
    Client(Client),
    Choose(Chosen),
    Reset,
    Line(Line),
    Entry(Activity),
    NoEntry,
    Calendar(Activity),
    /// The connection to the PBX breaks for so many milliseconds.
    PbxDown(i64),
    /// Graph answers nothing, or with faults, for so many milliseconds.
    GraphDown(i64),
    /// The operator dies, and comes back after so many milliseconds.
    Crash(i64),
}

/// How Teams' presence is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Sweeps alone.
    Poll,
    /// A notification makes one read; sweeps besides.
    Hint,
    /// Notifications carry the state; sweeps besides.
    Rich,
}

/// A history: what happens after how many milliseconds, and under which circumstances.
#[derive(Clone, Debug)]
pub struct History {
    pub actions: Vec<(i64, Action)>,
    pub source: Source,
    /// Our entry on the PBX expires.
    pub expires: bool,
    /// Do not disturb of the PBX becomes a session.
    pub dnd_session: bool,
    /// Choices live for minutes instead of a day, so that refreshes and ends occur.
    pub short_lives: bool,
    pub seed: u64,
}

fn client() -> impl Strategy<Value = Action> {
    let clients = vec![
        Client::Offline,
        Client::Available,
        Client::Available,
        Client::Idle,
        Client::InACall,
        Client::InAMeeting,
    ];
    prop::sample::select(clients).prop_map(Action::Client)
}

fn choose() -> impl Strategy<Value = Action> {
    let choices = vec![
        None,
        Some(Choice::Available),
        Some(Choice::Busy),
        Some(Choice::DoNotDisturb),
        Some(Choice::DoNotDisturb),
        Some(Choice::BeRightBack),
        Some(Choice::Away),
    ];
    prop::sample::select(choices).prop_map(Action::Choose)
}

fn line() -> impl Strategy<Value = Action> {
    let lines = vec![
        Line::Idle,
        Line::Idle,
        Line::Ringing,
        Line::Connected,
        Line::Connected,
        Line::Conference,
    ];
    prop::sample::select(lines).prop_map(Action::Line)
}

fn activity() -> impl Strategy<Value = Activity> {
    prop::sample::select(vec![
        Activity::Unset,
        Activity::Away,
        Activity::BeRightBack,
        Activity::Busy,
        Activity::DoNotDisturb,
        Activity::DoNotDisturb,
        Activity::Lunch,
        Activity::Meeting,
        Activity::Vacation,
        Activity::Other("worship".to_owned()),
    ])
}

/// What people do.
pub fn people() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => client(),
        3 => choose(),
        2 => Just(Action::Reset),
        5 => line(),
        4 => activity().prop_map(Action::Entry),
        2 => Just(Action::NoEntry),
        1 => activity().prop_map(Action::Calendar),
    ]
}

fn pause() -> impl Strategy<Value = i64> {
    prop_oneof![2 => 0_i64..3_000, 3 => 3_000_i64..40_000, 2 => 40_000_i64..400_000]
}

fn trouble() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => pause().prop_map(Action::PbxDown),
        3 => pause().prop_map(Action::GraphDown),
    ]
}

fn crash() -> impl Strategy<Value = Action> {
    pause().prop_map(Action::Crash)
}

fn history(action: impl Strategy<Value = Action>, pause: impl Strategy<Value = i64>) -> impl Strategy<Value = History> {
    let source = prop::sample::select(vec![Source::Poll, Source::Hint, Source::Hint, Source::Rich]);
    let actions = prop::collection::vec((pause, action), 3..15);
    (actions, source, any::<(bool, bool, bool)>(), any::<u64>()).prop_map(
        |(actions, source, (expires, dnd_session, short_lives), seed)| History {
            actions,
            source,
            expires,
            dnd_session,
            short_lives,
            seed,
        },
    )
}

/// What people do, and nothing else.
pub fn undisturbed() -> impl Strategy<Value = History> {
    history(people(), pause())
}

/// The same at leisure: between two actions there is time for each message.
pub fn leisurely() -> impl Strategy<Value = History> {
    history(people(), 100_000_i64..160_000)
}

/// With connections that break.
pub fn troubled() -> impl Strategy<Value = History> {
    history(prop_oneof![8 => people(), 1 => trouble()], pause())
}

/// With processes that die, too.
pub fn crashing() -> impl Strategy<Value = History> {
    history(prop_oneof![8 => people(), 1 => trouble(), 2 => crash()], pause())
}
