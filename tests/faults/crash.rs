//! The process is killed right before and right after every request, of every sort, in everything it does.

use std::fmt;
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
/// Lives that may go by without coming to the point. The requests of two lives differ a little.
const TRIES: usize = 10;
/// Lives without a death that show the points when all are demanded: what only one of them asks for came by chance.
const LOOKS: usize = 2;
/// Of a sample of the points, one in so many may be missed; of all, none.
const MISSED_AT_MOST: usize = 10;
/// So many of a hundred random lives must die, or they show little; by chance about 89 do.
const DIED_AT_LEAST: usize = 60;
/// So many more may live, as of a few seeds many may by chance.
const SLACK: usize = 2;
/// A random death is at one of the first so many requests, the earlier the likelier, as some scenarios have few.
const FARTHEST: usize = 16;

/// A life to be lived, and how to live it again.
struct Order {
    scenario: Scenario,
    deaths: Vec<Death>,
    replay: String,
    tries: usize,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let deaths: Vec<String> = self.deaths.iter().map(ToString::to_string).collect();
        let deaths = deaths.join(", then ");
        write!(f, "{}, killed {deaths} ({})", self.scenario, self.replay)
    }
}

/// What came of it.
struct Ending {
    died: usize,
    failure: Option<String>,
}

/// What came of all.
struct Total {
    lives: usize,
    /// Those that died at least once.
    died: usize,
    deaths: usize,
    /// Those that did not die, though nothing went wrong.
    missed: Vec<String>,
    failures: Vec<String>,
}

impl Total {
    fn of(endings: Vec<(String, Ending)>) -> Self {
        let mut total = Self {
            lives: endings.len(),
            died: endings.iter().filter(|(_, ending)| ending.died > 0).count(),
            deaths: endings.iter().map(|(_, ending)| ending.died).sum(),
            missed: Vec::new(),
            failures: Vec::new(),
        };
        for (order, Ending { died, failure }) in endings {
            match failure {
                Some(failure) => total.failures.push(format!("{order}: {failure}")),
                None if died == 0 => total.missed.push(order),
                None => {}
            }
        }
        total
    }

    fn report(&self, what: &str, started: Instant) {
        report(&format!(
            "{what}: tried {}, died {} ({} deaths), failed {}, in {:.0} s",
            self.lives,
            self.died,
            self.deaths,
            self.failures.len(),
            started.elapsed().as_secs_f64()
        ));
        for missed in &self.missed {
            report(&format!("  no death: {missed}"));
        }
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n\n"));
    }
}

/// Does them all, some at a time.
fn side_by_side<T: Send, R: Send>(all: Vec<T>, each: impl Fn(&T) -> R + Sync) -> Vec<(T, R)> {
    let (left, results) = (Mutex::new(all), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..number("CRASH_LIVES_AT_A_TIME", AT_A_TIME) {
            scope.spawn(|| {
                loop {
                    let Some(one) = left.lock().unwrap().pop() else {
                        return;
                    };
                    let result = each(&one);
                    results.lock().unwrap().push((one, result));
                }
            });
        }
    });
    results.into_inner().unwrap()
}

fn live_all(orders: Vec<Order>) -> Total {
    let endings = side_by_side(orders, live_one);
    Total::of(
        endings
            .into_iter()
            .map(|(order, ending)| (order.to_string(), ending))
            .collect(),
    )
}

/// Until it died as it was to, or something went wrong.
fn live_one(order: &Order) -> Ending {
    let mut ending = try_one(order);
    for _ in 1..order.tries {
        if ending.died > 0 || ending.failure.is_some() {
            break;
        }
        ending = try_one(order);
    }
    ending
}

fn try_one(order: &Order) -> Ending {
    match alone(order.scenario, order.deaths.clone()) {
        Ok(Lived { faults, died, .. }) => Ending {
            died,
            failure: (!faults.is_empty()).then(|| faults.join("\n")),
        },
        Err(panic) => Ending {
            died: 0,
            failure: Some(panic),
        },
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

/// A request: its sort, and its number among those of that sort, from 1.
type Step = (String, usize);

/// Every request of a scenario, by a life without a death.
fn steps(scenario: Scenario) -> Vec<Step> {
    let Lived { seen, faults, .. } = alone(scenario, Vec::new()).unwrap();
    assert!(faults.is_empty(), "{scenario} without any crash: {}", faults.join("\n"));
    let mut counted: Vec<Step> = Vec::new();
    for sort in seen {
        let nth = counted.iter().filter(|(before, _)| *before == sort).count() + 1;
        counted.push((sort, nth));
    }
    counted
}

/// The requests that each of so many lives makes.
fn common_steps(scenario: Scenario, lives: usize) -> Vec<Step> {
    let mut common = steps(scenario);
    for _ in 1..lives {
        let others = steps(scenario);
        let (both, chance): (Vec<Step>, Vec<Step>) = common.into_iter().partition(|step| others.contains(step));
        for (sort, nth) in chance {
            report(&format!("  by chance: {scenario}, {sort} #{nth}"));
        }
        common = both;
    }
    common
}

/// Before and after each request of a scenario.
fn points(scenario: Scenario, steps: Vec<Step>) -> Vec<Order> {
    // A read changes nothing: dying at one more of them is dying at the write beside it.
    let counted = steps
        .into_iter()
        .filter(|(sort, nth)| *nth == 1 || !sort.starts_with("api GET"));
    counted
        .flat_map(|(sort, nth)| [When::Before, When::After].map(|when| (sort.clone(), nth, when)))
        .map(|(sort, nth, when)| Order {
            scenario,
            deaths: vec![Death::At { sort, nth, when }],
            replay: format!("CRASH_SCENARIO={scenario}"),
            tries: TRIES,
        })
        .collect()
}

#[test]
fn a_crash_at_any_request_leaves_exactly_one_subscription() {
    let started = Instant::now();
    let only = std::env::var("CRASH_SCENARIO").ok();
    let mut scenarios = Scenario::ALL.to_vec();
    scenarios.retain(|scenario| only.as_ref().is_none_or(|only| *only == scenario.to_string()));
    let sample = points_wanted();
    let looks = if sample.is_some() { 1 } else { LOOKS };
    let mut orders = Vec::new();
    for (scenario, steps) in side_by_side(scenarios, |scenario| common_steps(*scenario, looks)) {
        println!("{scenario}, {} requests:", steps.len());
        for (sort, nth) in &steps {
            println!("  {sort} #{nth}");
        }
        orders.extend(points(scenario, steps));
    }
    let all = orders.len();
    if let Some(wanted) = sample {
        fastrand::shuffle(&mut orders);
        orders.truncate(wanted);
    }
    let total = live_all(orders);
    total.report(&format!("crash points: {all}"), started);
    let may_be_missed = sample.map_or(0, |wanted| wanted.div_ceil(MISSED_AT_MOST));
    assert!(
        total.missed.len() <= may_be_missed,
        "never reached: {}",
        total.missed.join("\n")
    );
}

#[test]
fn crashes_at_random_and_during_recovery_leave_exactly_one_subscription() {
    let started = Instant::now();
    let seeds = seeds("CRASH_SEED", "CRASH_SEEDS", 12);
    report(&format!("crash seeds: {seeds:?}"));
    let total = live_all(seeds.into_iter().map(order).collect());
    total.report("crash seeds", started);
    let enough = (total.died + SLACK) * 100 >= total.lives * DIED_AT_LEAST;
    assert!(enough, "only {} of {} died at all", total.died, total.lives);
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
            nth: {
                let farthest = random.usize(1..=FARTHEST);
                random.usize(1..=farthest)
            },
            when: if random.bool() { When::Before } else { When::After },
        })
        .collect();
    Order {
        scenario,
        deaths,
        replay: format!("CRASH_SEED={seed}"),
        tries: 1,
    }
}
