//! What happens when: one moment for each thing.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::{Package, User};

/// A thing that happens at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The server is asked whether it is still there.
    Probe,
    /// A request is repeated, or given up.
    Exchange(u64),
    /// A subscription is made, refreshed or given up.
    Subscription(User, Package),
    /// An own entry is refreshed.
    Publication(User),
}

/// All moments that lie ahead.
#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(Instant, Timer)>,
    moments: HashMap<Timer, Instant>,
}

impl Timers {
    /// Sets a moment; it replaces the one before.
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.cancel(&timer);
        self.order.insert((at, timer.clone()));
        self.moments.insert(timer, at);
    }

    /// Forgets a moment, if there is one.
    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some(at) = self.moments.remove(timer) {
            self.order.remove(&(at, timer.clone()));
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.order.clear();
        self.moments.clear();
    }

    /// The next moment.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes what is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<Timer> {
        if self.next().is_none_or(|at| at > now) {
            return None;
        }
        let (_, timer) = self.order.pop_first()?;
        self.moments.remove(&timer);
        Some(timer)
    }

    /// The subscriptions, in the order of their moments.
    pub(super) fn subscriptions(&self) -> impl Iterator<Item = (&User, Package)> {
        self.order.iter().filter_map(|(_, timer)| match timer {
            Timer::Subscription(user, package) => Some((user, *package)),
            _ => None,
        })
    }
}
