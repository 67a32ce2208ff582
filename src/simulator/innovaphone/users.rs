//! The table of users, replicated: first one by one as the app asks, then whatever changes.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::session::Request;
use super::site::{Site, User};

const API: &str = "PbxTableUsers";

/// A replication.
#[derive(Debug)]
pub(super) struct Replication {
    src: Value,
    columns: Vec<String>,
    /// Kinds of objects; all if none are named.
    pseudo: Option<Vec<String>>,
    additions: bool,
    deletions: bool,
    /// Guids that are yet to be told.
    queue: VecDeque<String>,
    done: bool,
}

impl Replication {
    fn wants(&self, user: &User) -> bool {
        self.pseudo.as_ref().is_none_or(|kinds| kinds.contains(&user.pseudo))
    }

    fn row(&self, user: &User, home: &str) -> Value {
        let row: Map<String, Value> = self
            .columns
            .iter()
            .filter_map(|name| Some((name.clone(), column(user, home, name)?)))
            .collect();
        Value::Object(row)
    }
}

fn column(user: &User, home: &str, name: &str) -> Option<Value> {
    Some(match name {
        "guid" => json!(user.guid),
        "h323" => json!(user.h323),
        "cn" => json!(user.cn),
        "dn" => json!(user.dn),
        "e164" => json!(user.e164),
        "node" => json!(user.node),
        "loc" => json!(home),
        "pseudo" => json!(user.pseudo),
        "emails" => json!([{"email": user.email}]),
        "grps" => json!(user.grps.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()),
        "devices" => json!([]),
        _ => return None,
    })
}

impl Site {
    pub(super) fn replicate(&mut self, request: &Request<'_>) {
        let columns = request.body.get("columns").and_then(Value::as_object);
        let Some(columns) = columns.filter(|columns| !columns.is_empty()) else {
            request.refuse(self, 4, "columns are missing");
            return;
        };
        if columns.contains_key("pwd") {
            request.refuse(self, 3, "passwords are not for apps");
            return;
        }
        let flag = |name: &str| request.body.get(name).and_then(Value::as_bool).unwrap_or_default();
        let pseudo = request.body.get("pseudo").and_then(Value::as_array);
        let mut replication = Replication {
            src: request.body.get("src").cloned().unwrap_or_default(),
            columns: columns.keys().cloned().collect(),
            pseudo: pseudo.map(|kinds| kinds.iter().filter_map(Value::as_str).map(String::from).collect()),
            additions: flag("add"),
            deletions: flag("del"),
            queue: VecDeque::new(),
            done: false,
        };
        let Some(pbx) = self.connections.get(&request.connection).map(|one| one.pbx.clone()) else {
            return;
        };
        let known = self
            .users
            .values()
            .filter(|user| replication.wants(user) && self.knows(&pbx, user));
        replication.queue = known.map(|user| user.guid.clone()).collect();
        let mut answer = request.answer(self);
        answer["columns"] = Value::Object(columns.clone());
        if let Some(connection) = self.connections.get_mut(&request.connection) {
            connection.replication = Some(replication);
            connection.say(&answer);
        }
    }

    pub(super) fn replicate_next(&mut self, request: &Request<'_>) {
        let mut answer = request.answer(self);
        let replication = self
            .connections
            .get_mut(&request.connection)
            .and_then(|connection| connection.replication.as_mut());
        let next = replication.map(|replication| {
            let next = replication.queue.pop_front();
            replication.done |= next.is_none();
            next
        });
        match next {
            None => request.refuse(self, 5, "nothing is replicated"),
            Some(guid) => {
                // The last answer has no columns: that is how the end is told.
                if let Some(row) = guid.and_then(|guid| self.row_for(request.connection, &guid)) {
                    answer["columns"] = row;
                }
                self.say(request.connection, &answer);
            }
        }
    }

    fn row_for(&self, connection: u64, guid: &str) -> Option<Value> {
        let user = self.users.get(guid)?;
        let replication = self.connections.get(&connection)?.replication.as_ref()?;
        Some(replication.row(user, self.home(user)))
    }

    /// Takes a user, new or changed, and tells whom it concerns. The answer is its guid.
    pub fn put_user(&mut self, mut user: User) -> String {
        if user.guid.is_empty() {
            let known = self.names.get(&user.h323.to_ascii_lowercase()).cloned();
            user.guid = known.unwrap_or_else(|| format!("{:032x}", fastrand::u128(..)));
        }
        let guid = user.guid.clone();
        let before = self.users.insert(guid.clone(), user.clone());
        if let Some(before) = &before {
            self.names.remove(&before.h323.to_ascii_lowercase());
        }
        self.names.insert(user.h323.to_ascii_lowercase(), guid.clone());
        self.tell_row(&user, before.as_ref());
        self.tell_user(&user, if before.is_some() { "upd" } else { "add" });
        guid
    }

    /// Takes a user away. False if there is none.
    pub fn remove_user(&mut self, name: &str) -> bool {
        let Some(user) = self.find(name).cloned() else {
            return false;
        };
        self.users.remove(&user.guid);
        self.names.remove(&user.h323.to_ascii_lowercase());
        self.calls.retain(|_, call| call.guid != user.guid);
        for connection in self.connections.values_mut() {
            let Some(replication) = &mut connection.replication else {
                continue;
            };
            let waiting = replication.queue.len();
            replication.queue.retain(|guid| *guid != user.guid);
            if replication.deletions && waiting == replication.queue.len() {
                let row = json!({"guid": user.guid});
                let message = json!({"mt": "ReplicateDel", "api": API, "src": replication.src, "columns": row});
                connection.say(&message);
            }
        }
        self.tell_user(&user, "del");
        true
    }

    fn tell_row(&mut self, user: &User, before: Option<&User>) {
        let home = self.home(user).to_string();
        let knowing: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| self.knows(&connection.pbx, user))
            .map(|(id, _)| *id)
            .collect();
        for id in knowing {
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            let Some(replication) = connection
                .replication
                .as_mut()
                .filter(|one| one.wants(user) && one.additions)
            else {
                continue;
            };
            let is_waiting = replication.queue.contains(&user.guid);
            if before.is_none() && !replication.done {
                replication.queue.push_back(user.guid.clone());
            } else if !is_waiting {
                let mt = if before.is_some() {
                    "ReplicateUpdate"
                } else {
                    "ReplicateAdd"
                };
                let row = replication.row(user, &home);
                let message = json!({"mt": mt, "api": API, "src": replication.src, "columns": row});
                connection.say(&message);
            }
        }
    }
}
