//! Looks at the Microsoft side of a connector.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use reqwest::Client;

use super::discovery::discover;
use crate::api::connector::{ConnectorApplication, Microsoft};
use crate::graph::{Failure, Graph, Kind};
use crate::policy::connector::clock::ClockSample;
use crate::policy::connector::learned::Learned;
use crate::policy::connector::microsoft::{
    AppCredential, ApplicationEvidence, Discovery, MicrosoftEvidence, Principal, ServiceState,
};

/// How long what is right is not asked again: consent, credentials and domains change seldom, and Graph's answers are counted.
/// What is wrong is asked at every look, so that mending shows.
const TRUSTED: Duration = Duration::from_mins(10);
/// How old Microsoft's word on its services may be.
const HEALTH_AGE: Duration = Duration::from_mins(2);
/// How exactly the client of Graph knows Microsoft's clock: half of the slowest answer that it learns from, and half a second.
const CLOCK_ERROR: SignedDuration = SignedDuration::from_millis(2500);

/// What to look at, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// What is expected.
    pub spec: &'a Microsoft,
    /// The client of the named `GraphTenant`.
    pub graph: Option<&'a Graph>,
    /// For questions without credentials; from [`crate::graph::http_client`].
    pub http: &'a Client,
    /// Address of Entra.
    pub login: &'a str,
    /// How long one question may take.
    pub limit: Duration,
}

/// An app's secrets and certificates, if its registration is in this tenant.
type Registration = Learned<Option<Vec<AppCredential>>>;

/// What earlier looks at the same object found out. A change of the spec makes it forget.
#[derive(Debug, Default)]
pub struct Memory {
    of: Option<(Microsoft, Option<String>)>,
    tenants: HashMap<String, (Instant, Discovery)>,
    principals: HashMap<String, (Instant, Learned<Option<Principal>>)>,
    registrations: HashMap<String, (Instant, Registration)>,
    /// Since when something is missing: by a clock that nobody sets.
    lacking: HashMap<String, Instant>,
}

impl Memory {
    fn begin(&mut self, plan: &Plan<'_>) {
        let of = (plan.spec.clone(), plan.graph.map(|graph| graph.tenant_id().to_owned()));
        if self.of.as_ref() != Some(&of) {
            *self = Self {
                of: Some(of),
                ..Self::default()
            };
        }
    }
}

/// What is kept of a question's answer, while it is young.
fn young<T: Clone>(kept: &HashMap<String, (Instant, T)>, name: &str) -> Option<T> {
    let (at, value) = kept.get(name)?;
    (at.elapsed() < TRUSTED).then(|| value.clone())
}

/// Looks at all that the spec names. `now` is the time of the look.
pub async fn look(plan: &Plan<'_>, memory: &mut Memory, now: Instant) -> MicrosoftEvidence {
    memory.begin(plan);
    let spec = plan.spec;
    let mut clock = Vec::new();
    let (tenant, sample) = discover(plan.http, plan.login, &spec.tenant_id, plan.limit).await;
    clock.extend(sample);
    let domain = match &spec.domain {
        Some(domain) => Some(tenant_of(plan, memory, domain).await),
        None => None,
    };
    let mut evidence = MicrosoftEvidence {
        tenant,
        domain,
        asked_in: None,
        applications: Vec::new(),
        services: None,
        clock,
    };
    if let Some(graph) = plan.graph {
        ask_graph(plan, graph, memory, &mut evidence, now).await;
    }
    evidence
}

async fn ask_graph(
    plan: &Plan<'_>,
    graph: &Graph,
    memory: &mut Memory,
    evidence: &mut MicrosoftEvidence,
    now: Instant,
) {
    evidence.asked_in = match uuid::Uuid::parse_str(graph.tenant_id()) {
        Ok(id) => Some(id.to_string()),
        Err(_) => match tenant_of(plan, memory, graph.tenant_id()).await {
            Discovery::Tenant(id) => Some(id),
            _ => None,
        },
    };
    for app in &plan.spec.applications {
        evidence
            .applications
            .push(application(plan, graph, memory, app, now).await);
    }
    if plan.spec.service_health.enabled {
        evidence.services = Some(services(plan, graph).await);
    }
    // A sample only if something answered: the client's knowledge is forgotten when the local clock is set.
    evidence.clock.extend(graph.skew().map(|skew| ClockSample {
        source: "Microsoft Graph".to_owned(),
        skew,
        error: CLOCK_ERROR,
    }));
}

async fn tenant_of(plan: &Plan<'_>, memory: &mut Memory, name: &str) -> Discovery {
    if let Some(known) = young(&memory.tenants, name) {
        return known;
    }
    let (found, _) = discover(plan.http, plan.login, name, plan.limit).await;
    if matches!(found, Discovery::Tenant(_)) {
        memory.tenants.insert(name.to_owned(), (Instant::now(), found.clone()));
    }
    found
}

async fn application(
    plan: &Plan<'_>,
    graph: &Graph,
    memory: &mut Memory,
    app: &ConnectorApplication,
    now: Instant,
) -> ApplicationEvidence {
    let principal = match young(&memory.principals, &app.app_id) {
        Some(known) => known,
        None => principal(plan, graph, app).await,
    };
    let registration = match (app.registered_here, young(&memory.registrations, &app.app_id)) {
        (false, _) => None,
        (true, Some(known)) => Some(known),
        (true, None) => Some(registration(plan, graph, memory, app).await),
    };
    let mut evidence = ApplicationEvidence {
        app_id: app.app_id.clone(),
        principal,
        registration,
        lacking_for: None,
    };
    remember(memory, app, &mut evidence, now);
    evidence
}

/// Keeps what is right, and for how long something is missing.
fn remember(memory: &mut Memory, app: &ConnectorApplication, evidence: &mut ApplicationEvidence, now: Instant) {
    let id = &app.app_id;
    match &evidence.principal {
        _ if evidence.lacks(&app.required_roles) => {
            let since = *memory.lacking.entry(id.clone()).or_insert(now);
            let lasted = SignedDuration::try_from(now.saturating_duration_since(since));
            evidence.lacking_for = Some(lasted.unwrap_or(SignedDuration::MAX));
            memory.principals.remove(id);
        }
        Learned::Known(Some(principal)) => {
            memory.lacking.remove(id);
            let roles_known = app.required_roles.is_empty() || matches!(principal.roles, Learned::Known(_));
            if !principal.enabled || principal.disabled_by_microsoft || !roles_known {
                memory.principals.remove(id);
            } else if young(&memory.principals, id).is_none() {
                let kept = (Instant::now(), evidence.principal.clone());
                memory.principals.insert(id.clone(), kept);
            }
        }
        // Nothing is known: what was missing may still be.
        _ => {
            memory.principals.remove(id);
        }
    }
}

async fn principal(plan: &Plan<'_>, graph: &Graph, app: &ConnectorApplication) -> Learned<Option<Principal>> {
    let asked = graph.service_principal(&app.app_id, deadline(plan, graph));
    let found = match learn(plan.limit, asked).await {
        Learned::Known(Some(found)) => found,
        other => return other.map(|_| None),
    };
    let roles = if app.required_roles.is_empty() {
        Learned::Known(Vec::new())
    } else {
        learn(plan.limit, graph.granted_roles(&found.id, deadline(plan, graph))).await
    };
    Learned::Known(Some(Principal {
        enabled: found.account_enabled != Some(false),
        disabled_by_microsoft: found
            .disabled_by_microsoft_status
            .is_some_and(|status| !status.is_empty() && !status.eq_ignore_ascii_case("NotDisabled")),
        roles,
    }))
}

async fn registration(plan: &Plan<'_>, graph: &Graph, memory: &mut Memory, app: &ConnectorApplication) -> Registration {
    let learned = learn(plan.limit, graph.app_credentials(&app.app_id, deadline(plan, graph))).await;
    // Also what is about to end: replacing it is seen ten minutes later at most.
    if matches!(learned, Learned::Known(Some(_))) {
        let kept = (Instant::now(), learned.clone());
        memory.registrations.insert(app.app_id.clone(), kept);
    }
    learned
}

async fn services(plan: &Plan<'_>, graph: &Graph) -> Learned<Vec<ServiceState>> {
    let asked = graph.service_health(HEALTH_AGE, deadline(plan, graph));
    learn(plan.limit, asked).await.map(|all| all.as_ref().clone())
}

/// After it the look is over.
fn deadline(plan: &Plan<'_>, graph: &Graph) -> Timestamp {
    let limit = SignedDuration::try_from(plan.limit).unwrap_or(SignedDuration::MAX);
    graph.now().checked_add(limit).unwrap_or(Timestamp::MAX)
}

async fn learn<T>(limit: Duration, ask: impl Future<Output = Result<T, Failure>>) -> Learned<T> {
    match tokio::time::timeout(limit, ask).await {
        Ok(Ok(answer)) => Learned::Known(answer),
        Ok(Err(failure)) => match failure.kind {
            Kind::ConsentMissing => Learned::Denied,
            Kind::CredentialsRejected | Kind::CredentialsMalformed | Kind::CertificateExpired | Kind::Unauthorized => {
                Learned::Refused(failure.message)
            }
            _ => Learned::Unavailable(failure.message),
        },
        Err(_) => Learned::Unavailable("Graph is out of reach: it does not answer in time.".to_owned()),
    }
}

#[cfg(test)]
mod tests;
