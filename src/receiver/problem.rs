//! Short JSON bodies that say what was wrong with a request.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// An answer with a title. Titles are constant text: nothing of the request is repeated.
pub fn answer(status: StatusCode, title: &str) -> Response {
    let body = serde_json::json!({ "status": status.as_u16(), "title": title });
    let headers = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, headers, body.to_string()).into_response()
}

/// The answer when something is to be tried again later.
pub fn unavailable(title: &str) -> Response {
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, title);
    let later = header::HeaderValue::from_static("5");
    response.headers_mut().insert(header::RETRY_AFTER, later);
    response
}
