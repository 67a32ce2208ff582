//! The way to the worker: through the API server's proxy, so that nothing has to be reachable but the API server.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Limited};
use k8s_openapi::api::core::v1::Secret;
use kube::client::Body;
use kube::{Api, Client};
use serde::Deserialize;
use url::Url;

use crate::api::presence::PresenceSync;
use crate::api::presence_config::{TOKEN_HEADER, TOKEN_KEY, pod_name, token_secret_name};
use crate::api::presence_report::{USERS_PATH, UserReport};

/// How long the answer may take, the API server's part included.
const LIMIT: Duration = Duration::from_secs(20);
/// Bytes of an answer; a report on a user is a few kilobytes.
const ANSWER_BYTES: usize = 1 << 20;

/// Whom to ask about.
pub struct Question<'a> {
    /// Namespace of the object.
    pub namespace: &'a str,
    /// The object.
    pub name: &'a str,
    /// Whatever names the person.
    pub user: &'a str,
    /// Port of the worker.
    pub port: u16,
}

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refuses, or does not answer.
    #[error("{what}: {error}")]
    Api {
        /// What was to be read.
        what: String,
        /// Its words.
        error: Box<kube::Error>,
    },
    /// No worker runs.
    #[error("{0}")]
    NoWorker(String),
    /// The worker does not know the person.
    #[error(
        "the worker of {object} knows nobody called {user}: neither the PBX nor the selected part of the tenant has them"
    )]
    NoUser {
        /// The object.
        object: String,
        /// The name that was given.
        user: String,
    },
    /// The answer is none.
    #[error("the worker of {object} gives no answer: {why}")]
    NoAnswer {
        /// The object.
        object: String,
        /// Why.
        why: String,
    },
}

/// Asks.
pub async fn ask(client: &Client, question: &Question<'_>) -> Result<UserReport, Error> {
    let object = format!("{}/{}", question.namespace, question.name);
    let syncs: Api<PresenceSync> = Api::namespaced(client.clone(), question.namespace);
    let sync = syncs
        .get(question.name)
        .await
        .map_err(|error| api(format!("PresenceSync {object}"), error))?;
    if sync.spec.suspend {
        let message = format!("PresenceSync {object} is suspended: no worker runs, and nothing is held on either side");
        return Err(Error::NoWorker(message));
    }
    let name = token_secret_name(question.name);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), question.namespace);
    let secret = secrets.get(&name).await.map_err(|error| {
        api(
            format!("the worker's token, Secret {}/{name}", question.namespace),
            error,
        )
    })?;
    let token = secret.data.unwrap_or_default().remove(TOKEN_KEY).unwrap_or_default();
    let no_answer = |why: String| Error::NoAnswer {
        object: object.clone(),
        why,
    };
    let request = Request::get(address(question).ok_or_else(|| no_answer("this is no name of a person".to_owned()))?)
        .header(TOKEN_HEADER, token.0)
        .body(Body::empty())
        .map_err(|error| no_answer(error.to_string()))?;
    let answer = async {
        let response = client.send(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    };
    let (status, body) = match tokio::time::timeout(LIMIT, answer).await {
        Ok(answer) => answer.map_err(no_answer)?,
        Err(_) => return Err(no_answer(format!("none came within {} s", LIMIT.as_secs()))),
    };
    match status {
        200 => serde_json::from_slice(&body).map_err(|error| no_answer(format!("it cannot be read: {error}"))),
        // The API server says so of the pod, the worker of the person.
        404 if of_api_server(&body).is_none() => Err(Error::NoUser {
            object: object.clone(),
            user: question.user.to_owned(),
        }),
        401 if of_api_server(&body).is_none() => {
            Err(no_answer("it does not take the token; is its pod starting?".to_owned()))
        }
        _ => Err(no_answer(
            of_api_server(&body).unwrap_or_else(|| format!("the answer has status {status}")),
        )),
    }
}

fn api(what: String, error: kube::Error) -> Error {
    Error::Api {
        what,
        error: Box::new(error),
    }
}

/// Address of the report, below the API server's. `None` for a name that cannot be part of a path.
fn address(question: &Question) -> Option<String> {
    // Only its path is used; this takes care of what has to be escaped in it.
    let mut url = Url::parse("http://api").ok()?;
    let pod = format!("{}:{}", pod_name(question.name), question.port);
    url.path_segments_mut()
        .ok()?
        .extend(["api", "v1", "namespaces", question.namespace, "pods", &pod, "proxy"])
        .extend(USERS_PATH.split('/').filter(|part| !part.is_empty()))
        .push(question.user);
    let named = !question.user.is_empty() && !matches!(question.user, "." | "..");
    named.then(|| url.path().to_owned())
}

/// The API server's own words, if these are its.
fn of_api_server(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Status {
        kind: String,
        message: String,
    }
    let status: Status = serde_json::from_slice(body).ok()?;
    (status.kind == "Status").then_some(status.message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn question(user: &str) -> Question<'_> {
        Question {
            namespace: "voice",
            name: "desk",
            user,
            port: 9090,
        }
    }

    /// An API server with an object, its token, and a worker that answers so.
    fn client(spec: &Value, status: u16, body: &str) -> Client {
        let (spec, body) = (spec.clone(), body.to_owned());
        let (service, mut handle) = tower_test::mock::pair::<Request<Body>, http::Response<Body>>();
        tokio::spawn(async move {
            while let Some((request, reply)) = handle.next_request().await {
                let path = request.uri().path().to_owned();
                let (status, body) = match path.as_str() {
                    "/apis/teamsgraph.dev/v1alpha1/namespaces/voice/presencesyncs/desk" => {
                        let object = json!({
                            "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "PresenceSync",
                            "metadata": { "name": "desk", "namespace": "voice" }, "spec": spec,
                        });
                        (200, object.to_string())
                    }
                    "/api/v1/namespaces/voice/secrets/desk-presence-token" => (
                        200,
                        json!({ "metadata": {}, "data": { "token": "dGhlLXRva2Vu" } }).to_string(),
                    ),
                    "/api/v1/namespaces/voice/pods/desk-presence-0:9090/proxy/v1/users/anna@contoso.example" => {
                        assert_eq!(request.headers()[TOKEN_HEADER], "the-token");
                        (status, body.clone())
                    }
                    other => panic!("{other}"),
                };
                reply.send_response(
                    http::Response::builder()
                        .status(status)
                        .body(Body::from(body.into_bytes()))
                        .unwrap(),
                );
            }
        });
        Client::new(service, "default")
    }

    fn spec() -> Value {
        json!({ "tenantRef": { "name": "contoso" }, "pbx": { "sip": { "host": "h", "domain": "d" } } })
    }

    #[tokio::test]
    async fn an_answer_is_read_and_everything_else_is_said_in_words() {
        let user = json!({ "why": "matched", "synced": true, "layers": [], "writes": [] }).to_string();
        let gone = json!({ "kind": "Status", "message": "pods \"desk-presence-0\" not found" }).to_string();
        let away =
            json!({ "kind": "Status", "message": "error trying to reach service: connection refused" }).to_string();
        let mut resting = spec();
        resting["suspend"] = json!(true);
        let cases = [
            (spec(), 200, user.as_str(), Ok(())),
            (spec(), 404, "{}", Err("knows nobody called anna@contoso.example")),
            (spec(), 404, &gone, Err("pods \"desk-presence-0\" not found")),
            (spec(), 503, &away, Err("connection refused")),
            (spec(), 401, "", Err("does not take the token")),
            (spec(), 200, "<html>", Err("cannot be read")),
            (spec(), 500, "", Err("the answer has status 500")),
            (resting, 200, &user, Err("suspended")),
        ];
        for (spec, status, body, expected) in cases {
            let client = client(&spec, status, body);
            let answer = ask(&client, &question("anna@contoso.example")).await;
            match (answer, expected) {
                (Ok(report), Ok(())) => assert!(report.synced),
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{words}: {error}"),
                (answer, expected) => panic!("{expected:?}: {answer:?}"),
            }
        }
    }

    #[test]
    fn a_name_is_one_part_of_the_path() {
        let of = |user: &str| address(&question(user)).unwrap_or_default();
        let base = "/api/v1/namespaces/voice/pods/desk-presence-0:9090/proxy/v1/users/";
        assert_eq!(of("Anna Berg"), format!("{base}Anna%20Berg"));
        assert_eq!(of("a/../b?c#d"), format!("{base}a%2F..%2Fb%3Fc%23d"));
        assert_eq!(of("+49 30 1042"), format!("{base}+49%2030%201042"));
        for none in ["", ".", ".."] {
            assert_eq!(of(none), "");
        }
    }
}
