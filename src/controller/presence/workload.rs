//! What a worker is built of: pure builders, and functions that apply what they give.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use serde_json::{Value, json};

use super::secrets::Mounts;
use crate::api::condition::Reason;
use crate::api::presence::PresenceSync;
use crate::api::presence_config::{
    CONFIG_DIR, CONFIG_FILE, DATA_DIR, FEDERATED_TOKEN_FILE, INTERNAL_PORT, PresenceConfig, SECRETS_DIR, workload_name,
};
use crate::controller::apply::WORKLOADS;
use crate::controller::context::Settings;
use crate::controller::ensure;
use crate::policy::subscription::Refusal;

#[cfg(test)]
mod tests;

/// User and group of the pod; nobody's in particular.
const USER: i64 = 65532;
/// Label that tells workers from other pods of this operator.
pub const APP: &str = "teams-graph-presence";
/// Whom the pod's own token is for, with workload identity.
/// <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-create-trust>
const FEDERATION_AUDIENCE: &str = "api://AzureADTokenExchange";

/// Labels of everything that belongs to an object.
pub fn labels(sync: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", APP),
        ("app.kubernetes.io/instance", sync),
        ("app.kubernetes.io/managed-by", WORKLOADS),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// Applies everything. Returns the StatefulSet as it is.
pub async fn apply(
    client: &Client,
    sync: &PresenceSync,
    config: &PresenceConfig,
    mounts: &Mounts,
    settings: &Settings,
) -> Result<Result<StatefulSet, Refusal>, kube::Error> {
    let namespace = sync.namespace().unwrap_or_default();
    if let Err(refusal) = configure(client, sync, config).await? {
        return Ok(Err(refusal));
    }
    ensure::put::<Service>(client, &namespace, service(sync)).await?;
    let wanted = stateful_set(sync, config, mounts, settings);
    ensure::put::<StatefulSet>(client, &namespace, wanted).await.map(Ok)
}

/// Applies the configuration alone.
pub async fn configure(
    client: &Client,
    sync: &PresenceSync,
    config: &PresenceConfig,
) -> Result<Result<(), Refusal>, kube::Error> {
    let namespace = sync.namespace().unwrap_or_default();
    match config_map(sync, config) {
        Ok(map) => ensure::put::<ConfigMap>(client, &namespace, map).await.map(|_| Ok(())),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// The StatefulSet as it is, if there is one.
pub async fn find(client: &Client, sync: &PresenceSync) -> Result<Option<StatefulSet>, kube::Error> {
    sets(client, sync).get_opt(&workload_name(&sync.name_any())).await
}

/// Ends the pod. The volume stays, and what the worker remembers on it.
pub async fn scale_down(client: &Client, sync: &PresenceSync) -> Result<(), kube::Error> {
    let params = PatchParams {
        field_manager: Some(WORKLOADS.to_owned()),
        ..Default::default()
    };
    let none = Patch::Merge(json!({ "spec": { "replicas": 0 } }));
    let name = workload_name(&sync.name_any());
    match sets(client, sync).patch(&name, &params, &none).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    }
}

fn sets(client: &Client, sync: &PresenceSync) -> Api<StatefulSet> {
    Api::namespaced(client.clone(), &sync.namespace().unwrap_or_default())
}

fn metadata(sync: &PresenceSync) -> Value {
    json!({
        "name": workload_name(&sync.name_any()),
        "labels": labels(&sync.name_any()),
        "ownerReferences": [sync.controller_owner_ref(&())],
    })
}

fn selector(sync: &PresenceSync) -> Value {
    json!({ "app.kubernetes.io/name": APP, "app.kubernetes.io/instance": sync.name_any() })
}

fn config_map(sync: &PresenceSync, config: &PresenceConfig) -> Result<Value, Refusal> {
    let text = serde_json::to_string_pretty(config)
        .map_err(|error| Refusal::waiting(Reason::InvalidSpec, error.to_string()))?;
    Ok(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(sync),
        "data": { CONFIG_FILE: text },
    }))
}

/// Gives the pod a name, ready or not: the controller asks it.
fn service(sync: &PresenceSync) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(sync),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "selector": selector(sync),
            "ports": [{ "name": "internal", "port": INTERNAL_PORT, "targetPort": "internal" }],
        },
    })
}

/// One pod, never two: both would write for the same people.
fn stateful_set(sync: &PresenceSync, config: &PresenceConfig, mounts: &Mounts, settings: &Settings) -> Value {
    let spec = &sync.spec;
    let mut claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": "data" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": spec.storage.size } } },
    });
    if let Some(class) = &spec.storage.storage_class_name {
        claim["spec"]["storageClassName"] = json!(class);
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(sync),
        "spec": {
            "replicas": 1,
            "serviceName": workload_name(&sync.name_any()),
            "selector": { "matchLabels": selector(sync) },
            "template": {
                "metadata": {
                    "labels": labels(&sync.name_any()),
                    "annotations": { "prometheus.io/scrape": "true", "prometheus.io/port": INTERNAL_PORT.to_string() },
                },
                "spec": pod(sync, config, mounts, settings),
            },
            "volumeClaimTemplates": [claim],
        },
    })
}

fn pod(sync: &PresenceSync, config: &PresenceConfig, mounts: &Mounts, settings: &Settings) -> Value {
    let mut volumes = vec![json!({ "name": "config", "configMap": { "name": workload_name(&sync.name_any()) } })];
    let mut places = vec![
        json!({ "name": "config", "mountPath": CONFIG_DIR, "readOnly": true }),
        json!({ "name": "data", "mountPath": DATA_DIR }),
    ];
    for (number, (name, keys)) in mounts.iter().enumerate() {
        // A Secret's name may be longer than that of a volume.
        let volume = format!("secret-{number}");
        let mut secret = json!({ "secretName": name, "defaultMode": 0o440 });
        if !keys.is_empty() {
            let items: Vec<Value> = keys.iter().map(|key| json!({ "key": key, "path": key })).collect();
            secret["items"] = json!(items);
        }
        volumes.push(json!({ "name": volume, "secret": secret }));
        places.push(json!({ "name": volume, "mountPath": format!("{SECRETS_DIR}/{name}"), "readOnly": true }));
    }
    if let Some((volume, place)) = federation(config) {
        volumes.push(volume);
        places.push(place);
    }
    let mut pod = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        // Longer than the worker takes to end its writes.
        "terminationGracePeriodSeconds": 45,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [container(sync, &places, settings)],
        "volumes": volumes,
    });
    if let Some(node_selector) = &sync.spec.node_selector {
        pod["nodeSelector"] = json!(node_selector);
    }
    if let Some(tolerations) = &sync.spec.tolerations {
        pod["tolerations"] = json!(tolerations);
    }
    pod
}

fn container(sync: &PresenceSync, places: &[Value], settings: &Settings) -> Value {
    let resources = sync.spec.resources.as_ref().map_or_else(
        || json!({ "requests": { "cpu": "20m", "memory": "64Mi" }, "limits": { "memory": "256Mi" } }),
        |resources| json!(resources),
    );
    let probe = |path: &str, period: i32| json!({ "httpGet": { "path": path, "port": "internal" }, "periodSeconds": period, "timeoutSeconds": 3 });
    let mut startup_probe = probe("/livez", 1);
    startup_probe["failureThreshold"] = json!(120);
    let environment: Vec<Value> = settings
        .logging
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    let mut container = json!({
        "name": "presence",
        "image": settings.receiver_image,
        "args": ["presence-worker"],
        "env": environment,
        "ports": [{ "name": "internal", "containerPort": INTERNAL_PORT }],
        "startupProbe": startup_probe,
        "livenessProbe": probe("/livez", 10),
        "readinessProbe": probe("/readyz", 5),
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": places,
    });
    if let Some(policy) = &settings.receiver_image_pull_policy {
        container["imagePullPolicy"] = json!(policy);
    }
    container
}

/// The pod's own token for Entra, and nothing else that it could show to the API server.
fn federation(config: &PresenceConfig) -> Option<(Value, Value)> {
    let wanted = [&config.reader, &config.writer]
        .iter()
        .any(|app| app.credentials.workload_identity.is_some());
    let (folder, file) = FEDERATED_TOKEN_FILE.rsplit_once('/')?;
    let token = json!({ "audience": FEDERATION_AUDIENCE, "expirationSeconds": 3600, "path": file });
    wanted.then(|| {
        (
            json!({ "name": "federation", "projected": { "defaultMode": 0o440, "sources": [{ "serviceAccountToken": token }] } }),
            json!({ "name": "federation", "mountPath": folder, "readOnly": true }),
        )
    })
}
