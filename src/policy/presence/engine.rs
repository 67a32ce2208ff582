//! What is written for a person, and where. Three layers, never mixed:
//!
//! - the **line**: calls on the PBX become a session of our app in Teams (`setPresence`), which is cleared when they end;
//! - the **choice**: what a person chose on the PBX becomes the preferred presence in Teams, where nobody else chose one;
//! - the **entry**: what Teams shows becomes an entry of our own on the PBX, beside the person's.
//!
//! What is ours is known by the record of what we wrote ([`Owned`]), never by comparing values: Graph does not tell who set a
//! presence, and gives back another word than was written.
//!
//! How it is used, for each person: [`UserState::see_teams`] and [`UserState::see_pbx`] with what is observed; [`decide`]; then for
//! each write [`UserState::begin`], the record onto the disk, the call, [`UserState::settle`] with its outcome, and [`decide`] again.
//! `decide` changes nothing and may be called at any time. A write that is under way is not decided again.

use jiff::{SignedDuration, Timestamp};

use self::verdict::Verdict;
use super::super::backoff::Class;
use super::mapping::{Choice, Session};
use super::pbx::{Activity, OwnEntry};

mod choice;
mod entry;
pub mod owned;
mod session;
pub mod settings;
pub mod state;
#[cfg(test)]
mod tests;
mod verdict;
pub mod why;

pub use owned::Owned;
pub use settings::Settings;
pub use state::UserState;
pub use why::{Explanation, Why};

/// A reading of Teams is fresh for so long: no choice is written on an older one.
pub const FRESH: SignedDuration = SignedDuration::from_secs(5);
/// So long after a write, a side may still show what was before.
pub const SETTLE: SignedDuration = SignedDuration::from_secs(5);
/// The longest that a request of which nothing is known may still be on its way.
pub const LATE: SignedDuration = SignedDuration::from_secs(60);

/// Something to be written for a person. All can be repeated without harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// `setPresence`: our app's session says this for so long.
    SetSession {
        /// What it says.
        session: Session,
        /// Its lifetime.
        ttl: SignedDuration,
    },
    /// `clearPresence`. Done also when there is none (404).
    ClearSession,
    /// `setUserPreferredPresence`.
    SetPreferred {
        /// What is chosen.
        choice: Choice,
        /// Its lifetime.
        ttl: SignedDuration,
        /// The choice on the PBX that it tells, for the record.
        tells: Activity,
    },
    /// `clearUserPreferredPresence`. Done also when there is none (404).
    ClearPreferred,
    /// Our own entry on the PBX says this.
    PutOwn {
        /// What it says.
        entry: OwnEntry,
        /// Its lifetime; `None` where entries do not expire.
        ttl: Option<SignedDuration>,
    },
    /// Takes our own entry back. Done also when there is none, or no such user.
    ClearOwn,
}

/// The layer that a write belongs to. Writes of one layer never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Our app's session in Teams.
    Session,
    /// The preferred presence in Teams.
    Choice,
    /// Our entry on the PBX.
    Entry,
}

impl Write {
    /// The layer it belongs to.
    pub fn part(&self) -> Part {
        match self {
            Self::SetSession { .. } | Self::ClearSession => Part::Session,
            Self::SetPreferred { .. } | Self::ClearPreferred => Part::Choice,
            Self::PutOwn { .. } | Self::ClearOwn => Part::Entry,
        }
    }
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Surely not done: refused, or never sent.
    Refused(Class),
    /// Nobody knows: no answer, or a fault of the server.
    Lost(Class),
}

/// What is to be done for a person now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// To be written, in this order; no two of one [`Part`].
    pub writes: Vec<Write>,
    /// Presence in Teams has to be read before more can be decided: read it, then [`UserState::see_teams`]. Stays set until that was
    /// done, so the caller reads once, and again after a pause of its own if that failed.
    pub read: bool,
    /// Decide again at this time, if nothing is seen before.
    pub look_again: Option<Timestamp>,
    /// Why.
    pub explanation: Explanation,
}

/// What is to be done for a person now, by what is known of both sides.
pub fn decide(state: &UserState, settings: &Settings, now: Timestamp) -> Decision {
    let session = session::verdict(state, settings, now);
    let choice = match choice::verdict(state, settings, now) {
        // What Teams shows is about to change: whether anybody chose it is seen then.
        choice if choice.write.is_some() && session.write.is_some() => Verdict::rest(Why::ToBeRead),
        choice => choice,
    };
    let entry = entry::verdict(state, settings, now);
    Decision {
        read: session.read || choice.read || entry.read,
        look_again: [session.look, choice.look, entry.look].into_iter().flatten().min(),
        explanation: Explanation {
            session: session.why,
            choice: choice.why,
            entry: entry.why,
        },
        writes: [session.write, choice.write, entry.write]
            .into_iter()
            .flatten()
            .collect(),
    }
}
