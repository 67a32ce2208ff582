//! The internal port: status, one user explained, release; metrics and probes.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use axum_server::Handle;
use prometheus::Registry;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tower_http::limit::RequestBodyLimitLayer;

use super::input::Ask;
use super::setup::InForce;
use super::token;
use crate::api::presence_report::{RELEASE_PATH, STATUS_PATH, USERS_PATH};
use crate::telemetry::health::Health;
use crate::telemetry::server::routes;

/// How long the core may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// No request needs a body.
const LONGEST_BODY: usize = 4096;
/// Longest name of a user.
const LONGEST_NAME: usize = 512;
/// How long requests under way may take at the end.
const DRAIN: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Internal {
    asks: mpsc::Sender<Ask>,
    /// How long a release may take.
    release: Duration,
}

/// The listener of the internal port.
pub struct Listening {
    handle: Handle<SocketAddr>,
    task: JoinHandle<std::io::Result<()>>,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// Starts to answer.
pub async fn listen(
    addr: SocketAddr,
    asks: mpsc::Sender<Ask>,
    release: Duration,
    in_force: watch::Receiver<InForce>,
    health: Health,
    registry: Registry,
) -> Result<Listening, Box<dyn std::error::Error + Send + Sync>> {
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    let handle = Handle::new();
    let router = router(Internal { asks, release }, in_force).merge(routes(health, registry));
    let mut server = axum_server::from_tcp(listener)?.handle(handle.clone()).http1_only();
    server
        .http_builder()
        .http1()
        .header_read_timeout(Duration::from_secs(75));
    let task = tokio::spawn(server.serve(router.into_make_service()));
    let addr = handle.listening().await.ok_or("the listener did not start")?;
    Ok(Listening { handle, task, addr })
}

impl Listening {
    /// Ends it.
    pub async fn close(self) {
        self.handle.graceful_shutdown(Some(DRAIN));
        let _ = self.task.await;
    }
}

fn router(internal: Internal, in_force: watch::Receiver<InForce>) -> Router {
    Router::new()
        .route(STATUS_PATH, get(status))
        .route(&format!("{USERS_PATH}/{{user}}"), get(user))
        .route(RELEASE_PATH, post(release))
        .layer(RequestBodyLimitLayer::new(LONGEST_BODY))
        // Metrics and probes are not behind it: they tell of nobody.
        .layer(axum::middleware::from_fn_with_state(in_force, token::check))
        .with_state(internal)
}

async fn status(State(internal): State<Internal>) -> Response {
    match internal.ask(Ask::Status, PATIENCE).await {
        Some(report) => Json(report).into_response(),
        None => busy(),
    }
}

async fn user(State(internal): State<Internal>, Path(name): Path<String>) -> Response {
    if name.len() > LONGEST_NAME {
        return problem(StatusCode::BAD_REQUEST, "the name is too long");
    }
    match internal.ask(|reply| Ask::User(name, reply), PATIENCE).await {
        Some(Some(report)) => Json(report).into_response(),
        Some(None) => problem(
            StatusCode::NOT_FOUND,
            "no such user, neither on the PBX nor in the tenant",
        ),
        None => busy(),
    }
}

async fn release(State(internal): State<Internal>) -> Response {
    match internal.ask(Ask::Release, internal.release + PATIENCE).await {
        Some(report) if report.done => Json(report).into_response(),
        Some(report) => (StatusCode::SERVICE_UNAVAILABLE, Json(report)).into_response(),
        None => busy(),
    }
}

impl Internal {
    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask, patience: Duration) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.asks.send(ask(reply)).await.ok()?;
            answer.await.ok()
        };
        tokio::time::timeout(patience, asked).await.ok().flatten()
    }
}

fn busy() -> Response {
    problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "the worker is busy or beginning anew; ask again",
    )
}

fn problem(status: StatusCode, title: &str) -> Response {
    (status, Json(serde_json::json!({ "title": title }))).into_response()
}
