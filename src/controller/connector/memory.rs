//! What is remembered of the connectors between two looks; gone with the object.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use kube::ResourceExt;
use prometheus::IntCounterVec;

use super::found::{Found, Shown};
use super::observe::{Probes, Shared};
use super::schedule::Schedule;
use crate::api::connector::TeamsConnectorHealth;
use crate::controller::feeds::Feeds;
use crate::controller::metrics::connectors::Board;
use crate::policy::connector::course::Course;

/// The connectors, by UID.
pub struct Connectors {
    entries: Mutex<HashMap<String, Arc<Entry>>>,
    shown: Board,
    shared: Shared,
}

/// One connector. One reconcile at a time has it.
pub struct Entry {
    uid: String,
    shown: Board,
    schedule: Mutex<Schedule>,
    work: tokio::sync::Mutex<Work>,
}

/// What a look needs of the looks before.
#[derive(Default)]
pub struct Work {
    /// What the probes remember.
    pub probes: Probes,
    /// What the judgement remembers.
    pub course: Course,
}

impl Connectors {
    /// None yet. Requests to their APIs are counted in `requests`; `feeds` are what nodes push.
    pub fn new(requests: IntCounterVec, feeds: Feeds) -> Self {
        Self {
            entries: Mutex::default(),
            shown: Board::default(),
            shared: Shared::new(requests, feeds),
        }
    }

    /// What nodes push.
    pub fn feeds(&self) -> &Feeds {
        &self.shared.feeds
    }

    /// What the probes of all of them share.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The entry of an object.
    pub fn entry(&self, object: &TeamsConnectorHealth) -> Arc<Entry> {
        let uid = object.uid().unwrap_or_default();
        let new = || {
            Arc::new(Entry {
                uid: uid.clone(),
                shown: self.shown.clone(),
                schedule: Mutex::default(),
                work: tokio::sync::Mutex::default(),
            })
        };
        self.lock().entry(uid.clone()).or_insert_with(new).clone()
    }

    /// What metrics show of them.
    pub fn shown(&self) -> Board {
        self.shown.clone()
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
        self.shown.forget(uid);
        self.feeds().keep_only(|known| known != uid);
    }

    /// Forgets all but these.
    pub fn keep_only(&self, objects: &[Arc<TeamsConnectorHealth>]) {
        let uids: HashSet<String> = objects.iter().filter_map(|object| object.uid()).collect();
        self.lock().retain(|uid, _| uids.contains(uid));
        self.shown.keep_only(&uids);
        self.feeds().keep_only(|uid| uids.contains(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// When it is looked at.
    pub fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For one look.
    pub async fn work(&self) -> tokio::sync::MutexGuard<'_, Work> {
        self.work.lock().await
    }

    /// Gives metrics what a look found. Counts are added to those of the looks before.
    pub fn show(&self, found: &Found, now: Timestamp) {
        let before = self.shown.get(&self.uid);
        let mut counts = before.map_or_else(BTreeMap::new, |before| before.counts.clone());
        for (count, by) in &found.shown.counts {
            *counts.entry(count.clone()).or_default() += by;
        }
        for part in &found.parts {
            *counts.entry(part.run()).or_default() += 1;
        }
        let shown = Shown {
            looked: Some(now),
            parts: found.parts.clone(),
            counts,
            ..found.shown.clone()
        };
        self.shown.put(&self.uid, shown);
    }

    /// Nothing is looked at any more.
    pub fn hide(&self) {
        self.shown.forget(&self.uid);
    }
}
