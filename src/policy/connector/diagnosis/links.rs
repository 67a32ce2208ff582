//! Which faults explain what calls end with, and how surely.

use crate::api::condition::Reason;
use crate::api::connector::Confidence;

/// One line of the table: any of `causes` explains any of `signs`.
pub struct Link {
    /// What is explained.
    pub signs: &'static [Reason],
    /// What explains it.
    pub causes: &'static [Reason],
    /// How surely.
    pub confidence: Confidence,
    /// Whether it holds only where nearly every call fails, which is told as critical.
    pub persistent: bool,
}

const fn link(signs: &'static [Reason], causes: &'static [Reason], confidence: Confidence) -> Link {
    Link {
        signs,
        causes,
        confidence,
        persistent: false,
    }
}

const fn persistent(signs: &'static [Reason], causes: &'static [Reason], confidence: Confidence) -> Link {
    Link {
        signs,
        causes,
        confidence,
        persistent: true,
    }
}

const DIAL_OUT: &[Reason] = &[Reason::GatewayDialOutFailed, Reason::CallRejected];

/// A certificate that a peer does not take.
const BAD_CERTIFICATE: &[Reason] = &[
    Reason::Expired,
    Reason::NotYetValid,
    Reason::NameMismatch,
    Reason::NoSubjectAltName,
    Reason::IncompleteChain,
    Reason::UntrustedIssuer,
    Reason::SelfSigned,
    Reason::KeyAlgorithmNotAllowed,
    Reason::KeyTooSmall,
    Reason::WeakSignature,
    Reason::HandshakeSignatureInvalid,
    Reason::Revoked,
    Reason::WrongExtendedKeyUsage,
    Reason::NameConstraintViolated,
    Reason::IssuerNotAuthority,
    Reason::CertificateMalformed,
];

const WRONG_TENANT: &[Reason] = &[
    Reason::TenantIdMismatch,
    Reason::ConnectorUsesOtherTenant,
    Reason::TenantNotFound,
];

const UPSTREAM: &[Reason] = &[Reason::ServiceDegradation, Reason::ServiceInterruption];

const UNREACHABLE: &[Reason] = &[
    Reason::DnsNotFound,
    Reason::DnsAddressMismatch,
    Reason::ConnectionRefused,
    Reason::ConnectionReset,
    Reason::ConnectTimeout,
    Reason::HandshakeTimeout,
    Reason::NetworkUnreachable,
    Reason::NotTls,
];

/// The table.
pub const LINKS: &[Link] = &[
    // 401: the connector and the Conferencing Node do not trust each other.
    link(&[Reason::ApiUnauthorized], BAD_CERTIFICATE, Confidence::High),
    link(
        &[Reason::ApiUnauthorized],
        &[Reason::NodeNotInConnectorAllowList],
        Confidence::High,
    ),
    link(
        &[Reason::ApiUnauthorized],
        &[Reason::AiaRedirectsToHttps, Reason::NodeCertificateWithoutClientAuth],
        Confidence::Medium,
    ),
    link(&[Reason::ApiUnauthorized], &[Reason::SkewTooLarge], Confidence::Medium),
    // 500: the connector cannot use the tenant.
    link(&[Reason::ApiServerError], WRONG_TENANT, Confidence::High),
    link(
        &[Reason::ApiServerError],
        &[
            Reason::ServicePrincipalMissing,
            Reason::ServicePrincipalDisabled,
            Reason::RolesMissing,
            Reason::CredentialExpired,
        ],
        Confidence::Medium,
    ),
    link(&[Reason::ApiServerError], UPSTREAM, Confidence::Medium),
    // Calls that do not get out.
    link(
        DIAL_OUT,
        &[Reason::Saturated, Reason::LicencesExhausted, Reason::NoActiveInstance],
        Confidence::High,
    ),
    persistent(
        DIAL_OUT,
        &[
            Reason::ReplaceDoesNotYieldConferenceId,
            Reason::RuleWithoutConnector,
            Reason::ReceptionWithoutConnector,
            Reason::RegexInvalid,
            Reason::RuleShadowed,
        ],
        Confidence::High,
    ),
    persistent(DIAL_OUT, WRONG_TENANT, Confidence::High),
    persistent(DIAL_OUT, UNREACHABLE, Confidence::Medium),
    link(DIAL_OUT, &[Reason::InstanceFailed], Confidence::Medium),
    link(DIAL_OUT, UPSTREAM, Confidence::Medium),
    // A wrong clock makes good certificates bad, and Graph call a subscription that it still has a conflict.
    link(
        &[Reason::NotYetValid, Reason::Conflict],
        &[Reason::SkewTooLarge],
        Confidence::High,
    ),
    // Webex.
    link(
        &[Reason::ProvisioningStuck],
        &[Reason::VendorIncident],
        Confidence::Medium,
    ),
    link(
        &[Reason::LoginMismatch],
        &[Reason::AdapterCredentialsRejected],
        Confidence::High,
    ),
];
