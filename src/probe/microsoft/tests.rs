use prometheus::Registry;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;
use crate::api::connector::{CredentialLimits, ServiceHealth};
use crate::graph::{App, Credential, Metrics, http_client_inside};
use crate::simulator::{Config, DEFAULT_APP, DEFAULT_SECRET, DEFAULT_TENANT, Simulator};

const CONNECTOR: &str = "33333333-3333-3333-3333-333333333333";
const ROLE: &str = "Calls.JoinGroupCall.All";

struct World {
    simulator: Simulator,
    http: Client,
    graph: Graph,
    memory: Memory,
}

fn spec() -> Microsoft {
    Microsoft {
        tenant_id: DEFAULT_TENANT.into(),
        domain: Some("contoso.onmicrosoft.com".into()),
        tenant_ref: None,
        applications: vec![ConnectorApplication {
            app_id: CONNECTOR.into(),
            required_roles: vec![ROLE.into()],
            registered_here: true,
        }],
        credential_expiry: CredentialLimits::default(),
        service_health: ServiceHealth {
            enabled: true,
            ..ServiceHealth::default()
        },
    }
}

fn now() -> Instant {
    Instant::now()
}

impl World {
    async fn new(tenant: &str) -> Self {
        let simulator = Simulator::start(Config::default()).await.unwrap();
        let app = App {
            tenant_id: tenant.into(),
            client_id: Some(DEFAULT_APP.into()),
            login: simulator.url().into(),
            graph: simulator.url().into(),
            credential: Credential::ClientSecret(SecretString::from(DEFAULT_SECRET)),
        };
        let http = http_client_inside().unwrap();
        let metrics = Metrics::new(&Registry::new()).unwrap();
        Self {
            graph: Graph::new(app, http.clone(), metrics),
            simulator,
            http,
            memory: Memory::default(),
        }
    }

    async fn put(&self, path: &str, body: Value) {
        let url = format!("{}/_simulator/{path}", self.simulator.url());
        let answer = self.http.put(url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    async fn look(&mut self, now: Instant) -> MicrosoftEvidence {
        let spec = spec();
        let plan = Plan {
            spec: &spec,
            graph: Some(&self.graph),
            http: &self.http,
            login: self.simulator.url(),
            limit: Duration::from_secs(5),
        };
        look(&plan, &mut self.memory, now).await
    }

    /// How often Graph was asked for something whose path holds this.
    async fn asked(&self, part: &str) -> usize {
        let url = format!("{}/_simulator/requests", self.simulator.url());
        let log: Vec<Value> = self.http.get(url).send().await.unwrap().json().await.unwrap();
        log.iter()
            .filter(|line| line["path"].as_str().unwrap().contains(part))
            .count()
    }
}

fn registered(roles: &[&str]) -> Value {
    json!([{"appId": CONNECTOR, "roles": roles,
        "passwordCredentials": [{"displayName": "one", "endDateTime": "2031-01-01T00:00:00Z"}]}])
}

#[tokio::test]
async fn all_is_seen_and_what_is_right_is_not_asked_again() {
    let mut world = World::new(DEFAULT_TENANT).await;
    world.put("portal/apps", registered(&[ROLE])).await;
    let evidence = world.look(now()).await;
    assert_eq!(evidence.tenant, Discovery::Tenant(DEFAULT_TENANT.into()));
    assert_eq!(evidence.domain, Some(Discovery::Tenant(DEFAULT_TENANT.into())));
    assert_eq!(evidence.asked_in.as_deref(), Some(DEFAULT_TENANT));
    let app = &evidence.applications[0];
    let principal = Principal {
        enabled: true,
        disabled_by_microsoft: false,
        roles: Learned::Known(vec![ROLE.into()]),
    };
    assert_eq!(app.principal, Learned::Known(Some(principal)));
    assert_eq!(app.credential_end(), Some("2031-01-01T00:00:00Z".parse().unwrap()));
    let Some(Learned::Known(services)) = &evidence.services else {
        panic!("{evidence:?}")
    };
    assert!(services.iter().any(|one| one.service == "Microsoft Teams"));
    let sources: Vec<_> = evidence.clock.iter().map(|sample| sample.source.as_str()).collect();
    assert_eq!(sources, ["Microsoft Entra", "Microsoft Graph"]);
    assert_eq!(world.look(now()).await.applications, evidence.applications);
    for (part, times) in [("appRoleAssignments", 1), ("/applications(", 1), ("healthOverviews", 1)] {
        assert_eq!(world.asked(part).await, times, "{part}");
    }
}

/// Hard inputs 13 and 17: missing roles are asked for again, and it is known for how long they are missing, whoever sets the clock.
#[tokio::test]
async fn what_is_missing_is_asked_again_and_dated() {
    let mut world = World::new(DEFAULT_TENANT).await;
    let first = now();
    let missing = world.look(first).await;
    assert_eq!(missing.applications[0].principal, Learned::Known(None));
    assert_eq!(missing.applications[0].registration, Some(Learned::Known(None)));
    assert_eq!(missing.applications[0].lacking_for, Some(SignedDuration::ZERO));
    world.put("portal/apps", registered(&[])).await;
    let later = first + Duration::from_mins(5);
    let lasted = Some(SignedDuration::from_mins(5));
    assert_eq!(world.look(later).await.applications[0].lacking_for, lasted);
    world.put("portal/apps", registered(&[ROLE])).await;
    let whole = world.look(later).await;
    assert_eq!(whole.applications[0].lacking_for, None);
    assert!(!whole.applications[0].lacks(&[ROLE.to_owned()]));
}

/// Hard input 14: 403 is "not known", never "not there".
#[tokio::test]
async fn what_may_not_be_seen_is_not_called_missing() {
    let mut world = World::new(DEFAULT_TENANT).await;
    world.put("portal/apps", registered(&[ROLE])).await;
    world.put(&format!("apps/{DEFAULT_APP}/roles"), json!([])).await;
    let evidence = world.look(now()).await;
    assert_eq!(evidence.applications[0].principal, Learned::Denied);
    assert_eq!(evidence.applications[0].registration, Some(Learned::Denied));
    assert_eq!(evidence.services, Some(Learned::Denied));
    assert_eq!(evidence.applications[0].lacking_for, None);
}

#[tokio::test]
async fn a_tenant_named_by_its_domain_is_found_out() {
    let mut world = World::new("contoso.onmicrosoft.com").await;
    let evidence = world.look(now()).await;
    assert_eq!(evidence.asked_in.as_deref(), Some(DEFAULT_TENANT));
}

#[tokio::test]
async fn without_a_graph_tenant_only_the_tenant_is_looked_up() {
    let world = World::new(DEFAULT_TENANT).await;
    let spec = spec();
    let plan = Plan {
        spec: &spec,
        graph: None,
        http: &world.http,
        login: world.simulator.url(),
        limit: Duration::from_secs(5),
    };
    let evidence = look(&plan, &mut Memory::default(), now()).await;
    assert_eq!(evidence.tenant, Discovery::Tenant(DEFAULT_TENANT.into()));
    assert!(evidence.applications.is_empty() && evidence.services.is_none() && evidence.asked_in.is_none());
    assert_eq!(world.asked("/v1.0/").await, 0);
}

#[tokio::test]
async fn a_graph_that_is_silent_ends_the_look_in_time() {
    let mut world = World::new(DEFAULT_TENANT).await;
    let silence = json!({"match": {"pathContains": "/v1.0/"}, "action": {"type": "timeout", "ms": 20000}});
    let url = format!("{}/_simulator/faults", world.simulator.url());
    world.http.post(url).json(&silence).send().await.unwrap();
    let spec = spec();
    let plan = Plan {
        spec: &spec,
        graph: Some(&world.graph),
        http: &world.http,
        login: world.simulator.url(),
        limit: Duration::from_millis(300),
    };
    let began = Instant::now();
    let evidence = look(&plan, &mut world.memory, now()).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(matches!(&evidence.applications[0].principal, Learned::Unavailable(why) if why.contains("in time")));
}
