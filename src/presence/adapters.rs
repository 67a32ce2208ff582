//! The kinds of PBX, behind one face. An adapter connects by itself, tells what it sees, and writes what it is told to.

use std::time::Duration;

use crate::policy::presence::pbx::{Capabilities, OwnEntry, PbxError};

pub mod metrics;
pub mod pace;
pub mod sip;
pub mod tls;

/// A connection to a PBX. What it sees comes over the channel that it was started with, after each `Up` as a whole.
pub enum Adapter {
    /// A SIP presence server.
    Sip(sip::SipAdapter),
}

impl Adapter {
    /// What this kind of PBX can do.
    pub fn capabilities(&self) -> Capabilities {
        match self {
            Self::Sip(pbx) => pbx.capabilities(),
        }
    }

    /// Whom to watch from now on, by id; users that were watched before and are not in it are let go.
    pub async fn watch(&self, users: Vec<String>) {
        match self {
            Self::Sip(pbx) => pbx.watch(users).await,
        }
    }

    /// Makes the worker's own entry for a user say this. Repeating it refreshes it; where entries expire, after `ttl`.
    pub async fn put_own(&self, user: &str, entry: &OwnEntry, ttl: Duration) -> Result<(), PbxError> {
        match self {
            Self::Sip(pbx) => pbx.put_own(user, entry, ttl).await,
        }
    }

    /// Takes the worker's own entry back. One that is not there is no error.
    pub async fn clear_own(&self, user: &str) -> Result<(), PbxError> {
        match self {
            Self::Sip(pbx) => pbx.clear_own(user).await,
        }
    }

    /// Ends the connections. Own entries stay.
    pub async fn close(self) {
        match self {
            Self::Sip(pbx) => pbx.close().await,
        }
    }
}
