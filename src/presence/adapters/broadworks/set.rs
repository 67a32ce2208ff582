//! The channels to all XSPs, as one state machine: what comes over them and time in, requests and news out.
//!
//! The server spreads events over the channels of a set. Whenever a channel is lost, an event may have been lost with it, so
//! everything is subscribed and read anew.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use tokio::time::{Duration, Instant};

use super::item::{Event, News};
use super::user::User;
use crate::policy::presence::pbx::{Line, PbxError, PbxEvent, PbxView};
use crate::presence::adapters::pace;

mod life;
mod switch;
mod telling;

pub(super) use switch::Ticket;

/// Requests under way at a time.
const WINDOW: usize = 8;
/// When a user whom the server does not know is asked for again.
const AGAIN: Duration = Duration::from_mins(5);

/// A package of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Package {
    Calls,
    DoNotDisturb,
}

/// What is subscribed. Without a user: for the whole service provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) user: Option<String>,
    pub(super) package: Package,
}

/// A request to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Subscribe(Key),
    Renew(Key, String),
    Unsubscribe(String),
    ReadCalls(String, u64),
    ReadSwitch(String, u64),
    Switch {
        ticket: Ticket,
        user: String,
        active: bool,
        was_own: bool,
    },
}

/// A job, and what it is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) job: Job,
    life: u64,
    failures: u32,
    /// Only to be done if a subscription did not tell by itself what this asks for.
    is_fallback: bool,
}

/// What a request brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// `expires` as granted.
    Subscribed {
        id: String,
        expires: Option<Duration>,
    },
    Calls(Vec<(String, Option<Line>)>),
    Switch(bool),
    Nothing,
}

/// What the set wants done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Out {
    Event(PbxEvent),
    /// Answers who asked for a write.
    Answer(Ticket, Result<(), PbxError>),
    /// All channels are to end, and to be tried again as this error asks for.
    Fail(PbxError),
    /// Counts an event that was left aside.
    Ignored(&'static str),
}

/// The set. Users are known by their id in lower case, as the server does not look at the case.
#[derive(Debug)]
pub(super) struct Set {
    /// Whether a service provider is subscribed as a whole.
    is_wide: bool,
    channels: Vec<(String, bool)>,
    /// Rises when everything is subscribed anew; what belongs to an earlier life is void.
    life: u64,
    is_live: bool,
    /// What is subscribed, and what the server calls it.
    subscriptions: HashMap<Key, String>,
    by_id: HashMap<String, Key>,
    retired: HashSet<String>,
    users: BTreeMap<String, User>,
    own: HashMap<String, Instant>,
    shown: HashMap<String, PbxView>,
    /// Users whom the server does not know.
    absent: HashSet<String>,
    jobs: VecDeque<Task>,
    /// What is done when nothing else is to be.
    leftovers: VecDeque<Task>,
    /// In the order of time; the number tells those of one moment apart.
    later: BTreeMap<(Instant, u64), Task>,
    postponed: u64,
    under_way: usize,
    out: VecDeque<Out>,
}

impl Set {
    /// A set of channels to these XSPs.
    pub(super) fn new(names: impl IntoIterator<Item = String>, is_wide: bool) -> Self {
        Self {
            is_wide,
            channels: names.into_iter().map(|name| (name, false)).collect(),
            life: 0,
            is_live: false,
            subscriptions: HashMap::new(),
            by_id: HashMap::new(),
            retired: HashSet::new(),
            users: BTreeMap::new(),
            own: HashMap::new(),
            shown: HashMap::new(),
            absent: HashSet::new(),
            jobs: VecDeque::new(),
            leftovers: VecDeque::new(),
            later: BTreeMap::new(),
            postponed: 0,
            under_way: 0,
            out: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub(super) fn next(&mut self) -> Option<Out> {
        self.out.pop_front()
    }

    /// The next request to make, if one may be made now, and the XSP to make it to.
    pub(super) fn next_task(&mut self) -> Option<(usize, Task)> {
        let at = self.channels.iter().position(|(_, is_up)| *is_up)?;
        while self.under_way < WINDOW {
            let task = self.jobs.pop_front().or_else(|| self.leftovers.pop_front())?;
            if self.is_void(&task) {
                continue;
            }
            self.under_way += 1;
            return Some((at, task));
        }
        None
    }

    /// What the server calls a user.
    pub(super) fn id_of<'a>(&'a self, key: &'a str) -> &'a str {
        self.users.get(key).map_or(key, |user| user.id.as_str())
    }

    /// When something is to be done that nothing else prompts.
    pub(super) fn look_again(&self) -> Option<Instant> {
        self.later.keys().next().map(|(at, _)| *at)
    }

    /// A channel stands.
    pub(super) fn up(&mut self, number: usize) {
        let Some((name, is_up)) = self.channels.get_mut(number) else {
            return;
        };
        *is_up = true;
        let event = PbxEvent::Up { endpoint: name.clone() };
        // Beside another one, it takes its part of what is subscribed.
        if self.life_is_over() {
            self.begin_life();
        }
        self.tell_again(event);
    }

    /// A channel does not stand, or no longer.
    pub(super) fn down(&mut self, number: usize, why: PbxError) {
        let Some((name, is_up)) = self.channels.get_mut(number) else {
            return;
        };
        let was_up = std::mem::replace(is_up, false);
        let event = PbxEvent::Down {
            endpoint: name.clone(),
            why,
        };
        if !was_up {
            self.out.push_back(Out::Event(event));
            return;
        }
        if self.is_up() {
            self.begin_life();
        } else {
            self.end_life();
            self.users.values_mut().for_each(User::forget);
            self.absent.clear();
        }
        self.tell_again(event);
    }

    fn is_up(&self) -> bool {
        self.channels.iter().any(|(_, is_up)| *is_up)
    }

    /// Whom to watch from now on.
    pub(super) fn watch(&mut self, wanted: &[String]) {
        let wanted: BTreeMap<String, &String> = wanted.iter().map(|id| (id.to_lowercase(), id)).collect();
        let gone: Vec<String> = self
            .users
            .keys()
            .filter(|key| !wanted.contains_key(*key))
            .cloned()
            .collect();
        for key in gone {
            self.users.remove(&key);
            self.shown.remove(&key);
            self.absent.remove(&key);
            for package in [Package::Calls, Package::DoNotDisturb] {
                self.unsubscribe(&Key {
                    user: Some(key.clone()),
                    package,
                });
            }
        }
        for (key, id) in wanted {
            if !self.users.contains_key(&key) {
                self.users.insert(key.clone(), User::new(id));
                self.begin_user(&key);
            }
        }
    }

    /// Whose do not disturb this worker switched on before it was started anew.
    pub(super) fn recall(&mut self, users: &[String], now: Instant) {
        for key in users.iter().map(|id| id.to_lowercase()) {
            self.own.insert(key.clone(), now);
            self.show(&key);
        }
    }

    /// An event came.
    pub(super) fn event(&mut self, event: &Event, now: Instant) {
        if self.retired.contains(&event.subscription) {
            return self.ignore("retired");
        }
        if event.news == News::Unsubscribed {
            return self.unsubscribed(&event.subscription, now);
        }
        let key = event.user.to_lowercase();
        let Some(user) = self.users.get_mut(&key) else {
            return self.ignore("not_watched");
        };
        if !user.take(&event.subscription, event.number, &event.news) {
            return self.ignore("no_news");
        }
        self.exists(&key, true);
        if event.news == News::DoNotDisturb(false) {
            self.switched_off(&key, now);
        }
        self.show(&key);
    }

    /// Time passes.
    pub(super) fn tick(&mut self, now: Instant) {
        while let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) {
            self.jobs.push_back(first.remove());
        }
    }

    fn do_at(&mut self, at: Instant, task: Task) {
        self.postponed += 1;
        self.later.insert((at, self.postponed), task);
    }

    /// A request ended.
    pub(super) fn done(&mut self, task: Task, result: Result<Done, PbxError>, now: Instant) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Job::Switch {
            ticket,
            user,
            active,
            was_own,
        } = task.job
        {
            return self.switched(ticket, &user, (active, was_own), result, now);
        }
        if self.is_void(&task) {
            if let (Job::Subscribe(_), Ok(Done::Subscribed { id, .. })) = (task.job, result) {
                self.retire(id);
            }
            return;
        }
        match (task.job.clone(), result) {
            (Job::Subscribe(key), Ok(Done::Subscribed { id, expires })) => {
                if let Some(user) = &key.user {
                    self.exists(user, true);
                }
                self.subscribed(&key, id, expires, now);
            }
            (job @ Job::Renew(..), Ok(done)) => {
                let expires = if let Done::Subscribed { expires, .. } = done {
                    expires
                } else {
                    None
                };
                let task = self.task(job);
                self.do_at(now + life::half(expires), task);
            }
            (Job::Renew(key, id), Err(PbxError::NotFound(_))) => {
                self.subscriptions.remove(&key);
                self.by_id.remove(&id);
                self.retired.insert(id);
                self.enqueue(Job::Subscribe(key));
            }
            (Job::ReadCalls(user, version), Ok(Done::Calls(calls))) => {
                self.exists(&user, true);
                self.read(&user, version, &task, |user| {
                    let number = user.last_number();
                    user.set_calls(&calls, number);
                });
            }
            (Job::ReadSwitch(user, version), Ok(Done::Switch(active))) => {
                self.read(&user, version, &task, |user| user.switched(active));
                if !active {
                    self.switched_off(&user, now);
                    self.show(&user);
                }
            }
            // The service is not assigned, so it is off.
            (Job::ReadSwitch(user, version), Err(PbxError::NotFound(_))) => {
                self.read(&user, version, &task, |user| user.switched(false));
            }
            // Everybody has calls, if only none: it is the user who is not there, and may be one day.
            (Job::ReadCalls(user, _), Err(PbxError::NotFound(_))) => {
                self.exists(&user, false);
                self.do_at(now + AGAIN, task);
            }
            (Job::Unsubscribe(_), _) => {}
            (_, Err(error)) => self.failed(task, error, now),
            (_, Ok(_)) => self.ignore("unexpected"),
        }
    }

    /// Takes what was read of a user, unless an event came meanwhile: then it is read again.
    fn read(&mut self, key: &str, version: u64, task: &Task, take: impl FnOnce(&mut User)) {
        let Some(user) = self.users.get_mut(key) else { return };
        if user.version == version {
            take(user);
            self.show(key);
            return;
        }
        // Events have told what it asked for, if they told everything.
        let (job, is_known) = match task.job {
            Job::ReadCalls(..) => (Job::ReadCalls(key.to_owned(), user.version), user.is_listed),
            _ => (
                Job::ReadSwitch(key.to_owned(), user.version),
                user.do_not_disturb.is_some(),
            ),
        };
        if !is_known {
            self.enqueue(job);
        }
    }

    fn read_anew(&mut self, key: &str, package: Package) {
        let job = self.reading(key, package);
        self.enqueue(job);
    }

    fn reading(&self, key: &str, package: Package) -> Job {
        let version = self.users.get(key).map_or(0, |user| user.version);
        match package {
            Package::Calls => Job::ReadCalls(key.to_owned(), version),
            Package::DoNotDisturb => Job::ReadSwitch(key.to_owned(), version),
        }
    }

    fn failed(&mut self, mut task: Task, error: PbxError, now: Instant) {
        let concerns_one_user = !matches!(&task.job, Job::Subscribe(key) | Job::Renew(key, _) if key.user.is_none());
        let wait = match &error {
            PbxError::Auth(_) | PbxError::NotFound(_) if !concerns_one_user => {
                self.out.push_back(Out::Fail(error));
                return;
            }
            PbxError::Auth(_) => AGAIN,
            PbxError::NotFound(_) => {
                if let Job::Subscribe(Key { user: Some(user), .. }) = &task.job {
                    self.exists(&user.clone(), false);
                }
                AGAIN
            }
            _ => {
                task.failures = task.failures.saturating_add(1);
                pace::delay(&error, task.failures, 0.0)
            }
        };
        self.do_at(now + wait, task);
    }

    fn enqueue(&mut self, job: Job) {
        let task = self.task(job);
        self.jobs.push_back(task);
    }

    fn task(&self, job: Job) -> Task {
        Task {
            job,
            life: self.life,
            failures: 0,
            is_fallback: false,
        }
    }

    /// Whether nothing is to come of a task any more.
    fn is_void(&self, task: &Task) -> bool {
        let is_gone = |user: &String| !self.users.contains_key(user);
        match &task.job {
            Job::Switch { .. } | Job::Unsubscribe(_) => false,
            Job::Subscribe(Key { user, .. }) => task.life != self.life || user.as_ref().is_some_and(is_gone),
            Job::Renew(key, id) => task.life != self.life || self.subscriptions.get(key) != Some(id),
            Job::ReadCalls(key, _) | Job::ReadSwitch(key, _) => {
                let is_told = |user: &User| match task.job {
                    Job::ReadCalls(..) => user.is_listed,
                    _ => user.is_switch_told && task.is_fallback,
                };
                task.life != self.life || self.users.get(key).is_none_or(is_told)
            }
        }
    }

    fn ignore(&mut self, reason: &'static str) {
        self.out.push_back(Out::Ignored(reason));
    }
}

#[cfg(test)]
mod tests;
