//! The way to the leader: the `EndpointSlice` of a Service without a selector, made by whoever leads. A label on the leader's pod would
//! do as well, but needs the right to change pods.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::Leader;
use crate::controller::apply::WORKLOADS;

/// How often it is made anew, should somebody have changed it. An equal one changes nothing.
const PERIOD: Duration = Duration::from_mins(10);
/// The pause after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// How long the API server may take.
const LIMIT: Duration = Duration::from_secs(10);

/// An `EndpointSlice` that leads to this pod alone.
pub struct Slice {
    namespace: String,
    service: String,
    manifest: Value,
}

impl Slice {
    /// That of this process. `None` where nobody asked for one; an error says why it cannot be made.
    pub fn of(leader: &Leader) -> Result<Option<Self>, &'static str> {
        let args = &leader.args;
        let Some(service) = &args.feeds_service else {
            return Ok(None);
        };
        let (Some(ip), Some(uid)) = (args.pod_ip, &args.pod_uid) else {
            return Err("POD_IP or POD_UID is missing");
        };
        // [::] takes IPv4 as well.
        let is_reached = |at: &SocketAddr| at.is_ipv6() == ip.is_ipv6() || at.ip() == Ipv6Addr::UNSPECIFIED;
        if ![args.events_listen, args.syslog_listen]
            .iter()
            .flatten()
            .all(is_reached)
        {
            return Err("POD_IP is of the one IP version, and EVENTS_LISTEN or SYSLOG_LISTEN of the other");
        }
        let mut ports = Vec::new();
        if let Some(address) = args.events_listen {
            ports.push(json!({ "name": "events", "port": address.port(), "protocol": "TCP" }));
        }
        if let Some(address) = args.syslog_listen {
            ports.push(json!({ "name": "syslog-tcp", "port": address.port(), "protocol": "TCP" }));
            ports.push(json!({ "name": "syslog-udp", "port": address.port(), "protocol": "UDP" }));
        }
        let family = match ip {
            IpAddr::V4(_) => "IPv4",
            IpAddr::V6(_) => "IPv6",
        };
        let mut endpoint = json!({
            "addresses": [ip.to_string()], "conditions": { "ready": true },
            "targetRef": { "kind": "Pod", "name": leader.pod, "namespace": leader.namespace, "uid": uid },
        });
        if let Some(node) = &args.node_name {
            // With externalTrafficPolicy Local, it leads nowhere otherwise.
            endpoint["nodeName"] = json!(node);
        }
        let manifest = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": service,
                "labels": {
                    "kubernetes.io/service-name": service,
                    "endpointslice.kubernetes.io/managed-by": "teamsgraph.dev",
                },
                // It goes with the pod, unless another leads by then.
                "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": leader.pod, "uid": uid }],
            },
            "addressType": family,
            "endpoints": [endpoint],
            "ports": ports,
        });
        Ok(Some(Self {
            namespace: leader.namespace.clone(),
            service: service.clone(),
            manifest,
        }))
    }

    /// Makes it, and keeps it as long as this process leads.
    pub async fn keep(self, client: &Client) {
        let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), &self.namespace);
        let params = PatchParams::apply(WORKLOADS).force();
        loop {
            let patch = Patch::Apply(&self.manifest);
            let made = timeout(LIMIT, slices.patch(&self.service, &params, &patch)).await;
            let pause = match made {
                Ok(Ok(_)) => PERIOD,
                Ok(Err(error)) => {
                    tracing::warn!(service = self.service, "the way to the leader was not made: {error}");
                    RETRY
                }
                Err(_) => {
                    tracing::warn!(service = self.service, "the way to the leader was not made: no answer");
                    RETRY
                }
            };
            sleep(pause.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
        }
    }
}
