use std::sync::Mutex;

use kube::Client;
use serde_json::{Value, json};

use super::*;
use crate::api::condition::ConditionType;
use crate::controller::testing::{self, Writers, context, refusal};
use crate::simulator::{Config, DEFAULT_APP, DEFAULT_SECRET, DEFAULT_TENANT, Simulator};

/// A tenant in namespace `n` (or another), an API server with its Secret, and Microsoft.
struct World {
    simulator: Simulator,
    context: Arc<Context>,
    writers: Writers,
    tenant: GraphTenant,
    written: Arc<Mutex<Value>>,
}

impl World {
    async fn new() -> Self {
        Self::with(Config::default(), "n").await
    }

    async fn with(config: Config, namespace: &str) -> Self {
        let simulator = Simulator::start(config).await.unwrap();
        let written = Arc::new(Mutex::new(Value::Null));
        let (context, writers) = context(&api_server(written.clone()), "");
        let url = simulator.url();
        let tenant = json!({
            "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphTenant",
            "metadata": {
                "name": "t", "namespace": namespace, "uid": "u", "generation": 1, "finalizers": [IN_USE_FINALIZER],
            },
            "spec": {
                "tenantId": DEFAULT_TENANT, "clientId": DEFAULT_APP, "cloud": "Custom",
                "endpoints": { "login": url, "graph": url },
                "credentials": { "clientSecret": { "secretRef": { "name": "app", "key": "secret" } } },
            },
        });
        Self {
            simulator,
            context,
            writers,
            tenant: serde_json::from_value(tenant).unwrap(),
            written,
        }
    }

    /// The spec is changed.
    fn change(&mut self, change: impl FnOnce(&mut GraphTenant)) {
        change(&mut self.tenant);
        self.tenant.metadata.generation = self.tenant.metadata.generation.map(|generation| generation + 1);
    }

    /// One look, after which the object has the status that was written.
    async fn look(&mut self) -> Action {
        self.writers.tenant(&self.tenant);
        let action = run(Arc::new(self.tenant.clone()), &self.context).await.unwrap();
        let written = std::mem::take(&mut *self.written.lock().unwrap());
        if !written.is_null() {
            self.tenant.status = serde_json::from_value(written).unwrap();
        }
        action
    }

    fn condition(&self, type_: ConditionType) -> (String, String) {
        let status = self.tenant.status.as_ref().unwrap();
        let condition = condition::find(&status.conditions, type_).unwrap();
        (condition.status.clone(), condition.reason.clone())
    }

    fn authenticated(&self) -> (String, String) {
        self.condition(ConditionType::Authenticated)
    }

    async fn simulate(&self, method: &str, path: &str, body: &Value) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/_simulator/{path}", self.simulator.url());
        let answer = http.request(method.parse().unwrap(), url).json(body).send().await;
        answer.unwrap().error_for_status().unwrap();
    }

    fn reference(&self) -> ObjectRef {
        reference_to(&self.tenant)
    }
}

fn api_server(written: Arc<Mutex<Value>>) -> Client {
    testing::client(move |asked| {
        if asked.path.ends_with("/secrets/app") {
            use base64::Engine;
            let value = base64::engine::general_purpose::STANDARD.encode(DEFAULT_SECRET);
            let metadata = json!({ "name": "app", "namespace": "n" });
            return Some((200, json!({ "metadata": metadata, "data": { "secret": value } })));
        }
        if asked.path.ends_with("/status") {
            *written.lock().unwrap() = asked.body["status"].clone();
            let tenant = json!({
                "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphTenant", "metadata": { "name": "t" },
                "spec": { "tenantId": "x", "credentials": {} },
            });
            return Some((200, tenant));
        }
        Some(refusal(404, "NotFound"))
    })
}

fn said(truth: &str, reason: &str) -> (String, String) {
    (truth.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn a_corrected_spec_is_tried_at_once() {
    let mut world = World::new().await;
    let wrong = "99999999-0000-4000-8000-000000000000";
    world.change(|tenant| wrong.clone_into(&mut tenant.spec.tenant_id));
    for _ in 0..5 {
        world.look().await;
        assert_eq!(world.authenticated(), said("False", "UnknownTenant"));
    }
    world.change(|tenant| DEFAULT_TENANT.clone_into(&mut tenant.spec.tenant_id));
    world.look().await;
    assert_eq!(world.authenticated(), said("True", "Succeeded"));

    world.change(|tenant| tenant.spec.endpoints.as_mut().unwrap().login = "http://127.0.0.1:1".to_owned());
    for _ in 0..5 {
        world.look().await;
        assert_eq!(world.authenticated(), said("False", "GraphUnavailable"));
    }
    let url = world.simulator.url().to_owned();
    world.change(|tenant| tenant.spec.endpoints.as_mut().unwrap().login = url);
    world.look().await;
    assert_eq!(world.authenticated(), said("True", "Succeeded"));
}

#[tokio::test]
async fn an_object_of_the_same_name_has_no_past() {
    let mut world = World::new().await;
    world.change(|tenant| tenant.spec.endpoints.as_mut().unwrap().login = "http://127.0.0.1:1".to_owned());
    world.look().await;
    let url = world.simulator.url().to_owned();
    world.tenant.spec.endpoints.as_mut().unwrap().login = url;
    world.look().await;
    assert_eq!(
        world.authenticated(),
        said("False", "GraphUnavailable"),
        "the same generation"
    );
    world.tenant.metadata.uid = Some("another".to_owned());
    world.look().await;
    assert_eq!(world.authenticated(), said("True", "Succeeded"));
}

/// While Entra is away, a token that still lives must not be thrown away.
#[tokio::test]
async fn a_living_token_outlasts_an_outage() {
    let mut world = World::new().await;
    world.look().await;
    let outage = json!({ "match": { "pathContains": "oauth2" }, "action": { "type": "status", "status": 503 } });
    world.simulate("POST", "faults", &outage).await;
    for truth in ["Unknown", "False", "False"] {
        // As after a look when permissions were missing, or unknown.
        let status = world.tenant.status.as_mut().unwrap();
        let permissions = status.conditions.iter_mut().find(|c| c.type_ == "PermissionsGranted");
        truth.clone_into(&mut permissions.unwrap().status);
        world.look().await;
        assert_eq!(world.authenticated(), said("True", "Succeeded"), "{truth}");
    }
    let graph = world.context.apps.get(&world.reference()).unwrap().graph.unwrap();
    graph.authenticate().await.unwrap();
}

#[tokio::test]
async fn consent_that_was_missing_shows_in_a_new_token() {
    let mut world = World::new().await;
    let subscription = json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription",
        "metadata": { "name": "s", "namespace": "n", "uid": "s" },
        "spec": {
            "tenantRef": { "name": "t" }, "receiverRef": { "name": "r" }, "resource": "communications/callRecords",
            "changeTypes": ["Created"],
        },
    });
    world
        .writers
        .subscription(&serde_json::from_value(subscription).unwrap());
    let roles = format!("apps/{DEFAULT_APP}/roles");
    world.simulate("PUT", &roles, &json!([])).await;
    world.look().await;
    let type_ = ConditionType::PermissionsGranted;
    assert_eq!(world.condition(type_), said("False", "PermissionMissing"));
    world.simulate("PUT", &roles, &json!(["CallRecords.Read.All"])).await;
    world.look().await;
    assert_eq!(world.condition(type_), said("True", "Succeeded"));
}

/// The operator's own identity is lent to the namespaces that an administrator named, in the tests to `operator`.
#[tokio::test]
async fn the_operators_identity_is_not_for_everybody() {
    for (credentials, namespace, reason) in [
        (json!({ "workloadIdentity": {} }), "n", "NamespaceNotAllowed"),
        (json!({ "managedIdentity": {} }), "n", "NamespaceNotAllowed"),
        // There is no token file here.
        (json!({ "workloadIdentity": {} }), "operator", "CredentialsMalformed"),
    ] {
        let mut world = World::with(Config::default(), namespace).await;
        world.change(|tenant| tenant.spec.credentials = serde_json::from_value(credentials.clone()).unwrap());
        let action = world.look().await;
        assert_eq!(
            world.authenticated(),
            said("False", reason),
            "{namespace} {credentials}"
        );
        if reason == "NamespaceNotAllowed" {
            assert_eq!(world.condition(ConditionType::Ready), said("False", reason));
            assert_eq!(
                world.condition(ConditionType::CredentialsValid),
                said("Unknown", reason)
            );
            let entry = world.context.apps.get(&world.reference()).unwrap();
            let message = entry.graph.unwrap_err().message;
            assert!(
                message.contains("namespace n") && message.contains("IDENTITY_NAMESPACES"),
                "{message}"
            );
            assert_eq!(action, Action::await_change());
        }
    }
}

#[test]
fn a_star_lends_it_to_all() {
    let settings = |namespaces: &[&str]| {
        let mut settings = testing::settings("");
        settings.identity_namespaces = namespaces.iter().map(ToString::to_string).collect();
        settings
    };
    assert!(settings(&["a", "b"]).lends_identity_to("b"));
    assert!(!settings(&["a", "b"]).lends_identity_to("c"));
    assert!(!settings(&[]).lends_identity_to(""));
    assert!(settings(&["*"]).lends_identity_to("c"));
}

#[tokio::test]
async fn the_client_of_a_tenant_that_is_gone_goes_with_the_last_that_names_it() {
    let mut world = World::new().await;
    world.look().await;
    forget_gone(&world.context);
    assert!(world.context.apps.get(&world.reference()).is_some());
    let subscription = json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription",
        "metadata": { "name": "s", "namespace": "n", "uid": "s" },
        "spec": { "tenantRef": { "name": "t" }, "receiverRef": { "name": "r" }, "resource": "users", "changeTypes": ["Updated"] },
    });
    let subscription = serde_json::from_value(subscription).unwrap();
    world.writers.subscription(&subscription);
    let gone = kube::runtime::watcher::Event::Delete(world.tenant.clone());
    world.writers.tenants.apply_watcher_event(&gone);
    forget_gone(&world.context);
    assert!(
        world.context.apps.get(&world.reference()).is_some(),
        "it is needed for a delete"
    );
    let gone = kube::runtime::watcher::Event::Delete(subscription);
    world.writers.subscriptions.apply_watcher_event(&gone);
    world.writers.index.replace(Vec::new());
    forget_gone(&world.context);
    assert!(world.context.apps.get(&world.reference()).is_none());
}
