//! A certificate's fields, read without judging them: also of certificates that no verifier accepts.

use core::net::IpAddr;
use std::fmt;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use x509_parser::asn1_rs::Oid;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension, X509Extension};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_DSA, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_RSAENCRYPTION, OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA1WITHRSA,
    OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS, OID_SHA1_WITH_RSA, OID_SIG_ED25519,
};
use x509_parser::parse_x509_certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo, X509Name};

use crate::api::connector::KeyAlgorithm;

/// Longest name that is kept, in characters; statuses admit no longer one.
const LONGEST_NAME: usize = 512;
/// Longest name of a key that is kept, in characters; statuses admit no longer one.
const LONGEST_KEY: usize = 64;
/// So many names of a certificate are kept for messages.
const MOST_NAMES: usize = 8;
/// So many addresses of issuers and of lists are kept.
const MOST_ADDRESSES: usize = 4;
/// The smallest RSA key that verifiers take into account at all, in bits.
pub(super) const LEAST_RSA_BITS: u32 = 2048;

/// The fields of a certificate.
#[allow(clippy::struct_excessive_bools)] // facts that have nothing to do with each other
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate itself.
    pub der: Vec<u8>,
    /// Whom it names, as text.
    pub subject: String,
    /// Who signed it, as text.
    pub issuer: String,
    pub(super) raw_subject: Vec<u8>,
    pub(super) raw_issuer: Vec<u8>,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid. One that ends with the year 9999 ends with the last day that can be told here.
    pub not_after: Timestamp,
    /// Its key.
    pub key: Key,
    /// Version of X.509: 3 in anything made since 1999.
    pub version: u32,
    /// Host names and addresses that it is for, the first few.
    pub names: Vec<String>,
    /// How many names it is for.
    pub name_count: usize,
    /// Whether it has a list of alternative names at all.
    pub has_names: bool,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// Whether it is signed with its own key.
    pub self_signed: bool,
    /// What it may be used for. `None`: for anything.
    pub usages: Option<Vec<String>>,
    /// Whether it may be a server's.
    pub for_servers: bool,
    /// A signature of a sort that is forged with little effort, by name.
    pub weak_signature: Option<&'static str>,
    /// Its signature's algorithm as text.
    pub signature: String,
    /// A critical extension that this program cannot read, by number.
    pub unknown_critical: Option<String>,
    /// Addresses at which its issuer's certificate is to be had.
    pub issuers_at: Vec<String>,
    /// Addresses at which lists of revoked certificates are to be had.
    pub lists_at: Vec<String>,
}

/// A certificate's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its algorithm, if it is one that a spec can name.
    pub algorithm: Option<KeyAlgorithm>,
    /// Its size in bits.
    pub bits: u32,
    name: String,
}

impl fmt::Display for Key {
    /// `RSA 2048`, `ECDSA P-256`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Where a certificate stands in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The server's own.
    Leaf,
    /// An authority's, signed by another.
    Intermediate,
    /// An authority's, signed by itself.
    Root,
}

impl Role {
    /// The word in statuses and metric labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::Leaf => "leaf",
            Self::Intermediate => "intermediate",
            Self::Root => "root",
        }
    }
}

impl Certificate {
    /// Reads a certificate. The error says in a few words why it cannot be read.
    pub fn read(der: &[u8]) -> Result<Self, &'static str> {
        let (rest, x509) = parse_x509_certificate(der).map_err(|_| "it is no X.509 certificate")?;
        if !rest.is_empty() {
            return Err("something follows it");
        }
        let mut certificate = Self {
            der: der.to_vec(),
            subject: name(x509.subject()),
            issuer: name(x509.issuer()),
            raw_subject: x509.subject().as_raw().to_vec(),
            raw_issuer: x509.issuer().as_raw().to_vec(),
            not_before: time(x509.validity().not_before),
            not_after: time(x509.validity().not_after),
            key: key(x509.public_key()),
            version: x509.version().0.saturating_add(1),
            names: Vec::new(),
            name_count: 0,
            has_names: false,
            is_authority: x509.is_ca(),
            self_signed: is_self_signed(&x509),
            usages: None,
            for_servers: true,
            weak_signature: weakness(&x509.signature_algorithm),
            signature: x509.signature_algorithm.algorithm.to_id_string(),
            unknown_critical: None,
            issuers_at: Vec::new(),
            lists_at: Vec::new(),
        };
        for extension in x509.extensions() {
            certificate.extend(extension);
        }
        Ok(certificate)
    }

    fn extend(&mut self, extension: &X509Extension<'_>) {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                let texts = names.general_names.iter().filter_map(host);
                self.has_names = true;
                self.names = texts.clone().take(MOST_NAMES).collect();
                self.name_count = texts.count();
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                self.for_servers = usage.server_auth || usage.any;
                let known = [
                    (usage.server_auth, "serverAuth"),
                    (usage.client_auth, "clientAuth"),
                    (usage.code_signing, "codeSigning"),
                    (usage.email_protection, "emailProtection"),
                    (usage.time_stamping, "timeStamping"),
                    (usage.ocsp_signing, "OCSPSigning"),
                ];
                let mut usages: Vec<String> = known
                    .iter()
                    .filter(|(set, _)| *set)
                    .map(|(_, word)| (*word).to_owned())
                    .collect();
                usages.extend(usage.other.iter().take(MOST_NAMES).map(Oid::to_id_string));
                self.usages = Some(usages);
            }
            ParsedExtension::AuthorityInfoAccess(access) => {
                let issuers = access
                    .accessdescs
                    .iter()
                    .filter(|at| at.access_method == OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS);
                self.issuers_at = issuers
                    .filter_map(|at| url(&at.access_location))
                    .take(MOST_ADDRESSES)
                    .collect();
            }
            ParsedExtension::CRLDistributionPoints(points) => {
                let names = points
                    .points
                    .iter()
                    .filter_map(|point| match &point.distribution_point {
                        Some(DistributionPointName::FullName(names)) => Some(names),
                        _ => None,
                    });
                self.lists_at = names.flatten().filter_map(url).take(MOST_ADDRESSES).collect();
            }
            ParsedExtension::UnsupportedExtension { oid } if extension.critical => {
                self.unknown_critical.get_or_insert(oid.to_id_string());
            }
            _ => {}
        }
    }

    /// Where it stands in a chain in which it is at `index`.
    pub fn role(&self, index: usize) -> Role {
        match index {
            0 => Role::Leaf,
            _ if self.self_signed => Role::Root,
            _ => Role::Intermediate,
        }
    }

    /// SHA-256 of it, in hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.der);
        HEXLOWER.encode(digest.as_ref())
    }

    /// Whether `other` may have signed it, by its name.
    pub(super) fn names_as_issuer(&self, other: &Self) -> bool {
        self.raw_issuer == other.raw_subject
    }
}

/// The host or address that a name is.
fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(printable(name)),
        GeneralName::IPAddress(octets) => match octets.len() {
            4 => <[u8; 4]>::try_from(*octets)
                .ok()
                .map(|octets| IpAddr::from(octets).to_string()),
            16 => <[u8; 16]>::try_from(*octets)
                .ok()
                .map(|octets| IpAddr::from(octets).to_string()),
            _ => None,
        },
        _ => None,
    }
}

fn url(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::URI(url) if url.len() <= LONGEST_NAME => Some(printable(url)),
        _ => None,
    }
}

fn name(name: &X509Name<'_>) -> String {
    printable(&name.to_string())
}

/// Text of strangers, fit for a status: no control characters, and not longer than a status admits.
pub(super) fn printable(text: &str) -> String {
    let fit = text.chars().map(|one| if one.is_control() { '\u{fffd}' } else { one });
    fit.take(LONGEST_NAME).collect()
}

/// Times that cannot be told here are as far as can be told.
fn time(at: ASN1Time) -> Timestamp {
    let seconds = at.timestamp();
    let furthest = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(furthest)
}

fn key(spki: &SubjectPublicKeyInfo<'_>) -> Key {
    let algorithm = &spki.algorithm.algorithm;
    let bits = || {
        let size = spki.parsed().map_or(0, |key| match key {
            PublicKey::Unknown(_) => 0,
            key => key.key_size(),
        });
        u32::try_from(size).unwrap_or(u32::MAX)
    };
    let named = |algorithm, bits, name: String| Key {
        algorithm,
        bits,
        name: name.chars().take(LONGEST_KEY).collect(),
    };
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        let bits = bits();
        return named(Some(KeyAlgorithm::RSA), bits, format!("RSA {bits}"));
    }
    if *algorithm == OID_PKCS1_RSASSAPSS {
        return named(Some(KeyAlgorithm::RSA), LEAST_RSA_BITS, "RSA-PSS".to_owned());
    }
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let (bits, curve) = curve(&spki.algorithm);
        return named(Some(KeyAlgorithm::ECDSA), bits, format!("ECDSA {curve}"));
    }
    if *algorithm == OID_SIG_ED25519 {
        return named(Some(KeyAlgorithm::Ed25519), 256, "Ed25519".to_owned());
    }
    if *algorithm == OID_KEY_TYPE_DSA {
        return named(None, bits(), "DSA".to_owned());
    }
    named(None, 0, algorithm.to_id_string())
}

fn curve(algorithm: &AlgorithmIdentifier<'_>) -> (u32, String) {
    let Some(oid) = algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok()) else {
        return (0, "with parameters of its own".to_owned());
    };
    let known = [(OID_EC_P256, 256), (OID_NIST_EC_P384, 384), (OID_NIST_EC_P521, 521)];
    known
        .iter()
        .find(|(known, _)| *known == oid)
        .map_or_else(|| (0, oid.to_id_string()), |(_, bits)| (*bits, format!("P-{bits}")))
}

/// Signatures over MD2, MD5 and SHA-1, for which colliding certificates were made: <https://shattered.io>, RFC 6151.
fn weakness(algorithm: &AlgorithmIdentifier<'_>) -> Option<&'static str> {
    let oid = &algorithm.algorithm;
    if [OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA].contains(oid) {
        return Some("SHA-1");
    }
    if *oid == OID_PKCS1_MD5WITHRSAENC {
        return Some("MD5");
    }
    match oid.to_id_string().as_str() {
        "1.2.840.113549.1.1.2" => Some("MD2"),
        // ecdsa-with-SHA1, dsa-with-sha1
        "1.2.840.10045.4.1" | "1.2.840.10040.4.3" => Some("SHA-1"),
        _ => None,
    }
}

/// By its names, and by its signature where that can be checked here.
fn is_self_signed(x509: &X509Certificate<'_>) -> bool {
    let same_name = x509.subject().as_raw() == x509.issuer().as_raw();
    let small_key =
        matches!(x509.public_key().parsed(), Ok(PublicKey::RSA(key)) if key.key_size() < LEAST_RSA_BITS as usize);
    same_name && (small_key || x509.verify_signature(None) != Err(X509Error::SignatureVerificationError))
}
