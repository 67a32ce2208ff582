//! What a transaction is about to change, kept aside until it is committed.

use std::collections::BTreeMap;

use super::super::event::{Kind, Origin};
use super::super::metrics::Metrics;
use super::Rules;
use super::status::{Ends, Oldest, Received, Status};

/// Changes of the state, in absolute numbers.
pub struct Changes {
    /// Where the log ends.
    pub ends: Ends,
    /// How many events it holds.
    pub events: u64,
    /// Bytes used.
    pub used_bytes: u64,
    /// Cursors that moved.
    pub cursors: BTreeMap<String, u64>,
    /// Subscriptions that received something.
    pub subscriptions: BTreeMap<String, Received>,
    /// Bookmarks that were stored, and when.
    pub bookmarks: BTreeMap<String, i64>,
    /// Dead letters of the sinks that gained or lost some.
    pub dead_letters: BTreeMap<String, u64>,
    /// The oldest dead letter's time.
    pub oldest_dead_letter: Option<i64>,
    /// The oldest event of each kind, where trimming or appending changed it.
    pub oldest: BTreeMap<Kind, Option<Oldest>>,
    /// Subscriptions that were forgotten.
    pub forgotten: Vec<String>,
    /// Bookmarks that were forgotten.
    pub forgotten_bookmarks: Vec<String>,
    /// For the metrics: what was stored.
    pub stored: BTreeMap<(Kind, Origin), u64>,
    /// For the metrics: what expired before a reader had it.
    pub expired: BTreeMap<String, u64>,
    /// For the metrics: dead letters dropped for their age.
    pub dropped: BTreeMap<String, u64>,
    /// Whether events were refused because the limit is reached.
    pub refused: bool,
    /// Whether anything is to be written at all.
    pub dirty: bool,
}

impl Changes {
    /// No changes yet.
    pub fn new(status: &Status) -> Self {
        Self {
            ends: status.ends,
            events: status.events,
            used_bytes: status.used_bytes,
            cursors: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            bookmarks: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            oldest_dead_letter: status.oldest_dead_letter,
            oldest: BTreeMap::new(),
            forgotten: Vec::new(),
            forgotten_bookmarks: Vec::new(),
            stored: BTreeMap::new(),
            expired: BTreeMap::new(),
            dropped: BTreeMap::new(),
            refused: false,
            dirty: false,
        }
    }

    /// A reader's cursor, moved or not.
    pub fn cursor(&self, status: &Status, reader: &str) -> u64 {
        let moved = self.cursors.get(reader).or_else(|| status.cursors.get(reader));
        moved.copied().unwrap_or(0)
    }

    /// Up to where everybody for whom this kind is kept has it; `None` if it is kept for nobody.
    pub fn acknowledged(&self, status: &Status, rules: &Rules, kind: Kind) -> Option<u64> {
        rules
            .readers
            .iter()
            .filter(|reader| reader.kind.is_none_or(|only| only == kind))
            .map(|reader| self.cursor(status, &reader.name))
            .min()
    }

    /// Counts an event that is dropped for its age, for everybody who has not had it.
    pub fn count_expired(&mut self, status: &Status, rules: &Rules, kind: Kind, seq: u64) {
        for reader in &rules.readers {
            let wanted = reader.kind.is_none_or(|only| only == kind);
            if wanted && self.cursor(status, &reader.name) < seq {
                *self.expired.entry(reader.name.clone()).or_default() += 1;
            }
        }
    }

    /// A subscription's count, to be changed.
    pub fn subscription(&mut self, status: &Status, uid: &str) -> &mut Received {
        let known = || status.subscriptions.get(uid).copied().unwrap_or_default();
        self.subscriptions.entry(uid.to_owned()).or_insert_with(known)
    }

    /// A sink's number of dead letters, to be changed.
    pub fn dead(&mut self, status: &Status, sink: &str) -> &mut u64 {
        let known = status.dead_letters.get(sink).copied().unwrap_or(0);
        self.dead_letters.entry(sink.to_owned()).or_insert(known)
    }

    /// Makes the changes part of the state, after they were committed.
    pub fn apply(&self, status: &mut Status) {
        status.ends = self.ends;
        status.events = self.events;
        status.refused = self.refused || (status.refused && self.stored.is_empty());
        status.used_bytes = self.used_bytes;
        status.oldest_dead_letter = self.oldest_dead_letter;
        for (reader, seq) in &self.cursors {
            status.cursors.insert(reader.clone(), *seq);
        }
        for (uid, received) in &self.subscriptions {
            status.subscriptions.insert(uid.clone(), *received);
        }
        for uid in &self.forgotten {
            status.subscriptions.remove(uid);
        }
        for (uid, stored_millis) in &self.bookmarks {
            status.bookmarks.insert(uid.clone(), *stored_millis);
        }
        for uid in &self.forgotten_bookmarks {
            status.bookmarks.remove(uid);
        }
        for (sink, count) in &self.dead_letters {
            status.dead_letters.insert(sink.clone(), *count);
        }
        for (kind, oldest) in &self.oldest {
            status.set_oldest(*kind, *oldest);
        }
    }

    /// Counts what was committed.
    pub fn count(&self, metrics: &Metrics) {
        for ((kind, origin), count) in &self.stored {
            metrics.stored(*kind, *origin, *count);
        }
        for (reader, count) in &self.expired {
            metrics.expired(reader, *count);
        }
        for (sink, count) in &self.dropped {
            metrics.dead_letters_dropped(sink, *count);
        }
    }
}
