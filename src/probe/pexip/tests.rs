//! The client, against the simulator's Management Node.

mod feeds;

use std::time::Duration;

use prometheus::{IntCounterVec, Opts};
use serde_json::{Value, json};

use super::*;
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::{CapacityLimits, DigitRange, RoutingSample};
use crate::api::reference::SecretRef;
use crate::policy::connector::pexip::calls::CallEnd;
use crate::policy::connector::pexip::{judge, judge_tenant};
use crate::policy::connector::{Finding, Outcome};
use crate::probe::testing::{DRIPS, drips};
use crate::simulator::{Config, DEFAULT_TENANT, Simulator, TlsPem};

const LIMIT: Duration = Duration::from_secs(20);

struct World {
    simulator: Simulator,
    http: reqwest::Client,
    requests: IntCounterVec,
    managers: Managers,
}

impl World {
    async fn new() -> Self {
        let requests = IntCounterVec::new(Opts::new("requests", "Requests."), &["api", "code"]).unwrap();
        Self {
            simulator: Simulator::start(Config::default()).await.unwrap(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            managers: Managers::new(requests.clone()),
            requests,
        }
    }

    async fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!("{}/_simulator{path}", self.simulator.url());
        let request = self.http.request(method.parse().unwrap(), url);
        let request = if body.is_null() { request } else { request.json(&body) };
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{method} {path}: {}", response.status());
        response.json().await.unwrap_or(Value::Null)
    }

    async fn manners(&self, manners: Value) {
        self.admin("PUT", "/pexip/manners", manners).await;
    }

    fn settings(&self, credentials: Credentials) -> Settings {
        Settings {
            management_url: self.simulator.url().to_owned(),
            credentials,
            roots: None,
        }
    }

    fn client(&self) -> Arc<Client> {
        let credentials = Credentials::basic("api", "simulator-password\n");
        self.managers.client(&self.settings(credentials)).unwrap()
    }

    /// A look by a client that remembers nothing.
    async fn look(&self) -> PexipEvidence {
        self.client().look(&spec(), &mut Memory::default(), LIMIT).await
    }

    fn counted(&self, code: &str) -> u64 {
        self.requests.with_label_values(&["pexip", code]).get()
    }

    /// Requests that reached a resource.
    async fn asked(&self, resource: &str) -> usize {
        let log = self.admin("GET", "/requests", Value::Null).await;
        let lines = log.as_array().unwrap().iter();
        lines
            .filter(|line| line["path"].as_str().unwrap().contains(&format!("/{resource}/")))
            .count()
    }
}

fn spec() -> Pexip {
    Pexip {
        management_url: String::new(),
        credentials_secret_ref: SecretRef { name: "pexip".into() },
        ca_bundle_secret_ref: None,
        connector_name: "eu".into(),
        node_fqdns: vec!["edge01.example.com".into()],
        conference_id_digits: DigitRange::default(),
        routing_samples: vec![RoutingSample {
            alias: "123456789@example.com".into(),
            expect: "123456789".into(),
        }],
        capacity: CapacityLimits::default(),
        heartbeat_max_age: "5m".into(),
        call_feed: CallFeed::History,
        event_sink_secret_ref: None,
    }
}

fn findings(evidence: &PexipEvidence) -> Vec<Finding> {
    judge(&spec(), evidence, local_clock::now())
}

fn faults(evidence: &PexipEvidence) -> Vec<Reason> {
    let found = findings(evidence).into_iter();
    let mut reasons: Vec<Reason> = found
        .filter(|one| one.outcome != Outcome::Pass)
        .filter_map(|one| one.reason())
        .collect();
    reasons.dedup();
    reasons
}

#[tokio::test]
async fn a_healthy_deployment_is_seen_as_one() {
    let world = World::new().await;
    world.admin("POST", "/pexip/calls", json!({"count": 12})).await;
    let evidence = world.look().await;
    assert_eq!(faults(&evidence), [], "{:#?}", findings(&evidence));
    assert_eq!(evidence.status.instances.as_ref().unwrap().len(), 2);
    assert_eq!(evidence.calls.as_ref().unwrap().as_ref().unwrap().len(), 12);
    assert_eq!(evidence.samples.len(), 1);
    assert_eq!(evidence.clock.len(), 1);
    assert!(
        evidence.clock[0].skew.abs() < jiff::SignedDuration::from_secs(3),
        "{:?}",
        evidence.clock
    );
    assert_eq!(judge_tenant(&spec(), DEFAULT_TENANT, &evidence).outcome, Outcome::Pass);
    assert_eq!(
        world.admin("GET", "/violations", Value::Null).await,
        json!([]),
        "nothing but GET"
    );
}

#[tokio::test]
async fn secrets_and_people_are_not_kept() {
    let world = World::new().await;
    world
        .admin("POST", "/pexip/calls", json!({"count": 3, "reason": "Call rejected"}))
        .await;
    let evidence = world.look().await;
    let all = format!("{evidence:?} {:?}", findings(&evidence));
    assert!(all.contains("eu-vmss_1"), "it is all there otherwise");
    for word in [
        "simulator-",
        "Simulator Caller",
        "123456789@",
        "SharedAccessKey",
        "PRIVATE KEY",
    ] {
        assert!(!all.contains(word), "{word}");
    }
}

/// Hard input 18: line ends around what a Secret holds, and a password with signs of all sorts.
#[tokio::test]
async fn credentials_are_sent_as_they_are_meant() {
    let world = World::new().await;
    for (credentials, reason) in [
        (Credentials::basic("api", "simulator-password"), None),
        (Credentials::basic("api\n", "simulator-password\r\n"), None),
        (Credentials::basic("api", "wrong"), Some(Reason::ApiRejected)),
        (Credentials::token("simulator-token\n"), None),
        (Credentials::token("Token simulator-token"), None),
        (Credentials::token("Bearer simulator-token"), None),
        (Credentials::token("other"), Some(Reason::ApiRejected)),
    ] {
        let client = world.managers.client(&world.settings(credentials)).unwrap();
        let evidence = client.look(&spec(), &mut Memory::default(), LIMIT).await;
        let told = evidence.status.instances.as_ref().err().map(ApiFault::reason);
        assert_eq!(told, reason);
    }
    assert!(world.counted("401") > 0 && world.counted("200") > 0);
    world.admin("PUT", "/pexip", json!({"password": "*&()ä: x"})).await;
    let odd = world.settings(Credentials::basic("api", "*&()ä: x"));
    let client = world.managers.client(&odd).unwrap();
    assert!(
        client
            .look(&spec(), &mut Memory::default(), LIMIT)
            .await
            .status
            .instances
            .is_ok()
    );
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_refused() {
    let world = World::new().await;
    let with = |url: &str, token: &str, roots: Option<&str>| {
        let settings = Settings {
            management_url: url.into(),
            credentials: Credentials::token(token),
            roots: roots.map(|pem| pem.as_bytes().to_vec()),
        };
        world.managers.client(&settings).err()
    };
    assert_eq!(with("ftp://mgr.example.com", "t", None), Some(Unusable::Address));
    assert_eq!(with("mgr.example.com", "t", None), Some(Unusable::Address));
    assert_eq!(
        with("https://mgr.example.com", "a\nb", None),
        Some(Unusable::Credentials)
    );
    assert_eq!(
        with("https://mgr.example.com", "t", Some("no certificate")),
        Some(Unusable::Roots)
    );
    assert_eq!(with("https://mgr.example.com", "t", None), None);
    // Hard input 20: what gives credentials to whoever asks, and what is no host.
    for forbidden in [
        "https://169.254.169.254/",
        "http://[fd00:ec2::254]/",
        "https://[fe80::1]/",
        "http://2852039166/",
        "https://[::ffff:169.254.169.254]/",
        "http://0.0.0.0/",
    ] {
        assert_eq!(with(forbidden, "t", None), Some(Unusable::Forbidden), "{forbidden}");
    }
    assert_eq!(with("https://10.0.0.1", "t", None), None);
}

#[tokio::test]
async fn odd_answers_are_told_apart() {
    for (manners, fault) in [
        (json!({"loginPage": true}), ApiFault::LoginPage),
        (json!({"sso": "https://login.example.com/"}), ApiFault::LoginPage),
        (json!({"truncate": true}), ApiFault::Malformed),
        (json!({"hugeBytes": 100_000_000}), ApiFault::TooLarge),
        (json!({"denied": ["teamsnode"]}), ApiFault::Forbidden),
        (json!({"missing": ["teamsnode"]}), ApiFault::Missing),
    ] {
        let world = World::new().await;
        world.manners(manners.clone()).await;
        let evidence = world.look().await;
        assert_eq!(evidence.status.instances.as_ref().err(), Some(&fault), "{manners}");
        let of_instances = findings(&evidence)
            .into_iter()
            .find(|one| one.condition == ConditionType::InstancesHealthy);
        assert_eq!(
            of_instances.unwrap().outcome,
            Outcome::Unknown(fault.reason()),
            "{manners}"
        );
    }
}

#[tokio::test]
async fn faults_of_the_network_are_unknown_and_quick() {
    let world = World::new().await;
    let fault = |action: Value| json!({"match": {"pathContains": "/api/admin/"}, "action": action});
    for (action, expected) in [
        (json!({"type": "reset"}), None),
        (json!({"type": "status", "status": 500}), Some(ApiFault::Status(500))),
        (json!({"type": "status", "status": 502}), Some(ApiFault::Status(502))),
        (json!({"type": "timeout", "ms": 30_000}), Some(BUSY)),
    ] {
        world.admin("DELETE", "/faults", Value::Null).await;
        world.admin("POST", "/faults", fault(action.clone())).await;
        let began = Instant::now();
        let limit = Duration::from_secs(2);
        let evidence = world.client().look(&spec(), &mut Memory::default(), limit).await;
        assert!(began.elapsed() < Duration::from_secs(20), "{action}");
        let fault = evidence.status.instances.clone().err().unwrap();
        assert_eq!(fault.reason(), Reason::ApiUnreachable, "{action}");
        if let Some(expected) = expected {
            assert_eq!(fault, expected, "{action}");
        }
    }
    assert!(world.counted("timeout") > 0);
}

/// Hard input 7: bytes that come now and then earn no more time.
#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_given_up() {
    let world = World::new().await;
    for beginning in DRIPS {
        let settings = Settings {
            management_url: drips(beginning).await,
            ..world.settings(Credentials::token("simulator-token"))
        };
        let client = world.managers.client(&settings).unwrap();
        let began = Instant::now();
        let limit = Duration::from_millis(500);
        let evidence = client.look(&spec(), &mut Memory::default(), limit).await;
        assert_eq!(evidence.status.instances.as_ref().err(), Some(&BUSY), "{beginning}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_manager_that_asks_for_a_pause_is_left_alone() {
    let world = World::new().await;
    let fault = json!({"match": {"pathContains": "teamsnode/"}, "action": {"type": "status", "status": 429, "retryAfter": 60}, "times": 1});
    world.admin("POST", "/faults", fault).await;
    let limit = Duration::from_secs(2);
    let client = world.client();
    let evidence = client.look(&spec(), &mut Memory::default(), limit).await;
    assert_eq!(evidence.status.instances.as_ref().err(), Some(&ApiFault::Throttled));
    let asked = world.asked("v1").await;
    // Another user of the same manager keeps the pause as well.
    let other = world
        .managers
        .client(&world.settings(Credentials::token("simulator-token")))
        .unwrap();
    let evidence = other.look(&spec(), &mut Memory::default(), limit).await;
    assert_eq!(evidence.status.instances.as_ref().err(), Some(&ApiFault::Throttled));
    assert_eq!(world.asked("v1").await, asked);
}

/// Hard input 9: lists that change while they are read, a wrong total, and a `next` that leads elsewhere.
#[tokio::test]
async fn lists_are_read_to_their_end_and_within_this_host() {
    let world = World::new().await;
    let instances: Vec<Value> = (0..730)
        .map(|number| json!({"id": format!("i{number}"), "eventhub_id": "q1", "instance_status": "active", "call_count": 1}))
        .collect();
    world
        .admin("PUT", "/pexip/objects/status/teamsnode", json!(instances))
        .await;
    let odd = json!({"shifts": true, "wrongTotal": true, "nextOrigin": "http://192.0.2.1", "maxPage": 100});
    world.manners(odd).await;
    let evidence = world.look().await;
    let instances = evidence.status.instances.as_ref().unwrap();
    assert_eq!(instances.len(), 730, "each of them once");
    assert_eq!(world.asked("teamsnode").await, 8);
}

#[tokio::test]
async fn too_many_objects_are_not_read() {
    let world = World::new().await;
    let alarms: Vec<Value> = (0..5_000)
        .map(|number| json!({"name": format!("{number}"), "level": "warning"}))
        .collect();
    world.admin("PUT", "/pexip/objects/status/alarm", json!(alarms)).await;
    world.manners(json!({"maxPage": 100})).await;
    let evidence = world.look().await;
    assert_eq!(evidence.status.alarms.as_ref().err(), Some(&ApiFault::TooLarge));
    assert!(evidence.status.instances.is_ok());
}

/// Hard input 9: nulls, times before and after now, and an id that is there twice.
#[tokio::test]
async fn odd_objects_are_read_as_far_as_they_go() {
    let world = World::new().await;
    let instances = json!([
        {"id": "a", "eventhub_id": "q1", "instance_status": null, "state": null, "max_calls": null, "call_count": 2, "heartbeat_time": "now-1m"},
        {"id": "b", "eventhub_id": "q1", "instance_status": "active", "heartbeat_time": "-1"},
        {"id": "b", "eventhub_id": "q1", "instance_status": "active"},
        {"id": "c", "eventhub_id": "q1", "instance_status": "active", "call_count": 1, "heartbeat_time": "now+1d"},
    ]);
    world.admin("PUT", "/pexip/objects/status/teamsnode", instances).await;
    let evidence = world.look().await;
    let all = evidence.status.instances.as_ref().unwrap();
    let ids: Vec<&str> = all.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert_eq!(all[0].most_calls, None);
    assert_eq!(all[1].heartbeat, None);
    // The clock of `c` is ahead, and nobody is at fault; what `b` has of calls is counted in the list of calls.
    assert_eq!(faults(&evidence), [Reason::InsufficientEvidence, Reason::NoTraffic]);
}

/// Hard input 19: a manager takes 1,000 requests within 60 s, and 500 objects make no more than one.
#[tokio::test]
async fn objects_that_share_a_manager_share_what_was_read() {
    let world = World::new().await;
    world.manners(json!({"maxRequests": 1000})).await;
    let client = world.client();
    assert!(Arc::ptr_eq(&client, &world.client()));
    let looks = (0..500).map(|_| {
        let client = client.clone();
        async move { client.look(&spec(), &mut Memory::default(), LIMIT).await }
    });
    let all = futures::future::join_all(looks).await;
    assert!(all.iter().all(|evidence| evidence.status.instances.is_ok()));
    for resource in ["teamsnode", "teams_proxy", "participant", "tls_certificate"] {
        assert_eq!(world.asked(resource).await, 1, "{resource}");
    }
    assert_eq!(world.counted("429"), 0);
    drop((client, all));
    assert_eq!(world.asked("licensing").await, 1);
    world.look().await;
    assert_eq!(
        world.asked("licensing").await,
        2,
        "a client ends with the last who holds it"
    );
}

#[tokio::test]
async fn each_call_is_counted_once() {
    let world = World::new().await;
    let client = world.client();
    let mut memory = Memory::default();
    world.admin("POST", "/pexip/calls", json!({"count": 4})).await;
    let first = client.look(&spec(), &mut memory, LIMIT).await;
    assert_eq!(
        first.fresh_calls,
        [],
        "those before the first look may have been counted by another"
    );
    assert_eq!(first.calls.unwrap().unwrap().len(), 4);

    world
        .admin(
            "POST",
            "/pexip/calls",
            json!({"count": 2, "reason": "Gateway dial out failed"}),
        )
        .await;
    world
        .admin("POST", "/pexip/calls", json!({"service": "conference"}))
        .await;
    world
        .admin("POST", "/pexip/calls", json!({"alias": "ann@example.com"}))
        .await;
    let again = client.look(&spec(), &mut memory, LIMIT).await;
    assert_eq!(again.fresh_calls, [], "read a moment ago");
    client.feed.lock().await.forget_when();
    let later = client.look(&spec(), &mut memory, LIMIT).await;
    let ends: Vec<CallEnd> = later.fresh_calls.iter().map(|call| call.end).collect();
    assert_eq!(
        ends,
        [CallEnd::DialOutFailed; 2],
        "neither another service's nor another's"
    );
    assert_eq!(later.calls.unwrap().unwrap().len(), 6);
    client.feed.lock().await.forget_when();
    let last = client.look(&spec(), &mut memory, LIMIT).await;
    assert_eq!(last.fresh_calls, [], "the history is looked at with an overlap");
}

#[tokio::test]
async fn a_history_that_may_not_be_viewed_is_a_feed_that_is_cut() {
    let world = World::new().await;
    world.manners(json!({"denied": ["participant"]})).await;
    assert_eq!(faults(&world.look().await), [Reason::FeedDisconnected]);
    let mut silent = spec();
    silent.call_feed = CallFeed::None;
    let evidence = world.client().look(&silent, &mut Memory::default(), LIMIT).await;
    assert!(evidence.calls.is_none());
}

#[tokio::test]
async fn faults_of_a_deployment_are_found() {
    for (resource, change, expected) in [
        (
            "status/teamsnode",
            json!([{"id": "eu-vmss_2", "instance_status": "Failure"}]),
            Reason::InstanceFailed,
        ),
        (
            "status/teamsnode",
            json!([{"id": "eu-vmss_2", "heartbeat_time": "now-1h"}]),
            Reason::HeartbeatStale,
        ),
        (
            "status/teamsnode",
            json!([{"id": "eu-vmss_1", "call_count": 15}, {"id": "eu-vmss_2", "call_count": 15}]),
            Reason::Saturated,
        ),
        (
            "status/alarm",
            json!([{"name": "Connector node failure", "level": "error"}]),
            Reason::VendorAlarm,
        ),
        (
            "status/worker_vm",
            json!([{"id": 1, "sync_status": "out of sync"}]),
            Reason::NodeOutOfSync,
        ),
        (
            "configuration/teams_proxy",
            json!([{"id": 1, "min_number_of_instances": 3}]),
            Reason::BelowMinimumInstances,
        ),
        (
            "configuration/teams_proxy",
            json!([{"id": 1, "name": "other"}]),
            Reason::ConnectorNotFound,
        ),
        (
            "configuration/gateway_routing_rule",
            json!([{"id": 1, "replace_string": "$1"}]),
            Reason::ReplaceDoesNotYieldConferenceId,
        ),
        (
            "configuration/gateway_routing_rule",
            json!([{"id": 1, "match_string": "("}]),
            Reason::RegexInvalid,
        ),
        (
            "configuration/worker_vm",
            json!([{"id": 1, "tls_certificate": null, "hostname": "edge09"}]),
            Reason::NodeNotInConnectorAllowList,
        ),
        (
            "configuration/tls_certificate",
            json!([{"id": 1, "end_date": "now-1d"}]),
            Reason::Expired,
        ),
        (
            "configuration/tls_certificate",
            json!([{"id": 1, "client_auth_usage": false}]),
            Reason::NodeCertificateWithoutClientAuth,
        ),
        (
            "configuration/ca_certificate",
            json!([{"id": 1, "end_date": "now-1d"}]),
            Reason::Expired,
        ),
    ] {
        let world = World::new().await;
        world
            .admin("POST", &format!("/pexip/objects/{resource}"), change.clone())
            .await;
        let evidence = world.look().await;
        assert!(
            faults(&evidence).contains(&expected),
            "{resource} {change}: {:#?}",
            findings(&evidence)
        );
    }
    let world = World::new().await;
    let drift =
        json!([{"teamsnode_id": "/api/admin/status/v1/teamsnode/eu-vmss_2/", "failing_resources": "[Service]x"}]);
    world.admin("PUT", "/pexip/objects/status/teamsnodedsc", drift).await;
    assert!(faults(&world.look().await).contains(&Reason::ConfigurationDrift));
}

/// P13, P18, P22, P25, P26 and P37, and an empty list of instances in two of the ways of hard input 8.
#[tokio::test]
async fn faults_of_licences_routing_tenants_and_event_hubs_are_found() {
    type Change = (&'static str, &'static str, Value);
    let change = |resource, objects| -> Change { ("POST", resource, objects) };
    let replace = |resource, objects| -> Change { ("PUT", resource, objects) };
    let no_location = || change("configuration/system_location", json!([{"id": 1, "teams_proxy": null}]));
    let no_instance = || replace("status/teamsnode", json!([]));
    let other_tenant = "11111111-2222-4333-8444-555555555555";
    let rows: Vec<(Vec<Change>, Reason)> = vec![
        (
            vec![replace(
                "status/licensing",
                json!([{"teams_count": 50, "teams_total": 50}]),
            )],
            Reason::LicencesExhausted,
        ),
        (
            vec![
                no_location(),
                change("configuration/conference", json!([{"id": 1, "teams_proxy": null}])),
            ],
            Reason::ReceptionWithoutConnector,
        ),
        (
            vec![
                no_location(),
                change(
                    "configuration/gateway_routing_rule",
                    json!([{"id": 1, "teams_proxy": null}]),
                ),
            ],
            Reason::RuleWithoutConnector,
        ),
        (
            vec![change(
                "configuration/gateway_routing_rule",
                json!([{"id": 2, "name": "all", "enable": true, "priority": 1, "match_string": ".*", "replace_string": ""}]),
            )],
            Reason::RuleShadowed,
        ),
        (vec![no_instance()], Reason::NoActiveInstance),
        (
            vec![
                no_instance(),
                change(
                    "configuration/teams_proxy",
                    json!([{"id": 1, "notifications_enabled": false}]),
                ),
            ],
            Reason::EventHubDisabled,
        ),
        (
            vec![change(
                "configuration/azure_tenant",
                json!([{"id": 1, "tenant_id": other_tenant}]),
            )],
            Reason::TenantIdMismatch,
        ),
        (
            vec![
                change(
                    "configuration/azure_tenant",
                    json!([{"id": 2, "name": "Fabrikam", "tenant_id": other_tenant}]),
                ),
                change(
                    "configuration/teams_proxy",
                    json!([{"id": 1, "azure_tenant": "/api/admin/configuration/v1/azure_tenant/2/"}]),
                ),
            ],
            Reason::ConnectorUsesOtherTenant,
        ),
    ];
    for (changes, expected) in rows {
        let world = World::new().await;
        for (method, resource, objects) in changes {
            world
                .admin(method, &format!("/pexip/objects/{resource}"), objects)
                .await;
        }
        let evidence = world.look().await;
        let tenant = judge_tenant(&spec(), DEFAULT_TENANT, &evidence);
        let mut found = faults(&evidence);
        found.extend(tenant.reason());
        assert!(found.contains(&expected), "{expected}: {:#?}", findings(&evidence));
    }
}

#[tokio::test]
async fn times_are_read_in_each_form() {
    for times in ["mixed", "offset", "micro", "whole"] {
        let world = World::new().await;
        world.manners(json!({"times": times})).await;
        world.admin("POST", "/pexip/calls", json!({"count": 2})).await;
        assert_eq!(faults(&world.look().await), [], "{times}");
    }
}

#[tokio::test]
async fn a_manager_that_signed_its_own_certificate_is_trusted_if_the_spec_says_so() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let pem = made.cert.pem();
    let config = Config {
        tls: Some(TlsPem {
            certificate: pem.clone().into_bytes(),
            key: made.signing_key.serialize_pem().into_bytes(),
        }),
        ..Config::default()
    };
    let simulator = Simulator::start(config).await.unwrap();
    let requests = IntCounterVec::new(Opts::new("requests", "Requests."), &["api", "code"]).unwrap();
    let managers = Managers::new(requests);
    for (roots, trusted) in [(None, false), (Some(pem.into_bytes()), true)] {
        let settings = Settings {
            management_url: simulator.url().to_owned(),
            credentials: Credentials::basic("api", "simulator-password"),
            roots,
        };
        let client = managers.client(&settings).unwrap();
        let evidence = client.look(&spec(), &mut Memory::default(), LIMIT).await;
        assert_eq!(evidence.status.instances.is_ok(), trusted);
        if let Err(fault) = &evidence.status.instances {
            assert!(fault.to_string().contains("certificate"), "{fault}");
        }
    }
}
