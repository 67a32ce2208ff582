//! What is subscribed, and for how long. A life lasts until a channel comes or goes.

use tokio::time::{Duration, Instant};

use super::{Job, Key, Out, Package, Set};
use crate::policy::presence::pbx::PbxError;

/// Lifetime of what was granted without one.
const LIFETIME: Duration = Duration::from_secs(super::super::requests::EXPIRES);
/// Shortest and longest lifetime that is believed.
const BELIEVED: (Duration, Duration) = (Duration::from_secs(60), Duration::from_hours(24));
/// How long a subscription may take to list a user's calls by itself.
const LISTING: Duration = Duration::from_secs(5);

/// When to renew what lives so long.
pub(super) fn half(expires: Option<Duration>) -> Duration {
    let (shortest, longest) = BELIEVED;
    expires.unwrap_or(LIFETIME).clamp(shortest, longest) / 2
}

impl Set {
    pub(super) fn subscribed(&mut self, key: &Key, id: String, expires: Option<Duration>, now: Instant) {
        self.by_id.insert(id.clone(), key.clone());
        let before = self.subscriptions.insert(key.clone(), id.clone());
        // A user who was let go and wanted again meanwhile is subscribed once.
        if let Some(before) = before.filter(|before| *before != id) {
            self.by_id.remove(&before);
            self.retire(before);
        }
        let renewal = self.task(Job::Renew(key.clone(), id));
        self.do_at(now + half(expires), renewal);
        // The subscription itself tells how things are; they are asked for where it does not.
        let users: Vec<String> = match &key.user {
            Some(user) => vec![user.clone()],
            None => self.users.keys().cloned().collect(),
        };
        for user in users {
            let mut task = self.task(self.reading(&user, key.package));
            task.is_fallback = true;
            self.do_at(now + LISTING, task);
        }
    }

    /// The server ended a subscription.
    pub(super) fn unsubscribed(&mut self, id: &str, now: Instant) {
        match self.by_id.remove(id) {
            Some(key) => {
                self.subscriptions.remove(&key);
                self.retired.insert(id.to_owned());
                match &key.user {
                    Some(name) => {
                        if let Some(user) = self.users.get_mut(name) {
                            user.doubt(key.package);
                        }
                    }
                    None => self.users.values_mut().for_each(|user| user.doubt(key.package)),
                }
                let task = self.task(Job::Subscribe(key));
                self.do_at(now + Duration::from_secs(1), task);
            }
            None => self.ignore("unknown_subscription"),
        }
    }

    /// Whether nothing is subscribed, or to be.
    pub(super) fn life_is_over(&self) -> bool {
        !self.is_live
    }

    pub(super) fn begin_life(&mut self) {
        self.end_life();
        self.is_live = true;
        for user in self.users.values_mut() {
            user.doubt(Package::Calls);
            user.doubt(Package::DoNotDisturb);
        }
        if self.is_wide {
            for package in [Package::Calls, Package::DoNotDisturb] {
                self.enqueue(Job::Subscribe(Key { user: None, package }));
            }
            return;
        }
        let users: Vec<String> = self.users.keys().cloned().collect();
        for user in users {
            self.begin_user(&user);
        }
    }

    pub(super) fn begin_user(&mut self, key: &str) {
        if !self.is_up() {
            return;
        }
        for package in [Package::Calls, Package::DoNotDisturb] {
            let wide = Key { user: None, package };
            if !self.is_wide {
                let user = Some(key.to_owned());
                self.enqueue(Job::Subscribe(Key { user, package }));
            } else if self.subscriptions.contains_key(&wide) {
                self.read_anew(key, package);
            }
        }
    }

    /// What is subscribed is void from now on.
    pub(super) fn end_life(&mut self) {
        self.life += 1;
        self.is_live = false;
        let jobs = std::mem::take(&mut self.jobs);
        for task in jobs {
            match task.job {
                Job::Switch { ticket, .. } if !self.is_up() => {
                    let error = PbxError::Transport("there is no connection to the PBX".to_owned());
                    self.out.push_back(Out::Answer(ticket, Err(error)));
                }
                Job::Switch { .. } => self.jobs.push_back(task),
                _ => {}
            }
        }
        self.later.clear();
        self.by_id.clear();
        // Of lives before the last nothing comes any more.
        self.retired.clear();
        let subscriptions: Vec<String> = self.subscriptions.drain().map(|(_, id)| id).collect();
        for id in subscriptions {
            self.retire(id);
        }
    }

    pub(super) fn unsubscribe(&mut self, key: &Key) {
        if let Some(id) = self.subscriptions.remove(key) {
            self.by_id.remove(&id);
            self.retire(id);
        }
    }

    pub(super) fn retire(&mut self, id: String) {
        self.retired.insert(id.clone());
        let task = self.task(Job::Unsubscribe(id));
        self.leftovers.push_back(task);
    }
}
