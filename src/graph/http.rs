//! How the operator speaks HTTP to the outside.

use std::time::Duration;

use reqwest::{Client, ClientBuilder};

/// The HTTP client for everything that goes to Microsoft or to a notification URL: TLS 1.2 or later, the platform's trusted
/// roots, no redirects (they would carry tokens elsewhere).
pub fn http_client() -> Result<Client, reqwest::Error> {
    http_client_builder().build()
}

/// The same without any proxy, for what is on this machine or in this cluster: a proxy for the outside cannot reach it, and
/// would see its tokens.
pub fn http_client_inside() -> Result<Client, reqwest::Error> {
    http_client_builder().no_proxy().build()
}

/// What clients of the operator have in common, for those that trust more, or go elsewhere.
pub(crate) fn http_client_builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("teams-graph-operator/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(5))
        .pool_idle_timeout(Duration::from_mins(1))
        .tls_version_min(reqwest::tls::Version::TLS_1_2)
        .redirect(reqwest::redirect::Policy::none())
}
