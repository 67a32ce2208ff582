//! A stand-in for the management API of Pexip Infinity: a protocol fake, made from the published client library and the schema's
//! descriptions of fields. No vendor code is behind it; the texts of errors are the simulator's own.
//!
//! It is read only, as those who watch a deployment must use it: whatever else is tried is refused and noted as a violation. Its
//! objects hold secrets where the original's do, so that tests can prove that nobody keeps them.

mod fields;
mod list;
mod sample;
pub mod site;

use std::collections::HashMap;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::state::Shared;
use list::Refusal;
use site::Setup;

const LOGIN: &str =
    "<!DOCTYPE html><html><head><title>Log in</title></head><body><form method=\"post\"></form></body></html>";
const CHUNK: usize = 64 * 1024;

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/admin/{namespace}/v1/{resource}/", any(serve))
        .route("/api/admin/{namespace}/v1/{resource}/{id}/", any(serve))
        .route("/api/admin/{namespace}/v1/{resource}", any(add_slash))
        .route("/api/admin/{namespace}/v1/{resource}/{id}", any(add_slash))
}

/// Without the slash at its end, an address leads to the one with it.
async fn add_slash(uri: Uri) -> Response {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    redirect(StatusCode::MOVED_PERMANENTLY, &format!("{}/{query}", uri.path()))
}

async fn serve(
    State(shared): State<Shared>,
    Path(place): Path<HashMap<String, String>>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let part = |name: &str| place.get(name).map_or("", String::as_str);
    let (namespace, resource) = (part("namespace"), part("resource"));
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return refuse_write(&shared, &request);
    }
    let now = shared.clock.now();
    let mut state = shared.state();
    let site = &mut state.pexip;
    if let Err(response) = admit(site, request.headers(), resource) {
        return *response;
    }
    let Some(kind) = fields::find(namespace, resource) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let manners = &site.setup.manners;
    if manners.missing.iter().any(|missing| missing == resource) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let objects = site.objects(namespace, resource);
    let answer = match place.get("id") {
        Some(id) => list::one(objects, kind, id, manners, now),
        None => list::page(objects, kind, &query, manners, now),
    };
    match answer {
        Ok(body) if manners.truncate => cut(&body),
        Ok(body) => json_answer(StatusCode::OK, &body),
        Err(Refusal::Missing) => StatusCode::NOT_FOUND.into_response(),
        Err(Refusal::Bad(text)) => json_answer(StatusCode::BAD_REQUEST, &json!({ "error": text })),
    }
}

fn refuse_write(shared: &Shared, request: &Request) -> Response {
    let detail = format!("{} {}", request.method(), request.uri().path());
    let now = shared.clock.now();
    shared.state().violation(now, "pexipWrite", "", detail);
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET")]).into_response()
}

/// What stands in front of the resources, in its order: a proxy's login, the limit, the credentials, the role.
fn admit(site: &mut site::Site, headers: &HeaderMap, resource: &str) -> Result<(), Box<Response>> {
    let manners = site.setup.manners.clone();
    let refuse = |response: Response| Err(Box::new(response));
    if let Some(address) = &manners.sso {
        return refuse(redirect(StatusCode::FOUND, address));
    }
    if manners.login_page {
        return refuse(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], LOGIN).into_response());
    }
    if manners.huge_bytes > 0 {
        return refuse(huge(manners.huge_bytes));
    }
    if let Some(wait) = site.count() {
        let mut response = StatusCode::TOO_MANY_REQUESTS.into_response();
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(wait));
        return refuse(response);
    }
    if !is_known(&site.setup, headers) {
        let mut response = StatusCode::UNAUTHORIZED.into_response();
        let realm = HeaderValue::from_static("Basic Realm=\"Pexip Infinity\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
        return refuse(response);
    }
    if manners.denied.iter().any(|denied| denied == resource) {
        return refuse(StatusCode::FORBIDDEN.into_response());
    }
    Ok(())
}

fn is_known(setup: &Setup, headers: &HeaderMap) -> bool {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, rest)) = header.and_then(|header| header.split_once(' ')) else {
        return false;
    };
    match scheme {
        "Basic" => rest == STANDARD.encode(format!("{}:{}", setup.username, setup.password)),
        "Bearer" | "Token" => rest == setup.token,
        _ => false,
    }
}

fn redirect(status: StatusCode, address: &str) -> Response {
    let mut response = status.into_response();
    if let Ok(address) = HeaderValue::from_str(address) {
        response.headers_mut().insert(header::LOCATION, address);
    }
    response
}

fn json_answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// The first half.
fn cut(body: &Value) -> Response {
    let text = body.to_string();
    let half: String = text.chars().take(text.chars().count() / 2).collect();
    ([(header::CONTENT_TYPE, "application/json")], half).into_response()
}

/// Blanks, which JSON may begin with, in chunks, so that the length is not told beforehand.
fn huge(bytes: u64) -> Response {
    let chunks = bytes / u64::try_from(CHUNK).unwrap_or(u64::MAX) + 1;
    let chunk = Bytes::from(vec![b' '; CHUNK]);
    let stream = futures::stream::iter((0..chunks).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(stream)).into_response()
}
