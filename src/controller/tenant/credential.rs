//! Credentials, read from where the spec says they are.

use std::path::PathBuf;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use secrecy::{ExposeSecret, SecretString};

use crate::api::condition::Reason;
use crate::api::tenant::Credentials;
use crate::graph::{CertificateCredential, Credential};
use crate::policy::identity::fingerprint;
use crate::policy::subscription::Refusal;

/// Where Azure's webhook puts the path of the federated token, and where it lies by default.
const TOKEN_FILE_VARIABLE: &str = "AZURE_FEDERATED_TOKEN_FILE";
const TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

/// A credential and what can be told about it.
pub struct Loaded {
    /// The credential.
    pub credential: Credential,
    /// Fingerprint of its content, to notice a rotation.
    pub fingerprint: String,
    /// When it expires, where it tells.
    pub expires: Option<Timestamp>,
}

/// Reads it, or says what is missing.
pub async fn load(
    client: &Client,
    namespace: &str,
    credentials: &Credentials,
) -> Result<Result<Loaded, Refusal>, kube::Error> {
    if let Some(secret) = &credentials.client_secret {
        let field = "spec.credentials.clientSecret.secretRef";
        let values = read(
            client,
            namespace,
            field,
            &secret.secret_ref.name,
            &[&secret.secret_ref.key],
        )
        .await?;
        return Ok(values.map(|mut values| client_secret(values.remove(0))));
    }
    if let Some(certificate) = &credentials.certificate {
        let field = "spec.credentials.certificate";
        let keys = [
            certificate.certificate_key.as_str(),
            certificate.private_key_key.as_str(),
        ];
        let values = read(client, namespace, field, &certificate.secret_name, &keys).await?;
        return Ok(values.and_then(|values| certificate_credential(field, &values)));
    }
    Ok(Ok(if credentials.workload_identity.is_some() {
        let token_file = std::env::var_os(TOKEN_FILE_VARIABLE).map_or_else(|| PathBuf::from(TOKEN_FILE), PathBuf::from);
        Loaded {
            credential: Credential::WorkloadIdentity { token_file },
            fingerprint: "workload".to_owned(),
            expires: None,
        }
    } else {
        Loaded {
            credential: Credential::ManagedIdentity,
            fingerprint: "managed".to_owned(),
            expires: None,
        }
    }))
}

fn client_secret(value: SecretString) -> Loaded {
    let fingerprint = fingerprint(value.expose_secret());
    Loaded {
        credential: Credential::ClientSecret(value),
        fingerprint,
        expires: None,
    }
}

fn certificate_credential(field: &str, values: &[SecretString]) -> Result<Loaded, Refusal> {
    let [certificate, key] = values else {
        return Err(Refusal::waiting(
            Reason::SecretKeyMissing,
            format!("{field}: a certificate and a key are needed"),
        ));
    };
    let credential = CertificateCredential::from_pem(certificate.expose_secret(), key).map_err(|failure| {
        Refusal::waiting(
            super::super::subscription::act::reason(&failure.kind),
            format!("{field}: {failure}"),
        )
    })?;
    let expires = Some(credential.not_after());
    let fingerprint = fingerprint(&[certificate.expose_secret(), key.expose_secret()].join("\n"));
    Ok(Loaded {
        credential: Credential::Certificate(Box::new(credential)),
        fingerprint,
        expires,
    })
}

/// The values of some keys of a Secret, without the line break that an editor may have left at the end.
async fn read(
    client: &Client,
    namespace: &str,
    field: &str,
    name: &str,
    keys: &[&str],
) -> Result<Result<Vec<SecretString>, Refusal>, kube::Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let Some(secret) = secrets.get_opt(name).await? else {
        let message = format!("{field}: Secret {name} does not exist in namespace {namespace}; create it");
        return Ok(Err(Refusal::waiting(Reason::SecretNotFound, message)));
    };
    let data = secret.data.unwrap_or_default();
    Ok(keys
        .iter()
        .map(|key| {
            let text = data.get(*key).and_then(|bytes| std::str::from_utf8(&bytes.0).ok());
            let text = text
                .map(|text| text.trim_end_matches(['\r', '\n']))
                .filter(|text| !text.is_empty());
            text.map(SecretString::from).ok_or_else(|| {
                let message = format!("{field}: Secret {name} has no text under the key {key}; add it");
                Refusal::waiting(Reason::SecretKeyMissing, message)
            })
        })
        .collect())
}
