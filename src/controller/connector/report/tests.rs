use serde_json::{Value, json};

use super::*;
use crate::api::connector::{Confidence, EndpointHealth, PexipHealth, Severity};
use crate::policy::connector::Finding;
use crate::policy::connector::diagnosis::diagnose;
use crate::policy::subscription::Refusal;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn object(status: Option<TeamsConnectorHealthStatus>) -> TeamsConnectorHealth {
    let mut object: TeamsConnectorHealth = serde_json::from_value(json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "TeamsConnectorHealth",
        "metadata": { "name": "pexip", "namespace": "n", "uid": "u", "generation": 3 },
        "spec": {
            "type": "PexipInfinity",
            "pexip": { "managementUrl": "https://m.example.com", "credentialsSecretRef": { "name": "s" }, "connectorName": "eu" },
        },
    }))
    .unwrap();
    object.status = status;
    object
}

fn standing(truth: Truth) -> Standing {
    let type_ = ConditionType::EndpointReachable;
    let reason = if truth == Truth::True {
        Reason::Succeeded
    } else {
        Reason::ConnectTimeout
    };
    let finding = Finding::fail(
        type_,
        "edge",
        Severity::Critical,
        Reason::ConnectTimeout,
        "edge: no answer.",
    );
    let bad = truth == Truth::False;
    Standing {
        conditions: vec![Verdict::new(type_, truth, reason, "m")],
        healthy: Verdict::new(ConditionType::Healthy, truth, reason, "m"),
        health: if bad { Health::Unhealthy } else { Health::Healthy },
        causes: if bad { diagnose(&[finding]) } else { Vec::new() },
    }
}

fn found(calls: i32, address: &str) -> Found {
    Found {
        pexip: Some(PexipHealth {
            calls: Some(calls),
            ..PexipHealth::default()
        }),
        endpoints: vec![EndpointHealth {
            name: "edge".to_owned(),
            reachable: true,
            addresses: vec![address.to_owned()],
            tls_version: None,
            certificates: Vec::new(),
        }],
        ..Found::default()
    }
}

fn looked(found: Found, truth: Truth) -> Outcome {
    Outcome::Looked(Box::new((found, standing(truth))))
}

fn words(status: &TeamsConnectorHealthStatus) -> Vec<String> {
    let conditions = status.conditions.iter();
    conditions
        .map(|condition| format!("{}={}/{}", condition.type_, condition.status, condition.reason))
        .collect()
}

#[test]
fn a_status_is_written_for_a_change_and_every_ten_minutes() {
    let first = next_status(&object(None), &looked(found(3, "192.0.2.1"), Truth::True), at(0));
    assert_eq!(first.observed_generation, 3);
    assert_eq!(
        words(&first),
        [
            "Ready=True/Accepted",
            "Healthy=True/Succeeded",
            "EndpointReachable=True/Succeeded"
        ]
    );
    let next = |found, truth, seconds| next_status(&object(Some(first.clone())), &looked(found, truth), at(seconds));
    assert_eq!(
        next(found(9, "192.0.2.2"), Truth::True, 599),
        first,
        "only figures moved"
    );
    let later = next(found(9, "192.0.2.2"), Truth::True, 600);
    assert_eq!(later.pexip.as_ref().and_then(|pexip| pexip.calls), Some(9));
    assert_eq!(later.last_evaluation_time, Some(condition::time(at(600))));
    let bad = next(found(9, "192.0.2.2"), Truth::False, 60);
    assert_eq!(bad.last_evaluation_time, Some(condition::time(at(60))));
    assert_eq!((bad.health, bad.diagnoses.len()), (Some(Health::Unhealthy), 1));
    assert_eq!(bad.diagnoses[0].confidence, Confidence::Medium);
    assert_eq!(judged_at_latest(&bad), Some(at(660)));
}

#[test]
fn what_was_found_stays_while_suspended() {
    let bad = next_status(&object(None), &looked(found(3, "192.0.2.1"), Truth::False), at(0));
    let resting = next_status(&object(Some(bad.clone())), &Outcome::Suspended, at(60));
    assert_eq!(
        words(&resting),
        [
            "Ready=True/Suspended",
            "Healthy=Unknown/Suspended",
            "EndpointReachable=False/ConnectTimeout"
        ]
    );
    assert_eq!(
        (resting.health, resting.diagnoses.clone()),
        (Some(Health::Unknown), bad.diagnoses)
    );
    let again = next_status(&object(Some(resting.clone())), &Outcome::Suspended, at(9000));
    assert_eq!(again, resting, "nothing is written while nothing changes");
}

#[test]
fn readiness_is_not_health() {
    let refused = |refusal| Found {
        refusal: Some(refusal),
        ..found(1, "192.0.2.1")
    };
    let missing = Refusal::waiting(Reason::SecretNotFound, "spec.x: Secret s does not exist; create it");
    let cases: [(Outcome, &[&str]); 4] = [
        (
            looked(found(1, "a"), Truth::False),
            &["Ready=True/Accepted", "Healthy=False/ConnectTimeout"],
        ),
        (
            looked(refused(missing), Truth::True),
            &[
                "Ready=False/SecretNotFound",
                "Reconciling=True/SecretNotFound",
                "Healthy=True/Succeeded",
            ],
        ),
        (
            looked(refused(Refusal::stalled(Reason::InvalidSpec, "m")), Truth::True),
            &["Ready=False/InvalidSpec", "Stalled=True/InvalidSpec"],
        ),
        (
            Outcome::Invalid("spec.maintenance[0].cron: m".to_owned()),
            &[
                "Ready=False/InvalidSpec",
                "Stalled=True/InvalidSpec",
                "Healthy=Unknown/InsufficientEvidence",
            ],
        ),
    ];
    for (outcome, expected) in cases {
        let words = words(&next_status(&object(None), &outcome, at(0)));
        for word in expected {
            assert!(words.iter().any(|found| found == word), "{word} in {words:?}");
        }
    }
}

#[test]
fn the_annotation_is_answered() {
    let first = next_status(&object(None), &looked(found(1, "a"), Truth::True), at(0));
    let mut object = object(Some(first));
    let annotations = object.metadata.annotations.get_or_insert_default();
    annotations.insert(crate::api::RECONCILE_ANNOTATION.to_owned(), "now".to_owned());
    let answered = next_status(&object, &looked(found(1, "a"), Truth::True), at(1));
    assert_eq!(answered.last_handled_reconcile_at.as_deref(), Some("now"));
}

#[test]
fn events_tell_of_changes_alone() {
    let status = |truth| next_status(&object(None), &looked(found(1, "a"), truth), at(0));
    let mut maintained = status(Truth::False);
    let healthy = Verdict::new(ConditionType::Healthy, Truth::Unknown, Reason::Maintenance, "m");
    condition::set(&mut maintained.conditions, &healthy, Some(1), at(0));
    let told = |old: &TeamsConnectorHealthStatus, next: &TeamsConnectorHealthStatus| -> Vec<Value> {
        let news = news(old, next).into_iter();
        news.map(|(type_, reason, note)| json!([format!("{type_:?}"), reason.to_string(), note]))
            .collect()
    };
    let (good, bad) = (status(Truth::True), status(Truth::False));
    assert_eq!(
        told(&good, &bad),
        [json!(["Warning", "ConnectTimeout", "EndpointReachable: m"])]
    );
    assert_eq!(told(&bad, &good), [json!(["Normal", "Succeeded", "Healthy: m"])]);
    assert!(told(&bad, &bad).is_empty() && told(&good, &good).is_empty());
    assert!(told(&good, &maintained).is_empty(), "failures are expected");
}
