//! What the controller tells a receiver pod, as files in its volumes. The pod has no other source.

use serde::{Deserialize, Serialize};

use super::receiver::CloudEventMode;

/// File name of the configuration within the ConfigMap's mount.
pub const CONFIG_FILE: &str = "receiver.json";
/// Where the ConfigMap is mounted.
pub const CONFIG_DIR: &str = "/etc/teamsgraph/config";
/// Where the keyring Secret is mounted; each file is a key, named by its id, holding 32 random bytes in base64.
pub const KEYRING_DIR: &str = "/etc/teamsgraph/keyring";
/// Where the certificate Secret is mounted, if there is one.
pub const TLS_DIR: &str = "/etc/teamsgraph/tls";
/// Where sink and pull tokens are mounted: one file per token, named as [`SinkConfig::token_file`] and [`PullConfig::token_file`] say.
pub const TOKENS_DIR: &str = "/etc/teamsgraph/tokens";
/// Where the volume with the log is mounted.
pub const DATA_DIR: &str = "/var/lib/teamsgraph";
/// Port of the webhook, in clear or with TLS.
pub const WEBHOOK_PORT: u16 = 8443;
/// Port of the pull API, ingest, metrics and probes.
pub const INTERNAL_PORT: u16 = 9090;
/// Name of the controller's own pull consumer, which reads lifecycle events.
pub const CONTROLLER_CONSUMER: &str = "controller";

/// Configuration of a receiver pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiverConfig {
    /// Path under which the public address routes to this receiver, without a trailing slash; often empty.
    pub path_prefix: String,
    /// Seconds for which events are kept at most.
    pub retention_seconds: i64,
    /// Bytes that the log may take on the volume.
    pub storage_bytes: u64,
    /// Where events are delivered.
    pub sinks: Vec<SinkConfig>,
    /// Who may pull, besides the controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull: Option<PullConfig>,
}

/// A sink of a receiver pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkConfig {
    /// Its name, which is also the name of its cursor.
    pub name: String,
    /// Where and how.
    pub target: SinkTarget,
}

/// Where a sink delivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SinkTarget {
    /// CloudEvents over HTTP.
    Http {
        /// Address to POST to.
        url: String,
        /// How the event is put into the request.
        mode: CloudEventMode,
        /// Seconds one delivery may take.
        timeout_seconds: i64,
        /// File in [`TOKENS_DIR`] with the bearer token.
        #[serde(skip_serializing_if = "Option::is_none")]
        token_file: Option<String>,
    },
    /// A line per event on standard output.
    Stdout,
}

/// Pull access for users' consumers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullConfig {
    /// File in [`TOKENS_DIR`] with the bearer token.
    pub token_file: String,
    /// Names of the consumers.
    pub consumers: Vec<String>,
}
