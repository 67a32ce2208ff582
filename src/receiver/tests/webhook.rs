use super::*;

#[tokio::test]
async fn answers_handshakes_on_both_addresses_before_any_subscription_exists() {
    let harness = Harness::start(config()).await;
    let query =
        "?validationToken=Validation%3a+Testing+client+application+reachability+for+subscription+Request-Id%3a+1&x=y";
    for channel in [Channel::Notification, Channel::Lifecycle] {
        let response = harness.client.post(harness.hook(channel) + query).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let expected = "Validation: Testing client application reachability for subscription Request-Id: 1";
        assert_eq!(response.text().await.unwrap(), expected);
    }
    for bad in [String::new(), "x".repeat(4097)] {
        let url = format!("{}?validationToken={bad}", harness.hook(Channel::Notification));
        assert_eq!(harness.client.post(url).send().await.unwrap().status(), 400);
    }
    assert_eq!(harness.pulled("").await["next"], 0);
}

#[tokio::test]
async fn tells_nothing_to_those_who_lack_the_path() {
    let harness = Harness::start(config()).await;
    let good = harness.hook(Channel::Notification);
    let base = format!("http://{}", harness.receiver.webhook_addr());
    let bad = [
        base.clone(),
        format!("{base}/hooks/v1/n/k1/{UID}/AAAA"),
        good.replace("/hooks", ""),
        good.replace("/n/", "/l/"),
        good.replace(UID, "other"),
        format!("{good}/"),
        format!("{base}/metrics"),
    ];
    for url in bad {
        for method in ["GET", "POST", "HEAD", "DELETE", "OPTIONS"] {
            let method = method.parse().unwrap();
            let response = harness
                .client
                .request(method, format!("{url}?validationToken=x"))
                .send()
                .await
                .unwrap();
            assert_eq!(response.status(), 404, "{url}");
            let body = response.text().await.unwrap();
            assert!(body.is_empty() || body == "not found\n", "{body}");
        }
    }
    for method in ["GET", "PUT", "DELETE"] {
        let response = harness
            .client
            .request(method.parse().unwrap(), &good)
            .send()
            .await
            .unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"] == "POST"),
            (405, true)
        );
    }
}

#[tokio::test]
async fn answers_by_what_the_body_holds() {
    let harness = Harness::start(config()).await;
    let good = harness.item(1).to_string();
    let forged = harness
        .item(1)
        .to_string()
        .replace(&harness.key.client_state(UID), "forged");
    let null = r#"{"clientState":null}"#;
    let odd = good.replace(
        "\"number\"",
        r#""unknown":{"deep":[1.10]},"subscriptionExpirationDateTime":"2026-01-01T10:11:12.1234567-08:00","oDataType":"x","number""#,
    );
    let cases = [
        (format!(r#"{{"value":[{good}]}}"#), 202, 1),
        (format!(r#"{{"value":[{odd}],"validationTokens":[]}}"#), 202, 1),
        (format!(r#"{{"value":[{forged},{good},{null},{good}]}}"#), 202, 2),
        (r#"{"value":[]}"#.to_owned(), 202, 0),
        (format!(r#"{{"value":[{forged}]}}"#), 403, 0),
        (format!(r#"{{"value":[{null},7]}}"#), 403, 0),
        (r#"{"value":[7,null]}"#.to_owned(), 400, 0),
        (format!(r#"{{"value":[{good}"#), 400, 0),
        (good.clone(), 400, 0),
        ("<xml/>".to_owned(), 400, 0),
        (String::new(), 400, 0),
        (r#"{"value":null}"#.to_owned(), 400, 0),
        ("x".repeat((4 << 20) + 1), 413, 0),
    ];
    let mut stored = 0;
    for (body, status, added) in cases {
        let shown: String = body.chars().take(200).collect();
        let response = harness.post(body).await;
        assert_eq!(response.status().as_u16(), status, "{shown}");
        stored += added;
        assert_eq!(harness.state().await["lastSeq"], stored, "{shown}");
    }
    let text = harness.metrics().await;
    for line in [
        "notifications_rejected_total{reason=\"client_state\"} 4",
        "requests_refused_total{reason=\"too_large\"} 1",
        "notifications_stored_total{kind=\"notification\",origin=\"Push\"} 4",
        "requests_total{channel=\"notification\",code=\"202\"} 4",
        "slow_responses_total{channel=\"notification\",over_seconds=\"3\"} 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let pulled = harness.pulled("").await;
    let expected: Value = serde_json::from_str(&odd).unwrap();
    let mut expected = expected.as_object().unwrap().clone();
    expected.remove("clientState");
    assert_eq!(pulled["events"][1]["item"], Value::Object(expected));
}

#[tokio::test]
async fn knows_lifecycle_items_on_either_address() {
    let harness = Harness::start(config()).await;
    let mut item = harness.item(1);
    item["lifecycleEvent"] = json!("reauthorizationRequired");
    let body = json!({ "value": [item] }).to_string();
    for channel in [Channel::Notification, Channel::Lifecycle] {
        assert_eq!(harness.post_to(channel, body.clone()).await.status(), 202);
    }
    let body = json!({ "value": [harness.item(2)] }).to_string();
    assert_eq!(harness.post_to(Channel::Lifecycle, body).await.status(), 202);
    let pulled = harness.pulled("?kind=lifecycle").await;
    assert_eq!(pulled["events"].as_array().unwrap().len(), 2);
    assert_eq!(pulled["next"], 3);
}

#[tokio::test]
async fn refuses_with_503_what_it_cannot_keep() {
    let mut small = config();
    small["storageBytes"] = json!(8192);
    let harness = Harness::start(small).await;
    let response = loop {
        let response = harness.post(json!({ "value": [harness.item(1)] }).to_string()).await;
        if response.status() != 202 {
            break response;
        }
    };
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"] == "5"),
        (503, true)
    );
    // It stays where handshakes reach it, and Graph gets its answer at once.
    assert_eq!(harness.ready().await, "ok\n");
    let hook = harness.hook(Channel::Notification) + "?validationToken=x";
    assert_eq!(harness.client.post(hook).send().await.unwrap().status(), 200);
    let storage = harness.state().await["storage"].clone();
    assert_eq!((&storage["state"], &storage["full"]), (&json!("Full"), &json!(true)));
    assert!(harness.has_metric("log_full 1").await);
    assert!(
        harness
            .has_metric("notifications_rejected_total{reason=\"storage_full\"} 1")
            .await
    );
    let state = harness.state().await;
    let acknowledged = harness
        .send(
            "/v1/consumers/audit/ack",
            &json!({ "cursor": state["lastSeq"], "logId": state["logId"] }),
        )
        .send()
        .await
        .unwrap();
    assert_eq!(acknowledged.status(), 204);
    harness
        .until("room again", async || harness.state().await["storage"]["state"] == "Ok")
        .await;
    assert_eq!(harness.notify(&[harness.item(2)]).await, 202);
    let no_memory = Harness::start_with(config(), |settings| settings.limits.memory_bytes = 10).await;
    assert_eq!(no_memory.notify(&[no_memory.item(1)]).await, 503);
}

#[tokio::test]
async fn secrets_do_not_come_out_anywhere() {
    let harness = Harness::start(config()).await;
    harness.notify(&[harness.item(1)]).await;
    let state = harness.key.client_state(UID);
    let path = harness.hook(Channel::Notification);
    let proof = path.rsplit('/').next().unwrap();
    for text in [
        harness.metrics().await,
        harness.state().await.to_string(),
        harness.pulled("").await.to_string(),
    ] {
        for secret in [
            state.as_str(),
            proof,
            PULL_TOKEN,
            "sink-token",
            &harness.key.internal_token(),
        ] {
            assert!(!text.contains(secret));
        }
    }
    let log = std::fs::read(harness.dir.path().join("data/events.redb")).unwrap();
    assert!(!log.windows(state.len()).any(|window| window == state.as_bytes()));
}
