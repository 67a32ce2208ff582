//! The one thread that writes.

use std::path::PathBuf;
use std::sync::Arc;

use redb::Database;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::super::event::{Kind, Origin};
use super::super::metrics::Metrics;
use super::transaction::{self, Outcome};
use super::{CursorError, Shared, Status, StoreError, lock, tables};

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
    /// Store records.
    Append {
        records: Vec<Encoded>,
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
    path: PathBuf,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Op>,
    metrics: Arc<Metrics>,
    runtime: Handle,
    // The same as the shared one, to be read without a lock while a transaction is under way.
    status: Status,
}

impl Writer {
    /// A writer that has opened nothing yet. Made within the runtime in which its answers are awaited.
    pub fn new(path: PathBuf, shared: Arc<Shared>, queue: mpsc::Receiver<Op>, metrics: Arc<Metrics>) -> Self {
        Self {
            runtime: Handle::current(),
            path,
            shared,
            queue,
            metrics,
            status: Status::default(),
        }
    }

    /// Opens the file for the first time.
    pub fn start(&mut self) {
        if let Err(error) = self.open() {
            tracing::error!("the log cannot be opened, trying again: {error}");
            self.shared.status().problem = Some(error.to_string());
        }
    }

    // Opens the file and makes its state known.
    fn open(&mut self) -> Result<(), redb::Error> {
        let (database, status) = tables::open(&self.path)?;
        let ends = status.ends;
        *lock(&self.shared.database) = Some(Arc::new(database));
        *self.shared.status() = status.clone();
        self.status = status;
        self.shared.ends.send_replace(ends);
        Ok(())
    }

    /// Works until it is closed or nobody can send any more.
    pub fn run(mut self) {
        let mut trimming = false;
        while let Some(first) = self.next(trimming) {
            let mut ops = vec![first];
            while ops.len() < BATCH
                && let Ok(op) = self.queue.try_recv()
            {
                ops.push(op);
            }
            let closing = ops.iter().any(|op| matches!(op, Op::Close { .. }));
            let ticked = ops.iter().any(|op| matches!(op, Op::Tick));
            let replies = self.work(&ops);
            trimming = ticked && self.shared.database().is_ok() && self.is_trimmable();
            if closing {
                self.shut();
            }
            self.answer(ops, replies);
            if closing {
                return;
            }
        }
        self.shut();
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

    fn is_trimmable(&self) -> bool {
        transaction::is_trimmable(&self.status, &lock(&self.shared.rules).clone())
    }

    fn work(&mut self, ops: &[Op]) -> Vec<Outcome> {
        let Ok(database) = self.shared.database() else {
            return self.recover(ops);
        };
        if self.is_idle(ops) {
            return ops.iter().map(|_| Ok(())).collect();
        }
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
    fn is_idle(&self, ops: &[Op]) -> bool {
        let only_ticks = ops.iter().all(|op| matches!(op, Op::Tick | Op::Close { .. }));
        only_ticks && !self.is_trimmable()
    }

    fn write(&mut self, database: &Database, ops: &[Op]) -> Result<Vec<Outcome>, redb::Error> {
        let rules = lock(&self.shared.rules).clone();
        let (changes, outcomes) = transaction::run(database, &self.status, &rules, ops)?;
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
    fn fail(&self, error: &redb::Error) {
        tracing::error!("the log cannot be written, trying again: {error}");
        self.shared.status().problem = Some(error.to_string());
        self.metrics.storage_failures.inc();
        self.shut();
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

    fn recover(&mut self, ops: &[Op]) -> Vec<Outcome> {
        if !ops.iter().any(|op| matches!(op, Op::Tick)) {
            return self.refuse_known(ops);
        }
        match self.open() {
            Ok(()) => {
                tracing::info!("the log can be written again");
                self.work(ops)
            }
            Err(error) => {
                self.shared.status().problem = Some(error.to_string());
                refuse(ops, &error)
            }
        }
    }

    fn refuse_known(&self, ops: &[Op]) -> Vec<Outcome> {
        let problem = self.shared.status().problem.clone().unwrap_or_default();
        let refused = || Err(StoreError::Unavailable(problem.clone()).into());
        ops.iter().map(|_| refused()).collect()
    }
}

fn refuse(ops: &[Op], error: &redb::Error) -> Vec<Outcome> {
    let problem = error.to_string();
    ops.iter()
        .map(|_| Err(StoreError::Unavailable(problem.clone()).into()))
        .collect()
}
