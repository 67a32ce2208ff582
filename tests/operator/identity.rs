//! Whose identity is used, and where it is shown.

use serde_json::{Value, json};
use teams_graph_operator::simulator::{Config, DEFAULT_APP, DEFAULT_SECRET, FederatedCredential, Simulator};

use crate::world::{TENANT, World};

/// Two tenants with the ids of one app: what one of them knows must not reach the sign-in service of the other.
#[tokio::test(flavor = "multi_thread")]
async fn equal_ids_at_another_sign_in_service_get_nothing() {
    let world = World::new("copycat").await;
    world.secret("app", &[("client-secret", DEFAULT_SECRET)]).await;
    world.apply(TENANT, "contoso", world.tenant_spec()).await;
    world
        .condition(TENANT, "contoso", "Authenticated", "True", "Succeeded")
        .await;

    // It would take the secret of the other one.
    let evil = Simulator::start(Config::default()).await.unwrap();
    world.secret("copy", &[("client-secret", "a guess")]).await;
    let mut spec = world.tenant_spec();
    spec["endpoints"]["login"] = json!(evil.url());
    spec["credentials"]["clientSecret"]["secretRef"]["name"] = json!("copy");
    world.apply(TENANT, "copy", spec).await;
    world
        .condition(TENANT, "copy", "Authenticated", "False", "CredentialsRejected")
        .await;

    // A corrected address is used at once.
    let url = world.simulator.url().to_owned();
    world.secret("copy", &[("client-secret", DEFAULT_SECRET)]).await;
    world
        .patch(TENANT, "copy", json!({ "spec": { "endpoints": { "login": url } } }))
        .await;
    world
        .condition(TENANT, "copy", "Authenticated", "True", "Succeeded")
        .await;
    world
        .condition(TENANT, "contoso", "Authenticated", "True", "Succeeded")
        .await;
}

fn with_workload_identity(world: &World) -> Value {
    let mut spec = world.tenant_spec();
    spec["credentials"] = json!({ "workloadIdentity": {} });
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_identity_is_not_lent_to_every_namespace() {
    let world = World::new("lent").await;
    world.apply(TENANT, "contoso", with_workload_identity(&world)).await;
    let message = world
        .condition(TENANT, "contoso", "Ready", "False", "NamespaceNotAllowed")
        .await;
    assert!(
        message.contains(&world.namespace) && message.contains("IDENTITY_NAMESPACES"),
        "{message}"
    );
    world
        .condition(TENANT, "contoso", "Authenticated", "False", "NamespaceNotAllowed")
        .await;
    world.event(TENANT, "contoso", "NamespaceNotAllowed").await;
    let requests = world.simulator_get("requests").await;
    assert_eq!(requests, json!([]), "nothing was sent anywhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_namespace_uses_the_operators_identity() {
    let mut world = World::without_controller("named").await;
    let mut directory = world.simulator_get("directory").await;
    directory["tenants"][0]["apps"][0]["federatedCredentials"] = json!([FederatedCredential {
        issuer: "https://issuer".into(),
        subject: "system:serviceaccount:operator:operator".into(),
        audience: "api://AzureADTokenExchange".into(),
        jwks: None,
        accept_unsigned_claims: true,
    }]);
    assert_eq!(directory["tenants"][0]["apps"][0]["clientId"], DEFAULT_APP);
    world.simulator_put("directory", directory).await;
    let file = world.path("federated-token");
    std::fs::write(&file, unsigned_token()).unwrap();
    let namespaces = format!("elsewhere, {}", world.namespace);
    let environment = [
        ("IDENTITY_NAMESPACES", namespaces.as_str()),
        ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap()),
    ];
    world.start_controller(&environment).await;
    world.apply(TENANT, "contoso", with_workload_identity(&world)).await;
    world
        .condition(TENANT, "contoso", "Authenticated", "True", "Succeeded")
        .await;
}

fn unsigned_token() -> String {
    use base64::Engine;
    let part = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "iss": "https://issuer", "sub": "system:serviceaccount:operator:operator",
        "aud": ["api://AzureADTokenExchange"], "exp": jiff::Timestamp::now().as_second() + 3600,
    });
    format!("{}.{}.AA", part(json!({ "alg": "RS256" })), part(claims))
}
