//! Pexip's Management Node, which is read and never written.
//! <https://docs.pexip.com/api_manage/api_status.htm>
//!
//! One client serves all objects that name the same manager and credentials: what it read is shared, and so is the budget of
//! requests, of which a manager takes 1,000 within 60 s.

mod budget;
mod cache;
mod events;
mod feed;
mod get;
mod pages;
mod pushed;
mod resources;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use prometheus::IntCounterVec;
use tokio::sync::MutexGuard;
use tokio::time::Instant;

pub use get::{Credentials, Unusable};
pub use pushed::{Counts, Log, Sink, Sinks};

use crate::api::connector::{CallFeed, Pexip};
use crate::local_clock;
use crate::policy::connector::pexip::calls::{CallRecord, FeedFault};
use crate::policy::connector::pexip::capacity::{History, sample};
use crate::policy::connector::pexip::explain::writers;
use crate::policy::connector::pexip::{Answer, ApiFault, Configuration, Connector, PexipEvidence, PexipStatus};
use budget::Budget;
use cache::Cache;
use feed::{Ended, Feed};
use get::Getter;

/// How old the configuration may be: it changes rarely, and reading it takes eight requests or more.
const CONFIGURATION_AGE: Duration = Duration::from_mins(10);
/// How old the status and the history of calls may be, so that objects that are looked at together share them.
const STATUS_AGE: Duration = Duration::from_secs(10);
/// How long a failure is kept: objects that share a manager out of reach shall not each wait for it.
const FAILURE_AGE: Duration = Duration::from_secs(10);
const BUSY: ApiFault = ApiFault::Unreachable("it does not answer in time");

/// Where a Management Node is, and how it is asked.
pub struct Settings {
    /// Its address.
    pub management_url: String,
    /// Who asks.
    pub credentials: Credentials,
    /// Certificates (PEM) that are trusted besides the public ones.
    pub roots: Option<Vec<u8>>,
}

/// All Management Nodes that are asked.
pub struct Managers {
    requests: IntCounterVec,
    clients: Mutex<HashMap<Key, Weak<Client>>>,
    budgets: Mutex<HashMap<String, Weak<Budget>>>,
}

/// Address of the manager, and a digest of credentials and roots.
type Key = (String, Vec<u8>);

impl Managers {
    /// None yet. Requests are counted in `requests`, which has the labels `api` and `code`.
    pub fn new(requests: IntCounterVec) -> Self {
        Self {
            requests,
            clients: Mutex::default(),
            budgets: Mutex::default(),
        }
    }

    /// The client for these settings. It lives as long as somebody holds it.
    pub fn client(&self, settings: &Settings) -> Result<Arc<Client>, Unusable> {
        let key = (settings.management_url.clone(), fingerprint(settings));
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|_, client| client.strong_count() > 0);
        if let Some(client) = clients.get(&key).and_then(Weak::upgrade) {
            return Ok(client);
        }
        let base = get::base(&settings.management_url)?;
        let budget = self.budget(base.authority());
        let client = Arc::new(Client {
            getter: Getter::new(base, settings, budget, self.requests.clone())?,
            configuration: Cache::default(),
            status: Cache::default(),
            feed: tokio::sync::Mutex::default(),
        });
        clients.insert(key, Arc::downgrade(&client));
        Ok(client)
    }

    /// The limit is the manager's, whoever asks.
    fn budget(&self, authority: &str) -> Arc<Budget> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        budgets.retain(|_, budget| budget.strong_count() > 0);
        if let Some(budget) = budgets.get(authority).and_then(Weak::upgrade) {
            return budget;
        }
        let budget = Arc::new(Budget::default());
        budgets.insert(authority.to_owned(), Arc::downgrade(&budget));
        budget
    }
}

fn fingerprint(settings: &Settings) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    settings.credentials.feed(&mut |part| {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    });
    context.update(settings.roots.as_deref().unwrap_or_default());
    context.finish().as_ref().to_vec()
}

/// What is remembered of one object between looks.
#[derive(Default)]
pub struct Memory {
    /// What nodes push.
    pub pushed: Pushed,
    history: History,
    /// The last call of the history that was told of. `None`: none yet; the first look tells of none, as they may have been counted
    /// before.
    cursor: Option<u64>,
    /// The last failure that only the support log has and that was told of.
    logged: u64,
    /// Calls of the event sink, and the last that was told of.
    events: (Feed, u64),
}

/// What nodes push, as far as one object is concerned.
pub struct Pushed {
    /// Its event sink, or why there is none.
    pub events: Result<Arc<Sink>, FeedFault>,
    /// Lines of support logs. `None`: nobody listens.
    pub log: Option<Arc<Log>>,
}

impl Default for Pushed {
    fn default() -> Self {
        Self {
            events: Err(FeedFault::NoEvents),
            log: None,
        }
    }
}

/// A Management Node. No Debug: there are credentials within.
pub struct Client {
    getter: Getter,
    configuration: Cache<Configuration>,
    status: Cache<PexipStatus>,
    feed: tokio::sync::Mutex<Feed>,
}

impl Client {
    /// Looks at the deployment for `spec`, for so long at most.
    pub async fn look(&self, spec: &Pexip, memory: &mut Memory, limit: Duration) -> PexipEvidence {
        let deadline = Instant::now() + limit;
        let (configuration, status) = tokio::join!(self.configuration(deadline), self.status(deadline));
        let ended = match spec.call_feed {
            CallFeed::None => None,
            CallFeed::History => Some(
                self.ended(spec, &configuration, deadline)
                    .await
                    .map_err(FeedFault::History),
            ),
            CallFeed::Syslog => Some(self.explained(spec, &configuration, &memory.pushed, deadline).await),
            CallFeed::EventSink => Some(self.told(spec, &configuration, memory)),
        };
        let fresh_calls = match &ended {
            Some(Ok(ended)) if spec.call_feed == CallFeed::EventSink => memory.fresh_of_events(ended),
            Some(Ok(ended)) => memory.fresh(ended),
            _ => Vec::new(),
        };
        let mut evidence = PexipEvidence {
            configuration,
            status,
            samples: Vec::new(),
            calls: ended.map(|ended| ended.map(Ended::records)),
            fresh_calls,
            clock: self.getter.clock().into_iter().collect(),
        };
        if let Some(sample) = sample(spec, &evidence, local_clock::now()) {
            memory.history.add(sample);
        }
        evidence.samples = memory.history.samples();
        evidence
    }

    async fn configuration(&self, deadline: Instant) -> Arc<Configuration> {
        let age = |known: &Configuration| match &known.connectors {
            Ok(_) => CONFIGURATION_AGE,
            Err(_) => FAILURE_AGE,
        };
        let fetch = || resources::configuration(&self.getter, deadline);
        let read = self.configuration.read(deadline, age, fetch).await;
        read.unwrap_or_else(|| Arc::new(Configuration::unknown(&BUSY)))
    }

    async fn status(&self, deadline: Instant) -> Arc<PexipStatus> {
        let age = |known: &PexipStatus| match &known.instances {
            Ok(_) => STATUS_AGE,
            Err(_) => FAILURE_AGE,
        };
        let fetch = || resources::status(&self.getter, deadline);
        let read = self.status.read(deadline, age, fetch).await;
        read.unwrap_or_else(|| Arc::new(PexipStatus::unknown(&BUSY)))
    }

    /// Calls through the connector of `spec` that ended lately.
    async fn ended(&self, spec: &Pexip, configuration: &Configuration, deadline: Instant) -> Answer<Ended> {
        let connectors = configuration.connectors.as_ref().map_err(Clone::clone)?;
        let feed = self.history(configuration, deadline).await?;
        Ok(own(spec, connectors).map(|own| feed.of(&own.uri)).unwrap_or_default())
    }

    /// The same, with the errors that the support log of the deployment's nodes has. What belongs to none of the calls may be any
    /// connector's, if there are several.
    async fn explained(
        &self,
        spec: &Pexip,
        configuration: &Configuration,
        pushed: &Pushed,
        deadline: Instant,
    ) -> Result<Ended, FeedFault> {
        let log = pushed.log.as_ref().ok_or(FeedFault::NoLog)?;
        let connectors = configuration.connectors.as_ref();
        let connectors = connectors.map_err(|fault| FeedFault::History(fault.clone()))?;
        let feed = self.history(configuration, deadline).await?;
        let Some(own) = own(spec, connectors) else {
            return Ok(Ended::default());
        };
        let nodes = writers(spec, &configuration.nodes);
        let (now, skew) = (local_clock::now(), self.getter.skew());
        let logged = log.of(|node| nodes.contains(node), now, skew);
        let now = now.checked_add(skew).unwrap_or(now);
        Ok(feed.explained(&own.uri, logged, now, connectors.len() == 1))
    }

    /// The history, read anew where it is old.
    async fn history(&self, configuration: &Configuration, deadline: Instant) -> Answer<MutexGuard<'_, Feed>> {
        let routes = configuration.routes.as_ref().map_err(Clone::clone)?;
        let lock = tokio::time::timeout_at(deadline, self.feed.lock());
        let mut feed = lock.await.map_err(|_| BUSY)?;
        feed.refresh(&self.getter, routes, deadline).await?;
        Ok(feed)
    }

    /// The calls that the event sink told of.
    fn told(&self, spec: &Pexip, configuration: &Configuration, memory: &mut Memory) -> Result<Ended, FeedFault> {
        let sink = memory.pushed.events.clone()?;
        // Without the rules, it cannot be told where calls went: what came waits.
        let connectors = configuration.connectors.as_ref();
        let connectors = connectors.map_err(|fault| FeedFault::Configuration(fault.clone()))?;
        let routes = configuration.routes.as_ref();
        let routes = routes.map_err(|fault| FeedFault::Configuration(fault.clone()))?;
        let (feed, now) = (&mut memory.events.0, self.getter.now());
        feed.take(sink.drain(local_clock::now(), self.getter.skew()), routes, now);
        match sink.fault() {
            Some(fault) => Err(fault),
            None => Ok(own(spec, connectors).map(|own| feed.of(&own.uri)).unwrap_or_default()),
        }
    }
}

fn own<'a>(spec: &Pexip, connectors: &'a [Connector]) -> Option<&'a Connector> {
    connectors.iter().find(|one| one.name == spec.connector_name)
}

impl Memory {
    /// The calls that were not told of before.
    fn fresh(&mut self, ended: &Ended) -> Vec<CallRecord> {
        let mut fresh = self.cursor.map(|cursor| ended.after(cursor)).unwrap_or_default();
        self.cursor = Some(ended.last().max(self.cursor.unwrap_or(0)));
        // What is logged comes to this process alone.
        let (others, last) = ended.others_after(self.logged);
        self.logged = last.max(self.logged);
        fresh.extend(others);
        fresh
    }

    /// The same of events: all that came came to this process.
    fn fresh_of_events(&mut self, ended: &Ended) -> Vec<CallRecord> {
        let fresh = ended.after(self.events.1);
        self.events.1 = ended.last().max(self.events.1);
        fresh
    }
}

#[cfg(test)]
mod tests;
