//! Notifications on their way, and the book about them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::world::{World, config, in_minutes};
use crate::simulator::DeliverySettings;
use crate::simulator::delivery::endpoint::{Endpoints, Standing};

fn items(world: &World) -> Vec<Value> {
    let seen = world.seen.lock().unwrap();
    seen.bodies
        .iter()
        .flat_map(|body| body["value"].as_array().unwrap().clone())
        .collect()
}

#[tokio::test]
async fn delivers_what_was_subscribed_to() {
    let world = World::new().await;
    let id = world.created(json!({})).await;
    let users = json!({"resource": "users", "changeType": "updated"});
    world.created(users).await;
    let call = json!({"resource": "communications/callRecords", "changeType": "created"});
    let ids = world.admin("POST", "/events", call).await;
    let elsewhere = json!({"resource": "users/7", "changeType": "deleted"});
    assert_eq!(world.admin("POST", "/events", elsewhere).await, json!([]));
    world
        .admin(
            "POST",
            "/users",
            json!({"object": {"id": "7"}, "changeType": "updated"}),
        )
        .await;

    let summary = world.settled().await;
    assert_eq!(
        summary,
        json!({"sent": 2, "acknowledged": 2, "pending": 0, "dropped": 0})
    );
    let mut items = items(&world);
    items.sort_by_key(|item| item["resource"].to_string());
    let (call, user) = (&items[0], &items[1]);
    assert_eq!(call["id"], ids[0]);
    assert_eq!(call["resourceData"]["id"], ids[0]);
    assert_eq!(call["subscriptionId"], json!(id));
    assert_eq!(call["clientState"], "secret-state");
    assert_eq!(call["tenantId"], "11111111-1111-1111-1111-111111111111");
    assert_eq!(call["resourceData"]["@odata.type"], "#microsoft.graph.callrecord");
    assert_eq!(user["resource"], "users/7");
    assert_eq!(user["resourceData"]["id"], "7");
}

#[tokio::test]
async fn retries_until_acknowledged() {
    let world = World::new().await;
    world.created(json!({})).await;
    world.manners(|m| m.statuses = vec![503, 500, 404]);
    world
        .admin(
            "POST",
            "/events",
            json!({"resource": "communications/callRecords", "changeType": "created"}),
        )
        .await;
    world.settled().await;
    let book = world.admin("GET", "/notifications", Value::Null).await;
    let statuses: Vec<&Value> = book[0]["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["status"])
        .collect();
    assert_eq!(statuses, [503, 500, 404, 202]);
    assert_eq!(book[0]["state"], "acknowledged");
}

#[tokio::test]
async fn gives_up_after_four_hours_of_its_own_time() {
    let mut slow = config();
    slow.settings.delivery.backoff_base_ms = 1_000_000;
    slow.settings.delivery.backoff_max_ms = 1_000_000;
    let world = World::with(slow).await;
    world.created(json!({})).await;
    world.manners(|m| m.statuses = vec![503; 100]);
    world
        .admin(
            "POST",
            "/events",
            json!({"resource": "communications/callRecords", "changeType": "created"}),
        )
        .await;
    world.admin("PUT", "/clock", json!({"rate": 100_000})).await;
    let summary = world.settled().await;
    assert_eq!(summary["dropped"], 1);
    let book = world.admin("GET", "/notifications", Value::Null).await;
    assert!(book[0]["attempts"].as_array().unwrap().len() > 5, "{book}");
}

#[tokio::test]
async fn batches_with_a_bad_item_and_odd_spellings() {
    let world = World::new().await;
    world.created(json!({})).await;
    let event = json!({
        "resource": "communications/callRecords", "changeType": "updated",
        "count": 5, "batch": 5, "badItem": true, "spelling": "odd",
    });
    let ids = world.admin("POST", "/events", event).await;
    assert_eq!(world.settled().await["acknowledged"], 5);
    assert_eq!(world.seen.lock().unwrap().bodies.len(), 1);
    let items = items(&world);
    assert_eq!(items.len(), 6);
    assert_eq!(items[0]["clientState"], "not-the-client-state");
    assert_eq!(items[1]["id"], ids[0]);
    assert_eq!(items[1]["resourceData"]["oDataType"], "#microsoft.graph.callrecord");
    let date = items[1]["subscriptionExpirationDateTime"].as_str().unwrap();
    assert!(date.ends_with("-08:00") && date.contains('.'), "{date}");
}

#[tokio::test]
async fn makes_slow_endpoints_wait() {
    let mut quick = config();
    quick.settings.delivery.endpoint_min_samples = 1;
    quick.settings.delivery.slow_after_ms = 100;
    let world = World::with(quick).await;
    world.created(json!({})).await;
    world.manners(|m| m.delay = Duration::from_millis(120));
    let event = json!({"resource": "communications/callRecords", "changeType": "created"});
    world.admin("POST", "/events", event.clone()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.manners(|m| m.delay = Duration::ZERO);
    let hosts = world.admin("GET", "/endpoints", Value::Null).await;
    assert_eq!(hosts[0]["state"], "slow", "{hosts}");
    world.admin("POST", "/events", event).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(
        world.admin("GET", "/notifications/summary", Value::Null).await["pending"],
        1
    );
    world.admin("POST", "/clock/advance", json!({"seconds": 601})).await;
    assert_eq!(world.settled().await["acknowledged"], 2);
}

#[test]
fn drops_for_ten_minutes_what_is_hopeless() {
    let start = Timestamp::UNIX_EPOCH;
    let rules = DeliverySettings::default();
    let after = |minutes| start + SignedDuration::from_mins(minutes);
    let mut endpoints = Endpoints::default();
    let judge = |endpoints: &mut Endpoints, minutes| endpoints.admit("a:443", after(minutes), &rules);
    for n in 0..20 {
        assert_eq!(judge(&mut endpoints, 0), Standing::Good);
        endpoints.answered("a:443", start, Duration::from_secs(if n < 16 { 1 } else { 10 }), &rules);
    }
    assert_eq!(judge(&mut endpoints, 9), Standing::Drop);
    assert_eq!(endpoints.admit("b:443", start, &rules), Standing::Good, "another host");
    for _ in 0..3 {
        assert_eq!(judge(&mut endpoints, 11), Standing::Good, "tried again");
    }
    assert_eq!(judge(&mut endpoints, 11), Standing::Drop, "until those were answered");
    assert_eq!(
        judge(&mut endpoints, 22),
        Standing::Good,
        "nobody answered: tried once more"
    );
}

#[tokio::test]
async fn lifecycle_events_reach_their_own_url() {
    let world = World::new().await;
    let calls = world.created(json!({"lifecycleNotificationUrl": world.hook})).await;
    let mail = json!({"resource": "users/1/messages", "lifecycleNotificationUrl": world.hook});
    let mail = world.created(mail).await;
    let send = async |id: &str, event: &str| {
        let body = json!({"subscriptionId": id, "event": event});
        world
            .client
            .post(world.url("/_simulator/lifecycle"))
            .json(&body)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(
        send(&calls, "subscriptionRemoved").await,
        400,
        "call records never announce loss"
    );
    assert_eq!(send(&calls, "reauthorizationRequired").await, 200);
    assert_eq!(send(&mail, "missed").await, 200);
    assert_eq!(send(&mail, "subscriptionRemoved").await, 200);
    world.settled().await;
    let mut events: Vec<String> = items(&world)
        .iter()
        .map(|i| i["lifecycleEvent"].as_str().unwrap().into())
        .collect();
    events.sort();
    assert_eq!(events, ["missed", "reauthorizationRequired", "subscriptionRemoved"]);
    assert_eq!(world.graph("GET", &format!("/subscriptions/{mail}"), None).await.0, 404);
}

#[tokio::test]
async fn challenges_by_itself_and_holds_back_until_answered() {
    let mut busy = config();
    busy.settings.challenges = true;
    let world = World::with(busy).await;
    let id = world.created(json!({"lifecycleNotificationUrl": world.hook})).await;
    world.admin("POST", "/clock/advance", json!({"seconds": 3700})).await;
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(items(&world)[0]["lifecycleEvent"], "reauthorizationRequired");

    world
        .admin(
            "POST",
            "/events",
            json!({"resource": "communications/callRecords", "changeType": "created"}),
        )
        .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(items(&world).len(), 1, "held while the token is expired");
    let renew = json!({"expirationDateTime": in_minutes(1000)});
    assert_eq!(
        world
            .graph("PATCH", &format!("/subscriptions/{id}"), Some(renew))
            .await
            .0,
        200
    );
    world.settled().await;
    assert_eq!(items(&world).len(), 2);
}
