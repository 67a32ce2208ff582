//! What a PBX does with a message.

use serde_json::{Map, Value, json};

use super::site::Site;

/// A message after the login.
pub(super) struct Request<'a> {
    /// On which connection.
    pub(super) connection: u64,
    /// Its type.
    pub(super) mt: &'a str,
    /// Its api.
    pub(super) api: &'a str,
    /// All of it.
    pub(super) body: &'a Map<String, Value>,
}

/// Whether a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It does.
    Stay,
    /// It is closed, once what was said is sent.
    Close,
}

/// Which api a message belongs to.
const APIS: &[(&str, &[&str])] = &[
    ("PbxApi", &["SubscribePresence", "UnsubscribePresence", "SetPresence"]),
    ("PbxTableUsers", &["ReplicateStart", "ReplicateNext"]),
    ("RCC", &["Initialize"]),
];

impl<'a> Request<'a> {
    pub(super) fn text(&self, name: &str) -> &'a str {
        self.body.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The answer, with what the PBX repeats in it.
    pub(super) fn answer(&self, site: &Site) -> Value {
        let mut answer = json!({"mt": format!("{}Result", self.mt), "api": self.api});
        let pbx = site
            .connections
            .get(&self.connection)
            .map(|connection| connection.pbx.as_str());
        let without_src = pbx.is_some_and(|pbx| site.manners(pbx).without_src);
        if let Some(src) = self.body.get("src").filter(|_| !without_src) {
            answer["src"] = src.clone();
        }
        answer
    }

    /// An answer that refuses. The numbers are the simulator's own.
    pub(super) fn refuse(&self, site: &mut Site, number: u32, text: &str) {
        site.breach(self.connection, self.mt, text);
        let mut answer = self.answer(site);
        answer["error"] = json!(number);
        answer["errorText"] = json!(text);
        site.say(self.connection, &answer);
    }
}

impl Site {
    /// A text frame came.
    pub fn hear(&mut self, id: u64, text: &str) -> Next {
        let Ok(body) = serde_json::from_str::<Map<String, Value>>(text) else {
            self.breach(id, "unreadable", "not a JSON object");
            return Next::Close;
        };
        let mt = body.get("mt").and_then(Value::as_str).unwrap_or_default();
        let Some(connection) = self.connections.get_mut(&id) else {
            return Next::Close;
        };
        connection.messages += 1;
        let (is_in, pbx) = (connection.app.is_some(), connection.pbx.clone());
        match mt {
            "KeepAlive" => {
                if self.manners(&pbx).keep_alive {
                    self.say(id, &json!({"mt": "KeepAlive"}));
                }
                Next::Stay
            }
            "AppChallenge" => self.challenge(id),
            "AppLogin" => self.login(id, text),
            _ if !is_in => {
                self.breach(id, "beforeLogin", mt);
                Next::Close
            }
            _ => {
                let api = body.get("api").and_then(Value::as_str).unwrap_or_default();
                self.obey(&Request {
                    connection: id,
                    mt,
                    api,
                    body: &body,
                });
                Next::Stay
            }
        }
    }

    fn obey(&mut self, request: &Request<'_>) {
        let known = APIS.iter().find(|(_, types)| types.contains(&request.mt));
        let Some((api, _)) = known else {
            request.refuse(self, 1, "unknown message");
            return;
        };
        if *api != request.api {
            request.refuse(self, 2, "the message belongs to another api");
            return;
        }
        if !self.may(request.connection, api) {
            request.refuse(self, 3, "the app may not use this api");
            return;
        }
        match request.mt {
            "SubscribePresence" => self.subscribe(request),
            "UnsubscribePresence" => self.unsubscribe(request),
            "SetPresence" => self.set_presence(request),
            "ReplicateStart" => self.replicate(request),
            "ReplicateNext" => self.replicate_next(request),
            _ => self.initialize(request),
        }
    }

    fn may(&self, id: u64, api: &str) -> bool {
        let name = self.connections.get(&id).and_then(|connection| connection.app.as_ref());
        let app = name.and_then(|name| self.setup.apps.iter().find(|app| app.name == *name));
        app.is_some_and(|app| app.apis.iter().any(|ticked| ticked == api))
    }

    /// Says something on a connection, if it is still there.
    pub fn say(&self, id: u64, message: &Value) {
        if let Some(connection) = self.connections.get(&id) {
            connection.say(message);
        }
    }
}
