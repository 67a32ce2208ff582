//! What the controller tells a presence worker, as files in its volumes. The worker has no other source.

use serde::{Deserialize, Serialize};

use super::presence::PresenceSyncSpec;
use super::reference::SecretKeyRef;
use super::tenant::{Credentials, Endpoints};

/// File name of the configuration within the ConfigMap's mount.
pub const CONFIG_FILE: &str = "presence.json";
/// Where the ConfigMap is mounted.
pub const CONFIG_DIR: &str = "/etc/teamsgraph/config";
/// Where Secrets are mounted: a folder for each Secret, named as it is, with a file for each key.
pub const SECRETS_DIR: &str = "/etc/teamsgraph/secrets";
/// Where the volume is mounted on which the worker remembers what it wrote.
pub const DATA_DIR: &str = "/var/lib/teamsgraph";
/// Where the token of the worker's service account for Entra is mounted, with workload identity.
pub const FEDERATED_TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";
/// Port of the worker's status, metrics and probes.
pub const INTERNAL_PORT: u16 = 9090;

/// Header with the token, where `Authorization` is taken by somebody on the way: the API server keeps that for itself.
pub const TOKEN_HEADER: &str = "teamsgraph-token";
/// Key of the token in its Secret.
pub const TOKEN_KEY: &str = "token";

/// Name of the StatefulSet, the Service and the ConfigMap of a `PresenceSync`.
pub fn workload_name(sync: &str) -> String {
    format!("{sync}-presence")
}

/// Name of its one pod.
pub fn pod_name(sync: &str) -> String {
    format!("{}-0", workload_name(sync))
}

/// Name of the Secret with the token of the worker's internal port.
pub fn token_secret_name(sync: &str) -> String {
    format!("{}-token", workload_name(sync))
}

/// Configuration of a presence worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PresenceConfig {
    /// Namespace and name of the object, for messages.
    pub namespace: String,
    /// See `namespace`.
    pub name: String,
    /// UID of the object: its events in the receiver's log carry it.
    pub uid: String,
    /// Bearer token of the worker's internal port, for all below `/v1`: a Secret that the controller makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretKeyRef>,
    /// Generation of the spec below.
    pub generation: i64,
    /// What the user says. Secrets are named in it, and mounted.
    pub spec: PresenceSyncSpec,
    /// The app that reads.
    pub reader: AppConfig,
    /// The app that writes.
    pub writer: AppConfig,
    /// Where notifications go to and come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<PushConfig>,
}

/// An app registration, as its `GraphTenant` describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppConfig {
    /// Tenant id or domain.
    pub tenant_id: String,
    /// Application id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Addresses of Entra and Graph.
    pub endpoints: Endpoints,
    /// How it proves itself; the Secrets named are mounted.
    pub credentials: Credentials,
}

/// Where notifications come from. Where they go to is a secret, because its path is a proof: see [`PushConfig::secret`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushConfig {
    /// Folder in [`SECRETS_DIR`] with [`NOTIFICATION_URL_FILE`], [`LIFECYCLE_URL_FILE`] and [`CLIENT_STATE_FILE`], derived from
    /// the receiver's key for this object's UID: a Secret that the controller makes.
    pub secret: String,
    /// Base addresses of the receiver's pods' pull API.
    pub pull_urls: Vec<String>,
}

/// File with the address that Graph is given.
pub const NOTIFICATION_URL_FILE: &str = "notification-url";
/// File with the address for lifecycle notifications.
pub const LIFECYCLE_URL_FILE: &str = "lifecycle-url";
/// File with what Graph repeats in each notification.
pub const CLIENT_STATE_FILE: &str = "client-state";
/// File in an account's Secret with its user principal name.
pub const USERNAME_FILE: &str = "username";
/// File in an account's Secret with its password.
pub const PASSWORD_FILE: &str = "password";
/// File in an account's Secret with a refresh token, instead of name and password.
pub const REFRESH_TOKEN_FILE: &str = "refresh-token";
