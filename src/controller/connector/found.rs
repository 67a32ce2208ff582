//! What one look found out, and what metrics show of it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::api::connector::{EndpointHealth, PexipHealth, Severity};
use crate::policy::connector::clock::ClockSample;
use crate::policy::connector::{Finding, Outcome};
use crate::policy::subscription::Refusal;

/// Everything that one look found out.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The findings.
    pub findings: Vec<Finding>,
    /// What was seen elsewhere and may prove a cause.
    pub signs: Vec<Finding>,
    /// Why a part could not be looked at: the first reason.
    pub refusal: Option<Refusal>,
    /// What answers told of the time.
    pub clock: Vec<ClockSample>,
    /// The parts that were looked at.
    pub parts: Vec<Part>,
    /// For the status.
    pub endpoints: Vec<EndpointHealth>,
    /// For the status.
    pub pexip: Option<PexipHealth>,
    /// For the metrics.
    pub shown: Shown,
}

/// One part of a look: an endpoint, an API.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What kind of probe it was.
    pub probe: &'static str,
    /// What it looked at: the name of an endpoint; empty where there is only one.
    pub target: String,
    /// How long it took.
    pub took: Duration,
    /// Whether all was as it should be; `None` when that is not known.
    pub success: Option<bool>,
}

impl Part {
    /// A part with these findings.
    pub fn new(probe: &'static str, target: &str, took: Duration, findings: &[Finding]) -> Self {
        let fails =
            |finding: &Finding| matches!(finding.outcome, Outcome::Fail(severity, _) if severity != Severity::Info);
        let success = if findings.iter().any(fails) {
            Some(false)
        } else {
            let known = |finding: &Finding| !matches!(finding.outcome, Outcome::Unknown(_));
            findings.iter().any(known).then_some(true)
        };
        Self {
            probe,
            target: target.to_owned(),
            took,
            success,
        }
    }

    /// The count that it belongs to.
    pub fn run(&self) -> Count {
        Count::Run {
            probe: self.probe,
            result: match self.success {
                Some(true) => "pass",
                Some(false) => "fail",
                None => "unknown",
            },
        }
    }
}

/// Something that is counted for as long as the object is there and this process leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    /// Probes.
    Run {
        /// Kind of probe.
        probe: &'static str,
        /// `pass`, `fail` or `unknown`.
        result: &'static str,
    },
    /// Calls by what came of them: `ok`, `failed` or `user_input`.
    Call(&'static str),
    /// Failed calls by how, in a closed set of words.
    Failure(&'static str),
}

/// Validity of a certificate that a server showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Name of the endpoint.
    pub target: String,
    /// `leaf`, `intermediate` or `root`.
    pub role: &'static str,
    /// From when on.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// What metrics show of a connector besides its status. What is not known is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// When it was last looked at.
    pub looked: Option<Timestamp>,
    /// The parts of that look.
    pub parts: Vec<Part>,
    /// What was counted since the beginning.
    pub counts: BTreeMap<Count, u64>,
    /// What servers showed.
    pub certificates: Vec<Certificate>,
    /// When the verified path of an endpoint ends.
    pub chains: Vec<(String, Timestamp)>,
    /// When the last credential of an app ends.
    pub credentials: Vec<(String, Timestamp)>,
    /// Clocks, by source.
    pub clocks: Vec<(String, SignedDuration)>,
    /// States of services, in their vendor's words.
    pub upstream: Vec<(String, String)>,
    /// The Pexip deployment at this look.
    pub pexip: Option<PexipHealth>,
    /// Alarms by level.
    pub alarms: Vec<(&'static str, i32)>,
    /// Signs of life of instances.
    pub heartbeats: Vec<(String, Timestamp)>,
    /// Subscribers by state.
    pub subscribers: Vec<(&'static str, u64)>,
}

impl Found {
    /// Adds what another part found.
    pub fn absorb(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.signs.extend(other.signs);
        self.refusal = self.refusal.take().or(other.refusal);
        self.clock.extend(other.clock);
        self.parts.extend(other.parts);
        self.endpoints.extend(other.endpoints);
        self.pexip = self.pexip.take().or(other.pexip);
        let (ours, theirs) = (&mut self.shown, other.shown);
        for (count, by) in theirs.counts {
            *ours.counts.entry(count).or_default() += by;
        }
        ours.certificates.extend(theirs.certificates);
        ours.chains.extend(theirs.chains);
        ours.credentials.extend(theirs.credentials);
        ours.clocks.extend(theirs.clocks);
        ours.upstream.extend(theirs.upstream);
        ours.pexip = ours.pexip.take().or(theirs.pexip);
        ours.alarms.extend(theirs.alarms);
        ours.heartbeats.extend(theirs.heartbeats);
        ours.subscribers.extend(theirs.subscribers);
    }

    /// Nothing but why a part could not be looked at.
    pub fn refused(refusal: Refusal) -> Self {
        Self {
            refusal: Some(refusal),
            ..Self::default()
        }
    }
}
