//! How soon the real control plane and the real node are ready, warm. `cargo bench --bench control_plane`; needs root for the node,
//! and no node of `make demo` running. Results go to `target/bench/control_plane.json`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::json;

const ROUNDS: usize = 3;
const API_ONLY_LIMIT: f64 = 8.0;
const NODE_LIMIT: f64 = 15.0;

fn main() {
    // What is not built yet is not timed.
    cluster("build", &["node"]);
    let api = summary((0..ROUNDS).map(|_| time_api()).collect());
    let node = summary((0..ROUNDS).map(|_| time_node()).collect());
    // The median: one start beside something else that is busy says little.
    let within = |times: &serde_json::Value, limit: f64| times["median"].as_f64().unwrap() <= limit;
    let result = json!({
        "met": { "api_only": within(&api, API_ONLY_LIMIT), "node": within(&node, NODE_LIMIT) },
        "api_only_ready_s": api, "limit_api_only_s": API_ONLY_LIMIT,
        "node_with_dns_ready_s": node, "limit_node_s": NODE_LIMIT,
        "loadavg": fs::read_to_string("/proc/loadavg").unwrap().trim(),
    });
    fs::create_dir_all("target/bench").unwrap();
    fs::write("target/bench/control_plane.json", format!("{result:#}\n")).unwrap();
    println!("{result:#}");
}

fn time_api() -> f64 {
    let dir = std::env::temp_dir().join(format!("teams-graph-bench-{:08x}", fastrand::u32(..)));
    let dir = dir.to_str().unwrap();
    let seconds = cluster("api", &["up", dir]);
    cluster("api", &["down", dir]);
    seconds
}

fn time_node() -> f64 {
    let state = Command::new(script("node")).arg("kubeconfig").output().unwrap();
    assert!(
        !state.status.success(),
        "a node is up already: end it with make demo-down"
    );
    let seconds = cluster("node", &["up"]);
    cluster("node", &["down"]);
    seconds
}

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster").join(name)
}

/// Runs a script of the test cluster and returns how long it took.
fn cluster(name: &str, arguments: &[&str]) -> f64 {
    let started = Instant::now();
    let output = Command::new(script(name)).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{name} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    started.elapsed().as_secs_f64()
}

fn summary(mut seconds: Vec<f64>) -> serde_json::Value {
    seconds.sort_by(f64::total_cmp);
    let round = |value: f64| (value * 10.0).round() / 10.0;
    json!({ "min": round(seconds[0]), "median": round(seconds[seconds.len() / 2]), "max": round(seconds[seconds.len() - 1]) })
}
