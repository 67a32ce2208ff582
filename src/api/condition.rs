//! Conditions: one vocabulary of types and reasons for statuses, events and metric labels.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

/// What a condition is about.
#[allow(missing_docs)] // described kind by kind in docs/
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionType {
    // every kind
    Ready,
    Reconciling,
    Stalled,
    // GraphTenant
    Authenticated,
    PermissionsGranted,
    CredentialsValid,
    ClockSynchronized,
    // NotificationReceiver
    Available,
    Reachable,
    SinksDelivering,
    // GraphSubscription
    Subscribed,
    Delivering,
    GapFree,
    // PresenceSync
    PbxConnected,
    PresenceSubscribed,
    UsersMatched,
    LicencesValid,
    NotificationUrlReachable,
    ShardsReady,
    // TeamsConnectorHealth
    Healthy,
    EndpointReachable,
    CertificatesValid,
    TenantMatches,
    ConsentGranted,
    RoutingValid,
    InstancesHealthy,
    CapacityAvailable,
    CallsSucceeding,
    UpstreamOperational,
    ProvisioningHealthy,
    InputsValid,
}

/// Why a condition is as it is. The same word is the event's reason and the metrics' `reason` label.
#[allow(missing_docs)] // described in docs/reasons.md
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub enum Reason {
    // going well
    Accepted,
    Succeeded,
    Progressing,
    Suspended,
    Deleting,
    // spec and references
    InvalidSpec,
    SecretNotFound,
    SecretKeyMissing,
    TenantNotFound,
    TenantNotReady,
    ReceiverNotFound,
    ReceiverNotReady,
    NamespaceNotAllowed,
    // Entra and credentials
    CredentialsRejected,
    CredentialsMalformed,
    CertificateExpired,
    CertificateExpiring,
    UnknownTenant,
    UnknownApplication,
    PermissionMissing,
    PermissionsUnknown,
    ClockSkewed,
    // Graph
    Created,
    Renewed,
    Recreated,
    Adopted,
    Deleted,
    Orphaned,
    DuplicateSubscription,
    EndpointValidationFailed,
    QuotaExceeded,
    Throttled,
    GraphUnavailable,
    RejectedByGraph,
    Forbidden,
    Conflict,
    Expired,
    LifetimeLimited,
    Removed,
    DeletionAbandoned,
    OrphanFound,
    OrphanDeleted,
    // receiver and delivery
    PodsReady,
    PodsNotReady,
    NotBuilt,
    StorageFull,
    StorageFailing,
    HandshakeSucceeded,
    ConnectionFailed,
    CertificateNotTrusted,
    WrongPath,
    HandshakeAltered,
    InUse,
    SinkFailing,
    DeadLettered,
    EventsArriving,
    NoEventYet,
    NotObserved,
    // gaps
    NoGap,
    Missed,
    Lapsed,
    ReauthorizedLate,
    ReceiverUnavailable,
    EndpointDropping,
    Silent,
    ListingDisagrees,
    Backfilled,
    // presence
    WorkerNotAnswering,
    ConfigurationRefused,
    PbxUnavailable,
    RejectedByPbx,
    ProtocolViolated,
    MfaRequired,
    PasswordExpired,
    Unlicensed,
    SubscriptionInUse,
    ReceiverRefuses,
    ConsumerNotListed,
    UsersUnmatched,
    UsersAmbiguous,
    OverLimit,
    Releasing,
    Released,
    ReleaseAbandoned,
    // connector: verdicts
    Degraded,
    Settling,
    Maintenance,
    InsufficientEvidence,
    StaleEvidence,
    // connector: network
    DnsNotFound,
    DnsUnavailable,
    DnsAddressMismatch,
    AddressNotAllowed,
    ConnectionRefused,
    ConnectionReset,
    ConnectTimeout,
    HandshakeTimeout,
    NetworkUnreachable,
    NotTls,
    TlsProtocolTooOld,
    TlsNoCommonCipher,
    TlsAlert,
    ClientCertificateRequired,
    ClientCertificateRejected,
    UnexpectedHttpStatus,
    HttpTimeout,
    EmptyBody,
    NotHttp,
    SipNoAnswer,
    SipUnavailable,
    NotReachableFromCluster,
    // connector: certificates
    ExpiringSoon,
    NotYetValid,
    NameMismatch,
    NoSubjectAltName,
    IncompleteChain,
    UntrustedIssuer,
    SelfSigned,
    KeyAlgorithmNotAllowed,
    KeyTooSmall,
    WeakSignature,
    HandshakeSignatureInvalid,
    Revoked,
    WrongExtendedKeyUsage,
    NameConstraintViolated,
    IssuerNotAuthority,
    CertificateMalformed,
    AiaRedirectsToHttps,
    VerifierUnsupported,
    RevocationUnknown,
    AiaUnreachable,
    NodeCertificateWithoutClientAuth,
    // connector: Microsoft
    TenantIdMismatch,
    ConnectorUsesOtherTenant,
    DiscoveryUnavailable,
    AppRegistrationMissing,
    ServicePrincipalMissing,
    ServicePrincipalDisabled,
    RolesMissing,
    PermissionDenied,
    ReplicationGrace,
    CredentialExpired,
    CredentialExpiringSoon,
    ServiceDegradation,
    ServiceInterruption,
    VendorIncident,
    // connector: Pexip
    ApiUnreachable,
    ApiRejected,
    ConnectorNotFound,
    RuleWithoutConnector,
    ReceptionWithoutConnector,
    ReplaceDoesNotYieldConferenceId,
    RegexInvalid,
    RegexTooCostly,
    RuleShadowed,
    NodeNotInConnectorAllowList,
    NoSamples,
    EventHubDisabled,
    NoActiveInstance,
    BelowMinimumInstances,
    InstanceFailed,
    HeartbeatStale,
    ConfigurationDrift,
    VendorAlarm,
    NodeOutOfSync,
    NearCapacity,
    Saturated,
    LicencesExhausted,
    CapacityUnknown,
    ApiUnauthorized,
    ApiServerError,
    GatewayDialOutFailed,
    CallRejected,
    UserInput,
    NoTraffic,
    FeedDisconnected,
    // connector: Webex for BroadWorks
    ProvisioningStuck,
    UserConflict,
    AdapterCredentialsRejected,
    BadSubscriberProfile,
    OrganizationCreationDisabled,
    LoginMismatch,
    DeviceTypeMissing,
    // connector: clock and inputs
    SkewTooLarge,
    HostBitsSet,
    PrefixInvalid,
    AmbiguousOctet,
}

impl Reason {
    /// The reason with this name, as it stands in a status.
    pub fn from_name(name: &str) -> Option<Self> {
        let deserializer: StrDeserializer<'_, Error> = name.into_deserializer();
        Self::deserialize(deserializer).ok()
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Truth of a condition.
#[allow(missing_docs)] // the words of the Kubernetes API
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    True,
    False,
    Unknown,
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A condition as decided; the transition time is found when it is merged into a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it is about.
    pub type_: ConditionType,
    /// Whether it holds.
    pub truth: Truth,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, in one sentence, free of times, ids and counters so that equal states give equal text.
    pub message: String,
}

impl Verdict {
    /// A verdict from its parts.
    pub fn new(type_: ConditionType, truth: impl Into<Truth>, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            type_,
            truth: truth.into(),
            reason,
            message: message.into(),
        }
    }
}

/// Puts `verdict` in place of the condition of its type. The transition time moves only when the truth does.
pub fn set(conditions: &mut Vec<Condition>, verdict: &Verdict, generation: Option<i64>, now: Timestamp) {
    let type_ = verdict.type_.to_string();
    let status = verdict.truth.to_string();
    let previous = conditions.iter().position(|condition| condition.type_ == type_);
    let last_transition_time = previous
        .map(|index| &conditions[index])
        .filter(|condition| condition.status == status)
        .map_or_else(|| time(now), |condition| condition.last_transition_time.clone());
    let condition = Condition {
        last_transition_time,
        message: verdict.message.clone(),
        observed_generation: generation,
        reason: verdict.reason.to_string(),
        status,
        type_,
    };
    match previous {
        Some(index) => conditions[index] = condition,
        None => conditions.push(condition),
    }
}

/// How an object stands, in the three conditions that GitOps tools read.
/// <https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The spec is accepted and its work is being done.
    Working,
    /// Something outside this object has to come first.
    Waiting,
    /// Only a change of this object's spec helps.
    Stalled,
}

/// Sets `Ready`, and `Reconciling` or `Stalled` where they apply; these two are absent otherwise.
pub fn set_standing(
    conditions: &mut Vec<Condition>,
    standing: Standing,
    reason: Reason,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    let verdict = |type_, truth: bool| Verdict::new(type_, truth, reason, message);
    set(
        conditions,
        &verdict(ConditionType::Ready, standing == Standing::Working),
        generation,
        now,
    );
    for (type_, holds) in [
        (ConditionType::Reconciling, standing == Standing::Waiting),
        (ConditionType::Stalled, standing == Standing::Stalled),
    ] {
        if holds {
            set(conditions, &verdict(type_, true), generation, now);
        } else {
            clear(conditions, type_);
        }
    }
}

/// Removes the condition of a type that no longer applies.
pub fn clear(conditions: &mut Vec<Condition>, type_: ConditionType) {
    let type_ = type_.to_string();
    conditions.retain(|condition| condition.type_ != type_);
}

/// The condition of a type, if it was ever set.
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    let type_ = type_.to_string();
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of a type is set and true.
pub fn is_true(conditions: &[Condition], type_: ConditionType) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// A Kubernetes time in whole seconds; fractions would make equal states differ.
pub fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transition_time_moves_only_with_the_truth() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut conditions = Vec::new();
        let verdict = |truth: bool, message: &str| Verdict::new(ConditionType::Ready, truth, Reason::Accepted, message);
        set(&mut conditions, &verdict(true, "a"), Some(1), at(10));
        set(&mut conditions, &verdict(true, "b"), Some(2), at(20));
        assert_eq!(conditions[0].last_transition_time, time(at(10)));
        assert_eq!(
            (conditions[0].message.as_str(), conditions[0].observed_generation),
            ("b", Some(2))
        );
        set(&mut conditions, &verdict(false, "b"), Some(2), at(30));
        assert_eq!(conditions[0].last_transition_time, time(at(30)));
        assert_eq!(conditions.len(), 1);
        clear(&mut conditions, ConditionType::Ready);
        assert!(conditions.is_empty());
    }
}
