//! Messages of the App WebSocket: one JSON object in each text frame.

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::digest::Login;

/// The api for presence.
pub(super) const PRESENCE: &str = "PbxApi";
/// The api for the table of users.
pub(super) const USERS: &str = "PbxTableUsers";
/// The api for calls.
pub(super) const CALLS: &str = "RCC";
/// `src` of requests that concern no single user.
pub(super) const ALL: &str = "all";
/// Most users told of within one tick of the PBX.
const USERS_PER_TICK: u32 = 50;

/// A message from the PBX: all fields that any of the messages understood here has.
#[derive(Debug, Deserialize)]
pub(super) struct Incoming<'a> {
    pub(super) mt: String,
    #[serde(default)]
    pub(super) api: Option<String>,
    #[serde(default)]
    pub(super) src: Option<String>,
    #[serde(default)]
    pub(super) challenge: Option<String>,
    #[serde(default)]
    pub(super) ok: Option<bool>,
    /// A number or a word.
    #[serde(default)]
    pub(super) error: Option<Value>,
    #[serde(default, rename = "errorText")]
    pub(super) error_text: Option<String>,
    /// An object in the answer to the login, a list in other messages.
    #[serde(default, borrow)]
    pub(super) info: Option<&'a RawValue>,
    /// A row, or the columns that there are.
    #[serde(default, borrow)]
    pub(super) columns: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) up: Option<bool>,
    #[serde(default)]
    pub(super) presence: Option<Vec<Item>>,
    #[serde(default)]
    pub(super) guid: Option<String>,
    #[serde(default)]
    pub(super) pbx: Option<String>,
    #[serde(default)]
    pub(super) apis: Option<Vec<String>>,
    #[serde(default)]
    pub(super) update: Option<Value>,
    #[serde(default)]
    pub(super) call: Option<u64>,
    #[serde(default)]
    pub(super) state: Option<u32>,
    #[serde(default)]
    pub(super) msg: Option<String>,
}

/// A presence entry.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Item {
    #[serde(default)]
    pub(super) contact: String,
    #[serde(default)]
    pub(super) activity: String,
    #[serde(default)]
    pub(super) note: String,
}

/// A row of the table of users. `pwd` is a column too, and is never asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Row {
    #[serde(default)]
    pub(super) guid: String,
    #[serde(default)]
    pub(super) h323: Option<String>,
    #[serde(default)]
    pub(super) cn: Option<String>,
    #[serde(default)]
    pub(super) e164: Option<String>,
    /// The PBX where the user is registered, by its short name.
    #[serde(default)]
    pub(super) loc: Option<String>,
    /// Empty for a person; a gateway, a group, a trunk otherwise.
    #[serde(default)]
    pub(super) pseudo: Option<String>,
}

impl<'a> Incoming<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Whether a licence is missing, as the answer to the login tells.
    pub(super) fn is_unlicensed(&self) -> bool {
        #[derive(Deserialize)]
        struct Info {
            #[serde(default)]
            unlicensed: bool,
        }
        self.info
            .and_then(|info| serde_json::from_str::<Info>(info.get()).ok())
            .is_some_and(|info| info.unlicensed)
    }

    /// The row of a user.
    pub(super) fn row(&self) -> Option<Row> {
        serde_json::from_str(self.columns?.get())
            .ok()
            .filter(|row: &Row| !row.guid.is_empty())
    }

    /// What the PBX has against a request, if anything.
    pub(super) fn refusal(&self) -> Option<String> {
        let code = match &self.error {
            None | Some(Value::Null) => None,
            Some(Value::Number(number)) if number.as_u64() == Some(0) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(code) => Some(code.to_string()),
        };
        let text = self.error_text.clone().filter(|text| !text.is_empty());
        text.or(code.map(|code| format!("error {code}")))
            .map(|text| printable(&text))
    }
}

/// Text of the PBX that may be shown: short, and without control characters.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

pub(super) fn challenge(app: &str) -> String {
    // `appObj` is what newer PBXs want; older ones do not look at it.
    json!({"mt": "AppChallenge", "appObj": app}).to_string()
}

pub(super) fn login(app: &str, challenge: &str, password: &SecretString) -> String {
    let login = Login {
        app,
        ..Login::default()
    };
    let digest = login.digest(challenge, password);
    json!({"mt": "AppLogin", "app": app, "domain": "", "sip": "", "guid": "", "dn": "", "digest": digest}).to_string()
}

pub(super) fn keep_alive() -> String {
    json!({"mt": "KeepAlive"}).to_string()
}

pub(super) fn replicate_start() -> String {
    let columns = json!({"guid": {}, "h323": {}, "cn": {}, "dn": {}, "e164": {}, "node": {}, "loc": {}, "pseudo": {}});
    json!({"mt": "ReplicateStart", "api": USERS, "src": ALL, "add": true, "del": true, "columns": columns, "pseudo": [""]})
        .to_string()
}

pub(super) fn replicate_next() -> String {
    json!({"mt": "ReplicateNext", "api": USERS, "src": ALL}).to_string()
}

pub(super) fn initialize_calls() -> String {
    json!({"mt": "Initialize", "api": CALLS, "src": ALL, "limit": USERS_PER_TICK, "calls": true}).to_string()
}

pub(super) fn subscribe(guid: &str, sip: &str) -> String {
    json!({"mt": "SubscribePresence", "api": PRESENCE, "src": guid, "sip": sip}).to_string()
}

pub(super) fn unsubscribe(guid: &str, sip: &str) -> String {
    json!({"mt": "UnsubscribePresence", "api": PRESENCE, "src": guid, "sip": sip}).to_string()
}

pub(super) fn set_presence(src: &str, guid: &str, contact: &str, activity: &str, note: &str) -> String {
    json!({
        "mt": "SetPresence", "api": PRESENCE, "src": src, "guid": guid,
        "contact": contact, "activity": activity, "note": note,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_whatever_form_it_comes() {
        let cases = [
            (r#"{"mt":"X"}"#, None),
            (r#"{"mt":"X","error":0}"#, None),
            (r#"{"mt":"X","error":null,"errorText":""}"#, None),
            (r#"{"mt":"X","error":5}"#, Some("error 5")),
            (r#"{"mt":"X","error":"denied"}"#, Some("error denied")),
            (
                r#"{"mt":"X","error":5,"errorText":"no such\n user"}"#,
                Some("no such user"),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(Incoming::parse(text).unwrap().refusal().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_row_is_told_from_the_list_of_columns() {
        let columns = r#"{"mt":"ReplicateStartResult","columns":{"guid":{},"h323":{"update":true}}}"#;
        assert_eq!(Incoming::parse(columns).unwrap().row(), None);
        let row = r#"{"mt":"ReplicateAdd","columns":{"guid":"a1","h323":"ann","pwd":"secret","hide":false}}"#;
        let row = Incoming::parse(row).unwrap().row().unwrap();
        assert_eq!((row.guid.as_str(), row.h323.as_deref()), ("a1", Some("ann")));
    }
}
