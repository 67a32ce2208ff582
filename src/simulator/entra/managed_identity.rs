//! Tokens of managed identities: the instance metadata service and the App Service endpoint.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::EntraError;
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
    if wish
        .api_version
        .as_deref()
        .is_none_or(|version| !is_imds_version(version))
    {
        return refuse("Bad request. api-version is invalid or was not specified in the request.");
    }
    let grant = match grant(&shared, &wish, &headers) {
        Ok(grant) => grant,
        Err(refused) => return refused.response(&shared),
    };
    // The metadata service writes its numbers as text.
    let mut body = grant.body;
    body["expires_in"] = json!(grant.lifetime.to_string());
    body["ext_expires_in"] = json!(grant.lifetime.to_string());
    body["not_before"] = json!(grant.now.to_string());
    Json(body).into_response()
}

/// `2018-02-01` or later.
fn is_imds_version(version: &str) -> bool {
    let shape: String = version
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    shape == "0000-00-00" && version >= "2018-02-01"
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
    // The older 2017-09-01 wants another header and dates its tokens in another form.
    if wish.api_version.as_deref() != Some("2019-08-01") {
        return refuse("The api-version query parameter is missing or not supported.");
    }
    // It tells when the token ends, as text, and not how long it lives.
    match grant(&shared, &wish, &headers) {
        Ok(grant) => Json(grant.body).into_response(),
        Err(refused) => refused.response(&shared),
    }
}

enum Refused {
    Here(&'static str),
    ByEntra(EntraError),
}

impl Refused {
    fn response(&self, shared: &Shared) -> Response {
        match self {
            Self::Here(text) => refuse(text),
            Self::ByEntra(error) => error.response(shared.clock.now()),
        }
    }
}

/// What both endpoints answer.
struct Grant {
    body: Value,
    lifetime: i64,
    now: i64,
}

fn grant(shared: &Shared, wish: &Wish, headers: &HeaderMap) -> Result<Grant, Refused> {
    let Some(resource) = wish
        .resource
        .as_deref()
        .map(|r| r.trim_end_matches('/'))
        .filter(|r| !r.is_empty())
    else {
        return Err(Refused::Here("The resource query parameter is missing"));
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
        return Err(Refused::Here("Identity not found"));
    };
    let base = own_url(shared, headers);
    let token = token::access_token(shared, &base, &tenant_id, &app, resource, lifetime).map_err(Refused::ByEntra)?;
    let now = shared.clock.now().as_second();
    let body = json!({
        "access_token": token,
        "client_id": app.client_id,
        "expires_on": now.saturating_add(lifetime).to_string(),
        "resource": resource,
        "token_type": "Bearer",
    });
    Ok(Grant { body, lifetime, now })
}

fn refuse(text: &str) -> Response {
    let body = json!({"error": "invalid_request", "error_description": text});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}
