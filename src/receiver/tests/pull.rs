use super::*;

#[tokio::test]
async fn a_consumer_reads_acknowledges_and_goes_on() {
    let harness = Harness::start(config()).await;
    for number in 1..=5 {
        assert_eq!(harness.notify(&[harness.item(number)]).await, 202);
    }
    let first = harness.pulled("?limit=2").await;
    assert_eq!(
        (&first["events"][1]["item"]["number"], &first["next"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(first["instance"], "receiver");
    let event = first["events"][0].as_object().unwrap();
    let keys: Vec<_> = event.keys().map(String::as_str).collect();
    let expected = [
        "item",
        "keyId",
        "kind",
        "origin",
        "receivedTime",
        "seq",
        "subscriptionId",
        "uid",
    ];
    assert_eq!(keys, expected);
    assert_eq!(
        (&event["uid"], &event["keyId"], &event["origin"]),
        (&json!(UID), &json!("k1"), &json!("Push"))
    );
    let log_id = first["logId"].clone();
    let ack = async |cursor: u64| {
        let request = harness
            .client
            .post(harness.internal("/v1/consumers/audit/ack"))
            .bearer_auth(PULL_TOKEN);
        request
            .body(json!({ "cursor": cursor, "logId": log_id }).to_string())
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(
        [ack(2).await, ack(2).await, ack(1).await, ack(6).await],
        [204, 204, 409, 400]
    );
    let rest = harness.pulled("").await;
    assert_eq!((&rest["events"][0]["seq"], &rest["next"]), (&json!(3), &json!(5)));
    let again = harness.pulled("?after=4").await;
    assert_eq!(again["events"].as_array().unwrap().len(), 1);
    assert_eq!(harness.pulled("?kind=lifecycle").await["next"], 5);
}

#[tokio::test]
async fn a_long_poll_ends_with_the_first_event_of_its_kind() {
    let harness = Harness::start(config()).await;
    let started = std::time::Instant::now();
    let poll = harness.pulled("?wait=20&kind=notification");
    let send = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        harness.notify(&[harness.item(1)]).await
    };
    let (answer, _) = tokio::join!(poll, send);
    assert_eq!(answer["events"].as_array().unwrap().len(), 1);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn admits_by_token_and_name() {
    let harness = Harness::start(config()).await;
    let internal = harness.key.internal_token();
    let cases = [
        ("/v1/consumers/audit/events", None, 401),
        ("/v1/consumers/audit/events", Some("wrong"), 401),
        ("/v1/consumers/audit/events", Some(""), 401),
        ("/v1/consumers/audit/events", Some(PULL_TOKEN), 200),
        ("/v1/consumers/audit/events", Some(internal.as_str()), 200),
        ("/v1/consumers/controller/events", Some(internal.as_str()), 200),
        ("/v1/consumers/controller/events", Some(PULL_TOKEN), 403),
        ("/v1/consumers/nobody/events", Some(PULL_TOKEN), 404),
        ("/v1/consumers/nobody/events", Some("wrong"), 401),
        ("/v1/consumers/audit/events?limit=0", Some(PULL_TOKEN), 400),
        ("/v1/consumers/audit/events?limit=1001", Some(PULL_TOKEN), 400),
        ("/v1/consumers/audit/events?wait=31", Some(PULL_TOKEN), 400),
        ("/v1/consumers/audit/events?after=1", Some(PULL_TOKEN), 400),
        ("/v1/consumers/audit/events?kind=other", Some(PULL_TOKEN), 400),
        ("/v1/state", Some(PULL_TOKEN), 403),
        ("/v1/state", None, 401),
        ("/v1/deadletters?sink=s", Some(PULL_TOKEN), 200),
        ("/livez", None, 200),
        ("/readyz", None, 200),
        ("/metrics", None, 200),
    ];
    for (path, token, expected) in cases {
        let mut request = harness.client.get(harness.internal(path));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        assert_eq!(
            request.send().await.unwrap().status().as_u16(),
            expected,
            "{path} {token:?}"
        );
    }
}

#[tokio::test]
async fn what_the_controller_hands_in_takes_the_same_road() {
    let harness = Harness::start(config()).await;
    let items = json!({ "items": [
        { "uid": "u1", "origin": "Backfill", "item": { "subscriptionId": "s1", "clientState": "x", "id": 1 } },
        { "uid": "u2", "origin": "Poll", "subscriptionId": "s2", "item": { "lifecycleEvent": "missed" } },
    ] });
    assert_eq!(harness.send("/v1/ingest", &items).send().await.unwrap().status(), 202);
    let pulled = harness.pulled("").await;
    let (first, second) = (&pulled["events"][0], &pulled["events"][1]);
    assert_eq!(
        (&first["origin"], &first["subscriptionId"]),
        (&json!("Backfill"), &json!("s1"))
    );
    assert_eq!(first["item"], json!({ "subscriptionId": "s1", "id": 1 }));
    assert_eq!(
        (&second["origin"], &second["kind"]),
        (&json!("Poll"), &json!("lifecycle"))
    );
    for bad in [
        json!({}),
        json!({ "items": [{ "uid": "u", "origin": "Push", "item": {} }] }),
        json!({ "items": [{ "uid": "u", "origin": "Poll", "item": 1 }] }),
    ] {
        assert_eq!(
            harness.send("/v1/ingest", &bad).send().await.unwrap().status(),
            400,
            "{bad}"
        );
    }
    let request = harness
        .client
        .post(harness.internal("/v1/ingest"))
        .bearer_auth(PULL_TOKEN);
    assert_eq!(request.body(items.to_string()).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn state_says_what_was_received_and_outlives_a_restart() {
    let harness = Harness::start(config()).await;
    harness.notify(&[harness.item(1), harness.item(2)]).await;
    let mut before = harness.state().await;
    assert_eq!(before["subscriptions"][0]["uid"], UID);
    assert_eq!(before["subscriptions"][0]["received"], 2);
    assert_eq!(before["storage"]["state"], "Ok");
    harness.receiver.shutdown().await;
    let harness = Harness::start_in(harness.dir, |_| {}).await;
    // How quickly Graph was answered is counted anew.
    before["webhook"] = json!({ "answers": 0, "slow": 0, "late": 0 });
    let mut after = harness.state().await;
    // When it was away is another time.
    for state in [&mut before, &mut after] {
        state.as_object_mut().unwrap().remove("away");
    }
    assert_eq!(after, before);
}
