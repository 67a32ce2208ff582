//! Puts the parts together for one configuration, and anew when it changes. What is owned is on the volume, so beginning anew
//! is as safe as a crash.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use prometheus::Registry;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::accounts::{Needs, Shards};
use super::adapters::Adapter;
use super::apps::{Apps, Clients};
use super::board::Board;
use super::connect::{self, Connected};
use super::core::{Core, Parts, Reconnect, Ways};
use super::directory::{Directory, People};
use super::input::{Ask, Input};
use super::metrics::Metrics;
use super::pull::Pulling;
use super::roster;
use super::server::{self, Listening};
use super::settings::Settings;
use super::setup::{self, Files, InForce, Setup};
use super::store::Store;
use super::teams::{self, Ids, Polling, Reading};
use super::writing::{self, Writer};
use crate::api::presence::Source;
use crate::api::presence_report::{Fault, Lamp};
use crate::graph::{self, Graph, http_client, http_client_inside};
use crate::local_clock;
use crate::policy::presence::pbx::PbxEvent;
use crate::telemetry::health::Health;

/// Inputs that may wait for the core.
const INPUTS: usize = 1024;
/// Events of the PBX that may wait.
const EVENTS: usize = 8192;
/// Questions that may wait.
const ASKS: usize = 32;
/// Words of Graph about subscriptions that may wait for an account. One that misses some looks all the same.
const LIFECYCLE: usize = 64;
/// People that may wait for their presence to be read.
const WANTED: usize = 16_384;
/// With subscriptions, polling is the safety net, and no more often than this.
const SAFETY_NET: Duration = Duration::from_mins(5);
/// How long the connections to the PBX may take to end.
const CLOSE: Duration = Duration::from_secs(5);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A running worker.
pub struct Worker {
    listening: Listening,
    follow: JoinHandle<()>,
    work: JoinHandle<()>,
    stop: CancellationToken,
    draining: Arc<AtomicBool>,
}

/// Starts the adapter that a configuration asks for.
pub type Connector = Box<dyn Fn(&Setup, mpsc::Sender<PbxEvent>) -> Connected + Send + Sync>;

/// What outlives a configuration.
struct Base {
    connect: Arc<Connector>,
    settings: Settings,
    store: Store,
    metrics: Arc<Metrics>,
    inside: reqwest::Client,
    started: Timestamp,
}

impl Worker {
    /// Starts a worker. When this returns, the internal port answers.
    pub async fn start(settings: Settings) -> Result<Self, Failure> {
        let registry = Registry::new();
        let connect = connect::connector(&registry)?;
        Self::start_with(settings, registry, connect).await
    }

    pub(super) async fn start_with(
        settings: Settings,
        registry: Registry,
        connect: Connector,
    ) -> Result<Self, Failure> {
        let metrics = Arc::new(Metrics::new(&registry)?);
        let files = Files::read(&settings.dirs)?;
        let setup = Arc::new(files.parse()?);
        let base = Base {
            connect: Arc::new(connect),
            store: Store::open(&settings.data)?,
            metrics: metrics.clone(),
            inside: http_client_inside()?,
            started: local_clock::now(),
            settings: settings.clone(),
        };
        if base.store.is_new() {
            tracing::info!(
                "nothing is remembered on the volume: what may have been written before is found out by looking"
            );
        }
        let clients = Clients::new(http_client()?, graph::Metrics::new(&registry)?);
        let (stop, draining) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        let (sender, in_force) = watch::channel(InForce { setup, error: None });
        let (asks, asked) = mpsc::channel(ASKS);
        let work = tokio::spawn(work((base, clients), in_force.clone(), asked, stop.clone()));
        let health = health(&work, &draining);
        let listening = server::listen(
            settings.internal_listen,
            asks,
            settings.release_time,
            in_force,
            health,
            registry,
        )
        .await?;
        let follow = setup::follow(settings.dirs.clone(), files, settings.look, sender, metrics);
        tracing::info!(internal = %listening.addr, "working");
        Ok(Self {
            listening,
            follow: tokio::spawn(follow),
            work,
            stop,
            draining,
        })
    }

    /// Where the internal port listens.
    pub fn internal_addr(&self) -> SocketAddr {
        self.listening.addr
    }

    /// Waits until the work has ended, which it does only when told to, or when it fails.
    pub async fn ended(&mut self) {
        let _ = (&mut self.work).await;
    }

    /// Ends in order. What was written stays, and is known as ours.
    pub async fn shutdown(self) {
        self.draining.store(true, Ordering::SeqCst);
        self.stop.cancel();
        if !self.work.is_finished() {
            let _ = self.work.await;
        }
        self.follow.abort();
        self.listening.close().await;
        tracing::info!("stopped");
    }
}

fn health(work: &JoinHandle<()>, draining: &Arc<AtomicBool>) -> Health {
    let (work, draining) = (work.abort_handle(), draining.clone());
    Health::default()
        .live("core", move || {
            let ended = work.is_finished();
            if ended { Err("ended".to_owned()) } else { Ok(()) }
        })
        .ready("shutdown", move || {
            let draining = draining.load(Ordering::SeqCst);
            if draining { Err("draining".to_owned()) } else { Ok(()) }
        })
}

/// Works by the configuration in force, until stopped.
async fn work(
    (base, mut clients): (Base, Clients),
    mut in_force: watch::Receiver<InForce>,
    mut asks: mpsc::Receiver<Ask>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let setup = in_force.borrow_and_update().setup.clone();
        let errors = in_force.clone();
        let once = stop.child_token();
        let life = live((&base, &mut clients), setup, errors, &mut asks, once.clone());
        tokio::pin!(life);
        let result = tokio::select! {
            result = &mut life => result,
            changed = in_force.changed() => {
                once.cancel();
                let result = life.await;
                if changed.is_err() {
                    return;
                }
                result
            }
        };
        if let Err(error) = result {
            // Without what was written before, nothing may be written.
            tracing::error!("the worker cannot begin: {error}");
            tokio::select! {
                () = tokio::time::sleep(base.settings.look) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// One configuration's life.
async fn live(
    (base, clients): (&Base, &mut Clients),
    setup: Arc<Setup>,
    in_force: watch::Receiver<InForce>,
    asks: &mut mpsc::Receiver<Ask>,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let records = base.store.records()?;
    let board = Board::new(base.metrics.clone());
    let apps = Apps::new(&setup, &base.settings.token_file, clients);
    let (core, inputs) = mpsc::channel(INPUTS);
    let (wanted, to_read) = mpsc::channel(WANTED);
    let (ids, ids_seen) = watch::channel(Ids::default());
    let reconnect = connector(base, &setup);
    let (connected, pbx) = reconnect();
    let Connected {
        adapter,
        capabilities,
        unusable,
    } = connected;
    let helpers = stop.child_token();
    let (wake, lifecycle) = (Arc::new(Notify::new()), broadcast::Sender::new(LIFECYCLE));
    let (known, people) = watch::channel(Arc::new(People::default()));
    let shards = shards(base, &setup, &apps, &board, people, (&lifecycle, &wake), &helpers)?;
    match &apps.reader {
        Ok(graph) => {
            let readers = Readers {
                base,
                setup: &setup,
                graph,
                core: core.clone(),
                board: board.clone(),
                helpers: helpers.clone(),
            };
            readers.start(&ids_seen, (wake.clone(), lifecycle), to_read, known);
        }
        Err(lamp) => unreadable(&board, lamp),
    }
    let adapter = adapter.map(Arc::new);
    if let Ok(graph) = &apps.writer {
        tokio::spawn(writing::sign_in(graph.clone(), board.clone(), helpers.clone()));
    }
    let parts = Parts {
        writer: Writer::new(apps.writer.clone(), adapter.clone(), core, board.clone()),
        setup,
        settings: base.settings.clone(),
        adapter,
        reconnect,
        capabilities,
        unusable,
        store: base.store.clone(),
        ids,
        wanted,
        shards,
        reader: apps.reader.ok(),
        board,
        metrics: base.metrics.clone(),
        started: base.started,
        in_force,
        helpers: helpers.clone(),
    };
    let ways = Ways {
        pbx,
        inputs,
        asks,
        stop,
    };
    let adapter = Core::new(parts, records).run(ways).await;
    helpers.cancel();
    close(adapter).await;
    Ok(())
}

/// Starts the adapter of this configuration, as often as it is needed.
fn connector(base: &Base, setup: &Arc<Setup>) -> Reconnect {
    let (connect, setup) = (base.connect.clone(), setup.clone());
    Box::new(move || {
        let (events, pbx) = mpsc::channel(EVENTS);
        (connect(&setup, events), pbx)
    })
}

/// Ends the connections. Own entries stay.
pub(super) async fn close(adapter: Option<Arc<Adapter>>) {
    // A write that was given up may hold it for a moment longer; its connections end with it.
    if let Some(adapter) = adapter.and_then(Arc::into_inner) {
        let _ = tokio::time::timeout(CLOSE, adapter.close()).await;
    }
}

fn unreadable(board: &Board, lamp: &Lamp) {
    board.lamps(|lamps| {
        lamps.reader = lamp.clone();
        lamps.directory = lamp.clone();
        lamps.licences = lamp.clone();
    });
}

fn shards(
    base: &Base,
    setup: &Setup,
    apps: &Apps,
    board: &Board,
    people: watch::Receiver<Arc<People>>,
    (lifecycle, wake): (&broadcast::Sender<String>, &Arc<Notify>),
    helpers: &CancellationToken,
) -> Result<Option<Shards>, Failure> {
    let (Some(push), Some(config)) = (&setup.config.spec.push, &setup.config.push) else {
        return Ok(None);
    };
    let needs = Needs {
        setup,
        push,
        config,
        reader: &apps.reader,
        people,
        board: board.clone(),
        settle: base.settings.settle,
        lifecycle: lifecycle.clone(),
        wake: wake.clone(),
        stop: helpers.clone(),
    };
    Ok(Some(Shards::start(&needs, base.store.places()?)))
}

/// The parts that read from Teams.
struct Readers<'a> {
    base: &'a Base,
    setup: &'a Setup,
    graph: &'a Graph,
    core: mpsc::Sender<Input>,
    board: Board,
    helpers: CancellationToken,
}

impl Readers<'_> {
    fn start(
        self,
        ids: &watch::Receiver<Ids>,
        (wake, lifecycle): (Arc<Notify>, broadcast::Sender<String>),
        to_read: mpsc::Receiver<String>,
        known: watch::Sender<Arc<People>>,
    ) {
        let spec = &self.setup.config.spec;
        let reading = Reading {
            graph: self.graph.clone(),
            core: self.core.clone(),
            board: self.board.clone(),
            metrics: self.base.metrics.clone(),
        };
        let every = spec.poll_interval.seconds().map_or(10, i64::unsigned_abs);
        let every = Duration::from_secs(every);
        let polling = Polling {
            reading: reading.clone(),
            ids: ids.clone(),
            every: match spec.source {
                Source::Poll => Some(every),
                Source::Both => Some(every.max(SAFETY_NET)),
                Source::Subscription => None,
            },
            wake: wake.clone(),
            stop: self.helpers.clone(),
        };
        let directory = Directory {
            graph: self.graph.clone(),
            selection: spec.users.clone(),
            guests_match: roster::guests_match(spec),
            core: self.core.clone(),
            known,
            board: self.board.clone(),
            settings: self.base.settings.clone(),
            stop: self.helpers.clone(),
        };
        self.pull(&reading, ids, (&wake, &lifecycle));
        tokio::spawn(polling.run());
        tokio::spawn(teams::read_wanted(reading, to_read, self.helpers.clone()));
        tokio::spawn(directory.run());
    }

    /// A consumer at each pod of the receiver.
    fn pull(
        &self,
        reading: &Reading,
        ids: &watch::Receiver<Ids>,
        (wake, lifecycle): (&Arc<Notify>, &broadcast::Sender<String>),
    ) {
        let (Some(push), Some(config)) = (&self.setup.config.spec.push, &self.setup.config.push) else {
            return;
        };
        let token = match self.setup.wanted("spec.push.tokenSecretRef", &push.token_secret_ref) {
            Ok(token) => token,
            Err(message) => {
                let lamp = Lamp::red(Fault::SecretMissing, message);
                return self.board.lamps(|lamps| lamps.receiver = Some(lamp));
            }
        };
        let not_yet = Lamp::dark("nothing was pulled from the receiver yet");
        self.board.lamps(|lamps| lamps.receiver = Some(not_yet.clone()));
        for url in &config.pull_urls {
            self.board.pull(url, not_yet.clone());
            let pulling = Pulling {
                reading: reading.clone(),
                http: self.base.inside.clone(),
                url: url.clone(),
                consumer: push.consumer.clone(),
                token: token.clone(),
                uid: self.setup.config.uid.clone(),
                ids: ids.clone(),
                lifecycle: lifecycle.clone(),
                wake: wake.clone(),
                stop: self.helpers.clone(),
            };
            tokio::spawn(pulling.run());
        }
    }
}
