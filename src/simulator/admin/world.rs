//! Admin requests that make something happen in a tenant, and those that show what was delivered.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{AdminResult, refuse};
use crate::simulator::delivery::event::{self, Event};
use crate::simulator::delivery::lifecycle;
use crate::simulator::state::Shared;

/// The body of `POST /_simulator/lifecycle`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lifecycle {
    subscription_id: String,
    event: String,
}

/// A chat message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Message {
    #[serde(default)]
    tenant_id: Option<String>,
    chat_id: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default = "created")]
    change_type: String,
}

fn created() -> String {
    "created".into()
}

pub async fn event(State(shared): State<Shared>, Json(event): Json<Event>) -> AdminResult<Json<Vec<String>>> {
    if !["created", "updated", "deleted"].contains(&event.change_type.as_str()) {
        return Err(refuse(
            StatusCode::BAD_REQUEST,
            "changeType must be created, updated or deleted",
        ));
    }
    Ok(Json(event::happen(&shared, &event)))
}

pub async fn lifecycle(State(shared): State<Shared>, Json(wish): Json<Lifecycle>) -> AdminResult<Json<Value>> {
    let id = lifecycle::emit(&shared, &wish.subscription_id, &wish.event)
        .map_err(|text| refuse(StatusCode::BAD_REQUEST, text))?;
    Ok(Json(json!({ "id": id })))
}

pub async fn message(State(shared): State<Shared>, Json(message): Json<Message>) -> Json<Value> {
    let id = message.id.unwrap_or_else(|| Uuid::new_v4().to_string());
    let resource = format!("chats/{}/messages/{id}", message.chat_id);
    let ids = event::happen(&shared, &Event::once(resource, message.change_type, message.tenant_id));
    Json(json!({"id": id, "notifications": ids}))
}

pub async fn notifications(State(shared): State<Shared>) -> Json<Value> {
    Json(json!(shared.state().notifications.list()))
}

pub async fn summary(State(shared): State<Shared>) -> Json<Value> {
    Json(json!(shared.state().notifications.summary()))
}

pub async fn endpoints(State(shared): State<Shared>) -> Json<Value> {
    let now = shared.clock.now();
    let mut state = shared.state();
    let rules = state.settings.delivery.clone();
    Json(json!(state.endpoints.list(now, &rules)))
}

pub async fn clear_endpoints(State(shared): State<Shared>) -> StatusCode {
    shared.state().endpoints.clear();
    StatusCode::NO_CONTENT
}
