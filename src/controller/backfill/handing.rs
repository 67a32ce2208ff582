//! Between a job and the receiver's pods: what arrived, where the last job stopped, and what is handed in.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Trouble;
use super::job::Order;
use crate::api::subscription::ChangeType;
use crate::policy::backfill::Change;
use crate::policy::truth::path;

/// Ids that are asked for at a time.
const IDS: usize = 1000;
/// Events that are handed in at a time.
const EVENTS: usize = 500;
const LIMIT: Duration = Duration::from_secs(15);
/// A bookmark of what is asked for by time alone; pods take no empty text.
const NO_LINK: &str = "-";

/// Where a job stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// Where later changes will be told.
    pub link: Option<String>,
    /// What happened before was looked at.
    pub time: Timestamp,
}

/// A bookmark as a pod keeps it.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    value: String,
    time: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    complete_since: Timestamp,
    received: Vec<Option<Timestamp>>,
}

/// A change that did not arrive, as what it is handed over, and whether it would be known if it had.
pub type Untold = (Change, ChangeType, bool);

/// One job's dealings with the pods.
pub struct Handing<'a> {
    order: &'a Order,
}

impl<'a> Handing<'a> {
    /// Of this job.
    pub fn new(order: &'a Order) -> Self {
        Self { order }
    }

    /// The newest bookmark that a pod has.
    pub async fn bookmark(&self) -> Result<Option<Bookmark>, Trouble> {
        let address = format!("/v1/bookmarks/{}", self.order.uid);
        let mut newest: Option<Bookmark> = None;
        for pod in &self.order.pods {
            let kept: Option<Kept> = pod.find(&address, LIMIT).await.map_err(Trouble::pod)?;
            let Some(kept) = kept else { continue };
            if newest.as_ref().is_none_or(|known| known.time < kept.time) {
                newest = Some(Bookmark {
                    link: Some(kept.value).filter(|link| link != NO_LINK),
                    time: kept.time,
                });
            }
        }
        Ok(newest)
    }

    /// The changes that did not arrive.
    pub async fn untold(
        &self,
        changes: Vec<(Change, ChangeType)>,
        judged_from: Timestamp,
    ) -> Result<Vec<Untold>, Trouble> {
        let mut untold = Vec::new();
        for chunk in changes.chunks(IDS) {
            let ids: Vec<&str> = chunk.iter().map(|(change, _)| change.id.as_str()).collect();
            let body = json!({ "uid": self.order.uid, "ids": ids });
            let (mut since, mut received) = (Timestamp::MIN, vec![None; chunk.len()]);
            for pod in &self.order.pods {
                let known: Known = pod.ask("/v1/known", &body, LIMIT).await.map_err(Trouble::pod)?;
                since = since.max(known.complete_since);
                for (all, one) in received.iter_mut().zip(known.received) {
                    *all = (*all).max(one);
                }
            }
            let since = since.checked_add(self.order.skew).unwrap_or(since);
            for ((change, kind), received) in chunk.iter().zip(received) {
                if !self.order.is_told(change, received, judged_from) {
                    let judged = change.modified.unwrap_or(judged_from) >= since;
                    untold.push((change.clone(), *kind, judged));
                }
            }
        }
        Ok(untold)
    }

    /// Hands the changes in. The bookmark goes with the last of them: what comes after a crash between is handed in again.
    pub async fn hand_over(&self, untold: &[Untold], bookmark: &Bookmark) -> Result<(), Trouble> {
        let mut chunks = untold.chunks(EVENTS).peekable();
        while let Some(chunk) = chunks.next() {
            let last = chunks.peek().is_none().then_some(bookmark);
            self.ingest(chunk, last).await?;
        }
        if untold.is_empty() {
            self.keep(bookmark).await
        } else {
            Ok(())
        }
    }

    /// Keeps the bookmark alone.
    pub async fn keep(&self, bookmark: &Bookmark) -> Result<(), Trouble> {
        self.ingest(&[], Some(bookmark)).await
    }

    async fn ingest(&self, chunk: &[Untold], bookmark: Option<&Bookmark>) -> Result<(), Trouble> {
        let items: Vec<Value> = chunk
            .iter()
            .map(|(change, kind, _)| self.entry(change, *kind))
            .collect();
        let mut body = json!({ "items": items });
        if let Some(bookmark) = bookmark {
            let value = bookmark.link.as_deref().unwrap_or(NO_LINK);
            body["bookmark"] = json!({ "uid": self.order.uid, "value": value, "time": bookmark.time });
        }
        let first = self.order.pods.first();
        let pod = first.ok_or_else(|| Trouble::pod("the receiver has no pod"))?;
        pod.post("/v1/ingest", &body, LIMIT)
            .await
            .map_err(Trouble::pod)
            .map(drop)
    }

    /// A change as Graph would have told of it, as far as is known.
    fn entry(&self, change: &Change, kind: ChangeType) -> Value {
        let order = self.order;
        let whole = path(&order.resource);
        let of_one = whole.rsplit('/').next() == Some(change.id.as_str());
        let resource = if of_one {
            whole
        } else {
            format!("{whole}/{}", change.id)
        };
        let mut data = json!({ "id": change.id });
        if let Some(odata_type) = &change.odata_type {
            data["@odata.type"] = json!(odata_type);
        }
        json!({
            "uid": order.uid,
            "origin": "Backfill",
            "subscriptionId": order.subscription_id,
            "item": {
                "subscriptionId": order.subscription_id,
                "changeType": kind.graph_name(),
                "resource": resource,
                "resourceData": data,
                "tenantId": order.graph.tenant_id(),
            },
        })
    }
}
