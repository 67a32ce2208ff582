//! The controller hands in what it fetched itself, so that it reaches the same sinks.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::event::{Kind, Origin, Record, now_millis};
use super::super::fields::Fields;
use super::super::items;
use super::{INGEST_BYTES, Internal, auth, bad, refuse};

#[derive(Deserialize)]
struct Body {
    items: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    uid: String,
    origin: IngestOrigin,
    subscription_id: Option<String>,
    item: Box<RawValue>,
}

// What is pushed comes from Graph and nowhere else.
#[derive(Deserialize)]
enum IngestOrigin {
    Backfill,
    Poll,
}

/// Stores items, all or none.
pub async fn ingest(State(internal): State<Arc<Internal>>, request: Request) -> Response {
    if let Err(response) = auth::controller(&internal.setup.borrow(), request.headers()) {
        return *response;
    }
    let until = internal.until();
    let body = match internal.body(request, INGEST_BYTES, until).await {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let Ok(Body { items }) = serde_json::from_slice(&body.bytes) else {
        return bad("the body must be {\"items\": [{uid, origin, subscriptionId, item}]}");
    };
    let received_millis = now_millis();
    let records: Option<Vec<_>> = items.into_iter().map(|entry| record(entry, received_millis)).collect();
    let Some(records) = records else {
        return bad("an item is not an object");
    };
    if records.is_empty() {
        return StatusCode::ACCEPTED.into_response();
    }
    drop(body.bytes);
    let append = internal.log.append(records, Some(body.share));
    match internal.in_time(until, append).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(error) => refuse(&error),
    }
}

fn record(entry: Entry, received_millis: i64) -> Option<(Kind, Record)> {
    let fields = Fields::parse(&entry.item)?;
    let item = items::read(&fields).ok()?;
    let origin = match entry.origin {
        IngestOrigin::Backfill => Origin::Backfill,
        IngestOrigin::Poll => Origin::Poll,
    };
    let record = Record {
        received_millis,
        uid: entry.uid,
        key_id: String::new(),
        origin,
        subscription_id: entry.subscription_id.or(item.subscription_id),
        item: item.json,
    };
    Some((item.kind, record))
}
