//! GET of one subscription and of the list.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::bearer;
use super::change::find;
use crate::simulator::entra::own_url;
use crate::simulator::errors::{GraphError, GraphResult};
use crate::simulator::state::Shared;
use crate::simulator::throttle::Kind;

/// `GET /v1.0/subscriptions/{id}`
pub async fn get(State(shared): State<Shared>, Path(id): Path<String>, headers: HeaderMap) -> GraphResult<Json<Value>> {
    let caller = bearer::caller(&shared, &headers)?;
    shared.throttle(&caller, Kind::Get)?;
    let mut view = find(&shared, &id, &caller)?.view(false);
    view["@odata.context"] = json!(format!(
        "{}/v1.0/$metadata#subscriptions/$entity",
        own_url(&shared, &headers)
    ));
    Ok(Json(view))
}

/// `GET /v1.0/subscriptions`
pub async fn list(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> GraphResult<Json<Value>> {
    let caller = bearer::caller(&shared, &headers)?;
    shared.throttle(&caller, Kind::List)?;
    let after = skip_token(query.as_deref().unwrap_or_default())?;
    let base = own_url(&shared, &headers);
    let state = shared.state();
    let size = state.settings.page_size.max(1);
    let mut page: Vec<_> = state.subscriptions.after(&caller, after).take(size + 1).collect();
    let more = page.len() > size;
    page.truncate(size);
    let mut body = json!({
        "@odata.context": format!("{base}/v1.0/$metadata#subscriptions"),
        "value": page.iter().map(|s| s.view(false)).collect::<Vec<_>>(),
    });
    if let Some(last) = page.last().filter(|_| more) {
        body["@odata.nextLink"] = json!(format!("{base}/v1.0/subscriptions?$skiptoken={}", last.seq));
    }
    Ok(Json(body))
}

/// The list takes no options but the one in its own links.
fn skip_token(query: &str) -> GraphResult<u64> {
    let mut after = 0;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != "$skiptoken" {
            return Err(GraphError::invalid(format!("Query option '{name}' is not supported.")));
        }
        after = value.parse().map_err(|_| GraphError::invalid("Invalid skip token."))?;
    }
    Ok(after)
}
