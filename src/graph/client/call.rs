//! One call to Graph: its turn, its token, its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder};
use secrecy::ExposeSecret;
use url::Url;

use super::Graph;
use crate::graph::classify;
use crate::graph::error::{Class, Failure, Kind};
use crate::graph::exchange::{Answer, Bounds, exchange};
use crate::graph::limiter::Lane;
use crate::graph::metrics::Operation;
use crate::graph::token::Token;

/// Graph does the validation handshake, up to ten seconds for each URL, inside a create; and, as administrators report, inside
/// a renewal.
const LIMIT_WITH_HANDSHAKE: Duration = Duration::from_secs(35);
pub(super) const LIMIT: Duration = Duration::from_secs(15);
/// Least life of the token for a create or renewal (or half of what it had), since the subscription is authorized by it:
/// Graph asks for a reauthorization because the token of the last write ends, and the same one again would not do.
const FRESH: Duration = Duration::from_hours(1);

/// A call to be made.
pub(super) struct Call<'a> {
    pub(super) operation: Operation,
    pub(super) lane: Lane,
    pub(super) deadline: Timestamp,
    pub(super) method: Method,
    pub(super) url: &'a Url,
    pub(super) body: Option<Vec<u8>>,
}

impl<'a> Call<'a> {
    pub(super) fn get(operation: Operation, lane: Lane, url: &'a Url, deadline: Timestamp) -> Self {
        Self {
            operation,
            lane,
            deadline,
            method: Method::GET,
            url,
            body: None,
        }
    }
}

impl Operation {
    fn bounds(self) -> Bounds {
        Bounds {
            time: match self {
                Self::Create | Self::Renew => LIMIT_WITH_HANDSHAKE,
                _ => LIMIT,
            },
            // Graph does not say how many subscriptions a page of the list may have.
            mebibytes: if matches!(
                self,
                Self::List | Self::Changes | Self::PresenceRead | Self::Directory | Self::Inspection
            ) {
                16
            } else {
                1
            },
        }
    }

    fn token_life(self) -> Duration {
        match self {
            Self::Create | Self::Renew => FRESH,
            _ => Duration::ZERO,
        }
    }
}

impl Graph {
    /// Makes a call in its turn; after a 401 once more with another token, unless this one was new.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let token = self.turn(call).await?;
        let result = self.attempt(call, &token).await;
        if !matches!(&result, Err(failure) if failure.kind == Kind::Unauthorized) {
            return result;
        }
        if !self.tokens.reject(&token) {
            return result;
        }
        let token = self.turn(call).await?;
        self.attempt(call, &token).await
    }

    /// Waits for the call's turn. Signs in before, so that a dead credential takes no place, and looks again after.
    async fn turn(&self, call: &Call<'_>) -> Result<Arc<Token>, Failure> {
        let needed = call.operation.token_life();
        self.tokens.get(needed).await?;
        self.shared.limiter.acquire(call.lane, call.deadline).await?;
        self.tokens.get(needed).await
    }

    async fn attempt(&self, call: &Call<'_>, token: &Token) -> Result<Answer, Failure> {
        let started = Instant::now();
        let result = self.send(call, token).await;
        let outcome = result.as_ref().map_or_else(|failure| failure.kind.label(), |_| "ok");
        self.shared.metrics.request(call.operation, outcome, started.elapsed());
        match &result {
            Ok(_) => self.shared.limiter.passed(),
            Err(failure) => {
                if let Class::Throttled(after) = failure.class {
                    let limiter = &self.shared.limiter;
                    // Users, apps, files, messages and presence are throttled by themselves; renewals must not wait for them.
                    let pause = match call.lane {
                        Lane::Changes | Lane::Presence | Lane::Inspection => limiter.rest(call.lane, after),
                        _ => limiter.pause(after),
                    };
                    tracing::warn!(
                        ?pause,
                        operation = call.operation.label(),
                        "Graph throttles: calls of this app in this tenant pause"
                    );
                }
            }
        }
        result
    }

    /// Tells the limiter whether there was an answer.
    async fn exchange(&self, request: RequestBuilder, bounds: Bounds) -> Result<Answer, Failure> {
        let started = tokio::time::Instant::now();
        let result = exchange(request, bounds, "Graph").await;
        match &result {
            Err(failure) if failure.kind == Kind::Unavailable => self.shared.limiter.unanswered(started.elapsed()),
            _ => self.shared.limiter.answered(),
        }
        result
    }

    async fn send(&self, call: &Call<'_>, token: &Token) -> Result<Answer, Failure> {
        let mut request = self
            .shared
            .http
            .request(call.method.clone(), call.url.clone())
            .bearer_auth(token.secret.expose_secret());
        if let Some(body) = &call.body {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        let answer = self.exchange(request, call.operation.bounds()).await?;
        answer.tell_time(&self.shared.clock);
        if answer.is_success() {
            return Ok(answer);
        }
        Err(classify::graph(answer.status, answer.retry_after, &answer.body))
    }
}
