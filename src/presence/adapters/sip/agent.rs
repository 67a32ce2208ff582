//! What is said to a SIP presence server, and what it says. Without sockets and clocks: messages and moments come in, messages
//! and outcomes go out.
//!
//! A connection begins with OPTIONS. Once that is answered, every user is subscribed anew, and every own entry refreshed. From
//! time to time one subscription is refreshed early: a server that has forgotten it was restarted, and all are looked at.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::digest::{Asker, Challenge, Credentials};
use super::message::{Message, Start};
use super::profile::Profile;
use crate::policy::backoff::{self, Class};
use crate::policy::presence::pbx::{PbxError, PbxEvent};
use crate::presence::adapters::metrics::Tally;
use crate::presence::agenda::Agenda;

mod exchanges;
mod notifying;
mod outbox;
mod probing;
mod publishing;
mod subscription;
mod watching;

use exchanges::{Errand, Exchange, Exchanges, Overdue, Proofs, Purpose};
use outbox::{Notice, Outbox};
use publishing::Publication;
pub(super) use publishing::{Put, Ticket};
use subscription::{Package, Subscription, Watched};

/// Most requests that wait for an answer at the same time.
const WINDOW: usize = 64;
/// Shortest time between two requests of one subscription or entry that the server accepts. Some grant a second, and would be asked
/// without end: with this, 10,000 users are 2,000 requests in a second at most. From 20 seconds on all is refreshed in time.
const SHORTEST: Duration = Duration::from_secs(10);
type User = Arc<str>;

/// A thing that happens at a moment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The server is asked whether it is still there.
    Probe,
    /// A request is repeated, or given up.
    Exchange(u64),
    /// A subscription is made, refreshed or given up.
    Subscription(User, Package),
    /// An own entry is refreshed.
    Publication(User),
}

/// A subscription of which nothing is wanted any more.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Leaving {
    user: User,
    package: Package,
    subscription: Subscription,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Send this message.
    Send(Vec<u8>),
    /// Somebody's change has this outcome.
    Done(Ticket, Result<(), PbxError>),
    /// The connection is of no use: end it.
    Drop(PbxError),
}

/// An open connection.
#[derive(Debug)]
struct Link {
    /// Host and port under which the server reaches us.
    contact: String,
    /// The server has answered.
    up: bool,
    /// It has accepted anything of a user.
    accepted: bool,
    /// How often it has refused.
    refused: usize,
    /// A notification has come.
    notified: bool,
    /// How many subscriptions it accepted without ever notifying.
    silent: usize,
    /// Why it takes no entries of ours, if it does not.
    no_entries: Option<String>,
    /// When all subscriptions were looked at last.
    doubted: Option<Instant>,
    call_id: String,
    sequence: u32,
}

/// The state of things between the worker and a server.
#[derive(Debug)]
pub(super) struct Agent {
    profile: Profile,
    tally: Tally,
    link: Option<Link>,
    watched: HashMap<User, Watched>,
    /// Whose subscription a `Call-ID` names.
    calls: HashMap<String, (User, Package)>,
    publications: HashMap<User, Publication>,
    exchanges: Exchanges,
    timers: Agenda<Timer, Instant>,
    /// What waits to be sent: own entries before subscriptions.
    urgent: VecDeque<Purpose>,
    later: VecDeque<Purpose>,
    /// What is to be ended at the server, when nothing else waits.
    leaving: VecDeque<Purpose>,
    server_challenge: Option<Challenge>,
    proxy_challenge: Option<Challenge>,
    /// The server asked for patience.
    held_until: Option<Instant>,
    outbox: Outbox,
    outputs: VecDeque<Output>,
}

impl Agent {
    /// Without a connection, and with nobody to watch.
    pub(super) fn new(profile: Profile, tally: Tally) -> Self {
        Self {
            profile,
            tally,
            link: None,
            watched: HashMap::new(),
            calls: HashMap::new(),
            publications: HashMap::new(),
            exchanges: Exchanges::default(),
            timers: Agenda::default(),
            urgent: VecDeque::new(),
            later: VecDeque::new(),
            leaving: VecDeque::new(),
            server_challenge: None,
            proxy_challenge: None,
            held_until: None,
            outbox: Outbox::default(),
            outputs: VecDeque::new(),
        }
    }

    /// A connection is open, from this address of ours.
    pub(super) fn connected(&mut self, local: SocketAddr, now: Instant) {
        self.link = Some(Link {
            contact: local.to_string(),
            up: false,
            accepted: false,
            refused: 0,
            notified: false,
            silent: 0,
            no_entries: None,
            doubted: None,
            call_id: random(),
            sequence: 0,
        });
        self.exchanges = Exchanges::new(&random(), self.profile.datagrams());
        self.probe(Proofs::NONE, now);
    }

    /// The connection is gone, or could not be made.
    pub(super) fn disconnected(&mut self, why: PbxError) {
        self.link = None;
        self.exchanges = Exchanges::default();
        self.timers = Agenda::default();
        self.leaving.clear();
        self.urgent.clear();
        self.later.clear();
        self.outputs.retain(|output| matches!(output, Output::Done(..)));
        self.held_until = None;
        self.server_challenge = None;
        self.proxy_challenge = None;
        self.forget_all();
        self.fail_all(&why);
        self.outbox.down(why);
    }

    /// Nobody is interested any more: what is subscribed is ended.
    pub(super) fn leave_all(&mut self, now: Instant) {
        self.urgent.clear();
        self.watch(Vec::new(), now);
    }

    /// Whether something is still to be ended at the server.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_up() && (!self.leaving.is_empty() || self.exchanges.is_leaving())
    }

    /// Whether the server has answered over this connection.
    pub(super) fn is_up(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.up)
    }

    /// When [`Self::tick`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let held = self.held_until;
        self.timers.next().into_iter().chain(held).min()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.held_until.is_some_and(|until| until <= now) {
            self.held_until = None;
        }
        while let Some(timer) = self.timers.due(now) {
            match timer {
                Timer::Probe => self.probe_again(now),
                Timer::Exchange(id) => self.overdue(id, now),
                Timer::Subscription(user, package) => self.subscription_due(&user, package, now),
                Timer::Publication(user) => self.publication_due(&user, now),
            }
        }
        self.pump(now);
    }

    /// Takes the next thing to do.
    pub(super) fn output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether there is nothing to tell the worker.
    pub(super) fn is_silent(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Takes the next thing to tell the worker.
    pub(super) fn event(&mut self) -> Option<PbxEvent> {
        while let Some(notice) = self.outbox.next() {
            let endpoint = self.profile.endpoint().to_owned();
            match notice {
                Notice::Down(why) => return Some(PbxEvent::Down { endpoint, why }),
                Notice::Up => return Some(PbxEvent::Up { endpoint }),
                Notice::NoEntries(why) => return Some(PbxEvent::NoEntries { why }),
                Notice::User(user) => {
                    let Some(watched) = self.watched.get_mut(&user) else {
                        continue;
                    };
                    let id = user.to_string();
                    if let Some(exists) = watched.existence() {
                        // What else there is to tell comes in its turn.
                        self.outbox.user(&user);
                        return Some(PbxEvent::Exists { id, exists });
                    }
                    if let Some(view) = watched.news() {
                        return Some(PbxEvent::View { id, view });
                    }
                }
            }
        }
        None
    }

    /// A message came.
    pub(super) fn received(&mut self, message: &Message, now: Instant) {
        self.tally.received();
        match &message.start {
            Start::Response { status } => self.answered(message, *status, now),
            Start::Request { method, .. } if method == "ACK" => {}
            Start::Request { method, .. } => {
                let status = match method.as_str() {
                    "NOTIFY" => self.notified(message, now),
                    "OPTIONS" => 200,
                    _ => 405,
                };
                if status >= 300 {
                    self.tally.ignored("request");
                }
                self.transmit(Message::answer(message, status).to_bytes());
            }
        }
        self.tick(now);
    }

    fn answered(&mut self, answer: &Message, status: u16, now: Instant) {
        let Some(id) = answer.branch().and_then(|branch| self.exchanges.find(branch)) else {
            self.tally.ignored("answer");
            return;
        };
        if status < 200 {
            self.exchanges.provisional(id);
            return;
        }
        self.timers.cancel(&Timer::Exchange(id));
        let Some(exchange) = self.exchanges.end(id) else {
            return;
        };
        let took = now.saturating_duration_since(exchange.began);
        self.tally.took(exchange.purpose.label(), took);
        if let Some(asker) = Asker::of(status) {
            self.challenged(answer, asker, exchange, now);
            return;
        }
        if status == 503 {
            self.held_until = Some(now + patience_of(answer));
        }
        match exchange.purpose {
            Purpose::Probe => self.probed(answer, status, now),
            Purpose::Subscribe(user, package) => self.subscribed(&user, package, status, answer, now),
            Purpose::Publish(user) => self.publish_answered(&user, status, answer, now),
            Purpose::Leave(_) => {}
        }
    }

    /// The server, or a proxy before it, wants to know who asks.
    fn challenged(&mut self, answer: &Message, asker: Asker, exchange: Exchange, now: Instant) {
        match self.judge(answer, asker, exchange.proofs) {
            Ok((challenge, proofs)) => {
                *self.challenge(asker) = Some(challenge);
                self.start(exchange.purpose, proofs, now);
            }
            // Nobody waits for it, and it lapses.
            Err(_) if matches!(exchange.purpose, Purpose::Leave(_)) => {}
            Err(why) => self.outputs.push_back(Output::Drop(PbxError::Auth(why.to_owned()))),
        }
    }

    /// Whether a proof can be given, after those that were; if not, why.
    fn judge(&self, answer: &Message, asker: Asker, proofs: Proofs) -> Result<(Challenge, Proofs), &'static str> {
        if self.profile.credentials().is_none() {
            return Err("the server asks for a user name and password, and none is configured");
        }
        let challenge =
            Challenge::of(answer, asker).ok_or("the server asks for a proof of a kind that is not known here")?;
        let proofs = proofs.another(asker, challenge.stale);
        let proofs = proofs.ok_or("the server refuses the user name or the password")?;
        Ok((challenge, proofs))
    }

    fn challenge(&mut self, asker: Asker) -> &mut Option<Challenge> {
        match asker {
            Asker::Server => &mut self.server_challenge,
            Asker::Proxy => &mut self.proxy_challenge,
        }
    }

    fn overdue(&mut self, id: u64, now: Instant) {
        match self.exchanges.overdue(id, now) {
            Some(Overdue::Repeat(bytes, next)) => {
                self.timers.set(Timer::Exchange(id), next);
                self.transmit(bytes);
            }
            Some(Overdue::GiveUp(purpose, call_id)) => self.unanswered(&purpose, &call_id, now),
            None => {}
        }
    }

    /// One user's request may be lost behind a server that is there. Whether it is, OPTIONS tells.
    fn unanswered(&mut self, purpose: &Purpose, call_id: &str, now: Instant) {
        let why = PbxError::Transport("it does not answer in time".to_owned());
        match purpose {
            Purpose::Probe => return self.outputs.push_back(Output::Drop(why)),
            Purpose::Leave(_) => return,
            Purpose::Subscribe(user, package) => self.subscription_unanswered(user, *package, call_id, now),
            Purpose::Publish(user) => self.published(user, &Err(why), now),
        }
        if self.held_until.is_none() && !self.exchanges.is_probing() {
            self.probe(Proofs::NONE, now);
        }
    }

    /// Sends what waits, as much as may be under way.
    fn pump(&mut self, now: Instant) {
        while self.is_up() && self.held_until.is_none() && self.exchanges.len() < WINDOW {
            let next = self.urgent.pop_front().or_else(|| self.later.pop_front());
            let Some(purpose) = next.or_else(|| self.leaving.pop_front()) else {
                return;
            };
            self.start(purpose, Proofs::NONE, now);
        }
    }

    fn start(&mut self, purpose: Purpose, proofs: Proofs, now: Instant) {
        match purpose {
            Purpose::Probe => self.probe(proofs, now),
            Purpose::Subscribe(user, package) => self.subscribe(&user, package, proofs, now),
            Purpose::Publish(user) => self.publish(&user, proofs, now),
            Purpose::Leave(leaving) => self.leave(*leaving, proofs, now),
        }
    }

    /// Adds what every request has, and sends it.
    fn send(&mut self, errand: Errand, message: Message, now: Instant) {
        let Some(link) = &self.link else {
            return;
        };
        let (id, branch) = self.exchanges.name();
        let via = format!("SIP/2.0/{} {};branch={branch};rport", self.profile.via(), link.contact);
        let mut message = message
            .with_first("Max-Forwards", "70".to_owned())
            .with_first("Via", via)
            .with("User-Agent", "teams-graph-operator");
        if let Some(credentials) = self.profile.credentials() {
            let challenges = [
                (Asker::Server, &mut self.server_challenge),
                (Asker::Proxy, &mut self.proxy_challenge),
            ];
            for (asker, challenge) in challenges {
                message = prove(message, asker, challenge.as_mut(), credentials);
            }
        }
        let bytes = message.to_bytes();
        let call_id = message.field("Call-ID").unwrap_or_default();
        let look = self.exchanges.begin(id, errand, call_id, &bytes, now);
        self.timers.set(Timer::Exchange(id), look);
        self.transmit(bytes);
    }

    fn transmit(&mut self, bytes: Vec<u8>) {
        self.tally.sent();
        self.outputs.push_back(Output::Send(bytes));
    }

    fn contact(&self) -> String {
        let contact = self.link.as_ref().map_or("", |link| link.contact.as_str());
        self.profile.contact(contact)
    }
}

fn prove(message: Message, asker: Asker, challenge: Option<&mut Challenge>, credentials: &Credentials) -> Message {
    let (Some(challenge), Start::Request { method, uri }) = (challenge, &message.start) else {
        return message;
    };
    let proof = challenge.prove(credentials, method, uri, &random());
    message.with(asker.proof_field(), proof)
}

/// How long the server asks us to stay away, or half a minute.
fn patience_of(answer: &Message) -> Duration {
    Duration::from_secs(answer.number("Retry-After").unwrap_or(30).clamp(1, 600).into())
}

/// How long to wait after so many failures of one subscription or entry.
fn wait(class: Class, failures: i32) -> Duration {
    // No deadline ahead, so the time of day plays no part.
    let delay = backoff::delay(class, failures, Timestamp::UNIX_EPOCH, None, fastrand::f64());
    delay.unsigned_abs()
}

/// What nobody can guess: names of calls, tags, numbers used once.
fn random() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests;
