//! The alerts speak of metrics, labels and values that the programs really export; each has a page, and rules of promtool that let
//! it fire once and stay silent once (`make test` runs those; this checks that none is forgotten).
//! Run with `make test`, or `PROMTOOL=$(tests/support/tools promtool) tests/cluster/api run cargo test --test alerts`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod connector;
mod presence;
mod promql;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code)] // the other tests use the rest
#[path = "../operator/worker.rs"]
mod worker;
#[allow(dead_code)] // the other tests use the rest
#[path = "../operator/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use teams_graph_operator::simulator::DEFAULT_APP;

use promql::{Matcher, Selector, samples, selectors};
use world::{SUBSCRIPTION, TENANT, World, subscription_spec};

/// What a scrape adds, and a metric may have, too.
const OF_THE_TARGET: [&str; 2] = ["namespace", "pod"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn yaml(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &str, ending: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(ending)).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Alerts by name.
fn alerts() -> BTreeMap<String, Value> {
    let rules = yaml(&root().join("deploy/prometheus-rules.yaml"));
    let rules = list(&rules["groups"][0]["rules"]).iter();
    rules
        .map(|rule| (rule["alert"].as_str().unwrap().to_owned(), rule.clone()))
        .collect()
}

/// The tests of promtool in this folder.
fn rule_tests() -> Vec<Value> {
    let files = files("tests/alerts", ".yaml").into_iter();
    let files = files.map(|name| yaml(&root().join("tests/alerts").join(name)));
    files.flat_map(|file| list(&file["tests"]).to_vec()).collect()
}

#[test]
fn every_alert_has_a_runbook() {
    let mut pages = BTreeSet::new();
    for name in alerts().keys() {
        pages.insert(format!("{name}.md"));
        let page = std::fs::read_to_string(root().join(format!("docs/runbooks/{name}.md")))
            .unwrap_or_else(|error| panic!("{name}: no runbook: {error}"));
        for part in ["**Meaning.**", "**Impact.**", "**What to look at.**", "**Remedy.**"] {
            assert!(page.contains(part), "{name}: the runbook has no {part}");
        }
    }
    let found = files("docs/runbooks", "");
    assert_eq!(pages, found, "runbooks without an alert, or the other way round");
}

#[test]
fn every_alert_is_seen_to_fire_and_to_stay_silent() {
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for test in rule_tests() {
        for expectation in list(&test["alert_rule_test"]) {
            let name = expectation["alertname"].as_str().unwrap().to_owned();
            if list(&expectation["exp_alerts"]).is_empty() {
                silent.insert(name);
            } else {
                fires.insert(name);
            }
        }
    }
    let all: BTreeSet<String> = alerts().into_keys().collect();
    assert_eq!(
        all, fires,
        "tests/alerts/*.yaml: an alert without a case in which it fires"
    );
    assert_eq!(
        all, silent,
        "tests/alerts/*.yaml: an alert without a case in which it stays silent"
    );
}

#[tokio::test]
async fn alerts_and_their_tests_speak_of_real_metrics() {
    let mut world = World::new("alerts").await;
    let real = real_metrics(&mut world).await;
    for (name, alert) in alerts() {
        let texts = [&alert["expr"], &alert["annotations"]["summary"]];
        for selector in texts.iter().flat_map(|text| selectors(text.as_str().unwrap())) {
            check(&real, &selector, &name);
        }
    }
    for test in rule_tests() {
        for series in list(&test["input_series"]) {
            let series = selectors(series["series"].as_str().unwrap()).remove(0);
            check_shape(&real, &series);
        }
    }
}

type Real = BTreeMap<String, Vec<BTreeMap<String, String>>>;

/// Its metric exists, its labels are those of the metric or of a target, and its values occur.
fn check(real: &Real, selector: &Selector, alert: &str) {
    let metric = selector.metric.as_str();
    let samples = real
        .get(metric)
        .unwrap_or_else(|| panic!("{alert}: nobody exports {metric}"));
    for Matcher { label, operator, value } in &selector.matchers {
        if OF_THE_TARGET.contains(&label.as_str()) {
            continue;
        }
        assert!(
            samples.iter().all(|labels| labels.contains_key(label)),
            "{alert}: {metric} has no label {label}"
        );
        let seen: BTreeSet<&str> = samples.iter().map(|labels| labels[label].as_str()).collect();
        for value in value.split('|').filter(|value| *value != "%s") {
            // A negation is about what need not occur, and not every reason occurs in one test.
            let known = if has_reasons(metric, label) {
                is_a_reason(value)
            } else {
                operator.starts_with('!') || seen.contains(value)
            };
            assert!(known, "{alert}: {metric} has no {label} {value}, but {seen:?}");
        }
    }
}

/// A series of a rule test has the labels of the real one.
fn check_shape(real: &Real, series: &Selector) {
    let metric = series.metric.as_str();
    let samples = real
        .get(metric)
        .unwrap_or_else(|| panic!("tests/alerts: nobody exports {metric}"));
    let own = |label: &&str| !OF_THE_TARGET.contains(label);
    let wanted: BTreeSet<&str> = samples[0].keys().map(String::as_str).filter(own).collect();
    let given = series.matchers.iter().map(|matcher| matcher.label.as_str());
    assert_eq!(
        wanted,
        given.filter(own).collect(),
        "tests/alerts: labels of {metric}: real ones left, the test's right"
    );
    let told = series
        .matchers
        .iter()
        .filter(|matcher| has_reasons(metric, &matcher.label));
    for Matcher { label, value, .. } in told {
        assert!(
            is_a_reason(value),
            "tests/alerts: {metric}: there is no {label} {value}"
        );
    }
}

/// Whether the values of a label are the reasons of conditions. How calls end is another vocabulary, as are the codes of HTTP.
fn has_reasons(metric: &str, label: &str) -> bool {
    match label {
        "code" => metric.starts_with("teams_connector_"),
        "reason" => metric.starts_with("teamsgraph_"),
        _ => false,
    }
}

fn is_a_reason(value: &str) -> bool {
    let reasons = std::fs::read_to_string(root().join("docs/reasons.md")).unwrap();
    reasons.contains(&format!("| `{value}` |"))
}

/// What the controller and the receiver export with a live subscription, a certificate, an event that the sink does not take, and
/// connectors with faults.
async fn real_metrics(world: &mut World) -> Real {
    world.subscribed().await;
    world
        .simulator_put("sink", json!({ "status": 503, "delayMs": 0 }))
        .await;
    world.simulator_post("callRecords", json!({ "object": {} })).await;
    certified_tenant(world).await;
    for (number, backfill) in ["Automatic", "Disabled"].into_iter().enumerate() {
        gap(world, number, backfill).await;
    }
    let _told = presence::told(world).await;
    connector::watched(world).await;
    let (_process, port) = presence::process(world).await;
    let exported = async |world: &World| {
        [
            world.metrics(world.telemetry_port).await,
            world.metrics(world.internal_port).await,
            world.metrics(port).await,
        ]
    };
    // These come last.
    let late = [
        "teamsgraph_receiver_oldest_undelivered_timestamp_seconds",
        "teamsgraph_receiver_pod_reachable",
        "teamsgraph_tenant_credential_expiration_timestamp_seconds",
        "teamsgraph_presencesync_users",
    ];
    world
        .until("all is exported", async || {
            let found = samples(&exported(world).await.join("\n"));
            let gaps = found.get("teamsgraph_subscription_gaps").map_or(0, Vec::len);
            let conditions = found.get("teamsgraph_condition").map_or(&[][..], Vec::as_slice);
            let told = |type_: &str| conditions.iter().any(|labels| labels["type"] == type_);
            late.iter().all(|name| found.contains_key(*name))
                && gaps == 2
                && ["Reachable", "ClockSynchronized", "ShardsReady"].into_iter().all(told)
        })
        .await;
    let texts = exported(world).await;
    for (program, text) in ["controller", "receiver", "worker"].into_iter().zip(&texts) {
        lint(program, text);
    }
    samples(&texts.join("\n"))
}

/// What Prometheus' own linter says of the names, types and helps that a program exports: nothing.
fn lint(program: &str, text: &str) {
    let Some(promtool) = std::env::var_os("PROMTOOL") else {
        panic!("no promtool: run `tests/support/gate cluster`, or set PROMTOOL=$(tests/support/tools promtool)")
    };
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    input.rewind().unwrap();
    let output = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(input)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "metrics of the {program}: promtool ends with {}\n{}",
        output.status,
        String::from_utf8_lossy(&said)
    );
}

/// A subscription that missed something.
async fn gap(world: &World, number: usize, backfill: &str) {
    let mut mail = subscription_spec();
    mail["resource"] = json!(format!("users/8f0c2d3e-0000-4000-8000-00000000000{number}/messages"));
    mail["backfill"] = json!(backfill);
    let name = format!("mail-{number}");
    world.apply(SUBSCRIPTION, &name, mail).await;
    world
        .condition(SUBSCRIPTION, &name, "Subscribed", "True", "Succeeded")
        .await;
    let id = world.get(SUBSCRIPTION, &name).await.unwrap()["status"]["subscriptionId"].clone();
    world
        .simulator_post("lifecycle", json!({ "subscriptionId": id, "event": "missed" }))
        .await;
}

async fn certified_tenant(world: &World) {
    let command = "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=app -keyout - -out -";
    let output = Command::new("openssl").args(command.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pem = String::from_utf8(output.stdout).unwrap();
    let (key, certificate) = pem.split_at(pem.find("-----BEGIN CERTIFICATE-----").unwrap());
    world
        .simulator_put(&format!("apps/{DEFAULT_APP}/certificates"), json!([certificate]))
        .await;
    world
        .secret("certificate", &[("tls.crt", certificate), ("tls.key", key)])
        .await;
    let mut spec = world.tenant_spec();
    spec["credentials"] = json!({ "certificate": { "secretName": "certificate" } });
    world.apply(TENANT, "certified", spec).await;
}
