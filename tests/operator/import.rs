//! `import`: from what somebody made by hand to a receiver of ours, without losing hold of it.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Query;
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Value, json};
use teams_graph_operator::simulator::{DEFAULT_APP, DEFAULT_SECRET, DEFAULT_TENANT};
use tokio::process::Command;

use crate::support::ports::free_port;
use crate::support::{collection, send};
use crate::world::{RECEIVER, SUBSCRIPTION, TENANT, World};

const BINARY: &str = env!("CARGO_BIN_EXE_teams-graph-operator");

#[derive(Deserialize)]
struct Handshake {
    #[serde(rename = "validationToken")]
    token: Option<String>,
}

/// A webhook of somebody else. Returns its address.
async fn webhook(world: &World) -> String {
    let routes = Router::new().fallback(post(|Query(handshake): Query<Handshake>| async move {
        handshake.token.unwrap_or_default()
    }));
    let tls = world.path("tls");
    let config = axum_server::tls_rustls::RustlsConfig::from_pem_file(tls.join("tls.crt"), tls.join("tls.key"))
        .await
        .unwrap();
    let port = free_port();
    let server = axum_server::bind_rustls(SocketAddr::from(([127, 0, 0, 1], port)), config);
    tokio::spawn(server.serve(routes.into_make_service()));
    format!("https://127.0.0.1:{port}/take?code=s3cret")
}

/// Makes a subscription as the app does that was there before.
async fn subscribe(world: &World, resource: &str, changes: &str, url: &str) -> String {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", DEFAULT_APP),
        ("client_secret", DEFAULT_SECRET),
        ("scope", "https://graph.microsoft.com/.default"),
    ];
    let token_url = format!("{}/{DEFAULT_TENANT}/oauth2/v2.0/token", world.simulator.url());
    let token = http.post(token_url).form(&form).send().await.unwrap();
    let token: Value = token.json().await.unwrap();
    let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(40);
    let body = json!({
        "resource": resource, "changeType": changes, "notificationUrl": url, "lifecycleNotificationUrl": url,
        "clientState": "a-state-of-theirs", "expirationDateTime": jiff::Timestamp::from_second(expires.as_second()).unwrap().to_string(),
    });
    let made = http
        .post(format!("{}/v1.0/subscriptions", world.simulator.url()))
        .bearer_auth(token["access_token"].as_str().unwrap())
        .json(&body)
        .send()
        .await
        .unwrap();
    let (status, made): (_, Value) = (made.status(), made.json().await.unwrap());
    assert!(status.is_success(), "{made}");
    made["id"].as_str().unwrap().to_owned()
}

/// What it prints: manifests, and everything on standard output and error.
async fn import(arguments: &[&str]) -> (Vec<Value>, String, String) {
    let output = Command::new(BINARY)
        .arg("import")
        .args(arguments)
        .env("CLIENT_SECRET", DEFAULT_SECRET)
        .output()
        .await
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{error}");
    let documents = out.split("---\n").skip(1);
    let objects = documents.map(|text| serde_saphyr::from_str(text).unwrap()).collect();
    (objects, out, error)
}

/// As `kubectl apply --server-side --dry-run=server` would.
async fn is_accepted(world: &World, object: &Value) {
    let plural = format!("{}s", object["kind"].as_str().unwrap().to_ascii_lowercase());
    let path = format!("{}?dryRun=All", collection(&world.namespace, &plural));
    send(&world.client, "POST", &path, object).await.unwrap();
}

async fn apply(world: &World, object: &Value) {
    let name = object["metadata"]["name"].as_str().unwrap();
    world.apply(SUBSCRIPTION, name, object["spec"].clone()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_has_is_adopted_and_then_moved_to_a_receiver() {
    const NAME: &str = "communications-callrecords";
    let mut world = World::new("import").await;
    let theirs = webhook(&world).await;
    let id = subscribe(&world, "communications/callRecords", "created,updated", &theirs).await;
    let hub = "EventHub:https://vault.example/secrets/s3cret?tenantId=x";
    subscribe(&world, "users/8f0c/messages", "created", hub).await;

    let url = world.simulator.url().to_owned();
    let app = [
        "--tenant-id",
        DEFAULT_TENANT,
        "--client-id",
        DEFAULT_APP,
        "--login",
        &url,
        "--graph",
        &url,
    ];
    let mut arguments = app.to_vec();
    arguments.extend(["--tenant-ref", "contoso", "--with-tenant", "--keep-endpoint"]);
    let (objects, out, remarks) = import(&arguments).await;
    assert_eq!(objects.len(), 2, "{out}");
    for object in &objects {
        is_accepted(&world, object).await;
    }
    assert_eq!(
        (&objects[0]["kind"], &objects[1]["metadata"]["name"]),
        (&json!(TENANT), &json!(NAME))
    );
    assert!(
        out.contains("# not imported: users/8f0c/messages (created)") && out.contains("Event Hubs"),
        "{out}"
    );
    assert!(
        !out.contains(DEFAULT_SECRET) && !remarks.contains("s3cret"),
        "{out}{remarks}"
    );
    assert!(remarks.contains("imported-client-states"), "{remarks}");

    // The Secrets are the person's to make.
    world.secret("contoso-app", &[("client-secret", DEFAULT_SECRET)]).await;
    world
        .secret("imported-client-states", &[(NAME, "a-state-of-theirs")])
        .await;
    world.apply(TENANT, "contoso", objects[0]["spec"].clone()).await;
    apply(&world, &objects[1]).await;
    world
        .condition(SUBSCRIPTION, NAME, "Subscribed", "True", "Succeeded")
        .await;
    world.event(SUBSCRIPTION, NAME, "Adopted").await;
    let status = world.get(SUBSCRIPTION, NAME).await.unwrap()["status"].clone();
    assert_eq!(status["subscriptionId"], json!(id));
    let summary = world.simulator_get("subscriptions/summary").await;
    assert_eq!((&summary["created"], &summary["deleted"]), (&json!(2), &json!(0)));

    world.apply(RECEIVER, "calls", world.receiver_spec()).await;
    world.run_receiver("calls").await;
    world
        .condition(RECEIVER, "calls", "Reachable", "True", "HandshakeSucceeded")
        .await;
    let tenant = format!("{}/contoso", world.namespace);
    let moving = [
        "--from-tenant",
        &tenant,
        "--receiver-ref",
        "calls",
        "--namespace",
        &world.namespace,
    ];
    let (objects, out, remarks) = import(&moving).await;
    assert_eq!((objects.len(), &objects[0]["metadata"]["name"]), (1, &json!(NAME)));
    assert_eq!(
        objects[0]["spec"]["tenantRef"],
        json!({ "name": "contoso" }),
        "its own namespace goes without saying"
    );
    assert!(
        !out.contains("https://") && !remarks.contains("https://"),
        "{out}{remarks}"
    );
    apply(&world, &objects[0]).await;
    world
        .until("it is replaced", async || {
            let remote = world.remote().await;
            let ours = remote
                .iter()
                .find(|remote| remote["resource"] == "communications/callRecords");
            ours.is_some_and(|ours| ours["notificationUrl"].as_str().unwrap().contains("/v1/n/"))
        })
        .await;
    let status = async || world.get(SUBSCRIPTION, NAME).await.unwrap()["status"].clone();
    world
        .until("the status tells of it", async || {
            status().await["previousIds"] == json!([id])
        })
        .await;
    assert_eq!(status().await["gaps"][0]["cause"], json!("Recreated"));
    let (objects, out, _) = import(&moving).await;
    assert!(
        objects.is_empty() && out.contains("there is or was a GraphSubscription"),
        "{out}"
    );
}

/// Every refusal names the flag and what helps.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_which_flag_and_what_helps() {
    let world = World::without_controller("unimported").await;
    let url = world.simulator.url().to_owned();
    let app = [
        "--tenant-id",
        DEFAULT_TENANT,
        "--client-id",
        DEFAULT_APP,
        "--tenant-ref",
        "contoso",
        "--keep-endpoint",
    ];
    let here = ["--login", &url, "--graph", &url];
    let elsewhere = ["--login", "http://login.example", "--graph", &url];
    let no_file = [
        "--login",
        &url,
        "--graph",
        &url,
        "--client-secret-file",
        "/does/not/exist",
    ];
    let tenant = format!("{}/none", world.namespace);
    let from = ["--from-tenant", tenant.as_str(), "--keep-endpoint"];
    for (base, more, secret, parts) in [
        (&app[..], &here[..], "wrong", ["signing in", "secret"]),
        (&app, &elsewhere, DEFAULT_SECRET, ["--login", "https://"]),
        (
            &app,
            &no_file,
            DEFAULT_SECRET,
            ["--client-secret-file", "/does/not/exist"],
        ),
        (&from, &[], DEFAULT_SECRET, ["--from-tenant", "does not exist"]),
    ] {
        let output = Command::new(BINARY)
            .arg("import")
            .args(base)
            .args(more)
            .env("CLIENT_SECRET", secret)
            .output()
            .await
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{error}");
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
