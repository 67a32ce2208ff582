//! Gaps are filled from Graph, and what is lost in silence is found.

use serde_json::{Value, json};

use crate::world::{SUBSCRIPTION, TENANT, World, subscription_spec};

const ANA: &str = "8f0c2d3e-0000-4000-8000-00000000000a";
const BEN: &str = "8f0c2d3e-0000-4000-8000-00000000000b";

fn people() -> Value {
    let mut spec = subscription_spec();
    spec["resource"] = json!("users");
    spec["changeTypes"] = json!(["Updated", "Deleted"]);
    spec
}

async fn put(world: &World, collection: &str, silent: bool, object: Value) {
    let body = json!({ "collection": collection, "changeType": "updated", "silent": silent, "object": object });
    world.simulator_post("objects", body).await;
}

/// Requests to Graph about changes.
async fn questions(world: &World, part: &str) -> usize {
    let requests = world.simulator_get("requests").await;
    let all = requests.as_array().unwrap();
    let asked = all
        .iter()
        .filter(|request| request["path"].as_str().unwrap().contains(part));
    asked.count()
}

async fn gap(world: &World, name: &str) -> Value {
    world.get(SUBSCRIPTION, name).await.unwrap()["status"]["gaps"][0].clone()
}

/// What reached the sink about an object: where it came from.
async fn received(world: &World, id: &str) -> Vec<String> {
    let sink = world.simulator_get("sink").await;
    let events = sink.as_array().unwrap().iter().map(|event| &event["body"]);
    let about = events.filter(|event| event["data"]["resourceData"]["id"] == id);
    about
        .map(|event| event["origin"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_notification_told_of_is_found_and_delivered_once() {
    let mut world = World::without_controller("sweep").await;
    world.start_controller(&[("SWEEP_GRACE_SECONDS", "1")]).await;
    world.subscribed().await;
    world.apply(SUBSCRIPTION, "people", people()).await;
    world
        .condition(SUBSCRIPTION, "people", "Subscribed", "True", "Succeeded")
        .await;
    world
        .until("changes are followed", async || {
            questions(&world, "deltatoken=latest").await == 1
        })
        .await;
    put(&world, "users", false, json!({ "id": ANA, "displayName": "Ana" })).await;
    put(&world, "users", true, json!({ "id": BEN, "displayName": "Ben" })).await;
    world
        .until("Ana arrives", async || received(&world, ANA).await == ["Push"])
        .await;
    // Not at once: the link to later changes may still be on its way to the receiver.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    world.ask(SUBSCRIPTION, "people").await;
    world
        .until("Ben is fetched", async || received(&world, BEN).await == ["Backfill"])
        .await;
    world
        .condition(SUBSCRIPTION, "people", "GapFree", "True", "Backfilled")
        .await;
    let gap = gap(&world, "people").await;
    assert_eq!(
        (&gap["cause"], &gap["state"], &gap["backfilled"]),
        (&json!("ListingDisagrees"), &json!("Backfilled"), &json!(1))
    );
    assert_eq!(received(&world, ANA).await, ["Push"]);
    let metrics = world.metrics(world.telemetry_port).await;
    assert!(metrics.contains("teamsgraph_silently_lost_events_total 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_there_was_no_subscription_is_fetched() {
    let mut world = World::new("fill").await;
    let mailbox = format!("users/{ANA}/messages");
    let mut mail = subscription_spec();
    mail["resource"] = json!(mailbox);
    world.subscribed().await;
    world.apply(SUBSCRIPTION, "mail", mail).await;
    world
        .condition(SUBSCRIPTION, "mail", "Subscribed", "True", "Succeeded")
        .await;
    world.kill_controllers().await;
    // Mail subscriptions live seven days.
    world
        .simulator_post("clock/advance", json!({ "seconds": 8 * 24 * 3600 }))
        .await;
    assert!(world.remote().await.is_empty());
    put(&world, &mailbox, false, json!({ "id": "lost", "subject": "s" })).await;
    world.start_controller(&[]).await;
    world.ask(TENANT, "contoso").await;
    world
        .until("there are two again", async || world.remote().await.len() == 2)
        .await;
    world
        .condition(SUBSCRIPTION, "mail", "GapFree", "False", "Lapsed")
        .await;
    world
        .condition(SUBSCRIPTION, "mail", "GapFree", "True", "Backfilled")
        .await;
    let gap = gap(&world, "mail").await;
    assert_eq!((&gap["cause"], &gap["backfilled"]), (&json!("Lapsed"), &json!(1)));
    assert_eq!(received(&world, "lost").await, ["Backfill"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_link_and_a_throttled_question_cost_nothing() {
    let mut world = World::without_controller("resync").await;
    world.start_controller(&[("SWEEP_GRACE_SECONDS", "0")]).await;
    world.subscribed().await;
    world.apply(SUBSCRIPTION, "people", people()).await;
    world
        .until("changes are followed", async || {
            questions(&world, "deltatoken=latest").await == 1
        })
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    put(&world, "users", true, json!({ "id": BEN, "displayName": "Ben" })).await;
    world.simulator_post("deltas/forget", json!({})).await;
    let fault = json!({
        "match": { "method": "GET", "pathContains": "/v1.0/users/delta" },
        "action": { "type": "status", "status": 429, "retryAfter": 2 }, "times": 1,
    });
    world.simulator_post("faults", fault).await;
    world.ask(SUBSCRIPTION, "people").await;
    world
        .until("Ben is fetched", async || received(&world, BEN).await == ["Backfill"])
        .await;
}
