//! `TeamsConnectorHealth`: a Teams connector that is watched, and diagnosed when it does not work.

use std::borrow::Cow;

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::duration::DurationText;

mod broadworks;
mod endpoint;
mod microsoft;
mod pexip;
mod status;

pub use broadworks::*;
pub use endpoint::*;
pub use microsoft::*;
pub use pexip::*;
pub use status::*;

/// What a user says about a connector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "teamsgraph.dev",
    version = "v1alpha1",
    kind = "TeamsConnectorHealth",
    plural = "teamsconnectorhealths",
    shortname = "tch",
    category = "teamsgraph",
    namespaced,
    status = "TeamsConnectorHealthStatus",
    doc = "A Microsoft Teams connector that is watched, and diagnosed when it does not work.",
    derive = "PartialEq",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Health", type_ = "string", json_path = ".status.health"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Healthy')].reason"
    ),
    printcolumn(name = "Calls", type_ = "integer", json_path = ".status.pexip.calls"),
    printcolumn(name = "Capacity", type_ = "integer", json_path = ".status.pexip.capacity"),
    printcolumn(
        name = "Cert-Expires",
        type_ = "string",
        json_path = ".status.certificateExpirationTime"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Healthy')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.pexip) == (self.type == 'PexipInfinity')").message("pexip is required with type: PexipInfinity and not allowed otherwise"),
    validation = Rule::new("has(self.broadworks) == (self.type == 'WebexBroadWorks')").message("broadworks is required with type: WebexBroadWorks and not allowed otherwise"),
    validation = Rule::new("self.type in ['PexipInfinity', 'WebexBroadWorks'] || (has(self.endpoints) && size(self.endpoints) > 0)").message("endpoints must name at least one with type: DirectRouting and Generic"),
    validation = Rule::new("duration(self.timeout) < duration(self.interval)").message("timeout must be shorter than interval"),
    validation = Rule::new("duration(self.interval) >= duration('15s')").message("interval must be at least 15s")
)]
pub struct TeamsConnectorHealthSpec {
    /// What kind of connector it is. `WebexBroadWorks` joins BroadWorks with Webex, not with Teams; it fails in the same ways.
    #[serde(rename = "type")]
    pub type_: ConnectorType,
    /// Ends all probes. What was found stays, as it was.
    #[serde(default)]
    pub suspend: bool,
    /// How often everything is looked at.
    #[serde(default = "one_minute")]
    pub interval: DurationText,
    /// How long one probe may take in all.
    #[serde(default = "ten_seconds")]
    pub timeout: DurationText,
    /// So many looks in a row must fail before a condition turns false.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 20))]
    pub failure_threshold: i32,
    /// So many looks in a row must succeed before a condition turns true again.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 20))]
    pub success_threshold: i32,
    /// For so long after the object was made, what fails is called unsettled: a connector needs up to 12 minutes to start.
    #[serde(default = "twelve_minutes")]
    pub grace_period: DurationText,
    /// What is reached over the network: the connector, session border controllers, portals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub endpoints: Vec<Endpoint>,
    /// The Pexip Infinity deployment, with `type: PexipInfinity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pexip: Option<Pexip>,
    /// Webex for BroadWorks, with `type: WebexBroadWorks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broadworks: Option<BroadWorksHealth>,
    /// The Microsoft tenant that the connector serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub microsoft: Option<Microsoft>,
    /// How far clocks may be apart.
    #[serde(default)]
    pub clock: ClockLimits,
    /// What is typed into installation scripts, checked before it does harm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Inputs>,
    /// When failures are expected. Probes go on; `Healthy` is unknown meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub maintenance: Vec<MaintenanceWindow>,
}

fn one_minute() -> DurationText {
    "1m".into()
}

fn ten_seconds() -> DurationText {
    "10s".into()
}

fn twelve_minutes() -> DurationText {
    "12m".into()
}

fn three() -> i32 {
    3
}

fn two() -> i32 {
    2
}

/// What kind of connector it is.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConnectorType {
    PexipInfinity,
    WebexBroadWorks,
    DirectRouting,
    Generic,
}

/// How far the clocks of what is probed, of Microsoft and of this cluster may be apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("duration(self.warn) < duration(self.critical)").message("warn must be less than critical"))]
pub struct ClockLimits {
    /// From here on it is a warning.
    #[serde(default = "thirty_seconds")]
    pub warn: DurationText,
    /// From here on it is critical.
    #[serde(default = "two_minutes")]
    pub critical: DurationText,
}

impl Default for ClockLimits {
    fn default() -> Self {
        Self {
            warn: thirty_seconds(),
            critical: two_minutes(),
        }
    }
}

fn thirty_seconds() -> DurationText {
    "30s".into()
}

fn two_minutes() -> DurationText {
    "2m".into()
}

/// What is typed into installation scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// Networks in CIDR notation, such as `$PxNodesSourceAddressPrefixes`. One with host bits is refused with the network that
    /// was meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub address_prefixes: Vec<AddressPrefix>,
}

/// A network in CIDR notation, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AddressPrefix(pub String);

impl JsonSchema for AddressPrefix {
    fn schema_name() -> Cow<'static, str> {
        "AddressPrefix".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // `format`, as the API server thinks that joining texts of unknown length costs too much.
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": 50,
            "x-kubernetes-validations": [{
                "rule": "isCIDR(self) && cidr(self) == cidr(self).masked()",
                "message": "must be a network in CIDR notation, without host bits",
                "messageExpression": "isCIDR(self) ? '%s has host bits: %s was meant'.format([self, string(cidr(self).masked())]) : self + ' is not a network in CIDR notation'",
            }],
        })
    }
}

/// A time that comes again, in which failures are expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindow {
    /// When it begins, in UTC: minute, hour, day of month, month, day of week, as `cron` has it.
    #[schemars(length(min = 9, max = 100))]
    pub cron: String,
    /// How long it lasts.
    pub duration: DurationText,
}
