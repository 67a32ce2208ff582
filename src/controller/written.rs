//! What was written last, for the moments in which the watch has not brought it back yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use super::apply::Object;

/// Objects by UID, each as the API server returned it from our last write, until the store has caught up.
/// Deciding on an older one would repeat what was just done: a renewal within ten minutes of the last one, for instance.
pub struct Written<K: Object> {
    kept: Mutex<HashMap<String, Arc<K>>>,
    store: Store<K>,
}

impl<K: Object> Written<K> {
    /// Nothing written yet; `store` is what has to catch up.
    pub fn new(store: Store<K>) -> Self {
        Self {
            kept: Mutex::default(),
            store,
        }
    }

    /// Remembers what was written, unless the store has it already.
    pub fn put(&self, object: Arc<K>) {
        let Some(uid) = object.uid() else { return };
        let mut kept = self.lock();
        let seen = self.store.get(&ObjectRef::from_obj(&*object));
        let caught_up = seen.is_some_and(|seen| seen.uid() == object.uid() && version(&*seen) >= version(&*object));
        if !caught_up {
            kept.insert(uid, object);
        }
    }

    /// The store has got `seen`: what was written before it is not needed any more.
    pub fn catch_up(&self, seen: &K) {
        let mut kept = self.lock();
        let uid = seen.meta().uid.as_deref().unwrap_or_default();
        if kept.get(uid).is_some_and(|ours| version(&**ours) <= version(seen)) {
            kept.remove(uid);
        }
    }

    /// The newer of `seen` and what was written.
    pub fn newest(&self, seen: Arc<K>) -> Arc<K> {
        let uid = seen.uid().unwrap_or_default();
        let mut written = self.lock();
        match written.get(&uid) {
            Some(ours) if version(&**ours) > version(&*seen) => ours.clone(),
            Some(_) => {
                written.remove(&uid);
                seen
            }
            None => seen,
        }
    }

    /// Forgets an object that goes.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<K>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resource versions of one kind grow; one that is not a number counts as old, which leaves the store's word.
fn version<K: Object>(object: &K) -> u128 {
    object
        .resource_version()
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::store;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;
    use crate::api::tenant::GraphTenant;

    fn tenant(version: &str) -> Arc<GraphTenant> {
        let tenant = json!({
            "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphTenant",
            "metadata": { "name": "t", "uid": "u", "resourceVersion": version },
            "spec": { "tenantId": "contoso.example", "credentials": { "workloadIdentity": {} } },
        });
        Arc::new(serde_json::from_value(tenant).unwrap())
    }

    #[test]
    fn a_stale_store_is_not_believed() {
        let (store, mut writer) = store();
        let written = Written::new(store);
        written.put(tenant("100"));
        let newest = |version: &str| written.newest(tenant(version)).resource_version().unwrap();
        assert_eq!(newest("99"), "100");
        assert_eq!(newest("99"), "100");
        assert_eq!(newest("101"), "101");
        assert!(written.lock().is_empty(), "the store has caught up");
        assert_eq!(newest("99"), "99");
        written.put(tenant("odd"));
        assert_eq!(newest("odder"), "odder");

        written.put(tenant("102"));
        written.catch_up(&tenant("101"));
        assert_eq!(written.lock().len(), 1);
        written.catch_up(&tenant("102"));
        assert!(written.lock().is_empty());
        writer.apply_watcher_event(&Event::Apply((*tenant("104")).clone()));
        written.put(tenant("103"));
        assert!(written.lock().is_empty(), "the watch was faster than the answer");
    }
}
