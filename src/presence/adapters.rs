//! The kinds of PBX, behind one face. An adapter connects by itself, tells what it sees, and writes what it is told to.

use std::time::Duration;

use self::broadworks::BroadWorks;
use self::innovaphone::Innovaphone;
use self::sip::Sip;
use crate::policy::presence::pbx::{Capabilities, OwnEntry, PbxError};

pub mod broadworks;
#[cfg(test)]
mod encodings;
pub mod innovaphone;
pub mod metrics;
pub mod pace;
#[cfg(test)]
#[allow(missing_docs, clippy::missing_panics_doc)]
pub mod scripted;
pub mod sip;
pub mod tls;

/// A connection to a PBX. What it sees comes over the channel that it was started with, after each `Up` as a whole.
pub enum Adapter {
    /// innovaphone.
    Innovaphone(Innovaphone),
    /// Cisco BroadWorks.
    BroadWorks(BroadWorks),
    /// A SIP presence server.
    Sip(Sip),
    /// A PBX for tests.
    #[cfg(test)]
    Scripted(scripted::Scripted),
}

impl Adapter {
    /// What this kind of PBX can do.
    pub fn capabilities(&self) -> Capabilities {
        match self {
            Self::Innovaphone(_) => Innovaphone::capabilities(),
            Self::BroadWorks(_) => BroadWorks::capabilities(),
            Self::Sip(_) => Sip::capabilities(),
            #[cfg(test)]
            Self::Scripted(pbx) => pbx.capabilities(),
        }
    }

    /// Whom to watch from now on, by id; users that were watched before and are not in it are let go.
    pub async fn watch(&self, users: Vec<String>) {
        match self {
            Self::Innovaphone(pbx) => pbx.watch(users),
            Self::BroadWorks(pbx) => pbx.watch(users).await,
            Self::Sip(pbx) => pbx.watch(users).await,
            #[cfg(test)]
            Self::Scripted(pbx) => pbx.watch(users),
        }
    }

    /// Whose own entries this worker made before it was started anew, by its own record. Where the PBX itself cannot tell what is
    /// ours, it must be told before [`Adapter::watch`].
    pub async fn recall_own(&self, users: Vec<String>) {
        match self {
            // Their entries say whose they are.
            Self::Innovaphone(_) | Self::Sip(_) => {}
            Self::BroadWorks(pbx) => pbx.recall_own(users).await,
            #[cfg(test)]
            Self::Scripted(pbx) => pbx.recall_own(users),
        }
    }

    /// Makes the worker's own entry for a user say this. Repeating it refreshes it; where entries expire, after `ttl`.
    pub async fn put_own(&self, user: &str, entry: &OwnEntry, ttl: Duration) -> Result<(), PbxError> {
        match self {
            Self::Innovaphone(pbx) => pbx.put_own(user, entry).await,
            Self::BroadWorks(pbx) => pbx.put_own(user, entry).await,
            Self::Sip(pbx) => pbx.put_own(user, entry, ttl).await,
            #[cfg(test)]
            Self::Scripted(pbx) => pbx.put_own(user, entry),
        }
    }

    /// Takes the worker's own entry back. One that is not there is no error.
    pub async fn clear_own(&self, user: &str) -> Result<(), PbxError> {
        match self {
            Self::Innovaphone(pbx) => pbx.clear_own(user).await,
            Self::BroadWorks(pbx) => pbx.clear_own(user).await,
            Self::Sip(pbx) => pbx.clear_own(user).await,
            #[cfg(test)]
            Self::Scripted(pbx) => pbx.clear_own(user),
        }
    }

    /// Ends the connections. Own entries stay.
    pub async fn close(self) {
        match self {
            Self::Innovaphone(pbx) => pbx.close().await,
            Self::BroadWorks(pbx) => pbx.close().await,
            Self::Sip(pbx) => pbx.close().await,
            #[cfg(test)]
            Self::Scripted(pbx) => pbx.close(),
        }
    }
}
