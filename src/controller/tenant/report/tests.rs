use serde_json::json;

use super::super::orphans::Found;
use super::*;
use crate::graph::Grant;
use crate::policy::resource::rule_for;
use crate::policy::subscription::Refusal;

const NOW: i64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn tenant() -> GraphTenant {
    serde_json::from_value(json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphTenant",
        "metadata": { "name": "t", "namespace": "n", "generation": 3 },
        "spec": { "tenantId": "contoso.example", "credentials": { "workloadIdentity": {} } },
    }))
    .unwrap()
}

fn granted(roles: Option<&[&str]>) -> Findings {
    Findings {
        credential_expires: None,
        sign_in: Ok(Grant {
            roles: roles.map(|roles| roles.iter().map(ToString::to_string).collect()),
            object_id: None,
            expires: now(),
        }),
        skew: Some(SignedDuration::ZERO),
        watched: vec![
            rule_for("users"),
            rule_for("communications/callRecords"),
            rule_for("users"),
        ],
        users: Vec::new(),
        orphans: Found::default(),
    }
}

fn refused(reason: Reason, stalled: bool) -> Findings {
    Findings {
        sign_in: Err(Refusal {
            reason,
            message: "because".to_owned(),
            stalled,
        }),
        skew: None,
        ..granted(None)
    }
}

fn report(findings: &Findings) -> GraphTenantStatus {
    let status = next_status(&tenant(), findings, now());
    assert_eq!(status.observed_generation, 3);
    let mut again = tenant();
    again.status = Some(status.clone());
    let later = now() + SignedDuration::from_mins(1);
    assert_eq!(
        next_status(&again, findings, later),
        status,
        "nothing new, nothing to write"
    );
    let holds = |type_| condition::is_true(&status.conditions, type_);
    assert!(!(holds(ConditionType::Reconciling) && holds(ConditionType::Stalled)));
    for condition in &status.conditions {
        assert_eq!(condition.observed_generation, Some(3));
        assert!(!condition.message.is_empty() && Reason::from_name(&condition.reason).is_some());
    }
    status
}

fn said(status: &GraphTenantStatus, type_: ConditionType) -> (&str, &str) {
    condition::find(&status.conditions, type_).map_or(("absent", ""), |condition| {
        (condition.status.as_str(), condition.reason.as_str())
    })
}

#[test]
fn ready_speaks_of_the_spec_and_its_secrets_only() {
    let cases = [
        (granted(None), ("True", "Accepted"), "absent", "absent"),
        (
            refused(Reason::SecretNotFound, false),
            ("False", "SecretNotFound"),
            "True",
            "absent",
        ),
        (
            refused(Reason::CredentialsMalformed, false),
            ("False", "CredentialsMalformed"),
            "True",
            "absent",
        ),
        (
            refused(Reason::InvalidSpec, true),
            ("False", "InvalidSpec"),
            "absent",
            "True",
        ),
        (
            refused(Reason::CredentialsRejected, false),
            ("True", "Accepted"),
            "absent",
            "absent",
        ),
        (
            refused(Reason::GraphUnavailable, false),
            ("True", "Accepted"),
            "absent",
            "absent",
        ),
    ];
    for (findings, ready, reconciling, stalled) in cases {
        let status = report(&findings);
        assert_eq!(said(&status, ConditionType::Ready), ready);
        assert_eq!(said(&status, ConditionType::Reconciling).0, reconciling, "{ready:?}");
        assert_eq!(said(&status, ConditionType::Stalled).0, stalled, "{ready:?}");
    }
}

#[test]
fn credentials_are_judged_by_what_is_about_them() {
    let cases = [
        (granted(None), ("True", "Succeeded"), ("True", "Succeeded")),
        (
            refused(Reason::CredentialsRejected, false),
            ("False", "CredentialsRejected"),
            ("False", "CredentialsRejected"),
        ),
        (
            refused(Reason::SecretKeyMissing, false),
            ("False", "SecretKeyMissing"),
            ("False", "SecretKeyMissing"),
        ),
        (
            refused(Reason::GraphUnavailable, false),
            ("False", "GraphUnavailable"),
            ("Unknown", "GraphUnavailable"),
        ),
        (
            refused(Reason::UnknownTenant, false),
            ("False", "UnknownTenant"),
            ("Unknown", "UnknownTenant"),
        ),
    ];
    for (findings, authenticated, credentials) in cases {
        let status = report(&findings);
        assert_eq!(said(&status, ConditionType::Authenticated), authenticated);
        assert_eq!(said(&status, ConditionType::CredentialsValid), credentials);
    }
}

#[test]
fn a_certificate_is_announced_before_it_expires() {
    let cases = [
        (31 * 24, ("True", "Succeeded")),
        (30 * 24, ("True", "CertificateExpiring")),
        (1, ("True", "CertificateExpiring")),
        (0, ("False", "CertificateExpired")),
        (-1, ("False", "CertificateExpired")),
    ];
    for (hours, expected) in cases {
        let expires = now() + SignedDuration::from_hours(hours);
        let findings = Findings {
            credential_expires: Some(expires),
            ..granted(None)
        };
        let status = report(&findings);
        assert_eq!(said(&status, ConditionType::CredentialsValid), expected, "{hours} h");
        assert_eq!(status.credential_expiration_time, Some(time(expires)));
    }
}

#[test]
fn permissions_are_those_that_the_subscriptions_need() {
    let all = ["CallRecords.Read.All", "User.Read.All"];
    let cases = [
        (granted(None), ("Unknown", "PermissionsUnknown")),
        (
            refused(Reason::GraphUnavailable, false),
            ("Unknown", "PermissionsUnknown"),
        ),
        (granted(Some(&all)), ("True", "Succeeded")),
        (granted(Some(&all[..1])), ("False", "PermissionMissing")),
        (granted(Some(&[])), ("False", "PermissionMissing")),
    ];
    for (findings, expected) in cases {
        let status = report(&findings);
        assert_eq!(said(&status, ConditionType::PermissionsGranted), expected);
    }
    let status = report(&granted(Some(&[])));
    let message = &condition::find(&status.conditions, ConditionType::PermissionsGranted)
        .unwrap()
        .message;
    assert_eq!(message.matches("User.Read.All").count(), 1, "{message}");
    assert!(message.contains("CallRecords.Read.All"), "{message}");
    // What was granted before an outage stays on record.
    let mut known = tenant();
    known.status = Some(report(&granted(Some(&all))));
    let status = next_status(&known, &refused(Reason::GraphUnavailable, false), now());
    assert_eq!(status.granted_permissions, all);
}

#[test]
fn orphans_are_counted_once_they_are_decided() {
    let found = |count: Option<usize>| Findings {
        orphans: Found {
            ids: count.map(|count| (0..count).map(|n| format!("{n:02}")).collect()),
            again: None,
        },
        ..granted(None)
    };
    let many = report(&found(Some(12)));
    assert_eq!((many.orphans, many.orphan_ids.len()), (Some(12), SHOWN));
    let none = report(&found(Some(0)));
    assert_eq!((none.orphans, none.orphan_ids.len()), (None, 0));
    let mut known = tenant();
    known.status = Some(many.clone());
    let undecided = next_status(&known, &found(None), now());
    assert_eq!(undecided, many, "what was known stays");
    assert_eq!(next_status(&known, &found(Some(0)), now()), none);
}

#[test]
fn a_clock_is_told_of_by_its_direction() {
    let cases = [
        (None, ("Unknown", "NotObserved"), ""),
        (Some(0), ("True", "Succeeded"), ""),
        (Some(60), ("True", "Succeeded"), ""),
        (Some(61), ("False", "ClockSkewed"), "behind"),
        (Some(-61), ("False", "ClockSkewed"), "ahead"),
    ];
    for (skew, expected, word) in cases {
        let findings = Findings {
            skew: skew.map(SignedDuration::from_secs),
            ..granted(None)
        };
        let status = report(&findings);
        assert_eq!(said(&status, ConditionType::ClockSynchronized), expected, "{skew:?}");
        let condition = condition::find(&status.conditions, ConditionType::ClockSynchronized).unwrap();
        assert!(condition.message.contains(word), "{skew:?}");
    }
}
