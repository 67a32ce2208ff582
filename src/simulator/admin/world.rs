//! Admin requests that make something happen in a tenant, and those that show what was delivered.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{AdminResult, refuse};
use crate::simulator::config::Tenant;
use crate::simulator::delivery::event::{self, Event};
use crate::simulator::delivery::item::Spelling;
use crate::simulator::delivery::lifecycle;
use crate::simulator::delivery::rich::Flaw;
use crate::simulator::state::Shared;

/// The body of `POST /_simulator/lifecycle`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lifecycle {
    subscription_id: String,
    event: String,
}

/// An object that appears (or changes) in a tenant.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Put {
    #[serde(default)]
    tenant_id: Option<String>,
    #[serde(default = "created")]
    change_type: String,
    /// Keep it, but tell nobody: what a lost notification looks like.
    #[serde(default)]
    silent: bool,
    object: Map<String, Value>,
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

pub async fn put_user(State(shared): State<Shared>, Json(put): Json<Put>) -> AdminResult<Json<Value>> {
    put_object(&shared, put, "users", |tenant| &mut tenant.users)
}

pub async fn put_call_record(State(shared): State<Shared>, Json(mut put): Json<Put>) -> AdminResult<Json<Value>> {
    let now = crate::simulator::clock::whole(shared.clock.now());
    for name in ["startDateTime", "endDateTime"] {
        put.object.entry(name).or_insert_with(|| json!(now));
    }
    put.object.entry("version").or_insert_with(|| json!(1));
    put_object(&shared, put, "communications/callRecords", |tenant| {
        &mut tenant.call_records
    })
}

fn put_object(
    shared: &Shared,
    put: Put,
    collection: &str,
    list: impl Fn(&mut Tenant) -> &mut Vec<Value>,
) -> AdminResult<Json<Value>> {
    let mut object = put.object;
    let id = object
        .entry("id")
        .or_insert_with(|| json!(Uuid::new_v4().to_string()))
        .as_str()
        .map(String::from);
    let Some(id) = id else {
        return Err(refuse(StatusCode::BAD_REQUEST, "id must be text"));
    };
    {
        let mut state = shared.state();
        let tenant = state
            .tenant_mut(put.tenant_id.as_deref())
            .ok_or_else(|| refuse(StatusCode::NOT_FOUND, "no such tenant"))?;
        if put.change_type == "deleted" {
            list(tenant).retain(|known| known["id"] != id.as_str());
        } else {
            Tenant::put(list(tenant), Value::Object(object.clone()));
        }
    }
    let ids = if put.silent {
        Vec::new()
    } else {
        event::happen(
            shared,
            &single(format!("{collection}/{id}"), put.change_type, put.tenant_id),
        )
    };
    Ok(Json(json!({"object": object, "notifications": ids})))
}

pub async fn message(State(shared): State<Shared>, Json(message): Json<Message>) -> Json<Value> {
    let id = message.id.unwrap_or_else(|| Uuid::new_v4().to_string());
    let resource = format!("chats/{}/messages/{id}", message.chat_id);
    let ids = event::happen(&shared, &single(resource, message.change_type, message.tenant_id));
    Json(json!({"id": id, "notifications": ids}))
}

fn single(resource: String, change_type: String, tenant_id: Option<String>) -> Event {
    Event {
        resource,
        change_type,
        tenant_id,
        resource_data: Map::new(),
        count: 1,
        batch: 1,
        spelling: Spelling::Standard,
        bad_item: false,
        flaw: Flaw::None,
    }
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
