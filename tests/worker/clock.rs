//! Clocks that disagree by a day: the simulator's is Microsoft's and the PBX's, the worker's is this machine's.

use serde_json::json;

use crate::innovaphone::PASSWORD;
use crate::world::World;

const DAY: i64 = 86_400;

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_a_day_off_is_told_and_changes_nothing_else() {
    for offset in [DAY, -DAY] {
        let mut world = World::new(2).await;
        world.put("clock", json!({"offsetSeconds": offset})).await;
        world.on_innovaphone(2).await;
        world.configure_innovaphone(PASSWORD, &json!({}), &json!({}));
        world.start();
        // The login's proof does not depend on the time.
        world.synced(2).await;
        world
            .until("told", async || {
                let skew = world.status().await["clockSkewSeconds"].as_i64();
                skew.is_some_and(|skew| (skew - offset).abs() < 10)
            })
            .await;
        let call = world.call(0).await;
        world.until("busy", async || world.shown(0).await == "InACall").await;
        world.hang_up(&call).await;
        world.until("free", async || world.shown(0).await == "Available").await;
        world.derive(1, "Busy", "InAMeeting").await;
        world.until_entry(1, "meeting").await;
        // A choice of the PBX, as long as it holds there, and no longer.
        let away = json!({"contact": "tel:", "activity": "away"});
        world.put("pbx/users/user0/entries", away).await;
        world.until("away", async || world.shown(0).await == "Away").await;

        // The record has times of another day, too.
        world.kill();
        world.delete("pbx/users/user0/entries?contact=tel:").await;
        world.derive(1, "Available", "Available").await;
        world.start();
        world
            .until("no choice", async || world.shown(0).await == "Available")
            .await;
        world.until_entry(1, "").await;
        world.release().await;
        world.lawful().await;
    }
}
