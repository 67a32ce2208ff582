//! A Pexip deployment, through the client that all objects with the same manager and credentials share.

use std::sync::Arc;

use kube::ResourceExt;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::{Asking, Given};
use crate::api::condition::Reason;
use crate::api::connector::{CallFeed, Pexip};
use crate::controller::connector::found::{Count, Found, Part, Shown};
use crate::controller::connector::secrets;
use crate::controller::reconcile::Error;
use crate::local_clock;
use crate::policy::connector::Finding;
use crate::policy::connector::pexip::calls::{CallCounts, FeedFault, count};
use crate::policy::connector::pexip::{PexipEvidence, alarm_levels, health, heartbeats, judge, judge_tenant};
use crate::policy::subscription::Refusal;
use crate::probe::pexip::{self, Client, Credentials, Pushed, Settings, Sink, Unusable};

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
    let (events, refusal) = match sink(asking).await? {
        Ok(events) => (events, None),
        Err(refusal) => (Err(FeedFault::NoCredentials), Some(refusal)),
    };
    memory.looks.pushed = Pushed {
        events,
        log: asking.context.connectors.feeds().log.clone(),
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
        refusal,
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

/// The event sink of the object, which is let in with the name and password of its Secret.
pub async fn sink(asking: &Asking<'_>) -> Given<Result<Arc<Sink>, FeedFault>> {
    let (namespace, name) = (asking.namespace.as_str(), asking.object.name_any());
    let Some(sinks) = &asking.context.connectors.feeds().sinks else {
        return Ok(Ok(Err(FeedFault::NoEvents)));
    };
    let spec = asking.object.spec.pexip.as_ref();
    let named = spec.filter(|spec| spec.call_feed == CallFeed::EventSink);
    let Some(named) = named.and_then(|spec| spec.event_sink_secret_ref.as_ref()) else {
        sinks.close(namespace, &name);
        return Ok(Ok(Err(FeedFault::NoCredentials)));
    };
    let field = "spec.pexip.eventSinkSecretRef";
    let data = secrets::read(&asking.context.client, namespace, field, &named.name).await?;
    let pair = data.and_then(|data| Ok((data.text("username")?, data.text("password")?)));
    let (username, password) = match pair {
        Ok(pair) => pair,
        Err(refusal) => {
            // It may be missing for a moment only.
            sinks.withhold(namespace, &name);
            return Ok(Err(refusal));
        }
    };
    let uid = asking.object.uid().unwrap_or_default();
    let (username, password) = (username.expose_secret(), password.expose_secret());
    Ok(Ok(Ok(sinks.open(namespace, &name, &uid, username, password))))
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
    Ok(made.map_err(unusable))
}

/// Says which field cannot be used, and why.
fn unusable(why: Unusable) -> Refusal {
    match why {
        Unusable::Address | Unusable::Forbidden => {
            Refusal::stalled(Reason::InvalidSpec, format!("spec.pexip.managementUrl: {why}"))
        }
        Unusable::Credentials => malformed("credentialsSecretRef", why),
        Unusable::Roots => malformed("caBundleSecretRef", why),
    }
}

fn malformed(field: &str, why: Unusable) -> Refusal {
    Refusal::waiting(Reason::CredentialsMalformed, format!("spec.pexip.{field}: {why}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named_by_its_field() {
        let cases = [
            (Unusable::Address, Reason::InvalidSpec, "managementUrl"),
            (Unusable::Forbidden, Reason::InvalidSpec, "managementUrl"),
            (
                Unusable::Credentials,
                Reason::CredentialsMalformed,
                "credentialsSecretRef",
            ),
            (Unusable::Roots, Reason::CredentialsMalformed, "caBundleSecretRef"),
        ];
        for (why, reason, field) in cases {
            let refusal = unusable(why);
            assert_eq!(refusal.reason, reason, "{why:?}");
            assert_eq!(refusal.stalled, reason == Reason::InvalidSpec, "{why:?}");
            assert!(refusal.message.contains(field), "{why:?}");
        }
    }
}
