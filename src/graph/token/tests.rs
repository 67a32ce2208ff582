use serde_json::json;

use super::*;
use crate::graph::testing::{Reply, Server};

fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.signature", part(&json!({"alg": "none"})), part(claims))
}

#[test]
fn roles_are_read_from_a_jwt_only() {
    let sorted = Some(vec!["A.Read.All".to_owned(), "B.Read.All".to_owned()]);
    assert_eq!(
        roles(&jwt(&json!({"roles": ["B.Read.All", "A.Read.All", "B.Read.All"]}))),
        sorted
    );
    assert_eq!(roles(&jwt(&json!({"aud": "x"}))), Some(Vec::new()));
    assert_eq!(roles("opaque"), None);
    assert_eq!(roles("a.b.c"), None);
}

#[tokio::test]
async fn many_callers_fetch_one_token() {
    let server = Server::start().await;
    let (graph, metrics) = server.graph();
    let all = futures::future::join_all((0..20).map(|_| graph.authenticate())).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(server.lines(), ["POST /tenant/oauth2/v2.0/token"]);
    assert_eq!(metrics.count(Operation::Token, "ok"), 1);
}

#[tokio::test]
async fn the_grant_tells_roles_and_expiry() {
    let server = Server::start().await;
    let token = jwt(&json!({"roles": ["CallRecords.Read.All"]}));
    server.then_token(Reply::new(200, &json!({"access_token": token, "expires_in": "86399"})));
    let grant = server.graph().0.authenticate().await.unwrap();
    assert_eq!(grant.roles.unwrap(), ["CallRecords.Read.All"]);
    let left = grant.expires.duration_since(Timestamp::now()).as_secs();
    assert!((86_390..=86_400).contains(&left), "{left}");
}

#[tokio::test]
async fn a_refusal_is_remembered_for_a_while() {
    let server = Server::start().await;
    let body = json!({"error": "invalid_client", "error_description": "AADSTS7000215: no", "error_codes": [7_000_215]});
    server.then_token(Reply::new(401, &body));
    let (graph, metrics) = server.graph();
    for _ in 0..5 {
        let failure = graph.authenticate().await.unwrap_err();
        assert_eq!(failure.kind, Kind::CredentialsRejected);
    }
    assert_eq!(server.lines().len(), 1);
    assert_eq!(metrics.count(Operation::Token, "credentials_rejected"), 1);
    // A rotated secret is tried at once.
    let rotated = graph.with_credential(crate::graph::Credential::ClientSecret(SecretString::from("new")));
    rotated.authenticate().await.unwrap();
}

fn tokens(server: &Server) -> Tokens {
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let http = crate::graph::http_client().unwrap();
    Tokens::new(Arc::new(server.app()), http, Arc::default(), metrics)
}

/// A token that lives `left` of an hour.
async fn plant(tokens: &Tokens, left: Duration) -> Arc<Token> {
    let token = Arc::new(Token {
        secret: SecretString::from("old"),
        roles: None,
        expires: Timestamp::now(),
        until: Instant::now() + left,
        life: Duration::from_hours(1),
    });
    tokens.state.lock().await.token = Some(token.clone());
    token
}

#[tokio::test]
async fn a_token_is_renewed_when_a_fifth_of_its_life_is_left() {
    let server = Server::start().await;
    let tokens = tokens(&server);
    let young = plant(&tokens, Duration::from_mins(13)).await;
    assert!(Arc::ptr_eq(&tokens.get(Duration::ZERO).await.unwrap(), &young));
    let old = plant(&tokens, Duration::from_mins(11)).await;
    assert!(!Arc::ptr_eq(&tokens.get(Duration::ZERO).await.unwrap(), &old));
    assert_eq!(server.lines().len(), 1);
}

/// While the sign-in service is down, a token that still lives keeps subscriptions alive.
#[tokio::test]
async fn a_living_token_beats_a_failure() {
    let server = Server::start().await;
    server.then_token(Reply::raw(503, ""));
    let tokens = tokens(&server);
    let old = plant(&tokens, Duration::from_mins(2)).await;
    for _ in 0..3 {
        assert!(Arc::ptr_eq(&tokens.get(Duration::from_mins(5)).await.unwrap(), &old));
    }
    assert_eq!(tokens.current().await.unwrap_err().kind, Kind::Unavailable);
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn a_rejected_token_is_dropped_once() {
    let server = Server::start().await;
    let tokens = tokens(&server);
    let first = tokens.get(Duration::ZERO).await.unwrap();
    tokens.reject(&first).await;
    let second = tokens.get(Duration::ZERO).await.unwrap();
    // A late answer to a call with the first token.
    tokens.reject(&first).await;
    assert!(Arc::ptr_eq(&tokens.get(Duration::ZERO).await.unwrap(), &second));
    assert!(!format!("{second:?}").contains("opaque"));
}

#[tokio::test]
async fn a_token_that_cannot_be_read_is_told_apart() {
    let server = Server::start().await;
    for body in [
        "<html>",
        "{}",
        r#"{"access_token":"x","expires_in":"soon"}"#,
        r#"{"access_token":"x","expires_in":0}"#,
    ] {
        server.then_token(Reply::raw(200, body));
        let failure = tokens(&server).current().await.unwrap_err();
        assert_eq!(failure.kind, Kind::Protocol, "{body}");
    }
}

#[tokio::test]
async fn short_lived_tokens_are_used_too() {
    let server = Server::start().await;
    server.then_token(Reply::token(120));
    let tokens = tokens(&server);
    for _ in 0..3 {
        tokens.get(Duration::from_mins(5)).await.unwrap();
    }
    assert_eq!(server.lines().len(), 1);
}
