//! Errors with Microsoft Graph's body.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

/// A refusal by Graph. The front adds date and request ids on the way out.
#[derive(Debug, Clone)]
pub struct GraphError {
    status: StatusCode,
    code: String,
    message: String,
    retry_after: Option<String>,
    location: Option<String>,
}

/// The result of a Graph operation.
pub type GraphResult<T> = Result<T, GraphError>;

impl GraphError {
    /// Any error.
    pub fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            retry_after: None,
            location: None,
        }
    }

    /// 400 with code `InvalidRequest`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequest", message)
    }

    /// 400 for a body that cannot be read. The misspelling is in the original.
    pub fn payload(operation: &str) -> Self {
        Self::invalid(format!(
            "Could not process subscription {operation} payload. Are all property names spelled and camelCased \
             properly? Also are the dateTimeOffest properties in a valid internet Date and Time format?"
        ))
    }

    /// 401.
    pub fn token(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", message)
    }

    /// 403 as the workload behind Graph answers when a permission is missing.
    pub fn forbidden(operation: &str) -> Self {
        let text = format!("Operation: {operation}; Exception: [Status Code: Forbidden; Reason: Forbidden]");
        Self::new(StatusCode::FORBIDDEN, "ExtensionError", text)
    }

    /// 404.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFound", "The object was not found.")
    }

    /// Its HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Adds `Retry-After`.
    pub fn retry_after(mut self, value: impl Into<String>) -> Self {
        self.retry_after = Some(value.into());
        self
    }

    /// Adds `Location`.
    pub fn location(mut self, url: impl Into<String>) -> Self {
        self.location = Some(url.into());
        self
    }

    /// The answer, with date and ids.
    pub fn response(&self, now: Timestamp, client_request_id: Option<&str>) -> Response {
        let request_id = Uuid::new_v4().to_string();
        let body = json!({"error": {
            "code": self.code,
            "message": self.message,
            "innerError": {
                "date": now.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
                "request-id": request_id,
                "client-request-id": client_request_id.unwrap_or(&request_id),
            },
        }});
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::RETRY_AFTER, &self.retry_after),
            (header::LOCATION, &self.location),
        ] {
            if let Some(value) = value.as_deref().and_then(|v| HeaderValue::from_str(v).ok()) {
                headers.insert(name, value);
            }
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"\""));
        }
        (self.status, headers, Json(body)).into_response()
    }
}

/// Handlers answer a bare error; the front, which knows time and ids, writes the body.
impl IntoResponse for GraphError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
