//! What users and their surroundings get wrong: each time a precise condition, an event, a metric, and recovery once mended.

use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::routing::post;
use rcgen::{CertificateParams, KeyPair};
use serde::Deserialize;
use serde_json::{Value, json};
use teams_graph_operator::simulator::{DEFAULT_APP, DEFAULT_SECRET};

use crate::world::{RECEIVER, SUBSCRIPTION, TENANT, World, subscription_spec};

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_missing_or_wrong() {
    let mut world = World::new("credentials").await;
    world.apply(TENANT, "contoso", world.tenant_spec()).await;
    world.apply(RECEIVER, "calls", world.receiver_spec()).await;
    world.apply(SUBSCRIPTION, "calls", subscription_spec()).await;
    world.run_receiver("calls").await;

    let message = world.told(TENANT, "contoso", "Ready", "False", "SecretNotFound").await;
    assert!(
        message.contains("spec.credentials.clientSecret.secretRef: Secret app does not exist"),
        "{message}"
    );
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "False", "SecretNotFound")
        .await;

    world.secret("app", &[("password", "x")]).await;
    let message = world
        .told(TENANT, "contoso", "Authenticated", "False", "SecretKeyMissing")
        .await;
    assert!(message.contains("no text under the key client-secret"), "{message}");

    world.secret("app", &[("client-secret", "wrong")]).await;
    let message = world
        .told(TENANT, "contoso", "Authenticated", "False", "CredentialsRejected")
        .await;
    assert!(!message.contains("wrong\""), "{message}");
    world.condition(TENANT, "contoso", "Ready", "True", "Accepted").await;
    world
        .condition(TENANT, "contoso", "CredentialsValid", "False", "CredentialsRejected")
        .await;
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "False", "CredentialsRejected")
        .await;
    let metrics = world.metrics(world.telemetry_port).await;
    assert!(
        metrics.contains("teamsgraph_failures_total{kind=\"GraphTenant\",reason=\"CredentialsRejected\"}"),
        "{metrics}"
    );

    world.secret("app", &[("client-secret", DEFAULT_SECRET)]).await;
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Succeeded")
        .await;
    world
        .condition(TENANT, "contoso", "CredentialsValid", "True", "Succeeded")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_or_app_that_microsoft_does_not_know() {
    let world = World::new("unknown").await;
    world.secret("app", &[("client-secret", DEFAULT_SECRET)]).await;
    let mut spec = world.tenant_spec();
    spec["tenantId"] = json!("99999999-0000-4000-8000-000000000000");
    world.apply(TENANT, "contoso", spec).await;
    world
        .told(TENANT, "contoso", "Authenticated", "False", "UnknownTenant")
        .await;
    let mut spec = world.tenant_spec();
    spec["clientId"] = json!("99999999-0000-4000-8000-000000000000");
    world.apply(TENANT, "contoso", spec).await;
    world
        .told(TENANT, "contoso", "Authenticated", "False", "UnknownApplication")
        .await;
}

/// An RSA certificate from OpenSSL's key and `rcgen`, valid until a number of days from now.
fn certificate(world: &World, days: i64) -> (String, String) {
    let key_file = world.path("app.key");
    let made = std::process::Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-quiet",
            "-out",
        ])
        .arg(&key_file)
        .stderr(std::process::Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        // OpenSSL before 3.1 has no -quiet for this command.
        let made = std::process::Command::new("openssl")
            .args(["genrsa", "-out"])
            .arg(&key_file)
            .arg("2048")
            .output()
            .unwrap();
        assert!(made.status.success(), "openssl genrsa");
    }
    let key_pem = std::fs::read_to_string(&key_file).unwrap();
    let key = KeyPair::from_pem(&key_pem).unwrap();
    let mut params = CertificateParams::new(vec!["app".to_owned()]).unwrap();
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
    let end = end.to_zoned(jiff::tz::TimeZone::UTC);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(
        i32::from(end.year()),
        u8::try_from(end.month()).unwrap(),
        u8::try_from(end.day()).unwrap(),
    );
    (params.self_signed(&key).unwrap().pem(), key_pem)
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_good_expiring_expired_and_broken() {
    let world = World::new("certificate").await;
    let mut spec = world.tenant_spec();
    spec["credentials"] = json!({ "certificate": { "secretName": "certificate" } });
    let (good, key) = certificate(&world, 365);
    world
        .simulator_put(&format!("apps/{DEFAULT_APP}/certificates"), json!([good]))
        .await;
    world
        .secret("certificate", &[("tls.crt", &good), ("tls.key", &key)])
        .await;
    world.apply(TENANT, "contoso", spec).await;
    world
        .condition(TENANT, "contoso", "Authenticated", "True", "Succeeded")
        .await;
    world
        .condition(TENANT, "contoso", "CredentialsValid", "True", "Succeeded")
        .await;
    assert!(world.get(TENANT, "contoso").await.unwrap()["status"]["credentialExpirationTime"].is_string());

    let (soon, key) = certificate(&world, 10);
    world
        .simulator_put(&format!("apps/{DEFAULT_APP}/certificates"), json!([soon]))
        .await;
    world
        .secret("certificate", &[("tls.crt", &soon), ("tls.key", &key)])
        .await;
    world
        .condition(TENANT, "contoso", "CredentialsValid", "True", "CertificateExpiring")
        .await;

    let (expired, key) = certificate(&world, -10);
    world
        .secret("certificate", &[("tls.crt", &expired), ("tls.key", &key)])
        .await;
    world
        .condition(TENANT, "contoso", "CredentialsValid", "False", "CertificateExpired")
        .await;
    world
        .told(TENANT, "contoso", "Authenticated", "False", "CertificateExpired")
        .await;

    world
        .secret("certificate", &[("tls.crt", "not a certificate"), ("tls.key", &key)])
        .await;
    world
        .condition(TENANT, "contoso", "Authenticated", "False", "CredentialsMalformed")
        .await;
    assert!(!world.full_logs().contains("PRIVATE KEY"));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_consent_is_told_before_the_create_and_heals() {
    let mut world = World::new("consent").await;
    world
        .simulator_put(&format!("apps/{DEFAULT_APP}/roles"), json!(["User.Read.All"]))
        .await;
    world.apply_all().await;
    world.run_receiver("calls").await;
    let message = world
        .told(SUBSCRIPTION, "calls", "Subscribed", "False", "PermissionMissing")
        .await;
    assert!(message.contains("CallRecords.Read.All"), "{message}");
    world
        .told(TENANT, "contoso", "PermissionsGranted", "False", "PermissionMissing")
        .await;
    let requests = world.simulator_get("requests").await;
    let creates = requests
        .as_array()
        .unwrap()
        .iter()
        .filter(|request| request["method"] == "POST" && request["path"] == "/v1.0/subscriptions");
    assert_eq!(creates.count(), 0, "no create was tried");
    world
        .simulator_put(&format!("apps/{DEFAULT_APP}/roles"), json!(["CallRecords.Read.All"]))
        .await;
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Succeeded")
        .await;
    world
        .condition(TENANT, "contoso", "PermissionsGranted", "True", "Succeeded")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_403_from_graph_is_tried_again_slowly() {
    let mut world = World::new("forbidden").await;
    let body = json!({ "match": { "method": "POST", "pathContains": "/subscriptions" }, "action": {
        "type": "status", "status": 403, "code": "ExtensionError",
        "message": "Operation: Create; Exception: [Status Code: Forbidden; Reason: Forbidden]" } });
    world.simulator_post("faults", body).await;
    world.apply_all().await;
    world.run_receiver("calls").await;
    world
        .told(SUBSCRIPTION, "calls", "Subscribed", "False", "Forbidden")
        .await;
    world.simulator_delete("faults").await;
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Succeeded")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn specs_that_cannot_work_are_stalled_with_the_remedy() {
    let mut world = World::new("spec").await;
    world.subscribed().await;
    let mut spec = subscription_spec();
    spec["changeTypes"] = json!(["Created", "Deleted"]);
    world.apply(SUBSCRIPTION, "deleted", spec).await;
    let message = world
        .told(SUBSCRIPTION, "deleted", "Stalled", "True", "InvalidSpec")
        .await;
    assert_eq!(
        message,
        "spec.changeTypes: Deleted is not supported for communications/callRecords; supported: Created, Updated"
    );

    let mut spec = subscription_spec();
    spec["resource"] = json!("users");
    spec["changeTypes"] = json!(["Updated"]);
    spec["lifetime"] = json!("100000h");
    world.apply(SUBSCRIPTION, "long", spec).await;
    world
        .condition(SUBSCRIPTION, "long", "Subscribed", "True", "Succeeded")
        .await;
    world.event(SUBSCRIPTION, "long", "LifetimeLimited").await;

    let mut spec = subscription_spec();
    spec["tenantRef"] = json!({ "name": "nobody" });
    world.apply(SUBSCRIPTION, "no-tenant", spec).await;
    world
        .told(SUBSCRIPTION, "no-tenant", "Ready", "False", "TenantNotFound")
        .await;
    let mut spec = subscription_spec();
    spec["receiverRef"] = json!({ "name": "nobody" });
    world.apply(SUBSCRIPTION, "no-receiver", spec).await;
    world
        .told(SUBSCRIPTION, "no-receiver", "Ready", "False", "ReceiverNotFound")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_for_the_same_resource_the_younger_waits() {
    let mut world = World::new("twins").await;
    world.subscribed().await;
    world.apply(SUBSCRIPTION, "twin", subscription_spec()).await;
    let message = world
        .told(SUBSCRIPTION, "twin", "Subscribed", "False", "DuplicateSubscription")
        .await;
    assert!(message.contains(&format!("{}/calls", world.namespace)), "{message}");
    assert_eq!(world.remote().await.len(), 1);
    world.delete(SUBSCRIPTION, "calls").await;
    world
        .condition(SUBSCRIPTION, "twin", "Subscribed", "True", "Succeeded")
        .await;
    assert_eq!(world.remote().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_of_somebody_else_is_left_alone() {
    let mut world = World::new("foreign").await;
    world.subscribed().await;
    let mine = world.remote().await[0].clone();
    // Somebody else's webhook for the same resource, made with the same app: the path is not derived for our object.
    world
        .patch(SUBSCRIPTION, "calls", json!({ "spec": { "deletionPolicy": "Orphan" } }))
        .await;
    world.delete(SUBSCRIPTION, "calls").await;
    world
        .until("the object is gone", async || {
            world.get(SUBSCRIPTION, "calls").await.is_none()
        })
        .await;
    world.apply(SUBSCRIPTION, "calls", subscription_spec()).await;
    let message = world
        .told(SUBSCRIPTION, "calls", "Subscribed", "False", "Conflict")
        .await;
    assert!(message.contains("left alone"), "{message}");
    assert_eq!(world.remote().await[0]["id"], mine["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_in_use_stays_until_nobody_needs_it() {
    let mut world = World::new("in-use").await;
    world.subscribed().await;
    world.delete(RECEIVER, "calls").await;
    let message = world.told(RECEIVER, "calls", "Ready", "False", "InUse").await;
    assert!(message.contains(&format!("{}/calls", world.namespace)), "{message}");
    assert!(world.get("StatefulSet", "calls-receiver").await.is_some());
    world.delete(SUBSCRIPTION, "calls").await;
    world
        .until("the receiver is gone", async || {
            world.get(RECEIVER, "calls").await.is_none()
        })
        .await;
    world
        .until("its pods are gone", async || {
            world.get("StatefulSet", "calls-receiver").await.is_none()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_address_where_nobody_answers() {
    let mut world = World::new("unreachable").await;
    world.apply_all().await;
    world.mount_receiver("calls").await;
    world.mark_ready("calls").await;
    world
        .told(RECEIVER, "calls", "Reachable", "False", "ConnectionFailed")
        .await;
    world
        .told(SUBSCRIPTION, "calls", "Subscribed", "False", "EndpointValidationFailed")
        .await;
    world.start_receiver(&[]).await;
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Succeeded")
        .await;
    world
        .condition(RECEIVER, "calls", "Reachable", "True", "HandshakeSucceeded")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_address_that_leads_to_the_wrong_path() {
    let mut world = World::new("wrong-path").await;
    world.apply_all().await;
    world.mount_receiver("calls").await;
    let file = world.path("config").join("receiver.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["pathPrefix"] = json!("/elsewhere");
    std::fs::write(&file, config.to_string()).unwrap();
    world.start_receiver(&[]).await;
    world.mark_ready("calls").await;
    let message = world.told(RECEIVER, "calls", "Reachable", "False", "WrongPath").await;
    assert!(message.contains("404"), "{message}");
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "False", "EndpointValidationFailed")
        .await;
}

#[derive(Deserialize)]
struct Handshake {
    #[serde(rename = "validationToken")]
    token: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn something_on_the_way_that_alters_the_token() {
    let mut world = World::new("altered").await;
    world.apply_all().await;
    world.mount_receiver("calls").await;
    let quoting = Router::new().fallback(post(|Query(handshake): Query<Handshake>| async move {
        format!("\"{}\"", handshake.token)
    }));
    let tls = world.path("tls");
    let config = axum_server::tls_rustls::RustlsConfig::from_pem_file(tls.join("tls.crt"), tls.join("tls.key"))
        .await
        .unwrap();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], world.webhook_port));
    let handle = axum_server::Handle::new();
    let server = axum_server::bind_rustls(address, config).handle(handle.clone());
    tokio::spawn(server.serve(quoting.into_make_service()));
    world.mark_ready("calls").await;
    world
        .told(RECEIVER, "calls", "Reachable", "False", "HandshakeAltered")
        .await;
    let message = world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "False", "EndpointValidationFailed")
        .await;
    assert!(message.contains("exactly match"), "{message}");
    handle.shutdown();
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.start_receiver(&[]).await;
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Succeeded")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_the_pods_mount_are_checked_first() {
    let world = World::new("mounts").await;
    let mut spec = world.receiver_spec();
    spec["tls"] = json!({ "secretRef": { "name": "public-tls" } });
    world.apply(RECEIVER, "calls", spec).await;
    let message = world.told(RECEIVER, "calls", "Ready", "False", "SecretNotFound").await;
    assert!(
        message.contains("spec.tls.secretRef: Secret public-tls does not exist"),
        "{message}"
    );
    world.secret("public-tls", &[("tls.crt", "x")]).await;
    world
        .told(RECEIVER, "calls", "Ready", "False", "SecretKeyMissing")
        .await;
    world.secret("public-tls", &[("tls.crt", "x"), ("tls.key", "x")]).await;
    world.condition(RECEIVER, "calls", "Ready", "True", "Accepted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_ends_even_without_credentials() {
    let mut world = World::new("dead").await;
    world.subscribed().await;
    world.secret("app", &[("client-secret", "wrong")]).await;
    world.ask(TENANT, "contoso").await;
    world
        .condition(TENANT, "contoso", "Authenticated", "False", "CredentialsRejected")
        .await;
    world.delete_namespace().await;
    world
        .until("the object is gone", async || {
            world.get(SUBSCRIPTION, "calls").await.is_none()
        })
        .await;
    let left = "teamsgraph_failures_total{kind=\"GraphSubscription\",reason=\"DeletionAbandoned\"} 1";
    world
        .until("it is counted once that one was left at Graph", async || {
            world
                .metrics(world.telemetry_port)
                .await
                .lines()
                .any(|line| line == left)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_in_use_stays_until_its_subscriptions_are_released() {
    let mut world = World::new("held").await;
    world.subscribed().await;
    world.delete(TENANT, "contoso").await;
    let message = world.told(TENANT, "contoso", "Ready", "False", "InUse").await;
    assert!(message.contains(&format!("{}/calls", world.namespace)), "{message}");
    world
        .condition(SUBSCRIPTION, "calls", "Subscribed", "True", "Succeeded")
        .await;
    // The leader's memory of the tenant goes with the leader.
    world.kill_controllers().await;
    world.delete(SUBSCRIPTION, "calls").await;
    world.start_controller(&[]).await;
    world
        .until("both are gone", async || {
            world.get(SUBSCRIPTION, "calls").await.is_none() && world.get(TENANT, "contoso").await.is_none()
        })
        .await;
    assert!(world.remote().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_goes_while_the_leader_dies_leaves_nothing_at_graph() {
    let mut world = World::new("goes").await;
    world.subscribed().await;
    world.delete_namespace().await;
    world.kill_controllers().await;
    world.start_controller(&[]).await;
    world
        .until("the object is gone", async || {
            world.get(SUBSCRIPTION, "calls").await.is_none()
        })
        .await;
    assert!(world.remote().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_the_users_own_is_not_taken_over() {
    let world = World::new("own").await;
    world.create_service("calls-receiver").await;
    world.apply(RECEIVER, "calls", world.receiver_spec()).await;
    let message = world.told(RECEIVER, "calls", "Ready", "False", "NotBuilt").await;
    assert!(message.contains("Service calls-receiver exists"), "{message}");
    world.delete("Service", "calls-receiver").await;
    world.condition(RECEIVER, "calls", "Ready", "True", "Accepted").await;
}
