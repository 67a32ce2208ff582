//! Whole lives: plan, act and report against a small Graph, through faults, crashes and outages.

use fastrand::Rng;

use super::*;
use crate::api::FINALIZER;
use crate::controller::apply::has_finalizer;
use crate::controller::subscription::observe::{forgive, presume_pending};
use crate::policy::subscription::pending::{all_is_on_record, needs_mark};

const HISTORIES: u64 = 1200;
const MAXIMUM: i64 = 4230;

/// What Graph keeps, and how it fares. One subscription per resource, as Graph admits it.
struct World {
    rng: Rng,
    now: i64,
    remote: Vec<Held>,
    made: u32,
    down_until: i64,
    calm: bool,
    crash_percent: u32,
    /// Creates of what was there: the object had not known.
    conflicts: u32,
}

#[derive(Clone, Debug)]
struct Held {
    id: String,
    resource: String,
    expires: i64,
    renewed: i64,
}

/// How a call goes.
enum Fate {
    Answered,
    /// It never reached Graph.
    Lost,
    /// It was done, and nobody was told.
    AnswerLost,
}

/// The process ended.
struct Crash;

impl World {
    fn fate(&mut self) -> Fate {
        if self.now < self.down_until {
            return Fate::Lost;
        }
        match self.rng.u32(0..100) {
            _ if self.calm => Fate::Answered,
            0..6 => Fate::Lost,
            6..14 => Fate::AnswerLost,
            _ => Fate::Answered,
        }
    }

    fn may_crash(&mut self) -> Result<(), Crash> {
        if !self.calm && self.rng.u32(0..100) < self.crash_percent {
            return Err(Crash);
        }
        Ok(())
    }

    fn expire(&mut self) {
        let now = self.now;
        self.remote.retain(|held| held.expires > now);
    }

    /// Runs `change` as the fate wants it.
    fn call<T>(&mut self, change: impl FnOnce(&mut Self) -> T) -> Result<T, Failed> {
        let fate = self.fate();
        if let Fate::Lost = fate {
            return Err(unavailable());
        }
        let result = change(self);
        if let Fate::AnswerLost = fate {
            return Err(unavailable());
        }
        Ok(result)
    }

    fn create(&mut self, resource: &str, minutes: i64) -> Result<Result<Held, String>, Failed> {
        self.call(|world| {
            if let Some(known) = world.remote.iter().find(|held| held.resource == resource) {
                world.conflicts += 1;
                return Err(known.id.clone());
            }
            world.made += 1;
            let held = Held {
                id: format!("s{}", world.made),
                resource: resource.to_owned(),
                expires: world.now + minutes * 60,
                renewed: world.now,
            };
            world.remote.push(held.clone());
            Ok(held)
        })
    }

    fn renew(&mut self, id: &str, minutes: i64) -> Result<Option<Held>, Failed> {
        self.call(|world| {
            let now = world.now;
            let held = world.remote.iter_mut().find(|held| held.id == id)?;
            assert!(now >= held.renewed + 600, "renewed twice within ten minutes");
            held.expires = now + minutes * 60;
            held.renewed = now;
            Some(held.clone())
        })
    }

    fn delete(&mut self, id: &str) -> Result<(), Failed> {
        self.call(|world| world.remote.retain(|held| held.id != id))
    }

    fn list(&mut self) -> Result<Vec<Held>, Failed> {
        self.call(|world| world.remote.clone())
    }
}

fn unavailable() -> Failed {
    Failed {
        reason: Reason::GraphUnavailable,
        class: Class::Retry,
        message: "Graph does not answer".to_owned(),
        uncertain: true,
        learned: None,
    }
}

fn obtained(held: &Held, how: Reason) -> Outcome {
    Outcome::Obtained {
        id: held.id.clone(),
        expiration: at(held.expires),
        how,
        found: false,
    }
}

fn found(there: &Held, how: Reason) -> Outcome {
    Outcome::Obtained {
        id: there.id.clone(),
        expiration: at(there.expires),
        how,
        found: true,
    }
}

/// What the API server keeps, and the process that reads and writes it.
struct Operator {
    view: View,
    leads_since: i64,
}

impl Operator {
    /// One reconcile. Returns when the next one is due.
    fn reconcile(&mut self, world: &mut World) -> Result<Option<Timestamp>, Crash> {
        self.view.status = self.status();
        self.view.now = at(world.now);
        forgive(&mut self.view.status, &self.view.object);
        presume_pending(&mut self.view.status, &self.view.object, self.view.now);
        self.view.remote = Remote::NotAsked;
        let mut plan_now = plan(&self.view.situation());
        let outcome = if plan_now == Plan::LookUp {
            match self.look_up(world) {
                Ok(list) => {
                    self.view.remote = self.found(&list);
                    plan_now = plan(&self.view.situation());
                    self.act(world, &plan_now)?
                }
                Err(failed) => Outcome::Failed(failed),
            }
        } else {
            self.act(world, &plan_now)?
        };
        world.may_crash()?;
        if let Outcome::Released(_) = outcome {
            return Ok(None);
        }
        let status = next_status(&self.view, &plan_now, &outcome, None, world.rng.f64());
        lint_model(&status);
        let look = next_look(&self.view, &plan_now, &outcome, &status);
        put(&mut self.view, status);
        self.view.lifecycle.clear();
        Ok(look)
    }

    /// The list, or only the one that is on record.
    fn look_up(&self, world: &mut World) -> Result<Vec<Held>, Failed> {
        if !all_is_on_record(&self.view.situation()) {
            return world.list();
        }
        let Some(id) = &self.view.status.subscription_id else {
            return Ok(Vec::new());
        };
        world
            .list()
            .map(|list| list.into_iter().filter(|held| held.id == *id).collect())
    }

    /// As the receiver's derived address tells it: every subscription at Graph is at ours.
    fn found(&self, list: &[Held]) -> Remote {
        let Some(held) = list.iter().max_by_key(|held| held.expires) else {
            return Remote::Absent;
        };
        Remote::Present(RemoteView {
            id: held.id.clone(),
            expiration: at(held.expires),
            matches: held.resource == self.view.object.spec.resource,
        })
    }

    fn act(&mut self, world: &mut World, plan: &Plan) -> Result<Outcome, Crash> {
        match plan {
            Plan::Adopt(remote) => {
                self.hold(world)?;
                Ok(Outcome::Obtained {
                    id: remote.id.clone(),
                    expiration: remote.expiration,
                    how: Reason::Adopted,
                    found: true,
                })
            }
            Plan::Create { minutes, .. } => {
                let held_just_now = self.hold(world)?;
                forget_current(&mut self.view.status);
                self.mark(world, plan, held_just_now)?;
                Ok(self.create(world, *minutes))
            }
            Plan::Replace { id, minutes, .. } => {
                let held_just_now = self.hold(world)?;
                self.mark(world, plan, held_just_now)?;
                if let Err(failed) = world.delete(id) {
                    return Ok(Outcome::Failed(failed));
                }
                world.may_crash()?;
                forget_current(&mut self.view.status);
                Ok(self.create(world, *minutes))
            }
            Plan::Renew { id, minutes, .. } => {
                if self.view.status.failure.is_some() || world.now < self.leads_since + 600 {
                    let known = self.view.status.expiration_time.as_ref().map(|at| at.0);
                    match world.list().map(|list| list.into_iter().find(|held| held.id == *id)) {
                        Ok(Some(held)) if Some(at(held.expires)) > known => {
                            return Ok(found(&held, Reason::Renewed));
                        }
                        Ok(Some(_)) => {}
                        Ok(None) => return Ok(Outcome::Gone),
                        Err(failed) => return Ok(Outcome::Failed(failed)),
                    }
                }
                Ok(match world.renew(id, *minutes) {
                    Ok(Some(held)) => obtained(&held, Reason::Renewed),
                    Ok(None) => Outcome::Gone,
                    Err(failed) => Outcome::Failed(failed),
                })
            }
            Plan::Release(Release::Delete { id }) => Ok(match world.delete(id) {
                Ok(()) => Outcome::Released(Release::Nothing),
                Err(failed) => Outcome::Failed(failed),
            }),
            Plan::Release(release) => Ok(Outcome::Released(release.clone())),
            _ => Ok(Outcome::Idle),
        }
    }

    fn is_held(&self) -> bool {
        has_finalizer(&*self.view.object, FINALIZER)
    }

    fn hold(&mut self, world: &mut World) -> Result<bool, Crash> {
        if self.is_held() || self.view.deleted_at.is_some() {
            return Ok(false);
        }
        world.may_crash()?;
        Arc::make_mut(&mut self.view.object).metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        world.may_crash().map(|()| true)
    }

    fn mark(&mut self, world: &mut World, plan: &Plan, held_just_now: bool) -> Result<(), Crash> {
        world.may_crash()?;
        if let Some(gap) = gaps::opened_by(plan) {
            gaps::open(&mut self.view.status, gap);
        }
        self.view.status.create_pending_since = Some(time(self.view.now));
        let object = Arc::make_mut(&mut self.view.object);
        if needs_mark(held_just_now, object.status.as_ref()) {
            object.status = Some(self.view.status.clone());
        }
        world.may_crash()
    }

    fn create(&mut self, world: &mut World, minutes: i64) -> Outcome {
        let resource = self.view.object.spec.resource.clone();
        match world.create(&resource, minutes) {
            Ok(Ok(held)) => obtained(&held, Reason::Created),
            Ok(Err(id)) => match world.remote.iter().find(|held| held.id == id) {
                Some(held) => found(held, Reason::Adopted),
                None => Outcome::Failed(unavailable()),
            },
            Err(failed) => Outcome::Failed(failed),
        }
    }

    fn status(&self) -> GraphSubscriptionStatus {
        self.view.object.status.clone().unwrap_or_default()
    }

    /// Whether it ended between the first create and its record.
    fn left_a_create_unrecorded(&self, world: &World) -> bool {
        self.is_held() && self.view.object.status.is_none() && !world.remote.is_empty()
    }
}

fn lint_model(status: &GraphSubscriptionStatus) {
    assert!(status.gaps.len() <= gaps::KEPT_GAPS);
    assert!(status.gaps.iter().filter(|gap| gap.end.is_none()).count() <= 1);
}

struct History {
    world: World,
    operator: Operator,
    look: Option<i64>,
    longest_outage: i64,
    crashes: u32,
    unrecorded: bool,
    lapses: Vec<i64>,
    removals: Vec<i64>,
    changed: bool,
}

impl History {
    fn new(seed: u64, operator: View) -> Self {
        let mut rng = Rng::with_seed(seed);
        // Some histories have outages within the third of the lifetime that is kept free for further tries, some longer ones.
        let longest_outage = if rng.bool() { MAXIMUM * 60 / 4 } else { MAXIMUM * 60 * 2 };
        Self {
            world: World {
                rng,
                now: 0,
                remote: Vec::new(),
                made: 0,
                down_until: 0,
                calm: false,
                crash_percent: 3,
                conflicts: 0,
            },
            operator: Operator {
                view: operator,
                leads_since: 0,
            },
            look: Some(0),
            longest_outage,
            crashes: 0,
            unrecorded: false,
            lapses: Vec::new(),
            removals: Vec::new(),
            changed: false,
        }
    }

    fn run_until(&mut self, end: i64) {
        while self.world.now < end {
            self.happens();
            self.advance(end);
            if let Ok(look) = self.operator.reconcile(&mut self.world) {
                self.look = look.map(|at| at.as_second() - NOW);
            } else {
                self.crashes += 1;
                self.unrecorded |= self.operator.left_a_create_unrecorded(&self.world);
                // The next leader looks at everything at once; what was not acknowledged comes again.
                let next = self.world.now + self.world.rng.i64(1..60);
                self.look = Some(next);
                self.operator.leads_since = next;
            }
            assert!(self.world.remote.len() <= 2, "they pile up: {:?}", self.world.remote);
        }
    }

    /// To the next look, but never past an expiry unseen, and at times earlier: anything may wake a reconcile.
    fn advance(&mut self, end: i64) {
        let world = &mut self.world;
        let next = self.look.map_or(end, |look| look.max(world.now + 1)).min(end);
        let next = next.min(world.now + HOUR);
        let next = if world.rng.u32(0..4) == 0 {
            world.rng.i64(world.now..=next).max(world.now + 1)
        } else {
            next
        };
        world.now = next;
        let held = self.holds_one();
        self.world.expire();
        if held && self.world.remote.is_empty() {
            self.lapses.push(self.world.now);
        }
    }

    /// Whether the status names one that lives. Of one whose create was never answered nobody can tell what it missed.
    fn holds_one(&self) -> bool {
        let current = self.operator.status().subscription_id;
        self.world.remote.iter().any(|held| current.as_ref() == Some(&held.id))
    }

    /// What befalls Graph and the object.
    fn happens(&mut self) {
        if self.world.calm {
            return;
        }
        let (now, fate) = (self.world.now, self.world.rng.u32(0..2000));
        let current = self.operator.status().subscription_id;
        let told = |event| Lifecycle {
            event,
            subscription_id: current.clone(),
            received: at(now),
        };
        match fate {
            // One that follows at once would be a longer one.
            0..8 if now > self.world.down_until + HOUR => {
                self.world.down_until = now + self.world.rng.i64(1..self.longest_outage);
            }
            8..14 if !self.world.remote.is_empty() => {
                if self.holds_one() {
                    self.removals.push(now);
                }
                self.world.remote.clear();
                if self.world.rng.bool() {
                    self.operator
                        .view
                        .lifecycle
                        .push(told(LifecycleEvent::SubscriptionRemoved));
                }
            }
            14..30 => self
                .operator
                .view
                .lifecycle
                .push(told(LifecycleEvent::ReauthorizationRequired)),
            30..34 => {
                self.changed = true;
                let object = Arc::make_mut(&mut self.operator.view.object);
                let resource = if object.spec.resource == "chats" {
                    "communications/callRecords"
                } else {
                    "chats"
                };
                resource.clone_into(&mut object.spec.resource);
                object.spec.change_types = vec![crate::api::subscription::ChangeType::Updated];
            }
            _ => {}
        }
    }
}

/// Just applied.
fn start() -> View {
    let mut start = view(GraphSubscriptionStatus::default());
    Arc::make_mut(&mut start.object).status = None;
    start
}

#[test]
fn in_the_end_there_is_exactly_one() {
    let template = start();
    let (mut crashes, mut made, mut with_lapse, mut unrecorded) = (0, 0, 0, 0);
    for seed in 0..HISTORIES {
        let mut history = History::new(seed, clone(&template));
        history.run_until(12 * 24 * HOUR);
        history.world.calm = true;
        history.world.down_until = 0;
        history.run_until(16 * 24 * HOUR);
        let (world, status) = (&history.world, history.operator.status());
        assert_eq!(world.remote.len(), 1, "history {seed}: {:?}", world.remote);
        let (held, spec) = (&world.remote[0], &history.operator.view.object.spec);
        assert_eq!(status.subscription_id.as_ref(), Some(&held.id), "history {seed}");
        assert_eq!(held.resource, spec.resource, "history {seed}");
        assert_eq!(world.conflicts, 0, "history {seed}: made twice");
        assert_eq!(status.expiration_time, at_time(held.expires), "history {seed}");
        assert_eq!(
            (&status.failure, &status.create_pending_since),
            (&None, &None),
            "history {seed}"
        );
        assert_eq!(
            said(&status, ConditionType::Subscribed),
            ("True", "Succeeded"),
            "history {seed}"
        );
        assert!(
            status.gaps.iter().all(|gap| gap.end.is_some()),
            "history {seed}: {:?}",
            status.gaps
        );
        // Who changes the resource asks for nothing of the old one.
        let interrupted = !history.changed && (!history.lapses.is_empty() || !history.removals.is_empty());
        assert!(
            !interrupted || !status.gaps.is_empty(),
            "history {seed}: loss was not told of"
        );
        if history.longest_outage < MAXIMUM * 60 / 3 {
            assert_eq!(
                history.lapses, [0_i64; 0],
                "history {seed}: lapsed though Graph was there in time"
            );
        }
        crashes += history.crashes;
        made += world.made;
        with_lapse += u32::from(!history.lapses.is_empty());
        unrecorded += u32::from(history.unrecorded);
    }
    // The histories are worth something.
    assert!(
        crashes > 1000 && made > 3000 && with_lapse > 20 && unrecorded > 5,
        "{crashes} {made} {with_lapse} {unrecorded}"
    );
}

impl History {
    /// The object is deleted. How long it took until it was gone, if it went within the hour.
    fn delete(&mut self) -> Option<i64> {
        let deleted = self.world.now;
        self.operator.view.deleted_at = Some(at(deleted));
        let metadata = &mut Arc::make_mut(&mut self.operator.view.object).metadata;
        metadata.generation = Some(3);
        metadata.deletion_timestamp = at_time(deleted);
        self.world.down_until = 0;
        // What has no finalizer is gone at once.
        if !self.operator.is_held() {
            return Some(0);
        }
        while self.world.now < deleted + HOUR {
            match self.operator.reconcile(&mut self.world) {
                Ok(None) => return Some(self.world.now - deleted),
                Ok(Some(look)) => self.world.now = (look.as_second() - NOW).max(self.world.now + 1),
                Err(Crash) => self.world.now += 10,
            }
        }
        None
    }
}

#[test]
fn a_deletion_leaves_nothing_unless_graph_stays_away() {
    let template = start();
    for seed in 0..HISTORIES {
        let mut history = History::new(seed, clone(&template));
        history.run_until(24 * HOUR);
        let took = history.delete();
        assert!(took.is_some_and(|took| took <= 660), "history {seed}: {took:?}");
        assert!(
            history.world.remote.is_empty(),
            "history {seed}: {:?}",
            history.world.remote
        );
    }
}

/// Before there is a status, the finalizer alone says that a create may have been sent.
#[test]
fn a_first_create_neither_leaks_nor_doubles_wherever_the_process_ends() {
    let (template, mut unrecorded) = (start(), 0);
    for seed in 0..4 * HISTORIES {
        let mut history = History::new(seed, clone(&template));
        history.world.crash_percent = 30;
        history.run_until(1);
        unrecorded += u32::from(history.unrecorded);
        if seed % 2 == 0 {
            history.run_until(HOUR);
            history.world.calm = true;
            history.world.down_until = 0;
            // Past a renewal: only then a removal that nobody told of is found.
            history.run_until(4 * 24 * HOUR);
            let (remote, status) = (&history.world.remote, history.operator.status());
            assert_eq!(remote.len(), 1, "history {seed}: {remote:?}");
            assert_eq!(status.subscription_id.as_ref(), Some(&remote[0].id), "history {seed}");
        } else {
            assert!(history.delete().is_some(), "history {seed} never ends");
            assert_eq!(history.world.remote.len(), 0, "history {seed}");
        }
        assert_eq!(history.world.conflicts, 0, "history {seed}: made twice");
    }
    assert!(unrecorded > 300, "{unrecorded}");
}

fn clone(view: &View) -> View {
    View {
        object: view.object.clone(),
        status: view.status.clone(),
        app: view.app.clone(),
        endpoint: view.endpoint.clone(),
        receiver: view.receiver.clone(),
        rival: None,
        remote: Remote::NotAsked,
        lifecycle: Vec::new(),
        origins: Vec::new(),
        asked: None,
        backfill: None,
        ..*view
    }
}
