//! The task of one sink: read, deliver side by side, advance the cursor over what is delivered without a hole.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::super::event::{Event, Kind, now_millis};
use super::super::log::{DeadLetter, PAGE_BYTES, Query, sink_cursor};
use super::attempt::{Outcome, Target};
use super::poison::{Trouble, is_poison};
use super::window::{Window, backoff};
use super::{Delivery, SinkHealth};

/// How many events are read at once.
const BATCH: usize = 256;
/// How many deliveries run side by side.
const SIDE_BY_SIDE: usize = 16;
/// After so many failures with no success between, the sink counts as down and is only probed.
const DOWN: u32 = 8;
/// After so many refusals an event is given up.
const REFUSALS: u32 = 5;

type Attempts = FuturesUnordered<BoxFuture<'static, (Arc<Event>, Outcome)>>;

/// Since when a subscription's next event fails.
#[derive(Clone, Copy)]
struct Failing {
    since: Instant,
    since_millis: i64,
}

/// A sink's task.
pub struct Runner {
    sink: String,
    cursor: String,
    target: Target,
    delivery: Delivery,
    window: Window,
    saved: u64,
    failures_in_a_row: u32,
    paused_until: Option<Instant>,
    last_success: Option<Instant>,
    // By subscription.
    failing: HashMap<String, Failing>,
    last_error: Option<String>,
}

impl Runner {
    /// A task that goes on where the sink's cursor stands. A new sink's stands before all that is kept.
    pub fn new(sink: String, target: Target, delivery: Delivery) -> Self {
        Self {
            cursor: sink_cursor(&sink),
            sink,
            target,
            delivery,
            window: Window::new(0),
            saved: 0,
            failures_in_a_row: 0,
            paused_until: None,
            last_success: None,
            failing: HashMap::new(),
            last_error: None,
        }
    }

    /// Delivers until stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ends = self.delivery.log.ends();
        let mut attempts = Attempts::new();
        let mut save_at = Instant::now();
        self.tell_health();
        if !self.begin(&stop).await {
            return;
        }
        loop {
            let end = ends.borrow_and_update().notification;
            let may_read = self.fill(end).await;
            let next_start = self.start(&mut attempts);
            if Instant::now() >= save_at {
                self.save().await;
                save_at = Instant::now() + self.delivery.timing.save;
            }
            let unsaved = self.window.cursor() > self.saved;
            let wake = next_start.into_iter().chain(unsaved.then_some(save_at)).min();
            tokio::select! {
                Some((event, outcome)) = attempts.next() => self.conclude(&event, outcome).await,
                changed = ends.changed(), if may_read => if changed.is_err() { break },
                () = sleep_until(wake), if wake.is_some() => {}
                () = stop.cancelled() => break,
            }
        }
        self.save().await;
    }

    // Waits until the log was opened, where the cursor is. False if stopped before.
    async fn begin(&mut self, stop: &CancellationToken) -> bool {
        while !self.delivery.log.is_known() {
            tokio::select! {
                () = tokio::time::sleep(self.delivery.timing.retry) => {}
                () = stop.cancelled() => return false,
            }
        }
        self.saved = self.delivery.log.cursor(&self.cursor);
        self.window = Window::new(self.saved);
        true
    }

    // Reads more, if there is more and room for it. Says whether news of the log's end are of interest.
    async fn fill(&mut self, end: u64) -> bool {
        let room_bytes = self.window.room_bytes();
        if self.window.room() < BATCH || room_bytes == 0 {
            return false;
        }
        if self.window.read_to() >= end {
            return true;
        }
        let query = Query {
            after: self.window.read_to(),
            limit: BATCH,
            kind: Some(Kind::Notification),
            bytes: room_bytes.min(PAGE_BYTES),
        };
        match self.delivery.log.read(query).await {
            Ok(page) => self.window.fill(page.events, page.next),
            // The log says so itself; here it is only waited for.
            Err(_) => tokio::time::sleep(self.delivery.timing.retry).await,
        }
        true
    }

    // Starts what may be tried now, and says when more may be, if that is a matter of time alone.
    fn start(&mut self, attempts: &mut Attempts) -> Option<Instant> {
        let now = Instant::now();
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Some(until);
        }
        let most = if self.failures_in_a_row >= DOWN {
            1
        } else {
            SIDE_BY_SIDE
        };
        while attempts.len() < most {
            let Some(event) = self.window.next(now) else {
                return self.window.wakes();
            };
            if self.window.is_retry(&event) && !self.delivery.log.holds(event.seq) {
                // Past its retention: the log has counted it as expired.
                self.settle(&event);
                continue;
            }
            let (target, log_id) = (self.target.clone(), self.delivery.log.id());
            attempts.push(Box::pin(async move {
                let outcome = target.deliver(&log_id, &event).await;
                (event, outcome)
            }));
        }
        None
    }

    async fn conclude(&mut self, event: &Arc<Event>, outcome: Outcome) {
        match outcome {
            Outcome::Delivered => {
                self.failures_in_a_row = 0;
                self.last_success = Some(Instant::now());
                self.delivery.metrics.delivered(&self.sink);
                self.settle(event);
            }
            Outcome::Retry { reason, after } => {
                let until = after.map(|after| Instant::now() + after);
                // Who names a time speaks for the whole address.
                self.paused_until = self.paused_until.max(until);
                self.fail(event, &reason);
                if self.is_poison(event) {
                    self.bury(event, &reason).await;
                }
            }
            Outcome::Refused { reason } => {
                self.fail(event, &reason);
                if self.window.refused(event) >= REFUSALS && self.bury(event, &reason).await {
                    self.failures_in_a_row = 0;
                }
            }
        }
    }

    fn settle(&mut self, event: &Event) {
        self.window.settle(event);
        if self.failing.remove(&event.record.uid).is_some() {
            self.tell_health();
        }
    }

    fn fail(&mut self, event: &Event, reason: &str) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.delivery.metrics.delivery_failed(&self.sink, reason);
        let timing = &self.delivery.timing;
        let wait = backoff(self.window.failed(event), timing.retry, timing.retry_most);
        self.window.put_off(event, Instant::now() + wait);
        if self.failing.is_empty() {
            tracing::warn!(sink = self.sink, reason, "the sink does not take an event");
        }
        self.failing.entry(event.record.uid.clone()).or_insert_with(|| Failing {
            since: Instant::now(),
            since_millis: now_millis(),
        });
        self.last_error = Some(reason.to_owned());
        self.tell_health();
    }

    fn is_poison(&self, event: &Event) -> bool {
        let uid = &event.record.uid;
        let Some(own) = self.failing.get(uid) else {
            return false;
        };
        let others = self.failing.iter().filter(|(other, _)| *other != uid);
        let trouble = Trouble {
            since: own.since,
            tries: self.window.failures(event),
            last_success: self.last_success,
            newest_other: others.map(|(_, failing)| failing.since).max(),
        };
        is_poison(&trouble, &self.delivery.timing.patience, Instant::now())
    }

    // A dead letter must be on stable storage before the cursor passes it. Without one the event stays and is tried again.
    async fn bury(&mut self, event: &Arc<Event>, reason: &str) -> bool {
        let letter = DeadLetter {
            event: Event::clone(event),
            reason: reason.to_owned(),
        };
        if let Err(error) = self.delivery.log.bury(&self.sink, &letter).await {
            tracing::warn!(sink = self.sink, seq = event.seq, "the event stays: {error}");
            self.last_error = Some(format!("{reason}, and {error}"));
            self.tell_health();
            return false;
        }
        tracing::warn!(sink = self.sink, seq = event.seq, reason, "an event is given up");
        self.delivery.metrics.dead_letter(&self.sink);
        self.settle(event);
        true
    }

    async fn save(&mut self) {
        let cursor = self.window.cursor();
        if cursor > self.saved && self.delivery.log.acknowledge(&self.cursor, cursor).await.is_ok() {
            self.saved = cursor;
        }
    }

    fn tell_health(&self) {
        let failing_since = self.failing.values().map(|failing| failing.since_millis).min();
        let last_error = self.last_error.clone();
        self.delivery.healths.set(
            &self.sink,
            SinkHealth {
                failing_since,
                last_error,
            },
        );
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
