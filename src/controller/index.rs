//! The subscriptions by what they name: who shares a tenant, a receiver, or what is watched, and who holds what is at Graph.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hash, RandomState};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kube::ResourceExt;

use crate::api::reference::ObjectRef;
use crate::api::subscription::GraphSubscription;

type Uid = Arc<str>;

/// What subscriptions may have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// The tenant, by its full reference.
    Tenant(ObjectRef),
    /// The receiver, by its full reference.
    Receiver(ObjectRef),
    /// Resource, in lower case, and change types. Graph admits one subscription of an app for them.
    Watched(String, String),
    /// The id of the remote subscription on record.
    Remote(String),
}

impl Group {
    /// What `object` watches.
    pub fn watched_by(object: &GraphSubscription) -> Self {
        Self::Watched(
            object.spec.resource.to_ascii_lowercase(),
            object.spec.graph_change_type(),
        )
    }

    fn of(object: &GraphSubscription) -> impl Iterator<Item = Self> {
        let receiver = object.receiver().map(Self::Receiver);
        let remote = remote(object).map(|id| Self::Remote(id.to_owned()));
        [Self::Tenant(object.tenant()), Self::watched_by(object)]
            .into_iter()
            .chain(receiver)
            .chain(remote)
    }

    /// Whether `object` is of it. Called for each member of a group, so nothing is copied.
    fn has(&self, object: &GraphSubscription) -> bool {
        let spec = &object.spec;
        match self {
            Self::Tenant(tenant) => is(&spec.tenant_ref, tenant, object),
            Self::Receiver(receiver) => spec
                .receiver_ref
                .as_ref()
                .is_some_and(|named| is(named, receiver, object)),
            Self::Watched(resource, changes) => {
                spec.resource.eq_ignore_ascii_case(resource) && spec.graph_change_type() == *changes
            }
            Self::Remote(id) => remote(object) == Some(id),
        }
    }
}

fn remote(object: &GraphSubscription) -> Option<&str> {
    object.status.as_ref()?.subscription_id.as_deref()
}

/// Whether `named`, by `object`, is this.
fn is(named: &ObjectRef, this: &ObjectRef, object: &GraphSubscription) -> bool {
    let namespace = named.namespace.as_ref().or(object.metadata.namespace.as_ref());
    named.name == this.name && namespace == this.namespace.as_ref()
}

/// Kept by the watch, beside the store and with the store's own objects. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub struct Index(Arc<RwLock<Tables>>);

#[derive(Default)]
struct Tables {
    objects: HashMap<Uid, Arc<GraphSubscription>>,
    /// By the hash of a group: few bytes for each object. Hashes that meet are told apart on reading.
    groups: BTreeSet<(u64, Uid)>,
    hasher: RandomState,
}

impl Tables {
    fn put(&mut self, object: Arc<GraphSubscription>) -> Option<Arc<GraphSubscription>> {
        let uid: Uid = object.uid()?.into();
        let old = self.remove(&uid);
        for group in Group::of(&object) {
            self.groups.insert((self.hasher.hash_one(&group), uid.clone()));
        }
        self.objects.insert(uid, object);
        old
    }

    fn remove(&mut self, uid: &str) -> Option<Arc<GraphSubscription>> {
        let (uid, old) = self.objects.remove_entry(uid)?;
        for group in Group::of(&old) {
            self.groups.remove(&(self.hasher.hash_one(&group), uid.clone()));
        }
        Some(old)
    }

    fn in_group(&self, group: &Group) -> impl Iterator<Item = &Arc<GraphSubscription>> {
        let hash = self.hasher.hash_one(group);
        let from = Bound::Included((hash, Uid::from("")));
        self.groups
            .range((from, Bound::Unbounded))
            .take_while(move |(other, _)| *other == hash)
            .filter_map(|(_, uid)| self.objects.get(uid))
            .filter(|object| group.has(object))
    }
}

impl Index {
    /// Takes an object in, in the place of the one with its UID, which is returned.
    pub fn put(&self, object: Arc<GraphSubscription>) -> Option<Arc<GraphSubscription>> {
        self.write().put(object)
    }

    /// Takes an object out.
    pub fn remove(&self, uid: &str) -> Option<Arc<GraphSubscription>> {
        self.write().remove(uid)
    }

    /// Takes in exactly these, and returns those that were there and are no more.
    pub fn replace(&self, objects: Vec<Arc<GraphSubscription>>) -> Vec<Arc<GraphSubscription>> {
        let mut tables = self.write();
        let mut before = std::mem::take(&mut *tables).objects;
        for object in objects {
            before.remove(object.metadata.uid.as_deref().unwrap_or_default());
            tables.put(object);
        }
        before.into_values().collect()
    }

    /// The object with this UID.
    pub fn get(&self, uid: &str) -> Option<Arc<GraphSubscription>> {
        self.read().objects.get(uid).cloned()
    }

    /// The objects of a group.
    pub fn of(&self, group: &Group) -> Vec<Arc<GraphSubscription>> {
        self.read().in_group(group).cloned().collect()
    }

    /// Whether a group has a member other than the one with this UID.
    pub fn has_others(&self, group: &Group, uid: Option<&str>) -> bool {
        self.read()
            .in_group(group)
            .any(|object| object.metadata.uid.as_deref() != uid)
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::subscription::GraphSubscriptionStatus;

    fn object(uid: &str, tenant: &str, receiver: Option<&str>, resource: &str) -> Arc<GraphSubscription> {
        let receiver = receiver.map(|name| json!({ "name": name }));
        let object = json!({
            "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription",
            "metadata": { "name": uid, "namespace": "n", "uid": uid },
            "spec": {
                "tenantRef": { "name": tenant }, "receiverRef": receiver,
                "resource": resource, "changeTypes": ["Updated", "Created"],
            },
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn reference(name: &str) -> ObjectRef {
        ObjectRef {
            name: name.to_owned(),
            namespace: Some("n".to_owned()),
        }
    }

    fn uids(index: &Index, group: &Group) -> Vec<String> {
        let mut uids: Vec<_> = index.of(group).iter().filter_map(|object| object.uid()).collect();
        uids.sort();
        uids
    }

    #[test]
    fn members_are_found_under_what_they_name_now() {
        let index = Index::default();
        for object in [
            object("a", "t", Some("r"), "Users"),
            object("b", "t", None, "users"),
            object("c", "u", Some("r"), "groups"),
        ] {
            assert!(index.put(object).is_none());
        }
        let tenant = |name: &str| uids(&index, &Group::Tenant(reference(name)));
        let receiver = || uids(&index, &Group::Receiver(reference("r")));
        let watched = |resource: &str| {
            uids(
                &index,
                &Group::Watched(resource.to_owned(), "created,updated".to_owned()),
            )
        };
        assert_eq!(
            (tenant("t"), receiver()),
            (
                vec!["a".to_owned(), "b".to_owned()],
                vec!["a".to_owned(), "c".to_owned()]
            )
        );
        assert_eq!(watched("users"), ["a", "b"], "whatever the case");
        assert_eq!(
            watched("users"),
            uids(&index, &Group::watched_by(&object("x", "y", None, "USERS")))
        );

        let before = index.put(object("a", "u", None, "groups")).unwrap();
        assert_eq!(before.spec.resource, "Users");
        assert_eq!(
            (tenant("t"), tenant("u")),
            (vec!["b".to_owned()], vec!["a".to_owned(), "c".to_owned()])
        );
        assert_eq!(
            (receiver(), watched("users")),
            (vec!["c".to_owned()], vec!["b".to_owned()])
        );
        assert!(index.has_others(&Group::Tenant(reference("u")), Some("a")));
        assert!(!index.has_others(&Group::Tenant(reference("t")), Some("b")));
    }

    #[test]
    fn the_holder_of_a_remote_subscription_is_found_by_its_id() {
        let index = Index::default();
        let holding = |id: Option<&str>| {
            let mut object = (*object("a", "t", None, "users")).clone();
            object.status = Some(GraphSubscriptionStatus {
                subscription_id: id.map(str::to_owned),
                ..Default::default()
            });
            Arc::new(object)
        };
        let held = |id: &str| index.has_others(&Group::Remote(id.to_owned()), None);
        index.put(holding(Some("1")));
        assert!(held("1") && !held("2"));
        index.put(holding(Some("2")));
        assert!(!held("1") && held("2"));
        index.put(holding(None));
        assert!(!held("2"));
    }

    #[test]
    fn nothing_is_kept_of_what_is_gone() {
        let index = Index::default();
        for uid in ["a", "b", "c"] {
            index.put(object(uid, "t", Some("r"), "users"));
        }
        assert_eq!(index.remove("a").and_then(|object| object.uid()).as_deref(), Some("a"));
        assert!(index.remove("a").is_none() && index.get("a").is_none());
        let gone = index.replace(vec![object("c", "t", None, "users"), object("d", "t", None, "users")]);
        assert_eq!(gone.iter().filter_map(|object| object.uid()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(uids(&index, &Group::Tenant(reference("t"))), ["c", "d"]);
        for uid in ["c", "d"] {
            index.remove(uid);
        }
        let tables = index.read();
        assert!(tables.objects.is_empty() && tables.groups.is_empty());
    }
}
