//! The way to the leader: the `EndpointSlice` of a Service without a selector, made by whoever leads. A label on the leader's pod would
//! do as well, but needs the right to change pods.

use std::io;
use std::net::IpAddr;
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
    /// That of this process. `None` where nobody asked for one, or where the pod is not known.
    pub fn of(leader: &Leader) -> Option<Self> {
        let args = &leader.args;
        let (service, ip, uid) = (args.feeds_service.as_ref()?, args.pod_ip?, args.pod_uid.as_ref()?);
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
            "endpoints": [{
                "addresses": [ip.to_string()], "conditions": { "ready": true },
                "targetRef": { "kind": "Pod", "name": leader.pod, "namespace": leader.namespace, "uid": uid },
            }],
            "ports": ports,
        });
        Some(Self {
            namespace: leader.namespace.clone(),
            service: service.clone(),
            manifest,
        })
    }

    /// Makes it, and keeps it as long as this process leads.
    pub async fn keep(self, client: &Client) -> io::Result<()> {
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
