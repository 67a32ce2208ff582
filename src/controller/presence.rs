//! `PresenceSync`: observe, plan, act, report. The work itself is done by a worker's pod that is built here.

mod act;
mod observe;
mod plan;
mod report;
mod secrets;
#[cfg(test)]
mod tests;
mod verdicts;
mod worker;
mod workload;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::plan::{Plan, plan};
use super::context::{Context, reference_to};
use super::reconcile::{Action, Error, guard};
use crate::api::presence::PresenceSync;
use crate::api::presence_report::WorkerReport;
use crate::api::reference::ObjectRef;

/// A worker that gives no answer is believed to be as it last said for so long: one lost answer is no news.
const REPORT_AGE: Duration = Duration::from_mins(1);

/// What is remembered of the workers between two looks.
#[derive(Default)]
pub struct Workers {
    reports: Mutex<HashMap<ObjectRef, (Instant, WorkerReport)>>,
    releasing: Mutex<HashMap<String, Timestamp>>,
}

impl Workers {
    /// The newer of an answer and the last good one, while that is young.
    fn newest(&self, object: &ObjectRef, answer: Result<WorkerReport, String>) -> Result<WorkerReport, String> {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(report) => {
                reports.insert(object.clone(), (Instant::now(), report.clone()));
                Ok(report)
            }
            Err(trouble) => {
                let young = reports.get(object).filter(|(at, _)| at.elapsed() < REPORT_AGE);
                young.map(|(_, report)| report.clone()).ok_or(trouble)
            }
        }
    }

    /// Since when a worker is asked to take back what it wrote.
    fn releasing(&self, uid: &str) -> Option<Timestamp> {
        let releasing = self.releasing.lock().unwrap_or_else(PoisonError::into_inner);
        releasing.get(uid).copied()
    }

    fn releases(&self, uid: &str, now: Timestamp) {
        let mut releasing = self.releasing.lock().unwrap_or_else(PoisonError::into_inner);
        releasing.entry(uid.to_owned()).or_insert(now);
    }

    fn released(&self, uid: &str) {
        let mut releasing = self.releasing.lock().unwrap_or_else(PoisonError::into_inner);
        releasing.remove(uid);
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, object: &ObjectRef, uid: &str) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.remove(object);
        drop(reports);
        self.released(uid);
    }
}

/// Brings one object to what its spec says.
pub async fn reconcile(object: Arc<PresenceSync>, context: Arc<Context>) -> Action {
    let work = Box::pin(run(object.clone(), &context));
    guard(object, &context.attempts, &context.metrics.reconciles, work).await
}

async fn run(object: Arc<PresenceSync>, context: &Context) -> Result<Action, Error> {
    let mut view = observe::observe(context, object).await?;
    let mut plan_now = plan(&view.situation());
    if plan_now == Plan::Release {
        view.released = act::release(context, &view).await;
        plan_now = plan(&view.situation());
    }
    let outcome = act::act(context, &mut view, &plan_now).await?;
    report::report(context, &view, &plan_now, outcome).await
}

/// Objects that need a tenant or receiver, by name; those of them that `count`.
pub fn users(context: &Context, needs: impl Fn(&PresenceSync) -> bool) -> Vec<String> {
    let all = context.stores.presence.state();
    let users = all.iter().filter(|sync| needs(sync));
    users.map(|sync| reference_to(&**sync).to_string()).collect()
}
