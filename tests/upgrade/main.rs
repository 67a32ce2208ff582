//! From an earlier operator and its definitions to this one, with live subscriptions: none is made anew, none lapses.
//! Run by `tests/upgrade/run`, which builds the earlier one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout
)]

#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code)] // shared with tests/operator
#[path = "../operator/world.rs"]
mod world;

use std::process::Command;

use serde_json::{Value, json};
use teams_graph_operator::simulator::DEFAULT_SECRET;

use crate::support::ports::free_port;
use crate::support::{collection, send};
use crate::world::{RECEIVER, SUBSCRIPTION, TENANT, World, condition};

/// Less than what the shortest life here (call records, 70 hours) has left when its renewal is due.
const STEP_HOURS: i64 = 18;
/// Longer than two thirds of the longest life here (users, 29 days), give or take a twentieth.
const ALL_HOURS: i64 = 21 * 24;
const EVENTS: usize = 40;

/// What is watched: the resource, and for which changes.
fn resources() -> Vec<(String, Value)> {
    let id = |index: usize| format!("8f0c2d3e-0000-4000-8000-{index:012}");
    let mut resources = vec![
        ("communications/callRecords".to_owned(), json!(["Created", "Updated"])),
        ("users".to_owned(), json!(["Updated", "Deleted"])),
        ("groups".to_owned(), json!(["Updated", "Deleted"])),
    ];
    for index in 0..6 {
        resources.push((format!("users/{}/messages", id(index)), json!(["Created"])));
    }
    for index in 0..4 {
        resources.push((format!("users/{}/events", id(index)), json!(["Created", "Updated"])));
        resources.push((format!("chats/19:{}@thread.v2/messages", id(index)), json!(["Created"])));
    }
    for index in 0..3 {
        resources.push((format!("users/{}/contacts", id(index)), json!(["Updated"])));
    }
    resources
}

fn name(index: usize) -> String {
    format!("watch-{index}")
}

fn earlier(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("no {variable}: run tests/upgrade/run"))
}

#[tokio::test(flavor = "multi_thread")]
async fn live_subscriptions_survive_an_upgrade() {
    let client = support::bare_client().await;
    apply_earlier_definitions();
    let mut world = World::with_client(client, "upgrade").await;
    world.operator = earlier("UPGRADE_OPERATOR").into();
    world.start_controller(&[]).await;
    make_all(&mut world).await;
    let before = world.remote().await;
    let objects = objects(&world).await;
    assert_eq!(before.len(), objects.len());
    notify(&world).await;

    support::install_crds(&world.client).await;
    for object in &objects {
        accepts_status(&world, object).await;
    }
    swap_operators(&mut world).await;
    all_fine(&world, &before, "after the upgrade").await;
    for index in 0..before.len() {
        world
            .condition(SUBSCRIPTION, &name(index), "GapFree", "True", "NoGap")
            .await;
    }
    notify(&world).await;
    everything_is_delivered(&world).await;

    let mut hours = 0;
    while hours < ALL_HOURS {
        hours += STEP_HOURS;
        let seconds = STEP_HOURS * 3600;
        world
            .simulator_post("clock/advance", json!({ "seconds": seconds }))
            .await;
        world.ask(TENANT, "contoso").await;
        world
            .until("what is due is renewed", async || none_is_due(&world).await)
            .await;
    }
    all_fine(&world, &before, "three weeks later").await;
    for remote in world.remote().await {
        assert!(remote["renewed"].as_i64().unwrap() > 0, "never renewed: {remote:#}");
    }
    assert_eq!(world.simulator_get("violations").await, json!([]));
    no_reconcile_failed(&world).await;
    can_still_be_changed_and_deleted(&world, &before).await;
    println!(
        "upgrade: {} subscriptions, none made anew, none lapsed, all renewed",
        before.len()
    );
}

fn apply_earlier_definitions() {
    let applied = Command::new("kubectl")
        .args([
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=tests",
            "--filename",
        ])
        .arg(earlier("UPGRADE_CRDS"))
        .status()
        .unwrap();
    assert!(applied.success());
    let established = Command::new("kubectl")
        .args([
            "wait",
            "--for=condition=Established",
            "--timeout=20s",
            "customresourcedefinitions",
            "--all",
        ])
        .status()
        .unwrap();
    assert!(established.success());
}

async fn make_all(world: &mut World) {
    world.secret("app", &[("client-secret", DEFAULT_SECRET)]).await;
    world.apply(TENANT, "contoso", world.tenant_spec()).await;
    world.apply(RECEIVER, "calls", world.receiver_spec()).await;
    world.run_receiver("calls").await;
    for (index, (resource, changes)) in resources().into_iter().enumerate() {
        let spec = json!({
            "tenantRef": { "name": "contoso" }, "receiverRef": { "name": "calls" },
            "resource": resource, "changeTypes": changes,
        });
        world.apply(SUBSCRIPTION, &name(index), spec).await;
    }
    for index in 0..resources().len() {
        world
            .condition(SUBSCRIPTION, &name(index), "Subscribed", "True", "Succeeded")
            .await;
    }
}

async fn objects(world: &World) -> Vec<Value> {
    let mut objects = Vec::new();
    for index in 0..resources().len() {
        objects.push(world.get(SUBSCRIPTION, &name(index)).await.unwrap());
    }
    objects
}

/// What the earlier operator wrote is valid by this tree's definition, to the letter.
async fn accepts_status(world: &World, object: &Value) {
    let name = object["metadata"]["name"].as_str().unwrap();
    let path = format!(
        "{}/{name}/status?dryRun=All",
        collection(&world.namespace, "graphsubscriptions")
    );
    let mut object = world.get(SUBSCRIPTION, name).await.unwrap();
    object["metadata"]["managedFields"].take();
    send(&world.client, "PUT", &path, &object).await.unwrap();
}

/// As a Deployment does it: the new one is ready before the old one is told to end.
async fn swap_operators(world: &mut World) {
    world.operator = world::BINARY.into();
    world.telemetry_port = free_port();
    let telemetry = format!("127.0.0.1:{}", world.telemetry_port);
    world
        .start_controller(&[("TELEMETRY_LISTEN", &telemetry), ("POD_NAME", "new")])
        .await;
    world.stop_first_controller().await;
    world
        .until("the new one leads", async || {
            let metrics = world.metrics(world.telemetry_port).await;
            metrics.contains("teamsgraph_leader 1")
        })
        .await;
    world.kill_receiver().await;
    world.mount_receiver("calls").await;
    world.start_receiver(&[]).await;
}

async fn notify(world: &World) {
    let event = json!({
        "resource": "communications/callRecords", "changeType": "created", "count": EVENTS / 2, "batch": 5,
    });
    world.simulator_post("events", event).await;
}

async fn everything_is_delivered(world: &World) {
    world
        .until("every event is delivered, those of before too", async || {
            let delivered: std::collections::BTreeSet<String> = world.delivered().await.into_iter().collect();
            delivered.len() == EVENTS
        })
        .await;
}

/// The same subscriptions as before, and objects that say so.
async fn all_fine(world: &World, before: &[Value], when: &str) {
    let ids = |remote: &[Value]| -> Vec<Value> { remote.iter().map(|one| one["id"].clone()).collect() };
    for index in 0..before.len() {
        for (type_, reason) in [("Ready", "Accepted"), ("Subscribed", "Succeeded")] {
            world.condition(SUBSCRIPTION, &name(index), type_, "True", reason).await;
        }
    }
    world
        .condition(TENANT, "contoso", "Authenticated", "True", "Succeeded")
        .await;
    let ever = world.simulator_get("subscriptions?all=true").await;
    assert_eq!(
        ids(ever.as_array().unwrap()),
        ids(before),
        "{when}: made anew\n{}",
        world.logs()
    );
    let objects = objects(world).await;
    for object in &objects {
        let id = &object["status"]["subscriptionId"];
        assert!(ids(before).contains(id), "{when}: {object:#}");
        assert_ne!(condition(object, "Stalled")["status"], "True", "{when}: {object:#}");
    }
}

async fn none_is_due(world: &World) -> bool {
    let clock = world.simulator_get("clock").await;
    let now: jiff::Timestamp = clock["now"].as_str().unwrap().parse().unwrap();
    objects(world).await.iter().all(|object| {
        let due: jiff::Timestamp = object["status"]["renewalTime"].as_str().unwrap().parse().unwrap();
        due > now
    })
}

async fn no_reconcile_failed(world: &World) {
    let metrics = world.metrics(world.telemetry_port).await;
    let failed: Vec<&str> = metrics
        .lines()
        .filter(|line| line.starts_with("teamsgraph_reconciles_total") && !line.contains("result=\"ok\""))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}\n{}", world.logs());
}

async fn can_still_be_changed_and_deleted(world: &World, before: &[Value]) {
    let patch = json!({ "spec": { "changeTypes": ["Created"] } });
    world.patch(SUBSCRIPTION, &name(0), patch).await;
    world.delete(SUBSCRIPTION, &name(1)).await;
    world
        .until("one is deleted, and one made anew", async || {
            let remote = world.remote().await;
            let changed = remote
                .iter()
                .any(|one| one["resource"] == "communications/callRecords" && one["changeType"] == "created");
            changed && remote.len() == before.len() - 1 && world.get(SUBSCRIPTION, &name(1)).await.is_none()
        })
        .await;
}
