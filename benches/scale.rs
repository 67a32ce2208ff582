//! Thousands of subscriptions over 20 tenants on a real API server: how soon they are all made, what they cost in memory, what a
//! renewal costs in calls, what it costs when nothing happens, and how soon a follower renews when the leader is killed.
//!
//! `cargo bench --bench scale`. `BENCH_SIZES` (default `1000,10000,50000`) says how many; `BENCH_IDLE_SECONDS` how long the idle
//! controller is watched (default 600 at 10,000, and at the others until the leader has led for ten minutes: before that it asks
//! before each renewal whether the leader before it made one). Results go to `target/bench/scale.json`, after each size.
//!
//! `limit_s` is what nobody could be faster than: the larger of the time that Graph's limit of 500 writes in 20 s gives the
//! subscriptions of one tenant, and the time that the same API server, with no operator there, takes for what has to be written:
//! each object is created, gets its finalizer and its status, by as many at a time as the controller has slots. Everything runs on
//! one machine: in the measured run, controller, simulator and receiver share its cores with the API server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    missing_docs
)]

#[path = "support/figures.rs"]
mod figures;
#[path = "../tests/support/mod.rs"]
mod support;
#[allow(dead_code)] // a bench uses a part of it
#[path = "../tests/operator/world.rs"]
mod world;

use std::fs;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use teams_graph_operator::api::condition::{ConditionType, is_true};
use teams_graph_operator::api::subscription::GraphSubscription;
use teams_graph_operator::api::{FINALIZER, GROUP, VERSION};
use teams_graph_operator::simulator::{DEFAULT_APP, DEFAULT_SECRET, Tenant};

use figures::{cpu_seconds, difference, own_events, peak_rss_mb, round, rss_mb, statuses_written, writes};
use support::ports::free_port;
use world::{RECEIVER, TENANT, World};

const TENANTS: usize = 20;
/// Slots of the controller (`controller::driver`), and creates of the user, at a time.
const AT_A_TIME: usize = 128;
/// Graph's limit of writes per app and tenant, by the second.
const GRAPH_WRITES_PER_SECOND: f64 = 500.0 / 20.0;
/// As long a new leader asks before it renews.
const NEW_LEADER: Duration = Duration::from_secs(610);
/// Later than any renewal of what lives 72 hours less five minutes is due, and before it expires.
const TO_RENEWAL_SECONDS: u64 = 54 * 3600;
const JUDGED: usize = 10_000;
const RATIO_LIMIT: f64 = 1.2;
const RSS_LIMIT_MB: f64 = 150.0;
const IDLE_CPU_LIMIT_PCT: f64 = 2.0;
const FAILOVER_LIMIT_S: f64 = 20.0;
/// How long anything may take before the bench gives up.
const PATIENCE: Duration = Duration::from_mins(30);

#[tokio::main]
async fn main() {
    let sizes = std::env::var("BENCH_SIZES").unwrap_or_else(|_| "1000,10000,50000".to_owned());
    let sizes: Vec<usize> = sizes.split(',').map(|size| size.trim().parse().unwrap()).collect();
    let mut rows: Vec<Value> = Vec::new();
    for size in sizes {
        rows.push(row(size).await);
        write(&rows);
    }
    println!("{}", fs::read_to_string("target/bench/scale.json").unwrap());
}

/// The limits hold for one size; a run without it meets none.
fn write(rows: &[Value]) {
    let judged = rows.iter().find(|row| row["subscriptions"] == JUDGED);
    let met =
        |figure: &str, within: &dyn Fn(f64) -> bool| judged.is_some_and(|row| row[figure].as_f64().is_some_and(within));
    let result = json!({
        "met": {
            "converge": met("ratio", &|ratio| ratio <= RATIO_LIMIT),
            "rss": met("rss_peak_mb", &|rss| rss <= RSS_LIMIT_MB),
            "api_writes_per_renewal": met("api_writes_per_renewal", &|writes| writes <= 1.0),
            "graph_calls_per_renewal": met("graph_calls_per_renewal", &|calls| calls <= 1.0),
            "idle_writes": met("idle_writes", &|writes| writes <= 0.0),
            "idle_cpu": met("idle_cpu_pct", &|cpu| cpu < IDLE_CPU_LIMIT_PCT),
            "failover": met("failover_s", &|seconds| seconds <= FAILOVER_LIMIT_S),
        },
        "limits": {
            "subscriptions": JUDGED, "ratio": RATIO_LIMIT, "rss_peak_mb": RSS_LIMIT_MB, "api_writes_per_renewal": 1,
            "graph_calls_per_renewal": 1, "idle_writes": 0, "idle_cpu_pct": IDLE_CPU_LIMIT_PCT, "failover_s": FAILOVER_LIMIT_S,
        },
        "tenants": TENANTS,
        "rows": rows,
        "cores": std::thread::available_parallelism().unwrap().get(),
        "loadavg": fs::read_to_string("/proc/loadavg").unwrap().trim(),
    });
    fs::create_dir_all("target/bench").unwrap();
    fs::write("target/bench/scale.json", format!("{result:#}\n")).unwrap();
}

struct Bench {
    world: World,
    size: usize,
    objects: Api<GraphSubscription>,
    leads_since: Instant,
}

async fn row(size: usize) -> Value {
    let world = World::own_control_plane_alone("scale").await;
    let api_server = world.plane().api_server_pid();
    let api_cpu = cpu_seconds(api_server);
    let alone_s = api_server_alone(&world.client, size).await;
    let api_cpu_alone_s = cpu_seconds(api_server) - api_cpu;
    say(size, &format!("the API server alone takes {alone_s:.1} s"));
    let objects = Api::namespaced(world.client.clone(), &world.namespace);
    let mut bench = Bench {
        world,
        size,
        objects,
        leads_since: Instant::now(),
    };
    bench.prepare().await;
    let pid = bench.world.controller_pid();

    let (cpu_before, api_cpu) = (cpu_seconds(pid), cpu_seconds(api_server));
    let converge_s = bench.converge().await;
    let converge_cpu_s = cpu_seconds(pid) - cpu_before;
    let api_cpu_converge_s = cpu_seconds(api_server) - api_cpu;
    let graph_s = size.div_ceil(TENANTS) as f64 / GRAPH_WRITES_PER_SECOND;
    let limit_s = alone_s.max(graph_s);
    say(
        size,
        &format!(
            "all subscribed after {converge_s:.1} s, of which the controller computed {converge_cpu_s:.1}; limit {limit_s:.1}"
        ),
    );

    let (idle_s, idle_cpu_pct, idle_writes) = bench.idle(pid).await;
    let rss_idle_mb = rss_mb(pid);
    say(
        size,
        &format!("idle for {idle_s} s: {idle_cpu_pct:.2} % of a core, writes {idle_writes:?}, {rss_idle_mb:.0} MB"),
    );

    let scraped = Instant::now();
    let scrape_mb = bench.world.metrics(bench.world.telemetry_port).await.len() as f64 / 1024.0 / 1024.0;
    let scrape_s = scraped.elapsed().as_secs_f64();
    say(size, &format!("a scrape takes {scrape_s:.2} s, {scrape_mb:.1} MB"));

    let renewals = bench.renew_all().await;
    say(size, &format!("renewals: {renewals}"));
    let rss_peak_mb = peak_rss_mb(pid);
    let failover_s = bench.fail_over().await;
    say(
        size,
        &format!("the follower renewed {failover_s:.1} s after the kill; most memory {rss_peak_mb:.0} MB"),
    );

    let mut row = json!({
        "subscriptions": size, "rss_mb": round(rss_idle_mb), "rss_peak_mb": round(rss_peak_mb),
        "converge_s": round(converge_s), "limit_s": round(limit_s), "ratio": round(converge_s / limit_s),
        // On a busy machine seconds of CPU tell more than seconds.
        "api_server_cpu_alone_s": round(api_cpu_alone_s), "api_server_cpu_converge_s": round(api_cpu_converge_s),
        "api_server_alone_s": round(alone_s), "graph_limit_s": round(graph_s), "converge_cpu_s": round(converge_cpu_s),
        "idle_s": idle_s, "idle_writes": idle_writes.values().sum::<u64>(), "idle_cpu_pct": round(idle_cpu_pct),
        "scrape_s": round(scrape_s), "scrape_mb": round(scrape_mb), "failover_s": round(failover_s),
    });
    row.as_object_mut()
        .unwrap()
        .extend(renewals.as_object().unwrap().clone());
    row
}

fn say(size: usize, text: &str) {
    eprintln!("{size:>6}: {text}");
}

/// How long the API server takes for the creates, finalizers and statuses of as many objects, with nobody else there.
async fn api_server_alone(client: &Client, size: usize) -> f64 {
    let namespace = "alone";
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let object = serde_json::from_value(json!({ "metadata": { "name": namespace } })).unwrap();
    namespaces.create(&PostParams::default(), &object).await.unwrap();
    let objects: Api<GraphSubscription> = Api::namespaced(client.clone(), namespace);
    let started = Instant::now();
    // Creates run ahead of what is written about them, as they do for the controller.
    let (sender, waiting) = futures::channel::mpsc::unbounded();
    let creates = futures::stream::iter(0..size).for_each_concurrent(AT_A_TIME, |number| {
        let (objects, sender) = (&objects, &sender);
        async move {
            let object = objects
                .create(&PostParams::default(), &subscription(number))
                .await
                .unwrap();
            sender.unbounded_send(object).unwrap();
        }
    });
    let writes = waiting
        .take(size)
        .for_each_concurrent(AT_A_TIME, |object| settle(&objects, object));
    futures::future::join(creates, writes).await;
    started.elapsed().as_secs_f64()
}

/// What the controller writes about a new object, in the same requests.
async fn settle(objects: &Api<GraphSubscription>, object: GraphSubscription) {
    let name = object.name_any();
    let finalizer = json!({
        "metadata": { "finalizers": [FINALIZER], "resourceVersion": object.resource_version(), "uid": object.uid() }
    });
    objects
        .patch(&name, &PatchParams::default(), &Patch::Merge(finalizer))
        .await
        .unwrap();
    let status = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "GraphSubscription", "metadata": { "name": name }, "status": status(),
    });
    let params = PatchParams::apply("alone/status").force();
    objects
        .patch_status(&name, &params, &Patch::Apply(status))
        .await
        .unwrap();
}

/// As the controller writes it for one that lives.
fn status() -> Value {
    let condition = |type_: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": type_, "status": status, "reason": reason, "message": message,
            "observedGeneration": 1, "lastTransitionTime": "2026-03-01T00:00:00Z",
        })
    };
    let fingerprint = "0123456789abcdef0123456789abcdef";
    json!({
        "observedGeneration": 1,
        "conditions": [
            condition("Ready", "True", "Accepted", "the spec is accepted"),
            condition("Reconciling", "False", "Accepted", "the spec is accepted"),
            condition("Stalled", "False", "Accepted", "the spec is accepted"),
            condition("Subscribed", "True", "Succeeded", "the subscription is live at Graph"),
            condition("Delivering", "Unknown", "NoEventYet", "no notification has arrived yet"),
            condition("GapFree", "True", "NoGap", "no window is known in which notifications are missing"),
        ],
        "subscriptionId": "00000000-0000-4000-8000-000000000000",
        "expirationTime": "2026-03-04T00:00:00Z", "renewalTime": "2026-03-03T00:00:00Z", "lastRenewalTime": "2026-03-01T00:00:00Z",
        "applied": {
            "resource": resource(0), "changeType": "created,updated", "app": fingerprint, "notificationUrl": fingerprint,
            "lifecycleUrl": fingerprint, "clientState": fingerprint, "lifetimeMinutes": 4315,
        },
    })
}

fn resource(number: usize) -> String {
    format!("chats/19:{number:032x}@thread.v2/messages")
}

fn subscription(number: usize) -> GraphSubscription {
    serde_json::from_value(json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "GraphSubscription",
        "metadata": { "name": format!("chat-{number}") },
        "spec": {
            "tenantRef": { "name": format!("tenant-{}", number % TENANTS) }, "receiverRef": { "name": "chats" },
            "resource": resource(number), "changeTypes": ["Created", "Updated"],
        },
    }))
    .unwrap()
}

fn tenant_id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

impl Bench {
    /// Tenants, receiver and controller, all at peace.
    async fn prepare(&mut self) {
        let tenants = (0..TENANTS).map(|number| Tenant {
            id: tenant_id(number),
            domain: format!("tenant-{number}.example"),
            ..Tenant::default()
        });
        let directory = json!({ "tenants": tenants.collect::<Vec<_>>() });
        self.world.simulator_put("directory", directory).await;
        self.start_controller(self.world.telemetry_port).await;
        self.leads_since = Instant::now();
        self.world.secret("app", &[("client-secret", DEFAULT_SECRET)]).await;
        let url = self.world.simulator.url().to_owned();
        for number in 0..TENANTS {
            let spec = json!({
                "tenantId": tenant_id(number), "clientId": DEFAULT_APP, "cloud": "Custom",
                "endpoints": { "login": url, "graph": url },
                "credentials": { "clientSecret": { "secretRef": { "name": "app", "key": "client-secret" } } },
            });
            self.world.apply(TENANT, &format!("tenant-{number}"), spec).await;
        }
        self.world.apply(RECEIVER, "chats", self.world.receiver_spec()).await;
        self.world.run_receiver("chats").await;
        self.world
            .condition(RECEIVER, "chats", "Reachable", "True", "HandshakeSucceeded")
            .await;
        for number in 0..TENANTS {
            let name = format!("tenant-{number}");
            self.world
                .condition(TENANT, &name, "Authenticated", "True", "Succeeded")
                .await;
        }
    }

    /// As a user runs it, except that it watches the namespace of the bench alone.
    async fn start_controller(&mut self, telemetry_port: u16) {
        let (listen, namespace) = (format!("127.0.0.1:{telemetry_port}"), self.world.namespace.clone());
        let settings = [
            ("TELEMETRY_LISTEN", listen.as_str()),
            ("WATCH_NAMESPACE", namespace.as_str()),
            ("INTERVAL_SECONDS", "300"),
            ("LOG_FILTER", "info"),
        ];
        self.world.spawn_controller(&settings);
        let ready = format!("http://{listen}/readyz");
        let http = reqwest::Client::new();
        let is_ready = async || {
            http.get(&ready)
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
        };
        self.world.until("the controller is ready", is_ready).await;
    }

    /// Seconds from the first create until each object says that it is subscribed.
    async fn converge(&self) -> f64 {
        let client = &self.world.client;
        let before = statuses_written(client, "graphsubscriptions").await;
        let started = Instant::now();
        let creates = futures::stream::iter(0..self.size).for_each_concurrent(AT_A_TIME, |number| async move {
            self.objects
                .create(&PostParams::default(), &subscription(number))
                .await
                .unwrap();
        });
        let all = async {
            loop {
                let written = statuses_written(client, "graphsubscriptions").await - before;
                let seconds = started.elapsed().as_secs_f64();
                if written >= self.size as u64 && self.subscribed().await == self.size {
                    return seconds;
                }
                assert!(
                    started.elapsed() < PATIENCE,
                    "{written} of {}\n{}",
                    self.size,
                    self.world.logs()
                );
                // A look makes the API server write out all its metrics: few looks for many objects.
                tokio::time::sleep(Duration::from_millis(self.size as u64 / 4)).await;
            }
        };
        futures::future::join(creates, all).await.1
    }

    async fn subscribed(&self) -> usize {
        let (mut count, mut page) = (0, ListParams::default().limit(1000));
        loop {
            let list = self.objects.list(&page).await.unwrap();
            let conditions = list
                .items
                .iter()
                .filter_map(|object| Some(&object.status.as_ref()?.conditions));
            count += conditions
                .filter(|conditions| is_true(conditions, ConditionType::Subscribed))
                .count();
            match list.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => page = page.continue_token(&next),
                None => return count,
            }
        }
    }

    /// What the controller does when nothing is to be done.
    async fn idle(&self, pid: u32) -> (u64, f64, std::collections::HashMap<String, u64>) {
        // Events are written at a pace of their own.
        let mut events = writes(&self.world.client).await;
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            let now = writes(&self.world.client).await;
            if now == events {
                break;
            }
            events = now;
        }
        let rest = NEW_LEADER.saturating_sub(self.leads_since.elapsed()).as_secs();
        let default = if self.size == JUDGED { 600 } else { rest.max(60) };
        let idle_s = std::env::var("BENCH_IDLE_SECONDS").map_or(default, |text| text.parse().unwrap());
        say(self.size, &format!("watching the idle controller for {idle_s} s"));
        let cpu = cpu_seconds(pid);
        tokio::time::sleep(Duration::from_secs(idle_s)).await;
        let cpu_pct = (cpu_seconds(pid) - cpu) / idle_s as f64 * 100.0;
        (idle_s, cpu_pct, difference(&events, &writes(&self.world.client).await))
    }

    /// What each renewal costs.
    async fn renew_all(&self) -> Value {
        let before = self.written().await;
        let mut seen = self.last_request().await;
        self.advance().await;
        for number in 0..TENANTS {
            self.world.ask(TENANT, &format!("tenant-{number}")).await;
        }
        let started = Instant::now();
        let (mut renewals, mut calls, mut pages, mut told) = (0_usize, 0_usize, 0_usize, Duration::ZERO);
        while renewals < self.size {
            tokio::time::sleep(Duration::from_millis(500)).await;
            for request in self.requests_since(&mut seen).await {
                let path = request["path"].as_str().unwrap_or_default();
                match path.strip_prefix("/v1.0/subscriptions") {
                    // The looks at the tenants that this bench asked for list.
                    Some(rest) if request["method"] == "GET" && !rest.starts_with('/') => pages += 1,
                    Some(_) => {
                        calls += 1;
                        renewals += usize::from(request["method"] == "PATCH" && request["status"] == 200);
                    }
                    None => {}
                }
            }
            if started.elapsed() >= told + Duration::from_secs(30) {
                told = started.elapsed();
                say(self.size, &format!("{renewals} renewed"));
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{renewals} of {}\n{}",
                self.size,
                self.world.logs()
            );
        }
        let renew_s = started.elapsed().as_secs_f64();
        // What follows a renewal follows soon.
        tokio::time::sleep(Duration::from_secs(30)).await;
        let written = self.written().await - before;
        json!({
            "api_writes_per_renewal": written as f64 / renewals as f64,
            "graph_calls_per_renewal": calls as f64 / renewals as f64,
            "renew_all_s": round(renew_s), "list_pages_of_asked_looks": pages, "leader_is_new": self.leads_since.elapsed() < NEW_LEADER,
        })
    }

    /// Everything that the API server was made to write about subscriptions. (The bench moves the clock, which makes events about
    /// the tenants.)
    async fn written(&self) -> u64 {
        let kinds = writes(&self.world.client).await;
        let events = own_events(&self.world.client, Some("GraphSubscription")).await;
        kinds.get("graphsubscriptions").copied().unwrap_or(0) + events
    }

    /// Seconds from the kill of the leader until the follower renews what has become due meanwhile.
    async fn fail_over(&mut self) -> f64 {
        self.start_controller(free_port()).await;
        let mut seen = self.last_request().await;
        let killed = Instant::now();
        self.world.kill_first_controller().await;
        self.advance().await;
        loop {
            let requests = self.requests_since(&mut seen).await;
            if requests
                .iter()
                .any(|request| request["method"] == "PATCH" && request["status"] == 200)
            {
                return killed.elapsed().as_secs_f64();
            }
            assert!(killed.elapsed() < PATIENCE, "{}", self.world.logs());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn advance(&self) {
        self.world
            .simulator_post("clock/advance", json!({ "seconds": TO_RENEWAL_SECONDS }))
            .await;
    }

    async fn last_request(&self) -> u64 {
        let mut seen = 0;
        self.requests_since(&mut seen).await;
        seen
    }

    async fn requests_since(&self, seen: &mut u64) -> Vec<Value> {
        let requests = self.world.simulator_get(&format!("requests?since={seen}")).await;
        let requests = requests.as_array().unwrap().clone();
        *seen = requests
            .iter()
            .filter_map(|request| request["seq"].as_u64())
            .max()
            .unwrap_or(*seen);
        requests
    }
}
