//! Does what a kubelet does for the one pod of a receiver, for as long as there is one: mounts what the controller made, again
//! whenever it changes, runs the receiver, and says that the pod is ready.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::world::{World, write_all};

const PERIOD: Duration = Duration::from_millis(100);

/// It ends when this is dropped, and the receiver with it.
pub struct Kubelet(JoinHandle<()>);

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is mounted, by folder.
#[derive(PartialEq)]
struct Mounted {
    config: BTreeMap<String, String>,
    keyring: BTreeMap<String, Vec<u8>>,
}

impl Kubelet {
    pub fn start(world: &World, receiver: &'static str) -> Self {
        let (client, namespace) = (world.client.clone(), world.namespace.clone());
        let (config_dir, keyring_dir) = (world.path("config"), world.path("keyring"));
        let mut command = world.receiver_command(&[]);
        Self(tokio::spawn(async move {
            let (mut last, mut running, mut ready) = (None, None, false);
            loop {
                tokio::time::sleep(PERIOD).await;
                let Some(wanted) = mounted(&client, &namespace, receiver).await else {
                    continue;
                };
                if last.as_ref() != Some(&wanted) {
                    let texts = wanted.config.iter();
                    write_all(&config_dir, texts.map(|(name, text)| (name.as_str(), text.as_bytes())));
                    let keys = wanted.keyring.iter();
                    write_all(&keyring_dir, keys.map(|(name, key)| (name.as_str(), key.as_slice())));
                    last = Some(wanted);
                }
                running.get_or_insert_with(|| command.spawn().unwrap());
                ready = ready || mark_ready(&client, &namespace, receiver).await;
            }
        }))
    }
}

async fn mounted(client: &Client, namespace: &str, receiver: &str) -> Option<Mounted> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let map = maps.get_opt(&format!("{receiver}-receiver")).await.unwrap()?;
    let secret = secrets
        .get_opt(&format!("{receiver}-receiver-keyring"))
        .await
        .unwrap()?;
    let keys = secret.data?.into_iter().map(|(name, key)| (name, key.0));
    Some(Mounted {
        config: map.data?,
        keyring: keys.collect(),
    })
}

/// The StatefulSet controller makes the pod. `false` while it has not.
async fn mark_ready(client: &Client, namespace: &str, receiver: &str) -> bool {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let Some(pod) = pods.get_opt(&format!("{receiver}-receiver-0")).await.unwrap() else {
        return false;
    };
    let now = jiff::Timestamp::now().to_string();
    let condition = json!({ "type": "Ready", "status": "True", "lastTransitionTime": now });
    let status = json!({ "status": { "phase": "Running", "conditions": [condition] } });
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status))
        .await
        .is_ok()
}
