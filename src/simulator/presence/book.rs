//! All people of all tenants: who shows what, since which version, and who is yet to be told.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::person::{Pair, Person, Shown};
use crate::simulator::clock;
use crate::simulator::objects::Objects;

const LOGGED_WRITES: usize = 50_000;

/// A tenant and a user in it.
pub type Key = (String, String);

/// All people.
#[derive(Debug)]
pub struct Book {
    people: HashMap<Key, Known>,
    due: BTreeSet<(Timestamp, Key)>,
    changed: VecDeque<Key>,
    news: Arc<Notify>,
    /// What apps wrote, or tried to.
    pub writes: Writes,
}

/// A person, and what is seen of it.
#[derive(Debug)]
pub struct Known {
    /// The person.
    pub person: Person,
    decided: Shown,
    seen: Pair,
    away: Option<String>,
    version: u64,
    due: Option<Timestamp>,
}

/// What a change happens in.
pub struct Setting<'a> {
    /// Simulated time.
    pub now: Timestamp,
    /// Where versions come from.
    pub objects: &'a mut Objects,
    /// `Busy/InACall` of an app may be seen as `Busy/Busy`, as in the field.
    pub vague: bool,
}

impl Book {
    /// An empty one that rings this bell when somebody shows something else.
    pub fn new(news: Arc<Notify>) -> Self {
        Self {
            people: HashMap::new(),
            due: BTreeSet::new(),
            changed: VecDeque::new(),
            news,
            writes: Writes::default(),
        }
    }

    /// A person that something is known of.
    pub fn get(&self, tenant: &str, user: &str) -> Option<&Known> {
        self.people.get(&key(tenant, user))
    }

    /// Everybody of whom something is known.
    pub fn all(&self) -> impl Iterator<Item = (&Key, &Known)> {
        self.people.iter()
    }

    /// Changes a person.
    pub fn change<T>(
        &mut self,
        tenant: &str,
        user: &str,
        mut setting: Setting<'_>,
        act: impl FnOnce(&mut Person) -> T,
    ) -> T {
        let key = key(tenant, user);
        let known = self.people.entry(key.clone()).or_insert_with(Known::new);
        known.person.settle(setting.now);
        let result = act(&mut known.person);
        self.refresh(&key, &mut setting);
        result
    }

    /// Lets everybody change whose time has come.
    pub fn settle(&mut self, mut setting: Setting<'_>) {
        while let Some((_, key)) = self.due.first().filter(|(at, _)| *at <= setting.now).cloned() {
            self.refresh(&key, &mut setting);
        }
    }

    /// Who shows something else than when this was asked last; somebody may be in it more than once.
    pub fn take_changed(&mut self) -> Vec<Key> {
        self.changed.drain(..).collect()
    }

    /// When time alone changes somebody next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    fn refresh(&mut self, key: &Key, setting: &mut Setting<'_>) {
        let Some(known) = self.people.get_mut(key) else {
            self.due.retain(|(_, other)| other != key);
            return;
        };
        known.person.settle(setting.now);
        let is_new = known.look(setting);
        let next = known.person.next_turn(setting.now);
        if let Some(before) = std::mem::replace(&mut known.due, next) {
            self.due.remove(&(before, key.clone()));
        }
        self.due.extend(next.map(|at| (at, key.clone())));
        if is_new {
            self.changed.push_back(key.clone());
            self.news.notify_one();
        }
    }
}

impl Known {
    fn new() -> Self {
        let decided = Person::default().shown(Timestamp::UNIX_EPOCH);
        Self {
            person: Person::default(),
            seen: decided.pair.clone(),
            decided,
            away: None,
            version: 0,
            due: None,
        }
    }

    /// Whether something else is seen than before.
    fn look(&mut self, setting: &mut Setting<'_>) -> bool {
        let decided = self.person.shown(setting.now);
        if decided == self.decided && self.person.out_of_office == self.away && self.version > 0 {
            return false;
        }
        self.away.clone_from(&self.person.out_of_office);
        let seen = if decided == self.decided {
            self.seen.clone()
        } else {
            blurred(&decided, setting.vague)
        };
        let is_new = seen != self.seen || self.version == 0 || decided == self.decided;
        (self.decided, self.seen) = (decided, seen);
        self.version = setting.objects.bump();
        is_new
    }

    /// The presence as Graph returns it.
    pub fn view(&self, user: &str) -> Value {
        view(user, &self.seen, self.away.as_deref(), self.version)
    }
}

/// The presence of somebody of whom nothing is known but that there is such a user.
pub fn silent(user: &str) -> Value {
    view(user, &Pair::offline(), None, 0)
}

fn view(user: &str, seen: &Pair, away: Option<&str>, version: u64) -> Value {
    json!({
        "id": user,
        "availability": seen.availability,
        "activity": seen.activity,
        "statusMessage": null,
        "outOfOfficeSettings": {"message": away, "isOutOfOffice": away.is_some()},
        "sequenceNumber": format!("A{version:020}"),
    })
}

fn blurred(decided: &Shown, vague: bool) -> Pair {
    if vague && decided.from_app && decided.pair.activity == "InACall" && fastrand::bool() {
        return Pair::new("Busy", "Busy");
    }
    decided.pair.clone()
}

fn key(tenant: &str, user: &str) -> Key {
    (tenant.into(), user.into())
}

/// A write of an app.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Write {
    /// Counts from 1.
    pub seq: u64,
    /// Simulated time.
    pub time: String,
    /// Real time, in milliseconds of the Unix epoch, for measurements.
    pub real_ms: i64,
    /// Of whom.
    pub user: String,
    /// By which app.
    pub app: String,
    /// `setPresence` and so on.
    pub operation: &'static str,
    /// The body.
    pub body: Value,
    /// Status of the answer.
    pub status: u16,
}

/// The latest writes.
#[derive(Debug, Default)]
pub struct Writes {
    last: u64,
    latest: VecDeque<Write>,
}

impl Writes {
    /// Adds one; its number and its times are set here.
    pub fn add(&mut self, mut write: Write, now: Timestamp) {
        self.last += 1;
        write.seq = self.last;
        write.time = clock::precise(now);
        write.real_ms = Timestamp::now().as_millisecond();
        if self.latest.len() == LOGGED_WRITES {
            self.latest.pop_front();
        }
        self.latest.push_back(write);
    }

    /// Those after `seq`.
    pub fn since(&self, seq: u64) -> Vec<&Write> {
        self.latest.iter().filter(|write| write.seq > seq).collect()
    }
}
