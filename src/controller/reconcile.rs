//! One wrapper around every reconcile: a time limit, a net under panics, metrics, and a backoff per object.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use kube::ResourceExt;

use super::apply::Object;
use super::metrics::Reconciles;
use crate::policy::backoff::{self, Class};

/// Longer than the longest Graph call (a create, 35 s) with the API calls around it.
const TIME_LIMIT: Duration = Duration::from_secs(90);

/// Why a reconcile could not be finished. What Graph answers is not among it: that goes to the status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or did not answer.
    #[error("API server: {0}")]
    Api(#[from] kube::Error),
    /// Another controller wrote the status since it was read.
    #[error("another wrote the status since it was read; it is looked at again and not overwritten")]
    Overtaken,
    /// It took too long.
    #[error("not finished within {} s", TIME_LIMIT.as_secs())]
    TimedOut,
    /// A bug.
    #[error("a bug: {0}")]
    Panicked(String),
}

impl Error {
    /// Name in metric labels.
    fn label(&self) -> &'static str {
        match self {
            Self::Api(kube::Error::Api(status)) if status.code == 409 => "conflict",
            Self::Overtaken => "conflict",
            Self::Api(_) => "api_server",
            Self::TimedOut => "timeout",
            Self::Panicked(_) => "panic",
        }
    }
}

/// When to look at an object again though nothing asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// After this time; only when it changes, if there is none.
    pub again_after: Option<Duration>,
}

impl Action {
    /// After this time.
    pub const fn requeue(after: Duration) -> Self {
        Self {
            again_after: Some(after),
        }
    }

    /// Only when something changes.
    pub const fn await_change() -> Self {
        Self { again_after: None }
    }
}

/// Failures in a row, by object.
#[derive(Default)]
pub struct Attempts(Mutex<HashMap<String, i32>>);

impl Attempts {
    /// Counts a failure, and returns how many there are in a row.
    pub fn failed(&self, uid: String) -> i32 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(uid).or_insert(0);
        *count = count.saturating_add(1);
        *count
    }

    /// Whether the last reconcile of an object broke off, so that nobody knows how far it came.
    pub fn broke_off(&self, uid: &str) -> bool {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.contains_key(uid)
    }

    /// Ends a row of failures.
    pub fn succeeded(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// Runs `work` for `object`. Always returns an action: errors are logged, counted and tried again here.
pub async fn guard<K, F>(object: Arc<K>, attempts: &Attempts, metrics: &Reconciles, work: F) -> Action
where
    K: Object,
    F: Future<Output = Result<Action, Error>>,
{
    let kind = K::kind(&()).into_owned();
    let uid = object.uid().unwrap_or_default();
    let timer = metrics.start(&kind);
    let guarded = AssertUnwindSafe(tokio::time::timeout(TIME_LIMIT, work)).catch_unwind();
    let result = match guarded.await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::TimedOut),
        Err(panic) => Err(Error::Panicked(panic_text(panic.as_ref()))),
    };
    match result {
        Ok(action) => {
            attempts.succeeded(&uid);
            timer.finish("ok");
            action
        }
        Err(error) => {
            timer.finish(error.label());
            let failures = attempts.failed(uid);
            let delay = backoff::delay(Class::Retry, failures, crate::local_clock::now(), None, fastrand::f64());
            tracing::warn!(failures, "{error}; again in {} s", delay.as_secs());
            Action::requeue(delay.unsigned_abs())
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tenant::GraphTenant;

    fn tenant() -> Arc<GraphTenant> {
        let spec = serde_json::from_value(serde_json::json!({
            "tenantId": "contoso.example", "credentials": { "workloadIdentity": {} }
        }));
        let mut tenant = GraphTenant::new("t", spec.unwrap());
        tenant.metadata.uid = Some("uid".to_owned());
        Arc::new(tenant)
    }

    #[tokio::test(start_paused = true)]
    async fn panics_and_hangs_are_tried_again_with_growing_delays() {
        let (attempts, metrics) = (
            Attempts::default(),
            Reconciles::new(&prometheus::Registry::new()).unwrap(),
        );
        let run = |work: futures::future::BoxFuture<'static, Result<Action, Error>>| {
            guard(tenant(), &attempts, &metrics, work)
        };
        let panicked = run(async { panic!("oops") }.boxed()).await;
        assert_ne!(panicked, Action::await_change());
        let hung = run(futures::future::pending().boxed()).await;
        assert_ne!(hung, Action::await_change());
        assert_eq!(attempts.0.lock().unwrap()["uid"], 2);
        assert!(attempts.broke_off("uid") && !attempts.broke_off("other"));
        let fine = run(async { Ok(Action::await_change()) }.boxed()).await;
        assert_eq!(fine, Action::await_change());
        assert!(!attempts.broke_off("uid"));
    }
}
