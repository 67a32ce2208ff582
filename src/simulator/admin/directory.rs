//! Admin requests about tenants, apps and settings.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AdminResult, refuse};
use crate::simulator::config::{App, Secret, Settings, Tenant};
use crate::simulator::state::Shared;

/// The body of `PUT /_simulator/directory`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    tenants: Vec<Tenant>,
}

/// A secret as an object, or just its value.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum GivenSecret {
    Value(String),
    Full(Secret),
}

pub async fn show(State(shared): State<Shared>) -> Json<Value> {
    Json(json!({"tenants": shared.state().full_tenants()}))
}

pub async fn replace(State(shared): State<Shared>, Json(directory): Json<Directory>) -> StatusCode {
    let now = shared.clock.now();
    shared.state().set_tenants(directory.tenants, now);
    StatusCode::NO_CONTENT
}

pub async fn settings(State(shared): State<Shared>) -> Json<Settings> {
    Json(shared.state().settings.clone())
}

/// Takes some settings; the rest stays. Objects are merged.
pub async fn set_settings(State(shared): State<Shared>, Json(change): Json<Value>) -> AdminResult<Json<Settings>> {
    let mut state = shared.state();
    let mut merged = json!(state.settings);
    merge(&mut merged, change);
    let settings: Settings =
        serde_json::from_value(merged).map_err(|error| refuse(StatusCode::BAD_REQUEST, error.to_string()))?;
    state.settings = settings.clone();
    Ok(Json(settings))
}

/// Writes a change over what is there; objects are merged.
pub fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (name, value) in change {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change,
    }
}

pub async fn roles(
    State(shared): State<Shared>,
    Path(client_id): Path<String>,
    Json(roles): Json<Vec<String>>,
) -> AdminResult<StatusCode> {
    change_apps(&shared, &client_id, |app| app.roles.clone_from(&roles))
}

pub async fn secrets(
    State(shared): State<Shared>,
    Path(client_id): Path<String>,
    Json(secrets): Json<Vec<GivenSecret>>,
) -> AdminResult<StatusCode> {
    let full = |given| match given {
        GivenSecret::Value(value) => Secret { value, expired: false },
        GivenSecret::Full(secret) => secret,
    };
    let secrets: Vec<Secret> = secrets.into_iter().map(full).collect();
    change_apps(&shared, &client_id, |app| app.client_secrets.clone_from(&secrets))
}

pub async fn certificates(
    State(shared): State<Shared>,
    Path(client_id): Path<String>,
    Json(certificates): Json<Vec<String>>,
) -> AdminResult<StatusCode> {
    change_apps(&shared, &client_id, |app| app.certificates.clone_from(&certificates))
}

pub async fn disabled(
    State(shared): State<Shared>,
    Path(client_id): Path<String>,
    Json(disabled): Json<bool>,
) -> AdminResult<StatusCode> {
    change_apps(&shared, &client_id, |app| app.disabled = disabled)
}

fn change_apps(shared: &Shared, client_id: &str, change: impl Fn(&mut App)) -> AdminResult<StatusCode> {
    let mut state = shared.state();
    let apps = state.apps_mut(client_id);
    if apps.is_empty() {
        return Err(refuse(StatusCode::NOT_FOUND, "no such app"));
    }
    apps.into_iter().for_each(change);
    Ok(StatusCode::NO_CONTENT)
}
