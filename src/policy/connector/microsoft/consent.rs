//! Whether an app may do in the tenant what it has to.

use jiff::SignedDuration;

use super::{ApplicationEvidence, Principal};
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::Severity;
use crate::policy::connector::Finding;
use crate::policy::connector::learned::Learned;

/// Grants take some minutes until each of Microsoft's servers knows them; so long nothing is called missing.
/// <https://learn.microsoft.com/graph/api/serviceprincipal-list-approleassignments>
const REPLICATION: SignedDuration = SignedDuration::from_mins(10);
const CONDITION: ConditionType = ConditionType::ConsentGranted;
const PERMISSION: &str = "Application.Read.All";

/// Judges the consent for one app. `elsewhere` is the tenant that was asked, if it is not the one that counts.
pub(super) fn judge(app: &ApplicationEvidence, required: &[String], elsewhere: Option<&str>) -> Finding {
    let id = &app.app_id;
    if let Some(other) = elsewhere {
        let message = format!(
            "Whether the app {id} has consent where Teams lives was not asked: Graph was asked in the tenant {other}."
        );
        return Finding::unknown(CONDITION, id, Reason::InsufficientEvidence, message);
    }
    if let Some(Learned::Known(None)) = app.registration {
        let message = format!("The app {id} is not registered in this tenant: register it again, or correct the id.");
        return fail(id, Reason::AppRegistrationMissing, message);
    }
    let principal = match app.principal.or_unknown(CONDITION, id, PERMISSION) {
        Ok(Some(principal)) => principal,
        Ok(None) => {
            let message = format!(
                "The app {id} has no service principal in this tenant: an administrator has to give consent, with Pexip at /adminconsent of the connector."
            );
            return settled(app, Reason::ServicePrincipalMissing, message);
        }
        Err(unknown) => return unknown,
    };
    disabled(id, principal).unwrap_or_else(|| roles(app, principal, required))
}

fn disabled(id: &str, principal: &Principal) -> Option<Finding> {
    let message = if principal.disabled_by_microsoft {
        format!("Microsoft has disabled the app {id}: its owner has to ask Microsoft why.")
    } else if principal.enabled {
        return None;
    } else {
        format!("The service principal of the app {id} is disabled: enable users to sign in to it in Entra.")
    };
    Some(fail(id, Reason::ServicePrincipalDisabled, message))
}

fn roles(app: &ApplicationEvidence, principal: &Principal, required: &[String]) -> Finding {
    let id = &app.app_id;
    let granted = match principal.roles.or_unknown(CONDITION, id, PERMISSION) {
        Ok(granted) => granted,
        Err(unknown) if !required.is_empty() => return unknown,
        Err(_) => &Vec::new(),
    };
    let missing = missing(granted, required);
    if missing.is_empty() {
        return Finding::pass(
            CONDITION,
            id,
            format!("The app {id} has consent, and the permissions that it needs."),
        );
    }
    let message = format!(
        "The app {id} lacks the application permissions {}: add them to its registration and give admin consent.",
        missing.join(", ")
    );
    settled(app, Reason::RolesMissing, message)
}

/// What is required and not granted, in the order of the spec.
fn missing<'a>(granted: &[String], required: &'a [String]) -> Vec<&'a str> {
    let required = required.iter().map(String::as_str);
    required
        .filter(|role| !granted.iter().any(|one| one.eq_ignore_ascii_case(role)))
        .collect()
}

impl ApplicationEvidence {
    /// Whether something is missing that a grant would bring, and that replication could still bring.
    pub fn lacks(&self, required: &[String]) -> bool {
        match &self.principal {
            Learned::Known(None) => true,
            Learned::Known(Some(Principal {
                roles: Learned::Known(granted),
                ..
            })) => !missing(granted, required).is_empty(),
            _ => false,
        }
    }
}

/// A fault once it has lasted.
fn settled(app: &ApplicationEvidence, reason: Reason, message: String) -> Finding {
    if app.lacking_for.is_some_and(|lasted| lasted >= REPLICATION) {
        return fail(&app.app_id, reason, message);
    }
    let message = format!("{message} It may be given already: Microsoft takes some minutes to tell.");
    Finding::unknown(CONDITION, &app.app_id, Reason::ReplicationGrace, message)
}

fn fail(subject: &str, reason: Reason, message: String) -> Finding {
    Finding::fail(CONDITION, subject, Severity::Critical, reason, message)
}
