use std::sync::Mutex;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;
use crate::api::subscription::GraphSubscription;
use crate::controller::testing::{Writers, client, context, refusal};
use crate::policy::identity::Keyring;

/// A receiver pod with one batch of lifecycle events.
#[derive(Clone)]
struct Pod {
    events: Value,
    status: StatusCode,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn answer(State(pod): State<Pod>, request: Request) -> (StatusCode, String) {
    let (head, body) = request.into_parts();
    let authorized = head
        .headers
        .get("authorization")
        .is_some_and(|value| value == &format!("Bearer {}", keyring().active().unwrap().1.internal_token()));
    if !authorized {
        return (StatusCode::UNAUTHORIZED, String::new());
    }
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let (path, body) = (head.uri.path(), String::from_utf8(body.to_vec()).unwrap());
    pod.asked.lock().unwrap().push(format!("{} {path} {body}", head.method));
    let said = match path {
        "/v1/state" => {
            json!({ "subscriptions": [{ "uid": "u", "lastReceived": "2026-01-01T00:00:00Z" }], "sinks": [] })
        }
        "/v1/consumers/controller/events" => pod.events.clone(),
        _ => json!({}),
    };
    (pod.status, said.to_string())
}

fn keyring() -> Keyring {
    Keyring::from_base64([("k1", STANDARD.encode([1; 32]).as_str())]).0
}

fn receiver() -> Reference {
    Reference {
        name: "calls".to_owned(),
        namespace: Some("n".to_owned()),
    }
}

fn subscription() -> GraphSubscription {
    serde_json::from_value(json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription",
        "metadata": { "name": "people", "namespace": "n", "uid": "u" },
        "spec": {
            "tenantRef": { "name": "t" }, "receiverRef": { "name": "calls" },
            "resource": "users", "changeTypes": ["Updated"],
        },
    }))
    .unwrap()
}

fn event(seq: u64, uid: &str, word: &str) -> Value {
    json!({
        "seq": seq, "receivedTime": "2026-01-01T00:00:00Z", "uid": uid, "subscriptionId": "s1",
        "item": { "lifecycleEvent": word },
    })
}

async fn link(events: &[Value], status: StatusCode) -> (Link, Pod, Writers) {
    let pod = Pod {
        events: json!({ "logId": "l1", "events": events, "next": 9 }),
        status,
        asked: Arc::default(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().fallback(answer).with_state(pod.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let api_server = client(|_| Some(refusal(500, "InternalError")));
    let (context, mut writers) = context(&api_server, &address);
    writers.subscription(&subscription());
    context.keyrings.put(receiver(), keyring());
    (Link::new(context, receiver(), 0), pod, writers)
}

fn acknowledged(pod: &Pod) -> Vec<String> {
    let asked = pod.asked.lock().unwrap();
    asked.iter().filter(|line| line.starts_with("POST")).cloned().collect()
}

#[tokio::test]
async fn a_batch_is_acknowledged_when_it_was_acted_on_and_not_before() {
    let (link, pod, _writers) = link(&[event(3, "u", "subscriptionRemoved")], StatusCode::OK).await;
    let context = link.context.clone();
    let turn = tokio::spawn(async move { link.turn().await });
    let origins = loop {
        let (origins, events): (Vec<_>, Vec<_>) = context.inbox.peek("u").into_iter().unzip();
        if let [event] = events.as_slice() {
            assert_eq!(event.event, LifecycleEvent::SubscriptionRemoved);
            assert_eq!(event.subscription_id.as_deref(), Some("s1"));
            break origins;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!turn.is_finished() && acknowledged(&pod).is_empty());
    context.inbox.done("u", &origins);
    turn.await.unwrap().unwrap();
    assert_eq!(
        acknowledged(&pod),
        [r#"POST /v1/consumers/controller/ack {"cursor":9,"logId":"l1"}"#]
    );
}

#[tokio::test]
async fn events_of_unknown_objects_and_kinds_hold_nothing_up() {
    let events = [event(1, "gone", "missed"), event(2, "u", "somethingNew")];
    let (link, pod, _writers) = link(&events, StatusCode::OK).await;
    link.turn().await.unwrap();
    assert!(link.context.inbox.peek("u").is_empty() && link.context.inbox.peek("gone").is_empty());
    assert_eq!(acknowledged(&pod).len(), 1);
}

#[tokio::test]
async fn what_a_pod_says_is_remembered_and_its_trouble_named_without_its_address() {
    let (link, _pod, _writers) = link(&[], StatusCode::OK).await;
    link.turn().await.unwrap();
    let last = link.context.observed.last_event(&receiver(), "u");
    assert_eq!(last, Some("2026-01-01T00:00:00Z".parse().unwrap()));

    let (faulty, pod, _writers) = self::link(&[event(1, "u", "missed")], StatusCode::INTERNAL_SERVER_ERROR).await;
    assert_eq!(faulty.turn().await.unwrap_err(), "the pod answers with status 500");
    assert!(acknowledged(&pod).is_empty());

    link.context.keyrings.forget(&receiver());
    assert_eq!(link.turn().await.unwrap_err(), "its keyring is not made yet");

    let nowhere = Link {
        base: "http://127.0.0.1:1".to_owned(),
        context: faulty.context.clone(),
        receiver: receiver(),
        pod: 1,
    };
    assert_eq!(nowhere.turn().await.unwrap_err(), "the pod cannot be reached");
}

#[tokio::test(start_paused = true)]
async fn events_that_are_read_again_are_not_doubled_and_can_be_dropped() {
    let (link, _pod, _writers) = link(&[], StatusCode::OK).await;
    let inbox = &link.context.inbox;
    let lifecycle = |seq| serde_json::from_value::<Event>(event(seq, "u", "missed")).unwrap();
    link.hand_over(vec![lifecycle(1), lifecycle(2)]);
    link.hand_over(vec![lifecycle(1), lifecycle(2)]);
    assert_eq!(inbox.peek("u").len(), 2);
    let settled = tokio::time::timeout(SETTLE_LIMIT, inbox.settled(&link.base)).await;
    assert!(settled.is_err(), "nobody acted on them");
    inbox.forget(&link.base);
    assert!(inbox.peek("u").is_empty());
    inbox.settled(&link.base).await;
}
