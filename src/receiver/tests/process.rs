use rcgen::{CertificateParams, KeyPair};

use super::*;

fn certificate(dir: &TempDir, name: &str) -> reqwest::Certificate {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2031, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    write(dir, "tls/tls.key", key.serialize_pem());
    write(dir, "tls/tls.crt", certificate.pem());
    reqwest::Certificate::from_pem(certificate.pem().as_bytes()).unwrap()
}

async fn handshake(
    harness: &Harness,
    root: reqwest::Certificate,
    version: reqwest::tls::Version,
) -> Result<u16, reqwest::Error> {
    let client = Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .tls_version_max(version)
        .tls_version_min(version)
        .resolve("receiver.test", harness.receiver.webhook_addr())
        .build()?;
    let path = path("k1", &harness.key, Channel::Notification, UID);
    let port = harness.receiver.webhook_addr().port();
    let url = format!("https://receiver.test:{port}/hooks{path}?validationToken=x");
    Ok(client.post(url).send().await?.status().as_u16())
}

#[tokio::test]
async fn ends_tls_itself_and_follows_the_certificate() {
    let dir = folder(&config());
    let old = certificate(&dir, "receiver.test");
    let harness = Harness::start_in(dir, |_| {}).await;
    for version in [reqwest::tls::Version::TLS_1_2, reqwest::tls::Version::TLS_1_3] {
        assert_eq!(handshake(&harness, old.clone(), version).await.unwrap(), 200);
    }
    let text = harness.metrics().await;
    assert!(
        text.contains("tls_certificate_expiration_timestamp_seconds 1924992000"),
        "{text}"
    );
    let new = certificate(&harness.dir, "receiver.test");
    harness
        .until("new certificate", async || {
            handshake(&harness, new.clone(), reqwest::tls::Version::TLS_1_3)
                .await
                .is_ok()
        })
        .await;
    assert!(handshake(&harness, old, reqwest::tls::Version::TLS_1_3).await.is_err());
}

#[tokio::test]
async fn follows_keys_and_configuration_and_survives_bad_ones() {
    let harness = Harness::start(config()).await;
    let other = Key::new(&[8; KEY_BYTES]);
    let url = format!(
        "http://{}/hooks{}?validationToken=x",
        harness.receiver.webhook_addr(),
        path("k2", &other, Channel::Lifecycle, UID)
    );
    assert_eq!(harness.client.post(&url).send().await.unwrap().status(), 404);
    write(&harness.dir, "keyring/k2", STANDARD.encode([8; KEY_BYTES]));
    harness
        .until("new key", async || {
            harness.client.post(&url).send().await.unwrap().status() == 200
        })
        .await;
    assert_eq!(harness.notify(&[harness.item(1)]).await, 202);

    write(&harness.dir, "config/receiver.json", "{\"pathPrefix\": 7}");
    harness
        .until("noticed", async || {
            harness.metrics().await.contains("config_last_reload_successful 0")
        })
        .await;
    assert_eq!(harness.notify(&[harness.item(2)]).await, 202);
    assert!(harness.metrics().await.contains("config_reload_failures_total 1"));

    let mut renamed = config();
    renamed["pull"]["consumers"] = json!(["audit", "second"]);
    write(&harness.dir, "config/receiver.json", renamed.to_string());
    let second = async || harness.get("/v1/consumers/second/events").send().await.unwrap();
    harness
        .until("second consumer", async || second().await.status() == 200)
        .await;
    let pulled: Value = second().await.json().await.unwrap();
    assert_eq!(
        pulled["events"].as_array().unwrap().len(),
        2,
        "a new consumer gets all that is kept"
    );
    assert!(harness.metrics().await.contains("config_last_reload_successful 1"));
}

#[tokio::test]
async fn files_that_cannot_be_read_for_a_moment_are_not_held_against_the_receiver() {
    let harness = Harness::start(config()).await;
    let file = harness.dir.path().join("config/receiver.json");
    let content = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    for (value, back) in [(0, true), (1, false)] {
        let line = format!("config_last_reload_successful {value}");
        harness.until(&line, async || harness.has_metric(&line).await).await;
        if back {
            write(&harness.dir, "config/receiver.json", &content);
        }
    }
}

#[tokio::test]
async fn is_not_ready_without_a_key() {
    let dir = folder(&config());
    std::fs::remove_file(dir.path().join("keyring/k1")).unwrap();
    let harness = Harness::start_in(dir, |_| {}).await;
    let ready = harness.client.get(harness.internal("/readyz")).send().await.unwrap();
    assert_eq!(ready.text().await.unwrap(), "keyring: holds no key\n");
    let live = harness.client.get(harness.internal("/livez")).send().await.unwrap();
    assert_eq!(live.status(), 200);
}

#[tokio::test]
async fn drains_before_it_stops() {
    let harness = Harness::start_with(config(), |settings| settings.drain_delay = Duration::from_millis(300)).await;
    let (client, ready, hook) = (
        harness.client.clone(),
        harness.internal("/readyz"),
        harness.hook(Channel::Notification),
    );
    let body = json!({ "value": [harness.item(1)] }).to_string();
    let addr = harness.receiver.webhook_addr();
    let stopping = tokio::spawn(harness.receiver.shutdown());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answer = client.get(&ready).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.text().await.unwrap().as_str()),
        (503, "shutdown: draining\n")
    );
    // Load balancers still send here for a while: nothing of it may be lost.
    assert_eq!(client.post(&hook).body(body).send().await.unwrap().status(), 202);
    stopping.await.unwrap();
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
    let again = Harness::start_in(harness.dir, |_| {}).await;
    assert_eq!(again.state().await["lastSeq"], 1);
}
