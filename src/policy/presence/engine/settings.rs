//! What the engine is told by the spec.

use jiff::SignedDuration;

use super::super::mapping::{Choice, Mapping};
use super::super::pbx::Capabilities;
use crate::api::duration::DurationText;
use crate::api::presence::PresenceSyncSpec;

/// The least that is left of a session's life when it is refreshed: a new token and the longest wait after 429 fit in.
pub const MARGIN: SignedDuration = SignedDuration::from_mins(3);
/// Shortest and longest session that Graph grants (`setPresence`: PT5M to PT4H).
pub const SHORTEST_SESSION: SignedDuration = SignedDuration::from_mins(5);
/// See [`SHORTEST_SESSION`].
pub const LONGEST_SESSION: SignedDuration = SignedDuration::from_hours(4);
/// Where entries on the PBX expire, ours lives so long, and is refreshed at half of it.
const ENTRY: SignedDuration = SignedDuration::from_hours(1);
const SHORTEST_REFRESH: SignedDuration = SignedDuration::from_secs(30);
const SHORTEST_CHOICE: SignedDuration = SignedDuration::from_mins(10);
/// A year: beyond it, nobody means a lifetime.
const LONGEST_CHOICE: SignedDuration = SignedDuration::from_hours(24 * 365);
const LONGEST_DEBOUNCE: SignedDuration = SignedDuration::from_mins(5);

/// Settings of the engine, the same for all people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The PBX's presence is told to Teams.
    pub to_teams: bool,
    /// Teams' presence is told to the PBX.
    pub to_pbx: bool,
    /// All that is ours is taken back, and nothing is written any more.
    pub suspended: bool,
    /// What states mean.
    pub mapping: Mapping,
    /// What the PBX can do.
    pub capabilities: Capabilities,
    /// How long the line must be free before the session is cleared.
    pub debounce: SignedDuration,
    session: Lifetime,
    chosen: Lifetime,
    away: Lifetime,
}

/// How long something lives, and how long after it was sent it is refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Its life.
    pub ttl: SignedDuration,
    /// Age at which it is sent again.
    pub refresh: SignedDuration,
}

impl Settings {
    /// What the spec says, within what Graph grants.
    pub fn new(spec: &PresenceSyncSpec, capabilities: Capabilities) -> Self {
        let lifetimes = &spec.lifetimes;
        Self {
            to_teams: spec.direction.to_teams(),
            to_pbx: spec.direction.to_pbx(),
            suspended: spec.suspend,
            mapping: Mapping::new(&spec.mapping, &spec.policy),
            capabilities,
            debounce: read(&spec.policy.debounce, SignedDuration::from_secs(2)).min(LONGEST_DEBOUNCE),
            session: session_lifetime(read(&lifetimes.line_refresh, SignedDuration::from_mins(5))),
            chosen: choice_lifetime(read(&lifetimes.chosen, SignedDuration::from_hours(24))),
            away: choice_lifetime(read(&lifetimes.away, SignedDuration::from_hours(168))),
        }
    }

    /// Lifetime of a session.
    pub fn session(&self) -> Lifetime {
        self.session
    }

    /// Lifetime of a choice.
    pub fn choice(&self, choice: Choice) -> Lifetime {
        match choice {
            Choice::Away | Choice::BeRightBack => self.away,
            Choice::Available | Choice::Busy | Choice::DoNotDisturb => self.chosen,
        }
    }

    /// Lifetime of our entry on the PBX, where it has one.
    pub fn entry(&self) -> Lifetime {
        Lifetime {
            ttl: ENTRY,
            refresh: ENTRY / 2,
        }
    }
}

fn read(text: &DurationText, otherwise: SignedDuration) -> SignedDuration {
    text.seconds().map_or(otherwise, SignedDuration::from_secs)
}

/// Three refreshes long, so that two may fail; never less than [`MARGIN`] longer than one.
fn session_lifetime(refresh: SignedDuration) -> Lifetime {
    let refresh = refresh.clamp(SHORTEST_REFRESH, LONGEST_SESSION / 3);
    Lifetime {
        ttl: (refresh * 3).max(SHORTEST_SESSION),
        refresh,
    }
}

fn choice_lifetime(ttl: SignedDuration) -> Lifetime {
    let ttl = ttl.clamp(SHORTEST_CHOICE, LONGEST_CHOICE);
    Lifetime { ttl, refresh: ttl / 2 }
}
