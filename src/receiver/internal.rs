//! The internal API: consumers pull and acknowledge, the controller looks and hands in.

mod auth;
mod dead_letters;
mod ingest;
mod pull;
mod state;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::deliver::SinkHealths;
use super::log::{Log, StoreError};
use super::problem;
use super::setup::Setup;

/// Bytes that one request may hand in.
const INGEST_BYTES: usize = 16 << 20;

/// What the internal API works with.
pub struct Internal {
    /// Name of this receiver pod.
    pub instance: String,
    /// The current configuration.
    pub setup: watch::Receiver<Arc<Setup>>,
    /// Where events are.
    pub log: Log,
    /// How the sinks are doing.
    pub healths: SinkHealths,
    /// Ends long polls.
    pub stop: CancellationToken,
}

/// The routes.
pub fn router(internal: Arc<Internal>) -> Router {
    Router::new()
        .route("/v1/consumers/{name}/events", get(pull::events))
        .route("/v1/consumers/{name}/ack", post(pull::acknowledge))
        .route("/v1/state", get(state::state))
        .route("/v1/ingest", post(ingest::ingest))
        .route("/v1/deadletters", get(dead_letters::list))
        .route("/v1/deadletters/{sink}/redeliver", post(dead_letters::redeliver))
        .layer(DefaultBodyLimit::max(INGEST_BYTES))
        .with_state(internal)
}

fn refuse(error: &StoreError) -> Response {
    problem::unavailable(&error.to_string())
}

fn bad(title: &str) -> Response {
    problem::answer(StatusCode::BAD_REQUEST, title)
}
