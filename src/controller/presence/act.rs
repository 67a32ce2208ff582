//! Doing what was decided.

use kube::runtime::events::EventType;

use super::observe::View;
use super::plan::{Plan, Released};
use super::{secrets, worker, workload};
use crate::api::PRESENCE_FINALIZER;
use crate::api::condition::Reason;
use crate::controller::apply;
use crate::controller::context::Context;
use crate::controller::reconcile::Error;
use crate::policy::subscription::Refusal;

/// What came of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It could not be, for this reason.
    Refused(Refusal),
    /// The object is gone: there is no status to write.
    Gone,
}

/// Asks the worker to take back what it wrote. What it is told otherwise says the same, should it be started anew meanwhile; where
/// the cluster does not let that be written, the worker is asked all the same, and its time runs out all the same.
pub async fn release(context: &Context, view: &View) -> Released {
    let uid = view.object.metadata.uid.as_deref().unwrap_or_default();
    context.workers.releases(uid, view.now);
    if let Ok(config) = &view.config {
        match workload::configure(&context.client, &view.object, config).await {
            Ok(Ok(())) => {}
            Ok(Err(refusal)) => tracing::warn!("the worker is not told to rest: {}", refusal.message),
            Err(error) => tracing::warn!("the worker is not told to rest: {error}"),
        }
    }
    match &view.pod {
        Ok(pod) => worker::release(pod).await,
        Err(trouble) => Released::Unanswered(trouble.clone()),
    }
}

/// Does it.
pub async fn act(context: &Context, view: &mut View, plan: &Plan) -> Result<Outcome, Error> {
    match plan {
        Plan::Run => run(context, view).await,
        Plan::Rest { abandoned } => {
            tell(context, view, abandoned.as_deref());
            rest(context, view).await
        }
        Plan::Restart => rest(context, view).await,
        Plan::LetGo { abandoned } => {
            tell(context, view, abandoned.as_deref());
            let uid = view.object.metadata.uid.as_deref().unwrap_or_default();
            context.workers.forget(&view.reference, uid);
            apply::remove_finalizer(&context.client, &*view.object, PRESENCE_FINALIZER).await?;
            Ok(Outcome::Gone)
        }
        Plan::Refuse(refusal) => Ok(Outcome::Refused(refusal.clone())),
        Plan::Release | Plan::Wait { .. } => Ok(Outcome::Done),
    }
}

async fn run(context: &Context, view: &mut View) -> Result<Outcome, Error> {
    let config = match &view.config {
        Ok(config) => config,
        Err(refusal) => return Ok(Outcome::Refused(refusal.clone())),
    };
    if let Some(push) = &view.push {
        push.ensure(&context.client, &view.object).await?;
    }
    let mounts = secrets::mounts(config);
    let built = workload::apply(&context.client, &view.object, config, &mounts, &context.settings).await;
    match built.or_else(refused)? {
        Ok(set) => view.set = Some(set),
        Err(refusal) => return Ok(Outcome::Refused(refusal)),
    }
    let uid = view.object.metadata.uid.as_deref().unwrap_or_default();
    context.workers.released(uid);
    Ok(Outcome::Done)
}

/// What the cluster does not admit goes to the status; anything else is tried again.
fn refused<T>(error: kube::Error) -> Result<Result<T, Refusal>, Error> {
    match error {
        kube::Error::Api(status) if [400, 403, 422].contains(&status.code) => {
            let message = format!("the cluster refuses what the worker needs: {}", status.message);
            Ok(Err(Refusal::waiting(Reason::NotBuilt, message)))
        }
        error => Err(error.into()),
    }
}

/// Ends the pod. That it was asked to stop is remembered until it is gone, so that none comes back to life half stopped.
async fn rest(context: &Context, view: &mut View) -> Result<Outcome, Error> {
    let uid = view.object.metadata.uid.as_deref().unwrap_or_default();
    if view.worker_wanted() {
        workload::scale_down(&context.client, &view.object).await?;
    }
    context.workers.forget(&view.reference, uid);
    if view.worker_exists() {
        context.workers.releases(uid, view.now);
    }
    view.worker = None;
    Ok(Outcome::Done)
}

/// Says how an end went, once.
fn tell(context: &Context, view: &View, abandoned: Option<&str>) {
    if let Some(why) = abandoned {
        let note = format!(
            "the worker could not take back all that it wrote: {why}; in Teams it expires by itself, on the PBX it may have to be cleared by hand"
        );
        context.event(&*view.object, EventType::Warning, Reason::ReleaseAbandoned, &note);
    } else if view.released == Released::Done {
        let note = "the worker took back all that it wrote";
        context.event(&*view.object, EventType::Normal, Reason::Released, note);
    }
}
