use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::reflector::store;
use kube::runtime::watcher::Event;
use serde_json::json;

use super::*;
use crate::api::connector::{InstanceCounts, PexipHealth};
use crate::controller::connector::{Certificate, Count};

fn object(name: &str) -> TeamsConnectorHealth {
    serde_json::from_value(json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "TeamsConnectorHealth",
        "metadata": { "name": name, "namespace": "n", "uid": name },
        "spec": { "type": "Generic", "endpoints": [{ "name": "edge", "host": "edge.example.com" }] },
        "status": {
            "observedGeneration": 1, "health": "Degraded",
            "conditions": [{
                "type": "CertificatesValid", "status": "False", "reason": "ExpiringSoon", "message": "m",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
            "diagnoses": [{
                "code": "ExpiringSoon", "severity": "Warning", "confidence": "High", "summary": "s", "remedy": "r",
                "runbook": "b", "firstSeen": "2026-01-01T00:00:00Z", "evidenceExpiresAt": "2026-01-31T00:00:00Z",
            }],
        },
    }))
    .unwrap()
}

fn shown() -> Shown {
    let at = |second| Timestamp::from_second(second).unwrap();
    Shown {
        looked: Some(at(100)),
        parts: vec![Part {
            probe: "endpoint",
            target: "edge".to_owned(),
            took: Duration::from_secs(1),
            success: Some(false),
        }],
        counts: BTreeMap::from([
            (
                Count::Run {
                    probe: "endpoint",
                    result: "fail",
                },
                3,
            ),
            (Count::Call("ok"), 5),
            (Count::Failure("other"), 1),
        ]),
        certificates: vec![Certificate {
            target: "edge".to_owned(),
            role: "leaf",
            not_before: at(1),
            not_after: at(2),
        }],
        chains: vec![("edge".to_owned(), at(2))],
        credentials: vec![("app".to_owned(), at(3))],
        clocks: vec![("Microsoft Graph".to_owned(), SignedDuration::from_millis(-1500))],
        upstream: vec![("Microsoft Teams".to_owned(), "serviceOperational".to_owned())],
        pexip: Some(PexipHealth {
            instances: Some(InstanceCounts {
                active: 2,
                ..InstanceCounts::default()
            }),
            calls: Some(7),
            capacity: Some(30),
            licences_used: None,
            licences_total: Some(40),
            alarms: Vec::new(),
        }),
        alarms: vec![("critical", 0)],
        heartbeats: vec![("eu1".to_owned(), at(4))],
        subscribers: vec![("provisioned", 11)],
    }
}

fn text(store: &Store<TeamsConnectorHealth>, board: &Board) -> String {
    pieces(store, board).collect()
}

#[test]
fn what_is_known_is_shown_and_what_is_not_is_absent() {
    let (store, mut writer) = store();
    writer.apply_watcher_event(&Event::Apply(object("a")));
    let board = Board::default();
    board.put("a", shown());
    let text = text(&store, &board);
    for line in [
        r#"teams_connector_info{name="a",namespace="n",connector_type="Generic"} 1"#,
        r#"teams_connector_condition{name="a",namespace="n",type="CertificatesValid",status="False"} 1"#,
        r#"teams_connector_condition{name="a",namespace="n",type="CertificatesValid",status="Unknown"} 0"#,
        r#"teams_connector_health_status{name="a",namespace="n",status="Degraded"} 1"#,
        r#"teams_connector_diagnoses{name="a",namespace="n",code="ExpiringSoon",severity="Warning"} 1"#,
        r#"teams_connector_evidence_expiration_timestamp_seconds{name="a",namespace="n",code="ExpiringSoon"} 1769817600"#,
        r#"teams_connector_probe_interval_seconds{name="a",namespace="n"} 60"#,
        r#"teams_connector_maintenance{name="a",namespace="n"} 0"#,
        r#"teams_connector_probe_last_run_timestamp_seconds{name="a",namespace="n"} 100"#,
        r#"teams_connector_probe_success{name="a",namespace="n",probe="endpoint",target="edge"} 0"#,
        r#"teams_connector_probe_runs_total{name="a",namespace="n",probe="endpoint",result="fail"} 3"#,
        r#"teams_connector_certificate_not_after_timestamp_seconds{name="a",namespace="n",target="edge",role="leaf"} 2"#,
        r#"teams_connector_certificate_chain_not_after_timestamp_seconds{name="a",namespace="n",target="edge"} 2"#,
        r#"teams_connector_credential_not_after_timestamp_seconds{name="a",namespace="n",app_id="app"} 3"#,
        r#"teams_connector_clock_skew_seconds{name="a",namespace="n",source="Microsoft Graph"} -1.5"#,
        r#"teams_connector_upstream_status{name="a",namespace="n",service="Microsoft Teams",status="serviceOperational"} 1"#,
        r#"teams_connector_pexip_instances{name="a",namespace="n",state="active"} 2"#,
        r#"teams_connector_pexip_calls{name="a",namespace="n"} 7"#,
        r#"teams_connector_pexip_licenses_limit{name="a",namespace="n"} 40"#,
        r#"teams_connector_pexip_alarms{name="a",namespace="n",level="critical"} 0"#,
        r#"teams_connector_pexip_instance_heartbeat_timestamp_seconds{name="a",namespace="n",instance="eu1"} 4"#,
        r#"teams_connector_calls_total{name="a",namespace="n",result="ok"} 5"#,
        r#"teams_connector_call_failures_total{name="a",namespace="n",reason="other"} 1"#,
        r#"teams_connector_broadworks_subscribers{name="a",namespace="n",status="provisioned"} 11"#,
        "# TYPE teams_connector_calls_total counter",
        "# TYPE teams_connector_pexip_calls gauge",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(!text.contains("teams_connector_pexip_licenses_used{"));
}

#[test]
fn maintenance_is_told_and_alarms_nobody_while_suspended() {
    let (store, mut writer) = store();
    let mut object = object("a");
    let status = object.status.as_mut().unwrap();
    status.conditions[0].type_ = "Healthy".to_owned();
    status.conditions[0].reason = "Maintenance".to_owned();
    writer.apply_watcher_event(&Event::Apply(object.clone()));
    let line = r#"teams_connector_maintenance{name="a",namespace="n"} 1"#;
    let first = text(&store, &Board::default());
    assert!(first.lines().any(|found| found == line), "{first}");
    object.spec.suspend = true;
    writer.apply_watcher_event(&Event::Apply(object));
    let second = text(&store, &Board::default());
    assert!(!second.contains("teams_connector_maintenance{"), "{second}");
}

#[test]
fn no_series_outlives_its_object() {
    let (store, mut writer) = store();
    let board = Board::default();
    for name in ["a", "b"] {
        writer.apply_watcher_event(&Event::Apply(object(name)));
        board.put(name, shown());
    }
    writer.apply_watcher_event(&Event::Delete(object("a")));
    assert!(!text(&store, &board).contains("name=\"a\""));
    board.keep_only(&HashSet::from(["b".to_owned()]));
    assert!(board.get("a").is_none() && board.get("b").is_some());
    board.forget("b");
    let text = text(&store, &board);
    assert!(
        text.contains("teams_connector_condition{name=\"b\"") && !text.contains("teams_connector_pexip_calls{"),
        "{text}"
    );
}

#[test]
fn the_series_of_a_name_stand_together_and_each_name_is_there_once() {
    let names: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
    assert_eq!(names.len(), FAMILIES.len());
    for family in FAMILIES {
        assert_eq!(
            family.name.ends_with("_total"),
            family.type_ == "counter",
            "{}",
            family.name
        );
        assert!(
            family.help.ends_with('.') && !family.help.contains('\n'),
            "{}",
            family.name
        );
    }
    let (store, mut writer) = store();
    let board = Board::default();
    for number in 0..=PIECE {
        let name = format!("o{number}");
        writer.apply_watcher_event(&Event::Apply(object(&name)));
        board.put(&name, shown());
    }
    let text = text(&store, &board);
    let mut order: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(['{', ' ']).find(|word| word.len() > 6))
        .collect();
    order.dedup();
    let distinct: BTreeSet<&str> = order.iter().copied().collect();
    assert_eq!(order.len(), distinct.len());
    assert_eq!(text.matches("teams_connector_pexip_calls{").count(), PIECE + 1);
}
