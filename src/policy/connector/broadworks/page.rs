//! Webex' word on its own services. <https://status.webex.com/api>

use super::StatusPage;
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::Severity;
use crate::policy::connector::learned::Learned;
use crate::policy::connector::{Finding, Outcome};

const CONDITION: ConditionType = ConditionType::UpstreamOperational;
/// What calls of BroadWorks subscribers depend on, by parts of the names of components.
const RELEVANT: [&str; 6] = [
    "broadworks",
    "calling",
    "webex app",
    "messaging",
    "control hub",
    "identity",
];
/// Incidents that are told, and characters of their names.
const MOST_INCIDENTS: usize = 3;
const LONGEST_NAME: usize = 120;

/// Judges the components that matter, and tells of incidents.
pub(super) fn judge(learned: &Learned<StatusPage>) -> Vec<Finding> {
    let page = match learned {
        Learned::Known(page) => page,
        Learned::Denied | Learned::Refused(_) => return vec![unreachable("it asks for a login")],
        Learned::Unavailable(why) => return vec![unreachable(why)],
    };
    let relevant = page.components.iter().filter(|(name, _)| is_relevant(name));
    let mut findings: Vec<Finding> = relevant.map(|(name, status)| component(name, status)).collect();
    if findings.is_empty() {
        let message = "Webex' status page names no component that BroadWorks depends on: correct spec.broadworks.webex.statusUrl.";
        findings.push(Finding::unknown(
            CONDITION,
            "Webex",
            Reason::InsufficientEvidence,
            message,
        ));
    }
    let incidents = page
        .incidents
        .iter()
        .filter(|name| is_relevant(name))
        .take(MOST_INCIDENTS);
    findings.extend(incidents.map(|name| incident(name)));
    findings
}

fn is_relevant(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    RELEVANT.iter().any(|part| name.contains(part))
}

fn unreachable(why: &str) -> Finding {
    let message = format!("Webex' status page cannot be read: {why}.");
    Finding::unknown(CONDITION, "Webex", Reason::ApiUnreachable, message)
}

fn component(name: &str, status: &str) -> Finding {
    let (outcome, message) = match status.to_ascii_lowercase().as_str() {
        "operational" => (Outcome::Pass, format!("Webex calls {name} operational.")),
        "under_maintenance" => (
            Outcome::Fail(Severity::Info, Reason::VendorIncident),
            format!("Webex maintains {name}."),
        ),
        "degraded_performance" => (
            Outcome::Fail(Severity::Warning, Reason::ServiceDegradation),
            format!("Webex calls {name} degraded: wait, and follow its status page."),
        ),
        "partial_outage" => (
            Outcome::Fail(Severity::Warning, Reason::ServiceInterruption),
            format!("Webex reports a partial outage of {name}: wait, and follow its status page."),
        ),
        "major_outage" => (
            Outcome::Fail(Severity::Critical, Reason::ServiceInterruption),
            format!("Webex reports an outage of {name}: wait, and follow its status page."),
        ),
        _ => (
            Outcome::Unknown(Reason::InsufficientEvidence),
            format!("Webex gives {name} a state that is not known here."),
        ),
    };
    Finding {
        condition: CONDITION,
        subject: name.to_owned(),
        outcome,
        message,
    }
}

fn incident(name: &str) -> Finding {
    let name: String = name
        .chars()
        .filter(|one| !one.is_control())
        .take(LONGEST_NAME)
        .collect();
    let message = format!("Webex reports an incident: {name}.");
    Finding::fail(CONDITION, name, Severity::Info, Reason::VendorIncident, message)
}
