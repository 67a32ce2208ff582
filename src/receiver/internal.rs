//! The internal API: consumers pull and acknowledge, the controller looks and hands in.

mod auth;
mod bookmarks;
mod dead_letters;
mod ingest;
mod known;
mod pull;
mod state;

use std::sync::Arc;

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::absence::Absences;
use super::answers::Answers;
use super::arrivals::Arrivals;
use super::body::{self, Held};
use super::deliver::SinkHealths;
use super::log::{Log, StoreError};
use super::metrics::Metrics;
use super::problem;
use super::setup::Setup;

/// Bytes that one request may hand in.
const INGEST_BYTES: usize = 16 << 20;
/// Bytes of all that is handed in and not yet stored.
pub const INGEST_MEMORY: usize = 32 << 20;
/// Bytes of one request about what arrived.
const KNOWN_BYTES: usize = 1 << 20;
/// Bytes of any other request.
const SMALL_BYTES: usize = 4 << 10;

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
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What arrived lately.
    pub arrivals: Arc<Arrivals>,
    /// How quickly Graph was answered lately.
    pub answers: Arc<Answers>,
    /// When it was away before it started.
    pub absences: Absences,
    /// Bytes that may still be handed in.
    pub memory: Arc<Semaphore>,
    /// Time from a request's head to its answer, but for long polls and deliveries.
    pub answer_time: Duration,
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
        .route("/v1/known", post(known::known))
        .route("/v1/bookmarks/{uid}", get(bookmarks::bookmark))
        .route("/v1/deadletters", get(dead_letters::list))
        .route("/v1/deadletters/{sink}/redeliver", post(dead_letters::redeliver))
        .with_state(internal)
}

impl Internal {
    // Of a caller who was proved: nobody else can make this read anything.
    async fn body(&self, request: Request, most: usize, until: Instant) -> Result<Held, Box<Response>> {
        let (head, body) = request.into_parts();
        let body = body::read(&head.headers, body, most, until, &self.memory).await;
        body.map_err(|error| Box::new(error.response()))
    }

    // What takes longer may be done all the same; the caller asks again.
    async fn in_time<T, E: From<StoreError>>(
        &self,
        until: Instant,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let done = tokio::time::timeout_at(until.into(), work).await;
        done.unwrap_or_else(|_| Err(StoreError::Slow.into()))
    }

    fn until(&self) -> Instant {
        Instant::now() + self.answer_time
    }
}

fn refuse(error: &StoreError) -> Response {
    problem::unavailable(&error.to_string())
}

fn bad(title: &str) -> Response {
    problem::answer(StatusCode::BAD_REQUEST, title)
}
