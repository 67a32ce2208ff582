//! What is left at Graph when its object is gone.

use serde_json::json;

use crate::world::{RECEIVER, SUBSCRIPTION, TENANT, World};

const MAIL: &str = "users/8f0c2d3e-0000-4000-8000-000000000001/messages";

/// The object of one of two subscriptions goes without its finalizer, as when it is torn off by hand. Returns the ids of the
/// subscription that is left behind, and of the one that lives.
async fn abandon_one(world: &mut World) -> (String, String) {
    world.subscribed().await;
    let mail = json!({
        "tenantRef": { "name": "contoso" }, "receiverRef": { "name": "calls" },
        "resource": MAIL, "changeTypes": ["Created"],
    });
    world.apply(SUBSCRIPTION, "mail", mail).await;
    world
        .condition(SUBSCRIPTION, "mail", "Subscribed", "True", "Succeeded")
        .await;
    let id = async |name: &str| {
        let object = world.get(SUBSCRIPTION, name).await.unwrap();
        object["status"]["subscriptionId"].as_str().unwrap().to_owned()
    };
    let ids = (id("mail").await, id("calls").await);
    world.kill_controllers().await;
    world
        .patch(SUBSCRIPTION, "mail", json!({ "metadata": { "finalizers": null } }))
        .await;
    world.delete(SUBSCRIPTION, "mail").await;
    world.start_controller(&[]).await;
    ids
}

/// One look, to its end.
async fn look(world: &World) {
    world.ask(TENANT, "contoso").await;
    let answered = async || {
        let tenant = world.get(TENANT, "contoso").await.unwrap();
        let annotation = &tenant["metadata"]["annotations"]["teamsgraph.dev/reconcile-requested-at"];
        tenant["status"]["lastHandledReconcileAt"] == *annotation
    };
    world.until("the tenant was looked at", answered).await;
}

/// Two looks ten minutes apart. The controller has read the receiver's key once it counts the receiver's subscriptions again.
async fn look_twice(world: &World) {
    let metrics = async || world.metrics(world.telemetry_port).await;
    world
        .until("the receiver was looked at", async || {
            metrics()
                .await
                .lines()
                .any(|line| line.starts_with("teamsgraph_reconciles_total") && line.contains(RECEIVER))
        })
        .await;
    look(world).await;
    let status = world.get(TENANT, "contoso").await.unwrap()["status"].clone();
    assert_eq!(status["orphans"], json!(null), "one look is not enough");
    world.simulator_post("clock/advance", json!({ "seconds": 660 })).await;
    look(world).await;
}

fn ids(remote: &[serde_json::Value]) -> Vec<String> {
    remote
        .iter()
        .map(|remote| remote["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_found_and_deleted_only_when_the_policy_says_so() {
    let mut world = World::with_own_control_plane("orphans").await;
    let (orphan, alive) = abandon_one(&mut world).await;
    look_twice(&world).await;
    let status = async || world.get(TENANT, "contoso").await.unwrap()["status"].clone();
    let told = status().await;
    assert_eq!(
        (&told["orphans"], &told["orphanIds"]),
        (&json!(1), &json!([orphan])),
        "{}",
        world.logs()
    );
    world.event(TENANT, "contoso", "OrphanFound").await;
    assert_eq!(world.remote().await.len(), 2, "reported, and left");

    world
        .patch(TENANT, "contoso", json!({ "spec": { "orphanPolicy": "Delete" } }))
        .await;
    world
        .until("the orphan is gone", async || {
            ids(&world.remote().await) == [alive.clone()]
        })
        .await;
    world.event(TENANT, "contoso", "OrphanDeleted").await;
    world
        .until("none is counted", async || status().await["orphans"].is_null())
        .await;
    let metrics = world.metrics(world.telemetry_port).await;
    assert!(metrics.contains("teamsgraph_orphans_deleted_total 1"), "{metrics}");
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Succeeded")
        .await;
    assert_eq!(world.simulator_get("violations").await, json!([]));
}

/// Another operator may watch the namespace of the object.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_where_only_one_namespace_is_watched() {
    let mut world = World::new("namespaced").await;
    let (orphan, _) = abandon_one(&mut world).await;
    world
        .patch(TENANT, "contoso", json!({ "spec": { "orphanPolicy": "Delete" } }))
        .await;
    look_twice(&world).await;
    world.event(TENANT, "contoso", "OrphanFound").await;
    let tenant = world.get(TENANT, "contoso").await.unwrap();
    assert_eq!(tenant["status"]["orphanIds"], json!([orphan]));
    assert_eq!(world.remote().await.len(), 2);
}
