//! One GET over a connection that is there already. No redirect is followed, nothing is sent but the path.

use std::error::Error as _;
use std::io;
use std::net::Ipv6Addr;

use http::header::{ACCEPT, AGE, CONNECTION, DATE, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::tls;
use crate::local_clock;
use crate::policy::connector::clock::{ClockSample, DatedAnswer};
use crate::policy::connector::endpoint::{HttpEvidence, Obstacle, TlsEvidence};

/// Longest head of an answer, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;
/// So much of a body is searched for anything but blanks, in bytes.
const LONGEST_BLANK: usize = 64 * 1024;

/// How much of a body is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    /// Until something that is no blank.
    UntilText,
    /// All of it, up to so many bytes.
    Whole(usize),
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// The body is longer than was wanted.
    pub(super) cut: bool,
    sent: Timestamp,
    arrived: Timestamp,
    elapsed: SignedDuration,
}

impl Reply {
    pub(super) fn evidence(&self) -> HttpEvidence {
        HttpEvidence {
            status: self.status,
            blank: self.body.iter().all(u8::is_ascii_whitespace),
        }
    }

    /// What it says about the clocks.
    pub(super) fn clock(&self, source: &str) -> Option<ClockSample> {
        let answer = DatedAnswer {
            date: self.header(&DATE)?,
            cached: self.headers.contains_key(AGE),
            sent: self.sent,
            arrived: self.arrived,
            elapsed: self.elapsed,
        };
        ClockSample::of(source, &answer)
    }

    /// Where it leads to.
    pub(super) fn location(&self) -> Option<&str> {
        self.header(&LOCATION)
    }

    fn header(&self, name: &http::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Host and port as they stand in a request.
pub(super) fn authority(host: &str, port: u16, default_port: u16) -> String {
    let host = if host.parse::<Ipv6Addr>().is_ok() {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    if port == default_port {
        host
    } else {
        format!("{host}:{port}")
    }
}

/// Asks for a path, until `end`.
pub(super) async fn get<S>(
    stream: S,
    authority: &str,
    path: &str,
    reading: Reading,
    end: Instant,
) -> Result<Reply, Obstacle>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let exchange = exchange(stream, authority, path, reading);
    timeout_at(end, exchange).await.unwrap_or(Err(Obstacle::HttpTimeout))
}

async fn exchange<S>(stream: S, authority: &str, path: &str, reading: Reading) -> Result<Reply, Obstacle>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = Request::get(path)
        .header(HOST, authority)
        .header(USER_AGENT, "teams-graph-operator")
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Obstacle::Other("the request cannot be built".to_owned()))?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(LONGEST_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| obstacle(&error))?;
    let asking = async {
        let (sent, start) = (local_clock::now(), Instant::now());
        let response = sender.send_request(request).await.map_err(|error| obstacle(&error))?;
        let (arrived, elapsed) = (local_clock::now(), start.elapsed());
        let (head, body) = response.into_parts();
        let (body, cut) = read(body, reading).await?;
        Ok(Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            cut,
            sent,
            arrived,
            elapsed: SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX),
        })
    };
    tokio::pin!(asking);
    tokio::select! {
        biased;
        reply = &mut asking => reply,
        // What it read is still to be taken.
        _ = connection => asking.await,
    }
}

/// A part of the body, and whether there is more of it.
async fn read(mut body: Incoming, reading: Reading) -> Result<(Vec<u8>, bool), Obstacle> {
    let longest = match reading {
        Reading::UntilText => LONGEST_BLANK,
        Reading::Whole(longest) => longest,
    };
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| obstacle(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        if read.len() + data.len() > longest {
            // The first of it tells whether it is blank.
            read.extend(data.iter().take(longest.saturating_sub(read.len())));
            return Ok((read, true));
        }
        read.extend_from_slice(data);
        if matches!(reading, Reading::UntilText) && !data.iter().all(u8::is_ascii_whitespace) {
            return Ok((read, true));
        }
    }
    Ok((read, false))
}

fn obstacle(error: &hyper::Error) -> Obstacle {
    if error.is_parse() {
        return Obstacle::NotHttp;
    }
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    cause.map_or(Obstacle::Closed, |cause| tls::obstacle(cause, &TlsEvidence::default()))
}
