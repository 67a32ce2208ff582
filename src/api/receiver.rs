//! `NotificationReceiver`: webhook pods, how they are reached, how long they keep events, and where they deliver them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::DurationText;
use super::reference::{AllowedNamespaces, ObjectRef, SecretKeyRef, SecretRef};

/// What a user says about a receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "teamsgraph.dev",
    version = "v1alpha1",
    kind = "NotificationReceiver",
    plural = "notificationreceivers",
    shortname = "nrcv",
    category = "teamsgraph",
    namespaced,
    status = "NotificationReceiverStatus",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,41}[a-z0-9])?$')").message("the name becomes part of names of Services and pods: at most 43 characters, lower case letters, digits and hyphens, beginning with a letter"),
    doc = "Webhook pods that take Microsoft Graph notifications at a public address, store them, and deliver them.",
    derive = "PartialEq",
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Available')].status"
    ),
    printcolumn(
        name = "Reachable",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Reachable')].status"
    ),
    printcolumn(
        name = "Delivering",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='SinksDelivering')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Reachable')].reason"
    ),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.publicUrl"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Reachable')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.ingress) && has(self.httpRoute))").message("at most one of ingress, httpRoute")
)]
pub struct NotificationReceiverSpec {
    /// Address under which Microsoft reaches these pods, with path if a prefix is routed here. Must be https with a publicly trusted certificate.
    #[schemars(length(min = 9, max = 512))]
    #[x_kube(
        validation = Rule::new("self.startsWith('https://')").message("must start with https://: Microsoft Graph refuses plain http"),
        validation = Rule::new("isURL(self) && url(self).getHostname() != '' && url(self).getQuery() == {} && !self.contains('#') && !self.contains('@')").message("must be a host with an optional port and path, without query, fragment and user")
    )]
    pub public_url: String,
    /// Number of pods. Each has its own log on its own volume.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10))]
    pub replicas: i32,
    /// An Ingress to create for the public address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
    /// An HTTPRoute to create for the public address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_route: Option<HttpRoute>,
    /// Type of the Service in front of the pods.
    #[serde(default)]
    pub service_type: ServiceType,
    /// A certificate (`tls.crt`, `tls.key`) with which the pods end TLS themselves; renewed content is picked up without a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The volume of each pod. Kubernetes does not let it change later.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("cannot be changed: make a new receiver, move the subscriptions there, then delete this one"))]
    pub storage: Storage,
    /// How long events are kept at most, delivered or not. What expires undelivered is counted and reported.
    #[serde(default = "three_days")]
    pub retention: DurationText,
    /// Where events are delivered. Without any, they wait for consumers of the pull API.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub sinks: Vec<Sink>,
    /// Who may fetch events over the pull API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull: Option<Pull>,
    /// Which namespaces' subscriptions may use this receiver. Its own namespace always may.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,
    /// CPU and memory of each pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Labels of the nodes that may run the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = { "type": "string", "maxLength": 63 }))]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints that the pods tolerate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub tolerations: Option<Vec<Toleration>>,
}

fn one() -> i32 {
    1
}

fn three_days() -> DurationText {
    "72h".into()
}

/// An Ingress for the public address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Ingress class; the cluster's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// Annotations, for a certificate issuer or a controller's settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = { "type": "string", "maxLength": 16384 }))]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Secret with the certificate of the public host.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_secret_name: Option<String>,
}

/// An HTTPRoute (Gateway API v1) for the public address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpRoute {
    /// Gateways to attach to.
    #[schemars(length(min = 1, max = 8))]
    pub parent_refs: Vec<GatewayRef>,
}

/// A Gateway, and optionally one of its listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRef {
    /// The Gateway.
    #[serde(flatten)]
    pub gateway: ObjectRef,
    /// Listener of the Gateway; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
}

/// Type of a Service.
#[allow(missing_docs)] // the words of the Kubernetes API
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
}

/// A certificate for the pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Secret of type `kubernetes.io/tls`.
    pub secret_ref: SecretRef,
}

/// The volume of each pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Size of the volume in `Mi`, `Gi` or `Ti`. Four fifths of it are used for events.
    #[serde(default = "one_gibibyte")]
    #[schemars(length(max = 24), regex(pattern = "^[1-9][0-9]{0,11}(Mi|Gi|Ti)$"))]
    pub size: String,
    /// Storage class; the cluster's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            size: one_gibibyte(),
            storage_class_name: None,
        }
    }
}

fn one_gibibyte() -> String {
    "1Gi".to_owned()
}

impl Storage {
    /// The size in bytes. The schema admits only what can be read.
    pub fn bytes(&self) -> Option<u64> {
        let (number, unit) = self.size.split_at(self.size.len().checked_sub(2)?);
        let shift = match unit {
            "Mi" => 20,
            "Gi" => 30,
            "Ti" => 40,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(1 << shift)
    }
}

/// A place where events are delivered, at least once and in order per subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.http) != has(self.stdout)").message("exactly one of http, stdout"))]
pub struct Sink {
    /// Name of the sink, unique in this receiver. Renaming it starts it afresh.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// POST each event to an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSink>,
    /// Write each event as a line to the pods' standard output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdout: Option<StdoutSink>,
}

/// Delivery as CloudEvents 1.0 over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpSink {
    /// Address to POST to.
    #[schemars(length(min = 8, max = 1024), regex(pattern = "^https?://"))]
    pub url: String,
    /// `Structured`: the event with its attributes as one JSON document. `Binary`: attributes in headers, Graph's item as the body.
    #[serde(default)]
    pub mode: CloudEventMode,
    /// A token sent as `Authorization: Bearer`, from a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// How long one delivery may take.
    #[serde(default = "ten_seconds")]
    pub timeout: DurationText,
}

fn ten_seconds() -> DurationText {
    "10s".into()
}

/// How a CloudEvent is put into an HTTP request.
#[allow(missing_docs)] // the words of the CloudEvents HTTP binding
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CloudEventMode {
    #[default]
    Structured,
    Binary,
}

/// Delivery to standard output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StdoutSink {}

/// Who may fetch events over the pull API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pull {
    /// The token that consumers present.
    pub token_secret_ref: SecretKeyRef,
    /// Names of the consumers. Each has its own cursor; events wait for all of them, within the retention. Without any, the token admits to the dead letters alone.
    #[serde(default)]
    #[schemars(
        length(max = 8),
        inner(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
    )]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("!self.exists(name, name == 'controller')").message("controller is the operator's own consumer; choose another name")
    )]
    pub consumers: Vec<String>,
}

/// What the operator knows about a receiver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationReceiverStatus {
    /// Generation of the spec this status speaks of; -1 until the first look.
    #[serde(default = "super::subscription::not_observed")]
    #[schemars(default = "super::subscription::not_observed")]
    pub observed_generation: i64,
    /// `Ready`, `Reconciling`, `Stalled`, `Available`, `Reachable`, `SinksDelivering`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// Pods that answer.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Id of the key from which new paths and client states are derived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Value of the reconcile annotation that was last acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}
