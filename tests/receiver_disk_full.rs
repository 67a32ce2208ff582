//! A full volume: nothing acknowledged is lost, nothing new is acknowledged, and it goes on by itself when there is room.
//!
//! The volume is a small tmpfs in a mount namespace of its own. Where that is not allowed, the test fails and says
//! how to leave it out: a test that passes without having run would prove nothing.

// Clippy's leave for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use teams_graph_operator::policy::identity::{Channel, KEY_BYTES, Key, path};

#[path = "support/ports.rs"]
mod ports;

use ports::free_port;

/// Set to 1 where mount namespaces are not to be had.
const SKIP: &str = "SKIP_DISK_FULL";
const UID: &str = "3b1f5f0e-1111-2222-3333-444455556666";
// Mounts the volume, puts something on it that can be taken away later, and becomes the receiver.
const SCRIPT: &str = r#"mount -t tmpfs -o size=6m tmpfs "$DATA_DIR" && head -c 2000000 /dev/zero > "$DATA_DIR/ballast" && exec "$0" receiver"#;

struct Pod {
    child: Child,
    webhook: u16,
    internal: u16,
    client: Client,
    key: Key,
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn namespaces_allowed() -> bool {
    let tried = Command::new("unshare")
        .args(["-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"])
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

impl Pod {
    fn start(dir: &Path) -> Self {
        let at = |name: &str| dir.join(name);
        for name in ["config", "keyring", "data"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        let config = json!({
            "pathPrefix": "", "retentionSeconds": 3600, "storageBytes": 1 << 30, "sinks": [],
            "pull": { "tokenFile": "none", "consumers": ["audit"] },
        });
        std::fs::write(at("config/receiver.json"), config.to_string()).unwrap();
        std::fs::write(at("keyring/k1"), STANDARD.encode([7; KEY_BYTES])).unwrap();
        let (webhook, internal) = (free_port(), free_port());
        let child = Command::new("unshare")
            .args(["-rm", "sh", "-c", SCRIPT, env!("CARGO_BIN_EXE_teams-graph-operator")])
            .env("CONFIG_DIR", at("config"))
            .env("KEYRING_DIR", at("keyring"))
            .env("DATA_DIR", at("data"))
            .env("TLS_DIR", at("none"))
            .env("TOKENS_DIR", at("none"))
            .env("WEBHOOK_LISTEN", format!("127.0.0.1:{webhook}"))
            .env("INTERNAL_LISTEN", format!("127.0.0.1:{internal}"))
            .spawn()
            .unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        Self {
            child,
            webhook,
            internal,
            client,
            key: Key::new(&[7; KEY_BYTES]),
        }
    }

    // The volume as the receiver sees it.
    fn volume(&self, dir: &Path) -> PathBuf {
        let inside = dir.join("data");
        Path::new(&format!("/proc/{}/root", self.child.id())).join(inside.strip_prefix("/").unwrap())
    }

    async fn notify(&self, number: u64) -> StatusCode {
        let path = path("k1", &self.key, Channel::Notification, UID);
        let item =
            json!({ "clientState": self.key.client_state(UID), "number": number, "padding": "x".repeat(20_000) });
        let request = self.client.post(format!("http://127.0.0.1:{}{path}", self.webhook));
        request
            .body(json!({ "value": [item] }).to_string())
            .send()
            .await
            .unwrap()
            .status()
    }

    async fn ready(&self) -> Option<String> {
        let response = self
            .client
            .get(format!("http://127.0.0.1:{}/readyz", self.internal))
            .send()
            .await
            .ok()?;
        response.text().await.ok()
    }

    async fn until_ready(&self, what: &str) {
        for _ in 0..300 {
            if self.ready().await.is_some_and(|text| text == "ok\n") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("timed out: {what}");
    }

    // The file is looked through after the failure.
    async fn until_readable(&self) {
        let url = format!("http://127.0.0.1:{}/v1/consumers/audit/events", self.internal);
        for _ in 0..100 {
            let request = self.client.get(&url).bearer_auth(self.key.internal_token());
            if request.send().await.unwrap().status() == StatusCode::OK {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("what is stored cannot be read");
    }

    async fn numbers(&self) -> Vec<u64> {
        let (mut numbers, mut after) = (Vec::new(), 0);
        loop {
            let url = format!(
                "http://127.0.0.1:{}/v1/consumers/audit/events?after={after}",
                self.internal
            );
            let request = self.client.get(url).bearer_auth(self.key.internal_token());
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let page: Value = response.json().await.unwrap();
            let events = page["events"].as_array().unwrap();
            if events.is_empty() {
                return numbers;
            }
            numbers.extend(events.iter().map(|event| event["item"]["number"].as_u64().unwrap()));
            after = page["next"].as_u64().unwrap();
        }
    }
}

#[tokio::test]
async fn a_full_volume_loses_nothing_that_was_acknowledged() {
    if std::env::var_os(SKIP).is_some_and(|skip| skip == "1") {
        eprintln!("left out: {SKIP}=1");
        return;
    }
    assert!(
        namespaces_allowed(),
        "this test needs `unshare -rm` and a tmpfs mounted in it, which is not allowed here; set {SKIP}=1 to leave it out"
    );
    let dir = tempfile::tempdir().unwrap();
    let pod = Pod::start(dir.path());
    pod.until_ready("start").await;

    let mut acknowledged = Vec::new();
    let refused = loop {
        let number = acknowledged.len() as u64;
        match pod.notify(number).await {
            StatusCode::ACCEPTED => acknowledged.push(number),
            other => break other,
        }
        assert!(number < 1000, "the volume never filled");
    };
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
    assert!(acknowledged.len() > 20);
    assert_eq!(pod.notify(5000).await, StatusCode::SERVICE_UNAVAILABLE);
    let problem = pod.ready().await.unwrap();
    assert!(problem.contains("No space left"), "{problem}");
    // What is stored can still be fetched, before there is room again.
    pod.until_readable().await;
    assert_eq!(pod.numbers().await, acknowledged);

    std::fs::remove_file(pod.volume(dir.path()).join("ballast")).unwrap();
    pod.until_ready("recovery without a restart").await;
    assert_eq!(pod.notify(9000).await, StatusCode::ACCEPTED);
    let numbers = pod.numbers().await;
    assert!(
        acknowledged.iter().all(|number| numbers.contains(number)),
        "{numbers:?}"
    );
    assert!(numbers.contains(&9000));
}
