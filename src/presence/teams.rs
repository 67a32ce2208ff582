//! Presence in Teams: polled for all, and read for some when something says that it changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::SignedDuration;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::fault;
use super::input::{Input, Seen};
use super::metrics::Metrics;
use crate::graph::{Failure, Graph, MOST_IDS, Presence};
use crate::local_clock;
use crate::policy::backoff;

/// Requests of one poll at the same time.
const TOGETHER: usize = 4;
/// However often reading failed, it is tried again after this.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// Who asks within this time is answered by one request.
const GATHER: Duration = Duration::from_millis(20);

/// Object ids of the people who are kept in step, sorted.
pub type Ids = Arc<[String]>;

/// Reads presence and tells the core. Cheap to clone.
#[derive(Clone)]
pub struct Reading {
    /// The app that reads.
    pub graph: Graph,
    /// The core.
    pub core: mpsc::Sender<Input>,
    /// Where it is said whether reading works.
    pub board: Board,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Reading {
    /// Reads presence of at most 650 people.
    pub async fn read(&self, ids: &[String], since: Instant) -> Result<(), Failure> {
        let sent = local_clock::now();
        let result = self.graph.presences(ids).await;
        self.tell(&result);
        let presences = result?;
        self.metrics.observations.inc_by(presences.len() as u64);
        let unread = left_out(ids, &presences);
        let seen = Seen { presences, sent, since };
        // The core is gone only when everything ends.
        let _ = self.core.send(Input::Teams(seen)).await;
        if !unread.is_empty() {
            let _ = self.core.send(Input::Unread(unread)).await;
        }
        Ok(())
    }

    fn tell<T>(&self, result: &Result<T, Failure>) {
        let lamp = fault::lamp(result, "the app is signed in and may read presence");
        if let Some(skew) = self.graph.skew() {
            self.metrics.skew(skew);
        }
        self.board.lamps(|lamps| lamps.reader = lamp);
    }

    /// Reads presence of all, in requests of 650.
    async fn read_all(&self, ids: &Ids) -> Result<(), Failure> {
        let since = Instant::now();
        let chunks: Vec<Vec<String>> = ids.chunks(MOST_IDS).map(<[_]>::to_vec).collect();
        let reads = chunks
            .into_iter()
            .map(|chunk| async move { self.read(&chunk, since).await });
        let mut results = futures::stream::iter(reads).buffer_unordered(TOGETHER);
        let mut all = Ok(());
        while let Some(result) = results.next().await {
            all = all.and(result);
        }
        all
    }
}

/// Whom Graph says nothing of. Who waits for it must ask again.
fn left_out(ids: &[String], presences: &[Presence]) -> Vec<String> {
    let told: BTreeSet<String> = presences
        .iter()
        .map(|presence| presence.id.to_ascii_lowercase())
        .collect();
    ids.iter().filter(|id| !told.contains(*id)).cloned().collect()
}

/// When to read the presence of all.
pub struct Polling {
    /// What reads.
    pub reading: Reading,
    /// Whose.
    pub ids: watch::Receiver<Ids>,
    /// How often; `None`: only when woken.
    pub every: Option<Duration>,
    /// Asks for a poll now.
    pub wake: Arc<Notify>,
    /// Ends it.
    pub stop: CancellationToken,
}

impl Polling {
    /// Polls until stopped.
    pub async fn run(mut self) {
        let mut failures = 0;
        loop {
            let ids = self.ids.borrow_and_update().clone();
            let pause = match self.poll(&ids).await {
                Ok(()) => {
                    failures = 0;
                    self.every.map(jittered)
                }
                Err(failure) => {
                    failures += 1;
                    let now = local_clock::now();
                    let wait = backoff::delay(failure.class, failures, now, None, fastrand::f64());
                    Some(at_least(wait, self.every))
                }
            };
            let nap = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = nap => {}
                () = self.wake.notified() => {}
                changed = self.ids.changed() => if changed.is_err() { return },
                () = self.stop.cancelled() => return,
            }
        }
    }

    async fn poll(&self, ids: &Ids) -> Result<(), Failure> {
        if ids.is_empty() {
            return Ok(());
        }
        let result = tokio::select! {
            result = self.reading.read_all(ids) => result,
            () = self.stop.cancelled() => return Ok(()),
        };
        let lamp = fault::lamp(&result, "presence is being read");
        let board = &self.reading.board;
        if result.is_ok() {
            board.went_well(local_clock::now(), |last| &mut last.poll);
        }
        if self.every.is_some() {
            board.lamps(|lamps| lamps.polling = Some(lamp));
        }
        result
    }
}

/// A tenth more or less, so that workers do not ask in step.
fn jittered(every: Duration) -> Duration {
    every.mul_f64(0.9 + 0.2 * fastrand::f64())
}

fn at_least(wait: SignedDuration, every: Option<Duration>) -> Duration {
    wait.unsigned_abs().min(LONGEST_PAUSE).max(every.unwrap_or_default())
}

/// Reads the presence of those for whom the engine wants to know it now.
pub async fn read_wanted(reading: Reading, mut wanted: mpsc::Receiver<String>, stop: CancellationToken) {
    let mut ids = Vec::with_capacity(MOST_IDS);
    loop {
        let some = tokio::select! {
            some = wanted.recv_many(&mut ids, MOST_IDS) => some,
            () = stop.cancelled() => return,
        };
        if some == 0 {
            return;
        }
        let since = Instant::now();
        tokio::time::sleep(GATHER).await;
        while ids.len() < MOST_IDS {
            let Ok(id) = wanted.try_recv() else { break };
            ids.push(id);
        }
        if reading.read(&ids, since).await.is_err() {
            let _ = reading.core.send(Input::Unread(std::mem::take(&mut ids))).await;
        }
        ids.clear();
    }
}
