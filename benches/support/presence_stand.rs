//! The presence worker as its own process, between the simulator's Teams and its innovaphone PBX, which are another process.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use teams_graph_operator::policy::identity::{Channel, KEY_BYTES, Key, path};
use teams_graph_operator::simulator::{DEFAULT_APP, DEFAULT_SECRET, DEFAULT_TENANT};
use tempfile::TempDir;

use super::ports::free_port;

/// How long anything may take before the bench gives up.
const PATIENCE: Duration = Duration::from_mins(5);
/// UID of the object that the worker works for.
const UID: &str = "3b1f5f0e-1111-2222-3333-444455556666";
/// Users that Graph admits to a presence subscription.
const MOST_WATCHED: usize = 650;
const PULL_TOKEN: &str = "pull-token";

/// All that takes part.
pub struct Stand {
    pub worker_pid: u32,
    simulator: Option<Child>,
    worker: Option<Child>,
    receiver: Option<Child>,
    dir: TempDir,
    graph: String,
    status: String,
    client: Client,
    people: Vec<String>,
}

impl Drop for Stand {
    fn drop(&mut self) {
        let processes = [&mut self.worker, &mut self.receiver, &mut self.simulator];
        for process in processes.into_iter().flatten() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Stand {
    /// As many people in Teams and on the PBX, all at their desks, and the worker, which does not know them yet.
    pub async fn start(users: usize) -> Self {
        // On the disk of the build: /tmp may be memory, where storing costs nothing.
        fs::create_dir_all("target/bench").unwrap();
        let graph_port = free_port();
        let mut stand = Self {
            worker_pid: 0,
            simulator: None,
            worker: None,
            receiver: None,
            dir: tempfile::tempdir_in("target/bench").unwrap(),
            graph: format!("http://127.0.0.1:{graph_port}"),
            status: String::new(),
            client: Client::builder().no_proxy().build().unwrap(),
            people: Vec::new(),
        };
        let listen = format!("127.0.0.1:{graph_port}");
        let arguments = ["simulator", "--listen", &listen, "--allow-http"];
        stand.simulator = Some(stand.run("simulator", &arguments, &[]));
        let health = format!("{}/_simulator/healthz", stand.graph);
        stand
            .until("the simulator", async |stand| {
                stand.client.get(&health).send().await.is_ok()
            })
            .await;
        let available = json!({"availability": "Available", "activity": "Available"});
        let people = stand.post("people", json!({"count": users, "client": available})).await;
        let id = |person: &Value| person["id"].as_str().unwrap().to_owned();
        stand.people = people.as_array().unwrap().iter().map(id).collect();
        stand.post("pbx/users", json!({"count": users})).await;
        stand.configure(json!({}), &Value::Null);
        stand.start_worker();
        stand
    }

    /// Object id of a person in Teams.
    pub fn person(&self, number: usize) -> &str {
        &self.people[number]
    }

    /// What the worker is told: the defaults, and this over them.
    fn configure(&self, mut spec: Value, push: &Value) {
        let socket = format!("{}/PBX0/APPS/websocket", self.graph.replace("http://", "ws://"));
        let app = json!({"tenantId": DEFAULT_TENANT, "clientId": DEFAULT_APP,
            "endpoints": {"login": self.graph, "graph": self.graph},
            "credentials": {"clientSecret": {"secretRef": {"name": "app", "key": "secret"}}}});
        spec["tenantRef"] = json!({"name": "tenant"});
        spec["pbx"] = json!({"innovaphone": {"app": "teams", "passwordSecretRef": {"name": "pbx", "key": "password"},
            "endpoints": [{"name": "pbx", "role": "Master", "url": socket}]}});
        let mut config = json!({"namespace": "bench", "name": "sync", "uid": UID, "generation": 1,
            "spec": spec, "reader": app, "writer": app});
        if !push.is_null() {
            config["push"] = push.clone();
        }
        self.write("config/presence.json", &config.to_string());
        self.write("secrets/app/secret", DEFAULT_SECRET);
        self.write("secrets/pbx/password", "simulator-password");
    }

    /// From now on, notifications tell what changes in Teams: over a receiver, to a worker started anew.
    pub async fn push(&mut self) {
        let (webhook, internal) = (free_port(), free_port());
        self.start_receiver(webhook, internal);
        let key = Key::new(&[7; KEY_BYTES]);
        let url = |channel| format!("http://127.0.0.1:{webhook}{}", path("k1", &key, channel, UID));
        self.write("secrets/push/notification-url", &url(Channel::Notification));
        self.write("secrets/push/lifecycle-url", &url(Channel::Lifecycle));
        self.write("secrets/push/client-state", &key.client_state(UID));
        self.write("secrets/pull/token", PULL_TOKEN);
        let accounts: Vec<Value> = self.accounts().await;
        let spec = json!({"source": "Subscription", "push": {"receiverRef": {"name": "receiver"}, "consumer": "presence",
            "tokenSecretRef": {"name": "pull", "key": "token"}, "accounts": accounts}});
        let pull = json!({"secret": "push", "pullUrls": [format!("http://127.0.0.1:{internal}")]});
        self.configure(spec, &pull);
        if let Some(mut worker) = self.worker.take() {
            // SIGTERM, as a pod ends: what it wrote is kept.
            let killed = Command::new("kill").arg(worker.id().to_string()).status().unwrap();
            assert!(
                killed.success() && worker.wait().unwrap().success(),
                "the worker did not end well"
            );
        }
        self.start_worker();
        self.until("all accounts are subscribed", async |stand| {
            stand.worker_status().await["shards"]["ok"] == true
        })
        .await;
    }

    /// As many communication accounts as the users need, who can sign in.
    async fn accounts(&self) -> Vec<Value> {
        let mut accounts = Vec::new();
        for (number, id) in self
            .people
            .iter()
            .enumerate()
            .take(self.people.len().div_ceil(MOST_WATCHED))
        {
            let name = format!("account-{number}");
            self.put(&format!("people/{id}/account"), json!({"password": "account-password"}))
                .await;
            self.write(
                &format!("secrets/{name}/username"),
                &format!("user{number}@contoso.onmicrosoft.com"),
            );
            self.write(&format!("secrets/{name}/password"), "account-password");
            accounts.push(json!({"name": name, "secretRef": {"name": name}}));
        }
        accounts
    }

    fn start_receiver(&mut self, webhook: u16, internal: u16) {
        let config = json!({"pathPrefix": "", "retentionSeconds": 3600, "storageBytes": 1_u64 << 30, "sinks": [],
            "pull": {"tokenFile": "pull", "consumers": ["presence"]}});
        self.write("receiver/config/receiver.json", &config.to_string());
        self.write("receiver/keyring/k1", &STANDARD.encode([7; KEY_BYTES]));
        self.write("receiver/tokens/pull", PULL_TOKEN);
        let at = |name: &str| self.dir.path().join("receiver").join(name).display().to_string();
        let settings = [
            ("CONFIG_DIR", at("config")),
            ("KEYRING_DIR", at("keyring")),
            ("TOKENS_DIR", at("tokens")),
            ("TLS_DIR", at("tls")),
            ("DATA_DIR", at("data")),
            ("WEBHOOK_LISTEN", format!("127.0.0.1:{webhook}")),
            ("INTERNAL_LISTEN", format!("127.0.0.1:{internal}")),
        ];
        self.receiver = Some(self.run("receiver", &["receiver"], &settings));
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn start_worker(&mut self) {
        let port = free_port();
        self.status = format!("http://127.0.0.1:{port}");
        let at = |name: &str| self.path(name).display().to_string();
        let settings = [
            ("CONFIG_DIR", at("config")),
            ("SECRETS_DIR", at("secrets")),
            ("DATA_DIR", at("data")),
            ("INTERNAL_LISTEN", format!("127.0.0.1:{port}")),
        ];
        let worker = self.run("worker", &["presence-worker"], &settings);
        self.worker_pid = worker.id();
        self.worker = Some(worker);
    }

    fn run(&self, name: &str, args: &[&str], settings: &[(&str, String)]) -> Child {
        let log = File::options().create(true).append(true).open(self.log(name)).unwrap();
        Command::new(env!("CARGO_BIN_EXE_teams-graph-operator"))
            .args(args)
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .env("NO_PROXY", "127.0.0.1,localhost")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn log(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.log"))
    }

    /// A place beside what the processes store.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Seconds until all are kept in step and Teams was read.
    pub async fn synced(&self, users: usize) -> f64 {
        let begun = Instant::now();
        self.until("all are kept in step", async |stand| {
            let status = stand.worker_status().await;
            status["users"]["synced"] == users && status["phase"] == "Running" && status["last"]["poll"].is_string()
        })
        .await;
        begun.elapsed().as_secs_f64()
    }

    /// What the worker says of itself; null while it does not answer.
    pub async fn worker_status(&self) -> Value {
        match self.client.get(format!("{}/v1/status", self.status)).send().await {
            Ok(response) => response.json().await.unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }

    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self).await {
            if Instant::now() >= end {
                let status = self.worker_status().await;
                let log = fs::read_to_string(self.log("worker")).unwrap_or_default();
                panic!("not within {PATIENCE:?}: {what}; status {status:#}\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A question to the simulator.
    pub async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Value {
        self.ask(Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Value {
        self.ask(Method::DELETE, path, None).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let request = self.client.request(method, format!("{}/_simulator/{path}", self.graph));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Requests that the simulator's Graph answered to the worker's app: those that read presence, and all others about it.
    pub async fn requests(&self) -> Requests {
        let summary = self.get("requests/summary").await;
        let mut requests = Requests::default();
        for (route, statuses) in summary.as_object().unwrap() {
            for (status, count) in statuses.as_object().unwrap() {
                let count = count.as_u64().unwrap();
                match route {
                    _ if status == "429" => requests.refused += count,
                    route if route.contains("getPresencesByUserId") => requests.reads += count,
                    route if route.contains("resence") && route.contains("/v1.0/") => requests.writes += count,
                    _ => {}
                }
            }
        }
        requests
    }

    /// Fails if the worker did what Graph or the PBX do not allow, or lost its connection.
    pub async fn unharmed(&self) {
        assert_eq!(self.get("violations").await, json!([]));
        let pbx = self.get("pbx").await;
        assert_eq!(pbx["violations"], json!([]));
        let log = fs::read_to_string(self.log("worker")).unwrap();
        let trouble: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("WARN") || line.contains("ERROR"))
            .collect();
        assert!(trouble.is_empty(), "the worker warns: {trouble:#?}");
    }
}

/// How many requests about presence Graph answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Requests {
    pub reads: u64,
    pub writes: u64,
    pub refused: u64,
}

impl Requests {
    pub fn since(self, before: Self) -> Self {
        Self {
            reads: self.reads - before.reads,
            writes: self.writes - before.writes,
            refused: self.refused - before.refused,
        }
    }
}

/// What the PBX calls the person with this number.
pub fn guid(number: usize) -> String {
    format!("{number:032x}")
}
