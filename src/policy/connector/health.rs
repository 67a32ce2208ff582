//! From findings to conditions, and from conditions to one word.

use crate::api::condition::{ConditionType, Reason, Truth, Verdict};
use crate::api::connector::{Health, Severity, TeamsConnectorHealthSpec};

use super::{Finding, Outcome};

/// Every condition that speaks of the connector, in the order in which they are told: what comes first is most often the cause
/// of what comes after.
pub const CONDITIONS: [ConditionType; 13] = [
    ConditionType::EndpointReachable,
    ConditionType::CertificatesValid,
    ConditionType::TenantMatches,
    ConditionType::ConsentGranted,
    ConditionType::CredentialsValid,
    ConditionType::InstancesHealthy,
    ConditionType::CapacityAvailable,
    ConditionType::RoutingValid,
    ConditionType::CallsSucceeding,
    ConditionType::ProvisioningHealthy,
    ConditionType::UpstreamOperational,
    ConditionType::ClockSynchronized,
    ConditionType::InputsValid,
];

/// Messages of one condition that are told; more would not be read.
const TOLD: usize = 4;

/// A condition as one look has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What it is, and why.
    pub verdict: Verdict,
    /// How bad it is, when it is false.
    pub severity: Option<Severity>,
}

/// Conditions that the spec asks for: each is told, and unknown where nothing was found out.
pub fn asked_for(spec: &TeamsConnectorHealthSpec) -> Vec<ConditionType> {
    use crate::api::connector::{CallFeed, EndpointProtocol};
    let (pexip, microsoft) = (spec.pexip.as_ref(), spec.microsoft.as_ref());
    let xsps = spec
        .broadworks
        .as_ref()
        .is_some_and(|broadworks| broadworks.xsps.is_some());
    let webex = spec
        .broadworks
        .as_ref()
        .and_then(|broadworks| broadworks.webex.as_ref());
    let tls = spec
        .endpoints
        .iter()
        .any(|endpoint| endpoint.protocol == EndpointProtocol::Tls);
    let http = spec.endpoints.iter().any(|endpoint| endpoint.http.is_some());
    let apps = microsoft.map_or(&[][..], |microsoft| &microsoft.applications);
    let upstream = microsoft.is_some_and(|microsoft| microsoft.service_health.enabled)
        || webex.is_some_and(|webex| webex.status_url.is_some());
    let wanted = |type_: &ConditionType| match type_ {
        ConditionType::EndpointReachable => !spec.endpoints.is_empty(),
        ConditionType::CertificatesValid => tls,
        ConditionType::TenantMatches => microsoft.is_some(),
        ConditionType::ConsentGranted => !apps.is_empty(),
        ConditionType::CredentialsValid => apps.iter().any(|app| app.registered_here),
        ConditionType::InstancesHealthy | ConditionType::CapacityAvailable | ConditionType::RoutingValid => {
            pexip.is_some()
        }
        ConditionType::CallsSucceeding => pexip.is_some_and(|pexip| pexip.call_feed != CallFeed::None),
        ConditionType::ProvisioningHealthy => xsps || webex.is_some(),
        ConditionType::UpstreamOperational => upstream,
        // Each answer over HTTP has a time.
        ConditionType::ClockSynchronized => http || pexip.is_some() || microsoft.is_some() || xsps || webex.is_some(),
        ConditionType::InputsValid => spec.inputs.is_some(),
        _ => false,
    };
    CONDITIONS.into_iter().filter(wanted).collect()
}

/// What the findings say of one condition: the worst of them. `None` when they do not speak of it.
pub fn fold(type_: ConditionType, findings: &[Finding]) -> Option<Judged> {
    let of_it: Vec<&Finding> = findings.iter().filter(|finding| finding.condition == type_).collect();
    let worst = of_it.iter().map(|finding| rank(finding)).max()?;
    if worst == PASSED {
        let message = match of_it.as_slice() {
            [finding] => finding.message.clone(),
            several => format!("all {} checks pass", several.len()),
        };
        return Some(Judged {
            verdict: Verdict::new(type_, true, Reason::Succeeded, message),
            severity: None,
        });
    }
    let mut told: Vec<(Reason, &str, &str)> = of_it
        .iter()
        .filter(|finding| rank(finding) == worst)
        .filter_map(|finding| Some((finding.reason()?, finding.subject.as_str(), finding.message.as_str())))
        .collect();
    told.sort_unstable();
    told.dedup();
    let (reason, ..) = *told.first()?;
    let severity = of_it
        .iter()
        .find(|finding| rank(finding) == worst)
        .and_then(|finding| severity(finding));
    let truth = if severity.is_some() {
        Truth::False
    } else {
        Truth::Unknown
    };
    Some(Judged {
        verdict: Verdict::new(type_, truth, reason, told_together(&told)),
        severity,
    })
}

const PASSED: u8 = 0;

/// The worst outcome wins; what is told as a diagnosis alone counts as passed.
fn rank(finding: &Finding) -> u8 {
    match finding.outcome {
        Outcome::Pass | Outcome::Fail(Severity::Info, _) => PASSED,
        Outcome::Unknown(_) => 1,
        Outcome::Fail(Severity::Warning, _) => 2,
        Outcome::Fail(Severity::Critical, _) => 3,
    }
}

/// How bad a fault is; `None` for what is no fault of the condition.
fn severity(finding: &Finding) -> Option<Severity> {
    match finding.outcome {
        Outcome::Fail(severity, _) if severity != Severity::Info => Some(severity),
        _ => None,
    }
}

fn told_together(told: &[(Reason, &str, &str)]) -> String {
    let mut messages: Vec<&str> = Vec::new();
    for (_, _, message) in told {
        if !messages.contains(message) {
            messages.push(message);
        }
    }
    let more = messages.len().saturating_sub(TOLD);
    messages.truncate(TOLD);
    let text = messages.join(" ");
    if more > 0 {
        format!("{text} And {more} more.")
    } else {
        text
    }
}

/// What stands above the conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Above {
    /// Nothing: they count.
    Nothing,
    /// The user ended all probes.
    Suspended,
    /// A window of maintenance is open.
    Maintenance,
}

/// The verdict on the whole connector, and the same in one word. `conditions` are in the order of [`CONDITIONS`].
pub fn verdict(above: Above, conditions: &[Judged]) -> (Verdict, Health) {
    let healthy = |truth: Truth, reason, message: String| Verdict::new(ConditionType::Healthy, truth, reason, message);
    match above {
        Above::Suspended => {
            let message = "spec.suspend is true: nothing is probed, and the other conditions are as they were";
            return (
                healthy(Truth::Unknown, Reason::Suspended, message.to_owned()),
                Health::Unknown,
            );
        }
        Above::Maintenance => {
            let message = "a window of spec.maintenance is open: failures are expected";
            return (
                healthy(Truth::Unknown, Reason::Maintenance, message.to_owned()),
                Health::Unknown,
            );
        }
        Above::Nothing => {}
    }
    let with = |truth| move |judged: &&Judged| judged.verdict.truth == truth;
    let is_critical = |judged: &&Judged| judged.severity != Some(Severity::Warning);
    let told = |judged: &Judged| format!("{}: {}", judged.verdict.type_, judged.verdict.message);
    let mut failing = conditions.iter().filter(with(Truth::False));
    if let Some(critical) = failing.clone().find(is_critical) {
        return (
            healthy(Truth::False, critical.verdict.reason, told(critical)),
            Health::Unhealthy,
        );
    }
    if let Some(warning) = failing.next() {
        return (healthy(Truth::False, Reason::Degraded, told(warning)), Health::Degraded);
    }
    let unknown: Vec<&Judged> = conditions
        .iter()
        .filter(with(Truth::Unknown))
        .filter(|judged| !says_nothing(judged.verdict.reason))
        .collect();
    if let Some(first) = unknown.iter().find(|judged| judged.verdict.reason != Reason::Settling) {
        return (
            healthy(Truth::Unknown, Reason::InsufficientEvidence, told(first)),
            Health::Unknown,
        );
    }
    if let Some(first) = unknown.first() {
        return (healthy(Truth::Unknown, Reason::Settling, told(first)), Health::Unknown);
    }
    if !conditions.iter().any(|judged| judged.verdict.truth == Truth::True) {
        let message = "nothing was found out yet".to_owned();
        return (
            healthy(Truth::Unknown, Reason::InsufficientEvidence, message),
            Health::Unknown,
        );
    }
    (
        healthy(Truth::True, Reason::Succeeded, "nothing fails".to_owned()),
        Health::Healthy,
    )
}

/// Reasons of what cannot be known just then, and need not be: a night without calls, a firewall that admits the nodes alone. They
/// leave their condition unknown and the connector healthy; otherwise nearly every connector would be unknown for most of the time.
fn says_nothing(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NoTraffic | Reason::NoSamples | Reason::NotReachableFromCluster | Reason::ReplicationGrace
    )
}

#[cfg(test)]
mod tests;
