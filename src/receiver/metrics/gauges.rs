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
    full: IntGauge,
    failing: IntGauge,
    sink_lag: IntGaugeVec,
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
            full: IntGauge::with_opts(options("log_full", "1 while the log has reached its limit."))?,
            failing: IntGauge::with_opts(options(
                "log_failing",
                "1 while nothing can be stored: the log is being opened, or the storage fails or does not answer.",
            ))?,
            sink_lag: IntGaugeVec::new(
                options("sink_lag", "Sequence numbers between a sink and the last event for it."),
                &["sink"],
            )?,
            lag: IntGaugeVec::new(
                options(
                    "reader_lag",
                    "Sequence numbers between a sink or consumer and the last event for it.",
                ),
                &["consumer"],
            )?,
            oldest: GaugeVec::new(
                options(
                    "oldest_undelivered_timestamp_seconds",
                    "When the oldest event that a sink or consumer does not have was received; absent when there is none.",
                ),
                &["consumer", "sink"],
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

    fn set_reader(&self, status: &Status, reader: &Reader) {
        let (lag, oldest) = self.log.behind(status, reader);
        let sink = reader.sink().unwrap_or_default();
        self.lag.with_label_values(&[&reader.name]).set(integer(lag));
        if let Some(millis) = oldest {
            let labels = [reader.name.as_str(), sink];
            self.oldest.with_label_values(&labels).set(seconds(millis));
        }
        if !sink.is_empty() {
            self.sink_lag.with_label_values(&[sink]).set(integer(lag));
            let dead = status.dead_letters.get(sink).copied().unwrap_or(0);
            self.dead_letters.with_label_values(&[sink]).set(integer(dead));
        }
    }

    fn numbers(&self) -> [&IntGauge; 6] {
        [
            &self.last,
            &self.events,
            &self.bytes,
            &self.limit,
            &self.full,
            &self.failing,
        ]
    }

    fn integers(&self) -> [&IntGaugeVec; 3] {
        [&self.sink_lag, &self.lag, &self.dead_letters]
    }
}

impl Collector for LogGauges {
    fn desc(&self) -> Vec<&Desc> {
        let times = [&self.oldest, &self.last_received];
        let numbers = self.numbers().into_iter().flat_map(Collector::desc);
        let integers = self.integers().into_iter().flat_map(Collector::desc);
        numbers
            .chain(integers)
            .chain(times.into_iter().flat_map(Collector::desc))
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.failing.set(i64::from(self.log.problem().is_some()));
        if !self.log.is_known() {
            return self.failing.collect(); // zeros would be untrue
        }
        let (status, rules) = (self.log.status(), self.log.rules());
        self.last.set(integer(status.ends.last));
        self.events.set(integer(status.events));
        self.bytes.set(integer(status.used_bytes));
        self.limit.set(integer(rules.limit_bytes));
        self.full.set(i64::from(status.is_full(rules.limit_bytes)));
        // What is gone, such as a removed sink, must not be told for ever.
        self.sink_lag.reset();
        self.lag.reset();
        self.dead_letters.reset();
        self.oldest.reset();
        self.last_received.reset();
        for reader in &rules.readers {
            self.set_reader(&status, reader);
        }
        for (uid, received) in &status.subscriptions {
            self.last_received
                .with_label_values(&[uid])
                .set(seconds(received.last_millis));
        }
        let mut families: Vec<MetricFamily> = self.numbers().into_iter().flat_map(Collector::collect).collect();
        families.extend(self.integers().into_iter().flat_map(Collector::collect));
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
