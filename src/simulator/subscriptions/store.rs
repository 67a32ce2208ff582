//! The subscriptions that exist, and those that did. Nothing that a request asks for is searched for one by one: tests
//! keep tens of thousands here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::bearer::Caller;
use super::catalogue::{self, Rules};
use super::paths;
use super::payload::Wanted;
pub use super::subscription::{End, Subscription};
use super::watched;

/// All subscriptions of all tenants.
#[derive(Debug, Default)]
pub struct Subscriptions {
    last: u64,
    live: BTreeMap<u64, Subscription>,
    ended: Vec<Subscription>,
    ends: BTreeMap<End, usize>,
    index: Index,
}

/// Ways to the live ones, and how many there are.
#[derive(Debug, Default)]
struct Index {
    ids: HashMap<String, u64>,
    expiries: BTreeSet<(Timestamp, u64)>,
    challenges: BTreeSet<(Timestamp, u64)>,
    owners: HashMap<Owner, BTreeSet<u64>>,
    /// By tenant and path, without query and case.
    paths: HashMap<(String, String), BTreeSet<u64>>,
    counts: HashMap<Counted, usize>,
}

/// A tenant and an app in it.
type Owner = (String, String);

/// What there is a quota for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Counted {
    /// Resources of a class in a tenant.
    Organisation(String, Class),
    /// The same, of one app.
    App(String, String, Class),
    /// A mailbox, in whichever way it is watched.
    Mailbox(String, String),
}

/// Resources that share a quota: all of Teams, or those with the same permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Class {
    Teams,
    Roles(&'static [&'static str]),
}

impl Subscriptions {
    /// Those that exist, in order of creation.
    pub fn live(&self) -> impl Iterator<Item = &Subscription> {
        self.live.values()
    }

    /// Those that are gone.
    pub fn ended(&self) -> &[Subscription] {
        &self.ended
    }

    /// How many there are, and how many ended in which way.
    pub fn summary(&self) -> Value {
        let ended = |end| self.ends.get(&end).copied().unwrap_or_default();
        json!({
            "created": self.last,
            "live": self.live.len(),
            "deleted": ended(End::Deleted),
            "expired": ended(End::Expired),
            "removed": ended(End::Removed),
        })
    }

    /// A live one.
    pub fn get(&self, id: &str) -> Option<&Subscription> {
        self.live.get(self.index.ids.get(&id.to_ascii_lowercase())?)
    }

    /// A live one of this caller.
    pub fn of_caller(&self, id: &str, caller: &Caller) -> Option<&Subscription> {
        self.get(id).filter(|s| s.is_of(caller))
    }

    /// The caller's live ones that were made after `seq`, in order of creation.
    pub fn after<'a>(&'a self, caller: &'a Caller, seq: u64) -> impl Iterator<Item = &'a Subscription> {
        let own = self.index.owners.get(&owner(&caller.tenant, &caller.app));
        let rest = own.into_iter().flat_map(move |own| own.range(seq + 1..));
        let rest = rest.filter_map(|seq| self.live.get(seq));
        rest.filter(|s| s.is_of(caller))
    }

    /// The caller's live subscription to presence, of whomever.
    pub fn of_presence<'a>(&'a self, caller: &'a Caller) -> Option<&'a Subscription> {
        self.after(caller, 0).find(|s| watched::is_presence(&s.wanted.resource))
    }

    /// Changes a live one. Its id, tenant, app, resource and lifecycle URL must stay.
    pub fn change<T>(&mut self, id: &str, change: impl FnOnce(&mut Subscription) -> T) -> Option<T> {
        let seq = *self.index.ids.get(&id.to_ascii_lowercase())?;
        let subscription = self.live.get_mut(&seq)?;
        self.index.forget_times(subscription);
        let result = change(subscription);
        self.index.note_times(subscription);
        Some(result)
    }

    /// Live ones of the organisation with the same rules, and how many of them are this caller's.
    pub fn alike(&self, caller: &Caller, rules: &Rules) -> (usize, usize) {
        let class = Class::of(rules);
        let count = |key: Counted| self.index.counts.get(&key).copied().unwrap_or_default();
        (
            count(Counted::Organisation(caller.tenant.clone(), class)),
            count(Counted::App(caller.tenant.clone(), caller.app.clone(), class)),
        )
    }

    /// Live ones of any app of the organisation in the mailbox of this resource.
    pub fn in_mailbox(&self, caller: &Caller, resource: &str) -> usize {
        let key = Counted::Mailbox(caller.tenant.clone(), mailbox(resource));
        self.index.counts.get(&key).copied().unwrap_or_default()
    }

    /// The caller's live subscription to this resource; with the same change types, if `changes` is given.
    pub fn duplicate(&self, caller: &Caller, resource: &str, changes: Option<&str>) -> Option<&Subscription> {
        let key = |text: &str| text.trim_matches('/').to_ascii_lowercase();
        let twins = self.at(&caller.tenant, &paths::path(resource).to_ascii_lowercase());
        twins.filter(|s| s.is_of(caller)).find(|s| {
            key(&s.wanted.resource) == key(resource)
                && changes.is_none_or(|changes| change_set(changes) == change_set(&s.wanted.change_type))
        })
    }

    /// Live ones of a tenant that something at this path concerns, in order of creation.
    pub fn concerned(&self, tenant: &str, event: &str) -> Vec<&Subscription> {
        let found = paths::concerned(event);
        let mut found: Vec<&Subscription> = found.iter().flat_map(|path| self.at(tenant, path)).collect();
        found.sort_by_key(|s| s.seq);
        found
    }

    /// Live ones that are to be challenged by now.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = &Subscription> {
        let due = self.index.challenges.range(..=(now, u64::MAX));
        due.filter_map(|(_, seq)| self.live.get(seq))
    }

    /// Adds one.
    pub fn add(&mut self, id: String, caller: &Caller, wanted: Wanted, now: Timestamp) -> &Subscription {
        self.last += 1;
        let new = Subscription::new(id, self.last, caller, wanted, now);
        self.index.add(&new);
        self.live.entry(self.last).or_insert(new)
    }

    /// Ends one. False if there is none.
    pub fn end(&mut self, id: &str, why: End, now: Timestamp) -> bool {
        let seq = self.index.ids.get(&id.to_ascii_lowercase()).copied();
        let Some(mut gone) = seq.and_then(|seq| self.live.remove(&seq)) else {
            return false;
        };
        self.index.remove(&gone);
        gone.end = Some((why, now));
        *self.ends.entry(why).or_default() += 1;
        self.ended.push(gone);
        true
    }

    /// Ends all whose time is over.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some((at, seq)) = self.index.expiries.first().copied().filter(|(at, _)| *at <= now) {
            let id = self.live.get(&seq).map(|s| s.id.clone());
            // The index knows only live ones; if it did not, this would never end.
            self.index.expiries.remove(&(at, seq));
            if let Some(id) = id {
                self.end(&id, End::Expired, at);
            }
        }
    }

    fn at<'a>(&'a self, tenant: &str, path: &str) -> impl Iterator<Item = &'a Subscription> + use<'a> {
        let found = self.index.paths.get(&(tenant.to_string(), path.to_string()));
        found.into_iter().flatten().filter_map(|seq| self.live.get(seq))
    }
}

impl Index {
    fn add(&mut self, new: &Subscription) {
        self.ids.insert(new.id.to_ascii_lowercase(), new.seq);
        self.note_times(new);
        self.owners
            .entry(owner(&new.tenant, &new.app))
            .or_default()
            .insert(new.seq);
        self.paths.entry(place(new)).or_default().insert(new.seq);
        for key in counted(new) {
            *self.counts.entry(key).or_default() += 1;
        }
    }

    fn remove(&mut self, gone: &Subscription) {
        self.ids.remove(&gone.id.to_ascii_lowercase());
        self.forget_times(gone);
        take(&mut self.owners, &owner(&gone.tenant, &gone.app), gone.seq);
        take(&mut self.paths, &place(gone), gone.seq);
        for key in counted(gone) {
            let left = self.counts.get_mut(&key);
            let is_last = left.is_some_and(|left| {
                *left = left.saturating_sub(1);
                *left == 0
            });
            if is_last {
                self.counts.remove(&key);
            }
        }
    }

    fn note_times(&mut self, s: &Subscription) {
        self.expiries.insert((s.expires, s.seq));
        self.challenges.extend(s.challenge_due().map(|at| (at, s.seq)));
    }

    fn forget_times(&mut self, s: &Subscription) {
        self.expiries.remove(&(s.expires, s.seq));
        if let Some(at) = s.challenge_due() {
            self.challenges.remove(&(at, s.seq));
        }
    }
}

impl Class {
    fn of(rules: &Rules) -> Self {
        if rules.teams {
            Self::Teams
        } else {
            Self::Roles(rules.roles)
        }
    }
}

fn owner(tenant: &str, app: &str) -> Owner {
    (tenant.into(), app.into())
}

fn place(s: &Subscription) -> (String, String) {
    (s.tenant.clone(), paths::path(&s.wanted.resource).to_ascii_lowercase())
}

fn counted(s: &Subscription) -> Vec<Counted> {
    let Some(rules) = catalogue::rules(&s.wanted.resource) else {
        return Vec::new();
    };
    let class = Class::of(rules);
    let mailbox = rules.per_mailbox.map(|_| mailbox(&s.wanted.resource));
    let mut keys = vec![
        Counted::Organisation(s.tenant.clone(), class),
        Counted::App(s.tenant.clone(), s.app.clone(), class),
    ];
    keys.extend(mailbox.map(|mailbox| Counted::Mailbox(s.tenant.clone(), mailbox)));
    keys
}

/// Whose mailbox it is.
fn mailbox(resource: &str) -> String {
    let path = paths::path(resource).to_ascii_lowercase();
    path.split('/').nth(1).unwrap_or_default().into()
}

/// Takes a number out of a set that goes when it is empty.
fn take<K: Hash + Eq>(sets: &mut HashMap<K, BTreeSet<u64>>, key: &K, seq: u64) {
    let is_empty = sets.get_mut(key).is_some_and(|set| {
        set.remove(&seq);
        set.is_empty()
    });
    if is_empty {
        sets.remove(key);
    }
}

fn change_set(text: &str) -> Vec<&str> {
    let mut changes: Vec<&str> = text.split(',').map(str::trim).collect();
    changes.sort_unstable();
    changes.dedup();
    changes
}
