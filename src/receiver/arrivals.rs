//! Of which resources something arrived lately, and when, so that whoever fetches after a gap hands in only what is lacking.
//!
//! Kept in memory: the log forgets an event as soon as everybody has it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;

/// Of how many resources an arrival is remembered. Measured alone, that many take 22 MiB.
pub const REMEMBERED: usize = 200_000;
const MARK_BYTES: usize = 16;

/// A resource of a subscription, as a hash: 16 bytes however long the names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark([u8; MARK_BYTES]);

impl Mark {
    /// Of a resource by its id, for the `GraphSubscription` with this UID. Both are taken as they are written.
    pub fn new(uid: &str, id: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&(uid.len() as u64).to_le_bytes()); // where the one ends and the other begins
        context.update(uid.as_bytes());
        context.update(id.as_bytes());
        let mut mark = [0; MARK_BYTES];
        for (byte, hashed) in mark.iter_mut().zip(context.finish().as_ref()) {
            *byte = *hashed;
        }
        Self(mark)
    }
}

/// What is remembered, for everybody who handles requests.
#[derive(Debug)]
pub struct Arrivals(Mutex<Index>);

/// What is remembered of some marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// For each mark, when something last arrived, in milliseconds since 1970; `None` if nothing is remembered.
    pub received: Vec<Option<i64>>,
    /// The time of the newest arrival that was forgotten for want of room: later ones are all remembered.
    pub forgotten: Option<i64>,
}

impl Arrivals {
    /// Nothing yet, and room for so many.
    pub fn new(most: usize) -> Self {
        Self(Mutex::new(Index {
            most,
            times: HashMap::new(),
            order: BTreeSet::new(),
            forgotten: None,
        }))
    }

    /// Remembers that something arrived, at a time in milliseconds since 1970.
    pub fn note(&self, marks: &[Mark], millis: i64) {
        let mut index = self.index();
        for mark in marks {
            index.note(*mark, millis);
        }
    }

    /// What is remembered of these.
    pub fn look_up(&self, marks: &[Mark]) -> Remembered {
        let index = self.index();
        Remembered {
            received: marks.iter().map(|mark| index.times.get(mark).copied()).collect(),
            forgotten: index.forgotten,
        }
    }

    // A panic under the lock could at most leave a mark without its place in the order, which keeps it from being forgotten.
    fn index(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Index {
    most: usize,
    times: HashMap<Mark, i64>,
    // The same, oldest first.
    order: BTreeSet<(i64, Mark)>,
    forgotten: Option<i64>,
}

impl Index {
    fn note(&mut self, mark: Mark, millis: i64) {
        let known = self.times.get(&mark).copied();
        if known.is_some_and(|known| known >= millis) {
            return; // requests end in another order than they began, and clocks are set back
        }
        if let Some(known) = known {
            self.order.remove(&(known, mark));
        }
        self.times.insert(mark, millis);
        self.order.insert((millis, mark));
        if self.times.len() > self.most {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((millis, mark)) = self.order.pop_first() else {
            return;
        };
        self.times.remove(&mark);
        self.forgotten = self.forgotten.max(Some(millis));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(id: &str) -> Mark {
        Mark::new("uid", id)
    }

    #[test]
    fn a_mark_is_of_one_uid_and_one_id() {
        assert_eq!(Mark::new("u", "i"), Mark::new("u", "i"));
        for (uid, id) in [("u", "j"), ("v", "i"), ("ui", ""), ("", "ui"), ("U", "i"), ("u", "I")] {
            assert_ne!(Mark::new("u", "i"), Mark::new(uid, id), "{uid} {id}");
        }
    }

    #[test]
    fn remembers_the_last_time() {
        let arrivals = Arrivals::new(10);
        arrivals.note(&[mark("a"), mark("b")], 5);
        arrivals.note(&[mark("a")], 7);
        arrivals.note(&[mark("a")], 6);
        let remembered = arrivals.look_up(&[mark("b"), mark("c"), mark("a"), mark("b")]);
        assert_eq!(remembered.received, [Some(5), None, Some(7), Some(5)]);
        assert_eq!(remembered.forgotten, None);
    }

    #[test]
    fn the_oldest_makes_room_and_is_told() {
        let arrivals = Arrivals::new(2);
        arrivals.note(&[mark("a")], 1);
        arrivals.note(&[mark("b")], 2);
        arrivals.note(&[mark("a")], 3);
        arrivals.note(&[mark("c")], 4);
        let remembered = arrivals.look_up(&[mark("a"), mark("b"), mark("c")]);
        assert_eq!(remembered.received, [Some(3), None, Some(4)]);
        assert_eq!(remembered.forgotten, Some(2));
        // One that is older than all others is itself the oldest, and what was said before stays true.
        arrivals.note(&[mark("d")], 1);
        let remembered = arrivals.look_up(&[mark("a"), mark("d")]);
        assert_eq!(
            (remembered.received, remembered.forgotten),
            (vec![Some(3), None], Some(2))
        );
        let index = arrivals.index();
        assert_eq!((index.times.len(), index.order.len()), (2, 2));
    }
}
