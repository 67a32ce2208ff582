//! Failures of either side in the words of the report.

use crate::api::presence_report::{Fault, Lamp};
use crate::graph::{Failure, Kind};
use crate::policy::presence::pbx::PbxError;

/// What a failure of Graph or Entra is.
pub fn of_graph(kind: &Kind) -> Fault {
    match kind {
        Kind::CredentialsRejected | Kind::Unauthorized => Fault::CredentialsRejected,
        Kind::MfaRequired => Fault::MfaRequired,
        Kind::PasswordExpired => Fault::PasswordExpired,
        Kind::CredentialsMalformed => Fault::CredentialsMalformed,
        Kind::CertificateExpired => Fault::CertificateExpired,
        Kind::UnknownTenant => Fault::UnknownTenant,
        Kind::UnknownApplication => Fault::UnknownApplication,
        Kind::ConsentMissing => Fault::PermissionMissing,
        Kind::Duplicate { .. } | Kind::Limited | Kind::QuotaExceeded => Fault::SubscriptionInUse,
        Kind::EndpointValidation => Fault::EndpointValidation,
        Kind::Throttled => Fault::Throttled,
        Kind::Unavailable => Fault::Unavailable,
        Kind::Protocol | Kind::ResyncRequired => Fault::Protocol,
        Kind::NotFound | Kind::ExpiryTooFar { .. } | Kind::Rejected => Fault::Rejected,
    }
}

/// What a failure of the PBX is.
pub fn of_pbx(error: &PbxError) -> Fault {
    match error {
        PbxError::Auth(_) => Fault::CredentialsRejected,
        PbxError::Licence(_) => Fault::Unlicensed,
        PbxError::Forbidden(_) | PbxError::NotFound(_) => Fault::Rejected,
        PbxError::Throttled(_) => Fault::Throttled,
        PbxError::Protocol(_) => Fault::Protocol,
        PbxError::NotTrusted(_) => Fault::CertificateNotTrusted,
        PbxError::Transport(_) => Fault::Unavailable,
    }
}

/// A lamp for what a call ended with.
pub fn lamp<T>(result: &Result<T, Failure>, green: &str) -> Lamp {
    match result {
        Ok(_) => Lamp::green(green),
        Err(failure) => red(failure),
    }
}

/// A lamp for a failure.
pub fn red(failure: &Failure) -> Lamp {
    Lamp::red(of_graph(&failure.kind), &failure.message)
}
