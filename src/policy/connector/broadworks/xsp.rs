//! Xsi-Actions at the XSPs.

use super::{Reply, XspEvidence};
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::{Severity, XspHealth};
use crate::policy::connector::Finding;
use crate::policy::connector::learned::Learned;

const REACHABLE: ConditionType = ConditionType::EndpointReachable;
const LOGIN: ConditionType = ConditionType::ProvisioningHealthy;

/// Judges each XSP, and whether all accept the same login.
pub(super) fn judge(spec: &XspHealth, xsps: &[XspEvidence]) -> Vec<Finding> {
    let works = |xsp: &&XspEvidence| xsp.application == Reply::Status(401);
    // While one works, subscribers are served.
    let severity = if xsps.iter().any(|xsp| works(&xsp)) {
        Severity::Warning
    } else {
        Severity::Critical
    };
    let mut findings: Vec<Finding> = xsps.iter().map(|xsp| application(xsp, severity)).collect();
    if spec.test_subscriber_secret_ref.is_some() {
        findings.extend(logins(xsps));
    }
    if let Some(type_) = &spec.device_type {
        findings.extend(devices(type_, xsps));
    }
    findings
}

/// 401 is what Xsi-Actions answers who does not log in: the application works.
fn application(xsp: &XspEvidence, severity: Severity) -> Finding {
    let name = &xsp.name;
    let (reason, message) = match &xsp.application {
        Reply::Status(401) => {
            return Finding::pass(REACHABLE, name, format!("Xsi-Actions works at {name}."));
        }
        Reply::Status(404) => (
            Reason::UnexpectedHttpStatus,
            format!("There is no Xsi-Actions at {name} (404): deploy it there, or correct the address."),
        ),
        Reply::Status(403) => (
            Reason::UnexpectedHttpStatus,
            format!(
                "{name} refuses the request before it asks for a login (403): use its host name, and see what stands before it."
            ),
        ),
        Reply::Status(status) if (200..300).contains(status) => (
            Reason::UnexpectedHttpStatus,
            format!("{name} answers without asking for a login ({status}): something else than Xsi-Actions is there."),
        ),
        Reply::Status(status) => (
            Reason::UnexpectedHttpStatus,
            format!("Xsi-Actions at {name} answers with status {status}: see its logs."),
        ),
        Reply::NotTrusted(why) => (
            Reason::CertificateNotTrusted,
            format!("{name} cannot be trusted: {why}."),
        ),
        Reply::Lost(why) => (Reason::ConnectionFailed, format!("{name} cannot be reached: {why}.")),
    };
    Finding::fail(REACHABLE, name, severity, reason, message)
}

fn logins(xsps: &[XspEvidence]) -> Vec<Finding> {
    let with = |wanted: fn(&Reply) -> bool| {
        let found = xsps.iter().filter(move |xsp| xsp.login.as_ref().is_some_and(wanted));
        found.collect::<Vec<_>>()
    };
    let accepted = with(|reply| *reply == Reply::Status(200));
    let refused = with(|reply| *reply == Reply::Status(401));
    let odd = with(|reply| !matches!(reply, Reply::Status(200 | 401)));
    let mut findings: Vec<Finding> = odd.into_iter().filter_map(odd_login).collect();
    match (accepted.is_empty(), refused.is_empty()) {
        (true, true) => {}
        (false, true) => {
            findings.push(Finding::pass(LOGIN, "login", "The test subscriber can log in at each XSP that answers."));
        }
        (true, false) => findings.push(Finding::unknown(
            LOGIN,
            "login",
            Reason::CredentialsRejected,
            "Every XSP refuses the test subscriber: correct username and password in its Secret, or unlock it on BroadWorks.",
        )),
        (false, false) => findings.extend(refused.into_iter().map(mismatch)),
    }
    findings
}

fn mismatch(xsp: &XspEvidence) -> Finding {
    let message = format!(
        "{} refuses a login that another XSP accepts: give all XSPs the same keys of the authentication service, and restart it.",
        xsp.name
    );
    Finding::fail(LOGIN, &xsp.name, Severity::Critical, Reason::LoginMismatch, message)
}

fn odd_login(xsp: &XspEvidence) -> Option<Finding> {
    let name = &xsp.name;
    let (severity, reason, message) = match xsp.login.as_ref()? {
        Reply::Status(403) => {
            let message =
                format!("{name} lets the test subscriber in but not see itself (403): give it access to Xsi.");
            return Some(Finding::unknown(LOGIN, name, Reason::PermissionDenied, message));
        }
        Reply::Status(404) => {
            let message =
                format!("{name} does not know the test subscriber (404): correct the username in its Secret.");
            return Some(Finding::unknown(LOGIN, name, Reason::CredentialsRejected, message));
        }
        Reply::Status(status) => (
            Severity::Warning,
            Reason::UnexpectedHttpStatus,
            format!("{name} answers the login of the test subscriber with status {status}: see its logs."),
        ),
        Reply::NotTrusted(why) | Reply::Lost(why) => (
            Severity::Warning,
            Reason::ConnectionFailed,
            format!("{name} does not answer the login of the test subscriber: {why}."),
        ),
    };
    Some(Finding::fail(LOGIN, name, severity, reason, message))
}

/// What one XSP says holds for all: they ask the same application server.
fn devices(type_: &str, xsps: &[XspEvidence]) -> Option<Finding> {
    let learned = xsps.iter().filter_map(|xsp| xsp.devices.as_ref());
    let best = learned.max_by_key(|learned| matches!(learned, Learned::Known(_)))?;
    Some(match best {
        Learned::Known(devices) if devices.iter().any(|device| device.trim().eq_ignore_ascii_case(type_)) => {
            Finding::pass(
                LOGIN,
                "device",
                format!("The test subscriber has a device of type {type_:?}."),
            )
        }
        Learned::Known(_) => {
            let message = format!(
                "The test subscriber has no device of type {type_:?}, so Webex finds no profile to register with: assign one on BroadWorks."
            );
            Finding::fail(LOGIN, "device", Severity::Warning, Reason::DeviceTypeMissing, message)
        }
        Learned::Denied => {
            let message = "The test subscriber may not see its devices: give it access to Xsi.";
            Finding::unknown(LOGIN, "device", Reason::PermissionDenied, message)
        }
        Learned::Refused(why) => Finding::unknown(LOGIN, "device", Reason::CredentialsRejected, why),
        Learned::Unavailable(why) => Finding::unknown(LOGIN, "device", Reason::ApiUnreachable, why),
    })
}
