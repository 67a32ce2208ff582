//! Remote subscriptions that prove to be ours and belong to no object: found, and by policy removed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::events::EventType;

use crate::api::condition::Reason;
use crate::api::reference::ObjectRef;
use crate::api::tenant::GraphTenant;
use crate::controller::context::Context;
use crate::controller::index::Group;
use crate::controller::subscription::act;
use crate::controller::tenant::LIST_URGENCY;
use crate::graph::{Failure, Graph, Kind, Subscription};
use crate::policy::orphan::{self, Listed, PATIENCE, Suspects, Treatment};

/// Ids that status and events name.
pub const SHOWN: usize = 8;
/// A new leader has other things to ask Graph for.
const FIRST_LOOK: Duration = Duration::from_secs(300);
/// Time between two looks when nothing is suspected. A list is scarce, and orphans cost little.
const PERIOD: SignedDuration = SignedDuration::from_hours(1);
/// A list that is no older than this serves.
const LIST_AGE: Duration = Duration::from_secs(60);
/// A look at a tenant does not wait longer for a long list, which is read on meanwhile.
const LIST_LIMIT: Duration = Duration::from_secs(20);
/// When to go on with a look that was cut short.
const SOON: Duration = Duration::from_secs(30);
/// Questions about suspects in one look, and likewise deletes; the others wait for the next one.
const MOST_CALLS: usize = 100;
/// Urgency of the other calls: behind everything else. One reading of a list serves all that wait for it.
const URGENCY: SignedDuration = SignedDuration::from_hours(24);

/// What is remembered of each tenant from look to look. A new leader begins anew, and so waits again.
#[derive(Default)]
pub struct Orphans(Mutex<HashMap<ObjectRef, Memory>>);

#[derive(Clone)]
struct Memory {
    looked: Timestamp,
    generation: Option<i64>,
    /// Whether there was more to do.
    cut_short: bool,
    suspects: Suspects,
}

impl Memory {
    fn is_due(&self, object: &GraphTenant, now: Timestamp) -> bool {
        let undecided = self.suspects.values().any(|suspect| !suspect.confirmed);
        let period = if undecided { PATIENCE } else { PERIOD };
        now >= self.looked + period || self.cut_short || self.generation != object.metadata.generation
    }
}

impl Orphans {
    /// Forgets every tenant but those to `keep`.
    pub fn retain(&self, keep: impl Fn(&ObjectRef) -> bool) {
        self.lock().retain(|tenant, _| keep(tenant));
    }

    fn get(&self, tenant: &ObjectRef) -> Option<Memory> {
        self.lock().get(tenant).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef, Memory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a look found.
#[derive(Debug, Default)]
pub struct Found {
    /// Ids of orphans, sorted; `None` while some are undecided, or when nobody looked.
    pub ids: Option<Vec<String>>,
    /// When to look again, if sooner than usual.
    pub again: Option<Duration>,
}

/// Looks, if it is time or a person asks `anew`, and acts by the tenant's policy.
pub async fn look(context: &Context, object: &GraphTenant, tenant: &ObjectRef, graph: &Graph, anew: bool) -> Found {
    let memory = context.orphans.get(tenant);
    let due = match &memory {
        Some(memory) => memory.is_due(object, graph.now()),
        None => context.leads_for() >= FIRST_LOOK,
    };
    if !due && !anew || object.metadata.deletion_timestamp.is_some() {
        return Found::default();
    }
    let list = tokio::time::timeout(LIST_LIMIT, graph.list(LIST_AGE, graph.now() + LIST_URGENCY));
    let list = match list.await {
        Ok(Ok(list)) => list,
        Ok(Err(failure)) => {
            failed(context, &failure);
            return Found::default();
        }
        Err(_) => {
            return Found {
                ids: None,
                again: Some(SOON),
            };
        }
    };
    let before = memory.map(|memory| memory.suspects).unwrap_or_default();
    let mut round = Round {
        context,
        object,
        graph,
        // After an answer, so that it is Graph's.
        now: graph.now(),
        cut_short: false,
    };
    let mut suspects = round.suspects(&before, &list);
    round.confirm(&mut suspects, &list).await;
    round.treat(&before, &mut suspects).await;
    let found = Found {
        ids: (suspects.values().all(|suspect| suspect.confirmed)).then(|| suspects.keys().cloned().collect()),
        again: round.cut_short.then_some(SOON),
    };
    let memory = Memory {
        looked: round.now,
        generation: object.metadata.generation,
        cut_short: round.cut_short,
        suspects,
    };
    context.orphans.lock().insert(tenant.clone(), memory);
    found
}

struct Round<'a> {
    context: &'a Context,
    object: &'a GraphTenant,
    graph: &'a Graph,
    now: Timestamp,
    cut_short: bool,
}

impl Round<'_> {
    fn suspects(&self, before: &Suspects, list: &Arc<[Subscription]>) -> Suspects {
        let listed = list.iter().map(|remote| Listed {
            id: &remote.id,
            notification_url: &remote.notification_url,
            expiration: remote.expiration,
        });
        let exists = |uid: &str| self.context.stores.index.get(uid).is_some();
        let mut suspects = orphan::suspects(before, listed, &self.context.keyrings.all(), exists, self.now);
        // An object may hold one by an `externalEndpoint`, whatever its address.
        let index = &self.context.stores.index;
        suspects.retain(|id, _| !index.has_others(&Group::Remote(id.clone()), None));
        suspects
    }

    /// Removed subscriptions are known to linger in the list.
    async fn confirm(&mut self, suspects: &mut Suspects, list: &Arc<[Subscription]>) {
        let ripe = suspects
            .iter()
            .filter(|(_, suspect)| suspect.is_ripe(self.now) && !suspect.confirmed);
        let ids: Vec<String> = ripe.map(|(id, _)| id.clone()).collect();
        self.cut_short |= ids.len() > MOST_CALLS;
        for id in ids.into_iter().take(MOST_CALLS) {
            let listed = list
                .iter()
                .find(|listed| listed.id == id)
                .map(|listed| &listed.notification_url);
            match self.graph.get(&id, self.now + URGENCY).await {
                Ok(found) if listed == Some(&found.notification_url) => {
                    if let Some(suspect) = suspects.get_mut(&id) {
                        suspect.confirmed = true;
                    }
                }
                // It was moved: somebody uses it.
                Ok(_) => {
                    suspects.remove(&id);
                }
                Err(failure) if failure.kind == Kind::NotFound => {
                    suspects.remove(&id);
                }
                Err(failure) => return failed(self.context, &failure),
            }
        }
    }

    async fn treat(&mut self, before: &Suspects, suspects: &mut Suspects) {
        let orphans = suspects.iter().filter(|(_, suspect)| suspect.confirmed);
        let ids: Vec<String> = orphans.map(|(id, _)| id.clone()).collect();
        let sees_all = self.context.settings.namespace.is_none();
        let treatment = orphan::treatment(self.object.spec.orphan_policy, sees_all);
        if treatment == Treatment::Delete {
            return self.delete(&ids, suspects).await;
        }
        let is_new = |id: &&String| before.get(*id).is_none_or(|suspect| !suspect.confirmed);
        let new: Vec<&String> = ids.iter().filter(is_new).collect();
        if new.is_empty() {
            return;
        }
        let why = if treatment == Treatment::ReportUnsure {
            "they are left, because the operator watches one namespace and their objects may be in another"
        } else {
            "spec.orphanPolicy: Delete would remove them"
        };
        let text = format!(
            "Subscriptions at Graph whose GraphSubscription is gone: {}; {why}",
            named(&new)
        );
        self.context
            .event(self.object, EventType::Warning, Reason::OrphanFound, &text);
    }

    async fn delete(&mut self, ids: &[String], suspects: &mut Suspects) {
        let mut deleted = Vec::new();
        self.cut_short |= ids.len() > MOST_CALLS;
        for id in ids.iter().take(MOST_CALLS) {
            if let Err(failure) = self.graph.delete(id, self.now + URGENCY).await {
                failed(self.context, &failure);
                break;
            }
            suspects.remove(id);
            self.context.metrics.orphans_deleted.inc();
            deleted.push(id);
        }
        if !deleted.is_empty() {
            let text = format!(
                "Subscriptions at Graph whose GraphSubscription is gone were deleted, as spec.orphanPolicy says: {}",
                named(&deleted)
            );
            tracing::info!("{text}");
            self.context
                .event(self.object, EventType::Normal, Reason::OrphanDeleted, &text);
        }
    }
}

fn failed(context: &Context, failure: &Failure) {
    tracing::debug!("a look for orphans: {failure}");
    let reason = act::reason(&failure.kind).to_string();
    context
        .metrics
        .failures
        .with_label_values(&["GraphTenant", &reason])
        .inc();
}

fn named(ids: &[&String]) -> String {
    let shown = ids
        .iter()
        .take(SHOWN)
        .map(|id| id.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    match ids.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
