//! `/livez`, `/readyz` and `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;
use prometheus::{Registry, TextEncoder};

use super::health::Health;

/// Series in Prometheus' text format, made when scraped, piece by piece: too many for a registry.
pub type Series = Box<dyn Iterator<Item = String> + Send>;

#[derive(Clone)]
struct Telemetry {
    health: Health,
    registry: Registry,
    series: Arc<dyn Fn() -> Series + Send + Sync>,
}

/// Routes that every process serves. A process adds them to its internal listener.
pub fn routes(health: Health, registry: Registry) -> Router {
    routes_with(health, registry, || Box::new(std::iter::empty()))
}

/// The same, with `series` at the end of the metrics.
pub fn routes_with(health: Health, registry: Registry, series: impl Fn() -> Series + Send + Sync + 'static) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Telemetry {
            health,
            registry,
            series: Arc::new(series),
        })
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
        Ok(text) => {
            let pieces = std::iter::once(text).chain((telemetry.series)());
            let body = Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>)));
            ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], body).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
