//! The Graph clients, one per `GraphTenant`. Tenants at the same addresses share the clock, those with the same app also its
//! limits over all tenants, and those with the same app in the same tenant the limiter.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::SignedDuration;

use crate::api::reference::ObjectRef;
use crate::graph::{App, Graph, Metrics};
use crate::local_clock;
use crate::policy::subscription::Refusal;

/// Clocks that moved less make no plan wrong.
const MOVED: SignedDuration = SignedDuration::from_mins(1);

/// What is known about a tenant's app.
#[derive(Clone)]
pub struct Entry {
    /// The client, or why there is none.
    pub graph: Result<Graph, Refusal>,
    /// Fingerprint of tenant, app and Graph address.
    pub fingerprint: String,
    /// Fingerprint of the credential's content.
    pub credential: String,
    /// Permissions in the current token, if it tells.
    pub permissions: Option<Vec<String>>,
    /// Whether signing in was tried, so that permissions and clock are known as far as they can be.
    pub tried: bool,
    /// Microsoft's clock minus this cluster's when subscriptions were last woken because of it.
    pub woken_by: SignedDuration,
}

impl Entry {
    fn is_for(&self, app: &App, credential: &str) -> bool {
        let graph = self.graph.as_ref();
        graph.is_ok_and(|graph| graph.is_for(app)) && self.credential == credential
    }
}

/// An entry, and the last one with a client before it. That is still good for a delete, and it keeps what the client has
/// learned, a pause that Microsoft asked for above all, while a Secret cannot be read.
struct Known {
    entry: Entry,
    before: Option<Entry>,
}

impl Known {
    fn last_good(&self) -> Option<&Entry> {
        self.entry
            .graph
            .as_ref()
            .map_or(self.before.as_ref(), |_| Some(&self.entry))
    }
}

impl From<Entry> for Known {
    fn from(entry: Entry) -> Self {
        Self { entry, before: None }
    }
}

/// Graph clients by tenant.
#[derive(Default)]
pub struct Apps(Mutex<HashMap<ObjectRef, Known>>);

impl Apps {
    /// What is known about a tenant's app.
    pub fn get(&self, tenant: &ObjectRef) -> Option<Entry> {
        self.lock().get(tenant).map(|known| known.entry.clone())
    }

    /// Whether a tenant's app is the one with this fingerprint.
    pub fn is(&self, tenant: &ObjectRef, fingerprint: &str) -> bool {
        self.lock()
            .get(tenant)
            .is_some_and(|known| known.entry.fingerprint == fingerprint)
    }

    /// Microsoft's clock minus this cluster's, as the client of a tenant corrects it.
    pub fn skew(&self, tenant: &ObjectRef) -> SignedDuration {
        let graph = self.lock().get(tenant).and_then(|known| known.entry.graph.clone().ok());
        graph.map_or(SignedDuration::ZERO, |graph| {
            graph.now().duration_since(local_clock::now())
        })
    }

    /// The last entry of a tenant that had a client, also while it is refused because, for instance, its Secret went first in
    /// a namespace that is deleted. For letting go of what was made with it, and for nothing else.
    pub fn last_good(&self, tenant: &ObjectRef) -> Option<Entry> {
        self.lock().get(tenant)?.last_good().cloned()
    }

    /// The client for an app: the one there is, if app, addresses and credential are the same; otherwise a new one that shares
    /// what it may with others: at the same addresses the clock, which is soon compared anew by the answers to whichever app; for
    /// the same app also what Graph admits to it over all tenants, and in the same tenant the limiter.
    pub fn client(
        &self,
        tenant: &ObjectRef,
        app: App,
        credential: &str,
        http: &reqwest::Client,
        metrics: &Metrics,
    ) -> Graph {
        let mut known = self.lock();
        let last = known.get(tenant).and_then(Known::last_good);
        let same = last.filter(|entry| entry.is_for(&app, credential)).cloned();
        if let Some((entry, graph)) = same.and_then(|entry| Some((entry.clone(), entry.graph.ok()?))) {
            known.insert(tenant.clone(), entry.into());
            return graph;
        }
        let fingerprint = app.fingerprint();
        // A new credential of the same app does not make it an unknown one.
        let before = last.filter(|entry| entry.fingerprint == fingerprint).cloned();
        let others = || {
            known
                .values()
                .filter_map(|known| known.last_good()?.graph.as_ref().ok())
        };
        let graph = others()
            .find_map(|other| other.beside(app.clone()))
            .or_else(|| others().find_map(|other| other.in_other_tenant(app.clone())))
            .or_else(|| others().find_map(|other| other.by_same_clock(app.clone())))
            .unwrap_or_else(|| Graph::new(app, http.clone(), metrics.clone()));
        let entry = Entry {
            graph: Ok(graph.clone()),
            fingerprint,
            credential: credential.to_owned(),
            permissions: before.as_ref().and_then(|before| before.permissions.clone()),
            tried: before.as_ref().is_some_and(|before| before.tried),
            woken_by: before.map(|before| before.woken_by).unwrap_or_default(),
        };
        known.insert(tenant.clone(), entry.into());
        graph
    }

    /// Remembers that signing in was tried. `true` when that is news.
    pub fn tried(&self, tenant: &ObjectRef) -> bool {
        let mut known = self.lock();
        known
            .get_mut(tenant)
            .is_some_and(|known| !std::mem::replace(&mut known.entry.tried, true))
    }

    /// Whether the clocks are now so far from where they were when this was last true that what was planned since is wrong.
    pub fn clocks_moved(&self, tenant: &ObjectRef, skew: SignedDuration) -> bool {
        let mut known = self.lock();
        let Some(Known { entry, .. }) = known.get_mut(tenant) else {
            return false;
        };
        let moved = (skew - entry.woken_by).abs() > MOVED;
        if moved {
            entry.woken_by = skew;
        }
        moved
    }

    /// Remembers what the current token permits. `true` when that is news.
    pub fn set_permissions(&self, tenant: &ObjectRef, permissions: Option<Vec<String>>) -> bool {
        let mut known = self.lock();
        let Some(Known { entry, .. }) = known.get_mut(tenant) else {
            return false;
        };
        let news = entry.permissions != permissions;
        entry.permissions = permissions;
        news
    }

    /// Remembers why a tenant has no client. `true` when that is news.
    pub fn refuse(&self, tenant: &ObjectRef, refusal: Refusal) -> bool {
        let mut known = self.lock();
        let old = known.remove(tenant);
        let news = old.as_ref().and_then(|old| old.entry.graph.as_ref().err()) != Some(&refusal);
        let entry = Entry {
            graph: Err(refusal),
            fingerprint: String::new(),
            credential: String::new(),
            permissions: None,
            tried: true,
            woken_by: SignedDuration::ZERO,
        };
        let before = old.as_ref().and_then(Known::last_good).cloned();
        known.insert(tenant.clone(), Known { entry, before });
        news
    }

    /// Forgets a tenant that is gone.
    pub fn forget(&self, tenant: &ObjectRef) {
        self.lock().remove(tenant);
    }

    /// Forgets every tenant but those to `keep`.
    pub fn retain(&self, keep: impl Fn(&ObjectRef) -> bool) {
        self.lock().retain(|tenant, _| keep(tenant));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
