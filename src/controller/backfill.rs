//! Gaps are filled and silent loss is found: Graph is asked what changed, and what did not arrive is handed to the receiver.
//!
//! Reconciles start the jobs and write down what they found, so that each status has one writer.

mod handing;
mod job;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::context::{Context, find};
use super::pod::{self, Pod};
use super::subscription::act::{Outcome, reason};
use super::subscription::observe::View;
use crate::api::condition::Reason;
use crate::api::subscription::{GapState, GraphSubscriptionStatus};
use crate::graph::Failure;
use crate::policy::backfill::{self, Found, Job, Memory, Next};
use crate::policy::backoff::{self, Class};
use job::Order;

/// Jobs that work at a time. Graph's limits decide the pace; this bounds memory.
const AT_A_TIME: usize = 8;
/// How long one job may take.
const LIMIT: Duration = Duration::from_mins(30);
/// What a new subscription begins to follow is asked for soon, but not within the create's own bustle.
const FIRST_SWEEP: SignedDuration = SignedDuration::from_secs(10);

/// Why a job could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// In one word.
    pub reason: Reason,
    /// In one sentence.
    pub message: String,
    /// When it is tried again; `Invalid` for never: these gaps cannot be filled.
    pub class: Class,
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        // A refusal of a question is no reason to leave a gap for good: what is missing may be granted.
        let class = if failure.class == Class::Invalid {
            Class::RetrySlowly
        } else {
            failure.class
        };
        Self {
            reason: reason(&failure.kind),
            message: failure.message,
            class,
        }
    }
}

impl Trouble {
    fn pod(message: impl Into<String>) -> Self {
        Self {
            reason: Reason::ReceiverUnavailable,
            message: message.into(),
            class: Class::Retry,
        }
    }
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was to be done.
    pub job: Job,
    /// What was found, or why nothing was.
    pub result: Result<Found, Trouble>,
}

struct Entry {
    memory: Memory,
    report: Option<Report>,
    task: Option<AbortOnDropHandle<()>>,
}

/// The jobs of all objects, by UID. Only those have an entry that have something to be asked for.
#[derive(Clone)]
pub struct Backfills {
    entries: Arc<Mutex<HashMap<String, Entry>>>,
    slots: Arc<Semaphore>,
}

impl Default for Backfills {
    fn default() -> Self {
        Self {
            entries: Arc::default(),
            slots: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }
}

impl Backfills {
    /// What the last job found, once.
    pub fn take(&self, uid: &str) -> Option<Report> {
        self.lock().get_mut(uid)?.report.take()
    }

    /// Ends what is under way for an object that goes.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Starts what is due for an object whose status was just written. Returns when to look again.
    pub fn advance(
        &self,
        context: &Context,
        view: &View,
        next: &GraphSubscriptionStatus,
        outcome: &Outcome,
    ) -> Option<Timestamp> {
        let uid = view.object.uid().unwrap_or_default();
        let spec = &view.object.spec;
        let interval = backfill::sweep_interval(spec);
        let nothing = interval.is_none() && next.gaps.iter().all(|gap| gap.state != GapState::Pending);
        if nothing || view.deleted_at.is_some() {
            self.forget(&uid);
            return None;
        }
        let mut entries = self.lock();
        let entry = entries.entry(uid.clone()).or_insert_with(|| Entry {
            memory: first_memory(view.now, interval, outcome),
            report: None,
            task: None,
        });
        if let (true, Some(interval)) = (view.asked.is_some(), interval) {
            // Who asks for a look wants to know what was missed, too.
            entry.memory.swept = view.now - interval;
        }
        match backfill::next(spec, next, &entry.memory, view.now) {
            Next::Nothing => None,
            Next::At(at) => Some(at),
            Next::Now(job) => match order(context, view, next, job) {
                Some(order) => {
                    entry.memory.running = true;
                    entry.task = Some(self.start(context, view, uid, order));
                    None
                }
                // Its tenant or receiver is not there; whatever brings it back wakes this object.
                None => Some(view.now + SignedDuration::from_mins(1)),
            },
        }
    }

    fn start(&self, context: &Context, view: &View, uid: String, order: Order) -> AbortOnDropHandle<()> {
        let (backfills, queue, metrics) = (
            self.clone(),
            context.queues.subscriptions.clone(),
            context.metrics.clone(),
        );
        let object = ObjectRef::from_obj(&*view.object);
        AbortOnDropHandle::new(tokio::spawn(async move {
            let result = tokio::time::timeout(LIMIT, job::run(&order, &backfills.slots)).await;
            let result = result.unwrap_or_else(|_| Err(Trouble::pod("it was not done within 30 minutes")));
            let work = if order.job.windows.is_empty() { "sweep" } else { "fill" };
            metrics.backfilled(work, &result);
            if let Err(trouble) = &result {
                tracing::warn!(subscription = %object, work, "Graph was not asked what changed: {}", trouble.message);
            }
            backfills.finish(&uid, order, result);
            queue.push(object);
        }))
    }

    fn finish(&self, uid: &str, order: Order, result: Result<Found, Trouble>) {
        let now = order.graph.now();
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(uid) else { return };
        let memory = &mut entry.memory;
        memory.running = false;
        match &result {
            Ok(found) => {
                memory.failures = 0;
                memory.not_before = found.begun;
                memory.swept = found.begun;
            }
            Err(trouble) => {
                memory.failures = memory.failures.saturating_add(1);
                memory.not_before = now + backoff::delay(trouble.class, memory.failures, now, None, fastrand::f64());
            }
        }
        entry.report = Some(Report { job: order.job, result });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After a start all objects are seen at once: their first sweeps are spread over the interval. What was just made is soon asked
/// for, as its changes are followed from there.
fn first_memory(now: Timestamp, interval: Option<SignedDuration>, outcome: &Outcome) -> Memory {
    let interval = interval.unwrap_or(SignedDuration::ZERO);
    let made = matches!(outcome, Outcome::Obtained { how, .. } if *how != Reason::Renewed);
    let first = if made {
        scaled(FIRST_SWEEP, 1.0 + fastrand::f64())
    } else {
        scaled(interval, fastrand::f64())
    };
    Memory {
        swept: now + first - interval,
        not_before: now,
        failures: 0,
        running: false,
    }
}

fn scaled(time: SignedDuration, by: f64) -> SignedDuration {
    SignedDuration::from_secs_f64(time.as_secs_f64() * by)
}

/// Everything a job needs; none while tenant or receiver are not to be had.
fn order(context: &Context, view: &View, next: &GraphSubscriptionStatus, job: Job) -> Option<Order> {
    let (graph, _) = view.app.as_ref().ok()?;
    let reference = view.receiver.as_ref()?;
    let receiver = find(&context.stores.receivers, reference)?;
    let keyring = context.keyrings.get(reference)?;
    let (_, key) = keyring.active()?;
    if let Some(tenant) = find(&context.stores.tenants, &view.object.tenant()) {
        graph.set_changes_budget(tenant.spec.backfill_calls_per_minute.unsigned_abs());
    }
    let address = &context.settings.receiver_address;
    let pods = (0..receiver.spec.replicas).map(|number| {
        let base = pod::base(address, reference, number);
        Pod::new(&context.http_inside, base, key.internal_token())
    });
    Some(Order {
        graph: graph.clone(),
        pods: pods.collect(),
        uid: view.object.uid().unwrap_or_default(),
        subscription_id: next.subscription_id.clone(),
        resource: view.object.spec.resource.clone(),
        change_types: view.object.spec.change_types.clone(),
        job,
        skew: view.skew,
        grace: context.settings.sweep_grace,
    })
}
