//! Endpoints: each at the same time as the others.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

use super::{Asking, Given};
use crate::api::condition::Reason;
use crate::api::connector::{Endpoint, EndpointProtocol};
use crate::controller::connector::found::{Certificate, Found, Part, Shown};
use crate::controller::connector::secrets;
use crate::controller::reconcile::Error;
use crate::local_clock;
use crate::policy::connector::endpoint::{EndpointEvidence, chain_not_after, health, judge, validities};
use crate::policy::connector::{Finding, sip};
use crate::policy::subscription::Refusal;
use crate::probe::endpoint::{Plan, Unusable, look as probe};
use crate::probe::sip_options::{self, Transport};

/// Looks at all endpoints.
pub async fn look(asking: &Asking<'_>) -> Result<Found, Error> {
    let looks = asking
        .object
        .spec
        .endpoints
        .iter()
        .map(|endpoint| one(asking, endpoint));
    let mut found = Found::default();
    for part in join_all(looks).await {
        found.absorb(part?);
    }
    Ok(found)
}

async fn one(asking: &Asking<'_>, endpoint: &Endpoint) -> Result<Found, Error> {
    let plan = match plan(asking, endpoint).await? {
        Ok(plan) => plan,
        Err(refusal) => return Ok(Found::refused(refusal)),
    };
    let began = Instant::now();
    let evidence = probe(&plan, for_contacts(endpoint, asking.limit)).await;
    let now = local_clock::now();
    let mut findings = judge(endpoint, &evidence, now);
    let rest = asking.limit.saturating_sub(began.elapsed());
    findings.extend(options(&plan, endpoint, &evidence, rest).await);
    let certificates = validities(&evidence).into_iter().map(|validity| Certificate {
        target: endpoint.name.clone(),
        role: validity.role.word(),
        not_before: validity.not_before,
        not_after: validity.not_after,
    });
    let chain = chain_not_after(endpoint, &evidence, now);
    Ok(Found {
        parts: vec![Part::new("endpoint", &endpoint.name, began.elapsed(), &findings)],
        findings,
        endpoints: vec![health(endpoint, &evidence)],
        clock: evidence.clock.clone(),
        shown: Shown {
            certificates: certificates.collect(),
            chains: chain.map(|end| (endpoint.name.clone(), end)).into_iter().collect(),
            ..Shown::default()
        },
        ..Found::default()
    })
}

/// The part of the time in which addresses are looked at. One that swallows packets uses all of it up, and SIP with the others needs
/// time too.
fn for_contacts(endpoint: &Endpoint, limit: Duration) -> Duration {
    if endpoint.sip.is_some() { limit * 3 / 4 } else { limit }
}

/// SIP OPTIONS to the addresses that may be asked and were reached. What certificates are worth was judged before.
async fn options(plan: &Plan, endpoint: &Endpoint, evidence: &EndpointEvidence, limit: Duration) -> Vec<Finding> {
    let Some(expected) = &endpoint.sip else {
        return Vec::new();
    };
    let transport = match endpoint.protocol {
        EndpointProtocol::Udp => Some(Transport::Udp),
        EndpointProtocol::Tcp => Some(Transport::Tcp),
        EndpointProtocol::Tls => plan.accepting().map(|(config, name)| Transport::Tls(config, name)),
    };
    let (Some(transport), Ok(port)) = (transport, u16::try_from(endpoint.port)) else {
        return Vec::new();
    };
    let reached = evidence.addresses.iter().filter(|found| found.obstacle.is_none());
    let plan = sip_options::Plan {
        addresses: reached.map(|found| SocketAddr::new(found.address, port)).collect(),
        transport,
        domain: expected.domain.clone().unwrap_or_else(|| endpoint.host.clone()),
        limit,
    };
    sip::judge(endpoint, &sip_options::look(&plan).await)
}

/// The endpoint with what its Secrets hold.
async fn plan(asking: &Asking<'_>, endpoint: &Endpoint) -> Given<Plan> {
    let (client, namespace) = (&asking.context.client, asking.namespace.as_str());
    let mut plan = Plan::new(endpoint.clone(), asking.context.connectors.shared().documents.clone());
    let Some(tls) = &endpoint.tls else {
        return Ok(Ok(plan));
    };
    let field = |name: &str| format!("spec.endpoints[{}].tls.{name}", endpoint.name);
    if let Some(reference) = &tls.ca_bundle_secret_ref {
        let field = field("caBundleSecretRef");
        let bundle = match secrets::key(client, namespace, &field, reference).await? {
            Ok(bundle) => bundle,
            Err(refusal) => return Ok(Err(refusal)),
        };
        plan = match plan.with_bundle(&bundle) {
            Ok(plan) => plan,
            Err(why) => return Ok(Err(unusable(&field, why))),
        };
    }
    if let Some(reference) = &tls.client_certificate_secret_ref {
        let field = field("clientCertificateSecretRef");
        let data = match secrets::read(client, namespace, &field, &reference.name).await? {
            Ok(data) => data,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let pair = data
            .bytes("tls.crt")
            .and_then(|chain| Ok((chain, data.text("tls.key")?)));
        let (chain, key) = match pair {
            Ok(pair) => pair,
            Err(refusal) => return Ok(Err(refusal)),
        };
        plan = match plan.with_client_certificate(&chain, &key) {
            Ok(plan) => plan,
            Err(why) => return Ok(Err(unusable(&field, why))),
        };
    }
    Ok(Ok(plan))
}

fn unusable(field: &str, why: Unusable) -> Refusal {
    Refusal::waiting(Reason::CredentialsMalformed, format!("{field}: {why}"))
}
