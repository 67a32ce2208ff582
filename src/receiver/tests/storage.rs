//! A storage that is not there yet, does not answer, or is another one.

use super::*;

#[tokio::test]
async fn serves_while_the_log_cannot_be_opened() {
    let dir = folder(&config());
    let obstacle = dir.path().join("data/events.redb");
    std::fs::create_dir_all(&obstacle).unwrap();
    let settings = settings(&dir);
    let harness = Harness::begin_in(dir, settings).await;
    let live = harness.client.get(harness.internal("/livez")).send().await.unwrap();
    assert_eq!(live.status(), 200);
    let ready = harness.ready().await;
    assert!(ready.starts_with("log: "), "{ready}");
    let hook = harness.hook(Channel::Notification) + "?validationToken=x";
    assert_eq!(harness.client.post(hook).send().await.unwrap().status(), 200);
    assert_eq!(harness.notify(&[harness.item(1)]).await, 503);
    let state = harness.state().await;
    assert_eq!((&state["logId"], &state["keyIds"]), (&json!(""), &json!(["k1"])));
    assert_eq!(state["storage"]["state"], "Failing");
    assert!(state["storage"]["problem"].is_string());
    let text = harness.metrics().await;
    assert!(
        text.contains("log_failing 1") && !text.contains("log_last_sequence"),
        "{text}"
    );
    std::fs::remove_dir(&obstacle).unwrap();
    harness.receiver.opened().await;
    assert_eq!(harness.notify(&[harness.item(1)]).await, 202);
    assert!(harness.has_metric("log_failing 0").await);
}

#[tokio::test]
async fn ends_while_the_log_cannot_be_opened() {
    let dir = folder(&config());
    std::fs::create_dir_all(dir.path().join("data/events.redb")).unwrap();
    let settings = settings(&dir);
    let harness = Harness::begin_in(dir, settings).await;
    let ended = tokio::time::timeout(Duration::from_secs(5), harness.receiver.shutdown());
    ended.await.unwrap();
}

#[tokio::test]
async fn storage_that_does_not_answer_is_told_and_costs_no_more_than_the_deadline() {
    let harness = Harness::start_with(config(), |settings| {
        settings.limits.answer_time = Duration::from_millis(1500);
        settings.limits.slow_commit = Duration::from_millis(200);
    })
    .await;
    let stalled = harness.receiver.log().stall();
    assert_eq!(harness.notify(&[harness.item(1), harness.item(2)]).await, 503);
    assert_eq!(harness.ready().await, "log: the storage does not answer\n");
    let started = std::time::Instant::now();
    assert_eq!(harness.notify(&[harness.item(3)]).await, 503);
    assert!(started.elapsed() < Duration::from_millis(1000), "refused at once");
    assert_eq!(
        harness.state().await["storage"]["problem"],
        "the storage does not answer"
    );
    drop(stalled);
    harness.until("ready", async || harness.ready().await == "ok\n").await;
    assert_eq!(harness.notify(&[harness.item(4)]).await, 202);
    let text = harness.metrics().await;
    for line in [
        "notifications_received_total 3",
        "notifications_rejected_total{reason=\"timed_out\"} 2",
        "requests_refused_total{reason=\"storage_slow\"} 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn senders_that_hang_up_are_counted_with_their_items() {
    let harness = Harness::start_with(config(), |settings| {
        settings.limits.slow_commit = Duration::from_mins(1);
    })
    .await;
    let stalled = harness.receiver.log().stall();
    let body = json!({ "value": [harness.item(1), harness.item(2)] }).to_string();
    let head = harness.head(&format!("content-length: {}", body.len()));
    // The first is taken up by the writer; the second waits behind it, and is not stored when nobody waits for it any more.
    for count in 1..=2 {
        let stream = harness.connect(&format!("{head}{body}")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(stream);
        let line = format!("requests_total{{channel=\"notification\",code=\"499\"}} {count}");
        harness.until("counted", async || harness.has_metric(&line).await).await;
    }
    assert!(
        harness
            .has_metric("notifications_rejected_total{reason=\"abandoned\"} 4")
            .await
    );
    drop(stalled);
    assert_eq!(harness.notify(&[harness.item(3)]).await, 202);
    assert_eq!(harness.state().await["lastSeq"], 3);
}

#[tokio::test]
async fn cursors_are_of_one_log() {
    let harness = Harness::start(config()).await;
    assert_eq!(harness.notify(&[harness.item(1)]).await, 202);
    let id = harness.pulled("").await["logId"].as_str().unwrap().to_owned();
    let ack = async |body: Value| {
        let response = harness.send("/v1/consumers/audit/ack", &body).send().await.unwrap();
        response.status().as_u16()
    };
    assert_eq!(ack(json!({ "cursor": 1, "logId": "other" })).await, 409);
    assert_eq!(ack(json!({ "cursor": 1 })).await, 400);
    assert_eq!(harness.pulled(&format!("?after=0&logId={id}")).await["next"], 1);
    let other = harness.get("/v1/consumers/audit/events?after=0&logId=other");
    assert_eq!(other.send().await.unwrap().status(), 409);
    assert!(harness.has_metric("reader_lag{consumer=\"consumer/audit\"} 1").await);
    assert!(
        harness
            .has_metric("oldest_undelivered_timestamp_seconds{consumer=\"consumer/audit\",sink=\"\"}")
            .await
    );
    assert_eq!(ack(json!({ "cursor": 1, "logId": id })).await, 204);
    let text = harness.metrics().await;
    for line in [
        "reader_lag{consumer=\"consumer/audit\"} 0",
        "expired_undelivered_total{consumer=\"consumer/audit\"} 0",
        "expired_undelivered_total{consumer=\"consumer/controller\"} 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("oldest_undelivered_timestamp_seconds{"), "{text}");
}
