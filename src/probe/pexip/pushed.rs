//! What Conferencing Nodes push: events of their event sinks, and lines of their support log. It is kept until a look takes it, in
//! bounded memory, and only what tells of calls to Teams.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use prometheus::IntCounterVec;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::events::{self, About, Event, Left, NotEvents};
use super::feed::{KEPT, MOST};
use super::wire::Participant;
use crate::policy::connector::pexip::calls::{FeedFault, WINDOW};
use crate::policy::connector::pexip::explain::Logged;
use crate::policy::connector::pexip::sequence::{Numbered, Place, Sequences};
use crate::policy::connector::pexip::support_log::{self, ApiFailure, Line};

/// Requests in a row that show other credentials, until the event sink counts as misconfigured.
const REFUSALS: u32 = 3;

/// Counts what is pushed.
#[derive(Clone)]
pub struct Counts {
    /// By the labels `feed` and `result`.
    pub events: IntCounterVec,
    /// Events of event sinks that did not come, by the label `feed`.
    pub gaps: IntCounterVec,
}

impl Counts {
    /// Counts one of an event sink.
    pub fn event(&self, result: &str) {
        self.events.with_label_values(&["event_sink", result]).inc();
    }

    /// Counts one of syslog.
    pub fn line(&self, result: &str) {
        self.events.with_label_values(&["syslog", result]).inc();
    }

    fn lost(&self, number: u64) {
        self.gaps.with_label_values(&["event_sink"]).inc_by(number);
    }
}

/// The event sinks of all objects, by namespace and name.
pub struct Sinks {
    sinks: Mutex<HashMap<(String, String), Arc<Sink>>>,
    counts: Counts,
}

impl Sinks {
    /// None yet.
    pub fn new(counts: Counts) -> Self {
        Self {
            sinks: Mutex::default(),
            counts,
        }
    }

    /// Lets an event sink in that shows these credentials.
    pub fn open(&self, namespace: &str, name: &str, uid: &str, username: &str, password: &str) -> Arc<Sink> {
        let key = (namespace.to_owned(), name.to_owned());
        let expected = fingerprint(format!("{username}:{password}").as_bytes());
        let mut sinks = self.lock();
        if let Some(sink) = sinks.get(&key).filter(|sink| sink.uid == uid) {
            sink.lock().admit_only(expected);
            return sink.clone();
        }
        let sink = Arc::new(Sink {
            uid: uid.to_owned(),
            inside: Mutex::new(Inside::new(expected)),
            counts: self.counts.clone(),
        });
        sinks.insert(key, sink.clone());
        sink
    }

    /// That of an object.
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<Sink>> {
        let key = (namespace.to_owned(), name.to_owned());
        self.lock().get(&key).cloned()
    }

    /// Lets nobody in any more.
    pub fn close(&self, namespace: &str, name: &str) {
        self.lock().remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// Lets nobody in any more, except for these objects.
    pub fn keep_only(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().retain(|_, sink| is_there(&sink.uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Arc<Sink>>> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The event sink of one object. No Debug: there are aliases within.
pub struct Sink {
    uid: String,
    inside: Mutex<Inside>,
    counts: Counts,
}

struct Inside {
    /// A digest of name and password.
    expected: [u8; 32],
    /// Requests in a row that showed others, and when the last did.
    refused: (u32, Option<Instant>),
    sequences: Sequences,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    left: Left,
    /// When, by the node's clock.
    at: Option<Timestamp>,
    /// When it came, by the local clock.
    arrived: Timestamp,
}

impl Sink {
    /// Whether the header `Authorization` has the name and password.
    pub fn admits(&self, authorization: Option<&str>) -> bool {
        let shown = authorization.and_then(basic).unwrap_or_default();
        let mut inside = self.lock();
        let admitted = bool::from(fingerprint(&shown).ct_eq(&inside.expected));
        inside.refused = if admitted {
            (0, None)
        } else {
            (inside.refused.0.saturating_add(1), Some(Instant::now()))
        };
        admitted
    }

    /// Takes a body.
    pub fn take(&self, body: &[u8], now: Timestamp) -> Result<(), NotEvents> {
        let mut inside = self.lock();
        let read = events::read(body, |event| {
            let result = event.map_or("malformed", |event| inside.take(&event, now));
            self.counts.event(result);
        });
        if read.is_err() {
            self.counts.event("malformed");
        }
        self.counts.lost(inside.sequences.take_lost(now));
        read
    }

    /// Participants who left since this was asked last. `skew` is the manager's clock minus the local one.
    pub(super) fn drain(&self, now: Timestamp, skew: SignedDuration) -> Vec<Participant> {
        let mut inside = self.lock();
        self.counts.lost(inside.sequences.take_lost(now));
        let waiting = std::mem::take(&mut inside.waiting);
        let participant = |one: Waiting| {
            let arrived = one.arrived.checked_add(skew).unwrap_or(one.arrived);
            // Nothing is told before it happened: that clock is ahead.
            one.left.participant(one.at.map_or(arrived, |at| at.min(arrived)))
        };
        waiting.into_iter().map(participant).collect()
    }

    /// Whether all who came lately showed other credentials.
    pub(super) fn fault(&self) -> Option<FeedFault> {
        let (times, last) = self.lock().refused;
        let is_recent = |at: Instant| SignedDuration::try_from(at.elapsed()).is_ok_and(|age| age <= WINDOW);
        (times >= REFUSALS && last.is_some_and(is_recent)).then_some(FeedFault::Refused)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn new(expected: [u8; 32]) -> Self {
        Self {
            expected,
            refused: (0, None),
            sequences: Sequences::default(),
            waiting: VecDeque::new(),
        }
    }

    fn admit_only(&mut self, expected: [u8; 32]) {
        if self.expected != expected {
            (self.expected, self.refused) = (expected, (0, None));
        }
    }

    /// Takes an event, and says in a word what it was.
    fn take(&mut self, event: &Event<'_>, now: Timestamp) -> &'static str {
        if let (Some(node), Some(seq)) = (&event.node, event.seq) {
            let numbered = Numbered {
                node,
                seq,
                at: event.time,
                begins: event.begins(),
            };
            if self.sequences.place(&numbered, now) == Place::Duplicate {
                return "duplicate";
            }
        }
        match event.about() {
            About::Other => "other",
            About::Unreadable => "malformed",
            About::Left(_) if self.waiting.len() >= MOST => "dropped",
            About::Left(left) => {
                self.waiting.push_back(Waiting {
                    left,
                    at: event.time,
                    arrived: now,
                });
                "call"
            }
        }
    }
}

/// What is in a header of Basic authentication.
fn basic(authorization: &str) -> Option<Vec<u8>> {
    let (scheme, encoded) = authorization.trim().split_once(' ')?;
    let is_basic = scheme.eq_ignore_ascii_case("basic");
    is_basic.then(|| STANDARD.decode(encoded.trim()).ok()).flatten()
}

fn fingerprint(bytes: &[u8]) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    for (to, from) in fingerprint.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    fingerprint
}

/// Failures that support logs tell of, whichever node wrote them.
pub struct Log {
    lines: Mutex<VecDeque<(ApiFailure, Timestamp)>>,
    counts: Counts,
}

impl Log {
    /// Empty.
    pub fn new(counts: Counts) -> Self {
        Self {
            lines: Mutex::default(),
            counts,
        }
    }

    /// What counts the lines.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Takes a line that came at `now`.
    pub fn take(&self, line: &[u8], now: Timestamp) {
        let failure = match support_log::read(line) {
            Line::Failure(failure) => failure,
            Line::Other => return self.counts.line("other"),
            Line::Unreadable => return self.counts.line("malformed"),
        };
        self.counts.line("call");
        let mut lines = self.lock();
        let is_old = |(_, at): &(ApiFailure, Timestamp)| now.duration_since(*at) > KEPT;
        while lines.front().is_some_and(is_old) {
            lines.pop_front();
        }
        if lines.len() >= MOST {
            // The latest say more.
            lines.pop_front();
            self.counts.line("dropped");
        }
        lines.push_back((failure, now));
    }

    /// What these nodes wrote lately. `skew` is the manager's clock minus the local one.
    pub(super) fn of(&self, is_own: impl Fn(&str) -> bool, now: Timestamp, skew: SignedDuration) -> Vec<Logged> {
        let lines = self.lock();
        let own = lines
            .iter()
            .filter(|(failure, at)| now.duration_since(*at) <= KEPT && is_own(&failure.node));
        own.map(|(failure, at)| Logged {
            at: at.checked_add(skew).unwrap_or(*at),
            call: failure.call.as_deref().map(Arc::from),
            end: failure.end,
        })
        .collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(ApiFailure, Timestamp)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
