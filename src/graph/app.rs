//! An app registration in a tenant, as this operator uses it.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::credential::Credential;

/// An app registration in a tenant.
#[derive(Clone, Debug)]
pub struct App {
    /// Tenant id or verified domain.
    pub tenant_id: String,
    /// Application id; `None` only for a system-assigned managed identity.
    pub client_id: Option<String>,
    /// Base address of the sign-in service, such as `https://login.microsoftonline.com`.
    pub login: String,
    /// Base address of Graph without a version, such as `https://graph.microsoft.com`.
    pub graph: String,
    /// How the app proves itself.
    pub credential: Credential,
}

impl App {
    /// Stable id of tenant, app and Graph address, without any secret: two apps with the same fingerprint share Microsoft's
    /// rate limits and should share one [`Graph`](super::Graph).
    pub fn fingerprint(&self) -> String {
        let parts = [
            self.tenant_id.to_ascii_lowercase(),
            self.client_id.as_deref().unwrap_or("").to_ascii_lowercase(),
            self.graph.trim_end_matches('/').to_ascii_lowercase(),
        ];
        let hash = digest::digest(&digest::SHA256, parts.join("\n").as_bytes());
        URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12])
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use secrecy::SecretString;

    use super::*;

    fn app(tenant_id: &str, client_id: Option<&str>, credential: Credential) -> App {
        App {
            tenant_id: tenant_id.into(),
            client_id: client_id.map(Into::into),
            login: "https://login.microsoftonline.com".into(),
            graph: "https://graph.microsoft.com/".into(),
            credential,
        }
    }

    #[test]
    fn the_fingerprint_ignores_credentials_and_case() {
        let secret = app(
            "Contoso.com",
            Some("ABC"),
            Credential::ClientSecret(SecretString::from("s")),
        );
        let token_file = PathBuf::from("/t");
        let mut federated = app("contoso.com", Some("abc"), Credential::WorkloadIdentity { token_file });
        federated.graph = "https://graph.microsoft.com".into();
        assert_eq!(secret.fingerprint(), federated.fingerprint());
    }

    #[test]
    fn the_fingerprint_tells_apps_and_tenants_apart() {
        let one = app("a", Some("x"), Credential::ManagedIdentity);
        let two = app("b", Some("x"), Credential::ManagedIdentity);
        let three = app("a", None, Credential::ManagedIdentity);
        assert_ne!(one.fingerprint(), two.fingerprint());
        assert_ne!(one.fingerprint(), three.fingerprint());
    }
}
