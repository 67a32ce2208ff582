//! The Microsoft side of a connector: the tenant, the consent, the credentials, and Microsoft's word on its own services.

use jiff::{SignedDuration, Timestamp};

use super::Finding;
use super::clock::ClockSample;
use super::learned::Learned;
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::{Microsoft, Severity};

mod consent;
mod credentials;
mod upstream;

/// What one look found out.
#[derive(Clone, Debug, PartialEq)]
pub struct MicrosoftEvidence {
    /// Where the tenant's id leads.
    pub tenant: Discovery,
    /// Where the domain leads, if one is named.
    pub domain: Option<Discovery>,
    /// Id of the tenant that Graph was asked in, where it is known. `None` without a `GraphTenant`.
    pub asked_in: Option<String>,
    /// The apps, in the order of the spec; empty without a `GraphTenant`.
    pub applications: Vec<ApplicationEvidence>,
    /// All services that Microsoft speaks of. `None`: not asked for.
    pub services: Option<Learned<Vec<ServiceState>>>,
    /// What the answers told of the time.
    pub clock: Vec<ClockSample>,
}

/// What Microsoft answers who asks for a tenant without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// Its id.
    Tenant(String),
    /// There is none.
    NotFound,
    /// No answer that can be read. Why, as the end of a sentence.
    Unavailable(String),
}

/// What is known of one app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationEvidence {
    /// Application (client) id.
    pub app_id: String,
    /// Its service principal, which consent makes. `None`: there is none.
    pub principal: Learned<Option<Principal>>,
    /// Secrets and certificates of its registration; the inner `None`: there is no registration. The outer: not asked for.
    pub registration: Option<Learned<Option<Vec<AppCredential>>>>,
    /// For how long the service principal or roles are seen to be missing without interruption.
    pub lacking_for: Option<SignedDuration>,
}

/// A service principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Whether it may sign in.
    pub enabled: bool,
    /// Whether Microsoft has disabled the app.
    pub disabled_by_microsoft: bool,
    /// Names of the application permissions of Graph that were granted. Left empty where none are required.
    pub roles: Learned<Vec<String>>,
}

/// A secret or certificate of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppCredential {
    /// `secret` or `certificate`.
    pub kind: &'static str,
    /// What it is called, or its key id.
    pub name: String,
    /// When it ends.
    pub end: Timestamp,
}

/// What Microsoft says of one of its services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceState {
    /// Its name, such as `Microsoft Teams`.
    pub service: String,
    /// Its state in Microsoft's words.
    pub status: String,
    /// Ids of the issues that are open, sorted.
    pub issues: Vec<String>,
}

impl ApplicationEvidence {
    /// When the last of its credentials ends, for the metric.
    pub fn credential_end(&self) -> Option<Timestamp> {
        match &self.registration {
            Some(Learned::Known(Some(credentials))) => credentials.iter().map(|credential| credential.end).max(),
            _ => None,
        }
    }
}

impl<T> Learned<T> {
    /// The answer, or the finding that says why there is none.
    fn or_unknown(&self, condition: ConditionType, subject: &str, permission: &str) -> Result<&T, Finding> {
        let (reason, message) = match self {
            Self::Known(answer) => return Ok(answer),
            Self::Denied => {
                let message = format!(
                    "The app of the GraphTenant may not look: grant it the application permission {permission}, with admin consent."
                );
                (Reason::PermissionDenied, message)
            }
            Self::Refused(why) => (Reason::CredentialsRejected, why.clone()),
            Self::Unavailable(why) => (Reason::ApiUnreachable, why.clone()),
        };
        Err(Finding::unknown(condition, subject, reason, message))
    }
}

/// Judges all of it.
pub fn judge(spec: &Microsoft, evidence: &MicrosoftEvidence, now: Timestamp) -> Vec<Finding> {
    let mut findings = vec![tenant(spec, evidence)];
    findings.extend(domain(spec, evidence));
    let elsewhere = elsewhere(spec, evidence);
    if let Some(other) = elsewhere {
        findings.push(asked_elsewhere(spec, other));
    }
    for app in &evidence.applications {
        let required = spec.applications.iter().find(|one| one.app_id == app.app_id);
        let required = required.map_or(&[][..], |one| &one.required_roles);
        findings.push(consent::judge(app, required, elsewhere));
        findings.extend(credentials::judge(spec.credential_expiry, app, now));
    }
    if let Some(services) = &evidence.services {
        findings.extend(upstream::judge(&spec.service_health.services, services));
    }
    findings
}

fn tenant(spec: &Microsoft, evidence: &MicrosoftEvidence) -> Finding {
    let (condition, id) = (ConditionType::TenantMatches, spec.tenant_id.as_str());
    match &evidence.tenant {
        Discovery::Tenant(found) if found.eq_ignore_ascii_case(id) => {
            Finding::pass(condition, id, format!("Microsoft knows the tenant {id}."))
        }
        Discovery::Tenant(found) => mismatch(id, format!("The tenant id {id} leads to the tenant {found}.")),
        Discovery::NotFound => {
            let hint = match &evidence.domain {
                Some(Discovery::Tenant(found)) => {
                    format!(
                        "the domain {} leads to {found}",
                        spec.domain.as_deref().unwrap_or_default()
                    )
                }
                _ => "correct spec.microsoft.tenantId, and the connector's own setting if it is the same".to_owned(),
            };
            let message = format!("Microsoft knows no tenant with the id {id}: {hint}.");
            Finding::fail(condition, id, Severity::Critical, Reason::TenantNotFound, message)
        }
        Discovery::Unavailable(why) => unavailable(id, why),
    }
}

fn domain(spec: &Microsoft, evidence: &MicrosoftEvidence) -> Option<Finding> {
    let (condition, id) = (ConditionType::TenantMatches, &spec.tenant_id);
    let (name, found) = (spec.domain.as_deref()?, evidence.domain.as_ref()?);
    Some(match found {
        Discovery::Tenant(found) if found.eq_ignore_ascii_case(id) => {
            Finding::pass(condition, name, format!("The domain {name} leads to the tenant {id}."))
        }
        Discovery::Tenant(found) => mismatch(
            name,
            format!(
                "The domain {name} leads to the tenant {found}, not to {id}: correct the tenant id here and in the connector, or the domain."
            ),
        ),
        Discovery::NotFound => {
            let message =
                format!("Microsoft knows no tenant of the domain {name}: correct it, or verify it in its tenant.");
            Finding::fail(condition, name, Severity::Critical, Reason::TenantNotFound, message)
        }
        Discovery::Unavailable(why) => unavailable(name, why),
    })
}

fn mismatch(subject: &str, message: String) -> Finding {
    Finding::fail(
        ConditionType::TenantMatches,
        subject,
        Severity::Critical,
        Reason::TenantIdMismatch,
        message,
    )
}

fn unavailable(subject: &str, why: &str) -> Finding {
    Finding::unknown(
        ConditionType::TenantMatches,
        subject,
        Reason::DiscoveryUnavailable,
        format!("Whether Microsoft knows {subject} cannot be found out: {why}."),
    )
}

/// The tenant that Graph was asked in, if it is another than that in which Teams lives: what is found there proves nothing.
fn elsewhere<'a>(spec: &Microsoft, evidence: &'a MicrosoftEvidence) -> Option<&'a str> {
    let asked = evidence.asked_in.as_deref()?;
    (!asked.eq_ignore_ascii_case(&spec.tenant_id)).then_some(asked)
}

fn asked_elsewhere(spec: &Microsoft, other: &str) -> Finding {
    let message = format!(
        "The GraphTenant is of the tenant {other}, but Teams lives in {}: name a GraphTenant of that one, since consent counts there.",
        spec.tenant_id
    );
    Finding::fail(
        ConditionType::TenantMatches,
        "tenantRef",
        Severity::Warning,
        Reason::TenantIdMismatch,
        message,
    )
}

#[cfg(test)]
mod tests;
