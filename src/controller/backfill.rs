//! Gaps are filled and silent loss is found: Graph is asked what changed, and what did not arrive is handed to the receiver.
//!
//! Reconciles start the jobs and write down what they found, so that each status has one writer.

mod handing;
mod job;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::context::{Context, find};
use super::pod::{self, Pod};
use super::subscription::act::{Outcome, reason};
use super::subscription::delivery::Delivery;
use super::subscription::observe::View;
use crate::api::condition::Reason;
use crate::api::subscription::{GapState, GraphSubscription, GraphSubscriptionStatus};
use crate::graph::Failure;
use crate::policy::backfill::{self, Found, Job, Memory, Next, Window};
use crate::policy::backoff::{self, Class};
use crate::policy::identity::fingerprint;
use crate::policy::truth::path;
use job::Order;

/// Jobs of one kind that work at a time for one app. Graph's limits decide the pace; this bounds memory.
const AT_A_TIME: usize = 2;
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
    /// What cannot be looked into, where it is given up.
    pub window: Option<Window>,
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
            window: None,
        }
    }
}

impl Trouble {
    fn pod(message: impl Into<String>) -> Self {
        Self {
            reason: Reason::ReceiverUnavailable,
            message: message.into(),
            class: Class::Retry,
            window: None,
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
    /// Of what the jobs are. With another resource, receiver or tenant all begins anew.
    basis: String,
    memory: Memory,
    /// Pods of the receiver, and since when there are not fewer.
    pods: (i32, Timestamp),
    report: Option<Report>,
    task: Option<AbortOnDropHandle<()>>,
}

/// The jobs of all objects, by UID. Only those have an entry that have something to be asked for.
#[derive(Clone, Default)]
pub struct Backfills {
    entries: Arc<Mutex<HashMap<String, Entry>>>,
    slots: Arc<Mutex<Slots>>,
}

/// By app, and whether it is for sweeps: neither another app nor sweeps may hold up the filling of a gap.
type Slots = HashMap<(String, bool), Arc<Semaphore>>;

impl Backfills {
    /// What the last job found, until it is written down.
    pub fn peek(&self, uid: &str, object: &GraphSubscription) -> Option<Report> {
        let entries = self.lock();
        let entry = entries.get(uid).filter(|entry| entry.basis == basis(object))?;
        entry.report.clone()
    }

    /// The status has what the last job found.
    pub fn written(&self, uid: &str) {
        if let Some(entry) = self.lock().get_mut(uid) {
            entry.report = None;
        }
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
        let basis = basis(&view.object);
        let mut entries = self.lock();
        if entries.get(&uid).is_some_and(|entry| entry.basis != basis) {
            entries.remove(&uid);
        }
        let entry = entries.entry(uid.clone()).or_insert_with(|| Entry {
            basis,
            memory: first_memory(view.now, interval, outcome),
            pods: (0, Timestamp::MIN),
            report: None,
            task: None,
        });
        entry.end_if_broken(view.now);
        if let (true, Some(interval)) = (view.asked.is_some(), interval) {
            // Who asks for a look wants to know what was missed, too.
            entry.memory.swept = view.now - interval;
        }
        match backfill::next(spec, next, &entry.memory, view.delivery == Delivery::Fine, view.now) {
            Next::Nothing => None,
            Next::At(at) => Some(at),
            Next::Now(job) => match order(context, view, next, job, &mut entry.pods) {
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
        let app = view
            .app
            .as_ref()
            .map_or_else(|_| String::new(), |(_, app)| app.fingerprint.clone());
        let slots = self.slots(app, order.job.windows.is_empty());
        let object = ObjectRef::from_obj(&*view.object);
        AbortOnDropHandle::new(tokio::spawn(async move {
            let result = job::run(&order, &slots).await;
            let work = if order.job.windows.is_empty() { "sweep" } else { "fill" };
            metrics.backfilled(work, &result);
            if let Err(trouble) = &result {
                tracing::warn!(subscription = %object, work, "Graph was not asked what changed: {}", trouble.message);
            }
            backfills.finish(&uid, order, result);
            queue.push(object);
        }))
    }

    fn slots(&self, app: String, sweeps: bool) -> Arc<Semaphore> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that no job holds are as good as new; apps come and go.
        slots.retain(|_, held| Arc::strong_count(held) > 1);
        let new = || Arc::new(Semaphore::new(AT_A_TIME));
        slots.entry((app, sweeps)).or_insert_with(new).clone()
    }

    fn finish(&self, uid: &str, order: Order, result: Result<Found, Trouble>) {
        let now = order.graph.now();
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(uid) else { return };
        match &result {
            Ok(found) => {
                entry.memory.running = false;
                entry.memory.failures = 0;
                entry.memory.not_before = found.begun;
                entry.memory.swept = found.begun;
            }
            Err(trouble) => entry.memory.fail(trouble.class, now),
        }
        entry.report = Some(Report { job: order.job, result });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// A bug in a job must not end the asking for good.
    fn end_if_broken(&mut self, now: Timestamp) {
        let ended = self.task.as_ref().is_some_and(AbortOnDropHandle::is_finished);
        if self.memory.running && ended && self.report.is_none() {
            self.memory.fail(Class::RetrySlowly, now);
        }
    }
}

impl Memory {
    fn fail(&mut self, class: Class, now: Timestamp) {
        self.running = false;
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + backoff::delay(class, self.failures, now, None, fastrand::f64());
    }
}

fn basis(object: &GraphSubscription) -> String {
    let spec = &object.spec;
    format!(
        "{} {:?} {:?} {}",
        spec.resource,
        spec.change_types,
        object.receiver(),
        object.tenant()
    )
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
fn order(
    context: &Context,
    view: &View,
    next: &GraphSubscriptionStatus,
    job: Job,
    pods_since: &mut (i32, Timestamp),
) -> Option<Order> {
    let (graph, app) = view.app.as_ref().ok()?;
    let reference = view.receiver.as_ref()?;
    let receiver = find(&context.stores.receivers, reference)?;
    let keyring = context.keyrings.get(reference)?;
    let (_, key) = keyring.active()?;
    if let Some(tenant) = find(&context.stores.tenants, &view.object.tenant()) {
        graph.set_changes_budget(tenant.spec.backfill_calls_per_minute.unsigned_abs());
    }
    let (before, since) = *pods_since;
    let fewer = receiver.spec.replicas < before;
    *pods_since = (receiver.spec.replicas, if fewer { view.now } else { since });
    let address = &context.settings.receiver_address;
    let pods = (0..receiver.spec.replicas).map(|number| {
        let base = pod::base(address, reference, number);
        Pod::new(&context.http_inside, base, key.internal_token())
    });
    let resource = view.object.spec.resource.clone();
    Some(Order {
        graph: graph.clone(),
        basis: fingerprint(&format!("{}\n{}", app.fingerprint, path(&resource))),
        pods: pods.collect(),
        pods_since: pods_since.1,
        uid: view.object.uid().unwrap_or_default(),
        subscription_id: next.subscription_id.clone(),
        resource,
        change_types: view.object.spec.change_types.clone(),
        job,
        grace: context.settings.sweep_grace,
    })
}
