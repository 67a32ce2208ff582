//! One request and its answer: bounded in time and size, and looked at for the server's clock.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, Response};
use serde::de::IgnoredAny;
use tokio::time::Instant;

use super::clock::Clock;
use super::connection::Fault;
use super::error::{Failure, Kind};

const MEBIBYTE: usize = 1024 * 1024;
/// Longest `Retry-After` that is believed; the limiter clamps further.
const LONGEST_WAIT: f64 = 86_400.0;

/// An answer. No Debug: the body may hold a token.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
    /// The server's clock, and how long the answer took.
    date: Option<(Timestamp, Duration)>,
}

/// What a request may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) time: Duration,
    /// Longest answer that is read.
    pub(super) mebibytes: usize,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Lets `clock` learn from an answer that Microsoft wrote. A page of a proxy, dated by the proxy's clock, is none.
    pub(super) fn tell_time(&self, clock: &Clock) {
        let is_object = || {
            self.body.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(&self.body).is_ok()
        };
        if let Some((date, round_trip)) = self.date.filter(|_| is_object()) {
            clock.learn(date, round_trip);
        }
    }
}

/// Sends a request to `peer` (its name in messages) and reads the answer, all within `bounds`.
pub(super) async fn exchange(request: RequestBuilder, bounds: Bounds, peer: &str) -> Result<Answer, Failure> {
    let id = uuid::Uuid::new_v4().to_string();
    let started = Instant::now();
    let request = request.timeout(bounds.time).header("client-request-id", &id);
    let response = send(request, bounds, peer, &id).await?;
    let round_trip = started.elapsed();
    let date = header(response.headers(), &DATE).and_then(http_date);
    let status = response.status().as_u16();
    let retry_after = header(response.headers(), &RETRY_AFTER).and_then(|text| retry_after(text, date));
    let request_id = response
        .headers()
        .get("request-id")
        .and_then(|value| value.to_str().ok());
    tracing::debug!(client_request_id = id, request_id, status, "{peer} answered");
    let body = read(response, bounds.mebibytes, peer, &id).await?;
    Ok(Answer {
        status,
        retry_after,
        body,
        date: date.map(|date| (date, round_trip)),
    })
}

#[cfg_attr(not(test), allow(unused_variables))] // what only a simulation needs
async fn send(request: RequestBuilder, bounds: Bounds, peer: &str, id: &str) -> Result<Response, Failure> {
    #[cfg(test)]
    let request = match crate::testing::divert(request, bounds.time).await {
        Ok(answer) => return answer.ok_or_else(|| Fault::Timeout.failure(peer)),
        Err(request) => request,
    };
    request.send().await.map_err(|error| lost(&error, peer, id))
}

fn lost(error: &reqwest::Error, peer: &str, id: &str) -> Failure {
    let fault = Fault::of(error);
    tracing::debug!(client_request_id = id, ?fault, "{peer} did not answer");
    fault.failure(peer)
}

async fn read(mut response: Response, mebibytes: usize, peer: &str, id: &str) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error, peer, id))? {
        if body.len() + chunk.len() > mebibytes * MEBIBYTE {
            return Err(Failure::of(
                Kind::Protocol,
                format!("The answer of {peer} is longer than {mebibytes} MiB."),
            ));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn header<'a>(headers: &'a HeaderMap, name: &reqwest::header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn http_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()
}

/// Seconds, at times with a fraction, or a date, which is compared with the date of the same answer.
fn retry_after(text: &str, date: Option<Timestamp>) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<f64>() {
        return seconds
            .is_finite()
            .then(|| Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_WAIT)));
    }
    let until = http_date(text)?;
    let wait = until.duration_since(date.unwrap_or_else(crate::local_clock::now));
    Some(wait.unsigned_abs()).filter(|_| wait.is_positive())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_every_form() {
        let date = http_date("Sun, 22 Nov 2026 17:57:17 GMT");
        assert!(date.is_some());
        for (text, seconds) in [
            ("7", Some(7.0)),
            ("2.5", Some(2.5)),
            ("-1", Some(0.0)),
            ("1e300", Some(LONGEST_WAIT)),
            ("Sun, 22 Nov 2026 17:58:17 GMT", Some(60.0)),
            ("Sun, 22 Nov 2026 17:00:00 GMT", None),
            ("soon", None),
            ("NaN", None),
        ] {
            let expected = seconds.map(Duration::from_secs_f64);
            assert_eq!(retry_after(text, date), expected, "{text}");
        }
    }
}
