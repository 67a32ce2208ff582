//! Metrics of the controller: of its work, and of the objects, read from the stores when scraped so that none outlives its object.

use std::time::Instant;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::apply::Object;
use super::backfill::Trouble;
use super::context::Stores;
use super::observed::Observed;
use super::receiver::workload;
use crate::api::condition::{ConditionType, Reason};
use crate::policy::backfill::Found;

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
    /// Remote subscriptions that were deleted because their objects are gone.
    pub orphans_deleted: IntCounter,
}

impl Metrics {
    /// Registers the metrics, those of the objects in `stores` among them.
    pub fn new(registry: &Registry, stores: &Stores, observed: &Observed) -> prometheus::Result<Self> {
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
        registry.register(Box::new(metrics.orphans_deleted.clone()))?;
        registry.register(Box::new(build))?;
        registry.register(Box::new(Objects {
            stores: stores.clone(),
            observed: observed.clone(),
        }))?;
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

/// Reads the objects at scrape. What is unknown is absent, never 0.
struct Objects {
    stores: Stores,
    observed: Observed,
}

const OBJECT: [&str; 2] = ["namespace", "name"];

fn gauge(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
    GaugeVec::new(Opts::new(name, help), labels)
}

impl Objects {
    fn gather(&self) -> prometheus::Result<Vec<MetricFamily>> {
        let mut families = self.subscriptions()?;
        families.extend([self.credentials()?, self.orphans()?, self.pods()?, self.conditions()?]);
        Ok(families.iter().flat_map(Collector::collect).collect())
    }

    fn subscriptions(&self) -> prometheus::Result<Vec<GaugeVec>> {
        let expiration = gauge(
            "teamsgraph_subscription_expiration_timestamp_seconds",
            "When the remote subscription expires.",
            &OBJECT,
        )?;
        let renewal = gauge(
            "teamsgraph_subscription_renewal_timestamp_seconds",
            "When the remote subscription is to be renewed.",
            &OBJECT,
        )?;
        let renewed = gauge(
            "teamsgraph_subscription_last_renewal_timestamp_seconds",
            "When Graph last accepted a create or renewal.",
            &OBJECT,
        )?;
        let event = gauge(
            "teamsgraph_subscription_last_event_timestamp_seconds",
            "When a notification last arrived, to within ten minutes.",
            &OBJECT,
        )?;
        let gaps = gauge(
            "teamsgraph_subscription_gaps",
            "Recorded windows in which notifications may be missing, by what was done about them.",
            &["namespace", "name", "state"],
        )?;
        let failing = gauge(
            "teamsgraph_subscription_failures_in_a_row",
            "Failed attempts since the last success.",
            &OBJECT,
        )?;
        for subscription in self.stores.subscriptions.state() {
            let Some(status) = &subscription.status else { continue };
            let (namespace, name) = (subscription.namespace().unwrap_or_default(), subscription.name_any());
            let labels = [namespace.as_str(), name.as_str()];
            for (family, time) in [
                (&expiration, &status.expiration_time),
                (&renewal, &status.renewal_time),
                (&renewed, &status.last_renewal_time),
                (&event, &status.last_event_time),
            ] {
                set_time(family, &labels, time.as_ref());
            }
            for gap in &status.gaps {
                let state = format!("{:?}", gap.state);
                gaps.with_label_values(&[labels[0], labels[1], &state]).inc();
            }
            failing
                .with_label_values(&labels)
                .set(status.failure.as_ref().map_or(0.0, |failure| f64::from(failure.count)));
        }
        Ok(vec![expiration, renewal, renewed, event, gaps, failing])
    }

    fn credentials(&self) -> prometheus::Result<GaugeVec> {
        let family = gauge(
            "teamsgraph_tenant_credential_expiration_timestamp_seconds",
            "When the tenant's certificate credential expires.",
            &OBJECT,
        )?;
        for tenant in self.stores.tenants.state() {
            let (namespace, name) = (tenant.namespace().unwrap_or_default(), tenant.name_any());
            let status = tenant.status.as_ref();
            let expiration = status.and_then(|status| status.credential_expiration_time.as_ref());
            set_time(&family, &[&namespace, &name], expiration);
        }
        Ok(family)
    }

    fn orphans(&self) -> prometheus::Result<GaugeVec> {
        let family = gauge(
            "teamsgraph_tenant_orphans",
            "Subscriptions at Graph that are ours and belong to no GraphSubscription; absent when none is known.",
            &OBJECT,
        )?;
        for tenant in self.stores.tenants.state() {
            let (namespace, name) = (tenant.namespace().unwrap_or_default(), tenant.name_any());
            if let Some(orphans) = tenant.status.as_ref().and_then(|status| status.orphans) {
                family.with_label_values(&[&namespace, &name]).set(f64::from(orphans));
            }
        }
        Ok(family)
    }

    fn pods(&self) -> prometheus::Result<GaugeVec> {
        let family = gauge(
            "teamsgraph_receiver_pod_reachable",
            "Whether the leader can ask a receiver pod: 1, or 0 when lifecycle events are not read.",
            &["namespace", "name", "pod"],
        )?;
        for (receiver, pod, reachable) in self.observed.reachable() {
            let namespace = receiver.namespace.as_deref().unwrap_or_default();
            let labels = [namespace, &receiver.name, &workload::pod_name(&receiver.name, pod)];
            family.with_label_values(&labels).set(f64::from(u8::from(reachable)));
        }
        Ok(family)
    }

    fn conditions(&self) -> prometheus::Result<GaugeVec> {
        let family = gauge(
            "teamsgraph_condition",
            "Conditions: 1 when True, 0 when False, absent when Unknown; with the reason.",
            &["kind", "namespace", "name", "type", "reason"],
        )?;
        set_conditions(&family, &self.stores.tenants, |tenant| {
            tenant.status.as_ref().map(|status| status.conditions.as_slice())
        });
        set_conditions(&family, &self.stores.receivers, |receiver| {
            receiver.status.as_ref().map(|status| status.conditions.as_slice())
        });
        set_conditions(&family, &self.stores.subscriptions, |subscription| {
            subscription.status.as_ref().map(|status| status.conditions.as_slice())
        });
        for subscription in self.stores.subscriptions.state() {
            // One that was never looked at is not subscribed either.
            let status = subscription.status.as_ref();
            if status.is_none_or(|status| status.conditions.is_empty()) {
                let (namespace, name) = (subscription.namespace().unwrap_or_default(), subscription.name_any());
                let (type_, reason) = (ConditionType::Subscribed.to_string(), Reason::Progressing.to_string());
                let labels = ["GraphSubscription", &namespace, &name, &type_, &reason];
                family.with_label_values(&labels).set(0.0);
            }
        }
        Ok(family)
    }
}

#[allow(clippy::cast_precision_loss)] // seconds since 1970 fit a double for millions of years
fn set_time(family: &GaugeVec, labels: &[&str], time: Option<&Time>) {
    if let Some(time) = time {
        family.with_label_values(labels).set(time.0.as_second() as f64);
    }
}

fn set_conditions<K: Object>(family: &GaugeVec, store: &Store<K>, conditions: impl Fn(&K) -> Option<&[Condition]>) {
    for object in store.state() {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        for condition in conditions(&object).into_iter().flatten() {
            let value = match condition.status.as_str() {
                "True" => 1.0,
                "False" => 0.0,
                _ => continue,
            };
            let labels = [&*K::kind(&()), &namespace, &name, &condition.type_, &condition.reason];
            family.with_label_values(&labels).set(value);
        }
    }
}

impl Collector for Objects {
    /// None: what there is differs from scrape to scrape.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gather().unwrap_or_else(|error| {
            tracing::error!("metrics of the objects cannot be gathered: {error}");
            Vec::new()
        })
    }
}
