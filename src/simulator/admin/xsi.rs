//! Admin requests about the BroadWorks stand-in.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::directory::merge;
use super::pbx::Since;
use super::{AdminResult, refuse};
use crate::simulator::state::Shared;
use crate::simulator::xsi::host::{Host, Manners, Setup, User};

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
    #[serde(default = "domain")]
    domain: String,
}

fn prefix() -> String {
    "user".into()
}

fn domain() -> String {
    "contoso.onmicrosoft.com".into()
}

/// A new call.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Begin {
    #[serde(default)]
    outgoing: bool,
}

/// The next step of a call.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    state: String,
}

/// How channels end.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ending {
    /// With a word.
    Terminate,
    /// Unknown to the server, while the stream stays open.
    Forget,
    /// The connection breaks.
    Break,
}

/// Which channels end, and how.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drop {
    how: Ending,
    #[serde(default)]
    xsp: Option<String>,
}

/// `GET /_simulator/xsi`
pub async fn show(State(shared): State<Shared>) -> Json<Value> {
    let state = shared.state();
    let host = &state.xsi;
    let channels: Vec<Value> = host
        .channels
        .iter()
        .map(|(id, channel)| {
            json!({"id": id, "set": channel.set, "xsp": channel.xsp, "unanswered": channel.unanswered.len()})
        })
        .collect();
    let subscriptions: Vec<Value> = host
        .subscriptions
        .iter()
        .map(|(id, one)| json!({"id": id, "set": one.set, "event": one.event, "target": one.target, "events": one.count}))
        .collect();
    Json(json!({
        "setup": host.setup, "users": host.users.len(), "channels": channels, "subscriptions": subscriptions,
        "violations": host.breaches,
    }))
}

/// `PUT /_simulator/xsi`: another BroadWorks, without users. Channels end.
pub async fn replace(State(shared): State<Shared>, Json(setup): Json<Setup>) -> StatusCode {
    shared.state().xsi = Host::new(setup);
    StatusCode::NO_CONTENT
}

/// `PUT /_simulator/xsi/manners`: what is left out stays.
pub async fn set_manners(State(shared): State<Shared>, Json(change): Json<Value>) -> AdminResult<Json<Manners>> {
    let mut state = shared.state();
    let mut merged = json!(state.xsi.setup.manners);
    merge(&mut merged, change);
    let manners: Manners =
        serde_json::from_value(merged).map_err(|error| refuse(StatusCode::BAD_REQUEST, error.to_string()))?;
    state.xsi.setup.manners = manners.clone();
    Ok(Json(manners))
}

/// `POST /_simulator/xsi/users`
pub async fn put_users(State(shared): State<Shared>, Json(users): Json<Users>) -> Json<Value> {
    let users = match users {
        Users::These(users) => users,
        Users::Many(many) => (many.first..)
            .take(many.count as usize)
            .map(|n| made(n, &many))
            .collect(),
    };
    let mut state = shared.state();
    let mut ids = Vec::new();
    for user in users {
        ids.push(user.id.clone());
        state.xsi.users.insert(user.id.clone(), user);
    }
    Json(json!(ids))
}

fn made(number: u32, many: &Many) -> User {
    User {
        id: format!("{}{number}@{}", many.prefix, many.domain),
        number: (100_000 + u64::from(number)).to_string(),
        ..User::default()
    }
}

/// `GET /_simulator/xsi/users/{user}`
pub async fn show_user(State(shared): State<Shared>, Path(id): Path<String>) -> AdminResult<Json<Value>> {
    let state = shared.state();
    let user = state.xsi.users.get(&id).ok_or_else(no_user)?;
    Ok(Json(json!(user)))
}

/// `PUT /_simulator/xsi/users/{user}/dnd`
pub async fn set_dnd(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Json(active): Json<bool>,
) -> AdminResult<StatusCode> {
    let mut state = shared.state();
    if !state.xsi.users.contains_key(&id) {
        return Err(no_user());
    }
    state.xsi.set_dnd(&id, active, None);
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /_simulator/xsi/users/{user}/calls`
pub async fn begin_call(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Json(begin): Json<Begin>,
) -> AdminResult<Json<Value>> {
    let call = shared.state().xsi.begin_call(&id, begin.outgoing);
    call.map(|call| Json(json!({ "call": call }))).ok_or_else(no_user)
}

/// `PUT /_simulator/xsi/calls/{call}`
pub async fn change_call(
    State(shared): State<Shared>,
    Path(call): Path<String>,
    Json(step): Json<Step>,
) -> AdminResult<StatusCode> {
    done(shared.state().xsi.change_call(&call, &step.state))
}

/// `DELETE /_simulator/xsi/calls/{call}`
pub async fn end_call(State(shared): State<Shared>, Path(call): Path<String>) -> AdminResult<StatusCode> {
    done(shared.state().xsi.end_call(&call))
}

/// `POST /_simulator/xsi/drop`
pub async fn drop_channels(State(shared): State<Shared>, Json(wish): Json<Drop>) -> Json<Value> {
    let mut state = shared.state();
    let host = &mut state.xsi;
    let all = host.channels.iter();
    let concerned = all.filter(|(_, channel)| wish.xsp.as_ref().is_none_or(|xsp| *xsp == channel.xsp));
    let ids: Vec<String> = concerned.map(|(id, _)| id.clone()).collect();
    for id in &ids {
        match wish.how {
            Ending::Terminate => host.end_channel(id, "Terminated by the test"),
            Ending::Forget => host.lose_channel(id),
            Ending::Break => host.break_channel(id),
        }
    }
    Json(json!({ "dropped": ids.len() }))
}

/// `GET /_simulator/xsi/writes?since=N`
pub async fn writes(State(shared): State<Shared>, Query(from): Query<Since>) -> Json<Value> {
    let state = shared.state();
    let later = |write: &&Value| write["seq"].as_u64() > Some(from.since);
    Json(json!(state.xsi.writes.iter().filter(later).collect::<Vec<_>>()))
}

fn done(done: bool) -> AdminResult<StatusCode> {
    if done {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(refuse(StatusCode::NOT_FOUND, "no such call, or no such step"))
    }
}

fn no_user() -> (StatusCode, Json<Value>) {
    refuse(StatusCode::NOT_FOUND, "no such user")
}
