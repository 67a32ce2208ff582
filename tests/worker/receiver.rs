//! A receiver pod as its own process: Teams notifies it, the worker pulls from it.

use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use teams_graph_operator::policy::identity::{Channel, KEY_BYTES, Key, path};
use tempfile::TempDir;

use crate::ports::free_port;
use crate::world::UID;

pub const CONSUMER: &str = "desk";
/// The token of its pull API.
pub const TOKEN: &str = "t/+= &?";

pub struct Receiver {
    dir: TempDir,
    process: Option<Child>,
    webhook: u16,
    internal: u16,
    /// The newest key, and its id.
    key: (&'static str, Key),
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Receiver {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["config", "keyring", "tokens"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let config = json!({"pathPrefix": "", "retentionSeconds": 3600, "storageBytes": 1 << 30, "sinks": [],
            "pull": {"tokenFile": "pull", "consumers": [CONSUMER]}});
        let write = |path: &str, content: &str| std::fs::write(dir.path().join(path), content).unwrap();
        write("config/receiver.json", &config.to_string());
        write("keyring/k1", &STANDARD.encode([7; KEY_BYTES]));
        write("tokens/pull", TOKEN);
        Self {
            dir,
            process: None,
            webhook: free_port(),
            internal: free_port(),
            key: ("k1", Key::new(&[7; KEY_BYTES])),
        }
    }

    /// Starts it with what is on its volume; ready when this returns.
    pub async fn start(&mut self) {
        let at = |name: &str| self.dir.path().join(name);
        let child = Command::new(env!("CARGO_BIN_EXE_teams-graph-operator"))
            .arg("receiver")
            .env("CONFIG_DIR", at("config"))
            .env("KEYRING_DIR", at("keyring"))
            .env("DATA_DIR", at("data"))
            .env("TLS_DIR", at("none"))
            .env("TOKENS_DIR", at("tokens"))
            .env("WEBHOOK_LISTEN", format!("127.0.0.1:{}", self.webhook))
            .env("INTERNAL_LISTEN", format!("127.0.0.1:{}", self.internal))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(child);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://127.0.0.1:{}/readyz", self.internal);
        for _ in 0..600 {
            let ready = client.get(&url).send().await;
            if ready.is_ok_and(|ready| ready.status().is_success()) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the receiver is not ready");
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// It gets a second key, and keeps the first; in force once it is started.
    pub fn rotate(&mut self) {
        let path = self.dir.path().join("keyring/k2");
        std::fs::write(path, STANDARD.encode([8; KEY_BYTES])).unwrap();
        self.key = ("k2", Key::new(&[8; KEY_BYTES]));
    }

    /// Its volume is lost.
    pub fn lose_volume(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.dir.path().join("data")).unwrap();
    }

    /// Address that Graph is given.
    pub fn url(&self, channel: Channel) -> String {
        let (id, key) = &self.key;
        format!("http://127.0.0.1:{}{}", self.webhook, path(id, key, channel, UID))
    }

    pub fn client_state(&self) -> String {
        self.key.1.client_state(UID)
    }

    /// Base address of the pull API.
    pub fn pull_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.internal)
    }

    /// How many events the consumer has not acknowledged.
    pub async fn waiting(&self) -> usize {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/v1/consumers/{CONSUMER}/events", self.pull_url());
        let page = client.get(url).bearer_auth(TOKEN).send().await.unwrap();
        let page: Value = page.json().await.unwrap();
        page["events"].as_array().unwrap().len()
    }
}
