//! The tables of the file, and what is read from them when it is opened.

use std::path::Path;

use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, RepairSession,
    TableDefinition, TableError,
};
use serde::{Deserialize, Serialize};

use super::super::event::{Event, Kind, Record, TIME_BYTES, received_millis};
use super::status::{Oldest, Received, Status};
use super::{DeadLetter, file};

const CACHE_BYTES: usize = 8 << 20;
const PAGE: u64 = 4096;

/// Sequence number to stored record, for each kind. Kinds are apart because they are kept for different readers.
pub type Events = TableDefinition<'static, u64, &'static [u8]>;
const NOTIFICATIONS: Events = TableDefinition::new("notifications");
const LIFECYCLE: Events = TableDefinition::new("lifecycle");
/// Reader to the last sequence number it acknowledged.
pub const CURSORS: TableDefinition<'static, &str, u64> = TableDefinition::new("cursors");
/// UID to the time of its last item, and how many there were.
pub const SUBSCRIPTIONS: TableDefinition<'static, &str, (i64, u64)> = TableDefinition::new("subscriptions");
/// When it was stored, its value, and its time.
pub type StoredBookmark = (i64, &'static str, &'static str);
/// UID to a bookmark.
pub const BOOKMARKS: TableDefinition<'static, &str, StoredBookmark> = TableDefinition::new("bookmarks");
/// Sink and sequence number to a dead letter.
pub const DEAD: TableDefinition<'static, (&str, u64), &[u8]> = TableDefinition::new("dead");
/// Numbers about the log.
pub const NUMBERS: TableDefinition<'static, &str, u64> = TableDefinition::new("numbers");
/// Texts about the log.
const TEXTS: TableDefinition<'static, &str, &str> = TableDefinition::new("texts");

/// The last sequence number given out; it outlives the events.
pub const LAST: &str = "last";
/// Bytes that events and dead letters take.
pub const USED: &str = "used";
const ID: &str = "id";

/// The table of a kind.
pub const fn events(kind: Kind) -> Events {
    match kind {
        Kind::Notification => NOTIFICATIONS,
        Kind::Lifecycle => LIFECYCLE,
    }
}

/// What a stored value takes of the file: values share pages, large ones get powers of two of their own.
pub fn cost(bytes: usize) -> u64 {
    let bytes = bytes as u64 + 16;
    match (PAGE - 64) / bytes {
        0 => (bytes + 64).next_power_of_two(),
        each => PAGE / each,
    }
}

/// Opens or creates the file in this folder, and reads what there is to know. Nothing is written to a log that exists already,
/// so that it can be read when the volume is full. A long check of the file is told to `checking`.
pub fn open(dir: &Path, checking: impl Fn(&mut RepairSession) + 'static) -> Result<(Database, Status), redb::Error> {
    let new = file::prepare(dir)?;
    let database = redb::Builder::new()
        .set_cache_size(CACHE_BYTES)
        .set_repair_callback(checking)
        .create(dir.join(file::NAME))?;
    if new {
        file::sync_name(dir)?;
    }
    let id = match identity(&database)? {
        Some(id) => id,
        None => found(&database)?,
    };
    let status = load(&database.begin_read()?, id)?;
    Ok((database, status))
}

/// Whether the file can be written. Changes nothing in it.
pub fn probe(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut numbers = transaction.open_table(NUMBERS)?;
        let last = numbers.get(LAST)?.map_or(0, |last| last.value());
        numbers.insert(LAST, last)?;
    }
    transaction.commit()?;
    Ok(())
}

fn identity(database: &Database) -> Result<Option<String>, redb::Error> {
    let texts = match database.begin_read()?.open_table(TEXTS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        texts => texts?,
    };
    Ok(texts.get(ID)?.map(|id| id.value().to_owned()))
}

// A log is there as a whole or not at all.
fn found(database: &Database) -> Result<String, redb::Error> {
    let id = uuid::Uuid::new_v4().to_string();
    let transaction = database.begin_write()?;
    for kind in Kind::ALL {
        transaction.open_table(events(kind))?;
    }
    transaction.open_table(CURSORS)?;
    transaction.open_table(SUBSCRIPTIONS)?;
    transaction.open_table(BOOKMARKS)?;
    transaction.open_table(DEAD)?;
    transaction.open_table(NUMBERS)?;
    transaction.open_table(TEXTS)?.insert(ID, id.as_str())?;
    transaction.commit()?;
    Ok(id)
}

/// The bookmarks; `None` in the file of an older version to which none was written yet.
pub fn bookmarks(
    transaction: &ReadTransaction,
) -> Result<Option<ReadOnlyTable<&'static str, StoredBookmark>>, redb::Error> {
    match transaction.open_table(BOOKMARKS) {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        table => Ok(Some(table?)),
    }
}

fn load(transaction: &ReadTransaction, id: String) -> Result<Status, redb::Error> {
    let mut status = Status {
        id,
        ..Status::default()
    };
    for kind in Kind::ALL {
        let table = transaction.open_table(events(kind))?;
        status.events += table.len()?;
        status.set_oldest(kind, oldest(&table)?);
        if let Some((seq, _)) = table.last()? {
            status.ends.set(kind, seq.value());
        }
    }
    let numbers = transaction.open_table(NUMBERS)?;
    status.ends.last = numbers.get(LAST)?.map_or(0, |last| last.value());
    status.used_bytes = numbers.get(USED)?.map_or(0, |used| used.value());
    for entry in transaction.open_table(CURSORS)?.iter()? {
        let (reader, seq) = entry?;
        status.cursors.insert(reader.value().to_owned(), seq.value());
    }
    for entry in transaction.open_table(SUBSCRIPTIONS)?.iter()? {
        let (uid, received) = entry?;
        let (last_millis, count) = received.value();
        let received = Received { last_millis, count };
        status.subscriptions.insert(uid.value().to_owned(), received);
    }
    if let Some(bookmarks) = bookmarks(transaction)? {
        for entry in bookmarks.iter()? {
            let (uid, bookmark) = entry?;
            status.bookmarks.insert(uid.value().to_owned(), bookmark.value().0);
        }
    }
    for entry in transaction.open_table(DEAD)?.iter()? {
        let (key, letter) = entry?;
        *status.dead_letters.entry(key.value().0.to_owned()).or_default() += 1;
        let millis = received_millis(letter.value());
        status.oldest_dead_letter = Some(status.oldest_dead_letter.map_or(millis, |oldest| oldest.min(millis)));
    }
    Ok(status)
}

/// The first event of a table.
pub fn oldest(table: &impl ReadableTable<u64, &'static [u8]>) -> Result<Option<Oldest>, redb::Error> {
    let first = table.first()?;
    Ok(first.map(|(seq, bytes)| Oldest {
        seq: seq.value(),
        millis: received_millis(bytes.value()),
    }))
}

#[derive(Serialize, Deserialize)]
struct StoredLetter {
    seq: u64,
    kind: Kind,
    reason: String,
    received: i64,
    record: Record,
}

/// The bytes of a dead letter, with the time of the event in front as in a record.
pub fn encode_dead_letter(letter: &DeadLetter) -> Result<Vec<u8>, serde_json::Error> {
    let event = &letter.event;
    let stored = StoredLetter {
        seq: event.seq,
        kind: event.kind,
        reason: letter.reason.clone(),
        received: event.record.received_millis,
        record: event.record.clone(),
    };
    let mut bytes = event.record.received_millis.to_be_bytes().to_vec();
    serde_json::to_writer(&mut bytes, &stored)?;
    Ok(bytes)
}

/// A dead letter from its bytes.
pub fn decode_dead_letter(bytes: &[u8]) -> Option<DeadLetter> {
    let mut stored: StoredLetter = serde_json::from_slice(bytes.get(TIME_BYTES..)?).ok()?;
    stored.record.received_millis = stored.received;
    let event = Event {
        seq: stored.seq,
        kind: stored.kind,
        record: stored.record,
    };
    Some(DeadLetter {
        event,
        reason: stored.reason,
    })
}
