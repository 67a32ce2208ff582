//! Between a job and the receiver's pods: what arrived, where the last job stopped, and what is handed in.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Trouble;
use super::job::Order;
use crate::api::subscription::ChangeType;
use crate::controller::subscription::observe::shifted;
use crate::policy::backfill::{Arrival, Change, arrival};
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
    now: Timestamp,
    complete_since: Timestamp,
    received: Vec<Option<Timestamp>>,
}

/// A change that did not arrive, as what it is handed over, and whether it surely did not.
pub type Untold = (Change, ChangeType, bool);

/// One job's dealings with the pods. One that cannot be asked holds nothing up: what it took comes a second time then.
pub struct Handing<'a> {
    order: &'a Order,
}

impl<'a> Handing<'a> {
    /// Of this job.
    pub fn new(order: &'a Order) -> Self {
        Self { order }
    }

    /// The newest bookmark that a pod has of this app and resource.
    pub async fn bookmark(&self) -> Result<Option<Bookmark>, Trouble> {
        let address = format!("/v1/bookmarks/{}", self.order.uid);
        let mut newest: Option<Bookmark> = None;
        let mut trouble = None;
        let mut answered = false;
        for pod in &self.order.pods {
            let kept: Option<Kept> = match pod.find(&address, LIMIT).await {
                Ok(kept) => kept,
                Err(message) => {
                    trouble = Some(message);
                    continue;
                }
            };
            answered = true;
            let kept = kept.and_then(|kept| self.read(&kept));
            newest = newest.into_iter().chain(kept).max_by_key(|bookmark| bookmark.time);
        }
        match trouble {
            Some(message) if !answered => Err(Trouble::pod(message)),
            _ => Ok(newest),
        }
    }

    fn read(&self, kept: &Kept) -> Option<Bookmark> {
        let (basis, link) = kept.value.split_once(' ')?;
        (basis == self.order.basis).then(|| Bookmark {
            link: Some(link.to_owned()).filter(|link| link != NO_LINK),
            time: kept.time,
        })
    }

    /// The changes, which happened after `since`, that did not arrive, or may not have. Of one that carries no time an item tells
    /// that came after `judged_from`.
    pub async fn untold(
        &self,
        changes: Vec<(Change, ChangeType)>,
        since: Timestamp,
        judged_from: Timestamp,
    ) -> Result<Vec<Untold>, Trouble> {
        let mut untold = Vec::new();
        for chunk in changes.chunks(IDS) {
            let (complete, received) = self.known(chunk).await?;
            for ((change, kind), received) in chunk.iter().zip(received) {
                let arrival = arrival(change, received, judged_from);
                if arrival != Arrival::Came {
                    let judged = arrival == Arrival::Missing && change.modified.unwrap_or(since) >= complete;
                    untold.push((change.clone(), *kind, judged));
                }
            }
        }
        Ok(untold)
    }

    /// Since when all that came is known, and when something last came about each change, both by Graph's clock.
    async fn known(&self, chunk: &[(Change, ChangeType)]) -> Result<(Timestamp, Vec<Option<Timestamp>>), Trouble> {
        let ids: Vec<&str> = chunk.iter().map(|(change, _)| change.id.as_str()).collect();
        let body = json!({ "uid": self.order.uid, "ids": ids });
        let (mut since, mut received) = (self.order.pods_since, vec![None; chunk.len()]);
        let mut trouble = None;
        let mut answered = false;
        for pod in &self.order.pods {
            let known: Known = match pod.ask("/v1/known", &body, LIMIT).await {
                Ok(known) => known,
                Err(message) => {
                    trouble = Some(message);
                    since = Timestamp::MAX;
                    continue;
                }
            };
            answered = true;
            // Pods have clocks of their own.
            let skew = self.order.graph.now().duration_since(known.now);
            since = since.max(shifted(known.complete_since, skew));
            for (all, one) in received.iter_mut().zip(known.received) {
                let one = one.filter(|at| *at <= known.now).map(|at| shifted(at, skew));
                *all = (*all).max(one);
            }
        }
        match trouble {
            Some(message) if !answered => Err(Trouble::pod(message)),
            _ => Ok((since, received)),
        }
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
            let value = format!("{} {}", self.order.basis, bookmark.link.as_deref().unwrap_or(NO_LINK));
            body["bookmark"] = json!({ "uid": self.order.uid, "value": value, "time": bookmark.time });
        }
        let mut trouble = "the receiver has no pod".to_owned();
        for pod in &self.order.pods {
            match pod.post("/v1/ingest", &body, LIMIT).await {
                Ok(_) => return Ok(()),
                Err(message) => trouble = message,
            }
        }
        Err(Trouble::pod(trouble))
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
            // A link leads to it once. Remembered, it would pass for the news of what is lost later.
            "timeless": change.modified.is_none(),
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
