//! What Graph admits to an app over all its tenants, besides what it admits to the app in each of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::bucket::{Bucket, GETS_OF_APP, LISTS_OF_APP, WRITES_OF_APP};
use super::{Key, Lane, Turn};

/// Shared by the limiters of an app's tenants.
pub(in crate::graph) struct AllTenants {
    /// In the order of [`Lane`]; what is not about subscriptions has no such limit that could be met.
    lanes: [Mutex<Queue>; 3],
    next_number: AtomicU64,
}

struct Queue {
    bucket: Bucket,
    /// Calls that their own tenants let go. Never one that waits for its tenant: it would hold up the others.
    waiting: BTreeMap<Key, Arc<Notify>>,
}

impl Default for AllTenants {
    fn default() -> Self {
        let now = Instant::now();
        let queue = |allowance| {
            Mutex::new(Queue {
                bucket: Bucket::new(allowance, now),
                waiting: BTreeMap::new(),
            })
        };
        Self {
            lanes: [WRITES_OF_APP, GETS_OF_APP, LISTS_OF_APP].map(queue),
            next_number: AtomicU64::default(),
        }
    }
}

impl AllTenants {
    /// Tells apart calls with equal deadlines, whichever tenant they are for.
    pub(super) fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether it is the turn of a call that its tenant lets go. Until it is, the call has a place here.
    pub(super) fn turn(&self, lane: Lane, key: Key, woken: &Arc<Notify>, now: Instant) -> Turn {
        let Some(mut queue) = self.lock(lane) else {
            return Turn::Now;
        };
        queue.waiting.entry(key).or_insert_with(|| woken.clone());
        if queue.waiting.keys().next() != Some(&key) {
            return Turn::Behind;
        }
        if let Some(until) = queue.bucket.empty_until(now) {
            return Turn::At(until);
        }
        queue.bucket.take(now);
        queue.leave(key);
        Turn::Now
    }

    /// Gives up the place of a call, if it has one.
    pub(super) fn leave(&self, lane: Lane, key: Key) {
        if let Some(mut queue) = self.lock(lane) {
            queue.leave(key);
        }
    }

    fn lock(&self, lane: Lane) -> Option<MutexGuard<'_, Queue>> {
        let queue = self.lanes.get(lane as usize)?;
        Some(queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Queue {
    fn leave(&mut self, key: Key) {
        if self.waiting.remove(&key).is_some()
            && let Some(next) = self.waiting.values().next()
        {
            next.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
