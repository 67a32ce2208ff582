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

/// The apps that read and write.
pub struct Apps {
    /// Reads presence and people.
    pub reader: Result<Graph, Lamp>,
    /// Writes presence; the same client where it is the same app with the same credentials, and one that shares the reader's
    /// limiter where the credentials differ.
    pub writer: Result<Graph, Lamp>,
}

impl Apps {
    /// Clients for both apps, as far as their secrets are there.
    pub fn new(setup: &Setup, token_file: &Path, http: &reqwest::Client, metrics: &graph::Metrics) -> Self {
        let config = &setup.config;
        let reader = app(setup, &config.reader, token_file)
            .map(|app| Graph::new(app, http.clone(), metrics.clone()))
            .inspect(|graph| graph.set_changes_budget(QUESTIONS));
        let writer = if config.reader == config.writer {
            reader.clone()
        } else {
            app(setup, &config.writer, token_file).map(|app| {
                // Graph counts by app and tenant, whatever the GraphTenants and credentials are.
                let beside = reader.as_ref().ok().and_then(|reader| reader.beside(app.clone()));
                beside.unwrap_or_else(|| Graph::new(app, http.clone(), metrics.clone()))
            })
        };
        Self { reader, writer }
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
    use std::fs;

    use prometheus::Registry;
    use serde_json::json;

    use super::*;
    use crate::graph::http_client;
    use crate::presence::settings::Dirs;
    use crate::presence::setup::Files;

    /// The reader's app is `one` with a Secret; the writer's is told.
    fn apps(writer: &str, secret: &str) -> (Graph, Graph) {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs {
            config: dir.path().join("config"),
            secrets: dir.path().join("secrets"),
        };
        fs::create_dir_all(&dirs.config).unwrap();
        for name in ["read", "write"] {
            fs::create_dir_all(dirs.secrets.join(name)).unwrap();
            fs::write(dirs.secrets.join(name).join("key"), name).unwrap();
        }
        let app = |client: &str, secret: &str| {
            json!({
                "tenantId": "t", "clientId": client,
                "endpoints": { "login": "http://127.0.0.1", "graph": "http://127.0.0.1" },
                "credentials": { "clientSecret": { "secretRef": { "name": secret, "key": "key" } } },
            })
        };
        let config = json!({
            "namespace": "n", "name": "desk", "uid": "u", "generation": 1,
            "reader": app("one", "read"), "writer": app(writer, secret),
            "spec": { "tenantRef": { "name": "t" }, "pbx": { "sip": { "host": "h", "domain": "d" } } },
        });
        fs::write(dirs.config.join("presence.json"), config.to_string()).unwrap();
        let setup = Files::read(&dirs).unwrap().parse().unwrap();
        let metrics = graph::Metrics::new(&Registry::new()).unwrap();
        let apps = Apps::new(&setup, Path::new("token"), &http_client().unwrap(), &metrics);
        (apps.reader.unwrap(), apps.writer.unwrap())
    }

    #[test]
    fn one_app_has_one_limiter_whatever_it_signs_in_with() {
        // The writer's app and Secret; whether it is the reader's client, and whether it shares the limiter.
        let cases = [
            ("one", "read", true, true),
            ("one", "write", false, true),
            ("two", "write", false, false),
        ];
        for (writer, secret, is_same, shares) in cases {
            let (reader, writing) = apps(writer, secret);
            let seen = (reader.is_same(&writing), reader.shares_with(&writing));
            assert_eq!(seen, (is_same, shares), "{writer} {secret}");
        }
    }
}
