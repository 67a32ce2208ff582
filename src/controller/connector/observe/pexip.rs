//! A Pexip deployment, through the client that all objects with the same manager and credentials share.

use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::{Asking, Given};
use crate::api::condition::Reason;
use crate::api::connector::Pexip;
use crate::controller::connector::found::{Count, Found, Part, Shown};
use crate::controller::connector::secrets;
use crate::controller::reconcile::Error;
use crate::local_clock;
use crate::policy::connector::Finding;
use crate::policy::connector::pexip::calls::{CallCounts, count};
use crate::policy::connector::pexip::{PexipEvidence, alarm_levels, health, heartbeats, judge, judge_tenant};
use crate::policy::subscription::Refusal;
use crate::probe::pexip::{self, Client, Credentials, Settings};

/// What is remembered of one object. The client is shared and lives as long as somebody holds it.
#[derive(Default)]
pub struct Memory {
    client: Option<Arc<Client>>,
    looks: pexip::Memory,
}

/// Looks at the deployment, if there is one.
pub async fn look(asking: &Asking<'_>, memory: &mut Memory) -> Result<Found, Error> {
    let Some(spec) = &asking.object.spec.pexip else {
        return Ok(Found::default());
    };
    let client = match client(asking, spec).await? {
        Ok(client) => client,
        Err(refusal) => return Ok(Found::refused(refusal)),
    };
    let began = Instant::now();
    let evidence = client.look(spec, &mut memory.looks, asking.limit).await;
    memory.client = Some(client);
    let now = local_clock::now();
    let mut findings: Vec<Finding> = judge(spec, &evidence, now);
    if let Some(microsoft) = &asking.object.spec.microsoft {
        findings.push(judge_tenant(spec, &microsoft.tenant_id, &evidence));
    }
    Ok(Found {
        parts: vec![Part::new("pexip", "", began.elapsed(), &findings)],
        findings,
        pexip: Some(health(spec, &evidence, now)),
        clock: evidence.clock.clone(),
        shown: shown(spec, &evidence, now),
        ..Found::default()
    })
}

fn shown(spec: &Pexip, evidence: &PexipEvidence, now: jiff::Timestamp) -> Shown {
    let CallCounts { ok, user_input, failed } = count(&evidence.fresh_calls, spec.conference_id_digits);
    let failures = failed.values().sum::<u64>();
    let results = [("ok", ok), ("user_input", user_input), ("failed", failures)];
    let mut counts: std::collections::BTreeMap<Count, u64> = results
        .into_iter()
        .map(|(result, number)| (Count::Call(result), number))
        .collect();
    counts.extend(
        failed
            .into_iter()
            .map(|(end, number)| (Count::Failure(end.label()), number)),
    );
    let levels = alarm_levels(evidence).unwrap_or_default().into_iter();
    Shown {
        pexip: Some(health(spec, evidence, now)),
        alarms: levels.map(|(level, number)| (level.label(), number)).collect(),
        heartbeats: heartbeats(spec, evidence, now)
            .into_iter()
            .map(|heartbeat| (heartbeat.instance, heartbeat.at))
            .collect(),
        counts,
        ..Shown::default()
    }
}

async fn client(asking: &Asking<'_>, spec: &Pexip) -> Given<Arc<Client>> {
    let (client, namespace) = (&asking.context.client, asking.namespace.as_str());
    let field = "spec.pexip.credentialsSecretRef";
    let data = match secrets::read(client, namespace, field, &spec.credentials_secret_ref.name).await? {
        Ok(data) => data,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let credentials = match credentials(&data) {
        Ok(credentials) => credentials,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let roots = match &spec.ca_bundle_secret_ref {
        None => None,
        Some(reference) => match secrets::key(client, namespace, "spec.pexip.caBundleSecretRef", reference).await? {
            Ok(roots) => Some(roots),
            Err(refusal) => return Ok(Err(refusal)),
        },
    };
    let settings = Settings {
        management_url: spec.management_url.clone(),
        credentials,
        roots,
    };
    let made = asking.context.connectors.shared().managers.client(&settings);
    Ok(made.map_err(|why| Refusal::waiting(Reason::CredentialsMalformed, format!("spec.pexip: {why}"))))
}

fn credentials(data: &secrets::Data) -> Result<Credentials, Refusal> {
    if data.has("token") {
        return Ok(Credentials::token(data.text("token")?.expose_secret()));
    }
    if !data.has("username") || !data.has("password") {
        return Err(data.lacks("neither token nor both username and password"));
    }
    let (username, password) = (data.text("username")?, data.text("password")?);
    Ok(Credentials::basic(username.expose_secret(), password.expose_secret()))
}
