//! The kinds of PBX, behind one face. An adapter connects by itself, tells what it sees, and writes what it is told to.

use std::time::Duration;

use crate::policy::presence::pbx::{Capabilities, OwnEntry, PbxError};

/// A connection to a PBX. What it sees comes over the channel that it was started with, after each `Up` as a whole.
pub enum Adapter {}

impl Adapter {
    /// What this kind of PBX can do.
    pub fn capabilities(&self) -> Capabilities {
        match *self {}
    }

    /// Whom to watch from now on, by id; users that were watched before and are not in it are let go.
    pub async fn watch(&self, _users: Vec<String>) {
        match *self {}
    }

    /// Makes the worker's own entry for a user say this. Repeating it refreshes it; where entries expire, after `ttl`.
    pub async fn put_own(&self, _user: &str, _entry: &OwnEntry, _ttl: Duration) -> Result<(), PbxError> {
        match *self {}
    }

    /// Takes the worker's own entry back. One that is not there is no error.
    pub async fn clear_own(&self, _user: &str) -> Result<(), PbxError> {
        match *self {}
    }

    /// Ends the connections. Own entries stay.
    pub async fn close(self) {
        match self {}
    }
}
