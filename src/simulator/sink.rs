//! A small place to send events to in demos.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;

const KEPT: usize = 10_000;

/// How the sink answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Manners {
    /// HTTP status.
    pub status: u16,
    /// Pause before the answer.
    pub delay_ms: u64,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            status: 202,
            delay_ms: 0,
        }
    }
}

/// One received request.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// Simulated time.
    pub at: String,
    /// `Content-Type`.
    pub content_type: String,
    /// All `ce-` headers without that prefix.
    pub attributes: serde_json::Map<String, Value>,
    /// The body, as JSON if it is.
    pub body: Value,
    /// How it was answered.
    pub status: u16,
}

/// What arrived.
#[derive(Debug, Default)]
pub struct Sink {
    /// How to answer from now on.
    pub manners: Manners,
    received: VecDeque<Received>,
}

impl Sink {
    /// Keeps a request; forgets the oldest beyond the bound.
    pub fn keep(&mut self, item: Received) {
        if self.received.len() == KEPT {
            self.received.pop_front();
        }
        self.received.push_back(item);
    }

    /// What arrived, oldest first.
    pub fn list(&self) -> Vec<Received> {
        self.received.iter().cloned().collect()
    }

    /// Forgets what arrived.
    pub fn clear(&mut self) {
        self.received.clear();
    }
}
