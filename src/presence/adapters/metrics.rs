//! Counters of the connections to a PBX.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use crate::policy::presence::pbx::PbxError;

/// The kind of PBX; a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// innovaphone.
    Innovaphone,
    /// A SIP presence server.
    Sip,
    /// Cisco BroadWorks.
    BroadWorks,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::Innovaphone => "innovaphone",
            Self::Sip => "sip",
            Self::BroadWorks => "broadworks",
        }
    }
}

/// Counters of all connections together; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    messages: IntCounterVec,
    ignored: IntCounterVec,
    connects: IntCounterVec,
    errors: IntCounterVec,
    duration: HistogramVec,
}

impl Metrics {
    /// Registers the metrics. Fails when the registry has them already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            messages: counters("messages_total", "Messages to and from the PBX.", &["pbx", "direction"])?,
            ignored: counters(
                "messages_ignored_total",
                "Messages from the PBX that were not understood or expected, and left aside.",
                &["pbx", "reason"],
            )?,
            connects: counters("connects_total", "Attempts to connect to the PBX.", &["pbx"])?,
            errors: counters("errors_total", "Errors of the PBX, by class.", &["pbx", "class"])?,
            duration: HistogramVec::new(
                HistogramOpts::new(name("request_duration_seconds"), "Duration of requests to the PBX.")
                    .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
                &["pbx", "operation"],
            )?,
        };
        registry.register(Box::new(metrics.messages.clone()))?;
        registry.register(Box::new(metrics.ignored.clone()))?;
        registry.register(Box::new(metrics.connects.clone()))?;
        registry.register(Box::new(metrics.errors.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        Ok(metrics)
    }

    /// For one kind of PBX.
    pub fn of(&self, kind: Kind) -> Tally {
        Tally {
            metrics: self.clone(),
            pbx: kind.label(),
        }
    }
}

fn name(name: &str) -> String {
    format!("teamsgraph_presence_pbx_{name}")
}

fn counters(suffix: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name(suffix), help), labels)
}

/// The counters of one kind of PBX.
#[derive(Clone, Debug)]
pub struct Tally {
    metrics: Metrics,
    pbx: &'static str,
}

impl Tally {
    /// A message came.
    pub fn received(&self) {
        self.metrics.messages.with_label_values(&[self.pbx, "in"]).inc();
    }

    /// A message went out.
    pub fn sent(&self) {
        self.metrics.messages.with_label_values(&[self.pbx, "out"]).inc();
    }

    /// A message was left aside; `reason` is one of a few fixed words.
    pub fn ignored(&self, reason: &'static str) {
        self.metrics.ignored.with_label_values(&[self.pbx, reason]).inc();
    }

    /// A connection is attempted.
    pub fn connects(&self) {
        self.metrics.connects.with_label_values(&[self.pbx]).inc();
    }

    /// Something failed.
    pub fn failed(&self, error: &PbxError) {
        self.metrics.errors.with_label_values(&[self.pbx, class(error)]).inc();
    }

    /// A request was answered, or not; `operation` is one of a few fixed words.
    pub fn took(&self, operation: &'static str, duration: Duration) {
        self.metrics
            .duration
            .with_label_values(&[self.pbx, operation])
            .observe(duration.as_secs_f64());
    }
}

fn class(error: &PbxError) -> &'static str {
    match error {
        PbxError::Auth(_) => "auth",
        PbxError::Forbidden(_) => "forbidden",
        PbxError::Licence(_) => "licence",
        PbxError::NotFound(_) => "not_found",
        PbxError::Throttled(_) => "throttled",
        PbxError::Protocol(_) => "protocol",
        PbxError::NotTrusted(_) => "not_trusted",
        PbxError::Transport(_) => "transport",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_kind_and_class() {
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let tally = metrics.of(Kind::BroadWorks);
        tally.failed(&PbxError::Auth("the password is refused".to_owned()));
        tally.ignored("unknown");
        let count = |counters: &IntCounterVec, labels: &[&str]| counters.with_label_values(labels).get();
        assert_eq!(count(&metrics.errors, &["broadworks", "auth"]), 1);
        assert_eq!(count(&metrics.errors, &["innovaphone", "auth"]), 0);
        assert_eq!(count(&metrics.ignored, &["broadworks", "unknown"]), 1);
    }
}
