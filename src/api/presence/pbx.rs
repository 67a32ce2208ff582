//! The PBX, and how a person's address there is made.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::GraphField;
use crate::api::reference::SecretKeyRef;

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
    /// A SIP presence server: Kamailio, OpenSIPS, FreeSWITCH; of Asterisk its hints alone, with `direction: PbxToTeams`.
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
    #[x_kube(validation = Rule::new("!self.matches('^(?i)(tel|im):')").message("tel: is the person's own entry and im: the PBX's: choose another contact, such as teams:"))]
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
