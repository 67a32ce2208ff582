//! What reaches the worker's core from its other parts.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::directory::People;
use crate::api::presence_report::{ReleaseReport, UserReport, WorkerReport};
use crate::graph::Presence;
use crate::policy::presence::engine::{Outcome, Write};

/// What reaches the core.
pub enum Input {
    /// Presence in Teams was read.
    Teams(Seen),
    /// Presence in Teams could not be read for these people.
    Unread(Vec<String>),
    /// The people of the tenant, all of them.
    People(Arc<People>),
    /// A write ended.
    Written(Written),
}

/// Presence in Teams, as read at one time.
pub struct Seen {
    /// What was read.
    pub presences: Vec<Presence>,
    /// When the request was sent.
    pub sent: Timestamp,
    /// When it became known that something changed.
    pub since: Instant,
}

/// How a write ended.
pub struct Written {
    /// For whom.
    pub person: Arc<str>,
    /// What.
    pub write: Write,
    /// How.
    pub outcome: Outcome,
    /// Why not; `None` when done.
    pub error: Option<String>,
    /// The result in metrics.
    pub label: &'static str,
}

/// A question to the core, from the internal port.
pub enum Ask {
    /// How the worker is.
    Status(oneshot::Sender<WorkerReport>),
    /// How a user is, by anything that names one.
    User(String, oneshot::Sender<Option<UserReport>>),
    /// To take back all that was written.
    Release(oneshot::Sender<ReleaseReport>),
}
