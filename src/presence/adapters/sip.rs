//! SIP presence (SIMPLE): Kamailio, OpenSIPS, FreeSWITCH, the hints of Asterisk, and whatever else speaks RFC 3856, 3903 and 4235.
//!
//! A small part of SIP is needed: SUBSCRIBE, NOTIFY, PUBLISH, OPTIONS, digest authentication. It is written here, as the parsers
//! that exist either rest, or come as a whole stack with its own sockets, timers and resolver; the grammar in use is small.

use std::collections::HashMap;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::metrics::{Kind, Metrics};
use super::tls;
use crate::api::presence::{Sip as Config, SipTransport};
use crate::policy::presence::pbx::{Capabilities, OwnEntry, PbxError, PbxEvent};

mod agent;
mod dialog_info;
mod digest;
#[cfg(test)]
pub(super) mod encoding;
mod framing;
mod message;
mod pidf;
mod profile;
mod runner;
mod text;
mod transport;
mod xml;

use agent::{Agent, Put};
use digest::Credentials;
use profile::Profile;
use runner::{Command, Reply, Runner};
use transport::{Server, Transport};

/// Wishes of the worker that may wait.
const QUEUE: usize = 256;

/// A connection to a SIP presence server. A user's id is the user part of the address, or all of it (`anna@example.com`).
pub struct Sip {
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

/// Starts to connect. `extra_roots` are trusted besides the platform's, with TLS. Fails when the spec cannot work.
pub fn start(
    config: &Config,
    password: Option<&SecretString>,
    extra_roots: &[CertificateDer<'static>],
    metrics: &Metrics,
    events: mpsc::Sender<PbxEvent>,
) -> Result<Sip, PbxError> {
    let credentials = config.username.clone().zip(password.cloned());
    let credentials = credentials.map(|(username, password)| Credentials { username, password });
    let profile = Profile::new(config, credentials)?;
    let transport = match config.transport {
        SipTransport::UDP => Transport::Udp,
        SipTransport::TCP => Transport::Tcp,
        SipTransport::TLS => Transport::Tls(tls::client_config(extra_roots)?),
    };
    let usual = if config.transport == SipTransport::TLS {
        5061
    } else {
        5060
    };
    let port = config.port.map_or(Ok(usual), u16::try_from);
    let server = Server {
        host: config.host.clone(),
        port: port.map_err(|_| PbxError::Protocol("the port is out of range".to_owned()))?,
        transport,
    };
    let tally = metrics.of(Kind::Sip);
    let (commands, receiver) = mpsc::channel(QUEUE);
    let runner = Runner {
        agent: Agent::new(profile, tally.clone()),
        server,
        tally,
        commands: receiver,
        events,
        replies: HashMap::new(),
        last_ticket: 0,
    };
    Ok(Sip {
        commands,
        task: tokio::spawn(runner.run()),
    })
}

impl Sip {
    /// What a SIP presence server can do.
    pub fn capabilities() -> Capabilities {
        Capabilities {
            reads_presence: true,
            own_entry: true,
            own_entry_expires: true,
            own_is_do_not_disturb: false,
            line: true,
            enumerates_users: false,
        }
    }

    /// Whom to watch from now on.
    pub async fn watch(&self, users: Vec<String>) {
        // Fails only when the task has ended, which its events tell.
        let _ = self.commands.send(Command::Watch(users)).await;
    }

    /// Makes the worker's own entry for a user say this, for `ttl` from now. It is refreshed in between. While there is no
    /// connection it fails, and leaves nothing behind.
    ///
    /// An entry of an earlier process cannot be taken back, because its name is lost with it; it lapses within a quarter of an
    /// hour. It counts as this worker's own until it was to be taken back.
    pub async fn put_own(&self, user: &str, entry: &OwnEntry, ttl: Duration) -> Result<(), PbxError> {
        let entry = entry.clone();
        self.ask(|reply| Command::Put(user.to_owned(), Put { entry, ttl }, reply))
            .await
    }

    /// Takes the worker's own entry back.
    pub async fn clear_own(&self, user: &str) -> Result<(), PbxError> {
        self.ask(|reply| Command::Clear(user.to_owned(), reply)).await
    }

    /// Ends the subscriptions, as far as there is time, and the connection. Own entries stay until they lapse.
    pub async fn close(self) {
        let Self { commands, task } = self;
        drop(commands);
        if let Err(error) = task.await {
            tracing::error!("the SIP adapter failed: {error}");
        }
    }

    async fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<(), PbxError> {
        let ended = || PbxError::Transport("the adapter has ended".to_owned());
        let (reply, outcome) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| ended())?;
        outcome.await.map_err(|_| ended())?
    }
}
