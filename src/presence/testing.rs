//! A small Teams for tests of the worker: people, presence as the real one adds it up, subscriptions, and a record of all writes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State as Shared};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use prometheus::Registry;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::adapters::Adapter;
use super::adapters::scripted::Scripted;
use super::connect::Connected;
use super::settings::{Dirs, Settings};
use super::setup::Setup;
use super::worker::{Connector, Worker};
use crate::api::presence_report::{UserReport, WorkerReport};
use crate::policy::presence::pbx::PbxEvent;

pub type Pair = (String, String);

/// Teams, Graph and Entra.
#[derive(Clone)]
pub struct Teams {
    state: Arc<Mutex<State>>,
    pub base: String,
}

#[derive(Default)]
struct State {
    people: Vec<Value>,
    /// What the next delta query tells.
    news: Vec<Value>,
    /// What clients, calls and the calendar make of a person.
    derived: BTreeMap<String, Pair>,
    sessions: BTreeMap<String, Pair>,
    preferred: BTreeMap<String, Pair>,
    sequence: u64,
    writes: Vec<(String, String)>,
    subscriptions: Vec<Value>,
    made: u64,
    failures: VecDeque<(&'static str, u16, Value)>,
    /// Part of a path, and for how many seconds the next question for it is put off.
    throttled: Option<(&'static str, u64)>,
    sign_in: Option<u64>,
    left_out: Option<String>,
    /// Names that cannot sign in.
    refused: Vec<String>,
    /// Ids of the members of groups, by the group's.
    groups: BTreeMap<String, Vec<String>>,
    /// Groups cannot be read.
    groups_down: bool,
    /// The receiver does not answer.
    receiver_down: bool,
    asked: BTreeMap<String, usize>,
}

/// An id as Graph has them.
pub fn id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

impl Teams {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let teams = Self {
            state: Arc::default(),
            base: format!("http://{}", listener.local_addr().unwrap()),
        };
        let routes = Router::new().fallback(answer).with_state(teams.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        teams
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap())
    }

    pub fn person(&self, number: usize, name: &str) {
        self.someone(number, name, true);
    }

    pub fn someone(&self, number: usize, name: &str, licensed: bool) {
        let status = if licensed { "Enabled" } else { "Deleted" };
        let person = json!({"id": id(number), "displayName": name, "userPrincipalName": format!("{name}@contoso.com"),
            "mail": format!("{name}@contoso.com"), "businessPhones": [], "accountEnabled": true,
            "assignedPlans": [{"servicePlanId": "57ff2da0-773e-42df-b2af-ffb7a2317929", "capabilityStatus": status}]});
        self.with(|state| {
            state.derived.insert(id(number), pair("Available", "Available"));
            state.people.push(person);
        });
    }

    /// Somebody comes while the worker works: delta queries tell of everything but the licence.
    pub fn newcomer(&self, number: usize, name: &str, licensed: bool) {
        self.someone(number, name, licensed);
        self.with(|state| {
            let mut news = state.people.last().cloned().unwrap();
            news.as_object_mut().unwrap().remove("assignedPlans");
            state.news.push(news);
        });
    }

    /// Somebody goes while the worker works.
    pub fn leaver(&self, number: usize) {
        let news = json!({"id": id(number), "@removed": {"reason": "deleted"}});
        self.with(|state| state.news.push(news));
    }

    /// A group has these members.
    pub fn group(&self, name: &str, members: &[usize]) {
        let members = members.iter().map(|number| id(*number)).collect();
        self.with(|state| state.groups.insert(name.to_owned(), members));
    }

    /// Groups cannot be read from now on, or can again.
    pub fn break_groups(&self, down: bool) {
        self.with(|state| state.groups_down = down);
    }

    /// What Teams itself makes of a person.
    pub fn derive(&self, number: usize, availability: &str, activity: &str) {
        self.with(|state| {
            state.derived.insert(id(number), pair(availability, activity));
            state.sequence += 1;
        });
    }

    /// The person's own choice in Teams.
    pub fn choose(&self, number: usize, choice: Option<&str>) {
        self.with(|state| {
            match choice {
                Some(choice) => drop(state.preferred.insert(id(number), pair(choice, choice))),
                None => drop(state.preferred.remove(&id(number))),
            }
            state.sequence += 1;
        });
    }

    /// A session of our app, as an earlier worker set it.
    pub fn left_behind(&self, number: usize) {
        self.with(|state| state.sessions.insert(id(number), pair("Busy", "InACall")));
    }

    pub fn session(&self, number: usize) -> Option<Pair> {
        self.with(|state| state.sessions.get(&id(number)).cloned())
    }

    pub fn preferred(&self, number: usize) -> Option<Pair> {
        self.with(|state| state.preferred.get(&id(number)).cloned())
    }

    /// Action and body of each write.
    pub fn writes(&self) -> Vec<(String, String)> {
        self.with(|state| state.writes.clone())
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.with(|state| state.asked.get(path).copied().unwrap_or(0))
    }

    /// The next request whose path contains this fails.
    pub fn fail(&self, path: &'static str, status: u16, code: &str, message: &str) {
        let body = json!({"error": {"code": code, "message": message}});
        self.with(|state| state.failures.push_back((path, status, body)));
    }

    /// The next request whose path contains this is told to wait for so long.
    pub fn throttle(&self, path: &'static str, seconds: u64) {
        self.with(|state| state.throttled = Some((path, seconds)));
    }

    /// Graph says nothing of this person; `None`: it tells of everybody.
    pub fn leave_out(&self, number: Option<usize>) {
        self.with(|state| state.left_out = number.map(id));
    }

    /// People cannot sign in, with this AADSTS number; `None`: they can.
    pub fn refuse_people(&self, number: Option<u64>) {
        self.with(|state| state.sign_in = number);
    }

    /// The person of this name cannot sign in.
    pub fn refuse_person(&self, name: &str) {
        self.with(|state| state.refused.push(name.to_owned()));
    }

    /// The receiver, which is at the same address, answers or does not.
    pub fn receiver_down(&self, down: bool) {
        self.with(|state| state.receiver_down = down);
    }

    pub fn subscriptions(&self) -> Vec<Value> {
        self.with(|state| state.subscriptions.clone())
    }

    /// A subscription that is there already.
    pub fn subscribe(&self, resource: &str, url: &str) {
        self.with(|state| {
            let new = json!({"resource": resource, "notificationUrl": url, "changeType": "updated"});
            state.subscribe(&new);
        });
    }
}

fn pair(one: &str, other: &str) -> Pair {
    (one.to_owned(), other.to_owned())
}

impl State {
    fn presence(&self, id: &str) -> Option<Value> {
        let derived = self.derived.get(id)?;
        let session = self.sessions.get(id).filter(|_| derived.0 != "DoNotDisturb");
        let (availability, activity) = self.preferred.get(id).or(session).unwrap_or(derived);
        let sequence = format!("{:012}", self.sequence);
        Some(
            json!({"id": id, "availability": availability, "activity": activity, "sequenceNumber": sequence,
            "outOfOfficeSettings": {"isOutOfOffice": false}}),
        )
    }

    fn write(&mut self, user: &str, action: &str, body: &Value) -> (u16, Value) {
        if !self.derived.contains_key(user) {
            return error(404, "NotFound", "No such user.");
        }
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let state = (text("availability"), text("activity"));
        let words = format!("{}/{} {}", state.0, state.1, text("expirationDuration"));
        self.sequence += 1;
        self.writes.push((action.to_owned(), words));
        let found = match action {
            "setPresence" => {
                self.sessions.insert(user.to_owned(), state);
                true
            }
            "clearPresence" => self.sessions.remove(user).is_some(),
            "setUserPreferredPresence" => {
                self.preferred.insert(user.to_owned(), state);
                true
            }
            _ => self.preferred.remove(user).is_some(),
        };
        if found {
            (200, json!({}))
        } else {
            error(404, "NotFound", "Nothing to clear.")
        }
    }

    fn subscribe(&mut self, body: &Value) -> (u16, Value) {
        self.made += 1;
        let mut new = body.clone();
        new["id"] = json!(id(900_000 + usize::try_from(self.made).unwrap()));
        if new["expirationDateTime"].is_null() {
            new["expirationDateTime"] = json!((Timestamp::now() + SignedDuration::from_mins(59)).to_string());
        }
        self.subscriptions.push(new.clone());
        (201, new)
    }
}

fn error(status: u16, code: &str, message: &str) -> (u16, Value) {
    (status, json!({"error": {"code": code, "message": message}}))
}

async fn answer(Shared(teams): Shared<Teams>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 4 << 20).await.unwrap();
    let path = head.uri.path().to_owned();
    if path.ends_with("/events") {
        // A question to the receiver waits for a while when there is nothing.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let wait = teams.with(|state| state.throttled.take_if(|(part, _)| path.contains(*part)));
    if let Some((_, seconds)) = wait {
        teams.with(|state| *state.asked.entry(path).or_default() += 1);
        let (_, body) = error(429, "TooManyRequests", "Wait.");
        let header = [("retry-after", seconds.to_string())];
        return (StatusCode::TOO_MANY_REQUESTS, header, axum::Json(body)).into_response();
    }
    let (status, body) = teams.with(|state| {
        *state.asked.entry(path.clone()).or_default() += 1;
        let failing = state.failures.iter().position(|(part, _, _)| path.contains(part));
        if let Some((_, status, body)) = failing.and_then(|at| state.failures.remove(at)) {
            return (status, body);
        }
        route(
            state,
            &teams.base,
            &head.method,
            &path,
            head.uri.query().unwrap_or(""),
            &body,
        )
    });
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

fn route(state: &mut State, base: &str, method: &Method, path: &str, query: &str, body: &[u8]) -> (u16, Value) {
    let parts: Vec<&str> = path.trim_start_matches("/v1.0").trim_matches('/').split('/').collect();
    let json_body: Value = serde_json::from_slice(body).unwrap_or_default();
    match (method.as_str(), parts.as_slice()) {
        (_, [.., "token"]) => token(state, body),
        ("POST", ["communications", "getPresencesByUserId"]) => {
            let ids: Vec<String> = serde_json::from_value(json_body["ids"].clone()).unwrap();
            if ids.len() > 650 {
                return error(400, "InvalidRequest", "Too many ids.");
            }
            let told = ids.iter().filter(|id| state.left_out.as_ref() != Some(*id));
            let found: Vec<Value> = told.filter_map(|id| state.presence(id)).collect();
            (200, json!({ "value": found }))
        }
        ("POST", ["users", user, "presence", action]) => state.write(user, action, &json_body),
        ("GET", ["users", "delta"]) => {
            assert!(query.contains("deltatoken"));
            let news = if query.contains("latest") {
                Vec::new()
            } else {
                std::mem::take(&mut state.news)
            };
            (
                200,
                json!({"value": news, "@odata.deltaLink": format!("{base}/v1.0/users/delta?$deltatoken=x")}),
            )
        }
        ("GET", ["v1", "consumers", ..]) if state.receiver_down => error(503, "Down", "Down."),
        ("GET", ["v1", "consumers", ..]) => (200, json!({"logId": "log", "events": [], "next": 0})),
        ("GET", ["users", id]) => match state.people.iter().find(|person| person["id"] == *id) {
            Some(person) => (200, person.clone()),
            None => error(404, "Request_ResourceNotFound", "It does not exist."),
        },
        ("GET", ["groups", ..]) if state.groups_down => error(503, "ServiceUnavailable", "Down."),
        ("GET", ["groups", name, "transitiveMembers"]) => match state.groups.get(*name) {
            Some(members) => {
                let members: Vec<Value> = members.iter().map(|id| json!({ "id": id })).collect();
                (200, json!({ "value": members }))
            }
            None => error(404, "Request_ResourceNotFound", "It does not exist."),
        },
        ("GET", ["users"]) => (200, json!({ "value": state.people })),
        ("GET", ["subscriptions"]) => (200, json!({ "value": state.subscriptions })),
        ("POST", ["subscriptions"]) if !state.subscriptions.is_empty() => {
            error(409, "ExtensionError", "Subscription already exists.")
        }
        ("POST", ["subscriptions"]) => state.subscribe(&json_body),
        ("PATCH", ["subscriptions", wanted]) => {
            let found = state.subscriptions.iter_mut().find(|one| one["id"] == *wanted);
            match found {
                Some(one) => {
                    one["expirationDateTime"] = json_body["expirationDateTime"].clone();
                    if !json_body["notificationUrl"].is_null() {
                        one["notificationUrl"] = json_body["notificationUrl"].clone();
                    }
                    (200, one.clone())
                }
                None => error(404, "ResourceNotFound", "It does not exist."),
            }
        }
        ("DELETE", ["subscriptions", wanted]) => {
            state.subscriptions.retain(|one| one["id"] != *wanted);
            (204, json!({}))
        }
        _ => error(404, "NotFound", "No such address."),
    }
}

fn token(state: &State, body: &[u8]) -> (u16, Value) {
    let form: Vec<(String, String)> = serde_urlencoded::from_bytes(body).unwrap();
    let is_person = form
        .iter()
        .any(|(name, value)| name == "grant_type" && value != "client_credentials");
    let is_refused = form
        .iter()
        .any(|(name, value)| name == "username" && state.refused.contains(value));
    if let Some(number) = state.sign_in.filter(|_| is_person).or(is_refused.then_some(50_126)) {
        let description = format!("AADSTS{number}: refused.");
        return (
            400,
            json!({"error": "invalid_grant", "error_description": description, "error_codes": [number]}),
        );
    }
    let claims = URL_SAFE_NO_PAD.encode(json!({"oid": id(1)}).to_string());
    (
        200,
        json!({"token_type": "Bearer", "expires_in": 3600, "access_token": format!("e30.{claims}.x")}),
    )
}

/// A worker between a [`Teams`] and a [`Scripted`] PBX.
pub struct Stand {
    pub teams: Teams,
    pub pbx: Scripted,
    pub dir: TempDir,
    pub worker: Option<Worker>,
    client: reqwest::Client,
}

/// The configuration for a worker at this Teams; `spec` is put over the usual one.
pub fn config(base: &str, spec: &Value) -> Value {
    let key = json!({"name": "pbx", "key": "password"});
    let mut whole = json!({"tenantRef": {"name": "t"}, "pollInterval": "1s",
        "pbx": {"innovaphone": {"app": "teams", "passwordSecretRef": key,
            "endpoints": [{"name": "pbx", "role": "Master", "url": "ws://localhost/PBX0/APPS/websocket"}]}},
        "policy": {"debounce": "1s"}});
    for (name, value) in spec.as_object().unwrap() {
        whole[name] = value.clone();
    }
    let app = json!({"tenantId": "tenant", "clientId": "client", "endpoints": {"login": base, "graph": base},
        "credentials": {"clientSecret": {"secretRef": {"name": "app", "key": "secret"}}}});
    json!({"namespace": "ns", "name": "sync", "uid": "uid-1", "generation": 1, "spec": whole, "reader": app, "writer": app})
}

impl Stand {
    /// Everything but the worker.
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in [("secrets/app/secret", "s3cret"), ("secrets/pbx/password", "pwd")] {
            write(&dir, path, content);
        }
        Self {
            teams: Teams::start().await,
            pbx: Scripted::default(),
            dir,
            worker: None,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// Starts the worker.
    pub async fn start(&mut self, spec: &Value) {
        let config = config(&self.teams.base, spec);
        self.configure(&config);
        self.start_again().await;
    }

    pub fn configure(&self, config: &Value) {
        write(&self.dir, "config/presence.json", &config.to_string());
    }

    /// Starts a worker on what is there.
    pub async fn start_again(&mut self) {
        let registry = Registry::new();
        self.worker = Some(
            Worker::start_with(self.settings(), registry, connector(&self.pbx))
                .await
                .unwrap(),
        );
    }

    fn settings(&self) -> Settings {
        let path = |name: &str| self.dir.path().join(name);
        let dirs = Dirs {
            config: path("config"),
            secrets: path("secrets"),
        };
        Settings {
            look: Duration::from_millis(100),
            changes: Duration::from_millis(500),
            settle: Duration::from_millis(50),
            drain: Duration::from_secs(2),
            release_time: Duration::from_secs(3),
            ..Settings::local(dirs, path("data"))
        }
    }

    pub async fn stop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.shutdown().await;
        }
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.client.get(self.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or_default())
    }

    pub async fn text(&self, path: &str) -> String {
        let response = self.client.get(self.url(path)).send().await.unwrap();
        response.text().await.unwrap()
    }

    pub async fn release(&self) -> (u16, Value) {
        let response = self.client.post(self.url("/v1/release")).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// A busy disk may keep the worker from answering for a while.
    pub async fn status(&self) -> WorkerReport {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let (status, body) = self.get("/v1/status").await;
            if status == 200 {
                return serde_json::from_value(body).unwrap();
            }
            assert!(status == 503 && Instant::now() < end, "{status} {body}");
        }
    }

    pub async fn user(&self, name: &str) -> UserReport {
        let (status, body) = self.get(&format!("/v1/users/{name}")).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_value(body).unwrap()
    }

    fn url(&self, path: &str) -> String {
        let addr = self.worker.as_ref().unwrap().internal_addr();
        format!("http://{addr}{path}")
    }

    /// Waits until this holds; some seconds at most.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !holds().await {
            assert!(Instant::now() < end, "not within a minute: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until this many users are kept in step and seen on both sides.
    pub async fn synced(&self, users: i32) {
        self.until("users are kept in step", async || {
            let status = self.status().await;
            status.users.synced == users && status.last.poll.is_some() && status.pbx.is_green()
        })
        .await;
    }
}

fn connector(pbx: &Scripted) -> Connector {
    let pbx = pbx.clone();
    Box::new(move |_: &Setup, events: mpsc::Sender<PbxEvent>| {
        pbx.connect(events);
        Connected {
            capabilities: pbx.capabilities(),
            adapter: Some(Adapter::Scripted(pbx.clone())),
            unusable: None,
        }
    })
}

pub fn write(dir: &TempDir, path: &str, content: &str) {
    let path = dir.path().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}
