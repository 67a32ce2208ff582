//! Leadership by one `Lease`: of several controllers only the holder writes.
//!
//! Every write carries the resourceVersion that was read, so two candidates can never both win. Time is only ever measured
//! locally, from when a change of the lease was *seen*: wrong clocks cannot make two leaders.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a lease is respected after its last seen change.
const DURATION: Duration = Duration::from_secs(15);
/// How long a holder goes on without a successful renewal. Shorter than [`DURATION`], so it stops before another starts.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(2);

/// Why the lease task ended. Either way the process must not write any more.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another holds it now.
    #[error("the lease was taken by {0}")]
    Taken(String),
    /// It could not be renewed in time.
    #[error("the lease could not be renewed for {} s: {last}", RENEW_DEADLINE.as_secs())]
    NotRenewed {
        /// What the last try said.
        last: String,
    },
}

/// What one look at the lease leads to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Write it with us as the holder.
    Claim { transition: bool },
    /// Another holds it.
    Follow,
}

/// The lease as last seen, and when it last changed by our own clock.
struct Seen {
    lease: Option<Lease>,
    changed: Instant,
}

/// One candidate for a lease.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
}

impl Candidate {
    /// A candidate called `identity` (the pod's name) for the lease `name`.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
        }
    }

    /// Follows until the lease is won, tells so through `leading`, and holds it. Returns only when it is lost.
    pub async fn run(&self, leading: &watch::Sender<bool>) -> LeaseError {
        let mut seen = Seen {
            lease: None,
            changed: Instant::now(),
        };
        let mut renewed: Option<Instant> = None;
        loop {
            let started = Instant::now();
            let attempt = tokio::time::timeout(left(renewed).min(PERIOD * 2), self.step(&mut seen)).await;
            let problem = match attempt {
                Ok(Ok(true)) => {
                    // From here on another may count the lease's time: not from when the answer came.
                    renewed = Some(started);
                    leading.send_replace(true);
                    None
                }
                Ok(Ok(false)) if renewed.is_some() => return LeaseError::Taken(holder(seen.lease.as_ref()).to_owned()),
                Ok(Ok(false)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("no answer from the API server".to_owned()),
            };
            if let Some(last) = problem {
                tracing::warn!(lease = self.name, "lease not renewed: {last}");
                if left(renewed).is_zero() {
                    return LeaseError::NotRenewed { last };
                }
            }
            let pause = PERIOD.mul_f64(0.9 + 0.2 * fastrand::f64());
            tokio::time::sleep(pause.min(left(renewed))).await;
        }
    }

    /// Gives the lease up, so that a follower need not wait for it to run out.
    pub async fn release(&self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            return Ok(());
        };
        if holder(Some(&lease)) != self.identity {
            return Ok(());
        }
        if let Some(spec) = lease.spec.as_mut() {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
        }
        self.api
            .replace(&self.name, &PostParams::default(), &lease)
            .await
            .map(drop)
    }

    /// Looks once and claims the lease where that is right. `true` when we hold it afterwards.
    async fn step(&self, seen: &mut Seen) -> Result<bool, kube::Error> {
        let current = self.api.get_opt(&self.name).await?;
        let version = |lease: &Option<Lease>| lease.as_ref().and_then(ResourceExt::resource_version);
        if version(&current) != version(&seen.lease) {
            seen.changed = Instant::now();
        }
        seen.lease = current;
        let Step::Claim { transition } = decide(seen.lease.as_ref(), &self.identity, seen.changed.elapsed()) else {
            return Ok(false);
        };
        let claim = self.claim(seen.lease.as_ref(), transition);
        let params = PostParams::default();
        let written = match &seen.lease {
            None => self.api.create(&params, &claim).await,
            Some(_) => self.api.replace(&self.name, &params, &claim).await,
        };
        match written {
            Ok(lease) => {
                *seen = Seen {
                    lease: Some(lease),
                    changed: Instant::now(),
                };
                Ok(true)
            }
            // Another was faster. As long as the lease names us it is ours, but it was not renewed.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let now = self.api.get_opt(&self.name).await?;
                if holder(now.as_ref()) == self.identity {
                    return Err(kube::Error::Api(status));
                }
                *seen = Seen {
                    lease: now,
                    changed: Instant::now(),
                };
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn claim(&self, current: Option<&Lease>, transition: bool) -> Lease {
        let old = current.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let now = Some(MicroTime(Timestamp::now()));
        let transitions = old.lease_transitions.unwrap_or(0) + i32::from(transition);
        Lease {
            metadata: current.map_or_else(
                || ObjectMeta {
                    name: Some(self.name.clone()),
                    ..Default::default()
                },
                |lease| lease.metadata.clone(),
            ),
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                acquire_time: if transition {
                    now.clone()
                } else {
                    old.acquire_time.clone()
                },
                renew_time: now,
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                lease_transitions: Some(transitions),
                ..old
            }),
        }
    }
}

/// How long a holder may still go on; a candidate that never held has all the time.
fn left(renewed: Option<Instant>) -> Duration {
    renewed.map_or(DURATION, |at| RENEW_DEADLINE.saturating_sub(at.elapsed()))
}

fn holder(lease: Option<&Lease>) -> &str {
    lease
        .and_then(|lease| lease.spec.as_ref())
        .and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

fn decide(lease: Option<&Lease>, identity: &str, unchanged_for: Duration) -> Step {
    match holder(lease) {
        "" => Step::Claim { transition: true },
        holder if holder == identity => Step::Claim { transition: false },
        _ if unchanged_for >= DURATION => Step::Claim { transition: true },
        _ => Step::Follow,
    }
}

#[cfg(test)]
mod tests;
