//! The apps and accounts that the worker signs in with, from what is mounted.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::setup::Setup;
use crate::api::presence_config::{AppConfig, PASSWORD_FILE, REFRESH_TOKEN_FILE, USERNAME_FILE};
use crate::api::presence_report::{Fault, Lamp};
use crate::api::tenant::Credentials;
use crate::graph::{self, App, CertificateCredential, Credential, Graph};

/// How many questions about people are asked in a minute: pages of users come in crowds, at the start and at each sweep.
const QUESTIONS: u32 = 300;

/// Apps that are remembered: those in force and the two before.
const MOST_CLIENTS: usize = 4;

/// The apps that read and write.
pub struct Apps {
    /// Reads presence and people.
    pub reader: Result<Graph, Lamp>,
    /// Writes presence; the same client where it is the same app.
    pub writer: Result<Graph, Lamp>,
}

impl Apps {
    /// Clients for both apps, as far as their secrets are there. What Graph counts by app is kept by the clients known so far: a
    /// pause that it asked for outlives a change of the configuration.
    pub fn new(setup: &Setup, token_file: &Path, clients: &mut Clients) -> Self {
        let config = &setup.config;
        let reader = app(setup, &config.reader, token_file)
            .map(|app| clients.client(app))
            .inspect(|graph| graph.set_changes_budget(QUESTIONS));
        let writer = if config.reader == config.writer {
            reader.clone()
        } else {
            app(setup, &config.writer, token_file).map(|app| clients.client(app))
        };
        Self { reader, writer }
    }
}

/// The clients of all apps that were worked with, the latest of each app.
pub struct Clients {
    http: reqwest::Client,
    metrics: graph::Metrics,
    known: Vec<Graph>,
}

impl Clients {
    /// None yet.
    pub fn new(http: reqwest::Client, metrics: graph::Metrics) -> Self {
        Self {
            http,
            metrics,
            known: Vec::new(),
        }
    }

    /// A client for this app. It signs in anew, as a Secret may hold something else now.
    fn client(&mut self, app: App) -> Graph {
        let place = self.known.iter().position(|graph| graph.is_for(&app));
        let before = place.map(|place| self.known.remove(place));
        let beside = before.and_then(|graph| graph.beside(app.clone()));
        let graph = beside.unwrap_or_else(|| Graph::new(app, self.http.clone(), self.metrics.clone()));
        self.known.push(graph.clone());
        if self.known.len() > MOST_CLIENTS {
            self.known.remove(0);
        }
        graph
    }
}

fn app(setup: &Setup, config: &AppConfig, token_file: &Path) -> Result<App, Lamp> {
    Ok(App {
        tenant_id: config.tenant_id.clone(),
        client_id: config.client_id.clone(),
        login: config.endpoints.login.clone(),
        graph: config.endpoints.graph.clone(),
        credential: credential(setup, &config.credentials, token_file)?,
    })
}

fn credential(setup: &Setup, credentials: &Credentials, token_file: &Path) -> Result<Credential, Lamp> {
    let read = |name: &str, key: &str| {
        setup
            .secret(name, key)
            .ok_or_else(|| missing(&format!("Secret {name} has no text under the key {key}; add it")))
    };
    if let Some(secret) = &credentials.client_secret {
        let reference = &secret.secret_ref;
        return read(&reference.name, &reference.key).map(Credential::ClientSecret);
    }
    if let Some(certificate) = &credentials.certificate {
        let chain = read(&certificate.secret_name, &certificate.certificate_key)?;
        let key = read(&certificate.secret_name, &certificate.private_key_key)?;
        let credential = CertificateCredential::from_pem(chain.expose_secret(), &key);
        return credential
            .map(|credential| Credential::Certificate(Box::new(credential)))
            .map_err(|failure| super::fault::red(&failure));
    }
    Ok(if credentials.workload_identity.is_some() {
        Credential::WorkloadIdentity {
            token_file: token_file.to_owned(),
        }
    } else {
        Credential::ManagedIdentity
    })
}

/// An account from its Secret: name and password, or a refresh token.
pub fn account(setup: &Setup, secret: &str) -> Result<graph::Account, Lamp> {
    let read = |key| setup.secret(secret, key);
    if let Some(token) = read(REFRESH_TOKEN_FILE) {
        return Ok(graph::Account::with_refresh_token(trimmed(&token)));
    }
    match (read(USERNAME_FILE), read(PASSWORD_FILE)) {
        (Some(name), Some(password)) => Ok(graph::Account::with_password(name.expose_secret().trim(), password)),
        _ => Err(missing(&format!(
            "Secret {secret} needs the keys {USERNAME_FILE} and {PASSWORD_FILE}, or {REFRESH_TOKEN_FILE}"
        ))),
    }
}

fn trimmed(secret: &SecretString) -> SecretString {
    SecretString::from(secret.expose_secret().trim())
}

fn missing(message: &str) -> Lamp {
    Lamp::red(Fault::SecretMissing, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Kind, http_client};
    use crate::presence::testing::{Teams, config};
    use prometheus::Registry;
    use serde_json::json;

    /// `reader` and `writer` are client ids.
    fn setup(base: &str, (reader, writer): (&str, &str)) -> Setup {
        let mut config = config(base, &json!({}));
        config["reader"]["clientId"] = json!(reader);
        config["writer"]["clientId"] = json!(writer);
        Setup::for_test(&config, &[("app", "secret", "s3cret")])
    }

    /// Graph counts by app and tenant, whatever the GraphTenants and credentials are.
    #[test]
    fn one_app_has_one_limiter_whatever_it_signs_in_with() {
        // The writer's app and Secret; whether it is the reader's client, and whether it shares the limiter.
        let cases = [
            ("one", "app", true, true),
            ("one", "other", false, true),
            ("two", "other", false, false),
        ];
        for (writer, secret, is_same, shares) in cases {
            let mut config = config("http://127.0.0.1", &json!({}));
            config["reader"]["clientId"] = json!("one");
            config["writer"]["clientId"] = json!(writer);
            config["writer"]["credentials"]["clientSecret"]["secretRef"]["name"] = json!(secret);
            let setup = Setup::for_test(&config, &[("app", "secret", "s3cret"), ("other", "secret", "0ther")]);
            let metrics = graph::Metrics::new(&Registry::new()).unwrap();
            let mut clients = Clients::new(http_client().unwrap(), metrics);
            let Apps { reader, writer } = Apps::new(&setup, Path::new("none"), &mut clients);
            let (reader, writer) = (reader.unwrap(), writer.unwrap());
            let seen = (reader.is_same(&writer), reader.shares_with(&writer));
            assert_eq!(seen, (is_same, shares), "{secret}");
        }
    }

    #[tokio::test]
    async fn a_pause_that_graph_asked_for_outlives_a_new_configuration() {
        let teams = Teams::start().await;
        let metrics = graph::Metrics::new(&Registry::new()).unwrap();
        let mut clients = Clients::new(http_client().unwrap(), metrics);
        let mut apps = |ids| Apps::new(&setup(&teams.base, ids), Path::new("none"), &mut clients);
        let path = "/v1.0/communications/getPresencesByUserId";
        let one = ["00000000-0000-4000-8000-000000000001".to_owned()];
        teams.throttle("getPresencesByUserId", 600);
        let first = apps(("one", "two")).reader.unwrap();
        assert_eq!(first.presences(&one).await.unwrap_err().kind, Kind::Throttled);
        // Another spec, and the other way round: it is the same app still.
        for ids in [("one", "one"), ("two", "one")] {
            let again = apps(ids).writer.unwrap();
            assert_eq!(
                again.presences(&one).await.unwrap_err().kind,
                Kind::Throttled,
                "{ids:?}"
            );
        }
        assert_eq!(teams.asked(path), 1);
        let other = apps(("three", "one")).reader.unwrap();
        assert!(other.presences(&one).await.is_ok());
    }
}
