//! Injected faults, the request log, the date, and the sink.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{World, read};

#[tokio::test]
async fn answers_with_injected_errors_a_number_of_times() {
    let world = World::new().await;
    let fault = json!([{
        "match": {"method": "POST", "pathContains": "/subscriptions"},
        "action": {"type": "status", "status": 429, "retryAfter": 7},
        "times": 2,
    }]);
    world.admin("POST", "/faults", fault).await;
    for _ in 0..2 {
        let answer = world.create(json!({})).await;
        assert_eq!((answer.0, &answer.1["error"]["code"]), (429, &json!("TooManyRequests")));
    }
    assert_eq!(world.create(json!({})).await.0, 201);
    assert_eq!(world.admin("GET", "/faults", Value::Null).await, json!([]));
}

#[tokio::test]
async fn faults_reach_entra_in_its_own_shape() {
    let world = World::new().await;
    let action = json!({"type": "status", "status": 503, "retryAfter": "3"});
    world
        .admin(
            "POST",
            "/faults",
            json!({"match": {"pathContains": "oauth2"}, "action": action, "times": 1}),
        )
        .await;
    let answer = world
        .client
        .post(world.url("/x/oauth2/v2.0/token"))
        .body("")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["retry-after"], "3");
    let (status, body) = read(answer).await;
    assert_eq!((status, &body["error"]), (503, &json!("temporarily_unavailable")));
}

#[tokio::test]
async fn closes_connections_and_loses_answers() {
    let world = World::new().await;
    let token = world.token().await;
    let post = async || {
        world
            .client
            .post(world.url("/v1.0/subscriptions"))
            .bearer_auth(&token)
            .json(&world.wish())
            .send()
            .await
    };
    world
        .admin("POST", "/faults", json!({"action": {"type": "reset"}, "times": 1}))
        .await;
    assert!(post().await.is_err());
    assert_eq!(world.admin("GET", "/subscriptions", Value::Null).await, json!([]));

    world
        .admin("POST", "/faults", json!({"action": {"type": "lostAnswer"}, "times": 1}))
        .await;
    assert!(post().await.is_err());
    assert_eq!(
        world
            .admin("GET", "/subscriptions", Value::Null)
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(post().await.unwrap().status(), 409);

    let log = world.admin("GET", "/requests?since=1", Value::Null).await;
    let lines: Vec<(u64, bool)> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["status"].as_u64().unwrap(), line["fault"].as_bool().unwrap()))
        .collect();
    assert_eq!(lines, [(0, true), (0, true), (409, false)]);
    assert_eq!(log[2]["clientId"], "22222222-2222-2222-2222-222222222222");
}

#[tokio::test]
async fn goes_on_when_the_caller_hangs_up() {
    let world = World::new().await;
    world.manners(|m| m.handshake_delay = Duration::from_millis(100));
    let token = world.token().await;
    let request = world
        .client
        .post(world.url("/v1.0/subscriptions"))
        .bearer_auth(&token)
        .json(&world.wish());
    assert!(
        request
            .timeout(Duration::from_millis(30))
            .send()
            .await
            .unwrap_err()
            .is_timeout()
    );
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(
        world
            .admin("GET", "/subscriptions", Value::Null)
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn dates_its_answers_by_its_own_clock() {
    let world = World::new().await;
    world.admin("PUT", "/clock", json!({"offsetSeconds": -86400})).await;
    let answer = world
        .client
        .get(world.url("/common/discovery/v2.0/keys"))
        .send()
        .await
        .unwrap();
    let date = answer.headers()["date"].to_str().unwrap().to_string();
    let yesterday = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24);
    assert!(
        date.starts_with(&yesterday.strftime("%a, %d %b %Y").to_string()),
        "{date}"
    );
}

#[tokio::test]
async fn keeps_what_the_sink_gets() {
    let world = World::new().await;
    let url = world.url("/_simulator/sink");
    let post = async || {
        world
            .client
            .post(&url)
            .header("ce-id", "42")
            .json(&json!({"a": 1}))
            .send()
            .await
            .unwrap()
    };
    assert_eq!(post().await.status(), 202);
    world.admin("PUT", "/sink", json!({"status": 503})).await;
    assert_eq!(post().await.status(), 503);
    let kept = world.admin("GET", "/sink", Value::Null).await;
    assert_eq!(kept.as_array().unwrap().len(), 2);
    assert_eq!(
        (&kept[0]["attributes"]["id"], &kept[0]["body"]),
        (&json!("42"), &json!({"a": 1}))
    );
}

#[tokio::test]
async fn starts_over() {
    let world = World::new().await;
    world.created(json!({})).await;
    world.admin("POST", "/clock/advance", json!({"seconds": 60})).await;
    world.admin("POST", "/reset", Value::Null).await;
    assert_eq!(
        world.admin("GET", "/subscriptions?all=true", Value::Null).await,
        json!([])
    );
    assert_eq!(world.admin("GET", "/clock", Value::Null).await["offsetSeconds"], 0.0);
}
