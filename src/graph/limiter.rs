//! Holds back calls to Graph so that Microsoft need not: one limiter per app and tenant, in front of every call, and
//! behind those of an app one for all its tenants.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::error::{Class, Failure, Kind};
use super::metrics::Metrics;

mod all_tenants;
mod bucket;
mod silence;

pub(super) use all_tenants::AllTenants;
use bucket::{Bucket, CHANGES_PER_MINUTE};
use silence::Silence;

/// Calls that may wait; more are refused.
const LONGEST_QUEUE: usize = 10_000;
/// Longer than this, a caller is not kept waiting.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Bounds of `Retry-After`.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// Of a lane, when Microsoft names no time.
const USUAL_REST: Duration = Duration::from_secs(30);

/// What Graph counts separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Write,
    Get,
    List,
    Changes,
    Presence,
    Inspection,
}

/// The limiter of one app in one tenant.
pub(super) struct Limiter {
    state: Mutex<State>,
    all_tenants: Arc<AllTenants>,
    metrics: Metrics,
}

struct State {
    lanes: [Queue; 6],
    paused_until: Option<Instant>,
    silence: Silence,
    /// Throttled answers in a row that named no time.
    streak: u32,
}

/// Earliest deadline first; among equals, first come first served.
type Key = (Timestamp, u64);

struct Queue {
    bucket: Bucket,
    /// Microsoft asked for a pause of this lane alone.
    rests_until: Option<Instant>,
    waiting: BTreeMap<Key, Arc<Notify>>,
}

/// Whether it is a caller's turn.
enum Turn {
    Now,
    At(Instant),
    Behind,
    /// Never: calls of this app are not answered.
    Refused,
}

impl Limiter {
    pub(super) fn new(metrics: Metrics, all_tenants: Arc<AllTenants>) -> Self {
        let now = Instant::now();
        let queue = |bucket| Queue {
            bucket,
            rests_until: None,
            waiting: BTreeMap::new(),
        };
        Self {
            state: Mutex::new(State {
                lanes: [
                    Bucket::write(now),
                    Bucket::get(now),
                    Bucket::list(now),
                    Bucket::changes(CHANGES_PER_MINUTE, now),
                    Bucket::presence(now),
                    Bucket::inspection(now),
                ]
                .map(queue),
                paused_until: None,
                silence: Silence::default(),
                streak: 0,
            }),
            all_tenants,
            metrics,
        }
    }

    /// Waits until a call may go, but not through a long pause: who asked can do something else meanwhile, and say why it waits.
    /// May be dropped at any time; its place then falls free.
    pub(super) async fn acquire(&self, lane: Lane, deadline: Timestamp) -> Result<(), Failure> {
        let place = self.join(lane, deadline)?;
        loop {
            match place.turn() {
                Turn::Now => return Ok(()),
                Turn::Behind => place.woken.notified().await,
                Turn::Refused => {
                    let message =
                        "Graph does not answer calls of this app. One now and then finds out when it does again.";
                    return Err(Failure::of(Kind::Unavailable, message));
                }
                Turn::At(instant) if instant.duration_since(Instant::now()) > LONGEST_WAIT => {
                    let remaining = instant.duration_since(Instant::now());
                    let message = "Microsoft asked for a pause of all calls of this app in this tenant.";
                    return Err(Failure::new(
                        Kind::Throttled,
                        Class::Throttled(Some(remaining)),
                        message,
                    ));
                }
                Turn::At(instant) => tokio::select! {
                    () = sleep_until(instant) => {}
                    () = place.woken.notified() => {}
                },
            }
        }
    }

    /// Microsoft throttles: all lanes rest, then start gently. Returns for how long.
    pub(super) fn pause(&self, retry_after: Option<Duration>) -> Duration {
        let now = Instant::now();
        let mut state = self.lock();
        let resting = state.paused_until.filter(|until| *until > now);
        let pause = match retry_after {
            Some(after) => after,
            // Answers to calls that were under way together count as one.
            None if resting.is_some() => return Duration::ZERO,
            None => Duration::from_secs(1 << state.streak.min(10)),
        };
        if retry_after.is_none() {
            state.streak += 1;
        }
        let pause = pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let (start, until) = (resting.unwrap_or(now), now + pause);
        if until > start {
            state.paused_until = Some(until);
            state.lanes.iter_mut().for_each(|queue| queue.bucket.drain(until));
            self.metrics.paused(until - start);
        }
        pause
    }

    /// Microsoft throttles what a lane asks for and nothing else: another workload than subscriptions.
    pub(super) fn rest(&self, lane: Lane, retry_after: Option<Duration>) -> Duration {
        let pause = retry_after.unwrap_or(USUAL_REST).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let until = Instant::now() + pause;
        let queue = &mut self.lock().lanes[lane as usize];
        queue.rests_until = queue.rests_until.max(Some(until));
        queue.bucket.drain(until);
        pause
    }

    /// Changes how many questions about changes are asked in a minute.
    pub(super) fn set_changes_budget(&self, per_minute: u32) {
        self.lock().lanes[Lane::Changes as usize]
            .bucket
            .resize(per_minute, Instant::now());
    }

    /// A call was answered, whatever the answer says.
    pub(super) fn answered(&self) {
        self.lock().silence.ends();
    }

    /// A call waited so long for an answer, and none came.
    pub(super) fn unanswered(&self, waited: Duration) {
        if self.lock().silence.goes_on(waited, Instant::now()) {
            tracing::warn!("Graph does not answer: calls of this app are refused, but for one now and then");
        }
    }

    /// A call passed: the next pause without a given time is short again.
    pub(super) fn passed(&self) {
        self.lock().streak = 0;
    }

    fn join(&self, lane: Lane, deadline: Timestamp) -> Result<Place<'_>, Failure> {
        let mut state = self.lock();
        if state.lanes.iter().map(|queue| queue.waiting.len()).sum::<usize>() >= LONGEST_QUEUE {
            let message = "Too many calls to Graph are waiting already.";
            return Err(Failure::new(Kind::Throttled, Class::Throttled(None), message));
        }
        let key = (deadline, self.all_tenants.number());
        let woken = Arc::new(Notify::new());
        state.lanes[lane as usize].waiting.insert(key, woken.clone());
        self.metrics.waiting().inc();
        Ok(Place {
            limiter: self,
            lane,
            key,
            woken,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a queue; leaves it when dropped.
struct Place<'a> {
    limiter: &'a Limiter,
    lane: Lane,
    key: Key,
    woken: Arc<Notify>,
}

impl Place<'_> {
    /// Takes from both buckets, the tenant's and the one of all tenants, or from none.
    fn turn(&self) -> Turn {
        let now = Instant::now();
        let (all_tenants, mut state) = (&self.limiter.all_tenants, self.limiter.lock());
        let turn = match state.turn(self.lane, self.key, now) {
            Turn::Now => all_tenants.turn(self.lane, self.key, &self.woken, now),
            other => {
                all_tenants.leave(self.lane, self.key);
                return other;
            }
        };
        if matches!(turn, Turn::Now) {
            state.lanes[self.lane as usize].bucket.take(now);
            state.silence.is_tried(now);
        }
        turn
    }
}

impl State {
    /// Whether it is a call's turn in its own tenant.
    fn turn(&self, lane: Lane, key: Key, now: Instant) -> Turn {
        if self.silence.refuses(now) {
            return Turn::Refused;
        }
        let queue = &self.lanes[lane as usize];
        if queue.waiting.keys().next() != Some(&key) {
            return Turn::Behind;
        }
        let paused_until = self.paused_until.max(queue.rests_until).filter(|until| *until > now);
        match paused_until.or_else(|| queue.bucket.empty_until(now)) {
            Some(until) => Turn::At(until),
            None => Turn::Now,
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.limiter.all_tenants.leave(self.lane, self.key);
        let mut state = self.limiter.lock();
        let waiting = &mut state.lanes[self.lane as usize].waiting;
        waiting.remove(&self.key);
        if let Some(next) = waiting.values().next() {
            next.notify_one();
        }
        self.limiter.metrics.waiting().dec();
    }
}

#[cfg(test)]
mod tests;
