//! 500 connectors that are looked at every minute, three endpoints each (TLS, TCP, HTTP): what that costs the controller, and
//! whether it keeps its times.
//!
//! `cargo bench --bench health`. `BENCH_OBJECTS` (default 500) says how many; the limits hold for the default. `BENCH_SECONDS`
//! (default 300, at least two intervals) is how long they are watched. Results go to `target/bench/health.json`.
//!
//! The API server is a real one, and the controller a process of its own. What is looked at is in the process of the bench. Its TLS
//! server notes which object it was asked for and when: `late_pct` counts the looks that came later than a tenth of the interval
//! after they should, by these times and not by the controller's own (`late_told_pct`). Everything shares the cores of one machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    unreachable_pub,
    missing_docs
)]

#[allow(dead_code)] // a bench uses a part of it
#[path = "support/figures.rs"]
mod figures;
#[path = "support/health_servers.rs"]
mod health_servers;
#[path = "../tests/support/mod.rs"]
mod support;
#[allow(dead_code)] // a bench uses a part of it
#[path = "../tests/operator/world.rs"]
mod world;

use std::fs;
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};
use teams_graph_operator::api::condition::{ConditionType, is_true};
use teams_graph_operator::api::connector::TeamsConnectorHealth;
use teams_graph_operator::api::{GROUP, VERSION};

use figures::{cpu_seconds, difference, peak_rss_mb, round, rss_mb, writes};
use health_servers::{DOMAIN, Servers};
use world::World;

/// For so many the limits hold.
const JUDGED: usize = 500;
const INTERVAL_S: u64 = 60;
const ENDPOINTS: usize = 3;
const CPU_LIMIT_PCT: f64 = 10.0;
const RSS_LIMIT_MB: f64 = 100.0;
const LATE_LIMIT_PCT: f64 = 1.0;
/// Later than this part of the interval is late.
const LATE: f64 = 0.1;
/// Creates at a time.
const AT_A_TIME: usize = 32;
/// How long anything may take before the bench gives up.
const PATIENCE: Duration = Duration::from_mins(10);

/// What the controller has counted of its own.
struct Told {
    probes: f64,
    looks: f64,
    late: f64,
}

#[tokio::main]
async fn main() {
    let objects = setting("BENCH_OBJECTS", JUDGED);
    let seconds = setting("BENCH_SECONDS", 300).max(2 * usize::try_from(INTERVAL_S).unwrap());
    let servers = Servers::start().await;
    let mut world = World::own_control_plane_alone("health").await;
    let settings = [("INTERVAL_SECONDS", "300"), ("LOG_FILTER", "info")];
    world.start_controller(&settings).await;
    world.secret("authority", &[("ca.crt", &servers.authority)]).await;
    let pid = world.controller_pid();
    let idle_mb = rss_mb(pid);

    let begun = Instant::now();
    let api: Api<TeamsConnectorHealth> = Api::namespaced(world.client.clone(), &world.namespace);
    create(&api, objects, &servers).await;
    healthy(&world, &api, objects).await;
    let healthy_s = begun.elapsed().as_secs_f64();
    eprintln!("{objects} connectors are healthy after {healthy_s:.1} s");
    // The second looks spread them over the interval; from then on each is on its grid.
    tokio::time::sleep(Duration::from_secs(INTERVAL_S + 5)).await;

    eprintln!("watching for {seconds} s");
    let (before, written, cpu, from) = (
        told(&world).await,
        writes(&world.client).await,
        cpu_seconds(pid),
        Instant::now(),
    );
    tokio::time::sleep(Duration::from_secs(u64::try_from(seconds).unwrap())).await;
    let seconds = from.elapsed().as_secs_f64();
    let cpu_pct = (cpu_seconds(pid) - cpu) / seconds * 100.0;
    let after = told(&world).await;
    let written = difference(&written, &writes(&world.client).await);
    let still_healthy = count_healthy(&api).await;
    let gaps = gaps(&servers, objects, from);
    let late = gaps
        .iter()
        .filter(|gap| **gap > INTERVAL_S as f64 * (1.0 + LATE))
        .count();
    let late_pct = late as f64 / gaps.len().max(1) as f64 * 100.0;
    let (rss, peak) = (rss_mb(pid), peak_rss_mb(pid));
    let probes_per_s = (after.probes - before.probes) / seconds;
    let expected_per_s = (objects * ENDPOINTS) as f64 / INTERVAL_S as f64;

    let judged = |holds: bool| objects >= JUDGED && holds;
    let result = json!({
        "met": {
            "cpu_pct": judged(cpu_pct <= CPU_LIMIT_PCT),
            "rss_mb": judged(peak <= RSS_LIMIT_MB),
            "late_pct": judged(late_pct <= LATE_LIMIT_PCT),
            "all_probed": probes_per_s >= expected_per_s * (1.0 - LATE),
            "all_healthy": still_healthy == objects,
        },
        "limits": {
            "objects": JUDGED, "cpu_pct": CPU_LIMIT_PCT, "rss_mb": RSS_LIMIT_MB, "late_pct": LATE_LIMIT_PCT,
            "probes_per_s": round(expected_per_s),
        },
        "objects": objects,
        "interval_s": INTERVAL_S,
        "endpoints_each": ENDPOINTS,
        "cpu_pct": round(cpu_pct),
        "rss_mb": round(rss),
        "rss_peak_mb": round(peak),
        "rss_without_objects_mb": round(idle_mb),
        "probes_per_s": round(probes_per_s),
        "late_pct": round(late_pct),
        "late_told_pct": round((after.late - before.late) / (after.looks - before.looks).max(1.0) * 100.0),
        "longest_gap_s": round(gaps.iter().copied().fold(0.0, f64::max)),
        "looks_seen": gaps.len(),
        "healthy_s": round(healthy_s),
        "seconds": round(seconds),
        "writes": written,
        "cores": std::thread::available_parallelism().unwrap().get(),
        "loadavg": fs::read_to_string("/proc/loadavg").unwrap().trim(),
    });
    fs::create_dir_all("target/bench").unwrap();
    fs::write("target/bench/health.json", format!("{result:#}\n")).unwrap();
    println!("{result:#}");
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn name_of(number: usize) -> String {
    format!("connector-{number}")
}

fn connector(number: usize, servers: &Servers) -> TeamsConnectorHealth {
    let endpoint = |name: &str, port: u16| json!({ "name": name, "host": "127.0.0.1", "port": port, "allowPrivateAddresses": true });
    let mut tls = endpoint("tls", servers.tls_port);
    tls["tls"] = json!({
        "serverName": format!("{}.{DOMAIN}", name_of(number)), "trust": "Bundle",
        "caBundleSecretRef": { "name": "authority", "key": "ca.crt" },
    });
    let mut tcp = endpoint("tcp", servers.tcp_port);
    tcp["protocol"] = json!("Tcp");
    let mut http = endpoint("http", servers.http_port);
    http["protocol"] = json!("Tcp");
    http["http"] = json!({ "path": "/" });
    serde_json::from_value(json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "TeamsConnectorHealth", "metadata": { "name": name_of(number) },
        "spec": {
            "type": "Generic", "interval": format!("{INTERVAL_S}s"), "gracePeriod": "1s", "endpoints": [tls, tcp, http],
        },
    }))
    .unwrap()
}

async fn create(api: &Api<TeamsConnectorHealth>, objects: usize, servers: &Servers) {
    let creates = futures::stream::iter(0..objects).for_each_concurrent(AT_A_TIME, |number| async move {
        api.create(&PostParams::default(), &connector(number, servers))
            .await
            .unwrap();
    });
    creates.await;
}

async fn healthy(world: &World, api: &Api<TeamsConnectorHealth>, objects: usize) {
    let begun = Instant::now();
    loop {
        let count = count_healthy(api).await;
        if count == objects {
            return;
        }
        if begun.elapsed() >= PATIENCE {
            let list: Value = json!(api.list(&ListParams::default().limit(1)).await.unwrap().items);
            panic!("{count} of {objects}\n{list:#}\n{}", world.logs());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn count_healthy(api: &Api<TeamsConnectorHealth>) -> usize {
    let list = api.list(&ListParams::default()).await.unwrap();
    let is_healthy = |object: &&TeamsConnectorHealth| {
        let status = object.status.as_ref();
        status.is_some_and(|status| is_true(&status.conditions, ConditionType::Healthy))
    };
    list.items.iter().filter(is_healthy).count()
}

/// Seconds between two looks at the same object that follow each other, the second of them after `from`. An object that is not
/// looked at any more counts with the time since its last look.
fn gaps(servers: &Servers, objects: usize, from: Instant) -> Vec<f64> {
    let (arrivals, now) = (servers.arrivals(), Instant::now());
    let mut gaps = Vec::new();
    for number in 0..objects {
        let times = arrivals.get(&name_of(number)).map(Vec::as_slice).unwrap_or_default();
        let seen = times.windows(2).filter(|pair| pair[1] >= from);
        gaps.extend(seen.map(|pair| (pair[1] - pair[0]).as_secs_f64()));
        let since = now - times.last().copied().unwrap_or(from);
        if since.as_secs_f64() > INTERVAL_S as f64 * (1.0 + LATE) {
            gaps.push(since.as_secs_f64());
        }
    }
    gaps
}

async fn told(world: &World) -> Told {
    let metrics = world.metrics(world.telemetry_port).await;
    let value = |series: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(series));
        line.map_or(0.0, |rest| rest.trim().parse().unwrap())
    };
    let late = value("teams_connector_looks_total{result=\"late\"}");
    Told {
        probes: value("teams_connector_probe_duration_seconds_count{probe=\"endpoint\"}"),
        looks: value("teams_connector_looks_total{result=\"on_time\"}") + late,
        late,
    }
}
