//! A person who is, or was, kept in step.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use crate::policy::presence::engine::{Explanation, Part, UserState, Why, Write};

/// Writes that are remembered for a person.
const WRITES: usize = 10;

/// A person who is, or was, kept in step.
#[allow(clippy::struct_excessive_bools)] // independent facts, not states
pub struct User {
    /// What the adapter calls the user.
    pub pbx: Arc<str>,
    /// What the engine knows.
    pub state: UserState,
    /// A write is under way.
    pub writing: bool,
    /// Presence was asked for, and did not come yet.
    pub reading: bool,
    /// When presence was last read.
    pub read: Option<tokio::time::Instant>,
    /// What was read is forgotten, as nobody told of changes any more. It is read again when somebody does.
    pub lost: bool,
    /// Something new was seen, and what comes of it is not counted yet.
    pub observed: bool,
    /// When to decide again.
    pub look: Option<Timestamp>,
    /// Why things are as they are.
    pub why: Option<Explanation>,
    /// The last writes, newest first.
    pub writes: VecDeque<Done>,
    /// Since when the PBX waits to be told of in Teams.
    pub pbx_since: Option<Instant>,
    /// Since when Teams waits to be told of on the PBX.
    pub teams_since: Option<Instant>,
}

/// A write that ended.
pub struct Done {
    /// When.
    pub at: Timestamp,
    /// What.
    pub write: Write,
    /// Why not; `None` when it was done.
    pub error: Option<Box<str>>,
}

impl User {
    /// A person of whom the engine knows this.
    pub fn new(pbx: Arc<str>, state: UserState) -> Self {
        Self {
            pbx,
            state,
            writing: false,
            reading: false,
            read: None,
            lost: false,
            observed: false,
            look: None,
            why: None,
            writes: VecDeque::new(),
            pbx_since: None,
            teams_since: None,
        }
    }

    /// Remembers a write that ended.
    pub fn remember(&mut self, done: Done) {
        self.writes.truncate(WRITES - 1);
        self.writes.push_front(done);
    }

    /// Whether nothing of ours is left, so that the person can be forgotten.
    pub fn is_over(&self, now: Timestamp) -> bool {
        !self.state.in_scope() && !self.writing && self.state.owned().is_clear(now)
    }

    /// What was decided: a change that leads to no write waits no longer.
    pub fn decided(&mut self, why: Explanation) {
        if !waits(why.of(Part::Session)) && !waits(why.of(Part::Choice)) {
            self.pbx_since = None;
        }
        if !waits(why.of(Part::Entry)) {
            self.teams_since = None;
        }
        self.why = Some(why);
    }
}

/// Whether a write is to come of it.
fn waits(why: Why) -> bool {
    matches!(
        why,
        Why::Due | Why::UnderWay | Why::Waiting | Why::LineJustFree | Why::ToBeRead | Why::TakenBack
    )
}
