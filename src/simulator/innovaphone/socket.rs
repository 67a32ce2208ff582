//! The WebSocket itself.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

use super::session::Next;
use super::site::Connection;
use crate::simulator::state::Shared;

const LARGEST_MESSAGE: usize = 256 * 1024;
/// Messages that wait for a slow reader, before it is cut off.
const MOST_WAITING: usize = 16 * 1024;
/// Messages that leave in one go, and so often in one TCP segment.
const MOST_AT_ONCE: usize = 64;
const TICK: Duration = Duration::from_millis(20);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// `GET /PBX0/APPS/websocket`
pub async fn dial_master(State(shared): State<Shared>, request: Request) -> Response {
    let name = shared.state().site.master().map(|pbx| pbx.name.clone());
    connect(&shared, &name.unwrap_or_default(), request)
}

/// `GET /{pbx}/PBX0/APPS/websocket`
pub async fn dial(State(shared): State<Shared>, Path(name): Path<String>, request: Request) -> Response {
    connect(&shared, &name, request)
}

fn connect(shared: &Shared, name: &str, mut request: Request) -> Response {
    let (pbx, is_reachable) = {
        let state = shared.state();
        match state.site.pbx(name) {
            Some(pbx) => (pbx.name.clone(), !pbx.manners.unreachable),
            None => return StatusCode::NOT_FOUND.into_response(),
        }
    };
    if !is_reachable {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let Some(accept) = accept_key(request.headers()) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return StatusCode::UPGRADE_REQUIRED.into_response();
    };
    let (shared, stop) = (shared.clone(), shared.stop.clone());
    let task = async move {
        if let Ok(upgraded) = upgrade.await {
            serve(&shared, pbx, TokioIo::new(upgraded)).await;
        }
    };
    tokio::spawn(async move { stop.run_until_cancelled(task).await });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn accept_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let text = |name| headers.get(name)?.to_str().ok();
    let has_version = text(header::SEC_WEBSOCKET_VERSION)? == "13";
    let wants_upgrade = text(header::UPGRADE)?.eq_ignore_ascii_case("websocket");
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
    let accept = derive_accept_key(key.as_bytes());
    HeaderValue::from_str(&accept)
        .ok()
        .filter(|_| has_version && wants_upgrade)
}

/// One connection, until either side ends it.
async fn serve(shared: &Shared, pbx: String, io: TokioIo<Upgraded>) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(LARGEST_MESSAGE))
        .max_frame_size(Some(LARGEST_MESSAGE));
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let (out, waiting) = mpsc::channel(MOST_WAITING);
    let closing = CancellationToken::new();
    let id = {
        let mut state = shared.state();
        let id = state.site.next();
        let connection = Connection {
            pbx: pbx.clone(),
            app: None,
            challenge: None,
            watched: std::collections::BTreeMap::new(),
            replication: None,
            rcc: None,
            messages: 0,
            out,
            closing: closing.clone(),
        };
        state.site.connections.insert(id, connection);
        id
    };
    let talk = talk(shared, id, &pbx, socket, waiting);
    closing.run_until_cancelled(talk).await;
    shared.state().site.connections.remove(&id);
}

async fn talk(shared: &Shared, id: u64, pbx: &str, mut socket: Socket, mut waiting: mpsc::Receiver<String>) {
    let idle = Duration::from_secs(shared.state().site.manners(pbx).idle_seconds);
    let mut heard = Instant::now();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if shared.state().site.manners(pbx).half_open {
            // Only the end of the connection or a drop gets out of this.
            std::future::pending::<()>().await;
        }
        tokio::select! {
            biased;
            message = waiting.recv() => {
                let Some(message) = message else { return };
                if send(&mut socket, message, &mut waiting).await.is_err() {
                    return;
                }
            }
            frame = socket.next() => {
                heard = Instant::now();
                let Some(Ok(frame)) = frame else { return };
                if hear(shared, id, pbx, &frame) == Next::Close {
                    flush(&mut socket, &mut waiting).await;
                    return;
                }
            }
            _ = ticks.tick() => {
                shared.state().site.tick(id);
            }
            () = sleep_until(heard + idle) => return,
        }
    }
}

fn hear(shared: &Shared, id: u64, pbx: &str, frame: &Message) -> Next {
    let mut state = shared.state();
    if state.site.manners(pbx).half_open {
        return Next::Stay;
    }
    match frame {
        Message::Text(text) => state.site.hear(id, text.as_str()),
        Message::Binary(_) => {
            state.site.breach(id, "binary", "a binary frame came");
            Next::Close
        }
        Message::Close(_) => Next::Close,
        _ => Next::Stay,
    }
}

async fn send(
    socket: &mut Socket,
    first: String,
    waiting: &mut mpsc::Receiver<String>,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    socket.feed(Message::text(first)).await?;
    for _ in 1..MOST_AT_ONCE {
        let Ok(next) = waiting.try_recv() else { break };
        socket.feed(Message::text(next)).await?;
    }
    socket.flush().await
}

/// What was said last is sent before the end. Who is gone does not hear it.
async fn flush(socket: &mut Socket, waiting: &mut mpsc::Receiver<String>) {
    while let Ok(message) = waiting.try_recv() {
        if socket.feed(Message::text(message)).await.is_err() {
            return;
        }
    }
    let _ = socket.close(None).await;
}
