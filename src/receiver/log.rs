//! The log: what was acknowledged to Graph, on stable storage, until everybody who is to have it has it.
//!
//! One file, one writer thread. Everything that waits when the writer comes round goes into one transaction (group commit), so a
//! slow disk costs latency and not throughput. Readers see committed data only.

mod changes;
mod error;
mod read;
mod readers;
mod status;
mod tables;
mod transaction;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::Database;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::event::{Event, Kind, Record};
use super::metrics::Metrics;
pub use error::{CursorError, StoreError};
pub use read::{Page, Query};
pub use readers::{Reader, consumer_cursor, sink_cursor};
pub use status::{Ends, Status};
use writer::Op;

/// How many requests may wait for the writer.
const QUEUE: usize = 8192;

/// Where the log is and how it is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of its file.
    pub dir: PathBuf,
    /// How often it trims, and tries again after a failure of the storage.
    pub tick: Duration,
    /// What is kept, for whom.
    pub rules: Rules,
}

/// What is kept, for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Bytes the events may take.
    pub limit_bytes: u64,
    /// How long events are kept at most, in milliseconds.
    pub retention_millis: i64,
    /// For whom events are kept.
    pub readers: Vec<Reader>,
}

/// An event that a sink refused for good.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The event.
    pub event: Event,
    /// Why, in a few words.
    pub reason: String,
}

/// The log. Clones share it.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Op>,
}

struct Shared {
    database: Mutex<Option<Arc<Database>>>,
    status: Mutex<Status>,
    rules: Mutex<Arc<Rules>>,
    ends: watch::Sender<Ends>,
}

impl Shared {
    fn status(&self) -> MutexGuard<'_, Status> {
        lock(&self.status)
    }

    fn database(&self) -> Result<Arc<Database>, StoreError> {
        let database = lock(&self.database).clone();
        database.ok_or_else(|| StoreError::Unavailable(self.status().problem.clone().unwrap_or_default()))
    }
}

// A panic while a lock was held left nothing half-done here: every change under a lock is a plain assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// Starts the log's writer. Storage that fails, now or later, is waited for.
    pub fn open(options: Options, metrics: Arc<Metrics>) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (shared, path) = (Arc::new(Shared::new(options.rules)), options.dir.join(tables::FILE));
        let (queue, receiver) = mpsc::channel(QUEUE);
        let mut writer = writer::Writer::new(path, Arc::clone(&shared), receiver, metrics);
        writer.start();
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.run())?;
        let log = Self { shared, queue };
        tokio::spawn(tick(log.queue.downgrade(), options.tick));
        Ok((log, thread))
    }

    /// Whether the log was ever opened. Until then nothing is known of it: no id, no cursor.
    pub fn is_known(&self) -> bool {
        !self.shared.status().id.is_empty()
    }

    /// Stores records, all or none. When this returns, they are on stable storage. Their share of the memory, if it is
    /// counted, is given back when they are, even if nobody waits any more.
    pub async fn append(
        &self,
        records: Vec<(Kind, Record)>,
        share: Option<OwnedSemaphorePermit>,
    ) -> Result<(), StoreError> {
        let records = encode(records)?;
        let (reply, done) = oneshot::channel();
        self.send(Op::Append { records, reply, share })?;
        done.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Reads events in their order.
    pub async fn read(&self, query: Query) -> Result<Page, StoreError> {
        self.blocking(move |database| read::page(database, query)).await
    }

    /// Where a reader stands: everything up to here is acknowledged.
    pub fn cursor(&self, reader: &str) -> u64 {
        self.shared.status().cursors.get(reader).copied().unwrap_or(0)
    }

    /// Moves a reader's cursor forward.
    pub async fn acknowledge(&self, reader: &str, to: u64) -> Result<(), CursorError> {
        let (reply, done) = oneshot::channel();
        let reader = reader.to_owned();
        self.send(Op::Acknowledge { reader, to, reply })?;
        done.await.unwrap_or_else(|_| Err(stopped().into()))
    }

    /// Keeps an event that a sink refused for good.
    pub async fn bury(&self, sink: &str, letter: &DeadLetter) -> Result<(), StoreError> {
        let bytes = tables::encode_dead_letter(letter).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let (reply, done) = oneshot::channel();
        let (sink, seq) = (sink.to_owned(), letter.event.seq);
        self.send(Op::Bury {
            sink,
            seq,
            bytes,
            reply,
        })?;
        done.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Forgets dead letters of a sink.
    pub async fn forget(&self, sink: &str, seqs: Vec<u64>) -> Result<(), StoreError> {
        let (reply, done) = oneshot::channel();
        let sink = sink.to_owned();
        self.send(Op::Forget { sink, seqs, reply })?;
        done.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// The oldest dead letters of a sink.
    pub async fn dead_letters(&self, sink: &str, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        let sink = sink.to_owned();
        self.blocking(move |database| read::dead_letters(database, &sink, limit))
            .await
    }

    /// When the first notification after this one was received, if there is one.
    pub fn received_after(&self, seq: u64) -> Option<i64> {
        let database = self.shared.database().ok()?;
        read::received_after(&database, seq).ok().flatten()
    }

    /// Whether a notification is still kept.
    pub fn holds(&self, seq: u64) -> bool {
        let oldest = self.shared.status().oldest_notification;
        oldest.is_some_and(|oldest| oldest.seq <= seq)
    }

    /// A look at the log's state.
    pub fn status(&self) -> Status {
        self.shared.status().clone()
    }

    /// The id of this log, made when it was created.
    pub fn id(&self) -> String {
        self.shared.status().id.clone()
    }

    /// What keeps the log from storing, if anything does.
    pub fn problem(&self) -> Option<String> {
        let status = self.shared.status();
        let full = status.full.then(|| StoreError::Full.to_string());
        status.problem.clone().or(full)
    }

    /// Follows where the log ends.
    pub fn ends(&self) -> watch::Receiver<Ends> {
        self.shared.ends.subscribe()
    }

    /// What is kept now.
    pub fn rules(&self) -> Arc<Rules> {
        lock(&self.shared.rules).clone()
    }

    /// Changes what is kept.
    pub fn set_rules(&self, rules: Rules) {
        *lock(&self.shared.rules) = Arc::new(rules);
    }

    /// Writes what waits, and closes the file.
    pub async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.queue.send(Op::Close { reply }).await.is_ok() {
            let _ = done.await;
        }
    }

    fn send(&self, op: Op) -> Result<(), StoreError> {
        if let Some(problem) = self.shared.status().problem.clone() {
            return Err(StoreError::Unavailable(problem));
        }
        self.queue.try_send(op).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || {
            let database = shared.database()?;
            work(&database).map_err(|error| StoreError::Unavailable(error.to_string()))
        })
        .await
        .unwrap_or_else(|_| Err(stopped()))
    }
}

impl Shared {
    fn new(rules: Rules) -> Self {
        Self {
            database: Mutex::default(),
            status: Mutex::default(),
            rules: Mutex::new(Arc::new(rules)),
            ends: watch::Sender::new(Ends::default()),
        }
    }
}

// Takes the records, so that an item is not kept twice while it waits.
fn encode(records: Vec<(Kind, Record)>) -> Result<Vec<writer::Encoded>, StoreError> {
    let encode = |(kind, record): (Kind, Record)| {
        let bytes = record.encode();
        Ok(writer::Encoded {
            kind,
            origin: record.origin,
            bytes: bytes.map_err(|error| StoreError::Unavailable(error.to_string()))?,
            uid: record.uid,
        })
    };
    records.into_iter().map(encode).collect()
}

async fn tick(queue: mpsc::WeakSender<Op>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(queue) = queue.upgrade() else { return };
        // A full queue means the writer is busy and comes round by itself.
        let _ = queue.try_send(Op::Tick);
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the log is closed".to_owned())
}
