//! Whether an app's secrets and certificates last.

use jiff::{SignedDuration, Timestamp};

use super::{AppCredential, ApplicationEvidence};
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::{CredentialLimits, Severity};
use crate::policy::connector::Finding;

const CONDITION: ConditionType = ConditionType::CredentialsValid;

/// Judges the credentials of one app, if its registration was asked for and there is one.
///
/// Which of several the connector uses is not known: the one that lasts longest counts, and others are told.
pub(super) fn judge(limits: CredentialLimits, app: &ApplicationEvidence, now: Timestamp) -> Vec<Finding> {
    let id = &app.app_id;
    let Some(registration) = &app.registration else {
        return Vec::new();
    };
    let credentials = match registration.or_unknown(CONDITION, id, "Application.Read.All") {
        Ok(Some(credentials)) => credentials,
        // That there is no registration is told with the consent.
        Ok(None) => return Vec::new(),
        Err(unknown) => return vec![unknown],
    };
    let Some(longest) = credentials.iter().max_by_key(|credential| credential.end) else {
        let message = format!("The app {id} has no secret and no certificate that could end.");
        return vec![Finding::pass(CONDITION, id, message)];
    };
    let mut findings = vec![last(limits, id, longest, now)];
    let others = credentials.iter().filter(|one| *one != longest && one.end > now);
    let ending = others.filter(|one| days_before(one.end, limits.warn_days, now));
    if findings.iter().all(|finding| finding.reason().is_none()) {
        findings.extend(ending.map(|one| another(limits, id, one)));
    }
    findings
}

fn last(limits: CredentialLimits, id: &str, one: &AppCredential, now: Timestamp) -> Finding {
    let (kind, name) = (one.kind, &one.name);
    if one.end <= now {
        let message = format!(
            "Every secret and certificate of the app {id} has ended, the {kind} {name:?} last: make a new one and give it to the connector."
        );
        return Finding::fail(CONDITION, id, Severity::Critical, Reason::CredentialExpired, message);
    }
    let (severity, days) = if days_before(one.end, limits.critical_days, now) {
        (Severity::Critical, limits.critical_days)
    } else if days_before(one.end, limits.warn_days, now) {
        (Severity::Warning, limits.warn_days)
    } else {
        return Finding::pass(CONDITION, id, format!("The credentials of the app {id} last."));
    };
    let message = format!(
        "The {kind} {name:?}, the last of the app {id}, ends in less than {days} days: make a new one and give it to the connector."
    );
    Finding::fail(CONDITION, id, severity, Reason::CredentialExpiringSoon, message)
}

fn another(limits: CredentialLimits, id: &str, one: &AppCredential) -> Finding {
    let message = format!(
        "The {} {:?} of the app {id} ends in less than {} days, others last longer: see that the connector does not use it.",
        one.kind, one.name, limits.warn_days
    );
    Finding::fail(CONDITION, id, Severity::Info, Reason::CredentialExpiringSoon, message)
}

fn days_before(end: Timestamp, days: i32, now: Timestamp) -> bool {
    end.duration_since(now) < SignedDuration::from_hours(24 * i64::from(days))
}
