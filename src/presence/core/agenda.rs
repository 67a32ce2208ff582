//! When to decide again for whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

/// When to decide again for whom; one time for each.
#[derive(Default)]
pub struct Agenda {
    times: BTreeSet<(Timestamp, Arc<str>)>,
    of: BTreeMap<Arc<str>, Timestamp>,
}

impl Agenda {
    /// Sets the time for a person, in place of an earlier one.
    pub fn set(&mut self, person: &Arc<str>, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.of.insert(person.clone(), at),
            None => self.of.remove(person),
        };
        if let Some(before) = before {
            self.times.remove(&(before, person.clone()));
        }
        if let Some(at) = at {
            self.times.insert((at, person.clone()));
        }
    }

    /// The next time.
    pub fn next(&self) -> Option<Timestamp> {
        self.times.first().map(|(at, _)| *at)
    }

    /// Takes those whose time has come.
    pub fn due(&mut self, now: Timestamp) -> Vec<Arc<str>> {
        let mut due = Vec::new();
        while let Some(entry) = self.times.first().filter(|(at, _)| *at <= now).cloned() {
            self.times.remove(&entry);
            self.of.remove(&entry.1);
            due.push(entry.1);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_time_and_the_last_counts() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut agenda = Agenda::default();
        agenda.set(&a, Some(at(10)));
        agenda.set(&b, Some(at(20)));
        agenda.set(&a, Some(at(30)));
        assert_eq!(agenda.next(), Some(at(20)));
        assert_eq!(agenda.due(at(25)), std::slice::from_ref(&b));
        agenda.set(&a, None);
        assert_eq!((agenda.next(), agenda.due(at(99)).len()), (None, 0));
    }
}
