//! `PresenceSync`: presence of people kept in step between Microsoft Teams and a PBX.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::DurationText;
use super::receiver::Storage;
use super::reference::{ObjectRef, SecretKeyRef, SecretRef};

mod mapping;
mod pbx;
mod status;

use mapping::default_matching;
pub use mapping::*;
pub use pbx::*;
pub use status::*;

/// What a user says about presence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "teamsgraph.dev",
    version = "v1alpha1",
    kind = "PresenceSync",
    plural = "presencesyncs",
    shortname = "psync",
    category = "teamsgraph",
    namespaced,
    status = "PresenceSyncStatus",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,41}[a-z0-9])?$')").message("the name becomes part of names of pods: at most 43 characters, lower case letters, digits and hyphens, beginning with a letter"),
    doc = "Presence of people kept in step between Microsoft Teams and a PBX.",
    derive = "PartialEq",
    printcolumn(
        name = "PBX",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='PbxConnected')].status"
    ),
    printcolumn(
        name = "Authenticated",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Authenticated')].status"
    ),
    printcolumn(
        name = "Presence",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='PresenceSubscribed')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='PbxConnected')].reason"
    ),
    printcolumn(name = "Synced", type_ = "integer", json_path = ".status.users.synced"),
    printcolumn(name = "Unmatched", type_ = "integer", json_path = ".status.users.unmatched"),
    printcolumn(name = "Direction", type_ = "string", json_path = ".spec.direction", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.source == 'Poll' || has(self.push)").message("push is required with source: Subscription and Both"),
    validation = Rule::new("self.source != 'Poll' || !has(self.push)").message("push has no effect with source: Poll: leave it out, or choose source: Both")
)]
pub struct PresenceSyncSpec {
    /// The `GraphTenant` whose app reads presence and users, in this namespace: its Secret is mounted into the worker.
    pub tenant_ref: LocalRef,
    /// Another `GraphTenant` of this namespace, of the same tenant, whose app writes presence. Absent: the same app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writer_tenant_ref: Option<LocalRef>,
    /// Which way presence goes.
    #[serde(default)]
    pub direction: Direction,
    /// How presence of Teams is learned.
    #[serde(default)]
    pub source: Source,
    /// How often presence is read. With `source: Both`, reading is the safety net, once in five minutes at most.
    #[serde(default = "ten_seconds")]
    pub poll_interval: DurationText,
    /// Push: a receiver for the notifications, and the communication accounts that subscribe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<Push>,
    /// Who is kept in step.
    #[serde(default)]
    pub users: UserSelection,
    /// The PBX.
    pub pbx: Pbx,
    /// How a user of the PBX is recognised in Entra. The first rule with exactly one candidate on both sides decides.
    /// Not used where `pbx` says how a user's address is made (`sip`, `broadworks`).
    #[serde(default = "default_matching")]
    #[schemars(length(min = 1, max = 8))]
    pub matching: Vec<MatchRule>,
    /// What a state of one side means on the other.
    #[serde(default)]
    pub mapping: Mapping,
    /// How long what is written lives, and when it is refreshed.
    #[serde(default)]
    pub lifetimes: Lifetimes,
    /// What is done where there is a choice.
    #[serde(default)]
    pub policy: Policy,
    /// Ends the worker, after it took back what it wrote.
    #[serde(default)]
    pub suspend: bool,
    /// The volume on which the worker remembers what it wrote. Kubernetes does not let it change later.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("cannot be changed: make a new PresenceSync"))]
    pub storage: Storage,
    /// CPU and memory of the worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Labels of the nodes that may run the worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = { "type": "string", "maxLength": 63 }))]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints that the worker tolerates.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub tolerations: Option<Vec<Toleration>>,
}

fn ten_seconds() -> DurationText {
    "10s".into()
}

impl PresenceSync {
    /// The tenants that it names, with their namespace: the reader's, then the writer's if that is another.
    pub fn tenants(&self) -> impl Iterator<Item = ObjectRef> {
        let reader = Some(&self.spec.tenant_ref);
        let writer = self
            .spec
            .writer_tenant_ref
            .as_ref()
            .filter(|writer| Some(*writer) != reader);
        let named = reader.into_iter().chain(writer);
        named.map(|tenant| ObjectRef {
            name: tenant.name.clone(),
            namespace: self.metadata.namespace.clone(),
        })
    }

    /// The receiver that it names, with its namespace.
    pub fn receiver(&self) -> Option<ObjectRef> {
        let receiver = &self.spec.push.as_ref()?.receiver_ref;
        Some(ObjectRef {
            name: receiver.name.clone(),
            namespace: receiver.namespace.clone().or_else(|| self.metadata.namespace.clone()),
        })
    }
}

/// An object of this namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalRef {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Which way presence goes.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Direction {
    #[default]
    Both,
    TeamsToPbx,
    PbxToTeams,
}

impl Direction {
    /// Whether Teams' presence is shown on the PBX.
    pub fn to_pbx(self) -> bool {
        self != Self::PbxToTeams
    }

    /// Whether the PBX's presence is shown in Teams.
    pub fn to_teams(self) -> bool {
        self != Self::TeamsToPbx
    }
}

/// How presence of Teams is learned. `Poll` needs the application permission `Presence.Read.All`; `Subscription` needs accounts,
/// because Graph gives presence notifications to people only, for at most 650 users each.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Source {
    #[default]
    Poll,
    Subscription,
    Both,
}

/// Push notifications of presence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Push {
    /// The receiver that takes the notifications. It must let `consumer` pull.
    pub receiver_ref: ObjectRef,
    /// Name of the pull consumer that the worker is; listed in the receiver's `pull.consumers`, and nobody else's.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub consumer: String,
    /// The bearer token of the receiver's pull API.
    pub token_secret_ref: SecretKeyRef,
    /// Communication accounts, each for up to 650 users: licensed for Teams, and able to sign in without a second factor.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub accounts: Vec<Account>,
}

/// A communication account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Name of the account here, unique in this list.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Secret with `username` and `password`, or with `refresh-token`.
    pub secret_ref: SecretRef,
}

/// Who is kept in step: all whom the tenant has, less those whom each given line leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserSelection {
    /// `Teams`: only users with a Teams plan in force. `Any`: licences are not looked at.
    #[serde(default)]
    pub licence: Licence,
    /// Object ids of groups; members of any of them, also of groups within.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(regex(pattern = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"))
    )]
    pub groups: Vec<String>,
    /// User principal names or object ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), inner(length(min = 1, max = 256)))]
    pub list: Vec<String>,
    /// How often licences are looked at again: Graph does not tell of their changes.
    #[serde(default = "six_hours")]
    pub licence_interval: DurationText,
}

impl Default for UserSelection {
    fn default() -> Self {
        Self {
            licence: Licence::default(),
            groups: Vec::new(),
            list: Vec::new(),
            licence_interval: six_hours(),
        }
    }
}

fn six_hours() -> DurationText {
    "6h".into()
}

/// Whether a licence is asked for.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Licence {
    #[default]
    Teams,
    Any,
}

/// How long what is written lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lifetimes {
    /// How often "in a call" is refreshed while it lasts. It lives for three times as long, should the worker die.
    #[serde(default = "five_minutes")]
    pub line_refresh: DurationText,
    /// How long a chosen state lives at Teams; refreshed at half of it while it holds on the PBX.
    #[serde(default = "one_day")]
    pub chosen: DurationText,
    /// The same for away and be right back.
    #[serde(default = "seven_days")]
    pub away: DurationText,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            line_refresh: five_minutes(),
            chosen: one_day(),
            away: seven_days(),
        }
    }
}

fn five_minutes() -> DurationText {
    "5m".into()
}

fn one_day() -> DurationText {
    "24h".into()
}

fn seven_days() -> DurationText {
    "168h".into()
}

/// What is done where there is a choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// What a person who is offline in Teams is on the PBX. `Profile`: as the mapping's profile says.
    #[serde(default)]
    pub offline: OfflinePolicy,
    /// What out of office in Teams is on the PBX, besides the state itself.
    #[serde(default)]
    pub out_of_office: OutOfOfficePolicy,
    /// How do not disturb of the PBX is written to Teams: as the person's choice, as the app's session, or not.
    #[serde(default)]
    pub do_not_disturb: DoNotDisturbPolicy,
    /// Whether a ringing phone is a call.
    #[serde(default)]
    pub ringing: RingingPolicy,
    /// How long the line must be free before "in a call" is taken back: a transfer, the next call.
    #[serde(default = "two_seconds")]
    pub debounce: DurationText,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            offline: OfflinePolicy::default(),
            out_of_office: OutOfOfficePolicy::default(),
            do_not_disturb: DoNotDisturbPolicy::default(),
            ringing: RingingPolicy::default(),
            debounce: two_seconds(),
        }
    }
}

fn two_seconds() -> DurationText {
    "2s".into()
}

/// What offline is.
#[allow(missing_docs)] // described at the field
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OfflinePolicy {
    #[default]
    Profile,
    Unset,
    NoChange,
}

/// What out of office is.
#[allow(missing_docs)] // described at the field
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OutOfOfficePolicy {
    #[default]
    Ignore,
    Note,
    Away,
}

/// How do not disturb is written.
#[allow(missing_docs)] // described at the field
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DoNotDisturbPolicy {
    #[default]
    Preferred,
    Session,
    Ignore,
}

/// What ringing is.
#[allow(missing_docs)] // described at the field
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RingingPolicy {
    #[default]
    Ignore,
    InACall,
}
