use std::collections::BTreeSet;

use super::*;
use crate::api::condition::ConditionType;

use ConditionType::{
    CallsSucceeding, CapacityAvailable, CertificatesValid, ClockSynchronized, ConsentGranted, CredentialsValid,
    EndpointReachable, InputsValid, InstancesHealthy, ProvisioningHealthy, RoutingValid, TenantMatches,
    UpstreamOperational,
};

const INFO: Severity = Severity::Info;
const WARNING: Severity = Severity::Warning;
const CRITICAL: Severity = Severity::Critical;
const LOW: Confidence = Confidence::Low;
const MEDIUM: Confidence = Confidence::Medium;
const HIGH: Confidence = Confidence::High;

fn fault(condition: ConditionType, severity: Severity, reason: Reason) -> Finding {
    Finding::fail(condition, "edge", severity, reason, format!("edge: {reason}."))
}

fn blind(condition: ConditionType, reason: Reason) -> Finding {
    Finding::unknown(condition, "", reason, format!("{reason}."))
}

fn unauthorized() -> Finding {
    fault(CallsSucceeding, CRITICAL, Reason::ApiUnauthorized)
}

fn server_error() -> Finding {
    fault(CallsSucceeding, CRITICAL, Reason::ApiServerError)
}

fn all_fail() -> Finding {
    fault(CallsSucceeding, CRITICAL, Reason::GatewayDialOutFailed)
}

fn some_fail() -> Finding {
    fault(CallsSucceeding, WARNING, Reason::CallRejected)
}

fn told(findings: &[Finding]) -> Vec<(Reason, Severity, Confidence)> {
    let causes = diagnose(findings);
    causes
        .iter()
        .map(|cause| (cause.code, cause.severity, cause.confidence))
        .collect()
}

type Row = (&'static str, Vec<Finding>, Vec<(Reason, Severity, Confidence)>);

fn check(rows: Vec<Row>) {
    for (row, mut findings, expected) in rows {
        assert_eq!(told(&findings), expected, "{row}");
        findings.reverse();
        assert_eq!(told(&findings), expected, "{row}, the other way round");
    }
}

/// The rows of the checklist about Pexip that are decided without a person.
#[allow(clippy::too_many_lines)] // a table
#[test]
fn pexip() {
    let rows: Vec<Row> = vec![
        (
            "P4 ECDSA certificate",
            vec![fault(CertificatesValid, CRITICAL, Reason::KeyAlgorithmNotAllowed)],
            vec![(Reason::KeyAlgorithmNotAllowed, CRITICAL, HIGH)],
        ),
        (
            "P6 invalid CIDR",
            vec![fault(InputsValid, WARNING, Reason::HostBitsSet)],
            vec![(Reason::HostBitsSet, WARNING, HIGH)],
        ),
        (
            "P13 licences",
            vec![
                fault(CapacityAvailable, CRITICAL, Reason::LicencesExhausted),
                some_fail(),
            ],
            vec![(Reason::LicencesExhausted, CRITICAL, HIGH)],
        ),
        (
            "P17 wrong ID, no codes",
            vec![fault(CallsSucceeding, INFO, Reason::UserInput)],
            vec![(Reason::UserInput, INFO, MEDIUM)],
        ),
        (
            "P18 no connector on the reception",
            vec![fault(RoutingValid, CRITICAL, Reason::ReceptionWithoutConnector)],
            vec![(Reason::ReceptionWithoutConnector, CRITICAL, HIGH)],
        ),
        (
            "P18b the connector cannot be reached",
            vec![fault(EndpointReachable, CRITICAL, Reason::ConnectTimeout), all_fail()],
            vec![(Reason::ConnectTimeout, CRITICAL, MEDIUM)],
        ),
        (
            "P19 401 by an expired certificate",
            vec![unauthorized(), fault(CertificatesValid, CRITICAL, Reason::Expired)],
            vec![(Reason::Expired, CRITICAL, HIGH)],
        ),
        (
            "P19 401 by a revoked certificate",
            vec![unauthorized(), fault(CertificatesValid, WARNING, Reason::Revoked)],
            vec![(Reason::Revoked, CRITICAL, HIGH)],
        ),
        (
            "P19 401 by the wrong name",
            vec![unauthorized(), fault(CertificatesValid, CRITICAL, Reason::NameMismatch)],
            vec![(Reason::NameMismatch, CRITICAL, HIGH)],
        ),
        (
            "P20 401 at the wrong connector",
            vec![
                unauthorized(),
                fault(RoutingValid, WARNING, Reason::NodeNotInConnectorAllowList),
            ],
            vec![(Reason::NodeNotInConnectorAllowList, CRITICAL, HIGH)],
        ),
        (
            "P21 401 by a redirect of the issuer's address",
            vec![
                unauthorized(),
                fault(CertificatesValid, WARNING, Reason::AiaRedirectsToHttps),
            ],
            vec![(Reason::AiaRedirectsToHttps, CRITICAL, MEDIUM)],
        ),
        (
            "P19 to P21, nothing found",
            vec![unauthorized()],
            vec![(Reason::ApiUnauthorized, CRITICAL, LOW)],
        ),
        (
            "a certificate that ends soon is not why calls end with 401",
            vec![unauthorized(), fault(CertificatesValid, WARNING, Reason::ExpiringSoon)],
            vec![
                (Reason::ApiUnauthorized, CRITICAL, LOW),
                (Reason::ExpiringSoon, WARNING, HIGH),
            ],
        ),
        (
            "P22 500 by the wrong tenant",
            vec![server_error(), fault(TenantMatches, CRITICAL, Reason::TenantIdMismatch)],
            vec![(Reason::TenantIdMismatch, CRITICAL, HIGH)],
        ),
        (
            "P22 500 by another tenant at the connector",
            vec![
                server_error(),
                fault(TenantMatches, CRITICAL, Reason::ConnectorUsesOtherTenant),
            ],
            vec![(Reason::ConnectorUsesOtherTenant, CRITICAL, HIGH)],
        ),
        (
            "500 while Microsoft is degraded",
            vec![
                server_error(),
                fault(UpstreamOperational, WARNING, Reason::ServiceDegradation),
            ],
            vec![(Reason::ServiceDegradation, CRITICAL, MEDIUM)],
        ),
        (
            "500, nothing found",
            vec![server_error()],
            vec![(Reason::ApiServerError, CRITICAL, LOW)],
        ),
        (
            "P23 some calls, wrong IDs",
            vec![some_fail(), fault(CallsSucceeding, INFO, Reason::UserInput)],
            vec![(Reason::CallRejected, WARNING, LOW), (Reason::UserInput, INFO, MEDIUM)],
        ),
        (
            "P24 some calls, at capacity",
            vec![some_fail(), fault(CapacityAvailable, CRITICAL, Reason::Saturated)],
            vec![(Reason::Saturated, CRITICAL, HIGH)],
        ),
        (
            "P25 all calls, wrong replace string",
            vec![
                all_fail(),
                fault(RoutingValid, WARNING, Reason::ReplaceDoesNotYieldConferenceId),
            ],
            vec![(Reason::ReplaceDoesNotYieldConferenceId, CRITICAL, HIGH)],
        ),
        (
            "a wrong replace string does not explain that some calls fail",
            vec![
                some_fail(),
                fault(RoutingValid, WARNING, Reason::ReplaceDoesNotYieldConferenceId),
            ],
            vec![
                (Reason::ReplaceDoesNotYieldConferenceId, WARNING, HIGH),
                (Reason::CallRejected, WARNING, LOW),
            ],
        ),
        (
            "P26 all calls, no connector on the rule",
            vec![all_fail(), fault(RoutingValid, CRITICAL, Reason::RuleWithoutConnector)],
            vec![(Reason::RuleWithoutConnector, CRITICAL, HIGH)],
        ),
        (
            "P27 all calls, wrong tenant",
            vec![
                all_fail(),
                fault(TenantMatches, CRITICAL, Reason::ConnectorUsesOtherTenant),
            ],
            vec![(Reason::ConnectorUsesOtherTenant, CRITICAL, HIGH)],
        ),
        (
            "P28 to P30 direct dial with 401: all three found",
            vec![
                unauthorized(),
                fault(CertificatesValid, CRITICAL, Reason::UntrustedIssuer),
                fault(RoutingValid, WARNING, Reason::NodeNotInConnectorAllowList),
                fault(CertificatesValid, WARNING, Reason::AiaRedirectsToHttps),
            ],
            vec![
                (Reason::UntrustedIssuer, CRITICAL, HIGH),
                (Reason::NodeNotInConnectorAllowList, CRITICAL, HIGH),
                (Reason::AiaRedirectsToHttps, CRITICAL, MEDIUM),
            ],
        ),
        (
            "P31 the tenant is not found",
            vec![fault(TenantMatches, CRITICAL, Reason::TenantNotFound)],
            vec![(Reason::TenantNotFound, CRITICAL, HIGH)],
        ),
        (
            "P33 no consent",
            vec![fault(ConsentGranted, CRITICAL, Reason::ServicePrincipalMissing)],
            vec![(Reason::ServicePrincipalMissing, CRITICAL, HIGH)],
        ),
        (
            "P34 consent missing in the tenant of Teams, calls end with 500",
            vec![
                server_error(),
                fault(ConsentGranted, CRITICAL, Reason::ServicePrincipalMissing),
            ],
            vec![(Reason::ServicePrincipalMissing, CRITICAL, MEDIUM)],
        ),
        (
            "P36 a private authority",
            vec![fault(CertificatesValid, CRITICAL, Reason::UntrustedIssuer)],
            vec![(Reason::UntrustedIssuer, CRITICAL, HIGH)],
        ),
        (
            "P37 instances, alarms, nodes",
            vec![
                fault(InstancesHealthy, CRITICAL, Reason::InstanceFailed),
                fault(InstancesHealthy, WARNING, Reason::HeartbeatStale),
                fault(InstancesHealthy, WARNING, Reason::ConfigurationDrift),
                fault(InstancesHealthy, WARNING, Reason::VendorAlarm),
                fault(InstancesHealthy, WARNING, Reason::NodeOutOfSync),
            ],
            vec![
                (Reason::InstanceFailed, CRITICAL, HIGH),
                (Reason::VendorAlarm, WARNING, HIGH),
                (Reason::HeartbeatStale, WARNING, MEDIUM),
                (Reason::ConfigurationDrift, WARNING, MEDIUM),
                (Reason::NodeOutOfSync, WARNING, MEDIUM),
            ],
        ),
        (
            "P37 no instance, calls fail",
            vec![fault(InstancesHealthy, CRITICAL, Reason::NoActiveInstance), all_fail()],
            vec![(Reason::NoActiveInstance, CRITICAL, HIGH)],
        ),
        (
            "P37 the list is empty because the Event Hub is off",
            vec![blind(InstancesHealthy, Reason::EventHubDisabled)],
            vec![(Reason::EventHubDisabled, INFO, HIGH)],
        ),
        (
            "P38 a node's certificate without clientAuth",
            vec![fault(CertificatesValid, INFO, Reason::NodeCertificateWithoutClientAuth)],
            vec![(Reason::NodeCertificateWithoutClientAuth, INFO, LOW)],
        ),
        (
            "P38 with 401",
            vec![
                unauthorized(),
                fault(CertificatesValid, INFO, Reason::NodeCertificateWithoutClientAuth),
            ],
            vec![(Reason::NodeCertificateWithoutClientAuth, CRITICAL, MEDIUM)],
        ),
        (
            "P39 the name leads to the old load balancer",
            vec![fault(EndpointReachable, CRITICAL, Reason::DnsAddressMismatch)],
            vec![(Reason::DnsAddressMismatch, CRITICAL, HIGH)],
        ),
    ];
    check(rows);
}

/// Faults that are causes by themselves: what each is worth, and its runbook.
#[test]
fn faults_that_need_no_sign() {
    for (condition, severity, reason, confidence, runbook) in [
        (InputsValid, WARNING, Reason::PrefixInvalid, HIGH, "Unhealthy"),
        (InputsValid, WARNING, Reason::AmbiguousOctet, HIGH, "Unhealthy"),
        (
            CertificatesValid,
            CRITICAL,
            Reason::IncompleteChain,
            HIGH,
            "CertificateInvalid",
        ),
        (
            CertificatesValid,
            CRITICAL,
            Reason::WrongExtendedKeyUsage,
            HIGH,
            "CertificateInvalid",
        ),
        (
            CertificatesValid,
            CRITICAL,
            Reason::KeyTooSmall,
            HIGH,
            "CertificateInvalid",
        ),
        (
            CertificatesValid,
            CRITICAL,
            Reason::WeakSignature,
            HIGH,
            "CertificateInvalid",
        ),
        (
            CertificatesValid,
            CRITICAL,
            Reason::CertificateMalformed,
            MEDIUM,
            "CertificateInvalid",
        ),
        (CapacityAvailable, WARNING, Reason::NearCapacity, HIGH, "NearCapacity"),
        (RoutingValid, WARNING, Reason::RegexInvalid, HIGH, "RoutingInvalid"),
        (RoutingValid, WARNING, Reason::RuleShadowed, MEDIUM, "RoutingInvalid"),
        (
            ConsentGranted,
            CRITICAL,
            Reason::ServicePrincipalDisabled,
            HIGH,
            "ConsentMissing",
        ),
        (
            ConsentGranted,
            CRITICAL,
            Reason::AppRegistrationMissing,
            HIGH,
            "ConsentMissing",
        ),
        (
            InstancesHealthy,
            WARNING,
            Reason::BelowMinimumInstances,
            HIGH,
            "InstanceFailed",
        ),
        (
            UpstreamOperational,
            WARNING,
            Reason::ServiceInterruption,
            HIGH,
            "UpstreamDegraded",
        ),
    ] {
        let causes = diagnose(&[fault(condition, severity, reason)]);
        let [cause] = causes.as_slice() else {
            panic!("{reason}: {causes:?}");
        };
        let found = (cause.code, cause.severity, cause.confidence, cause.explains);
        assert_eq!(found, (reason, severity, confidence, false));
        assert_eq!(cause.runbook, format!("TeamsConnector{runbook}"), "{reason}");
        assert_eq!(cause.evidence, [format!("edge: {reason}.")]);
    }
}

/// The same faults beside what calls end with.
#[test]
fn what_else_explains_failed_calls() {
    let certificate = |reason| {
        (
            vec![unauthorized(), fault(CertificatesValid, WARNING, reason)],
            vec![(reason, CRITICAL, HIGH)],
        )
    };
    let mut rows: Vec<Row> = Vec::new();
    for (row, reason) in [
        ("P19 401, no intermediate", Reason::IncompleteChain),
        ("P19 401, not for servers", Reason::WrongExtendedKeyUsage),
        ("P19 401, a short key", Reason::KeyTooSmall),
        ("P19 401, a weak signature", Reason::WeakSignature),
        ("P19 401, what cannot be read", Reason::CertificateMalformed),
    ] {
        let (findings, expected) = certificate(reason);
        rows.push((row, findings, expected));
    }
    for (row, reason) in [
        ("P25 all calls, no expression", Reason::RegexInvalid),
        ("P25 all calls, another rule", Reason::RuleShadowed),
    ] {
        let findings = vec![all_fail(), fault(RoutingValid, WARNING, reason)];
        rows.push((row, findings, vec![(reason, CRITICAL, HIGH)]));
    }
    rows.extend([
        (
            "P34 500, the app is disabled",
            vec![
                server_error(),
                fault(ConsentGranted, CRITICAL, Reason::ServicePrincipalDisabled),
            ],
            vec![(Reason::ServicePrincipalDisabled, CRITICAL, MEDIUM)],
        ),
        (
            "some calls, Microsoft is interrupted",
            vec![
                some_fail(),
                fault(UpstreamOperational, WARNING, Reason::ServiceInterruption),
            ],
            vec![(Reason::ServiceInterruption, WARNING, MEDIUM)],
        ),
        (
            "P24 some calls, nearly full: no proof",
            vec![some_fail(), fault(CapacityAvailable, WARNING, Reason::NearCapacity)],
            vec![
                (Reason::NearCapacity, WARNING, HIGH),
                (Reason::CallRejected, WARNING, LOW),
            ],
        ),
    ]);
    check(rows);
}

/// The rows about innovaphone and aurenz, as far as they concern a connector.
#[test]
fn innovaphone_and_aurenz() {
    let rows: Vec<Row> = vec![
        (
            "I5 the notification URL has no public certificate",
            vec![fault(CertificatesValid, CRITICAL, Reason::SelfSigned)],
            vec![(Reason::SelfSigned, CRITICAL, HIGH)],
        ),
        (
            "I6, I7 another answer than 404: DNS, proxy, case",
            vec![fault(EndpointReachable, WARNING, Reason::UnexpectedHttpStatus)],
            vec![(Reason::UnexpectedHttpStatus, WARNING, MEDIUM)],
        ),
        (
            "I9 a wrong clock",
            vec![fault(ClockSynchronized, CRITICAL, Reason::SkewTooLarge)],
            vec![(Reason::SkewTooLarge, CRITICAL, HIGH)],
        ),
        (
            "I10 409 and a wrong clock",
            vec![
                fault(ClockSynchronized, WARNING, Reason::SkewTooLarge),
                fault(ConditionType::Subscribed, WARNING, Reason::Conflict),
            ],
            vec![(Reason::SkewTooLarge, WARNING, HIGH)],
        ),
        (
            "409 alone is not this connector's",
            vec![fault(ConditionType::Subscribed, WARNING, Reason::Conflict)],
            vec![],
        ),
        (
            "a certificate that is not valid yet, and a wrong clock",
            vec![
                fault(ClockSynchronized, WARNING, Reason::SkewTooLarge),
                fault(CertificatesValid, CRITICAL, Reason::NotYetValid),
            ],
            vec![(Reason::SkewTooLarge, CRITICAL, HIGH)],
        ),
        (
            "A1 no consent",
            vec![fault(ConsentGranted, CRITICAL, Reason::RolesMissing)],
            vec![(Reason::RolesMissing, CRITICAL, HIGH)],
        ),
        (
            "A4 no traffic is no fault",
            vec![blind(CallsSucceeding, Reason::NoTraffic)],
            vec![],
        ),
        (
            "A5 reached from inside, not from outside",
            vec![
                Finding::pass(EndpointReachable, "inside", "inside answers."),
                fault(EndpointReachable, CRITICAL, Reason::ConnectionRefused),
            ],
            vec![(Reason::ConnectionRefused, CRITICAL, HIGH)],
        ),
        (
            "a secret ends",
            vec![fault(CredentialsValid, WARNING, Reason::CredentialExpiringSoon)],
            vec![(Reason::CredentialExpiringSoon, WARNING, HIGH)],
        ),
    ];
    check(rows);
}

/// The rows about Webex for BroadWorks.
#[test]
fn webex() {
    let provisioning = |severity, reason| fault(ProvisioningHealthy, severity, reason);
    let alone = |reason| (vec![provisioning(CRITICAL, reason)], vec![(reason, CRITICAL, HIGH)]);
    let mut rows: Vec<Row> = Vec::new();
    for (row, reason) in [
        ("W2 200, and no user", Reason::ProvisioningStuck),
        ("W3 400, no trusted e-mail address", Reason::BadSubscriberProfile),
        ("W3 400, no organisation", Reason::OrganizationCreationDisabled),
        ("W4 401 by other credentials", Reason::AdapterCredentialsRejected),
        ("W6 409 by a known e-mail address", Reason::UserConflict),
        ("W8 the login ladder differs", Reason::LoginMismatch),
        ("W11, W16 no device profile", Reason::DeviceTypeMissing),
    ] {
        let (findings, expected) = alone(reason);
        rows.push((row, findings, expected));
    }
    rows.extend([
        (
            "W8 one XSP refuses the login",
            vec![
                provisioning(CRITICAL, Reason::AdapterCredentialsRejected),
                provisioning(WARNING, Reason::LoginMismatch),
            ],
            vec![(Reason::AdapterCredentialsRejected, CRITICAL, HIGH)],
        ),
        (
            "W8 every XSP refuses the test subscriber",
            vec![blind(ProvisioningHealthy, Reason::CredentialsRejected)],
            vec![(Reason::CredentialsRejected, INFO, HIGH)],
        ),
        (
            "W9 an XSP cannot be reached",
            vec![fault(EndpointReachable, CRITICAL, Reason::ConnectionFailed)],
            vec![(Reason::ConnectionFailed, CRITICAL, MEDIUM)],
        ),
        (
            "W9 the certificate of an XSP is not trusted",
            vec![fault(EndpointReachable, CRITICAL, Reason::CertificateNotTrusted)],
            vec![(Reason::CertificateNotTrusted, CRITICAL, HIGH)],
        ),
        (
            "W9 the XSP wants a client certificate",
            vec![fault(EndpointReachable, CRITICAL, Reason::ClientCertificateRequired)],
            vec![(Reason::ClientCertificateRequired, CRITICAL, HIGH)],
        ),
        (
            "W10 the SBC does not answer",
            vec![fault(EndpointReachable, CRITICAL, Reason::SipNoAnswer)],
            vec![(Reason::SipNoAnswer, CRITICAL, MEDIUM)],
        ),
        (
            "W17 the settings page is blank",
            vec![fault(EndpointReachable, WARNING, Reason::EmptyBody)],
            vec![(Reason::EmptyBody, WARNING, MEDIUM)],
        ),
        (
            "W18 the portal does not load",
            vec![fault(EndpointReachable, CRITICAL, Reason::HandshakeTimeout)],
            vec![(Reason::HandshakeTimeout, CRITICAL, MEDIUM)],
        ),
        (
            "W20 403",
            vec![blind(ProvisioningHealthy, Reason::PermissionDenied)],
            vec![(Reason::PermissionDenied, INFO, HIGH)],
        ),
        (
            "W26 an incident at Webex",
            vec![fault(UpstreamOperational, WARNING, Reason::VendorIncident)],
            vec![(Reason::VendorIncident, WARNING, HIGH)],
        ),
        (
            "W26 an incident, and provisioning is stuck",
            vec![
                fault(UpstreamOperational, WARNING, Reason::VendorIncident),
                provisioning(CRITICAL, Reason::ProvisioningStuck),
            ],
            vec![(Reason::VendorIncident, CRITICAL, MEDIUM)],
        ),
    ]);
    check(rows);
}

#[test]
fn the_cause_of_several_is_one_with_what_it_explains_as_evidence() {
    let expired = |subject: &str| {
        Finding::fail(
            CertificatesValid,
            subject,
            WARNING,
            Reason::Expired,
            format!("{subject}: ended."),
        )
    };
    let mut findings: Vec<Finding> = (0..12).map(|number| expired(&format!("node{number:02}"))).collect();
    findings.push(unauthorized());
    let causes = diagnose(&findings);
    let [cause] = causes.as_slice() else {
        panic!("{causes:?}");
    };
    assert!(cause.explains);
    assert_eq!(cause.runbook, "TeamsConnectorCertificateInvalid");
    assert_eq!(
        cause.summary,
        "A certificate that is needed has ended (node00, node01, node02, node03 and 8 more)"
    );
    assert_eq!(cause.evidence.len(), EVIDENCE);
    assert_eq!(cause.evidence.last().unwrap(), "edge: ApiUnauthorized.");
    assert_eq!(cause.evidence[0], "node00: ended.");
}

#[test]
fn a_list_is_bounded_and_the_worst_is_kept() {
    let findings: Vec<Finding> = causes::reasons()
        .map(|reason| {
            let severity = if reason == Reason::ExpiringSoon {
                CRITICAL
            } else {
                WARNING
            };
            let text = "x".repeat(2000);
            Finding::fail(EndpointReachable, text.clone(), severity, reason, text)
        })
        .collect();
    let causes = diagnose(&findings);
    assert_eq!((causes.len(), causes[0].code), (DIAGNOSES, Reason::ExpiringSoon));
    let texts = causes
        .iter()
        .flat_map(|cause| cause.evidence.iter().chain([&cause.summary]));
    assert!(texts.map(|text| text.chars().count()).all(|length| length <= TEXT));
}

#[test]
fn every_cause_and_sign_has_a_page_and_each_only_one() {
    let all: Vec<Reason> = causes::reasons().collect();
    let known: BTreeSet<Reason> = all.iter().copied().collect();
    assert_eq!(all.len(), known.len(), "a reason is there twice");
    for link in LINKS {
        for reason in link.causes.iter().chain(link.signs) {
            assert!(known.contains(reason) || *reason == Reason::Conflict, "{reason}");
        }
    }
    for reason in all {
        let page = page(reason).unwrap();
        assert!(page.remedy.ends_with('.') && !page.summary.ends_with('.'), "{reason}");
        assert!(page.summary.len() < 200 && page.remedy.len() < TEXT, "{reason}");
    }
}

#[test]
fn a_diagnosis_keeps_the_time_at_which_it_was_first_seen() {
    let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
    let day = 86_400;
    let causes = || diagnose(&[unauthorized(), fault(CapacityAvailable, INFO, Reason::NearCapacity)]);
    let first = dated(causes(), &[], Some(PEXIP_LOGS_KEPT), at(0));
    let second = dated(causes(), &first, Some(PEXIP_LOGS_KEPT), at(day));
    assert_eq!(first, second);
    assert_eq!(first[0].first_seen, time(at(0)));
    // P9: logs are kept for 30 days.
    assert_eq!(first[0].evidence_expires_at, Some(time(at(30 * day))));
    assert_eq!(
        first[1].evidence_expires_at, None,
        "what is told for care alone needs no logs"
    );
    let gone = dated(diagnose(&[]), &second, Some(PEXIP_LOGS_KEPT), at(2 * day));
    assert!(gone.is_empty());
    let again = dated(causes(), &gone, None, at(3 * day));
    assert_eq!(
        (again[0].first_seen.clone(), again[0].evidence_expires_at.clone()),
        (time(at(3 * day)), None)
    );
}
