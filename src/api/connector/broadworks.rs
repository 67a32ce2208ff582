//! Webex for BroadWorks.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::duration::DurationText;
use crate::api::reference::{SecretKeyRef, SecretRef};

/// Webex for BroadWorks: its XSPs, and what Webex says of its subscribers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.xsps) || has(self.webex)").message("xsps or webex is required: there is nothing to probe otherwise"))]
pub struct BroadWorksHealth {
    /// Xsi-Actions at the XSPs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xsps: Option<XspHealth>,
    /// The Webex API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webex: Option<WebexHealth>,
}

/// Xsi-Actions at the XSPs, tried with a test subscriber.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct XspHealth {
    /// Addresses of the XSPs, such as `https://xsp1.example.com`. Each is tried, and each must accept the same login.
    #[schemars(length(min = 1, max = 16), inner(length(min = 8, max = 512)))]
    #[x_kube(
        validation = Rule::new(r"self.all(u, u.startsWith('https://') || u.matches('^http://([a-z0-9.-]+[.]svc([.]cluster[.]local)?|localhost|127[.]0[.]0[.]1)(:[0-9]+)?(/|$)'))").message("each must be https://; http:// is accepted only for in-cluster services (*.svc) and loopback"),
        validation = Rule::new(r"self.all(u, isURL(u) && !u.matches('^https?://([0-9.]+|\\[[^/]*)(:[0-9]*)?(/|$)'))").message("each must be a URL with a host name: Webex refuses IP addresses with 403")
    )]
    pub urls: Vec<String>,
    /// Secret with `username` and `password` of a test subscriber. Absent: only whether each asks for a login is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_subscriber_secret_ref: Option<SecretRef>,
    /// Device type that the test subscriber must have, such as `Business Communicator - PC`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 120))]
    pub device_type: Option<String>,
    /// Certificates (PEM) that are trusted besides the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle_secret_ref: Option<SecretKeyRef>,
}

/// The Webex API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebexHealth {
    /// Base address.
    #[serde(default = "webex_api")]
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(validation = Rule::new(r"self.startsWith('https://') || self.matches('^http://([a-z0-9.-]+[.]svc([.]cluster[.]local)?|localhost|127[.]0[.]0[.]1)(:[0-9]+)?(/|$)')").message("must be https://; http:// is accepted only for in-cluster services (*.svc) and loopback"))]
    pub url: String,
    /// Access token with the scope `spark-admin:broadworks_subscribers_read`.
    pub token_secret_ref: SecretKeyRef,
    /// Id of the service provider or enterprise whose subscribers count. Absent: all that the token sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 120))]
    pub sp_enterprise_id: Option<String>,
    /// How long provisioning may take before it counts as stuck.
    #[serde(default = "fifteen_minutes")]
    pub provisioning_timeout: DurationText,
    /// Address of Webex' status page API. Absent: not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 512), regex(pattern = "^https?://"))]
    pub status_url: Option<String>,
}

fn webex_api() -> String {
    "https://webexapis.com/v1".to_owned()
}

fn fifteen_minutes() -> DurationText {
    "15m".into()
}
