//! The controller: keeps subscriptions alive, builds receivers, and says how everything stands.

mod apply;
mod apps;
mod backfill;
mod connector;
mod context;
mod doubts;
mod driver;
mod ensure;
mod events;
mod feeds;
mod inbox;
mod index;
mod lease;
mod links;
mod metrics;
mod news;
mod observed;
mod pod;
mod presence;
mod queue;
mod receiver;
mod reconcile;
mod subscription;
mod tenant;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod watchdog;
mod watching;
mod written;

pub use tenant::app_of;

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, Store};
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::apply::Object;
use self::context::{Context, Queues, Settings, Stores};
use self::lease::Candidate;
use self::queue::Queue;
use self::reconcile::Action;
use self::watchdog::Watchdog;
use self::watching::Unlisted;
use crate::RunResult;
use crate::telemetry::health::Health;
use crate::telemetry::server;

/// See [`Settings::longest_rest`].
const LONGEST_REST: Duration = Duration::from_hours(1);
/// How long events may still be written at the end.
const EVENTS_LIMIT: Duration = Duration::from_secs(2);
/// Longer than a watch lasts, and than any answer may take: a connection that fell silent is given up.
const READ_TIMEOUT: Duration = Duration::from_secs(210);
/// How long running reconciles may take to end after the process was told to stop.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(20);
/// How long they may take to be cut off after that.
const CUT_OFF_LIMIT: Duration = Duration::from_secs(1);

/// Settings of the controller.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Namespace to watch; all when absent.
    #[arg(long, env = "WATCH_NAMESPACE")]
    watch_namespace: Option<String>,
    /// Namespace of the lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    lease_namespace: String,
    /// Name of the lease.
    #[arg(long, env = "LEASE_NAME", default_value = "teams-graph-operator")]
    lease_name: String,
    /// Who this replica is in the lease and in events; must differ between replicas.
    #[arg(long, env = "POD_NAME", default_value_t = format!("local-{:08x}", fastrand::u32(..)))]
    identity: String,
    /// Address for /livez, /readyz and /metrics.
    #[arg(long, env = "TELEMETRY_LISTEN", default_value = "0.0.0.0:8080")]
    telemetry_listen: SocketAddr,
    /// Image of the receiver and presence pods: this operator's own.
    #[arg(long, env = "RECEIVER_IMAGE", default_value = concat!("teams-graph-operator:", env!("CARGO_PKG_VERSION")))]
    receiver_image: String,
    /// Pull policy of that image; the cluster's default when absent.
    #[arg(long, env = "RECEIVER_IMAGE_PULL_POLICY")]
    receiver_image_pull_policy: Option<String>,
    /// Address of a receiver pod's internal port. Change it when the controller runs outside the cluster.
    #[arg(
        long,
        env = "RECEIVER_ADDRESS",
        default_value = "http://{pod}.{service}.{namespace}.svc:9090"
    )]
    receiver_address: String,
    /// Address of a presence worker's internal port. Change it when the controller runs outside the cluster.
    #[arg(
        long,
        env = "PRESENCE_ADDRESS",
        default_value = "http://{pod}.{service}.{namespace}.svc:9090"
    )]
    presence_address: String,
    /// Seconds between two looks at a tenant or receiver that nothing asked for.
    #[arg(long, env = "INTERVAL_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(5..=86_400))]
    interval_seconds: u64,
    /// How long a sweep waits for notifications that may be on their way, in seconds, before it calls them lost.
    #[arg(long, env = "SWEEP_GRACE_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(0..=3600), hide = true)]
    sweep_grace_seconds: u64,
    /// Namespaces whose `GraphTenants` may use the operator's own identity (`workloadIdentity`, `managedIdentity`), separated
    /// by commas; `*` for all. The namespace of the lease, which is the operator's own, when absent or empty.
    #[arg(long, env = "IDENTITY_NAMESPACES", value_delimiter = ',')]
    identity_namespaces: Vec<String>,
    /// Seconds between two comparisons of the stores with what the API server has; shorter only in tests.
    #[arg(long, env = "WATCH_CHECK_SECONDS", default_value_t = 600, hide = true, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch_check_seconds: u64,
    #[command(flatten)]
    feeds: feeds::Args,
}

impl Args {
    fn identity_namespaces(&self) -> Vec<String> {
        let named = self.identity_namespaces.iter().map(|name| name.trim());
        let named: Vec<String> = named.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if named.is_empty() {
            vec![self.lease_namespace.clone()]
        } else {
            named
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            identity_namespaces: self.identity_namespaces(),
            namespace: self.watch_namespace.clone(),
            receiver_image: self.receiver_image.clone(),
            receiver_image_pull_policy: self.receiver_image_pull_policy.clone(),
            logging: ["LOG_FORMAT", "LOG_FILTER"]
                .into_iter()
                .filter_map(|name| Some((name, std::env::var(name).ok()?)))
                .collect(),
            receiver_address: self.receiver_address.clone(),
            presence_address: self.presence_address.clone(),
            interval: Duration::from_secs(self.interval_seconds),
            longest_rest: LONGEST_REST,
            sweep_grace: Duration::from_secs(self.sweep_grace_seconds),
        }
    }

    fn leader(&self) -> feeds::Leader {
        feeds::Leader {
            args: self.feeds.clone(),
            pod: self.identity.clone(),
            namespace: self.lease_namespace.clone(),
        }
    }

    fn watchdog(&self, client: &Client, stores: &Stores, metrics: &metrics::Metrics) -> Watchdog {
        Watchdog {
            client: client.clone(),
            namespace: self.watch_namespace.clone(),
            stores: stores.clone(),
            checks: metrics.watch_checks.clone(),
            period: Duration::from_secs(self.watch_check_seconds),
        }
    }
}

/// Runs until SIGTERM, or until it must not go on: a lost lease and a dead or stale watch end the process, which Kubernetes
/// restarts.
pub async fn run(args: Args) -> RunResult {
    let mut config = kube::Config::infer().await?;
    config.read_timeout = Some(READ_TIMEOUT);
    let client = Client::try_from(config)?;
    let registry = Registry::new();
    let (stores, writers) = watching::stores();
    let apps = Arc::<apps::Apps>::default();
    let observed = observed::Observed::default();
    let metrics = metrics::Metrics::new(&registry)?;
    let watchdog = args.watchdog(&client, &stores, &metrics);
    let listener = TcpListener::bind(args.telemetry_listen).await?;
    let reporter = Reporter {
        controller: apply::WORKLOADS.to_owned(),
        instance: Some(args.identity.clone()),
    };
    let context = Arc::new(Context {
        http: crate::graph::http_client()?,
        http_inside: crate::graph::http_client_inside()?,
        events: events::Events::start(Recorder::new(client.clone(), reporter), metrics.events_left_out.clone()),
        graph_metrics: crate::graph::Metrics::new(&registry)?,
        queues: Queues::new(&stores, apps.clone()),
        apps,
        keyrings: context::Keyrings::default(),
        handshakes: receiver::Handshakes::default(),
        workers: presence::Workers::default(),
        connectors: connector::Connectors::new(metrics.looks.requests.clone(), args.feeds.feeds(&metrics.looks.feeds)),
        inbox: inbox::Inbox::default(),
        backfills: backfill::Backfills::default(),
        doubts: doubts::Doubts::default(),
        observed,
        attempts: reconcile::Attempts::default(),
        written: written::Written::new(stores.subscriptions.clone()),
        stores,
        refusals: tenant::Refusals::default(),
        orphans: tenant::Orphans::default(),
        leading_since: std::sync::OnceLock::new(),
        settings: args.settings(),
        metrics,
        client: client.clone(),
    });
    let (unlisted, watches) = watching::start(&context, writers);
    let listed = unlisted.clone();
    let objects = metrics::objects::Objects {
        stores: context.stores.clone(),
        observed: context.observed.clone(),
        connectors: context.connectors.shown(),
    };
    let series = move || Box::new(objects.clone().pieces()) as server::Series;
    let routes = server::routes_with(health(unlisted.clone()), registry, series);
    let telemetry = axum::serve(listener, routes).into_future();
    let candidate = Candidate::new(client, &args.lease_namespace, &args.lease_name, &args.identity);
    let (leading, mut is_leading) = watch::channel(false);
    let stop = CancellationToken::new();
    let mut work = tokio::spawn({
        let (context, stop) = (context.clone(), stop.clone());
        let leader = args.leader();
        async move {
            // The sender lives as long as the process.
            let _ = is_leading.wait_for(|leading| *leading).await;
            tracing::info!("leading");
            context.metrics.leader.set(1);
            let _ = context.leading_since.set(tokio::time::Instant::now());
            lead(context, unlisted, stop, leader).await;
        }
    });
    let mut candidacy = std::pin::pin!(candidate.run(&leading));
    tokio::select! {
        signal = shutdown_signal() => signal?,
        lost = &mut candidacy => return Err(lost.into()),
        ended = watches => return Err(ended.into()),
        stale = watchdog.run(listed) => return Err(stale.into()),
        ended = telemetry => return Err(format!("the telemetry server ended: {ended:?}").into()),
        ended = &mut work => return Err(format!("the controllers ended: {ended:?}").into()),
    }
    tracing::info!("stopping");
    stop.cancel();
    let limit = if *leading.borrow() {
        SHUTDOWN_LIMIT + CUT_OFF_LIMIT
    } else {
        Duration::ZERO
    };
    // The lease is renewed as long as reconciles run, and none runs any more when it is given up.
    let ended = tokio::select! {
        lost = &mut candidacy => return Err(lost.into()),
        ended = tokio::time::timeout(limit, &mut work) => ended.is_ok(),
    };
    if !ended {
        work.abort();
        let _ = work.await;
    }
    context.events.settle(EVENTS_LIMIT).await;
    match tokio::time::timeout(Duration::from_secs(5), candidate.release()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("the lease was not released: {error}").into()),
        Err(_) => Err("the lease was not released: no answer from the API server".into()),
    }
}

/// A watch or controller that ends takes the process along, so there is nothing to look at for liveness.
fn health(unlisted: Unlisted) -> Health {
    Health::default().ready("objects", move || {
        let unlisted = unlisted.borrow();
        let kinds: Vec<_> = unlisted.iter().copied().collect();
        if kinds.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{} were not listed yet: are the CRDs installed?",
            kinds.join(", ")
        ))
    })
}

async fn shutdown_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// The leader's work: a controller per kind, and the links to the receiver pods.
async fn lead(context: Arc<Context>, mut unlisted: Unlisted, stop: CancellationToken, leader: feeds::Leader) {
    // What is not in the stores yet would be taken for absent.
    tokio::select! {
        _ = unlisted.wait_for(BTreeSet::is_empty) => {}
        () = stop.cancelled() => return,
    }
    let mut links = AbortOnDropHandle::new(tokio::spawn(links::supervise(context.clone())));
    let mut workloads = AbortOnDropHandle::new(tokio::spawn(watching::workloads(context.clone())));
    let mut feeds = AbortOnDropHandle::new(tokio::spawn(feeds::run(context.clone(), leader, stop.clone())));
    let (stores, queues) = (&context.stores, &context.queues);
    let drivers = futures::future::join5(
        drive(&stores.tenants, &queues.tenants, tenant::reconcile, &context, &stop),
        drive(
            &stores.receivers,
            &queues.receivers,
            receiver::reconcile,
            &context,
            &stop,
        ),
        drive(
            &stores.subscriptions,
            &queues.subscriptions,
            subscription::reconcile,
            &context,
            &stop,
        ),
        drive(&stores.presence, &queues.presence, presence::reconcile, &context, &stop),
        drive_many(
            &stores.connectors,
            &queues.connectors,
            connector::SLOTS,
            connector::reconcile,
            &context,
            &stop,
        ),
    );
    tokio::select! {
        _ = drivers => {}
        ended = &mut links => tracing::error!("the links to the receivers ended: {ended:?}"),
        ended = &mut workloads => tracing::error!("the watch on StatefulSets ended: {ended:?}"),
        ended = &mut feeds => tracing::error!("the listeners for Pexip's nodes ended: {ended:?}"),
    }
}

/// Runs the reconciles of a kind, beginning with a look at each object there is.
fn drive<K, F>(
    store: &Store<K>,
    queue: &Queue<K>,
    reconcile: fn(Arc<K>, Arc<Context>) -> F,
    context: &Arc<Context>,
    stop: &CancellationToken,
) -> impl Future<Output = ()> + use<K, F>
where
    K: Object,
    F: Future<Output = Action> + Send + 'static,
{
    drive_many(store, queue, driver::SLOTS, reconcile, context, stop)
}

/// The same, with so many at a time.
fn drive_many<K, F>(
    store: &Store<K>,
    queue: &Queue<K>,
    slots: usize,
    reconcile: fn(Arc<K>, Arc<Context>) -> F,
    context: &Arc<Context>,
    stop: &CancellationToken,
) -> impl Future<Output = ()> + use<K, F>
where
    K: Object,
    F: Future<Output = Action> + Send + 'static,
{
    for object in store.state() {
        queue.push(ObjectRef::from_obj(&*object));
    }
    let context = context.clone();
    let run = move |object| reconcile(object, context.clone());
    driver::drive(store.clone(), queue.clone(), slots, run, stop.clone(), SHUTDOWN_LIMIT)
}
