//! The operator in the model: the engine as a worker uses it.

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::json;

use super::history::{History, Own, Terms};
use super::naive::{Naive, NaiveWrite};
use crate::api::presence::PresenceSyncSpec;
use crate::policy::presence::engine::{LATE, Outcome, Owned, Part, SETTLE, Settings, UserState, Write, decide};
use crate::policy::presence::mapping::Choice;
use crate::policy::presence::pbx::{Capabilities, Line, PbxView};
use crate::policy::presence::teams::{Reading, TeamsState};

/// Some morning.
const START: i64 = 1_772_352_000_000;

/// A moment of the model, in milliseconds.
pub fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(START + milliseconds).unwrap()
}

pub fn milliseconds(time: Timestamp) -> i64 {
    time.as_millisecond() - START
}

pub fn capabilities(own_entry_expires: bool) -> Capabilities {
    Capabilities {
        reads_presence: true,
        own_entry: true,
        own_entry_expires,
        own_is_do_not_disturb: false,
        line: true,
        enumerates_users: true,
    }
}

/// A spec by what it says of direction, mapping, lifetimes, policy; whatever else a spec needs is filled in.
pub fn spec(says: &serde_json::Value) -> PresenceSyncSpec {
    let mut whole = json!({
        "tenantRef": { "name": "contoso" },
        "pbx": { "sip": { "host": "sip.example.com", "domain": "example.com" } },
    });
    let fields = whole.as_object_mut().unwrap();
    fields.extend(says.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

/// What the PBX of a history can do.
fn able(terms: &Terms) -> Capabilities {
    Capabilities {
        reads_presence: terms.entries,
        own_entry: terms.own != Own::Nothing,
        own_is_do_not_disturb: terms.own == Own::Switch,
        line: terms.line,
        ..capabilities(terms.own == Own::Expires)
    }
}

pub fn settings(terms: &Terms, short_lives: bool) -> Settings {
    // Read once: a history has to be cheap.
    static PLAIN: LazyLock<PresenceSyncSpec> = LazyLock::new(|| spec(&json!({})));
    let mut spec = PLAIN.clone();
    spec.direction = terms.direction;
    spec.mapping.profile = terms.profile;
    spec.policy.offline = terms.offline;
    spec.policy.out_of_office = terms.out_of_office;
    spec.policy.do_not_disturb = terms.do_not_disturb;
    spec.policy.ringing = terms.ringing;
    if short_lives {
        spec.lifetimes.chosen = "10m".into();
        spec.lifetimes.away = "12m".into();
    }
    Settings::new(&spec, able(terms))
}

/// What is written: by the engine, or by a strategy that knows no better.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    Engine(Write),
    Naive(NaiveWrite),
}

/// What is sent of what is decided.
pub type Sends = fn(Write) -> Option<Write>;

/// Who decides.
#[allow(clippy::large_enum_variant)] // one of them, on the stack of a test
pub enum Brain {
    Engine {
        state: UserState,
        settings: Settings,
        disk: Owned,
        keeps_record: bool,
        /// Whether it reads Teams, beside what it is told.
        reads: bool,
        /// What becomes of a write that is decided: sent as it is, unless a fault is wanted.
        sends: Sends,
    },
    Naive(Naive),
}

/// What is wanted now.
pub struct Wanted {
    pub orders: Vec<Order>,
    pub read: bool,
    pub look_again: Option<i64>,
}

impl Brain {
    pub fn engine(history: &History) -> Self {
        Self::on_terms(history, &history.terms)
    }

    /// An engine that is told these terms, whatever those of the history are.
    pub fn on_terms(history: &History, terms: &Terms) -> Self {
        Self::Engine {
            state: UserState::default(),
            settings: settings(terms, history.short_lives),
            disk: Owned::default(),
            keeps_record: true,
            reads: true,
            sends: Some,
        }
    }

    /// An engine with a fault: of what it decides, this is sent.
    pub fn faulty(history: &History, sends: Sends) -> Self {
        let mut brain = Self::engine(history);
        if let Self::Engine { sends: whole, .. } = &mut brain {
            *whole = sends;
        }
        brain
    }

    /// An engine whose volume is lost with the process.
    pub fn forgetful(history: &History) -> Self {
        let mut brain = Self::engine(history);
        if let Self::Engine { keeps_record, .. } = &mut brain {
            *keeps_record = false;
        }
        brain
    }

    /// An engine that believes what it is told, and reads nothing.
    pub fn credulous(history: &History) -> Self {
        let mut brain = Self::engine(history);
        if let Self::Engine { reads, .. } = &mut brain {
            *reads = false;
        }
        brain
    }

    /// Whether it looks at what it asked to read.
    pub fn reads(&self) -> bool {
        matches!(self, Self::Naive(_) | Self::Engine { reads: true, .. })
    }

    /// A new process. It knows what is on the disk, through the form in which it is there.
    pub fn restart(&mut self, now: i64) {
        match self {
            Self::Engine {
                state,
                disk,
                keeps_record,
                ..
            } => {
                if !*keeps_record {
                    *disk = Owned::default();
                }
                let written = serde_json::to_string(disk).unwrap();
                let in_scope = state.in_scope();
                *state = UserState::restored(serde_json::from_str(&written).unwrap(), at(now));
                state.set_scope(in_scope);
            }
            Self::Naive(naive) => naive.restart(),
        }
    }

    pub fn see_teams(&mut self, reading: Reading, now: i64) {
        match self {
            Self::Engine { state, disk, .. } => {
                if state.see_teams(reading, at(now)) {
                    disk.clone_from(state.owned());
                }
            }
            Self::Naive(naive) => naive.see_teams(reading),
        }
    }

    pub fn see_pbx(&mut self, view: PbxView, now: i64) {
        match self {
            Self::Engine { state, disk, .. } => {
                if state.see_pbx(view, at(now)) {
                    disk.clone_from(state.owned());
                }
            }
            Self::Naive(naive) => naive.see_pbx(view),
        }
    }

    pub fn lose_pbx(&mut self) {
        match self {
            Self::Engine { state, .. } => state.lose_pbx(),
            Self::Naive(naive) => naive.lose_pbx(),
        }
    }

    pub fn release(&mut self) {
        if let Self::Engine { state, .. } = self {
            state.set_scope(false);
        }
    }

    pub fn released(&self) -> bool {
        matches!(self, Self::Engine { state, .. } if !state.in_scope())
    }

    pub fn decide(&mut self, now: i64) -> Wanted {
        match self {
            Self::Engine {
                state, settings, sends, ..
            } => {
                let decision = decide(state, settings, at(now));
                let checked = twice_is_once(state, settings, &decision.writes, at(now), Some);
                assert_eq!(checked, Ok(()));
                Wanted {
                    orders: decision
                        .writes
                        .into_iter()
                        .filter_map(*sends)
                        .map(Order::Engine)
                        .collect(),
                    read: decision.read,
                    look_again: decision.look_again.map(milliseconds),
                }
            }
            Self::Naive(naive) => Wanted {
                orders: naive.decide().into_iter().map(Order::Naive).collect(),
                read: false,
                look_again: None,
            },
        }
    }

    /// The record is on the disk before anything is sent.
    pub fn begin(&mut self, order: &Order, now: i64) {
        if let (Self::Engine { state, disk, .. }, Order::Engine(write)) = (self, order) {
            assert!(
                !state.under_way(write.part()),
                "two writes of a layer at once: {write:?}"
            );
            state.begin(write, at(now));
            disk.clone_from(state.owned());
        }
    }

    /// The answer is noted later, or never: `noted` says whether it gets to the disk.
    pub fn settle(&mut self, order: &Order, outcome: Outcome, now: i64, noted: bool) {
        match (self, order) {
            (Self::Engine { state, disk, .. }, Order::Engine(write)) => {
                state.settle(write, outcome, at(now), 0.5);
                if noted {
                    disk.clone_from(state.owned());
                }
            }
            (Self::Naive(naive), Order::Naive(write)) => naive.settle(write, outcome),
            _ => {}
        }
    }

    /// Whether the record counts this choice as its own.
    pub fn counts_as_own(&self, choice: Choice, now: i64) -> bool {
        match self {
            Self::Engine { state, disk, .. } => {
                let records = [&state.owned().choice, &disk.choice];
                records
                    .iter()
                    .any(|layer| layer.live(at(now)).any(|held| held.value.choice == choice))
            }
            Self::Naive(_) => false,
        }
    }

    /// Whether a choice that the record counts as its own may be what Teams shows.
    pub fn explains(&self, shown: &TeamsState, now: i64) -> bool {
        match self {
            Self::Engine { state, .. } => {
                let mut choices = state.owned().choice.live(at(now));
                choices.any(|held| held.value.choice.explains(shown))
            }
            Self::Naive(_) => false,
        }
    }

    /// Whether the record on the disk holds this choice as written, and begins a later write of which it knows no answer.
    pub fn doubts_its_record(&self, choice: Choice, now: i64) -> bool {
        match self {
            Self::Engine { disk, .. } => {
                let mut held = disk.choice.held.iter();
                let holds =
                    held.any(|held| held.value.choice == choice && held.expires.is_none_or(|ends| ends > at(now)));
                holds && (disk.choice.intent.is_some() || disk.choice.clearing)
            }
            Self::Naive(_) => false,
        }
    }

    /// Whether it can tell from a reading of this time that its choice is not in force.
    pub fn can_tell(&self, read: i64) -> bool {
        match self {
            Self::Engine { state, .. } => {
                let settled = state.owned().choice.settled();
                !state.under_way(Part::Choice) && settled.is_none_or(|settled| at(read) >= settled + SETTLE)
            }
            Self::Naive(_) => true,
        }
    }

    /// Whether, at the time of a reading, a choice of its own without an answer may have been acted on yet.
    pub fn awaits_own(&self, read: i64) -> bool {
        match self {
            Self::Engine { state, .. } => {
                let intent = state.owned().choice.intent.as_ref();
                intent.is_some_and(|intent| at(read) < intent.sent + LATE)
            }
            Self::Naive(_) => false,
        }
    }

    /// Until when it knows, by its record, that its choice is in force if nobody replaces that. What it tried to take back may be gone,
    /// and what had no answer may never have been there.
    pub fn knows_own_until(&self) -> Option<i64> {
        match self {
            Self::Engine { disk, .. } => {
                let doubted = disk.choice.unsure || disk.choice.clearing;
                let held = disk.choice.held.as_ref().filter(|_| !doubted)?;
                held.expires.map(|ends| milliseconds(ends - LATE))
            }
            Self::Naive(_) => Some(i64::MAX),
        }
    }

    /// Whether it would know, of an entry that it was told of, that this has vanished not by its own doing.
    pub fn watches_its_entry(&self, now: i64) -> bool {
        match self {
            Self::Engine { state, .. } => {
                let held = state.owned().entry.certain(at(now));
                let settled = held.is_some_and(|held| at(now) >= held.settled + SETTLE);
                settled && !state.under_way(Part::Entry)
            }
            Self::Naive(_) => false,
        }
    }

    pub fn was_switched_off(&self) -> bool {
        matches!(self, Self::Engine { state, .. } if state.owned().switched_off)
    }

    pub fn is_clear(&self, now: i64) -> bool {
        match self {
            Self::Engine { state, .. } => state.owned().is_clear(at(now)),
            Self::Naive(_) => true,
        }
    }
}

/// P7: what was decided and done is not decided again. `notes`: what of a write the record is told.
fn twice_is_once(
    state: &UserState,
    settings: &Settings,
    writes: &[Write],
    now: Timestamp,
    notes: Sends,
) -> Result<(), String> {
    if writes.is_empty() {
        return Ok(());
    }
    let again = decide(state, settings, now).writes;
    if again != writes {
        return Err(format!("P7: {writes:?}, and to the same question {again:?}"));
    }
    let mut done = state.clone();
    for write in writes.iter().cloned().filter_map(notes) {
        done.begin(&write, now);
        done.settle(&write, Outcome::Done, now, 0.0);
    }
    let rest = decide(&done, settings, now).writes;
    if !rest.is_empty() {
        return Err(format!("P7: after {writes:?} came {rest:?}"));
    }
    Ok(())
}

#[test]
fn an_engine_that_does_not_note_what_it_did_breaks_p7() {
    let settings = Settings::new(&spec(&json!({})), capabilities(true));
    let mut state = UserState::default();
    let view = PbxView {
        line: Line::Connected,
        ..PbxView::default()
    };
    state.see_pbx(view, at(0));
    let now = at(60_000);
    let writes = decide(&state, &settings, now).writes;
    assert!(!writes.is_empty());
    assert_eq!(twice_is_once(&state, &settings, &writes, now, Some), Ok(()));
    let unnoted = twice_is_once(&state, &settings, &writes, now, |_| None);
    assert!(unnoted.is_err_and(|text| text.contains("came")));
    let other = twice_is_once(&state, &settings, &[Write::ClearOwn], now, Some);
    assert!(other.is_err_and(|text| text.contains("same question")));
}
