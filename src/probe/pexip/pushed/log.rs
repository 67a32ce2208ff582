//! Lines of support logs. Anybody who reaches the port may write under any name, so that each name has room of its own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::Counts;
use crate::policy::connector::pexip::calls::CallEnd;
use crate::policy::connector::pexip::explain::Logged;
use crate::policy::connector::pexip::support_log::{self, ApiFailure, Line};
use crate::probe::pexip::feed::{KEPT, MOST};

/// Lines of one name.
const MOST_EACH: usize = 1000;
/// Names; beyond, the one that was silent for longest is forgotten.
const NAMES: usize = 256;
/// A failure that does not say of which call is a repetition of the same one so shortly before: nodes try again.
const REPEATED: SignedDuration = SignedDuration::from_secs(5);

/// Failures that support logs tell of, whichever node wrote them.
pub struct Log {
    lines: Mutex<Lines>,
    counts: Counts,
}

#[derive(Default)]
struct Lines {
    /// By node, the oldest first. None is empty.
    nodes: HashMap<String, VecDeque<Kept>>,
    /// Number of the last.
    last: u64,
    /// How many there are.
    total: usize,
    dropped: usize,
}

struct Kept {
    number: u64,
    at: Timestamp,
    call: Option<Arc<str>>,
    end: CallEnd,
}

impl Log {
    /// Empty.
    pub fn new(counts: Counts) -> Self {
        Self {
            lines: Mutex::default(),
            counts,
        }
    }

    /// What counts the lines.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Takes a line that came at `now`.
    pub fn take(&self, line: &[u8], now: Timestamp) {
        let failure = match support_log::read(line) {
            Line::Failure(failure) => failure,
            Line::Other => return self.counts.line("other"),
            Line::Unreadable => return self.counts.line("malformed"),
        };
        let mut lines = self.lock();
        let result = if lines.add(failure, now) { "call" } else { "duplicate" };
        self.counts.line(result);
        self.counts.dropped("syslog", std::mem::take(&mut lines.dropped));
    }

    /// What these nodes wrote lately, the oldest first. `skew` is the manager's clock minus the local one.
    pub(in crate::probe::pexip) fn of(
        &self,
        is_own: impl Fn(&str) -> bool,
        now: Timestamp,
        skew: SignedDuration,
    ) -> Vec<Logged> {
        let lines = self.lock();
        let own = lines.nodes.iter().filter(|(node, _)| is_own(node));
        let recent = own
            .flat_map(|(_, kept)| kept)
            .filter(|one| now.duration_since(one.at) <= KEPT);
        let mut logged: Vec<Logged> = recent
            .map(|one| Logged {
                number: one.number,
                at: one.at.checked_add(skew).unwrap_or(one.at),
                call: one.call.clone(),
                end: one.end,
            })
            .collect();
        logged.sort_unstable_by_key(|one| one.number);
        logged
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Adds one, and says whether it is new.
    fn add(&mut self, failure: ApiFailure, now: Timestamp) -> bool {
        self.forget(now);
        if self.is_repeated(&failure, now) {
            return false;
        }
        self.make_room(&failure.node);
        self.last += 1;
        self.total += 1;
        self.nodes.entry(failure.node).or_default().push_back(Kept {
            number: self.last,
            at: now,
            call: failure.call.map(Arc::from),
            end: failure.end,
        });
        true
    }

    fn is_repeated(&self, failure: &ApiFailure, now: Timestamp) -> bool {
        let lately = self.nodes.get(&failure.node).into_iter().flatten().rev();
        let mut lately = lately.take_while(|one| now.duration_since(one.at) <= REPEATED);
        failure.call.is_none() && lately.any(|one| one.call.is_none() && one.end == failure.end)
    }

    fn forget(&mut self, now: Timestamp) {
        self.nodes.retain(|_, kept| {
            while kept.front().is_some_and(|one| now.duration_since(one.at) > KEPT) {
                kept.pop_front();
                self.total -= 1;
            }
            !kept.is_empty()
        });
    }

    /// The latest say more, and who writes most gives way first.
    fn make_room(&mut self, node: &str) {
        let own = self.nodes.get(node).map(VecDeque::len);
        if own.is_none() && self.nodes.len() >= NAMES {
            self.forget_silent();
        }
        if own.is_some_and(|own| own >= MOST_EACH) {
            self.drop_oldest_of(node);
        } else if self.total >= MOST {
            let longest = self.nodes.iter().max_by_key(|(_, kept)| kept.len());
            if let Some(name) = longest.map(|(name, _)| name.clone()) {
                self.drop_oldest_of(&name);
            }
        }
    }

    fn drop_oldest_of(&mut self, node: &str) {
        let Some(kept) = self.nodes.get_mut(node) else {
            return;
        };
        if kept.pop_front().is_some() {
            self.total -= 1;
            self.dropped += 1;
        }
        if kept.is_empty() {
            self.nodes.remove(node);
        }
    }

    fn forget_silent(&mut self) {
        let silent = self
            .nodes
            .iter()
            .min_by_key(|(_, kept)| kept.back().map(|one| one.number));
        let Some(name) = silent.map(|(name, _)| name.clone()) else {
            return;
        };
        let gone = self.nodes.remove(&name).map_or(0, |kept| kept.len());
        self.total -= gone;
        self.dropped += gone;
    }
}

#[cfg(test)]
mod tests;
