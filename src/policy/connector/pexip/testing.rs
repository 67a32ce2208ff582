//! A healthy deployment, for tests to spoil.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::calls::{CallEnd, CallRecord, Calls};
use super::routing::{Rule, Scope, Table};
use super::*;
use crate::api::connector::{CallFeed, CapacityLimits, DigitRange, RoutingSample};
use crate::api::reference::SecretRef;
use crate::policy::connector::Outcome;

pub const CONNECTOR: &str = "/api/admin/configuration/v1/teams_proxy/1/";
pub const OTHER: &str = "/api/admin/configuration/v1/teams_proxy/2/";
pub const TENANT: &str = "/api/admin/configuration/v1/azure_tenant/1/";
pub const PLACE: &str = "/api/admin/configuration/v1/system_location/1/";
pub const TENANT_ID: &str = "6f1cbb3a-2a5e-4c37-9d0f-0d6a4b6f8a11";

pub fn now() -> Timestamp {
    "2026-11-22T09:00:00Z".parse().unwrap()
}

pub fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

pub fn spec() -> Pexip {
    Pexip {
        management_url: "https://mgr.example.com".into(),
        credentials_secret_ref: SecretRef { name: "pexip".into() },
        ca_bundle_secret_ref: None,
        connector_name: "eu".into(),
        node_fqdns: vec!["edge01.example.com".into()],
        conference_id_digits: DigitRange { min: 9, max: 13 },
        routing_samples: vec![RoutingSample {
            alias: "sip:123456789@example.com".into(),
            expect: "123456789".into(),
        }],
        capacity: CapacityLimits::default(),
        heartbeat_max_age: "5m".into(),
        call_feed: CallFeed::History,
        event_sink_secret_ref: None,
    }
}

pub fn rule() -> Rule {
    Rule {
        name: "teams".into(),
        is_enabled: true,
        priority: 10,
        pattern: r"(\d{9,13})@example\.com".into(),
        replacement: r"\1".into(),
        is_teams: true,
        connector: Some(CONNECTOR.into()),
        location: Some(PLACE.into()),
        scope: Scope {
            kinds: 0b1,
            ..Scope::default()
        },
        ..Rule::default()
    }
}

pub fn instance(id: &str) -> Instance {
    Instance {
        id: id.into(),
        name: id.into(),
        state: InstanceState::Active,
        calls: Some(3),
        most_calls: Some(15),
        heartbeat: Some(ago(20)),
        event_hub_id: Some("q1".into()),
    }
}

/// What the Management Node says, in parts that a test can change.
pub struct World {
    pub spec: Pexip,
    pub configuration: Configuration,
    pub rules: Vec<Rule>,
    pub status: PexipStatus,
    pub samples: Vec<Sample>,
    pub calls: Option<Calls>,
    pub clock: Vec<ClockSample>,
}

pub fn world() -> World {
    let connector = Connector {
        uri: CONNECTOR.into(),
        name: "eu".into(),
        tenant: Some(TENANT.into()),
        event_hub: Some(true),
        event_hub_id: Some("q1".into()),
        least_instances: Some(1),
    };
    let location = Location {
        uri: PLACE.into(),
        name: "Europe".into(),
        connector: Some(CONNECTOR.into()),
    };
    let node = Node {
        name: "edge01".into(),
        fqdn: "edge01.example.com".into(),
        location: Some(PLACE.into()),
        certificate: Some("/certificate/1/".into()),
        ..Node::default()
    };
    let certificate = NodeCertificate {
        uri: "/certificate/1/".into(),
        nodes: vec!["edge01.example.com".into()],
        names: vec!["edge01.example.com".into()],
        starts: Some(ago(86_400)),
        ends: Some(ago(-100 * 86_400)),
        server_auth: Some(true),
        client_auth: Some(true),
    };
    World {
        spec: spec(),
        configuration: Configuration {
            connectors: Ok(vec![connector]),
            tenants: Ok(vec![Tenant {
                uri: TENANT.into(),
                name: "Contoso".into(),
                tenant_id: TENANT_ID.to_uppercase(),
            }]),
            routes: Ok(Table::default()),
            receptions: Ok(vec![Reception {
                name: "Lobby".into(),
                connector: Some(CONNECTOR.into()),
                location: None,
            }]),
            locations: Ok(vec![location]),
            nodes: Ok(vec![node]),
            certificates: Ok(vec![certificate]),
            authorities: Ok(Vec::new()),
        },
        rules: vec![rule()],
        status: PexipStatus {
            instances: Ok(vec![instance("eu_1"), instance("eu_2")]),
            calls: Ok(BTreeMap::new()),
            drifts: Ok(Vec::new()),
            nodes: Ok(vec![NodeStatus {
                name: "edge01".into(),
                sync: SyncState::Current,
                in_maintenance: false,
            }]),
            alarms: Ok(Vec::new()),
            licences: Ok(Licences {
                teams_used: Some(6),
                teams_total: Some(50),
                ports_used: Some(12),
                ports_total: Some(100),
            }),
        },
        samples: Vec::new(),
        calls: Some(Ok(calls(&[(CallEnd::Completed, 20)]))),
        clock: Vec::new(),
    }
}

pub fn calls(ends: &[(CallEnd, usize)]) -> Vec<CallRecord> {
    let one = |end| CallRecord {
        ended: ago(60),
        end,
        digits: Some(9),
    };
    ends.iter().flat_map(|(end, count)| vec![one(*end); *count]).collect()
}

impl World {
    pub fn evidence(self) -> (Pexip, PexipEvidence) {
        let mut configuration = self.configuration;
        if configuration.routes.is_ok() {
            configuration.routes = Ok(Table::new(self.rules, &configuration.locations));
        }
        let evidence = PexipEvidence {
            configuration: Arc::new(configuration),
            status: Arc::new(self.status),
            samples: self.samples,
            calls: self.calls,
            fresh_calls: Vec::new(),
            clock: self.clock,
        };
        (self.spec, evidence)
    }

    pub fn findings(self) -> Vec<Finding> {
        let (spec, evidence) = self.evidence();
        judge(&spec, &evidence, now())
    }

    /// What is wrong or unknown, told briefly: `Fail Critical NoActiveInstance`.
    pub fn told(self, condition: ConditionType) -> Vec<String> {
        let found = self.findings().into_iter();
        let told = found.filter(|one| one.condition == condition && one.outcome != Outcome::Pass);
        told.map(|one| brief(&one)).collect()
    }
}

pub fn brief(finding: &Finding) -> String {
    match finding.outcome {
        Outcome::Pass => "Pass".into(),
        Outcome::Unknown(reason) => format!("Unknown {reason:?} {}", finding.subject).trim().into(),
        Outcome::Fail(severity, reason) => format!("{severity:?} {reason:?} {}", finding.subject).trim().into(),
    }
}
