//! What can go wrong with Graph and Entra, in the product's words.

use super::message::cut;
pub use crate::policy::backoff::Class;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Entra refuses the secret, assertion or token; or a policy forbids the sign-in. The message says which.
    CredentialsRejected,
    /// The account has to pass a second factor to sign in, which no operator can.
    MfaRequired,
    /// The account's password has expired, or has to be changed first.
    PasswordExpired,
    /// The certificate, key or token file cannot be used, found out before anything was sent.
    CredentialsMalformed,
    /// The certificate credential has expired.
    CertificateExpired,
    /// Entra does not know the tenant (wrong id, or wrong cloud).
    UnknownTenant,
    /// The tenant does not know the application or managed identity.
    UnknownApplication,
    /// A permission or its admin consent is missing (403).
    ConsentMissing,
    /// The subscription, or the resource to subscribe to, does not exist.
    NotFound,
    /// The same resource and change type are subscribed already.
    Duplicate {
        /// Id of the subscription in the way, when Graph names it.
        existing: Option<String>,
    },
    /// The asked expiry is beyond what the resource allows.
    ExpiryTooFar {
        /// The longest lifetime in minutes, when Graph names it.
        maximum_minutes: Option<i64>,
    },
    /// Graph could not validate the notification or lifecycle URL.
    EndpointValidation,
    /// A quota on the number of subscriptions is used up. Waiting alone does not help.
    QuotaExceeded,
    /// What changed since cannot be told any more: the link is too old. Begin anew.
    ResyncRequired,
    /// Too many requests; also when the limiter's queue is full.
    Throttled,
    /// Server fault, network fault or timeout. After a create or renew it may have happened nevertheless: look before repeating.
    Unavailable,
    /// 401 also with a fresh token.
    Unauthorized,
    /// Any other refusal of the request.
    Rejected,
    /// 403 "reached its limit of '1'": a subscription of this app is in the way, at times the ghost of a removed one.
    Limited,
    /// A body that Graph or Entra would not send: a success that cannot be read (after a create it has happened nevertheless:
    /// look before repeating), or a refusal by something in between.
    Protocol,
}

impl Kind {
    /// Name in metric labels.
    pub fn label(&self) -> &'static str {
        match self {
            Self::CredentialsRejected => "credentials_rejected",
            Self::MfaRequired => "mfa_required",
            Self::PasswordExpired => "password_expired",
            Self::CredentialsMalformed => "credentials_malformed",
            Self::CertificateExpired => "certificate_expired",
            Self::UnknownTenant => "unknown_tenant",
            Self::UnknownApplication => "unknown_application",
            Self::ConsentMissing => "consent_missing",
            Self::NotFound => "not_found",
            Self::Duplicate { .. } => "duplicate",
            Self::ExpiryTooFar { .. } => "expiry_too_far",
            Self::EndpointValidation => "endpoint_validation",
            Self::QuotaExceeded => "quota_exceeded",
            Self::ResyncRequired => "resync_required",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Unauthorized => "unauthorized",
            Self::Rejected => "rejected",
            Self::Limited => "limited",
            Self::Protocol => "protocol",
        }
    }
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What happened.
    pub kind: Kind,
    /// When to try again.
    pub class: Class,
    /// For people and for conditions: the same text for the same fault, without ids, dates, URLs or secrets; at most 300
    /// characters.
    pub message: String,
}

impl Failure {
    /// A failure with the class that is usual for its kind.
    pub(super) fn of(kind: Kind, message: impl AsRef<str>) -> Self {
        let class = kind.usual_class();
        Self::new(kind, class, message)
    }

    pub(super) fn new(kind: Kind, class: Class, message: impl AsRef<str>) -> Self {
        Self {
            kind,
            class,
            message: cut(message.as_ref()),
        }
    }
}

impl Kind {
    /// When to try again after this; `classify` knows the few cases that differ.
    fn usual_class(&self) -> Class {
        match self {
            Self::Unavailable | Self::Protocol | Self::ResyncRequired => Class::Retry,
            Self::Throttled => Class::Throttled(None),
            Self::Rejected => Class::Invalid,
            // Consent, secrets, quotas and endpoints are mended outside the spec, and nobody tells us when.
            Self::CredentialsRejected
            | Self::MfaRequired
            | Self::PasswordExpired
            | Self::CredentialsMalformed
            | Self::CertificateExpired
            | Self::UnknownTenant
            | Self::UnknownApplication
            | Self::ConsentMissing
            | Self::NotFound
            | Self::Duplicate { .. }
            | Self::ExpiryTooFar { .. }
            | Self::EndpointValidation
            | Self::QuotaExceeded
            | Self::Unauthorized
            | Self::Limited => Class::RetrySlowly,
        }
    }
}
