//! Metrics of the controller's work; [`objects`] has those of the objects.

use std::time::Instant;

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

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
    /// Kubernetes events that were not written because too many waited.
    pub events_left_out: IntCounter,
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
            events_left_out: IntCounter::new(
                "teamsgraph_events_left_out_total",
                "Kubernetes events that were not written because too many were waiting.",
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
        registry.register(Box::new(build))?;
        registry.register(Box::new(metrics.events_left_out.clone()))?;
        Ok(metrics)
    }
}
