use serde_json::json;

use super::*;

const NOW: i64 = 1_800_000_000;

fn receiver(replicas: i32, sinks: &serde_json::Value) -> NotificationReceiver {
    serde_json::from_value(json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "NotificationReceiver",
        "metadata": { "name": "calls", "namespace": "n", "generation": 4 },
        "spec": { "publicUrl": "https://hooks.example", "replicas": replicas, "sinks": sinks },
    }))
    .unwrap()
}

fn findings(ready_replicas: i32) -> Findings {
    Findings {
        refusal: None,
        ready_replicas,
        key_id: Some("k1".to_owned()),
        handshake: Some(Ok(())),
        users: Vec::new(),
    }
}

type Pod = Result<PodState, String>;

#[allow(clippy::unnecessary_wraps)] // as it is observed
fn pod(state: &serde_json::Value) -> Pod {
    Ok(serde_json::from_value(state.clone()).unwrap())
}

fn unheard() -> Pod {
    Err("the pod cannot be reached".to_owned())
}

/// Status and reason of a condition.
fn said(findings: &Findings, pods: &[Pod], type_: ConditionType) -> (String, String) {
    let sink = json!([{ "name": "out", "stdout": {} }]);
    let status = next_status(
        &receiver(2, &sink),
        findings,
        pods,
        Timestamp::from_second(NOW).unwrap(),
    );
    assert_eq!(status.observed_generation, 4);
    let condition = condition::find(&status.conditions, type_).unwrap();
    assert!(!condition.message.is_empty());
    (condition.status.clone(), condition.reason.clone())
}

#[test]
fn a_pod_that_is_away_or_full_is_told_of() {
    let well = pod(&json!({ "sinks": [{ "name": "out" }] }));
    let full = pod(&json!({ "storage": { "state": "Full", "usedBytes": 1 } }));
    let failing = pod(&json!({ "storage": { "state": "Failing", "problem": "read-only" } }));
    let cases: [(i32, [Pod; 2], &str, &str); 7] = [
        (2, [well.clone(), well.clone()], "True", "PodsReady"),
        (1, [well.clone(), unheard()], "True", "PodsNotReady"),
        (0, [unheard(), unheard()], "False", "PodsNotReady"),
        (2, [well.clone(), full.clone()], "True", "StorageFull"),
        (0, [full.clone(), full.clone()], "False", "StorageFull"),
        (1, [failing.clone(), full], "True", "StorageFailing"),
        (0, [failing.clone(), failing], "False", "StorageFailing"),
    ];
    for (ready, pods, status, reason) in cases {
        let expected = (status.to_owned(), reason.to_owned());
        assert_eq!(
            said(&findings(ready), &pods, ConditionType::Available),
            expected,
            "{ready} {pods:?}"
        );
    }
}

#[test]
fn sinks_take_events_only_if_every_pod_says_so() {
    let well = pod(&json!({ "sinks": [{ "name": "out" }] }));
    let failing = pod(&json!({ "sinks": [{ "name": "out", "failingSince": "2026-01-01T00:00:00Z" }] }));
    let refusing = pod(&json!({ "sinks": [{ "name": "out", "deadLetters": 1 }] }));
    let cases = [
        (vec![well.clone(), well.clone()], "True", "Succeeded"),
        (vec![], "Unknown", "NotObserved"),
        (vec![well.clone(), unheard()], "Unknown", "NotObserved"),
        (vec![unheard(), failing], "False", "SinkFailing"),
        (vec![refusing, well], "False", "DeadLettered"),
    ];
    for (pods, status, reason) in cases {
        let expected = (status.to_owned(), reason.to_owned());
        assert_eq!(
            said(&findings(2), &pods, ConditionType::SinksDelivering),
            expected,
            "{pods:?}"
        );
    }
}
