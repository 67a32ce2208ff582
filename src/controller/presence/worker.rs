//! A worker's pod, as the leader speaks to it.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::plan::Released;
use crate::api::presence_config::{pod_name, workload_name};
use crate::api::presence_report::{RELEASE_PATH, ReleaseReport, STATUS_PATH, WorkerReport};
use crate::api::reference::ObjectRef;
use crate::controller::pod::Pod;

/// How long a report may take: the worker has it at hand.
const STATUS_LIMIT: Duration = Duration::from_secs(10);
/// How long the worker may take everything back before it is asked again; it answers with what remains after 50 s.
const RELEASE_LIMIT: Duration = Duration::from_mins(1);
/// Bytes of an answer. A report is some kilobytes, with 64 accounts and endpoints some ten.
const ANSWER_BYTES: usize = 1 << 20;

/// Where a worker is. `address` is the setting with `{pod}`, `{service}` and `{namespace}`.
pub fn base(address: &str, sync: &ObjectRef) -> String {
    address
        .replace("{pod}", &pod_name(&sync.name))
        .replace("{service}", &workload_name(&sync.name))
        .replace("{namespace}", sync.namespace.as_deref().unwrap_or_default())
}

/// What the worker says about itself.
pub async fn status(pod: &Pod) -> Result<WorkerReport, String> {
    let (status, body) = pod.get_bytes(STATUS_PATH, STATUS_LIMIT, ANSWER_BYTES).await?;
    match status {
        200 => read(&body),
        other => Err(unexpected(other)),
    }
}

/// Asks the worker to take back what it wrote.
pub async fn release(pod: &Pod) -> Released {
    let answer = pod.post_bytes(RELEASE_PATH, RELEASE_LIMIT, ANSWER_BYTES).await;
    let report = answer.and_then(|(status, body)| match status {
        // 503: something is left, and the body says what.
        200 | 503 => read::<ReleaseReport>(&body),
        other => Err(unexpected(other)),
    });
    match report {
        Ok(report) if report.done => Released::Done,
        Ok(report) => Released::Remains(report.why),
        Err(trouble) => Released::Unanswered(trouble),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|_| "its answer cannot be read".to_owned())
}

fn unexpected(status: u16) -> String {
    format!("the pod answers with status {status}")
}
