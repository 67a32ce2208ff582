//! What needs a control plane of its own: the API server away, and objects of several namespaces.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::world::{SUBSCRIPTION, TENANT, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_without_the_api_server_and_objects_of_another_namespace() {
    let mut world = World::with_own_control_plane("outage").await;
    world.subscribed().await;
    let id = world.remote().await[0]["id"].clone();

    world.plane().run("stop-apiserver");
    let started = Instant::now();
    let mut ended = 0;
    while started.elapsed() < Duration::from_secs(60) {
        // Meanwhile the receiver takes and delivers, and the controllers end and are started again.
        let event = json!({ "resource": "communications/callRecords", "changeType": "updated" });
        world.simulator_post("events", event).await;
        ended += world.restart_ended_controllers();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(ended > 0, "a leader that cannot renew its lease must end");
    let sent = world.simulator_get("notifications/summary").await;
    assert_eq!(sent["acknowledged"], sent["sent"], "{sent}");
    world.plane().run("start-apiserver");

    world
        .simulator_post("clock/advance", json!({ "seconds": 51 * 3600 }))
        .await;
    let until = Instant::now() + Duration::from_secs(60);
    while world.remote().await[0]["renewed"] != 1 {
        assert!(Instant::now() < until, "not renewed after the outage\n{}", world.logs());
        world.restart_ended_controllers();
        world.ask(TENANT, "contoso").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let remote = world.remote().await;
    assert_eq!((remote.len(), &remote[0]["id"]), (1, &id));
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Succeeded")
        .await;

    other_namespace(&mut world).await;
}

/// A tenant and a receiver say which namespaces may use them.
async fn other_namespace(world: &mut World) {
    let home = std::mem::replace(&mut world.namespace, "guest".to_owned());
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let guest = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "guest", "labels": { "team": "voice" } } });
    let params = PatchParams::apply("test");
    namespaces.patch("guest", &params, &Patch::Apply(guest)).await.unwrap();
    let spec = json!({
        "tenantRef": { "name": "contoso", "namespace": home }, "receiverRef": { "name": "calls", "namespace": home },
        "resource": "users", "changeTypes": ["Updated"],
    });
    world.apply(SUBSCRIPTION, "users", spec).await;
    let message = world
        .condition(SUBSCRIPTION, "users", "Ready", "False", "NamespaceNotAllowed")
        .await;
    assert_eq!(
        message,
        format!("GraphTenant {home}/contoso does not allow namespace guest; add it to its spec.allowedNamespaces")
    );
    world.event(SUBSCRIPTION, "users", "NamespaceNotAllowed").await;

    world.namespace.clone_from(&home);
    let allowed =
        json!({ "spec": { "allowedNamespaces": { "from": "Selector", "matchLabels": { "team": "voice" } } } });
    world.patch(TENANT, "contoso", allowed.clone()).await;
    world.patch("NotificationReceiver", "calls", allowed).await;
    "guest".clone_into(&mut world.namespace);
    world
        .condition(SUBSCRIPTION, "users", "Subscribed", "True", "Succeeded")
        .await;
    world.delete(SUBSCRIPTION, "users").await;
    world
        .until("the guest is gone", async || {
            world.get(SUBSCRIPTION, "users").await.is_none()
        })
        .await;
    world.namespace = home;
}
