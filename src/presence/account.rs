//! A communication account: signed in, and subscribed to the presence of its share of the people.
//!
//! Graph admits one such subscription for an account and app, for at most 650 people and an hour, and its list of people cannot
//! be changed. So what is there already is looked for first: renewed when it is for the same people at our address, else replaced.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::directory::People;
use super::fault;
use super::teams::Ids;
use crate::api::condition::time;
use crate::api::presence::ShardStatus;
use crate::api::presence_report::{AccountReport, Fault, Lamp};
use crate::graph::{Failure, Graph, Kind, NewSubscription, Subscription};
use crate::local_clock;
use crate::policy::backoff;

/// What is asked for: Graph grants 60 minutes, counted by its clock when the request arrives.
const LIFE: SignedDuration = SignedDuration::from_mins(59);
/// A subscription is renewed when this much of its life is left, less some minutes of chance.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_mins(25);
const CHANCE_MINUTES: f64 = 5.0;
/// Graph wants a subscription not to be renewed twice within this time.
const APART: Duration = Duration::from_mins(10);

/// Where notifications go, and what proves them.
#[derive(Clone)]
pub struct Destination {
    /// UID of our object; it is part of the address.
    pub uid: String,
    /// Address for notifications.
    pub notification_url: SecretString,
    /// Address for lifecycle events.
    pub lifecycle_url: SecretString,
    /// What Graph repeats in each of them.
    pub client_state: SecretString,
}

/// An account at work.
pub struct Account {
    /// Its name.
    pub name: String,
    /// Graph, signed in as the account.
    pub graph: Result<Graph, Lamp>,
    /// Where notifications go.
    pub destination: Destination,
    /// Whose presence it watches, sorted; `None` until it is known.
    pub wanted: watch::Receiver<Option<Ids>>,
    /// The people, to see whether the account itself is licensed.
    pub people: watch::Receiver<Arc<People>>,
    /// Where it is said how it stands.
    pub board: Board,
    /// What is wanted has to stand for so long before the subscription follows.
    pub settle: Duration,
    /// Ids of subscriptions, anybody's, of which Graph says that they need attention.
    pub lifecycle: broadcast::Receiver<String>,
    /// After each new subscription presence has to be read once: what changed before was not told.
    pub wake: Arc<Notify>,
    /// Ends it.
    pub stop: CancellationToken,
}

/// What holds at Graph.
struct Held {
    subscription: Subscription,
    people: Ids,
    /// When this process last wrote it.
    written: Option<Instant>,
}

/// How a look ended.
struct Looked {
    held: Option<Held>,
    result: Result<(), Lamp>,
    next: Duration,
}

impl Account {
    /// Keeps the subscription until stopped. It stays at Graph then: a worker that starts again adopts it.
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = self.keep() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn keep(&mut self) {
        let Ok(graph) = self.graph.clone() else {
            let lamp = self.graph.as_ref().err().cloned();
            self.report(None, lamp.clone(), lamp);
            return std::future::pending().await;
        };
        let (mut held, mut failures, mut challenged) = (None, 0, false);
        loop {
            let Some(wanted) = self.settled().await else { return };
            let looked = self.look(&graph, held, &wanted, (failures, challenged)).await;
            if looked.result.is_err() {
                failures += 1;
            } else {
                if challenged || failures > 0 {
                    // What Graph did not tell in the meantime, it never tells.
                    self.wake.notify_one();
                }
                (failures, challenged) = (0, false);
            }
            held = looked.held;
            let ours = held.as_ref().map(|held| held.subscription.id.as_str());
            tokio::select! {
                () = tokio::time::sleep(looked.next) => {}
                () = challenge(&mut self.lifecycle, ours) => challenged = true,
                changed = self.wanted.changed() => if changed.is_err() { return },
            }
        }
    }

    /// What is wanted, once it stands still.
    async fn settled(&mut self) -> Option<Ids> {
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            let stands = async {
                match wanted {
                    Some(wanted) => {
                        tokio::time::sleep(self.settle).await;
                        wanted
                    }
                    // Before anybody is known, what is there is left alone.
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                wanted = stands => return Some(wanted),
                changed = self.wanted.changed() => if changed.is_err() { return None },
            }
        }
    }

    async fn look(
        &self,
        graph: &Graph,
        held: Option<Held>,
        wanted: &Ids,
        (failures, challenged): (i32, bool),
    ) -> Looked {
        // A subscription ends its deliveries with the token that it was last written with: a challenge wants a new one.
        let signed_in = if challenged {
            graph.authenticate_anew().await
        } else {
            graph.authenticate().await
        };
        let sign_in_lamp = fault::lamp(&signed_in, "the account is signed in");
        let result = match &signed_in {
            Ok(_) => self.ensure(graph, held, wanted, challenged).await,
            Err(failure) => Err(failure.clone()),
        };
        match result {
            Ok(held) => {
                let lamp = subscribed(held.as_ref());
                self.report(held.as_ref(), Some(sign_in_lamp), Some(lamp));
                let next = next_look(held.as_ref(), graph.now());
                Looked {
                    held,
                    result: Ok(()),
                    next,
                }
            }
            Err(failure) => {
                let oid = signed_in.ok().and_then(|grant| grant.object_id);
                let lamp = self.explained(&failure, oid.as_deref());
                self.report(None, Some(sign_in_lamp), Some(lamp.clone()));
                let wait = backoff::delay(failure.class, failures + 1, local_clock::now(), None, fastrand::f64());
                Looked {
                    held: None,
                    result: Err(lamp),
                    next: wait.unsigned_abs(),
                }
            }
        }
    }

    /// Graph refuses an account without a Teams licence in words that do not say so.
    fn explained(&self, failure: &Failure, oid: Option<&str>) -> Lamp {
        let refused = matches!(failure.kind, Kind::ConsentMissing | Kind::Rejected | Kind::NotFound);
        let people = self.people.borrow();
        let somebody = oid.and_then(|oid| people.all.get(oid.to_ascii_lowercase().as_str()));
        let unlicensed = somebody.is_some_and(|somebody| somebody.licensed == Some(false));
        if refused && unlicensed {
            return Lamp::red(
                Fault::Unlicensed,
                "The account has no Teams licence, which it needs to subscribe to presence.",
            );
        }
        fault::red(failure)
    }

    /// Makes what is at Graph what is wanted.
    async fn ensure(
        &self,
        graph: &Graph,
        held: Option<Held>,
        wanted: &Ids,
        challenged: bool,
    ) -> Result<Option<Held>, Failure> {
        let held = match held {
            Some(held) => Some(held),
            None => self.find(graph).await?,
        };
        match held {
            Some(held)
                if !wanted.is_empty() && held.people == *wanted && self.destination.is_of(&held.subscription) =>
            {
                self.renewed(graph, held, challenged).await
            }
            Some(held) => {
                graph.delete(&held.subscription.id, graph.now()).await?;
                self.create(graph, wanted).await
            }
            None => self.create(graph, wanted).await,
        }
    }

    /// A subscription of ours that lives already.
    async fn find(&self, graph: &Graph) -> Result<Option<Held>, Failure> {
        let list = graph.list(Duration::ZERO, graph.now()).await?;
        let ours = list.iter().find(|subscription| self.destination.owns(subscription));
        Ok(ours.map(|subscription| Held {
            people: people_of(&subscription.resource),
            subscription: subscription.clone(),
            written: None,
        }))
    }

    async fn create(&self, graph: &Graph, wanted: &Ids) -> Result<Option<Held>, Failure> {
        if wanted.is_empty() {
            return Ok(None);
        }
        let now = graph.now();
        let new = NewSubscription {
            resource: resource(wanted),
            change_type: "updated".to_owned(),
            notification_url: self.destination.notification_url.clone(),
            lifecycle_notification_url: Some(self.destination.lifecycle_url.clone()),
            client_state: self.destination.client_state.clone(),
            expiration: now.checked_add(LIFE).unwrap_or(now),
            notification_query_options: None,
        };
        let subscription = graph.create(&new, now).await?;
        tracing::info!(
            account = self.name,
            people = wanted.len(),
            "presence subscription created"
        );
        self.wake.notify_one();
        Ok(Some(Held {
            subscription,
            people: wanted.clone(),
            written: Some(Instant::now()),
        }))
    }

    /// Renews when it is time, or Graph asks for it.
    async fn renewed(&self, graph: &Graph, held: Held, challenged: bool) -> Result<Option<Held>, Failure> {
        let now = graph.now();
        // A repeated challenge was answered already.
        let challenged = challenged && held.written.is_none_or(|at| at.elapsed() >= APART);
        if !challenged && held.subscription.expiration.duration_since(now) > RENEW_BEFORE {
            return Ok(Some(held));
        }
        let expiration = now.checked_add(LIFE).unwrap_or(now);
        let (id, deadline) = (&held.subscription.id, held.subscription.expiration);
        match graph.renew(id, expiration, None, deadline).await {
            Ok(subscription) => Ok(Some(Held {
                subscription,
                written: Some(Instant::now()),
                ..held
            })),
            Err(failure) if failure.kind == Kind::NotFound => self.create(graph, &held.people).await,
            Err(failure) => Err(failure),
        }
    }

    fn report(&self, held: Option<&Held>, signed_in: Option<Lamp>, subscribed: Option<Lamp>) {
        let dark = || Lamp::dark("not tried yet");
        let users = i32::try_from(self.wanted.borrow().as_ref().map_or(0, |ids| ids.len())).unwrap_or(i32::MAX);
        self.board.account(AccountReport {
            shard: ShardStatus {
                account: self.name.clone(),
                users,
                subscription_id: held.map(|held| held.subscription.id.clone()),
                expiration_time: held.map(|held| time(held.subscription.expiration)),
            },
            signed_in: signed_in.unwrap_or_else(dark),
            subscribed: subscribed.unwrap_or_else(dark),
        });
    }
}

impl Destination {
    /// Whether a subscription delivers to an address that only our object has. The key in it may be an earlier one.
    fn owns(&self, subscription: &Subscription) -> bool {
        let path = subscription.notification_url.find("/v1/n/");
        let path = path.and_then(|start| subscription.notification_url.get(start..));
        path.is_some_and(|path| path.split('/').nth(4) == Some(&self.uid))
    }

    /// Whether a subscription delivers here. One that does not has to be made anew: with another key Graph would repeat an old client
    /// state, which cannot be changed, and challenges would go to the old address. An answer may leave the address out.
    fn is_of(&self, subscription: &Subscription) -> bool {
        let url = subscription.notification_url.as_str();
        url.is_empty() || url == self.notification_url.expose_secret()
    }
}

/// Deletes the subscription of an account, if there is one of ours. Says whether none is left.
pub async fn release(graph: &Graph, destination: &Destination) -> Result<(), Failure> {
    let list = graph.list(Duration::ZERO, graph.now()).await?;
    for subscription in list.iter().filter(|subscription| destination.owns(subscription)) {
        graph.delete(&subscription.id, graph.now()).await?;
    }
    Ok(())
}

fn subscribed(held: Option<&Held>) -> Lamp {
    match held {
        Some(_) => Lamp::green("subscribed to the presence of its users"),
        None => Lamp::green("it has no users"),
    }
}

/// Until Graph says that this subscription needs attention. Where some words were missed, one of them may have been for it.
async fn challenge(lifecycle: &mut broadcast::Receiver<String>, ours: Option<&str>) {
    loop {
        match lifecycle.recv().await {
            Ok(id) if ours.is_some_and(|ours| ours.eq_ignore_ascii_case(&id)) => return,
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// When a renewal is due; with some chance, so that accounts do not renew in step.
fn next_look(held: Option<&Held>, now: Timestamp) -> Duration {
    let Some(held) = held else {
        return Duration::from_hours(1);
    };
    let left = held.subscription.expiration.duration_since(now) - RENEW_BEFORE;
    let chance = SignedDuration::from_secs_f64(60.0 * CHANCE_MINUTES * fastrand::f64());
    // A grant that is shorter than asked must not make this a busy loop.
    (left + chance).max(SignedDuration::from_secs(30)).unsigned_abs()
}

/// The resource that tells of these people. Graph's documentation has it with and without a slash before; without, none objects.
fn resource(people: &[String]) -> String {
    let quoted: Vec<String> = people.iter().map(|id| format!("'{id}'")).collect();
    format!("communications/presences?$filter=id in ({})", quoted.join(","))
}

/// The people whom a resource tells of, sorted, however Graph spells it.
fn people_of(resource: &str) -> Ids {
    let inside = resource.split_once('(').map_or("", |(_, inside)| inside);
    let ids: BTreeSet<String> = inside
        .split(|c: char| c == '\'' || c == ',' || c == ')' || c.is_whitespace() || c == '"')
        .filter(|part| !part.is_empty() && !part.starts_with('%'))
        .map(str::to_ascii_lowercase)
        .collect();
    ids.into_iter().collect()
}

#[cfg(test)]
mod tests;
