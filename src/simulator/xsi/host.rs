//! Users, channels and subscriptions of the BroadWorks that stands behind the XSPs.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

const LOGGED: usize = 50_000;

/// What is set up, and what is going on.
#[derive(Debug, Default)]
pub struct Host {
    /// Administrators, XSPs and manners.
    pub setup: Setup,
    /// By user id.
    pub users: BTreeMap<String, User>,
    /// By id.
    pub channels: BTreeMap<String, Channel>,
    /// By id.
    pub subscriptions: BTreeMap<String, Subscription>,
    /// What clients wrote.
    pub writes: VecDeque<Value>,
    /// What clients did wrong.
    pub breaches: VecDeque<Value>,
    /// Streams without a channel, kept open.
    pub(super) lost: Vec<mpsc::Sender<Result<Bytes, std::io::Error>>>,
    last: u64,
}

/// Administrators, XSPs and manners.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Setup {
    /// User id of an administrator of the service provider.
    pub username: String,
    /// Its password.
    pub password: String,
    /// The service provider, to which all users belong.
    pub service_provider: String,
    /// Names of the XSPs.
    pub xsps: Vec<String>,
    /// How they behave.
    pub manners: Manners,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            username: "admin@example.com".into(),
            password: "simulator-password".into(),
            service_provider: "example".into(),
            xsps: vec!["xsp1".into(), "xsp2".into()],
            manners: Manners::default(),
        }
    }
}

/// How the XSPs behave. Times are real ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Manners {
    /// The lifetime that is granted, whatever was asked for.
    pub granted_seconds: Option<u64>,
    /// Pause between the server's heartbeats.
    pub heartbeat_ms: u64,
    /// A channel without the client's heartbeat for so long is lost.
    pub heartbeat_limit_ms: u64,
    /// An event without an answer for so long costs the channel.
    pub ack_limit_ms: u64,
    /// The stream leaves in random pieces of at most so many bytes; whole documents if 0.
    pub piece_bytes: usize,
    /// A channel is found only at its XSP and with its cookie.
    pub sticky: bool,
    /// Subscriptions of a service provider begin with the state of each user. By the documentation, only a user's do.
    pub provider_snapshots: bool,
    /// Streams stay open, and nothing is sent any more.
    pub silent: bool,
    /// Names of XSPs that answer 503 to everything.
    pub down: Vec<String>,
    /// Names of XSPs that refuse every login, as one with another key does.
    pub refusing: Vec<String>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            granted_seconds: None,
            heartbeat_ms: 10_000,
            heartbeat_limit_ms: 60_000,
            ack_limit_ms: 10_000,
            piece_bytes: 0,
            sticky: true,
            provider_snapshots: false,
            silent: false,
            down: Vec::new(),
            refusing: Vec::new(),
        }
    }
}

/// A user.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct User {
    /// User id, such as `ann@example.com`.
    pub id: String,
    /// With it, a user sees itself. None: the user cannot log in.
    pub password: Option<String>,
    /// Number.
    pub number: String,
    /// Do not disturb is on.
    pub dnd: bool,
    /// A short ring for each call that do not disturb turns away.
    pub ring_splash: bool,
    /// The service is not assigned.
    pub without_dnd: bool,
    /// Types of the devices of the user.
    pub devices: Vec<String>,
    /// Calls by id.
    pub calls: BTreeMap<String, Call>,
}

/// A call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Call {
    /// `Alerting`, `Active`, `Held`.
    pub state: String,
    /// The user made it.
    pub outgoing: bool,
}

/// An open stream.
#[derive(Debug)]
pub struct Channel {
    /// Its set.
    pub set: String,
    /// At which XSP.
    pub xsp: String,
    /// The value of its cookie.
    pub cookie: String,
    /// When it ends unless it is refreshed.
    pub ends: Instant,
    /// The client's latest heartbeat.
    pub heard: Instant,
    /// The server's latest heartbeat.
    pub told: Instant,
    /// Events that are not answered yet, and since when.
    pub unanswered: BTreeMap<String, Instant>,
    /// What is to be sent; an error breaks the connection.
    pub out: mpsc::Sender<Result<Bytes, std::io::Error>>,
}

/// Whom a subscription is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// One user.
    User(String),
    /// All users of the service provider.
    Provider,
}

/// A subscription.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Where its events go.
    pub set: String,
    /// Who made it.
    pub subscriber: String,
    /// Whom it is about.
    pub target: Target,
    /// The package, such as `Standard Call`.
    pub event: String,
    /// When it ends unless it is refreshed.
    pub ends: Instant,
    /// Events so far.
    pub count: u64,
}

impl Subscription {
    /// Whether it is about this user.
    pub fn covers(&self, user: &str) -> bool {
        match &self.target {
            Target::User(id) => id == user,
            Target::Provider => true,
        }
    }
}

impl Host {
    /// A BroadWorks without users.
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            ..Self::default()
        }
    }

    /// A number that was not used before.
    pub fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The XSP of a name; the first one if none is given.
    pub fn xsp(&self, name: Option<&str>) -> Option<&str> {
        let mut all = self.setup.xsps.iter().map(String::as_str);
        match name {
            Some(name) => all.find(|xsp| *xsp == name),
            None => all.next(),
        }
    }

    /// Notes what a client wrote.
    pub fn note_write(&mut self, mut write: Value) {
        let now = jiff::Timestamp::now();
        write["seq"] = json!(self.next());
        write["realMs"] = json!(now.as_millisecond());
        push(&mut self.writes, write);
    }

    /// Notes what a client did wrong.
    pub fn breach(&mut self, kind: &str, detail: &str) {
        tracing::warn!(kind, detail, "protocol violation on Xsi");
        push(&mut self.breaches, json!({"kind": kind, "detail": detail}));
    }
}

fn push(log: &mut VecDeque<Value>, line: Value) {
    if log.len() == LOGGED {
        log.pop_front();
    }
    log.push_back(line);
}
