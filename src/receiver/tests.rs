//! The receiver as a whole, over real sockets.

mod backfill;
mod failing_sinks;
mod limits;
mod process;
mod pull;
mod sinks;
mod storage;
mod webhook;

use std::fmt::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Dirs, Receiver, Settings};
use crate::policy::identity::{Channel, KEY_BYTES, Key, path};

const UID: &str = "3b1f5f0e-1111-2222-3333-444455556666";
const PULL_TOKEN: &str = "pull-token";

/// A receiver in a folder of its own.
struct Harness {
    dir: TempDir,
    receiver: Receiver,
    client: Client,
    key: Key,
}

fn config() -> Value {
    json!({
        "pathPrefix": "/hooks", "retentionSeconds": 3600, "storageBytes": 64 << 20, "sinks": [],
        "pull": { "tokenFile": "pull", "consumers": ["audit"] },
    })
}

fn with_sink(url: &str, mode: &str) -> Value {
    let mut config = config();
    let http = json!({ "url": url, "mode": mode, "timeoutSeconds": 2, "tokenFile": "sink" });
    config["sinks"] = json!([{ "name": "s", "target": { "http": http } }]);
    config
}

fn settings(dir: &TempDir) -> Settings {
    let at = |name: &str| dir.path().join(name);
    let dirs = Dirs {
        config: at("config"),
        keyring: at("keyring"),
        tokens: at("tokens"),
        tls: at("tls"),
    };
    let mut settings = Settings::local(dirs, at("data"));
    settings.look = Duration::from_millis(50);
    settings.tick = Duration::from_millis(50);
    settings.timing.retry = Duration::from_millis(20);
    settings.timing.save = Duration::from_millis(20);
    settings
}

fn write(dir: &TempDir, name: &str, content: impl AsRef<[u8]>) {
    let file = dir.path().join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    // As a whole or not at all, as Kubernetes does it.
    let new = file.with_file_name(".new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, file).unwrap();
}

fn folder(config: &Value) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "config/receiver.json", config.to_string());
    write(&dir, "keyring/k1", STANDARD.encode([7; KEY_BYTES]));
    write(&dir, "tokens/pull", format!("{PULL_TOKEN}\n"));
    write(&dir, "tokens/sink", "sink-token");
    dir
}

async fn answer_of(stream: &mut TcpStream) -> String {
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await.unwrap_or_default();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

impl Harness {
    async fn start(config: Value) -> Self {
        Self::start_with(config, |_| {}).await
    }

    async fn start_with(config: Value, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_in(folder(&config), change).await
    }

    async fn start_in(dir: TempDir, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings(&dir);
        change(&mut settings);
        let harness = Self::begin_in(dir, settings).await;
        harness.receiver.opened().await;
        harness
    }

    // With a log that may not be open yet.
    async fn begin_in(dir: TempDir, settings: Settings) -> Self {
        let receiver = Receiver::start(settings).await.unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        Self {
            dir,
            receiver,
            client,
            key: Key::new(&[7; KEY_BYTES]),
        }
    }

    fn hook(&self, channel: Channel) -> String {
        format!(
            "http://{}/hooks{}",
            self.receiver.webhook_addr(),
            path("k1", &self.key, channel, UID)
        )
    }

    async fn post(&self, body: impl Into<reqwest::Body>) -> Response {
        self.post_to(Channel::Notification, body).await
    }

    async fn post_to(&self, channel: Channel, body: impl Into<reqwest::Body>) -> Response {
        self.client.post(self.hook(channel)).body(body).send().await.unwrap()
    }

    async fn notify(&self, items: &[Value]) -> u16 {
        self.post(json!({ "value": items }).to_string()).await.status().as_u16()
    }

    fn item(&self, number: u64) -> Value {
        self.item_of(UID, number)
    }

    fn item_of(&self, uid: &str, number: u64) -> Value {
        json!({
            "subscriptionId": "11111111-2222-3333-4444-555555555555", "clientState": self.key.client_state(uid),
            "changeType": "updated", "resource": "communications/calls", "tenantId": "t-1", "number": number,
        })
    }

    fn internal(&self, path: &str) -> String {
        format!("http://{}{path}", self.receiver.internal_addr())
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client
            .get(self.internal(path))
            .bearer_auth(self.key.internal_token())
    }

    fn send(&self, path: &str, body: &Value) -> RequestBuilder {
        let request = self
            .client
            .post(self.internal(path))
            .bearer_auth(self.key.internal_token());
        request.body(body.to_string())
    }

    async fn pulled(&self, query: &str) -> Value {
        let response = self
            .get(&format!("/v1/consumers/audit/events{query}"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    }

    async fn state(&self) -> Value {
        self.get("/v1/state").send().await.unwrap().json().await.unwrap()
    }

    async fn metrics(&self) -> String {
        let response = self.client.get(self.internal("/metrics")).send().await.unwrap();
        response.text().await.unwrap()
    }

    async fn ready(&self) -> String {
        let response = self.client.get(self.internal("/readyz")).send().await.unwrap();
        response.text().await.unwrap()
    }

    // The head of a POST to the webhook, for what the client would not send.
    fn head(&self, header: &str) -> String {
        let url = self.hook(Channel::Notification);
        let path = &url[url.find("/hooks").unwrap()..];
        format!("POST {path} HTTP/1.1\r\nhost: x\r\n{header}\r\n\r\n")
    }

    async fn connect(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.receiver.webhook_addr()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn has_metric(&self, line: &str) -> bool {
        self.metrics().await.contains(line)
    }

    async fn until(&self, what: &str, check: impl AsyncFn() -> bool) {
        // Generous: the machine may be busy.
        let started = std::time::Instant::now();
        while started.elapsed() < Duration::from_secs(60) {
            if check().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut text = String::new();
        let _ = write!(text, "{}\n{}", self.state().await, self.metrics().await);
        panic!("timed out: {what}\n{text}");
    }
}
