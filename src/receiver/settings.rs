//! Flags of the `receiver` subcommand, and the settings they become.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::arrivals::REMEMBERED;
use super::body::Limits;
use super::deliver::Timing;
use super::setup::Dirs;
use crate::api::receiver_config::{CONFIG_DIR, DATA_DIR, KEYRING_DIR, TLS_DIR, TOKENS_DIR};

/// Settings of the `receiver` subcommand.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Folder with the configuration, `receiver.json`. Changes are picked up.
    #[arg(long, env = "CONFIG_DIR", default_value = CONFIG_DIR)]
    pub config_dir: PathBuf,
    /// Folder with the keys, a file each.
    #[arg(long, env = "KEYRING_DIR", default_value = KEYRING_DIR)]
    pub keyring_dir: PathBuf,
    /// Folder with `tls.crt` and `tls.key`; without them the webhook is served in clear.
    #[arg(long, env = "TLS_DIR", default_value = TLS_DIR)]
    pub tls_dir: PathBuf,
    /// Folder with the tokens of sinks and consumers, a file each.
    #[arg(long, env = "TOKENS_DIR", default_value = TOKENS_DIR)]
    pub tokens_dir: PathBuf,
    /// Folder on the volume, for the log.
    #[arg(long, env = "DATA_DIR", default_value = DATA_DIR)]
    pub data_dir: PathBuf,
    /// Where the webhook listens.
    #[arg(long, env = "WEBHOOK_LISTEN", default_value = "0.0.0.0:8443")]
    pub webhook_listen: SocketAddr,
    /// Where the pull API, metrics and probes listen.
    #[arg(long, env = "INTERNAL_LISTEN", default_value = "0.0.0.0:9090")]
    pub internal_listen: SocketAddr,
    /// Name of this receiver pod in the pull API.
    #[arg(long, env = "POD_NAME", default_value = "receiver")]
    pub instance: String,
    /// Seconds between becoming unready and refusing connections, for load balancers to notice.
    #[arg(long, env = "DRAIN_DELAY", default_value_t = 5)]
    pub drain_delay: u64,
    /// Seconds that requests under way may take after that.
    #[arg(long, env = "DRAIN_TIMEOUT", default_value_t = 20)]
    pub drain_timeout: u64,
}

/// Everything that may differ between receivers, and between a receiver and a test of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the files are.
    pub dirs: Dirs,
    /// Where the log is.
    pub data: PathBuf,
    /// Where the webhook listens.
    pub webhook_listen: SocketAddr,
    /// Where the internal API listens.
    pub internal_listen: SocketAddr,
    /// Name of this receiver pod.
    pub instance: String,
    /// Time between becoming unready and refusing connections.
    pub drain_delay: Duration,
    /// Time that requests under way may take after that.
    pub drain_timeout: Duration,
    /// How often the files are looked at.
    pub look: Duration,
    /// How often the log trims, and tries again after a failure of the storage.
    pub tick: Duration,
    /// How long a connection may be idle between requests, or take for a request's head. Longer than proxies keep theirs, so that
    /// they do not use one that is just being closed.
    pub idle: Duration,
    /// Limits of the public listener.
    pub limits: Limits,
    /// How long things take in delivery.
    pub timing: Timing,
    /// Of how many resources an arrival is remembered.
    pub remembered: usize,
    /// Whether items are stored. Off only in the benchmark, to measure what storing costs.
    pub store: bool,
}

impl Settings {
    /// Settings for a receiver on ports of the loopback interface that the system chooses.
    pub fn local(dirs: Dirs, data: PathBuf) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            dirs,
            data,
            webhook_listen: any,
            internal_listen: any,
            instance: "receiver".to_owned(),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(5),
            look: Duration::from_secs(5),
            tick: Duration::from_secs(5),
            idle: Duration::from_secs(75),
            limits: Limits::default(),
            timing: Timing::default(),
            remembered: REMEMBERED,
            store: true,
        }
    }
}

impl From<Args> for Settings {
    fn from(args: Args) -> Self {
        let dirs = Dirs {
            config: args.config_dir,
            keyring: args.keyring_dir,
            tokens: args.tokens_dir,
            tls: args.tls_dir,
        };
        Self {
            webhook_listen: args.webhook_listen,
            internal_listen: args.internal_listen,
            instance: args.instance,
            drain_delay: Duration::from_secs(args.drain_delay),
            drain_timeout: Duration::from_secs(args.drain_timeout),
            ..Self::local(dirs, args.data_dir)
        }
    }
}
