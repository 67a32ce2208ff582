//! Who wants a reconcile, and whose turn is next: a pure structure, the times are passed in.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use jiff::Timestamp;
use tokio::time::Instant;

/// Earliest first; among equals, first come first served.
type Turn = (Timestamp, u64);
type Due = (Instant, u64);

/// Each of those who want a reconcile once. What runs is not handed out again before it has ended.
#[derive(Debug)]
pub struct Agenda<T> {
    places: HashMap<T, Place>,
    ready: BTreeMap<Turn, T>,
    later: BTreeMap<Due, T>,
    number: u64,
}

#[derive(Debug)]
enum Place {
    Ready(Turn),
    Later(Due),
    /// What was asked for meanwhile waits for its end.
    Running {
        again: Option<Timestamp>,
        at: Option<Instant>,
    },
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
            ready: BTreeMap::new(),
            later: BTreeMap::new(),
            number: 0,
        }
    }
}

impl<T: Clone + Eq + Hash> Agenda<T> {
    /// `item` wants its turn now, and needs it by `deadline`. One that waits already keeps the earlier of two deadlines.
    pub fn push(&mut self, item: T, deadline: Timestamp) {
        match self.places.get_mut(&item) {
            Some(Place::Running { again, .. }) => {
                *again = Some(again.map_or(deadline, |known| known.min(deadline)));
            }
            Some(Place::Ready((known, _))) if *known <= deadline => {}
            _ => {
                self.leave(&item);
                self.enter(item, deadline);
            }
        }
    }

    /// `item` wants its turn at a time to come. An earlier wish stands.
    pub fn push_at(&mut self, item: T, at: Instant) {
        match self.places.get_mut(&item) {
            Some(Place::Running { at: known, .. }) => *known = Some(known.map_or(at, |known| known.min(at))),
            Some(Place::Ready(_)) => {}
            Some(Place::Later((known, _))) if *known <= at => {}
            _ => {
                self.leave(&item);
                self.enter_later(item, at);
            }
        }
    }

    /// Those whose time has come want their turn.
    pub fn advance(&mut self, now: Instant, deadline: impl Fn(&T) -> Timestamp) {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now) {
            let item = entry.remove();
            let deadline = deadline(&item);
            self.enter(item, deadline);
        }
    }

    /// Hands out who is next. It runs until [`Agenda::finish`].
    pub fn take(&mut self) -> Option<T> {
        let (_, item) = self.ready.pop_first()?;
        let running = Place::Running { again: None, at: None };
        self.places.insert(item.clone(), running);
        Some(item)
    }

    /// `item` has ended and wants to come back at `at`, or before, if that was asked for meanwhile.
    pub fn finish(&mut self, item: &T, at: Option<Instant>) {
        if !matches!(self.places.get(item), Some(Place::Running { .. })) {
            return;
        }
        if let Some((item, Place::Running { again, at: asked })) = self.places.remove_entry(item) {
            match (again, asked.into_iter().chain(at).min()) {
                (Some(deadline), _) => self.enter(item, deadline),
                (None, Some(at)) => self.enter_later(item, at),
                (None, None) => {}
            }
        }
    }

    /// `item` is gone. If it runs, it may end, and is not handed out again.
    pub fn forget(&mut self, item: &T) {
        match self.places.get_mut(item) {
            Some(Place::Running { again, at }) => (*again, *at) = (None, None),
            _ => self.leave(item),
        }
    }

    /// When the next of those whose time is to come wants its turn.
    pub fn next_due(&self) -> Option<Instant> {
        self.later.keys().next().map(|(at, _)| *at)
    }

    fn enter(&mut self, item: T, deadline: Timestamp) {
        let turn = (deadline, self.number());
        self.ready.insert(turn, item.clone());
        self.places.insert(item, Place::Ready(turn));
    }

    fn enter_later(&mut self, item: T, at: Instant) {
        let due = (at, self.number());
        self.later.insert(due, item.clone());
        self.places.insert(item, Place::Later(due));
    }

    fn leave(&mut self, item: &T) {
        match self.places.remove(item) {
            Some(Place::Ready(turn)) => drop(self.ready.remove(&turn)),
            Some(Place::Later(due)) => drop(self.later.remove(&due)),
            Some(Place::Running { .. }) | None => {}
        }
    }

    fn number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}

#[cfg(test)]
mod tests;
