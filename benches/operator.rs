//! The controller on a real API server: how soon subscriptions are made, and what it costs when nothing happens.
//!
//! `cargo bench --bench operator`; `BENCH_IDLE_SECONDS` (default 300) is how long the idle controller is watched.
//! Results go to `target/bench/operator.json`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

#[path = "support/figures.rs"]
mod figures;
#[path = "../tests/support/mod.rs"]
mod support;
#[allow(dead_code)] // a bench uses a part of it
#[path = "../tests/operator/world.rs"]
mod world;

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::Timestamp;
use kube::runtime::watcher;
use kube::{Api, ResourceExt};
use serde_json::json;
use teams_graph_operator::api::condition::{ConditionType, is_true};
use teams_graph_operator::api::subscription::GraphSubscription;

use figures::{cpu_seconds, difference, round, rss_mb, writes};
use world::{SUBSCRIPTION, World, subscription_spec};

const SUBSCRIPTIONS: usize = 100;
const P95_LIMIT_MS: i64 = 2000;
const CPU_LIMIT_PCT: f64 = 1.0;
const RSS_LIMIT_MB: f64 = 40.0;

#[tokio::main]
async fn main() {
    let started = Instant::now();
    let mut world = World::with_own_control_plane("bench").await;
    let plane_s = world.plane_ready_seconds();
    eprintln!(
        "control plane ready after {plane_s:.1} s, world after {:.1} s",
        started.elapsed().as_secs_f64()
    );
    world.subscribed().await;

    let latencies = subscribe_all(&world).await;
    let (p50, p95, max) = (
        percentile(&latencies, 50),
        percentile(&latencies, 95),
        percentile(&latencies, 100),
    );
    eprintln!("apply to Subscribed=True for {SUBSCRIPTIONS} at once: p50 {p50} ms, p95 {p95} ms, max {max} ms");

    let idle_s: u64 = std::env::var("BENCH_IDLE_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(300);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let pid = world.controller_pid();
    let (cpu_before, writes_before) = (cpu_seconds(pid), writes(&world.client).await);
    eprintln!("watching the idle controller for {idle_s} s");
    tokio::time::sleep(Duration::from_secs(idle_s)).await;
    let (cpu_after, writes_after) = (cpu_seconds(pid), writes(&world.client).await);
    #[allow(clippy::cast_precision_loss)] // seconds of a bench
    let idle_cpu_pct = (cpu_after - cpu_before) / idle_s as f64 * 100.0;
    let changed = difference(&writes_before, &writes_after);
    let (writes_total, rss) = (changed.values().sum::<u64>(), rss_mb(pid));
    let result = json!({
        "met": {
            "apply_to_subscribed_p95": p95 <= P95_LIMIT_MS,
            "idle_cpu": idle_cpu_pct < CPU_LIMIT_PCT,
            "idle_writes": writes_total == 0,
            "idle_rss": rss <= RSS_LIMIT_MB,
        },
        "subscriptions": SUBSCRIPTIONS,
        "apply_to_subscribed_ms": { "p50": p50, "p95": p95, "max": max, "limit_p95": P95_LIMIT_MS },
        "idle": {
            "seconds": idle_s, "cpu_pct": round(idle_cpu_pct), "limit_cpu_pct": CPU_LIMIT_PCT, "writes": changed,
            "writes_total": writes_total, "limit_writes": 0, "rss_mb": round(rss), "limit_rss_mb": RSS_LIMIT_MB,
        },
        "api_only_control_plane_ready_s": round(plane_s),
        "loadavg": fs::read_to_string("/proc/loadavg").unwrap().trim(),
    });
    fs::create_dir_all("target/bench").unwrap();
    fs::write("target/bench/operator.json", format!("{result:#}\n")).unwrap();
    println!("{result:#}");
}

/// Milliseconds from each apply to the moment a watch shows `Subscribed=True`.
async fn subscribe_all(world: &World) -> Vec<i64> {
    let api: Api<GraphSubscription> = Api::namespaced(world.client.clone(), &world.namespace);
    let mut events = Box::pin(watcher(api, watcher::Config::default()));
    let mut applied: HashMap<String, Timestamp> = HashMap::new();
    let names: Vec<String> = (0..SUBSCRIPTIONS).map(|number| format!("user-{number}")).collect();
    let requests = names.iter().enumerate().map(|(number, name)| {
        let mut spec = subscription_spec();
        spec["resource"] = json!(format!("users/00000000-0000-4000-8000-{number:012}"));
        spec["changeTypes"] = json!(["Updated"]);
        async move {
            let at = Timestamp::now();
            world.apply(SUBSCRIPTION, name, spec).await;
            (name.clone(), at)
        }
    });
    applied.extend(futures::future::join_all(requests).await);
    let mut done: HashMap<String, i64> = HashMap::new();
    let deadline = Instant::now() + Duration::from_secs(120);
    while done.len() < SUBSCRIPTIONS {
        assert!(
            Instant::now() < deadline,
            "only {} of {SUBSCRIPTIONS} were subscribed\n{}",
            done.len(),
            world.logs()
        );
        let Ok(Some(Ok(event))) = tokio::time::timeout(Duration::from_secs(60), events.next()).await else {
            continue;
        };
        let (watcher::Event::Apply(object) | watcher::Event::InitApply(object)) = event else {
            continue;
        };
        let subscribed = object
            .status
            .as_ref()
            .is_some_and(|status| is_true(&status.conditions, ConditionType::Subscribed));
        if let (true, Some(at)) = (subscribed, applied.get(&object.name_any())) {
            let waited = Timestamp::now().duration_since(*at).as_millis();
            done.entry(object.name_any()).or_insert(i64::try_from(waited).unwrap());
        }
    }
    let mut latencies: Vec<i64> = done.into_values().collect();
    latencies.sort_unstable();
    latencies
}

fn percentile(sorted: &[i64], percent: usize) -> i64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}
