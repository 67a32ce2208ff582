//! `GraphSubscription`: observe, plan, act, report.

pub mod act;
pub mod delivery;
pub mod endpoint;
pub mod gaps;
pub mod look_up;
pub mod observe;
pub mod report;
pub mod rival;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use self::observe::View;

use super::context::Context;
use super::reconcile::{Action, Error, guard};
use crate::api::condition::Reason;
use crate::api::subscription::GraphSubscription;
use crate::policy::subscription::{Plan, plan};

/// How long an object may wait for what it names before it says that it is missing.
const ARRIVAL: Duration = Duration::from_secs(3);
/// How long a new leader may take to look at the tenants.
const FIRST_LOOK: Duration = Duration::from_secs(30);

/// Brings one subscription to what its spec says.
pub async fn reconcile(object: Arc<GraphSubscription>, context: Arc<Context>) -> Action {
    let object = context.written.newest(object);
    // Boxed: the state of the work is large, and is otherwise moved at every layer around it.
    let work = Box::pin(run(object.clone(), &context));
    guard(object, &context.attempts, &context.metrics.reconciles, work).await
}

/// Whether what an object names may just be on its way: manifests that are applied together arrive in any order, and a new leader
/// has looked at no tenant yet.
fn comes_early(context: &Context, view: &View, plan: &Plan) -> bool {
    let known = view.status.observed_generation == view.object.metadata.generation.unwrap_or(0);
    if known && matches!(plan, Plan::Refuse(refusal) if refusal.reason == Reason::TenantNotReady) {
        return context.leads_for() < FIRST_LOOK;
    }
    let named = matches!(
        plan,
        Plan::Refuse(refusal) if matches!(refusal.reason, Reason::TenantNotFound | Reason::TenantNotReady | Reason::ReceiverNotFound)
    );
    let created = view.object.metadata.creation_timestamp.as_ref().map(|at| at.0);
    // Both times are this cluster's, not Graph's.
    let age = created.map(|created| crate::local_clock::now().duration_since(created).unsigned_abs());
    named && age.is_some_and(|age| age < ARRIVAL)
}

async fn run(object: Arc<GraphSubscription>, context: &Context) -> Result<Action, Error> {
    let mut view = observe::observe(context, object).await?;
    let mut plan_now = plan(&view.situation());
    if comes_early(context, &view, &plan_now) {
        return Ok(Action::requeue(ARRIVAL));
    }
    if let Plan::Renew { id, .. } = &plan_now
        && view.unsure
    {
        if let Err(failure) = look_up::compare_clocks(&mut view, id).await {
            return report::report(context, &view, &plan_now, act::Outcome::Failed(failure)).await;
        }
        plan_now = plan(&view.situation());
    }
    let outcome = if plan_now == Plan::LookUp {
        match look_up::look_up(&view).await {
            Ok(found) => {
                (view.remote, view.full) = found;
                view.see_clock();
                plan_now = plan(&view.situation());
                act::act(context, &mut view, &plan_now).await?
            }
            Err(failure) => act::Outcome::Failed(failure),
        }
    } else {
        act::act(context, &mut view, &plan_now).await?
    };
    report::report(context, &view, &plan_now, outcome).await
}
