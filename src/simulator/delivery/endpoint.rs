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
/// Notifications that try a dropped host after its ten minutes. Microsoft says "a few".
const PROBES: usize = 3;

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
    answers: VecDeque<Answer>,
    /// How many of them were slow, and how many hopeless.
    slow: usize,
    hopeless: usize,
    dropped_until: Option<Timestamp>,
    probing: Option<Probing>,
}

#[derive(Debug)]
struct Answer {
    at: Timestamp,
    is_slow: bool,
    is_hopeless: bool,
}

/// A dropped host is tried again: a few notifications go out, the others are dropped until these were answered.
#[derive(Debug)]
struct Probing {
    since: Timestamp,
    sent: usize,
    answers: usize,
    hopeless: usize,
}

impl Probing {
    fn new(since: Timestamp) -> Self {
        Self {
            since,
            sent: 0,
            answers: 0,
            hopeless: 0,
        }
    }
}

/// All hosts.
#[derive(Debug, Default)]
pub struct Endpoints(HashMap<String, Host>);

impl Host {
    fn note(&mut self, answer: Answer) {
        self.slow += usize::from(answer.is_slow);
        self.hopeless += usize::from(answer.is_hopeless);
        self.answers.push_back(answer);
    }

    fn forget(&mut self, answer: &Answer) {
        self.slow -= usize::from(answer.is_slow);
        self.hopeless -= usize::from(answer.is_hopeless);
    }

    fn forget_old(&mut self, now: Timestamp) {
        while let Some(old) = self
            .answers
            .pop_front_if(|answer| now.duration_since(answer.at) > WINDOW)
        {
            self.forget(&old);
        }
        if self.dropped_until.is_some_and(|until| until <= now) {
            self.dropped_until = None;
            self.answers.clear();
            (self.slow, self.hopeless) = (0, 0);
            self.probing = Some(Probing::new(now));
        }
        // Probes that found nobody there tell nothing.
        if self
            .probing
            .as_ref()
            .is_some_and(|probing| now.duration_since(probing.since) > WINDOW)
        {
            self.probing = Some(Probing::new(now));
        }
    }

    fn drop_for_a_while(&mut self, now: Timestamp) {
        self.probing = None;
        self.dropped_until = now.checked_add(WINDOW).ok();
    }

    /// Counts the answer to a probe. False if none is under way.
    fn probed(&mut self, now: Timestamp, is_hopeless: bool) -> bool {
        let Some(probing) = &mut self.probing else {
            return false;
        };
        probing.answers += 1;
        probing.hopeless += usize::from(is_hopeless);
        if probing.answers < PROBES {
            return true;
        }
        if probing.hopeless * 100 > probing.answers * HOPELESS_SHARE {
            self.drop_for_a_while(now);
        } else {
            self.probing = None;
        }
        true
    }

    /// What the next notification meets, which may be a probe.
    fn admit(&mut self, now: Timestamp, rules: &DeliverySettings) -> Standing {
        let standing = self.standing(now, rules);
        match &mut self.probing {
            Some(probing) if probing.sent < PROBES => {
                probing.sent += 1;
                Standing::Good
            }
            _ => standing,
        }
    }

    fn standing(&mut self, now: Timestamp, rules: &DeliverySettings) -> Standing {
        self.forget_old(now);
        if self.dropped_until.is_some() || self.probing.is_some() {
            return Standing::Drop;
        }
        let enough = self.answers.len() >= rules.endpoint_min_samples.max(1);
        if enough && self.slow * 100 > self.answers.len() * SLOW_SHARE {
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
        let is_hopeless = took >= Duration::from_millis(rules.hopeless_after_ms);
        if host.probed(now, is_hopeless) {
            return;
        }
        host.note(Answer {
            at: now,
            is_slow: took >= Duration::from_millis(rules.slow_after_ms),
            is_hopeless,
        });
        let enough = host.answers.len() >= rules.endpoint_min_samples.max(1);
        if enough && host.hopeless * 100 > host.answers.len() * HOPELESS_SHARE {
            host.drop_for_a_while(now);
        }
    }

    /// What a new notification meets.
    pub fn admit(&mut self, host: &str, now: Timestamp, rules: &DeliverySettings) -> Standing {
        self.0
            .get_mut(host)
            .map_or(Standing::Good, |host| host.admit(now, rules))
    }

    /// All hosts.
    pub fn list(&mut self, now: Timestamp, rules: &DeliverySettings) -> Vec<View> {
        let view = |(name, host): (&String, &mut Host)| View {
            state: host.standing(now, rules),
            host: name.clone(),
            answers: host.answers.len(),
            slow: host.slow,
            over_ten_seconds: host.hopeless,
        };
        self.0.iter_mut().map(view).collect()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
