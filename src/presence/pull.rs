//! Notifications, pulled from the receiver. They say that somebody's presence changed and not to what, so each is a hint to read
//! it. A page is acknowledged when all that it hints at was read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::teams::{Ids, Reading};
use crate::api::presence_report::{Fault, Lamp};
use crate::graph::MOST_IDS;
use crate::local_clock;
use crate::policy::backoff::{self, Class};

/// How long the receiver waits for an event before it answers that there is none.
const WAIT: Duration = Duration::from_secs(25);
/// What a request may take beyond that.
const LIMIT: Duration = Duration::from_secs(15);
/// Events of one answer.
const PAGE: usize = 1000;
/// Longest answer that is read.
const LONGEST: usize = 64 << 20;

/// One pod of the receiver.
pub struct Pulling {
    /// What reads the presence of those who are hinted at.
    pub reading: Reading,
    /// Client for what is in this cluster.
    pub http: Client,
    /// Base address of the pod's pull API.
    pub url: String,
    /// Name of the consumer that the worker is.
    pub consumer: String,
    /// The pull API's token.
    pub token: SecretString,
    /// UID of our object: the log holds the events of others too.
    pub uid: String,
    /// Who is kept in step.
    pub ids: watch::Receiver<Ids>,
    /// Ids of subscriptions of which Graph says that they need attention.
    pub lifecycle: broadcast::Sender<String>,
    /// Asks for a reading of everybody.
    pub wake: Arc<Notify>,
    /// Ends it.
    pub stop: CancellationToken,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    log_id: String,
    events: Vec<Event>,
    next: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    uid: String,
    kind: String,
    subscription_id: Option<String>,
    item: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Acknowledgement<'a> {
    log_id: &'a str,
    cursor: u64,
}

/// Why nothing was pulled.
struct Trouble {
    class: Class,
    lamp: Lamp,
}

/// What a page hints at.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hints {
    people: BTreeSet<String>,
    /// Subscriptions that need attention.
    lifecycle: BTreeSet<String>,
    notifications: u64,
}

impl Pulling {
    /// Pulls until stopped.
    pub async fn run(self) {
        let (mut failures, mut log) = (0, None);
        loop {
            let result = tokio::select! {
                result = self.turn(&mut log) => result,
                () = self.stop.cancelled() => return,
            };
            let lamp = match result {
                Ok(()) => {
                    failures = 0;
                    Lamp::green("notifications are pulled from the receiver")
                }
                Err(trouble) => {
                    failures += 1;
                    let wait = backoff::delay(trouble.class, failures, local_clock::now(), None, fastrand::f64());
                    self.show(trouble.lamp);
                    if self.nap(wait).await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            self.show(lamp);
        }
    }

    fn show(&self, lamp: Lamp) {
        self.reading.board.pull(&self.url, lamp);
    }

    async fn nap(&self, wait: SignedDuration) -> Result<(), ()> {
        // A pod that restarts is soon back; hints must not lie for long.
        let wait = wait.min(SignedDuration::from_secs(30)).unsigned_abs();
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.stop.cancelled() => Err(()),
        }
    }

    async fn turn(&self, log: &mut Option<String>) -> Result<(), Trouble> {
        let page = self.page().await?;
        let since = Instant::now();
        if log
            .replace(page.log_id.clone())
            .is_some_and(|known| known != page.log_id)
        {
            // With the log before, notifications were lost that Graph takes for delivered.
            tracing::warn!("the receiver lost its volume: presence of everybody is read");
            self.wake.notify_one();
        }
        let hints = hints(&page.events, &self.uid);
        for subscription in &hints.lifecycle {
            // Nobody listens where no account could begin.
            let _ = self.lifecycle.send(subscription.clone());
        }
        self.read(&hints, since).await?;
        if hints.notifications > 0 {
            self.reading.metrics.notifications.inc_by(hints.notifications);
            self.reading
                .board
                .went_well(local_clock::now(), |last| &mut last.notification);
        }
        if page.events.is_empty() {
            return Ok(());
        }
        self.acknowledge(&page).await
    }

    async fn read(&self, hints: &Hints, since: Instant) -> Result<(), Trouble> {
        let known = self.ids.borrow().clone();
        let wanted: Vec<String> = hints
            .people
            .iter()
            .filter(|id| known.binary_search(id).is_ok())
            .cloned()
            .collect();
        for chunk in wanted.chunks(MOST_IDS) {
            let read = self.reading.read(chunk, since).await;
            read.map_err(|failure| Trouble {
                class: failure.class,
                // The receiver did its part; the reader's lamp tells the trouble.
                lamp: Lamp::green("notifications are pulled from the receiver"),
            })?;
        }
        Ok(())
    }

    async fn page(&self) -> Result<Page, Trouble> {
        let url = format!("{}/v1/consumers/{}/events", self.base(), self.consumer);
        let wait = WAIT.as_secs().to_string();
        let query = [("limit", PAGE.to_string()), ("wait", wait)];
        let response = self.send(self.http.get(url).query(&query)).await?;
        let body = bounded(response).await?;
        serde_json::from_slice(&body).map_err(|_| protocol("The receiver's answer cannot be read."))
    }

    async fn acknowledge(&self, page: &Page) -> Result<(), Trouble> {
        let url = format!("{}/v1/consumers/{}/ack", self.base(), self.consumer);
        let body = Acknowledgement {
            log_id: &page.log_id,
            cursor: page.next,
        };
        self.send(self.http.post(url).json(&body)).await.map(drop)
    }

    fn base(&self) -> &str {
        self.url.trim_end_matches('/')
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Trouble> {
        let request = request.bearer_auth(self.token.expose_secret()).timeout(WAIT + LIMIT);
        let response = request.send().await.map_err(|_| unavailable("it does not answer"))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Err(Trouble {
                class: Class::RetrySlowly,
                lamp: Lamp::red(
                    Fault::ReceiverRefuses,
                    "The receiver does not let the worker pull: compare spec.push.consumer and its token with the receiver's spec.pull.",
                ),
            }),
            // Another log since, or a cursor that is further already: the next question begins where it stands.
            StatusCode::CONFLICT => Err(Trouble {
                class: Class::Retry,
                lamp: Lamp::green("notifications are pulled from the receiver"),
            }),
            status => Err(unavailable(&format!("status {}", status.as_u16()))),
        }
    }
}

async fn bounded(mut response: Response) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|_| unavailable("the connection broke"))?
    {
        if body.len() + chunk.len() > LONGEST {
            return Err(protocol("The receiver's answer is longer than 64 MiB."));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn unavailable(why: &str) -> Trouble {
    Trouble {
        class: Class::Retry,
        lamp: Lamp::red(
            Fault::ReceiverUnavailable,
            format!("The receiver is out of reach: {why}."),
        ),
    }
}

fn protocol(message: &str) -> Trouble {
    Trouble {
        class: Class::Retry,
        lamp: Lamp::red(Fault::Protocol, message),
    }
}

fn hints(events: &[Event], uid: &str) -> Hints {
    let mut hints = Hints::default();
    for event in events.iter().filter(|event| event.uid == uid) {
        if event.kind == "lifecycle" {
            hints.lifecycle.extend(event.subscription_id.clone());
            continue;
        }
        hints.notifications += 1;
        hints.people.extend(person(&event.item));
    }
    hints
}

/// Whose presence a notification is about: `resourceData.id`, or the key in `resource`.
fn person(item: &Value) -> Option<String> {
    let data = item.pointer("/resourceData/id").and_then(Value::as_str);
    let resource = || {
        let text = item.get("resource")?.as_str()?;
        let key = text.rsplit(['/', '(']).next()?;
        Some(key.trim_matches([')', '\'']))
    };
    let id = data.or_else(resource)?;
    (!id.is_empty()).then(|| id.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(uid: &str, kind: &str, item: Value) -> Event {
        Event {
            uid: uid.to_owned(),
            kind: kind.to_owned(),
            subscription_id: Some("s-1".to_owned()),
            item,
        }
    }

    #[test]
    fn each_form_of_a_notification_names_its_person() {
        for (item, expected) in [
            (json!({"resourceData": {"id": "A-1"}}), Some("a-1")),
            (json!({"resource": "communications/presences('a-1')"}), Some("a-1")),
            (json!({"resource": "communications/presences/a-1"}), Some("a-1")),
            (json!({"resource": 7}), None),
            (json!({"resource": ""}), None),
            (json!(null), None),
        ] {
            assert_eq!(person(&item).as_deref(), expected, "{item}");
        }
    }

    #[test]
    fn only_events_of_our_object_count_and_each_person_once() {
        let one = json!({"resourceData": {"id": "1"}});
        let events = [
            event("u", "notification", one.clone()),
            event("u", "notification", one.clone()),
            event("other", "notification", json!({"resourceData": {"id": "2"}})),
            event("u", "lifecycle", json!({"lifecycleEvent": "reauthorizationRequired"})),
        ];
        let expected = Hints {
            people: BTreeSet::from(["1".to_owned()]),
            lifecycle: BTreeSet::from(["s-1".to_owned()]),
            notifications: 2,
        };
        assert_eq!(hints(&events, "u"), expected);
        assert_eq!(hints(&events[2..3], "u"), Hints::default());
    }
}
