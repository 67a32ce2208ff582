//! Whether one address of an endpoint answers as it should.

use rustls::{AlertDescription, CipherSuite};

use super::{AddressEvidence, CertificateRequest, Fallback, Fault, HttpEvidence, Obstacle, TlsEvidence};
use crate::api::condition::Reason;
use crate::api::connector::{Endpoint, EndpointProtocol, Severity, Vantage};
use crate::policy::connector::address::Range;

const TLS_1_2: u16 = 0x0303;
/// The suites of TLS 1.2 that this client speaks.
const OURS: [CipherSuite; 6] = [
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// What is wrong at an address.
pub(super) fn fault(endpoint: &Endpoint, found: &AddressEvidence) -> Option<Fault> {
    let Some(obstacle) = &found.obstacle else {
        return found.http.and_then(|answer| http(endpoint, &found.tls, answer));
    };
    if endpoint.expect_from == Vantage::NodesOnly && is_silence(obstacle) && found.tls == TlsEvidence::default() {
        let text = "it cannot be reached from this cluster, as is expected where a firewall admits the nodes alone; \
                    admit this cluster's egress address to have it probed";
        return Some(Fault::unknown(Reason::NotReachableFromCluster, text));
    }
    Some(obstructed(endpoint, obstacle, &found.tls))
}

/// Whether nothing at all came from the other side: as it looks through a firewall.
pub(super) fn is_silence(obstacle: &Obstacle) -> bool {
    matches!(
        obstacle,
        Obstacle::ConnectTimeout
            | Obstacle::Refused
            | Obstacle::HostUnreachable
            | Obstacle::NoRoute
            | Obstacle::Closed
            | Obstacle::HandshakeTimeout
    )
}

fn obstructed(endpoint: &Endpoint, obstacle: &Obstacle, tls: &TlsEvidence) -> Fault {
    let port = endpoint.port;
    if let Some(fault) = client_certificate(obstacle, tls).or_else(|| old_server(obstacle, tls)) {
        return fault;
    }
    let (reason, text) = match obstacle {
        Obstacle::NotAllowed(range) => return not_allowed(*range),
        Obstacle::ConnectTimeout => (
            Reason::ConnectTimeout,
            format!("nothing answers at port {port}: a firewall drops the packets, or the host is down"),
        ),
        Obstacle::Refused => (
            Reason::ConnectionRefused,
            format!("the connection to port {port} is refused: start the service, or correct the port"),
        ),
        Obstacle::HostUnreachable | Obstacle::NoRoute => (
            Reason::NetworkUnreachable,
            "there is no route to it: check the routes and firewalls between this cluster and it".to_owned(),
        ),
        Obstacle::Closed => (
            Reason::ConnectionReset,
            "the connection is closed by the other side or a firewall before anything is said".to_owned(),
        ),
        Obstacle::HandshakeTimeout => (
            Reason::HandshakeTimeout,
            format!("port {port} accepts connections, and TLS does not come about in time"),
        ),
        Obstacle::NotTls => (
            Reason::NotTls,
            format!("what answers at port {port} is not TLS: correct the port, or the protocol"),
        ),
        Obstacle::Alert(code) => (
            Reason::TlsAlert,
            format!("the server ends TLS with the alert {}", alert(*code)),
        ),
        Obstacle::Incompatible(why) => (Reason::TlsAlert, format!("TLS does not come about: {why}")),
        Obstacle::ChainTooLong => (
            Reason::CertificateMalformed,
            "the server shows more than 64 KiB of certificates, which clients refuse: let it show only those that are needed".to_owned(),
        ),
        Obstacle::UnusableName => (
            Reason::InvalidSpec,
            "its name cannot stand in a TLS handshake: correct host or serverName".to_owned(),
        ),
        Obstacle::HttpTimeout => (
            Reason::HttpTimeout,
            "the request is not answered in time".to_owned(),
        ),
        Obstacle::NotHttp => (
            Reason::NotHttp,
            format!("what answers at port {port} is not HTTP: correct the port, or leave http out"),
        ),
        Obstacle::Other(why) => return Fault::unknown(Reason::InsufficientEvidence, format!("it could not be probed: {why}")),
    };
    Fault::critical(reason, text)
}

fn not_allowed(range: Range) -> Fault {
    let remedy = match range {
        Range::Metadata | Range::NoHost => "correct the host or its record",
        _ => "correct the host, or set allowPrivateAddresses",
    };
    Fault::critical(
        Reason::AddressNotAllowed,
        format!("its address is {range}, which is not probed: {remedy}"),
    )
}

/// A server that wants a certificate may say so late and in many words: with TLS 1.3, only after the handshake.
fn client_certificate(obstacle: &Obstacle, tls: &TlsEvidence) -> Option<Fault> {
    let about_it = match obstacle {
        Obstacle::Alert(code) => match AlertDescription::from(*code) {
            AlertDescription::CertificateRequired => true,
            AlertDescription::HandshakeFailure
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError => tls.asked.is_some(),
            _ => false,
        },
        Obstacle::Closed => tls.asked.is_some(),
        _ => false,
    };
    about_it.then(|| {
        let asked = tls.asked.unwrap_or(CertificateRequest {
            authorities: 0,
            shown: false,
        });
        wanted(asked, obstacle)
    })
}

fn wanted(asked: CertificateRequest, obstacle: &Obstacle) -> Fault {
    if asked.shown {
        let said = match obstacle {
            Obstacle::Alert(code) => format!(" ({})", alert(*code)),
            _ => String::new(),
        };
        return Fault::critical(
            Reason::ClientCertificateRejected,
            format!("the server does not accept the client certificate{said}: show one of an authority that it trusts"),
        );
    }
    let hints = match asked.authorities {
        0 => "of an authority that it does not name".to_owned(),
        1 => "of one authority that it names".to_owned(),
        several => format!("of one of {several} authorities that it names"),
    };
    // It speaks, and well: what is behind cannot be seen without a certificate.
    Fault::fail(
        Severity::Warning,
        Reason::ClientCertificateRequired,
        format!("the server demands a client certificate {hints}: give one in clientCertificateSecretRef"),
    )
}

/// What a ClientHello of older days found out about a server that this client cannot speak to.
fn old_server(obstacle: &Obstacle, tls: &TlsEvidence) -> Option<Fault> {
    let too_old = |text: String| Some(Fault::critical(Reason::TlsProtocolTooOld, text));
    let no_cipher = |text: String| Some(Fault::critical(Reason::TlsNoCommonCipher, text));
    match (tls.fallback, obstacle) {
        (Some(Fallback::Chose { version, .. }), _) if version < TLS_1_2 => too_old(format!(
            "the server speaks {} at most: have it speak TLS 1.2 or later",
            version_name(version)
        )),
        // The suite is one of ours: it is a curve, or a sort of signature.
        (Some(Fallback::Chose { cipher, .. }), _) if OURS.contains(&CipherSuite::from(cipher)) => Some(Fault::unknown(
            Reason::VerifierUnsupported,
            "the server uses a curve or a sort of key that is not spoken here, and others may speak: allow X25519 or P-256, and \
             keys of RSA or ECDSA, to have it probed",
        )),
        (Some(Fallback::Chose { cipher, .. }), _) => no_cipher(format!(
            "the server speaks TLS 1.2 with cipher suites that are no longer used, such as {:?}: allow ECDHE with AES-GCM",
            CipherSuite::from(cipher)
        )),
        (_, Obstacle::Alert(code)) => match AlertDescription::from(*code) {
            AlertDescription::ProtocolVersion => {
                too_old("the server speaks neither TLS 1.2 nor TLS 1.3: have it speak one of them".to_owned())
            }
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity if tls.version.is_none() => {
                no_cipher(
                    "the server has no cipher suite or curve in common with present clients: allow ECDHE with AES-GCM"
                        .to_owned(),
                )
            }
            _ => None,
        },
        _ => None,
    }
}

fn http(endpoint: &Endpoint, tls: &TlsEvidence, answer: HttpEvidence) -> Option<Fault> {
    let expected = endpoint.http.as_ref()?;
    let status = answer.status;
    if expected.statuses.contains(&i32::from(status)) {
        return (expected.non_empty_body && answer.blank).then(|| {
            Fault::critical(
                Reason::EmptyBody,
                format!(
                    "the answer to GET {} is empty: see what the server's own log says",
                    expected.path
                ),
            )
        });
    }
    // Servers that ask for a certificate within HTTP's reach answer its absence with this status.
    if let (400, Some(asked), EndpointProtocol::Tls) = (status, tls.asked, endpoint.protocol) {
        return Some(wanted(asked, &Obstacle::Closed));
    }
    // Paths are case-sensitive at most servers, and some proxies alter them.
    let capitals = status == 404 && expected.path.bytes().any(|one| one.is_ascii_uppercase());
    let hint = if capitals {
        ": see whether a proxy in front alters the capitals in it"
    } else {
        ""
    };
    Some(Fault::critical(
        Reason::UnexpectedHttpStatus,
        format!(
            "GET {} is answered with status {status}, which statuses does not list{hint}",
            expected.path
        ),
    ))
}

fn alert(code: u8) -> String {
    match AlertDescription::from(code) {
        AlertDescription::Unknown(code) => format!("number {code}"),
        known => format!("{known:?}"),
    }
}

/// The name of a version of TLS.
fn version_name(version: u16) -> String {
    match version {
        0x0300 => "SSL 3.0".to_owned(),
        0x0301 => "TLS 1.0".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0304 => "TLS 1.3".to_owned(),
        other => format!("version {other:#06x}"),
    }
}
