//! How the outside reaches a receiver: Ingress or HTTPRoute.

use kube::ResourceExt;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::{metadata, name, public_address};
use crate::api::receiver::NotificationReceiver;

/// An Ingress, if one is wanted.
pub fn ingress(receiver: &NotificationReceiver) -> Option<Value> {
    let wanted = receiver.spec.ingress.as_ref()?;
    let (host, path) = public_address(receiver);
    let mut ingress = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(receiver, &name(&receiver.name_any())),
        "spec": {
            "rules": [{ "host": host, "http": { "paths": [{
                "path": if path.is_empty() { "/" } else { &path },
                "pathType": "Prefix",
                "backend": { "service": { "name": name(&receiver.name_any()), "port": { "name": "webhook" } } },
            }] } }],
        },
    });
    if let Some(class) = &wanted.class_name {
        ingress["spec"]["ingressClassName"] = json!(class);
    }
    if let Some(secret) = &wanted.tls_secret_name {
        ingress["spec"]["tls"] = json!([{ "hosts": [host], "secretName": secret }]);
    }
    if let Some(annotations) = &wanted.annotations {
        ingress["metadata"]["annotations"] = json!(annotations);
    }
    Some(ingress)
}

/// The kind HTTPRoute, which a cluster need not have.
pub fn http_route_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute"))
}

/// An HTTPRoute, if one is wanted.
pub fn http_route(receiver: &NotificationReceiver) -> Option<Value> {
    let wanted = receiver.spec.http_route.as_ref()?;
    let (host, path) = public_address(receiver);
    let parents: Vec<Value> = wanted
        .parent_refs
        .iter()
        .map(|parent| {
            let mut reference = json!({ "name": parent.gateway.name });
            if let Some(namespace) = &parent.gateway.namespace {
                reference["namespace"] = json!(namespace);
            }
            if let Some(section) = &parent.section_name {
                reference["sectionName"] = json!(section);
            }
            reference
        })
        .collect();
    Some(json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(receiver, &name(&receiver.name_any())),
        "spec": {
            "parentRefs": parents,
            "hostnames": [host],
            "rules": [{
                "matches": [{ "path": { "type": "PathPrefix", "value": if path.is_empty() { "/" } else { &path } } }],
                "backendRefs": [{ "name": name(&receiver.name_any()), "port": 443 }],
            }],
        },
    }))
}
