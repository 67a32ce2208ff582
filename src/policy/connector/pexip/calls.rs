//! Whether calls through the connector succeed, by what is told of those that ended: in the Management Node's history of
//! participants, by its event sink, or in its support log.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{ApiFault, View};
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::{DigitRange, Severity};
use crate::policy::connector::Finding;

const CONDITION: ConditionType = ConditionType::CallsSucceeding;
/// How far back calls count.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(15);
/// From so many calls on, a share of them says something; single failures are noise.
const ENOUGH: usize = 10;
/// So many failures with nothing else are a fault also where calls are few.
const ALL_FAILED: usize = 3;
/// Percent of calls that fail when something is wrong for all of them.
const PERSISTENT: usize = 90;
/// Percent of calls that fail when something is wrong for some of them.
const INTERMITTENT: usize = 10;
/// More failures than this by an error of Teams' own are a fault whatever their share.
const ERRORS: usize = 3;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallEnd {
    /// As calls end.
    Completed,
    /// `Gateway dial out failed`.
    DialOutFailed,
    /// `Call rejected`.
    Rejected,
    /// The connector answered with error 401.
    Unauthorized,
    /// The connector answered with error 500.
    ServerError,
    /// There is no conference with the ID that was typed.
    InvalidId,
    /// By another failure.
    Other,
}

impl CallEnd {
    /// Reads `disconnect_reason`: free text that differs between releases. What is not known as a failure is none.
    pub fn read(reason: &str) -> Self {
        const FAILURES: [&str; 7] = [
            "fail",
            "reject",
            "error",
            "timeout",
            "timed out",
            "unavailable",
            "insufficient",
        ];
        const INVALID_ID: [&str; 3] = [
            "conference id invalid",
            "invalid conference id",
            "cannot connect to this extension",
        ];
        let reason = reason.trim().to_ascii_lowercase();
        let has = |part: &&str| reason.contains(*part);
        if let Some(error) = reason.strip_prefix("teams api request failed") {
            return Self::of_error(error);
        }
        if reason.starts_with("gateway dial out failed") {
            Self::DialOutFailed
        } else if reason.starts_with("call rejected") {
            Self::Rejected
        } else if INVALID_ID.iter().any(has) {
            Self::InvalidId
        } else if FAILURES.iter().any(has) {
            Self::Other
        } else {
            Self::Completed
        }
    }

    fn of_error(error: &str) -> Self {
        if error.contains("401") {
            Self::Unauthorized
        } else if error.contains("500") {
            Self::ServerError
        } else {
            Self::Other
        }
    }

    /// In one word, for metrics; empty for a call that did not fail.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Completed => "",
            Self::DialOutFailed => "gateway_dial_out_failed",
            Self::Rejected => "call_rejected",
            Self::Unauthorized => "api_unauthorized",
            Self::ServerError => "api_server_error",
            Self::InvalidId => "invalid_conference_id",
            Self::Other => "other",
        }
    }

    fn reason(self) -> Reason {
        match self {
            Self::Unauthorized => Reason::ApiUnauthorized,
            Self::ServerError => Reason::ApiServerError,
            Self::Rejected => Reason::CallRejected,
            _ => Reason::GatewayDialOutFailed,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Completed => "as usual",
            Self::DialOutFailed => "with \"Gateway dial out failed\"",
            Self::Rejected => "with \"Call rejected\"",
            Self::Unauthorized => "with error 401 of the connector",
            Self::ServerError => "with error 500 of the connector",
            Self::InvalidId => "with an invalid conference ID",
            Self::Other => "with other failures",
        }
    }
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// It was connected.
    Ok,
    /// It failed.
    Failed,
    /// It failed, and the conference ID has too few or too many digits: the caller's slip.
    UserInput,
}

/// A call that ended. Whom it was from and to is told nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// When it ended, by the clock of the Management Node.
    pub ended: Timestamp,
    /// How.
    pub end: CallEnd,
    /// Digits of the conference ID that the rules made of the alias; `None` when they made something else of it.
    pub digits: Option<u32>,
}

impl CallRecord {
    /// What came of it, where a conference ID has so many digits.
    pub fn result(&self, range: DigitRange) -> CallResult {
        let fits = |digits: u32| i32::try_from(digits).is_ok_and(|digits| (range.min..=range.max).contains(&digits));
        match self.end {
            CallEnd::Completed => CallResult::Ok,
            CallEnd::InvalidId => CallResult::UserInput,
            CallEnd::Unauthorized | CallEnd::ServerError => CallResult::Failed,
            _ if self.digits.is_some_and(|digits| !fits(digits)) => CallResult::UserInput,
            _ => CallResult::Failed,
        }
    }
}

/// Calls that ended lately, or why they are not known.
pub type Calls = Result<Vec<CallRecord>, FeedFault>;

/// Why it is not known how calls ended. Displayed as a sentence, always in the same words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedFault {
    /// The history cannot be read.
    #[error("The Management Node did not tell its history of calls: {0}.")]
    History(#[from] ApiFault),
    /// Where the calls lead cannot be told without the configuration.
    #[error("Events of calls say nothing without the configuration of the Management Node: {0}.")]
    Configuration(ApiFault),
    /// This operator does not listen for events.
    #[error(
        "This operator takes no events of event sinks: set feeds.events.enabled in its chart, or another callFeed."
    )]
    NoEvents,
    /// This operator does not listen for syslog.
    #[error("This operator takes no support log: set feeds.syslog.enabled in its chart, or another callFeed.")]
    NoLog,
    /// Nobody is let in, as there is no password.
    #[error("Events of the event sink are refused until its Secret can be read: see Ready.")]
    NoCredentials,
    /// Events came, and all showed other credentials or none.
    #[error(
        "The event sink shows other credentials than the Secret of eventSinkSecretRef has, or none: enter those in the event sink."
    )]
    Refused,
}

/// Calls in numbers, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// That were connected.
    pub ok: u64,
    /// That failed by a slip of the caller.
    pub user_input: u64,
    /// That failed, by how.
    pub failed: BTreeMap<CallEnd, u64>,
}

/// Counts calls.
pub fn count(calls: &[CallRecord], range: DigitRange) -> CallCounts {
    let mut counts = CallCounts::default();
    for call in calls {
        match call.result(range) {
            CallResult::Ok => counts.ok += 1,
            CallResult::UserInput => counts.user_input += 1,
            CallResult::Failed => *counts.failed.entry(call.end).or_default() += 1,
        }
    }
    counts
}

pub(super) fn judge(view: &View<'_>, calls: &Calls) -> Vec<Finding> {
    if let Err(finding) = view.connector(CONDITION) {
        return vec![finding];
    }
    let calls = match calls {
        Ok(calls) => calls,
        Err(fault) => {
            let message = fault.to_string();
            return vec![Finding::unknown(CONDITION, "", Reason::FeedDisconnected, message)];
        }
    };
    let is_recent = |call: &&CallRecord| view.now.duration_since(call.ended) <= WINDOW;
    let recent: Vec<&CallRecord> = calls.iter().filter(is_recent).collect();
    let mut found = vec![verdict(view, &recent)];
    found.extend(slips(view, &recent));
    found
}

fn verdict(view: &View<'_>, recent: &[&CallRecord]) -> Finding {
    let name = &view.spec.connector_name;
    let is_ok = |call: &&&CallRecord| call.end == CallEnd::Completed;
    let (all, ok) = (recent.len(), recent.iter().filter(is_ok).count());
    let has_failed = |call: &&&CallRecord| call.result(view.spec.conference_id_digits) == CallResult::Failed;
    let failed: Vec<&CallRecord> = recent.iter().filter(has_failed).copied().collect();
    let fail = |severity, end: CallEnd, message| Finding::fail(CONDITION, "", severity, end.reason(), message);
    let share = |part: usize, percent: usize| part * 100 >= all * percent;

    // When nearly all fail, the callers are not to blame: what a wrong rule makes of an alias looks like a slip.
    let failures = || recent.iter().filter(|call| call.end != CallEnd::Completed);
    let is_persistent = all >= ENOUGH && share(all - ok, PERSISTENT);
    if let Some(end) = commonest(failures().map(|call| call.end)).filter(|_| is_persistent) {
        let message = format!(
            "Nearly all calls through Teams Connector {name} fail, most {}: see the diagnoses for the cause.",
            end.words()
        );
        return fail(Severity::Critical, end, message);
    }
    let errors = |end: CallEnd| failed.iter().filter(|call| call.end == end).count() > ERRORS;
    if let Some(end) = [CallEnd::Unauthorized, CallEnd::ServerError]
        .into_iter()
        .find(|end| errors(*end))
    {
        let message = format!(
            "Calls through Teams Connector {name} fail {}: see the diagnoses for the cause.",
            end.words()
        );
        return fail(Severity::Critical, end, message);
    }
    let Some(end) = commonest(failed.iter().map(|call| call.end)) else {
        return without_failures(name, ok);
    };
    if all >= ENOUGH && share(failed.len(), INTERMITTENT) {
        let message = format!(
            "{INTERMITTENT} % of the calls through Teams Connector {name} fail, or more, most {}: see the diagnoses for the cause.",
            end.words()
        );
        return fail(Severity::Warning, end, message);
    }
    if ok == 0 && failed.len() >= ALL_FAILED {
        let message = format!(
            "The few calls through Teams Connector {name} all fail, most {}: see the diagnoses for the cause.",
            end.words()
        );
        return fail(Severity::Warning, end, message);
    }
    without_failures(name, ok)
}

/// Fewer failures than tell anything.
fn without_failures(name: &str, ok: usize) -> Finding {
    if ok == 0 {
        let message = format!(
            "Too few calls through Teams Connector {name} ended within 15 minutes to tell whether calls succeed."
        );
        return Finding::unknown(CONDITION, "", Reason::NoTraffic, message);
    }
    Finding::pass(CONDITION, "", format!("Calls through Teams Connector {name} succeed."))
}

/// The commonest; of equally common ones, the first in the order of [`CallEnd`].
fn commonest(ends: impl Iterator<Item = CallEnd>) -> Option<CallEnd> {
    let mut counts: BTreeMap<CallEnd, usize> = BTreeMap::new();
    for end in ends {
        *counts.entry(end).or_default() += 1;
    }
    counts
        .into_iter()
        .rev()
        .max_by_key(|(_, count)| *count)
        .map(|(end, _)| end)
}

fn slips(view: &View<'_>, recent: &[&CallRecord]) -> Option<Finding> {
    let range = view.spec.conference_id_digits;
    let any = recent.iter().any(|call| call.result(range) == CallResult::UserInput);
    any.then(|| {
        let message = format!(
            "Some callers dial conference IDs that do not exist or do not have {} to {} digits: those calls count as the callers' slips.",
            range.min, range.max
        );
        Finding::fail(CONDITION, "user input", Severity::Info, Reason::UserInput, message)
    })
}
