//! `PresenceSync`: the controller on a real API server, with a worker whose answers the test gives.

use std::os::unix::fs::symlink;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use teams_graph_operator::simulator::DEFAULT_SECRET;
use tokio::process::Command;

use crate::worker::{Worker, machine_address, red};
use crate::world::{BINARY, PRESENCE, RECEIVER, TENANT, World, condition};

const POD: &str = "desk-presence-0";
const SET: &str = "desk-presence";

fn spec() -> Value {
    json!({
        "tenantRef": { "name": "contoso" },
        "pbx": { "innovaphone": {
            "app": "teams", "passwordSecretRef": { "name": "pbx", "key": "password" },
            "endpoints": [{ "name": "pbx", "url": "wss://pbx.example/PBX0/APPS/websocket" }],
        } },
    })
}

/// All that an object needs, and the object.
async fn apply(world: &World, spec: Value) {
    world.secret("app", &[("client-secret", DEFAULT_SECRET)]).await;
    world.secret("pbx", &[("password", "secret-of-the-pbx")]).await;
    world.apply(TENANT, "contoso", world.tenant_spec()).await;
    world.apply(PRESENCE, "desk", spec).await;
}

/// Does what a kubelet does: runs a worker with the token that it finds in its volume.
async fn run_worker(world: &World) -> Worker {
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    world
        .until("the worker's objects are built", async || {
            world.get("StatefulSet", SET).await.is_some()
        })
        .await;
    let secret = secrets.get("desk-presence-token").await.unwrap();
    let token = String::from_utf8(secret.data.unwrap().remove("token").unwrap().0).unwrap();
    let worker = Worker::start(world.presence_port, &token).await;
    world.pod_ready(POD, Some(machine_address())).await;
    worker
}

async fn config(world: &World) -> Value {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    let map = maps.get(SET).await.unwrap();
    serde_json::from_str(&map.data.unwrap()["presence.json"]).unwrap()
}

async fn replicas(world: &World) -> Value {
    world.get("StatefulSet", SET).await.unwrap_or_default()["spec"]["replicas"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_built_and_what_it_says_is_told() {
    let world = World::new("presence").await;
    apply(&world, spec()).await;
    let worker = run_worker(&world).await;
    for type_ in [
        "Available",
        "PbxConnected",
        "Authenticated",
        "PresenceSubscribed",
        "LicencesValid",
        "ClockSynchronized",
    ] {
        let reason = if type_ == "Available" { "PodsReady" } else { "Succeeded" };
        world.condition(PRESENCE, "desk", type_, "True", reason).await;
    }
    world
        .told(PRESENCE, "desk", "UsersMatched", "False", "UsersUnmatched")
        .await;
    let status = world.get(PRESENCE, "desk").await.unwrap()["status"].clone();
    assert_eq!(status["users"]["synced"], 5);
    assert_eq!(status["unmatched"][0]["user"], "door");
    assert_eq!(status["endpoints"][0]["connected"], true);
    assert_eq!(status["observedGeneration"], 1);

    let told = config(&world).await;
    assert_eq!(
        (&told["generation"], &told["reader"]["tenantId"]),
        (&json!(1), &world.tenant_spec()["tenantId"])
    );
    assert!(
        !told.to_string().contains(DEFAULT_SECRET),
        "a Secret is named, and not told"
    );
    let pod: Pod = Api::namespaced(world.client.clone(), &world.namespace)
        .get(POD)
        .await
        .unwrap();
    let pod = pod.spec.unwrap();
    assert_eq!(pod.automount_service_account_token, Some(false));
    let mounts = pod.containers[0].volume_mounts.as_ref().unwrap();
    let paths: Vec<&str> = mounts.iter().map(|mount| mount.mount_path.as_str()).collect();
    for name in ["app", "pbx", "desk-presence-token"] {
        let path = format!("/etc/teamsgraph/secrets/{name}");
        assert!(paths.contains(&path.as_str()), "{path}: {paths:?}");
    }

    worker.says(&json!({ "pbx": red("CredentialsRejected", "the PBX refuses the password of the App object teams") }));
    let message = world
        .told(PRESENCE, "desk", "PbxConnected", "False", "CredentialsRejected")
        .await;
    assert!(message.contains("refuses the password"), "{message}");
    worker.says(&json!({ "pbx": { "ok": true, "message": "connected" } }));
    world
        .condition(PRESENCE, "desk", "PbxConnected", "True", "Succeeded")
        .await;
    let metrics = world.metrics(world.telemetry_port).await;
    let series = format!(
        "teamsgraph_presencesync_users{{name=\"desk\",namespace=\"{}\",state=\"synced\"}} 5",
        world.namespace
    );
    assert!(metrics.contains(&series), "{metrics}");

    // Rules reach the worker in its volume, without a new pod.
    let before = world.get("StatefulSet", SET).await.unwrap()["metadata"]["generation"].clone();
    world
        .patch(PRESENCE, "desk", json!({ "spec": { "policy": { "debounce": "7s" } } }))
        .await;
    world
        .until("the worker is told", async || {
            config(&world).await["spec"]["policy"]["debounce"] == "7s"
        })
        .await;
    assert_eq!(
        world.get("StatefulSet", SET).await.unwrap()["metadata"]["generation"],
        before
    );
    world
        .until("the new spec is observed", async || {
            let desk = world.get(PRESENCE, "desk").await.unwrap();
            desk["status"]["observedGeneration"] == desk["metadata"]["generation"]
        })
        .await;
    let version = world.get(PRESENCE, "desk").await.unwrap()["metadata"]["resourceVersion"].clone();
    tokio::time::sleep(std::time::Duration::from_secs(12)).await;
    let later = world.get(PRESENCE, "desk").await.unwrap()["metadata"]["resourceVersion"].clone();
    assert_eq!(version, later, "where nothing changes, nothing is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_and_seen_when_it_comes() {
    let world = World::new("presence-missing").await;
    world.apply(PRESENCE, "desk", spec()).await;
    world.told(PRESENCE, "desk", "Ready", "False", "TenantNotFound").await;
    world.apply(TENANT, "contoso", world.tenant_spec()).await;
    let message = world
        .condition(PRESENCE, "desk", "Ready", "False", "SecretNotFound")
        .await;
    assert!(
        message.contains("the GraphTenant of spec.tenantRef: Secret app"),
        "{message}"
    );
    world.secret("app", &[("client-secret", DEFAULT_SECRET)]).await;
    world.secret("pbx", &[("pass", "x")]).await;
    let message = world
        .condition(PRESENCE, "desk", "Ready", "False", "SecretKeyMissing")
        .await;
    assert!(message.contains("spec.pbx.innovaphone.passwordSecretRef"), "{message}");
    world.secret("pbx", &[("password", "x")]).await;
    world.condition(PRESENCE, "desk", "Ready", "True", "Accepted").await;
    world
        .condition(PRESENCE, "desk", "Available", "False", "PodsNotReady")
        .await;

    // Its tenant stays while a worker may need it.
    world.delete(TENANT, "contoso").await;
    let message = world.condition(TENANT, "contoso", "Ready", "False", "InUse").await;
    assert!(message.contains("/desk"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_push_the_worker_gets_addresses_that_the_receiver_knows() {
    let mut world = World::new("presence-push").await;
    let mut pushed = spec();
    pushed["source"] = json!("Both");
    pushed["push"] = json!({
        "receiverRef": { "name": "calls" }, "consumer": "presence",
        "tokenSecretRef": { "name": "pull", "key": "token" },
        "accounts": [{ "name": "one", "secretRef": { "name": "account" } }],
    });
    world.secret("pull", &[("token", "pull-token")]).await;
    world
        .secret("account", &[("username", "sync@contoso.example"), ("password", "x")])
        .await;
    world.apply(RECEIVER, "calls", world.receiver_spec()).await;
    world.mark_ready("calls").await;
    world
        .condition(RECEIVER, "calls", "Available", "True", "PodsReady")
        .await;
    apply(&world, pushed).await;
    world
        .told(PRESENCE, "desk", "Ready", "False", "ConsumerNotListed")
        .await;
    let mut receiver = world.receiver_spec();
    receiver["pull"] = json!({ "tokenSecretRef": { "name": "pull", "key": "token" }, "consumers": ["presence"] });
    world.apply(RECEIVER, "calls", receiver).await;
    // Its pod is made anew, with the token.
    world
        .condition(RECEIVER, "calls", "Available", "False", "PodsNotReady")
        .await;
    world.run_receiver("calls").await;
    let worker = run_worker(&world).await;
    world
        .condition(RECEIVER, "calls", "Reachable", "True", "HandshakeSucceeded")
        .await;
    world
        .condition(
            PRESENCE,
            "desk",
            "NotificationUrlReachable",
            "True",
            "HandshakeSucceeded",
        )
        .await;
    world
        .condition(PRESENCE, "desk", "ShardsReady", "Unknown", "NotObserved")
        .await;

    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let name = config(&world).await["push"]["secret"].as_str().unwrap().to_owned();
    let data = secrets.get(&name).await.unwrap().data.unwrap();
    let url = String::from_utf8(data["notification-url"].0.clone()).unwrap();
    // As Graph does when a subscription is made.
    let ca = std::fs::read(world.path("ca.crt")).unwrap();
    let http = reqwest::Client::builder()
        .add_root_certificate(reqwest::Certificate::from_pem(&ca).unwrap())
        .build()
        .unwrap();
    let answer = http.post(format!("{url}?validationToken=proof")).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.text().await.unwrap().as_str()),
        (200, "proof")
    );

    worker.says(&json!({
        "shards": red("OverLimit", "some users have no place at an account"),
        "accounts": [{
            "account": "one", "users": 650, "subscriptionId": "s", "expirationTime": "2027-01-01T00:00:00Z",
            "signedIn": red("MfaRequired", "account one would need a second factor"), "subscribed": { "ok": true, "message": "m" },
        }],
    }));
    world.told(PRESENCE, "desk", "ShardsReady", "False", "OverLimit").await;
    world
        .told(PRESENCE, "desk", "Authenticated", "False", "MfaRequired")
        .await;
    let status = world.get(PRESENCE, "desk").await.unwrap()["status"].clone();
    assert_eq!(status["shards"][0]["users"], 650);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_waits_for_the_worker_and_suspension_ends_it() {
    let world = World::new("presence-end").await;
    apply(&world, spec()).await;
    let worker = run_worker(&world).await;
    world
        .condition(PRESENCE, "desk", "Available", "True", "PodsReady")
        .await;

    worker.keeps("one session in Teams");
    world
        .patch(PRESENCE, "desk", json!({ "spec": { "suspend": true } }))
        .await;
    world
        .condition(PRESENCE, "desk", "Reconciling", "True", "Releasing")
        .await;
    assert_eq!(replicas(&world).await, 1);
    worker.keeps_nothing();
    world.condition(PRESENCE, "desk", "Ready", "True", "Suspended").await;
    world.event(PRESENCE, "desk", "Released").await;
    world
        .until("no pod is wanted", async || replicas(&world).await == 0)
        .await;
    let object = world.get(PRESENCE, "desk").await.unwrap();
    assert_eq!(condition(&object, "PbxConnected"), Value::Null);

    world.delete_pod(POD).await;
    worker.says(&json!({ "generation": 3 }));
    world
        .patch(PRESENCE, "desk", json!({ "spec": { "suspend": false } }))
        .await;
    world
        .until("a pod is wanted", async || replicas(&world).await == 1)
        .await;
    world.pod_ready(POD, None).await;
    world
        .condition(PRESENCE, "desk", "PbxConnected", "True", "Succeeded")
        .await;

    worker.keeps("the PBX does not answer");
    let before = worker.released();
    world.delete(PRESENCE, "desk").await;
    let message = world
        .condition(PRESENCE, "desk", "Reconciling", "True", "Releasing")
        .await;
    assert!(message.contains("the PBX does not answer"), "{message}");
    world
        .until("it is asked again", async || worker.released() > before + 1)
        .await;
    assert_eq!(config(&world).await["spec"]["suspend"], true);
    worker.keeps_nothing();
    world
        .until("the object is gone", async || {
            world.get(PRESENCE, "desk").await.is_none()
        })
        .await;
    world
        .until("and its worker", async || world.get("StatefulSet", SET).await.is_none())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_worker_does_not_hold_a_namespace() {
    let world = World::new("presence-namespace").await;
    apply(&world, spec()).await;
    let worker = run_worker(&world).await;
    world
        .condition(PRESENCE, "desk", "Available", "True", "PodsReady")
        .await;
    worker.die();
    world.delete_namespace().await;
    world
        .until("the object is gone", async || {
            world.get(PRESENCE, "desk").await.is_none()
        })
        .await;
}

/// Through the API server's proxy to the pod, as a kubectl plugin and by itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_presence_command_explains_a_person() {
    let world = World::new("presence-command").await;
    apply(&world, spec()).await;
    let worker = run_worker(&world).await;
    worker.knows("anna@contoso.example", json!({
        "synced": true, "why": "matched by h323", "layers": [{ "layer": "Line", "held": "Busy/InACall", "why": "a call is connected" }],
        "writes": [],
    }));
    let plugin = world.path("kubectl-teamsgraph");
    symlink(BINARY, &plugin).unwrap();
    let path = format!(
        "{}:{}",
        plugin.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let port = world.presence_port.to_string();
    let run = async |program: &str, words: &[&str]| {
        let command = [words, &["-n", &world.namespace, "--port", &port]].concat();
        let output = Command::new(program)
            .args(command)
            .env("PATH", &path)
            .output()
            .await
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let (fine, shown, said) = run("kubectl", &["teamsgraph", "presence", "desk", "anna@contoso.example"]).await;
    assert!(
        fine && shown.contains("Busy/InACall") && shown.starts_with("In step: matched by h323"),
        "{shown}{said}"
    );
    let (fine, shown, said) = run(BINARY, &["presence", "desk", "anna@contoso.example", "-o", "json"]).await;
    assert!(fine, "{said}");
    let report: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(report["layers"][0]["held"], "Busy/InACall");
    let (fine, _, said) = run(BINARY, &["presence", "desk", "Bo B/ob"]).await;
    assert!(!fine && said.contains("knows nobody called Bo B/ob"), "{said}");
    let (fine, _, said) = run(BINARY, &["presence", "absent", "x"]).await;
    assert!(!fine && said.contains("PresenceSync"), "{said}");
    // A stranger in the cluster's network gets nothing.
    let url = format!("http://127.0.0.1:{port}/v1/users/anna@contoso.example");
    assert_eq!(reqwest::get(url).await.unwrap().status().as_u16(), 401);
    let other_token = Patch::Merge(json!({ "data": { "token": "b3RoZXI=" } }));
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    secrets
        .patch("desk-presence-token", &PatchParams::default(), &other_token)
        .await
        .unwrap();
    let (fine, _, said) = run(BINARY, &["presence", "desk", "anna@contoso.example"]).await;
    assert!(!fine && said.contains("does not take the token"), "{said}");
}
