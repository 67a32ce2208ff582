//! Subscribers that Webex is asked to provision.

use jiff::{SignedDuration, Timestamp};

use super::Subscribers;
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::{Severity, WebexHealth};
use crate::policy::connector::Finding;
use crate::policy::connector::learned::Learned;

const CONDITION: ConditionType = ConditionType::ProvisioningHealthy;
const SUBJECT: &str = "subscribers";
/// The BroadWorks user id is known already.
/// <https://developer.webex.com/docs/api/v1/broadworks-subscribers>
const USER_ID_IN_USE: i64 = 10_022;

/// Judges how provisioning goes.
pub(super) fn judge(spec: &WebexHealth, learned: &Learned<Subscribers>, now: Timestamp) -> Vec<Finding> {
    let unknown = |reason, message: String| vec![Finding::unknown(CONDITION, SUBJECT, reason, message)];
    let subscribers = match learned {
        Learned::Known(subscribers) => subscribers,
        Learned::Denied => {
            let message = "The token of Webex may not read subscribers: it needs the scope spark-admin:broadworks_subscribers_read.";
            return unknown(Reason::PermissionDenied, message.to_owned());
        }
        Learned::Refused(why) => return unknown(Reason::CredentialsRejected, why.clone()),
        Learned::Unavailable(why) => return unknown(Reason::ApiUnreachable, why.clone()),
    };
    let mut findings = errors(subscribers);
    findings.extend(stuck(spec, subscribers, now));
    if !findings.is_empty() {
        return findings;
    }
    if subscribers.complete {
        let message = "Webex provisions subscribers in time, and reports no error.";
        return vec![Finding::pass(CONDITION, SUBJECT, message)];
    }
    let message =
        "More subscribers wait at Webex than are read: narrow them down with spec.broadworks.webex.spEnterpriseId.";
    unknown(Reason::InsufficientEvidence, message.to_owned())
}

fn stuck(spec: &WebexHealth, subscribers: &Subscribers, now: Timestamp) -> Option<Finding> {
    let limit = SignedDuration::from_secs(spec.provisioning_timeout.seconds()?);
    let waits = now.duration_since(subscribers.oldest?);
    (waits > limit).then(|| {
        let message = format!(
            "Webex took the order to provision a subscriber and has not done it within {}: open a case with Webex, with the time of the order.",
            spec.provisioning_timeout.0
        );
        Finding::fail(CONDITION, SUBJECT, Severity::Warning, Reason::ProvisioningStuck, message)
    })
}

/// One finding for each reason, with the codes.
fn errors(subscribers: &Subscribers) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut rest = subscribers.errors.iter().peekable();
    while let Some((reason, code)) = rest.next() {
        let mut codes = vec![code.to_string()];
        while let Some((_, code)) = rest.next_if(|(next, _)| next == reason) {
            codes.push(code.to_string());
        }
        let message = format!(
            "Webex could not provision a subscriber ({}): {}.",
            codes.join(", "),
            remedy(*reason)
        );
        findings.push(Finding::fail(CONDITION, SUBJECT, Severity::Warning, *reason, message));
    }
    findings
}

fn remedy(reason: Reason) -> &'static str {
    match reason {
        Reason::UserConflict => {
            "its user id or mail address is known to Webex already; remove it there, or use another"
        }
        Reason::AdapterCredentialsRejected => {
            "BroadWorks and Partner Hub have different credentials for each other; enter the same in both"
        }
        Reason::OrganizationCreationDisabled => {
            "its organization does not exist and may not be made; make it first, or allow that in the template"
        }
        _ => "its profile is incomplete; it needs a phone number and a mail address that is valid and used once",
    }
}

/// What an error of a subscriber means, by its code or, where that is not known, by its description. The description may name
/// a person, so it is looked at and not kept.
pub fn reason_of(code: i64, description: &str) -> Reason {
    let text = description.to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|part| text.contains(part));
    if code == USER_ID_IN_USE || says(&["already", "in use", "conflict", "duplicate"]) {
        Reason::UserConflict
    } else if says(&["credential", "unauthori", "password"]) {
        Reason::AdapterCredentialsRejected
    } else if says(&["organization", "organisation"]) {
        Reason::OrganizationCreationDisabled
    } else {
        Reason::BadSubscriberProfile
    }
}
