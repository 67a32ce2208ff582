//! What the operator knows about a presence sync.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator knows about a presence sync.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PresenceSyncStatus {
    /// Generation of the spec this status speaks of; -1 until the first look.
    #[serde(default = "crate::api::subscription::not_observed")]
    #[schemars(default = "crate::api::subscription::not_observed")]
    pub observed_generation: i64,
    /// `Ready`, `Reconciling`, `Stalled`, `PbxConnected`, `Authenticated`, `PresenceSubscribed`, `UsersMatched`, `LicencesValid`,
    /// `NotificationUrlReachable`, `ClockSynchronized`, `ShardsReady`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// How many users are in which state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<UserCounts>,
    /// The first few users who are not kept in step, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub unmatched: Vec<Unmatched>,
    /// The connections to the PBX.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub endpoints: Vec<EndpointStatus>,
    /// The communication accounts and their share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub shards: Vec<ShardStatus>,
    /// Value of the reconcile annotation that was last acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// How many users are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserCounts {
    /// Matched, licensed, and kept in step.
    pub synced: i32,
    /// Of the PBX, and found nowhere in Entra; or selected, and not on the PBX where that is asked for each by address.
    pub unmatched: i32,
    /// With more than one candidate on a side.
    pub ambiguous: i32,
    /// Matched, without a Teams licence in force.
    pub unlicensed: i32,
    /// Without a place at any communication account.
    pub over_limit: i32,
}

/// A user who is not kept in step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unmatched {
    /// The user, as the PBX names it.
    #[schemars(length(max = 256))]
    pub user: String,
    /// Why.
    #[schemars(length(max = 256))]
    pub why: String,
}

/// A connection to the PBX.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    /// Its name.
    #[schemars(length(max = 512))]
    pub name: String,
    /// Whether it is connected and logged in.
    pub connected: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message: Option<String>,
}

/// A communication account and its share of the users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardStatus {
    /// Name of the account.
    #[schemars(length(max = 40))]
    pub account: String,
    /// How many users it watches.
    pub users: i32,
    /// Its subscription at Graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<String>,
    /// When that expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_time: Option<Time>,
}
