use jiff::SignedDuration;

use super::*;
use crate::api::condition::ConditionType;
use crate::api::connector::{Severity, WebexHealth, XspHealth};
use crate::api::reference::{SecretKeyRef, SecretRef};
use crate::policy::connector::Outcome;

const TYPE: &str = "Business Communicator - PC";

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn spec() -> BroadWorksHealth {
    BroadWorksHealth {
        xsps: Some(XspHealth {
            urls: vec!["https://xsp1.example.com".into(), "https://xsp2.example.com".into()],
            test_subscriber_secret_ref: Some(SecretRef {
                name: "subscriber".into(),
            }),
            device_type: Some(TYPE.into()),
            ca_bundle_secret_ref: None,
        }),
        webex: Some(WebexHealth {
            url: "https://webexapis.com/v1".into(),
            token_secret_ref: SecretKeyRef {
                name: "webex".into(),
                key: "token".into(),
            },
            sp_enterprise_id: None,
            provisioning_timeout: "15m".into(),
            status_url: Some("https://status.webex.com".into()),
        }),
    }
}

fn xsp(name: &str) -> XspEvidence {
    XspEvidence {
        name: name.into(),
        application: Reply::Status(401),
        login: Some(Reply::Status(200)),
        devices: Some(Learned::Known(vec!["Polycom".into(), TYPE.to_lowercase()])),
    }
}

fn page() -> StatusPage {
    let component = |name: &str, status: &str| (name.to_owned(), status.to_owned());
    StatusPage {
        components: vec![
            component("Webex Calling", "operational"),
            component("Webex Meetings", "major_outage"),
        ],
        incidents: vec!["Webex Meetings: no video".into()],
    }
}

fn evidence() -> BroadWorksEvidence {
    BroadWorksEvidence {
        xsps: vec![xsp("xsp1"), xsp("xsp2")],
        subscribers: Some(Learned::Known(Subscribers {
            complete: true,
            ..Subscribers::default()
        })),
        page: Some(Learned::Known(page())),
        clock: Vec::new(),
    }
}

fn found(evidence: &BroadWorksEvidence, condition: ConditionType) -> Vec<Outcome> {
    let findings = judge(&spec(), evidence, now()).into_iter();
    let findings = findings.filter(|finding| finding.condition == condition);
    findings.map(|finding| finding.outcome).collect()
}

/// All that is not well.
fn faults(evidence: &BroadWorksEvidence) -> Vec<Outcome> {
    let findings = judge(&spec(), evidence, now()).into_iter();
    findings
        .map(|finding| finding.outcome)
        .filter(|outcome| *outcome != Outcome::Pass)
        .collect()
}

fn with_xsps(xsps: Vec<XspEvidence>) -> BroadWorksEvidence {
    BroadWorksEvidence { xsps, ..evidence() }
}

fn with_subscribers(subscribers: Learned<Subscribers>) -> BroadWorksEvidence {
    BroadWorksEvidence {
        subscribers: Some(subscribers),
        ..evidence()
    }
}

#[test]
fn all_is_well() {
    assert_eq!(faults(&evidence()), []);
    assert_eq!(judge(&spec(), &evidence(), now()).len(), 6);
}

/// W8 and W9: 401 without a login shows that Xsi-Actions works; all else is a fault.
#[test]
fn xsi_actions_asks_for_a_login() {
    use Reason::{CertificateNotTrusted, ConnectionFailed, UnexpectedHttpStatus};
    let cases = [
        (Reply::Status(200), UnexpectedHttpStatus, "without asking"),
        (Reply::Status(403), UnexpectedHttpStatus, "host name"),
        (Reply::Status(404), UnexpectedHttpStatus, "deploy"),
        (Reply::Status(302), UnexpectedHttpStatus, "302"),
        (Reply::Status(503), UnexpectedHttpStatus, "503"),
        (
            Reply::NotTrusted("the certificate has expired".into()),
            CertificateNotTrusted,
            "expired",
        ),
        (
            Reply::Lost("it does not answer in time".into()),
            ConnectionFailed,
            "in time",
        ),
    ];
    for (reply, reason, part) in cases {
        let broken = |name: &str| XspEvidence {
            application: reply.clone(),
            login: None,
            devices: None,
            ..xsp(name)
        };
        let one = with_xsps(vec![xsp("xsp1"), broken("xsp2")]);
        assert_eq!(faults(&one), [Outcome::Fail(Severity::Warning, reason)], "{reply:?}");
        let both = with_xsps(vec![broken("xsp1"), broken("xsp2")]);
        let all = judge(&spec(), &both, now());
        let findings: Vec<_> = all
            .iter()
            .filter(|finding| finding.subject.starts_with("xsp"))
            .collect();
        assert_eq!(findings.len(), 2);
        for finding in findings {
            assert_eq!(finding.outcome, Outcome::Fail(Severity::Critical, reason));
            assert!(finding.message.contains(part), "{}", finding.message);
        }
    }
}

/// W9: XSPs with different keys refuse what others accept.
#[test]
fn the_same_login_must_work_everywhere() {
    let login = |name: &str, reply: Reply| XspEvidence {
        login: Some(reply),
        devices: None,
        ..xsp(name)
    };
    let mixed = with_xsps(vec![xsp("xsp1"), login("xsp2", Reply::Status(401))]);
    assert_eq!(
        faults(&mixed),
        [Outcome::Fail(Severity::Critical, Reason::LoginMismatch)]
    );
    let none = with_xsps(vec![
        login("xsp1", Reply::Status(401)),
        login("xsp2", Reply::Status(401)),
    ]);
    assert_eq!(faults(&none), [Outcome::Unknown(Reason::CredentialsRejected)]);
    for (reply, expected) in [
        (Reply::Status(403), Outcome::Unknown(Reason::PermissionDenied)),
        (Reply::Status(404), Outcome::Unknown(Reason::CredentialsRejected)),
        (
            Reply::Status(500),
            Outcome::Fail(Severity::Warning, Reason::UnexpectedHttpStatus),
        ),
        (
            Reply::Lost("x".into()),
            Outcome::Fail(Severity::Warning, Reason::ConnectionFailed),
        ),
    ] {
        let odd = with_xsps(vec![xsp("xsp1"), login("xsp2", reply)]);
        assert_eq!(faults(&odd), [expected]);
    }
}

/// W16: without a device of the type there is no profile.
#[test]
fn the_device_type_must_be_there() {
    let devices = |devices| {
        let one = XspEvidence {
            devices: Some(devices),
            ..xsp("xsp1")
        };
        let other = XspEvidence {
            devices: Some(Learned::Unavailable("x".into())),
            ..xsp("xsp2")
        };
        faults(&with_xsps(vec![one, other]))
    };
    let missing = Outcome::Fail(Severity::Warning, Reason::DeviceTypeMissing);
    assert_eq!(devices(Learned::Known(vec![TYPE.into()])), []);
    assert_eq!(devices(Learned::Known(vec![])), [missing]);
    assert_eq!(
        devices(Learned::Known(vec!["Business Communicator - Mobile".into()])),
        [missing]
    );
    assert_eq!(devices(Learned::Denied), [Outcome::Unknown(Reason::ApiUnreachable)]);
}

/// W2: 200, and the user never appears.
#[test]
fn provisioning_that_does_not_end_is_stuck() {
    let stuck = Outcome::Fail(Severity::Warning, Reason::ProvisioningStuck);
    for (minutes, expected) in [
        (0, Outcome::Pass),
        (15, Outcome::Pass),
        (16, stuck),
        (-60, Outcome::Pass),
    ] {
        let subscribers = Subscribers {
            oldest: Some(now() - SignedDuration::from_mins(minutes)),
            complete: true,
            ..Subscribers::default()
        };
        let evidence = with_subscribers(Learned::Known(subscribers));
        let all = found(&evidence, ConditionType::ProvisioningHealthy);
        assert_eq!(all.last(), Some(&expected), "{minutes}");
    }
}

/// W3, W4, W6.
#[test]
fn errors_of_subscribers_have_their_reasons() {
    let warning = |reason| Outcome::Fail(Severity::Warning, reason);
    let errors = [
        (Reason::UserConflict, 10_022),
        (Reason::BadSubscriberProfile, 1),
        (Reason::BadSubscriberProfile, 2),
    ];
    let subscribers = Subscribers {
        errors: errors.into_iter().collect(),
        complete: true,
        ..Subscribers::default()
    };
    let evidence = with_subscribers(Learned::Known(subscribers));
    let mut all = faults(&evidence);
    all.sort_by_key(|outcome| format!("{outcome:?}"));
    assert_eq!(
        all,
        [warning(Reason::BadSubscriberProfile), warning(Reason::UserConflict)]
    );
    let findings = judge(&spec(), &evidence, now());
    assert!(findings.iter().any(|finding| finding.message.contains("(1, 2)")));
}

#[test]
fn an_error_is_known_by_its_code_or_its_words() {
    for (code, description, expected) in [
        (10_022, "", Reason::UserConflict),
        (0, "The email is ALREADY used by ann@example.com.", Reason::UserConflict),
        (
            0,
            "Invalid credentials of the provisioning adapter",
            Reason::AdapterCredentialsRejected,
        ),
        (0, "Organization does not exist", Reason::OrganizationCreationDisabled),
        (0, "phone number is missing", Reason::BadSubscriberProfile),
        (0, "", Reason::BadSubscriberProfile),
    ] {
        assert_eq!(reason_of(code, description), expected, "{code} {description}");
    }
}

#[test]
fn what_cannot_be_read_is_unknown() {
    let unknown = |reason| vec![Outcome::Unknown(reason)];
    let incomplete = Learned::Known(Subscribers::default());
    for (subscribers, reason) in [
        (Learned::Denied, Reason::PermissionDenied),
        (Learned::Refused("x".into()), Reason::CredentialsRejected),
        (Learned::Unavailable("x".into()), Reason::ApiUnreachable),
        (incomplete, Reason::InsufficientEvidence),
    ] {
        assert_eq!(faults(&with_subscribers(subscribers)), unknown(reason));
    }
}

/// W26.
#[test]
fn only_what_broadworks_depends_on_is_judged() {
    use Severity::{Critical, Info, Warning};
    let cases = [
        ("operational", Outcome::Pass),
        ("Operational", Outcome::Pass),
        ("under_maintenance", Outcome::Fail(Info, Reason::VendorIncident)),
        (
            "degraded_performance",
            Outcome::Fail(Warning, Reason::ServiceDegradation),
        ),
        ("partial_outage", Outcome::Fail(Warning, Reason::ServiceInterruption)),
        ("major_outage", Outcome::Fail(Critical, Reason::ServiceInterruption)),
        ("on_fire", Outcome::Unknown(Reason::InsufficientEvidence)),
    ];
    for (status, expected) in cases {
        let mut page = page();
        page.components[0].1 = status.into();
        let evidence = BroadWorksEvidence {
            page: Some(Learned::Known(page)),
            ..evidence()
        };
        assert_eq!(
            found(&evidence, ConditionType::UpstreamOperational),
            [expected],
            "{status}"
        );
    }
    for page in [
        Learned::Known(StatusPage::default()),
        Learned::Unavailable("x".into()),
        Learned::Denied,
    ] {
        let evidence = BroadWorksEvidence {
            page: Some(page),
            ..evidence()
        };
        let outcomes = found(&evidence, ConditionType::UpstreamOperational);
        assert!(matches!(outcomes[..], [Outcome::Unknown(_)]), "{outcomes:?}");
    }
    let mut page = page();
    page.incidents
        .push(format!("Webex Calling: calls fail\n{}", "x".repeat(500)));
    let evidence = BroadWorksEvidence {
        page: Some(Learned::Known(page)),
        ..evidence()
    };
    let findings = judge(&spec(), &evidence, now());
    let incident = findings
        .iter()
        .find(|finding| finding.message.contains("incident"))
        .unwrap();
    assert_eq!(incident.outcome, Outcome::Fail(Info, Reason::VendorIncident));
    assert!(incident.message.len() < 200 && !incident.message.contains('\n'));
}
