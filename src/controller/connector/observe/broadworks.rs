//! Webex for BroadWorks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::{Asking, Given};
use crate::api::condition::Reason;
use crate::api::connector::{BroadWorksHealth, XspHealth};
use crate::controller::connector::found::{Found, Part, Shown};
use crate::controller::connector::secrets;
use crate::controller::reconcile::Error;
use crate::local_clock;
use crate::policy::connector::broadworks::{BroadWorksEvidence, judge};
use crate::policy::connector::learned::Learned;
use crate::policy::subscription::Refusal;
use crate::probe::broadworks::{Plan, look as probe};
use crate::probe::client::{Unusable, client};
use crate::probe::webex::Memory;
use crate::probe::xsp::Subscriber;

/// HTTP clients by what they trust: making one reads many certificates.
#[derive(Default)]
pub struct Clients(Mutex<HashMap<Vec<u8>, Client>>);

/// Clients that are kept; each bundle of certificates has one.
const KEPT: usize = 64;

impl Clients {
    /// The client that trusts this bundle besides the public certificates.
    fn trusting(&self, bundle: Option<&[u8]>) -> Result<Client, Unusable> {
        let key = bundle.map(|bundle| digest(&SHA256, bundle).as_ref().to_vec());
        let key = key.unwrap_or_default();
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let made = client(bundle)?;
        if clients.len() >= KEPT {
            clients.clear();
        }
        clients.insert(key, made.clone());
        Ok(made)
    }
}

/// What was read from Secrets.
struct Keys {
    subscriber: Option<Subscriber>,
    token: Option<SecretString>,
    http: Client,
    xsp_http: Client,
}

/// Looks at it, if the spec names it.
pub async fn look(asking: &Asking<'_>, memory: &mut Memory) -> Result<Found, Error> {
    let Some(spec) = &asking.object.spec.broadworks else {
        return Ok(Found::default());
    };
    let keys = match keys(asking, spec).await? {
        Ok(keys) => keys,
        Err(refusal) => return Ok(Found::refused(refusal)),
    };
    let plan = Plan {
        spec,
        subscriber: keys.subscriber.as_ref(),
        token: keys.token.as_ref(),
        http: &keys.http,
        xsp_http: &keys.xsp_http,
        limit: asking.limit,
    };
    let began = Instant::now();
    let evidence = probe(&plan, memory).await;
    let findings = judge(spec, &evidence, local_clock::now());
    Ok(Found {
        parts: vec![Part::new("broadworks", "", began.elapsed(), &findings)],
        findings,
        clock: evidence.clock.clone(),
        shown: shown(&evidence),
        ..Found::default()
    })
}

/// States that Webex has for subscribers; another counts as `other`.
/// <https://developer.webex.com/docs/api/v1/broadworks-subscribers>
const STATES: [&str; 7] = [
    "pending_email_input",
    "pending_email_validation",
    "pending_user_migration",
    "provisioning",
    "provisioned",
    "updating",
    "error",
];

fn shown(evidence: &BroadWorksEvidence) -> Shown {
    let Some(Learned::Known(subscribers)) = &evidence.subscribers else {
        return Shown::default();
    };
    let state = |text: &str| STATES.into_iter().find(|known| *known == text).unwrap_or("other");
    let mut counts = std::collections::BTreeMap::new();
    for (text, count) in &subscribers.counts {
        *counts.entry(state(text)).or_default() += u64::from(*count);
    }
    Shown {
        subscribers: counts.into_iter().collect(),
        ..Shown::default()
    }
}

async fn keys(asking: &Asking<'_>, spec: &BroadWorksHealth) -> Given<Keys> {
    let (client, namespace) = (&asking.context.client, asking.namespace.as_str());
    let http = match asking.context.connectors.shared().clients.trusting(None) {
        Ok(http) => http,
        Err(why) => return Ok(Err(unusable("spec.broadworks", why))),
    };
    let mut keys = Keys {
        subscriber: None,
        token: None,
        xsp_http: http.clone(),
        http,
    };
    if let Some(webex) = &spec.webex {
        let field = "spec.broadworks.webex.tokenSecretRef";
        let reference = &webex.token_secret_ref;
        let data = secrets::read(client, namespace, field, &reference.name).await?;
        keys.token = match data.and_then(|data| data.text(&reference.key)) {
            Ok(token) => Some(token),
            Err(refusal) => return Ok(Err(refusal)),
        };
    }
    match &spec.xsps {
        Some(xsps) => of_xsps(asking, xsps, keys).await,
        None => Ok(Ok(keys)),
    }
}

async fn of_xsps(asking: &Asking<'_>, spec: &XspHealth, mut keys: Keys) -> Given<Keys> {
    let (client, namespace) = (&asking.context.client, asking.namespace.as_str());
    if let Some(reference) = &spec.test_subscriber_secret_ref {
        let field = "spec.broadworks.xsps.testSubscriberSecretRef";
        let data = secrets::read(client, namespace, field, &reference.name).await?;
        keys.subscriber = match data.and_then(|data| subscriber(&data)) {
            Ok(subscriber) => Some(subscriber),
            Err(refusal) => return Ok(Err(refusal)),
        };
    }
    if let Some(reference) = &spec.ca_bundle_secret_ref {
        let field = "spec.broadworks.xsps.caBundleSecretRef";
        let bundle = match secrets::key(client, namespace, field, reference).await? {
            Ok(bundle) => bundle,
            Err(refusal) => return Ok(Err(refusal)),
        };
        keys.xsp_http = match asking.context.connectors.shared().clients.trusting(Some(&bundle)) {
            Ok(http) => http,
            Err(why) => return Ok(Err(unusable(field, why))),
        };
    }
    Ok(Ok(keys))
}

fn subscriber(data: &secrets::Data) -> Result<Subscriber, Refusal> {
    Ok(Subscriber {
        username: data.text("username")?.expose_secret().to_owned(),
        password: data.text("password")?,
    })
}

fn unusable(field: &str, why: Unusable) -> Refusal {
    Refusal::waiting(Reason::CredentialsMalformed, format!("{field}: {why}"))
}
