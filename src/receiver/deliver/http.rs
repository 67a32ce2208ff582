//! Delivery to an address.

use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use super::super::event::Event;
use super::attempt::Outcome;
use super::cloudevent;
use crate::api::receiver::CloudEventMode;

/// The longest wait a sink may ask for.
const RETRY_AFTER_MOST: Duration = Duration::from_mins(10);

/// An address that takes `CloudEvents`.
pub struct HttpTarget {
    client: Client,
    url: String,
    mode: CloudEventMode,
    token: Option<SecretString>,
}

impl HttpTarget {
    /// A target with its own connections. Redirects are not followed: events go where the configuration says, or nowhere.
    pub fn new(
        url: &str,
        mode: CloudEventMode,
        timeout: Duration,
        token: Option<&str>,
    ) -> Result<Self, reqwest::Error> {
        let client = Client::builder().timeout(timeout).redirect(Policy::none()).build()?;
        Ok(Self {
            client,
            url: url.to_owned(),
            mode,
            token: token.map(SecretString::from),
        })
    }

    /// Tries to deliver an event of this log.
    pub async fn deliver(&self, log_id: &str, event: &Event) -> Outcome {
        let Ok(request) = self.request(log_id, event) else {
            return Outcome::Refused {
                reason: "event cannot be encoded".to_owned(),
            };
        };
        match request.send().await {
            Ok(response) => judge(response.status(), response.headers()),
            Err(error) => Outcome::retry(describe(&error)),
        }
    }

    fn request(&self, log_id: &str, event: &Event) -> Result<RequestBuilder, serde_json::Error> {
        let attributes = cloudevent::attributes(log_id, event);
        let mut request = self.client.post(&self.url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        if self.mode == CloudEventMode::Structured {
            let body = cloudevent::structured(&attributes, &event.record.item)?;
            return Ok(request.header(CONTENT_TYPE, cloudevent::STRUCTURED).body(body));
        }
        for (name, value) in attributes {
            request = match name {
                "datacontenttype" => request.header(CONTENT_TYPE, value),
                _ => request.header(format!("ce-{name}"), cloudevent::header_value(&value)),
            };
        }
        Ok(request.body(event.record.item.get().to_owned()))
    }
}

// Only what speaks of the event itself ends its delivery. Anything else (an expired token, a wrong address, a redirect) speaks of
// the sink and its configuration, and would be said of every event.
fn judge(status: StatusCode, headers: &HeaderMap) -> Outcome {
    let reason = format!("HTTP {}", status.as_u16());
    if status.is_success() {
        return Outcome::Delivered;
    }
    let of_the_event = [
        StatusCode::BAD_REQUEST,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        StatusCode::UNPROCESSABLE_ENTITY,
    ];
    if of_the_event.contains(&status) {
        return Outcome::Refused { reason };
    }
    let after = retry_after(headers).map(|after| after.min(RETRY_AFTER_MOST));
    Outcome::Retry { reason, after }
}

// Either seconds or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Duration::try_from(at.duration_since(jiff::Timestamp::now())).ok()
}

// A few fixed words: addresses and what a peer sends do not belong into metrics and states.
fn describe(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        return "timeout";
    }
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            match io.kind() {
                ErrorKind::ConnectionRefused => return "connection refused",
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return "connection reset",
                ErrorKind::InvalidData => return "TLS failed",
                _ => {}
            }
        }
        if inner.to_string().starts_with("dns error") {
            return "name resolution failed";
        }
        cause = inner.source();
    }
    if error.is_builder() {
        return "address unusable";
    }
    if error.is_connect() {
        "connection failed"
    } else {
        "request failed"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_answers() {
        let retried = [
            301, 302, 307, 401, 402, 403, 404, 405, 408, 409, 410, 425, 429, 500, 502, 503, 504, 599,
        ];
        let refused = [400, 413, 415, 422];
        for code in [200, 202, 204] {
            assert_eq!(
                judge(StatusCode::from_u16(code).unwrap(), &HeaderMap::new()),
                Outcome::Delivered
            );
        }
        for code in retried {
            let outcome = judge(StatusCode::from_u16(code).unwrap(), &HeaderMap::new());
            assert_eq!(outcome, Outcome::retry(&format!("HTTP {code}")));
        }
        for code in refused {
            let outcome = judge(StatusCode::from_u16(code).unwrap(), &HeaderMap::new());
            assert_eq!(
                outcome,
                Outcome::Refused {
                    reason: format!("HTTP {code}")
                }
            );
        }
    }

    #[test]
    fn reads_retry_after_and_limits_it() {
        let after = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            match judge(StatusCode::SERVICE_UNAVAILABLE, &headers) {
                Outcome::Retry { after, .. } => after.map(|after| after.as_secs()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(after("7"), Some(7));
        assert_eq!(after("86400"), Some(600));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), None);
        assert_eq!(after("Wed, 21 Oct 2099 07:28:00 GMT"), Some(600));
        assert_eq!(after("soon"), None);
    }
}
