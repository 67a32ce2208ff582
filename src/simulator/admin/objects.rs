//! Admin requests that put objects into a tenant, with or without telling subscriptions.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{AdminResult, refuse};
use crate::simulator::delivery::event::{self, Event};
use crate::simulator::families::{self, Family};
use crate::simulator::objects::{self, View};
use crate::simulator::stamps::{self, Stamping};
use crate::simulator::state::{Shared, State as World};

/// An object that appears, changes or goes in a tenant.
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

/// The same, in any collection.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutInto {
    #[serde(default)]
    tenant_id: Option<String>,
    collection: String,
    #[serde(default = "created")]
    change_type: String,
    #[serde(default)]
    silent: bool,
    object: Map<String, Value>,
}

/// Whose delta tokens are to be forgotten.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Forget {
    #[serde(default)]
    tenant_id: Option<String>,
    #[serde(default)]
    collection: Option<String>,
}

fn created() -> String {
    "created".into()
}

/// `POST /_simulator/users`
pub async fn put_user(State(shared): State<Shared>, Json(put): Json<Put>) -> AdminResult<Json<Value>> {
    keep(&shared, "users", put)
}

/// `POST /_simulator/callRecords`
pub async fn put_call_record(State(shared): State<Shared>, Json(put): Json<Put>) -> AdminResult<Json<Value>> {
    keep(&shared, "communications/callRecords", put)
}

/// `POST` or `PUT /_simulator/objects`
pub async fn put(State(shared): State<Shared>, Json(put): Json<PutInto>) -> AdminResult<Json<Value>> {
    let collection = put.collection.trim_matches('/').to_string();
    if collection.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, "collection must be a path"));
    }
    let put = Put {
        tenant_id: put.tenant_id,
        change_type: put.change_type,
        silent: put.silent,
        object: put.object,
    };
    keep(&shared, &collection, put)
}

/// `POST /_simulator/deltas/forget`
pub async fn forget(State(shared): State<Shared>, Json(what): Json<Forget>) -> AdminResult<StatusCode> {
    let mut state = shared.state();
    let tenant = tenant(&state, what.tenant_id.as_deref())?;
    let key = what.collection.as_deref().map(objects::key);
    state.objects.forget_tokens(&tenant, key.as_deref());
    Ok(StatusCode::NO_CONTENT)
}

fn keep(shared: &Shared, collection: &str, put: Put) -> AdminResult<Json<Value>> {
    if !["created", "updated", "deleted"].contains(&put.change_type.as_str()) {
        let text = "changeType must be created, updated or deleted";
        return Err(refuse(StatusCode::BAD_REQUEST, text));
    }
    let mut object = put.object;
    let id = object
        .entry("id")
        .or_insert_with(|| json!(Uuid::new_v4().to_string()))
        .as_str()
        .map(String::from);
    let Some(id) = id else {
        return Err(refuse(StatusCode::BAD_REQUEST, "id must be text"));
    };
    let kept = {
        let mut state = shared.state();
        let tenant = tenant(&state, put.tenant_id.as_deref())?;
        let place = Place {
            tenant: &tenant,
            collection,
            id: &id,
        };
        change(&mut state, &place, &put.change_type, object, shared.clock.now())
    };
    let ids = if put.silent {
        Vec::new()
    } else {
        let (resource, change_type) = stamps::told(collection, &id, &put.change_type);
        event::happen(shared, &Event::of_object(resource, change_type, put.tenant_id, &kept))
    };
    Ok(Json(json!({"object": kept, "notifications": ids})))
}

/// Which object.
struct Place<'a> {
    tenant: &'a str,
    collection: &'a str,
    id: &'a str,
}

/// Changes the store. The answer is the object as it is kept, or as it was given if it is gone.
fn change(
    state: &mut World,
    place: &Place<'_>,
    change_type: &str,
    mut object: Map<String, Value>,
    now: Timestamp,
) -> Map<String, Value> {
    let key = objects::key(place.collection);
    let view = View::One(key.clone());
    let before = state.objects.get(place.tenant, &view, place.id).cloned();
    let is_chat = families::find(place.collection).is_some_and(|served| served.family == Family::ChatMessages);
    // A user in the recycle bin is given with `@removed`, as a delta query would show it.
    let removed = object.get("@removed").and_then(|removed| removed["reason"].as_str());
    let reason = removed.map(String::from);
    let gone = reason.or_else(|| (change_type == "deleted").then(|| "deleted".into()));
    match gone {
        Some(_) if is_chat => object = stamps::soft_deleted(before.as_ref(), place.id, now),
        Some(reason) => {
            state.objects.remove(place.tenant, &key, place.id, &reason, now);
            return object;
        }
        None => {}
    }
    let stamping = Stamping {
        collection: place.collection,
        before: before.as_ref(),
        version: state.objects.next_version(),
        now,
    };
    stamping.apply(&mut object);
    state.objects.put(place.tenant, &key, object.clone(), now);
    object
}

/// The id of a tenant that is named somehow; of the first one if it is not.
fn tenant(state: &World, name: Option<&str>) -> AdminResult<String> {
    let found = match name {
        Some(name) => state.tenant(name),
        None => state.tenants.first(),
    };
    let found = found.ok_or_else(|| refuse(StatusCode::NOT_FOUND, "no such tenant"))?;
    Ok(found.id.clone())
}
