//! What was written last, for the moments in which the watch has not brought it back yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::ResourceExt;

use super::apply::Object;

/// Objects by UID, each as the API server returned it from our last write, until the store has caught up.
/// Deciding on an older one would repeat what was just done: a renewal within ten minutes of the last one, for instance.
pub struct Written<K>(Mutex<HashMap<String, Arc<K>>>);

impl<K> Default for Written<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Object> Written<K> {
    /// Remembers what was written.
    pub fn put(&self, object: Arc<K>) {
        if let Some(uid) = object.uid() {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(uid, object);
        }
    }

    /// The newer of `seen` and what was written.
    pub fn newest(&self, seen: Arc<K>) -> Arc<K> {
        let uid = seen.uid().unwrap_or_default();
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
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
        let written = Written::default();
        written.put(tenant("100"));
        let newest = |version: &str| written.newest(tenant(version)).resource_version().unwrap();
        assert_eq!(newest("99"), "100");
        assert_eq!(newest("99"), "100");
        assert_eq!(newest("101"), "101");
        assert!(written.0.lock().unwrap().is_empty(), "the store has caught up");
        assert_eq!(newest("99"), "99");
        written.put(tenant("odd"));
        assert_eq!(newest("odder"), "odder");
    }
}
