//! What the tests stand on: a namespace, the simulator, a webhook that answers Graph's handshake, and replicas of the controller,
//! each behind proxies of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::Query;
use axum_server::tls_rustls::RustlsConfig;
use serde_json::{Value, json};
use teams_graph_operator::simulator::DEFAULT_SECRET;

use crate::gate::Gate;
use crate::kubelet::Kubelet;
use crate::process::Process;
use crate::proxy::{Judge, Proxy, Upstream};
use crate::support::ports::free_port;
use crate::world::{SUBSCRIPTION, TENANT, World};

pub struct Stand {
    pub world: World,
    _answers: Answers,
}

/// Who answers Graph's handshake.
enum Answers {
    /// A webhook of this test.
    Webhook(axum_server::Handle<SocketAddr>),
    /// A receiver, once the controller has built what it needs.
    Receiver { _kubelet: Kubelet },
}

impl Drop for Answers {
    fn drop(&mut self) {
        if let Self::Webhook(webhook) = self {
            webhook.shutdown();
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Handshake {
    validation_token: Option<String>,
}

impl Stand {
    pub async fn new(name: &str) -> Self {
        let world = World::without_controller(name).await;
        let tls = RustlsConfig::from_pem_file(world.path("tls/tls.crt"), world.path("tls/tls.key"))
            .await
            .unwrap();
        let answer = async |Query(handshake): Query<Handshake>| handshake.validation_token.unwrap_or_default();
        let router = axum::Router::new().fallback(answer);
        let webhook = axum_server::Handle::new();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, world.webhook_port));
        let server = axum_server::bind_rustls(address, tls).handle(webhook.clone());
        tokio::spawn(server.serve(router.into_make_service()));
        Self {
            world,
            _answers: Answers::Webhook(webhook),
        }
    }

    /// With a receiver instead of the webhook.
    pub async fn with_receiver(name: &str, receiver: &'static str) -> Self {
        let world = World::without_controller(name).await;
        let kubelet = Kubelet::start(&world, receiver);
        Self {
            world,
            _answers: Answers::Receiver { _kubelet: kubelet },
        }
    }

    /// A tenant, and the client state of every webhook.
    pub async fn apply_tenant(&self) {
        let world = &self.world;
        world.secret("app", &[("client-secret", DEFAULT_SECRET)]).await;
        world.secret("state", &[("client-state", "first")]).await;
        world.apply(TENANT, "contoso", world.tenant_spec()).await;
    }

    pub fn webhook_url(&self, name: &str) -> String {
        format!("https://127.0.0.1:{}/{name}", self.world.webhook_port)
    }

    pub fn subscription_spec(&self, name: &str, resource: &str) -> Value {
        json!({
            "tenantRef": { "name": "contoso" },
            "externalEndpoint": {
                "notificationUrl": self.webhook_url(name),
                "clientStateRef": { "name": "state", "key": "client-state" },
            },
            "resource": resource,
            "changeTypes": ["Created", "Updated"],
        })
    }

    /// Whether the object says that it is subscribed, as its present spec wants it, and nothing is under way.
    pub async fn is_settled(&self, name: &str) -> bool {
        let Some(object) = self.world.get(SUBSCRIPTION, name).await else {
            return false;
        };
        let subscribed = crate::world::condition(&object, "Subscribed");
        let status = &object["status"];
        subscribed["status"] == "True"
            && subscribed["reason"] == "Succeeded"
            && status["observedGeneration"] == object["metadata"]["generation"]
            && status["createPendingSince"].is_null()
            && status["failure"].is_null()
    }
}

/// A replica of the controller. It ends when this is dropped.
pub struct Replica {
    pub process: Arc<Process>,
    pub network: Gate,
    pub telemetry_port: u16,
    identity: &'static str,
    kubeconfig: String,
    to_graph: Proxy,
    _to_api_server: Proxy,
}

impl Replica {
    /// One that does not run yet.
    pub async fn new(world: &World, identity: &'static str, api_server: Judge, graph: Judge) -> Self {
        let process = Arc::new(Process::default());
        let client = Upstream::ApiServer(world.client.clone());
        let to_api_server = Proxy::start(client, process.clone(), api_server).await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let to_graph = Proxy::start(Upstream::Named(client), process.clone(), graph).await;
        let network = Gate::start(to_api_server.address).await;
        let kubeconfig = world.path(&format!("{identity}.kubeconfig"));
        fs::write(&kubeconfig, kubeconfig_for(network.address)).unwrap();
        Self {
            process,
            network,
            telemetry_port: free_port(),
            identity,
            kubeconfig: kubeconfig.display().to_string(),
            to_graph,
            _to_api_server: to_api_server,
        }
    }

    /// Starts it, for the first time or again, ready or not.
    pub async fn start(&self, world: &World, extra: &[(&str, &str)]) {
        let telemetry = format!("127.0.0.1:{}", self.telemetry_port);
        let to_graph = format!("http://{}", self.to_graph.address);
        let mut environment = vec![
            ("KUBECONFIG", self.kubeconfig.as_str()),
            ("POD_NAME", self.identity),
            ("TELEMETRY_LISTEN", &telemetry),
            // Not for TLS, so the webhooks are reached directly.
            ("http_proxy", &to_graph),
            ("no_proxy", ""),
            ("NO_PROXY", ""),
        ];
        environment.extend_from_slice(extra);
        self.process.start(&mut world.controller_command(&environment)).await;
    }

    /// The value of a series, 0 when there is none or the process does not answer.
    pub async fn metric(&self, world: &World, series: &str) -> f64 {
        world.metric(self.telemetry_port, series).await
    }

    pub async fn leads(&self, world: &World) -> bool {
        self.metric(world, "teamsgraph_leader").await > 0.0
    }
}

/// Without credentials: the proxy has them.
fn kubeconfig_for(address: SocketAddr) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
        "clusters": [{ "name": "proxy", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "nobody", "user": {} }],
        "contexts": [{ "name": "proxy", "context": { "cluster": "proxy", "user": "nobody" } }],
    })
    .to_string()
}
