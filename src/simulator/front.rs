//! What every request to Entra and Graph passes: faults, the request log, and the `Date` header of simulated time.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::clock;
use super::entra::error::EntraError;
use super::errors::GraphError;
use super::faults::Action;
use super::jwt;
use super::state::{LoggedRequest, Shared};

const LARGEST_BODY: usize = 4 * 1024 * 1024;
const LONG_SILENCE_MS: u64 = 60_000;

/// The middleware around Entra and Graph. A caller that hangs up does not stop what it asked for: the task goes on.
pub async fn pass(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let task = tokio::spawn(handle(shared, request, next));
    task.await
        .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn handle(shared: Shared, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    name_host(&parts.uri, &mut parts.headers);
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let path = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let client_id = client_id(&parts.headers, &body);
    let client_request_id = text(&parts.headers, "client-request-id");
    let method = parts.method.clone();
    // What is not served may be called anything, so it is counted together.
    let route = parts
        .extensions
        .get::<MatchedPath>()
        .map_or("unknown", MatchedPath::as_str)
        .to_string();
    let action = shared.state().faults.take(&method, &path, client_id.as_deref());
    let fault = action.is_some();

    let request = Request::from_parts(parts, Body::from(body));
    let response = perform(&shared, action, request, next).await;
    let response = finish(&shared, response, client_request_id.as_deref());

    let status = response.as_ref().map_or(0, |r| r.status().as_u16());
    tracing::debug!(%method, path, status, fault, "request");
    let time = clock::whole(shared.clock.now());
    let line = LoggedRequest {
        seq: 0,
        time,
        method: method.to_string(),
        path,
        client_id,
        status,
        fault,
    };
    shared.state().requests.add(line, &route);
    response.unwrap_or_else(closed_connection)
}

/// The answer, or None when the connection is to be closed without one.
async fn perform(shared: &Shared, action: Option<Action>, request: Request, next: Next) -> Option<Response> {
    match action {
        None => Some(next.run(request).await),
        Some(Action::Delay { ms }) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Some(next.run(request).await)
        }
        Some(Action::Timeout { ms }) => {
            tokio::time::sleep(Duration::from_millis(ms.unwrap_or(LONG_SILENCE_MS))).await;
            None
        }
        Some(Action::Reset) => None,
        Some(Action::LostAnswer) => {
            next.run(request).await;
            None
        }
        Some(Action::Status {
            status,
            retry_after,
            code,
            message,
        }) => Some(injected(
            shared,
            request.uri().path(),
            status,
            retry_after.as_ref(),
            code,
            message,
        )),
    }
}

/// Writes the bodies of bare Graph errors, and the date.
fn finish(shared: &Shared, response: Option<Response>, client_request_id: Option<&str>) -> Option<Response> {
    let mut response = response?;
    let now = shared.clock.now();
    if let Some(error) = response.extensions().get::<GraphError>().cloned() {
        response = error.response(now, client_request_id);
    }
    if let Ok(date) = HeaderValue::from_str(&clock::http_date(now)) {
        response.headers_mut().insert(header::DATE, date);
    }
    Some(response)
}

fn injected(
    shared: &Shared,
    path: &str,
    status: u16,
    retry_after: Option<&Value>,
    code: Option<String>,
    message: Option<String>,
) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let message = message.unwrap_or_else(|| "Injected by the simulator.".into());
    let mut response = if path.starts_with("/v1.0/") {
        GraphError::new(status, code.unwrap_or_else(|| usual_code(status).into()), message).into_response()
    } else {
        let error = code.unwrap_or_else(|| "temporarily_unavailable".into());
        EntraError::injected(status, &error, &message).response(shared.clock.now())
    };
    let value = retry_after.map(|v| v.as_str().map_or_else(|| v.to_string(), String::from));
    if let Some(error) = response.extensions_mut().remove::<GraphError>() {
        return match value {
            Some(value) => error.retry_after(value).into_response(),
            None => error.into_response(),
        };
    }
    if let Some(value) = value.and_then(|v| HeaderValue::from_str(&v).ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

fn usual_code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "InvalidAuthenticationToken",
        403 => "Forbidden",
        404 => "ResourceNotFound",
        409 => "Conflict",
        423 => "Locked",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "GatewayTimeout",
        400..=499 => "InvalidRequest",
        _ => "InternalServerError",
    }
}

/// A body that fails at once makes the HTTP server drop the connection before anything is written.
fn closed_connection() -> Response {
    let broken = futures::stream::once(async { Err::<Bytes, io::Error>(io::ErrorKind::ConnectionReset.into()) });
    Body::from_stream(broken).into_response()
}

/// HTTP/2 names the host in the URI only; handlers look at the header.
fn name_host(uri: &Uri, headers: &mut HeaderMap) {
    if let Some(host) = uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok()) {
        headers.insert(header::HOST, host);
    }
}

/// Who asks: the app in the bearer token (unchecked here), or the `client_id` of a token request.
fn client_id(headers: &HeaderMap, body: &Bytes) -> Option<String> {
    if let Some(token) = text(headers, "authorization")
        .as_deref()
        .and_then(|h| h.strip_prefix("Bearer "))
    {
        return jwt::split(token)?.claim("appid").map(String::from);
    }
    let form: Vec<(String, String)> = serde_urlencoded::from_bytes(body).ok()?;
    form.into_iter()
        .find(|(key, _)| key == "client_id")
        .map(|(_, value)| value)
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(String::from)
}
