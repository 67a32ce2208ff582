//! One transaction: everything that waited for the writer, applied in order.

use redb::{Database, ReadableTable, Table, WriteTransaction};

use super::super::event::{Kind, Origin, received_millis};
use super::changes::Changes;
use super::status::Status;
use super::writer::{Encoded, Op};
use super::{Bookmark, CursorError, Rules, StoreError, tables};

/// How many events one transaction trims, so that appends do not wait long behind it.
pub const TRIM_BATCH: usize = 1024;
/// How long a subscription that receives nothing is remembered, and a bookmark that is not moved.
const SUBSCRIPTION_MILLIS: i64 = 30 * 24 * 3600 * 1000;

/// What became of an operation that reached the storage.
pub type Outcome = Result<(), CursorError>;

/// Applies operations and commits. An error means that nothing was changed.
pub fn run(
    database: &Database,
    status: &Status,
    rules: &Rules,
    ops: &[Op],
    now: i64,
) -> Result<(Changes, Vec<Outcome>), redb::Error> {
    let transaction = database.begin_write()?;
    let (changes, outcomes) = apply(&transaction, status, rules, ops, now)?;
    if changes.dirty {
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    Ok((changes, outcomes))
}

fn apply(
    transaction: &WriteTransaction,
    status: &Status,
    rules: &Rules,
    ops: &[Op],
    now: i64,
) -> Result<(Changes, Vec<Outcome>), redb::Error> {
    let mut work = Work::new(transaction, status, rules, now)?;
    let outcomes = ops.iter().map(|op| work.apply(op)).collect::<Result<Vec<_>, _>>()?;
    work.finish()?;
    Ok((work.changes, outcomes))
}

/// Whether there is anything that a tick would trim.
pub fn is_trimmable(status: &Status, rules: &Rules, now: i64) -> bool {
    let changes = Changes::new(status);
    let oldest_kept = now - rules.retention_millis;
    let events = Kind::ALL.into_iter().any(|kind| {
        status.oldest(kind).is_some_and(|oldest| {
            let acknowledged = changes.acknowledged(status, rules, kind);
            oldest.millis < oldest_kept || acknowledged.is_some_and(|seq| oldest.seq <= seq)
        })
    });
    events || status.oldest_dead_letter.is_some_and(|millis| millis < oldest_kept)
}

struct Work<'a> {
    // For what is seldom written: opening a table costs each commit.
    transaction: &'a WriteTransaction,
    notifications: Table<'a, u64, &'static [u8]>,
    lifecycle: Table<'a, u64, &'static [u8]>,
    cursors: Table<'a, &'static str, u64>,
    subscriptions: Table<'a, &'static str, (i64, u64)>,
    dead: Table<'a, (&'static str, u64), &'static [u8]>,
    numbers: Table<'a, &'static str, u64>,
    status: &'a Status,
    rules: &'a Rules,
    now: i64,
    changes: Changes,
}

impl<'a> Work<'a> {
    fn new(
        transaction: &'a WriteTransaction,
        status: &'a Status,
        rules: &'a Rules,
        now: i64,
    ) -> Result<Self, redb::Error> {
        Ok(Self {
            transaction,
            notifications: transaction.open_table(tables::events(Kind::Notification))?,
            lifecycle: transaction.open_table(tables::events(Kind::Lifecycle))?,
            cursors: transaction.open_table(tables::CURSORS)?,
            subscriptions: transaction.open_table(tables::SUBSCRIPTIONS)?,
            dead: transaction.open_table(tables::DEAD)?,
            numbers: transaction.open_table(tables::NUMBERS)?,
            status,
            rules,
            now,
            changes: Changes::new(status),
        })
    }

    fn apply(&mut self, op: &Op) -> Result<Outcome, redb::Error> {
        match op {
            Op::Append { records, bookmark, .. } => self.append(records, bookmark.as_ref()),
            Op::Acknowledge { reader, to, .. } => self.acknowledge(reader, *to),
            Op::Bury { sink, seq, bytes, .. } => self.bury(sink, *seq, bytes),
            Op::Forget { sink, seqs, .. } => self.forget(sink, seqs).map(Ok),
            Op::Tick => self.tick().map(Ok),
            Op::Close { .. } => Ok(Ok(())),
        }
    }

    fn events(&mut self, kind: Kind) -> &mut Table<'a, u64, &'static [u8]> {
        match kind {
            Kind::Notification => &mut self.notifications,
            Kind::Lifecycle => &mut self.lifecycle,
        }
    }

    fn append(&mut self, records: &[Encoded], bookmark: Option<&Bookmark>) -> Result<Outcome, redb::Error> {
        let needed: u64 = records.iter().map(|record| tables::cost(record.bytes.len())).sum();
        if !records.is_empty() && !self.make_room(needed)? {
            return Ok(Err(StoreError::Full.into()));
        }
        if let Some(bookmark) = bookmark {
            self.set_bookmark(bookmark)?;
        }
        for record in records {
            let seq = self.changes.ends.last + 1;
            self.events(record.kind).insert(seq, record.bytes.as_slice())?;
            self.count(seq, record);
        }
        self.changes.used_bytes += needed;
        self.changes.dirty = true;
        Ok(Ok(()))
    }

    fn set_bookmark(&mut self, bookmark: &Bookmark) -> Result<(), redb::Error> {
        let Bookmark { uid, value, time } = bookmark;
        let mut bookmarks = self.transaction.open_table(tables::BOOKMARKS)?;
        bookmarks.insert(uid.as_str(), (self.now, value.as_str(), time.as_str()))?;
        self.changes.bookmarks.insert(uid.clone(), self.now);
        Ok(())
    }

    fn count(&mut self, seq: u64, record: &Encoded) {
        let millis = received_millis(&record.bytes);
        self.changes.ends.set(record.kind, seq);
        self.changes.events += 1;
        self.changes.oldest.insert(record.kind, None);
        *self.changes.stored.entry((record.kind, record.origin)).or_default() += 1;
        // What is handed in says nothing of whether notifications come.
        if record.origin == Origin::Push {
            let received = self.changes.subscription(self.status, &record.uid);
            received.count += 1;
            received.last_millis = received.last_millis.max(millis);
        }
    }

    fn make_room(&mut self, needed: u64) -> Result<bool, redb::Error> {
        if self.is_full(needed) {
            self.trim(needed)?;
        }
        let full = self.is_full(needed);
        self.changes.refused |= full;
        Ok(!full)
    }

    fn is_full(&self, needed: u64) -> bool {
        self.changes.used_bytes + needed > self.rules.limit_bytes
    }

    fn acknowledge(&mut self, reader: &str, to: u64) -> Result<Outcome, redb::Error> {
        let (at, end) = (self.changes.cursor(self.status, reader), self.changes.ends.last);
        if to > end {
            return Ok(Err(CursorError::BeyondEnd(end)));
        }
        if to < at {
            return Ok(Err(CursorError::Backwards(at)));
        }
        if to > at {
            self.cursors.insert(reader, to)?;
            self.changes.cursors.insert(reader.to_owned(), to);
            self.changes.dirty = true;
        }
        Ok(Ok(()))
    }

    // What is refused here stays an undelivered event, and is tried again: dropping an older letter for it would lose that one.
    fn bury(&mut self, sink: &str, seq: u64, bytes: &[u8]) -> Result<Outcome, redb::Error> {
        let known = self.dead.get((sink, seq))?.map(|old| tables::cost(old.value().len()));
        if known.is_none() && *self.changes.dead(self.status, sink) >= self.rules.dead_letters {
            return Ok(Err(StoreError::TooManyDeadLetters.into()));
        }
        let (cost, known_cost) = (tables::cost(bytes.len()), known.unwrap_or(0));
        if !self.make_room(cost.saturating_sub(known_cost))? {
            return Ok(Err(StoreError::Full.into()));
        }
        self.dead.insert((sink, seq), bytes)?;
        if known.is_none() {
            *self.changes.dead(self.status, sink) += 1;
        }
        let millis = received_millis(bytes);
        let oldest = self.changes.oldest_dead_letter;
        self.changes.oldest_dead_letter = Some(oldest.map_or(millis, |oldest| oldest.min(millis)));
        self.changes.used_bytes = self.changes.used_bytes.saturating_sub(known_cost) + cost;
        self.changes.dirty = true;
        Ok(Ok(()))
    }

    fn forget(&mut self, sink: &str, seqs: &[u64]) -> Result<(), redb::Error> {
        for seq in seqs {
            let Some(bytes) = self.dead.remove((sink, *seq))?.map(|letter| letter.value().len()) else {
                continue;
            };
            let count = self.changes.dead(self.status, sink);
            *count = count.saturating_sub(1);
            self.changes.used_bytes = self.changes.used_bytes.saturating_sub(tables::cost(bytes));
            self.changes.dirty = true;
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), redb::Error> {
        self.trim(0)?;
        self.trim_dead_letters()?;
        self.trim_subscriptions()?;
        self.trim_bookmarks()
    }

    // Drops what everybody has, what is too old, and, only when room is needed, what is kept for nobody.
    fn trim(&mut self, needed: u64) -> Result<(), redb::Error> {
        for kind in Kind::ALL {
            let acknowledged = self.changes.acknowledged(self.status, self.rules, kind);
            let oldest_kept = self.now - self.rules.retention_millis;
            for _ in 0..TRIM_BATCH {
                let Some(oldest) = tables::oldest(self.events(kind))? else {
                    break;
                };
                let done = acknowledged.is_some_and(|seq| oldest.seq <= seq);
                let unclaimed = acknowledged.is_none() && needed > 0 && self.is_full(needed);
                if !done && !unclaimed && oldest.millis >= oldest_kept {
                    break;
                }
                if !done {
                    self.changes.count_expired(self.status, self.rules, kind, oldest.seq);
                }
                self.remove(kind, oldest.seq)?;
            }
        }
        Ok(())
    }

    fn remove(&mut self, kind: Kind, seq: u64) -> Result<(), redb::Error> {
        let bytes = self.events(kind).remove(seq)?.map_or(0, |value| value.value().len());
        self.changes.used_bytes = self.changes.used_bytes.saturating_sub(tables::cost(bytes));
        self.changes.events = self.changes.events.saturating_sub(1);
        self.changes.oldest.insert(kind, None);
        self.changes.dirty = true;
        Ok(())
    }

    fn trim_dead_letters(&mut self) -> Result<(), redb::Error> {
        let oldest_kept = self.now - self.rules.retention_millis;
        if self
            .changes
            .oldest_dead_letter
            .is_none_or(|millis| millis >= oldest_kept)
        {
            return Ok(());
        }
        let (mut expired, mut oldest) = (Vec::new(), None::<i64>);
        for entry in self.dead.iter()? {
            let (key, letter) = entry?;
            let (sink, seq) = key.value();
            let millis = received_millis(letter.value());
            if millis < oldest_kept {
                expired.push((sink.to_owned(), seq));
            } else {
                oldest = Some(oldest.map_or(millis, |oldest| oldest.min(millis)));
            }
        }
        for (sink, seq) in expired {
            *self.changes.dropped.entry(sink.clone()).or_default() += 1;
            self.forget(&sink, &[seq])?;
        }
        self.changes.oldest_dead_letter = oldest;
        Ok(())
    }

    fn trim_subscriptions(&mut self) -> Result<(), redb::Error> {
        let oldest_kept = self.now - SUBSCRIPTION_MILLIS;
        for (uid, received) in &self.status.subscriptions {
            if received.last_millis < oldest_kept && !self.changes.subscriptions.contains_key(uid) {
                self.subscriptions.remove(uid.as_str())?;
                self.changes.forgotten.push(uid.clone());
                self.changes.dirty = true;
            }
        }
        Ok(())
    }

    fn trim_bookmarks(&mut self) -> Result<(), redb::Error> {
        let oldest_kept = self.now - SUBSCRIPTION_MILLIS;
        for (uid, stored_millis) in &self.status.bookmarks {
            if *stored_millis < oldest_kept && !self.changes.bookmarks.contains_key(uid) {
                self.transaction.open_table(tables::BOOKMARKS)?.remove(uid.as_str())?;
                self.changes.forgotten_bookmarks.push(uid.clone());
                self.changes.dirty = true;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), redb::Error> {
        if !self.changes.dirty {
            return Ok(());
        }
        for (uid, received) in &self.changes.subscriptions {
            self.subscriptions
                .insert(uid.as_str(), (received.last_millis, received.count))?;
        }
        let changed: Vec<Kind> = self.changes.oldest.keys().copied().collect();
        for kind in changed {
            let oldest = tables::oldest(self.events(kind))?;
            self.changes.oldest.insert(kind, oldest);
        }
        self.numbers.insert(tables::LAST, self.changes.ends.last)?;
        self.numbers.insert(tables::USED, self.changes.used_bytes)?;
        Ok(())
    }
}
