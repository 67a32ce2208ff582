//! Presence: of one user, or of many at once. Apps may read it, though they cannot subscribe to it.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{permitted, query};
use crate::simulator::entra::own_url;
use crate::simulator::errors::{GraphError, GraphResult};
use crate::simulator::objects::{Objects, View};
use crate::simulator::state::Shared;
use crate::simulator::subscriptions::bearer::{self, Caller};
use crate::simulator::throttle::Kind;

const ROLES: &[&str] = &["Presence.Read.All", "Presence.ReadWrite.All"];
const MOST_IDS: usize = 650;

#[derive(Deserialize)]
struct Wish {
    ids: Vec<String>,
}

/// `GET /v1.0/users/{id}/presence` and `GET /v1.0/communications/presences/{id}`
pub async fn of_one(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> GraphResult<Json<Value>> {
    let caller = admit(&shared, &headers)?;
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        return Err(query::refused(&query));
    }
    Ok(Json(presence(&shared.state().objects, &caller.tenant, &id)))
}

/// `POST /v1.0/communications/getPresencesByUserId`
pub async fn of_many(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> GraphResult<Json<Value>> {
    let caller = admit(&shared, &headers)?;
    let wish: Wish =
        serde_json::from_slice(&body).map_err(|_| bad("The property 'ids' must be a list of user ids."))?;
    if wish.ids.is_empty() || wish.ids.len() > MOST_IDS {
        return Err(bad(&format!("The property 'ids' must hold 1 to {MOST_IDS} user ids.")));
    }
    let state = shared.state();
    let found = wish.ids.iter().map(|id| presence(&state.objects, &caller.tenant, id));
    Ok(Json(json!({
        "@odata.context": format!(
            "{}/v1.0/$metadata#Collection(microsoft.graph.presence)",
            own_url(&shared, &headers)
        ),
        "value": found.collect::<Vec<_>>(),
    })))
}

fn admit(shared: &Shared, headers: &HeaderMap) -> GraphResult<Caller> {
    let caller = bearer::caller(shared, headers)?;
    shared.throttle(&caller, Kind::Presence)?;
    permitted(&caller, ROLES)?;
    Ok(caller)
}

/// Of a user whose presence was never told, it is unknown.
fn presence(objects: &Objects, tenant: &str, id: &str) -> Value {
    let view = View::One("communications/presences".into());
    let known = objects.get(tenant, &view, id).cloned();
    known.unwrap_or_else(|| json!({"id": id, "availability": "PresenceUnknown", "activity": "PresenceUnknown"}))
}

fn bad(text: &str) -> GraphError {
    GraphError::new(StatusCode::BAD_REQUEST, "BadRequest", text)
}
