//! What is exported about connectors: of one that has every condition of a Pexip deployment, and faults of each severity, and of one
//! that has those of BroadWorks.

use std::collections::BTreeSet;

use serde_json::json;
use teams_graph_operator::simulator::DEFAULT_APP;

use crate::promql::samples;
use crate::support::ports::free_port;
use crate::world::World;

const CONNECTOR: &str = "TeamsConnectorHealth";

/// The two connectors; the tenant is there already.
pub async fn watched(world: &World) {
    let tenant = world.tenant_spec();
    world
        .secret("pexip", &[("username", "api"), ("password", "simulator-password")])
        .await;
    let soon = json!({
        "interval": "15s", "timeout": "5s", "failureThreshold": 1, "successThreshold": 1, "gracePeriod": "1s",
    });
    let mut pexip = soon.clone();
    pexip["type"] = json!("PexipInfinity");
    pexip["endpoints"] = json!([
        { "name": "closed", "host": "127.0.0.1", "port": free_port(), "allowPrivateAddresses": true },
    ]);
    pexip["pexip"] = json!({
        "managementUrl": tenant["endpoints"]["graph"], "credentialsSecretRef": { "name": "pexip" }, "connectorName": "eu",
        "routingSamples": [{ "alias": "12@example.com", "expect": "12" }],
    });
    pexip["microsoft"] = json!({
        "tenantId": tenant["tenantId"], "tenantRef": { "name": "contoso" }, "serviceHealth": { "enabled": true },
        "applications": [{ "appId": DEFAULT_APP, "registeredHere": true }],
    });
    pexip["inputs"] = json!({ "addressPrefixes": ["192.0.2.0/24"] });
    world.apply(CONNECTOR, "pexip", pexip).await;
    let mut broadworks = soon;
    broadworks["type"] = json!("WebexBroadWorks");
    broadworks["broadworks"] = json!({ "xsps": { "urls": [format!("http://localhost:{}", free_port())] } });
    world.apply(CONNECTOR, "broadworks", broadworks).await;

    world
        .condition(CONNECTOR, "pexip", "InstancesHealthy", "True", "Succeeded")
        .await;
    // What ended before the first look is not counted.
    let refused = json!({ "count": 5, "reason": "Teams API request failed: Error=\"401\"" });
    world.simulator_post("pexip/calls", refused).await;
    world
        .until("all is exported of the connectors", async || {
            let found = samples(&world.metrics(world.telemetry_port).await);
            let values = |metric: &str, label: &str| -> BTreeSet<String> {
                let of_it = found.get(metric).into_iter().flatten();
                of_it.filter_map(|labels| labels.get(label).cloned()).collect()
            };
            let severities = values("teams_connector_diagnoses", "severity");
            values("teams_connector_condition", "type").contains("ProvisioningHealthy")
                && values("teams_connector_call_failures_total", "reason").contains("api_unauthorized")
                && ["Warning", "Critical"].into_iter().all(|one| severities.contains(one))
                && ["teams_connector_pexip_calls", "teams_connector_probe_success"]
                    .into_iter()
                    .all(|name| found.contains_key(name))
        })
        .await;
}
