//! What there is outside of the operator's process: Graph's subscriptions, the API server's objects, and how they fare.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::MANY;
use super::audit::{Loss, Seen};
use super::process::Process;
use crate::api::receiver::NotificationReceiver;
use crate::api::subscription::GraphSubscription;
use crate::api::tenant::GraphTenant;
use crate::policy::resource::{Rule, rule_for};
use crate::policy::subscription::LifecycleEvent;

pub const HOUR: i64 = 3600;
pub const DAY: i64 = 24 * HOUR;
/// Reconciles of one object in a minute that are too many.
const SPINS: u32 = 60;
/// Graph's clock when a simulation begins.
const EPOCH: i64 = 1_800_000_000;

/// How large a simulation is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub seed: u64,
    pub subscriptions: usize,
    pub apps: usize,
    pub days: i64,
    /// Subscriptions in a hundred that Graph removes in a month.
    pub removed_percent: i64,
    /// Hours between two ends of the process, on average.
    pub process_hours: i64,
    /// Time between two looks without cause: at a tenant, and at most at a subscription.
    pub interval: Duration,
    pub rest: Duration,
    pub broken: Option<Broken>,
}

/// A decision of the operator that is spoiled on its way to the world, to see that this is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// What is to be renewed after two thirds of its life is renewed at its end.
    RenewsAtExpiry,
    /// What Graph's list lacks counts as absent: asking by id gives nothing either.
    BelievesTheList,
    /// That a subscription was removed is not written down.
    ForgetsRemovals,
    /// What a question about changes found never reaches the receiver.
    FillsNothing,
    /// What Graph's list has counts as living, for ever.
    TrustsTheList,
    /// Graph is never asked without cause what changed.
    NeverSweeps,
}

/// How Graph fails an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Refusing,
    Faulty,
    Hanging,
    Throttling,
}

/// A subscription at Graph.
#[derive(Clone, Debug)]
pub struct Remote {
    pub id: String,
    pub url: String,
    pub lifecycle_url: String,
    pub change_type: String,
    pub made: i64,
    pub expires: i64,
    pub renewed: i64,
}

/// One object, and what Graph has for it.
pub struct Sub {
    pub object: Arc<GraphSubscription>,
    pub rule: &'static Rule,
    pub app: usize,
    /// Graph has been seen to admit a second one for some resources.
    pub admits_two: bool,
    pub remote: Vec<Remote>,
    /// Since when no subscription lives, and why.
    pub missing: Option<(i64, &'static str)>,
    pub losses: Vec<Loss>,
    /// Every gap that was ever written down.
    pub seen: Vec<Seen>,
    /// Changes that no notification told of: id and time.
    pub changes: Vec<(String, i64)>,
    /// What was handed to the receiver, and when.
    pub handed: BTreeMap<String, i64>,
    /// Of that, what the receiver remembers as arrived.
    pub remembered: BTreeMap<String, i64>,
    pub bookmark: Option<serde_json::Value>,
    /// Reconciles.
    pub looks: u64,
    /// The last minute with one, and how many there were in it.
    minute: (i64, u32),
    /// When a notification last came.
    pub heard: i64,
    /// Lifecycle events in the receiver's log that were not acted on: number, kind, of which subscription, when by the local clock.
    pub told: Vec<(u64, LifecycleEvent, String, Timestamp)>,
}

/// An app, its tenant and its receiver.
pub struct App {
    pub tenant: GraphTenant,
    pub receiver: NotificationReceiver,
    pub trouble: Option<Trouble>,
    /// From when until when Graph could not be used.
    pub down: Vec<(i64, i64)>,
    /// From when until when no pod answered.
    pub deaf: Vec<(i64, i64)>,
    pub throttled_until: i64,
    /// Number of the secret that Entra takes, and of the one that the cluster has.
    pub valid_secret: u32,
    pub stored_secret: u32,
    /// Tokens before this one are refused.
    pub oldest_token: u64,
    pub tokens: u64,
    pub roles: u32,
    pub receiver_down: Option<i64>,
    pub calls: [VecDeque<i64>; 2],
    /// Subscriptions that are gone and that the list still shows, and until when.
    pub ghosts: Vec<(usize, Remote, i64)>,
}

pub struct State {
    pub scale: Scale,
    pub rng: Rng,
    pub apps: Vec<App>,
    pub subs: Vec<Sub>,
    /// By app and resource.
    pub by_resource: HashMap<(usize, String), usize>,
    pub by_id: HashMap<String, usize>,
    pub made: u64,
    pub version: u64,
    pub calm: bool,
    /// After so many steps the process ends.
    pub ends_in: Option<u32>,
    pub totals: BTreeMap<&'static str, u64>,
    pub violations: Vec<String>,
    pub lapses: Vec<String>,
}

/// The whole simulation.
pub struct Sim {
    pub started: Instant,
    /// The local clock minus Graph's, in seconds.
    pub offset: AtomicI64,
    /// Never used to send anything.
    pub http: reqwest::Client,
    state: Mutex<State>,
    pub process: Mutex<Option<Process>>,
    pub end: Notify,
}

impl Sim {
    pub fn new(scale: Scale) -> Arc<Self> {
        let rng = Rng::with_seed(scale.seed);
        let apps = (0..scale.apps).map(App::new).collect();
        let subs: Vec<Sub> = (0..scale.subscriptions).map(|number| Sub::new(number, scale)).collect();
        let by_resource = subs.iter().enumerate();
        let by_resource = by_resource
            .map(|(number, sub)| ((sub.app, sub.object.spec.resource.clone()), number))
            .collect();
        Arc::new(Self {
            started: Instant::now(),
            offset: AtomicI64::new(0),
            http: crate::graph::http_client().unwrap(),
            state: Mutex::new(State {
                scale,
                rng,
                apps,
                subs,
                by_resource,
                by_id: HashMap::new(),
                made: 0,
                version: 1,
                calm: false,
                ends_in: None,
                totals: BTreeMap::new(),
                violations: Vec::new(),
                lapses: Vec::new(),
            }),
            process: Mutex::new(None),
            end: Notify::new(),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Seconds since the beginning.
    pub fn now(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_secs()).unwrap()
    }

    pub fn milliseconds(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap()
    }

    /// Graph's clock.
    pub fn graph_time(&self) -> Timestamp {
        Timestamp::from_second(EPOCH).unwrap() + SignedDuration::from_millis(self.milliseconds())
    }

    /// The clock of the operator's machine.
    pub fn local_time(&self) -> Timestamp {
        self.graph_time() + SignedDuration::from_secs(self.offset.load(Ordering::Relaxed))
    }

    /// A reconcile begins. `true` when there were so many in this minute that something spins.
    pub fn looks_at(&self, number: usize) -> bool {
        let now = self.now() / 60;
        let mut state = self.state();
        let sub = &mut state.subs[number];
        sub.looks += 1;
        sub.minute = if sub.minute.0 == now {
            (now, sub.minute.1 + 1)
        } else {
            (now, 1)
        };
        let spins = sub.minute.1 > SPINS;
        if spins {
            let text = format!(
                "{} spins at {} s: {:?}",
                sub.object.spec.resource,
                self.now(),
                sub.object.status
            );
            state.violation(text);
        }
        spins
    }

    /// A point between two calls, at which the process may end. Then whoever waits here waits for ever.
    pub async fn step(&self) {
        let ends = {
            let mut state = self.state();
            let left = state.ends_in.map(|left| left.saturating_sub(1));
            state.ends_in = left.filter(|left| *left > 0);
            left == Some(0)
        };
        if ends {
            self.end.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

impl State {
    /// See [`MANY`].
    pub fn is_large(&self) -> bool {
        self.subs.len() > MANY
    }

    pub fn count(&mut self, what: &'static str) {
        *self.totals.entry(what).or_default() += 1;
    }

    pub fn violation(&mut self, text: String) {
        self.count("violations");
        if self.violations.len() < 20 {
            self.violations.push(text);
        }
    }

    /// What is at Graph now; what has expired is gone.
    pub fn remotes(&mut self, number: usize, now: i64) -> &mut Vec<Remote> {
        let gone = self.subs[number].remote.iter().position(|remote| remote.expires <= now);
        if let Some(at) = gone {
            let remote = self.subs[number].remote.remove(at);
            self.expired(number, &remote);
            return self.remotes(number, now);
        }
        &mut self.subs[number].remote
    }
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(EPOCH + seconds).unwrap()
}

pub fn since_start(time: Timestamp) -> i64 {
    time.as_second() - EPOCH
}

pub fn uid(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// So many apps have the collections. All that watch the same are compared at each look.
const WITH_COLLECTIONS: usize = 50;

/// Resources of many kinds and lifetimes; how Graph tells afterwards what changed differs too.
fn spec(number: usize, apps: usize) -> (String, &'static str, Option<&'static str>) {
    let lifetime = match number % 100 {
        0 => Some("1h"),
        1 | 2 => Some("6h"),
        3..=8 => Some("24h"),
        _ => None,
    };
    let of_app = number / apps;
    let has_collections = number % apps < WITH_COLLECTIONS;
    let (resource, change) = match of_app {
        0 if has_collections => ("communications/callRecords".to_owned(), "Updated"),
        1 if has_collections => ("users".to_owned(), "Updated"),
        2 if has_collections => ("groups".to_owned(), "Updated"),
        _ => of_one(of_app * 7 % 20, number),
    };
    (resource, change, lifetime)
}

fn of_one(kind: usize, number: usize) -> (String, &'static str) {
    match kind {
        0..=5 => (format!("users/{number}/messages"), "Created"),
        6..=9 => (format!("chats/{number}/messages"), "Created"),
        10 | 11 => (format!("teams/{number}/channels/{number}/messages"), "Updated"),
        12 | 13 => (format!("users/{number}"), "Updated"),
        14 => (format!("drives/{number}/root"), "Updated"),
        15 => (format!("chats/{number}"), "Updated"),
        16 => (format!("groups/{number}/members"), "Updated"),
        17 => (format!("teams/{number}/schedule/shifts"), "Updated"),
        18 => (format!("users/{number}/events"), "Updated"),
        _ => (format!("sites/{number}/lists/{number}"), "Updated"),
    }
}

impl Sub {
    fn new(number: usize, scale: Scale) -> Self {
        let apps = scale.apps;
        let app = number % apps;
        let sweep_interval = if scale.broken == Some(Broken::NeverSweeps) {
            "8760h"
        } else {
            "24h"
        };
        let (resource, change, lifetime) = spec(number, apps);
        let object = json!({
            "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription",
            "metadata": {
                "name": format!("s{number}"), "namespace": "n", "uid": uid(number), "generation": 1,
                "resourceVersion": "1", "creationTimestamp": at(-60).to_string(),
            },
            "spec": {
                "tenantRef": { "name": format!("t{app}") }, "receiverRef": { "name": format!("t{app}") },
                "resource": resource, "changeTypes": [change], "sweepInterval": sweep_interval, "lifetime": lifetime,
            },
        });
        Self {
            object: Arc::new(serde_json::from_value(object).unwrap()),
            rule: rule_for(&resource),
            app,
            admits_two: (number / apps).is_multiple_of(2),
            remote: Vec::new(),
            missing: None,
            losses: Vec::new(),
            seen: Vec::new(),
            changes: Vec::new(),
            handed: BTreeMap::new(),
            remembered: BTreeMap::new(),
            bookmark: None,
            heard: -1,
            looks: 0,
            minute: (0, 0),
            told: Vec::new(),
        }
    }

    /// The id that the status has.
    pub fn known_id(&self) -> Option<&str> {
        self.object.status.as_ref()?.subscription_id.as_deref()
    }
}

impl App {
    fn new(number: usize) -> Self {
        let name = format!("t{number}");
        let tenant = json!({
            "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphTenant",
            "metadata": { "name": name, "namespace": "n", "uid": name, "generation": 1, "resourceVersion": "1" },
            "spec": {
                "tenantId": name, "clientId": uid(number), "cloud": "Custom",
                "endpoints": { "login": "https://login.test", "graph": "https://graph.test" },
                "credentials": { "clientSecret": { "secretRef": { "name": name, "key": "value" } } },
            },
        });
        let receiver = json!({
            "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "NotificationReceiver",
            "metadata": { "name": name, "namespace": "n", "uid": format!("r{number}"), "generation": 1 },
            "spec": { "publicUrl": format!("https://hooks.test/{name}") },
        });
        let mut app = Self {
            tenant: serde_json::from_value(tenant).unwrap(),
            receiver: serde_json::from_value(receiver).unwrap(),
            trouble: None,
            down: Vec::new(),
            deaf: Vec::new(),
            throttled_until: 0,
            valid_secret: 0,
            stored_secret: 0,
            oldest_token: 0,
            tokens: 0,
            roles: 0,
            receiver_down: None,
            calls: Default::default(),
            ghosts: Vec::new(),
        };
        app.receiver_is(true, at(-600));
        app
    }

    /// What the receiver's status says since `since`, by the local clock.
    pub fn receiver_is(&mut self, up: bool, since: Timestamp) {
        let condition = |type_: &str| {
            json!({
                "type": type_, "status": if up { "True" } else { "False" }, "reason": "Test", "message": "",
                "lastTransitionTime": since.to_string(), "observedGeneration": 1,
            })
        };
        let status = json!({
            "observedGeneration": 1, "readyReplicas": i32::from(up), "keyId": "k1",
            "conditions": [condition("Available"), condition("Reachable")],
        });
        self.receiver.status = Some(serde_json::from_value(status).unwrap());
    }

    /// For how many seconds between two times Graph could be used.
    pub fn usable_for(&self, from: i64, until: i64) -> i64 {
        without(&self.down, from, until)
    }

    /// The same where a subscription has to be made, for which a pod has to answer Graph.
    pub fn mendable_for(&self, from: i64, until: i64) -> i64 {
        let mut down: Vec<_> = self.down.iter().chain(&self.deaf).copied().collect();
        down.sort_unstable();
        without(&down, from, until)
    }
}

/// Seconds between two times less what is taken out, which is sorted and may overlap.
fn without(taken: &[(i64, i64)], from: i64, until: i64) -> i64 {
    let mut free = until - from;
    let mut reached = from;
    for (start, end) in taken {
        let (start, end) = ((*start).max(reached), (*end).min(until));
        if end > start {
            free -= end - start;
            reached = end;
        }
    }
    free
}
