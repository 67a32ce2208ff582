//! Graph, the network and the processes fail in every way; in the end there is exactly one subscription and nothing is lost.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{RECEIVER, SUBSCRIPTION, TENANT, World, subscription_spec};

async fn fault(world: &World, method: &str, action: Value, times: u32) {
    let fault = json!({ "match": { "method": method, "pathContains": "/v1.0/subscriptions" }, "action": action, "times": times });
    world.simulator_post("faults", fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_a_create_can_fail_ends_in_one_subscription() {
    let mut world = World::new("creates").await;
    world
        .secret(
            "app",
            &[("client-secret", teams_graph_operator::simulator::DEFAULT_SECRET)],
        )
        .await;
    world.apply(TENANT, "contoso", world.tenant_spec()).await;
    world.apply(RECEIVER, "calls", world.receiver_spec()).await;
    world.run_receiver("calls").await;
    let faults = [
        json!({ "type": "lostAnswer" }),
        json!({ "type": "reset" }),
        json!({ "type": "status", "status": 503 }),
        json!({ "type": "status", "status": 429, "retryAfter": 1 }),
        json!({ "type": "status", "status": 500 }),
        json!({ "type": "status", "status": 401 }),
    ];
    for action in faults {
        fault(&world, "POST", action.clone(), 1).await;
        world.apply(SUBSCRIPTION, "calls", subscription_spec()).await;
        world
            .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Succeeded")
            .await;
        let remote = world.remote().await;
        assert_eq!(remote.len(), 1, "after {action}: {remote:#?}");
        assert_eq!(
            world.get(SUBSCRIPTION, "calls").await.unwrap()["status"]["subscriptionId"],
            remote[0]["id"]
        );
        world.delete(SUBSCRIPTION, "calls").await;
        world
            .until("it is gone", async || world.get(SUBSCRIPTION, "calls").await.is_none())
            .await;
        assert_eq!(world.remote().await.len(), 0, "after {action}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_stays_subscribed_while_graph_is_away_and_is_renewed_when_it_is_back() {
    let mut world = World::new("away").await;
    world.subscribed().await;
    world
        .simulator_post("clock/advance", json!({ "seconds": 51 * 3600 }))
        .await;
    fault(&world, "PATCH", json!({ "type": "reset" }), 1000).await;
    world.ask(TENANT, "contoso").await;
    let message = world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "GraphUnavailable")
        .await;
    assert!(!message.is_empty());
    world.event(SUBSCRIPTION, "calls", "GraphUnavailable").await;
    world
        .condition(SUBSCRIPTION, "calls", "Ready", "True", "Accepted")
        .await;
    // Ten minutes pass for Graph, of which the operator sees what its backoff lets it see.
    world.simulator_post("clock/advance", json!({ "seconds": 600 })).await;
    world.simulator_delete("faults").await;
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Succeeded")
        .await;
    assert_eq!(world.remote().await[0]["renewed"], 1);
    world.condition(SUBSCRIPTION, "calls", "GapFree", "True", "NoGap").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_killed_at_any_moment_leaves_exactly_one_subscription() {
    let mut world = World::new("kills").await;
    world.subscribed().await;
    let slow = json!({ "match": { "pathContains": "/v1.0/subscriptions" }, "action": { "type": "delay", "ms": 150 }, "times": null });
    world.simulator_post("faults", slow).await;
    for round in 0..6_u64 {
        let changes = if round % 2 == 0 {
            json!(["Created"])
        } else {
            json!(["Created", "Updated"])
        };
        world
            .patch(SUBSCRIPTION, "calls", json!({ "spec": { "changeTypes": changes } }))
            .await;
        tokio::time::sleep(Duration::from_millis(round * 90)).await;
        world.kill_controllers().await;
        world.start_controller(&[]).await;
        let generation = world.get(SUBSCRIPTION, "calls").await.unwrap()["metadata"]["generation"].clone();
        world
            .until("the new spec is subscribed", async || {
                let object = world.get(SUBSCRIPTION, "calls").await.unwrap();
                let remote = world.remote().await;
                object["status"]["observedGeneration"] == generation
                    && remote.len() == 1
                    && remote[0]["id"] == object["status"]["subscriptionId"]
                    && remote[0]["changeType"] == if round % 2 == 0 { "created" } else { "created,updated" }
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_follower_takes_over_and_there_is_still_one() {
    let mut world = World::new("failover").await;
    world.subscribed().await;
    let leader_port = world.telemetry_port;
    world.telemetry_port = crate::support::ports::free_port();
    let follower = format!("127.0.0.1:{}", world.telemetry_port);
    world
        .start_controller(&[("TELEMETRY_LISTEN", &follower), ("POD_NAME", "follower")])
        .await;
    assert!(world.metrics(leader_port).await.contains("teamsgraph_leader 1"));
    assert!(
        world
            .metrics(world.telemetry_port)
            .await
            .contains("teamsgraph_leader 0")
    );
    world.kill_first_controller().await;
    world
        .simulator_post("clock/advance", json!({ "seconds": 51 * 3600 }))
        .await;
    world.ask(TENANT, "contoso").await;
    world
        .until("the follower renews", async || world.remote().await[0]["renewed"] == 1)
        .await;
    assert!(
        world
            .metrics(world.telemetry_port)
            .await
            .contains("teamsgraph_leader 1")
    );
    assert_eq!(world.remote().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_notification_is_lost_when_the_receiver_is_killed() {
    let mut world = World::new("receiver-kill").await;
    world
        .simulator_put(
            "settings",
            json!({ "delivery": { "backoffBaseMs": 100, "endpointStates": false } }),
        )
        .await;
    world.subscribed().await;
    for _ in 0..4 {
        for _ in 0..10 {
            world.simulator_post("events", json!({ "resource": "communications/callRecords", "changeType": "created", "count": 20, "batch": 5 })).await;
        }
        world.kill_receiver().await;
        world.start_receiver(&[]).await;
    }
    world
        .until("everything is acknowledged", async || {
            let summary = world.simulator_get("notifications/summary").await;
            summary["pending"] == 0
        })
        .await;
    let notifications = world.simulator_get("notifications").await;
    let acknowledged: HashSet<String> = notifications
        .as_array()
        .unwrap()
        .iter()
        .filter(|notification| notification["acknowledged"] == true || notification["state"] == "acknowledged")
        .map(|notification| notification["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(acknowledged.len() > 100, "{} acknowledged", acknowledged.len());
    world
        .until("every acknowledged one is delivered", async || {
            let delivered: HashSet<String> = world.delivered().await.into_iter().collect();
            acknowledged.is_subset(&delivered)
        })
        .await;
}
