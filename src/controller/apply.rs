//! Writing to the API server: who writes, and only what differs.

use std::fmt::Debug;

use kube::api::{Api, Patch, PatchParams};
use kube::core::object::HasStatus;
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// Field manager of everything the controller writes except statuses.
pub const WORKLOADS: &str = "teams-graph-operator";
/// Field manager of statuses.
pub const STATUS: &str = "teams-graph-operator/status";

/// A kind of this operator, as far as writing needs it.
pub trait Object:
    Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
}

impl<K> Object for K where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
        + 'static
{
}

/// The API for the namespace of `object`.
pub fn api_for<K: Object>(client: &Client, object: &K) -> Api<K> {
    Api::namespaced(client.clone(), &object.namespace().unwrap_or_default())
}

/// Writes a status if it differs from the one that was read.
/// With `fenced`, only if nobody wrote the object since: a controller that lost its lease fails here.
pub async fn status<K: Object, S: Serialize + PartialEq>(
    client: &Client,
    object: &K,
    old: Option<&S>,
    new: &S,
    fenced: bool,
) -> Result<Option<K>, kube::Error> {
    if old == Some(new) {
        return Ok(None);
    }
    let mut patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": object.name_any() },
        "status": new,
    });
    if fenced {
        patch["metadata"]["resourceVersion"] = json!(object.resource_version());
    }
    let params = PatchParams::apply(STATUS).force();
    let name = object.name_any();
    api_for(client, object)
        .patch_status(&name, &params, &Patch::Apply(patch))
        .await
        .map(|written| Some(lean(written)))
}

/// Tries of a status that must not be lost, while others write the rest of the object.
const TRIES: usize = 5;

/// What became of a status.
pub enum Settled<K> {
    /// There was nothing to write.
    Same,
    /// It is written.
    Written(K),
    /// Another wrote a status since, or another object has this name: nothing was written.
    Overtaken(Option<K>),
}

/// Writes what came of the status of `object`, however the rest was changed meanwhile; but not over a status that it does not rest
/// on: a controller that stood still for longer than its lease knows nothing of what came after.
pub async fn settle<K, S>(client: &Client, object: &K, new: &S) -> Result<Settled<K>, kube::Error>
where
    K: Object + HasStatus<Status = S>,
    S: Serialize + PartialEq,
{
    let mut newest = None;
    let mut tries = 1;
    loop {
        let onto = newest.as_ref().unwrap_or(object);
        match status(client, onto, onto.status(), new, true).await {
            Ok(written) => return Ok(written.map_or(Settled::Same, Settled::Written)),
            Err(kube::Error::Api(refused)) if refused.code == 409 && tries < TRIES => tries += 1,
            Err(error) => return Err(error),
        }
        let fresh = api_for(client, object).get_opt(&object.name_any()).await?.map(lean);
        let fresh = fresh.filter(|fresh| fresh.meta().uid == object.meta().uid);
        match fresh {
            Some(fresh) if fresh.status() == object.status() => newest = Some(fresh),
            fresh => return Ok(Settled::Overtaken(fresh)),
        }
    }
}

/// Without the record of who set which field: it is longer than the object, and nobody here reads it.
pub fn lean<K: Object>(mut object: K) -> K {
    object.meta_mut().managed_fields = None;
    object
}

/// Adds the finalizer, unless it is there, or too late: a deleted object takes none.
pub async fn add_finalizer<K: Object>(client: &Client, object: &K, finalizer: &str) -> Result<Option<K>, kube::Error> {
    if has_finalizer(object, finalizer) || object.meta().deletion_timestamp.is_some() {
        return Ok(None);
    }
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(finalizer.to_owned());
    patch_finalizers(client, object, &finalizers)
        .await
        .map(|held| Some(lean(held)))
}

/// Removes the finalizer, which lets a deleted object go. `false` when there was none to remove.
pub async fn remove_finalizer<K: Object>(client: &Client, object: &K, finalizer: &str) -> Result<bool, kube::Error> {
    if !has_finalizer(object, finalizer) {
        return Ok(false);
    }
    let finalizers: Vec<_> = object
        .finalizers()
        .iter()
        .filter(|name| *name != finalizer)
        .cloned()
        .collect();
    match patch_finalizers(client, object, &finalizers).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        other => other.map(|_| true),
    }
}

/// Whether the object has the finalizer.
pub fn has_finalizer<K: Object>(object: &K, finalizer: &str) -> bool {
    object.finalizers().iter().any(|name| name == finalizer)
}

/// A list is replaced as a whole, so the patch is refused when the object changed since it was read.
async fn patch_finalizers<K: Object>(client: &Client, object: &K, finalizers: &[String]) -> Result<K, kube::Error> {
    let patch = json!({
        "metadata": { "finalizers": finalizers, "resourceVersion": object.resource_version(), "uid": object.uid() }
    });
    let params = PatchParams {
        field_manager: Some(WORKLOADS.to_owned()),
        ..Default::default()
    };
    api_for(client, object)
        .patch(&object.name_any(), &params, &Patch::Merge(patch))
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::FINALIZER;
    use crate::api::subscription::{GraphSubscription, GraphSubscriptionStatus};
    use crate::controller::testing::{recording, refusal};

    fn object(finalizers: &[&str]) -> GraphSubscription {
        serde_json::from_value(json!({
            "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription",
            "metadata": { "name": "calls", "namespace": "n", "uid": "u", "resourceVersion": "7", "finalizers": finalizers },
            "spec": {
                "tenantRef": { "name": "t" }, "receiverRef": { "name": "r" },
                "resource": "users", "changeTypes": ["Updated"],
            },
        }))
        .unwrap()
    }

    fn with_generation(observed_generation: i64) -> GraphSubscriptionStatus {
        GraphSubscriptionStatus {
            observed_generation,
            ..Default::default()
        }
    }

    #[tokio::test]
    async fn an_equal_status_is_not_written() {
        let (client, asked) = recording(|_| refusal(500, "InternalError"));
        let same = with_generation(1);
        let written = status(&client, &object(&[]), Some(&same), &same, true).await.unwrap();
        assert!(written.is_none() && asked.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_fenced_status_is_refused_when_the_object_changed() {
        let (client, asked) = recording(|_| refusal(409, "Conflict"));
        let (old, new) = (with_generation(1), with_generation(2));
        let refused = status(&client, &object(&[]), Some(&old), &new, true).await.unwrap_err();
        assert!(matches!(refused, kube::Error::Api(status) if status.code == 409));
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 1, "the caller decides about another try");
        assert_eq!(
            asked[0].path,
            "/apis/teamsgraph.dev/v1alpha1/namespaces/n/graphsubscriptions/calls/status"
        );
        assert_eq!(
            asked[0].body["metadata"],
            json!({ "name": "calls", "resourceVersion": "7" })
        );
        assert_eq!(asked[0].body["status"]["observedGeneration"], 2);
        assert!(asked[0].body.get("spec").is_none());
        assert!(
            asked[0].query.contains("fieldManager=teams-graph-operator%2Fstatus"),
            "{}",
            asked[0].query
        );
    }

    #[tokio::test]
    async fn an_unfenced_status_is_written_over_any_version() {
        let (client, asked) = recording(|_| (200, serde_json::to_value(object(&[])).unwrap()));
        let written = status(&client, &object(&[]), None, &with_generation(2), false)
            .await
            .unwrap();
        assert!(written.is_some());
        assert_eq!(asked.lock().unwrap()[0].body["metadata"], json!({ "name": "calls" }));
    }

    #[tokio::test]
    async fn a_status_is_tried_again_while_others_write_the_rest_but_not_for_ever() {
        let (client, asked) = recording(|asked| match asked.method.as_str() {
            "GET" => (200, serde_json::to_value(object(&[])).unwrap()),
            _ => refusal(409, "Conflict"),
        });
        let refused = settle(&client, &object(&[]), &with_generation(2)).await;
        assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 409));
        let asked = asked.lock().unwrap();
        let writes = asked.iter().filter(|asked| asked.method == "PATCH").count();
        assert_eq!((writes, asked.len()), (TRIES, 2 * TRIES - 1));
    }

    #[tokio::test]
    async fn a_finalizer_is_added_once_beside_the_others() {
        let (client, asked) = recording(|_| (200, serde_json::to_value(object(&["other", FINALIZER])).unwrap()));
        let held = add_finalizer(&client, &object(&["other"]), FINALIZER).await.unwrap();
        assert!(has_finalizer(&held.unwrap(), FINALIZER));
        assert!(
            add_finalizer(&client, &object(&[FINALIZER]), FINALIZER)
                .await
                .unwrap()
                .is_none()
        );
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 1);
        let expected = json!({ "finalizers": ["other", FINALIZER], "resourceVersion": "7", "uid": "u" });
        assert_eq!(asked[0].body["metadata"], expected);
    }

    #[tokio::test]
    async fn a_finalizer_is_removed_alone_and_from_what_is_gone_too() {
        for (code, fine) in [(200, true), (404, true), (409, false), (500, false)] {
            let (client, asked) = recording(move |_| match code {
                200 => (200, serde_json::to_value(object(&["other"])).unwrap()),
                code => refusal(code, "No"),
            });
            let result = remove_finalizer(&client, &object(&[FINALIZER, "other"]), FINALIZER).await;
            assert_eq!(result.is_ok(), fine, "{code}");
            assert_eq!(
                asked.lock().unwrap()[0].body["metadata"]["finalizers"],
                json!(["other"])
            );
        }
        let (client, asked) = recording(|_| refusal(500, "InternalError"));
        remove_finalizer(&client, &object(&["other"]), FINALIZER).await.unwrap();
        assert!(asked.lock().unwrap().is_empty());
    }
}
