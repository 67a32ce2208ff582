//! What the worker is told, when it has time. A user's views that were not told yet become one; so nothing grows without bound.

use std::collections::{HashSet, VecDeque};

use super::User;
use crate::policy::presence::pbx::PbxError;

/// The next thing to tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The connection is gone, or could not be made.
    Down(PbxError),
    /// The connection is there.
    Up,
    /// The server takes no entries of ours.
    NoEntries(String),
    /// Something changed with this user.
    User(User),
}

/// What was not told yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    down: Option<PbxError>,
    up: bool,
    last_down: Option<PbxError>,
    no_entries: Option<String>,
    users: VecDeque<User>,
    queued: HashSet<User>,
}

impl Outbox {
    /// The connection is gone. What was to be told of users is out of date. The same again is not told again.
    pub(super) fn down(&mut self, why: PbxError) {
        self.up = false;
        self.no_entries = None;
        self.users.clear();
        self.queued.clear();
        if self.last_down.as_ref() != Some(&why) {
            self.last_down = Some(why.clone());
            self.down = Some(why);
        }
    }

    /// The connection is there.
    pub(super) fn up(&mut self) {
        self.last_down = None;
        self.up = true;
    }

    /// The server takes no entries of ours.
    pub(super) fn no_entries(&mut self, why: String) {
        self.no_entries = Some(why);
    }

    /// Something changed with a user.
    pub(super) fn user(&mut self, user: &User) {
        if self.queued.insert(user.clone()) {
            self.users.push_back(user.clone());
        }
    }

    /// Whether there is nothing to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.down.is_none() && !self.up && self.no_entries.is_none() && self.users.is_empty()
    }

    /// Takes the next thing to tell.
    pub(super) fn next(&mut self) -> Option<Notice> {
        if let Some(why) = self.down.take() {
            return Some(Notice::Down(why));
        }
        if self.up {
            self.up = false;
            return Some(Notice::Up);
        }
        if let Some(why) = self.no_entries.take() {
            return Some(Notice::NoEntries(why));
        }
        let user = self.users.pop_front()?;
        self.queued.remove(&user);
        Some(Notice::User(user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn down_comes_before_up_and_users_become_one() {
        let why = || PbxError::Transport("gone".to_owned());
        let mut outbox = Outbox::default();
        outbox.up();
        outbox.user(&"a".into());
        outbox.down(why());
        outbox.down(why());
        outbox.up();
        for user in ["b", "a", "b"] {
            outbox.user(&user.into());
        }
        let told: Vec<_> = std::iter::from_fn(|| outbox.next()).collect();
        assert_eq!(
            told,
            [
                Notice::Down(why()),
                Notice::Up,
                Notice::User("b".into()),
                Notice::User("a".into())
            ]
        );
        assert!(outbox.is_empty());
        outbox.down(why());
        outbox.next();
        outbox.down(why());
        assert!(outbox.is_empty(), "the same is not told again");
    }
}
