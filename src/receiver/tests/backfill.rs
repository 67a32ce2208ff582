//! What the controller needs to fill gaps: what arrived already, and how far it fetched.

use super::*;

async fn known(harness: &Harness, uid: &str, ids: &[&str]) -> Value {
    let request = harness.send("/v1/known", &json!({ "uid": uid, "ids": ids }));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

// Of each id, whether something about it arrived.
async fn arrived(harness: &Harness, ids: &[&str]) -> Vec<bool> {
    let known = known(harness, UID, ids).await;
    let received = known["received"].as_array().unwrap();
    received.iter().map(|time| !time.is_null()).collect()
}

fn time(value: &Value) -> jiff::Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

fn changed(harness: &Harness, resource: &str, id: &str) -> Value {
    let mut item = harness.item(1);
    item["resource"] = json!(resource);
    item["resourceData"] = json!({ "id": id });
    item
}

async fn ingest(harness: &Harness, body: &Value) -> u16 {
    let response = harness.send("/v1/ingest", body).send().await.unwrap();
    response.status().as_u16()
}

fn bookmark(value: &str) -> Value {
    json!({ "uid": UID, "value": value, "time": "2026-01-02T03:04:05.678Z" })
}

async fn bookmarked(harness: &Harness, uid: &str) -> Option<String> {
    let response = harness.get(&format!("/v1/bookmarks/{uid}")).send().await.unwrap();
    if response.status() == 404 {
        return None;
    }
    assert_eq!(response.status(), 200);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["time"], "2026-01-02T03:04:05.678Z");
    Some(answer["value"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn says_what_was_pushed_and_what_was_handed_in() {
    let before = jiff::Timestamp::from_millisecond(crate::receiver::event::now_millis()).unwrap();
    let harness = Harness::start(config()).await;
    let pushed = [
        changed(&harness, "users/8f0c", "a"),
        changed(&harness, "users('b')", ""),
    ];
    assert_eq!(harness.notify(&pushed).await, 202);
    let mut lifecycle = changed(&harness, "users/l", "l");
    lifecycle["lifecycleEvent"] = json!("missed");
    assert_eq!(harness.notify(&[lifecycle]).await, 202);
    let mut forged = changed(&harness, "users/f", "f");
    forged["clientState"] = json!("forged");
    assert_eq!(harness.notify(&[forged]).await, 403);
    let handed_in = json!({ "items": [
        { "uid": UID, "origin": "Backfill", "item": { "resource": "users/c" } },
        { "uid": UID, "origin": "Backfill", "timeless": true, "item": { "resource": "users/t" } },
        { "uid": UID, "origin": "Poll", "item": { "resource": "users/m", "lifecycleEvent": "missed" } },
        { "uid": "other", "origin": "Poll", "item": { "resource": "users/d" } },
    ] });
    assert_eq!(ingest(&harness, &handed_in).await, 202);
    let ids = ["a", "b", "8f0c", "c", "t", "d", "l", "m", "f", "a"];
    let expected = [true, true, false, true, false, false, false, false, false, true];
    assert_eq!(arrived(&harness, &ids).await, expected);
    assert!(known(&harness, "other", &["d"]).await["received"][0].is_string());
    let answer = known(&harness, UID, &["a", "c"]).await;
    let since = time(&answer["completeSince"]);
    let (first, second) = (time(&answer["received"][0]), time(&answer["received"][1]));
    assert!(before <= since && since <= first && first <= second, "{answer}");
    assert_eq!(known(&harness, UID, &[]).await["received"], json!([]));
    let subscriptions = harness.state().await["subscriptions"].clone();
    assert_eq!(subscriptions.as_array().unwrap().len(), 1, "{subscriptions}");
    assert_eq!(
        (&subscriptions[0]["uid"], &subscriptions[0]["received"]),
        (&json!(UID), &json!(3))
    );
}

async fn away(harness: &Harness) -> Value {
    let mut answer = Value::Null;
    for _ in 0..200 {
        answer = harness.get("/v1/state").send().await.unwrap().json().await.unwrap();
        if answer["away"].is_object() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    answer["away"].clone()
}

#[tokio::test]
async fn a_pod_says_for_how_long_it_was_away() {
    let harness = Harness::start(config()).await;
    let first = away(&harness).await;
    assert!(first["from"].is_null(), "the volume is new: {first}");
    let alive = harness.dir.path().join("data/alive");
    while !alive.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let Harness { dir, receiver, .. } = harness;
    receiver.shutdown().await;
    let before = jiff::Timestamp::now();
    let yesterday = before - jiff::SignedDuration::from_hours(24);
    let file = std::fs::File::options().append(true).open(&alive).unwrap();
    file.set_modified(yesterday.into()).unwrap();
    let harness = Harness::start_in(dir, |_| {}).await;
    let second = away(&harness).await;
    assert_eq!(time(&second["from"]), yesterday, "{second}");
    assert!(time(&second["until"]) >= before, "{second}");
}

#[tokio::test]
async fn what_was_not_stored_did_not_arrive() {
    let mut config = config();
    config["storageBytes"] = json!(4096);
    let harness = Harness::start(config).await;
    let mut large = changed(&harness, "users/a", "a");
    large["padding"] = json!("x".repeat(5000));
    assert_eq!(harness.notify(&[large]).await, 503);
    let item = json!({ "resource": "users/b", "padding": "x".repeat(5000) });
    let items = json!([{ "uid": UID, "origin": "Backfill", "item": item }]);
    assert_eq!(ingest(&harness, &json!({ "items": items })).await, 503);
    assert_eq!(arrived(&harness, &["a", "b"]).await, [false, false]);
    // Neither was it fetched, so the bookmark stays; without items there is room for it.
    assert_eq!(
        ingest(&harness, &json!({ "items": [], "bookmark": bookmark("1") })).await,
        202
    );
    let both = json!({ "items": items, "bookmark": bookmark("2") });
    assert_eq!(ingest(&harness, &both).await, 503);
    assert_eq!(bookmarked(&harness, UID).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn the_oldest_is_forgotten_and_said_to_be() {
    let harness = Harness::start_with(config(), |settings| settings.remembered = 2).await;
    let mut times = Vec::new();
    for id in ["a", "b", "c"] {
        assert_eq!(harness.notify(&[changed(&harness, "users", id)]).await, 202);
        times.push(known(&harness, UID, &[id]).await["received"][0].clone());
    }
    assert_eq!(arrived(&harness, &["a", "b", "c"]).await, [false, true, true]);
    assert_eq!(known(&harness, UID, &[]).await["completeSince"], times[0]);
}

#[tokio::test]
async fn a_restart_keeps_bookmarks_and_begins_to_remember_anew() {
    let harness = Harness::start(config()).await;
    assert_eq!(bookmarked(&harness, UID).await, None);
    let items = json!([{ "uid": UID, "origin": "Backfill", "item": { "resource": "users/a" } }]);
    let body = json!({ "items": items, "bookmark": bookmark("first") });
    assert_eq!(ingest(&harness, &body).await, 202);
    let mut second = bookmark("second");
    second["time"] = json!("2026-01-02T05:04:05.678+02:00");
    assert_eq!(ingest(&harness, &json!({ "items": [], "bookmark": second })).await, 202);
    let before = known(&harness, UID, &["a"]).await;
    harness.receiver.shutdown().await;
    let harness = Harness::start_in(harness.dir, |_| {}).await;
    assert_eq!(bookmarked(&harness, UID).await.as_deref(), Some("second"));
    assert_eq!(bookmarked(&harness, "other").await, None);
    let after = known(&harness, UID, &["a"]).await;
    assert!(after["received"][0].is_null());
    assert!(time(&after["completeSince"]) >= time(&before["received"][0]), "{after}");
}

#[tokio::test]
async fn nothing_is_known_before_the_log_is_open() {
    let dir = folder(&config());
    std::fs::create_dir_all(dir.path().join("data/events.redb")).unwrap();
    let settings = settings(&dir);
    let harness = Harness::begin_in(dir, settings).await;
    let request = harness.send("/v1/known", &json!({ "uid": UID, "ids": ["a"] }));
    assert_eq!(request.send().await.unwrap().status(), 503);
    let request = harness.get("/v1/bookmarks/u");
    assert_eq!(request.send().await.unwrap().status(), 503);
    let body = json!({ "items": [], "bookmark": bookmark("1") });
    assert_eq!(ingest(&harness, &body).await, 503);
}

#[tokio::test]
async fn only_the_controller_asks_and_within_limits() {
    let harness = Harness::start(config()).await;
    let token = harness.key.internal_token();
    for (token, expected) in [(token.as_str(), 200), (PULL_TOKEN, 403), ("wrong", 401)] {
        let request = harness.client.post(harness.internal("/v1/known")).bearer_auth(token);
        let request = request.body(json!({ "uid": UID, "ids": ["a"] }).to_string());
        assert_eq!(request.send().await.unwrap().status(), expected, "{token}");
        let request = harness.client.get(harness.internal("/v1/bookmarks/u"));
        let expected = if expected == 200 { 404 } else { expected };
        assert_eq!(
            request.bearer_auth(token).send().await.unwrap().status(),
            expected,
            "{token}"
        );
    }
    let most = |count: usize, length: usize| json!({ "uid": UID, "ids": vec!["x".repeat(length); count] });
    for (body, expected) in [
        (most(1000, 500), 200),
        (most(1001, 1), 400),
        (most(1000, 1100), 413),
        (json!({ "uid": UID }), 400),
        (json!({ "ids": [] }), 400),
        (json!({ "uid": 7, "ids": [] }), 400),
        (json!({ "uid": UID, "ids": [7] }), 400),
        (json!({ "uid": UID, "ids": [null] }), 400),
    ] {
        let response = harness.send("/v1/known", &body).send().await.unwrap();
        assert_eq!(response.status(), expected, "{:.80}", body.to_string());
    }
}

#[tokio::test]
async fn a_bookmark_that_cannot_be_kept_is_refused_with_its_items() {
    let harness = Harness::start(config()).await;
    let changed = |member: &str, value: Value| {
        let mut changed = bookmark("v");
        changed[member] = value;
        changed
    };
    let items = json!([{ "uid": UID, "origin": "Poll", "item": {} }]);
    for (bookmark, title) in [
        (changed("uid", json!("")), "a bookmark needs a uid and a value"),
        (changed("value", json!("")), "a bookmark needs a uid and a value"),
        (
            changed("value", json!("x".repeat(8193))),
            "a bookmark's value has at most 8 KiB",
        ),
        (
            changed("time", json!("yesterday")),
            "a bookmark's time must be RFC 3339",
        ),
        (
            changed("time", json!("2026-01-02")),
            "a bookmark's time must be RFC 3339",
        ),
        (
            json!({ "uid": UID }),
            "the body must be {\"items\": [{uid, origin, subscriptionId, item, timeless}], \"bookmark\": {uid, value, time}}",
        ),
    ] {
        let request = harness.send("/v1/ingest", &json!({ "items": items, "bookmark": bookmark }));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 400, "{title}");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["title"], title);
    }
    assert_eq!(harness.state().await["lastSeq"], 0);
    let value = "x".repeat(8192);
    let body = json!({ "items": items, "bookmark": bookmark(&value) });
    assert_eq!(ingest(&harness, &body).await, 202);
    assert_eq!(bookmarked(&harness, UID).await, Some(value));
    let body = json!({ "items": items, "bookmark": null });
    assert_eq!(ingest(&harness, &body).await, 202);
    assert_eq!(harness.state().await["lastSeq"], 2);
}

#[tokio::test]
async fn state_counts_the_answers_that_graph_got() {
    let harness = Harness::start(config()).await;
    assert_eq!(harness.notify(&[harness.item(1)]).await, 202);
    assert_eq!(harness.post_to(Channel::Lifecycle, "{").await.status(), 400);
    let unknown = format!("http://{}/", harness.receiver.webhook_addr());
    assert_eq!(harness.client.get(unknown).send().await.unwrap().status(), 404);
    harness
        .until("counted", async || harness.state().await["webhook"]["answers"] == 2)
        .await;
    assert_eq!(
        harness.state().await["webhook"]
            .as_object()
            .unwrap()
            .keys()
            .collect::<Vec<_>>(),
        ["answers", "late", "slow"]
    );
}
