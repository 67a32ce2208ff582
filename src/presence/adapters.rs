//! The kinds of PBX, behind one face. An adapter connects by itself, tells what it sees, and writes what it is told to.

use std::time::Duration;

use crate::policy::presence::pbx::{Capabilities, OwnEntry, PbxError};

#[cfg(test)]
#[allow(missing_docs)]
pub mod scripted;

/// A connection to a PBX. What it sees comes over the channel that it was started with, after each `Up` as a whole.
pub enum Adapter {
    /// For tests.
    #[cfg(test)]
    Scripted(scripted::Scripted),
}

impl Adapter {
    /// What this kind of PBX can do.
    pub fn capabilities(&self) -> Capabilities {
        match *self {
            #[cfg(test)]
            Self::Scripted(ref pbx) => pbx.capabilities(),
        }
    }

    /// Whom to watch from now on, by id; users that were watched before and are not in it are let go.
    pub async fn watch(&self, _users: Vec<String>) {
        match *self {
            #[cfg(test)]
            Self::Scripted(ref pbx) => pbx.watch(_users),
        }
    }

    /// Whose own entries this worker made before it was started anew, by its own record. Where the PBX itself cannot tell what is
    /// ours, it must be told before [`Adapter::watch`].
    pub fn recall_own(&self, _users: Vec<String>) {
        match *self {
            #[cfg(test)]
            Self::Scripted(ref pbx) => pbx.recall_own(_users),
        }
    }

    /// Makes the worker's own entry for a user say this. Repeating it refreshes it; where entries expire, after `ttl`.
    pub async fn put_own(&self, _user: &str, _entry: &OwnEntry, _ttl: Duration) -> Result<(), PbxError> {
        match *self {
            #[cfg(test)]
            Self::Scripted(ref pbx) => pbx.put_own(_user, _entry),
        }
    }

    /// Takes the worker's own entry back. One that is not there is no error.
    pub async fn clear_own(&self, _user: &str) -> Result<(), PbxError> {
        match *self {
            #[cfg(test)]
            Self::Scripted(ref pbx) => pbx.clear_own(_user),
        }
    }

    /// Ends the connections. Own entries stay.
    pub async fn close(self) {
        match self {
            #[cfg(test)]
            Self::Scripted(pbx) => pbx.close(),
        }
    }
}
