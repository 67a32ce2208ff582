//! `/livez`, `/readyz` and `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Registry, TextEncoder};

use super::health::Health;

#[derive(Clone)]
struct Telemetry {
    health: Health,
    registry: Registry,
}

/// Routes that every process serves. A process adds them to its internal listener.
pub fn routes(health: Health, registry: Registry) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Telemetry { health, registry })
}

async fn livez(State(telemetry): State<Telemetry>) -> Response {
    answer(&telemetry.health.live_problems())
}

async fn readyz(State(telemetry): State<Telemetry>) -> Response {
    answer(&telemetry.health.ready_problems())
}

fn answer(problems: &[String]) -> Response {
    if problems.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, problems.join("\n") + "\n").into_response()
}

async fn metrics(State(telemetry): State<Telemetry>) -> Response {
    match TextEncoder::new().encode_to_string(&telemetry.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
