//! `GraphTenant`: a Microsoft 365 tenant, an app registration in it, and its credentials.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reference::{AllowedNamespaces, SecretKeyRef};

/// What a user says about a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "teamsgraph.dev",
    version = "v1alpha1",
    kind = "GraphTenant",
    plural = "graphtenants",
    shortname = "gt",
    category = "teamsgraph",
    namespaced,
    status = "GraphTenantStatus",
    doc = "A Microsoft 365 tenant, the app registration used in it, and that app's credentials.",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Authenticated",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Authenticated')].status"
    ),
    printcolumn(
        name = "Permissions",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='PermissionsGranted')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Authenticated')].reason"
    ),
    printcolumn(
        name = "Credential expires",
        type_ = "string",
        json_path = ".status.credentialExpirationTime"
    ),
    printcolumn(name = "Tenant", type_ = "string", json_path = ".spec.tenantId", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Authenticated')].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.clientId) || has(self.credentials.managedIdentity)").message("clientId is required, except with a system-assigned managedIdentity"),
    validation = Rule::new("(self.cloud == 'Custom') == has(self.endpoints)").message("endpoints is required with cloud: Custom and not allowed otherwise"),
    validation = Rule::new(r"!has(self.credentials.workloadIdentity) || !has(self.endpoints) || self.endpoints.login.matches('^https?://([a-z0-9.-]+[.]svc([.]cluster[.]local)?|localhost|127[.]0[.]0[.]1)(:[0-9]+)?(/|$)')").message("with workloadIdentity, endpoints.login must be in the cluster (*.svc) or on loopback: the operator's own token is sent there")
)]
pub struct GraphTenantSpec {
    /// Tenant id (a GUID) or a verified domain of the tenant, such as `contoso.onmicrosoft.com`.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")
    )]
    pub tenant_id: String,
    /// Application (client) id of the app registration, a GUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"))]
    pub client_id: Option<String>,
    /// How the app proves itself; exactly one way.
    pub credentials: Credentials,
    /// Which Microsoft cloud the tenant lives in.
    #[serde(default)]
    pub cloud: Cloud,
    /// Addresses of the sign-in service and of Graph, with `cloud: Custom`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// How many calls a minute may be spent on asking Graph what changed: to fill gaps, and to find silent loss.
    #[serde(default = "backfill_calls")]
    #[schemars(range(min = 12, max = 3000), default = "backfill_calls")]
    pub backfill_calls_per_minute: i32,
    /// What becomes of subscriptions at Graph that deliver to an address of one of our receivers and whose `GraphSubscription` does
    /// not exist any more. `Delete` also removes what `deletionPolicy: Orphan` left, once its object is gone.
    #[serde(default)]
    pub orphan_policy: OrphanPolicy,
    /// Which namespaces' objects may use this tenant. Its own namespace always may.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,
}

fn backfill_calls() -> i32 {
    60
}

/// What becomes of a subscription whose object does not exist any more.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OrphanPolicy {
    #[default]
    Report,
    Delete,
}

/// A Microsoft cloud with known endpoints, or `Custom`.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Cloud {
    #[default]
    Global,
    UsGovL4,
    UsGovL5,
    China,
    Custom,
}

/// Base addresses. Plain http is admitted only inside the cluster and on loopback, so that no credential travels in clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(r"[self.login, self.graph].all(u, u.startsWith('https://') || u.matches('^http://([a-z0-9.-]+[.]svc([.]cluster[.]local)?|localhost|127[.]0[.]0[.]1)(:[0-9]+)?(/|$)'))").message("must be https://; http:// is accepted only for in-cluster services (*.svc) and loopback")
)]
pub struct Endpoints {
    /// Sign-in service, such as `https://login.microsoftonline.com`.
    #[schemars(length(min = 8, max = 512))]
    pub login: String,
    /// Microsoft Graph, such as `https://graph.microsoft.com`.
    #[schemars(length(min = 8, max = 512))]
    pub graph: String,
}

impl GraphTenantSpec {
    /// Addresses of the tenant's cloud (`Custom` has them in the spec). <https://learn.microsoft.com/graph/deployments>
    pub fn addresses(&self) -> Option<Endpoints> {
        let (login, graph) = match self.cloud {
            Cloud::Global => ("https://login.microsoftonline.com", "https://graph.microsoft.com"),
            Cloud::UsGovL4 => ("https://login.microsoftonline.us", "https://graph.microsoft.us"),
            Cloud::UsGovL5 => ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
            Cloud::China => (
                "https://login.chinacloudapi.cn",
                "https://microsoftgraph.chinacloudapi.cn",
            ),
            Cloud::Custom => return self.endpoints.clone(),
        };
        Some(Endpoints {
            login: login.to_owned(),
            graph: graph.to_owned(),
        })
    }
}

/// Exactly one way to prove the app's identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.clientSecret), has(self.certificate), has(self.workloadIdentity), has(self.managedIdentity)].filter(x, x).size() == 1").message("exactly one of clientSecret, certificate, workloadIdentity, managedIdentity")
)]
pub struct Credentials {
    /// A client secret: its value (not its id), kept in a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<ClientSecret>,
    /// A certificate registered with the app; its key signs a short-lived assertion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// The operator's own service account token, trusted by a federated credential of the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<WorkloadIdentity>,
    /// The identity of the Azure machine the operator runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_identity: Option<ManagedIdentity>,
}

impl Credentials {
    /// Whether the operator's own identity is used, which is not in the namespace of the object.
    pub fn are_the_operators(&self) -> bool {
        self.workload_identity.is_some() || self.managed_identity.is_some()
    }
}

/// A client secret in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientSecret {
    /// Where the secret's value is.
    pub secret_ref: SecretKeyRef,
}

/// A certificate and its private key (PEM, RSA) in a Secret of type `kubernetes.io/tls` or alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Key of the certificate.
    #[serde(default = "tls_crt")]
    #[schemars(length(min = 1, max = 253))]
    pub certificate_key: String,
    /// Key of the private key.
    #[serde(default = "tls_key")]
    #[schemars(length(min = 1, max = 253))]
    pub private_key_key: String,
}

fn tls_crt() -> String {
    "tls.crt".to_owned()
}

fn tls_key() -> String {
    "tls.key".to_owned()
}

/// Workload identity federation. The token file is the one that Azure's webhook injects (`AZURE_FEDERATED_TOKEN_FILE`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadIdentity {}

/// Managed identity: App Service style when `IDENTITY_ENDPOINT` is set for the operator, the instance metadata service otherwise.
/// A user-assigned identity is chosen by `spec.clientId`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedIdentity {}

/// What the operator knows about a tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphTenantStatus {
    /// Generation of the spec this status speaks of; -1 until the first look.
    #[serde(default = "super::subscription::not_observed")]
    #[schemars(default = "super::subscription::not_observed")]
    pub observed_generation: i64,
    /// `Ready`, `Reconciling`, `Stalled`, `Authenticated`, `PermissionsGranted`, `CredentialsValid`, `ClockSynchronized`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// Application permissions found in the current access token, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub granted_permissions: Vec<String>,
    /// When the certificate credential expires. Absent for credentials that do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_expiration_time: Option<Time>,
    /// How many subscriptions at Graph are ours and belong to no `GraphSubscription`. Absent when none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphans: Option<i32>,
    /// Ids of up to eight of them, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub orphan_ids: Vec<String>,
    /// Value of the reconcile annotation that was last acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}
