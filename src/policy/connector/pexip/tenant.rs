//! Whether the connector is configured with the tenant in which Teams lives: with another one, Teams answers with status 500.

use super::{Lookup, PexipEvidence, lookup};
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::{Pexip, Severity};
use crate::policy::connector::Finding;

const CONDITION: ConditionType = ConditionType::TenantMatches;
const SUBJECT: &str = "connector";

/// Compares the connector's tenant with `tenant_id` of the spec.
pub fn judge_tenant(spec: &Pexip, tenant_id: &str, evidence: &PexipEvidence) -> Finding {
    let name = &spec.connector_name;
    let connector = match lookup(spec, &evidence.configuration) {
        Lookup::Found(connector) => connector,
        Lookup::Unknown(fault) => return fault.finding(CONDITION, "Teams Connectors"),
        Lookup::Missing => {
            let message = format!("The Management Node has no Teams Connector named {name}: see RoutingValid.");
            return Finding::unknown(CONDITION, SUBJECT, Reason::ConnectorNotFound, message);
        }
    };
    let tenants = match &evidence.configuration.tenants {
        Ok(tenants) => tenants,
        Err(fault) => return fault.finding(CONDITION, "Microsoft Teams Tenants"),
    };
    let is_expected = |id: &str| id.trim().eq_ignore_ascii_case(tenant_id);
    let own = connector
        .tenant
        .as_ref()
        .and_then(|uri| tenants.iter().find(|one| one.uri == *uri));
    let expected = tenants.iter().find(|one| is_expected(&one.tenant_id));
    let fail = |reason, message| Finding::fail(CONDITION, SUBJECT, Severity::Critical, reason, message);
    match (own, expected) {
        (Some(own), _) if is_expected(&own.tenant_id) => Finding::pass(
            CONDITION,
            SUBJECT,
            format!("Teams Connector {name} has the tenant id of the spec."),
        ),
        (_, Some(expected)) => fail(
            Reason::ConnectorUsesOtherTenant,
            format!(
                "Teams Connector {name} is not assigned to tenant {}, which has the id {tenant_id}: select it under Call control > Microsoft Teams Connectors.",
                expected.name
            ),
        ),
        (Some(own), None) => fail(
            Reason::TenantIdMismatch,
            format!(
                "Tenant {} of Teams Connector {name} has the id {} instead of {tenant_id}: correct it under Call control > Microsoft Teams Tenants.",
                own.name,
                own.tenant_id.trim()
            ),
        ),
        (None, None) => fail(
            Reason::TenantIdMismatch,
            format!(
                "Teams Connector {name} has no tenant, and none with the id {tenant_id} is configured: add it under Call control > Microsoft Teams Tenants."
            ),
        ),
    }
}
