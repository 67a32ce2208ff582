use proptest::prelude::*;

use super::*;

const TYPE: ConditionType = ConditionType::CertificatesValid;

fn fail(severity: Severity, reason: Reason, subject: &str) -> Finding {
    Finding::fail(TYPE, subject, severity, reason, format!("{subject}: {reason}"))
}

fn pass(subject: &str) -> Finding {
    Finding::pass(TYPE, subject, format!("{subject}: fine"))
}

fn unknown(reason: Reason, subject: &str) -> Finding {
    Finding::unknown(TYPE, subject, reason, format!("{subject}: {reason}"))
}

#[test]
fn the_worst_outcome_is_the_condition() {
    let (critical, warning, info) = (Severity::Critical, Severity::Warning, Severity::Info);
    let cases: Vec<(Vec<Finding>, Truth, Reason, &str)> = vec![
        (vec![pass("a")], Truth::True, Reason::Succeeded, "a: fine"),
        (
            vec![pass("a"), pass("b")],
            Truth::True,
            Reason::Succeeded,
            "all 2 checks pass",
        ),
        (
            vec![pass("a"), unknown(Reason::VerifierUnsupported, "b")],
            Truth::Unknown,
            Reason::VerifierUnsupported,
            "b: VerifierUnsupported",
        ),
        (
            vec![
                unknown(Reason::VerifierUnsupported, "b"),
                fail(warning, Reason::ExpiringSoon, "c"),
            ],
            Truth::False,
            Reason::ExpiringSoon,
            "c: ExpiringSoon",
        ),
        (
            vec![
                fail(warning, Reason::ExpiringSoon, "a"),
                fail(critical, Reason::NameMismatch, "b"),
            ],
            Truth::False,
            Reason::NameMismatch,
            "b: NameMismatch",
        ),
        (
            vec![
                fail(critical, Reason::NameMismatch, "b"),
                fail(critical, Reason::Expired, "c"),
                pass("d"),
            ],
            Truth::False,
            Reason::Expired,
            "c: Expired b: NameMismatch",
        ),
        // Told as a diagnosis alone.
        (
            vec![fail(info, Reason::NodeCertificateWithoutClientAuth, "a")],
            Truth::True,
            Reason::Succeeded,
            "a: NodeCertificateWithoutClientAuth",
        ),
        (
            vec![
                fail(info, Reason::NodeCertificateWithoutClientAuth, "a"),
                unknown(Reason::RevocationUnknown, "b"),
            ],
            Truth::Unknown,
            Reason::RevocationUnknown,
            "b: RevocationUnknown",
        ),
    ];
    for (findings, truth, reason, message) in cases {
        let judged = fold(TYPE, &findings).unwrap();
        let verdict = &judged.verdict;
        assert_eq!(
            (verdict.truth, verdict.reason, verdict.message.as_str()),
            (truth, reason, message)
        );
        assert_eq!(judged.severity.is_some(), truth == Truth::False);
    }
    assert_eq!(fold(ConditionType::RoutingValid, &[pass("a")]), None);
}

#[test]
fn only_some_messages_are_told() {
    let findings: Vec<Finding> = ["a", "b", "c", "d", "e", "f"]
        .iter()
        .map(|subject| fail(Severity::Warning, Reason::ExpiringSoon, subject))
        .collect();
    let message = fold(TYPE, &findings).unwrap().verdict.message;
    assert!(
        message.starts_with("a: ExpiringSoon b: ") && message.ends_with(" And 2 more."),
        "{message}"
    );
}

fn judged(type_: ConditionType, truth: Truth, reason: Reason, severity: Option<Severity>) -> Judged {
    Judged {
        verdict: Verdict::new(type_, truth, reason, "m"),
        severity,
    }
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn the_connector_is_as_its_conditions() {
    use ConditionType::{CallsSucceeding, CertificatesValid, ClockSynchronized, EndpointReachable};
    let good = judged(EndpointReachable, Truth::True, Reason::Succeeded, None);
    let warning = judged(
        CertificatesValid,
        Truth::False,
        Reason::ExpiringSoon,
        Some(Severity::Warning),
    );
    let critical = judged(
        ClockSynchronized,
        Truth::False,
        Reason::SkewTooLarge,
        Some(Severity::Critical),
    );
    let unknown = judged(CertificatesValid, Truth::Unknown, Reason::VerifierUnsupported, None);
    let settling = judged(CertificatesValid, Truth::Unknown, Reason::Settling, None);
    let quiet = judged(CallsSucceeding, Truth::Unknown, Reason::NoTraffic, None);
    let cases: Vec<(Above, Vec<&Judged>, Truth, Reason, Health)> = vec![
        (
            Above::Nothing,
            vec![&good],
            Truth::True,
            Reason::Succeeded,
            Health::Healthy,
        ),
        (
            Above::Nothing,
            vec![&good, &quiet],
            Truth::True,
            Reason::Succeeded,
            Health::Healthy,
        ),
        (
            Above::Nothing,
            vec![&quiet],
            Truth::Unknown,
            Reason::InsufficientEvidence,
            Health::Unknown,
        ),
        (
            Above::Nothing,
            vec![],
            Truth::Unknown,
            Reason::InsufficientEvidence,
            Health::Unknown,
        ),
        (
            Above::Nothing,
            vec![&good, &unknown],
            Truth::Unknown,
            Reason::InsufficientEvidence,
            Health::Unknown,
        ),
        (
            Above::Nothing,
            vec![&settling, &unknown],
            Truth::Unknown,
            Reason::InsufficientEvidence,
            Health::Unknown,
        ),
        (
            Above::Nothing,
            vec![&good, &settling],
            Truth::Unknown,
            Reason::Settling,
            Health::Unknown,
        ),
        (
            Above::Nothing,
            vec![&good, &warning, &quiet],
            Truth::False,
            Reason::Degraded,
            Health::Degraded,
        ),
        (
            Above::Nothing,
            vec![&warning, &critical],
            Truth::False,
            Reason::SkewTooLarge,
            Health::Unhealthy,
        ),
        (
            Above::Nothing,
            vec![&critical, &unknown],
            Truth::False,
            Reason::SkewTooLarge,
            Health::Unhealthy,
        ),
        (
            Above::Suspended,
            vec![&critical],
            Truth::Unknown,
            Reason::Suspended,
            Health::Unknown,
        ),
        (
            Above::Maintenance,
            vec![&critical],
            Truth::Unknown,
            Reason::Maintenance,
            Health::Unknown,
        ),
        (
            Above::Maintenance,
            vec![&good],
            Truth::Unknown,
            Reason::Maintenance,
            Health::Unknown,
        ),
    ];
    for (above, conditions, truth, reason, expected) in cases {
        let conditions: Vec<Judged> = conditions.into_iter().cloned().collect();
        let (told, health) = verdict(above, &conditions);
        assert_eq!(
            (told.truth, told.reason, health),
            (truth, reason, expected),
            "{conditions:?}"
        );
    }
}

#[test]
fn what_is_not_configured_is_absent() {
    use ConditionType::{
        CallsSucceeding, CapacityAvailable, CertificatesValid, ClockSynchronized, ConsentGranted, EndpointReachable,
        InputsValid, InstancesHealthy, ProvisioningHealthy, RoutingValid, TenantMatches, UpstreamOperational,
    };
    let asked = |spec: serde_json::Value| asked_for(&serde_json::from_value(spec).unwrap());
    let endpoint = |more: serde_json::Value| {
        let mut endpoint = serde_json::json!({ "name": "a", "host": "a.example.com" });
        for (key, value) in more.as_object().unwrap() {
            endpoint[key] = value.clone();
        }
        serde_json::json!({ "type": "Generic", "endpoints": [endpoint] })
    };
    assert_eq!(
        asked(endpoint(serde_json::json!({}))),
        [EndpointReachable, CertificatesValid]
    );
    assert_eq!(
        asked(endpoint(serde_json::json!({ "protocol": "Udp", "sip": {} }))),
        [EndpointReachable]
    );
    assert_eq!(
        asked(endpoint(serde_json::json!({ "protocol": "Tcp", "http": {} }))),
        [EndpointReachable, ClockSynchronized]
    );
    let pexip = serde_json::json!({
        "type": "PexipInfinity",
        "pexip": { "managementUrl": "https://m.example.com", "credentialsSecretRef": { "name": "s" }, "connectorName": "eu" },
        "inputs": { "addressPrefixes": [] },
        "microsoft": {
            "tenantId": "t", "tenantRef": { "name": "t" }, "applications": [{ "appId": "a" }],
            "serviceHealth": { "enabled": true },
        },
    });
    assert_eq!(
        asked(pexip),
        [
            TenantMatches,
            ConsentGranted,
            InstancesHealthy,
            CapacityAvailable,
            RoutingValid,
            CallsSucceeding,
            UpstreamOperational,
            ClockSynchronized,
            InputsValid
        ]
    );
    let webex = serde_json::json!({ "type": "WebexBroadWorks", "broadworks": {
        "webex": { "tokenSecretRef": { "name": "s", "key": "k" }, "statusUrl": "https://status.example.com" },
    } });
    assert_eq!(
        asked(webex),
        [ProvisioningHealthy, UpstreamOperational, ClockSynchronized]
    );
}

fn any_finding() -> impl Strategy<Value = Finding> {
    let reason = prop::sample::select(vec![Reason::Expired, Reason::NameMismatch, Reason::UntrustedIssuer]);
    (0..5, reason, "[a-c]").prop_map(|(outcome, reason, subject)| match outcome {
        0 => pass(&subject),
        1 => unknown(reason, &subject),
        2 => fail(Severity::Info, reason, &subject),
        3 => fail(Severity::Warning, reason, &subject),
        _ => fail(Severity::Critical, reason, &subject),
    })
}

proptest! {
    /// The order of findings changes no verdict, and what is told is no better than the worst finding.
    #[test]
    fn order_does_not_matter(findings in prop::collection::vec(any_finding(), 1..12)) {
        let judged = fold(TYPE, &findings).unwrap();
        let mut turned = findings.clone();
        turned.reverse();
        let again = fold(TYPE, &turned).unwrap();
        prop_assert_eq!(judged.clone(), again);
        let worst = findings.iter().map(rank).max().unwrap();
        let expected = [Truth::True, Truth::Unknown, Truth::False, Truth::False][usize::from(worst)];
        prop_assert_eq!(judged.verdict.truth, expected);
    }
}
