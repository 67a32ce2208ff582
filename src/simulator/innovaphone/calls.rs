//! RCC: who is visible to an app, and the calls of those who are registered here.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::session::Request;
use super::site::{Call, Site, User};

const API: &str = "RCC";
/// Most users that are told within one tick.
const MOST_PER_TICK: u64 = 50;

/// What an app is told of users and calls.
#[derive(Debug)]
pub(super) struct Rcc {
    src: Value,
    limit: usize,
    calls: bool,
    group: Option<String>,
    /// Guids that are yet to be told.
    queue: VecDeque<String>,
    done: bool,
}

impl Rcc {
    fn wants(&self, user: &User) -> bool {
        user.pseudo.is_empty() && self.group.as_ref().is_none_or(|group| user.grps.contains(group))
    }
}

/// The name of the signalling message that leads to a state, as far as one is known.
fn signal(state: u32) -> &'static str {
    match state & 0x0f {
        1 => "x-setup",
        4 => "x-alert",
        5 if state & 0x100 != 0 => "x-hold",
        5 => "r-conn",
        6 => "x-disc",
        7 => "r-disc",
        8 => "x-park",
        _ => "r-call-proc",
    }
}

impl Site {
    pub(super) fn initialize(&mut self, request: &Request<'_>) {
        let limit = request
            .body
            .get("limit")
            .and_then(Value::as_u64)
            .unwrap_or(MOST_PER_TICK);
        if limit == 0 || limit > MOST_PER_TICK {
            request.refuse(self, 4, "limit must be 1 to 50");
            return;
        }
        let group = request.text("grp");
        let mut rcc = Rcc {
            src: request.body.get("src").cloned().unwrap_or_default(),
            limit: usize::try_from(limit).unwrap_or(1),
            calls: request.body.get("calls").and_then(Value::as_bool).unwrap_or_default(),
            group: (!group.is_empty()).then(|| group.to_string()),
            queue: VecDeque::new(),
            done: false,
        };
        let Some(pbx) = self.connections.get(&request.connection).map(|one| one.pbx.clone()) else {
            return;
        };
        let visible = self
            .users
            .values()
            .filter(|user| rcc.wants(user) && self.knows(&pbx, user));
        rcc.queue = visible.map(|user| user.guid.clone()).collect();
        if let Some(connection) = self.connections.get_mut(&request.connection) {
            connection.rcc = Some(rcc);
        }
    }

    /// Some 20 ms passed: a few more users are told. False once there is nothing more to tell.
    pub fn tick(&mut self, id: u64) -> bool {
        let Some(rcc) = self
            .connections
            .get_mut(&id)
            .and_then(|connection| connection.rcc.as_mut())
        else {
            return false;
        };
        if rcc.done {
            return false;
        }
        let size = rcc.limit.min(rcc.queue.len());
        let guids: Vec<String> = rcc.queue.drain(..size).collect();
        let (is_last, src, calls) = (rcc.queue.is_empty(), rcc.src.clone(), rcc.calls);
        rcc.done = is_last;
        for user in guids.iter().filter_map(|guid| self.users.get(guid)) {
            self.say(id, &self.user_info(user, &src, None));
        }
        if is_last {
            self.say(id, &json!({"mt": "InitializeResult", "api": API, "src": src}));
            for call in self.calls.values().filter(|_| calls) {
                self.tell_call(id, call, "CallAdd");
            }
        }
        !is_last
    }

    fn user_info(&self, user: &User, src: &Value, update: Option<&str>) -> Value {
        let mut info = json!({
            "mt": "UserInfo", "api": API, "src": src, "guid": user.guid, "cn": user.cn, "dn": user.dn, "h323": user.h323,
            "e164": user.e164, "node": user.node, "pbx": self.home(user), "pseudo": user.pseudo, "regs": [],
        });
        if let Some(update) = update {
            info["update"] = json!(update);
        }
        info
    }

    /// Tells apps that a user appeared, changed, or went.
    pub(super) fn tell_user(&mut self, user: &User, update: &str) {
        for connection in self.connections.values() {
            let Some(rcc) = connection.rcc.as_ref().filter(|rcc| rcc.wants(user)) else {
                continue;
            };
            if self.knows(&connection.pbx, user) {
                connection.say(&self.user_info(user, &rcc.src, Some(update)));
            }
        }
    }

    /// A new call of a user.
    pub fn add_call(&mut self, guid: &str, state: u32, conference: Option<String>) -> Call {
        let call = Call {
            number: self.next(),
            guid: guid.into(),
            state,
            conference,
        };
        self.calls.insert(call.number, call.clone());
        self.tell_calls(&call, "CallAdd");
        call
    }

    /// A call goes on to another state. None if there is no such call.
    pub fn change_call(&mut self, number: u64, state: u32) -> Option<Call> {
        let call = self.calls.get_mut(&number)?;
        call.state = state;
        let call = call.clone();
        self.tell_calls(&call, "CallUpdate");
        Some(call)
    }

    /// A call ends. False if there is no such call.
    pub fn end_call(&mut self, number: u64) -> bool {
        let Some(call) = self.calls.remove(&number) else {
            return false;
        };
        self.tell_calls(&call, "CallDel");
        true
    }

    fn tell_calls(&self, call: &Call, mt: &str) {
        for id in self.connections.keys() {
            self.tell_call(*id, call, mt);
        }
    }

    /// Calls are told where their user is registered, and nowhere else.
    fn tell_call(&self, id: u64, call: &Call, mt: &str) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let (Some(user), Some(rcc)) = (self.users.get(&call.guid), &connection.rcc) else {
            return;
        };
        if !rcc.done || !rcc.calls || !rcc.wants(user) || self.home(user) != connection.pbx {
            return;
        }
        let mut message = json!({"mt": mt, "api": API, "src": rcc.src, "call": call.number});
        match mt {
            "CallAdd" => {
                message["guid"] = json!(user.guid);
                message["cn"] = json!(user.cn);
                message["state"] = json!(call.state);
                message["conf-id"] = json!(call.conference.as_deref().unwrap_or_default());
                message["call-id"] = json!(format!("simulated-{}", call.number));
            }
            "CallUpdate" => {
                message["msg"] = json!(signal(call.state));
                message["local"] = json!({"e164": user.e164, "h323": user.h323});
                message["remote"] = json!({"e164": "0123456789"});
                if self.manners(&connection.pbx).state_in_updates {
                    message["state"] = json!(call.state);
                }
            }
            _ => {}
        }
        connection.say(&message);
    }
}
