//! What a decision about a subscription rests on, and what it may be.

use jiff::Timestamp;

use crate::api::condition::Reason;
use crate::api::subscription::{GraphSubscriptionSpec, GraphSubscriptionStatus};
use crate::policy::quota::Full;

/// Why nothing can be done at Graph for now, in the product's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In one word.
    pub reason: Reason,
    /// In one sentence that names the cause and the remedy.
    pub message: String,
    /// Whether only a change of this object's spec helps.
    pub stalled: bool,
}

impl Refusal {
    /// A refusal that may end without a change of this object.
    pub fn waiting(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            stalled: false,
        }
    }

    /// A refusal that only a change of the spec ends.
    pub fn stalled(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            stalled: true,
        }
    }
}

/// The app the subscription is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppView {
    /// Fingerprint of tenant, app and Graph address.
    pub fingerprint: String,
    /// Permissions in the app's current token; `None` when they cannot be read.
    pub permissions: Option<Vec<String>>,
}

/// Where notifications shall go, as fingerprints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointView {
    /// Of the notification address.
    pub notification_url: String,
    /// Of the lifecycle address.
    pub lifecycle_url: String,
    /// Of the client state.
    pub client_state: String,
    /// Whether something answers there. Graph does its handshake within the create.
    pub ready: bool,
    /// Whether it was seen to answer at just these addresses, so that a living subscription may be given up for them.
    pub proven: bool,
}

/// What Graph's list says about a subscription at our address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// The list was not asked for.
    NotAsked,
    /// There is none.
    Absent,
    /// There is one.
    Present(RemoteView),
}

/// A subscription at our address in Graph's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteView {
    /// Its id.
    pub id: String,
    /// When it expires.
    pub expiration: Timestamp,
    /// Whether resource, change types and addresses are those of the spec.
    pub matches: bool,
}

/// A lifecycle event that came for this object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// What Graph says.
    pub event: LifecycleEvent,
    /// Of which remote subscription.
    pub subscription_id: Option<String>,
    /// When the receiver took it.
    pub received: Timestamp,
}

/// What Graph says about a subscription. <https://learn.microsoft.com/graph/change-notifications-lifecycle-events>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifecycleEvent {
    /// Renew or reauthorize soon.
    ReauthorizationRequired,
    /// Removed by the service; create it anew.
    SubscriptionRemoved,
    /// Some notifications were not delivered.
    Missed,
}

impl LifecycleEvent {
    /// Reads Graph's word, in any spelling of case.
    pub fn from_graph(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "reauthorizationrequired" => Some(Self::ReauthorizationRequired),
            "subscriptionremoved" => Some(Self::SubscriptionRemoved),
            "missed" => Some(Self::Missed),
            _ => None,
        }
    }
}

/// Why an object is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Something changed, or time passed.
    Usual,
    /// Graph's list lacks what should live.
    Doubted,
    /// A person asked for a look right now.
    Forced,
}

/// Everything a decision rests on.
#[derive(Clone, Debug)]
pub struct Situation<'a> {
    /// Now, by Graph's clock.
    pub now: Timestamp,
    /// UID of the object; also the seed of its jitter.
    pub uid: &'a str,
    /// Generation of the spec.
    pub generation: i64,
    /// The spec.
    pub spec: &'a GraphSubscriptionSpec,
    /// The status as last written.
    pub status: &'a GraphSubscriptionStatus,
    /// When deletion was asked for, if it was.
    pub deleted_at: Option<Timestamp>,
    /// Whether the namespace is going away.
    pub namespace_terminating: bool,
    /// The app, or why it cannot be used.
    pub app: Result<AppView, Refusal>,
    /// The endpoint, or why it cannot be used.
    pub endpoint: Result<EndpointView, Refusal>,
    /// Whether the endpoint answers again since the last attempt failed because of it.
    pub endpoint_recovered: bool,
    /// `namespace/name` of another object that holds the same subscription with better right.
    pub rival: Option<String>,
    /// What Graph's list says, once it was asked for.
    pub remote: Remote,
    /// The quota that leaves no room for a new one, as far as Graph's list tells.
    pub full: Option<Full>,
    /// Lifecycle events not yet acted on.
    pub lifecycle: &'a [Lifecycle],
    /// Why it is looked at.
    pub look: Look,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing can be done; say why.
    Refuse(Refusal),
    /// Nothing shall be done.
    Suspend,
    /// The last attempt failed; not again before this time.
    BackOff {
        /// When to try again.
        until: Timestamp,
    },
    /// Ask Graph's list, then decide again.
    LookUp,
    /// Create it.
    Create {
        /// Lifetime to ask for.
        minutes: i64,
        /// What happened to the one before.
        cause: Cause,
    },
    /// Take over the one that exists.
    Adopt(RemoteView),
    /// Extend its lifetime.
    Renew {
        /// Its id.
        id: String,
        /// Lifetime to ask for.
        minutes: i64,
        /// Whether the notification address is to be changed too.
        move_url: bool,
    },
    /// Delete it, then create it: something changed that Graph does not let change.
    Replace {
        /// Id of the old one.
        id: String,
        /// Lifetime to ask for.
        minutes: i64,
        /// What is missed for it.
        cause: Cause,
    },
    /// All is well until this time.
    Keep {
        /// When to look again.
        until: Timestamp,
    },
    /// The object goes; this becomes of the remote subscription.
    Release(Release),
}

/// What happened to the subscription before a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There was none of this resource.
    First,
    /// It has to go; notifications are missing since this time.
    Replaced(Timestamp),
    /// It expired; notifications are missing since this time at the latest.
    Lapsed(Timestamp),
    /// Graph removed it; notifications are missing since this time.
    Removed(Timestamp),
}

/// What becomes of the remote subscription when the object goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// Delete it.
    Delete {
        /// Its id.
        id: String,
    },
    /// Leave it, as the policy says.
    Orphan,
    /// There is none.
    Nothing,
    /// It could not be deleted in time; it lapses by itself.
    Abandon {
        /// Why it could not be deleted.
        message: String,
    },
}
