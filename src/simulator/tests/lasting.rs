//! The life of a subscription: renewal, rules about time, expiry, paging.

use serde_json::{Value, json};

use super::world::{World, in_minutes};

async fn reason(world: &World, id: &str) -> Value {
    let all = world.admin("GET", "/subscriptions?all=true", Value::Null).await;
    all.as_array().unwrap().iter().find(|s| s["id"] == id).unwrap()["reason"].clone()
}

#[tokio::test]
async fn lives_as_long_as_it_is_renewed() {
    let world = World::new().await;
    let id = world.created(json!({})).await;
    let path = format!("/subscriptions/{id}");
    let (status, body) = world.graph("GET", &path, None).await;
    assert_eq!((status, &body["clientState"]), (200, &Value::Null));

    world
        .admin("POST", "/clock/advance", json!({"seconds": 23 * 3600}))
        .await;
    let wish = json!({"expirationDateTime": in_minutes(47 * 60)});
    let (status, body) = world.graph("PATCH", &path, Some(wish)).await;
    assert_eq!((status, &body["id"]), (200, &json!(id)), "{body}");
    assert_eq!(reason(&world, &id).await, "renewed");

    world
        .admin("POST", "/clock/advance", json!({"seconds": 25 * 3600}))
        .await;
    for (method, body) in [
        ("GET", None),
        ("DELETE", None),
        ("PATCH", Some(json!({"notificationUrl": world.hook}))),
    ] {
        let (status, body) = world.graph(method, &path, body).await;
        assert_eq!(status, 404, "{method}");
        assert_eq!(body["error"]["code"], "ResourceNotFound");
        assert_eq!(body["error"]["message"], "The object was not found.");
    }
    assert_eq!(reason(&world, &id).await, "expired");
}

#[tokio::test]
async fn patches_only_what_graph_patches() {
    let world = World::new().await;
    let id = world.created(json!({})).await;
    let path = format!("/subscriptions/{id}");
    let hour = in_minutes(60);
    let table = [
        (json!({}), 400),
        (json!({"expirationDateTime": hour, "clientState": "new"}), 400),
        (json!({"expirationDateTime": hour, "resource": "users"}), 400),
        (
            json!({"expirationDateTime": hour, "lifecycleNotificationUrl": world.hook}),
            400,
        ),
        (json!({"expirationDateTime": hour, "surprise": 1}), 400),
        (json!({"expirationDateTime": "tomorrow"}), 400),
        (json!({"expirationDateTime": in_minutes(4240)}), 400),
        (json!({"expirationDateTime": hour}), 200),
    ];
    for (body, expected) in table {
        let (status, answer) = world.graph("PATCH", &path, Some(body.clone())).await;
        assert_eq!(status, expected, "{body}: {answer}");
    }
    let asked = world.seen.lock().unwrap().tokens.len();
    let other = world.hook.replace("/hook", "/other");
    assert_eq!(
        world
            .graph("PATCH", &path, Some(json!({"notificationUrl": other})))
            .await
            .0,
        200
    );
    assert_eq!(
        world.seen.lock().unwrap().tokens.len(),
        asked + 1,
        "a new URL is validated"
    );
}

#[tokio::test]
async fn notes_writes_that_are_too_close() {
    let world = World::new().await;
    let id = world.created(json!({})).await;
    let renew = json!({"expirationDateTime": in_minutes(600)});
    assert_eq!(
        world
            .graph("PATCH", &format!("/subscriptions/{id}"), Some(renew.clone()))
            .await
            .0,
        200
    );
    assert_eq!(
        world
            .graph("POST", &format!("/subscriptions/{id}/reauthorize"), None)
            .await
            .0,
        204
    );
    let found = world.admin("GET", "/violations", Value::Null).await;
    assert_eq!(found[0]["kind"], "patchAndReauthorizeWithin10Minutes");
    assert_eq!(found[0]["subscriptionId"], json!(id));

    world.admin("DELETE", "/violations", Value::Null).await;
    world.admin("POST", "/clock/advance", json!({"seconds": 601})).await;
    assert_eq!(
        world
            .graph("PATCH", &format!("/subscriptions/{id}"), Some(renew))
            .await
            .0,
        200
    );
    assert_eq!(world.admin("GET", "/violations", Value::Null).await, json!([]));
}

#[tokio::test]
async fn lists_in_pages_without_client_state() {
    let world = World::new().await;
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(
            world
                .created(json!({"resource": format!("users/{n}"), "changeType": "updated"}))
                .await,
        );
    }
    let (mut found, mut pages) = (Vec::new(), 0);
    let mut next = Some("/subscriptions".to_string());
    while let Some(path) = next {
        let (status, body) = world.graph("GET", &path, None).await;
        assert_eq!(status, 200, "{body}");
        pages += 1;
        for item in body["value"].as_array().unwrap() {
            assert_eq!(item["clientState"], Value::Null);
            found.push(item["id"].as_str().unwrap().to_string());
        }
        next = body["@odata.nextLink"].as_str().map(String::from);
    }
    assert_eq!((found, pages), (made.clone(), 3));

    assert_eq!(
        world
            .graph("DELETE", &format!("/subscriptions/{}", made[0]), None)
            .await
            .0,
        204
    );
    assert_eq!(
        world
            .graph("DELETE", &format!("/subscriptions/{}", made[0]), None)
            .await
            .0,
        404
    );
    assert_eq!(reason(&world, &made[0]).await, "deleted");
    world
        .admin("DELETE", &format!("/subscriptions/{}", made[1]), Value::Null)
        .await;
    assert_eq!(reason(&world, &made[1]).await, "removed");
    world
        .admin("POST", "/clock/advance", json!({"seconds": 25 * 3600}))
        .await;
    let summary = world.admin("GET", "/subscriptions/summary", Value::Null).await;
    let expected = json!({"created": 5, "live": 0, "deleted": 1, "expired": 3, "removed": 1});
    assert_eq!(summary, expected);
    let requests = world.admin("GET", "/requests/summary", Value::Null).await;
    assert_eq!(requests["POST /v1.0/subscriptions"], json!({"201": 5}));
    assert_eq!(requests["DELETE /v1.0/subscriptions/{id}"], json!({"204": 1, "404": 1}));
    assert_eq!(requests["GET /v1.0/subscriptions"], json!({"200": 3}));
}

#[tokio::test]
async fn limits_the_list_to_25_in_20_seconds() {
    let world = World::new().await;
    let token = world.token().await;
    let ask = async || {
        world
            .client
            .get(world.url("/v1.0/subscriptions"))
            .bearer_auth(&token)
            .send()
            .await
            .unwrap()
    };
    for _ in 0..25 {
        assert_eq!(ask().await.status(), 200);
    }
    let refused = ask().await;
    assert_eq!(refused.status(), 429);
    let seconds: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=20).contains(&seconds), "{seconds}");
    assert_eq!(super::world::read(refused).await.1["error"]["code"], "TooManyRequests");

    world.admin("PUT", "/settings", json!({"throttling": false})).await;
    assert_eq!(ask().await.status(), 200);
}

#[tokio::test]
async fn reads_back_users_and_call_records() {
    let world = World::new().await;
    for day in 1..=3 {
        let object = json!({"id": format!("call-{day}"), "startDateTime": format!("2026-01-0{day}T10:00:00Z")});
        world
            .admin("POST", "/callRecords", json!({"object": object, "silent": true}))
            .await;
    }
    let filter = "?$filter=startDateTime ge 2026-01-02T00:00:00Z and startDateTime lt 2026-01-03T00:00:00Z";
    let (status, body) = world
        .graph("GET", &format!("/communications/callRecords{filter}"), None)
        .await;
    assert_eq!(status, 200, "{body}");
    let ids: Vec<&Value> = body["value"].as_array().unwrap().iter().map(|r| &r["id"]).collect();
    assert_eq!(ids, ["call-2"]);
    assert_eq!(
        world.graph("GET", "/communications/callRecords/call-3", None).await.0,
        200
    );
    assert_eq!(
        world.graph("GET", "/communications/callRecords/call-9", None).await.0,
        404
    );
    world
        .admin("POST", "/users", json!({"object": {"id": "u1", "displayName": "Ada"}}))
        .await;
    assert_eq!(world.graph("GET", "/users/u1", None).await.1["displayName"], "Ada");
}
