//! Finds a watch that lost events without a word, which no timeout does: now and then, what the API server has is compared with
//! what the watches brought. It writes nothing.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use kube::api::ListParams;
use kube::runtime::reflector::Store;
use kube::{Client, Resource, ResourceExt};
use prometheus::IntCounterVec;

use super::apply::Object;
use super::context::Stores;
use super::watching::{self, Unlisted};

/// Objects per page of a list.
const PAGE: u32 = 500;
/// A watch that broke and says so is begun anew within 30 s; what the API server had this long ago must be in the store, or
/// nobody brings it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Patience as a part of the time between two comparisons, where these are frequent.
const PATIENCE_PART: u32 = 10;
/// The least patience: a busy machine is not a dead watch.
const LEAST_PATIENCE: Duration = Duration::from_secs(3);

/// The comparison of the stores with the API server.
pub struct Watchdog {
    /// The API server.
    pub client: Client,
    /// Namespace that is watched; all when absent.
    pub namespace: Option<String>,
    /// What the watches brought.
    pub stores: Stores,
    /// Comparisons by kind and result.
    pub checks: IntCounterVec,
    /// Time between two comparisons.
    pub period: Duration,
}

impl Watchdog {
    /// Ends only when a watch is stale, with the reason why the process must end.
    pub async fn run(&self, mut unlisted: Unlisted) -> String {
        // Before the first list the stores are empty; a watch that ended has ended the process.
        let _ = unlisted.wait_for(BTreeSet::is_empty).await;
        loop {
            tokio::time::sleep(self.period.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
            if let Some(stale) = self.look().await {
                return stale;
            }
        }
    }

    /// One kind after the other, so that little is asked for at a time.
    async fn look(&self) -> Option<String> {
        let stale = self.compare(&self.stores.subscriptions).await;
        if stale.is_some() {
            return stale;
        }
        let stale = self.compare(&self.stores.tenants).await;
        if stale.is_some() {
            return stale;
        }
        let stale = self.compare(&self.stores.receivers).await;
        if stale.is_some() {
            return stale;
        }
        let stale = self.compare(&self.stores.presence).await;
        if stale.is_some() {
            return stale;
        }
        self.compare(&self.stores.connectors).await
    }

    async fn compare<K: Object>(&self, store: &Store<K>) -> Option<String> {
        let kind = K::kind(&());
        let owed = match self.owed(store).await {
            Ok(owed) => owed,
            Err(error) => {
                tracing::warn!(%kind, "the store is not compared: {error}");
                self.count(&kind, "failed");
                return None;
            }
        };
        if owed.is_empty() {
            self.count(&kind, "same");
            return None;
        }
        self.count(&kind, "behind");
        tokio::time::sleep(self.patience()).await;
        let late = late(owed, &held(store));
        let first = self.first_that_exists::<K>(&late).await?;
        self.count(&kind, "stale");
        Some(format!(
            "the watch on {kind} is stale: {} objects are not as the API server had them {} s ago, {first} for instance",
            late.len(),
            self.patience().as_secs()
        ))
    }

    fn count(&self, kind: &str, result: &str) {
        self.checks.with_label_values(&[kind, result]).inc();
    }

    fn patience(&self) -> Duration {
        (self.period / PATIENCE_PART).clamp(LEAST_PATIENCE, PATIENCE)
    }

    /// What the API server has and the store has not. The store is read first: what comes from the API server then is never older.
    async fn owed<K: Object>(&self, store: &Store<K>) -> Result<Vec<Owed>, kube::Error> {
        let mut comparison = Comparison::new(held(store));
        let api = watching::api::<K>(&self.client, self.namespace.as_deref());
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = api.list_metadata(&page).await?;
            for object in &list.items {
                comparison.listed(object);
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(comparison.end()),
            }
        }
    }

    /// One that was made and deleted since was rightly not in the store either time; so of a new one it must be known that it
    /// still exists. Anything else is certain.
    async fn first_that_exists<K: Object>(&self, late: &[Owed]) -> Option<String> {
        for owed in late {
            if owed.held.is_some() || self.exists::<K>(owed).await {
                return Some(owed.object.to_string());
            }
        }
        None
    }

    /// By a list, as no more than that is allowed.
    async fn exists<K: Object>(&self, owed: &Owed) -> bool {
        let api = watching::api::<K>(&self.client, Some(&owed.object.namespace));
        let one = ListParams::default().fields(&format!("metadata.name={}", owed.object.name));
        let found = api.list_metadata(&one).await;
        found.is_ok_and(|list| {
            let uids = list.items.iter().map(|object| object.metadata.uid.as_ref());
            uids.flatten().any(|uid| *uid == owed.uid)
        })
    }
}

/// The name of an object, for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    namespace: String,
    name: String,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

fn name<K: Resource>(object: &K) -> Name {
    Name {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

/// An object of the store. Versions are equal or they are not; nothing else is read from them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    object: Name,
    version: String,
}

/// What a store holds, by UID.
fn held<K: Object>(store: &Store<K>) -> HashMap<String, Held> {
    let objects = store.state();
    objects
        .iter()
        .filter_map(|object| {
            let held = Held {
                object: name(&**object),
                version: object.resource_version().unwrap_or_default(),
            };
            Some((object.uid()?, held))
        })
        .collect()
}

/// A change that the watch owes: since the store was read, this object is no longer as it was there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owed {
    uid: String,
    object: Name,
    /// The version in the store; none when it had no such object.
    held: Option<String>,
}

/// A store against a list.
struct Comparison {
    /// Of the store, what was not met in the list yet.
    unmet: HashMap<String, Held>,
    owed: Vec<Owed>,
}

impl Comparison {
    fn new(held: HashMap<String, Held>) -> Self {
        Self {
            unmet: held,
            owed: Vec::new(),
        }
    }

    /// The list has this one.
    fn listed<K: Resource>(&mut self, object: &K) {
        let Some(uid) = object.uid() else { return };
        let held = self.unmet.remove(&uid).map(|held| held.version);
        if held.is_none() || held != object.resource_version() {
            self.owed.push(Owed {
                uid,
                object: name(object),
                held,
            });
        }
    }

    /// The list has no more. What is left of the store is gone for good, as no UID comes twice.
    fn end(self) -> Vec<Owed> {
        let gone = self.unmet.into_iter().map(|(uid, held)| Owed {
            uid,
            object: held.object,
            held: Some(held.version),
        });
        self.owed.into_iter().chain(gone).collect()
    }
}

/// What is owed still: the store has not moved. Where it has, the watch lives, whatever it brought.
fn late(owed: Vec<Owed>, now: &HashMap<String, Held>) -> Vec<Owed> {
    owed.into_iter()
        .filter(|owed| now.get(&owed.uid).map(|held| &held.version) == owed.held.as_ref())
        .collect()
}

#[cfg(test)]
mod tests;
