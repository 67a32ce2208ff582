//! `POST /pexip/{namespace}/{name}/events`: the event sink of one object, with Basic authentication.
//!
//! A node sends its events one by one and tries again what is not answered with success, so what is good for nothing is counted and
//! acknowledged all the same.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::LengthLimitError;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::local_clock;
use crate::probe::pexip::{Counts, Sinks};
use crate::telemetry::connections::Bounded;

/// Longest body, in bytes.
pub const LONGEST: usize = 1 << 20;
/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Bodies that are read at a time: so much memory they may take.
const BODIES: usize = 16;
/// Connections at a time; each node has one or two.
const CONNECTIONS: usize = 256;
/// How long a connection may be silent between two requests, and in the head of one.
const IDLE: Duration = Duration::from_mins(2);
/// How long a new one may take for the head of its first request.
const FIRST_HEAD_TIME: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Server {
    sinks: Arc<Sinks>,
    counts: Counts,
    bodies: Arc<Semaphore>,
}

/// Takes the address.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
}

/// Takes events until the listener fails.
pub async fn serve(listener: TcpListener, sinks: Arc<Sinks>, counts: Counts) -> io::Result<()> {
    let refused = counts.events.with_label_values(&["event_sink", "connection_refused"]);
    let server = Server {
        sinks,
        counts,
        bodies: Arc::new(Semaphore::new(BODIES)),
    };
    let routes = Router::new()
        .route("/pexip/{namespace}/{name}/events", post(take))
        .with_state(server);
    let mut http = axum_server::from_tcp(listener)?.http1_only();
    http.http_builder().http1().header_read_timeout(IDLE);
    http.first_request_timeout(FIRST_HEAD_TIME)
        .acceptor(Bounded::new(CONNECTIONS, refused))
        .serve(routes.into_make_service())
        .await
}

async fn take(
    State(server): State<Server>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let sink = server.sinks.find(&namespace, &name);
    // Who lacks the password does not learn which objects there are.
    let Some(sink) = sink.filter(|sink| sink.admits(shown)) else {
        server.counts.event("unauthorized");
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"events\"")];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    };
    let read = timeout(BODY_TIME, read(&server, &headers, body)).await;
    let body = match read.unwrap_or(Err((StatusCode::REQUEST_TIMEOUT, "too_slow"))) {
        Ok(body) => body,
        Err((status, result)) => {
            server.counts.event(result);
            return status.into_response();
        }
    };
    match sink.take(&body, local_clock::now()) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn read(server: &Server, headers: &HeaderMap, body: Body) -> Result<Bytes, (StatusCode, &'static str)> {
    const TOO_LARGE: (StatusCode, &str) = (StatusCode::PAYLOAD_TOO_LARGE, "too_large");
    const BROKEN: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "broken");
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let length: Option<u64> = length.and_then(|length| length.parse().ok());
    if length.is_some_and(|length| !usize::try_from(length).is_ok_and(|length| length <= LONGEST)) {
        return Err(TOO_LARGE);
    }
    let _place = server.bodies.acquire().await.map_err(|_| BROKEN)?;
    to_bytes(body, LONGEST).await.map_err(|error| {
        let is_too_large = error.source().is_some_and(<dyn Error>::is::<LengthLimitError>);
        if is_too_large { TOO_LARGE } else { BROKEN }
    })
}
