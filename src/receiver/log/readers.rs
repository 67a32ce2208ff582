//! For whom events are kept.

use super::super::event::Kind;

const SINK: &str = "sink/";
const CONSUMER: &str = "consumer/";

/// Somebody for whom events are kept until acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Name of its cursor.
    pub name: String,
    /// The only kind that is kept for it; both when `None`.
    pub kind: Option<Kind>,
}

impl Reader {
    /// A sink. Sinks are for notifications; lifecycle items are the controller's business.
    pub fn of_sink(sink: &str) -> Self {
        Self {
            name: sink_cursor(sink),
            kind: Some(Kind::Notification),
        }
    }

    /// A consumer of the pull API.
    pub fn of_consumer(consumer: &str, kind: Option<Kind>) -> Self {
        Self {
            name: consumer_cursor(consumer),
            kind,
        }
    }

    /// The sink's name, if it is one.
    pub fn sink(&self) -> Option<&str> {
        self.name.strip_prefix(SINK)
    }
}

/// Name of a sink's cursor.
pub fn sink_cursor(sink: &str) -> String {
    format!("{SINK}{sink}")
}

/// Name of a consumer's cursor.
pub fn consumer_cursor(consumer: &str) -> String {
    format!("{CONSUMER}{consumer}")
}
