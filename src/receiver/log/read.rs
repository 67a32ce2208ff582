//! Reads committed events.

use redb::{Database, ReadableDatabase};

use super::super::event::{Event, Kind, Record, received_millis};
use super::{Bookmark, DeadLetter, tables};

/// Bytes of a page for whoever does not want less.
pub const PAGE_BYTES: usize = 4 << 20;
/// Bytes after which a list of dead letters ends.
const LETTERS_BYTES: usize = 8 << 20;

/// Which events to read.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// Those after this one.
    pub after: u64,
    /// At most so many.
    pub limit: usize,
    /// Only these; all when `None`.
    pub kind: Option<Kind>,
    /// Ends with the event that reaches so many bytes, however many were asked for.
    pub bytes: usize,
}

/// Events in their order.
#[derive(Debug)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// Up to where the log was looked through: where to go on, past what was left out.
    pub next: u64,
}

type Entries = redb::Range<'static, u64, &'static [u8]>;
type Entry = (u64, redb::AccessGuard<'static, &'static [u8]>);

// One kind's events, with the next of them in view.
struct Stream {
    kind: Kind,
    head: Option<Entry>,
    rest: Entries,
}

impl Stream {
    fn new(kind: Kind, rest: Entries) -> Result<Self, redb::Error> {
        let mut stream = Self { kind, head: None, rest };
        stream.advance()?;
        Ok(stream)
    }

    fn advance(&mut self) -> Result<Option<Entry>, redb::Error> {
        let next = self.rest.next().transpose()?.map(|(seq, bytes)| (seq.value(), bytes));
        Ok(std::mem::replace(&mut self.head, next))
    }
}

/// Reads a page.
pub fn page(database: &Database, query: Query) -> Result<Page, redb::Error> {
    let transaction = database.begin_read()?;
    let last = transaction.open_table(tables::NUMBERS)?.get(tables::LAST)?;
    let last = last.map_or(0, |last| last.value());
    let mut streams = Vec::new();
    for kind in Kind::ALL
        .into_iter()
        .filter(|kind| query.kind.is_none_or(|only| only == *kind))
    {
        let table = transaction.open_table(tables::events(kind))?;
        streams.push(Stream::new(kind, table.range(query.after.saturating_add(1)..)?)?);
    }
    let (mut events, mut bytes, mut looked) = (Vec::new(), 0, query.after);
    while let Some(stream) = earliest(&mut streams) {
        if events.len() >= query.limit || bytes >= query.bytes {
            return Ok(Page { events, next: looked });
        }
        let kind = stream.kind;
        let Some((seq, value)) = stream.advance()? else { break };
        looked = seq;
        bytes += value.value().len();
        let Some(record) = Record::decode(value.value()) else {
            // Written by us and covered by checksums, so this is a bug; one event must not stop the others.
            tracing::error!(seq, "a stored event cannot be read, it is left out");
            continue;
        };
        events.push(Event { seq, kind, record });
    }
    let next = last.max(query.after);
    Ok(Page { events, next })
}

fn earliest(streams: &mut [Stream]) -> Option<&mut Stream> {
    streams
        .iter_mut()
        .filter(|stream| stream.head.is_some())
        .min_by_key(|stream| stream.head.as_ref().map(|(seq, _)| *seq))
}

/// When the first event of this kind, or of any, after this one was received.
pub fn received_after(database: &Database, seq: u64, kind: Option<Kind>) -> Result<Option<i64>, redb::Error> {
    let transaction = database.begin_read()?;
    let mut first: Option<(u64, i64)> = None;
    for kind in Kind::ALL
        .into_iter()
        .filter(|each| kind.is_none_or(|only| only == *each))
    {
        let table = transaction.open_table(tables::events(kind))?;
        if let Some((seq, bytes)) = table.range(seq.saturating_add(1)..)?.next().transpose()? {
            let found = (seq.value(), received_millis(bytes.value()));
            first = Some(first.map_or(found, |known| known.min(found)));
        }
    }
    Ok(first.map(|(_, millis)| millis))
}

/// The oldest dead letters of a sink after this one.
pub fn dead_letters(database: &Database, sink: &str, after: u64, limit: usize) -> Result<Vec<DeadLetter>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(tables::DEAD)?;
    let (mut letters, mut bytes) = (Vec::new(), 0);
    for entry in table
        .range((sink, after.saturating_add(1))..=(sink, u64::MAX))?
        .take(limit)
    {
        let (_, letter) = entry?;
        bytes += letter.value().len();
        letters.extend(tables::decode_dead_letter(letter.value()));
        if bytes >= LETTERS_BYTES {
            break;
        }
    }
    Ok(letters)
}

/// The bookmark of a `GraphSubscription`.
pub fn bookmark(database: &Database, uid: &str) -> Result<Option<Bookmark>, redb::Error> {
    let Some(table) = tables::bookmarks(&database.begin_read()?)? else {
        return Ok(None);
    };
    Ok(table.get(uid)?.map(|bookmark| {
        let (_, value, time) = bookmark.value();
        Bookmark {
            uid: uid.to_owned(),
            value: value.to_owned(),
            time: time.to_owned(),
        }
    }))
}
