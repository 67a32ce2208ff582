//! `GraphTenant`: credentials are read, tried, and watched.

mod credential;
mod refusals;
mod report;

pub use refusals::Refusals;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;

use super::apply;
use super::context::{Context, asked, reference_to};
use super::reconcile::{Error, guard};
use crate::api::condition::{self, ConditionType, Reason};
use crate::api::reference::ObjectRef;
use crate::api::tenant::{GraphTenant, GraphTenantStatus};
use crate::api::{FINALIZER, IN_USE_FINALIZER};
use crate::graph::{App, Grant};
use crate::policy::resource::{Rule, rule_for};
use crate::policy::subscription::Refusal;

/// What is wrong is looked at again this soon: a mended Secret gives no sign, because Secrets are not watched.
const MENDED_PERIOD: Duration = Duration::from_secs(15);

/// What was found out about a tenant.
struct Findings {
    /// The credential's expiry, where it tells.
    credential_expires: Option<Timestamp>,
    /// What signing in gave.
    sign_in: Result<Grant, Refusal>,
    /// Microsoft's clock minus ours.
    skew: Option<jiff::SignedDuration>,
    /// Rules of the resources that subscriptions watch with this tenant.
    watched: Vec<&'static Rule>,
    /// Subscriptions that its deletion waits for.
    users: Vec<String>,
}

/// Brings what is known about one tenant up to date.
pub async fn reconcile(object: Arc<GraphTenant>, context: Arc<Context>) -> Action {
    let work = run(object.clone(), &context);
    guard(object, &context.attempts, &context.metrics.reconciles, work).await
}

async fn run(object: Arc<GraphTenant>, context: &Context) -> Result<Action, Error> {
    let reference = reference_to(&*object);
    let users = users(context, &object, &reference).await?;
    if object.metadata.deletion_timestamp.is_some() && users.is_empty() {
        apply::remove_finalizer(&context.client, &*object, IN_USE_FINALIZER).await?;
        return Ok(Action::await_change());
    }
    let object = match apply::add_finalizer(&context.client, &*object, IN_USE_FINALIZER).await? {
        Some(held) => Arc::new(held),
        None => object,
    };
    let old = object.status.clone().unwrap_or_default();
    let request = asked(&*object, old.last_handled_reconcile_at.as_deref());
    let findings = Findings {
        users,
        ..find_out(context, &object, &reference, request.is_some()).await?
    };
    let mut next = report::next_status(&object, &findings, Timestamp::now());
    if request.is_some() {
        next.last_handled_reconcile_at = request;
    }
    apply::status(&context.client, &*object, object.status.as_ref(), &next, false).await?;
    warn(context, &object, &old, &next).await;
    Ok(again(context, &findings))
}

async fn find_out(
    context: &Context,
    object: &GraphTenant,
    reference: &ObjectRef,
    anew: bool,
) -> Result<Findings, Error> {
    let watched = watched(context, reference);
    let namespace = object.namespace().unwrap_or_default();
    let loaded = credential::load(&context.client, &namespace, &object.spec.credentials).await?;
    let (loaded, addresses) = match (loaded, object.spec.addresses()) {
        (Ok(loaded), Some(addresses)) => (loaded, addresses),
        (Err(refusal), _) => return Ok(refused(context, reference, refusal, watched)),
        (Ok(_), None) => {
            let refusal = Refusal::stalled(Reason::InvalidSpec, "spec.endpoints is required with cloud: Custom");
            return Ok(refused(context, reference, refusal, watched));
        }
    };
    let app = App {
        tenant_id: object.spec.tenant_id.clone(),
        client_id: object.spec.client_id.clone(),
        login: addresses.login,
        graph: addresses.graph,
        credential: loaded.credential,
    };
    let before = context
        .apps
        .get(reference)
        .and_then(|entry| entry.graph.ok())
        .map(|graph| graph.skew());
    let graph = context.apps.client(
        reference,
        app,
        &loaded.fingerprint,
        &context.http,
        &context.graph_metrics,
    );
    // A permission that was granted since shows only in a new token.
    let lacking = !is_true(object, ConditionType::PermissionsGranted);
    let remembered = context.refusals.get(reference, &loaded.fingerprint).filter(|_| !anew);
    let sign_in = match (remembered, anew, lacking) {
        (Some(failure), ..) => Err(failure),
        (None, true, _) => graph.check().await,
        (None, false, true) => graph.authenticate_anew().await,
        (None, false, false) => graph.authenticate().await,
    };
    match &sign_in {
        Ok(_) => context.refusals.forget(reference),
        Err(failure) => context.refusals.remember(reference, &loaded.fingerprint, failure),
    }
    let permissions = sign_in.as_ref().ok().and_then(|grant| grant.roles.clone());
    let skew = graph.skew();
    let moved_by = skew.unwrap_or_default() - before.flatten().unwrap_or_default();
    let skew_moved = moved_by.abs().as_secs() > 60;
    let news = sign_in.is_ok() && context.apps.set_permissions(reference, permissions);
    if news || skew_moved || before.is_none() || anew {
        wake_users(context, reference);
    }
    let sign_in = sign_in.map_err(|failure| {
        let reason = super::subscription::act::reason(&failure.kind);
        Refusal::waiting(reason, failure.message)
    });
    Ok(Findings {
        credential_expires: loaded.expires,
        sign_in,
        skew,
        watched,
        users: Vec::new(),
    })
}

/// Without a usable credential there is no client, and the tenant's subscriptions say why.
fn refused(context: &Context, reference: &ObjectRef, refusal: Refusal, watched: Vec<&'static Rule>) -> Findings {
    if context.apps.refuse(reference, refusal.clone()) {
        wake_users(context, reference);
    }
    Findings {
        credential_expires: None,
        sign_in: Err(refusal),
        skew: None,
        watched,
        users: Vec::new(),
    }
}

/// Subscriptions that a deletion waits for: without the tenant nobody could delete at Graph what they have there. In a
/// namespace that goes away only those count that go too.
async fn users(context: &Context, object: &GraphTenant, reference: &ObjectRef) -> Result<Vec<String>, Error> {
    if object.metadata.deletion_timestamp.is_none() {
        return Ok(Vec::new());
    }
    let namespace = reference.namespace.as_deref().unwrap_or_default();
    let namespace_goes = context.namespace_goes(namespace).await?;
    let subscriptions = context.stores.subscriptions.state();
    let mut users: Vec<_> = subscriptions
        .iter()
        .filter(|subscription| subscription.tenant() == *reference && apply::has_finalizer(&***subscription, FINALIZER))
        .filter(|subscription| !namespace_goes || subscription.metadata.deletion_timestamp.is_some())
        .map(|subscription| reference_to(&**subscription).to_string())
        .collect();
    users.sort();
    Ok(users)
}

fn is_true(object: &GraphTenant, type_: ConditionType) -> bool {
    object
        .status
        .as_ref()
        .is_none_or(|status| condition::is_true(&status.conditions, type_))
}

fn watched(context: &Context, reference: &ObjectRef) -> Vec<&'static Rule> {
    let subscriptions = context.stores.subscriptions.state();
    let used = subscriptions
        .iter()
        .filter(|subscription| subscription.tenant() == *reference);
    used.map(|subscription| rule_for(&subscription.spec.resource)).collect()
}

fn wake_users(context: &Context, reference: &ObjectRef) {
    context.wake_subscriptions(|subscription| subscription.tenant() == *reference);
}

/// Warns of what newly went wrong.
async fn warn(context: &Context, object: &GraphTenant, old: &GraphTenantStatus, next: &GraphTenantStatus) {
    for (after, reason) in super::news::turned_bad(&old.conditions, &next.conditions) {
        context
            .event(
                object,
                EventType::Warning,
                reason,
                &format!("{}: {}", after.type_, after.message),
            )
            .await;
    }
}

fn again(context: &Context, findings: &Findings) -> Action {
    let period = match &findings.sign_in {
        Ok(_) => context.settings.interval,
        Err(refusal) if refusal.stalled => return Action::await_change(),
        Err(refusal) => {
            let reason = refusal.reason.to_string();
            context
                .metrics
                .failures
                .with_label_values(&["GraphTenant", &reason])
                .inc();
            context.settings.interval.min(MENDED_PERIOD)
        }
    };
    Action::requeue(period.mul_f64(0.9 + 0.2 * fastrand::f64()))
}
