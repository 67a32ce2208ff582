//! Gauges read from the log when somebody scrapes.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGauge, IntGaugeVec};

use super::super::log::{Log, Reader, Status};
use super::options;

/// Reads the log's state at each scrape.
pub struct LogGauges {
    log: Log,
    last: IntGauge,
    events: IntGauge,
    bytes: IntGauge,
    limit: IntGauge,
    lag: IntGaugeVec,
    oldest: GaugeVec,
    last_received: GaugeVec,
    dead_letters: IntGaugeVec,
}

impl LogGauges {
    /// Gauges of this log.
    pub fn new(log: Log) -> Result<Self, prometheus::Error> {
        Ok(Self {
            log,
            last: IntGauge::with_opts(options("log_last_sequence", "Sequence number of the newest event."))?,
            events: IntGauge::with_opts(options("log_events", "Events in the log."))?,
            bytes: IntGauge::with_opts(options("log_bytes", "Bytes that events and dead letters take."))?,
            limit: IntGauge::with_opts(options("log_limit_bytes", "Bytes they may take."))?,
            lag: IntGaugeVec::new(
                options("sink_lag", "Sequence numbers between a sink and the log's end."),
                &["sink"],
            )?,
            oldest: GaugeVec::new(
                options(
                    "oldest_undelivered_timestamp_seconds",
                    "When the oldest event that a sink has not taken was received; absent when there is none.",
                ),
                &["sink"],
            )?,
            last_received: GaugeVec::new(
                options(
                    "last_received_timestamp_seconds",
                    "When the last item of a subscription was received, by UID of the GraphSubscription.",
                ),
                &["graphsubscription"],
            )?,
            dead_letters: IntGaugeVec::new(options("dead_letters_kept", "Dead letters kept for a sink."), &["sink"])?,
        })
    }

    fn set_sink(&self, status: &Status, reader: &Reader, name: &str) {
        let cursor = status.cursors.get(&reader.name).copied().unwrap_or(0);
        let lag = status.ends.last.saturating_sub(cursor);
        self.lag.with_label_values(&[name]).set(integer(lag));
        let dead = status.dead_letters.get(name).copied().unwrap_or(0);
        self.dead_letters.with_label_values(&[name]).set(integer(dead));
        if status.ends.notification > cursor
            && let Some(millis) = self.log.received_after(cursor)
        {
            self.oldest.with_label_values(&[name]).set(seconds(millis));
        }
    }
}

impl Collector for LogGauges {
    fn desc(&self) -> Vec<&Desc> {
        let numbers = [&self.last, &self.events, &self.bytes, &self.limit];
        let integers = [&self.lag, &self.dead_letters];
        let times = [&self.oldest, &self.last_received];
        let numbers = numbers.into_iter().flat_map(Collector::desc);
        let integers = integers.into_iter().flat_map(Collector::desc);
        numbers
            .chain(integers)
            .chain(times.into_iter().flat_map(Collector::desc))
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (status, rules) = (self.log.status(), self.log.rules());
        self.last.set(integer(status.ends.last));
        self.events.set(integer(status.events));
        self.bytes.set(integer(status.used_bytes));
        self.limit.set(integer(rules.limit_bytes));
        // What is gone, such as a removed sink, must not be told for ever.
        self.lag.reset();
        self.dead_letters.reset();
        self.oldest.reset();
        self.last_received.reset();
        for reader in &rules.readers {
            if let Some(name) = reader.sink() {
                self.set_sink(&status, reader, name);
            }
        }
        for (uid, received) in &status.subscriptions {
            self.last_received
                .with_label_values(&[uid])
                .set(seconds(received.last_millis));
        }
        let mut families = Vec::new();
        for gauge in [&self.last, &self.events, &self.bytes, &self.limit] {
            families.extend(gauge.collect());
        }
        for gauge in [&self.lag, &self.dead_letters] {
            families.extend(gauge.collect());
        }
        for gauge in [&self.oldest, &self.last_received] {
            families.extend(gauge.collect());
        }
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[allow(clippy::cast_precision_loss)] // milliseconds since 1970 fit
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}
