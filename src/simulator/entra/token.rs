//! `POST /{tenant}/oauth2/v2.0/token`: for apps with their credentials, and for people who sign in without a browser.

use std::collections::HashMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::account;
use super::assertion::{self, Place};
use super::error::EntraError;
use super::own_url;
use crate::simulator::config::App;
use crate::simulator::jwt;
use crate::simulator::state::{Shared, State as Simulated};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Microsoft Graph's own application id, accepted as a scope and as an audience.
pub const GRAPH_APP_ID: &str = "00000003-0000-0000-c000-000000000000";

type Form = HashMap<String, String>;

/// The handler.
pub async fn issue(
    State(shared): State<Shared>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let base = own_url(&shared, &headers);
    match grant(&shared, &tenant, &base, &headers, &body) {
        Ok(token) => Json(token).into_response(),
        Err(error) => error.response(shared.clock.now()),
    }
}

fn grant(
    shared: &Shared,
    tenant_name: &str,
    base: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Value, EntraError> {
    let form = read_form(headers, body)?;
    let field = |name: &str| form.get(name).map(String::as_str).filter(|v| !v.is_empty());
    let mut state = shared.state();
    let tenant = state
        .tenant(tenant_name)
        .ok_or_else(|| EntraError::unknown_tenant(tenant_name))?;
    let kind = field("grant_type").ok_or_else(|| EntraError::missing("grant_type"))?;
    match kind {
        "client_credentials" | "password" | "refresh_token" => {}
        other => {
            let text = format!("The app requested an unsupported grant type '{other}'.");
            return Err(EntraError::new(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                70_003,
                text,
            ));
        }
    }
    let client_id = field("client_id").ok_or_else(|| EntraError::missing("client_id"))?;
    let app = tenant.app(client_id).cloned();
    let app = app.ok_or_else(|| EntraError::unknown_app(client_id, &tenant.domain))?;
    let tenant_id = tenant.id.clone();
    let domain = tenant.domain.clone();
    let scope = field("scope").ok_or_else(|| EntraError::missing("scope"))?;
    if app.disabled {
        return Err(EntraError::disabled_app(client_id));
    }
    let place = Place {
        base,
        tenant_name,
        tenant_id: &tenant_id,
        now: shared.clock.now(),
    };
    if kind != "client_credentials" {
        return sign_in(&mut state, &form, &app, &place, (kind, scope, &domain));
    }
    let audience = audience(scope)?;
    authenticate(&mut state, &form, &app, &place)?;
    let lifetime = state.settings.token_lifetime_seconds;
    let token = access_token(shared, base, &tenant_id, &app, &audience, lifetime)?;
    Ok(json!({
        "token_type": "Bearer",
        "expires_in": lifetime,
        "ext_expires_in": lifetime,
        "access_token": token,
    }))
}

/// Somebody signs in, through an app that proves itself unless it is public.
fn sign_in(
    state: &mut Simulated,
    form: &Form,
    app: &App,
    place: &Place<'_>,
    (kind, scope, domain): (&str, &str, &str),
) -> Result<Value, EntraError> {
    let scopes = account::scopes(scope, app)?;
    let proves_itself = form.contains_key("client_secret") || form.contains_key("client_assertion");
    if proves_itself || !app.public_client {
        authenticate(state, form, app, place)?;
    }
    let field = |name: &str| {
        form.get(name)
            .filter(|v| !v.is_empty())
            .ok_or_else(|| EntraError::missing(name))
    };
    let here = account::Place {
        base: place.base,
        tenant: place.tenant_id,
        domain,
        app,
        now: place.now,
    };
    let user = match kind {
        "password" => account::by_password(state, &here, field("username")?, field("password")?)?,
        _ => account::by_refresh(state, &here, field("refresh_token")?)?,
    };
    account::answer(state, &here, &user, &scopes)
}

fn read_form(headers: &HeaderMap, body: &Bytes) -> Result<Form, EntraError> {
    let kind = headers
        .get("content-type")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return Err(EntraError::missing("grant_type"));
    }
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(body)
        .map_err(|_| EntraError::request(90_014, "The request body is not a valid form."))?;
    let mut form = Form::new();
    for (name, value) in pairs {
        if form.insert(name.clone(), value).is_some() {
            let text = format!("The input parameter '{name}' was found more than once.");
            return Err(EntraError::request(9_000_410, text));
        }
    }
    Ok(form)
}

/// The resource in `<resource>/.default`.
fn audience(scope: &str) -> Result<String, EntraError> {
    let bad = || {
        let text = format!(
            "The provided request must include a 'scope' input parameter. The provided value for the input parameter \
             'scope' is not valid. The scope {scope} is not valid."
        );
        EntraError::new(StatusCode::BAD_REQUEST, "invalid_scope", 70_011, text)
    };
    let resource = scope.strip_suffix("/.default").ok_or_else(bad)?;
    let is_url = Url::parse(resource).is_ok_and(|url| matches!(url.scheme(), "http" | "https" | "api"));
    let is_guid = Uuid::parse_str(resource).is_ok();
    if scope.contains(' ') || !(is_url || is_guid) {
        return Err(bad());
    }
    Ok(resource.trim_end_matches('/').to_string())
}

fn authenticate(state: &mut Simulated, form: &Form, app: &App, place: &Place<'_>) -> Result<(), EntraError> {
    if let Some(secret) = form.get("client_secret") {
        return check_secret(app, secret);
    }
    let Some(assertion) = form.get("client_assertion") else {
        let text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
        return Err(EntraError::client(7_000_218, text));
    };
    if form.get("client_assertion_type").is_none_or(|kind| kind != JWT_BEARER) {
        return Err(EntraError::request(
            50_027,
            "The client_assertion_type is missing or not supported.",
        ));
    }
    assertion::check(state, app, assertion, place)
}

fn check_secret(app: &App, value: &str) -> Result<(), EntraError> {
    match app.client_secrets.iter().find(|secret| secret.value == value) {
        Some(secret) if secret.expired => Err(EntraError::client(
            7_000_222,
            format!(
                "The provided client secret keys for app '{}' are expired. Create new keys.",
                app.client_id
            ),
        )),
        Some(_) => Ok(()),
        None => Err(EntraError::client(
            7_000_215,
            format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret \
                 value, not the client secret ID, for a secret added to app '{}'.",
                app.client_id
            ),
        )),
    }
}

/// An app-only access token.
pub fn access_token(
    shared: &Shared,
    base: &str,
    tenant_id: &str,
    app: &App,
    audience: &str,
    lifetime: i64,
) -> Result<String, EntraError> {
    let now = shared.clock.now().as_second();
    let mut claims = json!({
        "aud": audience,
        "iss": format!("{base}/{tenant_id}/"),
        "iat": now, "nbf": now, "exp": now.saturating_add(lifetime),
        "appid": app.client_id,
        "appidacr": "1",
        "idtyp": "app",
        "tid": tenant_id,
        "oid": service_principal_id(&app.client_id),
        "sub": service_principal_id(&app.client_id),
        "uti": Uuid::new_v4().to_string(),
        "ver": "1.0",
    });
    if !app.roles.is_empty() {
        claims["roles"] = json!(app.roles);
    }
    jwt::sign(&claims).ok_or_else(|| EntraError::request(90_033, "The simulator could not sign a token."))
}

/// A stable stand-in for the object id of an app's service principal: the client id with another first digit.
pub fn service_principal_id(client_id: &str) -> String {
    format!("5{}", client_id.get(1..).unwrap_or_default())
}
