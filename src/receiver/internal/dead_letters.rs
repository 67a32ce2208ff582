//! What sinks refused for good: looked at, and delivered again on request.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::deliver::{self, Outcome};
use super::super::log::DeadLetter;
use super::super::problem;
use super::pull::EventView;
use super::{Internal, auth, bad, refuse};

const LIMIT: usize = 100;
const LIMIT_MOST: usize = 1000;
/// How many dead letters one request delivers.
const REDELIVERED: usize = 100;

/// What is asked for.
#[derive(Deserialize)]
pub struct ListQuery {
    sink: String,
    after: Option<u64>,
    limit: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    instance: &'a str,
    dead_letters: Vec<LetterView<'a>>,
}

#[derive(Serialize)]
struct LetterView<'a> {
    reason: &'a str,
    event: EventView<'a>,
}

impl<'a> From<&'a DeadLetter> for LetterView<'a> {
    fn from(letter: &'a DeadLetter) -> Self {
        Self {
            reason: &letter.reason,
            event: EventView::from(&letter.event),
        }
    }
}

/// Answers with the oldest dead letters of a sink.
pub async fn list(
    State(internal): State<Arc<Internal>>,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Response {
    if let Err(response) = auth::caller(&internal.setup.borrow(), &headers) {
        return *response;
    }
    let limit = query.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MOST).contains(&limit) {
        return bad("limit is 1 to 1000");
    }
    let letters = match internal
        .log
        .dead_letters(&query.sink, query.after.unwrap_or(0), limit)
        .await
    {
        Ok(letters) => letters,
        Err(error) => return refuse(&error),
    };
    let dead_letters = letters.iter().map(LetterView::from).collect();
    let instance = &internal.instance;
    Json(Answer { instance, dead_letters }).into_response()
}

/// Tries dead letters of a sink once more, oldest first, until one is not taken. Those taken are forgotten.
pub async fn redeliver(
    State(internal): State<Arc<Internal>>,
    Path(sink): Path<String>,
    headers: HeaderMap,
) -> Response {
    let setup = internal.setup.borrow().clone();
    if let Err(response) = auth::caller(&setup, &headers) {
        return *response;
    }
    let Some(target) = deliver::target(&setup, &sink) else {
        return problem::answer(StatusCode::NOT_FOUND, "no such sink");
    };
    // What was taken could not be struck off, and would be delivered again and again.
    if let Err(error) = internal.log.check() {
        return refuse(&error);
    }
    let letters = match internal.log.dead_letters(&sink, 0, REDELIVERED).await {
        Ok(letters) => letters,
        Err(error) => return refuse(&error),
    };
    let log_id = internal.log.id();
    let (mut delivered, mut problem) = (Vec::new(), None);
    for letter in letters {
        let seq = letter.event.seq;
        match target.deliver(&log_id, &letter.event).await {
            Outcome::Delivered => {
                internal.metrics.dead_letter_redelivered(&sink);
                delivered.push(seq);
            }
            Outcome::Retry { reason, .. } | Outcome::Refused { reason } => {
                problem = Some(reason);
                break;
            }
        }
    }
    let count = delivered.len();
    if let Err(error) = internal.log.forget(&sink, delivered).await {
        return refuse(&error);
    }
    let left = internal.log.status().dead_letters.get(&sink).copied().unwrap_or(0);
    Json(json!({ "delivered": count, "left": left, "problem": problem })).into_response()
}
