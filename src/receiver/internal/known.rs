//! The controller asks what arrived already, so that after a gap it hands in only what is lacking.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::super::arrivals::Mark;
use super::super::event::{now_millis, rfc3339};
use super::super::log::StoreError;
use super::{Internal, KNOWN_BYTES, auth, bad, refuse};

/// How many ids one request may ask about.
const IDS: usize = 1000;

#[derive(Deserialize)]
struct Body {
    uid: String,
    ids: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    // By the clock that the other times are of.
    now: String,
    complete_since: String,
    received: Vec<Option<String>>,
}

/// Answers, for each resource of a `GraphSubscription`, when something about it last arrived, and since when that is sure.
pub async fn known(State(internal): State<Arc<Internal>>, request: Request) -> Response {
    if let Err(response) = auth::controller(&internal.setup.borrow(), request.headers()) {
        return *response;
    }
    let until = internal.until();
    let body = match internal.body(request, KNOWN_BYTES, until).await {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let Ok(Body { uid, ids }) = serde_json::from_slice(&body.bytes) else {
        return bad("the body must be {\"uid\": text, \"ids\": [text]}");
    };
    if ids.len() > IDS {
        return bad("at most 1000 ids are answered at once");
    }
    // Until the log is open, another process may still have been storing.
    let Some(opened_millis) = internal.log.opened_millis() else {
        return refuse(&StoreError::Unavailable("not opened yet".to_owned()));
    };
    let marks: Vec<Mark> = ids.iter().map(|id| Mark::new(&uid, id)).collect();
    let remembered = internal.arrivals.look_up(&marks);
    let since = remembered.forgotten.unwrap_or(opened_millis).max(opened_millis);
    let answer = Answer {
        now: rfc3339(now_millis()),
        complete_since: rfc3339(since),
        received: remembered.received.into_iter().map(|time| time.map(rfc3339)).collect(),
    };
    Json(answer).into_response()
}
