//! The communication accounts together: who is watched by which, and how they stand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::account::{self, Account, Destination};
use super::apps;
use super::board::Board;
use super::directory::People;
use super::setup::Setup;
use super::store::Store;
use super::teams::Ids;
use crate::api::presence::Push;
use crate::api::presence_config::{CLIENT_STATE_FILE, LIFECYCLE_URL_FILE, NOTIFICATION_URL_FILE, PushConfig};
use crate::api::presence_report::{AccountReport, Fault, Lamp};
use crate::graph::Graph;
use crate::policy::presence::shards;

/// Tries to delete a subscription at the end. It ends by itself within the hour.
const TRIES: u32 = 3;
const BETWEEN_TRIES: Duration = Duration::from_secs(2);

/// What the accounts are made of.
pub struct Needs<'a> {
    /// What the worker is told.
    pub setup: &'a Setup,
    /// What the spec says about push.
    pub push: &'a Push,
    /// Where notifications come from.
    pub config: &'a PushConfig,
    /// The app that reads, through which the accounts sign in.
    pub reader: &'a Result<Graph, Lamp>,
    /// The people.
    pub people: watch::Receiver<Arc<People>>,
    /// Where it is said how each stands.
    pub board: Board,
    /// What is wanted has to stand for so long.
    pub settle: Duration,
    /// Ids of subscriptions of which Graph says that they need attention.
    pub lifecycle: broadcast::Sender<String>,
    /// Wakes the polling.
    pub wake: Arc<Notify>,
    /// Ends everything.
    pub stop: CancellationToken,
}

/// The accounts together.
pub struct Shards {
    seats: Vec<Seat>,
    destination: Option<Destination>,
    /// Who is watched by which account: the object id of a person, and the account's name.
    places: BTreeMap<String, Arc<str>>,
    /// Sorted.
    over: Vec<String>,
    stop: CancellationToken,
    released: Option<Arc<Released>>,
}

/// An account's place.
struct Seat {
    name: String,
    graph: Result<Graph, Lamp>,
    wanted: watch::Sender<Option<Ids>>,
}

/// How far the deletion of the subscriptions has come.
struct Released {
    under_way: AtomicUsize,
    failed: AtomicI32,
}

impl Shards {
    /// Starts the accounts. Who was watched by which is known from the store, so that nobody moves without need.
    pub fn start(needs: &Needs<'_>, places: BTreeMap<String, String>) -> Self {
        let destination = destination(needs.setup, needs.config);
        let stop = needs.stop.child_token();
        let mut seats = Vec::new();
        for spec in &needs.push.accounts {
            let graph = needs.reader.clone().and_then(|graph| {
                let account = apps::account(needs.setup, &spec.secret_ref.name)?;
                Ok(graph.delegated(account))
            });
            let graph = graph.and_then(|graph| destination.clone().map(|_| graph));
            let (wanted, seen) = watch::channel(None);
            if let Ok(destination) = &destination {
                let account = Account {
                    name: spec.name.clone(),
                    graph: graph.clone(),
                    destination: destination.clone(),
                    wanted: seen,
                    people: needs.people.clone(),
                    board: needs.board.clone(),
                    settle: needs.settle,
                    lifecycle: needs.lifecycle.subscribe(),
                    wake: needs.wake.clone(),
                    stop: stop.clone(),
                };
                tokio::spawn(account.run());
            }
            seats.push(Seat {
                name: spec.name.clone(),
                graph,
                wanted,
            });
        }
        Self {
            seats,
            destination: destination.ok(),
            places: by_person(by_account(places)),
            over: Vec::new(),
            stop,
            released: None,
        }
    }

    /// Gives each of these people a place at one account; those who have one keep it. Unless these are all of them, so does whoever
    /// is not among them: after a restart the PBX tells its users again, and no subscription ends for that.
    pub async fn assign(&mut self, ids: &[String], all: bool, store: &Store) {
        if self.released.is_some() {
            return;
        }
        let names: Vec<String> = self.seats.iter().map(|seat| seat.name.clone()).collect();
        let mut people: BTreeSet<String> = ids.iter().cloned().collect();
        if !all {
            people.extend(self.places.keys().cloned());
        }
        let places = self.places.iter();
        let before = shards::Shards {
            accounts: by_account(places.map(|(person, account)| (person.clone(), account.to_string()))),
            over_limit: BTreeSet::new(),
        };
        let plan = shards::assign(&names, &people, &before);
        drop((people, before));
        for seat in &self.seats {
            let share = plan.accounts.get(&seat.name);
            let wanted: Ids = share.into_iter().flatten().cloned().collect();
            seat.wanted.send_if_modified(|known| {
                let changed = known.as_ref() != Some(&wanted);
                *known = Some(wanted);
                changed
            });
        }
        self.over = plan.over_limit.into_iter().collect();
        let places = by_person(plan.accounts);
        if places != self.places {
            self.places = places;
            let places = self.places.iter();
            let places = places.map(|(person, account)| (person.clone(), account.to_string()));
            // Without it, some would move after a restart.
            if let Err(error) = store.put_places(places.collect()).await {
                tracing::warn!("who is watched by which account could not be stored: {error}");
            }
        }
    }

    /// People without a place.
    pub fn over(&self) -> &[String] {
        &self.over
    }

    /// Whether a person has no place.
    pub fn is_over(&self, person: &str) -> bool {
        self.over.binary_search_by(|over| over.as_str().cmp(person)).is_ok()
    }

    /// Names of the accounts.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.seats.iter().map(|seat| seat.name.as_str())
    }

    /// The account that watches a person; `None` for who has no place.
    pub fn account_of(&self, person: &str) -> Option<&str> {
        self.places.get(person).map(AsRef::as_ref)
    }

    /// Deletes the subscriptions, once.
    pub fn release(&mut self) {
        if self.released.is_some() {
            return;
        }
        self.stop.cancel();
        let signed: Vec<Graph> = self.seats.iter().filter_map(|seat| seat.graph.clone().ok()).collect();
        let released = Arc::new(Released {
            under_way: AtomicUsize::new(signed.len()),
            failed: AtomicI32::new(0),
        });
        if let Some(destination) = &self.destination {
            for graph in signed {
                let (destination, released) = (destination.clone(), released.clone());
                tokio::spawn(async move {
                    if !delete(&graph, &destination).await {
                        released.failed.fetch_add(1, Ordering::SeqCst);
                    }
                    released.under_way.fetch_sub(1, Ordering::SeqCst);
                });
            }
        }
        self.released = Some(released);
    }

    /// Whether all that could be deleted was deleted.
    pub fn is_released(&self) -> bool {
        let done = |released: &Arc<Released>| released.under_way.load(Ordering::SeqCst) == 0;
        self.destination.is_none() || self.released.as_ref().is_some_and(done)
    }

    /// Subscriptions that could not be deleted.
    pub fn remaining(&self) -> i32 {
        let failed = |released: &Arc<Released>| released.failed.load(Ordering::SeqCst);
        self.released.as_ref().map_or(0, failed)
    }

    /// The accounts and the places in one lamp.
    pub fn lamp(&self, accounts: &[AccountReport]) -> Lamp {
        if self.destination.is_some() && !self.over.is_empty() {
            return Lamp::red(
                Fault::OverLimit,
                "there are more users than the accounts may watch: 650 each; add an account",
            );
        }
        self.subscribed(accounts)
    }

    /// The accounts in one lamp.
    pub fn subscribed(&self, accounts: &[AccountReport]) -> Lamp {
        if self.destination.is_none() {
            return Lamp::red(Fault::SecretMissing, "the address for notifications is not mounted yet");
        }
        for account in accounts {
            for lamp in [&account.signed_in, &account.subscribed] {
                if !lamp.is_green() {
                    let message = format!("{}: {}", account.shard.account, lamp.message);
                    return Lamp {
                        message,
                        ..lamp.clone()
                    };
                }
            }
        }
        if accounts.len() < self.seats.len() {
            return Lamp::dark("not all accounts are subscribed yet");
        }
        Lamp::green("every account is subscribed to the presence of its users")
    }
}

fn by_account(places: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, BTreeSet<String>> {
    let mut accounts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (person, account) in places {
        accounts.entry(account).or_default().insert(person);
    }
    accounts
}

/// The other way round; the name of an account is held once.
fn by_person(accounts: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, Arc<str>> {
    let mut places = BTreeMap::new();
    for (name, people) in accounts {
        let name: Arc<str> = name.into();
        places.extend(people.into_iter().map(|person| (person, name.clone())));
    }
    places
}

async fn delete(graph: &Graph, destination: &Destination) -> bool {
    for _ in 0..TRIES {
        match account::release(graph, destination).await {
            Ok(()) => return true,
            Err(failure) => tracing::warn!("a presence subscription cannot be deleted: {failure}"),
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
    false
}

fn destination(setup: &Setup, config: &PushConfig) -> Result<Destination, Lamp> {
    let read = |key: &str| {
        setup.secret(&config.secret, key).ok_or_else(|| {
            let message = format!("Secret {} has no text under the key {key}", config.secret);
            Lamp::red(Fault::SecretMissing, message)
        })
    };
    Ok(Destination {
        uid: setup.config.uid.clone(),
        notification_url: read(NOTIFICATION_URL_FILE)?,
        lifecycle_url: read(LIFECYCLE_URL_FILE)?,
        client_state: read(CLIENT_STATE_FILE)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_person_has_a_place_at_one_account() {
        let places = [("ada", "one"), ("bob", "two"), ("carl", "one")];
        let places: BTreeMap<String, String> = places.map(|(who, at)| (who.to_owned(), at.to_owned())).into();
        let accounts = by_account(places.clone());
        assert_eq!(accounts["one"], BTreeSet::from(["ada".to_owned(), "carl".to_owned()]));
        let found = by_person(accounts);
        assert!(Arc::ptr_eq(&found["ada"], &found["carl"]));
        let back: BTreeMap<_, _> = found.iter().map(|(who, at)| (who.clone(), at.to_string())).collect();
        assert_eq!(back, places);
    }
}
