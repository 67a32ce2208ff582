//! The worker's own entries (RFC 3903): made, refreshed with the whole document, taken back.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::exchanges::{Errand, Proofs, Purpose};
use super::watching::{LONGEST, lengthen, refresh_after};
use super::{Agent, Output, Timer, User, random, wait};
use crate::policy::backoff::Class;
use crate::policy::presence::pbx::{OwnEntry, PbxError};
use crate::presence::adapters::sip::message::Message;
use crate::presence::adapters::sip::pidf;

/// The longest an entry is published for at a time. It is refreshed for as long as it shall live, and lapses after this should the
/// worker die: as long as "in a call" outlives it at Teams.
const AT_A_TIME: Duration = Duration::from_secs(900);

/// No entry is refreshed for longer without being asked for again.
const LONGEST_TTL: Duration = Duration::from_secs(31 * 86_400);

/// Names somebody who waits for the outcome of a change.
pub(in super::super) type Ticket = u64;

/// What an entry shall say, and for how long.
#[derive(Clone, Debug)]
pub(in super::super) struct Put {
    pub(in super::super) entry: OwnEntry,
    pub(in super::super) ttl: Duration,
}

/// What an entry says, since and until when.
#[derive(Clone, Debug)]
struct Wanted {
    entry: OwnEntry,
    since: Timestamp,
    until: Instant,
}

/// A change at the server.
#[derive(Debug)]
struct Job {
    /// `None`: the entry is taken back.
    wanted: Option<Wanted>,
    tickets: Vec<Ticket>,
}

/// The own entry of one user.
#[derive(Debug)]
pub(super) struct Publication {
    /// What the server has accepted.
    held: Option<Wanted>,
    /// The server's name for it.
    etag: Option<String>,
    /// The id within the document.
    id: String,
    call_id: String,
    sequence: u32,
    now: Option<Job>,
    /// What comes after; a later wish replaces an earlier one.
    next: Option<Job>,
    queued: bool,
    failures: i32,
    least: u32,
}

impl Publication {
    fn new() -> Self {
        Self {
            held: None,
            etag: None,
            id: String::new(),
            call_id: random(),
            sequence: 0,
            now: None,
            next: None,
            queued: false,
            failures: 0,
            least: 0,
        }
    }

    /// The id by which the own document is known among others.
    pub(super) fn own_id(&self) -> Option<&str> {
        Some(self.id.as_str()).filter(|id| !id.is_empty())
    }

    fn add(&mut self, wanted: Option<Wanted>, mut tickets: Vec<Ticket>) {
        if let Some(replaced) = self.next.take() {
            tickets.extend(replaced.tickets);
        }
        self.next = Some(Job { wanted, tickets });
    }

    fn is_idle(&self) -> bool {
        self.held.is_none() && self.etag.is_none() && self.now.is_none() && self.next.is_none()
    }
}

impl Agent {
    /// Makes the own entry of a user say this for so long. `today` is the time of day, `now` the same moment.
    pub(in super::super) fn put(&mut self, ticket: Ticket, user: &str, put: Put, today: Timestamp, now: Instant) {
        if let Some(why) = self.not_now(now).or_else(|| self.not_here()) {
            self.outputs.push_back(Output::Done(ticket, Err(why)));
            return;
        }
        let user = User::from(user);
        let held = self
            .publications
            .get(&user)
            .and_then(|publication| publication.held.as_ref());
        let wanted = Wanted {
            since: held
                .filter(|held| held.entry == put.entry)
                .map_or(today, |held| held.since),
            entry: put.entry,
            until: now + put.ttl.clamp(Duration::from_secs(1), LONGEST_TTL),
        };
        self.change(&user, Some(wanted), vec![ticket]);
        self.tick(now);
    }

    /// Takes the own entry of a user back.
    pub(in super::super) fn clear(&mut self, ticket: Ticket, user: &str, now: Instant) {
        let user = User::from(user);
        let Some(publication) = self.publications.get_mut(&user) else {
            self.disown(&user);
            self.outputs.push_back(Output::Done(ticket, Ok(())));
            return;
        };
        // Also while there is no connection: it must not come back with the next one.
        publication.held = None;
        if let Some(why) = self.not_now(now) {
            self.outputs.push_back(Output::Done(ticket, Err(why)));
            return;
        }
        self.change(&user, None, vec![ticket]);
        self.tick(now);
    }

    /// Were it still told what an earlier process published, it would be asked for again and again to be taken back.
    fn disown(&mut self, user: &User) {
        if let Some(watched) = self.watched.get_mut(user) {
            watched.disown();
            self.outbox.user(user);
        }
    }

    fn not_now(&self, now: Instant) -> Option<PbxError> {
        if !self.is_up() {
            return Some(PbxError::Transport("not connected".to_owned()));
        }
        self.held_until
            .filter(|until| *until > now)
            .map(|until| PbxError::Throttled(until - now))
    }

    fn not_here(&self) -> Option<PbxError> {
        let why = self.link.as_ref()?.no_entries.as_ref()?;
        Some(PbxError::Forbidden(why.clone()))
    }

    /// The server does not know PUBLISH, or not for presence. That is told once, and not tried again over this connection.
    fn take_no_entries(&mut self, status: u16) {
        if let Some(link) = self.link.as_mut().filter(|link| link.no_entries.is_none()) {
            let why = no_entries(status);
            link.no_entries = Some(why.clone());
            self.outbox.no_entries(why);
        }
    }

    fn change(&mut self, user: &User, wanted: Option<Wanted>, tickets: Vec<Ticket>) {
        let publication = self.publications.entry(user.clone()).or_insert_with(Publication::new);
        publication.add(wanted, tickets);
        self.queue_publication(user);
    }

    fn queue_publication(&mut self, user: &User) {
        if let Some(publication) = self.publications.get_mut(user)
            && publication.now.is_none()
            && !publication.queued
        {
            publication.queued = true;
            self.urgent.push_back(Purpose::Publish(user.clone()));
        }
    }

    /// All entries anew or refreshed, as the connection is or the server may have forgotten them.
    pub(super) fn publish_all(&mut self, now: Instant) {
        for user in self.publications.keys() {
            self.timers.set(Timer::Publication(user.clone()), now);
        }
    }

    /// The moment of an entry has come: it is refreshed, or its time is over.
    pub(super) fn publication_due(&mut self, user: &User, now: Instant) {
        let Some(publication) = self.publications.get_mut(user) else {
            return;
        };
        if publication.now.is_some() || publication.next.is_some() {
            return;
        }
        publication.held = publication.held.take().filter(|held| held.until > now);
        let wanted = publication.held.clone();
        if publication.is_idle() {
            self.publications.remove(user);
            return;
        }
        self.change(user, wanted, Vec::new());
    }

    /// Sends what is to be changed.
    pub(super) fn publish(&mut self, user: &User, proofs: Proofs, now: Instant) {
        let Some(publication) = self.publications.get_mut(user) else {
            return;
        };
        publication.queued = false;
        if publication.now.is_none() {
            publication.now = publication.next.take();
        }
        let Some(job) = &publication.now else {
            return;
        };
        if job.wanted.is_none() && publication.etag.is_none() {
            // Nothing that could be taken back.
            self.published(user, &Ok(()), now);
            return;
        }
        if publication.etag.is_none() && proofs == Proofs::NONE {
            publication.id = pidf::own_id(&random());
        }
        publication.sequence += 1;
        let address = self.profile.address(user);
        let from = self.profile.publisher().unwrap_or(&address);
        let seconds = job.wanted.as_ref().map_or(0, |wanted| {
            let left = wanted.until.saturating_duration_since(now).min(AT_A_TIME).as_secs();
            u32::try_from(left).unwrap_or(u32::MAX).max(publication.least).max(1)
        });
        let mut message = Message::request("PUBLISH", &address)
            .with("From", format!("<{from}>;tag={}", random()))
            .with("To", format!("<{address}>"))
            .with("Call-ID", &*publication.call_id)
            .with("CSeq", format!("{} PUBLISH", publication.sequence))
            .with("Event", "presence")
            .with("Expires", seconds.to_string());
        if let Some(etag) = &publication.etag {
            message = message.with("SIP-If-Match", etag);
        }
        if let Some(wanted) = &job.wanted {
            // Also with a refresh: some servers lose what is not repeated.
            let document = pidf::write(&address, &publication.id, &wanted.entry, wanted.since);
            message = message.with_body("application/pidf+xml", document);
        }
        self.send(Errand::new(Purpose::Publish(user.clone()), proofs), message, now);
    }

    /// The server's answer.
    pub(super) fn publish_answered(&mut self, user: &User, status: u16, answer: &Message, now: Instant) {
        let Some(publication) = self.publications.get_mut(user) else {
            return;
        };
        let Some(job) = &publication.now else {
            return;
        };
        let removal = job.wanted.is_none();
        let known = publication.etag.is_some();
        let outcome = match status {
            200..300 if removal => {
                publication.etag = None;
                Ok(())
            }
            200..300 => match answer.field("SIP-ETag") {
                Some(etag) => {
                    publication.etag = Some(etag.to_owned());
                    let asked = u32::try_from(AT_A_TIME.as_secs()).unwrap_or(u32::MAX);
                    let granted = answer.number("Expires").unwrap_or(asked).clamp(1, LONGEST);
                    let after = refresh_after(Duration::from_secs(granted.into()));
                    self.timers.set(Timer::Publication(user.clone()), now + after);
                    if let Some(link) = &mut self.link {
                        link.accepted = true;
                    }
                    Ok(())
                }
                None => Err(PbxError::Protocol(
                    "the server accepts an entry without naming it".to_owned(),
                )),
            },
            // The server does not know it, or takes its name for malformed: it has forgotten.
            412 | 500 if known => {
                publication.etag = None;
                self.again(user);
                return;
            }
            423 if lengthen(&mut publication.least, answer) => {
                self.again(user);
                return;
            }
            _ => Err(failure(status, answer)),
        };
        match status {
            403 => self.refused(status),
            405 | 489 | 501 => self.take_no_entries(status),
            _ => {}
        }
        self.published(user, &outcome, now);
    }

    /// The same once more.
    fn again(&mut self, user: &User) {
        self.urgent.push_front(Purpose::Publish(user.clone()));
        if let Some(publication) = self.publications.get_mut(user) {
            publication.queued = true;
        }
    }

    /// A change is done, or has failed.
    pub(super) fn published(&mut self, user: &User, outcome: &Result<(), PbxError>, now: Instant) {
        let Some(publication) = self.publications.get_mut(user) else {
            return;
        };
        let Some(job) = publication.now.take() else {
            return;
        };
        if outcome.is_ok() {
            publication.failures = 0;
            publication.held = job.wanted;
        } else {
            // Whoever asked will ask again; a refresh, and what is still to be taken back, is tried again here.
            publication.failures = publication.failures.saturating_add(1);
            let after = wait(Class::Retry, publication.failures);
            self.timers.set(Timer::Publication(user.clone()), now + after);
        }
        for ticket in job.tickets {
            self.outputs.push_back(Output::Done(ticket, outcome.clone()));
        }
        if publication.next.is_some() {
            self.queue_publication(user);
        } else if publication.is_idle() {
            self.publications.remove(user);
            self.timers.cancel(&Timer::Publication(user.clone()));
        }
    }

    /// The connection is gone: nobody knows what became of what was under way.
    pub(super) fn fail_all(&mut self, why: &PbxError) {
        for publication in self.publications.values_mut() {
            publication.queued = false;
            for job in [publication.now.take(), publication.next.take()].into_iter().flatten() {
                if job.wanted.is_none() {
                    publication.held = None;
                }
                let failed = job
                    .tickets
                    .into_iter()
                    .map(|ticket| Output::Done(ticket, Err(why.clone())));
                self.outputs.extend(failed);
            }
        }
        self.publications.retain(|_, publication| !publication.is_idle());
    }
}

fn no_entries(status: u16) -> String {
    format!("the server takes no entries (it answers {status} to PUBLISH); direction PbxToTeams needs none")
}

/// What a refusal means to whoever asked.
fn failure(status: u16, answer: &Message) -> PbxError {
    let why = format!("the server answers {status} to an own entry");
    match status {
        403 => PbxError::Auth(why),
        404 | 410 | 604 => PbxError::NotFound(why),
        405 | 489 | 501 => PbxError::Forbidden(no_entries(status)),
        503 => PbxError::Throttled(super::patience_of(answer)),
        408 | 500..600 => PbxError::Transport(why),
        _ => PbxError::Protocol(why),
    }
}
