//! Clocks, compared by the `Date` of what the probes were answered.
//!
//! A clock that is wrong makes subscriptions end early, assertions be refused, and renewals collide (409). The source of the
//! arithmetic: `Date` has whole seconds and was written at some moment between request and answer.

use std::collections::BTreeMap;

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};

use super::Finding;
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::{ClockLimits, Severity};

/// How exactly a `Date` tells the time: it is cut to whole seconds.
const RESOLUTION: SignedDuration = SignedDuration::from_millis(500);
/// The local clock was set during a request if it moved otherwise than the monotonic one by more than this.
const STEP: SignedDuration = SignedDuration::from_secs(1);
/// From so many sources on the median counts: one that lies is outvoted.
const QUORUM: usize = 3;

/// One comparison of clocks.
#[derive(Clone, Debug, PartialEq)]
pub struct ClockSample {
    /// Who answered: the name of an endpoint, or of a service such as `Microsoft Graph`.
    pub source: String,
    /// Its clock minus the local one.
    pub skew: SignedDuration,
    /// By how much that may be wrong, in both directions.
    pub error: SignedDuration,
}

/// An answer that tells the time.
#[derive(Clone, Copy, Debug)]
pub struct DatedAnswer<'a> {
    /// Its `Date`.
    pub date: &'a str,
    /// Whether it has an `Age`: then a cache answered, and the date is that of another day.
    pub cached: bool,
    /// When the request was sent, by the local clock.
    pub sent: Timestamp,
    /// When the answer came, by the local clock.
    pub arrived: Timestamp,
    /// How long it took, by a monotonic clock.
    pub elapsed: SignedDuration,
}

impl ClockSample {
    /// What an answer tells. `None` for one from a cache, for a date in another form than RFC 9110 has servers write, and when
    /// the local clock was set meanwhile.
    pub fn of(source: impl Into<String>, answer: &DatedAnswer<'_>) -> Option<Self> {
        let by_clock = answer.arrived.duration_since(answer.sent);
        if answer.cached || (by_clock - answer.elapsed).abs() > STEP {
            return None;
        }
        let half = answer.elapsed / 2;
        let middle = answer.sent.checked_add(half).ok()?;
        Some(Self {
            source: source.into(),
            skew: http_date(answer.date)?.duration_since(middle) + RESOLUTION,
            error: half + RESOLUTION,
        })
    }

    /// The least that the clocks are apart.
    fn certain(&self) -> SignedDuration {
        (self.skew.abs() - self.error).max(SignedDuration::ZERO)
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that servers may write.
fn http_date(text: &str) -> Option<Timestamp> {
    let fixed = text.len() == 29 && text.ends_with(" GMT");
    fixed
        .then(|| DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok())
        .flatten()
}

/// Judges the local clock, and names a source whose own clock is wrong.
pub fn judge(limits: &ClockLimits, samples: &[ClockSample]) -> Vec<Finding> {
    let best = best(samples);
    let Some(reference) = reference(&best) else {
        let message = "No answer told the time: either nothing answered, or caches did.";
        return vec![Finding::unknown(
            ConditionType::ClockSynchronized,
            "",
            Reason::NoSamples,
            message,
        )];
    };
    let mut findings = vec![local(limits, reference)];
    let liars = best.iter().filter(|sample| {
        let apart = (sample.skew - reference.skew).abs() - sample.error - reference.error;
        apart >= seconds(&limits.warn)
    });
    findings.extend(liars.map(|sample| liar(limits, sample)));
    findings
}

/// The best sample of each source, by name.
fn best(samples: &[ClockSample]) -> Vec<&ClockSample> {
    let mut best: BTreeMap<&str, &ClockSample> = BTreeMap::new();
    for sample in samples {
        let known = best.entry(&sample.source).or_insert(sample);
        if sample.error < known.error {
            *known = sample;
        }
    }
    best.into_values().collect()
}

/// The sample that is believed: the median; of two, the one nearer to the local clock, which is a witness too.
fn reference<'a>(best: &[&'a ClockSample]) -> Option<&'a ClockSample> {
    let mut sorted = best.to_vec();
    if sorted.len() >= QUORUM {
        sorted.sort_by_key(|sample| sample.skew);
        // Of an even number, the middle one that accuses less.
        let middle = sorted.get((sorted.len() - 1) / 2..=sorted.len() / 2)?;
        return middle.iter().copied().min_by_key(|sample| sample.skew.abs());
    }
    sorted.into_iter().min_by_key(|sample| sample.certain())
}

fn local(limits: &ClockLimits, reference: &ClockSample) -> Finding {
    let condition = ConditionType::ClockSynchronized;
    let apart = reference.certain();
    let (severity, limit) = if apart >= seconds(&limits.critical) {
        (Severity::Critical, &limits.critical)
    } else if apart >= seconds(&limits.warn) {
        (Severity::Warning, &limits.warn)
    } else {
        let message = "The local clock agrees with the clocks of what was probed.";
        return Finding::pass(condition, "", message);
    };
    let direction = if reference.skew.is_positive() {
        "behind"
    } else {
        "ahead of"
    };
    let message = format!(
        "The local clock is {direction} that of {} by more than {}: let the nodes of this cluster keep time by NTP.",
        reference.source, limit.0
    );
    Finding::fail(condition, "", severity, Reason::SkewTooLarge, message)
}

/// Info: whatever its own clock does to it, this cluster's is right.
fn liar(limits: &ClockLimits, sample: &ClockSample) -> Finding {
    let message = format!(
        "The clock of {} differs from all others by more than {}: let it keep time by NTP, or mend the proxy that answers for it.",
        sample.source, limits.warn.0
    );
    Finding::fail(
        ConditionType::ClockSynchronized,
        &sample.source,
        Severity::Info,
        Reason::SkewTooLarge,
        message,
    )
}

/// The schema sees to it that there is a number; without one nothing is too much.
fn seconds(limit: &crate::api::duration::DurationText) -> SignedDuration {
    limit.seconds().map_or(SignedDuration::MAX, SignedDuration::from_secs)
}

#[cfg(test)]
mod tests;
