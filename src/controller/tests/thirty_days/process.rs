//! The operator's process: what it remembers dies with it.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::changes::number_of;
use super::world::{Sim, uid};
use crate::api::reference::ObjectRef as Reference;
use crate::controller::context::Context;
use crate::controller::events::Events;
use crate::controller::inbox::Origin;
use crate::controller::observed::PodState;
use crate::controller::testing::{self, Writers};
use crate::controller::{driver, subscription, tenant};
use crate::policy::identity::Keyring;
use crate::policy::subscription::Lifecycle;

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const LIMIT: Duration = Duration::from_secs(20);

pub struct Process {
    pub context: Arc<Context>,
    pub writers: Writers,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// The tenant of an app, and its receiver.
pub fn reference(app: usize) -> Reference {
    Reference {
        name: format!("t{app}"),
        namespace: Some("n".to_owned()),
    }
}

/// Begins to lead: all objects are listed and looked at.
pub fn start(sim: &Arc<Sim>) {
    let client = Client::new(Api(sim.clone()), "n");
    let (mut context, mut writers) = testing::context_with(&client, "http://{service}.test", &sim.http);
    let (subscriptions, mut due) = {
        let state = sim.state();
        let inner = Arc::get_mut(&mut context).unwrap();
        inner.settings.interval = state.scale.interval;
        inner.settings.longest_rest = state.scale.rest;
        // Nobody reads them here, and the recorder looks through all of the last minutes, by the real clock, for each.
        inner.events = Events::none(inner.metrics.events_left_out.clone());
        for (number, app) in state.apps.iter().enumerate() {
            writers.tenant(&app.tenant);
            writers
                .receivers
                .apply_watcher_event(&Event::Apply(app.receiver.clone()));
            let (keyring, _) = Keyring::from_base64([("k1", KEY)]);
            context.keyrings.put(reference(number), keyring);
            context.observed.put(&reference(number), 0, Ok(PodState::default()));
        }
        let objects: Vec<_> = state.subs.iter().map(|sub| sub.object.clone()).collect();
        let due: Vec<_> = state.apps.iter().map(|app| ObjectRef::from_obj(&app.tenant)).collect();
        (objects, due)
    };
    for object in &subscriptions {
        writers
            .subscriptions
            .apply_watcher_event(&Event::Apply((**object).clone()));
        let seen = context
            .stores
            .subscriptions
            .get(&ObjectRef::from_obj(&**object))
            .unwrap();
        writers.index.put(seen);
    }
    let _ = context.leading_since.set(tokio::time::Instant::now());
    for tenant in due.drain(..) {
        context.queues.tenants.push(tenant);
    }
    for object in &subscriptions {
        context.queues.subscriptions.push(ObjectRef::from_obj(&**object));
    }
    drop(subscriptions);
    let stop = CancellationToken::new();
    let (of_tenants, of_subscriptions, looks) = (context.clone(), context.clone(), sim.clone());
    let tasks = vec![
        tokio::spawn(driver::drive(
            context.stores.tenants.clone(),
            context.queues.tenants.clone(),
            driver::SLOTS,
            move |object| tenant::reconcile(object, of_tenants.clone()),
            stop.clone(),
            LIMIT,
        )),
        tokio::spawn(driver::drive(
            context.stores.subscriptions.clone(),
            context.queues.subscriptions.clone(),
            driver::SLOTS,
            move |object| {
                let spins = looks.looks_at(number_of(object.metadata.uid.as_deref().unwrap()));
                let context = of_subscriptions.clone();
                async move {
                    if spins {
                        tokio::time::sleep(Duration::from_mins(1)).await;
                    }
                    subscription::reconcile(object, context).await
                }
            },
            stop.clone(),
            LIMIT,
        )),
    ];
    let process = Process {
        context,
        writers,
        stop,
        tasks,
    };
    *sim.process.lock().unwrap() = Some(process);
    let waiting: Vec<usize> = {
        let state = sim.state();
        (0..state.subs.len())
            .filter(|number| !state.subs[*number].told.is_empty())
            .collect()
    };
    for number in waiting {
        deliver(sim, number);
    }
}

/// Hands the lifecycle events of an object that are in the receiver's log to the process.
pub fn deliver(sim: &Sim, number: usize) {
    let (told, object, app) = {
        let state = sim.state();
        let sub = &state.subs[number];
        (sub.told.clone(), sub.object.clone(), sub.app)
    };
    let process = sim.process.lock().unwrap();
    let Some(process) = &*process else { return };
    for (seq, event, id, received) in told {
        let origin = Origin {
            pod: format!("p{app}"),
            seq,
        };
        let lifecycle = Lifecycle {
            event,
            subscription_id: Some(id),
            received,
        };
        process.context.inbox.put(&uid(number), origin, lifecycle);
    }
    process.context.queues.subscriptions.push(ObjectRef::from_obj(&*object));
}

/// Ends the process: at once, or as a leader that lets what runs come to its end.
pub async fn end(sim: &Sim, gently: bool) {
    let of = |process: &Option<_>| {
        let process: &Process = process.as_ref().unwrap();
        (process.stop.clone(), !process.tasks.is_empty())
    };
    let (stop, running) = of(&sim.process.lock().unwrap());
    if gently && running {
        stop.cancel();
        tokio::time::sleep(LIMIT).await;
    }
    let process = sim.process.lock().unwrap().take();
    let Some(process) = process else { return };
    for task in process.tasks {
        task.abort();
        let _ = task.await;
    }
    let mut state = sim.state();
    state.ends_in = None;
    for (number, sub) in state.subs.iter_mut().enumerate() {
        process.context.backfills.forget(&uid(number));
        acknowledge(&process.context, number, &mut sub.told);
    }
}

type Told = (
    u64,
    crate::policy::subscription::LifecycleEvent,
    String,
    jiff::Timestamp,
);

/// What was acted on is not told again.
fn acknowledge(context: &Context, number: usize, told: &mut Vec<Told>) {
    if told.is_empty() {
        return;
    }
    let left = context.inbox.peek(&uid(number));
    told.retain(|(seq, ..)| left.iter().any(|(origin, _)| origin.seq == *seq));
}
