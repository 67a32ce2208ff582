use std::time::Instant;

use serde_json::{Value, json};

use super::call::LIMIT;
use super::*;
use crate::graph::Credential;
use crate::graph::error::Class;
use crate::graph::http_client;
use crate::graph::testing::{Reply, Server};

const SOON: Timestamp = Timestamp::UNIX_EPOCH;

fn subscription(id: &str) -> Value {
    json!({
        "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#subscriptions/$entity",
        "id": id, "resource": "communications/callRecords", "changeType": "created", "clientState": null,
        "notificationUrl": "https://example.org/n/proof", "expirationDateTime": "2026-11-25T10:00:00.1234567Z",
        "applicationId": "app", "creatorId": "c", "lifecycleNotificationUrl": null, "newField": {"x": 1},
    })
}

fn new() -> NewSubscription {
    NewSubscription {
        resource: "communications/callRecords".into(),
        change_type: "created".into(),
        notification_url: "https://example.org/n/proof".into(),
        lifecycle_notification_url: Some("https://example.org/l/proof".into()),
        client_state: "state".into(),
        expiration: "2026-11-25T10:00:00.9Z".parse().unwrap(),
        notification_query_options: None,
    }
}

/// What Graph was asked, without the token request.
fn calls(server: &Server) -> Vec<String> {
    server
        .lines()
        .into_iter()
        .filter(|line| !line.ends_with("/token"))
        .collect()
}

#[tokio::test]
async fn create_sends_what_graph_expects_and_returns_what_it_says() {
    let server = Server::start().await;
    server.then(Reply::new(201, &subscription("1")));
    let (graph, metrics) = server.graph();
    let created = graph.create(&new(), SOON).await.unwrap();
    assert_eq!(created.id, "1");
    assert_eq!(created.expiration, "2026-11-25T10:00:00.1234567Z".parse().unwrap());
    let asked = server.asked().pop().unwrap();
    assert_eq!(asked.line, "POST /v1.0/subscriptions");
    assert_eq!(asked.headers["authorization"], "Bearer opaque");
    assert_eq!(asked.headers["content-type"], "application/json");
    assert!(asked.headers.contains_key("client-request-id"));
    assert_eq!(asked.body["expirationDateTime"], "2026-11-25T10:00:00Z");
    assert_eq!(asked.body["lifecycleNotificationUrl"], "https://example.org/l/proof");
    assert_eq!(metrics.count(Operation::Create, "ok"), 1);
}

#[tokio::test]
async fn a_created_subscription_that_cannot_be_read_is_a_protocol_failure() {
    let server = Server::start().await;
    server
        .then(Reply::raw(201, "oops"))
        .then(Reply::raw(200, "x".repeat(2 << 20)));
    let (graph, _) = server.graph();
    assert_eq!(graph.create(&new(), SOON).await.unwrap_err().kind, Kind::Protocol);
    assert_eq!(graph.get("1", SOON).await.unwrap_err().kind, Kind::Protocol);
}

#[tokio::test]
async fn renew_takes_200_and_204() {
    let server = Server::start().await;
    server
        .then(Reply::new(200, &subscription("1")))
        .then(Reply::raw(204, ""))
        .then(Reply::new(200, &subscription("1")));
    let (graph, _) = server.graph();
    let until = "2026-11-25T10:00:00Z".parse().unwrap();
    for _ in 0..2 {
        assert_eq!(graph.renew("1", until, None, SOON).await.unwrap().id, "1");
    }
    let expected = [
        "PATCH /v1.0/subscriptions/1",
        "PATCH /v1.0/subscriptions/1",
        "GET /v1.0/subscriptions/1",
    ];
    assert_eq!(calls(&server), expected);
    assert_eq!(
        server.asked()[1].body,
        json!({"expirationDateTime": "2026-11-25T10:00:00Z"})
    );
}

#[tokio::test]
async fn delete_succeeds_when_there_is_nothing() {
    let server = Server::start().await;
    server
        .then(Reply::raw(204, ""))
        .then(Reply::error(404, "ResourceNotFound", "The object was not found."))
        .then(Reply::raw(404, "<html>proxy</html>"));
    let (graph, _) = server.graph();
    graph.delete("a/../b", SOON).await.unwrap();
    graph.delete("1", SOON).await.unwrap();
    // Something before Graph answered: the subscription may well exist.
    assert_eq!(graph.delete("1", SOON).await.unwrap_err().kind, Kind::Protocol);
    assert_eq!(calls(&server)[0], "DELETE /v1.0/subscriptions/a%2F..%2Fb");
}

#[tokio::test]
async fn the_list_follows_all_pages() {
    let server = Server::start().await;
    let next = format!("{}/v1.0/subscriptions?$skiptoken=2", server.base);
    server
        .then(Reply::new(
            200,
            &json!({"value": [subscription("1"), subscription("2")], "@odata.nextLink": next}),
        ))
        .then(Reply::new(200, &json!({"value": [subscription("3")]})));
    let (graph, _) = server.graph();
    let (one, two) = tokio::join!(
        graph.list(Duration::from_secs(30), SOON),
        graph.list(Duration::from_secs(30), SOON)
    );
    let ids: Vec<String> = one
        .unwrap()
        .iter()
        .map(|subscription| subscription.id.clone())
        .collect();
    assert_eq!(ids, ["1", "2", "3"]);
    assert_eq!(two.unwrap().len(), 3);
    assert_eq!(
        calls(&server),
        ["GET /v1.0/subscriptions", "GET /v1.0/subscriptions?$skiptoken=2"]
    );
}

#[tokio::test]
async fn to_see_the_clock_a_page_is_enough() {
    let server = Server::start().await;
    let next = format!("{}/v1.0/subscriptions?$skiptoken=2", server.base);
    let page = json!({"value": [subscription("1")], "@odata.nextLink": next});
    server.then(Reply::new(200, &page));
    let (graph, _) = server.graph();
    graph.see_clock(SOON).await.unwrap();
    assert_eq!(calls(&server), ["GET /v1.0/subscriptions"]);
}

#[tokio::test]
async fn a_page_that_fails_fails_the_list_and_no_link_leads_elsewhere() {
    let server = Server::start().await;
    let elsewhere = json!({"value": [], "@odata.nextLink": "https://evil.example/v1.0/subscriptions"});
    let next = json!({"value": [subscription("1")], "@odata.nextLink": format!("{}/p", server.base)});
    server
        .then(Reply::new(200, &elsewhere))
        .then(Reply::new(200, &next))
        .then(Reply::raw(500, ""));
    let (graph, _) = server.graph();
    assert_eq!(graph.list(Duration::ZERO, SOON).await.unwrap_err().kind, Kind::Protocol);
    assert_eq!(
        graph.list(Duration::ZERO, SOON).await.unwrap_err().kind,
        Kind::Unavailable
    );
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let server = Server::start().await;
    let refusal = || Reply::error(401, "InvalidAuthenticationToken", "Access token is empty.");
    server.then(refusal()).then(Reply::new(200, &subscription("1")));
    let (graph, metrics) = server.graph();
    graph.authenticate().await.unwrap();
    graph.tokens.grow_older(Duration::from_mins(2));
    assert_eq!(graph.get("1", SOON).await.unwrap().id, "1");
    assert_eq!(metrics.count(Operation::Token, "ok"), 2);
    graph.tokens.grow_older(Duration::from_mins(2));
    server.then(refusal()).then(refusal());
    assert_eq!(graph.get("1", SOON).await.unwrap_err().kind, Kind::Unauthorized);
    assert_eq!(metrics.count(Operation::Token, "ok"), 3);
    assert_eq!(calls(&server).len(), 4);
}

/// Whatever Graph holds against the app, a token storm does not help.
#[tokio::test]
async fn a_new_token_that_is_refused_is_not_replaced() {
    let server = Server::start().await;
    let (graph, metrics) = server.graph();
    for _ in 0..5 {
        server.then(Reply::error(401, "InvalidAuthenticationToken", "No."));
        assert_eq!(graph.get("1", SOON).await.unwrap_err().kind, Kind::Unauthorized);
    }
    assert_eq!(calls(&server).len(), 5);
    assert_eq!(metrics.count(Operation::Token, "ok"), 1);
}

/// The workload behind Graph says no: that is consent, and no reason for another token.
#[tokio::test]
async fn only_an_outer_401_is_about_the_token() {
    let server = Server::start().await;
    let (graph, metrics) = server.graph();
    graph.authenticate().await.unwrap();
    graph.tokens.grow_older(Duration::from_mins(2));
    let inner = "Operation: Read; Exception: [Status Code: Unauthorized; Reason: none]";
    server.then(Reply::error(401, "ExtensionError", inner));
    assert_eq!(graph.get("1", SOON).await.unwrap_err().kind, Kind::ConsentMissing);
    assert_eq!(calls(&server).len(), 1);
    assert_eq!(metrics.count(Operation::Token, "ok"), 1);
}

#[tokio::test]
async fn throttling_pauses_every_call_of_the_app() {
    let server = Server::start().await;
    server
        .then(Reply::error(429, "TooManyRequests", "Too many.").header("retry-after", "1"))
        .then(Reply::new(200, &subscription("1")));
    let (graph, metrics) = server.graph();
    let failure = graph.create(&new(), SOON).await.unwrap_err();
    assert_eq!(failure.class, Class::Throttled(Some(Duration::from_secs(1))));
    let start = Instant::now();
    let rotated = with_secret(server.app(), "other");
    graph.beside(rotated).unwrap().get("1", SOON).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(900));
    assert!((metrics.paused_seconds() - 1.0).abs() < 0.01);
}

fn with_secret(app: App, secret: &str) -> App {
    App {
        credential: Credential::ClientSecret(secret.into()),
        ..app
    }
}

/// Somebody writes the ids of an app beside the address of a sign-in service of his own.
#[tokio::test]
async fn a_client_for_other_addresses_shares_nothing() {
    let (server, evil) = (Server::start().await, Server::start().await);
    let (graph, _) = server.graph();
    let elsewhere = App {
        login: evil.base.clone(),
        ..server.app()
    };
    assert!(graph.beside(elsewhere).is_none());
    let rotated = graph.beside(with_secret(server.app(), "other")).unwrap();
    rotated.authenticate().await.unwrap();
    assert_eq!(server.lines(), ["POST /tenant/oauth2/v2.0/token"]);
    assert!(evil.lines().is_empty());
}

/// What another client fetched is not shown to one that cannot sign in.
#[tokio::test]
async fn the_shared_list_is_for_those_who_can_sign_in() {
    let server = Server::start().await;
    server.then(Reply::new(200, &json!({"value": [subscription("1")]})));
    let (graph, _) = server.graph();
    let age = Duration::from_secs(60);
    assert_eq!(graph.list(age, SOON).await.unwrap().len(), 1);
    let refused = json!({"error": "invalid_client", "error_description": ""});
    server.then_token(Reply::new(401, &refused));
    let wrong = graph.beside(with_secret(server.app(), "wrong")).unwrap();
    assert_eq!(wrong.list(age, SOON).await.unwrap_err().kind, Kind::CredentialsRejected);
}

#[tokio::test]
async fn an_odd_entry_costs_the_list_nothing_else() {
    let server = Server::start().await;
    let mut nulls = subscription("2");
    (nulls["resource"], nulls["changeType"]) = (Value::Null, Value::Null);
    let odd = json!({"id": "3", "expirationDateTime": "soon"});
    // More than other answers may have.
    let padding = "x".repeat(3 << 20);
    server.then(Reply::new(
        200,
        &json!({"value": [subscription("1"), odd, 7, nulls], "padding": padding}),
    ));
    let (graph, metrics) = server.graph();
    let list = graph.list(Duration::ZERO, SOON).await.unwrap();
    let ids: Vec<&str> = list.iter().map(|subscription| subscription.id.as_str()).collect();
    assert_eq!(ids, ["1", "2"]);
    assert_eq!(metrics.unreadable_entries(), 2);
}

#[tokio::test]
async fn a_list_that_leads_back_to_itself_is_a_failure() {
    let server = Server::start().await;
    let link = |page: u8| format!("{}/v1.0/subscriptions?$skiptoken={page}", server.base);
    for next in [2, 3, 2] {
        server.then(Reply::new(200, &json!({"value": [], "@odata.nextLink": link(next)})));
    }
    let (graph, _) = server.graph();
    let failure = graph.list(Duration::ZERO, SOON).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Protocol);
    assert_eq!(calls(&server).len(), 3);
}

#[tokio::test]
async fn a_dead_credential_never_reaches_graph() {
    let server = Server::start().await;
    server.then_token(Reply::new(
        401,
        &json!({"error": "invalid_client", "error_description": ""}),
    ));
    let (graph, metrics) = server.graph();
    let failure = graph.create(&new(), SOON).await.unwrap_err();
    assert_eq!(failure.kind, Kind::CredentialsRejected);
    assert_eq!(calls(&server).len(), 0);
    assert_eq!(metrics.count(Operation::Create, "ok"), 0);
}

#[tokio::test]
async fn the_clock_is_read_from_answers() {
    let server = Server::start().await;
    let ahead = Timestamp::now() + SignedDuration::from_mins(10);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&ahead)
        .unwrap();
    for _ in 0..2 {
        server.then_token(Reply::token(3600).header("date", date.clone()));
    }
    let (graph, _) = server.graph();
    assert_eq!(graph.skew(), None);
    graph.authenticate().await.unwrap();
    let expires = graph.authenticate_anew().await.unwrap().expires;
    let skew = graph.skew().unwrap();
    assert!(
        (skew - SignedDuration::from_mins(10)).abs() < SignedDuration::from_secs(2),
        "{skew}"
    );
    assert!(graph.now() > Timestamp::now() + SignedDuration::from_mins(9));
    assert!(expires > Timestamp::now() + SignedDuration::from_mins(69));
}

/// A proxy answers with a page, dated by its own clock.
#[tokio::test]
async fn a_page_of_a_proxy_does_not_move_the_clock() {
    let server = Server::start().await;
    let (graph, _) = server.graph();
    for status in [502, 200, 407] {
        server.then(Reply::raw(status, "<html>").header("date", "Fri, 01 Jan 2010 00:00:00 GMT"));
        graph.get("1", SOON).await.unwrap_err();
    }
    let skew = graph.skew().unwrap();
    assert!(
        skew.abs() < SignedDuration::from_secs(2),
        "{skew}: only the sign-in counts"
    );
}

#[tokio::test]
async fn a_lost_connection_is_unavailable_and_names_no_address() {
    let server = Server::start().await;
    let mut app = server.app();
    app.graph = "http://127.0.0.1:1".into();
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let graph = Graph::new(app, http_client().unwrap(), metrics);
    let failure = graph.get("1", SOON).await.unwrap_err();
    assert_eq!((failure.kind, failure.class), (Kind::Unavailable, Class::Retry));
    assert_eq!(failure.message, "Graph is out of reach: the connection is refused.");
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let server = Server::start().await;
    let (graph, _) = server.graph();
    graph.authenticate().await.unwrap();
    let text = format!("{graph:?}");
    assert!(!text.contains("\"secret\"") && !text.contains("opaque"), "{text}");
}

#[tokio::test]
async fn a_silent_graph_is_given_up_in_time() {
    let server = Server::start().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut app = server.app();
    app.graph = format!("http://{}", silent.local_addr().unwrap());
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let graph = Graph::new(app, http_client().unwrap(), metrics.clone());
    graph.authenticate().await.unwrap();
    let call = tokio::spawn(async move { graph.get("1", SOON).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    tokio::time::pause();
    tokio::time::advance(LIMIT).await;
    let failure = call.await.unwrap().unwrap_err();
    assert_eq!(failure.message, "Graph is out of reach: it does not answer in time.");
    assert_eq!(metrics.count(Operation::Get, "unavailable"), 1);
}
