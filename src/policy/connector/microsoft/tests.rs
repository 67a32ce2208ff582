use jiff::SignedDuration;

use super::*;
use crate::api::connector::{ConnectorApplication, CredentialLimits, ServiceHealth};
use crate::policy::connector::Outcome;

const TENANT: &str = "11111111-1111-1111-1111-111111111111";
const OTHER: &str = "99999999-9999-9999-9999-999999999999";
const APP: &str = "22222222-2222-2222-2222-222222222222";
const ROLE: &str = "Calls.JoinGroupCall.All";

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

fn spec() -> Microsoft {
    Microsoft {
        tenant_id: TENANT.into(),
        domain: Some("contoso.com".into()),
        tenant_ref: None,
        applications: vec![ConnectorApplication {
            app_id: APP.into(),
            required_roles: vec![ROLE.into()],
            registered_here: true,
        }],
        credential_expiry: CredentialLimits::default(),
        service_health: ServiceHealth {
            enabled: true,
            ..ServiceHealth::default()
        },
    }
}

fn application() -> ApplicationEvidence {
    ApplicationEvidence {
        app_id: APP.into(),
        principal: Learned::Known(Some(Principal {
            enabled: true,
            disabled_by_microsoft: false,
            roles: Learned::Known(vec![ROLE.into(), "User.Read.All".into()]),
        })),
        registration: Some(Learned::Known(Some(vec![secret("one", 200)]))),
        lacking_for: None,
    }
}

fn secret(name: &str, left: i64) -> AppCredential {
    AppCredential {
        kind: "secret",
        name: name.into(),
        end: now() + days(left),
    }
}

fn service(status: &str) -> ServiceState {
    ServiceState {
        service: "Microsoft Teams".into(),
        status: status.into(),
        issues: Vec::new(),
    }
}

fn evidence() -> MicrosoftEvidence {
    MicrosoftEvidence {
        tenant: Discovery::Tenant(TENANT.into()),
        domain: Some(Discovery::Tenant(TENANT.to_uppercase())),
        asked_in: Some(TENANT.into()),
        applications: vec![application()],
        services: Some(Learned::Known(vec![service("serviceOperational")])),
        clock: Vec::new(),
    }
}

/// What is found of a condition, with its message.
fn found(evidence: &MicrosoftEvidence, condition: ConditionType) -> Vec<(Outcome, String)> {
    let findings = judge(&spec(), evidence, now()).into_iter();
    let findings = findings.filter(|finding| finding.condition == condition);
    findings.map(|finding| (finding.outcome, finding.message)).collect()
}

/// The worst thing that is found of a condition.
fn worst(evidence: &MicrosoftEvidence, condition: ConditionType) -> Outcome {
    let outcomes = found(evidence, condition).into_iter().map(|(outcome, _)| outcome);
    outcomes
        .max_by_key(|outcome| match outcome {
            Outcome::Pass => 0,
            Outcome::Unknown(_) => 1,
            Outcome::Fail(severity, _) => 2 + *severity as i32,
        })
        .unwrap()
}

fn critical(reason: Reason) -> Outcome {
    Outcome::Fail(Severity::Critical, reason)
}

#[test]
fn all_is_well() {
    let findings = judge(&spec(), &evidence(), now());
    assert_eq!(findings.len(), 5);
    for finding in findings {
        assert_eq!(finding.outcome, Outcome::Pass, "{}", finding.message);
    }
}

/// P22, P27, P31: the tenant by its id, by its domain, and what the domain leads to in the message.
#[test]
fn the_tenant_is_compared_with_what_microsoft_knows() {
    use Discovery::{NotFound, Tenant, Unavailable};
    let tenant = |id: &str| Tenant(id.to_owned());
    let slow = || Unavailable("it does not answer in time".into());
    let cases = [
        (
            tenant(TENANT),
            Some(tenant(OTHER)),
            critical(Reason::TenantIdMismatch),
            OTHER,
        ),
        (NotFound, Some(tenant(OTHER)), critical(Reason::TenantNotFound), OTHER),
        (NotFound, None, critical(Reason::TenantNotFound), TENANT),
        (tenant(OTHER), None, critical(Reason::TenantIdMismatch), OTHER),
        (
            tenant(TENANT),
            Some(NotFound),
            critical(Reason::TenantNotFound),
            "contoso.com",
        ),
        (slow(), None, Outcome::Unknown(Reason::DiscoveryUnavailable), "in time"),
        (
            tenant(TENANT),
            Some(slow()),
            Outcome::Unknown(Reason::DiscoveryUnavailable),
            "contoso.com",
        ),
    ];
    for (tenant, domain, expected, part) in cases {
        let evidence = MicrosoftEvidence {
            tenant,
            domain,
            ..evidence()
        };
        let all = found(&evidence, ConditionType::TenantMatches);
        let (_, message) = all.iter().find(|(outcome, _)| *outcome == expected).unwrap();
        assert!(message.contains(part), "{message}");
    }
}

/// P34 and hard input 13: consent in another tenant than that of Teams proves nothing.
#[test]
fn consent_elsewhere_is_not_believed() {
    let evidence = MicrosoftEvidence {
        asked_in: Some(OTHER.into()),
        ..evidence()
    };
    let expected = Outcome::Fail(Severity::Warning, Reason::TenantIdMismatch);
    assert_eq!(worst(&evidence, ConditionType::TenantMatches), expected);
    let unknown = Outcome::Unknown(Reason::InsufficientEvidence);
    assert_eq!(worst(&evidence, ConditionType::ConsentGranted), unknown);
}

/// P33 and hard input 13.
#[test]
fn consent_is_judged_step_by_step() {
    let principal = |enabled, disabled_by_microsoft, roles| {
        Learned::Known(Some(Principal {
            enabled,
            disabled_by_microsoft,
            roles,
        }))
    };
    let granted = || Learned::Known(vec![ROLE.to_uppercase()]);
    let cases = [
        (principal(true, false, granted()), Outcome::Pass),
        (Learned::Known(None), critical(Reason::ServicePrincipalMissing)),
        (
            principal(false, false, granted()),
            critical(Reason::ServicePrincipalDisabled),
        ),
        (
            principal(true, true, granted()),
            critical(Reason::ServicePrincipalDisabled),
        ),
        (
            principal(true, false, Learned::Known(vec![])),
            critical(Reason::RolesMissing),
        ),
        (
            principal(true, false, Learned::Denied),
            Outcome::Unknown(Reason::PermissionDenied),
        ),
        (Learned::Denied, Outcome::Unknown(Reason::PermissionDenied)),
        (
            Learned::Refused("x".into()),
            Outcome::Unknown(Reason::CredentialsRejected),
        ),
        (
            Learned::Unavailable("x".into()),
            Outcome::Unknown(Reason::ApiUnreachable),
        ),
        (
            principal(true, false, Learned::Unavailable("x".into())),
            Outcome::Unknown(Reason::ApiUnreachable),
        ),
    ];
    for (principal, expected) in cases {
        let evidence = MicrosoftEvidence {
            applications: vec![ApplicationEvidence {
                principal,
                lacking_for: Some(days(1)),
                ..application()
            }],
            ..evidence()
        };
        assert_eq!(worst(&evidence, ConditionType::ConsentGranted), expected);
    }
}

#[test]
fn a_registration_that_is_gone_is_told_once() {
    let mut evidence = evidence();
    evidence.applications[0].registration = Some(Learned::Known(None));
    let expected = critical(Reason::AppRegistrationMissing);
    assert_eq!(worst(&evidence, ConditionType::ConsentGranted), expected);
    assert!(found(&evidence, ConditionType::CredentialsValid).is_empty());
}

/// Hard input 13: right after the grant, Microsoft's servers do not all know it.
#[test]
fn what_is_missing_for_minutes_may_be_on_its_way() {
    let grace = Outcome::Unknown(Reason::ReplicationGrace);
    let missing = critical(Reason::RolesMissing);
    for (minutes, expected) in [(None, grace), (Some(0), grace), (Some(9), grace), (Some(10), missing)] {
        let mut evidence = evidence();
        let app = &mut evidence.applications[0];
        app.lacking_for = minutes.map(SignedDuration::from_mins);
        let Learned::Known(Some(principal)) = &mut app.principal else {
            panic!()
        };
        principal.roles = Learned::Known(Vec::new());
        assert!(app.lacks(&[ROLE.to_owned()]) && !app.lacks(&[]));
        assert_eq!(worst(&evidence, ConditionType::ConsentGranted), expected, "{minutes:?}");
    }
}

#[test]
fn without_required_roles_they_need_not_be_known() {
    let mut spec = spec();
    spec.applications[0].required_roles.clear();
    let mut evidence = evidence();
    let Learned::Known(Some(principal)) = &mut evidence.applications[0].principal else {
        panic!()
    };
    principal.roles = Learned::Denied;
    let findings = judge(&spec, &evidence, now());
    assert!(findings.iter().all(|finding| finding.outcome == Outcome::Pass));
}

#[test]
fn the_credential_that_lasts_longest_counts() {
    use Severity::{Critical, Info, Warning};
    let soon = |severity| Outcome::Fail(severity, Reason::CredentialExpiringSoon);
    let cases: Vec<(Vec<i64>, Outcome)> = vec![
        (vec![], Outcome::Pass),
        (vec![200], Outcome::Pass),
        (vec![31], Outcome::Pass),
        (vec![29], soon(Warning)),
        (vec![6], soon(Critical)),
        (vec![0], critical(Reason::CredentialExpired)),
        (vec![-1, -300], critical(Reason::CredentialExpired)),
        // One that ended long ago was replaced.
        (vec![-300, 200], Outcome::Pass),
        (vec![3, 200], soon(Info)),
        (vec![3, 29], soon(Warning)),
    ];
    for (left, expected) in cases {
        let credentials = left.iter().map(|left| secret("x", *left)).collect();
        let mut evidence = evidence();
        evidence.applications[0].registration = Some(Learned::Known(Some(credentials)));
        assert_eq!(worst(&evidence, ConditionType::CredentialsValid), expected, "{left:?}");
        let last = left.iter().max().map(|left| now() + days(*left));
        assert_eq!(evidence.applications[0].credential_end(), last);
    }
    let mut evidence = evidence();
    evidence.applications[0].registration = Some(Learned::Denied);
    let denied = Outcome::Unknown(Reason::PermissionDenied);
    assert_eq!(worst(&evidence, ConditionType::CredentialsValid), denied);
}

/// Hard input 14: values that are not known, in whatever case, and 403.
#[test]
fn every_state_of_a_service_is_known() {
    let watched = Outcome::Fail(Severity::Info, Reason::VendorIncident);
    let degraded = Outcome::Fail(Severity::Warning, Reason::ServiceDegradation);
    let unknown = Outcome::Unknown(Reason::InsufficientEvidence);
    let cases = [
        ("serviceOperational", Outcome::Pass),
        ("serviceRestored", Outcome::Pass),
        ("postIncidentReviewPublished", Outcome::Pass),
        ("falsePositive", Outcome::Pass),
        ("resolved", Outcome::Pass),
        ("mitigated", Outcome::Pass),
        ("resolvedExternal", Outcome::Pass),
        ("mitigatedExternal", Outcome::Pass),
        ("investigating", watched),
        ("verifyingService", watched),
        ("restoringService", watched),
        ("extendedRecovery", watched),
        ("investigationSuspended", watched),
        ("confirmed", watched),
        ("reported", watched),
        ("serviceDegradation", degraded),
        ("serviceInterruption", critical(Reason::ServiceInterruption)),
        ("unknownFutureValue", unknown),
    ];
    for (status, expected) in cases {
        for status in [status.to_owned(), status[..1].to_uppercase() + &status[1..]] {
            let evidence = MicrosoftEvidence {
                services: Some(Learned::Known(vec![service(&status)])),
                ..evidence()
            };
            assert_eq!(
                worst(&evidence, ConditionType::UpstreamOperational),
                expected,
                "{status}"
            );
        }
    }
    for (services, expected) in [
        (Learned::Known(vec![service("somethingNew")]), unknown),
        (Learned::Known(vec![service("")]), unknown),
        (Learned::Known(Vec::new()), unknown),
        (Learned::Denied, Outcome::Unknown(Reason::PermissionDenied)),
        (
            Learned::Unavailable("x".into()),
            Outcome::Unknown(Reason::ApiUnreachable),
        ),
    ] {
        let evidence = MicrosoftEvidence {
            services: Some(services),
            ..evidence()
        };
        assert_eq!(worst(&evidence, ConditionType::UpstreamOperational), expected);
    }
}

#[test]
fn open_issues_are_named_as_far_as_they_fit() {
    let mut state = service("serviceDegradation");
    state.issues = ["TM1", "TM2", "TM3", "TM4"].map(str::to_owned).to_vec();
    let evidence = MicrosoftEvidence {
        services: Some(Learned::Known(vec![state])),
        ..evidence()
    };
    let all = found(&evidence, ConditionType::UpstreamOperational);
    assert!(all[0].1.contains("(TM1, TM2, TM3 and others)"), "{}", all[0].1);
}
