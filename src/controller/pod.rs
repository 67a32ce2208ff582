//! A pod that the controller built, as the leader speaks to it.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::receiver::workload;
use crate::api::reference::ObjectRef;

/// A pod, and the token that opens its internal API.
#[derive(Clone)]
pub struct Pod {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Pod {
    /// The pod at `base`.
    pub fn new(http: &reqwest::Client, base: String, token: String) -> Self {
        Self {
            http: http.clone(),
            base,
            token,
        }
    }

    /// Reads a JSON answer.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, limit: Duration) -> Result<T, String> {
        self.find(path, limit).await?.ok_or_else(|| status_text(404))
    }

    /// Reads a JSON answer; none when the pod says that there is nothing.
    pub async fn find<T: DeserializeOwned>(&self, path: &str, limit: Duration) -> Result<Option<T>, String> {
        let request = self.http.get(format!("{}{path}", self.base));
        let response = self.send(request, limit).await?;
        if response.status().as_u16() == 404 {
            return Ok(None);
        }
        let response = response.error_for_status().map_err(describe)?;
        response.json().await.map(Some).map_err(describe)
    }

    /// Sends a JSON body.
    pub async fn post(&self, path: &str, body: &impl Serialize, limit: Duration) -> Result<reqwest::Response, String> {
        let request = self.http.post(format!("{}{path}", self.base)).json(body);
        let response = self.send(request, limit).await?;
        response.error_for_status().map_err(describe)
    }

    /// Sends a JSON body and reads a JSON answer.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<T, String> {
        self.post(path, body, limit).await?.json().await.map_err(describe)
    }

    /// Reads an answer of at most `most` bytes, whatever its status.
    pub async fn get_bytes(&self, path: &str, limit: Duration, most: usize) -> Result<(u16, Vec<u8>), String> {
        let request = self.http.get(format!("{}{path}", self.base));
        self.bytes(request, limit, most).await
    }

    /// The same for a POST without a body.
    pub async fn post_bytes(&self, path: &str, limit: Duration, most: usize) -> Result<(u16, Vec<u8>), String> {
        let request = self.http.post(format!("{}{path}", self.base));
        self.bytes(request, limit, most).await
    }

    async fn bytes(
        &self,
        request: reqwest::RequestBuilder,
        limit: Duration,
        most: usize,
    ) -> Result<(u16, Vec<u8>), String> {
        let mut response = self.send(request, limit).await?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(describe)? {
            if body.len() + piece.len() > most {
                return Err("the pod's answer is too long".to_owned());
            }
            body.extend_from_slice(&piece);
        }
        Ok((response.status().as_u16(), body))
    }

    async fn send(&self, request: reqwest::RequestBuilder, limit: Duration) -> Result<reqwest::Response, String> {
        let request = request.bearer_auth(&self.token).timeout(limit);
        #[cfg(test)]
        let request = match crate::testing::divert(request, limit).await {
            Ok(answer) => return answer.ok_or_else(|| "the pod does not answer in time".to_owned()),
            Err(request) => request,
        };
        request.send().await.map_err(describe)
    }
}

/// Where pod `number` of a receiver is. `address` is the setting with `{pod}`, `{service}` and `{namespace}`.
pub fn base(address: &str, receiver: &ObjectRef, number: i32) -> String {
    address
        .replace("{pod}", &workload::pod_name(&receiver.name, number))
        .replace("{service}", &workload::headless_name(&receiver.name))
        .replace("{namespace}", receiver.namespace.as_deref().unwrap_or_default())
}

fn status_text(status: u16) -> String {
    format!("the pod answers with status {status}")
}

/// The same words for the same trouble, without addresses.
#[allow(clippy::needless_pass_by_value)] // fits map_err
fn describe(error: reqwest::Error) -> String {
    match error.status() {
        Some(status) => status_text(status.as_u16()),
        None if error.is_timeout() => "the pod does not answer in time".to_owned(),
        None if error.is_connect() => "the pod cannot be reached".to_owned(),
        None => "the pod's answer cannot be read".to_owned(),
    }
}
