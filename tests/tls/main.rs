//! The TLS and network probe against real servers: OpenSSL's, nginx, and sockets that misbehave. The same servers are shown to
//! Debian's prometheus-blackbox-exporter, and docs/tls-matrix.md tells what each of the two can tell apart.
//!
//! Run with `tests/support/gate tls`; with `WRITE_TLS_MATRIX=1` the page is written anew.

// Clippy knows only of `#[test]` functions that they are tests, not of what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

mod cases;
mod exporter;
#[path = "../support/ports.rs"]
mod ports;
mod servers;
mod table;

use std::sync::Arc;

use cases::{Case, Client};
use exporter::Exporter;
use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use secrecy::SecretString;
use servers::{Certificates, Servers};
use teams_graph_operator::api::condition::{ConditionType, Reason};
use teams_graph_operator::policy::connector::Outcome;
use teams_graph_operator::policy::connector::endpoint::{judge, leaf_not_after};
use teams_graph_operator::probe::endpoint::{Cache, Plan, look};

/// So many servers are looked at at the same time.
const AT_ONCE: usize = 8;

/// What the operator says.
#[derive(Debug)]
pub struct Seen {
    /// Of `EndpointReachable`.
    pub reachable: Vec<Outcome>,
    /// Of `CertificatesValid`.
    pub certificates: Vec<Outcome>,
    /// Of the server's own certificate.
    pub end: Option<Timestamp>,
    messages: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_told_from_every_other() {
    let certificates = Certificates::make();
    let servers = Servers::start(&certificates);
    let cases = cases::all();
    assert!(cases.len() >= 39);
    let cache = Arc::new(Cache::default());
    let looks = cases
        .iter()
        .map(|case| ask(case, &servers, &certificates, cache.clone()));
    let seen: Vec<Seen> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    let mut wrong = Vec::new();
    for (case, seen) in cases.iter().zip(&seen) {
        let told = (reasons(&seen.reachable), reasons(&seen.certificates));
        if told != (case.reachable.to_vec(), case.certificates.to_vec()) {
            wrong.push(format!(
                "{}: expected {:?} and {:?}, seen {told:?}\n{}\n{}",
                case.name,
                case.reachable,
                case.certificates,
                seen.messages.join("\n"),
                servers.log(case)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let exporter = Exporter::start(&certificates);
    let answers = cases.iter().map(|case| exporter.ask(case, &servers));
    let answers: Vec<_> = stream::iter(answers).buffered(AT_ONCE).collect().await;
    table::check(&table::write(&cases, &seen, &answers));
}

async fn ask(case: &Case, servers: &Servers, certificates: &Certificates, cache: Arc<Cache>) -> Seen {
    let endpoint = case.endpoint(servers);
    let mut plan = Plan::new(endpoint.clone(), cache);
    if case.has_bundle() {
        plan = plan.with_bundle(&certificates.read("root.pem")).unwrap();
    }
    let client = match case.client {
        Client::None => None,
        Client::Good => Some("client"),
        Client::OfOther => Some("client-of-other"),
    };
    if let Some(name) = client {
        let key = String::from_utf8(certificates.read(&format!("{name}.key"))).unwrap();
        let mut chain = certificates.read(&format!("{name}.pem"));
        chain.extend(certificates.read(&format!("{name}.chain")));
        plan = plan.with_client_certificate(&chain, &SecretString::from(key)).unwrap();
    }
    let evidence = look(&plan, case.patience()).await;
    let findings = judge(&endpoint, &evidence, Timestamp::now());
    let of = |condition| {
        let mine = findings.iter().filter(|finding| finding.condition == condition);
        mine.map(|finding| finding.outcome).collect()
    };
    Seen {
        reachable: of(ConditionType::EndpointReachable),
        certificates: of(ConditionType::CertificatesValid),
        end: leaf_not_after(&evidence),
        messages: findings.into_iter().map(|finding| finding.message).collect(),
    }
}

/// The reasons, without what is well.
fn reasons(outcomes: &[Outcome]) -> Vec<Reason> {
    let reason = |outcome: &Outcome| match outcome {
        Outcome::Pass => None,
        Outcome::Unknown(reason) | Outcome::Fail(_, reason) => Some(*reason),
    };
    outcomes.iter().filter_map(reason).collect()
}
