//! Cisco BroadWorks, over Xsi: calls and do not disturb of users, by an events channel to each XSP.
//!
//! Presence of the kind "away" lives elsewhere in BroadWorks, so it is neither read nor written here.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Duration, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::channel::Channel;
use self::hub::{Command, Hub};
use self::set::Set;
use self::xsp::Xsp;
use super::metrics::{Kind, Metrics};
use crate::api::presence::BroadWorks as Config;
use crate::policy::presence::pbx::{Activity, Capabilities, OwnEntry, PbxError, PbxEvent};

mod channel;
mod element;
#[cfg(test)]
pub(super) mod encoding;
mod hub;
mod item;
mod requests;
mod set;
mod user;
mod xsp;

/// News that may wait.
const NEWS: usize = 1024;
/// Commands that may wait.
const COMMANDS: usize = 256;
/// How long a write may take altogether.
const WRITE: Duration = Duration::from_secs(15);
/// How long channels may take to end.
const CLOSE: Duration = Duration::from_secs(5);

/// A BroadWorks installation.
pub struct BroadWorks {
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Opens a channel to each XSP, and keeps trying. An error means that the configuration cannot work.
pub fn start(
    config: &Config,
    password: &SecretString,
    extra_roots: &[CertificateDer<'static>],
    metrics: &Metrics,
    events: mpsc::Sender<PbxEvent>,
) -> Result<BroadWorks, PbxError> {
    let tally = metrics.of(Kind::BroadWorks);
    let xsps: Vec<Arc<Xsp>> = config
        .xsps
        .iter()
        .map(|name| Xsp::new(name, &config.username, password.clone(), extra_roots, tally.clone()).map(Arc::new))
        .collect::<Result<_, _>>()?;
    let (told, news) = mpsc::channel(NEWS);
    let (failed, failed_seen) = watch::channel(None);
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let set = uuid::Uuid::new_v4().to_string();
    for (number, xsp) in xsps.iter().enumerate() {
        let channel = Channel {
            number,
            xsp: xsp.clone(),
            set: set.clone(),
            told: told.clone(),
            failed: failed_seen.clone(),
            stop: stop.clone(),
        };
        tasks.spawn(channel.run());
    }
    let (commands, commands_seen) = mpsc::channel(COMMANDS);
    let hub = Hub {
        set: Set::new(config.xsps.iter().cloned(), config.service_provider.is_some()),
        name: set,
        provider: config.service_provider.clone(),
        xsps,
        news,
        commands: commands_seen,
        events,
        failed,
        stop: stop.clone(),
        answers: HashMap::new(),
        tickets: 0,
    };
    tasks.spawn(hub.run());
    tasks.close();
    Ok(BroadWorks { commands, stop, tasks })
}

impl BroadWorks {
    /// Calls, and do not disturb in both directions.
    pub fn capabilities() -> Capabilities {
        Capabilities {
            reads_presence: true,
            own_entry: true,
            own_entry_expires: false,
            own_is_do_not_disturb: true,
            line: true,
            enumerates_users: false,
        }
    }

    /// Whom to watch from now on, by BroadWorks user id.
    pub async fn watch(&self, users: Vec<String>) {
        self.tell(Command::Watch(users)).await;
    }

    /// Whose do not disturb this worker switched on before it was started anew.
    pub async fn recall_own(&self, users: Vec<String>) {
        self.tell(Command::Recall(users)).await;
    }

    /// Switches do not disturb on for a user; where the user did so before, it stays the user's. An entry that says nothing is
    /// taken back, and no other can be held.
    pub async fn put_own(&self, user: &str, entry: &OwnEntry) -> Result<(), PbxError> {
        match entry.activity {
            Activity::DoNotDisturb => self.ask(|answer| Command::Put(user.to_owned(), answer)).await,
            Activity::Unset => self.clear_own(user).await,
            _ => Err(PbxError::Protocol(
                "BroadWorks can be told of do not disturb alone".to_owned(),
            )),
        }
    }

    /// Switches do not disturb off for a user, if this worker switched it on.
    pub async fn clear_own(&self, user: &str) -> Result<(), PbxError> {
        self.ask(|answer| Command::Clear(user.to_owned(), answer)).await
    }

    async fn tell(&self, command: Command) {
        if self.commands.send(command).await.is_err() {
            tracing::debug!("the adapter is closed");
        }
    }

    async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), PbxError>>) -> Command,
    ) -> Result<(), PbxError> {
        let (answer, answered) = oneshot::channel();
        let closed = || PbxError::Transport("the adapter is closed".to_owned());
        let exchange = async {
            self.commands.send(command(answer)).await.map_err(|_| closed())?;
            answered.await.map_err(|_| closed())?
        };
        let late = || PbxError::Transport("the PBX does not answer in time".to_owned());
        timeout(WRITE, exchange).await.unwrap_or_else(|_| Err(late()))
    }

    /// Ends the channels. What was switched stays.
    pub async fn close(self) {
        self.stop.cancel();
        if timeout(CLOSE, self.tasks.wait()).await.is_err() {
            tracing::warn!("the events channels did not end in time");
        }
    }
}

impl Drop for BroadWorks {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests;
