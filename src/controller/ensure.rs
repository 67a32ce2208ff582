//! Makes objects in the cluster as wanted, and writes only what differs.

use std::fmt::Debug;

use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::apply::WORKLOADS;
use crate::policy::identity::fingerprint;

/// Label that says who made an object.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Fingerprint of what an object was made from.
const APPLIED_ANNOTATION: &str = "teamsgraph.dev/applied";

/// Makes an object as wanted. One that already is gets no write: idle means idle.
pub async fn put<K>(client: &Client, namespace: &str, wanted: Value) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    put_at(&api, wanted).await
}

/// The same, for a kind that is found out at run time.
pub async fn put_at<K>(api: &Api<K>, mut wanted: Value) -> Result<K, kube::Error>
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    sign(&mut wanted);
    let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
    if let Some(found) = api.get_opt(name).await? {
        let as_it_is = serde_json::to_value(&found).map_err(kube::Error::SerdeError)?;
        if !is_ours(as_it_is["metadata"]["labels"][MANAGED_BY].as_str()) {
            return Err(taken(&wanted));
        }
        if holds(&as_it_is, &wanted) {
            return Ok(found);
        }
    }
    api.patch(name, &PatchParams::apply(WORKLOADS).force(), &Patch::Apply(&wanted))
        .await
}

/// Notes in the object what it was made from: what is no longer wanted would not be missed otherwise.
pub fn sign(wanted: &mut Value) {
    let fingerprint = fingerprint(&wanted.to_string());
    wanted["metadata"]["annotations"][APPLIED_ANNOTATION] = Value::String(fingerprint);
}

/// Whether `found` has everything that is `wanted`; defaults that the server filled in make no difference.
pub fn holds(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
            found
                .get(key)
                .map_or_else(|| is_empty(wanted), |found| holds(found, wanted))
        }),
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| holds(found, wanted))
        }
        _ => found == wanted,
    }
}

fn is_ours(managed_by: Option<&str>) -> bool {
    managed_by == Some(WORKLOADS)
}

/// A user's own object with the name that ours would have is not taken over: it would go with ours.
fn taken(wanted: &Value) -> kube::Error {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let message = format!(
        "{} {} exists and was not made by this operator; remove it, or give ours another name",
        text(&wanted["kind"]),
        text(&wanted["metadata"]["name"])
    );
    let status = kube::core::Status::failure(&message, "AlreadyExists").with_code(422);
    kube::Error::Api(status.boxed())
}

/// The server leaves empty lists out of what it returns.
fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

/// Removes an object of ours, if it is there. A kind that the cluster does not have counts as absent.
pub async fn remove<K: Clone + Debug + DeserializeOwned + ResourceExt>(
    api: &Api<K>,
    name: &str,
) -> Result<(), kube::Error> {
    let found = match api.get_metadata(name).await {
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        other => other?,
    };
    if is_ours(found.labels().get(MANAGED_BY).map(String::as_str)) {
        api.delete(name, &DeleteParams::default()).await?;
    }
    Ok(())
}
