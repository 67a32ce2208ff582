//! What the worker counts and measures.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::api::presence::UserCounts;
use crate::api::presence_report::{Lamp, Layer, Owned};

/// From the debounced half second that is promised to the minute after which it is called late.
const LATENCIES: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0,
];
/// Words that nobody mapped get series of their own up to here.
const MOST_WORDS: usize = 32;
const LONGEST_WORD: usize = 40;

/// Which way a change went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the PBX to Teams.
    ToTeams,
    /// From Teams to the PBX.
    ToPbx,
}

impl Way {
    fn label(self) -> &'static str {
        match self {
            Self::ToTeams => "pbx_to_teams",
            Self::ToPbx => "teams_to_pbx",
        }
    }

    fn target(self) -> &'static str {
        match self {
            Self::ToTeams => "teams",
            Self::ToPbx => "pbx",
        }
    }
}

/// The worker's metrics.
pub struct Metrics {
    up: IntGaugeVec,
    users: IntGaugeVec,
    owned: IntGaugeVec,
    writes: IntCounterVec,
    echoes: IntCounterVec,
    unchanged: IntCounterVec,
    latency: HistogramVec,
    refresh_failures: IntCounter,
    expiry: GaugeVec,
    skew: Gauge,
    unmapped: IntCounterVec,
    words: Mutex<BTreeSet<String>>,
    /// Events from the PBX.
    pub pbx_events: IntCounter,
    /// Notifications pulled from the receiver.
    pub notifications: IntCounter,
    /// Observations of presence in Teams.
    pub observations: IntCounter,
    /// How often the volume failed.
    pub storage_failures: IntCounter,
    /// How often new configuration could not be used.
    pub config_failures: IntCounter,
    /// Whether the newest configuration is in use.
    pub config_current: IntGauge,
}

impl Metrics {
    #[allow(clippy::too_many_lines)] // a list
    /// Metrics, registered. Fails when the registry has them already.
    #[allow(clippy::too_many_lines)] // a list
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            up: gauges(
                registry,
                "up",
                "Whether a part works: pbx, reader, writer, source, receiver, storage, directory, licences, shards.",
                &["part"],
            )?,
            users: gauges(
                registry,
                "users",
                "Users by state: synced, unmatched, ambiguous, unlicensed, over_limit.",
                &["state"],
            )?,
            owned: gauges(
                registry,
                "owned",
                "What the worker holds: sessions and chosen states in Teams, entries on the PBX.",
                &["kind"],
            )?,
            writes: counters(
                registry,
                "writes_total",
                "Writes by target (teams, pbx), kind and result (ok, or what failed).",
                &["target", "kind", "result"],
            )?,
            echoes: counters(
                registry,
                "echo_suppressed_total",
                "Observations explained by what the worker wrote itself, by layer.",
                &["layer"],
            )?,
            unchanged: counters(
                registry,
                "no_change_total",
                "Observations that led to no write, by reason.",
                &["reason"],
            )?,
            latency: registered(
                registry,
                HistogramVec::new(
                    HistogramOpts::new(
                        name("latency_seconds"),
                        "Time from a change seen on one side to its write on the other, with the debounce, by way.",
                    )
                    .buckets(LATENCIES.to_vec()),
                    &["way"],
                )
                .inspect(|latency| {
                    // An alert on a series that appears only with its first change would miss that change.
                    for way in ["pbx_to_teams", "teams_to_pbx"] {
                        latency.with_label_values(&[way]);
                    }
                })?,
            )?,
            refresh_failures: counter(
                registry,
                "session_refresh_failures_total",
                "Refreshes of a session or chosen state in Teams that failed.",
            )?,
            expiry: registered(
                registry,
                GaugeVec::new(
                    Opts::new(
                        name("subscription_expiration_timestamp_seconds"),
                        "When the presence subscription of an account expires.",
                    ),
                    &["account"],
                )?,
            )?,
            skew: registered(
                registry,
                Gauge::new(name("clock_skew_seconds"), "Microsoft's clock minus the worker's.")?,
            )?,
            unmapped: counters(
                registry,
                "unmapped_value_total",
                "Words for presence that no row maps, by side and word; beyond 32 words: other.",
                &["side", "value"],
            )?,
            words: Mutex::default(),
            pbx_events: counter(registry, "pbx_events_total", "Events from the PBX.")?,
            notifications: counter(
                registry,
                "notifications_total",
                "Presence notifications pulled from the receiver.",
            )?,
            observations: counter(
                registry,
                "observations_total",
                "Observations of a person's presence in Teams.",
            )?,
            storage_failures: counter(
                registry,
                "storage_failures_total",
                "How often the worker's own state could not be stored.",
            )?,
            config_failures: counter(
                registry,
                "config_reload_failures_total",
                "How often new configuration could not be used.",
            )?,
            config_current: registered(
                registry,
                IntGauge::new(
                    name("config_last_reload_successful"),
                    "Whether the newest configuration is in use.",
                )?,
            )?,
        })
    }

    /// How a part stands.
    pub fn lamp(&self, part: &str, lamp: &Lamp) {
        self.up.with_label_values(&[part]).set(i64::from(lamp.is_green()));
    }

    /// How many users are in which state.
    pub fn users(&self, counts: &UserCounts) {
        for (state, count) in [
            ("synced", counts.synced),
            ("unmatched", counts.unmatched),
            ("ambiguous", counts.ambiguous),
            ("unlicensed", counts.unlicensed),
            ("over_limit", counts.over_limit),
        ] {
            self.users.with_label_values(&[state]).set(i64::from(count));
        }
    }

    /// What is held.
    pub fn owned(&self, owned: &Owned) {
        for (kind, count) in [
            ("session", owned.sessions),
            ("chosen", owned.chosen),
            ("entry", owned.entries),
        ] {
            self.owned.with_label_values(&[kind]).set(i64::from(count));
        }
    }

    /// A write ended.
    pub fn wrote(&self, way: Way, kind: &str, result: &str) {
        self.writes.with_label_values(&[way.target(), kind, result]).inc();
    }

    /// A change arrived on the other side.
    pub fn arrived(&self, way: Way, took: Duration) {
        self.latency
            .with_label_values(&[way.label()])
            .observe(took.as_secs_f64());
    }

    /// A refresh in Teams failed.
    pub fn refresh_failed(&self) {
        self.refresh_failures.inc();
    }

    /// An observation was our own echo.
    pub fn echo(&self, layer: Layer) {
        let label = match layer {
            Layer::Line => "line",
            Layer::Chosen => "chosen",
            Layer::Derived => "derived",
        };
        self.echoes.with_label_values(&[label]).inc();
    }

    /// An observation led to nothing.
    pub fn unchanged(&self, reason: &str) {
        self.unchanged.with_label_values(&[reason]).inc();
    }

    /// When an account's subscription expires; `None`: it has none.
    pub fn expiry(&self, account: &str, expires: Option<jiff::Timestamp>) {
        match expires {
            #[allow(clippy::cast_precision_loss)] // seconds since 1970 fit
            Some(at) => self.expiry.with_label_values(&[account]).set(at.as_second() as f64),
            None => drop(self.expiry.remove_label_values(&[account])),
        }
    }

    /// Microsoft's clock minus ours.
    pub fn skew(&self, skew: jiff::SignedDuration) {
        self.skew.set(skew.as_secs_f64());
    }

    /// A word that no row maps. Anybody may make up words: only the first few have series of their own.
    pub fn unmapped(&self, side: &str, word: &str) {
        let word: String = word.chars().take(LONGEST_WORD).collect();
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let known = words.contains(&word) || words.len() < MOST_WORDS && words.insert(word.clone());
        let value = if known { word.as_str() } else { "other" };
        self.unmapped.with_label_values(&[side, value]).inc();
    }
}

fn name(end: &str) -> String {
    format!("teamsgraph_presence_{end}")
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn counter(registry: &Registry, end: &str, help: &str) -> prometheus::Result<IntCounter> {
    registered(registry, IntCounter::new(name(end), help)?)
}

fn counters(registry: &Registry, end: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    registered(registry, IntCounterVec::new(Opts::new(name(end), help), labels)?)
}

fn gauges(registry: &Registry, end: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    registered(registry, IntGaugeVec::new(Opts::new(name(end), help), labels)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_words_do_not_make_series_without_end() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        (0..1000).for_each(|n| metrics.unmapped("pbx", &format!("word-{n}")));
        metrics.unmapped("pbx", "word-0");
        let families = registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "teamsgraph_presence_unmapped_value_total")
            .unwrap();
        assert_eq!(family.get_metric().len(), MOST_WORDS + 1);
    }
}
