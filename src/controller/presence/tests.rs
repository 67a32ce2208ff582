//! Reconciles against an API server and a worker that answer as told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::*;
use crate::api::PRESENCE_FINALIZER;
use crate::api::presence_config::{CONFIG_FILE, PresenceConfig};
use crate::api::receiver::NotificationReceiver;
use crate::api::tenant::GraphTenant;
use crate::controller::testing::{Asked, Writers, context, recording, refusal};
use crate::policy::identity::{KEY_BYTES, Keyring};

const TOKEN: &str = "the-token";

/// An object with these members of the metadata and the spec.
pub fn sync(metadata: &Value, spec: &Value) -> PresenceSync {
    let mut object = json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "PresenceSync",
        "metadata": {
            "name": "desk", "namespace": "voice", "uid": "u", "generation": 3, "resourceVersion": "7",
            "finalizers": [PRESENCE_FINALIZER],
        },
        "spec": {
            "tenantRef": { "name": "contoso" },
            "pbx": { "innovaphone": {
                "app": "teams", "passwordSecretRef": { "name": "pbx", "key": "password" },
                "endpoints": [{ "name": "pbx", "url": "wss://pbx.example/PBX0/APPS/websocket" }],
            } },
        },
    });
    for (part, changes) in [("metadata", metadata), ("spec", spec)] {
        for (key, value) in changes.as_object().into_iter().flatten() {
            object[part][key] = value.clone();
        }
    }
    serde_json::from_value(object).unwrap()
}

pub fn push() -> Value {
    json!({ "source": "Both", "push": {
        "receiverRef": { "name": "hooks" }, "consumer": "presence",
        "tokenSecretRef": { "name": "pull", "key": "token" },
        "accounts": [{ "name": "one", "secretRef": { "name": "account-1" } }],
    } })
}

/// What a worker says when all is well, with changes.
pub fn told(changes: &Value) -> WorkerReport {
    serde_json::from_value(told_json(changes)).unwrap()
}

fn told_json(changes: &Value) -> Value {
    let green = json!({ "ok": true, "message": "well" });
    let mut report = json!({
        "generation": 3, "phase": "Running", "started": "2026-01-01T00:00:00Z",
        "pbx": green, "endpoints": [{ "name": "pbx", "connected": true }],
        "reader": green, "writer": green, "source": green, "storage": green, "directory": green, "licences": green,
        "users": { "synced": 5, "unmatched": 0, "ambiguous": 0, "unlicensed": 0, "overLimit": 0 },
        "selected": 5, "unmatched": [], "clockSkewSeconds": 0, "accounts": [], "last": {},
        "owned": { "sessions": 0, "chosen": 0, "entries": 0 },
    });
    for (key, value) in changes.as_object().unwrap() {
        report[key] = value.clone();
    }
    report
}

type Log = Arc<Mutex<Vec<String>>>;

/// A worker that answers as told.
#[derive(Clone)]
struct Worker {
    status: Arc<Mutex<Value>>,
    release: Arc<Mutex<(u16, Value)>>,
    log: Log,
}

impl Worker {
    async fn start(log: &Log) -> (Self, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let worker = Self {
            status: Arc::new(Mutex::new(told_json(&json!({})))),
            release: Arc::new(Mutex::new((
                200,
                json!({ "done": true, "remaining": { "sessions": 0, "chosen": 0, "entries": 0 }, "subscriptions": 0, "why": "" }),
            ))),
            log: log.clone(),
        };
        let routes = Router::new().fallback(answer).with_state(worker.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (worker, base)
    }

    fn remains(&self, why: &str) {
        let remaining = json!({ "sessions": 0, "chosen": 0, "entries": 3 });
        let body = json!({ "done": false, "remaining": remaining, "subscriptions": 0, "why": why });
        *self.release.lock().unwrap() = (503, body);
    }
}

async fn answer(State(worker): State<Worker>, request: Request) -> (StatusCode, String) {
    let bearer = request.headers().get(header::AUTHORIZATION);
    if bearer.is_none_or(|value| value != &format!("Bearer {TOKEN}")) {
        return (StatusCode::UNAUTHORIZED, String::new());
    }
    match (request.method().as_str(), request.uri().path()) {
        ("GET", "/v1/status") => (StatusCode::OK, worker.status.lock().unwrap().to_string()),
        ("POST", "/v1/release") => {
            worker.log.lock().unwrap().push("release".to_owned());
            let (status, body) = worker.release.lock().unwrap().clone();
            (StatusCode::from_u16(status).unwrap(), body.to_string())
        }
        _ => (StatusCode::NOT_FOUND, String::new()),
    }
}

/// What the API server has.
#[derive(Clone, Default)]
struct Cluster(Arc<Mutex<BTreeMap<String, Value>>>);

impl Cluster {
    fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().get(path).cloned()
    }

    fn put(&self, path: &str, object: Value) {
        self.0.lock().unwrap().insert(path.to_owned(), object);
    }

    fn set(&self) -> Value {
        self.get(SET).unwrap_or_default()
    }

    fn config(&self) -> PresenceConfig {
        let map = self.get("/api/v1/namespaces/voice/configmaps/desk-presence").unwrap();
        serde_json::from_str(map["data"][CONFIG_FILE].as_str().unwrap()).unwrap()
    }

    /// A pod, as the cluster says it is.
    fn pods(&self, exist: i32, ready: i32) {
        let mut set = self.set();
        set["status"] = json!({ "replicas": exist, "readyReplicas": ready });
        self.put(SET, set);
    }
}

const SET: &str = "/apis/apps/v1/namespaces/voice/statefulsets/desk-presence";
const SECRETS: &str = "/api/v1/namespaces/voice/secrets";

struct World {
    cluster: Cluster,
    worker: Worker,
    log: Log,
    context: Arc<Context>,
    writers: Writers,
}

impl World {
    /// With a tenant, its Secret and that of the PBX.
    async fn new() -> Self {
        let log = Log::default();
        let (worker, base) = Worker::start(&log).await;
        let cluster = Cluster::default();
        for (name, key, text) in [
            ("app", "secret", "c2VjcmV0"),
            ("pbx", "password", "cHc="),
            ("desk-presence-token", "token", "dGhlLXRva2Vu"),
        ] {
            cluster.put(
                &format!("{SECRETS}/{name}"),
                json!({ "metadata": { "name": name }, "data": { key: text } }),
            );
        }
        cluster.put("/api/v1/namespaces/voice", json!({ "metadata": { "name": "voice" } }));
        let (client, _) = recording(serve(cluster.clone(), log.clone()));
        let (context, writers) = context(&client, &base);
        let mut world = Self {
            cluster,
            worker,
            log,
            context,
            writers,
        };
        world.tenant(&json!({ "clientSecret": { "secretRef": { "name": "app", "key": "secret" } } }));
        world
    }

    fn tenant(&mut self, credentials: &Value) {
        self.tenant_of(Some("c"), credentials);
    }

    fn tenant_of(&mut self, client_id: Option<&str>, credentials: &Value) {
        let tenant: GraphTenant = serde_json::from_value(json!({
            "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphTenant",
            "metadata": { "name": "contoso", "namespace": "voice", "uid": "t" },
            "spec": { "tenantId": "contoso.example", "clientId": client_id, "credentials": credentials },
        }))
        .unwrap();
        self.writers.tenant(&tenant);
    }

    fn receiver(&mut self, spec: &Value) {
        let receiver: NotificationReceiver = serde_json::from_value(json!({
            "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "NotificationReceiver",
            "metadata": { "name": "hooks", "namespace": "voice", "uid": "r" },
            "spec": spec,
        }))
        .unwrap();
        self.writers.receivers.apply_watcher_event(&Event::Apply(receiver));
    }

    /// One reconcile, and the status that it wrote.
    async fn reconcile(&self, object: &PresenceSync) -> (Action, Value) {
        let before = self.log.lock().unwrap().len();
        let action = reconcile(Arc::new(object.clone()), self.context.clone()).await;
        let status = self.cluster.get("status").unwrap_or_default();
        let said = self.log.lock().unwrap()[before..].to_vec();
        assert!(!said.iter().any(|line| line.starts_with("unexpected")), "{said:?}");
        (action, status)
    }

    fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

fn serve(cluster: Cluster, log: Log) -> impl FnMut(&Asked) -> (u16, Value) + Send {
    move |asked| {
        let path = asked.path.as_str();
        match asked.method.as_str() {
            _ if path.contains("/events") => (201, asked.body.clone()),
            "GET" => cluster
                .get(path)
                .map_or_else(|| refusal(404, "NotFound"), |object| (200, object)),
            "POST" => {
                let name = asked.body["metadata"]["name"].as_str().unwrap();
                log.lock().unwrap().push(format!("create {name}"));
                cluster.put(&format!("{path}/{name}"), asked.body.clone());
                (201, asked.body.clone())
            }
            "PATCH"
                if cluster
                    .get("broken")
                    .is_some_and(|part| path.contains(part.as_str().unwrap())) =>
            {
                refusal(500, "InternalError")
            }
            "PATCH" if path.ends_with("/desk/status") => {
                cluster.put("status", asked.body["status"].clone());
                let mut object = serde_json::to_value(sync(&json!({}), &json!({}))).unwrap();
                object["status"] = asked.body["status"].clone();
                (200, object)
            }
            "PATCH" if path.ends_with("/presencesyncs/desk") => {
                log.lock()
                    .unwrap()
                    .push(format!("finalizers {}", asked.body["metadata"]["finalizers"]));
                let finalizers = asked.body["metadata"]["finalizers"].clone();
                (
                    200,
                    serde_json::to_value(sync(&json!({ "finalizers": finalizers }), &json!({}))).unwrap(),
                )
            }
            "PATCH" => {
                let mut object = cluster.get(path).unwrap_or_else(|| json!({ "metadata": {} }));
                if asked.body["metadata"].is_null() {
                    object["spec"]["replicas"] = asked.body["spec"]["replicas"].clone();
                } else {
                    let status = object["status"].clone();
                    object = asked.body.clone();
                    object["status"] = status;
                }
                log.lock()
                    .unwrap()
                    .push(format!("write {path} {}", object["spec"]["replicas"]));
                cluster.put(path, object.clone());
                (200, object)
            }
            other => {
                log.lock().unwrap().push(format!("unexpected {other} {path}"));
                refusal(405, "MethodNotAllowed")
            }
        }
    }
}

fn said_of(status: &Value, type_: &str) -> (String, String) {
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == type_);
    let text = |key: &str| found.map_or_else(String::new, |found| found[key].as_str().unwrap().to_owned());
    (text("status"), text("reason"))
}

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

fn ago(minutes: i64) -> Value {
    json!(
        Timestamp::from_second((Timestamp::now() - SignedDuration::from_mins(minutes)).as_second())
            .unwrap()
            .to_string()
    )
}

#[tokio::test]
async fn a_new_object_is_held_built_and_then_left_alone() {
    let world = World::new().await;
    let fresh = sync(&json!({ "finalizers": [] }), &json!({}));
    let (_, status) = world.reconcile(&fresh).await;
    let said = world.said();
    assert_eq!(
        said[0],
        format!("finalizers [\"{PRESENCE_FINALIZER}\"]"),
        "before anything is made"
    );
    assert!(said.iter().any(|line| line == &format!("write {SET} 1")), "{said:?}");
    assert_eq!(said_of(&status, "Ready"), pair("True", "Accepted"));
    assert_eq!(said_of(&status, "Available"), pair("False", "PodsNotReady"));
    let config = world.cluster.config();
    assert_eq!((config.generation, config.uid.as_str(), config.push), (3, "u", None));
    assert_eq!(config.reader, config.writer, "one app does both");

    world.cluster.pods(1, 1);
    let (action, status) = world.reconcile(&sync(&json!({}), &json!({}))).await;
    for type_ in [
        "Available",
        "PbxConnected",
        "Authenticated",
        "PresenceSubscribed",
        "UsersMatched",
        "LicencesValid",
        "ClockSynchronized",
    ] {
        assert_eq!(said_of(&status, type_).0, "True", "{type_}");
    }
    assert_eq!(said_of(&status, "ShardsReady").0, "", "without push");
    assert_eq!(status["users"]["synced"], 5);
    assert!(action.again_after.is_some());
    assert!(world.said().is_empty(), "what is as wanted is not written again");
}

#[tokio::test]
async fn what_is_missing_is_named_and_leaves_the_worker_at_work() {
    let mut world = World::new().await;
    let object = sync(&json!({}), &json!({}));
    world.reconcile(&object).await;
    world.cluster.pods(1, 1);
    world.said();
    let cases = [
        (json!({ "tenantRef": { "name": "fabrikam" } }), "TenantNotFound"),
        (json!({ "writerTenantRef": { "name": "fabrikam" } }), "TenantNotFound"),
        (
            json!({ "pbx": { "sip": { "host": "h", "domain": "d", "passwordSecretRef": { "name": "absent", "key": "k" } } } }),
            "SecretNotFound",
        ),
        (
            json!({ "pbx": { "sip": { "host": "h", "domain": "d", "passwordSecretRef": { "name": "pbx", "key": "k" } } } }),
            "SecretKeyMissing",
        ),
        (push(), "ReceiverNotFound"),
    ];
    for (spec, reason) in cases {
        let (_, status) = world.reconcile(&sync(&json!({}), &spec)).await;
        assert_eq!(said_of(&status, "Ready"), pair("False", reason), "{spec}");
        assert_eq!(said_of(&status, "PbxConnected").0, "True", "{spec}: the worker goes on");
        assert!(world.said().is_empty(), "{spec}: nothing is changed");
    }
    // Graph wants the app's id with what is written to Teams, and only there.
    world.tenant_of(
        None,
        &json!({ "clientSecret": { "secretRef": { "name": "app", "key": "secret" } } }),
    );
    let (_, status) = world.reconcile(&object).await;
    assert_eq!(said_of(&status, "Ready"), pair("False", "TenantNotReady"));
    let (_, status) = world
        .reconcile(&sync(&json!({}), &json!({ "direction": "TeamsToPbx" })))
        .await;
    assert_eq!(said_of(&status, "Ready"), pair("True", "Accepted"));
    // The namespace's own identity is lent as the operator's is.
    world.tenant(&json!({ "workloadIdentity": {} }));
    let (_, status) = world.reconcile(&object).await;
    assert_eq!(said_of(&status, "Ready"), pair("False", "NamespaceNotAllowed"));
}

#[tokio::test]
async fn with_push_the_receiver_must_admit_and_list_the_worker() {
    let mut world = World::new().await;
    let object = sync(&json!({}), &push());
    for (name, data) in [
        ("pull", json!({ "token": "dA==" })),
        ("account-1", json!({ "username": "dQ==" })),
    ] {
        world.cluster.put(
            &format!("{SECRETS}/{name}"),
            json!({ "metadata": { "name": name }, "data": data }),
        );
    }
    world.receiver(&json!({ "publicUrl": "https://hooks.example/teams/" }));
    let reason = async |world: &World| said_of(&world.reconcile(&object).await.1, "Ready").1;
    assert_eq!(reason(&world).await, "ConsumerNotListed");
    world.receiver(&json!({
        "publicUrl": "https://hooks.example/teams/", "replicas": 2,
        "pull": { "tokenSecretRef": { "name": "pull", "key": "token" }, "consumers": ["presence"] },
    }));
    assert_eq!(reason(&world).await, "ReceiverNotReady");
    let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    assert_eq!(KEY_BYTES, 32);
    let reference = object.receiver().unwrap();
    world
        .context
        .keyrings
        .put(reference, Keyring::from_base64([("k1", key)]).0);
    assert_eq!(reason(&world).await, "SecretKeyMissing", "the account has no password");
    world.cluster.put(
        &format!("{SECRETS}/account-1"),
        json!({ "metadata": {}, "data": { "refresh-token": "dA==" } }),
    );
    assert_eq!(reason(&world).await, "Accepted");

    let config = world.cluster.config().push.unwrap();
    assert_eq!(config.pull_urls.len(), 2);
    let secret = world.cluster.get(&format!("{SECRETS}/{}", config.secret)).unwrap();
    let text = |key: &str| {
        use base64::Engine;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(secret["data"][key].as_str().unwrap())
            .unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert!(text("notification-url").starts_with("https://hooks.example/teams/v1/n/k1/u/"));
    assert!(text("lifecycle-url").starts_with("https://hooks.example/teams/v1/l/k1/u/"));
    assert_eq!(text("client-state").len(), 43);
    assert!(
        config
            .secret
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    );
    let map = world
        .cluster
        .get("/api/v1/namespaces/voice/configmaps/desk-presence")
        .unwrap()
        .to_string();
    assert!(
        !map.contains("/v1/n/") && !map.contains(&text("client-state")),
        "a proof is in no ConfigMap"
    );

    // Another key makes another Secret, and the first is not touched.
    let other = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
    world.context.keyrings.put(
        object.receiver().unwrap(),
        Keyring::from_base64([("k1", key), ("k2", other)]).0,
    );
    world.reconcile(&object).await;
    assert_ne!(world.cluster.config().push.unwrap().secret, config.secret);
    assert_eq!(world.cluster.get(&format!("{SECRETS}/{}", config.secret)), Some(secret));
}

#[tokio::test]
async fn a_deleted_object_goes_when_the_worker_took_everything_back() {
    let world = World::new().await;
    world.reconcile(&sync(&json!({}), &json!({}))).await;
    world.cluster.pods(1, 1);
    let deleted = |minutes| sync(&json!({ "deletionTimestamp": ago(minutes) }), &json!({}));
    world.worker.remains("3 entries on the PBX");
    let (action, status) = world.reconcile(&deleted(1)).await;
    assert_eq!(said_of(&status, "Reconciling"), pair("True", "Releasing"));
    assert!(action.again_after.unwrap().as_secs() < 10);
    assert!(
        world.cluster.config().spec.suspend,
        "one that starts anew meanwhile rests"
    );
    assert!(!world.said().iter().any(|line| line.starts_with("finalizers")));

    *world.worker.release.lock().unwrap() = (
        200,
        json!({ "done": true, "remaining": { "sessions": 0, "chosen": 0, "entries": 0 }, "subscriptions": 0, "why": "" }),
    );
    let (action, _) = world.reconcile(&deleted(1)).await;
    assert_eq!(action, Action::await_change());
    assert_eq!(world.said(), ["release", "finalizers []"]);
}

#[tokio::test]
async fn a_deletion_ends_whatever_the_worker_does() {
    for (dead, minutes, terminating, goes) in [
        (false, 9, false, false),
        (false, 11, false, true),
        (true, 9, false, false),
        (true, 11, false, true),
        (true, 0, true, true),
    ] {
        let world = World::new().await;
        world.reconcile(&sync(&json!({}), &json!({}))).await;
        world.cluster.pods(1, 1);
        world.worker.remains("the PBX is away");
        if dead {
            *world.worker.release.lock().unwrap() = (500, json!({}));
        }
        if terminating {
            world.cluster.put(
                "/api/v1/namespaces/voice",
                json!({ "metadata": { "name": "voice", "deletionTimestamp": ago(0) } }),
            );
        }
        let deleted = sync(&json!({ "deletionTimestamp": ago(minutes) }), &json!({}));
        world.said();
        world.reconcile(&deleted).await;
        let gone = world.said().contains(&"finalizers []".to_owned());
        assert_eq!(gone, goes, "dead {dead}, {minutes} min, terminating {terminating}");
    }
    // Nor does it wait for the cluster to take what the worker is told.
    let world = World::new().await;
    world.reconcile(&sync(&json!({}), &json!({}))).await;
    world.cluster.pods(1, 1);
    world.cluster.put("broken", json!("/configmaps/"));
    world.worker.remains("the PBX is away");
    world.said();
    world
        .reconcile(&sync(&json!({ "deletionTimestamp": ago(11) }), &json!({})))
        .await;
    assert_eq!(world.said(), ["release", "finalizers []"]);
    // What was never built is not waited for; nor is a Secret made for it.
    let world = World::new().await;
    world
        .cluster
        .0
        .lock()
        .unwrap()
        .remove(&format!("{SECRETS}/desk-presence-token"));
    world
        .reconcile(&sync(&json!({ "deletionTimestamp": ago(0) }), &json!({})))
        .await;
    assert_eq!(world.said(), ["finalizers []"]);
}

#[tokio::test]
async fn suspension_takes_back_then_ends_the_worker_and_work_begins_with_a_new_one() {
    let world = World::new().await;
    let working = |generation: i64| sync(&json!({ "generation": generation }), &json!({}));
    let resting = sync(&json!({ "generation": 4 }), &json!({ "suspend": true }));
    world.reconcile(&working(3)).await;
    world.cluster.pods(1, 1);
    world.said();

    world.worker.remains("1 session");
    let (_, status) = world.reconcile(&resting).await;
    assert_eq!(said_of(&status, "Ready"), pair("False", "Releasing"));
    assert_eq!(world.cluster.set()["spec"]["replicas"], 1);

    // In the midst of it, the user thinks better of it: a worker that was asked to stop is not trusted to go on.
    let (_, status) = world.reconcile(&working(5)).await;
    assert_eq!(said_of(&status, "Ready"), pair("False", "Progressing"));
    assert_eq!(world.cluster.set()["spec"]["replicas"], 0);
    world.cluster.pods(0, 0);
    let (_, status) = world.reconcile(&working(5)).await;
    assert_eq!(said_of(&status, "Ready"), pair("True", "Accepted"));
    assert_eq!(world.cluster.set()["spec"]["replicas"], 1);

    world.cluster.pods(1, 1);
    *world.worker.release.lock().unwrap() = (
        200,
        json!({ "done": true, "remaining": { "sessions": 0, "chosen": 0, "entries": 0 }, "subscriptions": 0, "why": "" }),
    );
    let (action, status) = world.reconcile(&resting).await;
    assert_eq!(said_of(&status, "Ready"), pair("True", "Suspended"));
    assert_eq!(
        said_of(&status, "PbxConnected").0,
        "",
        "it says nothing of what nobody does"
    );
    assert_eq!(
        (world.cluster.set()["spec"]["replicas"].clone(), action),
        (json!(0), Action::await_change())
    );
    world.cluster.pods(0, 0);
    world.said();
    world.reconcile(&resting).await;
    assert!(world.said().is_empty(), "it is not asked again");
}

/// After a restart of the controller nobody remembers that the worker was asked to stop. It says so itself.
#[tokio::test]
async fn a_worker_that_stopped_though_it_shall_work_is_started_anew() {
    let world = World::new().await;
    let object = sync(&json!({}), &json!({}));
    world.reconcile(&object).await;
    world.cluster.pods(1, 1);
    *world.worker.status.lock().unwrap() = told_json(&json!({ "phase": "Idle" }));
    world.reconcile(&object).await;
    assert_eq!(world.cluster.set()["spec"]["replicas"], 0);
    world.cluster.pods(0, 0);
    world.reconcile(&object).await;
    assert_eq!(world.cluster.set()["spec"]["replicas"], 1);
    // An earlier configuration may still say that it shall rest.
    world.cluster.pods(1, 1);
    *world.worker.status.lock().unwrap() = told_json(&json!({ "phase": "Idle", "generation": 2 }));
    world.reconcile(&object).await;
    assert_eq!(world.cluster.set()["spec"]["replicas"], 1);
}

#[tokio::test]
async fn what_a_worker_needs_is_known_to_be_in_use() {
    let mut world = World::new().await;
    world
        .writers
        .presence
        .apply_watcher_event(&Event::Apply(sync(&json!({}), &push())));
    let named = |namespace: &str, name: &str| {
        Some(ObjectRef {
            name: name.to_owned(),
            namespace: Some(namespace.to_owned()),
        })
    };
    let tenants = |namespace: &str, name: &str| {
        users(&world.context, |sync| {
            sync.tenants().any(|tenant| Some(tenant) == named(namespace, name))
        })
    };
    assert_eq!(tenants("voice", "contoso"), ["voice/desk"]);
    assert!(tenants("other", "contoso").is_empty() && tenants("voice", "fabrikam").is_empty());
    assert_eq!(
        users(&world.context, |sync| sync.receiver() == named("voice", "hooks")),
        ["voice/desk"]
    );
}

#[tokio::test]
async fn one_lost_answer_is_no_news() {
    let workers = Workers::default();
    let object = ObjectRef {
        name: "desk".to_owned(),
        namespace: None,
    };
    let lost = || Err("the pod cannot be reached".to_owned());
    assert!(workers.newest(&object, lost()).is_err());
    assert!(workers.newest(&object, Ok(told(&json!({})))).is_ok());
    assert!(workers.newest(&object, lost()).is_ok());
    workers.forget(&object, "u");
    assert!(workers.newest(&object, lost()).is_err());
}
