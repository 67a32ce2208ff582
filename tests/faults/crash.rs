//! The process is killed right before and right after every request, of every sort, in everything it does.

use std::sync::Mutex;
use std::time::Instant;

use crate::life::{Lived, live};
use crate::orders::{number, report, seeds};
use crate::proxy::When;
use crate::scenario::Scenario;
use crate::trap::Death;

/// Lives at a time.
const AT_A_TIME: usize = 4;
/// Crash points that are tried unless told otherwise, chosen at random.
const POINTS: usize = 60;
/// Lives that may go by without coming to the point.
const TRIES: usize = 3;
/// A random death is at one of the first so many requests; no scenario has more.
const FARTHEST: usize = 16;

/// A life to be lived, and how to live it again.
struct Order {
    scenario: Scenario,
    deaths: Vec<Death>,
    replay: String,
}

/// Lives them all, some at a time. Returns how many died as they were to, and what went wrong.
fn live_all(orders: Vec<Order>) -> (usize, Vec<String>) {
    let orders = Mutex::new(orders);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..number("CRASH_LIVES_AT_A_TIME", AT_A_TIME) {
            scope.spawn(|| {
                loop {
                    let Some(order) = orders.lock().unwrap().pop() else {
                        return;
                    };
                    let result = live_one(&order);
                    results.lock().unwrap().push(result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    let died = results.iter().filter(|(died, _)| *died).count();
    (died, results.into_iter().filter_map(|(_, failure)| failure).collect())
}

/// Whether it died as it was to, and what went wrong. The requests of two lives differ a little, so one that did not die tries again.
fn live_one(order: &Order) -> (bool, Option<String>) {
    for _ in 1..TRIES {
        let (died, failure) = try_one(order);
        if died || failure.is_some() {
            return (died, failure);
        }
    }
    try_one(order)
}

fn try_one(order: &Order) -> (bool, Option<String>) {
    let deaths: Vec<String> = order.deaths.iter().map(ToString::to_string).collect();
    let what = format!(
        "{:?}, killed {} ({})",
        order.scenario,
        deaths.join(", then "),
        order.replay
    );
    match alone(order.scenario, order.deaths.clone()) {
        Ok(Lived { faults, died, .. }) if faults.is_empty() => (died > 0, None),
        Ok(lived) => (true, Some(format!("{what}: {}", lived.faults.join("\n")))),
        Err(panic) => (true, Some(format!("{what}: {panic}"))),
    }
}

/// On a thread and a runtime of its own, so that nothing of it outlives it and a failed one ends no other.
fn alone(scenario: Scenario, deaths: Vec<Death>) -> Result<Lived, String> {
    let life = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(live(scenario, &deaths))
    });
    life.join().map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.unwrap_or_else(|| "it panicked".to_owned())
    })
}

/// Every request of a scenario, by a life without a death.
fn requests(scenario: Scenario) -> Vec<(String, usize)> {
    let Lived { seen, faults, .. } = alone(scenario, Vec::new()).unwrap();
    assert!(
        faults.is_empty(),
        "{scenario:?} without any crash: {}",
        faults.join("\n")
    );
    let mut counted: Vec<(String, usize)> = Vec::new();
    for sort in seen {
        let nth = counted.iter().filter(|(before, _)| *before == sort).count() + 1;
        counted.push((sort, nth));
    }
    counted
}

#[test]
fn a_crash_at_any_request_leaves_exactly_one_subscription() {
    let started = Instant::now();
    let mut orders = Vec::new();
    for scenario in Scenario::ALL {
        if std::env::var("CRASH_SCENARIO").is_ok_and(|only| only != format!("{scenario:?}")) {
            continue;
        }
        let requests = requests(scenario);
        println!("{scenario:?}, {} requests:", requests.len());
        for (sort, nth) in requests {
            println!("  {sort} #{nth}");
            // A read changes nothing: dying at one more of them is dying at the write beside it.
            if sort.starts_with("api GET") && nth > 1 {
                continue;
            }
            for when in [When::Before, When::After] {
                orders.push(Order {
                    scenario,
                    deaths: vec![Death::At {
                        sort: sort.clone(),
                        nth,
                        when,
                    }],
                    replay: format!("CRASH_SCENARIO={scenario:?}"),
                });
            }
        }
    }
    let all = orders.len();
    if let Some(wanted) = points_wanted() {
        fastrand::shuffle(&mut orders);
        orders.truncate(wanted);
    }
    let tried = orders.len();
    let (died, failures) = live_all(orders);
    report(&format!(
        "crash points: {all}, tried {tried}, died {died}, failed {}, in {:.0} s",
        failures.len(),
        started.elapsed().as_secs_f64()
    ));
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(died * 4 >= tried * 3, "only {died} of {tried} came to their point");
}

#[test]
fn crashes_at_random_and_during_recovery_leave_exactly_one_subscription() {
    let started = Instant::now();
    let seeds = seeds("CRASH_SEED", "CRASH_SEEDS", 12);
    report(&format!("crash seeds: {seeds:?}"));
    let orders: Vec<Order> = seeds.into_iter().map(order).collect();
    let tried = orders.len();
    let (died, failures) = live_all(orders);
    report(&format!(
        "crash seeds: {tried}, died {died}, failed {}, in {:.0} s",
        failures.len(),
        started.elapsed().as_secs_f64()
    ));
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// How many crash points to try; none for all.
fn points_wanted() -> Option<usize> {
    let all = std::env::var("CRASH_POINTS").is_ok_and(|text| text == "all");
    (!all).then(|| number("CRASH_POINTS", POINTS))
}

/// What a seed stands for: a scenario, and one to three deaths, of which all but the first are during recovery.
fn order(seed: u64) -> Order {
    let mut random = fastrand::Rng::with_seed(seed);
    let scenario = Scenario::ALL[random.usize(..Scenario::ALL.len())];
    let deaths = (0..random.usize(1..=3))
        .map(|_| Death::Nth {
            nth: random.usize(1..=FARTHEST),
            when: if random.bool() { When::Before } else { When::After },
        })
        .collect();
    Order {
        scenario,
        deaths,
        replay: format!("CRASH_SEED={seed}"),
    }
}
