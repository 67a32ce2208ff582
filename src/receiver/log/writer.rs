//! The one thread that writes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use redb::{Database, RepairSession};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::super::event::{Kind, Origin, now_millis};
use super::super::metrics::Metrics;
use super::clock::SteadyClock;
use super::transaction::{self, Outcome};
use super::{Bookmark, CursorError, OPENING, Rules, Shared, Status, StoreError, file, lock, tables};

/// How many operations one commit takes.
const BATCH: usize = 1024;

/// A record, ready to be stored.
pub struct Encoded {
    /// Which table it belongs to.
    pub kind: Kind,
    /// How it got here.
    pub origin: Origin,
    /// Whom it is for.
    pub uid: String,
    /// What is stored.
    pub bytes: Vec<u8>,
}

type Reply<E> = oneshot::Sender<Result<(), E>>;

/// Something to be written.
pub enum Op {
    /// Store records and a bookmark.
    Append {
        records: Vec<Encoded>,
        bookmark: Option<Bookmark>,
        reply: Reply<StoreError>,
        share: Option<OwnedSemaphorePermit>,
    },
    /// Move a cursor.
    Acknowledge {
        reader: String,
        to: u64,
        reply: Reply<CursorError>,
    },
    /// Keep a dead letter.
    Bury {
        sink: String,
        seq: u64,
        bytes: Vec<u8>,
        reply: Reply<StoreError>,
    },
    /// Remove dead letters.
    Forget {
        sink: String,
        seqs: Vec<u64>,
        reply: Reply<StoreError>,
    },
    /// Trim, or try again after a failure.
    Tick,
    /// Write what came before this, then stop.
    Close { reply: oneshot::Sender<()> },
}

impl Op {
    // Whoever sent it was told that it is not stored, and will send it again.
    fn is_given_up(&self) -> bool {
        matches!(self, Self::Append { reply, .. } if reply.is_closed())
    }

    fn answer(self, outcome: Outcome) {
        let stored = |outcome: Outcome| {
            outcome.map_err(|error| match error {
                CursorError::Store(error) => error,
                other => StoreError::Unavailable(other.to_string()),
            })
        };
        // Whoever stopped waiting does not need the answer.
        let _ = match self {
            Self::Append { reply, share, .. } => {
                drop(share);
                reply.send(stored(outcome)).is_ok()
            }
            Self::Bury { reply, .. } | Self::Forget { reply, .. } => reply.send(stored(outcome)).is_ok(),
            Self::Acknowledge { reply, .. } => reply.send(outcome).is_ok(),
            Self::Close { reply } => reply.send(()).is_ok(),
            Self::Tick => true,
        };
    }
}

/// The writer's state.
pub struct Writer {
    dir: PathBuf,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Op>,
    metrics: Arc<Metrics>,
    runtime: Handle,
    clock: SteadyClock,
    // The same as the shared one, to be read without a lock while a transaction is under way.
    status: Status,
    // After a failed write not even reading is possible until the file is opened again.
    reopen: bool,
}

impl Writer {
    /// A writer that has opened nothing yet. Made within the runtime in which its answers are awaited.
    pub fn new(dir: PathBuf, shared: Arc<Shared>, queue: mpsc::Receiver<Op>, metrics: Arc<Metrics>) -> Self {
        Self {
            runtime: Handle::current(),
            dir,
            shared,
            queue,
            metrics,
            clock: SteadyClock::new(Instant::now(), now_millis()),
            status: Status::default(),
            reopen: false,
        }
    }

    /// Opens the file, which may take long, and works until it is closed or nobody can send any more.
    pub fn run(mut self) {
        self.recover();
        self.reopen();
        let mut trimming = false;
        while let Some(first) = self.next(trimming) {
            let ops = self.batch(first);
            let closing = ops.iter().any(|op| matches!(op, Op::Close { .. }));
            let ticked = ops.iter().any(|op| matches!(op, Op::Tick));
            let replies = self.work(&ops);
            trimming = ticked && !self.has_problem() && self.is_trimmable();
            if closing {
                self.shut();
            }
            self.answer(ops, replies);
            if closing {
                return;
            }
            self.reopen();
        }
        self.shut();
    }

    fn batch(&mut self, first: Op) -> Vec<Op> {
        let mut ops = vec![first];
        while ops.len() < BATCH
            && let Ok(op) = self.queue.try_recv()
        {
            ops.push(op);
        }
        ops.retain(|op| !op.is_given_up());
        ops
    }

    // Each answer wakes a task. From another thread that is slow, so it is done within the runtime, during the next commit.
    fn answer(&self, ops: Vec<Op>, outcomes: Vec<Outcome>) {
        self.runtime.spawn(async move {
            for (op, outcome) in ops.into_iter().zip(outcomes) {
                op.answer(outcome);
            }
        });
    }

    // One transaction trims only so much, so that appends come in between.
    fn next(&mut self, trimming: bool) -> Option<Op> {
        if trimming {
            Some(Op::Tick)
        } else {
            self.queue.blocking_recv()
        }
    }

    fn rules(&self) -> Arc<Rules> {
        lock(&self.shared.rules).clone()
    }

    fn has_problem(&self) -> bool {
        self.shared.status().problem.is_some()
    }

    fn now(&mut self, rules: &Rules) -> i64 {
        self.clock.now(Instant::now(), now_millis(), rules.retention_millis)
    }

    fn is_trimmable(&mut self) -> bool {
        let rules = self.rules();
        let now = self.now(&rules);
        transaction::is_trimmable(&self.status, &rules, now)
    }

    fn work(&mut self, ops: &[Op]) -> Vec<Outcome> {
        if self.has_problem() {
            let ticked = ops.iter().any(|op| matches!(op, Op::Tick));
            if !ticked || !self.recover() {
                return self.refuse_known(ops);
            }
        }
        if self.is_idle(ops) {
            return ops.iter().map(|_| Ok(())).collect();
        }
        let Some(database) = lock(&self.shared.database).clone() else {
            return self.refuse_known(ops);
        };
        match self.write(&database, ops) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                drop(database);
                self.fail(&error);
                refuse(ops, &error)
            }
        }
    }

    // A tick that finds nothing to do must not cause a write.
    fn is_idle(&mut self, ops: &[Op]) -> bool {
        let only_ticks = ops.iter().all(|op| matches!(op, Op::Tick | Op::Close { .. }));
        only_ticks && !self.is_trimmable()
    }

    fn write(&mut self, database: &Database, ops: &[Op]) -> Result<Vec<Outcome>, redb::Error> {
        let rules = self.rules();
        let now = self.now(&rules);
        *lock(&self.shared.busy_since) = Some(Instant::now());
        let written = transaction::run(database, &self.status, &rules, ops, now);
        *lock(&self.shared.busy_since) = None;
        let (changes, outcomes) = written?;
        let ends = changes.ends;
        changes.apply(&mut self.status);
        changes.apply(&mut self.shared.status());
        changes.count(&self.metrics);
        self.shared
            .ends
            .send_if_modified(|known| std::mem::replace(known, ends) != ends);
        Ok(outcomes)
    }

    // After a failure the state of the file is unknown until it is opened again.
    fn fail(&mut self, error: &redb::Error) {
        tracing::error!("the log cannot be written, trying again: {error}");
        self.shared.status().problem = Some(error.to_string());
        self.metrics.storage_failures.inc();
        self.shut();
        self.reopen = true;
    }

    // The file can be opened again only after the last reader is done with it.
    fn shut(&self) {
        let Some(mut database) = lock(&self.shared.database).take() else {
            return;
        };
        while let Err(shared) = Arc::try_unwrap(database) {
            database = shared;
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    // What is stored stays readable while nothing can be written.
    fn reopen(&mut self) {
        if std::mem::take(&mut self.reopen)
            && let Err(error) = self.open()
        {
            tracing::error!("the log cannot be read, trying again: {error}");
        }
    }

    // Opens the file if need be, and finds out whether it can be written.
    fn recover(&mut self) -> bool {
        let outcome = self.try_recover();
        if let Err(error) = &outcome {
            let problem = error.to_string();
            let known = self.shared.status().problem.replace(problem.clone());
            if known.as_ref() != Some(&problem) {
                tracing::error!("the log cannot be used, trying again: {problem}");
            }
            return false;
        }
        tracing::info!("the log can be written");
        self.shared.status().problem = None;
        true
    }

    fn try_recover(&mut self) -> Result<(), redb::Error> {
        let open = lock(&self.shared.database).clone();
        let database = match open {
            Some(database) => database,
            None => self.open()?,
        };
        file::probe(&self.dir)?;
        let probed = tables::probe(&database);
        drop(database);
        if probed.is_err() {
            self.shut();
            self.reopen = true;
        }
        probed
    }

    // Opens the file for reading and makes its state known. What keeps it from being written stays known, too.
    fn open(&mut self) -> Result<Arc<Database>, redb::Error> {
        let shared = Arc::clone(&self.shared);
        let problem = shared.status().problem.clone();
        let before = problem.clone().filter(|problem| problem != OPENING);
        let checking = move |session: &mut RepairSession| checking(&shared, before.as_deref(), session);
        let (database, mut status) = tables::open(&self.dir, checking)?;
        self.shared.opened.get_or_init(now_millis);
        let (database, ends) = (Arc::new(database), status.ends);
        self.status = status.clone();
        status.problem = problem;
        *lock(&self.shared.database) = Some(Arc::clone(&database));
        *self.shared.status() = status;
        self.shared.ends.send_replace(ends);
        Ok(database)
    }

    fn refuse_known(&self, ops: &[Op]) -> Vec<Outcome> {
        let problem = self.shared.status().problem.clone().unwrap_or_default();
        let refused = || Err(StoreError::Unavailable(problem.clone()).into());
        ops.iter().map(|_| refused()).collect()
    }
}

// After a crash all of the file is looked at. Whoever wants to stop must not wait for that.
fn checking(shared: &Shared, before: Option<&str>, session: &mut RepairSession) {
    if shared.closing.load(Ordering::SeqCst) {
        session.abort();
        return;
    }
    let percent = (session.progress() * 100.0).round();
    let checked = format!("the log is being checked, {percent} % done");
    tracing::info!("{checked}");
    shared.status().problem = Some(before.map_or(checked.clone(), |before| format!("{before}; {checked}")));
}

fn refuse(ops: &[Op], error: &redb::Error) -> Vec<Outcome> {
    let problem = error.to_string();
    ops.iter()
        .map(|_| Err(StoreError::Unavailable(problem.clone()).into()))
        .collect()
}
