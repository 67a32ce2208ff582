//! Consumers fetch events and say how far they have come.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::event::{Event, Kind, rfc3339};
use super::super::log::{self, CursorError, PAGE_BYTES, StoreError, consumer_cursor};
use super::super::problem;
use super::{Internal, SMALL_BYTES, auth, bad, refuse};

const LIMIT: usize = 100;
const LIMIT_MOST: usize = 1000;
const WAIT_MOST: u64 = 30;

/// What is asked for. Sequence numbers mean something only in the log they come from.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullQuery {
    after: Option<u64>,
    log_id: Option<String>,
    limit: Option<usize>,
    kind: Option<Kind>,
    wait: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    instance: &'a str,
    log_id: String,
    events: Vec<EventView<'a>>,
    next: u64,
}

/// An event as consumers see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventView<'a> {
    seq: u64,
    received_time: String,
    uid: &'a str,
    key_id: &'a str,
    kind: Kind,
    origin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_id: Option<&'a str>,
    item: &'a RawValue,
}

impl<'a> From<&'a Event> for EventView<'a> {
    fn from(event: &'a Event) -> Self {
        let record = &event.record;
        Self {
            seq: event.seq,
            received_time: rfc3339(record.received_millis),
            uid: &record.uid,
            key_id: &record.key_id,
            kind: event.kind,
            origin: record.origin.name(),
            subscription_id: record.subscription_id.as_deref(),
            item: &record.item,
        }
    }
}

/// Answers with events after a cursor, waiting for the first if asked to.
pub async fn events(
    State(internal): State<Arc<Internal>>,
    Path(name): Path<String>,
    Query(query): Query<PullQuery>,
    headers: HeaderMap,
) -> Response {
    if let Err(response) = auth::consumer(&internal.setup.borrow(), &headers, &name) {
        return *response;
    }
    if !internal.log.is_known() {
        return refuse(&StoreError::Unavailable("not opened yet".to_owned()));
    }
    let (limit, wait) = (query.limit.unwrap_or(LIMIT), query.wait.unwrap_or(0));
    if !(1..=LIMIT_MOST).contains(&limit) || wait > WAIT_MOST {
        return bad("limit is 1 to 1000, wait is 0 to 30 seconds");
    }
    if query.log_id.as_ref().is_some_and(|id| *id != internal.log.id()) {
        return another_log();
    }
    let after = query
        .after
        .unwrap_or_else(|| internal.log.cursor(&consumer_cursor(&name)));
    if after > internal.log.ends().borrow().last {
        return bad("after is beyond the end of the log");
    }
    internal.wait(after, query.kind, Duration::from_secs(wait)).await;
    let query = log::Query {
        after,
        limit,
        kind: query.kind,
        bytes: PAGE_BYTES,
    };
    match internal.log.read(query).await {
        Ok(page) => internal.answer(&page),
        Err(error) => refuse(&error),
    }
}

impl Internal {
    // Waits for an event that would be answered, but not for ever and not during shutdown.
    async fn wait(&self, after: u64, kind: Option<Kind>, time: Duration) {
        let mut ends = self.log.ends();
        tokio::select! {
            _ = ends.wait_for(|ends| ends.of(kind) > after) => {}
            () = tokio::time::sleep(time) => {}
            () = self.stop.cancelled() => {}
        }
    }

    fn answer(&self, page: &log::Page) -> Response {
        let answer = Answer {
            instance: &self.instance,
            log_id: self.log.id(),
            events: page.events.iter().map(EventView::from).collect(),
            next: page.next,
        };
        Json(answer).into_response()
    }
}

/// How far a consumer has come, and in which log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Acknowledgement {
    log_id: String,
    cursor: u64,
}

/// Moves a consumer's cursor forward.
pub async fn acknowledge(
    State(internal): State<Arc<Internal>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    if let Err(response) = auth::consumer(&internal.setup.borrow(), request.headers(), &name) {
        return *response;
    }
    let until = internal.until();
    let body = match internal.body(request, SMALL_BYTES, until).await {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let Ok(Acknowledgement { log_id, cursor }) = serde_json::from_slice(&body.bytes) else {
        return bad("the body must be {\"logId\": text, \"cursor\": number}");
    };
    if !internal.log.is_known() {
        return refuse(&StoreError::Unavailable("not opened yet".to_owned()));
    }
    if log_id != internal.log.id() {
        return another_log();
    }
    let name = consumer_cursor(&name);
    let acknowledged = internal.in_time(until, internal.log.acknowledge(&name, cursor)).await;
    match acknowledged {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(CursorError::Backwards(_)) => problem::answer(StatusCode::CONFLICT, "the cursor is already further"),
        Err(CursorError::BeyondEnd(_)) => bad("the cursor is beyond the end of the log"),
        Err(CursorError::Store(error)) => refuse(&error),
    }
}

fn another_log() -> Response {
    problem::answer(StatusCode::CONFLICT, "this is another log")
}
