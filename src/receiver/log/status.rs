//! What is known of the log without reading it.

use std::collections::BTreeMap;

use super::super::event::Kind;
use super::tables::cost;

/// Few notifications without resource data are larger.
const ORDINARY_BYTES: usize = 2000;

/// Sequence numbers at the log's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Of the newest event.
    pub last: u64,
    /// Of the newest notification.
    pub notification: u64,
    /// Of the newest lifecycle item.
    pub lifecycle: u64,
}

impl Ends {
    /// Of the newest event of a kind, or of any.
    pub fn of(self, kind: Option<Kind>) -> u64 {
        match kind {
            None => self.last,
            Some(Kind::Notification) => self.notification,
            Some(Kind::Lifecycle) => self.lifecycle,
        }
    }

    pub(super) fn set(&mut self, kind: Kind, seq: u64) {
        self.last = seq;
        match kind {
            Kind::Notification => self.notification = seq,
            Kind::Lifecycle => self.lifecycle = seq,
        }
    }
}

/// What was received for a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// When last, in milliseconds since 1970.
    pub last_millis: i64,
    /// How many items ever.
    pub count: u64,
}

/// The oldest event of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// Its sequence number.
    pub seq: u64,
    /// When it was received, in milliseconds since 1970.
    pub millis: i64,
}

/// The state of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Made when the log was created.
    pub id: String,
    /// Where it ends.
    pub ends: Ends,
    /// How many events it holds.
    pub events: u64,
    /// Bytes they take.
    pub used_bytes: u64,
    /// The oldest notification.
    pub oldest_notification: Option<Oldest>,
    /// The oldest lifecycle item.
    pub oldest_lifecycle: Option<Oldest>,
    /// Where each reader stands.
    pub cursors: BTreeMap<String, u64>,
    /// What was received, by UID.
    pub subscriptions: BTreeMap<String, Received>,
    /// When each bookmark was stored, in milliseconds since 1970, by UID.
    pub bookmarks: BTreeMap<String, i64>,
    /// How many dead letters each sink has.
    pub dead_letters: BTreeMap<String, u64>,
    /// The oldest dead letter's time.
    pub oldest_dead_letter: Option<i64>,
    /// Whether anything was refused for want of room since something was stored.
    pub refused: bool,
    /// What keeps the log from storing.
    pub problem: Option<String>,
}

impl Status {
    /// Whether the limit is reached: something was refused, and not even an item of ordinary size would find room.
    pub fn is_full(&self, limit_bytes: u64) -> bool {
        self.refused && self.used_bytes + cost(ORDINARY_BYTES) > limit_bytes
    }

    /// The oldest event of a kind.
    pub fn oldest(&self, kind: Kind) -> Option<Oldest> {
        match kind {
            Kind::Notification => self.oldest_notification,
            Kind::Lifecycle => self.oldest_lifecycle,
        }
    }

    pub(super) fn set_oldest(&mut self, kind: Kind, oldest: Option<Oldest>) {
        match kind {
            Kind::Notification => self.oldest_notification = oldest,
            Kind::Lifecycle => self.oldest_lifecycle = oldest,
        }
    }
}
