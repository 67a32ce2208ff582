use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::*;
use crate::api::condition::Reason;
use crate::controller::metrics::connectors::pieces;
use crate::controller::testing::{Asked, context, recording};
use crate::policy::connector::Finding;
use crate::probe::testing::BlackHole;

fn object(spec: &Value) -> Value {
    json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "TeamsConnectorHealth",
        "metadata": { "name": "c", "namespace": "n", "uid": "u", "generation": 1, "resourceVersion": "1" },
        "spec": spec,
    })
}

fn networks(changes: &Value) -> Value {
    let mut spec = json!({
        "type": "Generic", "interval": "1m", "endpoints": [{
            "name": "edge", "host": "127.0.0.1", "port": 1, "protocol": "Tcp", "allowPrivateAddresses": true,
        }],
    });
    for (key, value) in changes.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

fn parsed(object: &Value) -> Arc<TeamsConnectorHealth> {
    Arc::new(serde_json::from_value(object.clone()).unwrap())
}

fn written(asked: &[Asked]) -> Vec<Value> {
    let writes = asked.iter().filter(|asked| asked.path.ends_with("/status"));
    writes.map(|asked| asked.body["status"].clone()).collect()
}

fn condition(status: &Value, type_: &str) -> String {
    let conditions = status["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|condition| condition["type"] == type_);
    found.map_or_else(String::new, |found| {
        format!("{}/{}", found["status"], found["reason"]).replace('"', "")
    })
}

#[tokio::test]
async fn it_is_looked_at_once_an_interval_and_not_for_its_own_writes() {
    let spec = networks(&json!({}));
    let stored = object(&spec);
    let (client, asked) = recording(move |_| (200, stored.clone()));
    let (context, mut writers) = context(&client, "");
    let mut object = object(&spec);
    let first = reconcile(parsed(&object), context.clone()).await;
    let rest = first.again_after.unwrap();
    assert!(rest.as_secs() >= 5 && rest.as_secs() <= 60, "{rest:?}");
    let statuses = written(&asked.lock().unwrap());
    assert_eq!(statuses.len(), 1);
    assert_eq!(condition(&statuses[0], "Ready"), "True/Accepted");
    // The watch brings what was written.
    object["status"] = statuses[0].clone();
    let second = reconcile(parsed(&object), context.clone()).await;
    assert!(second.again_after.unwrap() <= rest);
    assert_eq!(written(&asked.lock().unwrap()).len(), 1);
    // Another spec does not wait.
    object["metadata"]["generation"] = json!(2);
    reconcile(parsed(&object), context.clone()).await;
    let statuses = written(&asked.lock().unwrap());
    assert_eq!(statuses[1]["observedGeneration"], 2);
    writers
        .connectors
        .apply_watcher_event(&Event::Apply((*parsed(&object)).clone()));
    let series = || pieces(&context.stores.connectors, &context.connectors.shown()).collect::<String>();
    let looked = "teams_connector_probe_last_run_timestamp_seconds{name=\"c\",namespace=\"n\"}";
    assert!(series().contains(looked), "{}", series());
    context.connectors.forget("u");
    assert!(!series().contains(looked), "what is gone is forgotten");
}

/// The first status of an object with this endpoint; a single look decides.
async fn looked_at(endpoint: &Value) -> Value {
    let spec = networks(&json!({ "failureThreshold": 1, "timeout": "4s", "endpoints": [endpoint] }));
    let stored = object(&spec);
    let (client, asked) = recording(move |_| (200, stored.clone()));
    let (context, _writers) = context(&client, "");
    reconcile(parsed(&object(&spec)), context).await;
    let mut statuses = written(&asked.lock().unwrap());
    statuses.remove(0)
}

/// Hard input 20: no datagram goes to an address that is not allowed.
#[tokio::test]
async fn sip_is_spoken_only_to_addresses_that_are_allowed() {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let mut endpoint = json!({ "name": "sbc", "host": "127.0.0.1", "port": port, "protocol": "Udp", "sip": {} });
    let came = async || {
        let wait = std::time::Duration::from_millis(200);
        let received = tokio::time::timeout(wait, socket.recv_from(&mut [0; 2048])).await;
        received.is_ok()
    };
    let status = looked_at(&endpoint).await;
    assert_eq!(condition(&status, "EndpointReachable"), "False/AddressNotAllowed");
    assert!(!came().await);
    endpoint["allowPrivateAddresses"] = json!(true);
    let status = looked_at(&endpoint).await;
    assert_eq!(condition(&status, "EndpointReachable"), "False/SipNoAnswer");
    assert!(came().await, "with leave, there is one");
}

/// A session border controller over TCP that answers each request.
async fn answers_sip(listener: tokio::net::TcpListener) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            let length = stream.read(&mut buffer).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let wanted = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
            let copied = |line: &&str| wanted.iter().any(|name| line.starts_with(name));
            let fields: Vec<&str> = request.lines().filter(copied).collect();
            let answer = format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", fields.join("\r\n"));
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}

/// Hard input 6, with SIP: an address that swallows packets does not use up the time of one that answers. Skipped only where
/// `localhost` does not lead to `::1` too.
#[tokio::test]
async fn a_black_hole_leaves_time_for_sip() {
    let mut leads_to = tokio::net::lookup_host(("localhost", 0)).await.unwrap();
    let leads_to_both = leads_to.any(|address| address.is_ipv6());
    let pair = BlackHole::beside_ipv4().await.filter(|_| leads_to_both);
    let Some((hole, listener)) = pair else {
        println!("skipped: localhost does not lead to ::1");
        return;
    };
    tokio::spawn(answers_sip(listener));
    let endpoint = json!({
        "name": "sbc", "host": "localhost", "port": hole.port, "protocol": "Tcp", "sip": {}, "allowPrivateAddresses": true,
    });
    let spec = networks(&json!({ "timeout": "2s", "endpoints": [endpoint] }));
    let (client, _) = recording(|_| (404, json!({})));
    let (context, _writers) = context(&client, "");
    let object = parsed(&object(&spec));
    let found = observe::look(&context, &object, &mut observe::Probes::default()).await;
    let findings = found.unwrap().findings;
    let reasons: Vec<Reason> = findings.iter().filter_map(Finding::reason).collect();
    assert!(reasons.contains(&Reason::ConnectTimeout), "{findings:?}");
    assert!(!reasons.contains(&Reason::SipNoAnswer), "{findings:?}");
    let answers = |finding: &Finding| finding.message.contains("answers SIP OPTIONS");
    assert!(findings.iter().any(answers), "{findings:?}");
}

/// I10: 409 at subscriptions of the same tenant is a sign, which explains nothing by itself.
#[tokio::test]
async fn conflicts_of_the_same_tenants_subscriptions_are_signs() {
    let tenant = json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphTenant",
        "metadata": { "name": "t", "namespace": "n", "uid": "t" },
        "spec": {
            "tenantId": "contoso.example", "clientId": "c", "cloud": "Custom",
            "endpoints": { "login": "http://127.0.0.1:1", "graph": "http://127.0.0.1:1" },
            "credentials": { "workloadIdentity": {} },
        },
    });
    let microsoft = json!({ "tenantId": "11111111-2222-4333-8444-555555555555", "tenantRef": { "name": "t" } });
    let object = parsed(&object(&networks(&json!({ "microsoft": microsoft }))));
    for (named, status, reason, expected) in [
        ("t", "False", "Conflict", &[Reason::Conflict][..]),
        ("t", "False", "TenantNotReady", &[]),
        ("t", "True", "Conflict", &[]),
        ("other", "False", "Conflict", &[]),
    ] {
        let (client, _) = recording(|_| (404, json!({})));
        let (context, mut writers) = context(&client, "");
        writers.tenant(&serde_json::from_value(tenant.clone()).unwrap());
        let condition = json!({
            "type": "Subscribed", "status": status, "reason": reason, "message": "m",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let subscription = json!({
            "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription",
            "metadata": { "name": "people", "namespace": "n", "uid": "s" },
            "spec": {
                "tenantRef": { "name": named }, "receiverRef": { "name": "r" },
                "resource": "users", "changeTypes": ["Updated"],
            },
            "status": { "observedGeneration": 1, "conditions": [condition] },
        });
        writers.subscription(&serde_json::from_value(subscription).unwrap());
        let found = observe::look(&context, &object, &mut observe::Probes::default()).await;
        let signs = found.unwrap().signs;
        let reasons: Vec<Reason> = signs.iter().filter_map(Finding::reason).collect();
        assert_eq!(reasons, expected, "{named} {status} {reason}");
    }
}

#[tokio::test]
async fn who_rests_and_who_cannot_work_waits_for_another_spec() {
    for (changes, ready, healthy) in [
        (json!({ "suspend": true }), "True/Suspended", "Unknown/Suspended"),
        (
            json!({ "maintenance": [{ "cron": "0 25 * * *", "duration": "1h" }] }),
            "False/InvalidSpec",
            "Unknown/InsufficientEvidence",
        ),
    ] {
        let spec = networks(&changes);
        let stored = object(&spec);
        let (client, asked) = recording(move |_| (200, stored.clone()));
        let (context, _writers) = context(&client, "");
        let action = reconcile(parsed(&object(&spec)), context.clone()).await;
        assert_eq!(action, Action::await_change());
        let statuses = written(&asked.lock().unwrap());
        assert_eq!(condition(&statuses[0], "Ready"), ready);
        assert_eq!(condition(&statuses[0], "Healthy"), healthy);
        assert!(context.connectors.shown().get("u").is_none(), "no probe, no series");
    }
}

#[tokio::test]
async fn a_new_leader_lets_event_sinks_in_before_it_looks() {
    let spec = json!({
        "type": "PexipInfinity", "pexip": {
            "managementUrl": "https://mgr.example.com", "credentialsSecretRef": { "name": "none" }, "connectorName": "eu",
            "callFeed": "EventSink", "eventSinkSecretRef": { "name": "sink" },
        },
    });
    let stored = object(&spec);
    let (client, asked) = recording(move |asked| match asked.path.as_str() {
        // "pexip" and "pass"
        "/api/v1/namespaces/n/secrets/sink" => {
            let data = json!({ "username": "cGV4aXA=", "password": "cGFzcw==" });
            (200, json!({ "metadata": {}, "data": data }))
        }
        path if path.contains("/secrets/") => crate::controller::testing::refusal(404, "NotFound"),
        _ => (200, stored.clone()),
    });
    let (mut context, _writers) = context(&client, "");
    let looks = &context.metrics.looks;
    let sinks = Arc::new(crate::probe::pexip::Sinks::new(looks.feeds.clone()));
    let feeds = crate::controller::feeds::Feeds {
        sinks: Some(sinks.clone()),
        log: None,
    };
    let connectors = Connectors::new(looks.requests.clone(), feeds);
    Arc::get_mut(&mut context).unwrap().connectors = connectors;
    let mut object = object(&spec);
    object["status"] = json!({ "observedGeneration": 1, "conditions": [] });
    reconcile(parsed(&object), context.clone()).await;
    let asked = asked.lock().unwrap().len();
    assert_eq!(asked, 1, "the Secret alone: it is looked at later");
    let sink = sinks.find("n", "c").unwrap();
    assert!(sink.admits(Some("Basic cGV4aXA6cGFzcw==")) && !sink.admits(Some("Basic cGV4aXA6")));
    object["spec"]["suspend"] = json!(true);
    reconcile(parsed(&object), context.clone()).await;
    assert!(sinks.find("n", "c").is_none(), "nobody would take what it tells");
    object["spec"]["suspend"] = json!(false);
    reconcile(parsed(&object), context.clone()).await;
    assert!(sinks.is_open("n", "c"));
    context.connectors.forget("u");
    assert!(sinks.find("n", "c").is_none(), "it goes with its object");
    object["spec"]["pexip"]["eventSinkSecretRef"]["name"] = json!("none");
    reconcile(parsed(&object), context).await;
    assert!(sinks.find("n", "c").is_none(), "nobody is let in without a password");
}

#[tokio::test]
async fn one_that_goes_is_left_alone() {
    let mut going = object(&networks(&json!({})));
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let (client, asked) = recording(|_| (500, json!({})));
    let (context, _writers) = context(&client, "");
    let action = reconcile(parsed(&going), context).await;
    assert_eq!(action, Action::await_change());
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn one_that_went_during_its_look_is_no_failure() {
    let (client, _) = recording(|_| crate::controller::testing::refusal(404, "NotFound"));
    let (context, _writers) = context(&client, "");
    let action = reconcile(parsed(&object(&networks(&json!({})))), context.clone()).await;
    assert!(action.again_after.is_some());
    assert_eq!(context.attempts.failed("u".to_owned()), 1, "the first of a row");
}
