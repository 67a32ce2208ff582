//! Puts the parts together, and takes them apart in the right order.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsAcceptor;
use prometheus::Registry;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::absence::Absences;
use super::answers::Answers;
use super::arrivals::Arrivals;
use super::deliver::{self, Delivery, SinkHealths};
use super::internal::{self, Internal};
use super::log::{Log, Options};
use super::metrics::Metrics;
use super::metrics::gauges::LogGauges;
use super::settings::Settings;
use super::setup::{self, Files, Setup};
use super::tls::Certificate;
use super::webhook::{self, Webhook};
use crate::telemetry::connections::Bounded;
use crate::telemetry::{health::Health, server};

/// How long a new connection may take for its first request's head.
const FIRST_HEAD_TIME: Duration = Duration::from_secs(10);
/// How many connections the internal API may have.
const INTERNAL_CONNECTIONS: usize = 128;
/// How long internal requests under way may take at the end.
const INTERNAL_DRAIN: Duration = Duration::from_secs(1);
/// How long saving cursors may take at the end. What is not saved is delivered again.
const DELIVERY_DRAIN: Duration = Duration::from_secs(5);

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Listening {
    handle: Handle<SocketAddr>,
    addr: SocketAddr,
    task: JoinHandle<io::Result<()>>,
}

/// A running receiver.
pub struct Receiver {
    webhook: Listening,
    internal: Listening,
    log: Log,
    draining: Arc<AtomicBool>,
    stop: CancellationToken,
    delivery: JoinHandle<()>,
    followers: Vec<JoinHandle<()>>,
    drain_delay: Duration,
    drain_timeout: Duration,
}

impl Receiver {
    /// Starts a receiver. When this returns, both listeners answer, but the log may still be being opened: see [`Self::opened`].
    pub async fn start(settings: Settings) -> Result<Self, Failure> {
        let registry = Registry::new();
        let metrics = Arc::new(Metrics::new(&registry)?);
        let files = Files::read(&settings.dirs)?;
        let setup = Arc::new(files.parse()?);
        let (log, writer) = open(&settings, &setup, &metrics)?;
        registry.register(Box::new(LogGauges::new(log.clone())?))?;
        let certificate = Certificate::load(&settings.dirs.tls, &metrics).await?;
        let (stop, draining) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        let (setup_sender, setup) = watch::channel(setup);
        let delivery = Delivery {
            log: log.clone(),
            metrics: Arc::clone(&metrics),
            healths: SinkHealths::default(),
            timing: settings.timing,
        };
        let healths = delivery.healths.clone();
        let arrivals = Arc::new(Arrivals::new(settings.remembered));
        let answers = Arc::new(Answers::new(Instant::now()));
        let absences = Absences::default();
        let delivery = tokio::spawn(deliver::supervise(delivery, setup.clone(), stop.clone()));

        let internal = internal::router(Arc::new(Internal {
            instance: settings.instance.clone(),
            setup: setup.clone(),
            log: log.clone(),
            healths,
            metrics: Arc::clone(&metrics),
            arrivals: Arc::clone(&arrivals),
            answers: Arc::clone(&answers),
            absences: absences.clone(),
            memory: Arc::new(Semaphore::new(internal::INGEST_MEMORY)),
            answer_time: settings.limits.answer_time,
            stop: stop.clone(),
        }));
        let supervisor = delivery.abort_handle();
        let health = health(&log, &setup, &draining)
            .live("log writer", move || alive(!writer.is_finished()))
            .live("delivery", move || alive(!supervisor.is_finished()));
        let internal = internal.merge(server::routes(health, registry.clone()));
        let webhook = webhook::router(Arc::new(Webhook {
            setup,
            log: log.clone(),
            metrics: Arc::clone(&metrics),
            arrivals,
            answers,
            limits: settings.limits,
            memory: Arc::new(Semaphore::new(settings.limits.memory_bytes)),
            store: settings.store,
        }));

        let bounded = |listener, most| Bounded::new(most, metrics.connections_refused(listener));
        let (idle, few) = (settings.idle, bounded("internal", INTERNAL_CONNECTIONS));
        let internal = listen(settings.internal_listen, internal, few, idle, None).await?;
        let many = bounded("webhook", settings.limits.connections);
        let webhook = listen(settings.webhook_listen, webhook, many, idle, certificate.as_ref()).await?;
        let follow = setup::follow(
            settings.dirs.clone(),
            files,
            settings.look,
            setup_sender,
            log.clone(),
            Arc::clone(&metrics),
        );
        let away = absences.keep(settings.data.clone(), log.clone());
        let mut followers = vec![tokio::spawn(follow), tokio::spawn(away)];
        if let Some(certificate) = certificate {
            metrics.register_certificate(&registry)?;
            followers.push(tokio::spawn(certificate.follow(
                settings.dirs.tls,
                settings.look,
                metrics,
            )));
        }
        tracing::info!(webhook = %webhook.addr, internal = %internal.addr, "receiving");
        Ok(Self {
            webhook,
            internal,
            log,
            draining,
            stop,
            delivery,
            followers,
            drain_delay: settings.drain_delay,
            drain_timeout: settings.drain_timeout,
        })
    }

    /// The log, to hold it up in tests.
    #[cfg(test)]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Where the webhook listens.
    pub fn webhook_addr(&self) -> SocketAddr {
        self.webhook.addr
    }

    /// Where the internal API listens.
    pub fn internal_addr(&self) -> SocketAddr {
        self.internal.addr
    }

    /// Waits until the log was opened and can be written.
    pub async fn opened(&self) {
        while self.log.problem().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends in order: unready, a while for load balancers to notice, no new connections, requests under way to their end,
    /// cursors saved, log closed.
    pub async fn shutdown(self) {
        self.draining.store(true, Ordering::SeqCst);
        tracing::info!("draining");
        tokio::time::sleep(self.drain_delay).await;
        self.webhook.close(self.drain_timeout).await;
        self.stop.cancel();
        if tokio::time::timeout(DELIVERY_DRAIN, self.delivery).await.is_err() {
            tracing::warn!("cursors are not saved in time, some events will be delivered again");
        }
        self.internal.close(INTERNAL_DRAIN).await;
        for follower in self.followers {
            follower.abort();
        }
        self.log.close().await;
        tracing::info!("stopped");
    }
}

impl Listening {
    async fn close(self, time: Duration) {
        self.handle.graceful_shutdown(Some(time));
        let _ = self.task.await;
    }
}

fn open(
    settings: &Settings,
    setup: &Setup,
    metrics: &Arc<Metrics>,
) -> Result<(Log, std::thread::JoinHandle<()>), Failure> {
    let options = Options {
        dir: settings.data.clone(),
        tick: settings.tick,
        slow: settings.limits.slow_commit,
        rules: setup.rules(),
    };
    Ok(Log::open(options, Arc::clone(metrics))?)
}

fn health(log: &Log, setup: &watch::Receiver<Arc<Setup>>, draining: &Arc<AtomicBool>) -> Health {
    let (log, setup, draining) = (log.clone(), setup.clone(), Arc::clone(draining));
    Health::default()
        .ready("log", move || log.problem().map_or(Ok(()), Err))
        .ready("keyring", move || {
            let empty = setup.borrow().keyring.active().is_none();
            if empty { Err("holds no key".to_owned()) } else { Ok(()) }
        })
        .ready("shutdown", move || {
            let draining = draining.load(Ordering::SeqCst);
            if draining { Err("draining".to_owned()) } else { Ok(()) }
        })
}

fn alive(alive: bool) -> Result<(), String> {
    if alive { Ok(()) } else { Err("ended".to_owned()) }
}

// HTTP/1.1 alone: it lets idle connections be ended.
async fn listen(
    addr: SocketAddr,
    router: Router,
    bounded: Bounded,
    idle: Duration,
    certificate: Option<&Certificate>,
) -> Result<Listening, Failure> {
    let listener = TcpListener::bind(addr)?;
    let handle = Handle::new();
    let mut server = axum_server::from_tcp(listener)?.handle(handle.clone()).http1_only();
    server.http_builder().http1().header_read_timeout(idle);
    let server = server.first_request_timeout(FIRST_HEAD_TIME.min(idle));
    let service = router.into_make_service();
    let task = match certificate {
        None => tokio::spawn(server.acceptor(bounded).serve(service)),
        Some(certificate) => {
            let acceptor = RustlsAcceptor::new(certificate.config.clone()).acceptor(bounded);
            tokio::spawn(server.acceptor(acceptor).serve(service))
        }
    };
    let addr = handle.listening().await.ok_or("the listener did not start")?;
    Ok(Listening { handle, addr, task })
}
