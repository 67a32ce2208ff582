//! What Graph itself writes into an object: dates, versions and tags. What a test gives for a date stays.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::clock;
use super::families::{self, Family};
use super::subscriptions::paths;

/// Half an hour, for events that do not say how long they are.
const USUAL_EVENT: SignedDuration = SignedDuration::from_mins(30);

/// One change of an object, which is stamped.
pub struct Stamping<'a> {
    /// Path of its collection.
    pub collection: &'a str,
    /// The object as it was.
    pub before: Option<&'a Value>,
    /// The version that it gets.
    pub version: u64,
    /// Simulated time.
    pub now: Timestamp,
}

impl Stamping<'_> {
    /// Writes what Graph writes for this kind of object; nothing for users, groups and what is not known.
    pub fn apply(&self, object: &mut Map<String, Value>) {
        match families::find(self.collection).map(|served| served.family) {
            None | Some(Family::Directory) => {}
            Some(Family::Outlook) => self.outlook(object),
            Some(Family::ChatMessages) => self.chat_message(object),
            Some(Family::Teams) => {
                let now = milliseconds(self.now);
                self.inherit(object, "createdDateTime", &now);
                if paths::path(self.collection).eq_ignore_ascii_case("chats") {
                    given_or(object, "lastUpdatedDateTime", &now);
                }
            }
            Some(Family::Drive | Family::List) => {
                self.dates(object, &clock::whole(self.now));
                object.insert("eTag".into(), json!(format!("\"simulated,{}\"", self.version)));
            }
            Some(Family::CallRecords) => self.call_record(object),
            Some(Family::Presence) => {
                // Sorts as text, as the original's does.
                object.insert("sequenceNumber".into(), json!(format!("A{:020}", self.version)));
            }
            Some(Family::Alerts) => {
                self.inherit(object, "createdDateTime", &clock::precise(self.now));
                given_or(object, "lastUpdateDateTime", &clock::precise(self.now));
            }
        }
    }

    fn outlook(&self, object: &mut Map<String, Value>) {
        let path = paths::path(self.collection);
        let now = clock::whole(self.now);
        self.dates(object, &now);
        if paths::fits("*/*/events", &path) {
            let end = self.now.saturating_add(USUAL_EVENT).unwrap_or(self.now);
            for (name, time) in [("start", self.now), ("end", end)] {
                let time = time.strftime("%Y-%m-%dT%H:%M:%S.0000000").to_string();
                let place = json!({"dateTime": time, "timeZone": "UTC"});
                object.entry(name).or_insert_with(|| self.known(name).unwrap_or(place));
            }
        } else if path.ends_with("messages") {
            self.inherit(object, "receivedDateTime", &now);
        }
        object.insert("@odata.etag".into(), json!(format!("W/\"{}\"", self.version)));
        object.insert("changeKey".into(), json!(self.version.to_string()));
    }

    fn chat_message(&self, object: &mut Map<String, Value>) {
        self.dates(object, &milliseconds(self.now));
        object.insert("etag".into(), json!(self.now.as_millisecond().to_string()));
        for name in ["deletedDateTime", "lastEditedDateTime"] {
            object.entry(name).or_insert(Value::Null);
        }
        object.entry("messageType").or_insert_with(|| json!("message"));
        let path = paths::path(self.collection);
        match path.split('/').collect::<Vec<_>>()[..] {
            ["teams", team, "channels", channel, _] => {
                let place = json!({"teamId": team, "channelId": channel});
                object.entry("channelIdentity").or_insert(place);
            }
            [.., "chats", chat, _] => {
                object.entry("chatId").or_insert_with(|| json!(chat));
            }
            _ => {}
        }
    }

    fn call_record(&self, object: &mut Map<String, Value>) {
        let now = clock::whole(self.now);
        for name in ["startDateTime", "endDateTime"] {
            self.inherit(object, name, &now);
        }
        given_or(object, "lastModifiedDateTime", &now);
        let last = self.before.and_then(|before| before["version"].as_i64()).unwrap_or(0);
        object.entry("version").or_insert_with(|| json!(last + 1));
    }

    fn dates(&self, object: &mut Map<String, Value>, now: &str) {
        self.inherit(object, "createdDateTime", now);
        given_or(object, "lastModifiedDateTime", now);
    }

    /// What was there before stays, unless something else is given.
    fn inherit(&self, object: &mut Map<String, Value>, name: &str, otherwise: &str) {
        object
            .entry(name)
            .or_insert_with(|| self.known(name).unwrap_or_else(|| json!(otherwise)));
    }

    fn known(&self, name: &str) -> Option<Value> {
        self.before.and_then(|before| before.get(name)).cloned()
    }
}

/// A chat message is not taken away: it loses its text and says when.
pub fn soft_deleted(before: Option<&Value>, id: &str, now: Timestamp) -> Map<String, Value> {
    let mut object = before.and_then(Value::as_object).cloned().unwrap_or_default();
    object.insert("id".into(), json!(id));
    object.remove("lastModifiedDateTime");
    object.insert("deletedDateTime".into(), json!(milliseconds(now)));
    object.insert("body".into(), json!({"contentType": "text", "content": ""}));
    object
}

/// What is told to subscriptions when `id` in `collection` changes: path and change type. A drive and a list only say
/// that something in them was updated; for the directory, a new object is an update.
pub fn told(collection: &str, id: &str, change: &str) -> (String, String) {
    let path = paths::path(collection);
    let family = families::find(collection).map(|served| served.family);
    match family {
        Some(Family::Drive) => (path, "updated".into()),
        Some(Family::List) => (path.trim_end_matches("/items").into(), "updated".into()),
        Some(Family::Directory) if change == "created" => (format!("{path}/{id}"), "updated".into()),
        _ => (format!("{path}/{id}"), change.into()),
    }
}

fn given_or(object: &mut Map<String, Value>, name: &str, otherwise: &str) {
    object.entry(name).or_insert_with(|| json!(otherwise));
}

/// `2026-01-31T12:00:00.123Z`, as Teams prints times.
fn milliseconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
