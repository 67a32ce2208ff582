//! Metrics of the calls to Graph and Entra.

use std::time::Duration;

use prometheus::{Counter, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// What a call does; a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Token,
    Create,
    Get,
    List,
    Renew,
    Delete,
    Changes,
    PresenceRead,
    PresenceWrite,
    Directory,
    Inspection,
}

impl Operation {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Create => "create",
            Self::Get => "get",
            Self::List => "list",
            Self::Renew => "renew",
            Self::Delete => "delete",
            Self::Changes => "changes",
            Self::PresenceRead => "presence_read",
            Self::PresenceWrite => "presence_write",
            Self::Directory => "directory",
            Self::Inspection => "inspection",
        }
    }
}

/// Metrics of all tenants together; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    throttled: Counter,
    waiting: IntGauge,
    unreadable: IntCounter,
}

impl Metrics {
    /// Registers the metrics. Fails when the registry has them already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new(
                    "teamsgraph_graph_requests_total",
                    "Requests to Graph and Entra by operation and outcome.",
                ),
                &["operation", "outcome"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new(
                    "teamsgraph_graph_request_duration_seconds",
                    "Duration of requests to Graph and Entra, without the wait in the limiter.",
                )
                .buckets(vec![0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 35.0]),
                &["operation"],
            )?,
            throttled: Counter::new(
                "teamsgraph_graph_throttled_seconds_total",
                "Seconds for which Microsoft told the operator to stay away from Graph.",
            )?,
            waiting: IntGauge::new(
                "teamsgraph_graph_limiter_waiting",
                "Calls that wait for their turn in the limiters.",
            )?,
            unreadable: IntCounter::new(
                "teamsgraph_graph_list_unreadable_total",
                "Entries in Graph's lists of subscriptions that could not be read and were left out.",
            )?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.throttled.clone()))?;
        registry.register(Box::new(metrics.waiting.clone()))?;
        registry.register(Box::new(metrics.unreadable.clone()))?;
        Ok(metrics)
    }

    pub(super) fn request(&self, operation: Operation, outcome: &str, took: Duration) {
        let operation = operation.label();
        self.requests.with_label_values(&[operation, outcome]).inc();
        self.duration
            .with_label_values(&[operation])
            .observe(took.as_secs_f64());
    }

    pub(super) fn paused(&self, longer_by: Duration) {
        self.throttled.inc_by(longer_by.as_secs_f64());
    }

    pub(super) fn unreadable(&self, entries: usize) {
        self.unreadable.inc_by(u64::try_from(entries).unwrap_or(u64::MAX));
    }

    pub(super) fn waiting(&self) -> &IntGauge {
        &self.waiting
    }
}

#[cfg(test)]
impl Metrics {
    pub(super) fn paused_seconds(&self) -> f64 {
        self.throttled.get()
    }

    pub(super) fn unreadable_entries(&self) -> u64 {
        self.unreadable.get()
    }

    pub(super) fn count(&self, operation: Operation, outcome: &str) -> u64 {
        self.requests.with_label_values(&[operation.label(), outcome]).get()
    }
}
