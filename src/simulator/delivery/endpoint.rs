//! How notification hosts answered lately, and what follows: slow ones wait, hopeless ones lose notifications.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::simulator::config::DeliverySettings;

const WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// Per hundred.
const SLOW_SHARE: usize = 10;
const HOPELESS_SHARE: usize = 15;

/// What a new notification to a host meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// Sent at once.
    Good,
    /// Sent after ten minutes.
    Slow,
    /// Not sent at all.
    Drop,
}

/// One host for the admin API.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    host: String,
    state: Standing,
    answers: usize,
    slow: usize,
    over_ten_seconds: usize,
}

#[derive(Debug, Default)]
struct Host {
    answers: VecDeque<(Timestamp, Duration)>,
    dropped_until: Option<Timestamp>,
}

/// All hosts.
#[derive(Debug, Default)]
pub struct Endpoints(HashMap<String, Host>);

impl Host {
    fn slower_than(&self, limit_ms: u64) -> usize {
        self.answers
            .iter()
            .filter(|(_, took)| *took >= Duration::from_millis(limit_ms))
            .count()
    }

    fn forget_old(&mut self, now: Timestamp) {
        while self
            .answers
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
        {
            self.answers.pop_front();
        }
        if self.dropped_until.is_some_and(|until| until <= now) {
            self.dropped_until = None;
        }
    }

    fn standing(&mut self, now: Timestamp, rules: &DeliverySettings) -> Standing {
        self.forget_old(now);
        if self.dropped_until.is_some() {
            return Standing::Drop;
        }
        let enough = self.answers.len() >= rules.endpoint_min_samples.max(1);
        if enough && self.slower_than(rules.slow_after_ms) * 100 > self.answers.len() * SLOW_SHARE {
            return Standing::Slow;
        }
        Standing::Good
    }
}

impl Endpoints {
    /// Notes how long a host took (or that it took longer than it was given).
    pub fn answered(&mut self, host: &str, now: Timestamp, took: Duration, rules: &DeliverySettings) {
        let host = self.0.entry(host.into()).or_default();
        host.forget_old(now);
        host.answers.push_back((now, took));
        let enough = host.answers.len() >= rules.endpoint_min_samples.max(1);
        if enough && host.slower_than(rules.hopeless_after_ms) * 100 > host.answers.len() * HOPELESS_SHARE {
            host.dropped_until = now.checked_add(WINDOW).ok();
        }
    }

    /// What a new notification meets.
    pub fn standing(&mut self, host: &str, now: Timestamp, rules: &DeliverySettings) -> Standing {
        self.0
            .get_mut(host)
            .map_or(Standing::Good, |host| host.standing(now, rules))
    }

    /// All hosts.
    pub fn list(&mut self, now: Timestamp, rules: &DeliverySettings) -> Vec<View> {
        let view = |(name, host): (&String, &mut Host)| View {
            state: host.standing(now, rules),
            host: name.clone(),
            answers: host.answers.len(),
            slow: host.slower_than(rules.slow_after_ms),
            over_ten_seconds: host.slower_than(rules.hopeless_after_ms),
        };
        self.0.iter_mut().map(view).collect()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
