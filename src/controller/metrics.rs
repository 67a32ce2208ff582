//! Metrics of the controller's work; [`objects`] has those of the objects.

use std::time::Instant;

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::backfill::Trouble;
use crate::policy::backfill::Found;

pub mod connectors;
pub mod objects;

/// Counts and times reconciles.
#[derive(Clone)]
pub struct Reconciles {
    total: IntCounterVec,
    seconds: HistogramVec,
    running: IntGaugeVec,
}

impl Reconciles {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            total: IntCounterVec::new(
                Opts::new(
                    "teamsgraph_reconciles_total",
                    "Reconciles by kind and result (ok, or what failed).",
                ),
                &["kind", "result"],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new(
                    "teamsgraph_reconcile_duration_seconds",
                    "Time a reconcile took, by kind.",
                )
                .buckets(vec![0.005, 0.02, 0.1, 0.5, 1.0, 3.0, 10.0, 30.0, 90.0]),
                &["kind"],
            )?,
            running: IntGaugeVec::new(
                Opts::new("teamsgraph_reconciles_running", "Reconciles running now, by kind."),
                &["kind"],
            )?,
        };
        registry.register(Box::new(metrics.total.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.running.clone()))?;
        Ok(metrics)
    }

    /// Starts timing one reconcile.
    pub fn start(&self, kind: &str) -> Timer<'_> {
        self.running.with_label_values(&[kind]).inc();
        Timer {
            metrics: self,
            kind: kind.to_owned(),
            started: Instant::now(),
        }
    }
}

/// One reconcile being timed.
pub struct Timer<'a> {
    metrics: &'a Reconciles,
    kind: String,
    started: Instant,
}

impl Timer<'_> {
    /// Counts it.
    pub fn finish(self, result: &str) {
        self.metrics
            .total
            .with_label_values(&[self.kind.as_str(), result])
            .inc();
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.metrics.running.with_label_values(&[&self.kind]).dec();
        let seconds = self.started.elapsed().as_secs_f64();
        self.metrics.seconds.with_label_values(&[&self.kind]).observe(seconds);
    }
}

/// Metrics of the controller's process.
#[derive(Clone)]
pub struct Metrics {
    /// Reconciles.
    pub reconciles: Reconciles,
    /// 1 on the leader.
    pub leader: IntGauge,
    /// Failed attempts at Graph, by kind of object and reason.
    pub failures: IntCounterVec,
    /// Lifecycle events by event.
    pub lifecycle: IntCounterVec,
    backfills: IntCounterVec,
    backfilled: IntCounterVec,
    lost: IntCounter,
    /// Kubernetes events that were not written because too many waited.
    pub events_left_out: IntCounter,
    /// Comparisons of a store with the API server, by kind and result.
    pub watch_checks: IntCounterVec,
    /// Remote subscriptions that were deleted because their objects are gone.
    pub orphans_deleted: IntCounter,
    /// Looks at connectors.
    pub looks: connectors::Looks,
}

impl Metrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            reconciles: Reconciles::new(registry)?,
            leader: IntGauge::new(
                "teamsgraph_leader",
                "1 on the controller that holds the lease, 0 on the others.",
            )?,
            failures: IntCounterVec::new(
                Opts::new(
                    "teamsgraph_failures_total",
                    "Failed attempts at Microsoft's services, by kind of object and reason.",
                ),
                &["kind", "reason"],
            )?,
            lifecycle: IntCounterVec::new(
                Opts::new(
                    "teamsgraph_lifecycle_events_total",
                    "Lifecycle events read from receivers, by event.",
                ),
                &["event"],
            )?,
            backfills: IntCounterVec::new(
                Opts::new(
                    "teamsgraph_backfills_total",
                    "Times Graph was asked what changed, to fill gaps or as a sweep, by result (ok, or what failed).",
                ),
                &["work", "result"],
            )?,
            backfilled: IntCounterVec::new(
                Opts::new(
                    "teamsgraph_backfilled_events_total",
                    "Events fetched from Graph and handed to receivers because they had not arrived.",
                ),
                &["work"],
            )?,
            lost: IntCounter::new(
                "teamsgraph_silently_lost_events_total",
                "Events that sweeps found though no notification of them had arrived and no gap was known.",
            )?,
            events_left_out: IntCounter::new(
                "teamsgraph_events_left_out_total",
                "Kubernetes events that were not written because too many were waiting.",
            )?,
            watch_checks: IntCounterVec::new(
                Opts::new(
                    "teamsgraph_watch_checks_total",
                    "Comparisons of what a watch brought with what the API server has, by kind and result (same, behind, stale, failed).",
                ),
                &["kind", "result"],
            )?,
            looks: connectors::Looks::new(registry)?,
            orphans_deleted: IntCounter::new(
                "teamsgraph_orphans_deleted_total",
                "Subscriptions at Graph that were deleted because their GraphSubscription does not exist any more.",
            )?,
        };
        let build = IntGaugeVec::new(
            Opts::new(
                "teamsgraph_build_info",
                "1, with the version of the operator as a label.",
            ),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(metrics.leader.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.lifecycle.clone()))?;
        registry.register(Box::new(metrics.backfills.clone()))?;
        registry.register(Box::new(metrics.backfilled.clone()))?;
        registry.register(Box::new(metrics.lost.clone()))?;
        registry.register(Box::new(metrics.watch_checks.clone()))?;
        registry.register(Box::new(metrics.orphans_deleted.clone()))?;
        registry.register(Box::new(build))?;
        registry.register(Box::new(metrics.events_left_out.clone()))?;
        Ok(metrics)
    }
}

impl Metrics {
    /// Counts a question to Graph about what changed.
    pub fn backfilled(&self, work: &str, result: &Result<Found, Trouble>) {
        let label = result
            .as_ref()
            .map_or_else(|trouble| trouble.reason.to_string(), |_| "ok".to_owned());
        self.backfills.with_label_values(&[work, &label]).inc();
        let Ok(found) = result else { return };
        let lost = found.lost.map_or(0, |(_, events)| events);
        let count = |events: i64| u64::try_from(events).unwrap_or(0);
        self.backfilled.with_label_values(&[work]).inc_by(count(found.handed));
        self.lost.inc_by(count(lost));
    }
}
