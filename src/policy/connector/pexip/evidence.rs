//! What a Management Node said, in plain data.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::routing::Table;
use crate::api::condition::{ConditionType, Reason};
use crate::policy::connector::Finding;

/// What was asked of the Management Node, or why there is no answer.
pub type Answer<T> = Result<T, ApiFault>;

/// The address of a resource, such as `/api/admin/configuration/v1/teams_proxy/1/`.
pub type Uri = String;

/// Why there is no answer. Displayed as the end of a sentence, always in the same words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiFault {
    /// No connection, or no answer in time.
    #[error("it cannot be reached ({0})")]
    Unreachable(&'static str),
    /// 401.
    #[error("it refuses the credentials (HTTP status 401)")]
    Unauthorized,
    /// 403.
    #[error("the role of the credentials may not view this (HTTP status 403)")]
    Forbidden,
    /// 404: this version has no such resource, or another server answers.
    #[error("it does not know this resource (HTTP status 404)")]
    Missing,
    /// A redirect, or a page for a browser.
    #[error(
        "it answers with a page for a browser instead of JSON: credentials are not accepted there, or the address is another's"
    )]
    LoginPage,
    /// 429, or the budget of requests is spent.
    #[error("its limit of requests is reached")]
    Throttled,
    /// Another status.
    #[error("it answers with HTTP status {0}")]
    Status(u16),
    /// Not the JSON that was expected.
    #[error("its answer is cut off or is not of the expected form")]
    Malformed,
    /// Longer than is read.
    #[error("its answer is longer than this operator reads")]
    TooLarge,
}

impl ApiFault {
    /// The reason for what cannot be judged.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unauthorized | Self::Forbidden | Self::LoginPage => Reason::ApiRejected,
            _ => Reason::ApiUnreachable,
        }
    }

    /// `condition` cannot be judged without `what`.
    pub fn finding(&self, condition: ConditionType, what: &str) -> Finding {
        let message = format!("The Management Node did not tell its {what}: {self}.");
        Finding::unknown(condition, "", self.reason(), message)
    }
}

/// What changes rarely.
#[derive(Debug)]
pub struct Configuration {
    /// Teams Connectors.
    pub connectors: Answer<Vec<Connector>>,
    /// Microsoft tenants.
    pub tenants: Answer<Vec<Tenant>>,
    /// Call Routing Rules.
    pub routes: Answer<Table>,
    /// Virtual Receptions for Teams.
    pub receptions: Answer<Vec<Reception>>,
    /// System locations.
    pub locations: Answer<Vec<Location>>,
    /// Conferencing Nodes.
    pub nodes: Answer<Vec<Node>>,
    /// Certificates of nodes.
    pub certificates: Answer<Vec<NodeCertificate>>,
    /// Certificates of authorities.
    pub authorities: Answer<Vec<Authority>>,
}

impl Configuration {
    /// One of which nothing is known.
    pub fn unknown(fault: &ApiFault) -> Self {
        Self {
            connectors: Err(fault.clone()),
            tenants: Err(fault.clone()),
            routes: Err(fault.clone()),
            receptions: Err(fault.clone()),
            locations: Err(fault.clone()),
            nodes: Err(fault.clone()),
            certificates: Err(fault.clone()),
            authorities: Err(fault.clone()),
        }
    }
}

/// A Teams Connector (`teams_proxy`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connector {
    /// Its address in the API.
    pub uri: Uri,
    /// Its name.
    pub name: String,
    /// Its tenant.
    pub tenant: Option<Uri>,
    /// Whether the Azure Event Hub is enabled, without which instances are shown only during calls.
    pub event_hub: Option<bool>,
    /// Identifier of the hub's queue.
    pub event_hub_id: Option<String>,
    /// Instances that run at least. In force with the event hub only.
    pub least_instances: Option<i32>,
}

/// A Microsoft tenant (`azure_tenant`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenant {
    /// Its address in the API.
    pub uri: Uri,
    /// Its name.
    pub name: String,
    /// Its id at Microsoft.
    pub tenant_id: String,
}

/// A system location.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// Its address in the API.
    pub uri: Uri,
    /// Its name.
    pub name: String,
    /// The Teams Connector for calls from here.
    pub connector: Option<Uri>,
}

/// A Virtual Reception for Teams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reception {
    /// Its name.
    pub name: String,
    /// Its Teams Connector.
    pub connector: Option<Uri>,
    /// The location that looks conference IDs up. `None`: chosen by the deployment.
    pub location: Option<Uri>,
}

/// A Conferencing Node as it is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Host name and domain.
    pub fqdn: String,
    /// Another name that it uses.
    pub alternative: Option<String>,
    /// Its location.
    pub location: Option<Uri>,
    /// Its certificate.
    pub certificate: Option<Uri>,
    /// Whether it only passes media on, and calls no connector.
    pub is_proxy: bool,
}

/// A certificate of nodes, as the Management Node describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeCertificate {
    /// Its address in the API.
    pub uri: Uri,
    /// Names of the nodes that use it.
    pub nodes: Vec<String>,
    /// Names in it.
    pub names: Vec<String>,
    /// From when it is valid.
    pub starts: Option<Timestamp>,
    /// Until when it is valid.
    pub ends: Option<Timestamp>,
    /// Whether it may be shown by a server.
    pub server_auth: Option<bool>,
    /// Whether it may be shown by a client.
    pub client_auth: Option<bool>,
}

/// A certificate of an authority (`ca_certificate`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authority {
    /// Whom it names.
    pub subject: String,
    /// The certificate, PEM.
    pub pem: String,
    /// Whether it completes the chain of the nodes' certificates.
    pub is_intermediate: bool,
    /// Until when it is valid.
    pub ends: Option<Timestamp>,
}

/// What is going on.
#[derive(Clone, Debug)]
pub struct PexipStatus {
    /// Instances of all connectors.
    pub instances: Answer<Vec<Instance>>,
    /// Calls by the id of the instance that has them.
    pub calls: Answer<BTreeMap<String, i32>>,
    /// How instances agree with their configuration.
    pub drifts: Answer<Vec<Drift>>,
    /// Conferencing Nodes.
    pub nodes: Answer<Vec<NodeStatus>>,
    /// Alarms in force.
    pub alarms: Answer<Vec<Alarm>>,
    /// Licences.
    pub licences: Answer<Licences>,
}

impl PexipStatus {
    /// One of which nothing is known.
    pub fn unknown(fault: &ApiFault) -> Self {
        Self {
            instances: Err(fault.clone()),
            calls: Err(fault.clone()),
            drifts: Err(fault.clone()),
            nodes: Err(fault.clone()),
            alarms: Err(fault.clone()),
            licences: Err(fault.clone()),
        }
    }
}

/// An instance of a connector (`teamsnode`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: InstanceState,
    /// Calls that it has.
    pub calls: Option<i32>,
    /// Calls that it takes.
    pub most_calls: Option<i32>,
    /// Its last sign of life.
    pub heartbeat: Option<Timestamp>,
    /// Identifier of the queue that told of it.
    pub event_hub_id: Option<String>,
}

/// What an instance does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InstanceState {
    /// Takes calls.
    Active,
    /// Ends once its calls end.
    Draining,
    /// Is being restarted.
    Maintenance,
    /// Is in maintenance longer than expected.
    Failed,
    /// None of those that are known here, or not told.
    #[default]
    Other,
}

impl InstanceState {
    /// Reads the two fields that tell of it. The user interface has these words; how the API writes them is not documented, so
    /// case and separators do not matter: <https://docs.pexip.com/admin/teams_status.htm>.
    pub fn read(instance_status: Option<&str>, state: Option<&str>) -> Self {
        let read = |text: Option<&str>| text.map_or(Self::Other, Self::word);
        match read(instance_status) {
            Self::Other => read(state),
            known => known,
        }
    }

    fn word(text: &str) -> Self {
        match plain(text).as_str() {
            "active" => Self::Active,
            "waitingfortermination" | "terminating" => Self::Draining,
            "maintenance" => Self::Maintenance,
            "failure" | "failed" => Self::Failed,
            _ => Self::Other,
        }
    }
}

/// How an instance agrees with its configuration (`teamsnodedsc`). Its details are free text and stay out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// Id of the instance.
    pub instance: String,
    /// Whether parts of the configuration could not be applied.
    pub is_failing: bool,
}

impl Drift {
    /// Whether these fields tell of parts that could not be applied.
    pub fn tells(status: Option<&str>, failing_resources: Option<&str>) -> bool {
        let failing = failing_resources.map(plain).unwrap_or_default();
        let none = ["", "[]", "{}", "none", "null"].contains(&failing.as_str());
        let status = status.map(plain).unwrap_or_default();
        !none || ["failure", "failed", "error"].contains(&status.as_str())
    }
}

/// A Conferencing Node as it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Whether it has the newest configuration.
    pub sync: SyncState,
    /// Whether it takes no new calls on purpose.
    pub in_maintenance: bool,
}

/// Whether a node has the newest configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncState {
    /// It has.
    Current,
    /// It has not.
    Behind,
    /// Not told, or in words that are not known here.
    #[default]
    Unknown,
}

impl SyncState {
    /// Reads `sync_status`. Its words are not documented.
    pub fn read(text: Option<&str>) -> Self {
        match text.map(plain).unwrap_or_default().as_str() {
            "synced" | "insync" | "synchronized" | "synchronised" => Self::Current,
            "unsynced" | "notsynced" | "outofsync" | "syncfailed" | "failed" | "error" => Self::Behind,
            _ => Self::Unknown,
        }
    }
}

/// An alarm in force. Its details and what it is about are free text and stay out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Its name.
    pub name: String,
    /// How bad it is.
    pub level: AlarmLevel,
    /// Whether somebody has taken note of it.
    pub is_acknowledged: bool,
}

/// How bad an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmLevel {
    /// Critical.
    Critical,
    /// An error.
    Error,
    /// A warning.
    Warning,
    /// Anything else.
    Other,
}

impl AlarmLevel {
    /// Reads `level`.
    pub fn read(text: Option<&str>) -> Self {
        match text.map(plain).unwrap_or_default().as_str() {
            "critical" => Self::Critical,
            "error" => Self::Error,
            "warning" | "warn" => Self::Warning,
            _ => Self::Other,
        }
    }

    /// In one word, for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Other => "other",
        }
    }
}

/// Licences in use and in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Licences {
    /// For Teams, in use.
    pub teams_used: Option<i32>,
    /// For Teams, in all.
    pub teams_total: Option<i32>,
    /// Ports in use: each call through a connector takes two.
    pub ports_used: Option<i32>,
    /// Ports in all.
    pub ports_total: Option<i32>,
}

/// In lower case, without blanks and separators.
fn plain(text: &str) -> String {
    let kept = text.chars().filter(|c| !c.is_whitespace() && !['_', '-'].contains(c));
    kept.flat_map(char::to_lowercase).collect()
}
