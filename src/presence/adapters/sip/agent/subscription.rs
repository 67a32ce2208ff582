//! What is kept of a subscription and of a user.

use std::time::Instant;

use super::random;
use crate::policy::presence::pbx::{Entry, Line, Origin, PbxView};
use crate::presence::adapters::sip::dialog_info::Calls;
use crate::presence::adapters::sip::message::Message;

/// How long a subscription is asked for, in seconds. The server may grant less.
const ASKED: u32 = 1800;

/// What can be subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Package {
    /// What the user says, and others say of the user.
    Presence,
    /// The user's calls.
    Dialog,
}

impl Package {
    pub(super) const ALL: [Self; 2] = [Self::Presence, Self::Dialog];

    /// The word in `Event`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Presence => "presence",
            Self::Dialog => "dialog",
        }
    }

    /// The documents that are read.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Presence => "application/pidf+xml",
            Self::Dialog => "application/dialog-info+xml",
        }
    }
}

/// A subscription at the server: a dialog of SIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) call_id: String,
    /// Its name before, if a request under it may be under way still.
    pub(super) before: Option<String>,
    pub(super) tag: String,
    pub(super) remote_tag: Option<String>,
    pub(super) target: Option<String>,
    pub(super) route: Vec<String>,
    sequence: u32,
    /// Number of the last notification.
    pub(super) notified: Option<u32>,
    /// When it ends at the server; `None` until the server accepts it.
    pub(super) expires: Option<Instant>,
    /// A request is queued or under way.
    pub(super) busy: bool,
    pub(super) failures: i32,
    /// The server answered that it has no such user.
    pub(super) absent: bool,
    /// How long it is asked for, in seconds.
    pub(super) asked: u32,
}

impl Subscription {
    fn new() -> Self {
        Self {
            call_id: random(),
            before: None,
            tag: random(),
            remote_tag: None,
            target: None,
            route: Vec::new(),
            sequence: 0,
            notified: None,
            expires: None,
            busy: false,
            failures: 0,
            absent: false,
            asked: ASKED,
        }
    }

    /// The same wish, of which the server knows nothing.
    pub(super) fn anew(&self) -> Self {
        Self {
            before: self.busy.then(|| self.before.as_ref().unwrap_or(&self.call_id).clone()),
            busy: self.busy,
            failures: self.failures,
            absent: self.absent,
            asked: self.asked,
            ..Self::new()
        }
    }

    /// Whether it works: accepted, notified, and not over.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.notified.is_some() && self.expires.is_some_and(|expires| expires > now)
    }

    /// The next request, without what depends on the connection.
    pub(super) fn request(&mut self, from: &str, to: &str, package: Package, seconds: u32) -> Message {
        self.sequence += 1;
        let target = self.target.as_deref().unwrap_or(to);
        let tag = self.remote_tag.as_ref();
        let to = tag.map_or_else(|| format!("<{to}>"), |tag| format!("<{to}>;tag={tag}"));
        let message = Message::request("SUBSCRIBE", target)
            .with("From", format!("<{from}>;tag={}", self.tag))
            .with("To", to)
            .with("Call-ID", &*self.call_id)
            .with("CSeq", format!("{} SUBSCRIBE", self.sequence))
            .with("Event", package.name())
            .with("Accept", package.content_type())
            .with("Expires", seconds.to_string());
        let routes = self.route.iter();
        routes.fold(message, |message, route| message.with("Route", route))
    }
}

/// A user, and what is known.
#[derive(Debug)]
pub(super) struct Watched {
    presence: Subscription,
    dialog: Subscription,
    pub(super) entries: Option<Vec<Entry>>,
    pub(super) calls: Calls,
    pub(super) line: Line,
    /// What an earlier process published is told no longer.
    disowned: bool,
    told: Option<PbxView>,
    told_absent: bool,
}

impl Watched {
    pub(super) fn new() -> Self {
        Self {
            presence: Subscription::new(),
            dialog: Subscription::new(),
            entries: None,
            calls: Calls::default(),
            line: Line::Unknown,
            disowned: false,
            told: None,
            told_absent: false,
        }
    }

    pub(super) fn of(&mut self, package: Package) -> &mut Subscription {
        match package {
            Package::Presence => &mut self.presence,
            Package::Dialog => &mut self.dialog,
        }
    }

    pub(super) fn seen(&self, package: Package) -> &Subscription {
        match package {
            Package::Presence => &self.presence,
            Package::Dialog => &self.dialog,
        }
    }

    /// What is to be ended once nobody watches the user.
    pub(super) fn into_subscriptions(self) -> [(Package, Subscription); 2] {
        [(Package::Presence, self.presence), (Package::Dialog, self.dialog)]
    }

    /// Nothing is known any more.
    pub(super) fn forget(&mut self, package: Package) {
        match package {
            Package::Presence => self.entries = None,
            Package::Dialog => {
                self.calls = Calls::default();
                self.line = Line::Unknown;
            }
        }
    }

    /// Takes what the server says; `holds_own` tells whether an entry of this process is among it.
    pub(super) fn learn(&mut self, entries: Vec<Entry>, holds_own: bool) {
        self.entries = Some(entries);
        if self.disowned && !holds_own {
            self.hide_own();
        }
    }

    /// From now on, what an earlier process published is told no longer. It cannot be taken back, and lapses.
    pub(super) fn disown(&mut self) {
        self.disowned = true;
        self.hide_own();
    }

    fn hide_own(&mut self) {
        if let Some(entries) = &mut self.entries {
            entries.retain(|entry| entry.origin != Origin::Ours);
        }
    }

    /// Whether the server has no such user: it said so, and accepted nothing.
    fn is_absent(&self) -> bool {
        let both = Package::ALL.map(|package| self.seen(package));
        both.iter().any(|one| one.absent) && both.iter().all(|one| one.expires.is_none())
    }

    /// Whether the server has the user, if that is to be told.
    pub(super) fn existence(&mut self) -> Option<bool> {
        let absent = self.is_absent();
        let before = std::mem::replace(&mut self.told_absent, absent);
        (before != absent).then_some(!absent)
    }

    /// What is to be told, unless it was.
    pub(super) fn news(&mut self) -> Option<PbxView> {
        let view = PbxView {
            entries: self.entries.clone(),
            line: self.line,
        };
        if self.told.as_ref() == Some(&view) {
            return None;
        }
        self.told = Some(view.clone());
        Some(view)
    }
}
