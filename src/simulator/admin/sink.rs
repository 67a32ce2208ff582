//! The demo sink: takes any POST, remembers it, and answers as it was told.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use crate::simulator::clock;
use crate::simulator::sink::{Manners, Received};
use crate::simulator::state::Shared;

pub async fn receive(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let manners = shared.state().sink.manners.clone();
    tokio::time::sleep(Duration::from_millis(manners.delay_ms)).await;
    let body =
        serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
    let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let attributes: Map<String, Value> = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().strip_prefix("ce-")?.into(), text(value).into())))
        .collect();
    let content_type = headers.get("content-type").map(text).unwrap_or_default();
    let at = clock::precise(shared.clock.now());
    shared.state().sink.keep(Received {
        at,
        content_type,
        attributes,
        body,
        status: manners.status,
    });
    StatusCode::from_u16(manners.status).unwrap_or(StatusCode::ACCEPTED)
}

pub async fn list(State(shared): State<Shared>) -> Json<Vec<Received>> {
    Json(shared.state().sink.list())
}

pub async fn set_manners(State(shared): State<Shared>, Json(manners): Json<Manners>) -> StatusCode {
    shared.state().sink.manners = manners;
    StatusCode::NO_CONTENT
}

pub async fn clear(State(shared): State<Shared>) -> StatusCode {
    shared.state().sink.clear();
    StatusCode::NO_CONTENT
}
