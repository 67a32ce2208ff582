//! The whole adapter against the simulator's protocol fake, with two XSPs.

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::policy::presence::pbx::Entry;
use crate::simulator::{Simulator, TlsPem};

struct World {
    simulator: Simulator,
    client: reqwest::Client,
    pbx: BroadWorks,
    events: mpsc::Receiver<PbxEvent>,
}

async fn admin(simulator: &Simulator, client: &reqwest::Client, method: &str, path: &str, body: &Value) -> Value {
    let url = format!("{}/_simulator/xsi{path}", simulator.url());
    let answer = client
        .request(method.parse().unwrap(), url)
        .json(body)
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
    answer.json().await.unwrap_or_default()
}

/// Connected to both XSPs, with ann watched; ann has a call and do not disturb from before, if told so.
async fn world(service_provider: Option<&str>, before: bool) -> World {
    let simulator = Simulator::start(crate::simulator::Config::default()).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    admin(
        &simulator,
        &client,
        "PUT",
        "",
        &json!({"username": "admin@x", "password": PASSWORD}),
    )
    .await;
    admin(&simulator, &client, "PUT", "/manners", &json!({"pieceBytes": 5})).await;
    admin(
        &simulator,
        &client,
        "POST",
        "/users",
        &json!([{"id": "ann@x", "dnd": before}, {"id": "bob@x"}]),
    )
    .await;
    if before {
        admin(&simulator, &client, "POST", "/users/ann@x/calls", &json!({})).await;
    }
    let xsps = vec![simulator.url().to_owned(), format!("{}/xsp2", simulator.url())];
    let config = config(xsps, service_provider);
    let (sender, events) = mpsc::channel(1000);
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let pbx = start(&config, &SecretString::from(PASSWORD), &[], &metrics, sender).unwrap();
    pbx.watch(vec!["ann@x".to_owned()]).await;
    World {
        simulator,
        client,
        pbx,
        events,
    }
}

fn config(xsps: Vec<String>, service_provider: Option<&str>) -> Config {
    Config {
        xsps,
        username: "admin@x".to_owned(),
        password_secret_ref: SecretKeyRef {
            name: "xsi".to_owned(),
            key: "password".to_owned(),
        },
        service_provider: service_provider.map(str::to_owned),
        address: AddressRule::default(),
        ca_bundle_secret_ref: None,
    }
}

impl World {
    async fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        admin(&self.simulator, &self.client, method, path, &body).await
    }

    async fn next(&mut self) -> PbxEvent {
        timeout(Duration::from_secs(15), self.events.recv())
            .await
            .unwrap()
            .unwrap()
    }

    async fn view(&mut self, is: impl Fn(&PbxView) -> bool) {
        loop {
            if let PbxEvent::View { view, .. } = self.next().await
                && is(&view)
            {
                return;
            }
        }
    }

    async fn both_up(&mut self) {
        let mut up = std::collections::BTreeSet::new();
        while up.len() < 2 {
            if let PbxEvent::Up { endpoint } = self.next().await {
                up.insert(endpoint);
            }
        }
    }
}

#[tokio::test]
async fn calls_and_do_not_disturb_survive_the_loss_of_an_xsp() {
    let mut world = world(None, false).await;
    world.both_up().await;
    world
        .view(|view| view.line == Line::Idle && view.entries == Some(vec![]))
        .await;
    let call = world.admin("POST", "/users/ann@x/calls", json!({})).await["call"].clone();
    let call = call.as_str().unwrap().to_owned();
    world.view(|view| view.line == Line::Ringing).await;
    world
        .admin("PUT", &format!("/calls/{call}"), json!({"state": "answered"}))
        .await;
    world.view(|view| view.line == Line::Connected).await;
    assert_eq!(world.admin("GET", "", Value::Null).await["violations"], json!([]));
    world
        .admin("POST", "/drop", json!({"how": "terminate", "xsp": "xsp2"}))
        .await;
    loop {
        if let PbxEvent::Down { endpoint, .. } = world.next().await {
            assert!(endpoint.ends_with("/xsp2"), "{endpoint}");
            break;
        }
    }
    world.admin("DELETE", &format!("/calls/{call}"), Value::Null).await;
    world.view(|view| view.line == Line::Idle).await;
    let entry = OwnEntry {
        activity: Activity::DoNotDisturb,
        note: String::new(),
    };
    world.pbx.put_own("ann@x", &entry).await.unwrap();
    world
        .view(|view| view.entries.as_ref().is_some_and(|entries| !entries.is_empty()))
        .await;
    world.pbx.clear_own("ann@x").await.unwrap();
    world.view(|view| view.entries == Some(vec![])).await;
    world.pbx.close().await;
}

#[tokio::test]
async fn a_service_providers_users_are_read_where_nothing_tells() {
    let mut world = world(Some("example"), true).await;
    let is_user = |entries: &Vec<Entry>| entries.iter().any(|entry| entry.origin == Origin::User);
    world
        .view(|view| view.line == Line::Ringing && view.entries.as_ref().is_some_and(is_user))
        .await;
    world.pbx.clear_own("ann@x").await.unwrap();
    assert_eq!(
        world.admin("GET", "/writes", Value::Null).await,
        json!([]),
        "the user's own is left alone"
    );
    world.admin("POST", "/drop", json!({"how": "break"})).await;
    world.view(|view| *view == PbxView::default()).await;
    world.view(|view| view.line == Line::Ringing).await;
}

#[tokio::test]
async fn only_a_trusted_certificate_is_spoken_to() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let tls = TlsPem {
        certificate: certificate.pem().into_bytes(),
        key: key.serialize_pem().into_bytes(),
    };
    let simulator = Simulator::start(crate::simulator::Config {
        tls: Some(tls),
        ..Default::default()
    });
    let simulator = simulator.await.unwrap();
    let config = Config {
        username: "admin@example.com".to_owned(),
        ..config(vec![simulator.url().to_owned()], None)
    };
    let first = async |roots: &[CertificateDer<'static>]| {
        let (sender, mut events) = mpsc::channel(1000);
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let password = SecretString::from("simulator-password");
        let pbx = start(&config, &password, roots, &metrics, sender).unwrap();
        let event = timeout(Duration::from_secs(15), events.recv()).await.unwrap().unwrap();
        pbx.close().await;
        event
    };
    let event = first(&[]).await;
    let refused = |event: &PbxEvent| {
        matches!(
            event,
            PbxEvent::Down {
                why: PbxError::NotTrusted(_),
                ..
            }
        )
    };
    assert!(refused(&event), "{event:?}");
    let event = first(&[certificate.der().clone()]).await;
    assert!(matches!(event, PbxEvent::Up { .. }), "{event:?}");
}
