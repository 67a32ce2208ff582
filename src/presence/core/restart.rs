//! An adapter that ends by itself is started again, after a pause that grows while it keeps ending.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Core, Ways};
use crate::local_clock;
use crate::policy::backoff::{self, Class};
use crate::presence::adapters::Adapter;
use crate::presence::worker;

/// An adapter that worked for so long before it ended is started again as soon as one that never ended before.
const STABLE: Duration = Duration::from_mins(10);

/// Where starting the adapter again stands.
pub struct Restart {
    begun: Instant,
    failures: i32,
    due: Option<Instant>,
    /// Users of the PBX whom the adapter before told of, and this one did not yet.
    untold: BTreeSet<String>,
}

impl Restart {
    /// The first adapter begins.
    pub fn new(now: Instant) -> Self {
        Self {
            begun: now,
            failures: 0,
            due: None,
            untold: BTreeSet::new(),
        }
    }

    /// The adapter has ended. How long to wait; `jitter` in 0..1.
    pub fn ended(&mut self, now: Instant, jitter: f64) -> Duration {
        if now.duration_since(self.begun) >= STABLE {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let pause = backoff::delay(Class::Retry, self.failures, local_clock::now(), None, jitter).unsigned_abs();
        self.due = Some(now + pause);
        pause
    }

    /// When to start it.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// None is wanted any more. Whether one was to be started.
    pub fn cancel(&mut self) -> bool {
        self.due.take().is_some()
    }

    /// One begins, beside which all these users are known.
    fn begins(&mut self, now: Instant, known: BTreeSet<String>) {
        (self.begun, self.due, self.untold) = (now, None, known);
    }

    /// The adapter told of a user.
    pub fn told(&mut self, id: &str) {
        self.untold.remove(id);
    }

    /// Those of whom it did not tell, once it has told of all: they are gone.
    pub fn untold(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.untold)
    }
}

impl Core {
    /// The adapter has ended. What is left of it is closed meanwhile: it may hold what the next one needs.
    pub(super) fn await_restart(&mut self, ended: Arc<Adapter>) {
        let pause = self.restart.ended(Instant::now(), fastrand::f64());
        tracing::error!(
            ?pause,
            "the adapter of the PBX has ended, and is started again after a pause"
        );
        self.parts.writer.use_pbx(None);
        tokio::spawn(worker::close(Some(ended)));
    }

    /// Starts the adapter again when it is time.
    pub(super) async fn restart_adapter(&mut self, ways: &mut Ways<'_>) {
        let now = Instant::now();
        if self.restart.due().is_none_or(|due| due > now) {
            return;
        }
        let enumerates = self.parts.capabilities.enumerates_users;
        let known = self.pbx.keys().filter(|_| enumerates).cloned();
        self.restart.begins(now, known.collect());
        tracing::info!("the adapter of the PBX is started again");
        let (connected, events) = (self.parts.reconnect)();
        ways.pbx = events;
        self.is_deaf = false;
        self.parts.adapter = connected.adapter.map(Arc::new);
        self.parts.unusable = connected.unusable;
        self.parts.writer.use_pbx(self.parts.adapter.clone());
        self.recall().await;
        // It does not know whom to watch.
        self.watched.clear();
        self.roster_changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_ending_is_started_less_and_less_often() {
        let mut now = Instant::now();
        let mut restart = Restart::new(now);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            now += Duration::from_secs(1);
            pauses.push(restart.ended(now, 0.0).as_secs());
            now = restart.due().unwrap();
            restart.begins(now, BTreeSet::new());
        }
        assert_eq!(&pauses[..4], [2, 4, 8, 16]);
        assert_eq!(pauses[11], 300, "never less often than this");
        now += STABLE;
        assert_eq!(restart.ended(now, 0.0).as_secs(), 2);
        restart.begins(now, BTreeSet::new());
        assert!(
            restart.ended(now, 1.0) > Duration::from_secs(4),
            "by chance a little later"
        );
        assert!(restart.cancel() && restart.due().is_none());
    }

    #[test]
    fn whom_the_next_adapter_does_not_tell_of_is_gone() {
        let now = Instant::now();
        let mut restart = Restart::new(now);
        restart.begins(now, BTreeSet::from(["ada".to_owned(), "bob".to_owned()]));
        restart.told("bob");
        assert_eq!(restart.untold(), BTreeSet::from(["ada".to_owned()]));
        assert!(restart.untold().is_empty(), "and is told so once");
    }
}
