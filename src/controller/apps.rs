//! The Graph clients, one per `GraphTenant`. Tenants with the same app in the same Microsoft tenant share limiter and clock.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::api::reference::ObjectRef;
use crate::graph::{App, Graph, Metrics};
use crate::policy::subscription::Refusal;

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
}

/// Graph clients by tenant.
#[derive(Default)]
pub struct Apps(Mutex<HashMap<ObjectRef, Entry>>);

impl Apps {
    /// What is known about a tenant's app.
    pub fn get(&self, tenant: &ObjectRef) -> Option<Entry> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(tenant)
            .cloned()
    }

    /// The client for an app: the one there is, if app and credential are the same; otherwise a new one that shares the limiter
    /// with any other of the same app.
    pub fn client(
        &self,
        tenant: &ObjectRef,
        app: App,
        credential: &str,
        http: &reqwest::Client,
        metrics: &Metrics,
    ) -> Graph {
        let fingerprint = app.fingerprint();
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = entries
            .get(tenant)
            .filter(|entry| entry.fingerprint == fingerprint && entry.credential == credential);
        if let Some(graph) = same.and_then(|entry| entry.graph.as_ref().ok()) {
            return graph.clone();
        }
        let relative = entries
            .values()
            .find(|entry| entry.fingerprint == fingerprint)
            .and_then(|entry| entry.graph.as_ref().ok());
        let graph = match relative {
            Some(relative) => relative.with_credential(app.credential),
            None => Graph::new(app, http.clone(), metrics.clone()),
        };
        let entry = Entry {
            graph: Ok(graph.clone()),
            fingerprint,
            credential: credential.to_owned(),
            permissions: None,
        };
        entries.insert(tenant.clone(), entry);
        graph
    }

    /// Remembers what the current token permits. `true` when that is news.
    pub fn set_permissions(&self, tenant: &ObjectRef, permissions: Option<Vec<String>>) -> bool {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = entries.get_mut(tenant) else {
            return false;
        };
        let news = entry.permissions != permissions;
        entry.permissions = permissions;
        news
    }

    /// Remembers why a tenant has no client. `true` when that is news.
    pub fn refuse(&self, tenant: &ObjectRef, refusal: Refusal) -> bool {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = Entry {
            graph: Err(refusal.clone()),
            fingerprint: String::new(),
            credential: String::new(),
            permissions: None,
        };
        let old = entries.insert(tenant.clone(), entry);
        old.is_none_or(|old| old.graph.err() != Some(refusal))
    }

    /// Forgets a tenant that is gone.
    pub fn forget(&self, tenant: &ObjectRef) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant);
    }
}
