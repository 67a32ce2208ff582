//! Admin requests about the innovaphone stand-in.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::directory::merge;
use super::{AdminResult, happened, refuse};
use crate::simulator::innovaphone::site::{Entry, Manners, Setup, Site, User};
use crate::simulator::state::Shared;

/// Many users at once, or these.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Users {
    /// A row of them.
    Many(Many),
    /// These.
    These(Vec<User>),
}

/// A row of users.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Many {
    count: u32,
    #[serde(default)]
    first: u32,
    #[serde(default = "prefix")]
    prefix: String,
    #[serde(default)]
    loc: String,
}

fn prefix() -> String {
    "user".into()
}

/// A new call, or its next state.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CallState {
    /// `setup`, `ringing`, `connected`, `held`, `disconnecting`, `parked`, or the number itself.
    state: Value,
    #[serde(default)]
    conference: Option<String>,
}

/// Where to begin.
#[derive(Deserialize)]
pub struct Since {
    /// The number before.
    #[serde(default)]
    pub since: u64,
}

/// Which entry.
#[derive(Deserialize)]
pub struct Which {
    contact: String,
}

/// `GET /_simulator/pbx`
pub async fn show(State(shared): State<Shared>) -> Json<Value> {
    let state = shared.state();
    let site = &state.site;
    let connections: Vec<Value> = site
        .connections
        .iter()
        .map(|(id, connection)| {
            json!({
                "connection": id, "pbx": connection.pbx, "app": connection.app, "messages": connection.messages,
                "subscriptions": connection.watched.len(),
            })
        })
        .collect();
    Json(json!({
        "setup": site.setup, "users": site.users.len(), "calls": site.calls.values().collect::<Vec<_>>(),
        "connections": connections, "violations": site.breaches,
    }))
}

/// `PUT /_simulator/pbx`: another installation, without users.
pub async fn replace(State(shared): State<Shared>, Json(setup): Json<Setup>) -> StatusCode {
    let mut state = shared.state();
    for connection in state.site.connections.values() {
        connection.closing.cancel();
    }
    state.site = Site::new(setup);
    StatusCode::NO_CONTENT
}

/// `POST /_simulator/pbx/users`
pub async fn put_users(State(shared): State<Shared>, Json(users): Json<Users>) -> Json<Value> {
    let users = match users {
        Users::These(users) => users,
        Users::Many(many) => (many.first..)
            .take(many.count as usize)
            .map(|n| made(n, &many))
            .collect(),
    };
    let mut state = shared.state();
    let guids: Vec<String> = users.into_iter().map(|user| state.site.put_user(user)).collect();
    Json(json!(guids))
}

fn made(number: u32, many: &Many) -> User {
    let name = format!("{}{number}", many.prefix);
    User {
        guid: format!("{number:032x}"),
        cn: name.clone(),
        dn: name.clone(),
        e164: (100_000 + u64::from(number)).to_string(),
        node: "root".into(),
        loc: many.loc.clone(),
        email: format!("{name}@example.com"),
        h323: name,
        ..User::default()
    }
}

/// `GET /_simulator/pbx/users/{user}`
pub async fn show_user(State(shared): State<Shared>, Path(name): Path<String>) -> AdminResult<Json<Value>> {
    let state = shared.state();
    let user = state.site.find(&name).ok_or_else(no_user)?;
    let calls: Vec<_> = state
        .site
        .calls
        .values()
        .filter(|call| call.guid == user.guid)
        .collect();
    let mut view = json!(user);
    view["calls"] = json!(calls);
    Ok(Json(view))
}

/// `DELETE /_simulator/pbx/users/{user}`
pub async fn remove_user(State(shared): State<Shared>, Path(name): Path<String>) -> AdminResult<StatusCode> {
    if shared.state().site.remove_user(&name) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(no_user())
    }
}

/// `PUT /_simulator/pbx/users/{user}/entries`
pub async fn put_entry(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Json(entry): Json<Entry>,
) -> AdminResult<StatusCode> {
    with_user(&shared, &name, |site, guid| site.put_entry(guid, entry))
}

/// `DELETE /_simulator/pbx/users/{user}/entries?contact=C`
pub async fn remove_entry(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> AdminResult<StatusCode> {
    with_user(&shared, &name, |site, guid| site.remove_entry(guid, &which.contact))
}

/// `PUT /_simulator/pbx/users/{user}/up`
pub async fn set_up(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Json(up): Json<bool>,
) -> AdminResult<StatusCode> {
    with_user(&shared, &name, |site, guid| site.set_up(guid, up))
}

/// `POST /_simulator/pbx/users/{user}/calls`
pub async fn add_call(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Json(wish): Json<CallState>,
) -> AdminResult<Json<Value>> {
    let number = state_number(&wish.state)?;
    let mut state = shared.state();
    let guid = state
        .site
        .find(&name)
        .map(|user| user.guid.clone())
        .ok_or_else(no_user)?;
    let mut answer = happened();
    merge(&mut answer, json!(state.site.add_call(&guid, number, wish.conference)));
    Ok(Json(answer))
}

/// `PUT /_simulator/pbx/calls/{call}`
pub async fn change_call(
    State(shared): State<Shared>,
    Path(call): Path<u64>,
    Json(wish): Json<CallState>,
) -> AdminResult<Json<Value>> {
    let number = state_number(&wish.state)?;
    let mut state = shared.state();
    let mut answer = happened();
    let changed = state.site.change_call(call, number).ok_or_else(no_call)?;
    merge(&mut answer, json!(changed));
    Ok(Json(answer))
}

/// `DELETE /_simulator/pbx/calls/{call}`
pub async fn end_call(State(shared): State<Shared>, Path(call): Path<u64>) -> AdminResult<Json<Value>> {
    let mut state = shared.state();
    let happened = happened();
    if state.site.end_call(call) {
        Ok(Json(happened))
    } else {
        Err(no_call())
    }
}

/// `PUT /_simulator/pbx/pbxs/{name}/manners`: what is left out stays.
pub async fn set_manners(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Json(change): Json<Value>,
) -> AdminResult<Json<Value>> {
    let mut state = shared.state();
    let mut pbxs = state.site.setup.pbxs.iter_mut();
    let pbx = pbxs.find(|pbx| pbx.name == name).ok_or_else(no_pbx)?;
    let mut merged = json!(pbx.manners);
    merge(&mut merged, change);
    let manners: Manners =
        serde_json::from_value(merged).map_err(|error| refuse(StatusCode::BAD_REQUEST, error.to_string()))?;
    pbx.manners = manners;
    Ok(Json(json!(pbx.manners)))
}

/// `POST /_simulator/pbx/pbxs/{name}/drop`: its connections break.
pub async fn drop_all(State(shared): State<Shared>, Path(name): Path<String>) -> Json<Value> {
    let state = shared.state();
    let found = state
        .site
        .connections
        .values()
        .filter(|connection| connection.pbx == name);
    let dropped = found.inspect(|connection| connection.closing.cancel()).count();
    Json(json!({ "dropped": dropped }))
}

/// `POST /_simulator/pbx/pbxs/{name}/say`: any text or object, to all who are logged in.
pub async fn say(State(shared): State<Shared>, Path(name): Path<String>, Json(message): Json<Value>) -> Json<Value> {
    let text = message.as_str().map_or_else(|| message.to_string(), String::from);
    let state = shared.state();
    let is_there = |connection: &&_| {
        let connection: &crate::simulator::innovaphone::site::Connection = connection;
        connection.pbx == name && connection.app.is_some()
    };
    let found = state.site.connections.values().filter(is_there);
    let told = found.inspect(|connection| connection.say_text(text.clone())).count();
    Json(json!({ "told": told }))
}

/// `GET /_simulator/pbx/writes?since=N`
pub async fn writes(State(shared): State<Shared>, Query(from): Query<Since>) -> Json<Value> {
    let state = shared.state();
    let later = |write: &&Value| write["seq"].as_u64() > Some(from.since);
    Json(json!(state.site.writes.iter().filter(later).collect::<Vec<_>>()))
}

fn with_user(shared: &Shared, name: &str, act: impl FnOnce(&mut Site, &str)) -> AdminResult<StatusCode> {
    let mut state = shared.state();
    let guid = state
        .site
        .find(name)
        .map(|user| user.guid.clone())
        .ok_or_else(no_user)?;
    act(&mut state.site, &guid);
    Ok(StatusCode::NO_CONTENT)
}

fn state_number(given: &Value) -> AdminResult<u32> {
    let word = match given.as_str() {
        Some("setup") => Some(1),
        Some("ringing") => Some(4),
        Some("connected") => Some(5),
        Some("held") => Some(5 + 256),
        Some("disconnecting") => Some(7),
        Some("parked") => Some(8),
        Some(_) => None,
        None => given.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    word.ok_or_else(|| refuse(StatusCode::BAD_REQUEST, "no such state of a call"))
}

type Refusal = (StatusCode, Json<Value>);

fn no_user() -> Refusal {
    refuse(StatusCode::NOT_FOUND, "no such user")
}

fn no_call() -> Refusal {
    refuse(StatusCode::NOT_FOUND, "no such call")
}

fn no_pbx() -> Refusal {
    refuse(StatusCode::NOT_FOUND, "no such PBX")
}
