//! `POST /pexip/{namespace}/{name}/events`: the event sink of one object, with Basic authentication.
//!
//! A node sends its events one by one and tries again what is not answered with success, so what cannot be read is counted and
//! acknowledged all the same. A body that is too large is refused, as it is not read at all.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum_server::Handle;
use http_body_util::LengthLimitError;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::local_clock;
use crate::probe::pexip::{Counts, Sink, Sinks};
use crate::telemetry::connections::Bounded;

/// Longest body, in bytes.
pub const LONGEST: usize = 1 << 20;
/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Bodies that are read at a time: so much memory they may take.
const BODIES: usize = 16;
/// Connections at a time; each node has one or two.
const CONNECTIONS: usize = 256;
/// Longest head of a request, in bytes: each connection may take so much memory before it shows a password.
const LONGEST_HEAD: usize = 16 << 10;
/// How long a connection may be silent between two requests, and in the head of one.
const IDLE: Duration = Duration::from_mins(2);
/// How long a new one may take for the head of its first request.
const FIRST_HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a new leader takes to let in all event sinks. Until then, it cannot tell who has the right password.
pub const SETTLING: Duration = Duration::from_mins(1);

#[derive(Clone)]
struct Server {
    sinks: Arc<Sinks>,
    counts: Counts,
    bodies: Arc<Semaphore>,
    /// From when on all event sinks are let in.
    settled: Instant,
}

/// Ends a server with its connections.
struct Closing(Handle<SocketAddr>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

/// Takes the address.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
}

/// Takes events until the listener fails. Connections end with this future.
pub async fn serve(listener: TcpListener, sinks: Arc<Sinks>, counts: Counts, settled: Instant) -> io::Result<()> {
    let refused = counts.events.with_label_values(&["event_sink", "connection_refused"]);
    let server = Server {
        sinks,
        counts,
        bodies: Arc::new(Semaphore::new(BODIES)),
        settled,
    };
    let routes = Router::new()
        .route("/pexip/{namespace}/{name}/events", post(take))
        .layer(map_response(give_back))
        .with_state(server);
    let handle = Handle::new();
    let _closing = Closing(handle.clone());
    let mut http = axum_server::from_tcp(listener)?.handle(handle).http1_only();
    http.http_builder()
        .http1()
        .header_read_timeout(IDLE)
        .max_buf_size(LONGEST_HEAD);
    http.first_request_timeout(FIRST_HEAD_TIME)
        .acceptor(Bounded::new(CONNECTIONS, refused))
        .serve(routes.into_make_service())
        .await
}

/// Who did not succeed gives the place of the connection back.
async fn give_back(mut response: Response) -> Response {
    if response.status() != StatusCode::OK {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

impl Server {
    /// Who lacks the password does not learn which objects there are.
    fn refuse(&self) -> Response {
        if Instant::now() < self.settled {
            self.counts.event("not_settled");
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        self.counts.event("unauthorized");
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"events\"")];
        (StatusCode::UNAUTHORIZED, challenge).into_response()
    }
}

async fn take(
    State(server): State<Server>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(sink) = server.sinks.admit(&namespace, &name, shown) else {
        return server.refuse();
    };
    let read = timeout(BODY_TIME, read(&server, &sink, &headers, body)).await;
    match read.unwrap_or(Err((StatusCode::REQUEST_TIMEOUT, "too_slow"))) {
        Ok(body) => {
            sink.take(&body, local_clock::now());
            StatusCode::OK.into_response()
        }
        Err((status, result)) => {
            server.counts.event(result);
            status.into_response()
        }
    }
}

async fn read(
    server: &Server,
    sink: &Sink,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, (StatusCode, &'static str)> {
    const TOO_LARGE: (StatusCode, &str) = (StatusCode::PAYLOAD_TOO_LARGE, "too_large");
    const BROKEN: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "broken");
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let length: Option<u64> = length.and_then(|length| length.parse().ok());
    if length.is_some_and(|length| !usize::try_from(length).is_ok_and(|length| length <= LONGEST)) {
        return Err(TOO_LARGE);
    }
    let _turn = sink.turn().await;
    let _place = server.bodies.acquire().await.map_err(|_| BROKEN)?;
    to_bytes(body, LONGEST).await.map_err(|error| {
        let is_too_large = error.source().is_some_and(<dyn Error>::is::<LengthLimitError>);
        if is_too_large { TOO_LARGE } else { BROKEN }
    })
}
