//! Statuses on a real API server.

use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use teams_graph_operator::api::subscription::GraphSubscription;

use crate::manifests::{connector, presence, receiver, subscription, tenant};
use crate::support::{Namespace, client, collection, send};

/// kstatus compares it with the generation; an object without a status would pass for ready.
#[tokio::test]
async fn an_object_that_nobody_looked_at_says_so() {
    let client = client().await;
    let namespace = Namespace::new(&client).await;
    for (plural, object) in [
        ("graphtenants", tenant()),
        ("notificationreceivers", receiver()),
        ("graphsubscriptions", subscription()),
        ("presencesyncs", presence()),
        ("teamsconnectorhealths", connector()),
    ] {
        let path = collection(&namespace.name, plural);
        let created = send(&client, "POST", &path, &object).await.unwrap();
        let read = send(&client, "GET", &format!("{path}/example"), &Value::Null)
            .await
            .unwrap();
        for object in [&created, &read] {
            assert_eq!(object["status"]["observedGeneration"], -1, "{plural}: {object}");
            assert_eq!(object["metadata"]["generation"], 1, "{plural}");
        }
    }
}

/// A status that somebody sends with the object is not taken.
#[tokio::test]
async fn only_the_subresource_writes_the_status() {
    let client = client().await;
    let namespace = Namespace::new(&client).await;
    let path = collection(&namespace.name, "graphsubscriptions");
    let mut object = subscription();
    object["status"] = json!({ "observedGeneration": 7, "subscriptionId": "stolen" });
    let created = send(&client, "POST", &path, &object).await.unwrap();
    assert_eq!(created["status"]["observedGeneration"], -1);
    assert_eq!(created["status"]["subscriptionId"], Value::Null);
}

/// Conditions are merged by type, so that each writer keeps its own.
#[tokio::test]
async fn two_writers_of_conditions_do_not_fight() {
    let client = client().await;
    let namespace = Namespace::new(&client).await;
    let subscriptions: Api<GraphSubscription> = Api::namespaced(client.clone(), &namespace.name);
    let object: GraphSubscription = serde_json::from_value(subscription()).unwrap();
    subscriptions.create(&PostParams::default(), &object).await.unwrap();
    let write = async |writer: &str, type_: &str, status: &str| {
        let condition = json!({
            "type": type_, "status": status, "reason": "Accepted", "message": "",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        });
        let apply = json!({
            "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription",
            "metadata": { "name": "example" }, "status": { "observedGeneration": 1, "conditions": [condition] },
        });
        // Not forced: a conflict is an error.
        let written = subscriptions
            .patch_status("example", &PatchParams::apply(writer), &Patch::Apply(&apply))
            .await
            .unwrap();
        let conditions = written.status.unwrap().conditions;
        conditions
            .iter()
            .map(|condition| format!("{}={}", condition.type_, condition.status))
            .collect::<Vec<_>>()
    };
    assert_eq!(write("one", "Subscribed", "True").await, ["Subscribed=True"]);
    assert_eq!(
        write("two", "GapFree", "True").await,
        ["Subscribed=True", "GapFree=True"]
    );
    assert_eq!(
        write("one", "Subscribed", "False").await,
        ["Subscribed=False", "GapFree=True"]
    );
    assert_eq!(
        write("two", "GapFree", "False").await,
        ["Subscribed=False", "GapFree=False"]
    );
}
