//! `TeamsConnectorHealth`: the controller on a real API server, and servers of the test's own.

mod broadworks;
mod clock;
mod secrets;
mod sip;

use serde_json::{Value, json};
use teams_graph_operator::simulator::DEFAULT_SECRET;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;

use crate::world::{TENANT, World, condition, tls_server};

const CONNECTOR: &str = "TeamsConnectorHealth";

type Connection = TlsStream<TcpStream>;

/// A TLS server on loopback, and the authority that signed its certificate.
struct Server {
    port: u16,
    authority: String,
    running: JoinHandle<()>,
}

impl Server {
    /// One that shows its certificate, and has nothing to say.
    async fn start() -> Self {
        Self::serving(|mut stream| async move {
            let _ = stream.read(&mut [0; 1]).await;
        })
        .await
    }

    /// One that does this with every connection.
    async fn serving<F>(serve: impl Fn(Connection) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (acceptor, authority) = tls_server("localhost");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let running = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, serve) = (acceptor.clone(), serve.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(tcp).await {
                        serve(stream).await;
                    }
                });
            }
        });
        Self {
            port,
            authority,
            running,
        }
    }

    async fn stop(self) {
        self.running.abort();
        let _ = self.running.await;
    }
}

/// Without thresholds and grace, and looked at as often as the schema admits.
fn spec(endpoint: &Value, changes: &Value) -> Value {
    let mut spec = json!({
        "type": "Generic", "interval": "15s", "timeout": "5s", "failureThreshold": 1, "successThreshold": 1, "gracePeriod": "1s",
        "endpoints": [endpoint],
    });
    for (key, value) in changes.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

fn endpoint(server: &Server) -> Value {
    json!({
        "name": "edge", "host": "localhost", "port": server.port, "allowPrivateAddresses": true,
        "expectedAddresses": ["127.0.0.1", "::1"],
        "tls": { "trust": "Bundle", "caBundleSecretRef": { "name": "authority", "key": "ca.crt" } },
    })
}

/// The same by its address, of which there is one.
fn loopback(server: &Server) -> Value {
    let mut endpoint = endpoint(server);
    endpoint["host"] = json!("127.0.0.1");
    endpoint["expectedAddresses"] = json!([]);
    endpoint["tls"]["serverName"] = json!("localhost");
    endpoint
}

fn series(world: &World, name: &str, rest: &str) -> String {
    format!("{name}{{name=\"c\",namespace=\"{}\"{rest}", world.namespace)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_watched_and_told_of_until_it_goes() {
    let world = World::new("connector").await;
    let server = Server::start().await;
    world.secret("authority", &[("ca.crt", &server.authority)]).await;
    world.apply(CONNECTOR, "c", spec(&loopback(&server), &json!({}))).await;
    for type_ in ["Healthy", "EndpointReachable", "CertificatesValid"] {
        world.condition(CONNECTOR, "c", type_, "True", "Succeeded").await;
    }
    let object = world.get(CONNECTOR, "c").await.unwrap();
    assert_eq!(condition(&object, "Ready")["reason"], "Accepted");
    let status = &object["status"];
    assert_eq!(
        (&status["health"], &status["observedGeneration"]),
        (&json!("Healthy"), &json!(1))
    );
    assert_eq!(status["endpoints"][0]["certificates"][0]["role"], "leaf");
    let metrics = world.metrics(world.telemetry_port).await;
    for line in [
        series(&world, "teams_connector_health_status", ",status=\"Healthy\"} 1"),
        series(
            &world,
            "teams_connector_probe_success",
            ",probe=\"endpoint\",target=\"edge\"} 1",
        ),
        series(
            &world,
            "teams_connector_certificate_not_after_timestamp_seconds",
            ",target=\"edge\",role=\"leaf\"} 4102444800",
        ),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }

    server.stop().await;
    world.ask(CONNECTOR, "c").await;
    world
        .condition(CONNECTOR, "c", "EndpointReachable", "False", "ConnectionRefused")
        .await;
    world.event(CONNECTOR, "c", "ConnectionRefused").await;
    let object = world.get(CONNECTOR, "c").await.unwrap();
    let diagnosis = &object["status"]["diagnoses"][0];
    assert_eq!(
        (&diagnosis["code"], &diagnosis["severity"]),
        (&json!("ConnectionRefused"), &json!("Critical"))
    );
    assert_eq!(
        condition(&object, "Ready")["status"],
        "True",
        "its health is another matter"
    );

    world.delete(CONNECTOR, "c").await;
    let own = format!("name=\"c\",namespace=\"{}\"", world.namespace);
    world
        .until("no series of it is left", async || {
            let metrics = world.metrics(world.telemetry_port).await;
            !metrics
                .lines()
                .any(|line| line.starts_with("teams_connector_") && line.contains(&own))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_suspended_is_not_probed() {
    let world = World::new("connector-rests").await;
    let server = Server::start().await;
    world
        .apply(CONNECTOR, "c", spec(&endpoint(&server), &json!({ "suspend": true })))
        .await;
    world.condition(CONNECTOR, "c", "Ready", "True", "Suspended").await;
    world.condition(CONNECTOR, "c", "Healthy", "Unknown", "Suspended").await;
    let object = world.get(CONNECTOR, "c").await.unwrap();
    assert_eq!(condition(&object, "EndpointReachable"), Value::Null, "{object:#}");
    let metrics = world.metrics(world.telemetry_port).await;
    assert!(
        !metrics.contains(&series(&world, "teams_connector_probe_success", "")),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_said_and_what_needs_none_is_probed() {
    let world = World::new("connector-secret").await;
    let server = Server::start().await;
    let plain = json!({
        "name": "plain", "host": "127.0.0.1", "port": server.port, "protocol": "Tcp", "allowPrivateAddresses": true,
    });
    let both = json!({ "endpoints": [endpoint(&server), plain] });
    world.apply(CONNECTOR, "c", spec(&json!({}), &both)).await;
    let message = world
        .condition(CONNECTOR, "c", "Ready", "False", "SecretNotFound")
        .await;
    assert!(
        message.contains("Secret authority does not exist; create it"),
        "{message}"
    );
    world
        .condition(CONNECTOR, "c", "EndpointReachable", "True", "Succeeded")
        .await;
    world.secret("authority", &[("ca.crt", &server.authority)]).await;
    world.ask(CONNECTOR, "c").await;
    world.condition(CONNECTOR, "c", "Ready", "True", "Accepted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_cannot_work_waits_for_another() {
    let world = World::new("connector-invalid").await;
    let server = Server::start().await;
    let windows = json!({ "maintenance": [{ "cron": "0 25 * * *", "duration": "1h" }] });
    let mut endpoint = endpoint(&server);
    endpoint["tls"] = json!({});
    world.apply(CONNECTOR, "c", spec(&endpoint, &windows)).await;
    let message = world.condition(CONNECTOR, "c", "Stalled", "True", "InvalidSpec").await;
    assert!(message.contains("spec.maintenance[0].cron"), "{message}");
    let always = json!({ "spec": { "maintenance": [{ "cron": "* * * * *", "duration": "1h" }] } });
    world.patch(CONNECTOR, "c", always).await;
    world
        .condition(CONNECTOR, "c", "Healthy", "Unknown", "Maintenance")
        .await;
    world.condition(CONNECTOR, "c", "Ready", "True", "Accepted").await;
}

/// The simulator's deployment, with its Management Node at the simulator's own address.
async fn apply_pexip(world: &World) {
    let tenant = world.tenant_spec();
    world.secret("app", &[("client-secret", DEFAULT_SECRET)]).await;
    world
        .secret("pexip", &[("username", "api"), ("password", "simulator-password\n")])
        .await;
    world.apply(TENANT, "contoso", tenant.clone()).await;
    let spec = json!({
        "type": "PexipInfinity", "interval": "15s", "timeout": "5s", "failureThreshold": 1, "successThreshold": 1, "gracePeriod": "1s",
        "pexip": {
            "managementUrl": tenant["endpoints"]["graph"], "credentialsSecretRef": { "name": "pexip" }, "connectorName": "eu",
            "nodeFqdns": ["edge01.example.com"],
            "routingSamples": [{ "alias": "123456789@example.com", "expect": "123456789" }],
        },
        "microsoft": { "tenantId": tenant["tenantId"], "tenantRef": { "name": "contoso" } },
    });
    world.apply(CONNECTOR, "c", spec).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pexip_deployment_is_watched_and_its_calls_are_explained() {
    let world = World::new("connector-pexip").await;
    apply_pexip(&world).await;
    for type_ in [
        "InstancesHealthy",
        "CapacityAvailable",
        "RoutingValid",
        "TenantMatches",
        "ClockSynchronized",
        "Healthy",
    ] {
        world.condition(CONNECTOR, "c", type_, "True", "Succeeded").await;
    }
    world
        .condition(CONNECTOR, "c", "CallsSucceeding", "Unknown", "NoTraffic")
        .await;
    world.condition(CONNECTOR, "c", "Ready", "True", "Accepted").await;
    let object = world.get(CONNECTOR, "c").await.unwrap();
    let pexip = &object["status"]["pexip"];
    assert_eq!(
        (&pexip["instances"]["active"], &pexip["capacity"]),
        (&json!(2), &json!(30))
    );
    let secrets = [
        "simulator-password",
        "simulator-queue-secret",
        "simulator-key-secret",
        "simulator-callee",
    ];
    let told = object.to_string() + &world.full_logs() + &world.metrics(world.telemetry_port).await;
    for secret in secrets {
        assert!(!told.contains(secret), "{secret}");
    }

    // The connector is full, and calls do not get out.
    let full = json!([{ "id": "eu-vmss_1", "call_count": 15 }, { "id": "eu-vmss_2", "call_count": 15 }]);
    world.simulator_post("pexip/objects/status/teamsnode", full).await;
    world
        .simulator_post(
            "pexip/calls",
            json!({ "count": 12, "reason": "Gateway dial out failed" }),
        )
        .await;
    world
        .condition(CONNECTOR, "c", "CapacityAvailable", "False", "Saturated")
        .await;
    world
        .condition(CONNECTOR, "c", "CallsSucceeding", "False", "GatewayDialOutFailed")
        .await;
    world.event(CONNECTOR, "c", "Saturated").await;
    let object = world.get(CONNECTOR, "c").await.unwrap();
    let diagnosis = &object["status"]["diagnoses"][0];
    assert_eq!(
        (&diagnosis["code"], &diagnosis["confidence"]),
        (&json!("Saturated"), &json!("High")),
        "{object:#}"
    );
    assert!(diagnosis["evidenceExpiresAt"].is_string(), "{diagnosis:#}");
    let metrics = world.metrics(world.telemetry_port).await;
    let line = series(&world, "teams_connector_pexip_calls", "} 30");
    assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
}
