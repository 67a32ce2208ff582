//! What the probes of a connector found, judged.
//!
//! A probe collects facts and judges nothing; the modules here make [`Finding`]s of the facts, conditions of the findings, and
//! diagnoses of both. One finding speaks of one thing: an address, a rule, an app.

pub mod address;
pub mod broadworks;
pub mod certificate;
pub mod clock;
pub mod course;
pub mod diagnosis;
pub mod endpoint;
pub mod flap;
pub mod health;
pub mod inputs;
pub mod learned;
pub mod maintenance;
pub mod microsoft;
pub mod path;
pub mod pexip;
pub mod sip;

use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::Severity;

/// What one look found out about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The condition that it counts for.
    pub condition: ConditionType,
    /// What it is about, such as the name of an endpoint; empty for the connector as a whole.
    pub subject: String,
    /// What was found.
    pub outcome: Outcome,
    /// That in one sentence which names the subject, the cause and, for a fault, the remedy. Free of times, ids and counters, so
    /// that equal states give equal text.
    pub message: String,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// It was asked for and could not be judged.
    Unknown(Reason),
    /// A fault. One of severity `Info` is told as a diagnosis and leaves the condition true.
    Fail(Severity, Reason),
}

impl Finding {
    /// All is well.
    pub fn pass(condition: ConditionType, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(condition, subject, Outcome::Pass, message)
    }

    /// It could not be judged.
    pub fn unknown(
        condition: ConditionType,
        subject: impl Into<String>,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self::new(condition, subject, Outcome::Unknown(reason), message)
    }

    /// A fault.
    pub fn fail(
        condition: ConditionType,
        subject: impl Into<String>,
        severity: Severity,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self::new(condition, subject, Outcome::Fail(severity, reason), message)
    }

    fn new(condition: ConditionType, subject: impl Into<String>, outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            condition,
            subject: subject.into(),
            outcome,
            message: message.into(),
        }
    }

    /// The reason of a fault or of what could not be judged.
    pub fn reason(&self) -> Option<Reason> {
        match self.outcome {
            Outcome::Pass => None,
            Outcome::Unknown(reason) | Outcome::Fail(_, reason) => Some(reason),
        }
    }
}
