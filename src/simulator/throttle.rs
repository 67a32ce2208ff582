//! Graph's request limits for subscriptions, in real time.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use axum::http::StatusCode;

use super::errors::{GraphError, GraphResult};

const WINDOW: Duration = Duration::from_secs(20);

/// A kind of request with its own limit per app and tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// POST, PATCH, DELETE.
    Write,
    /// `reauthorize`.
    Reauthorize,
    /// GET by id.
    Get,
    /// GET of the collection.
    List,
    /// GET of the call record collection.
    CallRecords,
}

impl Kind {
    fn limit(self) -> usize {
        match self {
            Self::Write | Self::Get => 500,
            Self::Reauthorize => 1_000,
            Self::List => 25,
            Self::CallRecords => 40,
        }
    }
}

/// The latest requests per app, tenant and kind.
#[derive(Debug, Default)]
pub struct Throttle(HashMap<(String, String, Kind), VecDeque<Instant>>);

impl Throttle {
    /// Counts a request. A refused one counts too: hammering keeps the limit shut.
    pub fn count(&mut self, tenant: &str, app: &str, kind: Kind) -> GraphResult<()> {
        let now = Instant::now();
        let seen = self.0.entry((tenant.into(), app.into(), kind)).or_default();
        while seen.front().is_some_and(|first| now.duration_since(*first) >= WINDOW) {
            seen.pop_front();
        }
        let refused = seen.len() >= kind.limit();
        if refused {
            seen.pop_front();
        }
        seen.push_back(now);
        if !refused {
            return Ok(());
        }
        let oldest = seen.front().map_or(Duration::ZERO, |first| now.duration_since(*first));
        let wait = WINDOW.saturating_sub(oldest).as_secs() + 1;
        Err(
            GraphError::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "Too many requests.")
                .retry_after(wait.to_string()),
        )
    }
}
