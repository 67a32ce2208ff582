//! Manifests that are accepted, with what the server fills in, and manifests that are refused, with what it says.

use serde_json::{Value, json};

use crate::support::{Namespace, client, collection, send};

fn object(kind: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "teamsgraph.dev/v1alpha1", "kind": kind, "metadata": { "name": "example" }, "spec": spec })
}

/// The shortest tenant.
pub fn tenant() -> Value {
    object(
        "GraphTenant",
        &json!({
            "tenantId": "contoso.onmicrosoft.com",
            "clientId": "00000000-0000-0000-0000-000000000001",
            "credentials": { "clientSecret": { "secretRef": { "name": "app", "key": "secret" } } },
        }),
    )
}

/// The shortest receiver.
pub fn receiver() -> Value {
    object(
        "NotificationReceiver",
        &json!({ "publicUrl": "https://hooks.example.com/teams" }),
    )
}

/// The shortest subscription.
pub fn subscription() -> Value {
    object(
        "GraphSubscription",
        &json!({
            "tenantRef": { "name": "contoso" },
            "receiverRef": { "name": "hooks" },
            "resource": "communications/callRecords",
            "changeTypes": ["Created"],
        }),
    )
}

/// The shortest presence sync.
pub fn presence() -> Value {
    object(
        "PresenceSync",
        &json!({
            "tenantRef": { "name": "contoso" },
            "pbx": { "innovaphone": {
                "app": "teams", "passwordSecretRef": { "name": "pbx", "key": "password" },
                "endpoints": [{ "name": "pbx", "url": "wss://pbx.example.com/PBX0/APPS/websocket" }],
            } },
        }),
    )
}

/// The shortest connector.
pub fn connector() -> Value {
    object(
        "TeamsConnectorHealth",
        &json!({
            "type": "Generic",
            "endpoints": [{ "name": "portal", "host": "portal.example.com" }],
        }),
    )
}

/// A change to the spec of the shortest object (as a merge patch, but null is sent as null), and what the server says.
type Case = (&'static str, Value, Expected);

enum Expected {
    /// Accepted; the spec that is stored contains this.
    Stored(Value),
    /// Accepted; these members of the spec are absent afterwards.
    Absent(&'static [&'static str]),
    /// Refused with a message that contains this.
    Refused(&'static str),
}
use Expected::{Absent, Refused, Stored};

/// In a change: leave this member out.
const REMOVED: &str = "<removed>";

fn tenants() -> Vec<Case> {
    let secret = json!({ "secretRef": { "name": "a", "key": "b" } });
    let custom = |login: &str| json!({ "cloud": "Custom", "endpoints": { "login": login, "graph": "https://graph.example.com" } });
    let credentials = |credentials: Value| json!({ "credentials": credentials });
    let one = "exactly one of clientSecret, certificate, workloadIdentity, managedIdentity";
    let cloud = "endpoints is required with cloud: Custom and not allowed otherwise";
    let labels = "matchLabels is required with from: Selector and not allowed otherwise";
    let workload = |login: &str| {
        let mut spec = custom(login);
        spec["credentials"] = json!({ "clientSecret": REMOVED, "workloadIdentity": {} });
        spec
    };
    let token = "with workloadIdentity, endpoints.login must be in the cluster";
    let plain = "http:// is accepted only for in-cluster services (*.svc) and loopback";
    vec![
        (
            "defaults",
            json!({}),
            Stored(json!({ "cloud": "Global", "allowedNamespaces": { "from": "Same" } })),
        ),
        (
            "certificate",
            credentials(json!({ "clientSecret": REMOVED, "certificate": { "secretName": "tls" } })),
            Stored(
                json!({ "credentials": { "certificate": { "certificateKey": "tls.crt", "privateKeyKey": "tls.key" } } }),
            ),
        ),
        (
            "workload identity",
            credentials(json!({ "clientSecret": REMOVED, "workloadIdentity": {} })),
            Stored(json!({ "credentials": { "workloadIdentity": {} } })),
        ),
        (
            "system-assigned identity needs no clientId",
            json!({ "clientId": REMOVED, "credentials": { "clientSecret": REMOVED, "managedIdentity": {} } }),
            Absent(&["clientId"]),
        ),
        (
            "tenant id as GUID",
            json!({ "tenantId": "00000000-0000-0000-0000-000000000002" }),
            Stored(json!({})),
        ),
        (
            "orphans are told of",
            json!({}),
            Stored(json!({ "orphanPolicy": "Report" })),
        ),
        (
            "orphans are deleted",
            json!({ "orphanPolicy": "Delete" }),
            Stored(json!({ "orphanPolicy": "Delete" })),
        ),
        (
            "another policy for orphans",
            json!({ "orphanPolicy": "Keep" }),
            Refused("spec.orphanPolicy: Unsupported value"),
        ),
        ("null is absence", json!({ "endpoints": null }), Absent(&["endpoints"])),
        (
            "null takes the default",
            json!({ "cloud": null }),
            Stored(json!({ "cloud": "Global" })),
        ),
        ("custom https", custom("https://login.example.com"), Stored(json!({}))),
        (
            "custom service",
            custom("http://simulator.demo.svc:8080"),
            Stored(json!({})),
        ),
        (
            "custom service, long",
            custom("http://simulator.demo.svc.cluster.local/login"),
            Stored(json!({})),
        ),
        ("custom loopback", custom("http://127.0.0.1:8080"), Stored(json!({}))),
        ("custom localhost", custom("http://localhost:8080/x"), Stored(json!({}))),
        (
            "selector",
            json!({ "allowedNamespaces": { "from": "Selector", "matchLabels": { "a": "b" } } }),
            Stored(json!({ "allowedNamespaces": { "from": "Selector" } })),
        ),
        (
            "two credentials",
            credentials(json!({ "managedIdentity": {} })),
            Refused(one),
        ),
        (
            "no credentials",
            credentials(json!({ "clientSecret": REMOVED })),
            Refused(one),
        ),
        (
            "null credentials",
            credentials(json!({ "clientSecret": null })),
            Refused(one),
        ),
        (
            "credentials missing",
            json!({ "credentials": REMOVED }),
            Refused("spec.credentials: Required value"),
        ),
        (
            "secret key missing",
            credentials(json!({ "clientSecret": { "secretRef": { "key": REMOVED } } })),
            Refused("key: Required value"),
        ),
        (
            "clientId missing",
            json!({ "clientId": REMOVED }),
            Refused("clientId is required"),
        ),
        (
            "clientId null",
            json!({ "clientId": null }),
            Refused("clientId is required"),
        ),
        (
            "clientId missing, workload identity",
            json!({ "clientId": REMOVED, "credentials": { "clientSecret": REMOVED, "workloadIdentity": {} } }),
            Refused("clientId is required"),
        ),
        (
            "clientId no GUID",
            json!({ "clientId": "my-app" }),
            Refused("spec.clientId in body should match"),
        ),
        (
            "workload identity at a service of the cluster",
            workload("http://simulator.demo.svc:8080"),
            Stored(json!({})),
        ),
        (
            "workload identity on loopback",
            workload("https://127.0.0.1:8443/login"),
            Stored(json!({})),
        ),
        (
            "workload identity elsewhere",
            workload("https://login.example.com"),
            Refused(token),
        ),
        (
            "workload identity, service trick",
            workload("https://a.svc@example.com"),
            Refused(token),
        ),
        ("tenantId empty", json!({ "tenantId": "" }), Refused("spec.tenantId")),
        (
            "tenantId with a path",
            json!({ "tenantId": "contoso.com/x" }),
            Refused("spec.tenantId in body should match"),
        ),
        (
            "tenantId too long",
            json!({ "tenantId": "a".repeat(254) }),
            Refused("may not be more than 253"),
        ),
        ("custom without endpoints", json!({ "cloud": "Custom" }), Refused(cloud)),
        (
            "endpoints without custom",
            json!({ "endpoints": { "login": "https://a.example.com", "graph": "https://b.example.com" } }),
            Refused(cloud),
        ),
        (
            "unknown cloud",
            json!({ "cloud": "Germany" }),
            Refused("Unsupported value: \"Germany\""),
        ),
        ("custom plain http", custom("http://login.example.com"), Refused(plain)),
        (
            "custom service in the middle",
            custom("http://a.svc.example.com"),
            Refused(plain),
        ),
        ("custom user trick", custom("http://a.svc@example.com"), Refused(plain)),
        (
            "custom loopback trick",
            custom("http://127.0.0.1.example.com"),
            Refused(plain),
        ),
        ("custom ftp", custom("ftp://login.example.com"), Refused(plain)),
        (
            "selector without labels",
            json!({ "allowedNamespaces": { "from": "Selector" } }),
            Refused(labels),
        ),
        (
            "labels without selector",
            json!({ "allowedNamespaces": { "matchLabels": { "a": "b" } } }),
            Refused(labels),
        ),
        (
            "unknown field",
            json!({ "tenant": "x" }),
            Refused("unknown field \"spec.tenant\""),
        ),
        (
            "secret in clear",
            credentials(json!({ "clientSecret": { "value": secret } })),
            Refused("unknown field \"spec.credentials.clientSecret.value\""),
        ),
    ]
}

fn receivers() -> Vec<Case> {
    let url = |url: &str| json!({ "publicUrl": url });
    let sink = |name: &str| json!({ "name": name, "stdout": {} });
    let host = "must be a host with an optional port and path, without query, fragment and user";
    let one = "exactly one of http, stdout";
    vec![
        (
            "defaults",
            json!({}),
            Stored(json!({
                "replicas": 1, "serviceType": "ClusterIP", "retention": "72h", "storage": { "size": "1Gi" },
                "allowedNamespaces": { "from": "Same" },
            })),
        ),
        (
            "sink defaults",
            json!({ "sinks": [{ "name": "a", "http": { "url": "http://sink.demo.svc" } }, sink("b")] }),
            Stored(json!({ "sinks": [{ "http": { "mode": "Structured", "timeout": "10s" } }, { "stdout": {} }] })),
        ),
        (
            "port and path",
            url("https://hooks.example.com:8443/a/b"),
            Stored(json!({})),
        ),
        ("ingress", json!({ "ingress": {} }), Stored(json!({ "ingress": {} }))),
        (
            "route",
            json!({ "httpRoute": { "parentRefs": [{ "name": "gateway" }] } }),
            Stored(json!({})),
        ),
        (
            "pull",
            json!({ "pull": { "tokenSecretRef": { "name": "a", "key": "b" }, "consumers": ["a", "b"] } }),
            Stored(json!({})),
        ),
        (
            "pull without consumers",
            json!({ "pull": { "tokenSecretRef": { "name": "a", "key": "b" } } }),
            Stored(json!({ "pull": { "consumers": [] } })),
        ),
        (
            "ten replicas",
            json!({ "replicas": 10 }),
            Stored(json!({ "replicas": 10 })),
        ),
        (
            "null is absence",
            json!({ "ingress": null, "pull": null, "tolerations": null }),
            Absent(&["ingress", "pull", "tolerations"]),
        ),
        (
            "null takes the default",
            json!({ "replicas": null, "retention": null }),
            Stored(json!({ "replicas": 1, "retention": "72h" })),
        ),
        (
            "plain http",
            url("http://hooks.example.com"),
            Refused("Microsoft Graph refuses plain http"),
        ),
        ("query", url("https://hooks.example.com/a?b=c"), Refused(host)),
        ("fragment", url("https://hooks.example.com/a#b"), Refused(host)),
        ("user", url("https://me@hooks.example.com/"), Refused(host)),
        ("no host", url("https:///teams"), Refused(host)),
        ("no URL", url("https://hooks example"), Refused(host)),
        (
            "too long",
            url(&format!("https://hooks.example.com/{}", "a".repeat(512))),
            Refused("may not be more than 512"),
        ),
        (
            "url missing",
            json!({ "publicUrl": REMOVED }),
            Refused("spec.publicUrl: Required value"),
        ),
        (
            "ingress and route",
            json!({ "ingress": {}, "httpRoute": { "parentRefs": [{ "name": "gateway" }] } }),
            Refused("at most one of ingress, httpRoute"),
        ),
        (
            "route without gateway",
            json!({ "httpRoute": { "parentRefs": [] } }),
            Refused("should have at least 1 items"),
        ),
        ("no sink kind", json!({ "sinks": [{ "name": "a" }] }), Refused(one)),
        (
            "two sink kinds",
            json!({ "sinks": [{ "name": "a", "stdout": {}, "http": { "url": "http://a" } }] }),
            Refused(one),
        ),
        (
            "same sink twice",
            json!({ "sinks": [sink("a"), sink("a")] }),
            Refused("Duplicate value"),
        ),
        (
            "sink name",
            json!({ "sinks": [sink("A b")] }),
            Refused("spec.sinks[0].name in body should match"),
        ),
        (
            "sink url",
            json!({ "sinks": [{ "name": "a", "http": { "url": "amqp://sink" } }] }),
            Refused("should match '^https?://'"),
        ),
        (
            "sink mode",
            json!({ "sinks": [{ "name": "a", "http": { "url": "http://sink", "mode": "Batched" } }] }),
            Refused("Unsupported value: \"Batched\""),
        ),
        (
            "nine sinks",
            json!({ "sinks": (0..9).map(|n| sink(&format!("s{n}"))).collect::<Vec<_>>() }),
            Refused("must have at most 8 items"),
        ),
        (
            "no replica",
            json!({ "replicas": 0 }),
            Refused("greater than or equal to 1"),
        ),
        (
            "eleven replicas",
            json!({ "replicas": 11 }),
            Refused("less than or equal to 10"),
        ),
        (
            "days",
            json!({ "retention": "3d" }),
            Refused("spec.retention in body should match"),
        ),
        (
            "a number as duration",
            json!({ "retention": 72 }),
            Refused("must be of type string"),
        ),
        (
            "storage size",
            json!({ "storage": { "size": "1GB" } }),
            Refused("spec.storage.size in body should match"),
        ),
        (
            "service type",
            json!({ "serviceType": "ExternalName" }),
            Refused("Unsupported value: \"ExternalName\""),
        ),
        (
            "same consumer twice",
            json!({ "pull": { "tokenSecretRef": { "name": "a", "key": "b" }, "consumers": ["a", "a"] } }),
            Refused("Duplicate value"),
        ),
        (
            "the operator's consumer",
            json!({ "pull": { "tokenSecretRef": { "name": "a", "key": "b" }, "consumers": ["a", "controller"] } }),
            Refused("controller is the operator's own consumer"),
        ),
        (
            "selector without labels",
            json!({ "allowedNamespaces": { "from": "Selector" } }),
            Refused("matchLabels is required"),
        ),
        (
            "unknown field",
            json!({ "sink": [] }),
            Refused("unknown field \"spec.sink\""),
        ),
    ]
}

fn subscriptions() -> Vec<Case> {
    let resource = |resource: &str| json!({ "resource": resource });
    let external = |url: &str| json!({ "notificationUrl": url, "clientStateRef": { "name": "a", "key": "b" } });
    let one = "exactly one of receiverRef, externalEndpoint";
    let alone = "must be the path alone, without host and version";
    vec![
        (
            "defaults",
            json!({}),
            Stored(json!({ "deletionPolicy": "Delete", "suspend": false })),
        ),
        (
            "external endpoint",
            json!({ "receiverRef": REMOVED, "externalEndpoint": external("https://hooks.example.com") }),
            Absent(&["receiverRef"]),
        ),
        ("query in the resource", resource("users?$select=id"), Stored(json!({}))),
        (
            "every change type",
            json!({ "changeTypes": ["Created", "Updated", "Deleted"] }),
            Stored(json!({})),
        ),
        (
            "lifetime",
            json!({ "lifetime": "1h30m" }),
            Stored(json!({ "lifetime": "1h30m" })),
        ),
        (
            "other namespace",
            json!({ "tenantRef": { "namespace": "shared" } }),
            Stored(json!({ "tenantRef": { "namespace": "shared" } })),
        ),
        (
            "null is absence",
            json!({ "externalEndpoint": null, "lifetime": null }),
            Absent(&["externalEndpoint", "lifetime"]),
        ),
        (
            "null takes the default",
            json!({ "suspend": null, "deletionPolicy": null }),
            Stored(json!({ "suspend": false, "deletionPolicy": "Delete" })),
        ),
        (
            "leading slash",
            resource("/communications/callRecords"),
            Refused("must not start with a slash"),
        ),
        (
            "host",
            resource("https://graph.microsoft.com/v1.0/users"),
            Refused(alone),
        ),
        ("version", resource("v1.0/users"), Refused(alone)),
        ("beta", resource("beta/users"), Refused(alone)),
        ("empty resource", resource(""), Refused("spec.resource")),
        (
            "resource too long",
            resource(&"a".repeat(2049)),
            Refused("may not be more than 2048"),
        ),
        (
            "both ways",
            json!({ "externalEndpoint": external("https://hooks.example.com") }),
            Refused(one),
        ),
        ("no way", json!({ "receiverRef": REMOVED }), Refused(one)),
        ("null way", json!({ "receiverRef": null }), Refused(one)),
        (
            "plain http",
            json!({ "receiverRef": REMOVED, "externalEndpoint": external("http://hooks.example.com") }),
            Refused("should match '^https://'"),
        ),
        (
            "tenant missing",
            json!({ "tenantRef": REMOVED }),
            Refused("spec.tenantRef: Required value"),
        ),
        (
            "tenant name empty",
            json!({ "tenantRef": { "name": "" } }),
            Refused("spec.tenantRef.name"),
        ),
        (
            "no change type",
            json!({ "changeTypes": [] }),
            Refused("should have at least 1 items"),
        ),
        (
            "same change type twice",
            json!({ "changeTypes": ["Created", "Created"] }),
            Refused("Duplicate value"),
        ),
        (
            "change type of Graph",
            json!({ "changeTypes": ["created"] }),
            Refused("Unsupported value: \"created\""),
        ),
        (
            "lifetime in days",
            json!({ "lifetime": "3d" }),
            Refused("spec.lifetime in body should match"),
        ),
        (
            "lifetime in words",
            json!({ "lifetime": "an hour" }),
            Refused("spec.lifetime in body should match"),
        ),
        (
            "lifetime zero",
            json!({ "lifetime": "0h0m" }),
            Refused("must be longer than zero"),
        ),
        (
            "lifetime at its longest",
            json!({ "lifetime": "999999h999999m999999s" }),
            Stored(json!({})),
        ),
        ("lifetime empty", json!({ "lifetime": "" }), Refused("spec.lifetime")),
        (
            "deletion policy",
            json!({ "deletionPolicy": "Retain" }),
            Refused("Unsupported value: \"Retain\""),
        ),
        (
            "unknown field",
            json!({ "changeType": "created" }),
            Refused("unknown field \"spec.changeType\""),
        ),
    ]
}

#[tokio::test]
async fn tenants_are_judged() {
    judge("graphtenants", &tenant(), tenants()).await;
}

#[tokio::test]
async fn receivers_are_judged() {
    judge("notificationreceivers", &receiver(), receivers()).await;
}

#[tokio::test]
async fn subscriptions_are_judged() {
    judge("graphsubscriptions", &subscription(), subscriptions()).await;
}

/// Sends every case and tells all that went wrong, not only the first.
async fn judge(plural: &str, shortest: &Value, cases: Vec<Case>) {
    let client = client().await;
    let namespace = Namespace::new(&client).await;
    let path = format!("{}?dryRun=All", collection(&namespace.name, plural));
    let mut wrong = Vec::new();
    for (name, change, expected) in cases {
        let mut object = shortest.clone();
        merge(&mut object["spec"], &change);
        let answer = send(&client, "POST", &path, &object).await;
        let right = match (&answer, &expected) {
            (Ok(stored), Stored(part)) => contains(&stored["spec"], part),
            (Ok(stored), Absent(names)) => names.iter().all(|name| stored["spec"].get(name).is_none()),
            (Err(message), Refused(part)) => message.contains(part),
            _ => false,
        };
        if !right {
            wrong.push(format!(
                "{plural}, {name}: {}",
                answer.map_or_else(|text| text, |stored| stored["spec"].to_string())
            ));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What newcomers apply first.
#[tokio::test]
async fn the_samples_are_accepted() {
    let client = client().await;
    let namespace = Namespace::new(&client).await;
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/samples");
    let output = tokio::process::Command::new("kubectl")
        .args([
            "create",
            "--dry-run=server",
            "--validate=strict",
            "-n",
            &namespace.name,
            "-f",
            samples,
        ])
        .output()
        .await
        .expect("kubectl, which tests/cluster/api puts in PATH");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{told}");
}

#[tokio::test]
async fn a_name_longer_than_kubernetes_allows_is_refused() {
    let client = client().await;
    let namespace = Namespace::new(&client).await;
    for (plural, mut object) in [
        ("graphtenants", tenant()),
        ("notificationreceivers", receiver()),
        ("graphsubscriptions", subscription()),
        ("teamsconnectorhealths", connector()),
    ] {
        object["metadata"]["name"] = "a".repeat(254).into();
        let answer = send(&client, "POST", &collection(&namespace.name, plural), &object).await;
        let message = answer.expect_err("a refusal");
        assert!(message.contains("must be no more than 253"), "{plural}: {message}");
    }
}

/// Services and pods are named after a receiver, under tighter rules than its own name.
#[tokio::test]
async fn a_receiver_whose_pods_could_not_be_named_is_refused() {
    let client = client().await;
    let namespace = Namespace::new(&client).await;
    let path = format!("{}?dryRun=All", collection(&namespace.name, "notificationreceivers"));
    for (name, good) in [
        ("a".repeat(43), true),
        ("hooks-2".to_owned(), true),
        ("a".repeat(44), false),
        ("hooks.example".to_owned(), false),
        ("2hooks".to_owned(), false),
    ] {
        let mut object = receiver();
        object["metadata"]["name"] = name.clone().into();
        match send(&client, "POST", &path, &object).await {
            Ok(_) => assert!(good, "{name} was accepted"),
            Err(message) => {
                assert!(!good && message.contains("at most 43 characters"), "{name}: {message}");
            }
        }
    }
}

#[tokio::test]
async fn storage_cannot_change_and_the_rest_can() {
    let client = client().await;
    let namespace = Namespace::new(&client).await;
    let path = collection(&namespace.name, "notificationreceivers");
    send(&client, "POST", &path, &receiver()).await.unwrap();
    let path = format!("{path}/example");
    for storage in [json!({ "size": "2Gi" }), json!({ "storageClassName": "fast" })] {
        let answer = send(&client, "PATCH", &path, &json!({ "spec": { "storage": storage } })).await;
        let message = answer.expect_err("a refusal");
        assert!(message.contains("cannot be changed: make a new receiver"), "{message}");
    }
    let same = json!({ "spec": { "storage": { "size": "1Gi" }, "replicas": 2, "retention": "24h" } });
    send(&client, "PATCH", &path, &same).await.unwrap();
}

/// Like a merge patch, but with null as a value.
fn merge(target: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        target.clone_from(change);
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in change {
        if value == REMOVED {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

/// Whether everything in `part` is in `whole`, lists item by item.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(name, value)| whole.get(name).is_some_and(|found| contains(found, value))),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| contains(whole, part))
        }
        _ => whole == part,
    }
}
