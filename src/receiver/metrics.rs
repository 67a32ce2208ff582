//! Counters of the receiver. What can be read from the log at scrape time is in [`gauges`].

pub mod gauges;

use prometheus::core::Collector;
use prometheus::{Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::event::{Kind, Origin};

const BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0,
];
/// Over this, Graph calls an answer slow, and delays what follows when there are many.
pub const SLOW_SECONDS: f64 = 3.0;
/// Over this, Graph gives up on an answer, and drops what follows when there are many.
pub const DROP_SECONDS: f64 = 10.0;

/// Addresses of the public listener in metrics.
const CHANNELS: [&str; 3] = ["notification", "lifecycle", "unknown"];

/// The receiver's counters.
pub struct Metrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    slow: IntCounterVec,
    handshakes: IntCounterVec,
    received: IntCounter,
    rejected: IntCounterVec,
    refused: IntCounterVec,
    connections_refused: IntCounterVec,
    stored: IntCounterVec,
    delivered: IntCounterVec,
    delivery_failures: IntCounterVec,
    dead_letters: IntCounterVec,
    dead_letters_dropped: IntCounterVec,
    dead_letters_redelivered: IntCounterVec,
    expired: IntCounterVec,
    /// How often the storage failed.
    pub storage_failures: IntCounter,
    /// How long it takes until items are on stable storage.
    pub append_duration: Histogram,
    /// How often new configuration could not be used.
    pub config_failures: IntCounter,
    /// Whether the newest configuration is in use.
    pub config_current: IntGauge,
    /// When the certificate expires, in seconds since 1970.
    pub certificate_expiration: Gauge,
}

impl Metrics {
    /// Counters, registered.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            requests: counters(
                "requests_total",
                "Requests to the public listener, by address and status code; 499 when the sender hung up first.",
                &["channel", "code"],
            )?,
            duration: durations(
                "request_duration_seconds",
                "Time from a request's head to its answer, by address.",
                &["channel"],
            )?,
            slow: counters(
                "slow_responses_total",
                "Answers that took longer than Graph's limits: 3 s (then it delays) and 10 s (then it drops).",
                &["channel", "over_seconds"],
            )?,
            handshakes: counters("handshakes_total", "Validation handshakes, by result.", &["result"])?,
            received: counter(
                "notifications_received_total",
                "Items received on genuine addresses, good or bad.",
            )?,
            rejected: counters(
                "notifications_rejected_total",
                "Items received on genuine addresses and not stored, by reason.",
                &["reason"],
            )?,
            refused: counters(
                "requests_refused_total",
                "Requests on genuine addresses refused before their items were known, by reason.",
                &["reason"],
            )?,
            connections_refused: counters(
                "connections_refused_total",
                "Connections refused because there were too many.",
                &["listener"],
            )?,
            stored: counters(
                "notifications_stored_total",
                "Items on stable storage, by kind and origin.",
                &["kind", "origin"],
            )?,
            delivered: counters("delivered_total", "Events a sink took.", &["sink"])?,
            delivery_failures: counters(
                "delivery_failures_total",
                "Attempts a sink did not take, by reason.",
                &["sink", "reason"],
            )?,
            dead_letters: counters("dead_letters_total", "Events a sink refused for good.", &["sink"])?,
            dead_letters_dropped: counters(
                "dead_letters_dropped_total",
                "Dead letters dropped for their age.",
                &["sink"],
            )?,
            dead_letters_redelivered: counters(
                "dead_letters_redelivered_total",
                "Dead letters that a sink took when asked again; they count as delivered, too.",
                &["sink"],
            )?,
            expired: counters(
                "expired_undelivered_total",
                "Events dropped for their age before this reader had them.",
                &["consumer"],
            )?,
            storage_failures: counter(
                "storage_failures_total",
                "Times the log could not be written and was opened again.",
            )?,
            append_duration: Histogram::with_opts(histogram(
                "append_duration_seconds",
                "Time until items were on stable storage.",
            ))?,
            config_failures: counter(
                "config_reload_failures_total",
                "Times new configuration, keys or tokens could not be used.",
            )?,
            config_current: IntGauge::with_opts(options(
                "config_last_reload_successful",
                "1 while the newest configuration is in use, 0 while an older one is.",
            ))?,
            certificate_expiration: Gauge::with_opts(options(
                "tls_certificate_expiration_timestamp_seconds",
                "When the served certificate expires.",
            ))?,
        };
        metrics.register(registry)?;
        metrics.config_current.set(1);
        Ok(metrics)
    }

    fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        let vectors = [
            &self.requests,
            &self.slow,
            &self.handshakes,
            &self.rejected,
            &self.refused,
            &self.connections_refused,
            &self.stored,
            &self.delivered,
            &self.delivery_failures,
            &self.dead_letters,
            &self.dead_letters_dropped,
            &self.dead_letters_redelivered,
            &self.expired,
        ];
        for vector in vectors {
            registry.register(Box::new(vector.clone()))?;
        }
        for counter in [&self.received, &self.storage_failures, &self.config_failures] {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(self.duration.clone()))?;
        registry.register(Box::new(self.append_duration.clone()))?;
        registry.register(Box::new(self.config_current.clone()))?;
        // A ratio's parts must exist before the first slow answer, or there is nothing to divide.
        for channel in CHANNELS {
            for over in ["3", "10"] {
                self.slow.with_label_values(&[channel, over]);
            }
        }
        Ok(())
    }

    /// Registers the certificate's gauge, for receivers that end TLS themselves.
    pub fn register_certificate(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.certificate_expiration.clone()) as Box<dyn Collector>)
    }

    /// Makes a sink's counters exist before anything is counted, so that the first of it is an increase.
    pub fn know_sink(&self, sink: &str) {
        for counter in [&self.delivered, &self.dead_letters, &self.dead_letters_dropped] {
            counter.with_label_values(&[sink]);
        }
    }

    /// Counts an answer of the public listener.
    pub fn answered(&self, channel: &str, code: u16, seconds: f64) {
        self.requests.with_label_values(&[channel, &code.to_string()]).inc();
        self.duration.with_label_values(&[channel]).observe(seconds);
        if seconds > SLOW_SECONDS {
            self.slow.with_label_values(&[channel, "3"]).inc();
        }
        if seconds > DROP_SECONDS {
            self.slow.with_label_values(&[channel, "10"]).inc();
        }
    }

    /// Counts a handshake.
    pub fn handshake(&self, result: &str) {
        self.handshakes.with_label_values(&[result]).inc();
    }

    /// Counts items of a body.
    pub fn received(&self, count: u64) {
        self.received.inc_by(count);
    }

    /// Counts items that were not stored.
    pub fn rejected(&self, reason: &str, count: u64) {
        self.rejected.with_label_values(&[reason]).inc_by(count);
    }

    /// Counts a request that was refused before its items were known.
    pub fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// Counts the connections of a listener that are too many.
    pub fn connections_refused(&self, listener: &str) -> IntCounter {
        self.connections_refused.with_label_values(&[listener])
    }

    /// Counts stored events.
    pub fn stored(&self, kind: Kind, origin: Origin, count: u64) {
        self.stored
            .with_label_values(&[kind.name(), origin.name()])
            .inc_by(count);
    }

    /// Counts a delivered event.
    pub fn delivered(&self, sink: &str) {
        self.delivered.with_label_values(&[sink]).inc();
    }

    /// Counts an attempt that failed.
    pub fn delivery_failed(&self, sink: &str, reason: &str) {
        self.delivery_failures.with_label_values(&[sink, reason]).inc();
    }

    /// Counts an event that a sink refused for good.
    pub fn dead_letter(&self, sink: &str) {
        self.dead_letters.with_label_values(&[sink]).inc();
    }

    /// Counts dead letters that were dropped.
    pub fn dead_letters_dropped(&self, sink: &str, count: u64) {
        self.dead_letters_dropped.with_label_values(&[sink]).inc_by(count);
    }

    /// Counts a dead letter that a sink took when asked again.
    pub fn dead_letter_redelivered(&self, sink: &str) {
        self.delivered(sink);
        self.dead_letters_redelivered.with_label_values(&[sink]).inc();
    }

    /// Counts events that a reader never had.
    pub fn expired(&self, reader: &str, count: u64) {
        self.expired.with_label_values(&[reader]).inc_by(count);
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("teamsgraph").subsystem("receiver")
}

fn histogram(name: &str, help: &str) -> HistogramOpts {
    let options = HistogramOpts::new(name, help);
    options
        .namespace("teamsgraph")
        .subsystem("receiver")
        .buckets(BUCKETS.to_vec())
}

fn counter(name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    IntCounter::with_opts(options(name, help))
}

fn counters(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(options(name, help), labels)
}

fn durations(name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec, prometheus::Error> {
    HistogramVec::new(histogram(name, help), labels)
}
