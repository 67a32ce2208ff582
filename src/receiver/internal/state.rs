//! What the controller wants to know for its statuses.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::super::absence::Absence;
use super::super::answers::Counts;
use super::super::event::rfc3339;
use super::super::log::{Reader, Rules, Status};
use super::{Internal, auth};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    instance: &'a str,
    log_id: &'a str,
    // Of the keys by which this pod judges: a new key is of use only when every pod has it.
    key_ids: Vec<&'a str>,
    last_seq: u64,
    subscriptions: Vec<SubscriptionView<'a>>,
    sinks: Vec<SinkView>,
    storage: StorageView,
    webhook: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    away: Option<Absence>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SubscriptionView<'a> {
    uid: &'a str,
    last_received: String,
    received: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SinkView {
    name: String,
    cursor: u64,
    lag: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_undelivered: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    dead_letters: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StorageView {
    used_bytes: u64,
    limit_bytes: u64,
    state: StorageState,
    full: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Serialize)]
enum StorageState {
    Ok,
    Full,
    Failing,
}

/// Answers with the state of the log and the sinks.
pub async fn state(State(internal): State<Arc<Internal>>, headers: HeaderMap) -> Response {
    let setup = internal.setup.borrow().clone();
    if let Err(response) = auth::controller(&setup, &headers) {
        return *response;
    }
    let (status, rules) = (internal.log.status(), internal.log.rules());
    let sinks = internal.sinks(status.clone(), Arc::clone(&rules)).await;
    let answer = Answer {
        instance: &internal.instance,
        log_id: &status.id,
        key_ids: setup.keyring.iter().map(|(id, _)| id).collect(),
        last_seq: status.ends.last,
        subscriptions: subscriptions(&status),
        sinks,
        storage: storage(&status, internal.log.problem(), rules.limit_bytes),
        webhook: internal.answers.counts(Instant::now()),
        away: internal.absences.last(),
    };
    Json(answer).into_response()
}

fn subscriptions(status: &Status) -> Vec<SubscriptionView<'_>> {
    status
        .subscriptions
        .iter()
        .map(|(uid, received)| SubscriptionView {
            uid,
            last_received: rfc3339(received.last_millis),
            received: received.count,
        })
        .collect()
}

fn storage(status: &Status, problem: Option<String>, limit_bytes: u64) -> StorageView {
    let full = status.is_full(limit_bytes);
    let state = match (&problem, full) {
        (Some(_), _) => StorageState::Failing,
        (None, true) => StorageState::Full,
        (None, false) => StorageState::Ok,
    };
    StorageView {
        used_bytes: status.used_bytes,
        limit_bytes,
        state,
        full,
        problem,
    }
}

impl Internal {
    // Reads the storage, which may not answer; other requests must not wait for that.
    async fn sinks(self: &Arc<Self>, status: Status, rules: Arc<Rules>) -> Vec<SinkView> {
        let internal = Arc::clone(self);
        let views = tokio::task::spawn_blocking(move || {
            let readers = rules.readers.iter();
            readers.filter_map(|reader| internal.sink(&status, reader)).collect()
        });
        views.await.unwrap_or_default()
    }

    fn sink(&self, status: &Status, reader: &Reader) -> Option<SinkView> {
        let name = reader.sink()?;
        let (lag, oldest) = self.log.behind(status, reader);
        let health = self.healths.get(name);
        Some(SinkView {
            name: name.to_owned(),
            cursor: status.cursors.get(&reader.name).copied().unwrap_or(0),
            lag,
            oldest_undelivered: oldest.map(rfc3339),
            failing_since: health.failing_since.map(rfc3339),
            last_error: health.last_error,
            dead_letters: status.dead_letters.get(name).copied().unwrap_or(0),
        })
    }
}
