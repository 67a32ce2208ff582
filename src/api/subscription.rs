//! `GraphSubscription`: a resource to watch and where its notifications go.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::DurationText;
use super::reference::{ObjectRef, SecretKeyRef};

/// What a user says about a subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "teamsgraph.dev",
    version = "v1alpha1",
    kind = "GraphSubscription",
    plural = "graphsubscriptions",
    shortname = "gsub",
    category = "teamsgraph",
    namespaced,
    status = "GraphSubscriptionStatus",
    doc = "A Microsoft Graph change-notification subscription that is created, renewed and repaired for as long as this object exists.",
    derive = "PartialEq",
    selectable = ".spec.resource",
    printcolumn(name = "Resource", type_ = "string", json_path = ".spec.resource"),
    printcolumn(
        name = "Subscribed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Subscribed')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Subscribed')].reason"
    ),
    printcolumn(
        name = "Gap-free",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='GapFree')].status"
    ),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.expirationTime"),
    printcolumn(name = "Renewal", type_ = "string", json_path = ".status.renewalTime"),
    printcolumn(name = "Last event", type_ = "date", json_path = ".status.lastEventTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Id", type_ = "string", json_path = ".status.subscriptionId", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Subscribed')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.receiverRef) != has(self.externalEndpoint)").message("exactly one of receiverRef, externalEndpoint")
)]
pub struct GraphSubscriptionSpec {
    /// Tenant and app to subscribe with.
    pub tenant_ref: ObjectRef,
    /// Receiver that takes the notifications.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver_ref: Option<ObjectRef>,
    /// A webhook that is run elsewhere, instead of a receiver. Only the subscription is kept; delivery cannot be observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_endpoint: Option<ExternalEndpoint>,
    /// Graph resource path, without a leading slash and without version: `communications/callRecords`, `users`, `chats/getAllMessages`.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(
        validation = Rule::new("!self.startsWith('/')").message("must not start with a slash: write communications/callRecords, not /communications/callRecords"),
        validation = Rule::new("!self.contains('://') && !self.startsWith('v1.0/') && !self.startsWith('beta/')").message("must be the path alone, without host and version")
    )]
    pub resource: String,
    /// Changes to be told of. What a resource supports is listed in docs/graphsubscription.md.
    #[schemars(length(min = 1, max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub change_types: Vec<ChangeType>,
    /// Lifetime to ask for at each create and renewal. Default and upper limit: the resource's maximum. Graph raises anything under 45 minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<DurationText>,
    /// Extra query options that a few resources need (Universal Print, Entra health alerts).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub notification_query_options: Option<String>,
    /// Whether windows in which notifications may be missing are filled from Graph, where it can tell what changed.
    #[serde(default)]
    pub backfill: Backfill,
    /// How often Graph is asked what changed, to find silent loss; for resources whose loss Graph does not announce. Default `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('5m')").message("must be at least 5m"))]
    pub sweep_interval: Option<DurationText>,
    /// Longest time without any notification that is believed: after it, Graph is asked what changed, and `GapFree` is false until
    /// it answers. No limit when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10m')").message("must be at least 10m"))]
    pub max_silence: Option<DurationText>,
    /// What becomes of the remote subscription when this object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Stop all work on the remote subscription while true: it is not renewed, and lapses at its expiry. Deleting this object still
    /// deletes it.
    #[serde(default)]
    pub suspend: bool,
}

/// A change to be told of.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ChangeType {
    Created,
    Updated,
    Deleted,
}

impl ChangeType {
    /// The word Graph uses.
    pub fn graph_name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// Whether gaps are filled.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Backfill {
    #[default]
    Automatic,
    Disabled,
}

/// What becomes of the remote subscription on deletion.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    #[default]
    Delete,
    Orphan,
}

/// A webhook that is run elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalEndpoint {
    /// Address for notifications.
    #[schemars(length(min = 9, max = 1024), regex(pattern = "^https://"))]
    pub notification_url: String,
    /// Address for lifecycle events; the notification address when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 1024), regex(pattern = "^https://"))]
    pub lifecycle_url: Option<String>,
    /// The `clientState` that Graph repeats in every notification, at most 128 characters.
    pub client_state_ref: SecretKeyRef,
}

impl GraphSubscriptionSpec {
    /// Change types as Graph writes them: sorted, comma separated.
    pub fn graph_change_type(&self) -> String {
        let mut types = self.change_types.clone();
        types.sort_unstable();
        types.dedup();
        types
            .iter()
            .map(|change| change.graph_name())
            .collect::<Vec<_>>()
            .join(",")
    }
}

impl GraphSubscription {
    /// The tenant, with its namespace.
    pub fn tenant(&self) -> ObjectRef {
        self.absolute(&self.spec.tenant_ref)
    }

    /// The receiver, with its namespace; none when the webhook is run elsewhere.
    pub fn receiver(&self) -> Option<ObjectRef> {
        self.spec.receiver_ref.as_ref().map(|receiver| self.absolute(receiver))
    }

    fn absolute(&self, reference: &ObjectRef) -> ObjectRef {
        ObjectRef {
            name: reference.name.clone(),
            namespace: reference.namespace.clone().or_else(|| self.metadata.namespace.clone()),
        }
    }
}

/// What the operator knows about a subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphSubscriptionStatus {
    /// Generation of the spec this status speaks of; -1 until the first look.
    #[serde(default = "not_observed")]
    #[schemars(default = "not_observed")]
    pub observed_generation: i64,
    /// `Ready`, `Reconciling`, `Stalled`, `Subscribed`, `Delivering`, `GapFree`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// Id of the remote subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<String>,
    /// When the remote subscription expires, as Graph returned it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_time: Option<Time>,
    /// When it is to be renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Time>,
    /// When Graph last accepted a create or a renewal; of one that was found there, since when it lives, as far as its expiry
    /// tells. Graph asks for 10 minutes between two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_renewal_time: Option<Time>,
    /// Since when Graph has asked for a renewal without getting it. It holds what happens for four hours, then drops it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reauthorization_required_since: Option<Time>,
    /// When a notification last arrived, to within ten minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_event_time: Option<Time>,
    /// What the remote subscription was made with; a difference to the spec is drift.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<Applied>,
    /// Set before a create is sent and removed when its outcome is known: after a crash in between, the remote list is searched first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_pending_since: Option<Time>,
    /// Failed attempts since the last success, for the backoff that survives a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// A longest lifetime, in minutes, learned from Graph's refusal of a longer one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learned_maximum_minutes: Option<i64>,
    /// Earlier subscription ids, newest first, so that late events can be traced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub previous_ids: Vec<String>,
    /// Windows in which notifications may be missing, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub gaps: Vec<Gap>,
    /// Value of the reconcile annotation that was last acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

impl Default for GraphSubscriptionStatus {
    fn default() -> Self {
        Self {
            observed_generation: not_observed(),
            conditions: Vec::new(),
            subscription_id: None,
            expiration_time: None,
            renewal_time: None,
            last_renewal_time: None,
            reauthorization_required_since: None,
            last_event_time: None,
            applied: None,
            create_pending_since: None,
            failure: None,
            learned_maximum_minutes: None,
            previous_ids: Vec::new(),
            gaps: Vec::new(),
            last_handled_reconcile_at: None,
        }
    }
}

pub(crate) fn not_observed() -> i64 {
    -1
}

/// What a remote subscription was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// Resource path.
    pub resource: String,
    /// Change types, as Graph writes them.
    pub change_type: String,
    /// Fingerprint of app, tenant and Graph address. A subscription belongs to the app that made it.
    pub app: String,
    /// Fingerprint of the notification address.
    pub notification_url: String,
    /// Fingerprint of the lifecycle address.
    pub lifecycle_url: String,
    /// Fingerprint of the client state.
    pub client_state: String,
    /// Lifetime asked for, in minutes.
    pub lifetime_minutes: i64,
    /// Extra query options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_query_options: Option<String>,
}

/// Failed attempts since the last success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// How many in a row.
    pub count: i32,
    /// When the last one happened.
    pub time: Time,
    /// Nothing is tried before this time.
    pub not_before: Time,
    /// Why, in one word.
    pub reason: String,
    /// Fingerprint of the app, its permissions and the addresses it was tried with; with others it is tried again at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
}

/// A window in which notifications may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// Why: `Lapsed`, `Removed`, `Recreated`, `Missed`, `ReauthorizedLate`, `ReceiverUnavailable`,
    /// `EndpointDropping`, `Silent` or `ListingDisagrees`.
    pub cause: String,
    /// From when on.
    pub start: Time,
    /// Until when; open while absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Time>,
    /// Where it stands.
    #[serde(default = "left_alone")]
    pub state: GapState,
    /// Events that were fetched for it from Graph and handed to the receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backfilled: Option<i64>,
    /// When Graph was last asked what changed in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked_time: Option<Time>,
    /// What was done about it, in words.
    pub outcome: String,
}

/// Gaps of a version that filled none.
fn left_alone() -> GapState {
    GapState::CannotBackfill
}

/// Where a gap stands.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GapState {
    Pending,
    Backfilled,
    CannotBackfill,
}
