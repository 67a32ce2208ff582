//! What session border controllers answer to SIP OPTIONS (RFC 3261 section 11).

use super::Finding;
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::{Endpoint, Severity, Vantage};

/// What the addresses of one endpoint answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SipEvidence {
    /// Address with port, and its answer.
    pub replies: Vec<(String, SipReply)>,
}

/// What became of one OPTIONS request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SipReply {
    /// A final answer with this status.
    Final(u16),
    /// Nothing within the time.
    Silent,
    /// The port is closed.
    Refused,
    /// The connection ended before a final answer. Why, as the end of a sentence.
    Broken(String),
    /// Something answered that does not speak SIP.
    NotSip,
}

/// Judges the answers of an endpoint: one finding for each address that fails, or one for all.
///
/// Any final answer shows that the server lives, also a refusal of the method; 503 alone says that it does not take calls.
pub fn judge(endpoint: &Endpoint, evidence: &SipEvidence) -> Vec<Finding> {
    let name = &endpoint.name;
    let faults: Vec<Finding> = evidence
        .replies
        .iter()
        .filter_map(|(address, reply)| fault(endpoint, address, reply))
        .collect();
    if !faults.is_empty() || evidence.replies.is_empty() {
        return faults;
    }
    let message = format!("The endpoint {name} answers SIP OPTIONS.");
    vec![Finding::pass(ConditionType::EndpointReachable, name, message)]
}

fn fault(endpoint: &Endpoint, address: &str, reply: &SipReply) -> Option<Finding> {
    let name = &endpoint.name;
    let (reason, message) = match reply {
        SipReply::Final(503) => (
            Reason::SipUnavailable,
            format!(
                "The endpoint {name} ({address}) answers SIP OPTIONS with 503: it takes no calls; see its logs and its licences."
            ),
        ),
        SipReply::Final(_) => return None,
        SipReply::Silent => (
            Reason::SipNoAnswer,
            format!(
                "The endpoint {name} ({address}) does not answer SIP OPTIONS: let it answer those of this cluster, and open firewalls between."
            ),
        ),
        SipReply::Refused => (
            Reason::ConnectionRefused,
            format!(
                "The endpoint {name} ({address}) refuses the connection: start its SIP service, or correct port and protocol."
            ),
        ),
        SipReply::Broken(why) => (
            Reason::SipNoAnswer,
            format!("The endpoint {name} ({address}) does not answer SIP OPTIONS: {why}."),
        ),
        SipReply::NotSip => (
            Reason::SipNoAnswer,
            format!("The endpoint {name} ({address}) does not speak SIP: correct port and protocol."),
        ),
    };
    let far = matches!(reply, SipReply::Silent | SipReply::Refused | SipReply::Broken(_));
    Some(if far && endpoint.expect_from == Vantage::NodesOnly {
        let message = format!(
            "The endpoint {name} ({address}) does not answer from this cluster, as may be: it is for the nodes alone."
        );
        Finding::unknown(
            ConditionType::EndpointReachable,
            name,
            Reason::NotReachableFromCluster,
            message,
        )
    } else {
        Finding::fail(
            ConditionType::EndpointReachable,
            name,
            Severity::Critical,
            reason,
            message,
        )
    })
}

#[cfg(test)]
mod tests;
