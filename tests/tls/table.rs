//! The page that tells what each tool can tell apart.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use teams_graph_operator::policy::connector::Outcome;

use crate::Seen;
use crate::cases::Case;
use crate::exporter::Answer;

const PAGE: &str = "docs/tls-matrix.md";
const BEGIN: &str = "<!-- written by tests/tls -->";

/// What follows the introduction.
pub fn write(cases: &[Case], seen: &[Seen], answers: &[Answer]) -> String {
    let mut text = format!("{BEGIN}\n\n");
    let mut ours: BTreeMap<String, usize> = BTreeMap::new();
    let mut theirs: BTreeMap<String, usize> = BTreeMap::new();
    let mut rows = String::new();
    for ((case, seen), answer) in cases.iter().zip(seen).zip(answers) {
        let (reachable, certificates) = (told(&seen.reachable), told(&seen.certificates));
        let success = if answer.success { "1" } else { "0" };
        let status = if case.path.is_some() {
            answer.status.to_string()
        } else {
            String::new()
        };
        let (our_end, their_end) = (own_end(seen.end), exporters_end(answer.end, seen.end));
        let _ = writeln!(
            rows,
            "| {} | {reachable} | {certificates} | {our_end} | {success} | {status} | {their_end} |",
            case.name
        );
        *ours.entry(format!("{reachable} {certificates} {our_end}")).or_default() += 1;
        *theirs.entry(format!("{success} {status} {their_end}")).or_default() += 1;
    }
    let _ = writeln!(
        text,
        "{} cases. The conditions tell {} situations apart; `probe_success`, `probe_http_status_code` and \
         `probe_ssl_earliest_cert_expiry` tell {}.\n",
        cases.len(),
        ours.len(),
        theirs.len()
    );
    text += "| Server | `EndpointReachable` | `CertificatesValid` | End of certificate | `probe_success` | `probe_http_status_code` | `probe_ssl_earliest_cert_expiry` |\n";
    text += "|---|---|---|---|---|---|---|\n";
    text + &rows
}

/// Holds the page against what was seen, or writes it.
pub fn check(text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let (introduction, _) = page.split_once(BEGIN).expect("the mark where the table begins");
    let expected = format!("{introduction}{text}");
    if std::env::var_os("WRITE_TLS_MATRIX").is_some() {
        fs::write(&path, expected).unwrap();
        return;
    }
    let differing: Vec<&str> = expected
        .lines()
        .filter(|line| !page.lines().any(|known| known == *line))
        .collect();
    assert!(
        page == expected,
        "{PAGE} is not what was seen; WRITE_TLS_MATRIX=1 writes it anew. New lines:\n{}",
        differing.join("\n")
    );
}

fn told(outcomes: &[Outcome]) -> String {
    let words = outcomes.iter().map(|outcome| match outcome {
        Outcome::Pass => "True".to_owned(),
        Outcome::Unknown(reason) => format!("Unknown: `{reason}`"),
        Outcome::Fail(_, reason) => format!("False: `{reason}`"),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn own_end(end: Option<Timestamp>) -> &'static str {
    if end.is_some() { "known" } else { "" }
}

/// Held against the end of the server's own certificate.
fn exporters_end(end: Option<i64>, own: Option<Timestamp>) -> &'static str {
    match (end, own.map(Timestamp::as_second)) {
        (None, _) => "",
        (Some(end), Some(own)) if end == own => "right",
        (Some(end), _) if end < 0 => "before 1970",
        (Some(_), Some(_)) => "another's",
        (Some(_), None) => "given",
    }
}
