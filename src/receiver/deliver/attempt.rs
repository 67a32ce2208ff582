//! One attempt to deliver one event.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::super::event::{Event, Kind, Origin, rfc3339};
use super::cloudevent;
use super::http::HttpTarget;
use crate::api::receiver_config::SinkTarget;

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sink has it.
    Delivered,
    /// It may take it later.
    Retry {
        /// Why, in a few words.
        reason: String,
        /// When the sink wants to be asked again.
        after: Option<Duration>,
    },
    /// It will probably never take it.
    Refused {
        /// Why, in a few words.
        reason: String,
    },
}

impl Outcome {
    /// A failure that may pass.
    pub fn retry(reason: &str) -> Self {
        Self::Retry {
            reason: reason.to_owned(),
            after: None,
        }
    }
}

/// Where a sink delivers. Clones share connections.
#[derive(Clone)]
pub enum Target {
    /// To an address.
    Http(Arc<HttpTarget>),
    /// To standard output.
    Stdout,
    /// Nowhere, and why.
    Unusable(&'static str),
}

impl Target {
    /// A target by its configuration.
    pub fn new(config: &SinkTarget, token: Option<&str>) -> Self {
        match config {
            SinkTarget::Stdout => Self::Stdout,
            // Without its token, everything would go to whoever answers there.
            SinkTarget::Http {
                token_file: Some(_), ..
            } if token.is_none() => Self::Unusable("token missing"),
            SinkTarget::Http {
                url,
                mode,
                timeout_seconds,
                ..
            } => {
                let timeout = Duration::from_secs(u64::try_from(*timeout_seconds).unwrap_or(10).max(1));
                HttpTarget::new(url, *mode, timeout, token)
                    .map_or(Self::Unusable("sink configuration unusable"), |target| {
                        Self::Http(Arc::new(target))
                    })
            }
        }
    }

    /// Tries to deliver an event of this log.
    pub async fn deliver(&self, log_id: &str, event: &Event) -> Outcome {
        match self {
            Self::Http(target) => target.deliver(log_id, event).await,
            Self::Stdout => print(log_id, event).await,
            Self::Unusable(why) => Outcome::retry(why),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    id: String,
    received_time: String,
    graph_subscription: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_id: Option<&'a str>,
    kind: Kind,
    origin: Origin,
    item: &'a RawValue,
}

async fn print(log_id: &str, event: &Event) -> Outcome {
    let record = &event.record;
    let line = Line {
        id: cloudevent::id(log_id, event.seq),
        received_time: rfc3339(record.received_millis),
        graph_subscription: &record.uid,
        subscription_id: record.subscription_id.as_deref(),
        kind: event.kind,
        origin: record.origin,
        item: &record.item,
    };
    let Ok(line) = serde_json::to_string(&line) else {
        return Outcome::retry("event cannot be encoded");
    };
    // Graph may send an item over several lines; between the tokens of JSON they are blanks.
    let line = line.replace(['\n', '\r'], " ") + "\n";
    // The reader of a pipe may be slow, which must not hold up other tasks.
    let written = tokio::task::spawn_blocking(move || {
        let mut out = std::io::stdout().lock();
        out.write_all(line.as_bytes())?;
        out.flush()
    });
    match written.await {
        Ok(Ok(())) => Outcome::Delivered,
        _ => Outcome::retry("standard output failed"),
    }
}
