//! What the tests on a real API server share. Run them with `make test`, or one file of them with
//! `tests/cluster/api run cargo test --test NAME`.

// Each test program uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::future::Future;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace as NamespaceObject;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Config, ResourceExt};
use serde_json::Value;
use teams_graph_operator::api;
use tokio::sync::OnceCell;

pub mod ports;

/// A client for the test cluster with our kinds in it. Makes one per test: a client does not outlive its runtime.
pub async fn client() -> Client {
    static KINDS: OnceCell<()> = OnceCell::const_new();
    let client = bare_client().await;
    KINDS.get_or_init(|| install_crds(&client)).await;
    client
}

/// The same, with the kinds as they are.
pub async fn bare_client() -> Client {
    let name = std::env::args().next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default();
    let name = name.rsplit_once('-').map_or(name, |(name, _)| name);
    assert!(
        std::env::var_os("KUBECONFIG").is_some(),
        "no cluster: run `make test`, or `tests/cluster/api run cargo test --test {name}`"
    );
    let config = Config::infer().await.expect("KUBECONFIG can be read");
    // These tests replace the definitions of our kinds; nobody wants that in a cluster that is in use.
    let host = config.cluster_url.host().unwrap_or_default();
    assert!(
        ["127.0.0.1", "localhost", "[::1]"].contains(&host) || std::env::var_os("TEST_ANY_CLUSTER").is_some(),
        "KUBECONFIG points to {host}, which may be in use: run `make test`, or set TEST_ANY_CLUSTER=1"
    );
    Client::try_from(config).expect("a client")
}

/// [`client`] has done it. Server-side apply gives the same result whichever test program comes first.
pub async fn install_crds(client: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in api::crds::all() {
        let name = definition.name_any();
        let parameters = PatchParams::apply("tests").force();
        definitions
            .patch(&name, &parameters, &Patch::Apply(&definition))
            .await
            .unwrap_or_else(|error| panic!("the API server refuses {name}: {error}"));
    }
    for definition in api::crds::all() {
        let name = definition.name_any();
        until(&format!("{name} is established"), Duration::from_secs(20), async || {
            let found = definitions.get(&name).await.map_err(|error| error.to_string())?;
            let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
            let holds = conditions
                .iter()
                .any(|condition| condition.type_ == "Established" && condition.status == "True");
            if holds { Ok(()) } else { Err(format!("{conditions:?}")) }
        })
        .await;
    }
}

/// A namespace of a test's own, deleted at its end, also when it fails.
pub struct Namespace {
    /// Its name.
    pub name: String,
}

impl Namespace {
    pub async fn new(client: &Client) -> Self {
        let name = format!("test-{}", uuid::Uuid::new_v4().simple());
        let object = NamespaceObject {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                ..ObjectMeta::default()
            },
            ..NamespaceObject::default()
        };
        let namespaces: Api<NamespaceObject> = Api::all(client.clone());
        namespaces
            .create(&PostParams::default(), &object)
            .await
            .expect("a namespace");
        Self { name }
    }
}

impl Drop for Namespace {
    /// Not waited for: Kubernetes takes five seconds. On a runtime of its own, as the test's may be ending.
    fn drop(&mut self) {
        let name = self.name.clone();
        let deletion = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let namespaces: Api<NamespaceObject> = Api::all(bare_client().await);
                namespaces.delete(&name, &DeleteParams::background()).await.map(drop)
            })
        });
        match deletion.join() {
            Ok(Ok(())) => {}
            failed => eprintln!("namespace {} is left behind: {failed:?}", self.name),
        }
    }
}

/// Asks again and again until the answer is `Ok`. Ends the test after `patience`, with what was seen last.
pub async fn until<T, F>(what: &str, patience: Duration, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let end = Instant::now() + patience;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if Instant::now() >= end => panic!("not within {patience:?}: {what}; last seen: {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A request as `kubectl` makes it: the text as it is, unknown fields refused.
pub async fn send(client: &Client, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let request = http::Request::builder()
        .method(method)
        .uri(format!("{path}{separator}fieldValidation=Strict&fieldManager=tests"))
        .header(
            "content-type",
            if method == "PATCH" {
                "application/merge-patch+json"
            } else {
                "application/json"
            },
        )
        .body(body.to_string().into_bytes())
        .expect("a request");
    client.request(request).await.map_err(|error| match error {
        kube::Error::Api(status) => status.message.clone(),
        other => format!("not an answer of the API server: {other}"),
    })
}

/// Where objects of a kind live.
pub fn collection(namespace: &str, plural: &str) -> String {
    format!("/apis/{}/{}/namespaces/{namespace}/{plural}", api::GROUP, api::VERSION)
}
