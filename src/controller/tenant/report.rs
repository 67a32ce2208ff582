//! The status of a tenant.

use jiff::{SignedDuration, Timestamp};

use super::Findings;
use super::orphans::SHOWN;
use crate::api::condition::{self, ConditionType, Reason, Standing, Truth, Verdict, time};
use crate::api::tenant::{GraphTenant, GraphTenantStatus};
use crate::controller::news::in_use;

/// A clock this far off is told of; tokens and lifetimes begin to suffer.
const SKEW_LIMIT: SignedDuration = SignedDuration::from_secs(60);
/// A certificate is announced this long before it expires.
const EXPIRY_WARNING: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The status for what was found out.
pub fn next_status(tenant: &GraphTenant, findings: &Findings, now: Timestamp) -> GraphTenantStatus {
    let mut next = tenant.status.clone().unwrap_or_default();
    let generation = tenant.metadata.generation;
    next.observed_generation = generation.unwrap_or(0);
    next.credential_expiration_time = findings.credential_expires.map(time);
    if let Ok(grant) = &findings.sign_in {
        next.granted_permissions = grant.roles.clone().unwrap_or_default();
    }
    if let Some(ids) = &findings.orphans.ids {
        next.orphans = i32::try_from(ids.len()).ok().filter(|count| *count > 0);
        next.orphan_ids = ids.iter().take(SHOWN).cloned().collect();
    }
    let (standing, reason, message) = standing(findings);
    condition::set_standing(&mut next.conditions, standing, reason, &message, generation, now);
    for verdict in [
        authenticated(findings),
        permissions(findings),
        credentials(findings, now),
        clock(findings),
    ] {
        condition::set(&mut next.conditions, &verdict, generation, now);
    }
    next
}

/// A missing Secret or right keeps the operator from its work; what Entra answers does not.
fn standing(findings: &Findings) -> (Standing, Reason, String) {
    if !findings.users.is_empty() {
        return (Standing::Waiting, Reason::InUse, in_use(&findings.users));
    }
    match &findings.sign_in {
        Err(refusal) if refusal.stalled => (Standing::Stalled, refusal.reason, refusal.message.clone()),
        Err(refusal) if is_local(refusal.reason) || refusal.reason == Reason::NamespaceNotAllowed => {
            (Standing::Waiting, refusal.reason, refusal.message.clone())
        }
        _ => (Standing::Working, Reason::Accepted, "the spec is accepted".to_owned()),
    }
}

fn is_local(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::SecretNotFound | Reason::SecretKeyMissing | Reason::CredentialsMalformed
    )
}

fn authenticated(findings: &Findings) -> Verdict {
    match &findings.sign_in {
        Ok(_) => Verdict::new(
            ConditionType::Authenticated,
            true,
            Reason::Succeeded,
            "signing in succeeds",
        ),
        Err(refusal) => Verdict::new(ConditionType::Authenticated, false, refusal.reason, &refusal.message),
    }
}

fn permissions(findings: &Findings) -> Verdict {
    let verdict =
        |truth, reason, message: String| Verdict::new(ConditionType::PermissionsGranted, truth, reason, message);
    let Ok(grant) = &findings.sign_in else {
        return verdict(
            Truth::Unknown,
            Reason::PermissionsUnknown,
            "permissions show only after signing in".to_owned(),
        );
    };
    let Some(granted) = &grant.roles else {
        return verdict(
            Truth::Unknown,
            Reason::PermissionsUnknown,
            "the access token does not tell its permissions".to_owned(),
        );
    };
    let mut missing: Vec<String> = findings
        .watched
        .iter()
        .filter(|rule| !rule.permits(granted))
        .map(|rule| rule.permissions.join(" or "))
        .collect();
    missing.sort();
    missing.dedup();
    if missing.is_empty() {
        return verdict(
            Truth::True,
            Reason::Succeeded,
            "the app has the permissions that its subscriptions need".to_owned(),
        );
    }
    let message = format!(
        "the app lacks application permissions: {}; grant them in Entra with admin consent",
        missing.join("; ")
    );
    verdict(Truth::False, Reason::PermissionMissing, message)
}

fn credentials(findings: &Findings, now: Timestamp) -> Verdict {
    let verdict =
        |truth: Truth, reason, message: String| Verdict::new(ConditionType::CredentialsValid, truth, reason, message);
    if let Some(expires) = findings.credential_expires {
        let at = condition::time(expires).0;
        if expires <= now {
            return verdict(
                Truth::False,
                Reason::CertificateExpired,
                format!("the certificate expired at {at}; register and store a new one"),
            );
        }
        if expires <= now + EXPIRY_WARNING {
            return verdict(
                Truth::True,
                Reason::CertificateExpiring,
                format!("the certificate expires at {at}; register and store a new one"),
            );
        }
    }
    match &findings.sign_in {
        Ok(_) => verdict(
            Truth::True,
            Reason::Succeeded,
            "the credentials are accepted".to_owned(),
        ),
        Err(refusal) if is_about_credentials(refusal.reason) => {
            verdict(Truth::False, refusal.reason, refusal.message.clone())
        }
        Err(refusal) => verdict(
            Truth::Unknown,
            refusal.reason,
            "signing in fails for another reason".to_owned(),
        ),
    }
}

fn is_about_credentials(reason: Reason) -> bool {
    is_local(reason) || matches!(reason, Reason::CredentialsRejected | Reason::CertificateExpired)
}

fn clock(findings: &Findings) -> Verdict {
    let verdict = |truth, reason, message: &str| Verdict::new(ConditionType::ClockSynchronized, truth, reason, message);
    match findings.skew {
        None => verdict(
            Truth::Unknown,
            Reason::NotObserved,
            "no answer of Microsoft's was seen yet",
        ),
        Some(skew) if skew.abs() <= SKEW_LIMIT => {
            verdict(Truth::True, Reason::Succeeded, "the clock agrees with Microsoft's")
        }
        Some(skew) if skew.is_positive() => verdict(
            Truth::False,
            Reason::ClockSkewed,
            "the clock of this cluster is behind Microsoft's by more than a minute; the operator corrects for it, other software may not",
        ),
        Some(_) => verdict(
            Truth::False,
            Reason::ClockSkewed,
            "the clock of this cluster is ahead of Microsoft's by more than a minute; the operator corrects for it, other software may not",
        ),
    }
}

#[cfg(test)]
mod tests;
