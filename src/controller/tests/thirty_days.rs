//! Thirty days of many subscriptions, with everything that befalls them, in a few minutes: the controller's own code, tenants and
//! subscriptions, queue, limiter, tokens, clock, look-up, create, renewal, gaps and backfill, on a paused clock. Stood in are
//! Graph, Entra, the API server and the receivers' pods.
//!
//! The same seed gives the same days.

mod api;
mod audit;
mod changes;
mod faults;
mod graph;
mod process;
mod world;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use self::world::{Broken, DAY, HOUR, Scale, Sim};
use crate::testing::{self, Stage};

/// How long it is calm at the end: sweeps come once a day, and what was asked for is looked at.
const CALM: i64 = 36 * HOUR;

/// From here on a simulation is spared what costs a real machine most and changes least.
const MANY: usize = 5000;

/// What a simulation showed.
struct Report {
    scale: Scale,
    totals: std::collections::BTreeMap<&'static str, u64>,
    violations: Vec<String>,
    lapses: Vec<String>,
    /// All statuses, in one number.
    digest: u64,
    /// In real time.
    took: Duration,
}

impl Report {
    fn text(&self) -> String {
        let scale = &self.scale;
        let mut lines = vec![
            format!(
                "{} subscriptions of {} apps, {} days; the same again: SEED={} SUBSCRIPTIONS={} APPS={} DAYS={}",
                scale.subscriptions, scale.apps, scale.days, scale.seed, scale.subscriptions, scale.apps, scale.days
            ),
            format!("  took {} s, {}", self.took.as_secs(), peak_memory()),
        ];
        lines.extend(self.totals.iter().map(|(what, count)| format!("  {count:>10} {what}")));
        lines.extend(self.lapses.iter().map(|lapse| format!("  explained: {lapse}")));
        lines.extend(
            self.violations
                .iter()
                .map(|violation| format!("  VIOLATION: {violation}")),
        );
        lines.join("\n") + "\n"
    }
}

fn simulate(scale: Scale) -> Report {
    let started = std::time::Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    fastrand::seed(scale.seed);
    let mut report = runtime.block_on(days(scale));
    testing::set(None);
    report.took = started.elapsed();
    report
}

async fn days(scale: Scale) -> Report {
    let sim = Sim::new(scale);
    let (clock, network) = (sim.clone(), sim.clone());
    testing::set(Some(Stage {
        now: Arc::new(move || clock.local_time()),
        answer: Arc::new(move |request| Box::pin(graph::answer(network.clone(), request))),
    }));
    faults::begin(&sim);
    if variable("VERBOSE").is_some() {
        tokio::spawn(watch(sim.clone()));
    }
    lead(
        &sim,
        sim.started + Duration::from_secs((scale.days * DAY).unsigned_abs()),
    )
    .await;
    faults::calm(&sim);
    sleep(Duration::from_secs(CALM.unsigned_abs())).await;
    process::end(&sim, false).await;
    let mut state = sim.state();
    state.judge(sim.now());
    let (all, most, _) = looks(&state);

    state
        .totals
        .extend([("looks", all), ("most looks at one object", most)]);
    let digest = state.subs.iter().fold(0xcbf2_9ce4_8422_2325_u64, |digest, sub| {
        let status = serde_json::to_vec(&sub.object.status).unwrap();
        status.iter().fold(digest, |digest, byte| {
            (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    });
    Report {
        scale,
        totals: state.totals.clone(),
        violations: state.violations.clone(),
        lapses: state.lapses.clone(),
        digest,
        took: Duration::ZERO,
    }
}

/// One process after the other, until `end`.
async fn lead(sim: &Arc<Sim>, end: Instant) {
    loop {
        process::start(sim);
        let (life, gently, steps, away) = {
            let mut state = sim.state();
            state.count("processes");
            let longest = 2 * HOUR * state.scale.process_hours;
            let life = state.rng.i64(60..longest);
            (
                life,
                state.rng.u32(0..3) == 0,
                state.rng.u32(1..60),
                state.rng.u64(1..60),
            )
        };
        tokio::select! {
            () = sleep(Duration::from_secs(life.unsigned_abs())) => {}
            () = sleep_until(end) => return,
        }
        if !gently {
            // At the next calls but a few; if there are none for an hour, then.
            sim.state().ends_in = Some(steps);
            tokio::select! {
                () = sim.end.notified() => sim.state().count("processes that ended between two calls"),
                () = sleep(Duration::from_secs(HOUR.unsigned_abs())) => {}
            }
        }
        process::end(sim, gently).await;
        sleep(Duration::from_secs(away)).await;
    }
}

/// `VERBOSE=1`: how it goes, every six hours.
async fn watch(sim: Arc<Sim>) {
    let started = std::time::Instant::now();
    let mut told = 0;
    loop {
        let now = sim.now();
        println!(
            "hour {} after {} s: {:?}",
            now / HOUR,
            started.elapsed().as_secs(),
            looks(&sim.state())
        );
        for violation in sim.state().violations.iter().skip(told) {
            println!("  VIOLATION: {violation}");
            told += 1;
        }
        sleep(Duration::from_secs(6 * HOUR.unsigned_abs())).await;
    }
}

/// All reconciles, and the most of one object.
fn looks(state: &world::State) -> (u64, u64, &str) {
    let most = state.subs.iter().max_by_key(|sub| sub.looks).unwrap();
    let all = state.subs.iter().map(|sub| sub.looks).sum();
    (all, most.looks, &most.object.spec.resource)
}

/// Of this process, as the system says.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    peak.unwrap_or("memory unknown")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn small(seed: u64) -> Scale {
    Scale {
        seed,
        subscriptions: 16,
        apps: 2,
        days: 30,
        removed_percent: 100,
        process_hours: 8,
        interval: Duration::from_mins(5),
        rest: Duration::from_hours(1),
        broken: None,
    }
}

fn size(name: &str, usual: usize) -> usize {
    variable(name).map_or(usual, |value| usize::try_from(value).unwrap())
}

/// `SUBSCRIPTIONS`, `APPS`, `DAYS` and `SEED` make it larger or repeat one.
#[test]
fn nothing_lapses_in_thirty_days_that_could_have_been_kept() {
    let subscriptions = size("SUBSCRIPTIONS", 16);
    let many = subscriptions > MANY;
    let first = variable("SEED").unwrap_or(1);
    let seeds = first..first + variable("SEEDS").unwrap_or(1);
    for seed in seeds {
        let usual = small(seed);
        let report = simulate(Scale {
            subscriptions,
            // Fewer than 100 each, so that no quota of Graph's stands in the way.
            apps: size("APPS", subscriptions.div_ceil(75).max(2)),
            days: i64::try_from(size("DAYS", 30)).unwrap(),
            removed_percent: if many { 5 } else { 100 },
            process_hours: if many { 36 } else { 8 },
            interval: if many { Duration::from_hours(2) } else { usual.interval },
            rest: if many { Duration::from_hours(6) } else { usual.rest },
            ..usual
        });
        println!("{}", report.text());
        assert!(report.violations.is_empty(), "{}", report.text());
    }
}

#[test]
fn the_same_seed_gives_the_same_days() {
    let scale = Scale {
        days: 2,
        subscriptions: 12,
        ..small(7)
    };
    let (first, second) = (simulate(scale), simulate(scale));
    assert_eq!((first.digest, &first.totals), (second.digest, &second.totals));
    assert_ne!(first.digest, simulate(Scale { seed: 8, ..scale }).digest);
}

/// The simulation sees what it is for.
#[test]
fn a_broken_operator_is_found_out() {
    let cases = [
        (Broken::RenewsAtExpiry, "lapsed at"),
        (Broken::BelievesTheList, "a second one was made beside"),
        (Broken::ForgetsRemovals, "not on record"),
        (Broken::FillsNothing, "never told of"),
        (Broken::TrustsTheList, "was missing (removed untold)"),
        (Broken::NeverSweeps, "never told of"),
    ];
    let days = |broken| {
        simulate(Scale {
            broken,
            days: 6,
            subscriptions: 10,
            removed_percent: 2000,
            ..small(1)
        })
    };
    let sound = days(None);
    assert!(sound.violations.is_empty(), "{}", sound.text());
    for (broken, expected) in cases {
        let report = days(Some(broken));
        let found = report.violations.iter().any(|violation| violation.contains(expected));
        assert!(found, "{broken:?}: {}", report.text());
    }
}
