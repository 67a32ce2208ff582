//! The Microsoft side, through the client of the `GraphTenant` that the spec names.

use tokio::time::Instant;

use super::Asking;
use crate::api::condition::{self, ConditionType, Reason};
use crate::api::connector::{Microsoft, Severity};
use crate::api::reference::ObjectRef;
use crate::api::subscription::GraphSubscription;
use crate::controller::connector::found::{Found, Part, Shown};
use crate::controller::context::{Context, find};
use crate::controller::index::Group;
use crate::controller::reconcile::Error;
use crate::graph::Graph;
use crate::local_clock;
use crate::policy::connector::Finding;
use crate::policy::connector::learned::Learned;
use crate::policy::connector::microsoft::{MicrosoftEvidence, judge};
use crate::policy::subscription::Refusal;
use crate::probe::microsoft::{Memory, Plan, look as probe};

/// Entra in Microsoft's global cloud, where no `GraphTenant` names another.
const LOGIN: &str = "https://login.microsoftonline.com";

/// Looks at it, if the spec names a tenant.
pub async fn look(asking: &Asking<'_>, memory: &mut Memory) -> Result<Found, Error> {
    let Some(spec) = &asking.object.spec.microsoft else {
        return Ok(Found::default());
    };
    let tenant = spec.tenant_ref.as_ref().map(|named| ObjectRef {
        name: named.name.clone(),
        namespace: Some(asking.namespace.clone()),
    });
    let (graph, refusal) = match tenant.as_ref().map(|tenant| client(asking.context, tenant)) {
        None => (None, None),
        Some(Ok(graph)) => (Some(graph), None),
        Some(Err(refusal)) => (None, Some(refusal)),
    };
    let login = tenant.as_ref().and_then(|tenant| login(asking.context, tenant));
    let began = Instant::now();
    let plan = Plan {
        spec,
        graph: graph.as_ref(),
        http: &asking.context.http,
        login: login.as_deref().unwrap_or(LOGIN),
        limit: asking.limit,
    };
    let evidence = probe(&plan, memory, began.into_std()).await;
    let findings = judge(spec, &evidence, local_clock::now());
    Ok(Found {
        parts: vec![Part::new("microsoft", "", began.elapsed(), &findings)],
        findings,
        refusal,
        signs: tenant
            .map(|tenant| conflicts(asking.context, &tenant))
            .unwrap_or_default(),
        clock: evidence.clock.clone(),
        shown: shown(spec, &evidence),
        ..Found::default()
    })
}

fn client(context: &Context, tenant: &ObjectRef) -> Result<Graph, Refusal> {
    let field = "spec.microsoft.tenantRef";
    if find(&context.stores.tenants, tenant).is_none() {
        let message = format!("{field}: GraphTenant {tenant} does not exist");
        return Err(Refusal::waiting(Reason::TenantNotFound, message));
    }
    let not_ready = |why: &str| {
        let message = format!("{field}: GraphTenant {tenant} cannot be used yet: {why}");
        Refusal::waiting(Reason::TenantNotReady, message)
    };
    match context.apps.get(tenant) {
        Some(entry) => entry.graph.map_err(|refusal| not_ready(&refusal.message)),
        None => Err(not_ready("it was not looked at")),
    }
}

fn login(context: &Context, tenant: &ObjectRef) -> Option<String> {
    let tenant = find(&context.stores.tenants, tenant)?;
    tenant.spec.addresses().map(|addresses| addresses.login)
}

/// Subscriptions of the same tenant that Graph calls a conflict (409): with a clock that is wrong, they prove what that does.
fn conflicts(context: &Context, tenant: &ObjectRef) -> Vec<Finding> {
    let is_refused = |subscription: &GraphSubscription| {
        let status = subscription.status.as_ref();
        let subscribed = status.and_then(|status| condition::find(&status.conditions, ConditionType::Subscribed));
        subscribed.is_some_and(|found| found.status == "False" && found.reason == Reason::Conflict.to_string())
    };
    let refused = context.stores.index.of(&Group::Tenant(tenant.clone()));
    if !refused.iter().any(|subscription| is_refused(subscription)) {
        return Vec::new();
    }
    let message = format!("Subscriptions of GraphTenant {tenant} are refused as conflicts.");
    let (type_, severity) = (ConditionType::Subscribed, Severity::Warning);
    vec![Finding::fail(type_, "", severity, Reason::Conflict, message)]
}

fn shown(spec: &Microsoft, evidence: &MicrosoftEvidence) -> Shown {
    let credentials = evidence.applications.iter();
    let credentials = credentials.filter_map(|app| Some((app.app_id.clone(), app.credential_end()?)));
    let named = |service: &str| {
        spec.service_health
            .services
            .iter()
            .any(|one| one.eq_ignore_ascii_case(service))
    };
    let upstream = match &evidence.services {
        Some(Learned::Known(services)) => services
            .iter()
            .filter(|state| named(&state.service))
            .map(|state| (state.service.clone(), state.status.clone()))
            .collect(),
        _ => Vec::new(),
    };
    Shown {
        credentials: credentials.collect(),
        upstream,
        ..Shown::default()
    }
}
