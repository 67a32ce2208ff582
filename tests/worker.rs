//! The presence worker as its own process, between a simulated Teams and a simulated innovaphone PBX: killed in the middle of a
//! call, started again, asked to take everything back.

// Clippy knows only of `#[test]` functions that they are tests, not of what they share.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};
use teams_graph_operator::simulator::{Config, DEFAULT_APP, DEFAULT_SECRET, DEFAULT_TENANT, Simulator};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    simulator: Simulator,
    dir: TempDir,
    worker: Option<Child>,
    port: u16,
    client: Client,
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill();
    }
}

fn write(dir: &Path, path: &str, content: &str) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

impl World {
    /// Some people who are on the PBX too, and a worker.
    async fn new(people: u32, password: &str) -> Self {
        let simulator = Simulator::start(Config::default()).await.unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut world = Self {
            simulator,
            dir: tempfile::tempdir().unwrap(),
            worker: None,
            port,
            client: Client::builder().no_proxy().build().unwrap(),
        };
        let available = json!({"availability": "Available", "activity": "Available"});
        world
            .post(
                "people",
                json!({"count": people, "first": 1, "prefix": "user", "client": available}),
            )
            .await;
        let users: Vec<Value> = (0..people)
            .map(|number| json!({"h323": format!("user{number}"), "cn": format!("User {number}")}))
            .collect();
        world.post("pbx/users", json!(users)).await;
        world.configure(password);
        world.start();
        world
    }

    fn configure(&self, password: &str) {
        let url = self.simulator.url();
        let socket = format!("{}/PBX0/APPS/websocket", url.replace("http://", "ws://"));
        let app = json!({"tenantId": DEFAULT_TENANT, "clientId": DEFAULT_APP, "endpoints": {"login": url, "graph": url},
            "credentials": {"clientSecret": {"secretRef": {"name": "app", "key": "secret"}}}});
        let spec = json!({"tenantRef": {"name": "t"}, "pollInterval": "1s", "policy": {"debounce": "1s"},
            "pbx": {"innovaphone": {"app": "teams", "passwordSecretRef": {"name": "pbx", "key": "password"},
                "endpoints": [{"name": "pbx", "role": "Master", "url": socket}]}}});
        let config = json!({"namespace": "ns", "name": "sync", "uid": "uid-1", "generation": 7,
            "spec": spec, "reader": app, "writer": app});
        let dir = self.dir.path();
        write(dir, "config/presence.json", &config.to_string());
        write(dir, "secrets/app/secret", DEFAULT_SECRET);
        write(dir, "secrets/pbx/password", password);
    }

    fn start(&mut self) {
        let at = |name: &str| self.dir.path().join(name);
        let child = Command::new(env!("CARGO_BIN_EXE_teams-graph-operator"))
            .arg("presence-worker")
            .env("CONFIG_DIR", at("config"))
            .env("SECRETS_DIR", at("secrets"))
            .env("DATA_DIR", at("data"))
            .env("INTERNAL_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("NO_PROXY", "127.0.0.1,localhost")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.worker = Some(child);
    }

    fn kill(&mut self) {
        if let Some(mut worker) = self.worker.take() {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/_simulator/{path}", self.simulator.url());
        let response = self.client.post(url).json(&body).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn put(&self, path: &str, body: Value) {
        let url = format!("{}/_simulator/{path}", self.simulator.url());
        let response = self.client.put(url).json(&body).send().await.unwrap();
        assert!(
            response.status().is_success(),
            "{path}: {}",
            response.text().await.unwrap()
        );
    }

    async fn delete(&self, path: &str) {
        let url = format!("{}/_simulator/{path}", self.simulator.url());
        assert!(
            self.client.delete(url).send().await.unwrap().status().is_success(),
            "{path}"
        );
    }

    async fn simulator(&self, path: &str) -> Value {
        let url = format!("{}/_simulator/{path}", self.simulator.url());
        self.client.get(url).send().await.unwrap().json().await.unwrap()
    }

    async fn status(&self) -> Value {
        let url = format!("http://127.0.0.1:{}/v1/status", self.port);
        match self.client.get(url).send().await {
            Ok(response) => response.json().await.unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }

    /// What Teams shows of a person: the activity.
    async fn shown(&self, user: u32) -> Value {
        let person = self
            .simulator(&format!("people/user{user}@contoso.onmicrosoft.com"))
            .await;
        person["presence"]["activity"].clone()
    }

    async fn call(&self, user: u32) -> String {
        let call = self
            .post(&format!("pbx/users/user{user}/calls"), json!({"state": "connected"}))
            .await;
        call["call"].to_string().trim_matches('"').to_owned()
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
        let begin = Instant::now();
        while !holds().await {
            let in_time = begin.elapsed() < PATIENCE;
            assert!(
                in_time,
                "not within {PATIENCE:?}: {what}; status: {:#}",
                self.status().await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        begin.elapsed()
    }

    async fn synced(&self, users: u32) {
        self.until("users are kept in step", async || {
            let status = self.status().await;
            status["users"]["synced"] == users && status["phase"] == "Running" && status["last"]["poll"].is_string()
        })
        .await;
    }

    /// The latest entry that the app wrote for a user.
    async fn entry(&self, user: u32) -> Option<String> {
        let writes = self.simulator("pbx/writes?since=0").await;
        let mut mine = writes.as_array().unwrap().iter().rev();
        let write = mine.find(|write| write["h323"] == format!("user{user}"))?;
        Some(write["activity"].as_str().unwrap_or_default().to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_survives_the_death_of_the_worker_and_ends_all_the_same() {
    let mut world = World::new(3, "simulator-password").await;
    world.synced(3).await;
    let call = world.call(1).await;
    world.until("busy", async || world.shown(1).await == "InACall").await;

    world.kill();
    world.delete(&format!("pbx/calls/{call}")).await;
    world.start();
    world.until("free", async || world.shown(1).await == "Available").await;

    // The other way: a meeting in Teams, and its end.
    let client = |availability: &str, activity: &str| json!({"availability": availability, "activity": activity});
    let path = "people/user2@contoso.onmicrosoft.com/client";
    world.put(path, client("Busy", "InAMeeting")).await;
    world
        .until("in a meeting", async || {
            world.entry(2).await.as_deref() == Some("meeting")
        })
        .await;

    // Everything is taken back when asked for, and nothing of ours is left.
    let call = world.call(0).await;
    world.until("busy", async || world.shown(0).await == "InACall").await;
    let release = format!("http://127.0.0.1:{}/v1/release", world.port);
    let answer = world.client.post(release).send().await.unwrap();
    let (code, answer): (u16, Value) = (answer.status().as_u16(), answer.json().await.unwrap());
    assert_eq!((code, &answer["done"]), (200, &json!(true)), "{answer}");
    assert_eq!(world.simulator("people/owned").await, json!([]));
    assert_eq!(world.entry(2).await.as_deref(), Some(""));
    world.delete(&format!("pbx/calls/{call}")).await;
    assert_eq!(world.simulator("violations").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_of_the_pbx_is_told_and_mended_without_a_restart() {
    let world = World::new(1, "wrong").await;
    world
        .until("told", async || {
            let status = world.status().await;
            status["pbx"]["fault"] == "CredentialsRejected" && status["directory"]["ok"] == true
        })
        .await;
    assert_eq!(world.status().await["users"]["synced"], 0);
    world.configure("simulator-password");
    world.synced(1).await;
    assert_eq!(world.status().await["generation"], 7);
}
