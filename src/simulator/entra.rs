//! The stand-in for Microsoft Entra: tokens, keys, and managed identity.

pub mod account;
pub mod assertion;
pub mod error;
pub mod managed_identity;
pub mod token;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use super::jwt;
use super::state::Shared;
use error::EntraError;

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/{tenant}/oauth2/v2.0/token", post(token::issue))
        .route(
            "/{tenant}/v2.0/.well-known/openid-configuration",
            get(openid_configuration),
        )
        .route("/{tenant}/discovery/v2.0/keys", get(keys))
        .route(
            "/metadata/identity/oauth2/token",
            get(managed_identity::instance_metadata),
        )
        .route("/msi/token", get(managed_identity::app_service))
}

/// `https://host:port` under which the caller reached the simulator.
pub fn own_url(shared: &Shared, headers: &HeaderMap) -> String {
    let host = headers.get("host").and_then(|h| h.to_str().ok()).unwrap_or("localhost");
    format!("{}://{host}", shared.scheme)
}

async fn openid_configuration(
    State(shared): State<Shared>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Response {
    let id = match known_tenant(&shared, &tenant) {
        Ok(id) => id,
        Err(error) => return error.response(shared.clock.now()),
    };
    let base = own_url(&shared, &headers);
    Json(json!({
        "issuer": format!("{base}/{id}/v2.0"),
        "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
        "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["pairwise"],
    }))
    .into_response()
}

async fn keys(State(shared): State<Shared>, Path(tenant): Path<String>) -> Response {
    match known_tenant(&shared, &tenant) {
        Ok(_) => Json(jwt::key_set()).into_response(),
        Err(error) => error.response(shared.clock.now()),
    }
}

/// The id of a tenant; `common` has a placeholder instead, as the original.
fn known_tenant(shared: &Shared, name: &str) -> Result<String, EntraError> {
    if name == "common" || name == "organizations" {
        return Ok("{tenantid}".into());
    }
    shared
        .state()
        .tenant(name)
        .map(|t| t.id.clone())
        .ok_or_else(|| EntraError::unknown_tenant(name))
}
