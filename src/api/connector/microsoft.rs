//! The Microsoft tenant that a connector serves.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::presence::LocalRef;

/// The Microsoft tenant that a connector serves. Whether it exists is asked without credentials; the rest needs `tenantRef`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.tenantRef) || ((!has(self.applications) || size(self.applications) == 0) && !self.serviceHealth.enabled)").message("applications and serviceHealth.enabled need tenantRef: they are read over Microsoft Graph")
)]
pub struct Microsoft {
    /// Id of the tenant in which Teams lives, a GUID.
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"))]
    pub tenant_id: String,
    /// A domain of that tenant: that it leads to `tenantId` is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = "^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")
    )]
    pub domain: Option<String>,
    /// The `GraphTenant` of this namespace with whose app Graph is asked. It must be of the tenant in which consent is expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_ref: Option<LocalRef>,
    /// Apps of the connector. Older deployments have two, for trusted and for guest calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["appId".into()]))]
    pub applications: Vec<ConnectorApplication>,
    /// When the end of a secret or certificate of an app is told.
    #[serde(default)]
    pub credential_expiry: CredentialLimits,
    /// Microsoft's word on its own services.
    #[serde(default)]
    pub service_health: ServiceHealth,
}

/// An app of the connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectorApplication {
    /// Application (client) id, a GUID.
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"))]
    pub app_id: String,
    /// Names of the application permissions of Microsoft Graph that must be granted, such as `Calls.JoinGroupCall.All`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 120)))]
    pub required_roles: Vec<String>,
    /// Whether the registration itself is in this tenant too, with its secrets and certificates, and not only the consent.
    #[serde(default)]
    pub registered_here: bool,
}

/// When the end of a secret or certificate is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.criticalDays < self.warnDays").message("criticalDays must be less than warnDays"))]
pub struct CredentialLimits {
    /// So many days before, it is a warning.
    #[serde(default = "warn_days")]
    #[schemars(range(min = 1, max = 365))]
    pub warn_days: i32,
    /// So many days before, it is critical.
    #[serde(default = "critical_days")]
    #[schemars(range(min = 0, max = 364))]
    pub critical_days: i32,
}

impl Default for CredentialLimits {
    fn default() -> Self {
        Self {
            warn_days: warn_days(),
            critical_days: critical_days(),
        }
    }
}

fn warn_days() -> i32 {
    30
}

fn critical_days() -> i32 {
    7
}

/// Microsoft's word on its own services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceHealth {
    /// Whether it is read; needs the application permission `ServiceHealth.Read.All`.
    #[serde(default)]
    pub enabled: bool,
    /// Services that count, as Microsoft calls them.
    #[serde(default = "teams")]
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 120)))]
    pub services: Vec<String>,
}

impl Default for ServiceHealth {
    fn default() -> Self {
        Self {
            enabled: false,
            services: teams(),
        }
    }
}

fn teams() -> Vec<String> {
    vec!["Microsoft Teams".to_owned()]
}
