//! `TeamsConnectorHealth`: what is accepted, refused and filled in, and that the server keeps what the types write.

use serde_json::{Value, json};
use teams_graph_operator::api::connector::TeamsConnectorHealthSpec;

use crate::kept::kept_and_filled_in_alike;
use crate::manifests::connector;
use crate::support::{Namespace, client, collection, send};

const TENANT: &str = "00000000-0000-0000-0000-000000000001";

/// The shortest spec with `changes`; null removes.
fn spec(changes: &Value) -> Value {
    let mut spec = connector()["spec"].clone();
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            spec.as_object_mut().unwrap().remove(key);
        } else {
            spec[key] = value.clone();
        }
    }
    spec
}

fn with(base: &Value, changes: &Value) -> Value {
    let mut base = base.clone();
    for (key, value) in changes.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

fn endpoint(changes: &Value) -> Value {
    json!({ "endpoints": [with(&json!({ "name": "one", "host": "one.example.com" }), changes)] })
}

fn pexip(changes: &Value) -> Value {
    let pexip = json!({
        "managementUrl": "https://mgr.example.com", "credentialsSecretRef": { "name": "pexip" }, "connectorName": "eu",
    });
    json!({ "type": "PexipInfinity", "endpoints": null, "pexip": with(&pexip, changes) })
}

fn broadworks(broadworks: &Value) -> Value {
    json!({ "type": "WebexBroadWorks", "endpoints": null, "broadworks": broadworks })
}

fn microsoft(changes: &Value) -> Value {
    json!({ "microsoft": with(&json!({ "tenantId": TENANT }), changes) })
}

/// Specs that are accepted, every field among them.
fn accepted() -> Vec<Value> {
    let key = json!({ "name": "s", "key": "k" });
    vec![
        json!({}),
        json!({ "type": "DirectRouting", "suspend": true, "interval": "15s", "timeout": "5s", "failureThreshold": 1,
            "successThreshold": 1, "gracePeriod": "1h", "clock": { "warn": "5s", "critical": "10s" },
            "inputs": { "addressPrefixes": ["91.90.42.64/26", "2001:db8::/32"] },
            "maintenance": [{ "cron": "0 22 * * 6", "duration": "2h" }] }),
        endpoint(
            &json!({ "host": "192.0.2.1", "port": 5061, "expectFrom": "NodesOnly", "expectedAddresses": ["192.0.2.1", "2001:db8::1"],
            "allowPrivateAddresses": true, "sip": { "domain": "example.com" },
            "tls": { "serverName": "sbc.example.com", "keyAlgorithms": ["RSA"], "minRsaBits": 3072, "trust": "PublicOrBundle",
                "caBundleSecretRef": key, "clientCertificateSecretRef": { "name": "tls" },
                "expiry": { "warnDays": 30, "criticalDays": 3, "lifetimePercent": 20 }, "revocation": "Crl", "aiaRedirectCheck": true } }),
        ),
        endpoint(&json!({ "protocol": "Udp", "port": 5060, "sip": {} })),
        endpoint(
            &json!({ "protocol": "Tcp", "port": 80, "http": { "path": "/health", "statuses": [200], "nonEmptyBody": true } }),
        ),
        pexip(&json!({})),
        pexip(
            &json!({ "managementUrl": "http://simulator.demo.svc:8080", "caBundleSecretRef": key, "nodeFqdns": ["edge1.example.com"],
            "conferenceIdDigits": { "min": 9, "max": 12 }, "routingSamples": [{ "alias": "123456789@example.com", "expect": "123456789" }],
            "capacity": { "warnPercent": 60, "criticalPercent": 80, "callsPerInstance": 16 }, "heartbeatMaxAge": "10m", "callFeed": "None" }),
        ),
        pexip(&json!({ "callFeed": "EventSink", "eventSinkSecretRef": { "name": "sink" } })),
        pexip(&json!({ "callFeed": "Syslog" })),
        broadworks(
            &json!({ "xsps": { "urls": ["https://xsp1.example.com", "https://xsp2.example.com"],
            "testSubscriberSecretRef": { "name": "test" }, "deviceType": "Business Communicator - PC", "caBundleSecretRef": key } }),
        ),
        broadworks(
            &json!({ "webex": { "tokenSecretRef": key, "spEnterpriseId": "sp", "provisioningTimeout": "30m",
            "statusUrl": "https://status.example.com/api" } }),
        ),
        microsoft(&json!({ "domain": "example.com" })),
        microsoft(
            &json!({ "tenantRef": { "name": "contoso" }, "credentialExpiry": { "warnDays": 60, "criticalDays": 14 },
            "applications": [{ "appId": TENANT, "requiredRoles": ["Calls.JoinGroupCall.All"], "registeredHere": true }],
            "serviceHealth": { "enabled": true, "services": ["Microsoft Teams"] } }),
        ),
    ]
}

#[tokio::test]
async fn what_the_types_write_is_kept_and_filled_in_alike() {
    let specs = accepted().iter().map(spec).collect();
    kept_and_filled_in_alike::<TeamsConnectorHealthSpec>("teamsconnectorhealths", connector(), specs).await;
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_the_reason() {
    let client = client().await;
    let namespace = Namespace::new(&client).await;
    let path = format!("{}?dryRun=All", collection(&namespace.name, "teamsconnectorhealths"));
    let one = "endpoints must name at least one with type: DirectRouting and Generic";
    let no_pexip = "pexip is required with type: PexipInfinity and not allowed otherwise";
    let bundle = "caBundleSecretRef is required with trust: Bundle and PublicOrBundle, and not allowed with Public";
    let no_sink = "eventSinkSecretRef is required with callFeed: EventSink, and not allowed otherwise";
    let twin = json!({ "name": "one", "host": "one.example.com" });
    let host = "must be a host name or an IP address, without scheme, port, path and spaces";
    let cases = [
        (json!({ "type": "Skype" }), "Unsupported value"),
        (json!({ "endpoints": null }), one),
        (json!({ "endpoints": [] }), one),
        (json!({ "endpoints": [twin, twin] }), "Duplicate value"),
        (json!({ "type": "PexipInfinity" }), no_pexip),
        (with(&pexip(&json!({})), &json!({ "type": "Generic" })), no_pexip),
        (
            json!({ "type": "WebexBroadWorks" }),
            "broadworks is required with type: WebexBroadWorks",
        ),
        (broadworks(&json!({})), "xsps or webex is required"),
        (
            broadworks(&json!({ "xsps": { "urls": ["https://192.0.2.1"] } })),
            "Webex refuses IP addresses with 403",
        ),
        (
            broadworks(&json!({ "xsps": { "urls": ["http://xsp.example.com"] } })),
            "must be https://",
        ),
        (
            json!({ "interval": "10s", "timeout": "5s" }),
            "interval must be at least 15s",
        ),
        (
            json!({ "interval": "30s", "timeout": "30s" }),
            "timeout must be shorter than interval",
        ),
        (json!({ "failureThreshold": 0 }), "greater than or equal to 1"),
        (json!({ "clock": { "warn": "3m" } }), "warn must be less than critical"),
        (
            json!({ "maintenance": [{ "cron": "daily", "duration": "1h" }] }),
            "should be at least 9 chars",
        ),
        (
            json!({ "inputs": { "addressPrefixes": ["91.90.42.96/26"] } }),
            "91.90.42.96/26 has host bits: 91.90.42.64/26 was meant",
        ),
        (endpoint(&json!({ "host": "https://one.example.com" })), host),
        (endpoint(&json!({ "host": "one.example.com:443" })), host),
        (endpoint(&json!({ "host": "one.example.com " })), host),
        (endpoint(&json!({ "port": 70000 })), "less than or equal to 65535"),
        (endpoint(&json!({ "http": {}, "sip": {} })), "at most one of http, sip"),
        (
            endpoint(&json!({ "protocol": "Tcp", "tls": {} })),
            "tls has no effect with this protocol",
        ),
        (
            endpoint(&json!({ "protocol": "Udp" })),
            "protocol: Udp can be probed with sip alone",
        ),
        (
            endpoint(&json!({ "expectedAddresses": ["here"] })),
            "each must be an IP address",
        ),
        (endpoint(&json!({ "tls": { "trust": "Bundle" } })), bundle),
        (
            endpoint(&json!({ "tls": { "caBundleSecretRef": { "name": "a", "key": "b" } } })),
            bundle,
        ),
        (
            endpoint(&json!({ "tls": { "expiry": { "warnDays": 7 } } })),
            "criticalDays must be less than warnDays",
        ),
        (
            pexip(&json!({ "managementUrl": "http://mgr.example.com" })),
            "must be https://",
        ),
        (
            pexip(&json!({ "managementUrl": "https://user@mgr.example.com" })),
            "without query, fragment and user",
        ),
        (
            pexip(&json!({ "conferenceIdDigits": { "min": 13, "max": 9 } })),
            "min must not be more than max",
        ),
        (
            pexip(&json!({ "capacity": { "warnPercent": 95 } })),
            "warnPercent must be less than criticalPercent",
        ),
        (pexip(&json!({ "callFeed": "EventSink" })), no_sink),
        (pexip(&json!({ "eventSinkSecretRef": { "name": "sink" } })), no_sink),
        (microsoft(&json!({ "tenantId": "contoso.example" })), "should match"),
        (
            microsoft(&json!({ "applications": [{ "appId": TENANT }] })),
            "applications and serviceHealth.enabled need tenantRef",
        ),
        (
            microsoft(&json!({ "serviceHealth": { "enabled": true } })),
            "applications and serviceHealth.enabled need tenantRef",
        ),
    ];
    let mut wrong = Vec::new();
    for (changes, expected) in cases {
        let mut object = connector();
        object["spec"] = spec(&changes);
        match send(&client, "POST", &path, &object).await {
            Err(message) if message.contains(expected) => {}
            answer => wrong.push(format!("{changes}: {:?}", answer.map(|stored| stored["spec"].clone()))),
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
