//! What a receiver is built of: pure builders, and one function that applies what they give.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, DynamicObject};
use kube::{Client, Resource, ResourceExt};
use serde_json::{Value, json};
use url::Url;

use crate::api::condition::Reason;
use crate::api::receiver::{NotificationReceiver, Sink};
use crate::api::receiver_config::{
    CONFIG_DIR, CONFIG_FILE, DATA_DIR, INTERNAL_PORT, KEYRING_DIR, PullConfig, ReceiverConfig, SinkConfig, SinkTarget,
    TLS_DIR, TOKENS_DIR, WEBHOOK_PORT,
};
use crate::controller::context::Settings;
use crate::controller::ensure;
use crate::policy::subscription::Refusal;

mod exposure;
#[cfg(test)]
mod tests;

use exposure::{http_route, http_route_resource, ingress};

/// User and group of the pods; nobody's in particular.
const USER: i64 = 65532;
/// File of the pull token among the tokens.
const PULL_TOKEN_FILE: &str = "pull";

/// Name of the StatefulSet and of the Service in front of it.
pub fn name(receiver: &str) -> String {
    format!("{receiver}-receiver")
}

/// Name of a receiver's pod.
pub fn pod_name(receiver: &str, pod: i32) -> String {
    format!("{}-{pod}", name(receiver))
}

/// Name of the Service that gives each pod a name.
pub fn headless_name(receiver: &str) -> String {
    format!("{receiver}-receiver-pods")
}

/// Name of the keyring Secret.
pub fn keyring_name(receiver: &str) -> String {
    format!("{receiver}-receiver-keyring")
}

/// Labels of everything that belongs to a receiver.
pub fn labels(receiver: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "teams-graph-receiver"),
        ("app.kubernetes.io/instance", receiver),
        ("app.kubernetes.io/managed-by", "teams-graph-operator"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// Secrets of the user's that the pods mount: the field that names each, its name, and the keys it must have.
pub fn mounted_secrets(receiver: &NotificationReceiver) -> Vec<(String, String, Vec<&str>)> {
    let spec = &receiver.spec;
    let mut secrets = Vec::new();
    if let Some(tls) = &spec.tls {
        secrets.push((
            "spec.tls.secretRef".to_owned(),
            tls.secret_ref.name.clone(),
            vec!["tls.crt", "tls.key"],
        ));
    }
    for (index, sink) in spec.sinks.iter().enumerate() {
        if let Some(token) = sink.http.as_ref().and_then(|http| http.token_secret_ref.as_ref()) {
            secrets.push((
                format!("spec.sinks[{index}].http.tokenSecretRef"),
                token.name.clone(),
                vec![&token.key],
            ));
        }
    }
    if let Some(pull) = &spec.pull {
        secrets.push((
            "spec.pull.tokenSecretRef".to_owned(),
            pull.token_secret_ref.name.clone(),
            vec![&pull.token_secret_ref.key],
        ));
    }
    secrets
}

/// Applies everything, and removes what is no longer wanted. Returns the StatefulSet as it is.
pub async fn apply(
    client: &Client,
    receiver: &NotificationReceiver,
    settings: &Settings,
) -> Result<Result<StatefulSet, Refusal>, kube::Error> {
    let namespace = receiver.namespace().unwrap_or_default();
    let name = name(&receiver.name_any());
    let config = match config_map(receiver) {
        Ok(config) => config,
        Err(refusal) => return Ok(Err(refusal)),
    };
    ensure::put::<ConfigMap>(client, &namespace, config).await?;
    ensure::put::<Service>(client, &namespace, headless_service(receiver)).await?;
    ensure::put::<Service>(client, &namespace, service(receiver)).await?;
    ensure::put::<PodDisruptionBudget>(client, &namespace, disruption_budget(receiver)).await?;
    let set = ensure::put::<StatefulSet>(client, &namespace, stateful_set(receiver, settings)).await?;
    let ingresses: Api<Ingress> = Api::namespaced(client.clone(), &namespace);
    match ingress(receiver) {
        Some(wanted) => ensure::put::<Ingress>(client, &namespace, wanted).await.map(drop)?,
        None => ensure::remove(&ingresses, &name).await?,
    }
    let routes: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &http_route_resource());
    match http_route(receiver) {
        Some(wanted) => match ensure::put_at(&routes, wanted).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {
                let message = "spec.httpRoute: this cluster has no HTTPRoute of gateway.networking.k8s.io/v1; install the Gateway API";
                return Ok(Err(Refusal::waiting(Reason::InvalidSpec, message)));
            }
            other => other.map(drop)?,
        },
        None => ensure::remove(&routes, &name).await?,
    }
    Ok(Ok(set))
}

/// The StatefulSet as it is, if there is one.
pub async fn find(client: &Client, receiver: &NotificationReceiver) -> Result<Option<StatefulSet>, kube::Error> {
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), &receiver.namespace().unwrap_or_default());
    sets.get_opt(&name(&receiver.name_any())).await
}

fn metadata(receiver: &NotificationReceiver, name: &str) -> Value {
    json!({
        "name": name,
        "labels": labels(&receiver.name_any()),
        "ownerReferences": [receiver.controller_owner_ref(&())],
    })
}

fn selector(receiver: &NotificationReceiver) -> Value {
    json!({ "app.kubernetes.io/name": "teams-graph-receiver", "app.kubernetes.io/instance": receiver.name_any() })
}

fn config_map(receiver: &NotificationReceiver) -> Result<Value, Refusal> {
    let spec = &receiver.spec;
    let config = ReceiverConfig {
        path_prefix: public_address(receiver).1,
        retention_seconds: spec.retention.seconds().ok_or_else(|| {
            Refusal::stalled(
                Reason::InvalidSpec,
                "spec.retention must be longer than zero, such as 72h",
            )
        })?,
        storage_bytes: spec.storage.bytes().unwrap_or(1 << 30) / 5 * 4,
        sinks: spec.sinks.iter().map(sink_config).collect(),
        pull: spec.pull.as_ref().map(|pull| PullConfig {
            token_file: PULL_TOKEN_FILE.to_owned(),
            consumers: pull.consumers.clone(),
        }),
    };
    let text = serde_json::to_string_pretty(&config)
        .map_err(|error| Refusal::waiting(Reason::InvalidSpec, error.to_string()))?;
    Ok(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(receiver, &name(&receiver.name_any())),
        "data": { CONFIG_FILE: text },
    }))
}

fn sink_config(sink: &Sink) -> SinkConfig {
    let target = sink.http.as_ref().map_or(SinkTarget::Stdout, |http| SinkTarget::Http {
        url: http.url.clone(),
        mode: http.mode,
        timeout_seconds: http.timeout.seconds().unwrap_or(10),
        token_file: http.token_secret_ref.as_ref().map(|_| sink_token_file(&sink.name)),
    });
    SinkConfig {
        name: sink.name.clone(),
        target,
    }
}

fn sink_token_file(sink: &str) -> String {
    format!("sink-{sink}")
}

/// Host and path of the public address. The schema admits only what can be read.
fn public_address(receiver: &NotificationReceiver) -> (String, String) {
    let url = Url::parse(&receiver.spec.public_url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned();
    let path = url
        .as_ref()
        .map(|url| url.path().trim_end_matches('/').to_owned())
        .unwrap_or_default();
    (host, path)
}

fn ports() -> Value {
    json!([
        { "name": "webhook", "port": WEBHOOK_PORT, "targetPort": "webhook" },
        { "name": "internal", "port": INTERNAL_PORT, "targetPort": "internal" },
    ])
}

/// Gives each pod a name, ready or not: the controller asks each of them.
fn headless_service(receiver: &NotificationReceiver) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(receiver, &headless_name(&receiver.name_any())),
        "spec": { "clusterIP": "None", "publishNotReadyAddresses": true, "selector": selector(receiver), "ports": ports() },
    })
}

/// What the outside reaches: the webhook alone. Metrics, pull and ingest stay inside.
fn service(receiver: &NotificationReceiver) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(receiver, &name(&receiver.name_any())),
        "spec": {
            "type": receiver.spec.service_type,
            "selector": selector(receiver),
            "ports": [
                { "name": "webhook", "port": 443, "targetPort": "webhook" },
            ],
        },
    })
}

fn disruption_budget(receiver: &NotificationReceiver) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(receiver, &name(&receiver.name_any())),
        "spec": { "maxUnavailable": 1, "selector": { "matchLabels": selector(receiver) } },
    })
}

fn stateful_set(receiver: &NotificationReceiver, settings: &Settings) -> Value {
    let spec = &receiver.spec;
    let resources = spec.resources.as_ref().map_or_else(
        || json!({ "requests": { "cpu": "10m", "memory": "64Mi" }, "limits": { "memory": "256Mi" } }),
        |resources| json!(resources),
    );
    let mut volumes = vec![
        json!({ "name": "config", "configMap": { "name": name(&receiver.name_any()) } }),
        json!({ "name": "keyring", "secret": { "secretName": keyring_name(&receiver.name_any()), "defaultMode": 0o440 } }),
        json!({ "name": "tokens", "projected": { "defaultMode": 0o440, "sources": token_sources(receiver) } }),
    ];
    let mut mounts = vec![
        json!({ "name": "config", "mountPath": CONFIG_DIR, "readOnly": true }),
        json!({ "name": "keyring", "mountPath": KEYRING_DIR, "readOnly": true }),
        json!({ "name": "tokens", "mountPath": TOKENS_DIR, "readOnly": true }),
        json!({ "name": "data", "mountPath": DATA_DIR }),
    ];
    if let Some(tls) = &spec.tls {
        volumes.push(json!({ "name": "tls", "secret": { "secretName": tls.secret_ref.name, "defaultMode": 0o440 } }));
        mounts.push(json!({ "name": "tls", "mountPath": TLS_DIR, "readOnly": true }));
    }
    let probe = |path: &str, period: i32| json!({ "httpGet": { "path": path, "port": "internal" }, "periodSeconds": period, "timeoutSeconds": 3 });
    let mut startup_probe = probe("/livez", 1);
    startup_probe["failureThreshold"] = json!(120);
    let mut container = json!({
        "name": "receiver",
        "image": settings.receiver_image,
        "args": ["receiver"],
        "env": environment(settings),
        "ports": [
            { "name": "webhook", "containerPort": WEBHOOK_PORT },
            { "name": "internal", "containerPort": INTERNAL_PORT },
        ],
        // The listeners come before the log, so this is short; a machine may be slow all the same.
        "startupProbe": startup_probe,
        "livenessProbe": probe("/livez", 10),
        "readinessProbe": probe("/readyz", 2),
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": mounts,
    });
    if let Some(policy) = &settings.receiver_image_pull_policy {
        container["imagePullPolicy"] = json!(policy);
    }
    let mut claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": "data" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": spec.storage.size } } },
    });
    if let Some(class) = &spec.storage.storage_class_name {
        claim["spec"]["storageClassName"] = json!(class);
    }
    let mut pod = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        // Longer than the drain: readiness off, accepts closed, requests ended, log synced.
        "terminationGracePeriodSeconds": 45,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": selector(receiver) },
        }],
        "containers": [container],
        "volumes": volumes,
    });
    if let Some(node_selector) = &spec.node_selector {
        pod["nodeSelector"] = json!(node_selector);
    }
    if let Some(tolerations) = &spec.tolerations {
        pod["tolerations"] = json!(tolerations);
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(receiver, &name(&receiver.name_any())),
        "spec": {
            "replicas": spec.replicas,
            "serviceName": headless_name(&receiver.name_any()),
            "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": selector(receiver) },
            "template": {
                "metadata": {
                    "labels": labels(&receiver.name_any()),
                    "annotations": { "prometheus.io/scrape": "true", "prometheus.io/port": INTERNAL_PORT.to_string() },
                },
                "spec": pod,
            },
            "volumeClaimTemplates": [claim],
        },
    })
}

/// The pods log as the controller does.
fn environment(settings: &Settings) -> Vec<Value> {
    let pod_name = json!({ "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } });
    let logging = settings
        .logging
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }));
    std::iter::once(pod_name).chain(logging).collect()
}

fn token_sources(receiver: &NotificationReceiver) -> Vec<Value> {
    let source = |name: &str, key: &str, path: String| json!({ "secret": { "name": name, "items": [{ "key": key, "path": path }] } });
    let sinks = receiver.spec.sinks.iter().filter_map(|sink| {
        let token = sink.http.as_ref()?.token_secret_ref.as_ref()?;
        Some(source(&token.name, &token.key, sink_token_file(&sink.name)))
    });
    let pull = receiver.spec.pull.iter().map(|pull| {
        source(
            &pull.token_secret_ref.name,
            &pull.token_secret_ref.key,
            PULL_TOKEN_FILE.to_owned(),
        )
    });
    sinks.chain(pull).collect()
}
