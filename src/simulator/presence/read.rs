//! Reading presence: of one user, or of many at once. Apps may do it, though they cannot subscribe.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::book;
use crate::simulator::entra::own_url;
use crate::simulator::errors::{GraphError, GraphResult};
use crate::simulator::objects::View;
use crate::simulator::people;
use crate::simulator::reading::{permitted, refused};
use crate::simulator::state::{Shared, State as World};
use crate::simulator::subscriptions::bearer::{self, Caller};
use crate::simulator::throttle::Kind;

const ROLES: &[&str] = &["Presence.Read.All", "Presence.ReadWrite.All"];
/// Most users in one request, and in one subscription.
pub const MOST_IDS: usize = 650;

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
    let caller = admit(&shared, &headers, ROLES)?;
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        return Err(refused(&query));
    }
    object_id(&id)?;
    Ok(Json(presence(&shared.state(), &caller.tenant, &id)))
}

/// `POST /v1.0/communications/getPresencesByUserId`
pub async fn of_many(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> GraphResult<Json<Value>> {
    let caller = admit(&shared, &headers, ROLES)?;
    let wish: Wish =
        serde_json::from_slice(&body).map_err(|_| bad("The property 'ids' must be a list of user ids."))?;
    if wish.ids.is_empty() || wish.ids.len() > MOST_IDS {
        return Err(bad(&format!("The property 'ids' must hold 1 to {MOST_IDS} user ids.")));
    }
    wish.ids.iter().try_for_each(|id| object_id(id))?;
    let state = shared.state();
    let found = wish.ids.iter().map(|id| presence(&state, &caller.tenant, id));
    Ok(Json(json!({
        "@odata.context": format!(
            "{}/v1.0/$metadata#Collection(microsoft.graph.presence)",
            own_url(&shared, &headers)
        ),
        "value": found.collect::<Vec<_>>(),
    })))
}

/// Token, limit and permission. A person needs a Teams licence as well.
pub fn admit(shared: &Shared, headers: &HeaderMap, roles: &[&str]) -> GraphResult<Caller> {
    let caller = bearer::caller(shared, headers)?;
    shared.throttle(&caller, Kind::Presence)?;
    permitted(&caller, roles)?;
    let state = shared.state();
    match &caller.user {
        Some(user) if !people::is_licensed(&state.objects, &caller.tenant, user) => Err(people::unlicensed()),
        _ => Ok(caller),
    }
}

/// Users go by their object id here; a principal name is refused.
pub fn object_id(id: &str) -> GraphResult<()> {
    if id.is_empty() || id.contains('@') {
        return Err(bad(&format!("'{id}' is not a valid user id: it must be an object id.")));
    }
    Ok(())
}

/// What is kept in `communications/presences` is given as it is, whatever it says; of others, what their sessions make.
pub fn presence(state: &World, tenant: &str, id: &str) -> Value {
    let view = View::One("communications/presences".into());
    if let Some(kept) = state.objects.get(tenant, &view, id) {
        return kept.clone();
    }
    if let Some(known) = state.presence.get(tenant, id) {
        return known.view(id);
    }
    if people::exists(&state.objects, tenant, id) {
        return book::silent(id);
    }
    json!({"id": id, "availability": "PresenceUnknown", "activity": "PresenceUnknown"})
}

/// 400. The original's words are not known.
pub fn bad(text: &str) -> GraphError {
    GraphError::new(StatusCode::BAD_REQUEST, "BadRequest", text)
}
