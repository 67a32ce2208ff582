//! Microsoft's word on its own services.
//! <https://learn.microsoft.com/graph/api/resources/servicehealth>

use super::ServiceState;
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::Severity;
use crate::policy::connector::learned::Learned;
use crate::policy::connector::{Finding, Outcome};

const CONDITION: ConditionType = ConditionType::UpstreamOperational;
/// Issues that a sentence names.
const NAMED: usize = 3;

/// Judges the services that count.
pub(super) fn judge(wanted: &[String], learned: &Learned<Vec<ServiceState>>) -> Vec<Finding> {
    let services = match learned.or_unknown(CONDITION, "", "ServiceHealth.Read.All") {
        Ok(services) => services,
        Err(unknown) => return vec![unknown],
    };
    let known = |name: &String| services.iter().find(|one| one.service.eq_ignore_ascii_case(name));
    let judged = wanted
        .iter()
        .map(|name| known(name).map_or_else(|| unheard_of(name), |state| service(name, state)));
    judged.collect()
}

fn unheard_of(name: &str) -> Finding {
    let message = format!(
        "Microsoft's service health knows no service called {name}: correct spec.microsoft.serviceHealth.services."
    );
    Finding::unknown(CONDITION, name, Reason::InsufficientEvidence, message)
}

fn service(name: &str, state: &ServiceState) -> Finding {
    let outcome = outcome(&state.status);
    let issues = issues(&state.issues);
    let message = match outcome {
        Outcome::Pass => format!("Microsoft calls {name} operational."),
        Outcome::Fail(Severity::Info, _) => format!("Microsoft watches an issue of {name}{issues}."),
        Outcome::Fail(_, Reason::ServiceDegradation) => {
            format!("Microsoft calls {name} degraded{issues}: wait, and follow it in the admin center.")
        }
        Outcome::Fail(..) => {
            format!("Microsoft calls {name} interrupted{issues}: wait, and follow it in the admin center.")
        }
        Outcome::Unknown(_) => format!("Microsoft gives {name} a state that is not known here{issues}."),
    };
    Finding {
        condition: CONDITION,
        subject: name.to_owned(),
        outcome,
        message,
    }
}

/// The 18 values, in whatever case they come: the samples of the documentation differ from its list.
fn outcome(status: &str) -> Outcome {
    match status.to_ascii_lowercase().as_str() {
        "serviceoperational"
        | "servicerestored"
        | "postincidentreviewpublished"
        | "falsepositive"
        | "resolved"
        | "mitigated"
        | "resolvedexternal"
        | "mitigatedexternal" => Outcome::Pass,
        "investigating"
        | "verifyingservice"
        | "restoringservice"
        | "extendedrecovery"
        | "investigationsuspended"
        | "confirmed"
        | "reported" => Outcome::Fail(Severity::Info, Reason::VendorIncident),
        "servicedegradation" => Outcome::Fail(Severity::Warning, Reason::ServiceDegradation),
        "serviceinterruption" => Outcome::Fail(Severity::Critical, Reason::ServiceInterruption),
        // `unknownFutureValue`, and what else the future brings.
        _ => Outcome::Unknown(Reason::InsufficientEvidence),
    }
}

fn issues(ids: &[String]) -> String {
    let named: Vec<&str> = ids.iter().take(NAMED).map(String::as_str).collect();
    match (named.is_empty(), ids.len() > NAMED) {
        (true, _) => String::new(),
        (false, false) => format!(" ({})", named.join(", ")),
        (false, true) => format!(" ({} and others)", named.join(", ")),
    }
}
