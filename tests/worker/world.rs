//! A simulator with people, and a worker beside it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use teams_graph_operator::simulator::{Config, DEFAULT_APP, DEFAULT_SECRET, DEFAULT_TENANT, Simulator};
use tempfile::TempDir;

use crate::ports::free_port;

const PATIENCE: Duration = Duration::from_secs(60);
/// UID of the object that the worker works for.
pub const UID: &str = "uid-1";

pub struct World {
    pub simulator: Simulator,
    pub port: u16,
    pub client: Client,
    dir: TempDir,
    worker: Option<Child>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill();
    }
}

impl World {
    /// Some people who are available in Teams. No worker yet.
    pub async fn new(people: u32) -> Self {
        let world = Self {
            simulator: Simulator::start(Config::default()).await.unwrap(),
            port: free_port(),
            client: Client::builder().no_proxy().build().unwrap(),
            dir: tempfile::tempdir().unwrap(),
            worker: None,
        };
        let client = json!({"availability": "Available", "activity": "Available"});
        world
            .post("people", json!({"count": people, "prefix": "user", "client": client}))
            .await;
        world
    }

    /// A file below `config` or `secrets`.
    pub fn write(&self, path: &str, content: &str) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// A spec with this PBX and whatever else is said, and what the controller adds to it.
    pub fn configure(&self, pbx: &Value, says: &Value, adds: &Value) {
        let url = self.simulator.url();
        let app = json!({"tenantId": DEFAULT_TENANT, "clientId": DEFAULT_APP, "endpoints": {"login": url, "graph": url},
            "credentials": {"clientSecret": {"secretRef": {"name": "app", "key": "secret"}}}});
        let mut spec =
            json!({"tenantRef": {"name": "t"}, "pollInterval": "1s", "policy": {"debounce": "1s"}, "pbx": pbx});
        extend(&mut spec, says);
        let mut config = json!({"namespace": "ns", "name": "sync", "uid": UID, "generation": 7,
            "spec": spec, "reader": app, "writer": app});
        extend(&mut config, adds);
        self.write("secrets/app/secret", DEFAULT_SECRET);
        self.write("config/presence.json", &config.to_string());
    }

    pub fn start(&mut self) {
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

    /// Ends the worker as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut worker) = self.worker.take() {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}/_simulator/{path}", self.simulator.url());
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub async fn simulator(&self, path: &str) -> Value {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) {
        self.ask(Method::PUT, path, Some(body)).await;
    }

    pub async fn delete(&self, path: &str) {
        self.ask(Method::DELETE, path, None).await;
    }

    /// What Teams itself makes of a person.
    pub async fn derive(&self, user: u32, availability: &str, activity: &str) {
        let client = json!({"availability": availability, "activity": activity});
        self.put(&format!("people/{}/client", upn(user)), client).await;
    }

    /// What a person chooses in Teams.
    pub async fn choose(&self, user: u32, choice: Option<&str>) {
        let choice = choice.map(|choice| json!({"availability": choice, "activity": choice}));
        self.put(&format!("people/{}/choice", upn(user)), json!(choice)).await;
    }

    /// What Teams knows of a person.
    pub async fn person(&self, user: u32) -> Value {
        self.simulator(&format!("people/{}", upn(user))).await
    }

    /// What Teams shows of a person: the activity.
    pub async fn shown(&self, user: u32) -> Value {
        self.person(user).await["presence"]["activity"].clone()
    }

    pub async fn status(&self) -> Value {
        self.worker("status").await
    }

    /// An answer of the worker, or nothing while it does not answer.
    pub async fn worker(&self, path: &str) -> Value {
        let url = format!("http://127.0.0.1:{}/v1/{path}", self.port);
        match self.client.get(url).send().await {
            Ok(response) => response.json().await.unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }

    pub async fn until(&self, what: &str, holds: impl AsyncFnMut() -> bool) -> Duration {
        self.within(PATIENCE, what, holds).await
    }

    pub async fn within(&self, time: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
        let begin = Instant::now();
        while !holds().await {
            let in_time = begin.elapsed() < time;
            assert!(
                in_time,
                "not within {time:?}: {what}; status: {:#}",
                self.status().await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        begin.elapsed()
    }

    pub async fn synced(&self, users: u32) {
        self.until("users are kept in step", async || {
            let status = self.status().await;
            status["users"]["synced"] == users && status["phase"] == "Running" && status["last"]["poll"].is_string()
        })
        .await;
    }

    /// Everything is taken back, and the worker says so.
    pub async fn release(&self) {
        let release = format!("http://127.0.0.1:{}/v1/release", self.port);
        let answer = self.client.post(release).send().await.unwrap();
        let (code, answer): (u16, Value) = (answer.status().as_u16(), answer.json().await.unwrap());
        assert_eq!((code, &answer["done"]), (200, &json!(true)), "{answer}");
        assert_eq!(self.simulator("people/owned").await, json!([]));
    }

    /// Nobody broke a rule of Graph that it does not enforce.
    pub async fn lawful(&self) {
        assert_eq!(self.simulator("violations").await, json!([]));
    }
}

pub fn upn(user: u32) -> String {
    format!("user{user}@contoso.onmicrosoft.com")
}

fn extend(object: &mut Value, with: &Value) {
    let fields = with.as_object().unwrap().clone();
    object.as_object_mut().unwrap().extend(fields);
}
