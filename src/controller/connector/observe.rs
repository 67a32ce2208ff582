//! Everything that a spec asks for, looked at: Secrets are read, probes run, and what they bring is judged.

mod broadworks;
mod endpoints;
mod microsoft;
mod pexip;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use prometheus::IntCounterVec;

use super::found::Found;
use crate::api::condition::ConditionType;
use crate::api::connector::TeamsConnectorHealth;
use crate::controller::context::Context;
use crate::controller::feeds::Feeds;
use crate::controller::reconcile::Error;
use crate::policy::connector::clock::ClockSample;
use crate::policy::connector::health::asked_for;
use crate::policy::connector::{clock, inputs};
use crate::policy::subscription::Refusal;
use crate::probe;

/// A longer `spec.timeout` counts as this: a look must end before its reconcile is cut off.
const LONGEST: Duration = Duration::from_secs(60);
const DEFAULT: Duration = Duration::from_secs(10);
/// Sources whose clocks metrics show.
const CLOCKS: usize = 32;

/// What the probes of all objects share.
pub struct Shared {
    managers: probe::pexip::Managers,
    documents: Arc<probe::endpoint::Cache>,
    clients: broadworks::Clients,
    /// What nodes push.
    pub feeds: Feeds,
}

impl Shared {
    /// Nothing is connected yet. Requests are counted in `requests`.
    pub fn new(requests: IntCounterVec, feeds: Feeds) -> Self {
        Self {
            managers: probe::pexip::Managers::new(requests),
            documents: Arc::default(),
            clients: broadworks::Clients::default(),
            feeds,
        }
    }
}

/// What the probes of one object remember between two looks.
#[derive(Default)]
pub struct Probes {
    pexip: pexip::Memory,
    microsoft: probe::microsoft::Memory,
    webex: probe::webex::Memory,
}

/// What each part of a look needs.
struct Asking<'a> {
    context: &'a Context,
    object: &'a TeamsConnectorHealth,
    namespace: String,
    limit: Duration,
}

/// What a part was given by the user, or why that is of no use.
type Given<T> = Result<Result<T, Refusal>, Error>;

/// Looks at all parts at once. What cannot be looked at, for want of a Secret for instance, keeps nothing else from being looked at.
pub async fn look(context: &Context, object: &TeamsConnectorHealth, probes: &mut Probes) -> Result<Found, Error> {
    let asking = Asking {
        context,
        object,
        namespace: object.namespace().unwrap_or_default(),
        limit: limit(object),
    };
    let (endpoints, pexip, microsoft, broadworks) = tokio::join!(
        endpoints::look(&asking),
        Box::pin(pexip::look(&asking, &mut probes.pexip)),
        microsoft::look(&asking, &mut probes.microsoft),
        broadworks::look(&asking, &mut probes.webex),
    );
    let mut found = endpoints?;
    for part in [pexip?, microsoft?, broadworks?] {
        found.absorb(part);
    }
    if let Some(given) = &object.spec.inputs {
        found.findings.extend(inputs::judge(given));
    }
    if asked_for(&object.spec).contains(&ConditionType::ClockSynchronized) {
        found.findings.extend(clock::judge(&object.spec.clock, &found.clock));
    }
    found.shown.clocks = clocks(&found.clock);
    Ok(found)
}

/// Lets the event sink of an object in before its first look, for which a new leader takes its time. What is wrong with it, the look
/// tells.
pub async fn let_in(context: &Context, object: &TeamsConnectorHealth) {
    let namespace = object.namespace().unwrap_or_default();
    if context.connectors.feeds().is_open(&namespace, &object.name_any()) {
        return;
    }
    let asking = Asking {
        context,
        object,
        namespace,
        limit: limit(object),
    };
    let _ = pexip::sink(&asking).await;
}

/// The best sample of each source.
fn clocks(samples: &[ClockSample]) -> Vec<(String, jiff::SignedDuration)> {
    let mut best: BTreeMap<&str, &ClockSample> = BTreeMap::new();
    for sample in samples {
        let known = best.entry(&sample.source).or_insert(sample);
        if sample.error < known.error {
            *known = sample;
        }
    }
    let best = best.into_iter().take(CLOCKS);
    best.map(|(source, sample)| (source.to_owned(), sample.skew)).collect()
}

/// How long one probe may take in all.
fn limit(object: &TeamsConnectorHealth) -> Duration {
    let seconds = object
        .spec
        .timeout
        .seconds()
        .and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(DEFAULT, Duration::from_secs).min(LONGEST)
}
