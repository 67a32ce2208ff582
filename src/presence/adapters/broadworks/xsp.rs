//! One XSP over HTTP.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, RETRY_AFTER, SET_COOKIE};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode};
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Duration, Instant, timeout};
use url::Url;

use super::requests;
use crate::graph::connection::Fault;
use crate::policy::presence::pbx::PbxError;
use crate::presence::adapters::metrics::Tally;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 256 * 1024;
/// Most cookies that are kept, and the longest.
const COOKIES: (usize, usize) = (16, 4096);
/// The wait when the server is overloaded and names none.
const OVERLOADED: Duration = Duration::from_secs(5);

/// An XSP, and the session that it keeps for us. No Debug: there are credentials within.
pub(super) struct Xsp {
    base: Url,
    client: Client,
    username: String,
    password: SecretString,
    /// A load balancer leads to the XSP that holds our channel by its cookie.
    cookies: Mutex<BTreeMap<String, String>>,
    pub(super) tally: Tally,
}

impl Xsp {
    /// An XSP at this address.
    pub(super) fn new(
        address: &str,
        username: &str,
        password: SecretString,
        extra_roots: &[CertificateDer<'static>],
        tally: Tally,
    ) -> Result<Self, PbxError> {
        let unusable = || PbxError::Transport(format!("the address {address} is not a URL of HTTP"));
        let base = Url::parse(address)
            .ok()
            .filter(|url| !url.cannot_be_a_base())
            .ok_or_else(unusable)?;
        Ok(Self {
            base,
            client: client(extra_roots)?,
            username: username.to_owned(),
            password,
            cookies: Mutex::default(),
            tally,
        })
    }

    /// Opens a stream of a channel set.
    pub(super) async fn open(&self, set: &str) -> Result<Response, PbxError> {
        self.forget_cookies();
        let request = self.request(Method::POST, requests::STREAM, Some(requests::channel(set)))?;
        let response = timeout(ANSWER, request.send()).await.map_err(|_| Fault::Timeout)??;
        self.keep_cookies(response.headers());
        judge(response.status(), response.headers())?;
        Ok(response)
    }

    /// Sends a request, and reads the answer of one that was granted. `operation` is its name in metrics.
    pub(super) async fn ask(
        &self,
        operation: &'static str,
        method: Method,
        path: &[&str],
        body: Option<String>,
    ) -> Result<Vec<u8>, PbxError> {
        let began = Instant::now();
        let answer = self.exchange(method, path, body).await;
        self.tally.took(operation, began.elapsed());
        if let Err(error) = &answer {
            self.tally.failed(error);
        }
        answer
    }

    async fn exchange(&self, method: Method, path: &[&str], body: Option<String>) -> Result<Vec<u8>, PbxError> {
        let request = self.request(method, path, body)?.timeout(ANSWER);
        let mut response = request.send().await?;
        self.keep_cookies(response.headers());
        judge(response.status(), response.headers())?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(PbxError::Protocol("an answer is too long".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn request(&self, method: Method, path: &[&str], body: Option<String>) -> Result<RequestBuilder, PbxError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| PbxError::Transport("the address cannot be used".to_owned()))?
            .pop_if_empty()
            .extend(path);
        self.tally.sent();
        let mut request = self
            .client
            .request(method, url)
            .basic_auth(&self.username, Some(self.password.expose_secret()));
        if let Some(cookies) = self.cookie_header() {
            request = request.header(COOKIE, cookies);
        }
        if let Some(body) = body {
            request = request
                .header(CONTENT_TYPE, "application/xml; charset=UTF-8")
                .body(body);
        }
        Ok(request)
    }

    fn cookie_header(&self) -> Option<HeaderValue> {
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut header = HeaderValue::from_str(&pairs.join("; "))
            .ok()
            .filter(|_| !pairs.is_empty())?;
        header.set_sensitive(true);
        Some(header)
    }

    /// Names and values only: all requests go to the host that set them.
    fn keep_cookies(&self, headers: &HeaderMap) {
        let mut cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        for header in headers.get_all(SET_COOKIE) {
            let pair = header
                .to_str()
                .ok()
                .and_then(|text| text.split(';').next()?.split_once('='));
            let Some((name, value)) = pair else { continue };
            let (most, longest) = COOKIES;
            if value.len() <= longest && (cookies.len() < most || cookies.contains_key(name.trim())) {
                cookies.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }

    fn forget_cookies(&self) {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// As [`crate::graph::http_client`], with the authorities of the spec besides, and a watch over connections on which nothing comes.
fn client(extra_roots: &[CertificateDer<'static>]) -> Result<Client, PbxError> {
    let unusable = |_| PbxError::NotTrusted("the trusted certificates cannot be used".to_owned());
    let roots = extra_roots.iter().map(|root| Certificate::from_der(root));
    let roots: Vec<Certificate> = roots.collect::<Result<_, _>>().map_err(unusable)?;
    Client::builder()
        .user_agent(concat!("teams-graph-operator/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(5))
        .pool_idle_timeout(Duration::from_mins(1))
        .tcp_keepalive(Duration::from_secs(30))
        .tls_version_min(reqwest::tls::Version::TLS_1_2)
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_merge(roots)
        .build()
        .map_err(unusable)
}

fn judge(status: StatusCode, headers: &HeaderMap) -> Result<(), PbxError> {
    match status.as_u16() {
        200..300 => Ok(()),
        401 => Err(PbxError::Auth(
            "the XSP refuses the administrator's name or password".to_owned(),
        )),
        403 => Err(PbxError::Auth(
            "the administrator may not do this (HTTP status 403)".to_owned(),
        )),
        404 => Err(PbxError::NotFound("it is not there (HTTP status 404)".to_owned())),
        429 | 503 => Err(PbxError::Throttled(retry_after(headers).unwrap_or(OVERLOADED))),
        status @ 500.. => Err(PbxError::Transport(format!("the XSP fails with HTTP status {status}"))),
        status => Err(PbxError::Protocol(format!("the XSP answers with HTTP status {status}"))),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

impl From<reqwest::Error> for PbxError {
    fn from(error: reqwest::Error) -> Self {
        Fault::of(&error).into()
    }
}

#[cfg(test)]
impl Xsp {
    /// A request that is made with this name and password.
    pub(super) fn request_of(&self, username: &str, password: &str, path: &[&str], body: String) -> reqwest::Request {
        let xsp = Self {
            base: self.base.clone(),
            client: self.client.clone(),
            username: username.to_owned(),
            password: password.into(),
            cookies: Mutex::default(),
            tally: self.tally.clone(),
        };
        xsp.request(Method::PUT, path, Some(body)).unwrap().build().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::presence::adapters::metrics::{Kind, Metrics};

    fn xsp(address: &str) -> Result<Xsp, PbxError> {
        let tally = Metrics::new(&Registry::new()).unwrap().of(Kind::BroadWorks);
        Xsp::new(
            address,
            "admin@example.com",
            SecretString::from("pä:ss\"&<"),
            &[],
            tally,
        )
    }

    #[test]
    fn addresses_hold_whatever_a_user_is_called() {
        let xsp = xsp("https://xsp.example.com/base/").unwrap();
        let request = xsp
            .request(Method::GET, &requests::actions("a/b?c#é@x", &["calls"]), None)
            .unwrap();
        let request = request.build().unwrap();
        let expected = "https://xsp.example.com/base/com.broadsoft.xsi-actions/v2.0/user/a%2Fb%3Fc%23%C3%A9@x/calls";
        assert_eq!(request.url().as_str(), expected);
        assert!(!format!("{request:?}").contains("Basic"), "credentials show in Debug");
    }

    #[test]
    fn cookies_come_back() {
        let xsp = xsp("https://xsp.example.com").unwrap();
        assert_eq!(xsp.cookie_header(), None);
        let mut headers = HeaderMap::new();
        for cookie in ["JSESSIONID=a=b; Path=/; HttpOnly", "route=x1", "bad", "JSESSIONID=c"] {
            headers.append(SET_COOKIE, cookie.parse().unwrap());
        }
        xsp.keep_cookies(&headers);
        assert_eq!(xsp.cookie_header().unwrap(), "JSESSIONID=c; route=x1");
        for number in 0..100 {
            headers.append(SET_COOKIE, format!("c{number}=v").parse().unwrap());
        }
        xsp.keep_cookies(&headers);
        assert_eq!(xsp.cookies.lock().unwrap().len(), COOKIES.0);
        xsp.forget_cookies();
        assert_eq!(xsp.cookie_header(), None);
    }

    #[test]
    fn answers_are_sorted() {
        let class = |status: u16| judge(StatusCode::from_u16(status).unwrap(), &HeaderMap::new());
        assert_eq!(class(200), Ok(()));
        assert_eq!(class(204), Ok(()));
        assert!(matches!(class(302), Err(PbxError::Protocol(_))));
        assert!(matches!(class(400), Err(PbxError::Protocol(_))));
        assert!(matches!(class(401), Err(PbxError::Auth(_))));
        assert!(matches!(class(403), Err(PbxError::Auth(_))));
        assert!(matches!(class(404), Err(PbxError::NotFound(_))));
        assert!(matches!(class(500), Err(PbxError::Transport(_))));
        let mut headers = HeaderMap::new();
        assert_eq!(
            judge(StatusCode::SERVICE_UNAVAILABLE, &headers),
            Err(PbxError::Throttled(OVERLOADED))
        );
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        let seven = PbxError::Throttled(Duration::from_secs(7));
        assert_eq!(judge(StatusCode::TOO_MANY_REQUESTS, &headers), Err(seven));
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for address in ["", "xsp.example.com", "mailto:a@example.com"] {
            assert!(matches!(xsp(address), Err(PbxError::Transport(_))), "{address}");
        }
    }
}
