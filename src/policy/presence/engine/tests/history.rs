//! Random histories: what people do, and what goes wrong.

use proptest::prelude::*;

use super::teams::{Chosen, Client};
use crate::api::presence::{Direction, DoNotDisturbPolicy, OfflinePolicy, OutOfOfficePolicy, Profile, RingingPolicy};
use crate::policy::presence::mapping::Choice;
use crate::policy::presence::pbx::{Activity, Line};

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Action {
    Client(Client),
    Choose(Chosen),
    Reset,
    /// The mailbox says that the person is out of office, or is no longer.
    OutOfOffice(bool),
    Line(Line),
    Entry(Activity),
    NoEntry,
    Calendar(Activity),
    /// The connection to the PBX breaks for so many milliseconds.
    PbxDown(i64),
    /// The PBX tells no entries for so many milliseconds, though it is connected.
    EntriesUnknown(i64),
    /// The same of calls.
    LineUnknown(i64),
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

/// What our own entry on the PBX is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// An entry beside the person's, which stays until it is taken back.
    Stays,
    /// One that expires.
    Expires,
    /// The person's one switch for do not disturb.
    Switch,
    /// The PBX can hold none.
    Nothing,
}

/// What is asked for, and what the PBX can do.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub direction: Direction,
    pub own: Own,
    /// The PBX tells people's entries.
    pub entries: bool,
    /// The PBX tells calls.
    pub line: bool,
    pub profile: Profile,
    pub offline: OfflinePolicy,
    pub out_of_office: OutOfOfficePolicy,
    pub do_not_disturb: DoNotDisturbPolicy,
    pub ringing: RingingPolicy,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            direction: Direction::Both,
            own: Own::Stays,
            entries: true,
            line: true,
            profile: Profile::Innovaphone,
            offline: OfflinePolicy::Profile,
            out_of_office: OutOfOfficePolicy::Ignore,
            do_not_disturb: DoNotDisturbPolicy::Preferred,
            ringing: RingingPolicy::Ignore,
        }
    }
}

/// A history: what happens after how many milliseconds, and under which circumstances.
#[derive(Clone, Debug)]
pub struct History {
    pub actions: Vec<(i64, Action)>,
    pub source: Source,
    pub terms: Terms,
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
        Activity::OnThePhone,
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
        1 => any::<bool>().prop_map(Action::OutOfOffice),
    ]
}

fn pause() -> impl Strategy<Value = i64> {
    prop_oneof![2 => 0_i64..3_000, 3 => 3_000_i64..40_000, 2 => 40_000_i64..400_000]
}

fn trouble() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => pause().prop_map(Action::PbxDown),
        3 => pause().prop_map(Action::GraphDown),
        2 => pause().prop_map(Action::EntriesUnknown),
        1 => pause().prop_map(Action::LineUnknown),
    ]
}

fn crash() -> impl Strategy<Value = Action> {
    pause().prop_map(Action::Crash)
}

/// What is drawn more often is what most have.
fn terms() -> impl Strategy<Value = Terms> {
    let direction = [
        Direction::Both,
        Direction::Both,
        Direction::TeamsToPbx,
        Direction::PbxToTeams,
    ];
    let own = [
        Own::Stays,
        Own::Stays,
        Own::Expires,
        Own::Expires,
        Own::Switch,
        Own::Nothing,
    ];
    let profile = [Profile::Innovaphone, Profile::Sip, Profile::Conservative];
    let offline = [OfflinePolicy::Profile, OfflinePolicy::Unset, OfflinePolicy::NoChange];
    let absent = [
        OutOfOfficePolicy::Ignore,
        OutOfOfficePolicy::Note,
        OutOfOfficePolicy::Away,
    ];
    let disturbed = [
        DoNotDisturbPolicy::Preferred,
        DoNotDisturbPolicy::Preferred,
        DoNotDisturbPolicy::Session,
        DoNotDisturbPolicy::Session,
        DoNotDisturbPolicy::Ignore,
    ];
    let one_of = |count: usize| 0..count;
    let kinds = (one_of(direction.len()), one_of(own.len()), 0..10_u8);
    let policies = (one_of(3), one_of(3), one_of(3), one_of(disturbed.len()), any::<bool>());
    (kinds, policies).prop_map(move |(kinds, policies)| {
        let own = own[kinds.1];
        Terms {
            direction: direction[kinds.0],
            own,
            // Who holds a switch must see it.
            entries: kinds.2 != 0 || own == Own::Switch,
            line: kinds.2 != 1 && kinds.2 != 2,
            profile: profile[policies.0],
            offline: offline[policies.1],
            out_of_office: absent[policies.2],
            do_not_disturb: disturbed[policies.3],
            ringing: if policies.4 {
                RingingPolicy::InACall
            } else {
                RingingPolicy::Ignore
            },
        }
    })
}

fn history(action: impl Strategy<Value = Action>, pause: impl Strategy<Value = i64>) -> impl Strategy<Value = History> {
    let source = prop::sample::select(vec![Source::Poll, Source::Hint, Source::Hint, Source::Rich]);
    let actions = prop::collection::vec((pause, action), 3..15);
    (actions, source, terms(), any::<bool>(), any::<u64>()).prop_map(|(actions, source, terms, short_lives, seed)| {
        History {
            actions,
            source,
            terms,
            short_lives,
            seed,
        }
    })
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
