//! A small Graph for tests: answers by a script, and keeps what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use jiff::Timestamp;
use prometheus::Registry;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::token::sign_in;
use super::{Account, App, Credential, Graph, Metrics, http_client};

/// What the sign-in service reads in a token request of an app with this secret, for an account with this name and password.
pub(crate) fn sign_in_form(secret: &str, username: &str, password: &str) -> Vec<(String, String)> {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(reqwest::Client::new);
    let app = App {
        tenant_id: "contoso.com".into(),
        client_id: Some("app".into()),
        login: "https://login.example/".into(),
        graph: "https://graph.example/".into(),
        credential: Credential::ClientSecret(secret.into()),
    };
    let account = Account::with_password(username, password.into());
    // With a secret, nothing is waited for.
    let request = sign_in(&app, Some(&account), &CLIENT, Timestamp::UNIX_EPOCH).now_or_never();
    let request = request.unwrap().unwrap().build().unwrap();
    serde_urlencoded::from_bytes(request.body().unwrap().as_bytes().unwrap()).unwrap()
}

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
    /// The same as it came, where it is not JSON.
    pub(super) raw: Bytes,
}

#[derive(Clone, Debug)]
pub(super) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Reply {
    pub(super) fn new(status: u16, body: &Value) -> Self {
        Self::raw(status, body.to_string())
    }

    pub(super) fn raw(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::new(status, &json!({"error": {"code": code, "message": message}}))
    }

    pub(super) fn token(expires_in: u64) -> Self {
        Self::new(
            200,
            &json!({"token_type": "Bearer", "access_token": "opaque", "expires_in": expires_in}),
        )
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

#[derive(Default)]
struct Script {
    tokens: VecDeque<Reply>,
    replies: VecDeque<Reply>,
    asked: Vec<Asked>,
}

/// Answers token requests and Graph requests from two scripts; without a script, tokens last an hour.
#[derive(Clone)]
pub(super) struct Server {
    script: Arc<Mutex<Script>>,
    pub(super) base: String,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            script: Arc::default(),
            base: format!("http://{}", listener.local_addr().unwrap()),
        };
        let routes = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        server
    }

    pub(super) fn then(&self, reply: Reply) -> &Self {
        self.script.lock().unwrap().replies.push_back(reply);
        self
    }

    pub(super) fn then_token(&self, reply: Reply) -> &Self {
        self.script.lock().unwrap().tokens.push_back(reply);
        self
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.script.lock().unwrap().asked.clone()
    }

    /// Method and path of what was asked.
    pub(super) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    pub(super) fn app(&self) -> App {
        App {
            tenant_id: "tenant".into(),
            client_id: Some("client".into()),
            login: self.base.clone(),
            graph: self.base.clone(),
            credential: Credential::ClientSecret(SecretString::from("secret")),
        }
    }

    pub(super) fn graph(&self) -> (Graph, Metrics) {
        let metrics = Metrics::new(&Registry::new()).unwrap();
        (Graph::new(self.app(), http_client().unwrap(), metrics.clone()), metrics)
    }
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut script = server.script.lock().unwrap();
    script.asked.push(Asked {
        line: format!("{} {}", head.method, head.uri),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        raw: body,
    });
    let reply = if head.uri.path().ends_with("/token") {
        script.tokens.pop_front().unwrap_or_else(|| Reply::token(3600))
    } else {
        script
            .replies
            .pop_front()
            .unwrap_or_else(|| Reply::raw(599, "no script"))
    };
    let mut response = (StatusCode::from_u16(reply.status).unwrap(), reply.body).into_response();
    for (name, value) in reply.headers {
        let name = HeaderName::from_static(name);
        response
            .headers_mut()
            .insert(name, HeaderValue::from_str(&value).unwrap());
    }
    response
}
