//! How far the controller fetched changes. It is kept here because it has to move together with what was handed in.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::super::log::Bookmark;
use super::super::problem;
use super::{Internal, auth, refuse};

/// Bytes of a value. Delta links have grown to some kilobytes.
const VALUE_BYTES: usize = 8 << 10;

/// A bookmark as it is handed in.
#[derive(Deserialize)]
pub struct Given {
    uid: String,
    value: String,
    time: String,
}

impl Given {
    /// A bookmark that can be stored; otherwise what is wrong with it.
    pub fn check(self) -> Result<Bookmark, &'static str> {
        let Self { uid, value, time } = self;
        if uid.is_empty() || value.is_empty() {
            return Err("a bookmark needs a uid and a value");
        }
        if value.len() > VALUE_BYTES {
            return Err("a bookmark's value has at most 8 KiB");
        }
        let time: jiff::Timestamp = time.parse().map_err(|_| "a bookmark's time must be RFC 3339")?;
        let time = time.to_string();
        Ok(Bookmark { uid, value, time })
    }
}

#[derive(Serialize)]
struct Answer {
    value: String,
    time: String,
}

/// Answers with the bookmark of a `GraphSubscription`.
pub async fn bookmark(State(internal): State<Arc<Internal>>, Path(uid): Path<String>, headers: HeaderMap) -> Response {
    if let Err(response) = auth::controller(&internal.setup.borrow(), &headers) {
        return *response;
    }
    match internal.log.bookmark(&uid).await {
        Ok(Some(Bookmark { value, time, .. })) => Json(Answer { value, time }).into_response(),
        Ok(None) => problem::answer(StatusCode::NOT_FOUND, "no bookmark of this uid"),
        Err(error) => refuse(&error),
    }
}
