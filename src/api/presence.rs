//! `PresenceSync`: presence of people kept in step between Microsoft Teams and a PBX.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::DurationText;
use super::receiver::Storage;
use super::reference::{ObjectRef, SecretKeyRef, SecretRef};

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
    validation = Rule::new("self.source != 'Poll' || !has(self.push)").message("push has no effect with source: Poll: leave it out, or choose source: Both"),
    validation = Rule::new("self.direction == 'PbxToTeams' || !has(self.pbx.broadworks) || self.policy.doNotDisturb != 'Ignore' || self.direction != 'TeamsToPbx'").message("BroadWorks can be told of do not disturb alone: with policy.doNotDisturb: Ignore there is nothing to write there")
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
    #[schemars(length(max = 16), inner(regex(pattern = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$")))]
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

/// Exactly one PBX.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.innovaphone), has(self.sip), has(self.broadworks)].filter(x, x).size() == 1").message("exactly one of innovaphone, sip, broadworks")
)]
pub struct Pbx {
    /// innovaphone, over its App WebSocket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub innovaphone: Option<Innovaphone>,
    /// A SIP presence server: Kamailio, OpenSIPS, Asterisk, FreeSWITCH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sip: Option<Sip>,
    /// Cisco BroadWorks, over Xsi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broadworks: Option<BroadWorks>,
}

/// innovaphone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Innovaphone {
    /// The App object on the PBX under whose name the worker logs in.
    #[schemars(length(min = 1, max = 64))]
    pub app: String,
    /// The App object's password.
    pub password_secret_ref: SecretKeyRef,
    /// The master, and each slave whose calls are to be seen.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.filter(e, e.role == 'Master').size() == 1").message("exactly one endpoint has role: Master")
    )]
    pub endpoints: Vec<InnovaphoneEndpoint>,
    /// Contact of the worker's own presence entry. What other contacts say is never touched.
    #[serde(default = "teams_contact")]
    #[schemars(length(min = 1, max = 64))]
    pub own_contact: String,
    /// Certificates (PEM) that are trusted besides the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle_secret_ref: Option<SecretKeyRef>,
}

fn teams_contact() -> String {
    "teams:".to_owned()
}

/// A PBX of an innovaphone installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct InnovaphoneEndpoint {
    /// The PBX's short name as configured there (such as `pbx`), not its DNS name.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("!self.contains('.')").message("the PBX's own short name is expected here, not a DNS name"))]
    pub name: String,
    /// Its part.
    #[serde(default)]
    pub role: PbxRole,
    /// Address of the App WebSocket, such as `wss://pbx.example.com/PBX0/APPS/websocket`.
    #[schemars(length(min = 6, max = 512))]
    #[x_kube(
        validation = Rule::new(r"self.startsWith('wss://') || self.matches('^ws://([a-z0-9.-]+[.]svc([.]cluster[.]local)?|localhost|127[.]0[.]0[.]1)(:[0-9]+)?(/|$)')").message("must be wss://; ws:// is accepted only for in-cluster services (*.svc) and loopback")
    )]
    pub url: String,
}

/// The part of a PBX.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PbxRole {
    #[default]
    Master,
    Slave,
}

/// A SIP presence server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sip {
    /// Host name or address of the server or of its outbound proxy.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Its port; 5060, or 5061 with TLS, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// How it is reached.
    #[serde(default)]
    pub transport: SipTransport,
    /// The SIP domain of the users.
    #[schemars(length(min = 1, max = 253))]
    pub domain: String,
    /// User name for digest authentication; without it, the server must trust the worker's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub username: Option<String>,
    /// Its password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
    /// The user part of a person's SIP address.
    #[serde(default)]
    pub address: AddressRule,
    /// Certificates (PEM) that are trusted besides the public ones, with `transport: TLS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle_secret_ref: Option<SecretKeyRef>,
}

/// Transport of SIP.
#[allow(missing_docs)] // the words of RFC 3261
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SipTransport {
    UDP,
    #[default]
    TCP,
    TLS,
}

/// Cisco BroadWorks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BroadWorks {
    /// Base addresses of the XSPs, such as `https://xsp1.example.com`. One events channel is held at each.
    #[schemars(length(min = 1, max = 8), inner(length(min = 8, max = 512)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new(r"self.all(u, u.startsWith('https://') || u.matches('^http://([a-z0-9.-]+[.]svc([.]cluster[.]local)?|localhost|127[.]0[.]0[.]1)(:[0-9]+)?(/|$)'))").message("must be https://; http:// is accepted only for in-cluster services (*.svc) and loopback")
    )]
    pub xsps: Vec<String>,
    /// User id of an administrator of the group or enterprise.
    #[schemars(length(min = 1, max = 161))]
    pub username: String,
    /// Its password.
    pub password_secret_ref: SecretKeyRef,
    /// Enterprise or service provider whose events are subscribed at once. Absent: a subscription for each user.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 161))]
    pub service_provider: Option<String>,
    /// A person's BroadWorks user id.
    #[serde(default)]
    pub address: AddressRule,
    /// Certificates (PEM) that are trusted besides the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle_secret_ref: Option<SecretKeyRef>,
}

/// How a person's address on the PBX is made from what Entra knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddressRule {
    /// The property of the person in Entra.
    #[serde(default = "user_principal_name")]
    pub from: GraphField,
    /// `user@domain.tld` becomes `user`.
    #[serde(default)]
    pub strip_domain: bool,
    /// Only the last so many digits of a phone number: the extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 12))]
    pub extension_digits: Option<i32>,
}

fn user_principal_name() -> GraphField {
    GraphField::UserPrincipalName
}

/// A rule that recognises a user of the PBX in Entra.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MatchRule {
    /// Property of the user on the PBX.
    pub pbx_field: PbxField,
    /// Property of the person in Entra.
    pub graph_field: GraphField,
    /// `user@domain.tld` becomes `user`, on both sides.
    #[serde(default)]
    pub strip_domain: bool,
    /// Country code (such as `49`) put before national numbers, when phone numbers are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[1-9][0-9]{0,2}$"))]
    pub country_code: Option<String>,
    /// Only the last so many digits of phone numbers are compared: the extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 12))]
    pub extension_digits: Option<i32>,
}

fn default_matching() -> Vec<MatchRule> {
    vec![MatchRule {
        pbx_field: PbxField::H323,
        graph_field: GraphField::UserPrincipalName,
        strip_domain: true,
        country_code: None,
        extension_digits: None,
    }]
}

/// Property of a user on the PBX.
#[allow(missing_docs)] // the PBX's words
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PbxField {
    Cn,
    H323,
    Extension,
}

/// Property of a person in Entra.
#[allow(missing_docs)] // Microsoft's words
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum GraphField {
    DisplayName,
    Mail,
    MailNickname,
    OnPremisesDistinguishedName,
    OnPremisesSamAccountName,
    OnPremisesUserPrincipalName,
    #[default]
    UserPrincipalName,
    Phone,
}

/// What a state of one side means on the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mapping {
    /// The table to begin with; docs/presencesync.md shows them.
    #[serde(default)]
    pub profile: Profile,
    /// Rows that differ, Teams to PBX.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["teams".into()]))]
    pub teams_to_pbx: Vec<TeamsRow>,
    /// Rows that differ, PBX to Teams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pbx".into()]))]
    pub pbx_to_teams: Vec<PbxRow>,
}

/// A table of states.
#[allow(missing_docs)] // described in docs/presencesync.md
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Profile {
    #[default]
    Innovaphone,
    Sip,
    Conservative,
}

/// A state of Teams, and what it is on the PBX.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TeamsRow {
    /// Activity or availability as Graph words it, such as `InAMeeting`; capitals do not matter.
    #[schemars(length(min = 1, max = 64))]
    pub teams: String,
    /// What the PBX shows.
    pub pbx: PbxTarget,
}

/// What the worker's own entry on the PBX shows.
#[allow(missing_docs)] // the PBX's words
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PbxTarget {
    Unset,
    Away,
    Busy,
    DoNotDisturb,
    Meeting,
    OnThePhone,
    NoChange,
}

/// A state of the PBX, and what it is in Teams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PbxRow {
    /// Activity as the PBX words it, such as `lunch`; capitals do not matter.
    #[schemars(length(min = 1, max = 64))]
    pub pbx: String,
    /// What Teams shows as the person's choice.
    pub teams: TeamsTarget,
}

/// What can be chosen for a person in Teams: the pairs that `setUserPreferredPresence` accepts.
#[allow(missing_docs)] // Microsoft's words
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TeamsTarget {
    Available,
    Busy,
    DoNotDisturb,
    BeRightBack,
    Away,
    NoChange,
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

/// What the operator knows about a presence sync.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PresenceSyncStatus {
    /// Generation of the spec this status speaks of; -1 until the first look.
    #[serde(default = "super::subscription::not_observed")]
    #[schemars(default = "super::subscription::not_observed")]
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
    /// Of the PBX, and found nowhere in Entra.
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
