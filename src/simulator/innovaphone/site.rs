//! The PBXs with their users, calls and connections.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const LOGGED: usize = 50_000;

/// All PBXs of one installation.
#[derive(Debug)]
pub struct Site {
    /// What is set up: apps and PBXs.
    pub setup: Setup,
    /// By guid.
    pub users: BTreeMap<String, User>,
    /// Guids by name in lower case.
    pub(super) names: HashMap<String, String>,
    /// By number.
    pub calls: BTreeMap<u64, Call>,
    /// By number.
    pub connections: BTreeMap<u64, Connection>,
    /// What apps wrote.
    pub writes: VecDeque<Value>,
    /// What clients did wrong.
    pub breaches: VecDeque<Value>,
    last: u64,
}

/// Apps and PBXs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Setup {
    /// SIP domain.
    pub domain: String,
    /// App objects, the same at every PBX.
    pub apps: Vec<App>,
    /// The PBXs; the first one is the master.
    pub pbxs: Vec<Pbx>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            domain: "example.com".into(),
            apps: vec![App::default()],
            pbxs: vec![Pbx::named("pbx"), Pbx::named("pbx2")],
        }
    }
}

/// An App object.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct App {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: String,
    /// What is ticked: which APIs it may use.
    pub apis: Vec<String>,
}

impl Default for App {
    fn default() -> Self {
        Self {
            name: "teams".into(),
            password: "simulator-password".into(),
            apis: ["PbxApi", "PbxTableUsers", "RCC"].map(String::from).to_vec(),
        }
    }
}

/// A PBX.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pbx {
    /// Its short name.
    pub name: String,
    /// How it behaves.
    #[serde(default)]
    pub manners: Manners,
}

impl Pbx {
    fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            manners: Manners::default(),
        }
    }
}

/// How a PBX behaves: what is not documented, and faults.
#[allow(clippy::struct_excessive_bools)] // switches that have nothing to do with each other
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Manners {
    /// `PbxInfo` follows the login, as it does where the PBX dials.
    pub pbx_info: bool,
    /// `KeepAlive` is answered.
    pub keep_alive: bool,
    /// A connection on which nothing came for so many real seconds is closed.
    pub idle_seconds: u64,
    /// This challenge, whatever its length, in place of a random one.
    pub challenge: Option<String>,
    /// The app has no licence, says the answer to the login.
    pub unlicensed: bool,
    /// Answers carry no `src`.
    pub without_src: bool,
    /// `CallUpdate` carries the state, not only the name of the signalling message.
    pub state_in_updates: bool,
    /// The only contacts that `SetPresence` takes; all if left out.
    pub contacts: Option<Vec<String>>,
    /// An entry with neither activity nor note goes away. Otherwise it stays, empty.
    pub empty_removes: bool,
    /// Connections stay open, and nothing is read or written any more.
    pub half_open: bool,
    /// Connections are refused with 503.
    pub unreachable: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            pbx_info: true,
            keep_alive: true,
            idle_seconds: 150,
            challenge: None,
            unlicensed: false,
            without_src: false,
            state_in_updates: false,
            contacts: None,
            empty_removes: false,
            half_open: false,
            unreachable: false,
        }
    }
}

/// A user of the PBXs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct User {
    /// Made if left out.
    pub guid: String,
    /// Unique name, in `sip`.
    pub h323: String,
    /// Common name.
    pub cn: String,
    /// Display name.
    pub dn: String,
    /// Number.
    pub e164: String,
    /// Node in the numbering plan.
    pub node: String,
    /// The PBX where it is registered; the master if left out.
    pub loc: String,
    /// Mail address.
    pub email: String,
    /// Empty for a person; `gw`, `trunk`, `waiting` and so on for other objects.
    pub pseudo: String,
    /// Groups.
    pub grps: Vec<String>,
    /// Its presence is not known.
    pub down: bool,
    /// Presence entries, newest first.
    pub entries: Vec<Entry>,
}

/// A presence entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// `tel:` of the user, `im:` of the PBX, `calendar:`, or whatever an app calls its own.
    pub contact: String,
    /// `open` or `closed`.
    #[serde(default = "open")]
    pub status: String,
    /// `""` for available, `away`, `busy`, `dnd`, or a word of RFC 4480.
    #[serde(default)]
    pub activity: String,
    /// Text.
    #[serde(default)]
    pub note: String,
}

/// What entries say that are not closed.
pub fn open() -> String {
    "open".into()
}

/// A call of a user.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// Its number.
    #[serde(rename = "call")]
    pub number: u64,
    /// Whose.
    pub guid: String,
    /// Step in the low four bits, flags above.
    pub state: u32,
    /// The conference it is in.
    pub conference: Option<String>,
}

/// A connection of an app.
#[derive(Debug)]
pub struct Connection {
    /// To which PBX.
    pub pbx: String,
    /// Who logged in.
    pub app: Option<String>,
    /// What the login is to prove.
    pub challenge: Option<String>,
    /// `src` of the presence subscriptions, by guid.
    pub watched: BTreeMap<String, Value>,
    /// The table of users, as far as it is told.
    pub(super) replication: Option<super::users::Replication>,
    /// Calls, as far as they are told.
    pub(super) rcc: Option<super::calls::Rcc>,
    /// How many messages came.
    pub messages: u64,
    /// What is to be sent.
    pub out: mpsc::Sender<String>,
    /// Ends it.
    pub closing: CancellationToken,
}

impl Connection {
    /// Sends a message. Who does not take them is cut off.
    pub fn say(&self, message: &Value) {
        self.say_text(message.to_string());
    }

    /// Sends any text.
    pub fn say_text(&self, text: String) {
        if self.out.try_send(text).is_err() {
            self.closing.cancel();
        }
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new(Setup::default())
    }
}

impl Site {
    /// PBXs without users.
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            users: BTreeMap::new(),
            names: HashMap::new(),
            calls: BTreeMap::new(),
            connections: BTreeMap::new(),
            writes: VecDeque::new(),
            breaches: VecDeque::new(),
            last: 0,
        }
    }

    /// The first PBX.
    pub fn master(&self) -> Option<&Pbx> {
        self.setup.pbxs.first()
    }

    /// A PBX by its name.
    pub fn pbx(&self, name: &str) -> Option<&Pbx> {
        self.setup.pbxs.iter().find(|pbx| pbx.name.eq_ignore_ascii_case(name))
    }

    /// The manners of a PBX; the usual ones if there is none.
    pub fn manners(&self, name: &str) -> Manners {
        self.pbx(name).map(|pbx| pbx.manners.clone()).unwrap_or_default()
    }

    /// Where a user is registered.
    pub fn home<'a>(&'a self, user: &'a User) -> &'a str {
        match user.loc.as_str() {
            "" => self.master().map_or("", |pbx| pbx.name.as_str()),
            name => name,
        }
    }

    /// Whether a PBX knows a user: the master knows all.
    pub fn knows(&self, pbx: &str, user: &User) -> bool {
        self.master().is_some_and(|master| master.name == pbx) || self.home(user) == pbx
    }

    /// A user by guid, by name with or without domain, or by number.
    pub fn find(&self, name: &str) -> Option<&User> {
        let local = name.split_once('@').map_or(name, |(local, _)| local);
        let by_name = || self.names.get(&local.to_ascii_lowercase());
        self.users.get(name).or_else(|| self.users.get(by_name()?)).or_else(|| {
            self.users
                .values()
                .find(|user| !user.e164.is_empty() && user.e164 == name)
        })
    }

    /// A number that was not used before.
    pub fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Notes what an app wrote.
    pub fn note_write(&mut self, mut write: Value) {
        write["seq"] = json!(self.next());
        push(&mut self.writes, write);
    }

    /// Notes what a client did wrong.
    pub fn breach(&mut self, connection: u64, kind: &str, detail: &str) {
        tracing::warn!(kind, detail, "protocol violation on the App WebSocket");
        let breach = json!({"connection": connection, "kind": kind, "detail": detail});
        push(&mut self.breaches, breach);
    }
}

fn push(log: &mut VecDeque<Value>, line: Value) {
    if log.len() == LOGGED {
        log.pop_front();
    }
    log.push_back(line);
}
