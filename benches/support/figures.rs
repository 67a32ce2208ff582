//! What benches of the controller measure: its CPU time, its memory, and what the API server was made to write.

use std::collections::HashMap;
use std::fs;

use kube::{Api, Client};

/// Writes that the API server took, by resource. The lease is left out: renewing it is what tells the follower that we live.
pub async fn writes(client: &Client) -> HashMap<String, u64> {
    let mut counts = HashMap::new();
    for line in requests(client).await.lines() {
        let verb = label(line, "verb");
        let writes = ["POST", "PUT", "PATCH", "APPLY", "DELETE"].contains(&verb);
        let resource = label(line, "resource");
        if writes && !["leases", "events", "subjectaccessreviews", "tokenreviews"].contains(&resource) {
            *counts.entry(resource.to_owned()).or_insert(0) += count(line);
        }
    }
    // Without a kubelet, other controllers write events about volumes that are not bound; only ours count.
    counts.insert("events".to_owned(), own_events(client, None).await);
    counts
}

/// Statuses of a resource that were written.
#[allow(dead_code)] // a bench uses a part of it
pub async fn statuses_written(client: &Client, resource: &str) -> u64 {
    let text = requests(client).await;
    let lines = text.lines().filter(|line| {
        label(line, "resource") == resource
            && label(line, "subresource") == "status"
            && ["PATCH", "APPLY"].contains(&label(line, "verb"))
            && label(line, "code") == "200"
    });
    lines.map(count).sum()
}

async fn requests(client: &Client) -> String {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let text = client.request_text(request).await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with("apiserver_request_total{"));
    lines.collect::<Vec<_>>().join("\n")
}

fn label<'a>(line: &'a str, name: &str) -> &'a str {
    let after = line.split(&format!("{name}=\"")).nth(1);
    after.and_then(|rest| rest.split('"').next()).unwrap_or_default()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count
fn count(line: &str) -> u64 {
    line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64
}

/// Events that the controller wrote, about one kind or all.
pub async fn own_events(client: &Client, kind: Option<&str>) -> u64 {
    let events: Api<k8s_openapi::api::events::v1::Event> = Api::all(client.clone());
    let list = events.list(&kube::api::ListParams::default()).await.unwrap();
    let ours = list
        .items
        .iter()
        .filter(|event| event.reporting_controller.as_deref() == Some("teams-graph-operator"))
        .filter(|event| {
            let about = event.regarding.as_ref().and_then(|about| about.kind.as_deref());
            kind.is_none_or(|kind| about == Some(kind))
        });
    ours.map(|event| {
        event
            .series
            .as_ref()
            .map_or(1, |series| u64::from(series.count.unsigned_abs()))
    })
    .sum()
}

/// What was written between two looks; without what was not.
pub fn difference(before: &HashMap<String, u64>, after: &HashMap<String, u64>) -> HashMap<String, u64> {
    after
        .iter()
        .map(|(resource, count)| (resource.clone(), count - before.get(resource).unwrap_or(&0)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// CPU time that a process has used. The kernel counts in hundredths of a second.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

/// Memory of a process now, in MiB.
pub fn rss_mb(pid: u32) -> f64 {
    memory_mb(pid, "VmRSS:")
}

/// The most memory a process ever had, in MiB.
#[allow(dead_code)] // a bench uses a part of it
pub fn peak_rss_mb(pid: u32) -> f64 {
    memory_mb(pid, "VmHWM:")
}

fn memory_mb(pid: u32, which: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(which)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// To a hundredth.
pub fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
