//! Secrets that a spec names: read at each look, so that a new password counts at once; never kept, never shown.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use secrecy::SecretString;

use crate::api::condition::Reason;
use crate::api::reference::SecretKeyRef;
use crate::policy::subscription::Refusal;

/// Most bytes of a value; the longest is a bundle of certificates.
const LONGEST: usize = 1 << 20;

/// A Secret that was read.
pub struct Data {
    field: String,
    name: String,
    values: BTreeMap<String, ByteString>,
}

/// Reads the Secret that `field` names.
pub async fn read(
    client: &Client,
    namespace: &str,
    field: &str,
    name: &str,
) -> Result<Result<Data, Refusal>, kube::Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let Some(secret) = secrets.get_opt(name).await? else {
        let message = format!("{field}: Secret {name} does not exist; create it");
        return Ok(Err(Refusal::waiting(Reason::SecretNotFound, message)));
    };
    Ok(Ok(Data {
        field: field.to_owned(),
        name: name.to_owned(),
        values: secret.data.unwrap_or_default(),
    }))
}

/// Reads one key as bytes.
pub async fn key(
    client: &Client,
    namespace: &str,
    field: &str,
    reference: &SecretKeyRef,
) -> Result<Result<Vec<u8>, Refusal>, kube::Error> {
    let data = read(client, namespace, field, &reference.name).await?;
    Ok(data.and_then(|data| data.bytes(&reference.key)))
}

impl Data {
    /// Whether there is something under this key.
    pub fn has(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(|value| !value.0.is_empty())
    }

    /// What is under a key.
    pub fn bytes(&self, key: &str) -> Result<Vec<u8>, Refusal> {
        let value = self.values.get(key).filter(|value| !value.0.is_empty());
        let value = value.ok_or_else(|| self.lacks(&format!("nothing under the key {key}")))?;
        if value.0.len() > LONGEST {
            return Err(self.lacks(&format!("more than {LONGEST} bytes under the key {key}")));
        }
        Ok(value.0.clone())
    }

    /// The text under a key, without the line end that `echo` leaves.
    pub fn text(&self, key: &str) -> Result<SecretString, Refusal> {
        let text = String::from_utf8(self.bytes(key)?).ok();
        let text = text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        let text = text.filter(|text| !text.is_empty());
        text.map(SecretString::from)
            .ok_or_else(|| self.lacks(&format!("no text under the key {key}")))
    }

    /// What it has instead of what is needed.
    pub fn lacks(&self, what: &str) -> Refusal {
        let message = format!("{}: Secret {} has {what}", self.field, self.name);
        Refusal::waiting(Reason::SecretKeyMissing, message)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;
    use crate::controller::testing::{recording, refusal};

    /// Hard input 18: a Secret that is gone, a line end, a password that shells would read.
    #[tokio::test]
    async fn what_is_missing_is_said_and_what_is_there_is_not() {
        // "pass*&()\n", an empty one, and bytes that are no text
        let (client, _) = recording(|asked| match asked.path.as_str() {
            "/api/v1/namespaces/n/secrets/s" => (
                200,
                json!({ "metadata": {}, "data": { "password": "cGFzcyomKCkK", "empty": "", "bytes": "/w==" } }),
            ),
            _ => refusal(404, "NotFound"),
        });
        let refused = read(&client, "n", "spec.x", "t").await.unwrap().err().unwrap();
        assert_eq!(
            (refused.reason, refused.message.as_str()),
            (Reason::SecretNotFound, "spec.x: Secret t does not exist; create it")
        );
        let data = read(&client, "n", "spec.x", "s").await.unwrap().ok().unwrap();
        assert_eq!(data.text("password").unwrap().expose_secret(), "pass*&()");
        for (key, expected) in [
            ("empty", "spec.x: Secret s has nothing under the key empty"),
            ("none", "spec.x: Secret s has nothing under the key none"),
            ("bytes", "spec.x: Secret s has no text under the key bytes"),
        ] {
            let refused = data.text(key).unwrap_err();
            assert_eq!(
                (refused.reason, refused.message.as_str()),
                (Reason::SecretKeyMissing, expected)
            );
        }
    }
}
