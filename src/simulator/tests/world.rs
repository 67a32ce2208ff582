//! A simulator, a receiver to be notified, and short ways to talk to the first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::simulator::{Config, DEFAULT_APP, DEFAULT_SECRET, DEFAULT_TENANT, DeliverySettings, Settings, Simulator};

/// How the receiver behaves.
#[derive(Clone, Default)]
pub struct Manners {
    /// Answer to the handshake, instead of an honest one.
    pub handshake: Option<(u16, &'static str, &'static str)>,
    /// Pause before answering the handshake.
    pub handshake_delay: Duration,
    /// Statuses for the next notifications; 202 afterwards.
    pub statuses: Vec<u16>,
    /// Pause before answering a notification.
    pub delay: Duration,
}

/// What the receiver saw.
#[derive(Default)]
pub struct Seen {
    pub manners: Manners,
    pub tokens: Vec<String>,
    pub queries: Vec<String>,
    pub bodies: Vec<Value>,
}

pub struct World {
    pub simulator: Simulator,
    pub client: reqwest::Client,
    pub hook: String,
    pub seen: Arc<Mutex<Seen>>,
}

pub fn config() -> Config {
    let delivery = DeliverySettings {
        backoff_base_ms: 20,
        backoff_max_ms: 50,
        ..DeliverySettings::default()
    };
    let settings = Settings {
        allow_http: true,
        handshake_timeout_ms: 300,
        page_size: 2,
        delivery,
        ..Settings::default()
    };
    Config {
        settings,
        ..Config::default()
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(config()).await
    }

    pub async fn with(config: Config) -> Self {
        let simulator = Simulator::start(config).await.unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hook = format!("http://{}/hook", listener.local_addr().unwrap());
        let app = Router::new().route("/{path}", post(receive)).with_state(seen.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            simulator,
            client,
            hook,
            seen,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.simulator.url())
    }

    pub async fn token_request(&self, tenant: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let url = self.url(&format!("/{tenant}/oauth2/v2.0/token"));
        read(self.client.post(url).form(form).send().await.unwrap()).await
    }

    pub async fn token(&self) -> String {
        let scope = format!("{}/.default", self.simulator.url());
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", DEFAULT_APP),
            ("client_secret", DEFAULT_SECRET),
            ("scope", &scope),
        ];
        let (status, body) = self.token_request(DEFAULT_TENANT, &form).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_string()
    }

    /// A Graph request with a good token.
    pub async fn graph(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let token = self.token().await;
        let url = if path.starts_with("http") {
            path.to_string()
        } else {
            self.url(&format!("/v1.0{path}"))
        };
        let mut request = self.client.request(method.parse().unwrap(), url).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        read(request.send().await.unwrap()).await
    }

    /// An admin request that must succeed.
    pub async fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        let url = self.url(&format!("/_simulator{path}"));
        let mut request = self.client.request(method.parse().unwrap(), url);
        if !body.is_null() {
            request = request.json(&body);
        }
        let (status, answer) = read(request.send().await.unwrap()).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// A good subscription to call records, a day long.
    pub fn wish(&self) -> Value {
        json!({
            "resource": "communications/callRecords",
            "changeType": "created,updated",
            "notificationUrl": self.hook,
            "clientState": "secret-state",
            "expirationDateTime": in_minutes(24 * 60),
        })
    }

    pub async fn create(&self, change: Value) -> (u16, Value) {
        let mut wish = self.wish();
        for (name, value) in change.as_object().unwrap() {
            wish[name] = value.clone();
        }
        // Null in a table means: leave it out.
        wish.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.graph("POST", "/subscriptions", Some(wish)).await
    }

    /// The id of a fresh subscription.
    pub async fn created(&self, change: Value) -> String {
        let (status, body) = self.create(change).await;
        assert_eq!(status, 201, "{body}");
        body["id"].as_str().unwrap().to_string()
    }

    pub fn manners(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.seen.lock().unwrap().manners);
    }

    /// Waits for the summary to show this many pending notifications or fewer.
    pub async fn settled(&self) -> Value {
        for _ in 0..2000 {
            let summary = self.admin("GET", "/notifications/summary", Value::Null).await;
            if summary["pending"] == 0 {
                return summary;
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        panic!("notifications are still pending");
    }
}

/// A date ahead, by the real clock.
pub fn in_minutes(minutes: i64) -> String {
    let then = Timestamp::now() + SignedDuration::from_mins(minutes);
    then.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub async fn read(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn receive(
    State(seen): State<Arc<Mutex<Seen>>>,
    Query(query): Query<HashMap<String, String>>,
    uri: axum::http::Uri,
    body: Bytes,
) -> Response {
    let manners = seen.lock().unwrap().manners.clone();
    if let Some(token) = query.get("validationToken") {
        {
            let mut seen = seen.lock().unwrap();
            seen.tokens.push(token.clone());
            seen.queries.push(uri.to_string());
        }
        tokio::time::sleep(manners.handshake_delay).await;
        let (status, kind, text) = manners.handshake.unwrap_or((200, "text/plain; charset=utf-8", token));
        let status = axum::http::StatusCode::from_u16(status).unwrap();
        return (status, [("content-type", kind.to_string())], text.to_string()).into_response();
    }
    tokio::time::sleep(manners.delay).await;
    let mut seen = seen.lock().unwrap();
    seen.bodies.push(serde_json::from_slice(&body).unwrap());
    let statuses = &mut seen.manners.statuses;
    let status = if statuses.is_empty() { 202 } else { statuses.remove(0) };
    axum::http::StatusCode::from_u16(status).unwrap().into_response()
}
