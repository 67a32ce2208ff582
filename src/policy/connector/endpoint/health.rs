//! What statuses and metrics tell about an endpoint.

use jiff::Timestamp;

use super::{EndpointEvidence, certificates, reachable};
use crate::api::condition::time;
use crate::api::connector::{CertificateHealth, Endpoint, EndpointHealth, TlsExpectation};
use crate::policy::connector::Outcome;
use crate::policy::connector::certificate::{Certificate, Role};

/// So many addresses of an endpoint are listed in a status.
const MOST_ADDRESSES: usize = 16;
/// So many certificates of an endpoint are listed in a status.
const MOST_CERTIFICATES: usize = 8;

/// From when to when a certificate is valid that a server showed: also of one that is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Where it stands in its chain.
    pub role: Role,
    /// From when on.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// What the status tells.
pub fn health(endpoint: &Endpoint, evidence: &EndpointEvidence) -> EndpointHealth {
    let reachable = reachable(endpoint, evidence)
        .iter()
        .all(|finding| finding.outcome == Outcome::Pass);
    let versions = evidence.addresses.iter().filter_map(|found| found.tls.version);
    let addresses = evidence.addresses.iter().map(|found| found.address.to_string());
    let chain = nearest(evidence);
    EndpointHealth {
        name: endpoint.name.clone(),
        reachable,
        addresses: addresses.take(MOST_ADDRESSES).collect(),
        tls_version: versions.min().and_then(version),
        certificates: chain
            .iter()
            .enumerate()
            .take(MOST_CERTIFICATES)
            .map(|(index, one)| certificate(one, index))
            .collect(),
    }
}

/// The validity of what the server shows, one of each role: with several addresses, and several intermediates, that which ends
/// first.
pub fn validities(evidence: &EndpointEvidence) -> Vec<Validity> {
    let mut found: Vec<Validity> = Vec::new();
    for (index, one) in chains(evidence).flat_map(|chain| chain.into_iter().enumerate()) {
        let validity = Validity {
            role: one.role(index),
            not_before: one.not_before,
            not_after: one.not_after,
        };
        match found.iter_mut().find(|known| known.role == validity.role) {
            Some(known) if known.not_after > validity.not_after => *known = validity,
            Some(_) => {}
            None => found.push(validity),
        }
    }
    found.sort_by_key(|validity| validity.role);
    found
}

/// When the server's certificate, with several addresses the one that ends first, ends.
pub fn leaf_not_after(evidence: &EndpointEvidence) -> Option<Timestamp> {
    validities(evidence)
        .into_iter()
        .find(|validity| validity.role == Role::Leaf)
        .map(|validity| validity.not_after)
}

/// When the first certificate on a way to a trusted authority ends. `None` where an address has no such way: there is no date then.
pub fn chain_not_after(endpoint: &Endpoint, evidence: &EndpointEvidence, now: Timestamp) -> Option<Timestamp> {
    let default = TlsExpectation::default();
    let expectation = endpoint.tls.as_ref().unwrap_or(&default);
    let ends = chains(evidence).map(|chain| certificates::path_end(expectation, &chain, evidence, now));
    // Nothing seen is no date either.
    ends.collect::<Option<Vec<_>>>()?.into_iter().min()
}

fn chains(evidence: &EndpointEvidence) -> impl Iterator<Item = Vec<Certificate>> {
    let chains = evidence
        .addresses
        .iter()
        .map(|found| certificates::read(&found.tls.chain));
    chains.filter(|chain| !chain.is_empty())
}

/// The chain whose first certificate ends first.
fn nearest(evidence: &EndpointEvidence) -> Vec<Certificate> {
    let end = |chain: &Vec<Certificate>| chain.first().map(|leaf| leaf.not_after);
    chains(evidence).min_by_key(end).unwrap_or_default()
}

fn certificate(one: &Certificate, index: usize) -> CertificateHealth {
    CertificateHealth {
        role: one.role(index).word().to_owned(),
        subject: one.subject.clone(),
        issuer: one.issuer.clone(),
        not_after: time(one.not_after),
        key: one.key.to_string(),
        fingerprint: one.fingerprint(),
    }
}

fn version(version: u16) -> Option<String> {
    let minor = version.checked_sub(0x0301)?;
    (minor <= 3).then(|| format!("1.{minor}"))
}
