//! Admin requests about the Pexip stand-in.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::directory::merge;
use super::{AdminResult, refuse};
use crate::simulator::pexip::site::{Manners, Setup, Site};
use crate::simulator::state::Shared;

/// Calls that ended.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Calls {
    count: usize,
    alias: String,
    reason: String,
    service: String,
    ended: String,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            count: 1,
            alias: "123456789@example.com".into(),
            reason: "Call disconnected".into(),
            service: "gateway".into(),
            ended: "now".into(),
        }
    }
}

/// `GET /_simulator/pexip`
pub async fn show(State(shared): State<Shared>) -> Json<Value> {
    let state = shared.state();
    Json(json!({"setup": state.pexip.setup, "objects": state.pexip.counts()}))
}

/// `PUT /_simulator/pexip`: another deployment, in which all is well.
pub async fn replace(State(shared): State<Shared>, Json(setup): Json<Setup>) -> StatusCode {
    shared.state().pexip = Site::new(setup);
    StatusCode::NO_CONTENT
}

/// `PUT /_simulator/pexip/manners`: what is left out stays.
pub async fn set_manners(State(shared): State<Shared>, Json(change): Json<Value>) -> AdminResult<Json<Manners>> {
    let mut state = shared.state();
    let mut merged = json!(state.pexip.setup.manners);
    merge(&mut merged, change);
    let manners: Manners =
        serde_json::from_value(merged).map_err(|error| refuse(StatusCode::BAD_REQUEST, error.to_string()))?;
    state.pexip.setup.manners = manners.clone();
    Ok(Json(manners))
}

/// `GET /_simulator/pexip/objects/{namespace}/{resource}`
pub async fn objects(State(shared): State<Shared>, Path((namespace, resource)): Path<(String, String)>) -> Json<Value> {
    Json(json!(shared.state().pexip.objects(&namespace, &resource)))
}

/// `PUT /_simulator/pexip/objects/{namespace}/{resource}`: these in place of all.
pub async fn put_objects(
    State(shared): State<Shared>,
    Path((namespace, resource)): Path<(String, String)>,
    Json(objects): Json<Vec<Value>>,
) -> AdminResult<StatusCode> {
    done(shared.state().pexip.replace(&namespace, &resource, objects))
}

/// `POST /_simulator/pexip/objects/{namespace}/{resource}`: what is left out of an object with a known id stays.
pub async fn change_objects(
    State(shared): State<Shared>,
    Path((namespace, resource)): Path<(String, String)>,
    Json(changes): Json<Vec<Value>>,
) -> AdminResult<StatusCode> {
    done(shared.state().pexip.change(&namespace, &resource, changes))
}

/// `POST /_simulator/pexip/calls`
pub async fn end_calls(State(shared): State<Shared>, Json(calls): Json<Calls>) -> AdminResult<StatusCode> {
    // A time by the clock of this moment: in the history, it stays.
    let ended = match calls.ended.as_str() {
        "now" => crate::simulator::clock::precise(shared.clock.now()),
        other => other.to_owned(),
    };
    let call = json!({
        "service_type": calls.service, "disconnect_reason": calls.reason, "local_alias": calls.alias, "end_time": ended,
        "remote_alias": "simulator-caller@example.com", "display_name": "Simulator Caller", "protocol": "SIP",
        "conversation_id": "simulator-conversation", "system_location": "Europe", "signalling_node": "10.0.0.5", "license_count": 1,
    });
    done(shared.state().pexip.end_calls(calls.count.min(10_000), &call))
}

fn done(result: Result<(), String>) -> AdminResult<StatusCode> {
    result
        .map(|()| StatusCode::NO_CONTENT)
        .map_err(|text| refuse(StatusCode::BAD_REQUEST, text))
}
