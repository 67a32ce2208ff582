//! The Secret with a Management Node's password changes, and goes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{CONNECTOR, apply_pexip};
use crate::world::{World, condition};

const ANSWERED: &str = "teams_connector_api_requests_total{api=\"pexip\",code=\"200\"}";
/// In which what was seen last, three intervals of 15 s ago, is let go of.
const LONGEST: Duration = Duration::from_mins(2);

async fn instances(world: &World) -> Value {
    condition(&world.get(CONNECTOR, "c").await.unwrap(), "InstancesHealthy")
}

async fn healthy(world: &World) {
    world
        .condition(CONNECTOR, "c", "InstancesHealthy", "True", "Succeeded")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_counts_at_once_and_without_one_nothing_is_said_of_the_instances() {
    let world = World::new("connector-rotates").await;
    apply_pexip(&world).await;
    healthy(&world).await;
    let since = instances(&world).await["lastTransitionTime"].clone();
    world.simulator_put("pexip", json!({ "password": "new*&()" })).await;
    // What is answered from now on, is so to the new password.
    let answered = world.metric(world.telemetry_port, ANSWERED).await;
    let new = [("username", "api"), ("password", "new*&()\n")];
    world.secret("pexip", &new).await;
    world.ask(CONNECTOR, "c").await;
    world
        .until("the new password is used", async || {
            world.metric(world.telemetry_port, ANSWERED).await > answered
        })
        .await;
    healthy(&world).await;
    assert_eq!(
        instances(&world).await["lastTransitionTime"],
        since,
        "it was healthy all the time"
    );
    world.condition(CONNECTOR, "c", "Ready", "True", "Accepted").await;

    world.delete_secret("pexip").await;
    world.ask(CONNECTOR, "c").await;
    let message = world
        .condition(CONNECTOR, "c", "Ready", "False", "SecretNotFound")
        .await;
    assert!(message.contains("Secret pexip does not exist; create it"), "{message}");
    let began = Instant::now();
    loop {
        let found = instances(&world).await;
        if found["status"] != "True" {
            assert_eq!(
                (&found["status"], &found["reason"]),
                (&json!("Unknown"), &json!("StaleEvidence")),
                "nobody saw them fail"
            );
            break;
        }
        assert!(began.elapsed() < LONGEST, "{found:#}\n{}", world.logs());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    world.secret("pexip", &new).await;
    world.ask(CONNECTOR, "c").await;
    healthy(&world).await;
    world.condition(CONNECTOR, "c", "Ready", "True", "Accepted").await;
    let object = world.get(CONNECTOR, "c").await.unwrap();
    let told = object.to_string() + &world.full_logs() + &world.metrics(world.telemetry_port).await;
    assert!(!told.contains("new*&()"));
}
