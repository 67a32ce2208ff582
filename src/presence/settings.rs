//! Flags of the `presence-worker` subcommand, and the settings they become.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::api::presence_config::{CONFIG_DIR, DATA_DIR, FEDERATED_TOKEN_FILE, SECRETS_DIR};

/// Settings of the `presence-worker` subcommand.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Folder with the configuration, `presence.json`. Changes are picked up.
    #[arg(long, env = "CONFIG_DIR", default_value = CONFIG_DIR)]
    pub config_dir: PathBuf,
    /// Folder with a folder for each Secret, a file for each key.
    #[arg(long, env = "SECRETS_DIR", default_value = SECRETS_DIR)]
    pub secrets_dir: PathBuf,
    /// Folder on the volume, for what the worker remembers.
    #[arg(long, env = "DATA_DIR", default_value = DATA_DIR)]
    pub data_dir: PathBuf,
    /// File with the token that the app trusts, with workload identity.
    #[arg(long, env = "AZURE_FEDERATED_TOKEN_FILE", default_value = FEDERATED_TOKEN_FILE)]
    pub token_file: PathBuf,
    /// Where status, metrics and probes are served.
    #[arg(long, env = "INTERNAL_LISTEN", default_value = "0.0.0.0:9090")]
    pub internal_listen: SocketAddr,
}

/// Where the files are.
#[derive(Clone, Debug)]
pub struct Dirs {
    /// Of the configuration.
    pub config: PathBuf,
    /// Of the Secrets.
    pub secrets: PathBuf,
}

/// Everything that may differ between workers, and between a worker and a test of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the files are.
    pub dirs: Dirs,
    /// Where the worker remembers what it wrote.
    pub data: PathBuf,
    /// The token for Entra, with workload identity.
    pub token_file: PathBuf,
    /// Where status, metrics and probes are served.
    pub internal_listen: SocketAddr,
    /// How often the files are looked at.
    pub look: Duration,
    /// How often changes of people are asked for.
    pub changes: Duration,
    /// How long what is wanted must stand before subscriptions follow it: users come in crowds.
    pub settle: Duration,
    /// Least time between two readings of all people, whatever changes.
    pub sweep: Duration,
    /// How long writes under way are waited for at the end.
    pub drain: Duration,
    /// How long a release may take before it answers with what remains.
    pub release_time: Duration,
}

impl Settings {
    /// Settings for a worker on a port of the loopback interface that the system chooses.
    pub fn local(dirs: Dirs, data: PathBuf) -> Self {
        Self {
            dirs,
            data,
            token_file: PathBuf::from(FEDERATED_TOKEN_FILE),
            internal_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            look: Duration::from_secs(5),
            changes: Duration::from_mins(1),
            settle: Duration::from_secs(5),
            sweep: Duration::from_mins(10),
            drain: Duration::from_secs(10),
            release_time: Duration::from_secs(50),
        }
    }
}

impl From<Args> for Settings {
    fn from(args: Args) -> Self {
        let dirs = Dirs {
            config: args.config_dir,
            secrets: args.secrets_dir,
        };
        Self {
            token_file: args.token_file,
            internal_listen: args.internal_listen,
            ..Self::local(dirs, args.data_dir)
        }
    }
}
