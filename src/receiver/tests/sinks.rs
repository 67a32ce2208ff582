use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

use super::*;

pub struct Delivery {
    pub headers: BTreeMap<String, String>,
    body: Value,
}

impl Delivery {
    fn number(&self) -> u64 {
        let data = self.body.get("data").unwrap_or(&self.body);
        data["number"].as_u64().unwrap()
    }
}

/// Decides by an event's number and how often it was offered.
type Decide = Box<dyn Fn(u64, usize) -> u16 + Send + Sync>;

/// A sink that keeps what it is offered.
pub struct Sink {
    pub url: String,
    pub offered: Arc<Mutex<Vec<Delivery>>>,
}

#[derive(Clone)]
struct Shared {
    offered: Arc<Mutex<Vec<Delivery>>>,
    decide: Arc<Decide>,
}

impl Sink {
    pub async fn start(decide: impl Fn(u64, usize) -> u16 + Send + Sync + 'static) -> Self {
        let offered = Arc::new(Mutex::new(Vec::new()));
        let shared = Shared {
            offered: Arc::clone(&offered),
            decide: Arc::new(Box::new(decide)),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = Router::new().route("/", post(take)).with_state(shared);
        let service = router.into_make_service();
        let server = axum_server::from_tcp(listener.into_std().unwrap()).unwrap();
        tokio::spawn(server.serve(service));
        Self { url, offered }
    }

    pub fn numbers(&self) -> Vec<u64> {
        self.offered.lock().unwrap().iter().map(Delivery::number).collect()
    }
}

async fn take(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1]) {
    let text = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap().to_owned())
    };
    let delivery = Delivery {
        headers: headers.iter().map(text).collect(),
        body: serde_json::from_slice(&body).unwrap(),
    };
    let number = delivery.number();
    let mut offered = shared.offered.lock().unwrap();
    offered.push(delivery);
    let times = offered.iter().filter(|other| other.number() == number).count();
    let status = StatusCode::from_u16((shared.decide)(number, times)).unwrap();
    (status, [("retry-after", if status == 429 { "60" } else { "0" })])
}

pub fn post_item(harness: &Harness, uid: &str, number: u64) -> RequestBuilder {
    let url = format!(
        "http://{}/hooks{}",
        harness.receiver.webhook_addr(),
        path("k1", &harness.key, Channel::Notification, uid)
    );
    harness
        .client
        .post(url)
        .body(json!({ "value": [harness.item_of(uid, number)] }).to_string())
}

#[tokio::test]
async fn delivers_structured_cloud_events() {
    let sink = Sink::start(|_, _| 202).await;
    let harness = Harness::start(with_sink(&sink.url, "Structured")).await;
    let mut lifecycle = harness.item(0);
    lifecycle["lifecycleEvent"] = json!("missed");
    assert_eq!(harness.notify(&[lifecycle, harness.item(1)]).await, 202);
    harness.until("delivered", async || !sink.numbers().is_empty()).await;
    harness
        .until("cursor", async || harness.state().await["sinks"][0]["lag"] == 0)
        .await;
    let state = harness.state().await;
    let offered = sink.offered.lock().unwrap();
    let delivery = offered.first().unwrap();
    assert_eq!(delivery.headers["content-type"], "application/cloudevents+json");
    assert_eq!(delivery.headers["authorization"], "Bearer sink-token");
    let mut body = delivery.body.clone();
    let time = body.as_object_mut().unwrap().remove("time").unwrap();
    assert!(time.as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    let mut data = harness.item(1);
    data.as_object_mut().unwrap().remove("clientState");
    let expected = json!({
        "specversion": "1.0", "id": format!("{}-2", state["logId"].as_str().unwrap()),
        "source": "https://graph.microsoft.com/t-1", "type": "dev.teamsgraph.notification",
        "subject": "communications/calls", "datacontenttype": "application/json",
        "subscriptionid": "11111111-2222-3333-4444-555555555555", "tenantid": "t-1",
        "graphsubscription": UID, "origin": "Push", "data": data,
    });
    assert_eq!(body, expected);
    assert_eq!(offered.len(), 1, "lifecycle items are not for sinks");
}

#[tokio::test]
async fn delivers_binary_cloud_events() {
    let sink = Sink::start(|_, _| 200).await;
    let harness = Harness::start(with_sink(&sink.url, "Binary")).await;
    let mut item = harness.item(1);
    item["resource"] = json!("users('jürgen 100%')");
    let tenant = item.as_object_mut().unwrap().remove("tenantId");
    item["organizationId"] = json!(tenant);
    assert_eq!(harness.notify(&[item.clone()]).await, 202);
    harness.until("delivered", async || !sink.numbers().is_empty()).await;
    let state = harness.state().await;
    let offered = sink.offered.lock().unwrap();
    let delivery = offered.first().unwrap();
    item.as_object_mut().unwrap().remove("clientState");
    assert_eq!(delivery.body, item);
    let id = format!("{}-1", state["logId"].as_str().unwrap());
    let expected = [
        ("ce-specversion", "1.0"),
        ("ce-id", id.as_str()),
        ("ce-source", "https://graph.microsoft.com/t-1"),
        ("ce-type", "dev.teamsgraph.notification"),
        ("ce-subject", "users('j%C3%BCrgen%20100%25')"),
        ("ce-subscriptionid", "11111111-2222-3333-4444-555555555555"),
        ("ce-tenantid", "t-1"),
        ("ce-graphsubscription", UID),
        ("ce-origin", "Push"),
        ("content-type", "application/json"),
    ];
    for (name, value) in expected {
        assert_eq!(delivery.headers[name], value);
    }
    assert!(delivery.headers["ce-time"].ends_with('Z'));
    assert_eq!(
        delivery.headers.keys().filter(|name| name.starts_with("ce-")).count(),
        expected.len()
    );
}

#[tokio::test]
async fn keeps_the_order_of_a_subscription_through_failures() {
    // The third event fails three times; events of another subscription are not held up by it.
    let sink = Sink::start(|number, times| if number == 3 && times <= 3 { 503 } else { 200 }).await;
    let harness = Harness::start(with_sink(&sink.url, "Structured")).await;
    for number in 1..=6 {
        assert_eq!(post_item(&harness, "a", number).send().await.unwrap().status(), 202);
        assert_eq!(
            post_item(&harness, "b", number + 100).send().await.unwrap().status(),
            202
        );
    }
    harness.until("all", async || sink.numbers().len() == 15).await;
    let numbers = sink.numbers();
    let of = |range: std::ops::Range<u64>| {
        numbers
            .iter()
            .copied()
            .filter(|number| range.contains(number))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(0..100), [1, 2, 3, 3, 3, 3, 4, 5, 6]);
    assert_eq!(of(100..200), [101, 102, 103, 104, 105, 106]);
    harness
        .until("healthy", async || {
            harness.state().await["sinks"][0].get("failingSince").is_none()
        })
        .await;
    let text = harness.metrics().await;
    assert!(
        text.contains("delivery_failures_total{reason=\"HTTP 503\",sink=\"s\"} 3"),
        "{text}"
    );
    assert!(text.contains("delivered_total{sink=\"s\"} 12"), "{text}");
    harness
        .until("trimmed", async || harness.state().await["sinks"][0]["lag"] == 0)
        .await;
}

#[tokio::test]
async fn gives_up_on_what_is_refused_and_delivers_it_on_request() {
    let sink = Sink::start(|number, times| if number == 1 && times <= 5 { 400 } else { 204 }).await;
    let harness = Harness::start(with_sink(&sink.url, "Structured")).await;
    harness.notify(&[harness.item(1), harness.item(2)]).await;
    harness.until("second", async || sink.numbers().contains(&2)).await;
    assert_eq!(sink.numbers(), [1, 1, 1, 1, 1, 2]);
    let listed: Value = harness
        .get("/v1/deadletters?sink=s")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(listed["deadLetters"][0]["reason"], "HTTP 400");
    assert_eq!(listed["deadLetters"][0]["event"]["item"]["number"], 1);
    assert_eq!(harness.state().await["sinks"][0]["deadLetters"], 1);
    let redelivered = harness
        .send("/v1/deadletters/s/redeliver", &json!({}))
        .send()
        .await
        .unwrap();
    let redelivered: Value = redelivered.json().await.unwrap();
    assert_eq!(redelivered, json!({ "delivered": 1, "left": 0, "problem": null }));
    assert_eq!(
        harness
            .send("/v1/deadletters/x/redeliver", &json!({}))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    assert!(harness.metrics().await.contains("dead_letters_total{sink=\"s\"} 1"));
}

#[tokio::test]
async fn a_sink_that_is_down_gets_everything_later_even_after_a_restart() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let harness = Harness::start(with_sink(&url, "Structured")).await;
    for number in 1..=3 {
        assert_eq!(harness.notify(&[harness.item(number)]).await, 202);
    }
    harness
        .until("failing", async || {
            harness.state().await["sinks"][0].get("failingSince").is_some()
        })
        .await;
    let state = harness.state().await;
    assert_eq!(state["sinks"][0]["lastError"], "connection refused");
    assert!(state["sinks"][0].get("oldestUndelivered").is_some());
    assert!(
        harness
            .metrics()
            .await
            .contains("oldest_undelivered_timestamp_seconds{consumer=\"sink/s\",sink=\"s\"}")
    );
    harness.receiver.shutdown().await;
    let sink = Sink::start(|_, _| 200).await;
    write(
        &harness.dir,
        "config/receiver.json",
        with_sink(&sink.url, "Structured").to_string(),
    );
    let harness = Harness::start_in(harness.dir, |_| {}).await;
    harness.until("all", async || sink.numbers() == [1, 2, 3]).await;
}

#[tokio::test]
async fn answers_graph_at_once_however_slow_a_sink_is() {
    let sink = Sink::start(|_, _| {
        std::thread::sleep(Duration::from_millis(300));
        200
    });
    let harness = Harness::start(with_sink(&sink.await.url, "Structured")).await;
    harness.notify(&[harness.item(1)]).await;
    let started = std::time::Instant::now();
    for number in 2..12 {
        assert_eq!(harness.notify(&[harness.item(number)]).await, 202);
    }
    // The slow sink blocks a thread of this very test, so this is generous.
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_sink_added_while_running_gets_all_that_is_kept() {
    let sink = Sink::start(|_, _| 200).await;
    let harness = Harness::start(config()).await;
    let items: Vec<Value> = (1..=600).map(|number| harness.item(number)).collect();
    assert_eq!(harness.notify(&items).await, 202);
    write(
        &harness.dir,
        "config/receiver.json",
        with_sink(&sink.url, "Binary").to_string(),
    );
    harness.until("all", async || sink.numbers().len() == 600).await;
    assert_eq!(sink.numbers(), (1..=600).collect::<Vec<_>>());
    write(&harness.dir, "config/receiver.json", config().to_string());
    harness
        .until("gone", async || harness.state().await["sinks"] == json!([]))
        .await;
    assert_eq!(harness.notify(&[harness.item(601)]).await, 202);
    write(
        &harness.dir,
        "config/receiver.json",
        with_sink(&sink.url, "Binary").to_string(),
    );
    harness.until("goes on", async || sink.numbers().len() == 601).await;
}

#[tokio::test]
async fn a_sink_that_names_a_time_is_left_alone_until_then() {
    let sink = Sink::start(|_, _| 429).await;
    let harness = Harness::start(with_sink(&sink.url, "Structured")).await;
    harness.notify(&[harness.item(1)]).await;
    harness.until("offered", async || !sink.numbers().is_empty()).await;
    let refused = sink.numbers().len();
    for uid in ["a", "b", "c"] {
        assert_eq!(post_item(&harness, uid, 2).send().await.unwrap().status(), 202);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((refused, sink.numbers().len()), (1, 1), "it said 60 seconds");
    assert!(harness.state().await["sinks"][0]["lastError"] == "HTTP 429");
}
