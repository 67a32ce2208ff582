//! What Conferencing Nodes push: events of their event sinks, and lines of their support log. It is kept until a look takes it, in
//! bounded memory, and only what tells of calls to Teams.

mod log;
mod queue;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use prometheus::IntCounterVec;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

pub use self::log::Log;
use self::queue::Queue;
use super::events::{self, About, Event};
use super::wire::Participant;
use crate::policy::connector::pexip::calls::{FeedFault, WINDOW};
use crate::policy::connector::pexip::sequence::{Numbered, Place, Sequences};

/// Requests in a row that show other credentials or none, until the event sink counts as misconfigured.
const REFUSALS: u32 = 3;

/// A digest of name and password.
type Fingerprint = [u8; 32];

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

    /// Counts that a listener could not go on.
    pub fn failed(&self, feed: &str) {
        self.events.with_label_values(&[feed, "listener_failed"]).inc();
    }

    fn dropped(&self, feed: &str, number: usize) {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        self.events.with_label_values(&[feed, "dropped"]).inc_by(number);
    }

    fn lost(&self, number: u64) {
        self.gaps.with_label_values(&["event_sink"]).inc_by(number);
    }
}

/// The event sinks of all objects, by namespace and name.
pub struct Sinks {
    by_object: Mutex<HashMap<(String, String), Arc<Sink>>>,
    /// Stands for those that are not there. It lets nobody in.
    nobody: Arc<Sink>,
    counts: Counts,
}

impl Sinks {
    /// None yet.
    pub fn new(counts: Counts) -> Self {
        Self {
            by_object: Mutex::default(),
            nobody: Arc::new(Sink::new("", counts.clone())),
            counts,
        }
    }

    /// Lets an event sink in that shows these credentials. What came under others before stays.
    pub fn open(&self, namespace: &str, name: &str, uid: &str, username: &str, password: &str) -> Arc<Sink> {
        let key = (namespace.to_owned(), name.to_owned());
        let mut sinks = self.lock();
        let known = sinks.get(&key).filter(|sink| sink.uid == uid).cloned();
        let sink = known.unwrap_or_else(|| Arc::new(Sink::new(uid, self.counts.clone())));
        sinks.insert(key, sink.clone());
        sink.lock()
            .admit_only(fingerprint(format!("{username}:{password}").as_bytes()));
        sink
    }

    /// Lets nobody in until the credentials are known again. What came stays.
    pub fn withhold(&self, namespace: &str, name: &str) {
        if let Some(sink) = self.find(namespace, name) {
            sink.lock().expected = None;
        }
    }

    /// Whether that of an object is let in.
    pub fn is_open(&self, namespace: &str, name: &str) -> bool {
        self.find(namespace, name)
            .is_some_and(|sink| sink.lock().expected.is_some())
    }

    /// That of an object, if the header `Authorization` has its name and password.
    pub fn admit(&self, namespace: &str, name: &str, authorization: Option<&str>) -> Option<Arc<Sink>> {
        // The same work for an object that is not there: the time that it takes tells nothing.
        let shown = shown(authorization);
        let sink = self.find(namespace, name).unwrap_or_else(|| self.nobody.clone());
        sink.shows(&shown).then_some(sink)
    }

    /// That of an object, whether it is let in or not.
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<Sink>> {
        let key = (namespace.to_owned(), name.to_owned());
        self.lock().get(&key).cloned()
    }

    /// Lets nobody in any more, and forgets what came.
    pub fn close(&self, namespace: &str, name: &str) {
        self.lock().remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// Lets nobody in any more, except for these objects.
    pub fn keep_only(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().retain(|_, sink| is_there(&sink.uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Arc<Sink>>> {
        self.by_object.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The event sink of one object. No Debug: there are aliases within.
pub struct Sink {
    uid: String,
    inside: Mutex<Inside>,
    turn: tokio::sync::Mutex<()>,
    counts: Counts,
}

#[derive(Default)]
struct Inside {
    /// `None`: not known, and nobody is let in.
    expected: Option<Fingerprint>,
    logins: Logins,
    sequences: Sequences,
    queue: Queue,
}

/// Who asked to be let in.
#[derive(Default)]
struct Logins {
    /// Requests in a row that showed other credentials or none, and when the last did.
    refused: u32,
    refused_at: Option<Instant>,
    /// When the last one showed the right ones.
    admitted_at: Option<Instant>,
}

impl Sink {
    fn new(uid: &str, counts: Counts) -> Self {
        Self {
            uid: uid.to_owned(),
            inside: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            counts,
        }
    }

    /// Whether the header `Authorization` has the name and password.
    #[cfg(test)]
    pub fn admits(&self, authorization: Option<&str>) -> bool {
        self.shows(&shown(authorization))
    }

    fn shows(&self, shown: &Fingerprint) -> bool {
        let mut inside = self.lock();
        let is_equal = bool::from(shown.ct_eq(&inside.expected.unwrap_or_default()));
        let is_known = inside.expected.is_some();
        if is_known {
            inside.logins.note(is_equal);
        }
        is_equal && is_known
    }

    /// For one body: others wait, so that no event sink takes all the room for bodies.
    pub async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Takes a body. What cannot be read is counted, and good for nothing else.
    pub fn take(&self, body: &[u8], now: Timestamp) {
        let mut inside = self.lock();
        let read = events::read(body, |event| {
            let result = event.map_or("malformed", |event| inside.take(&event, now));
            self.counts.event(result);
        });
        if read.is_err() {
            self.counts.event("malformed");
        }
        self.tell(&mut inside, now);
    }

    /// Participants who left since this was asked last. `skew` is the manager's clock minus the local one.
    pub(super) fn drain(&self, now: Timestamp, skew: SignedDuration) -> Vec<Participant> {
        let mut inside = self.lock();
        let participants = inside.queue.drain(now, skew);
        self.tell(&mut inside, now);
        participants
    }

    /// Counts what will never be judged.
    fn tell(&self, inside: &mut Inside, now: Timestamp) {
        self.counts.lost(inside.sequences.take_lost(now));
        self.counts.dropped("event_sink", inside.queue.take_dropped());
    }

    /// Whether all who came lately showed other credentials.
    pub(super) fn fault(&self) -> Option<FeedFault> {
        self.lock().logins.fault()
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Logins {
    fn note(&mut self, admitted: bool) {
        if admitted {
            (self.refused, self.admitted_at) = (0, Some(Instant::now()));
        } else {
            (self.refused, self.refused_at) = (self.refused.saturating_add(1), Some(Instant::now()));
        }
    }

    /// Where the right credentials came lately, the wrong ones are somebody else's: the address can be reached without any.
    fn fault(&self) -> Option<FeedFault> {
        let is_recent = |at: Option<Instant>| {
            at.is_some_and(|at| SignedDuration::try_from(at.elapsed()).is_ok_and(|age| age <= WINDOW))
        };
        let is_fault = self.refused >= REFUSALS && is_recent(self.refused_at) && !is_recent(self.admitted_at);
        is_fault.then_some(FeedFault::Refused)
    }
}

impl Inside {
    fn admit_only(&mut self, expected: Fingerprint) {
        if self.expected.is_some_and(|known| known != expected) {
            self.logins = Logins::default();
        }
        self.expected = Some(expected);
    }

    /// Takes an event, and says in a word what it was.
    fn take(&mut self, event: &Event<'_>, now: Timestamp) -> &'static str {
        let is_duplicate = self.is_duplicate(event, now);
        let result = match event.about() {
            About::Other => "other",
            About::Unreadable => "malformed",
            About::Left(left) => {
                let is_new = self.queue.push(left, event.time, now);
                if is_new { "call" } else { "duplicate" }
            }
        };
        // By its number alone, and where a node's clock was set back, that is wrong: a call is known by its id.
        if is_duplicate { "duplicate" } else { result }
    }

    fn is_duplicate(&mut self, event: &Event<'_>, now: Timestamp) -> bool {
        let (Some(node), Some(seq)) = (&event.node, event.seq) else {
            return false;
        };
        let numbered = Numbered {
            node,
            seq,
            at: event.time,
            begins: event.begins(),
        };
        self.sequences.place(&numbered, now) == Place::Duplicate
    }
}

/// A digest of what the header `Authorization` has.
fn shown(authorization: Option<&str>) -> Fingerprint {
    fingerprint(&authorization.and_then(basic).unwrap_or_default())
}

/// What is in a header of Basic authentication.
fn basic(authorization: &str) -> Option<Vec<u8>> {
    let (scheme, encoded) = authorization.trim().split_once(' ')?;
    let is_basic = scheme.eq_ignore_ascii_case("basic");
    is_basic.then(|| STANDARD.decode(encoded.trim()).ok()).flatten()
}

fn fingerprint(bytes: &[u8]) -> Fingerprint {
    let mut fingerprint = [0; 32];
    for (to, from) in fingerprint.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    fingerprint
}

#[cfg(test)]
mod tests;
