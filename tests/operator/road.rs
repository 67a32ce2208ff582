//! The whole road once, and what a user may change on the way.

use futures::StreamExt;
use kube::api::WatchEvent;
use serde_json::json;

use crate::world::{RECEIVER, SUBSCRIPTION, TENANT, World, condition, subscription_spec, uid};

/// After an import thousands come at once, and the API server has to write it all.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_subscription_is_written_twice() {
    let mut world = World::new("writes").await;
    world.subscribed().await;
    let mut told = world.watch(SUBSCRIPTION, "users").await;
    let mut spec = subscription_spec();
    spec["resource"] = json!("users");
    spec["changeTypes"] = json!(["Updated"]);
    world.apply(SUBSCRIPTION, "users", spec).await;
    let mut written = Vec::new();
    loop {
        let event = tokio::time::timeout(std::time::Duration::from_secs(30), told.next()).await;
        let WatchEvent::Modified(object) = event.unwrap().unwrap() else {
            continue;
        };
        let object = serde_json::to_value(object).unwrap();
        let is_subscribed = condition(&object, "Subscribed")["status"] == "True";
        written.push(object);
        if is_subscribed {
            break;
        }
    }
    assert_eq!(written.len(), 2, "the finalizer and the status: {written:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_three_manifests_to_a_delivered_notification_and_back_to_nothing() {
    let mut world = World::new("road").await;
    world.subscribed().await;
    world
        .condition(RECEIVER, "calls", "Reachable", "True", "HandshakeSucceeded")
        .await;
    world
        .condition(TENANT, "contoso", "PermissionsGranted", "True", "Succeeded")
        .await;
    world.event(SUBSCRIPTION, "calls", "Created").await;

    let remote = world.remote().await;
    assert_eq!(remote.len(), 1);
    let status = world.get(SUBSCRIPTION, "calls").await.unwrap()["status"].clone();
    assert_eq!(status["subscriptionId"], remote[0]["id"]);
    assert_eq!(remote[0]["changeType"], "created,updated");

    let event = json!({ "resource": "communications/callRecords", "changeType": "created", "count": 5, "batch": 2, "spelling": "odd" });
    let sent = world.simulator_post("events", event).await;
    assert_eq!(sent.as_array().unwrap().len(), 5);
    world
        .until("all five are delivered", async || world.delivered().await.len() == 5)
        .await;
    world
        .condition(SUBSCRIPTION, "calls", "Delivering", "True", "EventsArriving")
        .await;
    world
        .condition(RECEIVER, "calls", "SinksDelivering", "True", "Succeeded")
        .await;

    let controller = world.metrics(world.telemetry_port).await;
    for name in [
        "teamsgraph_subscription_expiration_timestamp_seconds{",
        "teamsgraph_condition{",
        "teamsgraph_leader 1",
        "teamsgraph_graph_requests_total{",
    ] {
        assert!(controller.contains(name), "{name}\n{controller}");
    }
    let receiver = world.metrics(world.internal_port).await;
    for name in [
        "teamsgraph_receiver_notifications_received_total",
        "teamsgraph_receiver_notifications_stored_total",
        "teamsgraph_receiver_delivered_total",
    ] {
        assert!(receiver.contains(name), "{name}\n{receiver}");
    }

    world.delete(SUBSCRIPTION, "calls").await;
    world
        .until("the object is gone", async || {
            world.get(SUBSCRIPTION, "calls").await.is_none()
        })
        .await;
    assert!(world.remote().await.is_empty());
    world.delete(RECEIVER, "calls").await;
    world
        .until("the receiver is gone", async || {
            world.get(RECEIVER, "calls").await.is_none()
        })
        .await;

    let path = remote[0]["notificationUrl"].as_str().unwrap();
    let proof = path.rsplit('/').next().unwrap();
    let logs = world.full_logs();
    assert!(logs.len() > 200, "nothing was logged");
    for secret in [
        remote[0]["clientState"].as_str().unwrap(),
        proof,
        "simulator-secret",
        "eyJ",
    ] {
        assert!(!logs.contains(secret), "a secret is in the logs: {secret}");
        assert!(
            !status.to_string().contains(secret),
            "a secret is in the status: {secret}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_spec_is_patched_where_graph_allows_and_recreated_where_not() {
    let mut world = World::new("drift").await;
    world.subscribed().await;
    let first = world.remote().await[0]["id"].clone();

    // Graph asks for ten minutes between two renewals.
    world
        .patch(SUBSCRIPTION, "calls", json!({ "spec": { "lifetime": "24h" } }))
        .await;
    world.simulator_post("clock/advance", json!({ "seconds": 700 })).await;
    world.ask(TENANT, "contoso").await;
    world
        .until("it is renewed with the new lifetime", async || {
            world.remote().await[0]["renewed"] == 1
        })
        .await;
    assert_eq!(world.remote().await[0]["id"], first);

    world
        .patch(SUBSCRIPTION, "calls", json!({ "spec": { "changeTypes": ["Created"] } }))
        .await;
    world
        .until("it is recreated", async || {
            world
                .remote()
                .await
                .first()
                .is_some_and(|remote| remote["changeType"] == "created")
        })
        .await;
    let remote = world.remote().await;
    assert_eq!(remote.len(), 1);
    assert_ne!(remote[0]["id"], first);
    world
        .condition(SUBSCRIPTION, "calls", "GapFree", "False", "Recreated")
        .await;
    assert_eq!(world.simulator_get("violations").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn suspend_stops_all_work_and_orphan_leaves_the_remote_one() {
    let mut world = World::new("suspend").await;
    world.subscribed().await;
    world
        .patch(SUBSCRIPTION, "calls", json!({ "spec": { "suspend": true } }))
        .await;
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Suspended")
        .await;
    world
        .patch(
            SUBSCRIPTION,
            "calls",
            json!({ "spec": { "suspend": false, "deletionPolicy": "Orphan" } }),
        )
        .await;
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Succeeded")
        .await;
    world.delete(SUBSCRIPTION, "calls").await;
    world
        .until("the object is gone", async || {
            world.get(SUBSCRIPTION, "calls").await.is_none()
        })
        .await;
    world.event(SUBSCRIPTION, "calls", "Orphaned").await;
    assert_eq!(world.remote().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_status_leads_to_adoption_not_to_a_second_subscription() {
    let mut world = World::new("adopt").await;
    world.subscribed().await;
    let id = world.remote().await[0]["id"].clone();
    world.kill_controllers().await;
    let statuses: kube::Api<teams_graph_operator::api::subscription::GraphSubscription> =
        kube::Api::namespaced(world.client.clone(), &world.namespace);
    let wipe = json!([{ "op": "remove", "path": "/status/subscriptionId" }, { "op": "remove", "path": "/status/expirationTime" }]);
    let wipe = kube::api::Patch::Json::<()>(serde_json::from_value(wipe).unwrap());
    statuses
        .patch_status("calls", &kube::api::PatchParams::default(), &wipe)
        .await
        .unwrap();
    world.start_controller(&[]).await;
    world.event(SUBSCRIPTION, "calls", "Adopted").await;
    let remote = world.remote().await;
    assert_eq!(remote.len(), 1);
    assert_eq!(remote[0]["id"], id);
    assert_eq!(
        world.get(SUBSCRIPTION, "calls").await.unwrap()["status"]["subscriptionId"],
        id
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_comes_and_goes_with_the_spec() {
    let world = World::new("ingress").await;
    let mut spec = world.receiver_spec();
    spec["publicUrl"] = json!("https://hooks.example.com/teams");
    spec["ingress"] = json!({ "className": "nginx", "tlsSecretName": "hooks-tls", "annotations": { "a": "b" } });
    world.apply(RECEIVER, "calls", spec.clone()).await;
    world
        .until("the Ingress is there", async || {
            world.get("Ingress", "calls-receiver").await.is_some()
        })
        .await;
    let ingress = world.get("Ingress", "calls-receiver").await.unwrap();
    let rule = &ingress["spec"]["rules"][0];
    assert_eq!(
        (&rule["host"], &rule["http"]["paths"][0]["path"]),
        (&json!("hooks.example.com"), &json!("/teams"))
    );
    assert_eq!(ingress["spec"]["tls"][0]["secretName"], "hooks-tls");

    spec.as_object_mut().unwrap().remove("ingress");
    world.apply(RECEIVER, "calls", spec.clone()).await;
    world
        .until("the Ingress is gone", async || {
            world.get("Ingress", "calls-receiver").await.is_none()
        })
        .await;

    let pod = world.get("StatefulSet", "calls-receiver").await.unwrap()["spec"]["template"]["spec"].clone();
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);

    spec["httpRoute"] =
        json!({ "parentRefs": [{ "name": "public", "namespace": "gateways", "sectionName": "https" }] });
    world.apply(RECEIVER, "calls", spec).await;
    let message = world
        .condition(RECEIVER, "calls", "Ready", "False", "InvalidSpec")
        .await;
    assert!(message.contains("install the Gateway API"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_run_elsewhere_is_subscribed_too() {
    let mut world = World::new("external").await;
    // Any receiver can play the one elsewhere: its handshake needs a genuine path.
    world.apply_all().await;
    world.run_receiver("calls").await;
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Succeeded")
        .await;
    let url = world.remote().await[0]["notificationUrl"].clone();
    world.secret("state", &[("client-state", "a-state-of-our-own")]).await;
    let mut spec = subscription_spec();
    spec.as_object_mut().unwrap().remove("receiverRef");
    spec["resource"] = json!("users");
    spec["changeTypes"] = json!(["Updated"]);
    spec["externalEndpoint"] =
        json!({ "notificationUrl": url, "clientStateRef": { "name": "state", "key": "client-state" } });
    world.apply(SUBSCRIPTION, "external", spec).await;
    world
        .condition(SUBSCRIPTION, "external", "Subscribed", "True", "Succeeded")
        .await;
    world
        .condition(SUBSCRIPTION, "external", "Delivering", "Unknown", "NotObserved")
        .await;
    let object = world.get(SUBSCRIPTION, "external").await.unwrap();
    assert_eq!(condition(&object, "Ready")["status"], "True");
    assert!(!uid(&object).is_empty());
    assert_eq!(world.remote().await.len(), 2);
}
