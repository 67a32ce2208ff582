//! What administrators look at through Graph: service principals, grants, credentials of apps, and Microsoft's service health.

mod health;
pub mod registry;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::routing::{any, get};
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::errors::{GraphError, GraphResult};
use super::state::Shared;
use super::subscriptions::bearer::{self, Caller};
use super::throttle::{Kind, Size};
use registry::{AppEntry, GRAPH_APP, id_of};

/// One of these lets an app see all others; its own entries it always sees.
const READERS: [&str; 4] = [
    "Application.Read.All",
    "Application.ReadWrite.All",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
];

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1.0/{entity}", any(entity))
        .route("/v1.0/servicePrincipals/{id}/appRoleAssignments", get(assignments))
        .route(
            "/v1.0/admin/serviceAnnouncement/healthOverviews",
            get(health::overviews),
        )
}

/// `servicePrincipals(appId='…')` and `applications(appId='…')`.
async fn entity(
    State(shared): State<Shared>,
    method: Method,
    Path(entity): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> GraphResult<Json<Value>> {
    let key = entity.split_once("(appId='");
    let Some((collection, id)) = key.and_then(|(collection, rest)| Some((collection, rest.strip_suffix("')")?))) else {
        return Err(unknown());
    };
    if method != Method::GET {
        return Err(unknown());
    }
    let query = query.unwrap_or_default();
    match collection {
        "servicePrincipals" => principal(&shared, &headers, id, &query),
        "applications" => application(&shared, &headers, id, &query),
        _ => Err(unknown()),
    }
}

fn principal(shared: &Shared, headers: &HeaderMap, app: &str, query: &str) -> GraphResult<Json<Value>> {
    let caller = admit(shared, headers, Some(app), Kind::Directory(Size::Small))?;
    let now = shared.clock.now();
    let state = shared.state();
    let body = if app == GRAPH_APP {
        json!({
            "id": id_of(&caller.tenant, GRAPH_APP),
            "appId": GRAPH_APP,
            "displayName": "Microsoft Graph",
            "accountEnabled": true,
            "disabledByMicrosoftStatus": null,
            "appRoles": registry::app_roles(&state),
        })
    } else {
        let entry = registry::find(&state, &caller.tenant, app, now).filter(|entry| entry.principal);
        entry.ok_or_else(|| missing(app))?.principal_body()
    };
    selected(&body, query, &[])
}

fn application(shared: &Shared, headers: &HeaderMap, app: &str, query: &str) -> GraphResult<Json<Value>> {
    let kind = if query.contains("keyCredentials") {
        Kind::AppKeys
    } else {
        Kind::Directory(Size::Small)
    };
    let caller = admit(shared, headers, Some(app), kind)?;
    let now = shared.clock.now();
    let state = shared.state();
    let entry = registry::find(&state, &caller.tenant, app, now).filter(|entry| entry.registered);
    // Keys come only to those who ask for them.
    selected(
        &entry.ok_or_else(|| missing(app))?.registration_body(),
        query,
        &["keyCredentials"],
    )
}

/// `GET /v1.0/servicePrincipals/{id}/appRoleAssignments`
async fn assignments(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> GraphResult<Json<Value>> {
    let caller = bearer::caller(&shared, &headers)?;
    let own = id == id_of(&caller.tenant, &caller.app);
    let of = own.then(|| caller.app.clone());
    admit(&shared, &headers, of.as_deref(), Kind::Directory(Size::Small))?;
    let query = query.unwrap_or_default();
    let skip = match query.as_str() {
        "" => 0,
        query => query
            .strip_prefix("$skiptoken=")
            .and_then(|token| token.parse().ok())
            .ok_or_else(|| refused("this query is not served here"))?,
    };
    let now = shared.clock.now();
    let state = shared.state();
    let entry = registry::by_principal(&state, &caller.tenant, &id, now).ok_or_else(|| missing(&id))?;
    let page = state.settings.page_size.max(1);
    let grants: Vec<Value> = entry.assignments(&caller.tenant);
    let base = super::entra::own_url(&shared, &headers);
    let mut body = json!({"value": grants.iter().skip(skip).take(page).collect::<Vec<_>>()});
    if skip + page < grants.len() {
        let next = skip + page;
        body["@odata.nextLink"] = json!(format!(
            "{base}/v1.0/servicePrincipals/{id}/appRoleAssignments?$skiptoken={next}"
        ));
    }
    Ok(Json(body))
}

/// Token, limits, and the permission to see this app.
fn admit(shared: &Shared, headers: &HeaderMap, app: Option<&str>, kind: Kind) -> GraphResult<Caller> {
    let caller = bearer::caller(shared, headers)?;
    shared.throttle(&caller, kind)?;
    let own = app.is_some_and(|app| app.eq_ignore_ascii_case(&caller.app) || app == GRAPH_APP);
    if own || caller.may(&READERS) {
        return Ok(caller);
    }
    Err(GraphError::new(
        StatusCode::FORBIDDEN,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
    ))
}

/// The object as `$select` leaves it. `hidden` is printed only if it is selected.
fn selected(body: &Value, query: &str, hidden: &[&str]) -> GraphResult<Json<Value>> {
    let fields = body.as_object().cloned().unwrap_or_default();
    let names: Vec<&str> = match query {
        "" => fields
            .keys()
            .map(String::as_str)
            .filter(|name| !hidden.contains(name))
            .collect(),
        query => {
            let names = query.strip_prefix("$select=");
            let names = names.filter(|names| !names.contains('&'));
            names
                .ok_or_else(|| refused("this query is not served here"))?
                .split(',')
                .collect()
        }
    };
    let mut printed = Map::new();
    for name in names {
        let value = fields
            .get(name)
            .ok_or_else(|| refused(&format!("Could not find a property named '{name}'.")))?;
        printed.insert(name.to_owned(), value.clone());
    }
    Ok(Json(Value::Object(printed)))
}

fn refused(text: &str) -> GraphError {
    GraphError::new(StatusCode::BAD_REQUEST, "BadRequest", text)
}

fn unknown() -> GraphError {
    refused("Resource not found for the segment.")
}

fn missing(id: &str) -> GraphError {
    let text =
        format!("Resource '{id}' does not exist or one of its queried reference-property objects are not present.");
    GraphError::new(StatusCode::NOT_FOUND, "Request_ResourceNotFound", text)
}

impl AppEntry {
    fn principal_body(&self) -> Value {
        json!({
            "id": id_of(&self.tenant_id, &self.app_id),
            "appId": self.app_id,
            "displayName": self.app_id,
            "accountEnabled": self.account_enabled,
            "disabledByMicrosoftStatus": self.disabled_by_microsoft_status,
            "appOwnerOrganizationId": self.tenant_id,
            "appRoles": [],
        })
    }

    fn registration_body(&self) -> Value {
        let list =
            |all: &[registry::Credential]| -> Vec<Value> { all.iter().map(registry::Credential::body).collect() };
        json!({
            "id": id_of(&self.app_id, "registration"),
            "appId": self.app_id,
            "displayName": self.app_id,
            "passwordCredentials": list(&self.password_credentials),
            "keyCredentials": list(&self.key_credentials),
        })
    }
}
