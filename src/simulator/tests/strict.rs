//! Where the original is strict and a stand-in is easily not.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{World, config, in_minutes, read};

#[tokio::test]
async fn a_bearer_needs_its_blank() {
    let world = World::new().await;
    let token = world.token().await;
    for (header, status) in [
        (format!("Bearer {token}"), 200),
        (format!("bearer {token}"), 200),
        (format!("Bearer{token}"), 401),
        (token.clone(), 401),
    ] {
        let request = world.client.get(world.url("/v1.0/subscriptions"));
        let answer = request.header("authorization", &header).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{}", &header[..7]);
    }
}

#[tokio::test]
async fn nothing_can_end_in_the_past() {
    let world = World::new().await;
    let text = "The expirationDateTime must be in the future.";
    let (status, body) = world.create(json!({"expirationDateTime": in_minutes(-1)})).await;
    assert_eq!((status, &body["error"]["message"]), (400, &json!(text)));
    let id = world.created(json!({})).await;
    let path = format!("/subscriptions/{id}");
    let wish = json!({"expirationDateTime": in_minutes(-1)});
    assert_eq!(world.graph("PATCH", &path, Some(wish)).await.0, 400);
}

#[tokio::test]
async fn a_renewal_cannot_go_round_the_lifecycle_url() {
    let world = World::new().await;
    let chats = json!({"resource": "chats/getAllMessages", "expirationDateTime": in_minutes(50)});
    let id = world.created(chats).await;
    let path = format!("/subscriptions/{id}");
    let long = json!({"expirationDateTime": in_minutes(120)});
    let (status, body) = world.graph("PATCH", &path, Some(long)).await;
    assert_eq!(status, 400);
    let text = body["error"]["message"].as_str().unwrap();
    assert!(
        text.starts_with("lifecycleNotificationUrl is a required property"),
        "{text}"
    );
    let short = json!({"expirationDateTime": in_minutes(55)});
    assert_eq!(world.graph("PATCH", &path, Some(short)).await.0, 200);
}

#[tokio::test]
async fn loss_is_told_for_messages_only() {
    let world = World::new().await;
    let table = [
        ("chats/getAllMessages", "subscriptionRemoved", 200),
        ("teams/1/channels/2/messages", "missed", 400),
        ("teams/1/channels/2/messages", "subscriptionRemoved", 200),
        ("chats/1", "subscriptionRemoved", 400),
        ("users/1/events", "missed", 200),
        ("users", "missed", 400),
    ];
    for (resource, event, status) in table {
        let wish = json!({"resource": resource, "changeType": "updated", "lifecycleNotificationUrl": world.hook});
        let id = world.created(wish).await;
        let request = world.client.post(world.url("/_simulator/lifecycle"));
        let answer = request
            .json(&json!({"subscriptionId": id, "event": event}))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), status, "{event} for {resource}");
        world.graph("DELETE", &format!("/subscriptions/{id}"), None).await;
    }
}

#[tokio::test]
async fn of_a_single_resource_there_is_one_whatever_the_changes() {
    let world = World::new().await;
    for resource in [
        "chats/1",
        "teams/1",
        "teams/1/channels",
        "solutions/approval/approvalItems",
    ] {
        world
            .admin(
                "PUT",
                "/apps/22222222-2222-2222-2222-222222222222/roles",
                json!([
                    "Chat.Read.All",
                    "Team.ReadBasic.All",
                    "Channel.ReadBasic.All",
                    "ApprovalSolution.Read.All"
                ]),
            )
            .await;
        let wish =
            |change: &str| json!({"resource": resource, "changeType": change, "lifecycleNotificationUrl": world.hook});
        world.created(wish("created")).await;
        let (status, body) = world.create(wish("deleted")).await;
        let text = body["error"]["message"].as_str().unwrap();
        assert!(
            status == 403 && text.contains("limit of '1'"),
            "{resource}: {status} {text}"
        );
    }
}

/// A challenge comes because the token of the last write ends; the very same one again would not do.
#[tokio::test]
async fn a_challenge_wants_another_token() {
    let world = World::new().await;
    let old = world.token().await;
    let url = world.url("/v1.0/subscriptions");
    let mut wish = world.wish();
    wish["lifecycleNotificationUrl"] = json!(world.hook);
    let created = world.client.post(&url).bearer_auth(&old).json(&wish).send().await;
    let id = read(created.unwrap()).await.1["id"].as_str().unwrap().to_string();
    let renew = json!({"expirationDateTime": in_minutes(600)});
    let patch = async |token: &str| {
        let request = world.client.patch(format!("{url}/{id}")).bearer_auth(token);
        assert_eq!(request.json(&renew).send().await.unwrap().status(), 200);
        world.admin("GET", "/violations", Value::Null).await
    };
    world.admin("POST", "/clock/advance", json!({"seconds": 50 * 60})).await;
    assert_eq!(patch(&old).await, json!([]), "nobody asked");
    let challenge = json!({"subscriptionId": id, "event": "reauthorizationRequired"});
    world.admin("POST", "/clock/advance", json!({"seconds": 540})).await;
    world.admin("POST", "/lifecycle", challenge.clone()).await;
    let found = patch(&old).await;
    let kinds: Vec<&Value> = found.as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert!(kinds.contains(&&json!("sameTokenAfterChallenge")), "{found}");
    world.admin("DELETE", "/violations", Value::Null).await;
    world.admin("POST", "/clock/advance", json!({"seconds": 601})).await;
    world.admin("POST", "/lifecycle", challenge).await;
    assert_eq!(patch(&world.token().await).await, json!([]));
}

/// Three seconds for the first attempt and ten for each later one, made short.
#[tokio::test]
async fn a_retry_has_more_time_than_the_first_attempt() {
    let mut quick = config();
    quick.settings.delivery.first_timeout_ms = 100;
    quick.settings.delivery.retry_timeout_ms = 5_000;
    let world = World::with(quick).await;
    world.created(json!({})).await;
    world.manners(|m| m.delay = Duration::from_millis(400));
    let call = json!({"resource": "communications/callRecords", "changeType": "created"});
    world.admin("POST", "/events", call).await;
    assert_eq!(world.settled().await["acknowledged"], 1);
    let book = world.admin("GET", "/notifications", Value::Null).await;
    let attempts = book[0]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{book}");
    assert_eq!(attempts[0]["error"], "Timeout");
    assert_eq!(attempts[1]["status"], 202);
}

/// More than 15 % over ten seconds (made short): nothing is delivered for ten minutes, then a few try.
#[tokio::test]
async fn a_hopeless_endpoint_loses_notifications_until_it_answers_again() {
    let mut quick = config();
    let delivery = &mut quick.settings.delivery;
    (delivery.endpoint_min_samples, delivery.hopeless_after_ms) = (1, 100);
    let world = World::with(quick).await;
    world.created(json!({})).await;
    let send = async |count: usize| {
        let call = json!({"resource": "communications/callRecords", "changeType": "created", "count": count});
        world.admin("POST", "/events", call).await;
        let summary = world.settled().await;
        (
            summary["acknowledged"].as_u64().unwrap(),
            summary["dropped"].as_u64().unwrap(),
        )
    };
    let slow = |slow: bool| world.manners(|m| m.delay = Duration::from_millis(if slow { 150 } else { 0 }));
    slow(true);
    assert_eq!(send(1).await, (1, 0));
    let hosts = world.admin("GET", "/endpoints", Value::Null).await;
    assert_eq!(hosts[0]["state"], "drop", "{hosts}");
    assert_eq!(send(2).await, (1, 2));
    let book = world.admin("GET", "/notifications", Value::Null).await;
    assert_eq!(book[1]["reason"], "the endpoint is in the drop state");

    // The probes find it as slow as before.
    let ten_minutes = json!({"seconds": 601});
    world.admin("POST", "/clock/advance", ten_minutes.clone()).await;
    assert_eq!(send(5).await, (4, 4), "three probes, and two dropped meanwhile");
    assert_eq!(send(1).await, (4, 5));
    slow(false);
    world.admin("POST", "/clock/advance", ten_minutes).await;
    assert_eq!(send(3).await, (7, 5));
    assert_eq!(send(4).await, (11, 5), "good again");
}

#[tokio::test]
async fn messages_and_call_records_are_told_of() {
    let world = World::new().await;
    let hook = world.hook.clone();
    world
        .created(json!({"resource": "chats/getAllMessages", "lifecycleNotificationUrl": hook}))
        .await;
    world.created(json!({"changeType": "created"})).await;
    let message = world
        .admin("POST", "/messages", json!({"chatId": "19:a", "id": "7"}))
        .await;
    assert_eq!(message["notifications"].as_array().unwrap().len(), 1);
    let call = world
        .admin("POST", "/callRecords", json!({"object": {"id": "call-1"}}))
        .await;
    assert_eq!(call["notifications"].as_array().unwrap().len(), 1);
    let silent = json!({"object": {"id": "call-2"}, "silent": true});
    assert_eq!(
        world.admin("POST", "/callRecords", silent).await["notifications"],
        json!([])
    );
    world.settled().await;
    let mut resources: Vec<String> = world
        .seen
        .lock()
        .unwrap()
        .bodies
        .iter()
        .map(|body| body["value"][0]["resource"].as_str().unwrap().to_string())
        .collect();
    resources.sort();
    assert_eq!(
        resources,
        ["chats/19:a/messages/7", "communications/callRecords/call-1"]
    );
    let (status, record) = world.graph("GET", "/communications/callRecords/call-1", None).await;
    assert_eq!((status, &record["version"]), (200, &json!(1)));
}

#[tokio::test]
async fn a_timeout_holds_the_line_and_does_nothing() {
    let world = World::new().await;
    let token = world.token().await;
    let fault = json!({"match": {"method": "POST"}, "action": {"type": "timeout", "ms": 200}, "times": 1});
    world.admin("POST", "/faults", fault).await;
    let started = std::time::Instant::now();
    let request = world.client.post(world.url("/v1.0/subscriptions")).bearer_auth(&token);
    assert!(request.json(&world.wish()).send().await.is_err());
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(
        world.admin("GET", "/subscriptions?all=true", Value::Null).await,
        json!([])
    );
}

#[tokio::test]
async fn graph_says_how_long_to_wait() {
    let world = World::new().await;
    let token = world.token().await;
    for (status, wait, header) in [(429, json!(7), "7"), (503, json!("2.5"), "2.5")] {
        let action = json!({"type": "status", "status": status, "retryAfter": wait});
        world
            .admin("POST", "/faults", json!({"action": action, "times": 1}))
            .await;
        let request = world.client.get(world.url("/v1.0/subscriptions")).bearer_auth(&token);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["retry-after"], header);
        assert_eq!(answer.status().as_u16(), status);
        assert!(read(answer).await.1["error"]["innerError"]["request-id"].is_string());
    }
}
