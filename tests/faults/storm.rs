//! Two replicas keep a dozen subscriptions while much goes wrong between them and the API server.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::gate::Network;
use crate::orders::{report, seeds};
use crate::proxy::{Call, Judge, Verdict};
use crate::stand::{Replica, Stand};
use crate::weather::{Fault, Weather};
use crate::world::{SUBSCRIPTION, TENANT};

/// Subscriptions, of which some are changed and some deleted.
const MANY: usize = 12;
const CHANGED: std::ops::Range<usize> = 0..4;
const DELETED: std::ops::Range<usize> = 9..MANY;
/// Longer than two thirds of the life of a subscription to mail, give or take a twentieth; shorter than all of it.
const UNTIL_RENEWAL: i64 = 126 * 3600;
/// What is left of the life of one that was renewed since is longer, and of one that was not is shorter.
const RENEWED_LEFT: i64 = 100 * 3600;
/// How long the weather lasts after the last change. What it costs is to be made up for while it lasts, or after.
const LASTS: Duration = Duration::from_secs(10);
/// Longest wait for anything to come about.
const PATIENCE: Duration = Duration::from_secs(120);
const SETTINGS: &[(&str, &str)] = &[("WATCH_CHECK_SECONDS", "3")];
const IDENTITIES: [&str; 2] = ["one", "two"];

/// Writes to Graph: by which replica, and when.
type Writes = Arc<Mutex<Vec<(usize, Instant)>>>;
/// The replica that is frozen at its next create.
type Frozen = Arc<Mutex<Option<usize>>>;

struct Storm {
    stand: Stand,
    weather: Arc<Weather>,
    replicas: Vec<Replica>,
    writes: Writes,
    freezes: Frozen,
    /// Processes that ended by themselves.
    ended: usize,
}

impl Storm {
    async fn new(faults: Vec<Fault>, seed: u64) -> Self {
        let stand = Stand::new("storm").await;
        // A leap of the clock ends every token. One that was just had and is refused is not tried again at once; that is no fault here.
        let settings = json!({ "tokenLifetimeSeconds": 2 * UNTIL_RENEWAL });
        stand.world.simulator_put("settings", settings).await;
        let weather = Weather::new(faults, seed);
        let (writes, freezes) = (Writes::default(), Frozen::default());
        let mut replicas = Vec::new();
        for (index, identity) in IDENTITIES.into_iter().enumerate() {
            let graph = counting(index, &writes, &freezes);
            replicas.push(Replica::new(&stand.world, identity, weather.judge(), graph).await);
        }
        Self {
            stand,
            weather,
            replicas,
            writes,
            freezes,
            ended: 0,
        }
    }

    /// Waits until it is so, and meanwhile starts again what ended, as Kubernetes does.
    async fn until(&mut self, what: &str, so: impl AsyncFn(&Self) -> bool) {
        let started = Instant::now();
        while !so(self).await {
            let waited = started.elapsed();
            assert!(
                waited < PATIENCE,
                "not so after {waited:?}: {what}\n{}",
                self.stand.world.logs()
            );
            self.restart_ended().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn restart_ended(&mut self) {
        for index in 0..self.replicas.len() {
            self.restart_if_ended(index).await;
        }
    }

    async fn restart_if_ended(&mut self, index: usize) {
        let replica = &self.replicas[index];
        if replica.process.has_ended().await {
            self.ended += 1;
            replica.start(&self.stand.world, SETTINGS).await;
        }
    }

    async fn leader(&self) -> Option<usize> {
        let leads = [
            self.replicas[0].leads(&self.stand.world).await,
            self.replicas[1].leads(&self.stand.world).await,
        ];
        match leads {
            [true, false] => Some(0),
            [false, true] => Some(1),
            _ => None,
        }
    }

    async fn wait_for_leader(&mut self) -> usize {
        let started = Instant::now();
        loop {
            if let Some(leader) = self.leader().await {
                return leader;
            }
            assert!(started.elapsed() < PATIENCE, "none leads\n{}", self.stand.world.logs());
            self.restart_ended().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn all_settled(&self, which: std::ops::Range<usize>) -> bool {
        for index in which {
            if !self.stand.is_settled(&name(index)).await {
                return false;
            }
        }
        true
    }

    /// Both replicas run, and all is subscribed.
    async fn begin(&mut self) {
        for replica in &self.replicas {
            replica.start(&self.stand.world, SETTINGS).await;
        }
        self.create().await;
        self.until("all are subscribed", async |storm| storm.all_settled(0..MANY).await)
            .await;
    }

    async fn create(&self) {
        self.stand.apply_tenant().await;
        for index in 0..MANY {
            let resource = format!("users/8f0c2d3e-0000-4000-8000-{index:012}/messages");
            let spec = self.stand.subscription_spec(&name(index), &resource);
            self.stand.world.apply(SUBSCRIPTION, &name(index), spec).await;
        }
    }

    async fn change_and_delete(&self) {
        let world = &self.stand.world;
        for index in CHANGED {
            let patch = json!({ "spec": { "changeTypes": ["Created"] } });
            world.patch(SUBSCRIPTION, &name(index), patch).await;
        }
        for index in DELETED {
            world.delete(SUBSCRIPTION, &name(index)).await;
        }
    }

    async fn let_time_pass(&self) {
        let world = &self.stand.world;
        world
            .simulator_post("clock/advance", json!({ "seconds": UNTIL_RENEWAL }))
            .await;
        world.ask(TENANT, "contoso").await;
    }

    /// The leader alone is cut off, until it has ended by itself and the other has written to Graph.
    async fn partition(&mut self, network: Network) -> Duration {
        let old = self.wait_for_leader().await;
        let (cut_at, before) = (Instant::now(), self.writes.lock().unwrap().len());
        self.replicas[old].network.set(network);
        self.let_time_pass().await;
        let mut taken_over = None;
        while taken_over.is_none() || !self.replicas[old].process.has_ended().await {
            assert!(cut_at.elapsed() < PATIENCE, "no failover\n{}", self.stand.world.logs());
            self.restart_if_ended(1 - old).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            let writes = self.writes.lock().unwrap();
            let mut since = writes[before..].iter();
            taken_over = since
                .find(|(by, _)| *by != old)
                .map(|(_, at)| at.duration_since(cut_at));
        }
        self.replicas[old].network.set(Network::Fine);
        self.restart_if_ended(old).await;
        taken_over.unwrap()
    }

    async fn is_as_it_shall_be(&self) -> bool {
        let world = &self.stand.world;
        for index in DELETED {
            if world.get(SUBSCRIPTION, &name(index)).await.is_some() {
                return false;
            }
        }
        let remote = world.remote().await;
        remote.len() == DELETED.start && self.all_renewed().await && self.all_settled(0..DELETED.start).await
    }

    async fn all_renewed(&self) -> bool {
        let (remote, now) = (self.stand.world.remote().await, self.graph_now().await);
        remote.iter().all(|remote| {
            let expires: jiff::Timestamp = remote["expirationDateTime"].as_str().unwrap().parse().unwrap();
            expires.duration_since(now).as_secs() > RENEWED_LEFT
        })
    }

    async fn graph_now(&self) -> jiff::Timestamp {
        let clock = self.stand.world.simulator_get("clock").await;
        clock["now"].as_str().unwrap().parse().unwrap()
    }

    async fn check(&self) {
        let world = &self.stand.world;
        let remote = world.remote().await;
        for index in 0..DELETED.start {
            let object = world.get(SUBSCRIPTION, &name(index)).await.unwrap();
            let url = self.stand.webhook_url(&name(index));
            let own: Vec<&Value> = remote.iter().filter(|one| one["notificationUrl"] == url).collect();
            assert_eq!(own.len(), 1, "{}: {own:?}", name(index));
            assert_eq!(own[0]["id"], object["status"]["subscriptionId"]);
            let changes = if CHANGED.contains(&index) {
                "created"
            } else {
                "created,updated"
            };
            assert_eq!(own[0]["changeType"], changes);
        }
        let violations = world.simulator_get("violations").await;
        assert_eq!(violations, json!([]), "{}", world.logs());
        let ever = world.simulator_get("subscriptions?all=true").await;
        let made = ever.as_array().unwrap().len();
        assert_eq!(
            made,
            MANY + CHANGED.len(),
            "each change makes one anew, and nothing else does: {ever:#}"
        );
        assert!(
            self.switches() <= self.ended,
            "{} times another replica wrote than before, but only {} ended: two wrote at a time",
            self.switches(),
            self.ended
        );
    }

    /// How often another replica wrote than the one before.
    fn switches(&self) -> usize {
        let writes = self.writes.lock().unwrap();
        writes.windows(2).filter(|pair| pair[0].0 != pair[1].0).count()
    }
}

fn name(index: usize) -> String {
    format!("mail-{index}")
}

/// Notes writes to Graph. (A token is no write.)
fn counting(replica: usize, writes: &Writes, freezes: &Frozen) -> Judge {
    let (writes, freezes) = (writes.clone(), freezes.clone());
    Arc::new(move |call: &Call| {
        if call.is_write() && call.path.contains("/subscriptions") {
            writes.lock().unwrap().push((replica, Instant::now()));
            let create = call.method == http::Method::POST;
            if create && freezes.lock().unwrap().take_if(|whom| *whom == replica).is_some() {
                return Verdict::Freeze;
            }
        }
        Verdict::Pass
    })
}

async fn weathered(faults: Vec<Fault>, seed: u64) {
    let started = Instant::now();
    println!("faults {faults:?}, FAULT_SEED={seed}");
    let mut storm = Storm::new(faults.clone(), seed).await;
    storm.begin().await;
    let network = [(Fault::Silence, Network::Silent), (Fault::Cut, Network::Cut)];
    let network = network.into_iter().find(|(fault, _)| storm.weather.has(*fault));
    let mut failover = String::new();
    if let Some((_, network)) = network {
        let took = storm.partition(network).await;
        failover = format!(", failover in {:.1} s", took.as_secs_f64());
        storm.change_and_delete().await;
    } else if storm.weather.has(Fault::LostEvents) {
        // Later, as a renewal's own write would bring what was lost.
        storm.let_time_pass().await;
        storm
            .until("all are renewed", async |storm| storm.all_renewed().await)
            .await;
        storm.change_and_delete().await;
    } else {
        storm.change_and_delete().await;
        storm.let_time_pass().await;
    }
    let last_change = Instant::now();
    while last_change.elapsed() < LASTS && !storm.is_as_it_shall_be().await {
        storm.restart_ended().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    storm.weather.calm_down();
    storm
        .until("everything is as it shall be", async |storm| {
            storm.is_as_it_shall_be().await
        })
        .await;
    storm.check().await;
    let struck = storm.weather.struck();
    assert!(struck > 0 || network.is_some(), "nothing went wrong at all");
    report(&format!(
        "faults {faults:?}, seed {seed}: {struck} struck, {} ended{failover}, done in {:.1} s",
        storm.ended,
        started.elapsed().as_secs_f64()
    ));
}

/// `FAULT_SEED` repeats a run.
fn seed() -> u64 {
    seeds("FAULT_SEED", "", 1).pop_first().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn late_events() {
    weathered(vec![Fault::LateEvents], seed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_events() {
    weathered(vec![Fault::RepeatedEvents], seed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_events() {
    weathered(vec![Fault::LostEvents], seed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts() {
    weathered(vec![Fault::Conflicts], seed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests() {
    weathered(vec![Fault::TooManyRequests], seed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unavailable() {
    weathered(vec![Fault::Unavailable], seed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_lists() {
    weathered(vec![Fault::SlowLists], seed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_hears_nothing_is_replaced() {
    weathered(vec![Fault::Silence], seed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_is_replaced() {
    weathered(vec![Fault::Cut], seed()).await;
}

/// It stands still between Graph's answer and its record, and wakes when another has led and gone on. Whether it writes before it
/// ends is chance here; the unit tests of the last write have it write each time.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stood_still_overwrites_nothing() {
    let mut storm = Storm::new(Vec::new(), 0).await;
    storm.begin().await;
    let old = storm.wait_for_leader().await;
    *storm.freezes.lock().unwrap() = Some(old);
    let stood_since = Instant::now();
    for changes in ["Created", "Updated"] {
        let patch = json!({ "spec": { "changeTypes": [changes] } });
        storm.stand.world.patch(SUBSCRIPTION, &name(0), patch).await;
        storm
            .until("the other has changed it", async |storm| storm.all_settled(0..1).await)
            .await;
    }
    let stood = stood_since.elapsed();
    let before = storm.stand.world.get(SUBSCRIPTION, &name(0)).await.unwrap();
    storm.replicas[old].process.thaw().await;
    storm
        .until("who stood still has ended", async |storm| storm.ended == 1)
        .await;
    let after = storm.stand.world.get(SUBSCRIPTION, &name(0)).await.unwrap();
    assert_eq!(after["status"], before["status"], "{}", storm.stand.world.logs());
    let remote = storm.stand.world.remote().await;
    let url = storm.stand.webhook_url(&name(0));
    let own: Vec<&Value> = remote.iter().filter(|one| one["notificationUrl"] == url).collect();
    assert_eq!(own.len(), 1, "{own:?}");
    assert_eq!(own[0]["id"], after["status"]["subscriptionId"]);
    let ever = storm.stand.world.simulator_get("subscriptions?all=true").await;
    assert_eq!(ever.as_array().unwrap().len(), MANY + 2, "{ever:#}");
    assert_eq!(storm.switches(), 1);
    report(&format!(
        "stood still for {:.1} s, wrote nothing after",
        stood.as_secs_f64()
    ));
}

/// Several at once, by seed.
#[tokio::test(flavor = "multi_thread")]
async fn mixed_faults() {
    let seeds = seeds("FAULT_SEED", "FAULT_SEEDS", 1);
    report(&format!("fault seeds: {seeds:?}"));
    for seed in &seeds {
        let mut random = fastrand::Rng::with_seed(*seed);
        let some = random.usize(2..=5);
        weathered(random.choose_multiple(Fault::ALL.into_iter(), some), *seed).await;
    }
    report(&format!("fault seeds: {} done", seeds.len()));
}
