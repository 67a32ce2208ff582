//! One connection to a PBX, as a state machine: messages and time in, messages and news out.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use secrecy::SecretString;
use tokio::time::{Duration, Instant};

use super::calls::{self, Calls};
use super::entry::OwnContact;
use super::message::{self, Incoming, Row};
use super::watching::Watching;
use super::writing::{Ticket, Writing};
use crate::policy::presence::pbx::{Entry, Line, OwnEntry, PbxError};

/// Longest challenge that the protocol allows, in characters.
const LONGEST_CHALLENGE: usize = 16;
/// How long the answer to a step of the login may take.
const LOGIN: Duration = Duration::from_secs(10);
/// How long the PBX may be silent while it lists users.
const LISTING: Duration = Duration::from_secs(30);
/// When nothing came for so long, a sign of life is asked for.
const QUIET: Duration = Duration::from_secs(30);
/// When nothing came for so long, the connection is dead.
const DEAD: Duration = Duration::from_secs(60);
/// More users than an installation has.
const MOST_USERS: usize = 100_000;

/// Who logs in, and what for.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Name of the App object.
    pub(super) app: String,
    /// Its password.
    pub(super) password: SecretString,
    /// The master tells users and presence; every PBX tells calls.
    pub(super) is_master: bool,
    /// The contact of own entries.
    pub(super) own: OwnContact,
}

/// News of one PBX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Logged in.
    Up,
    /// No longer connected.
    Down(PbxError),
    /// What the PBX calls itself.
    Name(String),
    /// A user exists.
    User(Row),
    /// A user is gone.
    UserGone(String),
    /// All users there are were told of.
    UsersComplete,
    /// Presence entries of a user; `None`: nobody knows.
    Entries(String, Option<Vec<Entry>>),
    /// The user's calls are seen here; it is registered at the PBX of this name, if told.
    Visible(String, Option<String>),
    /// The user's calls are no longer seen here.
    Hidden(String),
    /// All users whose calls are seen were told of.
    LinesComplete,
    /// The user's line, by its calls here.
    Line(String, Line),
}

/// What a session wants done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// Send a message.
    Send(String),
    /// Send a WebSocket ping.
    Ping,
    /// Tell news.
    Tell(Told),
    /// Answer who asked for a write.
    Answer(Ticket, Result<(), PbxError>),
    /// Count a message that was left aside.
    Ignored(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Challenge,
    Login,
    In,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Session {
    part: Part,
    phase: Phase,
    /// What the PBX must do next, and until when; the text names the remedy.
    login: Option<(Instant, &'static str)>,
    users: Option<(Instant, &'static str)>,
    lines: Option<(Instant, &'static str)>,
    heard: Instant,
    asked_for_life: bool,
    known: BTreeSet<String>,
    watching: Watching,
    writing: Writing,
    calls: Calls,
    out: VecDeque<Out>,
}

impl Session {
    /// Begins the login over a connection just made.
    pub(super) fn new(part: Part, now: Instant) -> Self {
        let challenge = message::challenge(&part.app);
        Self {
            part,
            phase: Phase::Challenge,
            login: Some((now + LOGIN, "AppChallenge")),
            users: None,
            lines: None,
            heard: now,
            asked_for_life: false,
            known: BTreeSet::new(),
            watching: Watching::default(),
            writing: Writing::default(),
            calls: Calls::default(),
            out: VecDeque::from([Out::Send(challenge)]),
        }
    }

    /// Whether the login is done.
    pub(super) fn is_up(&self) -> bool {
        self.phase == Phase::In
    }

    /// The next thing to do.
    pub(super) fn next(&mut self) -> Option<Out> {
        self.out.pop_front()
    }

    /// Anything came: the connection lives.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked_for_life = false;
    }

    /// Whom to watch from now on.
    pub(super) fn watch(&mut self, wanted: Arc<BTreeSet<String>>, now: Instant) {
        if self.part.is_master {
            let messages = self.watching.want(wanted, now);
            self.send(messages);
        }
    }

    /// Makes the own entry of a user say this; `None` takes it back, which the PBX knows as an entry that says nothing.
    pub(super) fn put(&mut self, ticket: Ticket, guid: &str, entry: Option<&OwnEntry>, now: Instant) {
        match self.begin(ticket, guid, now) {
            Ok(src) => {
                let (activity, note) = entry.map(|entry| self.part.own.wording(entry)).unwrap_or_default();
                let contact = self.part.own.contact();
                let message = message::set_presence(&src, guid, contact, &activity, &note);
                self.out.push_back(Out::Send(message));
            }
            Err(error) => self.out.push_back(Out::Answer(ticket, Err(error))),
        }
    }

    fn begin(&mut self, ticket: Ticket, guid: &str, now: Instant) -> Result<String, PbxError> {
        if !self.is_up() {
            return Err(PbxError::Transport("the login is not done yet".to_owned()));
        }
        // While users are still being listed, the PBX itself is asked.
        if self.users.is_none() && !self.known.contains(guid) {
            return Err(PbxError::NotFound("the PBX has no such user".to_owned()));
        }
        self.writing.begin(ticket, now)
    }

    /// Time passes. An error ends the connection.
    pub(super) fn tick(&mut self, now: Instant) -> Result<(), PbxError> {
        if now.duration_since(self.heard) >= DEAD {
            return Err(PbxError::Transport("it is silent".to_owned()));
        }
        for (until, step) in [self.login, self.users, self.lines].into_iter().flatten() {
            if now >= until {
                return Err(PbxError::Protocol(format!("{step} is not answered")));
            }
        }
        if self.is_up() && !self.asked_for_life && now.duration_since(self.heard) >= QUIET {
            self.asked_for_life = true;
            // Whether a PBX answers KeepAlive is not documented; a WebSocket ping it must answer.
            self.out.extend([Out::Send(message::keep_alive()), Out::Ping]);
        }
        for ticket in self.writing.overdue(now) {
            let error = PbxError::Transport("SetPresence is not answered".to_owned());
            self.out.push_back(Out::Answer(ticket, Err(error)));
        }
        let (lost, messages) = self.watching.tick(now);
        for guid in lost {
            self.tell(Told::Entries(guid, None));
        }
        self.send(messages);
        Ok(())
    }

    /// A text frame came. An error ends the connection.
    pub(super) fn text(&mut self, text: &str, now: Instant) -> Result<(), PbxError> {
        let Some(message) = Incoming::parse(text) else {
            self.ignore("unreadable");
            return Ok(());
        };
        match (message.api.as_deref(), message.mt.as_str()) {
            (_, "AppChallengeResult") => self.challenged(&message, now),
            (_, "AppLoginResult") => self.logged_in(&message, now),
            (_, "KeepAlive" | "KeepAliveResult") => Ok(()),
            (_, "PbxInfo") => self.info(&message),
            (_, _) if !self.is_up() => {
                self.ignore("before_login");
                Ok(())
            }
            (Some(message::USERS), _) => self.about_users(&message, now),
            (Some(message::CALLS), _) => self.about_calls(&message, now),
            (Some(message::PRESENCE), _) => {
                self.about_presence(&message, now);
                Ok(())
            }
            _ => {
                self.ignore("unknown");
                Ok(())
            }
        }
    }

    fn challenged(&mut self, message: &Incoming<'_>, now: Instant) -> Result<(), PbxError> {
        if self.phase != Phase::Challenge {
            self.ignore("unexpected");
            return Ok(());
        }
        let challenge = message.challenge.as_deref().unwrap_or_default();
        if challenge.is_empty() || challenge.chars().count() > LONGEST_CHALLENGE {
            return Err(PbxError::Protocol(
                "the challenge is not of 1 to 16 characters".to_owned(),
            ));
        }
        let login = message::login(&self.part.app, challenge, &self.part.password);
        self.out.push_back(Out::Send(login));
        self.phase = Phase::Login;
        self.login = Some((now + LOGIN, "AppLogin"));
        Ok(())
    }

    fn logged_in(&mut self, message: &Incoming<'_>, now: Instant) -> Result<(), PbxError> {
        if self.phase != Phase::Login {
            self.ignore("unexpected");
            return Ok(());
        }
        if message.is_unlicensed() {
            return Err(PbxError::Licence("the App object has no licence on the PBX".to_owned()));
        }
        if let Some(why) = message.refusal() {
            return Err(PbxError::Auth(format!("the PBX refuses the login: {why}")));
        }
        if message.ok != Some(true) {
            return Err(PbxError::Auth(
                "the PBX refuses the App object's name or password".to_owned(),
            ));
        }
        self.phase = Phase::In;
        self.login = None;
        self.tell(Told::Up);
        if self.part.is_master {
            self.users = Some((
                now + LISTING,
                "ReplicateStart (is TableUsers ticked at the App object?)",
            ));
            self.out.push_back(Out::Send(message::replicate_start()));
        }
        self.lines = Some((now + LISTING, "Initialize (is RCC ticked at the App object?)"));
        self.out.push_back(Out::Send(message::initialize_calls()));
        Ok(())
    }

    /// What the PBX tells of itself: its name, and what the App object may use.
    fn info(&mut self, message: &Incoming<'_>) -> Result<(), PbxError> {
        if let Some(name) = message.pbx.as_deref().filter(|name| !name.is_empty()) {
            self.tell(Told::Name(name.to_owned()));
        }
        let Some(apis) = message.apis.as_deref() else {
            return Ok(());
        };
        let needed: &[&str] = if self.part.is_master {
            &[message::PRESENCE, message::USERS, message::CALLS]
        } else {
            &[message::CALLS]
        };
        match needed.iter().find(|api| !apis.iter().any(|has| has == *api)) {
            None => Ok(()),
            Some(api) => Err(PbxError::Forbidden(format!(
                "the App object may not use {api}: tick it on the PBX"
            ))),
        }
    }

    fn about_users(&mut self, message: &Incoming<'_>, now: Instant) -> Result<(), PbxError> {
        if !self.part.is_master {
            self.ignore("unexpected");
            return Ok(());
        }
        if let Some(why) = message.refusal() {
            return Err(PbxError::Forbidden(format!("the PBX does not list its users: {why}")));
        }
        match message.mt.as_str() {
            "ReplicateStartResult" => self.next_user(now),
            "ReplicateNextResult" if message.columns.is_some_and(|columns| columns.get() != "{}") => {
                self.user(message, now)?;
                self.next_user(now);
            }
            "ReplicateNextResult" if self.users.take().is_some() => self.tell(Told::UsersComplete),
            "ReplicateAdd" | "ReplicateUpdate" => self.user(message, now)?,
            "ReplicateDel" => match message.row() {
                Some(row) => self.user_gone(&row.guid),
                None => self.ignore("unreadable"),
            },
            _ => self.ignore("unknown"),
        }
        Ok(())
    }

    fn next_user(&mut self, now: Instant) {
        self.users = Some((now + LISTING, "ReplicateNext"));
        self.out.push_back(Out::Send(message::replicate_next()));
    }

    fn user(&mut self, message: &Incoming<'_>, now: Instant) -> Result<(), PbxError> {
        let Some(row) = message.row() else {
            self.ignore("unreadable");
            return Ok(());
        };
        if row.pseudo.as_deref().is_some_and(|pseudo| !pseudo.is_empty()) {
            self.user_gone(&row.guid);
            return Ok(());
        }
        if self.known.len() >= MOST_USERS {
            return Err(PbxError::Protocol(format!(
                "the PBX lists more than {MOST_USERS} users"
            )));
        }
        self.known.insert(row.guid.clone());
        let messages = match row.h323.as_deref().filter(|sip| !sip.is_empty()) {
            Some(sip) => self.watching.add(&row.guid, sip, now),
            None => self.watching.remove(&row.guid),
        };
        self.send(messages);
        self.tell(Told::User(row));
        Ok(())
    }

    fn user_gone(&mut self, guid: &str) {
        if self.known.remove(guid) {
            // The PBX ends the subscription by itself, and would refuse to be told.
            let _ = self.watching.remove(guid);
            self.tell(Told::UserGone(guid.to_owned()));
        }
    }

    fn about_presence(&mut self, message: &Incoming<'_>, now: Instant) {
        let src = message.src.as_deref();
        match message.mt.as_str() {
            "SubscribePresenceResult" => {
                let (refused, messages) = self.watching.answered(src, message.refusal().is_some(), now);
                if let Some(guid) = refused {
                    self.ignore("refused");
                    self.tell(Told::Entries(guid, None));
                }
                self.send(messages);
            }
            "PresenceState" if message.up == Some(true) => {}
            "PresenceState" => self.presence(src, None),
            "PresenceUpdate" => {
                let items = message.presence.as_deref().unwrap_or_default();
                let entries = self.part.own.entries(items);
                self.presence(src, Some(entries));
            }
            "SetPresenceResult" => match self.writing.answered(src) {
                Some((ticket, _)) => {
                    let refused = |why| PbxError::Protocol(format!("the PBX refuses SetPresence: {why}"));
                    let result = message.refusal().map_or(Ok(()), |why| Err(refused(why)));
                    self.out.push_back(Out::Answer(ticket, result));
                }
                None => self.ignore("unexpected"),
            },
            "UnsubscribePresenceResult" => {}
            _ => self.ignore("unknown"),
        }
    }

    fn presence(&mut self, src: Option<&str>, entries: Option<Vec<Entry>>) {
        match src.filter(|guid| self.watching.expects(guid)) {
            Some(guid) => self.tell(Told::Entries(guid.to_owned(), entries)),
            None => self.ignore("unknown_src"),
        }
    }

    fn about_calls(&mut self, message: &Incoming<'_>, now: Instant) -> Result<(), PbxError> {
        if let Some(why) = message.refusal() {
            return Err(PbxError::Forbidden(format!("the PBX does not tell calls: {why}")));
        }
        match message.mt.as_str() {
            "UserInfo" => self.visible(message, now),
            "InitializeResult" => {
                self.lines = None;
                self.tell(Told::LinesComplete);
            }
            "CallAdd" | "CallUpdate" => {
                let by_message = || message.msg.as_deref().and_then(calls::meaning_of);
                let line = message.state.map(calls::meaning).or_else(by_message);
                let user = |call| self.calls.set(call, message.guid.as_deref(), line);
                let user = message.call.and_then(user);
                self.line_of(user);
            }
            "CallDel" => {
                let user = message.call.and_then(|call| self.calls.remove(call));
                self.line_of(user);
            }
            _ => self.ignore("unknown"),
        }
        Ok(())
    }

    fn visible(&mut self, message: &Incoming<'_>, now: Instant) {
        if let Some((until, _)) = &mut self.lines {
            *until = now + LISTING;
        }
        let Some(guid) = message.guid.clone() else {
            self.ignore("unreadable");
            return;
        };
        let is_deleted = message.update.as_ref().is_some_and(|update| update == "del");
        self.tell(if is_deleted {
            Told::Hidden(guid)
        } else {
            Told::Visible(guid, message.pbx.clone().filter(|name| !name.is_empty()))
        });
    }

    fn line_of(&mut self, user: Option<String>) {
        match user {
            Some(guid) => {
                let line = self.calls.line(&guid);
                self.tell(Told::Line(guid, line));
            }
            None => self.ignore("unknown_call"),
        }
    }

    fn send(&mut self, messages: Vec<String>) {
        self.out.extend(messages.into_iter().map(Out::Send));
    }

    fn tell(&mut self, told: Told) {
        self.out.push_back(Out::Tell(told));
    }

    fn ignore(&mut self, reason: &'static str) {
        self.out.push_back(Out::Ignored(reason));
    }
}

#[cfg(test)]
mod tests;
