//! innovaphone, over its App WebSocket: a connection to the master, and one to each slave whose calls are to be seen.
//! <https://sdk.innovaphone.com/14r1/doc/appwebsocket/AppWebsocket.htm>

use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Duration, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use self::book::Book;
use self::endpoint::{Endpoint, Ways, Write};
use self::entry::OwnContact;
use self::session::{Part, Told};
use super::metrics::{Kind, Metrics};
use super::tls;
use crate::api::presence::{Innovaphone as Config, PbxRole};
use crate::policy::presence::pbx::{Capabilities, OwnEntry, PbxError, PbxEvent};

mod book;
mod calls;
mod digest;
#[cfg(test)]
pub(super) mod encoding;
mod endpoint;
mod entry;
mod message;
mod session;
mod watching;
mod writing;

/// News that may wait for the book.
const NEWS: usize = 1024;
/// Writes that may wait for the connection.
const WRITES: usize = 256;
/// How long a write may take altogether.
const WRITE: Duration = Duration::from_secs(15);
/// How long connections may take to end.
const CLOSE: Duration = Duration::from_secs(5);

/// An innovaphone installation.
pub struct Innovaphone {
    writes: mpsc::Sender<Write>,
    /// Held once, by all connections together.
    wanted: watch::Sender<Arc<BTreeSet<String>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Connects to all PBXs of an installation, and keeps trying. An error means that the configuration cannot work.
pub fn start(
    config: &Config,
    password: &SecretString,
    extra_roots: &[CertificateDer<'static>],
    metrics: &Metrics,
    events: mpsc::Sender<PbxEvent>,
) -> Result<Innovaphone, PbxError> {
    let trust = tls::client_config(extra_roots)?;
    let (told, news) = mpsc::channel(NEWS);
    let (wanted, wanted_seen) = watch::channel(Arc::default());
    let stop = CancellationToken::new();
    let mut master = None;
    let mut connections = Vec::new();
    for (number, endpoint) in config.endpoints.iter().enumerate() {
        let url = Url::parse(&endpoint.url)
            .map_err(|_| PbxError::Transport(format!("the address of {} is not a URL", endpoint.name)))?;
        let is_master = endpoint.role == PbxRole::Master;
        let (writes, writes_seen) = mpsc::channel(WRITES);
        if is_master {
            master = Some(writes);
        }
        let ways = Ways {
            told: told.clone(),
            writes: writes_seen,
            wanted: wanted_seen.clone(),
            stop: stop.clone(),
        };
        let part = Part {
            app: config.app.clone(),
            password: password.clone(),
            is_master,
            own: OwnContact::new(&config.own_contact),
        };
        let endpoint = Endpoint {
            number,
            tls: (url.scheme() == "wss").then(|| trust.clone()),
            url,
            part,
            tally: metrics.of(Kind::Innovaphone),
        };
        connections.push(endpoint.run(ways));
    }
    let writes = master.ok_or_else(|| PbxError::Protocol("no endpoint has role: Master".to_owned()))?;
    let tasks = TaskTracker::new();
    for connection in connections {
        tasks.spawn(connection);
    }
    let book = Book::new(config.endpoints.iter().map(|endpoint| {
        let is_master = endpoint.role == PbxRole::Master;
        (endpoint.name.clone(), is_master)
    }));
    tasks.spawn(keep(book, news, wanted_seen, events, stop.clone()));
    tasks.close();
    Ok(Innovaphone {
        writes,
        wanted,
        stop,
        tasks,
    })
}

/// Puts together what the PBXs tell, until the adapter is closed or nobody listens.
async fn keep(
    mut book: Book,
    mut news: mpsc::Receiver<(usize, Told)>,
    mut wanted: watch::Receiver<Arc<BTreeSet<String>>>,
    events: mpsc::Sender<PbxEvent>,
    stop: CancellationToken,
) {
    let told = stop.clone().run_until_cancelled_owned(async move {
        loop {
            let out = tokio::select! {
                Some((number, told)) = news.recv() => book.apply(number, told),
                Ok(()) = wanted.changed() => {
                    let wanted = wanted.borrow_and_update().clone();
                    book.watch(wanted)
                }
                else => return,
            };
            for event in out {
                if events.send(event).await.is_err() {
                    return;
                }
            }
        }
    });
    told.await;
    // Nobody listens any more: nothing is to be connected for.
    stop.cancel();
}

impl Innovaphone {
    /// Presence, calls, users, and an own entry that stays until it is taken back.
    pub fn capabilities() -> Capabilities {
        Capabilities {
            reads_presence: true,
            own_entry: true,
            own_entry_expires: false,
            own_is_do_not_disturb: false,
            line: true,
            enumerates_users: true,
        }
    }

    /// Whom to watch from now on, by guid.
    pub fn watch(&self, users: Vec<String>) {
        self.wanted.send_replace(Arc::new(users.into_iter().collect()));
    }

    /// Makes the own entry of a user say this. It does not expire.
    pub async fn put_own(&self, user: &str, entry: &OwnEntry) -> Result<(), PbxError> {
        self.write(user, Some(entry.clone())).await
    }

    /// Takes the own entry of a user back: it says nothing then.
    pub async fn clear_own(&self, user: &str) -> Result<(), PbxError> {
        self.write(user, None).await
    }

    async fn write(&self, user: &str, entry: Option<OwnEntry>) -> Result<(), PbxError> {
        let (answer, answered) = oneshot::channel();
        let write = Write {
            guid: user.to_owned(),
            entry,
            answer,
        };
        let closed = || PbxError::Transport("the adapter is closed".to_owned());
        let exchange = async {
            self.writes.send(write).await.map_err(|_| closed())?;
            answered.await.map_err(|_| closed())?
        };
        let late = || PbxError::Transport("SetPresence is not answered".to_owned());
        timeout(WRITE, exchange).await.unwrap_or_else(|_| Err(late()))
    }

    /// Ends the connections. Own entries stay.
    pub async fn close(self) {
        self.stop.cancel();
        if timeout(CLOSE, self.tasks.wait()).await.is_err() {
            tracing::warn!("connections to the PBX did not end in time");
        }
    }
}

impl Drop for Innovaphone {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests;
