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
    /// Stable id of tenant, app and Graph address, without any secret: what belongs to the same app at Microsoft. Where the
    /// app signs in is not part of it, and it proves nothing about the credential: see [`App::is_at`].
    pub fn fingerprint(&self) -> String {
        let parts = [
            self.tenant_id.to_ascii_lowercase(),
            self.client_id.as_deref().unwrap_or("").to_ascii_lowercase(),
            self.graph.trim_end_matches('/').to_ascii_lowercase(),
        ];
        let hash = digest::digest(&digest::SHA256, parts.join("\n").as_bytes());
        URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12])
    }

    /// Whether `other` is the same app at the very same addresses. Anybody may write the ids of an app beside the address of
    /// a sign-in service of his own: such a one must not share a client, nor what a client has learned.
    pub fn is_at(&self, other: &Self) -> bool {
        self.tenant_id.eq_ignore_ascii_case(&other.tenant_id) && self.is_at_in_any_tenant(other)
    }

    /// The same, whatever the tenants.
    pub fn is_at_in_any_tenant(&self, other: &Self) -> bool {
        let id = |app: &Self| app.client_id.as_deref().map(str::to_ascii_lowercase);
        id(self) == id(other) && self.has_clock_of(other)
    }

    /// Whether `other` signs in and asks at the very same addresses: those have one clock.
    pub fn has_clock_of(&self, other: &Self) -> bool {
        let address = |text: &str| text.trim_end_matches('/').to_owned();
        address(&self.login) == address(&other.login) && address(&self.graph) == address(&other.graph)
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
        assert!(secret.is_at(&federated));
    }

    #[test]
    fn another_sign_in_service_is_another_place_for_the_same_app() {
        let real = app("a", Some("x"), Credential::ManagedIdentity);
        let mut evil = real.clone();
        evil.login = "https://login.evil.example".into();
        assert!(!real.is_at(&evil));
        assert_eq!(
            real.fingerprint(),
            evil.fingerprint(),
            "a live subscription stays the app's own"
        );
        let mut elsewhere = real.clone();
        elsewhere.graph = "https://graph.evil.example".into();
        assert!(!real.is_at(&elsewhere));
        assert_ne!(real.fingerprint(), elsewhere.fingerprint());
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
