//! `GET /v1.0/admin/serviceAnnouncement/healthOverviews`

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{id_of, refused};
use crate::simulator::entra::own_url;
use crate::simulator::errors::{GraphError, GraphResult};
use crate::simulator::state::Shared;
use crate::simulator::subscriptions::bearer;

/// Services on a page.
const PAGE: usize = 100;

/// What is asked for.
#[derive(Default)]
struct Wish {
    issues: bool,
    skip: usize,
}

pub async fn overviews(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> GraphResult<Json<Value>> {
    let caller = bearer::caller(&shared, &headers)?;
    if !caller.may(&["ServiceHealth.Read.All"]) {
        return Err(GraphError::new(StatusCode::FORBIDDEN, "UnknownError", ""));
    }
    let wish = read(&query.unwrap_or_default())?;
    let state = shared.state();
    let services = &state.portal.services;
    let print = |one: &super::registry::Service| {
        let id = id_of("service", &one.name);
        let mut body = json!({"id": id, "service": one.name, "status": one.status});
        if wish.issues {
            body["issues"] = json!(one.issues);
        }
        body
    };
    let page: Vec<Value> = services.iter().skip(wish.skip).take(PAGE).map(print).collect();
    let mut body = json!({"value": page});
    let next = wish.skip + PAGE;
    if next < services.len() {
        let expand = if wish.issues { "$expand=issues&" } else { "" };
        let base = own_url(&shared, &headers);
        body["@odata.nextLink"] = json!(format!(
            "{base}/v1.0/admin/serviceAnnouncement/healthOverviews?{expand}$skip={next}"
        ));
    }
    Ok(Json(body))
}

fn read(query: &str) -> GraphResult<Wish> {
    let mut wish = Wish::default();
    for option in query.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("$expand", "issues")) => wish.issues = true,
            Some(("$skip", number)) => {
                wish.skip = number.parse().map_err(|_| refused("$skip is not a number"))?;
            }
            _ => return Err(refused("this query is not served here")),
        }
    }
    Ok(wish)
}
