//! Who may ask the worker: whoever has the token that the controller mounts. Its answers tell what people do.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use tokio::sync::watch;

use super::setup::{InForce, Setup};
use crate::api::presence_config::TOKEN_HEADER;
use crate::policy::identity::equal;

/// Lets those through who have the token.
pub async fn check(State(in_force): State<watch::Receiver<InForce>>, request: Request, next: Next) -> Response {
    let setup: Arc<Setup> = in_force.borrow().setup.clone();
    if admits(&setup, request.headers()) {
        return next.run(request).await;
    }
    let body = Json(serde_json::json!({ "title": "a bearer token is needed" }));
    let bearer = [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))];
    (StatusCode::UNAUTHORIZED, bearer, body).into_response()
}

/// Without a token in the configuration, everybody; with one that is not mounted, nobody.
fn admits(setup: &Setup, headers: &HeaderMap) -> bool {
    let Some(reference) = &setup.config.token else {
        return true;
    };
    let token = setup.secret(&reference.name, &reference.key);
    token.is_some_and(|token| given(headers).any(|given| equal(token.expose_secret(), given)))
}

/// The token by either way. The API server's proxy keeps `Authorization` for itself.
fn given(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let bearer = text(headers, header::AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    bearer.into_iter().chain(text(headers, TOKEN_HEADER))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;
    use crate::presence::settings::Dirs;
    use crate::presence::setup::Files;

    fn setup(token: Option<Value>, mounted: Option<&str>) -> Setup {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs {
            config: dir.path().join("config"),
            secrets: dir.path().join("secrets"),
        };
        fs::create_dir_all(&dirs.config).unwrap();
        fs::create_dir_all(dirs.secrets.join("t")).unwrap();
        let app = json!({
            "tenantId": "t", "endpoints": { "login": "http://127.0.0.1", "graph": "http://127.0.0.1" },
            "credentials": { "managedIdentity": {} },
        });
        let mut config = json!({
            "namespace": "n", "name": "desk", "uid": "u", "generation": 1, "reader": app, "writer": app,
            "spec": { "tenantRef": { "name": "t" }, "pbx": { "sip": { "host": "h", "domain": "d" } } },
        });
        if let Some(token) = token {
            config["token"] = token;
        }
        fs::write(dirs.config.join("presence.json"), config.to_string()).unwrap();
        if let Some(mounted) = mounted {
            fs::write(dirs.secrets.join("t/token"), mounted).unwrap();
        }
        Files::read(&dirs).unwrap().parse().unwrap()
    }

    #[test]
    fn only_the_token_opens() {
        let headers = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            headers
        };
        let guarded = setup(Some(json!({ "name": "t", "key": "token" })), Some("right"));
        let cases = [
            (headers("authorization", "Bearer right"), true),
            (headers("authorization", "bearer  right "), true),
            (headers(TOKEN_HEADER, "right"), true),
            (headers("authorization", "Basic right"), false),
            (headers("authorization", "right"), false),
            (headers(TOKEN_HEADER, "wrong"), false),
            (headers(TOKEN_HEADER, ""), false),
            (HeaderMap::new(), false),
        ];
        for (headers, admitted) in cases {
            assert_eq!(admits(&guarded, &headers), admitted, "{headers:?}");
        }
        // One that is not mounted yet is no open door.
        let missing = setup(Some(json!({ "name": "t", "key": "token" })), None);
        assert!(!admits(&missing, &headers(TOKEN_HEADER, "")));
        assert!(!admits(&missing, &HeaderMap::new()));
        assert!(admits(&setup(None, None), &HeaderMap::new()));
    }
}
