//! How the simulator calls notification URLs: TLS 1.2, no redirects, no proxy, and only CAs that it was given.

use std::error::Error;
use std::time::Duration;

use reqwest::{Certificate, Client, redirect, tls};

/// The HTTP client towards notification URLs.
pub struct Outbound(Client);

/// Why a call got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// TLS failed.
    Tls,
    /// Not in time.
    Timeout,
    /// Anything else on the way.
    Unreachable,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// Body.
    pub body: String,
}

impl Outbound {
    /// A client that trusts these CAs (PEM) and nothing else.
    pub fn new(trusted_ca: Option<&str>) -> Result<Self, reqwest::Error> {
        let trusted = trusted_ca.map_or_else(|| Ok(Vec::new()), |pem| Certificate::from_pem_bundle(pem.as_bytes()))?;
        let client = Client::builder()
            .tls_certs_only(trusted)
            // Microsoft's sender speaks 1.2 in practice: an endpoint with 1.3 alone fails.
            .tls_version_max(tls::Version::TLS_1_2)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self(client))
    }

    /// One POST.
    pub async fn post(&self, url: &str, content_type: &str, body: String, limit: Duration) -> Result<Answer, NoAnswer> {
        let request = self
            .0
            .post(url)
            .header("content-type", content_type)
            .timeout(limit)
            .body(body);
        let response = request.send().await.map_err(|error| reason(&error))?;
        let status = response.status().as_u16();
        let content_type = response
            .headers()
            .get("content-type")
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
            .to_string();
        let body = response.text().await.map_err(|error| reason(&error))?;
        Ok(Answer {
            status,
            content_type,
            body,
        })
    }
}

fn reason(error: &reqwest::Error) -> NoAnswer {
    if error.is_timeout() {
        NoAnswer::Timeout
    } else if comes_from_tls(error) {
        NoAnswer::Tls
    } else {
        NoAnswer::Unreachable
    }
}

/// An I/O error does not show what it wraps as its source, so both ways down are taken.
fn comes_from_tls(error: &(dyn Error + 'static)) -> bool {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || wrapped.is_some_and(|inner| comes_from_tls(inner))
        || error.source().is_some_and(comes_from_tls)
}
