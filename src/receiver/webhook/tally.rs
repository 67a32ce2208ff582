//! Counts requests and their items to the end, also when the sender hangs up and nothing is answered any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;

use super::super::metrics::Metrics;

/// The status of a request whose sender hung up first, as nginx names it.
const HUNG_UP: u16 = 499;
/// A sender's clock began before ours: whoever gives up after 3 s does so before we have counted 3 s.
const HEAD_START: Duration = Duration::from_millis(250);

/// A request that is being answered.
pub struct Answering {
    metrics: Arc<Metrics>,
    channel: &'static str,
    since: Instant,
    status: Option<StatusCode>,
}

impl Answering {
    /// Begins with the request's head.
    pub fn begin(metrics: &Arc<Metrics>, channel: &'static str) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            channel,
            since: Instant::now(),
            status: None,
        }
    }

    /// Since when.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Ends with an answer.
    pub fn end(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let took = self.since.elapsed();
        let (code, took) = match self.status {
            Some(status) => (status.as_u16(), took),
            None => (HUNG_UP, took + HEAD_START),
        };
        self.metrics.answered(self.channel, code, took.as_secs_f64());
    }
}

/// Good items on their way to the storage.
pub struct Items<'a> {
    metrics: &'a Metrics,
    count: u64,
}

impl<'a> Items<'a> {
    /// So many of them.
    pub fn new(metrics: &'a Metrics, count: u64) -> Self {
        Self { metrics, count }
    }

    /// They are on stable storage, where they are counted.
    pub fn stored(mut self) {
        self.count = 0;
    }

    /// They are not.
    pub fn rejected(mut self, reason: &str) {
        self.metrics.rejected(reason, std::mem::take(&mut self.count));
    }
}

impl Drop for Items<'_> {
    fn drop(&mut self) {
        if self.count > 0 {
            self.metrics.rejected("abandoned", self.count);
        }
    }
}
