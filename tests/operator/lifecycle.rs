//! Time passes, and Graph speaks.

use serde_json::json;

use crate::world::{SUBSCRIPTION, TENANT, World};

async fn renewals(world: &World) -> i64 {
    world
        .remote()
        .await
        .iter()
        .map(|remote| remote["renewed"].as_i64().unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_renewed_in_time_over_and_over() {
    let mut world = World::new("renew").await;
    world.subscribed().await;
    for turn in 1..=3 {
        // Call records live 70.5 hours; renewal is due after two thirds, give or take a twentieth.
        world
            .simulator_post("clock/advance", json!({ "seconds": 51 * 3600 }))
            .await;
        world.ask(TENANT, "contoso").await;
        world
            .until("it is renewed", async || renewals(&world).await == turn)
            .await;
    }
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Succeeded")
        .await;
    world.condition(SUBSCRIPTION, "calls", "GapFree", "True", "NoGap").await;
    world
        .condition(TENANT, "contoso", "ClockSynchronized", "False", "ClockSkewed")
        .await;
    let told = world.events(SUBSCRIPTION, "calls").await;
    assert!(
        told.contains(&"Created".to_owned()) && !told.contains(&"Renewed".to_owned()),
        "{told:?}"
    );
    assert_eq!(world.simulator_get("violations").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lapse_is_repaired_and_named() {
    let mut world = World::new("lapse").await;
    world.subscribed().await;
    world.kill_controllers().await;
    world
        .simulator_post("clock/advance", json!({ "seconds": 80 * 3600 }))
        .await;
    assert!(world.remote().await.is_empty());
    world.start_controller(&[]).await;
    world.ask(TENANT, "contoso").await;
    world
        .until("there is one again", async || world.remote().await.len() == 1)
        .await;
    let message = world
        .condition(SUBSCRIPTION, "calls", "GapFree", "False", "Lapsed")
        .await;
    assert!(message.contains("may be missing"), "{message}");
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Succeeded")
        .await;

    let acknowledged =
        json!({ "metadata": { "annotations": { "teamsgraph.dev/gaps-acknowledged-until": "2099-01-01T00:00:00Z" } } });
    world.patch(SUBSCRIPTION, "calls", acknowledged).await;
    world.condition(SUBSCRIPTION, "calls", "GapFree", "True", "NoGap").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lifecycle_events_are_read_from_the_receiver_and_acted_on() {
    let mut world = World::new("lifecycle").await;
    let mail = json!({
        "tenantRef": { "name": "contoso" }, "receiverRef": { "name": "calls" },
        "resource": "users/8f0c2d3e-0000-4000-8000-000000000001/messages", "changeTypes": ["Created"],
    });
    world.subscribed().await;
    world.apply(SUBSCRIPTION, "mail", mail).await;
    world
        .condition(SUBSCRIPTION, "mail", "Subscribed", "True", "Succeeded")
        .await;
    let id = async || world.get(SUBSCRIPTION, "mail").await.unwrap()["status"]["subscriptionId"].clone();
    let tell = async |event: &str| {
        world
            .simulator_post("lifecycle", json!({ "subscriptionId": id().await, "event": event }))
            .await
    };

    tell("missed").await;
    world
        .condition(SUBSCRIPTION, "mail", "GapFree", "False", "Missed")
        .await;

    world.simulator_post("clock/advance", json!({ "seconds": 900 })).await;
    world.ask(TENANT, "contoso").await;
    tell("reauthorizationRequired").await;
    world.until("it is renewed", async || renewals(&world).await == 1).await;

    let old = id().await;
    tell("subscriptionRemoved").await;
    world
        .until("there is a new one", async || {
            let new = id().await;
            new.is_string() && new != old
        })
        .await;
    world
        .condition(SUBSCRIPTION, "mail", "GapFree", "False", "Removed")
        .await;
    world.event(SUBSCRIPTION, "mail", "Recreated").await;
    assert_eq!(world.remote().await.len(), 2);
    assert_eq!(world.simulator_get("violations").await, json!([]));
    let metrics = world.metrics(world.telemetry_port).await;
    assert!(
        metrics.contains("teamsgraph_lifecycle_events_total{event=\"Missed\"} 1"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_vanished_without_a_word_is_found_in_graphs_list() {
    let mut world = World::new("unlisted").await;
    world.subscribed().await;
    let id = world.remote().await[0]["id"].as_str().unwrap().to_owned();
    world.simulator_delete(&format!("subscriptions/{id}")).await;
    // What was made within ten minutes may not be listed yet; the renewal is due in days.
    world.simulator_post("clock/advance", json!({ "seconds": 900 })).await;
    world.ask(TENANT, "contoso").await;
    world.event(SUBSCRIPTION, "calls", "Recreated").await;
    assert_eq!(world.remote().await.len(), 1);
    assert_eq!(world.simulator_get("violations").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_vanished_without_a_word_is_found_at_its_renewal() {
    let mut world = World::new("vanish").await;
    world.subscribed().await;
    let id = world.remote().await[0]["id"].as_str().unwrap().to_owned();
    world.simulator_delete(&format!("subscriptions/{id}")).await;
    world
        .simulator_post("clock/advance", json!({ "seconds": 51 * 3600 }))
        .await;
    world.ask(TENANT, "contoso").await;
    world
        .until("there is a new one", async || world.remote().await.len() == 1)
        .await;
    world
        .condition(SUBSCRIPTION, "calls", "GapFree", "False", "Removed")
        .await;
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Succeeded")
        .await;
    let status = world.get(SUBSCRIPTION, "calls").await.unwrap()["status"].clone();
    assert_eq!(status["previousIds"], json!([id]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_graph_asked_for_and_got_late_leaves_a_gap() {
    let mut world = World::new("late").await;
    world.subscribed().await;
    let status = async || world.get(SUBSCRIPTION, "calls").await.unwrap()["status"].clone();
    let fault = json!({
        "match": { "method": "PATCH", "pathContains": "/v1.0/subscriptions" }, "action": { "type": "reset" }, "times": 1000,
    });
    world.simulator_post("faults", fault).await;
    let id = status().await["subscriptionId"].clone();
    let told = json!({ "subscriptionId": id, "event": "reauthorizationRequired" });
    // Graph asks for ten minutes between a create and a renewal.
    world.simulator_post("clock/advance", json!({ "seconds": 900 })).await;
    world.ask(TENANT, "contoso").await;
    world.simulator_post("lifecycle", told).await;
    world
        .until("the request is on record", async || {
            status().await["reauthorizationRequiredSince"].is_string()
        })
        .await;
    world
        .simulator_post("clock/advance", json!({ "seconds": 5 * 3600 }))
        .await;
    world.simulator_delete("faults").await;
    world.ask(TENANT, "contoso").await;
    world.ask(SUBSCRIPTION, "calls").await;
    world
        .until("it is renewed, and the gap on record", async || {
            let status = status().await;
            status["reauthorizationRequiredSince"].is_null() && status["gaps"][0]["cause"] == "ReauthorizedLate"
        })
        .await;
    assert_eq!(status().await["subscriptionId"], id);
    world
        .condition(SUBSCRIPTION, "calls", "GapFree", "False", "ReauthorizedLate")
        .await;
}
