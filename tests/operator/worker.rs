//! A presence worker as the controller and the `presence` command see it: the answers of its internal port, as a test wants them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// What it says, and what it was asked.
#[derive(Clone)]
pub struct Worker {
    state: Arc<Mutex<Answers>>,
    task: Arc<JoinHandle<()>>,
}

struct Answers {
    token: String,
    status: Value,
    release: (u16, Value),
    users: Vec<(String, Value)>,
    released: usize,
}

/// What one says when all is well.
pub fn well() -> Value {
    let green = json!({ "ok": true, "message": "well" });
    json!({
        "generation": 1, "phase": "Running", "started": "2026-01-01T00:00:00Z",
        "pbx": green, "endpoints": [{ "name": "pbx", "connected": true }],
        "reader": green, "writer": green, "source": green, "storage": green, "directory": green, "licences": green,
        "users": { "synced": 5, "unmatched": 1, "ambiguous": 0, "unlicensed": 0, "overLimit": 0 },
        "selected": 6, "unmatched": [{ "user": "door", "why": "found nowhere in Entra" }],
        "clockSkewSeconds": 0, "accounts": [], "last": {}, "owned": { "sessions": 0, "chosen": 0, "entries": 0 },
    })
}

/// A lamp that is red.
pub fn red(fault: &str, message: &str) -> Value {
    json!({ "ok": false, "fault": fault, "message": message })
}

/// What a release that took everything back answers.
fn nothing_left() -> Value {
    json!({ "done": true, "remaining": { "sessions": 0, "chosen": 0, "entries": 0 }, "subscriptions": 0, "why": "" })
}

impl Worker {
    /// Listens on all addresses, as a pod does.
    pub async fn start(port: u16, token: &str) -> Self {
        let state = Arc::new(Mutex::new(Answers {
            token: token.to_owned(),
            status: well(),
            release: (200, nothing_left()),
            users: Vec::new(),
            released: 0,
        }));
        let listener = tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
            .await
            .unwrap();
        let routes = Router::new().fallback(answer).with_state(state.clone());
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            state,
            task: Arc::new(task),
        }
    }

    /// Changes what it says about itself.
    pub fn says(&self, changes: &Value) {
        let mut state = self.state.lock().unwrap();
        for (key, value) in changes.as_object().unwrap() {
            state.status[key] = value.clone();
        }
    }

    /// From now on a release leaves something, for this reason.
    pub fn keeps(&self, why: &str) {
        let remaining = json!({ "sessions": 1, "chosen": 0, "entries": 0 });
        let body = json!({ "done": false, "remaining": remaining, "subscriptions": 0, "why": why });
        self.state.lock().unwrap().release = (503, body);
    }

    /// From now on it leaves nothing.
    pub fn keeps_nothing(&self) {
        self.state.lock().unwrap().release = (200, nothing_left());
    }

    /// Knows a person.
    pub fn knows(&self, name: &str, report: Value) {
        self.state.lock().unwrap().users.push((name.to_owned(), report));
    }

    /// How often it was asked to take everything back.
    pub fn released(&self) -> usize {
        self.state.lock().unwrap().released
    }

    /// Ends it without a word.
    pub fn die(&self) {
        self.task.abort();
    }
}

async fn answer(State(state): State<Arc<Mutex<Answers>>>, request: Request) -> (StatusCode, String) {
    let mut state = state.lock().unwrap();
    let text = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let bearer =
        text(header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned));
    if text("teamsgraph-token").or(bearer).as_deref() != Some(&state.token) {
        return (
            StatusCode::UNAUTHORIZED,
            json!({ "title": "a token is needed" }).to_string(),
        );
    }
    match (request.method().as_str(), request.uri().path()) {
        ("GET", "/v1/status") => (StatusCode::OK, state.status.to_string()),
        ("POST", "/v1/release") => {
            state.released += 1;
            let (status, body) = state.release.clone();
            (StatusCode::from_u16(status).unwrap(), body.to_string())
        }
        ("GET", path) => {
            let name = path.strip_prefix("/v1/users/").unwrap_or_default();
            let found = state.users.iter().find(|(known, _)| known == name);
            found.map_or_else(
                || (StatusCode::NOT_FOUND, json!({ "title": "no such user" }).to_string()),
                |(_, report)| (StatusCode::OK, report.to_string()),
            )
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
    }
}

/// An address of this machine that is not loopback: the API server speaks to no pod there.
pub fn machine_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent; the address is that of the way out.
    socket.connect("192.0.2.1:9").expect("a network besides loopback");
    let address = socket.local_addr().unwrap().ip();
    assert!(!address.is_loopback(), "this test needs a network besides loopback");
    address
}
