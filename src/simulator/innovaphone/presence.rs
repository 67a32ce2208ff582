//! Presence: entries of each user by contact, newest first.

use serde_json::{Value, json};

use super::session::Request;
use super::site::{Connection, Entry, Site, User, open};
use crate::simulator::clock;

const API: &str = "PbxApi";

impl Site {
    pub(super) fn subscribe(&mut self, request: &Request<'_>) {
        let src = request.body.get("src").cloned().unwrap_or_default();
        let answer = request.answer(self);
        let user = self.named(request).cloned();
        let Some(connection) = self.connections.get_mut(&request.connection) else {
            return;
        };
        connection.say(&answer);
        match user {
            Some(user) => {
                connection.watched.insert(user.guid.clone(), src.clone());
                tell_state(connection, &user, &src);
            }
            None => connection.say(&json!({
                "mt": "PresenceState", "api": API, "src": src, "up": false, "sip": request.text("sip"),
                "num": request.text("num"),
            })),
        }
    }

    pub(super) fn unsubscribe(&mut self, request: &Request<'_>) {
        let guid = self.named(request).map(|user| user.guid.clone());
        let removed = guid.and_then(|guid| self.connections.get_mut(&request.connection)?.watched.remove(&guid));
        if removed.is_none() {
            request.refuse(self, 5, "this presence is not subscribed to");
            return;
        }
        let answer = request.answer(self);
        self.say(request.connection, &answer);
    }

    pub(super) fn set_presence(&mut self, request: &Request<'_>) {
        let contact = request.text("contact").to_string();
        let guid = self.named(request).map(|user| user.guid.clone());
        let pbx = self
            .connections
            .get(&request.connection)
            .map(|connection| connection.pbx.clone());
        let manners = self.manners(&pbx.unwrap_or_default());
        let has_contact = !contact.is_empty() && manners.contacts.is_none_or(|accepted| accepted.contains(&contact));
        let refusal = match &guid {
            None => Some((6, "no such user")),
            Some(_) if !has_contact => Some((7, "this contact is not accepted")),
            Some(_) => None,
        };
        if let Some((number, text)) = refusal {
            request.refuse(self, number, text);
            return;
        }
        let guid = guid.unwrap_or_default();
        let entry = Entry {
            contact,
            status: open(),
            activity: request.text("activity").into(),
            note: request.text("note").into(),
        };
        let now = jiff::Timestamp::now();
        let write = json!({
            "guid": guid, "h323": self.users.get(&guid).map(|user| user.h323.clone()), "contact": entry.contact,
            "activity": entry.activity, "note": entry.note, "realTime": clock::precise(now),
            "realMs": now.as_millisecond(),
        });
        self.note_write(write);
        let answer = request.answer(self);
        self.say(request.connection, &answer);
        if manners.empty_removes && entry.activity.is_empty() && entry.note.is_empty() {
            self.remove_entry(&guid, &entry.contact);
        } else {
            self.put_entry(&guid, entry);
        }
    }

    /// The user that a request names in one way or another, if the PBX knows it.
    fn named(&self, request: &Request<'_>) -> Option<&User> {
        let name = ["guid", "sip", "num"]
            .into_iter()
            .map(|field| request.text(field))
            .find(|name| !name.is_empty())?;
        let pbx = &self.connections.get(&request.connection)?.pbx;
        self.find(name).filter(|user| self.knows(pbx, user))
    }

    /// Takes an entry; it replaces that of the same contact and moves to the front.
    pub fn put_entry(&mut self, guid: &str, entry: Entry) {
        if let Some(user) = self.users.get_mut(guid) {
            user.entries.retain(|other| other.contact != entry.contact);
            user.entries.insert(0, entry);
            self.tell_presence(guid);
        }
    }

    /// Takes the entry of a contact away.
    pub fn remove_entry(&mut self, guid: &str, contact: &str) {
        if let Some(user) = self.users.get_mut(guid) {
            user.entries.retain(|other| other.contact != contact);
            self.tell_presence(guid);
        }
    }

    /// Whether a user's presence is known.
    pub fn set_up(&mut self, guid: &str, up: bool) {
        let Some(user) = self.users.get_mut(guid) else {
            return;
        };
        user.down = !up;
        let user = user.clone();
        for connection in self.connections.values() {
            if let Some(src) = connection.watched.get(guid) {
                tell_state(connection, &user, src);
            }
        }
    }

    fn tell_presence(&self, guid: &str) {
        let Some(user) = self.users.get(guid).filter(|user| !user.down) else {
            return;
        };
        for connection in self.connections.values() {
            if let Some(src) = connection.watched.get(guid) {
                connection.say(&update(user, src));
            }
        }
    }
}

fn tell_state(connection: &Connection, user: &User, src: &Value) {
    connection.say(&json!({
        "mt": "PresenceState", "api": API, "src": src, "up": !user.down, "sip": user.h323, "num": user.e164,
        "dn": user.dn, "email": user.email,
    }));
    if !user.down {
        connection.say(&update(user, src));
    }
}

fn update(user: &User, src: &Value) -> Value {
    json!({"mt": "PresenceUpdate", "api": API, "src": src, "sip": user.h323, "presence": user.entries})
}
