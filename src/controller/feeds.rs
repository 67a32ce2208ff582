//! What Conferencing Nodes push: events over HTTP, and their support log over syslog. The leader listens, as it alone judges.

mod events;
mod slice;
mod syslog;
#[cfg(test)]
mod tests;

use std::future::{Future, pending};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::context::Context;
use crate::probe::pexip::{Counts, Log, Sinks};

/// The pause before a listener that failed is begun anew.
const PAUSE: Duration = Duration::from_secs(5);

/// Addresses on which nodes are listened to, and how they find the leader.
#[derive(Clone, Debug, Default, clap::Args)]
// The group of those arguments that these are a part of is called the same.
#[group(skip)]
pub struct Args {
    /// Address for events of Pexip's event sinks (HTTP without TLS). Without it, none are taken.
    #[arg(long, env = "EVENTS_LISTEN")]
    events_listen: Option<SocketAddr>,
    /// Address for the support log of Pexip's nodes (syslog over TCP and UDP). Without it, none is taken.
    #[arg(long, env = "SYSLOG_LISTEN")]
    syslog_listen: Option<SocketAddr>,
    /// Service without a selector that leads to the leader: this process makes its `EndpointSlice`.
    #[arg(long, env = "FEEDS_SERVICE")]
    feeds_service: Option<String>,
    /// Address of this pod, for that.
    #[arg(long, env = "POD_IP", hide = true)]
    pod_ip: Option<IpAddr>,
    /// UID of this pod, for that.
    #[arg(long, env = "POD_UID", hide = true)]
    pod_uid: Option<String>,
    /// Name of the node on which it is, for that.
    #[arg(long, env = "NODE_NAME", hide = true)]
    node_name: Option<String>,
}

impl Args {
    /// What is listened to.
    pub fn feeds(&self, counts: &Counts) -> Feeds {
        Feeds {
            sinks: self.events_listen.map(|_| Arc::new(Sinks::new(counts.clone()))),
            log: self.syslog_listen.map(|_| Arc::new(Log::new(counts.clone()))),
        }
    }
}

/// What nodes push, until looks take it.
#[derive(Default)]
pub struct Feeds {
    /// Event sinks. `None`: nobody listens.
    pub sinks: Option<Arc<Sinks>>,
    /// The support log. `None`: nobody listens.
    pub log: Option<Arc<Log>>,
}

impl Feeds {
    /// Whether the event sink of an object is let in, or none is.
    pub fn is_open(&self, namespace: &str, name: &str) -> bool {
        self.sinks.as_ref().is_none_or(|sinks| sinks.is_open(namespace, name))
    }

    /// Lets the event sink of an object in no more, and forgets what it told.
    pub fn close(&self, namespace: &str, name: &str) {
        if let Some(sinks) = &self.sinks {
            sinks.close(namespace, name);
        }
    }

    /// Lets in no event sink but those of these objects.
    pub fn keep_only(&self, is_there: impl Fn(&str) -> bool) {
        if let Some(sinks) = &self.sinks {
            sinks.keep_only(is_there);
        }
    }
}

/// This process, when it leads.
pub struct Leader {
    /// Its settings.
    pub args: Args,
    /// Name of its pod.
    pub pod: String,
    /// Namespace of its pod.
    pub namespace: String,
}

/// Listens until `stop`, from when on nobody judges any more: what nodes cannot deliver then, they deliver to the next leader. It
/// never ends, as the leader's work ends with it.
pub async fn run(context: Arc<Context>, leader: Leader, stop: CancellationToken) {
    let (feeds, counts) = (context.connectors.feeds(), &context.metrics.looks.feeds);
    let slice = async {
        match slice::Slice::of(&leader) {
            Ok(Some(slice)) => slice.keep(&context.client).await,
            Ok(None) => {}
            Err(why) => tracing::warn!("no way leads to what is listened to: {why}"),
        }
    };
    tokio::select! {
        _ = async { tokio::join!(listen(&leader.args, feeds, counts), slice) } => {}
        () = stop.cancelled() => {}
    }
    pending::<()>().await;
}

/// Listens to each by itself: one that fails keeps neither the others nor the leader from their work.
async fn listen(args: &Args, feeds: &Feeds, counts: &Counts) {
    let settled = Instant::now() + events::SETTLING;
    let events = async {
        let Some((address, sinks)) = args.events_listen.zip(feeds.sinks.as_ref()) else {
            return;
        };
        let serve = || async { events::serve(events::bind(address)?, sinks.clone(), counts.clone(), settled).await };
        again("event_sink", counts, serve).await;
    };
    let syslog = async {
        let Some((address, log)) = args.syslog_listen.zip(feeds.log.as_ref()) else {
            return;
        };
        let tcp = || async { syslog::connections(TcpListener::bind(address).await?, log.clone()).await };
        let udp = || async { syslog::datagrams(UdpSocket::bind(address).await?, log.clone()).await };
        tokio::join!(again("syslog", counts, tcp), again("syslog", counts, udp));
    };
    tokio::join!(events, syslog);
}

/// Serves for ever, beginning anew after each failure.
async fn again<F>(feed: &'static str, counts: &Counts, serve: impl Fn() -> F)
where
    F: Future<Output = io::Result<()>>,
{
    loop {
        let ended = serve().await;
        counts.failed(feed);
        tracing::error!(
            feed,
            "a listener for Pexip's nodes failed, and is begun anew: {ended:?}"
        );
        sleep(PAUSE).await;
    }
}
