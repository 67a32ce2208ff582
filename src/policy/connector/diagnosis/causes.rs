//! What is said of each cause: a sentence, a remedy, the runbook, and how sure it is when nothing else points at it.

use crate::api::condition::Reason;
use crate::api::connector::Confidence;

/// What is said of a cause.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The cause in one sentence, without an end.
    pub summary: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// Name of the runbook.
    pub runbook: &'static str,
    /// How sure it is by itself.
    pub confidence: Confidence,
}

/// Whether a reason of what could not be judged keeps the operator from seeing, and can be helped.
pub fn blinds(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ApiUnreachable
            | Reason::ApiRejected
            | Reason::CredentialsRejected
            | Reason::PermissionDenied
            | Reason::DiscoveryUnavailable
            | Reason::EventHubDisabled
            | Reason::FeedDisconnected
    )
}

/// What is said of a reason; `None` for one that is no cause.
pub fn page(reason: Reason) -> Option<Page> {
    let row = TABLE.iter().find(|row| row.0 == reason)?;
    let &(_, runbook, confidence, summary, remedy) = row;
    Some(Page {
        summary,
        remedy,
        runbook,
        confidence,
    })
}

const ENDPOINT_UNREACHABLE: &str = "TeamsConnectorEndpointUnreachable";
const CERTIFICATE_INVALID: &str = "TeamsConnectorCertificateInvalid";
const CERTIFICATE_EXPIRING: &str = "TeamsConnectorCertificateExpiring";
const API_UNAUTHORIZED: &str = "TeamsConnectorApiUnauthorized";
const TENANT_MISMATCH: &str = "TeamsConnectorTenantMismatch";
const CONSENT_MISSING: &str = "TeamsConnectorConsentMissing";
const CREDENTIAL_EXPIRING: &str = "TeamsConnectorCredentialExpiring";
const UPSTREAM_DEGRADED: &str = "TeamsConnectorUpstreamDegraded";
const INSTANCE_FAILED: &str = "TeamsConnectorInstanceFailed";
const ROUTING_INVALID: &str = "TeamsConnectorRoutingInvalid";
const NO_ACTIVE_INSTANCES: &str = "TeamsConnectorNoActiveInstances";
const NEAR_CAPACITY: &str = "TeamsConnectorNearCapacity";
const AT_CAPACITY: &str = "TeamsConnectorAtCapacity";
const CALL_FAILURE_RATE_HIGH: &str = "TeamsConnectorCallFailureRateHigh";
const PROVISIONING_FAILING: &str = "TeamsConnectorProvisioningFailing";
const CLOCK_SKEW: &str = "TeamsConnectorClockSkew";
const UNHEALTHY: &str = "TeamsConnectorUnhealthy";
const FEED_DISCONNECTED: &str = "TeamsConnectorFeedDisconnected";

type Row = (Reason, &'static str, Confidence, &'static str, &'static str);

#[rustfmt::skip] // a line is a row
const TABLE: &[Row] = &[
    // network
    (Reason::DnsNotFound, ENDPOINT_UNREACHABLE, Confidence::High,
        "The name does not exist, or has no address",
        "Correct the name, or its DNS record; after a new deployment the record must lead to the new address."),
    (Reason::DnsUnavailable, ENDPOINT_UNREACHABLE, Confidence::Medium,
        "The name cannot be resolved: no name server answers",
        "Look at the name servers of this cluster and of the domain."),
    (Reason::DnsAddressMismatch, ENDPOINT_UNREACHABLE, Confidence::High,
        "The name leads to an address that is not the expected one",
        "Point the record at the load balancer of the new deployment, or correct expectedAddresses."),
    (Reason::AddressNotAllowed, ENDPOINT_UNREACHABLE, Confidence::High,
        "The name leads to a private address, which is probed only when the spec says so",
        "Set allowPrivateAddresses: true if that is meant; otherwise look at who changed the DNS record."),
    (Reason::ConnectionRefused, ENDPOINT_UNREACHABLE, Confidence::High,
        "Nothing listens at the port",
        "Start the service, or correct the port."),
    (Reason::ConnectionReset, ENDPOINT_UNREACHABLE, Confidence::Medium,
        "The connection is closed or reset before anything is said",
        "Look at the load balancer and its health checks, and at firewalls that end connections."),
    (Reason::ConnectTimeout, ENDPOINT_UNREACHABLE, Confidence::Medium,
        "No answer to the connection: something on the way drops it",
        "Admit the outgoing address of this cluster at the firewall or network security group, or set expectFrom: NodesOnly."),
    (Reason::HandshakeTimeout, ENDPOINT_UNREACHABLE, Confidence::Medium,
        "Connected, and then no answer in time",
        "Look at the load of the server, and at firewalls that look into TLS."),
    (Reason::ConnectionFailed, ENDPOINT_UNREACHABLE, Confidence::Medium,
        "A server cannot be reached, or breaks off",
        "Look whether it runs, and at DNS, firewalls and routes between this cluster and it."),
    (Reason::NetworkUnreachable, ENDPOINT_UNREACHABLE, Confidence::Medium,
        "This cluster has no route to the address",
        "Look at the routes and egress rules of the cluster, for IPv6 above all."),
    (Reason::NotTls, ENDPOINT_UNREACHABLE, Confidence::High,
        "What answers at the port does not speak TLS",
        "Correct the port, or the service behind it."),
    (Reason::TlsProtocolTooOld, ENDPOINT_UNREACHABLE, Confidence::High,
        "The server speaks only TLS 1.1 or older",
        "Allow TLS 1.2 at the server; Microsoft takes nothing older."),
    (Reason::TlsNoCommonCipher, ENDPOINT_UNREACHABLE, Confidence::High,
        "The server has no cipher or curve that is still thought safe",
        "Allow ECDHE with AES-GCM at the server."),
    (Reason::TlsAlert, ENDPOINT_UNREACHABLE, Confidence::Medium,
        "The server ends the handshake with an alert",
        "Look at the log of the server; the wrong server name is the most frequent cause."),
    (Reason::ClientCertificateRequired, ENDPOINT_UNREACHABLE, Confidence::High,
        "The server wants a client certificate",
        "Name one in tls.clientCertificateSecretRef."),
    (Reason::ClientCertificateRejected, ENDPOINT_UNREACHABLE, Confidence::High,
        "The server does not take the client certificate",
        "Have its issuer added at the server, or take a certificate that it knows."),
    (Reason::UnexpectedHttpStatus, ENDPOINT_UNREACHABLE, Confidence::Medium,
        "The answer has a status that is not expected",
        "Look at the service and at the reverse proxy before it: name, path and its case."),
    (Reason::HttpTimeout, ENDPOINT_UNREACHABLE, Confidence::Medium,
        "The connection stands, and the request is not answered in time",
        "See what the server does with the request, and at its load."),
    (Reason::EmptyBody, ENDPOINT_UNREACHABLE, Confidence::Medium,
        "The answer has no body",
        "Look at the web application behind the address."),
    (Reason::NotHttp, ENDPOINT_UNREACHABLE, Confidence::Medium,
        "What answers does not speak HTTP",
        "Correct the port, or the service behind it."),
    (Reason::SipNoAnswer, ENDPOINT_UNREACHABLE, Confidence::Medium,
        "The session border controller does not answer SIP OPTIONS",
        "Look whether it runs, and whether it admits OPTIONS from this cluster."),
    (Reason::SipUnavailable, ENDPOINT_UNREACHABLE, Confidence::High,
        "The session border controller says that it is out of service",
        "Look at its state and licences."),
    // certificates
    (Reason::Expired, CERTIFICATE_INVALID, Confidence::High,
        "A certificate that is needed has ended",
        "Replace it, with its intermediates."),
    (Reason::ExpiringSoon, CERTIFICATE_EXPIRING, Confidence::High,
        "A certificate that is needed ends soon",
        "Replace it before it ends, with its intermediates."),
    (Reason::NotYetValid, CERTIFICATE_INVALID, Confidence::High,
        "A certificate is not valid yet",
        "Look at the clocks; otherwise wait, or have it issued anew."),
    (Reason::NameMismatch, CERTIFICATE_INVALID, Confidence::High,
        "The certificate is for other names",
        "Have it issued for the name that is connected to, or correct the DNS record."),
    (Reason::NoSubjectAltName, CERTIFICATE_INVALID, Confidence::High,
        "The certificate has a common name alone, which nobody reads any more",
        "Have it issued with the name as subject alternative name."),
    (Reason::IncompleteChain, CERTIFICATE_INVALID, Confidence::High,
        "The server does not send the intermediate certificate",
        "Install the certificate with its intermediates, as a full chain."),
    (Reason::UntrustedIssuer, CERTIFICATE_INVALID, Confidence::High,
        "No authority that is trusted has signed the certificate",
        "Take one of a public authority; the connector and its nodes need such. For a private one set tls.trust."),
    (Reason::CertificateNotTrusted, CERTIFICATE_INVALID, Confidence::High,
        "The certificate of a server is not trusted",
        "Install one of a public authority with its intermediates, or name the authority in caBundleSecretRef."),
    (Reason::SelfSigned, CERTIFICATE_INVALID, Confidence::High,
        "The certificate has signed itself",
        "Take one of a public authority."),
    (Reason::KeyAlgorithmNotAllowed, CERTIFICATE_INVALID, Confidence::High,
        "The key of the certificate is of an algorithm that is not taken",
        "Have it issued with an RSA key: the connector takes no other."),
    (Reason::KeyTooSmall, CERTIFICATE_INVALID, Confidence::High,
        "The RSA key of the certificate is too small",
        "Have it issued with at least 2048 bits."),
    (Reason::WeakSignature, CERTIFICATE_INVALID, Confidence::High,
        "The certificate is signed with a hash that is no longer safe",
        "Have it issued with SHA-256."),
    (Reason::HandshakeSignatureInvalid, CERTIFICATE_INVALID, Confidence::High,
        "The server does not have the key of the certificate that it shows",
        "Install certificate and key together."),
    (Reason::Revoked, CERTIFICATE_INVALID, Confidence::High,
        "The authority has revoked the certificate",
        "Have a new one issued, and find out why this one was revoked."),
    (Reason::WrongExtendedKeyUsage, CERTIFICATE_INVALID, Confidence::High,
        "The certificate is not made for servers",
        "Have it issued for server authentication."),
    (Reason::NameConstraintViolated, CERTIFICATE_INVALID, Confidence::High,
        "The authority may not sign for this name",
        "Take a certificate of another authority."),
    (Reason::IssuerNotAuthority, CERTIFICATE_INVALID, Confidence::High,
        "A certificate of the chain that is no authority has signed another",
        "Have the certificate issued anew, by an authority."),
    (Reason::CertificateMalformed, CERTIFICATE_INVALID, Confidence::Medium,
        "The certificate cannot be read",
        "Have it issued anew."),
    (Reason::AiaRedirectsToHttps, CERTIFICATE_INVALID, Confidence::Medium,
        "The address of the issuer in a certificate redirects to https, at which servers on Windows fail",
        "Take a certificate of another authority."),
    (Reason::NodeCertificateWithoutClientAuth, API_UNAUTHORIZED, Confidence::Low,
        "The certificate of a Conferencing Node is not made for clients",
        "If calls end with error 401, take a certificate with client authentication; public authorities stopped issuing such in 2026."),
    // Microsoft
    (Reason::TenantIdMismatch, TENANT_MISMATCH, Confidence::High,
        "A tenant ID is not that of the tenant in which Teams lives",
        "Correct it where the message says: microsoft.tenantId, or the Management Node, under Azure tenants."),
    (Reason::TenantNotFound, TENANT_MISMATCH, Confidence::High,
        "Microsoft knows no such tenant",
        "Correct microsoft.tenantId or the domain."),
    (Reason::ConnectorUsesOtherTenant, TENANT_MISMATCH, Confidence::High,
        "The connector is configured with another tenant",
        "Correct the tenant ID in the Management Node, under Azure tenants."),
    (Reason::AppRegistrationMissing, CONSENT_MISSING, Confidence::High,
        "The tenant has no registration of the app",
        "Look whether the registration was deleted, and run the installation script again."),
    (Reason::ServicePrincipalMissing, CONSENT_MISSING, Confidence::High,
        "The tenant never consented to the app",
        "Open /adminconsent at the address of the connector as an administrator of the tenant in which Teams lives."),
    (Reason::ServicePrincipalDisabled, CONSENT_MISSING, Confidence::High,
        "The app is disabled in the tenant",
        "Enable it under enterprise applications."),
    (Reason::RolesMissing, CONSENT_MISSING, Confidence::High,
        "The app lacks permissions",
        "Consent again at /adminconsent of the connector."),
    (Reason::CredentialExpired, CREDENTIAL_EXPIRING, Confidence::High,
        "A secret or certificate of the app has ended",
        "Make a new one, and give it to the connector."),
    (Reason::CredentialExpiringSoon, CREDENTIAL_EXPIRING, Confidence::High,
        "A secret or certificate of the app ends soon",
        "Make a new one, and give it to the connector."),
    (Reason::ServiceDegradation, UPSTREAM_DEGRADED, Confidence::High,
        "Microsoft says that the service is degraded",
        "Wait, and follow the issue in the Microsoft 365 admin center."),
    (Reason::ServiceInterruption, UPSTREAM_DEGRADED, Confidence::High,
        "Microsoft says that the service is interrupted",
        "Wait, and follow the issue in the Microsoft 365 admin center."),
    (Reason::VendorIncident, UPSTREAM_DEGRADED, Confidence::High,
        "The status page of the vendor shows an incident",
        "Wait, and follow the status page."),
    // Pexip
    (Reason::ConnectorNotFound, INSTANCE_FAILED, Confidence::High,
        "The Management Node has no connector of this name",
        "Correct pexip.connectorName."),
    (Reason::RuleWithoutConnector, ROUTING_INVALID, Confidence::High,
        "A rule to Teams has no connector, and neither has its location",
        "Set the Teams Connector at the rule or at its outgoing location."),
    (Reason::ReceptionWithoutConnector, ROUTING_INVALID, Confidence::High,
        "A Virtual Reception has no connector, and neither has its lookup location: every conference ID is called invalid",
        "Set the Teams Connector at the Virtual Reception or at its lookup location."),
    (Reason::ReplaceDoesNotYieldConferenceId, ROUTING_INVALID, Confidence::High,
        "A rule makes something other than a conference ID of what is dialled",
        "Correct match and replace string of the rule; groups are written \\1."),
    (Reason::RegexInvalid, ROUTING_INVALID, Confidence::High,
        "The expression of a rule cannot be read",
        "Correct the match string of the rule."),
    (Reason::RuleShadowed, ROUTING_INVALID, Confidence::Medium,
        "A rule is never reached: another of higher priority takes its calls",
        "Change the priorities, or disable the other rule."),
    (Reason::NodeNotInConnectorAllowList, API_UNAUTHORIZED, Confidence::High,
        "A Conferencing Node calls a connector that does not admit it",
        "Add its name to the connector, or set the right connector at its location."),
    (Reason::NoActiveInstance, NO_ACTIVE_INSTANCES, Confidence::High,
        "No instance of the connector takes calls",
        "Look at the scale set in Azure; an instance takes up to 20 minutes to start."),
    (Reason::BelowMinimumInstances, INSTANCE_FAILED, Confidence::High,
        "Fewer instances are active than configured",
        "Look at the scale set in Azure, and at its quota."),
    (Reason::InstanceFailed, INSTANCE_FAILED, Confidence::High,
        "An instance is in maintenance for longer than expected",
        "Restart the instance in Azure; delete it if that does not help."),
    (Reason::HeartbeatStale, INSTANCE_FAILED, Confidence::Medium,
        "An instance gives no sign of life",
        "Look whether it runs in Azure and reaches its Event Hub."),
    (Reason::ConfigurationDrift, INSTANCE_FAILED, Confidence::Medium,
        "An instance does not have its configuration",
        "Restart the instance; the message names what fails."),
    (Reason::VendorAlarm, INSTANCE_FAILED, Confidence::High,
        "The Management Node shows alarms",
        "See the alarms in the Management Node."),
    (Reason::NodeOutOfSync, INSTANCE_FAILED, Confidence::Medium,
        "A Conferencing Node does not have the newest configuration",
        "Look whether it reaches the Management Node."),
    (Reason::NearCapacity, NEAR_CAPACITY, Confidence::High,
        "The connector is nearly full, or will be in 20 minutes",
        "Scale it up now: an instance takes up to 20 minutes to start."),
    (Reason::Saturated, AT_CAPACITY, Confidence::High,
        "The connector is full",
        "Scale it up, and add scheduled scaling for times like this."),
    (Reason::LicencesExhausted, AT_CAPACITY, Confidence::High,
        "No licence is left; a call through the gateway takes two",
        "Buy licences, or end calls that nobody needs."),
    (Reason::ApiUnauthorized, API_UNAUTHORIZED, Confidence::Low,
        "Calls end with error 401, by a certificate of the connector or a node, a node at the wrong connector, or an issuer address that redirects to https",
        "Check these three in this order; aiaRedirectCheck: true and pexip.nodeFqdns let the operator check the last two."),
    (Reason::ApiServerError, CALL_FAILURE_RATE_HIGH, Confidence::Low,
        "Calls end with error 500, most often by a wrong tenant ID or a missing consent",
        "Compare the tenant ID of the connector with that of Teams, and consent again at /adminconsent."),
    (Reason::GatewayDialOutFailed, CALL_FAILURE_RATE_HIGH, Confidence::Low,
        "Calls fail to dial out",
        "If all do: look at rules, connector and tenant. If some do: look at wrong IDs and at the capacity at that time."),
    (Reason::CallRejected, CALL_FAILURE_RATE_HIGH, Confidence::Low,
        "Calls are rejected",
        "If all are: look at rules, connector and tenant. If some are: look at wrong IDs and at the capacity at that time."),
    (Reason::UserInput, CALL_FAILURE_RATE_HIGH, Confidence::Medium,
        "Some callers typed a wrong conference ID",
        "Nothing is wrong with the connector; tell those callers, or make the prompt clearer."),
    // Webex for BroadWorks
    (Reason::ProvisioningStuck, PROVISIONING_FAILING, Confidence::High,
        "Subscribers are being provisioned for too long",
        "Open a case with Cisco; the answer 200 was not followed by a user."),
    (Reason::UserConflict, PROVISIONING_FAILING, Confidence::High,
        "A user or e-mail address is taken already",
        "Remove the user from the other organisation, or take another address."),
    (Reason::AdapterCredentialsRejected, PROVISIONING_FAILING, Confidence::High,
        "Credentials are refused",
        "Make the credentials of BroadWorks and of Partner Hub the same."),
    (Reason::BadSubscriberProfile, PROVISIONING_FAILING, Confidence::High,
        "The profile of subscribers lacks what Webex needs",
        "Give them a phone number and a valid, unique e-mail address that is trusted."),
    (Reason::OrganizationCreationDisabled, PROVISIONING_FAILING, Confidence::High,
        "The organisation does not exist, and may not be made",
        "Allow it in the template of Partner Hub, or make the organisation first."),
    (Reason::LoginMismatch, PROVISIONING_FAILING, Confidence::High,
        "The XSPs disagree on the same login",
        "Give all XSPs the same authentication service, keys and release."),
    (Reason::DeviceTypeMissing, PROVISIONING_FAILING, Confidence::High,
        "The test subscriber has no device of the type that the client needs",
        "Add the device profile type, and assign it."),
    // clock and inputs
    (Reason::SkewTooLarge, CLOCK_SKEW, Confidence::High,
        "Clocks are too far apart",
        "Let the server, or the nodes of this cluster, take their time from NTP."),
    (Reason::HostBitsSet, UNHEALTHY, Confidence::High,
        "A network has host bits",
        "Take the network of the message."),
    (Reason::PrefixInvalid, UNHEALTHY, Confidence::High,
        "What is typed is no network",
        "Write it in CIDR notation."),
    (Reason::AmbiguousOctet, UNHEALTHY, Confidence::High,
        "A number of an address begins with 0, which some programs read as octal",
        "Leave the zeros out."),
    // what keeps the operator from seeing
    (Reason::ApiUnreachable, FEED_DISCONNECTED, Confidence::High,
        "An API gives no usable answer, so that part of the connector cannot be seen",
        "Look whether this cluster reaches it; the message says what answers."),
    (Reason::ApiRejected, FEED_DISCONNECTED, Confidence::High,
        "An API refuses the credentials, so that part of the connector cannot be seen",
        "Correct the Secret, or the rights of its user."),
    (Reason::CredentialsRejected, FEED_DISCONNECTED, Confidence::High,
        "Credentials that this operator uses are refused, so that part of the connector cannot be seen",
        "Correct the Secret that the message names, or unlock the account."),
    (Reason::PermissionDenied, FEED_DISCONNECTED, Confidence::High,
        "The app or token of this operator may not read this",
        "Grant the permission that the message names."),
    (Reason::DiscoveryUnavailable, FEED_DISCONNECTED, Confidence::Medium,
        "Microsoft cannot be asked which tenant it is",
        "Look whether this cluster reaches login.microsoftonline.com."),
    (Reason::EventHubDisabled, FEED_DISCONNECTED, Confidence::High,
        "Without the Event Hub the Management Node shows no instances",
        "Enable it for the connector, if instances are to be watched."),
    (Reason::FeedDisconnected, FEED_DISCONNECTED, Confidence::Medium,
        "The record of calls or subscribers cannot be read",
        "Look at the rights of the user, and at the message."),
];

/// Every reason that has a page.
#[cfg(test)]
pub fn reasons() -> impl Iterator<Item = Reason> {
    TABLE.iter().map(|row| row.0)
}
