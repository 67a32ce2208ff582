//! What a look at an endpoint found: facts, as they were seen.

use core::net::IpAddr;

use crate::policy::connector::address::Range;
use crate::policy::connector::clock::ClockSample;

/// What one look at an endpoint found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointEvidence {
    /// Whether its name leads anywhere.
    pub resolution: Resolution,
    /// What was found at each address, in the order of addresses.
    pub addresses: Vec<AddressEvidence>,
    /// Certificates (DER) that the spec has trusted besides, or instead of, the public authorities.
    pub bundle: Vec<Vec<u8>>,
    /// What the addresses within the certificates gave, when they were asked.
    pub documents: Documents,
    /// What its answers say about clocks.
    pub clock: Vec<ClockSample>,
}

/// Whether a name leads to addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resolution {
    /// It does, or is an address itself.
    #[default]
    Found,
    /// There is no such name, or it has no address.
    NotFound,
    /// The name service failed, or did not answer in time.
    Unavailable,
}

/// What was found at one address.
#[derive(Clone, Debug, PartialEq)]
pub struct AddressEvidence {
    /// The address.
    pub address: IpAddr,
    /// What ended the look early.
    pub obstacle: Option<Obstacle>,
    /// What TLS showed, as far as it came.
    pub tls: TlsEvidence,
    /// The answer to the request, if one was made.
    pub http: Option<HttpEvidence>,
}

impl AddressEvidence {
    /// Nothing known yet.
    pub fn new(address: IpAddr) -> Self {
        Self {
            address,
            obstacle: None,
            tls: TlsEvidence::default(),
            http: None,
        }
    }
}

/// What ended a look early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The address lies where probes may not go. Nothing was sent.
    NotAllowed(Range),
    /// No answer to the connection's first packet.
    ConnectTimeout,
    /// Nobody listens at the port, or a firewall says so.
    Refused,
    /// A router says that the host or its network cannot be reached.
    HostUnreachable,
    /// This machine has no route there, as to IPv6 addresses where there is no IPv6.
    NoRoute,
    /// The connection was ended by the other side, within TLS or before.
    Closed,
    /// TLS was begun, and not finished in time.
    HandshakeTimeout,
    /// What answered is not TLS.
    NotTls,
    /// The server ended TLS with this alert.
    /// <https://www.iana.org/assignments/tls-parameters/tls-parameters.xhtml#tls-parameters-6>
    Alert(u8),
    /// TLS that this client does not speak, in its own words.
    Incompatible(String),
    /// The server's certificates are longer than clients read.
    ChainTooLong,
    /// The name cannot stand in a TLS handshake.
    UnusableName,
    /// No complete answer to the request in time.
    HttpTimeout,
    /// The answer is not HTTP.
    NotHttp,
    /// Something else on this machine or on the way, in the system's words.
    Other(String),
}

/// What TLS showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsEvidence {
    /// Version that was agreed on, such as 0x0304 for TLS 1.3.
    pub version: Option<u16>,
    /// Certificates (DER) as the server showed them, its own first.
    pub chain: Vec<Vec<u8>>,
    /// Whether the server proved to have the key of its certificate.
    pub proof: Proof,
    /// The server's request for a certificate of ours.
    pub asked: Option<CertificateRequest>,
    /// The answer to a ClientHello of older days, sent when this client could not speak to the server.
    pub fallback: Option<Fallback>,
}

/// Whether the server proved to have the key of its certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// It did not come to that, or it cannot be checked here.
    #[default]
    None,
    /// It did.
    Right,
    /// Its signature does not match the certificate.
    Wrong,
}

/// A server's request for a client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// How many authorities it names as acceptable.
    pub authorities: usize,
    /// Whether a certificate was shown.
    pub shown: bool,
}

/// What a server answered to a ClientHello of older days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// It chose this version and cipher suite.
    Chose {
        /// Version, such as 0x0301 for TLS 1.0.
        version: u16,
        /// Cipher suite, by its number.
        cipher: u16,
    },
    /// It refused with this alert.
    Alert(u8),
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpEvidence {
    /// Its status.
    pub status: u16,
    /// Whether its body has nothing but blanks.
    pub blank: bool,
}

/// What the addresses within certificates gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    /// Lists of revoked certificates.
    pub crls: Vec<Document>,
    /// Certificates of issuers.
    pub issuers: Vec<Document>,
}

/// What an address within a certificate gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The address.
    pub url: String,
    /// What came.
    pub answer: Answer,
}

/// What came from an address within a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A document.
    Body(Vec<u8>),
    /// A redirect, which was not followed.
    Redirect(String),
    /// Another status.
    Status(u16),
    /// More than is read.
    TooLong,
    /// It leads where probes may not go. Nothing was sent.
    NotAllowed,
    /// No answer.
    None,
}
