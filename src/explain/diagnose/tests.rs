use clap::{CommandFactory, Parser};
use serde_json::json;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

#[test]
fn the_command_line_names_a_connector() {
    Cli::command().debug_assert();
    for (line, good) in [
        ("pexip", true),
        ("pexip -n voice -o json --now --unredacted", true),
        ("", false),
        ("pexip extra", false),
    ] {
        let parsed = Cli::try_parse_from(["diagnose"].into_iter().chain(line.split_whitespace()));
        assert_eq!(parsed.is_ok(), good, "{line}");
    }
    let help = Cli::command().render_long_help().to_string();
    for word in ["pasted into a ticket", "--unredacted", "get teamsconnectorhealths"] {
        assert!(help.contains(word), "{word}");
    }
}

fn connector() -> TeamsConnectorHealth {
    serde_json::from_value(json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "TeamsConnectorHealth",
        "metadata": { "name": "pexip", "namespace": "voice", "generation": 2 },
        "spec": { "type": "Generic", "endpoints": [{ "name": "edge", "host": "edge.example.com" }] },
        "status": {
            "observedGeneration": 2, "health": "Unhealthy", "lastEvaluationTime": "2026-11-27T10:00:00Z",
            "conditions": [{
                "type": "CertificatesValid", "status": "False", "reason": "Expired",
                "message": "edge (203.0.113.9): the certificate has ended.", "lastTransitionTime": "2026-11-27T09:00:00Z",
            }],
            "diagnoses": [{
                "code": "Expired", "severity": "Critical", "confidence": "High",
                "summary": "A certificate that is needed has ended (edge)",
                "evidence": ["edge (203.0.113.9): the certificate has ended.", "anna@example.com was rejected."],
                "remedy": "Replace it.", "runbook": "TeamsConnectorCertificateInvalid",
                "firstSeen": "2026-11-27T09:00:00Z", "evidenceExpiresAt": "2026-12-27T09:00:00Z",
            }],
            "endpoints": [{
                "name": "edge", "reachable": true, "addresses": ["203.0.113.9"], "tlsVersion": "1.2",
                "certificates": [{
                    "role": "leaf", "subject": "CN=edge.example.com", "issuer": "CN=Authority", "key": "RSA 2048",
                    "notAfter": "2026-11-27T08:00:00Z", "fingerprint": "00",
                }],
            }],
            "pexip": { "calls": 3, "capacity": 15, "alarms": [] },
        },
    }))
    .unwrap()
}

#[test]
fn a_report_for_a_ticket() {
    let mut report = Report::new(&connector());
    report.redact();
    let expected = "\
Unhealthy: Generic voice/pexip
Last written at 2026-11-27T10:00:00Z; what did not change since was looked at later too.

CONDITION          STATUS  REASON   SINCE                 MESSAGE
CertificatesValid  False   Expired  2026-11-27T09:00:00Z  edge (<address>): the certificate has ended.

Diagnoses, the likeliest first
  1. Expired (Critical, confidence High), since 2026-11-27T09:00:00Z
     A certificate that is needed has ended (edge).
     evidence  edge (<address>): the certificate has ended.
     evidence  <alias> was rejected.
     remedy    Replace it.
     runbook   TeamsConnectorCertificateInvalid
     logs      kept until 2026-12-27T09:00:00Z: save them before

Endpoints
  edge: reachable, TLS 1.2, <address>
    leaf          CN=edge.example.com, RSA 2048, until 2026-11-27T08:00:00Z, by CN=Authority

Pexip
  instances  unknown
  calls      3 of 15
  licences   unknown of unknown
  alarms     none
";
    assert_eq!(text::render(&report), expected);
    let json = serde_json::to_string(&report).unwrap();
    assert!(!json.contains("203.0.113.9") && !json.contains("anna"), "{json}");
}

#[test]
fn what_was_not_looked_at_is_said_and_control_characters_are_no_commands() {
    let mut connector = connector();
    connector.status = None;
    connector.spec.suspend = true;
    connector.metadata.name = Some("a\u{1b}[31m".to_owned());
    let text = text::render(&Report::new(&connector));
    assert_eq!(
        text,
        "\
Unknown: Generic voice/a\u{fffd}[31m
It was not looked at yet.
It is suspended: nothing is probed.

CONDITION  STATUS  REASON  SINCE  MESSAGE

No diagnosis: nothing that was found points at a cause.
"
    );
}
