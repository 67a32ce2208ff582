//! What the operator knows about a connector.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator knows about a connector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TeamsConnectorHealthStatus {
    /// Generation of the spec this status speaks of; -1 until the first look.
    #[serde(default = "crate::api::subscription::not_observed")]
    #[schemars(default = "crate::api::subscription::not_observed")]
    pub observed_generation: i64,
    /// The verdict in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// `Ready`, `Reconciling`, `Stalled`, `Healthy`, and one for each thing that the spec asks to be looked at: absent means not
    /// asked for, `Unknown` that it could not be judged.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 24))]
    pub conditions: Vec<Condition>,
    /// When everything was last looked at; written every ten minutes at most while nothing changes. The metric
    /// `teams_connector_probe_last_run_timestamp_seconds` is exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_evaluation_time: Option<Time>,
    /// The nearest end of any server's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_expiration_time: Option<Time>,
    /// What was found at each endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub endpoints: Vec<EndpointHealth>,
    /// The Pexip deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pexip: Option<PexipHealth>,
    /// What is probably wrong, the likeliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub diagnoses: Vec<Diagnosis>,
    /// Value of the reconcile annotation that was last acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// The verdict in one word. `Degraded`: it works, and something needs care.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Health {
    Healthy,
    Degraded,
    Unhealthy,
    Unknown,
}

/// What was found at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointHealth {
    /// Its name in the spec.
    #[schemars(length(max = 40))]
    pub name: String,
    /// Whether every address of it can be reached.
    pub reachable: bool,
    /// Addresses of the name, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub addresses: Vec<String>,
    /// TLS version that was agreed on, such as `1.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<String>,
    /// What the server showed, its own certificate first. With several addresses, that which ends first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub certificates: Vec<CertificateHealth>,
}

/// A certificate that a server showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateHealth {
    /// `leaf`, `intermediate` or `root`.
    pub role: String,
    /// Whom it names.
    #[schemars(length(max = 512))]
    pub subject: String,
    /// Who signed it.
    #[schemars(length(max = 512))]
    pub issuer: String,
    /// When it ends.
    pub not_after: Time,
    /// Algorithm of its key, such as `RSA 2048`.
    #[schemars(length(max = 64))]
    pub key: String,
    /// SHA-256 of it, in hexadecimal digits.
    #[schemars(length(max = 64))]
    pub fingerprint: String,
}

/// A Pexip deployment in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PexipHealth {
    /// Instances of the connector by state. Absent: unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<InstanceCounts>,
    /// Calls at this time. Absent: unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<i32>,
    /// Calls that the active instances can take. Absent: unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<i32>,
    /// Teams licences in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licences_used: Option<i32>,
    /// Teams licences in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licences_total: Option<i32>,
    /// Alarms in force, by name, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 120)))]
    pub alarms: Vec<String>,
}

/// Instances of the connector by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceCounts {
    /// Taking calls.
    pub active: i32,
    /// Ending once their calls end.
    pub draining: i32,
    /// Being restarted.
    pub maintenance: i32,
    /// In maintenance longer than expected.
    pub failed: i32,
    /// In a state that is not known to this operator.
    pub other: i32,
}

/// What is probably wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// The cause in one word: a reason of a condition, or of the table of diagnoses.
    #[schemars(length(max = 64))]
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// The cause in one sentence.
    #[schemars(length(max = 512))]
    pub summary: String,
    /// What it rests on, one finding each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 512)))]
    pub evidence: Vec<String>,
    /// What to do.
    #[schemars(length(max = 512))]
    pub remedy: String,
    /// The page that says more, within the runbooks.
    #[schemars(length(max = 120))]
    pub runbook: String,
    /// When it was first found.
    pub first_seen: Time,
    /// When logs that could prove it are gone at the latest. Pexip's connector keeps its own for 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence_expires_at: Option<Time>,
}

/// How bad a finding is.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

/// How sure a diagnosis is.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Confidence {
    Low,
    Medium,
    High,
}
