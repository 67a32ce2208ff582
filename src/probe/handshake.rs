//! Graph's validation handshake, done by the operator itself against its own public URL.
//! <https://learn.microsoft.com/graph/change-notifications-delivery-webhooks#notificationurl-validation>

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response, StatusCode};
use url::Url;

use crate::graph::connection::Fault;

/// As long as Graph waits.
const LIMIT: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes; the token is far shorter.
const LONGEST_BODY: usize = 4096;

/// Why Graph's handshake would fail. Displayed without the URL's path, which is secret, and always in the same words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No connection: the text says which step failed.
    #[error("no connection: {0}")]
    Connection(String),
    /// The certificate is expired, for another name, or from an authority that is not trusted.
    #[error("the certificate is not trusted: {0}")]
    CertificateNotTrusted(String),
    /// 404: something answers, but not the receiver at this path.
    #[error("status 404: the path does not lead to the receiver")]
    WrongPath,
    /// Another status than 200.
    #[error("status {0} instead of 200")]
    Status(u16),
    /// The token did not come back as it was sent.
    #[error("the validation token came back altered")]
    Altered,
    /// The answer is not `text/plain`.
    #[error("the answer is not text/plain")]
    NotPlainText,
    /// No complete answer within ten seconds, which is as long as Graph waits.
    #[error("no complete answer within 10 s")]
    Timeout,
}

impl From<reqwest::Error> for Problem {
    fn from(error: reqwest::Error) -> Self {
        match Fault::of(&error) {
            Fault::Timeout => Self::Timeout,
            Fault::NotTrusted(why) => Self::CertificateNotTrusted(why.to_owned()),
            Fault::Connection(why) => Self::Connection(why.to_owned()),
        }
    }
}

/// Does the handshake with a notification or lifecycle URL (secret). The receiver's answer needs no state, so this may be done
/// at any time. `http` must not follow redirects, as [`crate::graph::http_client`] does not: Graph follows none either.
pub async fn handshake(http: &Client, url: &str) -> Result<(), Problem> {
    let token = token();
    let mut url = Url::parse(url).map_err(|_| Problem::Connection("the address is not a URL".to_owned()))?;
    // Written as Graph writes it: blanks as plus signs.
    url.query_pairs_mut().append_pair("validationToken", &token);
    let response = http
        .post(url)
        .timeout(LIMIT)
        .header(CONTENT_TYPE, "text/plain; charset=utf-8")
        .body("")
        .send()
        .await?;
    match response.status() {
        StatusCode::OK => check(response, &token).await,
        StatusCode::NOT_FOUND => Err(Problem::WrongPath),
        status => Err(Problem::Status(status.as_u16())),
    }
}

/// Graph's own wording, and what servers like to spoil: blanks, colons, a plus sign, umlauts.
/// Nothing that a firewall could take for an attack, since Graph's tokens hold nothing of the kind either.
fn token() -> String {
    let id = uuid::Uuid::new_v4();
    format!("Validation: Testing client application reachability for subscription Request-Id: {id} a+b äöü")
}

async fn check(mut response: Response, token: &str) -> Result<(), Problem> {
    if !is_plain_text(&response) {
        return Err(Problem::NotPlainText);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST_BODY {
            return Err(Problem::Altered);
        }
    }
    if body == token.as_bytes() {
        Ok(())
    } else {
        Err(Problem::Altered)
    }
}

fn is_plain_text(response: &Response) -> bool {
    response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|mime| mime.trim().eq_ignore_ascii_case("text/plain"))
}

#[cfg(test)]
mod tests;
