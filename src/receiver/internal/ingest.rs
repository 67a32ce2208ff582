//! The controller hands in what it fetched itself, so that it reaches the same sinks, and how far it fetched.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::arrivals::Mark;
use super::super::event::{Kind, Origin, Record, now_millis};
use super::super::fields::Fields;
use super::super::items;
use super::bookmarks::Given;
use super::{INGEST_BYTES, Internal, auth, bad, refuse};

#[derive(Deserialize)]
struct Body {
    items: Vec<Entry>,
    bookmark: Option<Given>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    uid: String,
    origin: IngestOrigin,
    subscription_id: Option<String>,
    item: Box<RawValue>,
    /// Nobody knows when it happened, so it says nothing about what comes later.
    #[serde(default)]
    timeless: bool,
}

// What is pushed comes from Graph and nowhere else.
#[derive(Deserialize)]
enum IngestOrigin {
    Backfill,
    Poll,
}

/// Stores items and a bookmark, all or none.
pub async fn ingest(State(internal): State<Arc<Internal>>, request: Request) -> Response {
    if let Err(response) = auth::controller(&internal.setup.borrow(), request.headers()) {
        return *response;
    }
    let until = internal.until();
    let body = match internal.body(request, INGEST_BYTES, until).await {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let Ok(Body { items, bookmark }) = serde_json::from_slice(&body.bytes) else {
        return bad(
            "the body must be {\"items\": [{uid, origin, subscriptionId, item, timeless}], \"bookmark\": {uid, value, time}}",
        );
    };
    let bookmark = match bookmark.map(Given::check).transpose() {
        Ok(bookmark) => bookmark,
        Err(title) => return bad(title),
    };
    let received_millis = now_millis();
    let read: Option<Vec<_>> = items.into_iter().map(|entry| read(entry, received_millis)).collect();
    let Some(read) = read else {
        return bad("an item is not an object");
    };
    let (marks, records): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    if records.is_empty() && bookmark.is_none() {
        return StatusCode::ACCEPTED.into_response();
    }
    drop(body.bytes);
    let append = internal.log.hand_in(records, bookmark, Some(body.share));
    if let Err(error) = internal.in_time(until, append).await {
        return refuse(&error);
    }
    let marks: Vec<Mark> = marks.into_iter().flatten().collect();
    internal.arrivals.note(&marks, received_millis);
    StatusCode::ACCEPTED.into_response()
}

// An item as it is stored, and the mark of its resource if it tells of one and when.
fn read(entry: Entry, received_millis: i64) -> Option<(Option<Mark>, (Kind, Record))> {
    let fields = Fields::parse(&entry.item)?;
    let item = items::read(&fields).ok()?;
    let timed = item.resource_id.filter(|_| !entry.timeless);
    let mark = timed.map(|id| Mark::new(&entry.uid, &id));
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
    Some((mark, (item.kind, record)))
}
