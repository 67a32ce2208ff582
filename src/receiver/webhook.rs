//! The public listener: limit, verify, store, and only then say so.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::answers::Answers;
use super::arrivals::{Arrivals, Mark};
use super::body::{self, Held, Limits};
use super::event::{Kind, Origin, Record, now_millis};
use super::items::{self, Judged};
use super::log::{Log, StoreError};
use super::metrics::Metrics;
use super::setup::Setup;
use super::{handshake, problem};
use crate::policy::identity::{Addressee, Channel};

mod tally;
use tally::{Answering, Items};

const NOT_STORED: &str = "the notifications could not be stored";

/// What the public listener works with.
pub struct Webhook {
    /// The current configuration.
    pub setup: watch::Receiver<Arc<Setup>>,
    /// Where items are stored.
    pub log: Log,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What arrived lately.
    pub arrivals: Arc<Arrivals>,
    /// How quickly Graph was answered lately.
    pub answers: Arc<Answers>,
    /// Limits of requests.
    pub limits: Limits,
    /// Bytes that may still be taken in.
    pub memory: Arc<Semaphore>,
    /// Whether items are stored. Off only in the benchmark, to measure what storing costs.
    pub store: bool,
}

/// The routes: one entry, for every path and method.
pub fn router(webhook: Arc<Webhook>) -> Router {
    Router::new().fallback(handle).with_state(webhook)
}

async fn handle(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    let addressee = webhook.addressee(request.uri().path());
    let channel = match addressee.as_ref().map(|(addressee, _)| addressee.channel) {
        None => "unknown",
        Some(Channel::Notification) => "notification",
        Some(Channel::Lifecycle) => "lifecycle",
    };
    // Graph knows no other addresses, so it judges by the answers of these.
    let answers = addressee.is_some().then(|| Arc::clone(&webhook.answers));
    let answering = Answering::begin(&webhook.metrics, channel, answers);
    let until = answering.since() + webhook.limits.answer_time;
    let response = match addressee {
        None => unknown(),
        Some((addressee, client_state)) => webhook.answer(addressee, &client_state, request, until).await,
    };
    answering.end(response.status());
    response
}

// Only those who know an address keep their connection.
fn unknown() -> Response {
    (StatusCode::NOT_FOUND, [(header::CONNECTION, "close")], "not found\n").into_response()
}

impl Webhook {
    // Whom a path is for, and the secret that its items must carry.
    fn addressee(&self, path: &str) -> Option<(Addressee, String)> {
        let setup = self.setup.borrow();
        let addressee = setup.keyring.addressee(path.strip_prefix(&setup.config.path_prefix)?)?;
        let client_state = setup.keyring.get(&addressee.key_id)?.client_state(&addressee.uid);
        Some((addressee, client_state))
    }

    async fn answer(&self, addressee: Addressee, client_state: &str, request: Request, until: Instant) -> Response {
        if request.method() != Method::POST {
            let mut response = problem::answer(StatusCode::METHOD_NOT_ALLOWED, "only POST is answered here");
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        if let Some(token) = request.uri().query().and_then(handshake::token) {
            let response = handshake::answer(token);
            let result = if response.status().is_success() {
                "answered"
            } else {
                "refused"
            };
            self.metrics.handshake(result);
            tracing::info!(uid = addressee.uid, channel = ?addressee.channel, result, "validation handshake");
            return response;
        }
        if self.store
            && let Err(error) = self.log.check()
        {
            self.metrics.refused(reason(&error));
            return problem::unavailable(NOT_STORED);
        }
        let (head, body) = request.into_parts();
        match body::read(&head.headers, body, self.limits.body_bytes, until, &self.memory).await {
            Ok(body) => self.take(addressee, client_state, body, until).await,
            Err(error) => {
                self.metrics.refused(error.reason());
                error.response()
            }
        }
    }

    async fn take(&self, addressee: Addressee, client_state: &str, body: Held, until: Instant) -> Response {
        let Ok(judged) = items::judge(&body.bytes, client_state) else {
            self.metrics.refused("malformed");
            return problem::answer(StatusCode::BAD_REQUEST, "the body is not a collection of notifications");
        };
        drop(body.bytes); // its items were copied, and storing them may take a while
        self.count(&addressee, &judged);
        if !judged.good.is_empty() {
            return self.store(addressee, judged, body.share, until).await;
        }
        // A key that is wrong on our side must lose nothing: Graph repeats what is not answered with 2xx for hours.
        if judged.forged > 0 {
            return problem::answer(StatusCode::FORBIDDEN, "no item carries the expected clientState");
        }
        if judged.malformed > 0 {
            return problem::answer(StatusCode::BAD_REQUEST, "no item is an object");
        }
        StatusCode::ACCEPTED.into_response()
    }

    fn count(&self, addressee: &Addressee, judged: &Judged) {
        let bad = judged.forged + judged.malformed;
        self.metrics.received(judged.good.len() as u64 + bad);
        if bad == 0 {
            return;
        }
        self.metrics.rejected("client_state", judged.forged);
        self.metrics.rejected("malformed", judged.malformed);
        tracing::warn!(
            uid = addressee.uid,
            key = addressee.key_id,
            client_state = judged.forged,
            malformed = judged.malformed,
            "items refused"
        );
    }

    async fn store(
        &self,
        addressee: Addressee,
        judged: Judged,
        share: OwnedSemaphorePermit,
        until: Instant,
    ) -> Response {
        if !self.store {
            return StatusCode::ACCEPTED.into_response();
        }
        let items = Items::new(&self.metrics, judged.good.len() as u64);
        let (marks, received_millis) = (marks(&addressee.uid, &judged.good), now_millis());
        let timer = self.metrics.append_duration.start_timer();
        let append = self
            .log
            .append(records(&addressee, judged, received_millis), Some(share));
        let Ok(stored) = tokio::time::timeout_at(until.into(), append).await else {
            items.rejected("timed_out");
            return problem::unavailable("the storage is slow");
        };
        match stored {
            Ok(()) => {
                timer.observe_duration();
                items.stored();
                self.arrivals.note(&marks, received_millis);
                StatusCode::ACCEPTED.into_response()
            }
            Err(error) => {
                timer.stop_and_discard();
                items.rejected(reason(&error));
                problem::unavailable(NOT_STORED)
            }
        }
    }
}

fn reason(error: &StoreError) -> &'static str {
    match error {
        StoreError::Full => "storage_full",
        StoreError::Busy => "busy",
        StoreError::Slow => "storage_slow",
        StoreError::TooManyDeadLetters | StoreError::Unavailable(_) => "storage_unavailable",
    }
}

fn marks(uid: &str, items: &[items::Item]) -> Vec<Mark> {
    let ids = items.iter().filter_map(|item| item.resource_id.as_deref());
    ids.map(|id| Mark::new(uid, id)).collect()
}

fn records(addressee: &Addressee, judged: Judged, received_millis: i64) -> Vec<(Kind, Record)> {
    let record = |item: items::Item| {
        let record = Record {
            received_millis,
            uid: addressee.uid.clone(),
            key_id: addressee.key_id.clone(),
            origin: Origin::Push,
            subscription_id: item.subscription_id,
            item: item.json,
        };
        (item.kind, record)
    };
    judged.good.into_iter().map(record).collect()
}
