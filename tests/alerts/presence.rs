//! What is exported about presence: by the controller of an object and what its worker says, and by a worker's own process.

use std::process::Stdio;

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::support::ports::free_port;
use crate::worker::{Worker, red};
use crate::world::{BINARY, PRESENCE, RECEIVER, World, write_all};

/// An object with push whose worker tells of everything.
pub async fn told(world: &World) -> Worker {
    for (name, data) in [
        ("pbx", ["password", "x"]),
        ("pull", ["token", "pull-token"]),
        ("account", ["refresh-token", "x"]),
    ] {
        let [key, value] = data;
        world.secret(name, &[(key, value)]).await;
    }
    let mut receiver = world.receiver_spec();
    receiver["pull"] = json!({ "tokenSecretRef": { "name": "pull", "key": "token" }, "consumers": ["presence"] });
    world.apply(RECEIVER, "calls", receiver).await;
    let spec = json!({
        "tenantRef": { "name": "contoso" }, "source": "Both",
        "push": {
            "receiverRef": { "name": "calls" }, "consumer": "presence", "tokenSecretRef": { "name": "pull", "key": "token" },
            "accounts": [{ "name": "one", "secretRef": { "name": "account" } }],
        },
        "pbx": { "sip": { "host": "sip.example", "domain": "example", "passwordSecretRef": { "name": "pbx", "key": "password" } } },
    });
    world.apply(PRESENCE, "desk", spec).await;
    // The receiver's pod is made anew, with the token.
    world
        .condition(RECEIVER, "calls", "Available", "False", "PodsNotReady")
        .await;
    world.mark_ready("calls").await;
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    world
        .until("the worker is built", async || {
            world.get("StatefulSet", "desk-presence").await.is_some()
        })
        .await;
    let token = secrets.get("desk-presence-token").await.unwrap().data.unwrap();
    let token = String::from_utf8(token["token"].0.clone()).unwrap();
    let worker = Worker::start(world.presence_port, &token).await;
    worker.says(&json!({ "shards": red("OverLimit", "some users have no place at an account") }));
    world.pod_ready("desk-presence-0", None).await;
    worker
}

/// A worker's process, which has nobody to speak to, and the port of its metrics.
pub async fn process(world: &World) -> (Child, u16) {
    let (path, port) = (|name: &str| world.path(&format!("worker/{name}")), free_port());
    let url = world.simulator.url();
    let app = json!({
        "tenantId": "contoso.example", "clientId": "c", "endpoints": { "login": url, "graph": url },
        "credentials": { "clientSecret": { "secretRef": { "name": "app", "key": "secret" } } },
    });
    let config: Value = json!({
        "namespace": "voice", "name": "desk", "uid": "u", "generation": 1, "reader": app, "writer": app,
        "spec": { "tenantRef": { "name": "contoso" }, "pbx": { "sip": { "host": "127.0.0.1", "port": 9, "domain": "example" } } },
    });
    let text = config.to_string();
    write_all(&path("config"), [("presence.json", text.as_bytes())].into_iter());
    write_all(&path("secrets/app"), [("secret", b"x".as_slice())].into_iter());
    std::fs::create_dir_all(path("data")).unwrap();
    let child = Command::new(BINARY)
        .arg("presence-worker")
        .args(["--config-dir", path("config").to_str().unwrap()])
        .args(["--secrets-dir", path("secrets").to_str().unwrap()])
        .args(["--data-dir", path("data").to_str().unwrap()])
        .args(["--internal-listen", &format!("127.0.0.1:{port}")])
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    world
        .until("the worker exports its metrics", async || {
            world.try_metrics(port).await.is_ok()
        })
        .await;
    (child, port)
}
