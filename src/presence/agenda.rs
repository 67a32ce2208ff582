//! What is to be done when: one moment for each thing.

use std::collections::{BTreeMap, BTreeSet};

/// Things, and the moment of each.
#[derive(Debug)]
pub struct Agenda<K, T> {
    order: BTreeSet<(T, K)>,
    moments: BTreeMap<K, T>,
}

impl<K, T> Default for Agenda<K, T> {
    fn default() -> Self {
        Self {
            order: BTreeSet::new(),
            moments: BTreeMap::new(),
        }
    }
}

impl<K: Clone + Ord, T: Copy + Ord> Agenda<K, T> {
    /// Sets the moment of a thing, in place of the one before.
    pub fn set(&mut self, thing: K, at: T) {
        self.cancel(&thing);
        self.order.insert((at, thing.clone()));
        self.moments.insert(thing, at);
    }

    /// Forgets a thing, if it is there.
    pub fn cancel(&mut self, thing: &K) {
        if let Some((thing, at)) = self.moments.remove_entry(thing) {
            self.order.remove(&(at, thing));
        }
    }

    /// The next moment.
    pub fn next(&self) -> Option<T> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes the first thing whose moment has come.
    pub fn due(&mut self, now: T) -> Option<K> {
        self.order.first().filter(|(at, _)| *at <= now)?;
        let (_, thing) = self.order.pop_first()?;
        self.moments.remove(&thing);
        Some(thing)
    }

    /// All things, in the order of their moments.
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.order.iter().map(|(_, thing)| thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_moment_and_the_last_counts() {
        let mut agenda = Agenda::default();
        agenda.set("a", 10);
        agenda.set("b", 20);
        agenda.set("a", 30);
        assert_eq!((agenda.next(), agenda.iter().count()), (Some(20), 2));
        assert_eq!((agenda.due(25), agenda.due(25)), (Some("b"), None));
        agenda.cancel(&"a");
        assert_eq!((agenda.next(), agenda.due(99)), (None, None));
        assert!(agenda.moments.is_empty());
    }
}
