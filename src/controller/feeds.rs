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

use super::context::Context;
use crate::probe::pexip::{Counts, Log, Sinks};

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
        self.sinks
            .as_ref()
            .is_none_or(|sinks| sinks.find(namespace, name).is_some())
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

/// Listens until a listener fails; for ever where there is none.
pub async fn run(context: Arc<Context>, leader: Leader) -> io::Result<()> {
    let (feeds, counts) = (context.connectors.feeds(), &context.metrics.looks.feeds);
    let events = optional(
        leader.args.events_listen.zip(feeds.sinks.clone()),
        |(address, sinks)| async move {
            let listener = events::bind(address)?;
            events::serve(listener, sinks, counts.clone()).await
        },
    );
    let syslog = optional(
        leader.args.syslog_listen.zip(feeds.log.clone()),
        |(address, log)| async move { syslog::Listening::bind(address).await?.serve(log).await },
    );
    let slice = optional(slice::Slice::of(&leader), |slice| slice.keep(&context.client));
    tokio::select! {
        ended = events => ended,
        ended = syslog => ended,
        ended = slice => ended,
    }
}

/// What is not wanted never ends.
async fn optional<T, F>(wanted: Option<T>, run: impl FnOnce(T) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>>,
{
    match wanted {
        Some(wanted) => run(wanted).await,
        None => pending().await,
    }
}
