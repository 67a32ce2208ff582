//! Webex for BroadWorks: the simulator's subscribers.

use serde_json::json;

use super::{CONNECTOR, series, spec};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_webex_does_not_carry_out_is_told_when_its_time_is_over() {
    let world = World::new("connector-webex").await;
    world.secret("webex", &[("token", "simulator-webex-token")]).await;
    // Answers of Webex are kept for two minutes; the limit passes meanwhile.
    let changes = json!({
        "type": "WebexBroadWorks", "endpoints": [],
        "broadworks": { "webex": {
            "url": format!("{}/webex/v1", world.simulator.url()), "tokenSecretRef": { "name": "webex", "key": "token" },
            "provisioningTimeout": "30s",
        } },
    });
    let ordered = json!({
        "userId": "ada@broadworks.example", "status": "provisioning", "lastStatusChange": jiff::Timestamp::now().to_string(),
    });
    world.simulator_put("webex", json!({ "subscribers": [ordered] })).await;
    world.apply(CONNECTOR, "c", spec(&json!({}), &changes)).await;
    for type_ in ["ProvisioningHealthy", "ClockSynchronized", "Healthy"] {
        world.condition(CONNECTOR, "c", type_, "True", "Succeeded").await;
    }
    let metrics = world.metrics(world.telemetry_port).await;
    let line = series(
        &world,
        "teams_connector_broadworks_subscribers",
        ",status=\"provisioning\"} 1",
    );
    assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");

    let message = world
        .condition(CONNECTOR, "c", "ProvisioningHealthy", "False", "ProvisioningStuck")
        .await;
    assert!(message.contains("has not done it within 30s"), "{message}");
    world.event(CONNECTOR, "c", "ProvisioningStuck").await;
    let object = world.get(CONNECTOR, "c").await.unwrap();
    let status = &object["status"];
    assert_eq!(
        (&status["health"], &status["diagnoses"][0]["code"]),
        (&json!("Degraded"), &json!("ProvisioningStuck")),
        "{status:#}"
    );
    let told = object.to_string() + &world.full_logs() + &world.metrics(world.telemetry_port).await;
    for secret in ["simulator-webex-token", "ada@broadworks", "personal.example"] {
        assert!(!told.contains(secret), "{secret}");
    }
}
