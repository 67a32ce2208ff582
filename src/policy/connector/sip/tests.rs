use super::*;
use crate::api::connector::{EndpointProtocol, SipExpectation};
use crate::policy::connector::Outcome;

fn endpoint(expect_from: Vantage) -> Endpoint {
    Endpoint {
        name: "sbc".into(),
        host: "sbc.example.com".into(),
        port: 5061,
        protocol: EndpointProtocol::Tls,
        expect_from,
        expected_addresses: Vec::new(),
        allow_private_addresses: false,
        http: None,
        sip: Some(SipExpectation::default()),
        tls: None,
    }
}

fn outcomes(expect_from: Vantage, replies: &[SipReply]) -> Vec<Outcome> {
    let replies = replies.iter().cloned();
    let evidence = SipEvidence {
        replies: replies.map(|reply| ("192.0.2.1:5061".to_owned(), reply)).collect(),
    };
    let findings = judge(&endpoint(expect_from), &evidence);
    findings.into_iter().map(|finding| finding.outcome).collect()
}

#[test]
fn any_answer_but_503_shows_life() {
    for status in [200, 401, 403, 404, 405, 407, 480, 483, 486, 501, 504, 600] {
        assert_eq!(
            outcomes(Vantage::Cluster, &[SipReply::Final(status)]),
            [Outcome::Pass],
            "{status}"
        );
    }
    let unavailable = Outcome::Fail(Severity::Critical, Reason::SipUnavailable);
    assert_eq!(outcomes(Vantage::Cluster, &[SipReply::Final(503)]), [unavailable]);
    assert_eq!(outcomes(Vantage::NodesOnly, &[SipReply::Final(503)]), [unavailable]);
}

#[test]
fn each_way_of_not_answering_has_its_reason() {
    let fail = |reason| Outcome::Fail(Severity::Critical, reason);
    let unknown = Outcome::Unknown(Reason::NotReachableFromCluster);
    for (reply, here, nodes_only) in [
        (SipReply::Silent, fail(Reason::SipNoAnswer), unknown),
        (SipReply::Refused, fail(Reason::ConnectionRefused), unknown),
        (
            SipReply::Broken("it hung up".into()),
            fail(Reason::SipNoAnswer),
            unknown,
        ),
        (SipReply::NotSip, fail(Reason::SipNoAnswer), fail(Reason::SipNoAnswer)),
    ] {
        assert_eq!(outcomes(Vantage::Cluster, std::slice::from_ref(&reply)), [here]);
        assert_eq!(outcomes(Vantage::NodesOnly, &[reply]), [nodes_only]);
    }
}

#[test]
fn each_address_that_fails_is_told() {
    let replies = [SipReply::Final(200), SipReply::Silent, SipReply::Refused];
    assert_eq!(outcomes(Vantage::Cluster, &replies).len(), 2);
    assert_eq!(
        outcomes(Vantage::Cluster, &[SipReply::Final(200), SipReply::Final(404)]),
        [Outcome::Pass]
    );
    assert_eq!(outcomes(Vantage::Cluster, &[]), []);
}
