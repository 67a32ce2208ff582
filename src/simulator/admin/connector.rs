//! Admin requests about what a connector depends on: apps in the directory, Microsoft's services, Webex.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::directory::merge;
use super::{AdminResult, refuse};
use crate::simulator::portal::registry::{AppEntry, Service};
use crate::simulator::state::Shared;
use crate::simulator::webex::site::Site;

pub async fn apps(State(shared): State<Shared>) -> Json<Value> {
    Json(json!(shared.state().portal.apps))
}

pub async fn set_apps(State(shared): State<Shared>, Json(apps): Json<Vec<AppEntry>>) -> StatusCode {
    shared.state().portal.apps = apps;
    StatusCode::NO_CONTENT
}

pub async fn services(State(shared): State<Shared>) -> Json<Value> {
    Json(json!(shared.state().portal.services))
}

pub async fn set_services(State(shared): State<Shared>, Json(services): Json<Vec<Service>>) -> StatusCode {
    shared.state().portal.services = services;
    StatusCode::NO_CONTENT
}

pub async fn webex(State(shared): State<Shared>) -> Json<Value> {
    Json(json!(shared.state().webex))
}

/// Takes what is given; the rest stays.
pub async fn set_webex(State(shared): State<Shared>, Json(change): Json<Value>) -> AdminResult<Json<Value>> {
    let mut state = shared.state();
    let mut merged = json!(state.webex);
    merge(&mut merged, change);
    let site: Site =
        serde_json::from_value(merged).map_err(|error| refuse(StatusCode::BAD_REQUEST, error.to_string()))?;
    state.webex = site;
    Ok(Json(json!(state.webex)))
}
