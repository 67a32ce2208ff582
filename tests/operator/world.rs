//! A small world for one test: a namespace on the real API server, the simulator, the controller as its own process, and a
//! receiver process in place of the pod that a kubelet would run.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, Service};
use kube::Client;
use kube::api::{
    Api, DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::core::{ApiResource, GroupVersionKind};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use teams_graph_operator::simulator::{Config, DEFAULT_APP, DEFAULT_SECRET, DEFAULT_TENANT, Simulator};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_rustls::TlsAcceptor;

use crate::support::ports::free_port;

/// Longest wait for anything to come about. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// The operator of this tree.
pub const BINARY: &str = env!("CARGO_BIN_EXE_teams-graph-operator");

pub const TENANT: &str = "GraphTenant";
pub const RECEIVER: &str = "NotificationReceiver";
pub const SUBSCRIPTION: &str = "GraphSubscription";
pub const PRESENCE: &str = "PresenceSync";

pub struct World {
    pub client: Client,
    pub namespace: String,
    pub simulator: Simulator,
    pub webhook_port: u16,
    pub internal_port: u16,
    pub telemetry_port: u16,
    pub presence_port: u16,
    /// The program of the processes that are started next.
    pub operator: PathBuf,
    http: reqwest::Client,
    dir: TempDir,
    controllers: Vec<Child>,
    receiver: Option<Child>,
    plane: Option<ControlPlane>,
}

/// A control plane of this test's own, which may be taken away.
pub struct ControlPlane {
    dir: PathBuf,
    ready_after: Duration,
}

impl ControlPlane {
    fn start() -> Self {
        let dir = std::env::temp_dir().join(format!("teams-graph-plane-{:08x}", fastrand::u32(..)));
        let started = Instant::now();
        let mut plane = Self {
            dir,
            ready_after: Duration::ZERO,
        };
        plane.run("up");
        plane.ready_after = started.elapsed();
        plane
    }

    /// `stop-apiserver` or `start-apiserver`.
    pub fn run(&self, command: &str) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/api");
        let output = std::process::Command::new(script)
            .arg(command)
            .arg(&self.dir)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "api {command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// The process of the API server.
    #[allow(dead_code)] // a bench uses it
    pub fn api_server_pid(&self) -> u32 {
        let pid = fs::read_to_string(self.dir.join("kube-apiserver.pid")).unwrap();
        pid.trim().parse().unwrap()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.run("down");
    }
}

impl World {
    /// A world with a running controller and nothing in it.
    pub async fn new(name: &str) -> Self {
        let mut world = Self::without_controller(name).await;
        world.start_controller(&[]).await;
        world
    }

    pub async fn without_controller(name: &str) -> Self {
        Self::with_client(crate::support::client().await, name).await
    }

    /// The same without a look at the definitions of our kinds.
    pub async fn with_client(client: Client, name: &str) -> Self {
        Self::on(client, None, name).await
    }

    /// A world with a control plane of its own, whose controller watches all namespaces.
    pub async fn with_own_control_plane(name: &str) -> Self {
        let mut world = Self::own_control_plane_alone(name).await;
        world.start_controller(&[]).await;
        world
    }

    /// The same, without a controller.
    pub async fn own_control_plane_alone(name: &str) -> Self {
        let plane = ControlPlane::start();
        let kubeconfig = kube::config::Kubeconfig::read_from(plane.kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
            .await
            .unwrap();
        let client = Client::try_from(config).unwrap();
        crate::support::install_crds(&client).await;
        Self::on(client, Some(plane), name).await
    }

    async fn on(client: Client, plane: Option<ControlPlane>, name: &str) -> Self {
        let namespace = format!("{name}-{:06x}", fastrand::u32(..0x0100_0000));
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let object = Namespace {
            metadata: ObjectMeta {
                name: Some(namespace.clone()),
                ..Default::default()
            },
            ..Default::default()
        };
        namespaces.create(&PostParams::default(), &object).await.unwrap();
        let dir = TempDir::new().unwrap();
        let authority = write_certificates(dir.path());
        let config = Config {
            trusted_ca: Some(authority),
            ..Config::default()
        };
        let simulator = Simulator::start(config).await.unwrap();
        Self {
            client,
            namespace,
            simulator,
            webhook_port: free_port(),
            internal_port: free_port(),
            telemetry_port: free_port(),
            presence_port: free_port(),
            operator: BINARY.into(),
            http: reqwest::Client::new(),
            dir,
            controllers: Vec::new(),
            receiver: None,
            plane,
        }
    }

    /// Starts a controller that watches this namespace alone, and waits until it is ready.
    pub async fn start_controller(&mut self, extra: &[(&str, &str)]) {
        self.spawn_controller(extra);
        let ready = format!("http://127.0.0.1:{}/readyz", self.telemetry_port);
        self.until("the controller is ready", async || {
            self.http
                .get(&ready)
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    /// Starts one, ready or not.
    pub fn spawn_controller(&mut self, extra: &[(&str, &str)]) {
        let child = self.controller_command(extra).kill_on_drop(true).spawn().unwrap();
        self.controllers.push(child);
    }

    /// What starts one, for a test that keeps the process itself.
    pub fn controller_command(&self, extra: &[(&str, &str)]) -> Command {
        let mut command = Command::new(&self.operator);
        command
            .arg("controller")
            .envs(self.controller_environment())
            .envs(extra.iter().copied())
            .stderr(self.log("controller"));
        command
    }

    /// Starts again what ended, as Kubernetes does. Says how many did.
    pub fn restart_ended_controllers(&mut self) -> usize {
        let before = self.controllers.len();
        self.controllers
            .retain_mut(|controller| controller.try_wait().unwrap().is_none());
        let ended = before - self.controllers.len();
        (0..ended).for_each(|_| self.spawn_controller(&[]));
        ended
    }

    /// How long the control plane of this world's own took to start.
    pub fn plane_ready_seconds(&self) -> f64 {
        self.plane().ready_after.as_secs_f64()
    }

    pub fn controller_pid(&self) -> u32 {
        self.controllers[0].id().expect("a running controller")
    }

    pub fn plane(&self) -> &ControlPlane {
        self.plane.as_ref().expect("a control plane of its own")
    }

    fn controller_environment(&self) -> BTreeMap<&'static str, String> {
        let scope = match &self.plane {
            Some(plane) => ("KUBECONFIG", plane.kubeconfig().display().to_string()),
            None => ("WATCH_NAMESPACE", self.namespace.clone()),
        };
        BTreeMap::from([
            scope,
            // As in a cluster, the lease outlives the namespaces of the objects.
            ("POD_NAMESPACE", "default".to_owned()),
            ("LEASE_NAME", self.namespace.clone()),
            ("POD_NAME", format!("controller-{}", self.controllers.len())),
            ("TELEMETRY_LISTEN", format!("127.0.0.1:{}", self.telemetry_port)),
            ("RECEIVER_ADDRESS", format!("http://127.0.0.1:{}", self.internal_port)),
            ("PRESENCE_ADDRESS", format!("http://127.0.0.1:{}", self.presence_port)),
            ("INTERVAL_SECONDS", "5".to_owned()),
            ("SSL_CERT_FILE", self.dir.path().join("ca.crt").display().to_string()),
            ("LOG_FILTER", "info,teams_graph_operator=debug".to_owned()),
        ])
    }

    /// Kills the controllers without a chance to clean up.
    pub async fn kill_controllers(&mut self) {
        for mut controller in self.controllers.drain(..) {
            controller.kill().await.unwrap();
        }
    }

    /// Kills the one that was started first.
    pub async fn kill_first_controller(&mut self) {
        self.controllers.remove(0).kill().await.unwrap();
    }

    /// Tells the one that was started first to end, and waits until it has.
    pub async fn stop_first_controller(&mut self) {
        let mut controller = self.controllers.remove(0);
        let pid = controller.id().expect("a running controller").to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
        let ended = controller.wait().await.unwrap();
        assert!(ended.success(), "{ended}\n{}", self.logs());
    }

    fn log(&self, name: &str) -> Stdio {
        let path = self.dir.path().join(format!("{name}.log"));
        fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap()
            .into()
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let resource = match kind {
            "Event" => ApiResource::from_gvk(&GroupVersionKind::gvk("events.k8s.io", "v1", "Event")),
            "Service" => ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind)),
            "StatefulSet" => ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind)),
            "Ingress" => {
                ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("networking.k8s.io", "v1", kind), "ingresses")
            }
            _ => ApiResource::from_gvk(&GroupVersionKind::gvk("teamsgraph.dev", "v1alpha1", kind)),
        };
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// Applies an object of ours.
    pub async fn apply(&self, kind: &str, name: &str, spec: Value) {
        let object = json!({ "apiVersion": "teamsgraph.dev/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec });
        self.api(kind)
            .patch(name, &PatchParams::apply("test").force(), &Patch::Apply(object))
            .await
            .unwrap();
    }

    pub async fn patch(&self, kind: &str, name: &str, patch: Value) {
        self.api(kind)
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    pub async fn delete(&self, kind: &str, name: &str) {
        self.api(kind).delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub async fn delete_namespace(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// What the API server tells about an object of ours from now on.
    pub async fn watch(&self, kind: &str, name: &str) -> impl Stream<Item = WatchEvent<DynamicObject>> + Unpin {
        let params = WatchParams::default().fields(&format!("metadata.name={name}"));
        let told = self.api(kind).watch(&params, "0").await.unwrap();
        told.map(Result::unwrap).boxed()
    }

    /// A Service that a user made.
    pub async fn create_service(&self, name: &str) {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
            "spec": { "ports": [{ "port": 80 }], "selector": { "mine": "yes" } },
        });
        let services: Api<Service> = Api::namespaced(self.client.clone(), &self.namespace);
        let service = serde_json::from_value(service).unwrap();
        services.create(&PostParams::default(), &service).await.unwrap();
    }

    pub async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let found = self.api(kind).get_opt(name).await.unwrap();
        found.map(|object| serde_json::to_value(object).unwrap())
    }

    pub async fn secret(&self, name: &str, values: &[(&str, &str)]) {
        let data: BTreeMap<_, _> = values.iter().copied().collect();
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": data });
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        secrets
            .patch(name, &PatchParams::apply("test").force(), &Patch::Apply(secret))
            .await
            .unwrap();
    }

    pub async fn delete_secret(&self, name: &str) {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        secrets.delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub fn tenant_spec(&self) -> Value {
        let url = self.simulator.url();
        json!({
            "tenantId": DEFAULT_TENANT,
            "clientId": DEFAULT_APP,
            "cloud": "Custom",
            "endpoints": { "login": url, "graph": url },
            "credentials": { "clientSecret": { "secretRef": { "name": "app", "key": "client-secret" } } },
        })
    }

    pub fn receiver_spec(&self) -> Value {
        json!({
            "publicUrl": format!("https://127.0.0.1:{}", self.webhook_port),
            "sinks": [{ "name": "sink", "http": { "url": format!("{}/_simulator/sink", self.simulator.url()) } }],
        })
    }

    /// The three manifests of the README.
    pub async fn apply_all(&self) {
        self.secret("app", &[("client-secret", DEFAULT_SECRET)]).await;
        self.apply(TENANT, "contoso", self.tenant_spec()).await;
        self.apply(RECEIVER, "calls", self.receiver_spec()).await;
        self.apply(SUBSCRIPTION, "calls", subscription_spec()).await;
    }

    /// All of it, up to a live subscription.
    pub async fn subscribed(&mut self) {
        self.apply_all().await;
        self.run_receiver("calls").await;
        self.condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Succeeded")
            .await;
    }

    /// Does what a kubelet does: mounts what the controller made, runs the receiver, and says that the pod is ready.
    pub async fn run_receiver(&mut self, name: &str) {
        self.mount_receiver(name).await;
        self.start_receiver(&[]).await;
        self.mark_ready(name).await;
    }

    pub async fn mount_receiver(&self, name: &str) {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let keyring_name = format!("{name}-receiver-keyring");
        let workload_name = format!("{name}-receiver");
        self.until("the receiver's objects are built", async || {
            maps.get_opt(&workload_name).await.unwrap().is_some()
                && secrets.get_opt(&keyring_name).await.unwrap().is_some()
        })
        .await;
        let config = maps.get(&workload_name).await.unwrap().data.unwrap();
        write_all(
            &self.dir.path().join("config"),
            config.iter().map(|(name, text)| (name.as_str(), text.as_bytes())),
        );
        let keyring = secrets.get(&keyring_name).await.unwrap().data.unwrap();
        write_all(
            &self.dir.path().join("keyring"),
            keyring.iter().map(|(name, bytes)| (name.as_str(), bytes.0.as_slice())),
        );
    }

    pub async fn start_receiver(&mut self, extra: &[(&str, &str)]) {
        self.receiver = Some(self.receiver_command(extra).spawn().unwrap());
        let ready = format!("http://127.0.0.1:{}/readyz", self.internal_port);
        self.until("the receiver is ready", async || {
            self.http
                .get(&ready)
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    /// What starts one, for a test that keeps the process itself.
    pub fn receiver_command(&self, extra: &[(&str, &str)]) -> Command {
        let path = |name: &str| self.dir.path().join(name);
        for name in ["data", "tokens"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        let mut command = Command::new(&self.operator);
        command
            .arg("receiver")
            .args(["--config-dir", path("config").to_str().unwrap()])
            .args(["--keyring-dir", path("keyring").to_str().unwrap()])
            .args(["--tls-dir", path("tls").to_str().unwrap()])
            .args(["--tokens-dir", path("tokens").to_str().unwrap()])
            .args(["--data-dir", path("data").to_str().unwrap()])
            .args(["--webhook-listen", &format!("127.0.0.1:{}", self.webhook_port)])
            .args(["--internal-listen", &format!("127.0.0.1:{}", self.internal_port)])
            .args(["--drain-delay", "0"])
            .envs(extra.iter().copied())
            .kill_on_drop(true)
            .stderr(self.log("receiver"))
            .stdout(self.log("receiver-stdout"));
        command
    }

    pub async fn kill_receiver(&mut self) {
        self.receiver.take().unwrap().kill().await.unwrap();
    }

    /// The StatefulSet controller makes the pod; without a kubelet it stays pending until somebody says otherwise.
    pub async fn mark_ready(&self, name: &str) {
        self.pod_ready(&format!("{name}-receiver-0"), None).await;
    }

    /// The same for any pod; with an address, the API server's proxy finds it.
    pub async fn pod_ready(&self, pod: &str, address: Option<IpAddr>) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        self.until("the pod exists", async || pods.get_opt(pod).await.unwrap().is_some())
            .await;
        let now = jiff::Timestamp::now().to_string();
        let mut ready = json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": now }] } });
        if let Some(address) = address {
            ready["status"]["podIP"] = json!(address);
            ready["status"]["podIPs"] = json!([{ "ip": address }]);
        }
        pods.patch_status(pod, &PatchParams::default(), &Patch::Merge(ready))
            .await
            .unwrap();
    }

    /// What a kubelet does when its pod is to end.
    pub async fn delete_pod(&self, pod: &str) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let at_once = DeleteParams::default().grace_period(0);
        match pods.delete(pod, &at_once).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => drop(other.unwrap()),
        }
        self.until("the pod is gone", async || pods.get_opt(pod).await.unwrap().is_none())
            .await;
    }

    /// Waits for a condition with this status and reason, and returns its message.
    pub async fn condition(&self, kind: &str, name: &str, type_: &str, status: &str, reason: &str) -> String {
        let started = Instant::now();
        loop {
            let object = self.get(kind, name).await.unwrap_or_default();
            let found = condition(&object, type_);
            if found["status"] == status && found["reason"] == reason {
                return found["message"].as_str().unwrap().to_owned();
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{kind} {name}: {type_} is not {status}/{reason} but {found}\n{:#}\n{}",
                object["status"],
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits for a condition that says what is wrong, for its event and for its metric. Returns its message.
    pub async fn told(&self, kind: &str, name: &str, type_: &str, status: &str, reason: &str) -> String {
        let message = self.condition(kind, name, type_, status, reason).await;
        self.event(kind, name, reason).await;
        let series = format!(
            "teamsgraph_condition{{kind=\"{kind}\",name=\"{name}\",namespace=\"{}\",reason=\"{reason}\",type=\"{type_}\"}} {}",
            self.namespace,
            i32::from(status == "True")
        );
        self.until(&format!("there is a metric {series}"), async || {
            self.metrics(self.telemetry_port)
                .await
                .lines()
                .any(|line| line == series)
        })
        .await;
        message
    }

    /// Waits until an event with this reason was written for an object.
    pub async fn event(&self, kind: &str, name: &str, reason: &str) {
        self.until(&format!("there is an event {reason} for {kind} {name}"), async || {
            self.events(kind, name).await.iter().any(|written| written == reason)
        })
        .await;
    }

    /// Reasons of the events that were written for an object.
    pub async fn events(&self, kind: &str, name: &str) -> Vec<String> {
        let list = self.api("Event").list(&kube::api::ListParams::default()).await.unwrap();
        let about =
            |event: &&DynamicObject| event.data["regarding"]["name"] == name && event.data["regarding"]["kind"] == kind;
        let reason = |event: &DynamicObject| event.data["reason"].as_str().unwrap_or_default().to_owned();
        list.items.iter().filter(about).map(reason).collect()
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, so: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !so().await {
            assert!(
                started.elapsed() < PATIENCE,
                "not so after {} s: {what}\n{}",
                PATIENCE.as_secs(),
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn simulator_get(&self, path: &str) -> Value {
        let url = format!("{}/_simulator/{path}", self.simulator.url());
        self.http
            .get(url)
            .send()
            .await
            .unwrap()
            .error_for_status()
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    pub async fn simulator_post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/_simulator/{path}", self.simulator.url());
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub async fn simulator_put(&self, path: &str, body: Value) {
        let url = format!("{}/_simulator/{path}", self.simulator.url());
        self.http
            .put(url)
            .json(&body)
            .send()
            .await
            .unwrap()
            .error_for_status()
            .unwrap();
    }

    pub async fn simulator_delete(&self, path: &str) {
        let url = format!("{}/_simulator/{path}", self.simulator.url());
        self.http.delete(url).send().await.unwrap().error_for_status().unwrap();
    }

    /// Subscriptions that live at the simulator.
    pub async fn remote(&self) -> Vec<Value> {
        self.simulator_get("subscriptions").await.as_array().unwrap().clone()
    }

    /// Ids in the CloudEvents that the sink took.
    pub async fn delivered(&self) -> Vec<String> {
        let sink = self.simulator_get("sink").await;
        sink.as_array()
            .unwrap()
            .iter()
            .map(|event| event["body"]["data"]["id"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    pub async fn metrics(&self, port: u16) -> String {
        self.try_metrics(port).await.unwrap()
    }

    /// The same of a process that may be gone.
    pub async fn try_metrics(&self, port: u16) -> Result<String, reqwest::Error> {
        let url = format!("http://127.0.0.1:{port}/metrics");
        self.http.get(url).send().await?.text().await
    }

    /// The value of a series, 0 when there is none or the process does not answer.
    pub async fn metric(&self, port: u16, series: &str) -> f64 {
        let text = self.try_metrics(port).await.unwrap_or_default();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Asks for a look at an object right now.
    pub async fn ask(&self, kind: &str, name: &str) {
        let value = format!("{}", fastrand::u64(..));
        self.patch(
            kind,
            name,
            json!({ "metadata": { "annotations": { "teamsgraph.dev/reconcile-requested-at": value } } }),
        )
        .await;
    }

    /// What the processes logged, for a failed test.
    pub fn logs(&self) -> String {
        let log = |name: &str| fs::read_to_string(self.dir.path().join(format!("{name}.log"))).unwrap_or_default();
        let tail = |text: String| {
            text.lines()
                .rev()
                .take(40)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
                .join("\n")
        };
        format!(
            "controller:\n{}\nreceiver:\n{}",
            tail(log("controller")),
            tail(log("receiver"))
        )
    }

    /// All that the processes logged.
    pub fn full_logs(&self) -> String {
        ["controller", "receiver", "receiver-stdout"]
            .map(|name| fs::read_to_string(self.dir.path().join(format!("{name}.log"))).unwrap_or_default())
            .join("\n")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The control plane ends with the run; what matters is that no finalizer of this namespace waits for a controller.
        if std::thread::panicking() {
            eprintln!("namespace {} is left for a look", self.namespace);
        }
    }
}

pub fn condition(object: &Value, type_: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions
        .into_iter()
        .find(|condition| condition["type"] == type_)
        .unwrap_or_default()
}

pub fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap().to_owned()
}

pub fn write_all<'a>(dir: &Path, files: impl Iterator<Item = (&'a str, &'a [u8])>) {
    fs::create_dir_all(dir).unwrap();
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).unwrap();
    }
}

/// A certificate with its key, and the authority (PEM) that signed it.
struct Signed {
    authority: String,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Signed {
    fn new(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = authority.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(authority, key);
        let key = KeyPair::generate().unwrap();
        Self {
            authority: pem,
            certificate: params.signed_by(&key, &issuer).unwrap(),
            key,
        }
    }
}

/// An authority, and a certificate for 127.0.0.1. Returns the authority's certificate.
fn write_certificates(dir: &Path) -> String {
    let signed = Signed::new(&CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap());
    fs::write(dir.join("ca.crt"), &signed.authority).unwrap();
    let (pem, key) = (signed.certificate.pem(), signed.key.serialize_pem());
    write_all(
        &dir.join("tls"),
        [("tls.crt", pem.as_bytes()), ("tls.key", key.as_bytes())].into_iter(),
    );
    signed.authority
}

/// A TLS server for this name, and the authority (PEM) that signed its certificate.
pub fn tls_server(name: &str) -> (TlsAcceptor, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    let signed = Signed::new(&params);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(signed.certificate.der().to_vec())],
            PrivateKeyDer::try_from(signed.key.serialize_der()).unwrap(),
        )
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), signed.authority)
}

pub fn subscription_spec() -> Value {
    json!({
        "tenantRef": { "name": "contoso" },
        "receiverRef": { "name": "calls" },
        "resource": "communications/callRecords",
        "changeTypes": ["Created", "Updated"],
    })
}
