//! The token request, for each way to prove the app's identity.
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>

use std::path::Path;

use jiff::Timestamp;
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};

use crate::graph::account::{Account, Proof};
use crate::graph::app::App;
use crate::graph::credential::{CertificateCredential, Credential};
use crate::graph::error::{Failure, Kind};
use crate::graph::http::http_client_inside;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The metadata service of Azure machines.
const MACHINE: &str = "http://169.254.169.254/metadata/identity/oauth2/token";

/// A request for a token, ready to be sent. Reads the token file, if one is used.
pub(in crate::graph) async fn request(
    app: &App,
    account: Option<&Account>,
    http: &Client,
    now: Timestamp,
) -> Result<RequestBuilder, Failure> {
    match &app.credential {
        Credential::ClientSecret(secret) => {
            with_proof(app, account, http, &[("client_secret", secret.expose_secret())])
        }
        Credential::Certificate(certificate) => {
            let assertion = sign(app, certificate, now)?;
            with_assertion(app, account, http, &assertion)
        }
        Credential::WorkloadIdentity { token_file } => {
            let assertion = read_assertion(token_file).await?;
            with_assertion(app, account, http, &assertion)
        }
        Credential::ManagedIdentity if account.is_some() => {
            let message = "An account cannot be signed in by an app with a managed identity: give the app a client secret or a certificate.";
            Err(Failure::of(Kind::CredentialsMalformed, message))
        }
        Credential::ManagedIdentity => {
            // Asked about once an hour, so it is not kept.
            let inside = http_client_inside().map_err(|_| {
                Failure::of(
                    Kind::Unavailable,
                    "No HTTP client can be made for the managed identity.",
                )
            })?;
            Ok(Place::from_environment().request(app, &inside))
        }
    }
}

fn with_assertion(
    app: &App,
    account: Option<&Account>,
    http: &Client,
    assertion: &SecretString,
) -> Result<RequestBuilder, Failure> {
    let proof = [
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion.expose_secret()),
    ];
    with_proof(app, account, http, &proof)
}

fn with_proof(
    app: &App,
    account: Option<&Account>,
    http: &Client,
    proof: &[(&str, &str)],
) -> Result<RequestBuilder, Failure> {
    let mut scope = format!("{}/.default", app.graph.trim_end_matches('/'));
    let person = account.map(Account::proof);
    if matches!(person, Some(Proof::RefreshToken(_))) {
        // Otherwise no new one comes with the token.
        scope.push_str(" offline_access");
    }
    let mut form = vec![("client_id", client_id(app)?), ("scope", scope.as_str())];
    match &person {
        None => form.push(("grant_type", "client_credentials")),
        Some(Proof::Password { username, password }) => form.extend([
            ("grant_type", "password"),
            ("username", username.as_str()),
            ("password", password.expose_secret()),
        ]),
        Some(Proof::RefreshToken(token)) => form.extend([
            ("grant_type", "refresh_token"),
            ("refresh_token", token.expose_secret()),
        ]),
    }
    form.extend_from_slice(proof);
    Ok(http.post(endpoint(app)).form(&form))
}

fn endpoint(app: &App) -> String {
    format!(
        "{}/{}/oauth2/v2.0/token",
        app.login.trim_end_matches('/'),
        app.tenant_id
    )
}

fn client_id(app: &App) -> Result<&str, Failure> {
    app.client_id
        .as_deref()
        .ok_or_else(|| Failure::of(Kind::Rejected, "This credential needs a client id."))
}

fn sign(app: &App, certificate: &CertificateCredential, now: Timestamp) -> Result<SecretString, Failure> {
    if certificate.not_after() <= now {
        let message = "The certificate has expired. Register a new one with the app and store it.";
        return Err(Failure::of(Kind::CertificateExpired, message));
    }
    if certificate.not_before() > now {
        let message = "The certificate is not valid yet.";
        return Err(Failure::of(Kind::CredentialsMalformed, message));
    }
    certificate.assertion(client_id(app)?, &endpoint(app), now)
}

async fn read_assertion(file: &Path) -> Result<SecretString, Failure> {
    let malformed = |message: &str| Failure::of(Kind::CredentialsMalformed, message);
    let text = SecretString::from(tokio::fs::read_to_string(file).await.map_err(|error| {
        malformed(&format!(
            "The service account token cannot be read ({}). Label the pod azure.workload.identity/use: \"true\".",
            error.kind()
        ))
    })?);
    match text.expose_secret().trim() {
        "" => Err(malformed("The service account token file is empty.")),
        token => Ok(SecretString::from(token)),
    }
}

/// Where managed identities are served.
/// <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>
enum Place {
    /// App Service, Container Apps and their kin.
    Service { endpoint: String, header: SecretString },
    /// A virtual machine.
    Machine,
}

impl Place {
    fn from_environment() -> Self {
        match (std::env::var("IDENTITY_ENDPOINT"), std::env::var("IDENTITY_HEADER")) {
            (Ok(endpoint), Ok(header)) if !endpoint.is_empty() => Self::Service {
                endpoint,
                header: SecretString::from(header),
            },
            _ => Self::Machine,
        }
    }

    fn request(&self, app: &App, http: &Client) -> RequestBuilder {
        let request = match self {
            Self::Service { endpoint, header } => http
                .get(endpoint)
                .header("x-identity-header", header.expose_secret())
                .query(&[("api-version", "2019-08-01")]),
            Self::Machine => http
                .get(MACHINE)
                .header("metadata", "true")
                .query(&[("api-version", "2018-02-01")]),
        };
        let request = request.query(&[("resource", app.graph.trim_end_matches('/'))]);
        match &app.client_id {
            Some(id) => request.query(&[("client_id", id)]),
            None => request,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::error::Class;

    fn app(credential: Credential) -> App {
        App {
            tenant_id: "contoso.com".into(),
            client_id: Some("app".into()),
            login: "https://login.example/".into(),
            graph: "https://graph.example/".into(),
            credential,
        }
    }

    async fn form(app: &App) -> Vec<(String, String)> {
        let request = request(app, None, &Client::new(), Timestamp::now())
            .await
            .unwrap()
            .build()
            .unwrap();
        assert_eq!(
            request.url().as_str(),
            "https://login.example/contoso.com/oauth2/v2.0/token"
        );
        serde_urlencoded::from_bytes(request.body().unwrap().as_bytes().unwrap()).unwrap()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[tokio::test]
    async fn a_secret_goes_into_the_form() {
        let form = form(&app(Credential::ClientSecret(SecretString::from("a+b~c")))).await;
        assert_eq!(
            form,
            [
                pair("client_id", "app"),
                pair("scope", "https://graph.example/.default"),
                pair("grant_type", "client_credentials"),
                pair("client_secret", "a+b~c"),
            ]
        );
    }

    #[tokio::test]
    async fn the_service_account_token_is_read_anew_each_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let app = app(Credential::WorkloadIdentity {
            token_file: file.path().to_owned(),
        });
        let failure = request(&app, None, &Client::new(), Timestamp::now()).await.unwrap_err();
        assert_eq!(failure.kind, Kind::CredentialsMalformed);
        for token in ["one", "two"] {
            std::fs::write(file.path(), format!("{token}\n")).unwrap();
            let form = form(&app).await;
            assert!(form.contains(&pair("client_assertion_type", ASSERTION_TYPE)));
            assert!(form.contains(&pair("client_assertion", token)));
        }
    }

    #[tokio::test]
    async fn a_missing_client_id_is_a_mistake_of_the_spec() {
        let mut app = app(Credential::ClientSecret(SecretString::from("s")));
        app.client_id = None;
        let failure = request(&app, None, &Client::new(), Timestamp::now()).await.unwrap_err();
        assert_eq!(failure.class, Class::Invalid);
    }

    #[test]
    fn managed_identities_are_asked_for_at_the_machine_or_the_service() {
        let app = app(Credential::ManagedIdentity);
        let machine = Place::Machine.request(&app, &Client::new()).build().unwrap();
        assert_eq!(
            machine.url().as_str(),
            format!("{MACHINE}?api-version=2018-02-01&resource=https%3A%2F%2Fgraph.example&client_id=app")
        );
        assert_eq!(machine.headers()["metadata"], "true");
        let service = Place::Service {
            endpoint: "http://127.0.0.1:1/msi".into(),
            header: SecretString::from("h"),
        };
        let service = service.request(&app, &Client::new()).build().unwrap();
        assert_eq!(service.headers()["x-identity-header"], "h");
        assert!(
            service
                .url()
                .as_str()
                .starts_with("http://127.0.0.1:1/msi?api-version=2019-08-01&resource=")
        );
    }
}
