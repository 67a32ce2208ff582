use serde_json::json;

use super::*;
use crate::graph::testing::{Reply, Server};

fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.signature", part(&json!({"alg": "none"})), part(claims))
}

#[test]
fn claims_are_read_from_a_jwt_only() {
    let roles = |token: &str| claims(token).map(Claims::roles);
    let sorted = Some(vec!["A.Read.All".to_owned(), "B.Read.All".to_owned()]);
    assert_eq!(
        roles(&jwt(&json!({"roles": ["B.Read.All", "A.Read.All", "B.Read.All"]}))),
        sorted
    );
    assert_eq!(roles(&jwt(&json!({"aud": "x"}))), Some(Vec::new()));
    assert_eq!(claims(&jwt(&json!({"oid": "x"}))).unwrap().oid.as_deref(), Some("x"));
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
    let mut app = server.app();
    app.credential = Credential::ClientSecret(SecretString::from("new"));
    let rotated = graph.beside(app).unwrap();
    rotated.authenticate().await.unwrap();
}

fn tokens(server: &Server) -> Tokens {
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let http = crate::graph::http_client().unwrap();
    Tokens::new(Arc::new(server.app()), None, http, Arc::default(), metrics)
}

/// A token that lives `left` of an hour.
fn plant(tokens: &Tokens, left: Duration) -> Arc<Token> {
    let token = Arc::new(Token {
        secret: SecretString::from("old"),
        roles: None,
        object_id: None,
        expires: Timestamp::now(),
        until: Instant::now() + left,
        life: Duration::from_hours(1),
    });
    tokens.0.state().token = Some(token.clone());
    token
}

impl Tokens {
    /// As if the token at hand had been fetched earlier.
    pub(in crate::graph) fn grow_older(&self, by: Duration) {
        let mut state = self.0.state();
        let token = state.token.take().unwrap();
        state.token = Some(Arc::new(Token {
            secret: token.secret.clone(),
            roles: token.roles.clone(),
            object_id: token.object_id.clone(),
            expires: token.expires,
            until: token.until.checked_sub(by).unwrap(),
            life: token.life,
        }));
    }
}

#[tokio::test]
async fn a_token_is_renewed_when_a_fifth_of_its_life_is_left() {
    let server = Server::start().await;
    let tokens = tokens(&server);
    let young = plant(&tokens, Duration::from_mins(13));
    assert!(Arc::ptr_eq(&tokens.get(Duration::ZERO).await.unwrap(), &young));
    let old = plant(&tokens, Duration::from_mins(11));
    assert!(!Arc::ptr_eq(&tokens.current().await.unwrap(), &old));
    assert_eq!(server.lines().len(), 1);
}

/// The sign-in service may be slow; a call that needs no fresh token does not wait for it.
#[tokio::test]
async fn a_token_that_still_does_is_used_while_another_is_fetched() {
    let server = Server::start().await;
    let tokens = tokens(&server);
    let old = plant(&tokens, Duration::from_mins(11));
    assert!(Arc::ptr_eq(&tokens.get(Duration::ZERO).await.unwrap(), &old));
    let new = tokens.get(Duration::from_hours(1)).await.unwrap();
    assert!(!Arc::ptr_eq(&new, &old));
    assert!(Arc::ptr_eq(&tokens.get(Duration::ZERO).await.unwrap(), &new));
    assert_eq!(server.lines().len(), 1);
}

/// Graph asks for a reauthorization because the token of the last write ends.
#[tokio::test]
async fn a_write_gets_a_token_with_half_its_life_left() {
    let server = Server::start().await;
    let tokens = tokens(&server);
    let young = plant(&tokens, Duration::from_mins(31));
    assert!(Arc::ptr_eq(&tokens.get(Duration::from_hours(1)).await.unwrap(), &young));
    let old = plant(&tokens, Duration::from_mins(29));
    assert!(!Arc::ptr_eq(&tokens.get(Duration::from_hours(1)).await.unwrap(), &old));
}

#[tokio::test]
async fn a_token_is_replaced_only_by_another_one() {
    let server = Server::start().await;
    server.then_token(Reply::raw(503, ""));
    let tokens = tokens(&server);
    let old = plant(&tokens, Duration::from_mins(40));
    assert_eq!(tokens.fresh().await.unwrap_err().kind, Kind::Unavailable);
    assert!(Arc::ptr_eq(&tokens.current().await.unwrap(), &old));
}

/// App Service tells when a token ends, as text, and not how long it lives.
#[tokio::test]
async fn an_end_is_as_good_as_a_life() {
    let server = Server::start().await;
    let end = Timestamp::now().as_second() + 7200;
    for end in [json!(end), json!(end.to_string())] {
        let body =
            json!({"access_token": "x", "expires_on": end, "resource": "r", "token_type": "Bearer", "client_id": "c"});
        server.then_token(Reply::new(200, &body));
        let token = tokens(&server).current().await.unwrap();
        assert!((7195..=7200).contains(&token.life.as_secs()), "{:?}", token.life);
    }
    server.then_token(Reply::new(
        200,
        &json!({"access_token": "x", "expires_on": "1586984735"}),
    ));
    assert_eq!(tokens(&server).current().await.unwrap_err().kind, Kind::Protocol);
}

/// While the sign-in service is down, a token that still lives keeps subscriptions alive.
#[tokio::test]
async fn a_living_token_beats_a_failure() {
    let server = Server::start().await;
    server.then_token(Reply::raw(503, ""));
    let tokens = tokens(&server);
    let old = plant(&tokens, Duration::from_mins(2));
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
    let first = plant(&tokens, Duration::from_mins(50));
    assert!(tokens.reject(&first));
    let second = tokens.get(Duration::ZERO).await.unwrap();
    // A late answer to a call with the first token.
    assert!(tokens.reject(&first));
    assert!(Arc::ptr_eq(&tokens.get(Duration::ZERO).await.unwrap(), &second));
    assert!(!tokens.reject(&second), "it is new");
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
