//! The presence worker with 10,000 users: how soon a call on the PBX is told in Teams and a change in Teams on the PBX, how many
//! events a second it takes, what it costs in memory, and what polling costs of Graph's quota.
//!
//! `cargo bench --bench presence`. `BENCH_USERS` (default 10000) says how many; the limits hold for the default.
//! `BENCH_IDLE_SECONDS` (default 120) is how long the requests of a worker are counted that has nothing to do. Results go to
//! `target/bench/presence.json`.
//!
//! The worker, and the simulator with Teams and the PBX in it, are processes of their own on the loopback. Delays are the
//! difference of two times that the simulator noted: when it changed something, and when the write for it came. So they contain the
//! way there and back, and nothing that the worker says of itself. Everything shares the cores of one machine.
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
#[path = "../tests/support/ports.rs"]
mod ports;
#[path = "support/presence_engine.rs"]
mod presence_engine;
#[path = "support/presence_stand.rs"]
mod presence_stand;

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use serde_json::{Value, json};

use figures::{cpu_seconds, peak_rss_mb, round, rss_mb};
use presence_stand::{Stand, guid};

/// For so many the limits hold.
const JUDGED: usize = 10_000;
/// People with a call, and as many with a meeting; each begins and ends.
const CHANGING: usize = 500;
/// The changes are spread at random over so much time.
const SPREAD: Duration = Duration::from_mins(2);
/// How long calls last, and meetings: longer than the longest time between two polls, also on a busy machine.
const CALL_MS: std::ops::Range<u64> = 5_000..20_000;
const MEETING_MS: std::ops::Range<u64> = 25_000..50_000;
/// `policy.debounce`, and `pollInterval`: the defaults.
const DEBOUNCE_MS: f64 = 2_000.0;
const POLL_MS: f64 = 10_000.0;
/// What Graph admits to an app in a tenant for presence.
/// <https://learn.microsoft.com/graph/throttling-limits#cloud-communication-service-limits>
const QUOTA_PER_S: f64 = 1_500.0 / 30.0;
/// How long events come as fast as the simulator can tell them.
const FLOOD: Duration = Duration::from_secs(20);
/// Connections over which the simulator is asked for events, one after the other on each.
const FLOODERS: usize = 8;

const TO_TEAMS_LIMIT_MS: f64 = 500.0;
const TO_PBX_LIMIT_MS: f64 = POLL_MS + 500.0;
const PUSH_TO_PBX_LIMIT_MS: f64 = 500.0;
const EVENTS_LIMIT: f64 = 2_000.0;
const RSS_LIMIT_MB: f64 = 120.0;
const QUOTA_LIMIT_PCT: f64 = 5.0;

/// A change that the simulator made, and the write that has to follow.
struct Change {
    /// As the log of writes names the user.
    user: String,
    /// What is written.
    write: &'static str,
    at_ms: i64,
}

#[tokio::main]
async fn main() {
    let load_before = loadavg();
    let users = setting("BENCH_USERS", JUDGED);
    let rates = presence_engine::measure(users);
    eprintln!(
        "engine alone: {:.0} events/s, {:.2} of what reading and remembering them alone comes to",
        rates.engine_per_s, rates.ratio
    );
    let mut stand = Stand::start(users).await;
    let ready_s = stand.synced(users).await;
    // Everybody is read once more, with nothing left to be made known.
    tokio::time::sleep(Duration::from_secs(15)).await;
    eprintln!(
        "{users} users are kept in step after {ready_s:.1} s, {:.0} MB",
        rss_mb(stand.worker_pid)
    );

    let idle = idle(&stand).await;
    eprintln!("idle: {idle}");
    let polled = changes(&stand, users).await;
    eprintln!("changes: {polled}");
    let flood = flood(&stand, users).await;
    eprintln!("flood: {flood}");
    stand.unharmed().await;
    let (rss, peak) = (rss_mb(stand.worker_pid), peak_rss_mb(stand.worker_pid));

    stand.push().await;
    stand.synced(users).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    let pushed = changes(&stand, users).await;
    eprintln!("with notifications: {pushed}");
    stand.unharmed().await;
    let push_peak = peak_rss_mb(stand.worker_pid);

    // JSON has no number for what never came.
    let p95 = |changes: &Value, way: &str| changes[way]["p95"].as_f64().unwrap_or(f64::INFINITY);
    let all_told = [&polled, &pushed].iter().all(|changes| {
        ["pbx_to_teams_ms", "teams_to_pbx_ms"]
            .iter()
            .all(|way| changes[way]["untold"] == 0)
    });
    let to_teams = p95(&polled, "pbx_to_teams_ms");
    let (to_pbx, push_to_pbx) = (p95(&polled, "teams_to_pbx_ms"), p95(&pushed, "teams_to_pbx_ms"));
    let (events_per_s, quota_pct) = (
        flood["events_per_s"].as_f64().unwrap(),
        idle["quota_pct"].as_f64().unwrap(),
    );
    let judged = |holds: bool| users >= JUDGED && holds;
    let result = json!({
        "met": {
            "pbx_to_teams_p95": judged(to_teams <= TO_TEAMS_LIMIT_MS),
            "teams_to_pbx_p95": judged(to_pbx <= TO_PBX_LIMIT_MS),
            "push_to_pbx_p95": judged(push_to_pbx <= PUSH_TO_PBX_LIMIT_MS),
            "events_per_s": judged(events_per_s.min(rates.engine_per_s) >= EVENTS_LIMIT),
            "all_told": all_told,
            "rss_mb": judged(peak.max(push_peak) <= RSS_LIMIT_MB),
            "graph_quota_pct": judged(quota_pct <= QUOTA_LIMIT_PCT),
        },
        "limits": {
            "users": JUDGED, "pbx_to_teams_p95_ms": TO_TEAMS_LIMIT_MS, "teams_to_pbx_p95_ms": TO_PBX_LIMIT_MS,
            "push_to_pbx_p95_ms": PUSH_TO_PBX_LIMIT_MS, "events_per_s": EVENTS_LIMIT, "rss_mb": RSS_LIMIT_MB,
            "graph_quota_pct": QUOTA_LIMIT_PCT,
        },
        "users": users,
        "pbx_to_teams_p95_ms": to_teams,
        "teams_to_pbx_p95_ms": to_pbx,
        "push_to_pbx_p95_ms": push_to_pbx,
        "events_per_s": events_per_s,
        "events_ratio": round(rates.ratio),
        "rss_mb": round(rss),
        "rss_peak_mb": round(peak),
        "rss_peak_with_push_mb": round(push_peak),
        "graph_quota_pct": quota_pct,
        "debounce_ms": DEBOUNCE_MS,
        "poll_ms": POLL_MS,
        "ready_s": round(ready_s),
        "changes": polled,
        "changes_with_push": pushed,
        "idle": idle,
        "flood": flood,
        "engine": {
            "events_per_s": rates.engine_per_s.round(), "read_and_remembered_per_s": rates.plain_per_s.round(),
            "ratio": round(rates.ratio), "writes_per_event": round(rates.writes_per_event),
        },
        "cores": std::thread::available_parallelism().unwrap().get(),
        "loadavg_before": load_before,
        "loadavg_after": loadavg(),
    });
    fs::write("target/bench/presence.json", format!("{result:#}\n")).unwrap();
    println!("{result:#}");
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn loadavg() -> String {
    fs::read_to_string("/proc/loadavg").unwrap().trim().to_owned()
}

/// What the worker asks of Graph, and computes, when nobody does anything.
async fn idle(stand: &Stand) -> Value {
    let seconds = setting("BENCH_IDLE_SECONDS", 120) as f64;
    let (requests, cpu, begun) = (stand.requests().await, cpu_seconds(stand.worker_pid), Instant::now());
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    let requests = stand.requests().await.since(requests);
    let seconds = begun.elapsed().as_secs_f64();
    let cpu_pct = (cpu_seconds(stand.worker_pid) - cpu) / seconds * 100.0;
    let per_s = (requests.reads + requests.writes + requests.refused) as f64 / seconds;
    json!({
        "seconds": round(seconds), "reads": requests.reads, "writes": requests.writes, "refused": requests.refused,
        "quota_pct": round(per_s / QUOTA_PER_S * 100.0), "cpu_pct": round(cpu_pct), "rss_mb": round(rss_mb(stand.worker_pid)),
    })
}

/// Calls of some and meetings of others, at random times.
async fn changes(stand: &Stand, users: usize) -> Value {
    let mut random = fastrand::Rng::with_seed(2);
    let mut numbers: Vec<usize> = (0..users).collect();
    random.shuffle(&mut numbers);
    let each = CHANGING.min(users / 2);
    let spread = u64::try_from(SPREAD.as_millis()).unwrap();
    let mut at = |last: std::ops::Range<u64>| (millis(random.u64(..spread)), millis(random.u64(last)));
    let before = stand.requests().await;
    let calls = numbers[..each]
        .iter()
        .map(|number| call(stand, *number, at(CALL_MS)))
        .collect::<Vec<_>>();
    let mut at = |last: std::ops::Range<u64>| (millis(random.u64(..spread)), millis(random.u64(last)));
    let meetings = numbers[each..2 * each]
        .iter()
        .map(|number| meeting(stand, *number, at(MEETING_MS)));
    let meetings = meetings.collect::<Vec<_>>();
    let begun = Instant::now();
    let mut syncs = Vec::new();
    let (calls, meetings) = tokio::select! {
        done = join(join_all(calls), join_all(meetings)) => done,
        () = sync(stand, &mut syncs) => unreachable!("this goes on until the others are done"),
    };
    // As long as the last of them may take, and longer.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let requests = stand.requests().await.since(before);
    let seconds = begun.elapsed().as_secs_f64();
    let (begins, ends): (Vec<Change>, Vec<Change>) = calls.into_iter().unzip();
    let (meets, leaves): (Vec<Change>, Vec<Change>) = meetings.into_iter().unzip();

    let writes = writes(&stand.get("people/writes").await, "user", "operation");
    let line_on = delays(&writes, &begins);
    let line_off: Vec<f64> = delays(&writes, &ends).iter().map(|delay| delay - DEBOUNCE_MS).collect();
    let writes = self::writes(&stand.get("pbx/writes").await, "guid", "activity");
    let (shown, gone) = (delays(&writes, &meets), delays(&writes, &leaves));
    json!({
        "each_way": 2 * each, "seconds": round(seconds),
        "pbx_to_teams_ms": spread_of(&[line_on.clone(), line_off.clone()].concat()),
        "call_begins_ms": spread_of(&line_on), "call_ends_beyond_debounce_ms": spread_of(&line_off),
        "teams_to_pbx_ms": spread_of(&[shown.clone(), gone.clone()].concat()),
        "meeting_begins_ms": spread_of(&shown), "meeting_ends_ms": spread_of(&gone),
        "disk_sync_ms": spread_of(&syncs),
        "graph_reads": requests.reads, "graph_writes": requests.writes, "graph_refused": requests.refused,
        "quota_pct": round((requests.reads + requests.writes + requests.refused) as f64 / seconds / QUOTA_PER_S * 100.0),
    })
}

/// What the disk takes for a few bytes, meanwhile: the worker stores before it writes, so each delay contains that.
async fn sync(stand: &Stand, times: &mut Vec<f64>) {
    loop {
        tokio::time::sleep(millis(500)).await;
        let path = stand.path("sync");
        let write = move || {
            let begun = Instant::now();
            let mut file = fs::File::create(path).unwrap();
            file.write_all(&[7; 4096]).unwrap();
            file.sync_all().unwrap();
            begun.elapsed().as_secs_f64() * 1000.0
        };
        times.push(round(tokio::task::spawn_blocking(write).await.unwrap()));
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

async fn call(stand: &Stand, number: usize, (wait, last): (Duration, Duration)) -> (Change, Change) {
    tokio::time::sleep(wait).await;
    let path = format!("pbx/users/{}/calls", guid(number));
    let begun = stand.post(&path, json!({"state": "connected"})).await;
    tokio::time::sleep(last).await;
    let ended = stand.delete(&format!("pbx/calls/{}", begun["call"])).await;
    let change = |write, answer: &Value| Change {
        user: stand.person(number).to_owned(),
        write,
        at_ms: answer["realMs"].as_i64().unwrap(),
    };
    (change("setPresence", &begun), change("clearPresence", &ended))
}

async fn meeting(stand: &Stand, number: usize, (wait, last): (Duration, Duration)) -> (Change, Change) {
    tokio::time::sleep(wait).await;
    let path = format!("people/{}/client", stand.person(number));
    let begun = stand
        .put(&path, json!({"availability": "Busy", "activity": "InAMeeting"}))
        .await;
    tokio::time::sleep(last).await;
    let ended = stand
        .put(&path, json!({"availability": "Available", "activity": "Available"}))
        .await;
    let change = |write, answer: &Value| Change {
        user: guid(number),
        write,
        at_ms: answer["realMs"].as_i64().unwrap(),
    };
    (change("meeting", &begun), change("", &ended))
}

/// When which user's writes came, by user and by what was written.
fn writes(log: &Value, user: &str, what: &str) -> HashMap<(String, String), Vec<i64>> {
    let mut times: HashMap<(String, String), Vec<i64>> = HashMap::new();
    for write in log.as_array().unwrap() {
        let text = |name: &str| write[name].as_str().unwrap().to_owned();
        let at = write["realMs"].as_i64().unwrap();
        times.entry((text(user), text(what))).or_default().push(at);
    }
    times
}

/// Milliseconds from each change to the first write that tells it; infinite if none does.
fn delays(writes: &HashMap<(String, String), Vec<i64>>, changes: &[Change]) -> Vec<f64> {
    let delay = |change: &Change| {
        let times = writes.get(&(change.user.clone(), change.write.to_owned()));
        let at = times.into_iter().flatten().find(|at| **at >= change.at_ms);
        at.map_or(f64::INFINITY, |at| (at - change.at_ms) as f64)
    };
    changes.iter().map(delay).collect()
}

fn spread_of(delays: &[f64]) -> Value {
    let mut sorted = delays.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |percent: usize| {
        sorted
            .get((sorted.len() * percent / 100).min(sorted.len() - 1))
            .copied()
    };
    let untold = sorted.iter().filter(|delay| delay.is_infinite()).count();
    json!({ "count": sorted.len(), "untold": untold, "p50": at(50), "p95": at(95), "p99": at(99), "max": at(100) })
}

/// Calls that ring and are given up, as many as the simulator can tell: the worker decides upon each, and writes nothing. Some that
/// are answered among them show how late the worker is, and the last one when it was done with all.
async fn flood(stand: &Stand, users: usize) -> Value {
    let (numbers, cpu) = ((0..users).collect::<Vec<usize>>(), cpu_seconds(stand.worker_pid));
    let rung = AtomicU64::new(0);
    let end = Instant::now() + FLOOD;
    let begun_ms = now_ms();
    let apart = users.div_ceil(FLOODERS + 1);
    let mut parts = numbers.chunks(apart);
    let answered = parts.next_back().unwrap();
    let ringing = parts.map(|part| ring(stand, part, &rung, end));
    let probing = async {
        let mut probes = Vec::new();
        for number in answered[1..].iter().take_while(|_| Instant::now() < end) {
            let beginning = (millis(0), millis(500));
            probes.push(call(stand, *number, beginning).await.0);
        }
        probes
    };
    let (_, probes) = join(join_all(ringing), probing).await;
    let last = call(stand, answered[0], (millis(0), millis(10_000))).await.0;
    let writes = writes(&stand.get("people/writes").await, "user", "operation");
    let behind_ms = delays(&writes, std::slice::from_ref(&last))[0];
    let seconds = ((last.at_ms - begun_ms) as f64 + behind_ms) / 1000.0;
    let events = rung.into_inner() as f64;
    let cpu_s = cpu_seconds(stand.worker_pid) - cpu;
    json!({
        "events": events, "seconds": round(seconds), "events_per_s": (events / seconds).round(),
        "call_begins_ms": spread_of(&delays(&writes, &probes)), "behind_at_the_end_ms": behind_ms,
        "worker_cpu_us_per_event": round(cpu_s / events * 1e6),
    })
}

async fn ring(stand: &Stand, numbers: &[usize], rung: &AtomicU64, end: Instant) {
    for number in numbers.iter().cycle() {
        if Instant::now() >= end {
            return;
        }
        let path = format!("pbx/users/{}/calls", guid(*number));
        let call = stand.post(&path, json!({"state": "ringing"})).await;
        stand.delete(&format!("pbx/calls/{}", call["call"])).await;
        rung.fetch_add(2, Ordering::Relaxed);
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
