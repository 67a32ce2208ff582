//! Webex for BroadWorks: its XSPs, its subscribers, and Webex' word on its own services.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Finding;
use super::clock::ClockSample;
use super::learned::Learned;
use crate::api::condition::Reason;
use crate::api::connector::BroadWorksHealth;

mod page;
mod provisioning;
mod xsp;

pub use provisioning::reason_of;

/// What one look found out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BroadWorksEvidence {
    /// The XSPs, in the order of the spec.
    pub xsps: Vec<XspEvidence>,
    /// Subscribers that are not simply there. `None`: not asked for.
    pub subscribers: Option<Learned<Subscribers>>,
    /// The status page. `None`: not asked for.
    pub page: Option<Learned<StatusPage>>,
    /// What the answers told of the time.
    pub clock: Vec<ClockSample>,
}

/// What an XSP answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XspEvidence {
    /// Its address without the scheme.
    pub name: String,
    /// To a request without a login.
    pub application: Reply,
    /// To the login of the test subscriber, if there is one and the application answered.
    pub login: Option<Reply>,
    /// Types of the devices of the test subscriber, if they were asked for and the login worked.
    pub devices: Option<Learned<Vec<String>>>,
}

/// What became of a request to an XSP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// This status.
    Status(u16),
    /// Its certificate is not acceptable. Why, as the end of a sentence.
    NotTrusted(String),
    /// No answer. Why, as the end of a sentence.
    Lost(String),
}

/// Subscribers whose provisioning has not ended well, without anything that would tell who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscribers {
    /// How many, by status. Those that are provisioned, or wait for a person, are not asked for.
    pub counts: BTreeMap<String, u32>,
    /// Since when the first of those that wait for Webex waits.
    pub oldest: Option<Timestamp>,
    /// What went wrong with some, with Webex' code.
    pub errors: BTreeSet<(Reason, i64)>,
    /// Whether all were read; the number of pages is limited.
    pub complete: bool,
}

/// What Webex says of its own services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusPage {
    /// Names and states of its components.
    pub components: Vec<(String, String)>,
    /// Names of the incidents that are not resolved.
    pub incidents: Vec<String>,
}

/// Judges all of it.
pub fn judge(spec: &BroadWorksHealth, evidence: &BroadWorksEvidence, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(xsps) = &spec.xsps {
        findings.extend(xsp::judge(xsps, &evidence.xsps));
    }
    if let (Some(webex), Some(subscribers)) = (&spec.webex, &evidence.subscribers) {
        findings.extend(provisioning::judge(webex, subscribers, now));
    }
    if let Some(page) = &evidence.page {
        findings.extend(page::judge(page));
    }
    findings
}

#[cfg(test)]
mod tests;
