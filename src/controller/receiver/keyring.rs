//! The keyring Secret of a receiver: made once, never overwritten.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use std::collections::BTreeMap;

use super::workload;
use crate::api::condition::Reason;
use crate::api::receiver::NotificationReceiver;
use crate::controller::apply;
use crate::policy::identity::{KEY_BYTES, Keyring};
use crate::policy::subscription::Refusal;

/// Reads the keyring; makes it with a first key if there is none. Every path and client state hangs on it, so an empty or
/// broken one is not replaced: that would cut off subscriptions that live.
pub async fn ensure(client: &Client, receiver: &NotificationReceiver) -> Result<Result<Keyring, Refusal>, kube::Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &receiver.namespace().unwrap_or_default());
    let name = workload::keyring_name(&receiver.name_any());
    let secret = match secrets.get_opt(&name).await? {
        Some(secret) => secret,
        None => match make(&name, receiver) {
            Some(secret) => create(&secrets, &name, &secret).await?,
            None => {
                return Ok(Err(Refusal::waiting(
                    Reason::Progressing,
                    "no random numbers are to be had",
                )));
            }
        },
    };
    let data = secret.data.unwrap_or_default();
    let texts: Vec<_> = data
        .iter()
        .filter_map(|(id, bytes)| Some((id.as_str(), std::str::from_utf8(&bytes.0).ok()?)))
        .collect();
    let (keyring, malformed) = Keyring::from_base64(texts);
    if keyring.active().is_none() || !malformed.is_empty() {
        let message = format!(
            "Secret {name} must hold base64 keys of {KEY_BYTES} bytes and nothing else; restore it, or delete it to start anew (subscriptions are then created anew)"
        );
        return Ok(Err(Refusal::waiting(Reason::SecretKeyMissing, message)));
    }
    Ok(Ok(keyring))
}

/// Two controllers may try at once; the first wins.
async fn create(secrets: &Api<Secret>, name: &str, secret: &Secret) -> Result<Secret, kube::Error> {
    let params = PostParams {
        field_manager: Some(apply::WORKLOADS.to_owned()),
        ..Default::default()
    };
    match secrets.create(&params, secret).await {
        Err(kube::Error::Api(status)) if status.code == 409 => secrets.get(name).await,
        other => other,
    }
}

fn make(name: &str, receiver: &NotificationReceiver) -> Option<Secret> {
    let mut key = [0_u8; KEY_BYTES];
    aws_lc_rs::rand::fill(&mut key).ok()?;
    // Ids sort by age.
    let id = format!("k{}", Timestamp::now().as_second());
    Some(Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(workload::labels(&receiver.name_any())),
            owner_references: receiver.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..Default::default()
        },
        type_: Some("teamsgraph.dev/keyring".to_owned()),
        data: Some(BTreeMap::from([(id, ByteString(STANDARD.encode(key).into_bytes()))])),
        ..Default::default()
    })
}
