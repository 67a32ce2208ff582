//! Whether the certificates that a server shows will do.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::{CertificateDer, ServerName};
use webpki::{EndEntityCert, Error};

use super::{Answer, Document, EndpointEvidence, Fault, Proof, TlsEvidence};
use crate::api::condition::Reason;
use crate::api::connector::{ExpiryLimits, KeyAlgorithm, Revocation, Severity, TlsExpectation, Trust};
use crate::policy::connector::Outcome;
use crate::policy::connector::certificate::{Certificate, LEAST_RSA_BITS, printable};
use crate::policy::connector::path::{self, Break, Path, Standing};

/// So many names of a certificate stand in a sentence.
const MOST_NAMES: usize = 4;

/// The certificates that can be read; none if the server's own cannot.
pub(super) fn read(chain: &[Vec<u8>]) -> Vec<Certificate> {
    let mut read = chain.iter().map(|der| Certificate::read(der));
    let Some(Ok(leaf)) = read.next() else {
        return Vec::new();
    };
    // What else a server shows may be anything.
    std::iter::once(leaf).chain(read.filter_map(Result::ok)).collect()
}

/// What is wrong with the certificates at one address, the gravest first.
pub(super) fn faults(
    expectation: &TlsExpectation,
    host: &str,
    tls: &TlsEvidence,
    evidence: &EndpointEvidence,
    now: Timestamp,
) -> Vec<Fault> {
    let leaf = match tls.chain.first().map(|der| Certificate::read(der)) {
        Some(Ok(leaf)) => leaf,
        Some(Err(why)) => {
            return vec![critical(
                Reason::CertificateMalformed,
                format!("the certificate cannot be read: {why}"),
            )];
        }
        None => return Vec::new(),
    };
    let chain = read(&tls.chain);
    let host = expectation.server_name.as_deref().unwrap_or(host);
    let found = way(expectation, &chain, evidence, now);
    let mut faults: Vec<Fault> = Vec::new();
    faults.extend(out_of_time(&leaf, now));
    faults.extend(found.as_ref().err().and_then(|broken| broken_way(&chain, broken)));
    faults.extend(proof(tls.proof, &leaf));
    faults.extend(name(&leaf, host));
    faults.extend(usage(&leaf));
    faults.extend(key(expectation, &leaf));
    if let Ok(path) = &found {
        faults.extend(authorities(path));
        faults.extend(revocation(expectation, &chain, evidence, now));
        if !faults
            .iter()
            .any(|fault| matches!(fault.outcome, Outcome::Fail(_, Reason::Expired | Reason::NotYetValid)))
        {
            faults.extend(ending(&expectation.expiry, path, now));
        }
    }
    faults.extend(redirects(expectation, &chain, evidence));
    faults
}

/// When the first certificate on the way to a trusted authority ends.
pub(super) fn path_end(
    expectation: &TlsExpectation,
    chain: &[Certificate],
    evidence: &EndpointEvidence,
    now: Timestamp,
) -> Option<Timestamp> {
    let path = path::find(chain, trust(expectation, evidence), &[], now).ok()?;
    members(&path).map(|one| one.not_after).min()
}

fn members(path: &Path) -> impl Iterator<Item = Certificate> {
    let shown = path.certificates.iter().filter_map(|der| Certificate::read(der).ok());
    shown.chain(path.anchor.iter().map(|anchor| (**anchor).clone()))
}

fn trust<'a>(expectation: &TlsExpectation, evidence: &'a EndpointEvidence) -> path::Trust<'a> {
    path::Trust {
        public: expectation.trust != Trust::Bundle,
        bundle: &evidence.bundle,
    }
}

fn critical(reason: Reason, text: impl Into<String>) -> Fault {
    Fault::critical(reason, text)
}

/// The way to a trusted authority; for a certificate that is out of time, as it was or will be when it is not.
fn way(
    expectation: &TlsExpectation,
    chain: &[Certificate],
    evidence: &EndpointEvidence,
    now: Timestamp,
) -> Result<Path, Break> {
    let at = match chain.first() {
        Some(leaf) if leaf.not_before <= leaf.not_after => now.clamp(leaf.not_before, leaf.not_after),
        _ => now,
    };
    path::find(chain, trust(expectation, evidence), &issuers(evidence), at)
}

/// Certificates of issuers that were found where certificates say. In DER, as RFC 5280 has it.
fn issuers(evidence: &EndpointEvidence) -> Vec<Certificate> {
    let bodies = evidence
        .documents
        .issuers
        .iter()
        .filter_map(|document| match &document.answer {
            Answer::Body(body) => Some(body),
            _ => None,
        });
    bodies.filter_map(|body| Certificate::read(body).ok()).collect()
}

fn out_of_time(leaf: &Certificate, now: Timestamp) -> Option<Fault> {
    // Told as malformed.
    if leaf.not_after < leaf.not_before {
        return None;
    }
    if leaf.not_after < now {
        let text = format!("the certificate expired on {}: renew it", day(leaf.not_after));
        return Some(critical(Reason::Expired, text));
    }
    (now < leaf.not_before).then(|| {
        let text = format!(
            "the certificate is valid from {} on: wait, or see whether clocks are wrong",
            day(leaf.not_before)
        );
        critical(Reason::NotYetValid, text)
    })
}

/// In UTC, as certificates have it.
fn day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).date().to_string()
}

fn broken_way(chain: &[Certificate], broken: &Break) -> Option<Fault> {
    let at = |index: usize| chain.get(index);
    let subject = |index: usize| at(index).map_or("", |one| one.subject.as_str());
    Some(match broken {
        // Told of the server's own certificate already.
        Break::Expired(0) | Break::NotYetValid(0) => return None,
        Break::Expired(index) => critical(
            Reason::Expired,
            format!(
                "the intermediate certificate of {} expired on {}: let the server show its successor",
                subject(*index),
                at(*index).map_or_else(String::new, |one| day(one.not_after))
            ),
        ),
        Break::NotYetValid(index) => critical(
            Reason::NotYetValid,
            format!(
                "the intermediate certificate of {} is valid from {} on: wait, or see whether clocks are wrong",
                subject(*index),
                at(*index).map_or_else(String::new, |one| day(one.not_before))
            ),
        ),
        Break::RootExpired(root) => critical(
            Reason::Expired,
            format!(
                "the trusted authority {} expired on {}: put its successor into the bundle, and have the server's certificate issued anew",
                root.subject,
                day(root.not_after)
            ),
        ),
        Break::SelfSigned => critical(
            Reason::SelfSigned,
            "the certificate is signed by itself: have it issued by an authority that both sides trust",
        ),
        Break::Incomplete(missing) => critical(
            Reason::IncompleteChain,
            format!(
                "the server does not show the intermediate certificate of {missing}: install it beside the server's own"
            ),
        ),
        Break::Untrusted(issuer) => {
            let or = if chain.len() == 1 {
                ", or the server does not show an intermediate certificate"
            } else {
                ""
            };
            critical(
                Reason::UntrustedIssuer,
                format!(
                    "the authority {issuer} is not trusted{or}: use a certificate of a trusted authority, or correct trust"
                ),
            )
        }
        Break::WeakSignature(index, weak) => critical(
            Reason::WeakSignature,
            format!(
                "the certificate of {} is signed over {weak}, which can be forged: have it issued anew with SHA-256",
                subject(*index)
            ),
        ),
        Break::SmallAuthority(index) => critical(
            Reason::KeyTooSmall,
            format!(
                "the authority {} has a key of {}, whose signatures do not count: have the certificate issued by another",
                subject(*index),
                at(*index).map_or_else(String::new, |one| one.key.to_string())
            ),
        ),
        Break::WrongSignature(index) => critical(
            Reason::UntrustedIssuer,
            format!(
                "the signature of a certificate does not match the key of its issuer, {}: install the issuer's present certificate",
                at(*index).map_or("", |one| one.issuer.as_str())
            ),
        ),
        Break::NameConstraint => critical(
            Reason::NameConstraintViolated,
            "an authority of its certificate may not sign for this name: have it issued by another",
        ),
        Break::NotAuthority => critical(
            Reason::IssuerNotAuthority,
            "the certificate is signed with one that may not sign others: have it issued by an authority",
        ),
        Break::Malformed(why) => critical(
            Reason::CertificateMalformed,
            format!("the certificate is refused by verifiers, as {why}: have it issued anew"),
        ),
        Break::Unsupported(why) => Fault::unknown(
            Reason::VerifierUnsupported,
            format!("whether the certificate is trusted cannot be said, as {why}"),
        ),
    })
}

fn proof(proof: Proof, leaf: &Certificate) -> Option<Fault> {
    // With a key that is too small no signature counts, and that is told of the key.
    let too_small = leaf.key.algorithm == Some(KeyAlgorithm::RSA) && leaf.key.bits < LEAST_RSA_BITS;
    (proof == Proof::Wrong && !too_small).then(|| {
        critical(
            Reason::HandshakeSignatureInvalid,
            "the server does not have the key of the certificate that it shows: install both together",
        )
    })
}

fn name(leaf: &Certificate, host: &str) -> Option<Fault> {
    if !leaf.has_names {
        let text = format!(
            "the certificate has no subjectAltName, and its common name does not count: have one issued for {host}"
        );
        return Some(critical(Reason::NoSubjectAltName, text));
    }
    let der = CertificateDer::from(leaf.der.as_slice());
    // What cannot be read here is told as malformed.
    let entity = EndEntityCert::try_from(&der).ok()?;
    let server = ServerName::try_from(host.trim_end_matches('.')).ok()?;
    match entity.verify_is_valid_for_subject_name(&server) {
        Ok(()) => None,
        Err(Error::CertNotValidForName(_)) => {
            let mut names: Vec<&str> = leaf.names.iter().take(MOST_NAMES).map(String::as_str).collect();
            let more = leaf.name_count.saturating_sub(names.len());
            let more = format!("{more} more");
            if leaf.name_count > names.len() {
                names.push(&more);
            }
            let names = if names.is_empty() {
                "no host".to_owned()
            } else {
                names.join(", ")
            };
            let text =
                format!("the certificate is for {names}, not for {host}: have one issued for it, or correct the host");
            Some(critical(Reason::NameMismatch, text))
        }
        Err(_) => Some(critical(
            Reason::CertificateMalformed,
            "the certificate is refused by verifiers, as its names cannot be read: have it issued anew",
        )),
    }
}

fn usage(leaf: &Certificate) -> Option<Fault> {
    let usages = leaf.usages.as_ref()?;
    (!leaf.for_servers).then(|| {
        let usages = if usages.is_empty() {
            "nothing".to_owned()
        } else {
            usages.join(", ")
        };
        let text = format!("the certificate may be used for {usages}, not for serverAuth: have one issued for servers");
        critical(Reason::WrongExtendedKeyUsage, text)
    })
}

fn key(expectation: &TlsExpectation, leaf: &Certificate) -> Option<Fault> {
    let allowed = &expectation.key_algorithms;
    if !leaf.key.algorithm.is_some_and(|algorithm| allowed.contains(&algorithm)) {
        let names: Vec<String> = allowed.iter().map(|one| format!("{one:?}")).collect();
        let text = format!(
            "the certificate's key is {}, and must be {}: have it issued for such a key",
            leaf.key,
            names.join(" or ")
        );
        return Some(critical(Reason::KeyAlgorithmNotAllowed, text));
    }
    let least = u32::try_from(expectation.min_rsa_bits).unwrap_or(0);
    (leaf.key.algorithm == Some(KeyAlgorithm::RSA) && leaf.key.bits < least).then(|| {
        let text = format!(
            "the certificate's key is {}, and must have {least} bits: have it issued for a larger key",
            leaf.key
        );
        critical(Reason::KeyTooSmall, text)
    })
}

/// What is expected of those above the server's own certificate.
fn authorities(path: &Path) -> Option<Fault> {
    members(path).skip(1).find(|one| !one.for_servers).map(|one| {
        let usages = one.usages.unwrap_or_default().join(", ");
        critical(
            Reason::WrongExtendedKeyUsage,
            format!(
                "the authority {} may sign for {usages}, not for serverAuth: have the certificate issued by another",
                one.subject
            ),
        )
    })
}

/// One fault for the certificate on the way that ends first.
fn ending(limits: &ExpiryLimits, path: &Path, now: Timestamp) -> Option<Fault> {
    let due = members(path)
        .enumerate()
        .filter_map(|(index, one)| Some((soon(limits, &one, now)?, index, one)));
    // The worst first, and of equals the earliest.
    let (severity, index, one) = due.max_by_key(|(severity, _, one)| (*severity, std::cmp::Reverse(one.not_after)))?;
    let text = match index {
        0 => format!("the certificate expires on {}: renew it", day(one.not_after)),
        _ => format!(
            "the certificate of the authority {} expires on {}: let the server show its successor",
            one.subject,
            day(one.not_after)
        ),
    };
    Some(Fault::fail(severity, Reason::ExpiringSoon, text))
}

/// Whether a certificate ends soon. Where a part of its lifetime is less than `warnDays`, that counts, and the critical days are
/// cut in the same proportion.
pub(super) fn soon(limits: &ExpiryLimits, one: &Certificate, now: Timestamp) -> Option<Severity> {
    let days = |days: i32| SignedDuration::from_hours(24 * i64::from(days));
    let lifetime = one.not_after.duration_since(one.not_before);
    let part = lifetime / 100 * limits.lifetime_percent;
    let warn = days(limits.warn_days).min(part);
    let in_proportion = warn / limits.warn_days.max(1) * limits.critical_days;
    let critical = days(limits.critical_days).min(in_proportion);
    let left = one.not_after.duration_since(now);
    if left < critical {
        Some(Severity::Critical)
    } else if left < warn {
        Some(Severity::Warning)
    } else {
        None
    }
}

fn revocation(
    expectation: &TlsExpectation,
    chain: &[Certificate],
    evidence: &EndpointEvidence,
    now: Timestamp,
) -> Option<Fault> {
    if expectation.revocation == Revocation::Off {
        return None;
    }
    let lists = &evidence.documents.crls;
    let bodies: Vec<&[u8]> = lists
        .iter()
        .filter_map(|document| match &document.answer {
            Answer::Body(body) => Some(body.as_slice()),
            _ => None,
        })
        .collect();
    match path::standing(chain, trust(expectation, evidence), &bodies, now) {
        Standing::Good => None,
        Standing::Revoked => Some(critical(
            Reason::Revoked,
            "the certificate, or one of its authorities, is revoked: have it issued anew",
        )),
        Standing::Unknown => {
            let failed = lists
                .iter()
                .find_map(|document| Some((document, shortfall(&document.answer)?)));
            let why = match failed {
                Some((Document { url, .. }, why)) => format!("the list at {url} {why}"),
                None if lists.is_empty() => "its certificates name no list over http".to_owned(),
                None => "the lists are out of date, or speak of other certificates".to_owned(),
            };
            let text = format!("whether a certificate is revoked cannot be said, as {why}");
            Some(Fault::unknown(Reason::RevocationUnknown, text))
        }
    }
}

/// Why there is no document.
fn shortfall(answer: &Answer) -> Option<String> {
    Some(match answer {
        Answer::Body(_) => return None,
        Answer::Redirect(_) => "is elsewhere".to_owned(),
        Answer::Status(status) => format!("is answered with status {status}"),
        Answer::TooLong => "is too long".to_owned(),
        Answer::NotAllowed => "is at an address that is not probed".to_owned(),
        Answer::None => "cannot be fetched".to_owned(),
    })
}

/// Servers on Windows fetch issuers by themselves, and fail where they are led from http to https.
fn redirects(expectation: &TlsExpectation, chain: &[Certificate], evidence: &EndpointEvidence) -> Vec<Fault> {
    if !expectation.aia_redirect_check {
        return Vec::new();
    }
    let mine = |document: &&Document| chain.iter().any(|one| one.issuers_at.contains(&document.url));
    let fault = |document: &Document| {
        let url = &document.url;
        match &document.answer {
            Answer::Redirect(to) if to.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:")) => {
                Some(Fault::fail(
                    Severity::Warning,
                    Reason::AiaRedirectsToHttps,
                    format!(
                        "its certificates name {url} as the place of an issuer's certificate, which redirects to {}, and servers on \
                     Windows do not follow: use a certificate of another authority",
                        printable(to)
                    ),
                ))
            }
            Answer::Redirect(_) => None,
            other => shortfall(other).map(|why| {
                let text = format!("whether an issuer's certificate can be fetched cannot be said, as {url} {why}");
                Fault::unknown(Reason::AiaUnreachable, text)
            }),
        }
    };
    evidence
        .documents
        .issuers
        .iter()
        .filter(mine)
        .filter_map(fault)
        .collect()
}
