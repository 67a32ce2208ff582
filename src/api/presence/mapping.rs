//! Which users are the same person, and what a state of one side means on the other.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

pub(super) fn default_matching() -> Vec<MatchRule> {
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
