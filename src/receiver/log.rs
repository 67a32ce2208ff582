//! The log: what was acknowledged to Graph, on stable storage, until everybody who is to have it has it.
//!
//! One file, one writer thread. Everything that waits when the writer comes round goes into one transaction (group commit), so a
//! slow disk costs latency and not throughput. Readers see committed data only.

mod changes;
mod clock;
mod error;
mod file;
mod read;
mod readers;
mod status;
mod tables;
mod transaction;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use redb::Database;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::event::{Event, Kind, Record};
use super::metrics::Metrics;
pub use error::{CursorError, StoreError};
pub use read::{PAGE_BYTES, Page, Query};
pub use readers::{Reader, consumer_cursor, sink_cursor};
pub use status::{Ends, Status};
use writer::Op;

/// How many requests may wait for the writer.
const QUEUE: usize = 8192;
/// How long closing may take. What is not closed is checked when it is opened again, and loses nothing.
const CLOSE_TIME: Duration = Duration::from_secs(10);
const OPENING: &str = "the log is being opened";

/// Where the log is and how it is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of its file.
    pub dir: PathBuf,
    /// How often it trims, and tries again after a failure of the storage.
    pub tick: Duration,
    /// How long a commit may take before the storage counts as not answering.
    pub slow: Duration,
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
    /// How many dead letters a sink may have.
    pub dead_letters: u64,
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

/// How far the changes of a subscription's resource were fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// UID of the `GraphSubscription`.
    pub uid: String,
    /// Where to go on: a delta link.
    pub value: String,
    /// Up to when they were fetched, as RFC 3339 text.
    pub time: String,
}

/// The log. Clones share it.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    queue: mpsc::Sender<Op>,
}

struct Shared {
    database: Mutex<Option<Arc<Database>>>,
    status: Mutex<Status>,
    rules: Mutex<Arc<Rules>>,
    ends: watch::Sender<Ends>,
    // When the commit that is under way began.
    busy_since: Mutex<Option<Instant>>,
    slow: Duration,
    // When the file was first opened, in milliseconds since 1970.
    opened: OnceLock<i64>,
    closing: AtomicBool,
}

impl Shared {
    fn new(options: &Options) -> Self {
        let status = Status {
            problem: Some(OPENING.to_owned()),
            ..Status::default()
        };
        Self {
            database: Mutex::default(),
            status: Mutex::new(status),
            rules: Mutex::new(Arc::new(options.rules.clone())),
            ends: watch::Sender::new(Ends::default()),
            busy_since: Mutex::default(),
            slow: options.slow,
            opened: OnceLock::new(),
            closing: AtomicBool::new(false),
        }
    }

    fn is_slow(&self) -> bool {
        lock(&self.busy_since).is_some_and(|since| since.elapsed() > self.slow)
    }

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
    /// Starts the log's writer, which opens the file. Until it is open, and whenever the storage fails, nothing is stored, and
    /// [`Log::problem`] says so.
    pub fn open(options: Options, metrics: Arc<Metrics>) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let shared = Arc::new(Shared::new(&options));
        let (queue, receiver) = mpsc::channel(QUEUE);
        let log = Self { shared, metrics, queue };
        log.tell_readers();
        let (shared, metrics) = (Arc::clone(&log.shared), Arc::clone(&log.metrics));
        let writer = writer::Writer::new(options.dir, shared, receiver, metrics);
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.run())?;
        tokio::spawn(tick(log.queue.downgrade(), options.tick));
        Ok((log, thread))
    }

    // What is counted for the first time later must be seen to have been nothing before.
    fn tell_readers(&self) {
        for reader in &self.rules().readers {
            self.metrics.expired(&reader.name, 0);
            if let Some(sink) = reader.sink() {
                self.metrics.know_sink(sink);
            }
        }
    }

    /// Whether the log was ever opened. Until then nothing is known of it: no id, no cursor.
    pub fn is_known(&self) -> bool {
        !self.shared.status().id.is_empty()
    }

    /// When this process opened the log, in milliseconds since 1970: nobody else has written to it since. `None` until then.
    pub fn opened_millis(&self) -> Option<i64> {
        self.shared.opened.get().copied()
    }

    /// Stores records, all or none. When this returns, they are on stable storage. Their share of the memory, if it is
    /// counted, is given back when they are, even if nobody waits any more.
    pub async fn append(
        &self,
        records: Vec<(Kind, Record)>,
        share: Option<OwnedSemaphorePermit>,
    ) -> Result<(), StoreError> {
        self.hand_in(records, None, share).await
    }

    /// Stores records and a bookmark, all or none, as [`Self::append`] does. Without records a bookmark is taken at the limit, too.
    pub async fn hand_in(
        &self,
        records: Vec<(Kind, Record)>,
        bookmark: Option<Bookmark>,
        share: Option<OwnedSemaphorePermit>,
    ) -> Result<(), StoreError> {
        let records = encode(records)?;
        let (reply, done) = oneshot::channel();
        self.send(Op::Append {
            records,
            bookmark,
            reply,
            share,
        })?;
        done.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// The bookmark of a `GraphSubscription`, if it has one.
    pub async fn bookmark(&self, uid: &str) -> Result<Option<Bookmark>, StoreError> {
        let uid = uid.to_owned();
        self.blocking(move |database| read::bookmark(database, &uid)).await
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

    /// The oldest dead letters of a sink after this one, as many as fit into a few megabytes, at least one.
    pub async fn dead_letters(&self, sink: &str, after: u64, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        let sink = sink.to_owned();
        self.blocking(move |database| read::dead_letters(database, &sink, after, limit))
            .await
    }

    /// How many sequence numbers lie between a reader and the last event for it, and when the first of those was received.
    /// Reads the storage, unless that does not answer.
    pub fn behind(&self, status: &Status, reader: &Reader) -> (u64, Option<i64>) {
        let cursor = status.cursors.get(&reader.name).copied().unwrap_or(0);
        let lag = status.ends.of(reader.kind).saturating_sub(cursor);
        if lag == 0 || self.shared.is_slow() {
            return (lag, None);
        }
        let database = self.shared.database().ok();
        let oldest = database.and_then(|database| read::received_after(&database, cursor, reader.kind).ok()?);
        (lag, oldest)
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

    /// Whether the storage would take something now; being full is not looked at.
    pub fn check(&self) -> Result<(), StoreError> {
        if let Some(problem) = self.shared.status().problem.clone() {
            return Err(StoreError::Unavailable(problem));
        }
        if self.shared.is_slow() {
            return Err(StoreError::Slow);
        }
        Ok(())
    }

    /// What keeps the log from storing, other than its limit.
    pub fn problem(&self) -> Option<String> {
        self.check().err().map(|error| match error {
            StoreError::Unavailable(problem) => problem,
            other => other.to_string(),
        })
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
        self.tell_readers();
    }

    /// Writes what waits, and closes the file, unless the storage takes too long for that.
    pub async fn close(&self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        let (reply, done) = oneshot::channel();
        let closed = async {
            if self.queue.send(Op::Close { reply }).await.is_ok() {
                let _ = done.await;
            }
        };
        if tokio::time::timeout(CLOSE_TIME, closed).await.is_err() {
            tracing::warn!("the log does not close in time, it is checked when it is opened again");
        }
    }

    /// Holds the writer up until what is returned is dropped.
    #[cfg(test)]
    pub fn stall(&self) -> redb::WriteTransaction {
        self.shared.database().unwrap().begin_write().unwrap()
    }

    fn send(&self, op: Op) -> Result<(), StoreError> {
        self.check()?;
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
