//! Errors with Entra's body.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

/// A refused token request. The number is what Entra prints as `AADSTS<number>`.
#[derive(Debug, Clone)]
pub struct EntraError {
    status: StatusCode,
    error: String,
    number: u32,
    text: String,
}

impl EntraError {
    /// Any error.
    pub fn new(status: StatusCode, error: &str, number: u32, text: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
            number,
            text: text.into(),
        }
    }

    /// An error that a test asked for.
    pub fn injected(status: StatusCode, error: &str, text: &str) -> Self {
        Self::new(status, error, 90033, text)
    }

    /// 400 `invalid_request`.
    pub fn request(number: u32, text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", number, text)
    }

    /// 401 `invalid_client`.
    pub fn client(number: u32, text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", number, text)
    }

    /// A parameter is missing.
    pub fn missing(parameter: &str) -> Self {
        let text = format!("The request body must contain the following parameter: '{parameter}'.");
        Self::request(900_144, text)
    }

    /// The tenant does not exist.
    pub fn unknown_tenant(name: &str) -> Self {
        let text = format!(
            "Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into the \
             correct cloud. Check with your subscription administrator, this may happen if there are no active \
             subscriptions for the tenant."
        );
        Self::request(90_002, text)
    }

    /// The app is not in the tenant.
    pub fn unknown_app(client_id: &str, tenant: &str) -> Self {
        let text = format!(
            "Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen if \
             the application has not been installed by the administrator of the tenant or consented to by any user \
             in the tenant. You may have sent your authentication request to the wrong tenant."
        );
        Self::new(StatusCode::BAD_REQUEST, "unauthorized_client", 700_016, text)
    }

    /// The app is disabled.
    pub fn disabled_app(client_id: &str) -> Self {
        let text = format!("Application '{client_id}' is disabled.");
        Self::new(StatusCode::BAD_REQUEST, "unauthorized_client", 7_000_112, text)
    }

    /// The answer.
    pub fn response(&self, now: Timestamp) -> Response {
        let (trace, correlation) = (Uuid::new_v4(), Uuid::new_v4());
        let time = now.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        let body = json!({
            "error": self.error,
            "error_description": format!(
                "AADSTS{}: {} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {time}",
                self.number, self.text
            ),
            "error_codes": [self.number],
            "timestamp": time,
            "trace_id": trace.to_string(),
            "correlation_id": correlation.to_string(),
            "error_uri": format!("https://login.microsoftonline.com/error?code={}", self.number),
        });
        (self.status, Json(body)).into_response()
    }
}
