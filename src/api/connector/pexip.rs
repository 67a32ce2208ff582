//! A Pexip Infinity deployment with its Teams Connector.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::duration::DurationText;
use crate::api::reference::{SecretKeyRef, SecretRef};

/// A Pexip Infinity deployment, read over the management API of its Management Node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.callFeed == 'EventSink') == has(self.eventSinkSecretRef)").message("eventSinkSecretRef is required with callFeed: EventSink, and not allowed otherwise"))]
pub struct Pexip {
    /// Address of the Management Node, such as `https://mgr.example.com`.
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(
        validation = Rule::new(r"self.startsWith('https://') || self.matches('^http://([a-z0-9.-]+[.]svc([.]cluster[.]local)?|localhost|127[.]0[.]0[.]1)(:[0-9]+)?(/|$)')").message("must be https://; http:// is accepted only for in-cluster services (*.svc) and loopback"),
        validation = Rule::new("isURL(self) && url(self).getHostname() != '' && url(self).getQuery() == {} && !self.contains('#') && !self.contains('@')").message("must be a host with an optional port and path, without query, fragment and user")
    )]
    pub management_url: String,
    /// Secret with `username` and `password`, or with `token`. A role with view permissions suffices.
    pub credentials_secret_ref: SecretRef,
    /// Certificates (PEM) that are trusted besides the public ones: the Management Node often signs its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle_secret_ref: Option<SecretKeyRef>,
    /// Name of the Teams Connector in the Management Node's configuration.
    #[schemars(length(min = 1, max = 250))]
    pub connector_name: String,
    /// Names of the Conferencing Nodes that the connector admits (`$PxNodeFqdns`). Empty: not checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    pub node_fqdns: Vec<String>,
    /// How many digits a conference ID has.
    #[serde(default)]
    pub conference_id_digits: DigitRange,
    /// Aliases that are dialled, and the conference ID that the rules must make of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub routing_samples: Vec<RoutingSample>,
    /// When the connector counts as full.
    #[serde(default)]
    pub capacity: CapacityLimits,
    /// How old the last sign of life of an instance may be.
    #[serde(default = "five_minutes")]
    pub heartbeat_max_age: DurationText,
    /// How failed calls are learned. History: from the Management Node's record of participants. EventSink: each node tells of a call
    /// as it ends. Syslog: the history, and the support log of the nodes, which alone tells of errors 401 and 500.
    #[serde(default)]
    pub call_feed: CallFeed,
    /// Secret with the `username` and `password` that the event sink shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_sink_secret_ref: Option<SecretRef>,
}

fn five_minutes() -> DurationText {
    "5m".into()
}

/// How many digits a conference ID has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.min <= self.max").message("min must not be more than max"))]
pub struct DigitRange {
    /// Fewest.
    #[serde(default = "nine")]
    #[schemars(range(min = 1, max = 32))]
    pub min: i32,
    /// Most.
    #[serde(default = "thirteen")]
    #[schemars(range(min = 1, max = 32))]
    pub max: i32,
}

impl Default for DigitRange {
    fn default() -> Self {
        Self {
            min: nine(),
            max: thirteen(),
        }
    }
}

fn nine() -> i32 {
    9
}

fn thirteen() -> i32 {
    13
}

/// An alias, and what the rules must make of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoutingSample {
    /// The alias as it is dialled.
    #[schemars(length(min = 1, max = 250))]
    pub alias: String,
    /// The conference ID that must come of it.
    #[schemars(length(min = 1, max = 64))]
    pub expect: String,
}

/// When the connector counts as full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.warnPercent < self.criticalPercent").message("warnPercent must be less than criticalPercent"))]
pub struct CapacityLimits {
    /// Percent of the capacity in use that is a warning, now or, at the present growth, in 20 minutes: so long an instance takes
    /// to start.
    #[serde(default = "warn_percent")]
    #[schemars(range(min = 1, max = 100))]
    pub warn_percent: i32,
    /// Percent that is critical.
    #[serde(default = "critical_percent")]
    #[schemars(range(min = 1, max = 100))]
    pub critical_percent: i32,
    /// Calls that an instance takes when it does not say so itself.
    #[serde(default = "calls_per_instance")]
    #[schemars(range(min = 1, max = 1000))]
    pub calls_per_instance: i32,
}

impl Default for CapacityLimits {
    fn default() -> Self {
        Self {
            warn_percent: warn_percent(),
            critical_percent: critical_percent(),
            calls_per_instance: calls_per_instance(),
        }
    }
}

fn warn_percent() -> i32 {
    75
}

fn critical_percent() -> i32 {
    90
}

/// <https://docs.pexip.com/admin/teams_scaling.htm>: at most 16, plan with 15.
fn calls_per_instance() -> i32 {
    15
}

/// How failed calls are learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // documented variants would lose their order in the schema
pub enum CallFeed {
    #[default]
    History,
    EventSink,
    Syslog,
    None,
}
