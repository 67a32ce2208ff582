//! The objects of all tenants: what is there now, what was there once, and in which order it changed.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::subscriptions::paths;

/// An object, or what is left of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its `id`.
    pub id: String,
    /// Grows with every change of anything in any tenant.
    pub version: u64,
    /// Simulated time of the latest change.
    pub changed: Timestamp,
    /// How it is, or why it is gone (`deleted`, or `changed` for what can be restored).
    pub state: Result<Value, String>,
}

/// One collection of a tenant, such as `users` or `chats/{id}/messages`.
#[derive(Debug, Default)]
pub struct Shelf {
    entries: HashMap<String, Entry>,
    order: BTreeMap<u64, String>,
    /// How often the tokens of delta queries were made worthless.
    generation: u64,
}

#[derive(Debug, Default)]
struct Room {
    shelves: BTreeMap<String, Shelf>,
    generation: u64,
}

/// Which collections a request looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// One collection, by its key.
    One(String),
    /// The messages of all folders of a mailbox.
    Mailbox(String),
    /// The messages of all chats of a user. A chat that is not kept, or names no members, has everybody in it.
    ChatsOf(String),
}

/// All objects of all tenants.
#[derive(Debug)]
pub struct Objects {
    version: u64,
    /// Differs from that of any simulator before, so that tokens do not survive a restart: versions begin anew.
    epoch: u64,
    rooms: HashMap<String, Room>,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            version: 0,
            epoch: fastrand::u32(..).into(),
            rooms: HashMap::new(),
        }
    }
}

impl Objects {
    /// Keeps an object, with the version that it gets. Its `id` must be text.
    pub fn put(&mut self, tenant: &str, key: &str, object: Map<String, Value>, now: Timestamp) {
        let id = object.get("id").and_then(Value::as_str).unwrap_or_default().to_string();
        self.keep(tenant, key, id, Ok(Value::Object(object)), now);
    }

    /// Leaves a tombstone.
    pub fn remove(&mut self, tenant: &str, key: &str, id: &str, reason: &str, now: Timestamp) {
        self.keep(tenant, key, id.into(), Err(reason.into()), now);
    }

    fn keep(&mut self, tenant: &str, key: &str, id: String, state: Result<Value, String>, now: Timestamp) {
        self.version += 1;
        let version = self.version;
        let collection = self.shelf_mut(tenant, key);
        let entry = Entry {
            id: id.clone(),
            version,
            changed: now,
            state,
        };
        if let Some(before) = collection.entries.insert(id.clone(), entry) {
            collection.order.remove(&before.version);
        }
        collection.order.insert(version, id);
    }

    /// Changes an object so that no delta query tells of it. False if there is none.
    pub fn amend(&mut self, tenant: &str, key: &str, id: &str, change: impl FnOnce(&mut Map<String, Value>)) -> bool {
        let entry = self.shelf_mut(tenant, key).entries.get_mut(id);
        match entry.and_then(|entry| entry.state.as_mut().ok()?.as_object_mut()) {
            Some(object) => {
                change(object);
                true
            }
            None => false,
        }
    }

    /// A version for something that is not among the objects.
    pub fn bump(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// The version that the next change gets.
    pub fn next_version(&self) -> u64 {
        self.version + 1
    }

    /// An object that is there.
    pub fn get(&self, tenant: &str, view: &View, id: &str) -> Option<&Value> {
        let mut shelves = self.shelves(tenant, view).into_iter();
        shelves.find_map(|shelf| shelf.entries.get(id)?.state.as_ref().ok())
    }

    /// The objects that are there, in the order of their latest change.
    pub fn live(&self, tenant: &str, view: &View) -> Vec<&Value> {
        let entries = self.changes(tenant, view, 0).into_iter();
        entries.filter_map(|entry| entry.state.as_ref().ok()).collect()
    }

    /// What changed at this version or later, in order.
    pub fn changes(&self, tenant: &str, view: &View, from: u64) -> Vec<&Entry> {
        let shelves = self.shelves(tenant, view);
        let mut found: Vec<&Entry> = shelves.iter().flat_map(|shelf| shelf.since(from)).collect();
        if shelves.len() > 1 {
            found.sort_by_key(|entry| entry.version);
        }
        found
    }

    /// The version of the latest change in a view; 0 if there was none.
    pub fn latest(&self, tenant: &str, view: &View) -> u64 {
        let last = |shelf: &Shelf| shelf.order.last_key_value().map(|(version, _)| *version);
        let shelves = self.shelves(tenant, view);
        shelves.into_iter().filter_map(last).max().unwrap_or_default()
    }

    /// How many objects are there; what is gone counts as well, since a directory keeps it for a while.
    pub fn size(&self, tenant: &str, key: &str) -> usize {
        let collection = self.rooms.get(tenant).and_then(|room| room.shelves.get(key));
        collection.map_or(0, |found| found.entries.len())
    }

    /// Tokens of delta queries over this view are good only in the generation in which they were made.
    pub fn generation(&self, tenant: &str, view: &View) -> u64 {
        let own = self.rooms.get(tenant).map_or(0, |room| room.generation);
        let shelves = self.shelves(tenant, view);
        self.epoch + own + shelves.iter().map(|shelf| shelf.generation).sum::<u64>()
    }

    /// Makes the tokens of one collection worthless, or of all.
    pub fn forget_tokens(&mut self, tenant: &str, key: Option<&str>) {
        match key {
            Some(key) => self.shelf_mut(tenant, key).generation += 1,
            None => self.rooms.entry(tenant.into()).or_default().generation += 1,
        }
    }

    /// Makes a collection hold these objects and no others.
    pub fn replace(&mut self, tenant: &str, key: &str, objects: Vec<Value>, now: Timestamp) {
        let view = View::One(key.into());
        let objects: Vec<Map<String, Value>> = objects.into_iter().filter_map(as_map).collect();
        let given: Vec<&str> = objects.iter().filter_map(|object| object.get("id")?.as_str()).collect();
        let known = self.live(tenant, &view).into_iter();
        let gone: Vec<String> = known
            .filter_map(|object| object["id"].as_str())
            .filter(|id| !given.contains(id))
            .map(String::from)
            .collect();
        for id in gone {
            self.remove(tenant, key, &id, "deleted", now);
        }
        for object in objects {
            let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
            if self.get(tenant, &view, id).and_then(Value::as_object) != Some(&object) {
                self.put(tenant, key, object, now);
            }
        }
    }

    fn shelf_mut(&mut self, tenant: &str, key: &str) -> &mut Shelf {
        let room = self.rooms.entry(tenant.into()).or_default();
        room.shelves.entry(key.into()).or_default()
    }

    fn shelves(&self, tenant: &str, view: &View) -> Vec<&Shelf> {
        let Some(room) = self.rooms.get(tenant) else {
            return Vec::new();
        };
        match view {
            View::One(key) => room.shelves.get(key).into_iter().collect(),
            View::Mailbox(user) => room.under(&format!("users/{user}/mailfolders/"), |_| true),
            View::ChatsOf(user) => {
                let closed = room.closed_to(user);
                room.under("chats/", |chat| !closed.contains(chat))
            }
        }
    }
}

impl Shelf {
    fn since(&self, from: u64) -> impl Iterator<Item = &Entry> {
        self.order.range(from..).filter_map(|(_, id)| self.entries.get(id))
    }
}

impl Room {
    /// The shelves `{prefix}{name}/messages` whose name is wanted.
    fn under(&self, prefix: &str, wanted: impl Fn(&str) -> bool) -> Vec<&Shelf> {
        let all = self.shelves.range(prefix.to_string()..);
        all.take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| {
                let name = key.strip_prefix(prefix).and_then(|rest| rest.strip_suffix("/messages"));
                name.is_some_and(|name| !name.contains('/') && wanted(name))
            })
            .map(|(_, shelf)| shelf)
            .collect()
    }

    /// The chats that name their members, this user not among them.
    fn closed_to(&self, user: &str) -> HashSet<String> {
        let is_user = |member: &Value| {
            member["userId"]
                .as_str()
                .is_some_and(|id| id.eq_ignore_ascii_case(user))
        };
        let is_closed = |chat: &Value| chat["members"].as_array().is_some_and(|all| !all.iter().any(is_user));
        let chats = self
            .shelves
            .get("chats")
            .into_iter()
            .flat_map(|shelf| shelf.entries.values());
        chats
            .filter(|entry| entry.state.as_ref().is_ok_and(is_closed))
            .map(|entry| entry.id.to_ascii_lowercase())
            .collect()
    }
}

fn as_map(object: Value) -> Option<Map<String, Value>> {
    match object {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

/// The key under which a collection is kept: without case, and the same for its several names. Messages that name no
/// folder are in the inbox.
pub fn key(collection: &str) -> String {
    let path = paths::path(collection).to_ascii_lowercase();
    match path.split('/').collect::<Vec<_>>()[..] {
        ["users", user, "messages"] => format!("users/{user}/mailfolders/inbox/messages"),
        ["users", user, "calendar", "events"] | ["users", user, "calendarview"] => format!("users/{user}/events"),
        ["users", _, "chats", chat, "messages"] => format!("chats/{chat}/messages"),
        _ => path,
    }
}

/// What a request for this path looks at.
pub fn view(path: &str) -> View {
    let lower = paths::path(path).to_ascii_lowercase();
    match lower.split('/').collect::<Vec<_>>()[..] {
        ["users", user, "messages"] => View::Mailbox(user.into()),
        ["users", user, "chats", "getallmessages"] => View::ChatsOf(user.into()),
        _ => View::One(key(path)),
    }
}
