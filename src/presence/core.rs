//! The worker's core: one task that knows every user, asks the engine, stores what is about to be written, and has it written.
//!
//! Whatever happens marks users; a turn decides for all that are marked, stores their records in one commit, and only then lets
//! the writes go. A user has one write under way at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::endpoints::Endpoints;
use self::refusals::Refusals;
use self::release::Release;
use self::restart::Restart;
use self::silence::Silence;
use self::user::User;
use super::accounts::Shards;
use super::adapters::Adapter;
use super::agenda::Agenda;
use super::board::Board;
use super::connect::Connected;
use super::directory::People;
use super::input::{Ask, Input};
use super::metrics::Metrics;
use super::roster::Roster;
use super::settings::Settings;
use super::setup::{InForce, Setup};
use super::store::{Record, Store};
use super::teams::Ids;
use super::writing::{Order, Writer};
use crate::api::presence_report::{Fault, Lamp, Phase};
use crate::graph::Graph;
use crate::local_clock;
use crate::policy::backoff::Class;
use crate::policy::presence::engine::{self, Outcome, UserState};
use crate::policy::presence::pbx::{Capabilities, PbxEvent, PbxUser, PbxView};

mod deciding;
mod endpoints;
mod events;
mod refusals;
mod release;
mod report;
mod restart;
mod silence;
mod user;

/// Inputs that one turn takes.
const BATCH: usize = 4096;
/// What users there are is looked at again when no more came for so long.
const QUIET: Duration = Duration::from_millis(300);
/// Gauges are brought up to date so often.
const TICK: Duration = Duration::from_secs(5);
/// However far the next time to decide is; a clock may be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// Knowledge of what ended may reach the disk so much later: losing it costs one more write.
const LATE_STORE: Duration = Duration::from_secs(1);

/// What the core works with.
pub struct Parts {
    /// What the worker is told.
    pub setup: Arc<Setup>,
    /// The worker's own settings.
    pub settings: Settings,
    /// The PBX; `None` when it cannot be used at all.
    pub adapter: Option<Arc<Adapter>>,
    /// Starts it again when it has ended.
    pub reconnect: Reconnect,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Why it cannot be used at all.
    pub unusable: Option<Lamp>,
    /// What writes.
    pub writer: Writer,
    /// Where own state is stored.
    pub store: Store,
    /// Who is to be polled.
    pub ids: watch::Sender<Ids>,
    /// Whose presence is to be read now.
    pub wanted: mpsc::Sender<String>,
    /// The accounts, with push.
    pub shards: Option<Shards>,
    /// What the other parts say.
    pub board: Board,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// When the worker began.
    pub started: Timestamp,
    /// Why a newer configuration is not in force.
    pub in_force: watch::Receiver<InForce>,
    /// The app that reads, which measures the clock.
    pub reader: Option<Graph>,
    /// Ends the parts that read and subscribe: nothing is wanted any more.
    pub helpers: CancellationToken,
}

/// Starts an adapter. What it tells comes over the channel.
pub type Reconnect = Box<dyn Fn() -> (Connected, mpsc::Receiver<PbxEvent>) + Send + Sync>;

/// What reaches the core.
pub struct Ways<'a> {
    /// From the PBX.
    pub pbx: mpsc::Receiver<PbxEvent>,
    /// From the worker's other parts.
    pub inputs: mpsc::Receiver<Input>,
    /// From the internal port.
    pub asks: &'a mut mpsc::Receiver<Ask>,
    /// Ends it.
    pub stop: CancellationToken,
}

/// The core.
pub struct Core {
    parts: Parts,
    engine: engine::Settings,
    /// By object id of the person, in lower case.
    /// In boxes: the places of a tree are half empty.
    users: BTreeMap<Arc<str>, Box<User>>,
    /// From what the adapter calls a user to the person.
    by_pbx: BTreeMap<Arc<str>, Arc<str>>,
    /// Everybody on the PBX, with what was last told.
    pbx: BTreeMap<String, PbxSide>,
    /// Who is asked for and not there, by what the adapter calls them.
    absent: BTreeSet<String>,
    people: Option<Arc<People>>,
    roster: Roster,
    endpoints: Endpoints,
    /// Why the PBX takes no entries of ours, if it does not.
    no_entries: Option<String>,
    refused_by_pbx: Refusals,
    refused_by_teams: Refusals,
    agenda: Agenda<Arc<str>, Timestamp>,
    /// Users to be decided for.
    marked: BTreeSet<Arc<str>>,
    /// Users whose record on the disk is not what it should be.
    unstored: BTreeSet<Arc<str>>,
    unstored_since: Option<Instant>,
    /// When to find out again who is to be kept in step.
    roster_due: Option<Instant>,
    /// All users of the PBX were told of once, as it says itself: from now on, whoever is not there is out of scope.
    complete: bool,
    /// The adapter has ended, and tells nothing more.
    is_deaf: bool,
    /// Whom the adapter watches.
    watched: BTreeSet<Arc<str>>,
    restart: Restart,
    release: Release,
    ticked: Option<tokio::time::Instant>,
    /// What presence of Teams is not learned by.
    silence: Silence,
}

/// A user of the PBX.
#[derive(Default)]
struct PbxSide {
    user: PbxUser,
    view: Option<PbxView>,
}

impl Core {
    /// A core that knows what was written before.
    pub fn new(parts: Parts, records: BTreeMap<String, Record>) -> Self {
        let now = local_clock::now();
        let config = &parts.setup.config;
        let mut users = BTreeMap::new();
        let mut by_pbx = BTreeMap::new();
        for (person, record) in records {
            let person: Arc<str> = person.into();
            let pbx: Arc<str> = record.pbx.into();
            by_pbx.insert(pbx.clone(), person.clone());
            let user = User::new(pbx, UserState::restored(record.owned, now));
            users.insert(person, Box::new(user));
        }
        Self {
            engine: engine::Settings::new(&config.spec, parts.capabilities),
            endpoints: Endpoints::new(&config.spec.pbx),
            no_entries: None,
            refused_by_pbx: Refusals::default(),
            refused_by_teams: Refusals::default(),
            release: Release::new(config.spec.suspend),
            restart: Restart::new(Instant::now()),
            marked: users.keys().cloned().collect(),
            users,
            by_pbx,
            pbx: BTreeMap::new(),
            absent: BTreeSet::new(),
            people: None,
            roster: Roster::default(),
            agenda: Agenda::default(),
            unstored: BTreeSet::new(),
            unstored_since: None,
            roster_due: None,
            complete: false,
            is_deaf: false,
            watched: BTreeSet::new(),
            ticked: None,
            silence: Silence::default(),
            parts,
        }
    }

    /// Works until stopped; what is under way is waited for a moment, and what is owned stays. Gives back the adapter.
    pub async fn run(mut self, mut ways: Ways<'_>) -> Option<Arc<Adapter>> {
        self.recall().await;
        self.turn().await;
        loop {
            let sleep = tokio::time::sleep(self.sleep());
            tokio::select! {
                event = ways.pbx.recv(), if !self.is_deaf => match event {
                    Some(event) => self.on_pbx(event),
                    None => self.on_silence(),
                },
                Some(input) = ways.inputs.recv() => self.on_input(input),
                Some(ask) = ways.asks.recv() => self.on_ask(ask),
                () = sleep => {}
                () = ways.stop.cancelled() => break,
            }
            self.drain(&mut ways);
            self.restart_adapter(&mut ways).await;
            self.turn().await;
        }
        self.finish(&mut ways).await;
        self.parts.adapter
    }

    /// Takes what else is there, so that it is decided and stored together.
    fn drain(&mut self, ways: &mut Ways<'_>) {
        for _ in 0..BATCH {
            if let Ok(event) = ways.pbx.try_recv() {
                self.on_pbx(event);
            } else if let Ok(input) = ways.inputs.try_recv() {
                self.on_input(input);
            } else {
                return;
            }
        }
    }

    /// One turn: who there is, what is due, what is decided, what is stored, what is written.
    async fn turn(&mut self) {
        let now = local_clock::now();
        self.refresh_roster(now).await;
        while let Some(person) = self.agenda.due(now) {
            self.marked.insert(person);
        }
        let writes = self.decide(now);
        self.store(writes).await;
        self.answer_release(now);
        self.tick(now);
    }

    /// Stores what changed, then has the writes made. What cannot be stored is not written.
    async fn store(&mut self, writes: Vec<Order>) {
        let late = self.unstored_since.is_some_and(|since| since.elapsed() >= LATE_STORE);
        if self.unstored.is_empty() || writes.is_empty() && !late {
            self.start(writes);
            return;
        }
        let changes = self
            .unstored
            .iter()
            .map(|person| (person.to_string(), self.record(person)));
        match self.parts.store.put(changes.collect()).await {
            Ok(()) => {
                self.unstored.clear();
                self.unstored_since = None;
                let lamp = Lamp::green("what is written is remembered");
                self.parts.board.lamps(|lamps| lamps.storage = lamp);
                self.start(writes);
            }
            Err(error) => {
                tracing::error!("nothing is written, as it could not be remembered: {error}");
                self.parts.metrics.storage_failures.inc();
                self.unstored_since = Some(Instant::now());
                let lamp = Lamp::red(Fault::StorageFailing, error.to_string());
                self.parts.board.lamps(|lamps| lamps.storage = lamp);
                self.take_back(writes);
            }
        }
    }

    fn record(&self, person: &Arc<str>) -> Option<Record> {
        let user = self.users.get(person)?;
        Some(Record {
            pbx: user.pbx.to_string(),
            owned: user.state.owned().clone(),
        })
    }

    fn start(&self, writes: Vec<Order>) {
        for order in writes {
            self.parts.writer.start(order);
        }
    }

    /// They were never sent.
    fn take_back(&mut self, writes: Vec<Order>) {
        let now = local_clock::now();
        for order in writes {
            if let Some(user) = self.users.get_mut(&order.person) {
                user.writing = false;
                let outcome = Outcome::Refused(Class::Retry);
                user.state.settle(&order.write, outcome, now, fastrand::f64());
                self.marked.insert(order.person);
            }
        }
    }

    /// What this person has to be stored for.
    fn mark_unstored(&mut self, person: &Arc<str>) {
        self.unstored.insert(person.clone());
        self.unstored_since.get_or_insert_with(Instant::now);
    }

    /// Where the PBX cannot tell what is ours, it is told.
    async fn recall(&self) {
        let Some(adapter) = &self.parts.adapter else { return };
        let now = local_clock::now();
        let ours = self.users.values().filter(|user| user.state.owned().entry.is_live(now));
        adapter
            .recall_own(ours.map(|user| user.pbx.to_string()).collect())
            .await;
    }

    /// How long nothing has to be done unless something comes.
    fn sleep(&self) -> Duration {
        if !self.marked.is_empty() {
            return Duration::ZERO;
        }
        let now = local_clock::now();
        let until = |at: Timestamp| at.duration_since(now).max(SignedDuration::ZERO).unsigned_abs();
        let mut sleep = LONGEST_SLEEP.min(TICK);
        if let Some(next) = self.agenda.next() {
            sleep = sleep.min(until(next));
        }
        if let Some(due) = self.roster_due {
            sleep = sleep.min(due.saturating_duration_since(Instant::now()));
        }
        if let Some(due) = self.restart.due() {
            sleep = sleep.min(due.saturating_duration_since(Instant::now()));
        }
        if let Some(since) = self.unstored_since {
            sleep = sleep.min(LATE_STORE.saturating_sub(since.elapsed()).max(Duration::from_millis(5)));
        }
        sleep
    }

    /// The end: writes under way are waited for, as their answers spare the next start some work.
    async fn finish(&mut self, ways: &mut Ways<'_>) {
        let drain = self.parts.settings.drain;
        let answers = async {
            while self.users.values().any(|user| user.writing) {
                match ways.inputs.recv().await {
                    Some(input) => self.on_input(input),
                    None => return,
                }
            }
        };
        if tokio::time::timeout(drain, answers).await.is_err() {
            tracing::warn!("some writes are not answered in time; what they may have left is known");
        }
        let changes = self
            .unstored
            .iter()
            .map(|person| (person.to_string(), self.record(person)));
        let changes: Vec<_> = changes.collect();
        if !changes.is_empty() && self.parts.store.put(changes).await.is_err() {
            tracing::warn!("the last answers could not be stored");
        }
    }

    /// What the worker is doing.
    fn phase(&self) -> Phase {
        if self.release.is_wanted() {
            return if self.owned(local_clock::now()).is_empty() {
                Phase::Idle
            } else {
                Phase::Releasing
            };
        }
        if self.people.is_none() || !self.complete {
            Phase::Starting
        } else {
            Phase::Running
        }
    }
}
