//! What a presence worker says about itself: the answers of its internal port. The controller makes the status of them, the
//! `presence` command an explanation.
//!
//! `GET /v1/status` answers a [`WorkerReport`], `GET /v1/users/{user}` a [`UserReport`], `POST /v1/release` a [`ReleaseReport`]
//! when all is taken back (200) or as much as could be (503, with what remains). Sentences hold no ids, counters or times, so
//! that equal states give equal text; where a time matters, it has a field of its own.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::presence::{EndpointStatus, ShardStatus, Unmatched, UserCounts};

/// Path of the report on the worker.
pub const STATUS_PATH: &str = "/v1/status";
/// Path of the reports on users; what names the user follows after a slash, percent-encoded.
pub const USERS_PATH: &str = "/v1/users";
/// Path at which the worker is asked (POST) to take back all that it wrote.
pub const RELEASE_PATH: &str = "/v1/release";

/// Why something does not work, in one word that status, events and metrics share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fault {
    /// It was not tried yet.
    NotTried,
    /// A file with a secret is not mounted, or empty.
    SecretMissing,
    /// Entra or the PBX refuses the name, password, secret or certificate of ours.
    CredentialsRejected,
    /// The certificate, key or token file cannot be used.
    CredentialsMalformed,
    /// The certificate of the app has expired.
    CertificateExpired,
    /// Entra does not know the tenant.
    UnknownTenant,
    /// Entra does not know the app.
    UnknownApplication,
    /// The app, or the account, lacks a permission.
    PermissionMissing,
    /// The account would need a second factor to sign in.
    MfaRequired,
    /// The password of the account has expired.
    PasswordExpired,
    /// The account has no Teams licence; or the PBX asks for a licence.
    Unlicensed,
    /// The service asked for patience.
    Throttled,
    /// The service does not answer, or answers with a fault.
    Unavailable,
    /// The server's certificate is not trusted.
    CertificateNotTrusted,
    /// What came is not what the protocol says.
    Protocol,
    /// The request is refused, and would be again.
    Rejected,
    /// Graph could not validate the notification address.
    EndpointValidation,
    /// A subscription to presence that is not ours is in the way.
    SubscriptionInUse,
    /// The receiver does not let the worker pull.
    ReceiverRefuses,
    /// The receiver cannot be reached.
    ReceiverUnavailable,
    /// There are more users than the accounts may watch.
    OverLimit,
    /// Own state cannot be stored on the volume.
    StorageFailing,
}

/// A lamp: how one thing stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lamp {
    /// Whether it works. `None`: nobody knows yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
    /// Why not, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// One sentence, also when it works.
    pub message: String,
}

impl Lamp {
    /// It works.
    pub fn green(message: impl Into<String>) -> Self {
        Self {
            ok: Some(true),
            fault: None,
            message: message.into(),
        }
    }

    /// It does not work.
    pub fn red(fault: Fault, message: impl Into<String>) -> Self {
        Self {
            ok: Some(false),
            fault: Some(fault),
            message: message.into(),
        }
    }

    /// Nobody knows yet.
    pub fn dark(message: impl Into<String>) -> Self {
        Self {
            ok: None,
            fault: Some(Fault::NotTried),
            message: message.into(),
        }
    }

    /// Whether it is known to work.
    pub fn is_green(&self) -> bool {
        self.ok == Some(true)
    }
}

/// What the worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It reads the directory and the PBX for the first time.
    Starting,
    /// It keeps users in step.
    Running,
    /// It takes back what it wrote.
    Releasing,
    /// It took everything back and does nothing: suspended, or asked to release.
    Idle,
}

/// The whole worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerReport {
    /// Generation of the configuration in force.
    pub generation: i64,
    /// Why a newer configuration on the volume is not in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_error: Option<String>,
    /// What the worker is doing.
    pub phase: Phase,
    /// When it began, by its own clock.
    pub started: Timestamp,
    /// Whether the PBX is connected: every endpoint.
    pub pbx: Lamp,
    /// Its endpoints.
    pub endpoints: Vec<EndpointReport>,
    /// Whether the app that reads is signed in and may read.
    pub reader: Lamp,
    /// Whether the app that writes is signed in and may write; green while there is nothing to write.
    pub writer: Lamp,
    /// Whether presence of Teams is being learned: by polling, by subscriptions, or by both.
    pub source: Lamp,
    /// Whether the receiver lets the worker pull; `None` without push.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver: Option<Lamp>,
    /// Whether own state can be stored.
    pub storage: Lamp,
    /// Whether the users of the tenant could be read.
    pub directory: Lamp,
    /// Whether licences could be read. Whether a communication account has its own, its lamp says.
    pub licences: Lamp,
    /// How many users are in which state.
    pub users: UserCounts,
    /// Users of the tenant who are selected: the most that could be matched.
    pub selected: i32,
    /// The first users who are not kept in step, and why; at most ten, in a stable order.
    pub unmatched: Vec<Unmatched>,
    /// Microsoft's clock minus the worker's, in whole seconds; `None` until it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_skew_seconds: Option<i64>,
    /// Whether every user has a place at an account and every account its subscription; `None` without push.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<Lamp>,
    /// The communication accounts.
    pub accounts: Vec<AccountReport>,
    /// When things last went well.
    pub last: LastTimes,
    /// What the worker holds on either side, in sum.
    pub owned: Owned,
}

/// An endpoint of the PBX.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointReport {
    /// As in the status.
    #[serde(flatten)]
    pub status: EndpointStatus,
    /// Why it is not connected, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// A communication account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountReport {
    /// As in the status.
    #[serde(flatten)]
    pub shard: ShardStatus,
    /// Whether it is signed in.
    pub signed_in: Lamp,
    /// Whether its subscription stands; green when it has no users.
    pub subscribed: Lamp,
}

/// When things last went well, by the worker's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastTimes {
    /// A poll of all users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll: Option<Timestamp>,
    /// A notification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification: Option<Timestamp>,
    /// A write to Teams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_to_teams: Option<Timestamp>,
    /// A write to the PBX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_to_pbx: Option<Timestamp>,
    /// The users of the tenant, by delta or as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<Timestamp>,
    /// The licences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licences: Option<Timestamp>,
}

/// What the worker holds, in sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owned {
    /// Sessions at Teams.
    pub sessions: i32,
    /// Chosen states at Teams.
    pub chosen: i32,
    /// Entries on the PBX.
    pub entries: i32,
}

impl Owned {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One user, explained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserReport {
    /// How the user is named on the PBX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pbx: Option<PbxSide>,
    /// How the user is named in Teams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teams: Option<TeamsSide>,
    /// Whether the two are kept in step, or why not, in one sentence.
    pub why: String,
    /// Whether they are.
    pub synced: bool,
    /// The layers, each with what is held and why.
    pub layers: Vec<LayerReport>,
    /// The last writes, newest first; at most ten.
    pub writes: Vec<WriteReport>,
    /// When the worker looks again by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look_again: Option<Timestamp>,
}

/// A user on the PBX.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PbxSide {
    /// What the adapter calls the user.
    pub id: String,
    /// Common name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cn: Option<String>,
    /// H.323 name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h323: Option<String>,
    /// Extension or number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// The line, in one word: `Unknown`, `Idle`, `Ringing`, `Connected`, `Conference`.
    pub line: String,
    /// Presence entries, newest first; `None`: nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<EntryReport>>,
}

/// A presence entry on the PBX.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryReport {
    /// Who made it: `Ours`, `User`, `System`, or the contact.
    pub origin: String,
    /// What it says, in the PBX's word.
    pub activity: String,
    /// Free text.
    pub note: String,
    /// Since when, by the PBX's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// A user in Teams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TeamsSide {
    /// Object id.
    pub id: String,
    /// User principal name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_principal_name: Option<String>,
    /// Display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Availability, in Graph's word, as last read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability: Option<String>,
    /// Activity, in Graph's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// Whether out of office is set.
    #[serde(default)]
    pub out_of_office: bool,
    /// When that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Timestamp>,
    /// Whether a Teams plan is in force; `None`: not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licensed: Option<bool>,
}

/// A layer of what is written for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Layer {
    /// Calls on the PBX, as the app's session in Teams.
    Line,
    /// A choice on the PBX, as the person's choice in Teams.
    Chosen,
    /// Teams' presence, as the worker's own entry on the PBX.
    Derived,
}

/// A layer, explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerReport {
    /// Which.
    pub layer: Layer,
    /// What the worker holds there, such as `Busy/InACall`; `None`: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// Until when that lives, if it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why, in one sentence.
    pub why: String,
}

/// A write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WriteReport {
    /// When it ended.
    pub at: Timestamp,
    /// What was written, such as `setPresence Busy/InACall for 15m`.
    pub what: String,
    /// `ok`, or one sentence of what went wrong.
    pub result: String,
}

/// What remains after a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseReport {
    /// Whether nothing remains.
    pub done: bool,
    /// What remains.
    pub remaining: Owned,
    /// Subscriptions at Graph that remain; they end by themselves within an hour.
    pub subscriptions: i32,
    /// Why, in one sentence; empty when nothing remains.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_the_way() {
        let report = AccountReport {
            shard: ShardStatus {
                account: "sync-1".to_owned(),
                users: 650,
                subscription_id: Some("s".to_owned()),
                expiration_time: None,
            },
            signed_in: Lamp::green("signed in"),
            subscribed: Lamp::red(Fault::MfaRequired, "no"),
        };
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (&json["account"], &json["subscribed"]["fault"]),
            (&"sync-1".into(), &"MfaRequired".into())
        );
        assert_eq!(serde_json::from_value::<AccountReport>(json).unwrap(), report);
    }

    #[test]
    fn nothing_owned_is_empty() {
        assert!(Owned::default().is_empty());
        let one = Owned {
            entries: 1,
            ..Owned::default()
        };
        assert!(!one.is_empty());
    }
}
