//! When a condition follows what is found: not at each look, and not never.
//!
//! A condition turns false after `failureThreshold` looks in a row that failed, and true after `successThreshold` that did not.
//! What passes and fails by turns, as an address with a good and a bad server behind it does, counts as failing. A look that could
//! not judge leaves the condition as it is until the last judgement is too old to be believed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::health::Judged;
use crate::api::condition::{ConditionType, Reason, Truth, Verdict};
use crate::api::connector::{Severity, TeamsConnectorHealthSpec};

/// Changes from good to bad among the looks that are remembered; from here on it is no longer an accident.
const TURNS: u32 = 2;
/// A judgement of so many intervals ago is too old.
const STALE_INTERVALS: i64 = 3;

/// When a look was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the calendar: for what others dated.
    pub now: Timestamp,
    /// Since this process began to look, by a clock that nobody sets: for how long ago something was.
    pub elapsed: Duration,
}

/// What one object asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Looks in a row that must fail; at most 20.
    pub failures: u32,
    /// Looks in a row that must not; at most 20.
    pub successes: u32,
    /// After so long, a judgement is too old.
    pub stale_after: SignedDuration,
    /// Until then, what fails is not settled yet.
    pub settles: Option<Timestamp>,
}

impl Limits {
    /// Those of a spec; `made` is when the object was.
    pub fn new(spec: &TeamsConnectorHealthSpec, made: Option<Timestamp>) -> Self {
        let count = |number: i32| u32::try_from(number).unwrap_or(1).clamp(1, 20);
        let seconds = |text: &crate::api::duration::DurationText| text.seconds().unwrap_or(0);
        let grace = SignedDuration::from_secs(seconds(&spec.grace_period));
        Self {
            failures: count(spec.failure_threshold),
            successes: count(spec.success_threshold),
            stale_after: SignedDuration::from_secs(seconds(&spec.interval).saturating_mul(STALE_INTERVALS)),
            settles: made.and_then(|made| made.checked_add(grace).ok()),
        }
    }

    /// Looks that are remembered.
    fn remembered(&self) -> u32 {
        2 * self.failures.max(self.successes) + 1
    }
}

/// What is remembered of one condition between two looks. A new controller begins with nothing but what the status says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Track {
    /// Looks that judged, the newest lowest: 1 failed.
    failed: u64,
    looks: u32,
    /// A moment, and how long ago it was last judged then.
    judged: Option<(Duration, SignedDuration)>,
    /// How bad the last fault was.
    severity: Option<Severity>,
}

impl Track {
    /// That of a controller which has just started; `judged` is when the status was true at the latest. Only here does the calendar
    /// tell how old a judgement is: another process made it.
    pub fn resumed(judged: Option<Timestamp>, at: Moment) -> Self {
        let age = |judged: Timestamp| at.now.duration_since(judged).max(SignedDuration::ZERO);
        Self {
            judged: judged.map(|judged| (at.elapsed, age(judged))),
            ..Self::default()
        }
    }

    /// How long ago it was last judged. A clock that is set makes nothing older or younger.
    fn age(&self, at: Moment) -> Option<SignedDuration> {
        let (since, age) = self.judged?;
        let passed = at.elapsed.saturating_sub(since);
        Some(age.saturating_add(SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX)))
    }

    fn push(&mut self, failed: bool, limits: &Limits, at: Moment) {
        let kept = limits.remembered();
        self.looks = (self.looks + 1).min(kept);
        self.failed = ((self.failed << 1) | u64::from(failed)) & !(u64::MAX << kept);
        self.judged = Some((at.elapsed, SignedDuration::ZERO));
    }

    /// Newest looks in a row that failed, or did not.
    fn row(&self, failed: bool) -> u32 {
        let bits = if failed { self.failed } else { !self.failed };
        bits.trailing_ones().min(self.looks)
    }

    /// Whether it passes and fails by turns.
    fn alternates(&self) -> bool {
        let before = self.failed >> 1;
        let known = (1_u64 << self.looks.saturating_sub(1)) - 1;
        (self.failed & !before & known).count_ones() >= TURNS
    }
}

/// The condition after a look. `before` is what the status says, `found` what the look found, if it spoke of it.
pub fn settle(
    type_: ConditionType,
    track: &mut Track,
    before: Option<&Verdict>,
    found: Option<Judged>,
    limits: &Limits,
    at: Moment,
) -> Judged {
    let Some(found) = found else {
        return unjudged(type_, track, before, None, limits, at);
    };
    // What is written in the spec does not come and go.
    if type_ == ConditionType::InputsValid {
        return found;
    }
    match found.verdict.truth {
        Truth::Unknown => unjudged(type_, track, before, Some(found), limits, at),
        Truth::False => {
            track.push(true, limits, at);
            track.severity = found.severity;
            failing(track, before, found, limits, at.now)
        }
        Truth::True => {
            track.push(false, limits, at);
            passing(track, before, found, limits)
        }
    }
}

fn failing(track: &Track, before: Option<&Verdict>, found: Judged, limits: &Limits, now: Timestamp) -> Judged {
    let was = before.map(|before| before.truth);
    let by_turns = track.alternates() && track.failed.count_ones() >= limits.failures;
    let enough = was == Some(Truth::False) || track.row(true) >= limits.failures || by_turns;
    if !enough && was == Some(Truth::True) {
        return kept(before, found, None);
    }
    let settling = limits.settles.is_some_and(|settles| now < settles) && was != Some(Truth::False);
    if enough && !settling {
        return found;
    }
    let message = format!("not settled yet: {}", found.verdict.message);
    Judged {
        verdict: Verdict::new(found.verdict.type_, Truth::Unknown, Reason::Settling, message),
        severity: None,
    }
}

fn passing(track: &Track, before: Option<&Verdict>, found: Judged, limits: &Limits) -> Judged {
    let was_false = before.is_some_and(|before| before.truth == Truth::False);
    let enough = track.row(false) >= limits.successes && !track.alternates();
    if was_false && !enough {
        return kept(before, found, Some(track.severity.unwrap_or(Severity::Critical)));
    }
    found
}

/// Nothing was judged: what was judged before holds until it is too old.
fn unjudged(
    type_: ConditionType,
    track: &Track,
    before: Option<&Verdict>,
    found: Option<Judged>,
    limits: &Limits,
    at: Moment,
) -> Judged {
    let fresh = track.age(at).is_some_and(|age| age < limits.stale_after);
    let was = before.filter(|before| before.truth != Truth::Unknown);
    let unknown = |reason, message: &str| Judged {
        verdict: Verdict::new(type_, Truth::Unknown, reason, message),
        severity: None,
    };
    match (was, found) {
        (Some(before), _) if fresh => {
            let severity = (before.truth == Truth::False).then(|| track.severity.unwrap_or(Severity::Critical));
            Judged {
                verdict: before.clone(),
                severity,
            }
        }
        (_, Some(found)) => found,
        (Some(_), None) => unknown(
            Reason::StaleEvidence,
            "it was last judged more than three intervals ago",
        ),
        (None, None) => match before {
            Some(before) => Judged {
                verdict: before.clone(),
                severity: None,
            },
            None => unknown(Reason::InsufficientEvidence, "it was not looked at yet"),
        },
    }
}

fn kept(before: Option<&Verdict>, found: Judged, severity: Option<Severity>) -> Judged {
    let verdict = before.cloned().unwrap_or(found.verdict);
    Judged { verdict, severity }
}

#[cfg(test)]
mod tests;
