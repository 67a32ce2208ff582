//! `GraphTenant`: credentials are read, tried, and watched.

mod credential;
mod orphans;
mod refusals;
mod report;
#[cfg(test)]
mod tests;

pub use orphans::Orphans;
pub use refusals::Refusals;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::events::EventType;
use kube::{Client, ResourceExt};

use self::credential::Loaded;
use self::refusals::Tried;
use super::apply;
use super::context::{Context, asked, find, reference_to};
use super::doubts;
use super::index::Group;
use super::reconcile::{Action, Error, guard};
use crate::api::condition::{self, ConditionType, Reason};
use crate::api::reference::ObjectRef;
use crate::api::tenant::{GraphTenant, GraphTenantSpec, GraphTenantStatus};
use crate::api::{FINALIZER, IN_USE_FINALIZER, PRESENCE_FINALIZER};
use crate::graph::{App, Failure, Grant, Graph, Kind};
use crate::policy::resource::{Rule, rule_for};
use crate::policy::subscription::Refusal;

/// What is wrong is looked at again this soon: a mended Secret gives no sign, because Secrets are not watched.
const MENDED_PERIOD: Duration = Duration::from_secs(15);

/// A new leader has other things to ask Graph for than its list.
const FIRST_LIST: Duration = Duration::from_secs(60);
/// A list that is no older than this serves: a long one, begun at the look before, has been read by now.
const LIST_AGE: Duration = Duration::from_secs(360);
/// A look at a tenant does not wait longer for a long list, which is read on meanwhile.
const LIST_LIMIT: Duration = Duration::from_secs(20);
/// Urgency of the list: behind what somebody waits for.
pub const LIST_URGENCY: SignedDuration = SignedDuration::from_hours(1);

/// What was found out about a tenant.
struct Findings {
    /// The credential's expiry, where it tells.
    credential_expires: Option<Timestamp>,
    /// What signing in gave.
    sign_in: Result<Grant, Refusal>,
    /// Microsoft's clock minus ours.
    skew: Option<SignedDuration>,
    /// Rules of the resources that subscriptions watch with this tenant.
    watched: Vec<&'static Rule>,
    /// Subscriptions that its deletion waits for.
    users: Vec<String>,
    /// Remote subscriptions that belong to no object.
    orphans: orphans::Found,
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
    let mut next = report::next_status(&object, &findings, crate::local_clock::now());
    if request.is_some() {
        next.last_handled_reconcile_at = request;
    }
    apply::status(&context.client, &*object, object.status.as_ref(), &next, false).await?;
    warn(context, &object, &old, &next);
    Ok(again(context, &findings))
}

async fn find_out(
    context: &Context,
    object: &GraphTenant,
    reference: &ObjectRef,
    anew: bool,
) -> Result<Findings, Error> {
    let (app, loaded) = match prepare(context, object).await? {
        Ok(prepared) => prepared,
        Err(refusal) => return Ok(refused(context, reference, refusal)),
    };
    let had_client = context.apps.get(reference).is_some_and(|entry| entry.graph.is_ok());
    let graph = context.apps.client(
        reference,
        app,
        &loaded.fingerprint,
        &context.http,
        &context.graph_metrics,
    );
    let tried = Tried {
        uid: object.uid().unwrap_or_default(),
        generation: object.metadata.generation.unwrap_or(0),
        credential: loaded.fingerprint,
    };
    let sign_in = match context.refusals.get(reference, &tried).filter(|_| !anew) {
        Some(failure) => Err(failure),
        None => sign_in(&graph, anew, lacks_permissions(object)).await,
    };
    match &sign_in {
        Ok(_) => context.refusals.forget(reference),
        Err(failure) => context.refusals.remember(reference, &tried, failure),
    }
    let permissions = sign_in.as_ref().ok().and_then(|grant| grant.roles.clone());
    let skew = graph.skew();
    let news = sign_in.is_ok() && context.apps.set_permissions(reference, permissions);
    let moved = skew.is_some_and(|skew| context.apps.clocks_moved(reference, skew));
    if context.apps.tried(reference) || news || moved || !had_client || anew {
        wake_users(context, reference);
    }
    let orphans = match &sign_in {
        Ok(_) => {
            look_for_missing(context, reference, &graph, anew).await;
            orphans::look(context, object, reference, &graph, anew).await
        }
        Err(_) => orphans::Found::default(),
    };
    let sign_in = sign_in.map_err(|failure| {
        let reason = super::subscription::act::reason(&failure.kind);
        Refusal::waiting(reason, failure.message)
    });
    Ok(Findings {
        credential_expires: loaded.expires,
        skew,
        // Permissions show only after signing in.
        watched: sign_in
            .as_ref()
            .map_or_else(|_| Vec::new(), |_| watched(context, reference)),
        sign_in,
        users: Vec::new(),
        orphans,
    })
}

/// The app as the spec has it, or why it cannot be used.
async fn prepare(context: &Context, object: &GraphTenant) -> Result<Result<(App, Loaded), Refusal>, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let spec = &object.spec;
    if spec.credentials.are_the_operators() && !context.settings.lends_identity_to(&namespace) {
        let message = format!(
            "spec.credentials: namespace {namespace} may not use the operator's own identity; add it to the operator's setting --identity-namespaces (IDENTITY_NAMESPACES), or use a clientSecret or certificate"
        );
        return Ok(Err(Refusal::waiting(Reason::NamespaceNotAllowed, message)));
    }
    Ok(app(&context.client, &namespace, spec).await?)
}

/// The same, whoever may use the operator's own identity.
async fn app(
    client: &Client,
    namespace: &str,
    spec: &GraphTenantSpec,
) -> Result<Result<(App, Loaded), Refusal>, kube::Error> {
    let loaded = match credential::load(client, namespace, &spec.credentials).await? {
        Ok(loaded) => loaded,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Some(addresses) = spec.addresses() else {
        let message = "spec.endpoints is required with cloud: Custom";
        return Ok(Err(Refusal::stalled(Reason::InvalidSpec, message)));
    };
    let app = App {
        tenant_id: spec.tenant_id.clone(),
        client_id: spec.client_id.clone(),
        login: addresses.login,
        graph: addresses.graph,
        credential: loaded.credential.clone(),
    };
    Ok(Ok((app, loaded)))
}

/// The app of a tenant for use outside the controller, or why it cannot be used.
pub async fn app_of(client: &Client, tenant: &GraphTenant) -> Result<Result<App, Refusal>, kube::Error> {
    let namespace = tenant.namespace().unwrap_or_default();
    let app = app(client, &namespace, &tenant.spec).await?;
    Ok(app.map(|(app, _)| app))
}

/// Graph removes most subscriptions without a word. Its list, read with every look at the tenant, tells before the next renewal.
async fn look_for_missing(context: &Context, tenant: &ObjectRef, graph: &Graph, anew: bool) {
    let has_any = context.stores.index.has_others(&Group::Tenant(tenant.clone()), None);
    if !has_any || !anew && context.leads_for() < FIRST_LIST {
        return;
    }
    let list = tokio::time::timeout(LIST_LIMIT, graph.list(LIST_AGE, graph.now() + LIST_URGENCY));
    // What keeps it from being read shows where it matters more.
    if let Ok(Ok(list)) = list.await {
        doubts::compare(context, tenant, graph, &list);
    }
}

/// Signs in, `anew` with a look at Graph too. A permission that was granted since shows only in a new token; while none can be
/// had, the one at hand does.
async fn sign_in(graph: &Graph, anew: bool, lacks_permissions: bool) -> Result<Grant, Failure> {
    if anew {
        return graph.check().await;
    }
    if lacks_permissions {
        match graph.authenticate_anew().await {
            Err(failure) if is_passing(&failure) => {}
            result => return result,
        }
    }
    let grant = graph.authenticate().await?;
    if graph.skew().is_none() {
        // Another answer tells whether the clock of the first one was right. Whatever else comes of it shows where it matters.
        let _ = graph.see_clock(graph.now()).await;
    }
    Ok(grant)
}

fn is_passing(failure: &Failure) -> bool {
    matches!(failure.kind, Kind::Unavailable | Kind::Throttled | Kind::Protocol)
}

/// Forgets the clients of tenants that are gone, unless something made with them still has to be let go.
pub fn forget_gone(context: &Context) {
    let exists = |reference: &ObjectRef| find(&context.stores.tenants, reference).is_some();
    let named = |reference: &ObjectRef| context.stores.index.has_others(&Group::Tenant(reference.clone()), None);
    context.apps.retain(|reference| exists(reference) || named(reference));
    context.refusals.retain(exists);
    context.orphans.retain(exists);
}

/// Without a usable credential there is no client, and the tenant's subscriptions say why.
fn refused(context: &Context, reference: &ObjectRef, refusal: Refusal) -> Findings {
    if context.apps.refuse(reference, refusal.clone()) {
        wake_users(context, reference);
    }
    Findings {
        credential_expires: None,
        sign_in: Err(refusal),
        skew: None,
        watched: Vec::new(),
        users: Vec::new(),
        orphans: orphans::Found::default(),
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
    let subscriptions = context.stores.index.of(&Group::Tenant(reference.clone()));
    let mut users: Vec<_> = subscriptions
        .iter()
        .filter(|subscription| apply::has_finalizer(&***subscription, FINALIZER))
        .filter(|subscription| !namespace_goes || subscription.metadata.deletion_timestamp.is_some())
        .map(|subscription| reference_to(&**subscription).to_string())
        .collect();
    users.extend(super::presence::users(context, |sync| {
        apply::has_finalizer(sync, PRESENCE_FINALIZER)
            && (!namespace_goes || sync.metadata.deletion_timestamp.is_some())
            && sync.tenants().any(|tenant| tenant == *reference)
    }));
    users.sort();
    Ok(users)
}

fn lacks_permissions(object: &GraphTenant) -> bool {
    let conditions = object.status.as_ref().map(|status| status.conditions.as_slice());
    let granted = conditions.and_then(|conditions| condition::find(conditions, ConditionType::PermissionsGranted));
    granted.is_some_and(|granted| granted.status == "False")
}

fn watched(context: &Context, reference: &ObjectRef) -> Vec<&'static Rule> {
    let mut rules: Vec<&'static Rule> = Vec::new();
    for subscription in context.stores.index.of(&Group::Tenant(reference.clone())) {
        let rule = rule_for(&subscription.spec.resource);
        if !rules.iter().any(|known| std::ptr::eq(*known, rule)) {
            rules.push(rule);
        }
    }
    rules
}

fn wake_users(context: &Context, reference: &ObjectRef) {
    context.wake(&Group::Tenant(reference.clone()), |_| true);
}

/// Warns of what newly went wrong.
fn warn(context: &Context, object: &GraphTenant, old: &GraphTenantStatus, next: &GraphTenantStatus) {
    for (after, reason) in super::news::turned_bad(&old.conditions, &next.conditions) {
        context.event(
            object,
            EventType::Warning,
            reason,
            &format!("{}: {}", after.type_, after.message),
        );
    }
}

fn again(context: &Context, findings: &Findings) -> Action {
    let period = match &findings.sign_in {
        // Until the clocks are compared, nobody can be sure of a deadline.
        Ok(_) if findings.skew.is_none() => context.settings.interval.min(MENDED_PERIOD),
        Ok(_) => findings
            .orphans
            .again
            .map_or(context.settings.interval, |again| again.min(context.settings.interval)),
        Err(refusal) if refusal.stalled => return Action::await_change(),
        Err(refusal) => {
            let reason = refusal.reason.to_string();
            context
                .metrics
                .failures
                .with_label_values(&["GraphTenant", &reason])
                .inc();
            // Another setting of the operator helps, which then starts anew.
            if refusal.reason == Reason::NamespaceNotAllowed {
                return Action::await_change();
            }
            context.settings.interval.min(MENDED_PERIOD)
        }
    };
    Action::requeue(period.mul_f64(0.9 + 0.2 * fastrand::f64()))
}
