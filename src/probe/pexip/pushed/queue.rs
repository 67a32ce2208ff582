//! Calls that events told of, until a look takes them.

use std::collections::{HashSet, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::probe::pexip::events::Left;
use crate::probe::pexip::feed::{KEPT, MOST};
use crate::probe::pexip::wire::Participant;

/// The oldest first, each call once. No Debug: there are aliases within.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    ids: HashSet<String>,
    dropped: usize,
}

struct Waiting {
    left: Left,
    /// When, by the node's clock.
    at: Option<Timestamp>,
    /// When it came, by the local clock.
    arrived: Timestamp,
}

impl Queue {
    /// Adds one that came at `now`, and says whether it is new. If there are too many, the oldest goes: the latest say more.
    pub(super) fn push(&mut self, left: Left, at: Option<Timestamp>, now: Timestamp) -> bool {
        if !self.ids.insert(left.id().to_owned()) {
            return false;
        }
        self.forget(now);
        if self.waiting.len() >= MOST {
            self.drop_oldest();
        }
        let arrived = now;
        self.waiting.push_back(Waiting { left, at, arrived });
        true
    }

    /// All of them. `skew` is the manager's clock minus the local one.
    pub(super) fn drain(&mut self, now: Timestamp, skew: SignedDuration) -> Vec<Participant> {
        self.forget(now);
        self.ids.clear();
        let participant = |one: Waiting| {
            let arrived = one.arrived.checked_add(skew).unwrap_or(one.arrived);
            // Nothing is told before it happened: that clock is ahead.
            one.left.participant(one.at.map_or(arrived, |at| at.min(arrived)))
        };
        std::mem::take(&mut self.waiting).into_iter().map(participant).collect()
    }

    /// How many were dropped that were not told of as such before.
    pub(super) fn take_dropped(&mut self) -> usize {
        std::mem::take(&mut self.dropped)
    }

    /// Those that came too long ago to count.
    fn forget(&mut self, now: Timestamp) {
        while let Some(first) = self.waiting.front()
            && now.duration_since(first.arrived) > KEPT
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(gone) = self.waiting.pop_front() {
            self.ids.remove(gone.left.id());
            self.dropped += 1;
        }
    }
}
