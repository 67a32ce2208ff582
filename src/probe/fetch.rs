//! One request of a probe: bounded in time and size, never redirected, and looked at for the server's clock.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use reqwest::header::{AGE, DATE, HeaderMap};
use reqwest::{RequestBuilder, Response};

use super::client::is_forbidden;
use crate::graph::connection::Fault;
use crate::local_clock;
use crate::policy::connector::clock::{ClockSample, DatedAnswer};

/// What a request may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// From its beginning to the last byte of the answer.
    pub(super) time: Duration,
    /// Longest answer that is read, in bytes.
    pub(super) bytes: usize,
}

/// An answer. No Debug: the body may hold personal data.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) clock: Option<ClockSample>,
}

/// Why there is no answer, displayed as the end of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Lost {
    /// Too slow.
    #[error("it does not answer in time")]
    Timeout,
    /// The server's certificate is not acceptable.
    #[error("{0}")]
    NotTrusted(&'static str),
    /// Anything else on the way.
    #[error("{0}")]
    Connection(&'static str),
    /// It leads where no server of the kind can be.
    #[error("its address may not be asked")]
    Forbidden,
    /// Longer than is read.
    #[error("its answer is too long")]
    TooLong,
}

impl From<reqwest::Error> for Lost {
    fn from(error: reqwest::Error) -> Self {
        match Fault::of(&error) {
            Fault::Timeout => Self::Timeout,
            Fault::NotTrusted(why) => Self::NotTrusted(why),
            Fault::Connection(why) => Self::Connection(why),
        }
    }
}

/// Sends a request to `source` (its name among samples of the clock) and reads the answer. The client of the request must not
/// follow redirects, as those of [`crate::graph`] do not.
pub(super) async fn fetch(request: RequestBuilder, source: &str, bounds: Bounds) -> Result<Answer, Lost> {
    let (sent, began) = (local_clock::now(), Instant::now());
    let (client, request) = request.timeout(bounds.time).build_split();
    let request = request?;
    if is_forbidden(request.url()) {
        return Err(Lost::Forbidden);
    }
    let response = client.execute(request).await?;
    let (arrived, elapsed) = (local_clock::now(), began.elapsed());
    let clock = text(response.headers(), &DATE).and_then(|date| {
        let answer = DatedAnswer {
            date,
            cached: response.headers().contains_key(AGE),
            sent,
            arrived,
            elapsed: SignedDuration::try_from(elapsed).ok()?,
        };
        ClockSample::of(source, &answer)
    });
    Ok(Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        clock,
        body: read(response, bounds.bytes).await?,
    })
}

async fn read(mut response: Response, most: usize) -> Result<Vec<u8>, Lost> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > most {
            return Err(Lost::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A header field, if it is text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &reqwest::header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
