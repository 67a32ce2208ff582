//! The way from a server's certificate to an authority that is trusted, and what breaks it.
//!
//! `webpki` finds the way; where there is none, the certificates are looked at one by one, so that the sentence names the one that
//! is at fault. Certificates that are shown and not needed do no harm: an expired cross-signature is no fault.

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, EndEntityCert, Error, ExpirationPolicy, ExtendedKeyUsageValidator,
    KeyPurposeIdIter, RevocationCheckDepth, RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy,
    anchor_from_trusted_cert,
};

use super::certificate::{Certificate, LEAST_RSA_BITS};

/// Who is trusted.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// The authorities that Mozilla's programme trusts with servers.
    pub public: bool,
    /// Certificates (DER) of the spec.
    pub bundle: &'a [Vec<u8>],
}

/// What breaks the way. Certificates are named by their place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Break {
    /// The certificate of an authority on the way has expired.
    Expired(usize),
    /// It is not valid yet.
    NotYetValid(usize),
    /// A trusted authority of the bundle has expired.
    RootExpired(Box<Certificate>),
    /// The server's certificate is signed by itself.
    SelfSigned,
    /// The server does not show the certificate of this issuer, which is no root.
    Incomplete(String),
    /// This issuer is not trusted.
    Untrusted(String),
    /// A signature on the way can be forged.
    WeakSignature(usize, &'static str),
    /// The key of an authority on the way is too small for its signatures to count.
    SmallAuthority(usize),
    /// The signature of this certificate does not match its issuer's key.
    WrongSignature(usize),
    /// An authority may not sign for this name.
    NameConstraint,
    /// A certificate on the way is signed by one that may not sign.
    NotAuthority,
    /// A certificate breaks the rules of X.509 in this way.
    Malformed(String),
    /// The verifier cannot judge it, for this reason.
    Unsupported(String),
}

/// A way that leads to a trusted authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The certificates on it (DER), the server's first, the trusted one left out.
    pub certificates: Vec<Vec<u8>>,
    /// The trusted authority's certificate, if it is of the bundle.
    pub anchor: Option<Box<Certificate>>,
}

/// What lists of revoked certificates say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing on the way is revoked.
    Good,
    /// Something on the way is revoked.
    Revoked,
    /// The lists do not say, or are out of date.
    Unknown,
}

/// What a certificate may be used for is judged beside, where it can be said which one is at fault.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        Ok(())
    }
}

/// Finds the way from the first certificate of `chain` at the time `at`. `issuers` are certificates that were not shown by the
/// server but found where its certificates say; they make no way, and tell what is missing.
pub fn find(chain: &[Certificate], trust: Trust<'_>, issuers: &[Certificate], at: Timestamp) -> Result<Path, Break> {
    let Some((leaf, others)) = chain.split_first() else {
        return Err(Break::Malformed("the server shows none".to_owned()));
    };
    if trust.bundle.contains(&leaf.der) {
        return Ok(Path {
            certificates: vec![leaf.der.clone()],
            anchor: None,
        });
    }
    let roots = Roots::new(trust, at);
    let shown: Vec<CertificateDer<'_>> = others.iter().map(der).collect();
    let error = match search(leaf, &shown, &roots, at, None) {
        Ok(path) => return Ok(path),
        Err(error) => error,
    };
    if error != Error::UnknownIssuer {
        return Err(explain(chain, &error));
    }
    if leaf.self_signed {
        return Err(Break::SelfSigned);
    }
    let with_issuers: Vec<_> = others.iter().chain(issuers).map(der).collect();
    let completed = search(leaf, &with_issuers, &roots, at, None).is_ok();
    Err(missing(&climb(chain), issuers, completed, &roots))
}

/// What lists of revoked certificates say about a way that was found. Authorities count where all of them name a list: small ones
/// often keep none of what they signed for themselves.
pub fn standing(chain: &[Certificate], trust: Trust<'_>, lists: &[&[u8]], at: Timestamp) -> Standing {
    let parsed: Vec<CertRevocationList<'_>> = lists
        .iter()
        .filter_map(|list| BorrowedCertRevocationList::from_der(list).ok())
        .map(CertRevocationList::from)
        .collect();
    let lists: Vec<&CertRevocationList<'_>> = parsed.iter().collect();
    let (Some((leaf, others)), Ok(options)) = (chain.split_first(), RevocationOptionsBuilder::new(&lists)) else {
        return Standing::Unknown;
    };
    let listed = others
        .iter()
        .filter(|one| !one.self_signed)
        .all(|one| !one.lists_at.is_empty());
    let depth = if listed {
        RevocationCheckDepth::Chain
    } else {
        RevocationCheckDepth::EndEntity
    };
    let options = options
        .with_depth(depth)
        .with_status_policy(UnknownStatusPolicy::Deny)
        .with_expiration_policy(ExpirationPolicy::Enforce)
        .build();
    let shown: Vec<_> = others.iter().map(der).collect();
    match search(leaf, &shown, &Roots::new(trust, at), at, Some(options)) {
        Ok(_) => Standing::Good,
        Err(Error::CertRevoked) => Standing::Revoked,
        Err(_) => Standing::Unknown,
    }
}

/// Trusted authorities at some time.
struct Roots<'a> {
    bundle: Vec<CertificateDer<'a>>,
    public: bool,
    expired: Vec<Certificate>,
}

impl<'a> Roots<'a> {
    fn new(trust: Trust<'a>, at: Timestamp) -> Self {
        let expired = |der: &[u8]| Certificate::read(der).ok().filter(|root| root.not_after < at);
        let (old, valid): (Vec<_>, Vec<_>) = trust.bundle.iter().partition(|der| expired(der).is_some());
        Self {
            bundle: valid
                .into_iter()
                .map(|der| CertificateDer::from(der.as_slice()))
                .collect(),
            public: trust.public,
            expired: old.into_iter().filter_map(|der| expired(der)).collect(),
        }
    }

    /// What cannot be read as a certificate trusts nobody.
    fn anchors(&self) -> Vec<TrustAnchor<'_>> {
        let mut anchors: Vec<TrustAnchor<'_>> = self
            .bundle
            .iter()
            .filter_map(|der| anchor_from_trusted_cert(der).ok())
            .collect();
        if self.public {
            anchors.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        anchors
    }
}

fn der(certificate: &Certificate) -> CertificateDer<'_> {
    CertificateDer::from(certificate.der.as_slice())
}

fn search(
    leaf: &Certificate,
    others: &[CertificateDer<'_>],
    roots: &Roots<'_>,
    at: Timestamp,
    revocation: Option<RevocationOptions<'_>>,
) -> Result<Path, Error> {
    let leaf = der(leaf);
    let entity = EndEntityCert::try_from(&leaf)?;
    let anchors = roots.anchors();
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let path = entity.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &anchors,
        others,
        time,
        AnyUsage,
        revocation,
        None,
    )?;
    let above = path
        .intermediate_certificates()
        .map(|certificate| certificate.der().to_vec());
    let subject = path.anchor().subject.as_ref();
    let key = path.anchor().subject_public_key_info.as_ref();
    let is_anchor = |der: &&CertificateDer<'_>| {
        anchor_from_trusted_cert(der)
            .is_ok_and(|anchor| anchor.subject.as_ref() == subject && anchor.subject_public_key_info.as_ref() == key)
    };
    let anchor = roots
        .bundle
        .iter()
        .find(is_anchor)
        .and_then(|der| Certificate::read(der).ok());
    Ok(Path {
        certificates: std::iter::once(leaf.to_vec()).chain(above).collect(),
        anchor: anchor.map(Box::new),
    })
}

/// The certificates that name each other as issuers, from the server's own upwards, with their places in the chain.
fn climb(chain: &[Certificate]) -> Vec<(usize, &Certificate)> {
    let mut way: Vec<(usize, &Certificate)> = chain.first().map(|leaf| (0, leaf)).into_iter().collect();
    while let Some((_, last)) = way.last()
        && !last.self_signed
    {
        let mut above = chain.iter().enumerate().skip(1);
        let next =
            above.find(|(index, above)| last.names_as_issuer(above) && !way.iter().any(|(known, _)| known == index));
        let Some(next) = next else { break };
        way.push(next);
    }
    way
}

/// Why the way ends without reaching anyone who is trusted.
fn missing(way: &[(usize, &Certificate)], issuers: &[Certificate], completed: bool, roots: &Roots<'_>) -> Break {
    let Some((_, top)) = way.last() else {
        return Break::Malformed("the server shows none".to_owned());
    };
    let root = |expired: &&Certificate| top.names_as_issuer(expired) || top.der == expired.der;
    if let Some(root) = roots.expired.iter().find(root) {
        return Break::RootExpired(Box::new(root.clone()));
    }
    if completed {
        return Break::Incomplete(top.issuer.clone());
    }
    if top.self_signed {
        return Break::Untrusted(top.subject.clone());
    }
    match issuers.iter().find(|issuer| top.names_as_issuer(issuer)) {
        Some(issuer) if issuer.self_signed => Break::Untrusted(top.issuer.clone()),
        Some(_) => Break::Incomplete(top.issuer.clone()),
        // Roots sign authorities; an authority that says where its issuer is to be had signed the server's certificate.
        None if way.len() == 1 && !top.issuers_at.is_empty() => Break::Incomplete(top.issuer.clone()),
        None => Break::Untrusted(top.issuer.clone()),
    }
}

/// The verifier's word, with the certificate that it speaks of.
fn explain(chain: &[Certificate], error: &Error) -> Break {
    let way = climb(chain);
    let place = |found: &dyn Fn(&Certificate) -> bool| way.iter().find(|(_, one)| found(one)).map(|(index, _)| *index);
    // A chain may hold more than the shortest way.
    let anywhere =
        |found: &dyn Fn(&Certificate) -> bool| place(found).or_else(|| chain.iter().position(found)).unwrap_or(0);
    let second = |time: &UnixTime| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match error {
        Error::CertExpired { not_after, .. } => {
            Break::Expired(anywhere(&|one| one.not_after.as_second() == second(not_after)))
        }
        Error::CertNotValidYet { not_before, .. } => {
            Break::NotYetValid(anywhere(&|one| one.not_before.as_second() == second(not_before)))
        }
        Error::InvalidSignatureForPublicKey => {
            let small = |one: &Certificate| {
                one.is_authority && one.key.bits < LEAST_RSA_BITS && one.key.to_string().starts_with("RSA ")
            };
            match place(&small) {
                Some(index) => Break::SmallAuthority(index),
                None => Break::WrongSignature(0),
            }
        }
        Error::UnsupportedSignatureAlgorithmContext(_) | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            unusual_signature(&way)
        }
        Error::CaUsedAsEndEntity if chain.first().is_some_and(|leaf| leaf.self_signed) => Break::SelfSigned,
        Error::CaUsedAsEndEntity => {
            Break::Unsupported("it is an authority's certificate in the place of a server's".to_owned())
        }
        Error::EndEntityUsedAsCa | Error::PathLenConstraintViolated => Break::NotAuthority,
        Error::NameConstraintViolation => Break::NameConstraint,
        Error::UnsupportedCertVersion => Break::Malformed(format!(
            "it is of version {} of X.509, not of version 3",
            chain.first().map_or(0, |leaf| leaf.version)
        )),
        Error::UnsupportedCriticalExtension => {
            let unknown = chain.iter().find_map(|one| one.unknown_critical.as_deref());
            match unknown {
                Some(oid) => Break::Malformed(format!("its critical extension {oid} is not known to verifiers")),
                None => Break::Unsupported("one of its critical extensions is not supported".to_owned()),
            }
        }
        Error::InvalidCertValidity => Break::Malformed("it ends before it begins".to_owned()),
        Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded
        | Error::MaximumNameConstraintComparisonsExceeded => {
            Break::Unsupported("there are too many possible ways to an authority".to_owned())
        }
        other => Break::Malformed(format!("it breaks the rules of X.509 ({other})")),
    }
}

/// A root's own signature proves nothing and is not looked at.
fn unusual_signature(way: &[(usize, &Certificate)]) -> Break {
    let signed = || way.iter().filter(|(index, one)| *index == 0 || !one.self_signed);
    if let Some((index, weak)) = signed().find_map(|(index, one)| Some((*index, one.weak_signature?))) {
        return Break::WeakSignature(index, weak);
    }
    let algorithm = signed().next().map_or("", |(_, leaf)| leaf.signature.as_str());
    Break::Unsupported(format!("signatures of this sort ({algorithm}) cannot be checked here"))
}
