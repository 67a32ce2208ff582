//! How the operator speaks HTTP to the outside.

use std::time::Duration;

/// The HTTP client for everything that goes to Microsoft or to a notification URL: TLS 1.2 or later, the platform's trusted
/// roots, no redirects (they would carry tokens elsewhere).
pub fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .user_agent(concat!("teams-graph-operator/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(5))
        .pool_idle_timeout(Duration::from_mins(1))
        .tls_version_min(reqwest::tls::Version::TLS_1_2)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}
