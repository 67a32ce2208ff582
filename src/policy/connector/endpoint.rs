//! What was found at an endpoint, judged: whether it can be reached, and whether its certificates will do.

use core::net::IpAddr;

use jiff::Timestamp;

use super::address::range;
use super::{Finding, Outcome};
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::{Endpoint, EndpointProtocol, Severity, TlsExpectation, Vantage};

mod certificates;
mod evidence;
mod health;
mod reachability;

pub use evidence::*;
pub use health::*;

/// So many addresses are listed in a sentence.
const MOST_LISTED: usize = 4;

/// What is wrong at an address, as the end of a sentence that begins with the endpoint's name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    outcome: Outcome,
    text: String,
}

impl Fault {
    fn fail(severity: Severity, reason: Reason, text: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Fail(severity, reason),
            text: text.into(),
        }
    }

    fn critical(reason: Reason, text: impl Into<String>) -> Self {
        Self::fail(Severity::Critical, reason, text)
    }

    fn unknown(reason: Reason, text: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Unknown(reason),
            text: text.into(),
        }
    }

    fn finding(self, condition: ConditionType, endpoint: &Endpoint, place: &str) -> Finding {
        Finding {
            condition,
            subject: endpoint.name.clone(),
            outcome: self.outcome,
            message: format!("{}{place}: {}.", endpoint.name, self.text),
        }
    }
}

/// Judges what was found. With `protocol: Udp` only the name is judged here: what answers to SIP is judged elsewhere.
pub fn judge(endpoint: &Endpoint, evidence: &EndpointEvidence, now: Timestamp) -> Vec<Finding> {
    let mut findings = reachable(endpoint, evidence);
    if endpoint.protocol == EndpointProtocol::Tls {
        findings.extend(certificates_valid(endpoint, evidence, now));
    }
    findings
}

fn reachable(endpoint: &Endpoint, evidence: &EndpointEvidence) -> Vec<Finding> {
    let condition = ConditionType::EndpointReachable;
    if let Some(fault) = resolution(endpoint, evidence) {
        return vec![fault.finding(condition, endpoint, "")];
    }
    let mut findings: Vec<Finding> = unexpected_addresses(endpoint, evidence)
        .map(|fault| fault.finding(condition, endpoint, ""))
        .into_iter()
        .collect();
    let faults: Vec<(IpAddr, Vec<Fault>)> = considered(evidence)
        .map(|found| {
            let faults = reachability::fault(endpoint, found).into_iter().collect();
            (found.address, faults)
        })
        .collect();
    findings.extend(told(condition, endpoint, &faults));
    if findings.is_empty() && endpoint.protocol != EndpointProtocol::Udp {
        let message = format!("{}: every address answers as it should.", endpoint.name);
        findings.push(Finding::pass(condition, &endpoint.name, message));
    }
    findings
}

/// Where this cluster has no route to a whole family of addresses, as with IPv6, that says nothing about the endpoint.
fn considered(evidence: &EndpointEvidence) -> impl Iterator<Item = &AddressEvidence> {
    let no_route = |found: &AddressEvidence| found.obstacle == Some(Obstacle::NoRoute);
    let all = evidence.addresses.iter().all(no_route);
    evidence.addresses.iter().filter(move |found| all || !no_route(found))
}

fn resolution(endpoint: &Endpoint, evidence: &EndpointEvidence) -> Option<Fault> {
    let host = &endpoint.host;
    match evidence.resolution {
        Resolution::Found => None,
        Resolution::NotFound => Some(Fault::critical(
            Reason::DnsNotFound,
            format!("the name {host} leads to no address: create its record, or correct the host"),
        )),
        Resolution::Unavailable => Some(Fault::unknown(
            Reason::DnsUnavailable,
            format!("the name {host} could not be looked up, as the name service failed or was too slow"),
        )),
    }
}

/// Addresses beside those that the spec expects, as after a redeployment that left the name behind.
fn unexpected_addresses(endpoint: &Endpoint, evidence: &EndpointEvidence) -> Option<Fault> {
    let expected: Vec<IpAddr> = endpoint
        .expected_addresses
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect();
    let strange: Vec<IpAddr> = evidence
        .addresses
        .iter()
        .map(|found| found.address)
        .filter(|address| !expected.contains(address))
        .collect();
    (!endpoint.expected_addresses.is_empty() && !strange.is_empty()).then(|| {
        let text = format!(
            "the name {} leads to {}, which expectedAddresses does not list: point it at the connector's present address",
            endpoint.host,
            listed(&strange)
        );
        Fault::critical(Reason::DnsAddressMismatch, text)
    })
}

fn certificates_valid(endpoint: &Endpoint, evidence: &EndpointEvidence, now: Timestamp) -> Vec<Finding> {
    let condition = ConditionType::CertificatesValid;
    let default = TlsExpectation::default();
    let expectation = endpoint.tls.as_ref().unwrap_or(&default);
    let faults: Vec<(IpAddr, Vec<Fault>)> = evidence
        .addresses
        .iter()
        .filter(|found| !found.tls.chain.is_empty())
        .map(|found| {
            let faults = certificates::faults(expectation, &endpoint.host, &found.tls, evidence, now);
            (found.address, faults)
        })
        .collect();
    if faults.is_empty() {
        return vec![unseen(endpoint, evidence).finding(condition, endpoint, "")];
    }
    let findings = told(condition, endpoint, &faults);
    if findings.is_empty() {
        let message = format!("{}: the certificates will do.", endpoint.name);
        return vec![Finding::pass(condition, &endpoint.name, message)];
    }
    findings
}

fn unseen(endpoint: &Endpoint, evidence: &EndpointEvidence) -> Fault {
    let silent = evidence
        .addresses
        .iter()
        .any(|found| found.obstacle.as_ref().is_some_and(reachability::is_silence));
    if endpoint.expect_from == Vantage::NodesOnly && silent {
        let text = "no certificate was seen, as it cannot be reached from this cluster";
        return Fault::unknown(Reason::NotReachableFromCluster, text);
    }
    Fault::unknown(
        Reason::InsufficientEvidence,
        "no certificate was seen, as no TLS connection came about",
    )
}

/// One finding for each fault, with its addresses where it is not at all of them.
fn told(condition: ConditionType, endpoint: &Endpoint, found: &[(IpAddr, Vec<Fault>)]) -> Vec<Finding> {
    let mut faults: Vec<(Fault, Vec<IpAddr>)> = Vec::new();
    for (address, here) in found {
        for fault in here {
            match faults.iter_mut().find(|(known, _)| known == fault) {
                Some((_, places)) => places.push(*address),
                None => faults.push((fault.clone(), vec![*address])),
            }
        }
    }
    let place = |places: &[IpAddr]| {
        let others: Vec<IpAddr> = found
            .iter()
            .map(|(address, _)| *address)
            .filter(|one| !places.contains(one))
            .collect();
        if others.is_empty() {
            String::new()
        } else {
            format!(" at {} (not at {})", listed(places), listed(&others))
        }
    };
    faults
        .into_iter()
        .map(|(fault, places)| fault.finding(condition, endpoint, &place(&places)))
        .collect()
}

fn listed(addresses: &[IpAddr]) -> String {
    let mut texts: Vec<String> = addresses.iter().take(MOST_LISTED).map(ToString::to_string).collect();
    if let Some(more @ 1..) = addresses.len().checked_sub(MOST_LISTED) {
        texts.push(format!("{more} more"));
    }
    texts.join(", ")
}

/// What a probe may not connect to, before it does: the one place where this is decided.
pub fn forbidden(endpoint: &Endpoint, address: IpAddr) -> Option<Obstacle> {
    let range = range(address);
    (!range.is_allowed(endpoint.allow_private_addresses)).then_some(Obstacle::NotAllowed(range))
}

#[cfg(test)]
mod tests;
