//! `TeamsConnectorHealth`: once per interval, everything that the spec asks for is looked at, judged, and told.

mod found;
mod memory;
mod observe;
mod report;
mod schedule;
mod secrets;
#[cfg(test)]
mod tests;

pub use found::{Certificate, Count, Part, Shown};
pub use memory::Connectors;
pub use schedule::interval;

use std::sync::Arc;

use kube::ResourceExt;
use tokio::time::Instant;

use self::memory::Entry;
use self::report::Outcome;
use self::schedule::{Call, Turn};
use super::context::{Context, asked};
use super::reconcile::{Action, Error, guard};
use crate::api::connector::TeamsConnectorHealth;
use crate::local_clock;
use crate::policy::connector::course::Look;
use crate::policy::connector::flap::{Limits, Moment};
use crate::policy::connector::health::{Above, asked_for};
use crate::policy::connector::maintenance;

/// Looks at a time. One waits for as long as `spec.timeout` where nothing answers, so they are many and cost little.
pub const SLOTS: usize = 256;

/// Looks at one object, if its time has come.
pub async fn reconcile(object: Arc<TeamsConnectorHealth>, context: Arc<Context>) -> Action {
    let work = Box::pin(run(object.clone(), &context));
    guard(object, &context.attempts, &context.metrics.reconciles, work).await
}

async fn run(object: Arc<TeamsConnectorHealth>, context: &Context) -> Result<Action, Error> {
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let entry = context.connectors.entry(&object);
    let windows = match maintenance::parse(&object.spec.maintenance) {
        Ok(windows) => windows,
        Err(message) => return rest(context, &object, &entry, &Outcome::Invalid(message)).await,
    };
    if object.spec.suspend {
        return rest(context, &object, &entry, &Outcome::Suspended).await;
    }
    observe::let_in(context, &object).await;
    let request = asked(
        &*object,
        object
            .status
            .as_ref()
            .and_then(|status| status.last_handled_reconcile_at.as_deref()),
    );
    let call = Call::new(&object, request.is_some());
    match entry.schedule().turn(&call, Instant::now(), fastrand::f64()) {
        Turn::Rest(rest) => return Ok(Action::requeue(rest)),
        Turn::Look { late } => context.metrics.looks.began(late),
    }
    look(context, &object, &entry, &windows).await?;
    Ok(entry.schedule().rest(Instant::now()))
}

/// One look, from the probes to the status.
async fn look(
    context: &Context,
    object: &TeamsConnectorHealth,
    entry: &Entry,
    windows: &[maintenance::Window],
) -> Result<(), Error> {
    let mut work = entry.work().await;
    // What is on its way in all probes at once is kept off the stack.
    let found = Box::pin(observe::look(context, object, &mut work.probes)).await?;
    let now = local_clock::now();
    let above = if maintenance::is_open(windows, now) {
        Above::Maintenance
    } else {
        Above::Nothing
    };
    let status = object.status.as_ref();
    let made = object.metadata.creation_timestamp.as_ref().map(|made| made.0);
    let look = Look {
        asked_for: &asked_for(&object.spec),
        findings: &found.findings,
        signs: &found.signs,
        before: status.map_or(&[][..], |status| &status.conditions),
        judged_before: status.and_then(report::judged_at_latest),
        above,
    };
    let at = Moment {
        now,
        elapsed: context.leads_for(),
    };
    let standing = work.course.take(&look, &Limits::new(&object.spec, made), at);
    for part in &found.parts {
        context.metrics.looks.took(part);
    }
    entry.show(&found, now);
    let outcome = Outcome::Looked(Box::new((found, standing)));
    report::report(context, object, &outcome, now).await
}

/// Nothing is looked at: the user, or a spec that cannot work, says so.
async fn rest(
    context: &Context,
    object: &TeamsConnectorHealth,
    entry: &Entry,
    outcome: &Outcome,
) -> Result<Action, Error> {
    entry.schedule().forget();
    entry.hide();
    // Nobody would take what it tells.
    let namespace = object.namespace().unwrap_or_default();
    context.connectors.feeds().close(&namespace, &object.name_any());
    report::report(context, object, outcome, local_clock::now()).await?;
    Ok(Action::await_change())
}
