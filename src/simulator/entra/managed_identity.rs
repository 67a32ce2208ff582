//! Tokens of managed identities: the instance metadata service and the App Service endpoint.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::{own_url, token};
use crate::simulator::state::Shared;

/// The query of both endpoints.
#[derive(Debug, Deserialize)]
pub struct Wish {
    #[serde(rename = "api-version")]
    api_version: Option<String>,
    resource: Option<String>,
    client_id: Option<String>,
}

/// `GET /metadata/identity/oauth2/token`
pub async fn instance_metadata(State(shared): State<Shared>, Query(wish): Query<Wish>, headers: HeaderMap) -> Response {
    if headers
        .get("metadata")
        .is_none_or(|v| !v.as_bytes().eq_ignore_ascii_case(b"true"))
    {
        return refuse("Required metadata header not specified");
    }
    answer(&shared, &wish, &headers, true)
}

/// `GET /msi/token`, what `IDENTITY_ENDPOINT` points at in App Service.
pub async fn app_service(State(shared): State<Shared>, Query(wish): Query<Wish>, headers: HeaderMap) -> Response {
    let expected = shared.state().settings.identity_header.clone();
    if headers
        .get("x-identity-header")
        .is_none_or(|v| v.as_bytes() != expected.as_bytes())
    {
        return (StatusCode::UNAUTHORIZED, "The X-IDENTITY-HEADER is missing or wrong.").into_response();
    }
    answer(&shared, &wish, &headers, false)
}

fn answer(shared: &Shared, wish: &Wish, headers: &HeaderMap, number_as_text: bool) -> Response {
    if wish.api_version.is_none() {
        return refuse("The api-version query parameter is missing");
    }
    let Some(resource) = wish
        .resource
        .as_deref()
        .map(|r| r.trim_end_matches('/'))
        .filter(|r| !r.is_empty())
    else {
        return refuse("The resource query parameter is missing");
    };
    let (found, lifetime) = {
        let state = shared.state();
        let apps = state
            .tenants
            .iter()
            .flat_map(|tenant| tenant.apps.iter().map(move |app| (tenant, app)));
        let mut identities = apps.filter(|(_, app)| {
            app.managed_identity
                && wish
                    .client_id
                    .as_ref()
                    .is_none_or(|id| id.eq_ignore_ascii_case(&app.client_id))
        });
        let found = identities.next().map(|(tenant, app)| (tenant.id.clone(), app.clone()));
        (found, state.settings.token_lifetime_seconds)
    };
    let Some((tenant_id, app)) = found else {
        return refuse("Identity not found");
    };
    let base = own_url(shared, headers);
    let token = match token::access_token(shared, &base, &tenant_id, &app, resource, lifetime) {
        Ok(token) => token,
        Err(error) => return error.response(shared.clock.now()),
    };
    let until = shared.clock.now().as_second().saturating_add(lifetime);
    Json(json!({
        "access_token": token,
        "client_id": app.client_id,
        // The metadata service writes its numbers as text.
        "expires_in": if number_as_text { json!(lifetime.to_string()) } else { json!(lifetime) },
        "expires_on": if number_as_text { json!(until.to_string()) } else { json!(until) },
        "resource": resource,
        "token_type": "Bearer",
    }))
    .into_response()
}

fn refuse(text: &str) -> Response {
    let body = json!({"error": "invalid_request", "error_description": text});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}
