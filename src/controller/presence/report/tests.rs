use serde_json::{Value, json};

use super::*;
use crate::controller::presence::tests::{push, sync, told};
use crate::policy::subscription::Refusal;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn status(spec: &Value, findings: &Findings) -> PresenceSyncStatus {
    let status = next_status(&sync(&json!({}), spec), findings, NOW);
    assert_eq!(status.observed_generation, 3);
    for condition in &status.conditions {
        assert!(!condition.message.is_empty(), "{condition:?}");
    }
    status
}

fn running(worker: &Result<WorkerReport, String>) -> Findings<'_> {
    Findings {
        plan: &Plan::Run,
        outcome: &Outcome::Done,
        ready: 1,
        worker: Some(worker),
        receiver: None,
    }
}

/// Status, reason and message of a condition.
fn said(status: &PresenceSyncStatus, type_: ConditionType) -> (String, String, String) {
    let found = condition::find(&status.conditions, type_);
    found.map_or_else(Default::default, |found| {
        (found.status.clone(), found.reason.clone(), found.message.clone())
    })
}

fn red(fault: &str) -> Value {
    json!({ "ok": false, "fault": fault, "message": "told by the worker" })
}

fn dark() -> Value {
    json!({ "fault": "NotTried", "message": "not tried" })
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn each_lamp_has_its_condition() {
    use ConditionType::{
        Authenticated, Available, ClockSynchronized, LicencesValid, NotificationUrlReachable, PbxConnected,
        PresenceSubscribed, ShardsReady, UsersMatched,
    };
    let account = |lamps: Value| {
        let green = json!({ "ok": true, "message": "well" });
        let mut account = json!({ "account": "one", "users": 3, "signedIn": green, "subscribed": green });
        for (key, value) in lamps.as_object().unwrap() {
            account[key] = value.clone();
        }
        json!([account])
    };
    let users = |key: &str| {
        let mut users = json!({ "synced": 5, "unmatched": 0, "ambiguous": 0, "unlicensed": 0, "overLimit": 0 });
        users[key] = json!(2);
        users
    };
    let cases = [
        (json!({}), PbxConnected, "True", "Succeeded"),
        (
            json!({ "pbx": red("CredentialsRejected") }),
            PbxConnected,
            "False",
            "CredentialsRejected",
        ),
        (
            json!({ "pbx": red("Unavailable") }),
            PbxConnected,
            "False",
            "PbxUnavailable",
        ),
        (
            json!({ "pbx": red("Rejected") }),
            PbxConnected,
            "False",
            "RejectedByPbx",
        ),
        (
            json!({ "pbx": red("CertificateNotTrusted") }),
            PbxConnected,
            "False",
            "CertificateNotTrusted",
        ),
        (
            json!({ "pbx": red("Protocol") }),
            PbxConnected,
            "False",
            "ProtocolViolated",
        ),
        (json!({ "pbx": red("Unlicensed") }), PbxConnected, "False", "Unlicensed"),
        (json!({ "pbx": dark() }), PbxConnected, "Unknown", "NotObserved"),
        (
            json!({ "reader": red("Unavailable") }),
            Authenticated,
            "False",
            "GraphUnavailable",
        ),
        (
            json!({ "writer": red("PermissionMissing") }),
            Authenticated,
            "False",
            "PermissionMissing",
        ),
        (json!({ "writer": dark() }), Authenticated, "Unknown", "NotObserved"),
        (
            json!({ "reader": dark(), "writer": red("Throttled") }),
            Authenticated,
            "False",
            "Throttled",
        ),
        (
            json!({ "accounts": account(json!({ "signedIn": red("MfaRequired") })) }),
            Authenticated,
            "False",
            "MfaRequired",
        ),
        (
            json!({ "accounts": account(json!({ "signedIn": red("PasswordExpired") })) }),
            Authenticated,
            "False",
            "PasswordExpired",
        ),
        (
            json!({ "source": red("SubscriptionInUse") }),
            PresenceSubscribed,
            "False",
            "SubscriptionInUse",
        ),
        (
            json!({ "receiver": red("ReceiverRefuses") }),
            PresenceSubscribed,
            "False",
            "ReceiverRefuses",
        ),
        (
            json!({ "receiver": red("ReceiverUnavailable") }),
            PresenceSubscribed,
            "False",
            "ReceiverUnavailable",
        ),
        (
            json!({ "users": users("unmatched") }),
            UsersMatched,
            "False",
            "UsersUnmatched",
        ),
        (
            json!({ "users": users("ambiguous") }),
            UsersMatched,
            "False",
            "UsersAmbiguous",
        ),
        (
            json!({ "users": users("unmatched"), "phase": "Starting" }),
            UsersMatched,
            "Unknown",
            "NotObserved",
        ),
        (
            json!({ "directory": red("PermissionMissing") }),
            UsersMatched,
            "False",
            "PermissionMissing",
        ),
        (
            json!({ "users": users("unlicensed") }),
            LicencesValid,
            "False",
            "Unlicensed",
        ),
        (
            json!({ "licences": red("Unlicensed") }),
            LicencesValid,
            "False",
            "Unlicensed",
        ),
        (
            json!({ "accounts": account(json!({ "subscribed": red("Unlicensed") })) }),
            LicencesValid,
            "False",
            "Unlicensed",
        ),
        (
            json!({ "licences": red("Unavailable") }),
            LicencesValid,
            "False",
            "GraphUnavailable",
        ),
        (
            json!({ "accounts": account(json!({ "subscribed": red("SubscriptionInUse") })) }),
            LicencesValid,
            "True",
            "Succeeded",
        ),
        (
            json!({ "clockSkewSeconds": 60 }),
            ClockSynchronized,
            "True",
            "Succeeded",
        ),
        (
            json!({ "clockSkewSeconds": -61 }),
            ClockSynchronized,
            "False",
            "ClockSkewed",
        ),
        (
            json!({ "clockSkewSeconds": null }),
            ClockSynchronized,
            "Unknown",
            "NotObserved",
        ),
        (json!({ "shards": red("OverLimit") }), ShardsReady, "False", "OverLimit"),
        (json!({}), ShardsReady, "Unknown", "NotObserved"),
        (
            json!({ "accounts": account(json!({ "subscribed": red("EndpointValidation") })) }),
            NotificationUrlReachable,
            "False",
            "EndpointValidationFailed",
        ),
        (json!({}), NotificationUrlReachable, "Unknown", "NotObserved"),
        (
            json!({ "storage": red("StorageFailing") }),
            Available,
            "False",
            "StorageFailing",
        ),
        (
            json!({ "configError": "no such word" }),
            Available,
            "False",
            "ConfigurationRefused",
        ),
        (json!({}), Available, "True", "PodsReady"),
    ];
    for (changes, type_, truth, reason) in cases {
        let worker = Ok(told(&changes));
        let (found, why, _) = said(&status(&push(), &running(&worker)), type_);
        assert_eq!((found.as_str(), why.as_str()), (truth, reason), "{type_}: {changes}");
    }
}

#[test]
fn where_nothing_is_written_to_teams_the_writer_does_not_count() {
    let worker = Ok(told(&json!({ "writer": red("PermissionMissing") })));
    let status = status(&json!({ "direction": "TeamsToPbx" }), &running(&worker));
    assert_eq!(said(&status, ConditionType::Authenticated).0, "True");
}

#[test]
fn without_push_nothing_is_said_of_addresses_and_shards() {
    let worker = Ok(told(&json!({})));
    let status = status(&json!({}), &running(&worker));
    for type_ in [ConditionType::ShardsReady, ConditionType::NotificationUrlReachable] {
        assert!(condition::find(&status.conditions, type_).is_none(), "{type_}");
    }
    assert!(status.conditions.len() <= 16);
}

#[test]
fn the_receivers_own_look_at_its_address_is_taken_over() {
    let receiver: NotificationReceiver = serde_json::from_value(json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "NotificationReceiver", "metadata": { "name": "hooks" },
        "spec": { "publicUrl": "https://hooks.example" },
        "status": { "conditions": [{
            "type": "Reachable", "status": "False", "reason": "WrongPath", "message": "not routed",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }] },
    }))
    .unwrap();
    let worker = Ok(told(&json!({})));
    let findings = Findings {
        receiver: Some(&receiver),
        ..running(&worker)
    };
    let (truth, reason, message) = said(&status(&push(), &findings), ConditionType::NotificationUrlReachable);
    assert_eq!(
        (truth.as_str(), reason.as_str(), message.as_str()),
        ("False", "WrongPath", "not routed")
    );
}

#[test]
fn a_worker_that_is_not_heard_leaves_everything_unknown() {
    let worker = Err("the pod cannot be reached".to_owned());
    for (ready, reason) in [(0, "PodsNotReady"), (1, "WorkerNotAnswering")] {
        let findings = Findings {
            ready,
            ..running(&worker)
        };
        let status = status(&push(), &findings);
        assert_eq!(
            said(&status, ConditionType::Ready).0,
            "True",
            "the operator does its work"
        );
        let (truth, why, _) = said(&status, ConditionType::Available);
        assert_eq!((truth.as_str(), why.as_str()), ("False", reason));
        for type_ in OF_THE_WORK.into_iter().skip(1) {
            assert_eq!(said(&status, type_).0, "Unknown", "{type_}");
        }
    }
}

#[test]
fn each_plan_has_its_standing() {
    let waiting = Outcome::Refused(Refusal::waiting(Reason::TenantNotFound, "no tenant"));
    let stalled = Outcome::Refused(Refusal::stalled(Reason::InvalidSpec, "no"));
    let wait = Plan::Wait {
        why: "3 entries".to_owned(),
    };
    let rest = Plan::Rest { abandoned: None };
    let cases = [
        (&Plan::Run, &Outcome::Done, "True", "Accepted", false, false),
        (&rest, &Outcome::Done, "True", "Suspended", false, false),
        (&wait, &Outcome::Done, "False", "Releasing", true, false),
        (&Plan::Restart, &Outcome::Done, "False", "Progressing", true, false),
        (&Plan::Run, &waiting, "False", "TenantNotFound", true, false),
        (&Plan::Run, &stalled, "False", "InvalidSpec", false, true),
    ];
    for (plan, outcome, ready, reason, reconciling, is_stalled) in cases {
        let findings = Findings {
            plan,
            outcome,
            ready: 0,
            worker: None,
            receiver: None,
        };
        let status = status(&json!({}), &findings);
        let (truth, why, _) = said(&status, ConditionType::Ready);
        assert_eq!((truth.as_str(), why.as_str()), (ready, reason), "{plan:?}");
        assert_eq!(
            condition::is_true(&status.conditions, ConditionType::Reconciling),
            reconciling,
            "{plan:?}"
        );
        assert_eq!(
            condition::is_true(&status.conditions, ConditionType::Stalled),
            is_stalled,
            "{plan:?}"
        );
    }
}

#[test]
fn equal_reports_give_equal_statuses() {
    let worker = |started: &str, poll: &str| {
        Ok(told(&json!({
            "started": started, "last": { "poll": poll },
            "accounts": [{
                "account": "one", "users": 3, "subscriptionId": "s", "expirationTime": "2027-01-15T08:00:00.123Z",
                "signedIn": { "ok": true, "message": "m" }, "subscribed": { "ok": true, "message": "m" },
            }],
        })))
    };
    let (one, two) = (
        worker("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        worker("2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z"),
    );
    let first = status(&push(), &running(&one));
    let mut object = sync(&json!({}), &push());
    object.status = Some(first.clone());
    let later = next_status(&object, &running(&two), NOW + jiff::SignedDuration::from_hours(1));
    assert_eq!(first, later, "no time and no count of what passes is in a status");
    assert_eq!(
        first.shards[0].expiration_time.as_ref().unwrap().0.subsec_nanosecond(),
        0
    );
}

/// What is too long for the schema would make every write of the status fail.
#[test]
fn lists_and_texts_fit_the_schema() {
    let long = "ü".repeat(2000);
    let unmatched: Vec<Value> = (0..20).map(|_| json!({ "user": long, "why": long })).collect();
    let endpoints: Vec<Value> = (0..70)
        .map(|_| json!({ "name": long, "connected": false, "message": long }))
        .collect();
    let worker = Ok(told(&json!({ "unmatched": unmatched, "endpoints": endpoints })));
    let status = status(&json!({}), &running(&worker));
    assert_eq!((status.unmatched.len(), status.endpoints.len()), (10, 64));
    assert_eq!(status.unmatched[0].why.chars().count(), 256);
    assert_eq!(status.endpoints[0].message.as_ref().unwrap().chars().count(), 512);
}

#[test]
fn before_its_first_look_a_worker_counts_nobody() {
    let worker = Ok(told(
        &json!({ "phase": "Starting", "users": { "synced": 0, "unmatched": 0, "ambiguous": 0, "unlicensed": 0, "overLimit": 0 } }),
    ));
    let mut object = sync(&json!({}), &json!({}));
    let known = Some(crate::api::presence::UserCounts {
        synced: 7,
        ..Default::default()
    });
    object.status = Some(PresenceSyncStatus {
        users: known,
        ..Default::default()
    });
    assert_eq!(next_status(&object, &running(&worker), NOW).users, known);
}
