//! One request. There is no way here to make any other than GET: a DELETE of a list would erase all of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prometheus::IntCounterVec;
use reqwest::header::{
    ACCEPT, AGE, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Client, Response};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::Settings;
use super::budget::Budget;
use crate::graph::connection::Fault;
use crate::local_clock;
use crate::policy::connector::clock::{ClockSample, DatedAnswer};
use crate::policy::connector::pexip::{Answer, ApiFault};
use crate::probe::client::{builder, is_forbidden};

/// Longest answer that is read, in bytes.
const LONGEST: usize = 8 << 20;
/// The pause when the manager is overloaded and names none.
const OVERLOADED: Duration = Duration::from_secs(10);
/// How long a reading of its clock counts.
const CLOCK_AGE: Duration = Duration::from_mins(1);
const SOURCE: &str = "Pexip";

/// Who asks.
pub enum Credentials {
    /// A name and its password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// A token. It is sent as `Bearer` unless it begins with `Bearer` or `Token` itself.
    Token(SecretString),
}

impl Credentials {
    /// A name and a password, as they stand in a Secret: ends of lines around them are no part of them.
    pub fn basic(username: &str, password: &str) -> Self {
        Self::Basic {
            username: username.trim_matches(['\r', '\n']).to_owned(),
            password: password.trim_matches(['\r', '\n']).into(),
        }
    }

    /// A token, as it stands in a Secret.
    pub fn token(token: &str) -> Self {
        Self::Token(token.trim().into())
    }

    /// Hands out what tells them from others.
    pub(super) fn feed(&self, take: &mut dyn FnMut(&[u8])) {
        match self {
            Self::Basic { username, password } => {
                take(username.as_bytes());
                take(password.expose_secret().as_bytes());
            }
            Self::Token(token) => take(token.expose_secret().as_bytes()),
        }
    }

    fn header(&self) -> Result<HeaderValue, Unusable> {
        use base64::Engine;
        let text = match self {
            Self::Basic { username, password } => {
                let pair = format!("{username}:{}", password.expose_secret());
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
            }
            Self::Token(token) if has_scheme(token.expose_secret()) => token.expose_secret().to_owned(),
            Self::Token(token) => format!("Bearer {}", token.expose_secret()),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| Unusable::Credentials)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn has_scheme(token: &str) -> bool {
    token.starts_with("Bearer ") || token.starts_with("Token ")
}

/// Why no client can be made. Displayed without what is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The address is not a URL of HTTP.
    #[error("the address is not a URL of HTTP")]
    Address,
    /// The address is one that no Management Node can have.
    #[error("the address may not be asked")]
    Forbidden,
    /// The token has characters that cannot be sent.
    #[error("the credentials have characters that cannot be sent")]
    Credentials,
    /// The certificates are not PEM.
    #[error("the trusted certificates cannot be read as PEM")]
    Roots,
}

/// The address as a base for those of resources, which lead to no other host.
pub(super) fn base(address: &str) -> Result<Url, Unusable> {
    let url = Url::parse(address).map_err(|_| Unusable::Address)?;
    let is_http = ["http", "https"].contains(&url.scheme()) && url.has_host();
    if !is_http {
        return Err(Unusable::Address);
    }
    if is_forbidden(&url) {
        return Err(Unusable::Forbidden);
    }
    Ok(url)
}

/// Makes requests. No Debug: there are credentials within.
pub(super) struct Getter {
    base: Url,
    http: Client,
    authorization: HeaderValue,
    budget: Arc<Budget>,
    requests: IntCounterVec,
    clock: Mutex<Option<(Instant, ClockSample)>>,
}

impl Getter {
    pub(super) fn new(
        base: Url,
        settings: &Settings,
        budget: Arc<Budget>,
        requests: IntCounterVec,
    ) -> Result<Self, Unusable> {
        Ok(Self {
            http: http(&base, settings.roots.as_deref())?,
            base,
            authorization: settings.credentials.header()?,
            budget,
            requests,
            clock: Mutex::default(),
        })
    }

    /// The JSON of `/api/admin/{path}/`.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)], deadline: Instant) -> Answer<Vec<u8>> {
        if !self.budget.take(deadline).await {
            return Err(ApiFault::Throttled);
        }
        let answer = timeout_at(deadline, self.exchange(path, query)).await;
        answer.unwrap_or_else(|_| {
            self.count("timeout");
            Err(super::BUSY)
        })
    }

    /// The manager's clock, as the best of the latest answers told it.
    pub(super) fn clock(&self) -> Option<ClockSample> {
        let clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, sample) = clock.as_ref()?;
        (at.elapsed() < CLOCK_AGE).then(|| sample.clone())
    }

    /// Now, by the manager's clock as far as it is known.
    pub(super) fn now(&self) -> Timestamp {
        let (now, skew) = (local_clock::now(), self.skew());
        now.checked_add(skew).unwrap_or(now)
    }

    /// The manager's clock minus the local one, as far as that is known.
    pub(super) fn skew(&self) -> SignedDuration {
        self.clock().map(|sample| sample.skew).unwrap_or_default()
    }

    async fn exchange(&self, path: &[&str], query: &[(&str, &str)]) -> Answer<Vec<u8>> {
        let request = self
            .http
            .get(self.url(path, query)?)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json");
        let (sent, began) = (local_clock::now(), Instant::now());
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        let status = response.status().as_u16();
        self.count(&status.to_string());
        self.learn(response.headers(), sent, began);
        if [429, 503].contains(&status) {
            self.budget.pause(retry_after(response.headers()).unwrap_or(OVERLOADED));
        }
        judge(status, response.headers())?;
        body(response).await
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Answer<Url> {
        let mut url = self.base.clone();
        // The slash at the end matters: without it, the manager redirects.
        url.path_segments_mut()
            .map_err(|()| ApiFault::Missing)?
            .pop_if_empty()
            .extend(["api", "admin"])
            .extend(path)
            .push("");
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    fn broken(&self, error: &reqwest::Error) -> ApiFault {
        match Fault::of(error) {
            Fault::Timeout => {
                self.count("timeout");
                super::BUSY
            }
            Fault::NotTrusted(why) | Fault::Connection(why) => {
                self.count("unreachable");
                ApiFault::Unreachable(why)
            }
        }
    }

    fn count(&self, code: &str) {
        self.requests.with_label_values(&["pexip", code]).inc();
    }

    fn learn(&self, headers: &HeaderMap, sent: Timestamp, began: Instant) {
        let Some(date) = text(headers, &DATE) else { return };
        let answer = DatedAnswer {
            date,
            cached: headers.contains_key(AGE),
            sent,
            arrived: local_clock::now(),
            elapsed: SignedDuration::try_from(began.elapsed()).unwrap_or(SignedDuration::MAX),
        };
        let Some(sample) = ClockSample::of(SOURCE, &answer) else {
            return;
        };
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let is_better =
            |(at, known): &(Instant, ClockSample)| at.elapsed() > CLOCK_AGE / 2 || sample.error <= known.error;
        if clock.as_ref().is_none_or(is_better) {
            *clock = Some((Instant::now(), sample));
        }
    }
}

async fn body(mut response: Response) -> Answer<Vec<u8>> {
    let declared = response.content_length().unwrap_or(0);
    if !usize::try_from(declared).is_ok_and(|declared| declared <= LONGEST) {
        return Err(ApiFault::TooLarge);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| ended_early(&error))? {
        if body.len() + chunk.len() > LONGEST {
            return Err(ApiFault::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The client of probes, which goes to no address that gives credentials. What is asked without TLS is in this cluster, where no proxy
/// is needed.
fn http(base: &Url, roots: Option<&[u8]>) -> Result<Client, Unusable> {
    let builder = builder(roots)
        .map_err(|_| Unusable::Roots)?
        .pool_idle_timeout(Duration::from_mins(2))
        .pool_max_idle_per_host(2);
    let builder = if base.scheme() == "http" {
        builder.no_proxy()
    } else {
        builder
    };
    builder.build().map_err(|_| Unusable::Roots)
}

/// An answer is good if it is JSON: a page to log in comes with status 200 too.
fn judge(status: u16, headers: &HeaderMap) -> Answer<()> {
    match status {
        200 => {}
        300..=399 => return Err(ApiFault::LoginPage),
        401 => return Err(ApiFault::Unauthorized),
        403 => return Err(ApiFault::Forbidden),
        404 => return Err(ApiFault::Missing),
        429 => return Err(ApiFault::Throttled),
        other => return Err(ApiFault::Status(other)),
    }
    let kind = text(headers, &CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/json" | "text/javascript" => Ok(()),
        "text/html" | "application/xhtml+xml" => Err(ApiFault::LoginPage),
        _ => Err(ApiFault::Malformed),
    }
}

/// A body that breaks off is no answer, whether the connection broke or the peer stopped on purpose.
fn ended_early(error: &reqwest::Error) -> ApiFault {
    match Fault::of(error) {
        Fault::Timeout => super::BUSY,
        _ => ApiFault::Malformed,
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    text(headers, &RETRY_AFTER)?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
