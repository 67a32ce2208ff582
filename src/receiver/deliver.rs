//! Delivery: a task per sink, each with its own cursor in the log.

mod attempt;
mod cloudevent;
mod http;
mod poison;
mod runner;
mod window;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::log::Log;
use super::metrics::Metrics;
use super::setup::Setup;
use crate::api::receiver_config::{SinkConfig, SinkTarget};
pub use attempt::{Outcome, Target};
pub use poison::Patience;

/// How long things take in delivery.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// First wait after a failure; it doubles from there.
    pub retry: Duration,
    /// Longest wait after failures, unless the sink asks for more.
    pub retry_most: Duration,
    /// How often a cursor is saved while it moves.
    pub save: Duration,
    /// How long and how often an event must fail that others do not fail with, until it is given up.
    pub patience: Patience,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            retry: Duration::from_secs(1),
            retry_most: Duration::from_mins(1),
            save: Duration::from_millis(200),
            patience: Patience {
                time: Duration::from_hours(1),
                tries: 50,
            },
        }
    }
}

/// How a sink is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkHealth {
    /// Since when there is something it does not take, in milliseconds since 1970.
    pub failing_since: Option<i64>,
    /// What it said last when it did not, in a few words.
    pub last_error: Option<String>,
}

/// How all sinks are doing, by name.
#[derive(Clone, Default)]
pub struct SinkHealths(Arc<Mutex<BTreeMap<String, SinkHealth>>>);

impl SinkHealths {
    /// How a sink is doing.
    pub fn get(&self, sink: &str) -> SinkHealth {
        let healths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        healths.get(sink).cloned().unwrap_or_default()
    }

    fn set(&self, sink: &str, health: SinkHealth) {
        let mut healths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        healths.insert(sink.to_owned(), health);
    }
}

/// What all sinks' tasks share.
#[derive(Clone)]
pub struct Delivery {
    /// Where events come from.
    pub log: Log,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where each tells how it is doing.
    pub healths: SinkHealths,
    /// How long things take.
    pub timing: Timing,
}

// What a sink's task was started with; another needs another task.
#[derive(PartialEq, Eq)]
struct Wanted {
    config: SinkConfig,
    token: Option<String>,
}

struct Running {
    wanted: Wanted,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    // Saves its cursor before it ends.
    async fn end(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

/// Keeps a task running for each sink of the configuration, until stopped.
pub async fn supervise(delivery: Delivery, mut setup: watch::Receiver<Arc<Setup>>, stop: CancellationToken) {
    let mut running: BTreeMap<String, Running> = BTreeMap::new();
    loop {
        let wanted = wanted(&setup.borrow_and_update().clone());
        let surplus: Vec<String> = running
            .iter()
            .filter(|(name, sink)| wanted.get(*name) != Some(&sink.wanted) || sink.task.is_finished())
            .map(|(name, _)| name.clone())
            .collect();
        for name in surplus {
            if let Some(sink) = running.remove(&name) {
                sink.end().await;
            }
        }
        for (name, wanted) in wanted {
            running.entry(name).or_insert_with(|| start(&delivery, wanted));
        }
        tokio::select! {
            changed = setup.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(Duration::from_secs(30)) => {}
            () = stop.cancelled() => break,
        }
    }
    for sink in running.into_values() {
        sink.end().await;
    }
}

fn wanted(setup: &Setup) -> BTreeMap<String, Wanted> {
    let wanted = |config: &SinkConfig| Wanted {
        config: config.clone(),
        token: token(setup, config),
    };
    let sinks = setup.config.sinks.iter();
    sinks.map(|config| (config.name.clone(), wanted(config))).collect()
}

fn token(setup: &Setup, config: &SinkConfig) -> Option<String> {
    let SinkTarget::Http { token_file, .. } = &config.target else {
        return None;
    };
    let token = setup.token(token_file.as_deref()?)?;
    Some(token.expose_secret().to_owned())
}

/// What a sink of the configuration delivers to.
pub fn target(setup: &Setup, sink: &str) -> Option<Target> {
    let config = setup.config.sinks.iter().find(|config| config.name == sink)?;
    Some(Target::new(&config.target, token(setup, config).as_deref()))
}

fn start(delivery: &Delivery, wanted: Wanted) -> Running {
    let stop = CancellationToken::new();
    let target = Target::new(&wanted.config.target, wanted.token.as_deref());
    let runner = runner::Runner::new(wanted.config.name.clone(), target, delivery.clone());
    let task = tokio::spawn(runner.run(stop.clone()));
    Running { wanted, stop, task }
}
