//! A watch that loses an event without a word is found, and the next process knows what it missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::proxy::{Call, Judge, Meddler, Verdict};
use crate::stand::{Replica, Stand};
use crate::world::SUBSCRIPTION;

const OFTEN: &[(&str, &str)] = &[("WATCH_CHECK_SECONDS", "2")];

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_change_of_a_spec_and_a_lost_deletion_end_the_process_and_are_made_up_for() {
    let stand = Stand::new("stale").await;
    let losing = Arc::new(AtomicBool::new(false));
    let lossy = losing.clone();
    let meddler: Meddler = Arc::new(move |event: &Value| {
        let lost = lossy.load(Ordering::SeqCst) && event["object"]["kind"] == SUBSCRIPTION;
        if lost { Vec::new() } else { vec![Duration::ZERO] }
    });
    let api_server: Judge = Arc::new(move |call: &Call| {
        if call.is_watch() {
            Verdict::Meddle(meddler.clone())
        } else {
            Verdict::Pass
        }
    });
    let replica = Replica::new(&stand.world, "one", api_server, Arc::new(|_: &Call| Verdict::Pass)).await;
    let world = &stand.world;
    replica.start(world, OFTEN).await;
    stand.apply_tenant().await;
    world
        .apply(
            SUBSCRIPTION,
            "calls",
            stand.subscription_spec("calls", "communications/callRecords"),
        )
        .await;
    world
        .until("it is subscribed", async || stand.is_settled("calls").await)
        .await;
    let same = "teamsgraph_watch_checks_total{kind=\"GraphSubscription\",result=\"same\"}";
    world
        .until("the store was compared", async || {
            replica.metric(world, same).await > 1.0
        })
        .await;
    assert!(!replica.process.has_ended().await, "a watch that works is left alone");

    losing.store(true, Ordering::SeqCst);
    world
        .patch(SUBSCRIPTION, "calls", json!({ "spec": { "changeTypes": ["Created"] } }))
        .await;
    found(&stand, &replica).await;
    losing.store(false, Ordering::SeqCst);
    replica.start(world, OFTEN).await;
    world
        .until("the change is made", async || {
            let remote = world.remote().await;
            stand.is_settled("calls").await && remote.len() == 1 && remote[0]["changeType"] == "created"
        })
        .await;

    losing.store(true, Ordering::SeqCst);
    world.delete(SUBSCRIPTION, "calls").await;
    found(&stand, &replica).await;
    losing.store(false, Ordering::SeqCst);
    replica.start(world, OFTEN).await;
    world
        .until("it is gone", async || {
            world.get(SUBSCRIPTION, "calls").await.is_none() && world.remote().await.is_empty()
        })
        .await;
}

async fn found(stand: &Stand, replica: &Replica) {
    stand
        .world
        .until("the process ends", async || replica.process.has_ended().await)
        .await;
    let logs = stand.world.full_logs();
    let last = logs.lines().rfind(|line| line.contains("ERROR"));
    assert!(
        last.is_some_and(|line| line.contains("the watch on GraphSubscription is stale")),
        "{last:?}"
    );
}
