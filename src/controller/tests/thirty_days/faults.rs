//! What befalls Graph, the apps, the receivers and the clocks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use tokio::time::sleep;

use super::audit::UNTOLD;
use super::process::{deliver, reference};
use super::world::{Broken, DAY, HOUR, Remote, Sim, State, Trouble, uid};
use crate::controller::index::Group;
use crate::controller::observed::PodState;
use crate::policy::backfill::sweep_interval;
use crate::policy::resource::Announces;
use crate::policy::subscription::LifecycleEvent;

/// How long Graph's list may show what is gone, in seconds.
pub const GHOST: i64 = HOUR / 2;

/// Starts all of it.
pub fn begin(sim: &Arc<Sim>) {
    let apps = sim.state().scale.apps;
    for app in 0..apps {
        tokio::spawn(outages(sim.clone(), app));
        tokio::spawn(rotations(sim.clone(), app));
        tokio::spawn(receiver_outages(sim.clone(), app));
        tokio::spawn(notifications(sim.clone(), app));
    }
    tokio::spawn(outage_of_all(sim.clone()));
    tokio::spawn(removals(sim.clone()));
    tokio::spawn(lifecycle_events(sim.clone()));
    tokio::spawn(silent_losses(sim.clone()));
    tokio::spawn(clocks(sim.clone()));
}

/// Ends all of it: what is broken is mended.
pub fn calm(sim: &Sim) {
    let apps = {
        let mut state = sim.state();
        state.calm = true;
        state.ends_in = None;
        state.apps.len()
    };
    for app in 0..apps {
        mend(sim, app);
        mend_secret(sim, app);
        mend_receiver(sim, app);
    }
}

/// Waits for a random time; `false` when there is an end to faults.
async fn wait(sim: &Sim, mean: i64) -> bool {
    let seconds = {
        let mut state = sim.state();
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
        let seconds = (-(1.0 - state.rng.f64()).ln() * mean as f64) as i64;
        seconds.clamp(1, 60 * DAY)
    };
    sleep(Duration::from_secs(seconds.unsigned_abs())).await;
    !sim.state().calm
}

/// Between two faults of one of the subscriptions, in seconds, where `removed_percent` of them have one in so many days.
fn pause_between(sim: &Sim, days: i64) -> i64 {
    let scale = sim.state().scale;
    let many = i64::try_from(scale.subscriptions).unwrap() * scale.removed_percent / 100;
    (days * DAY / many.max(1)).max(1)
}

/// One of the subscriptions, and what Graph has of it if it is the one on record and a pod answers.
fn any_that_receives(state: &mut State, now: i64) -> (usize, Option<Remote>) {
    let all = state.subs.len();
    let number = state.rng.usize(0..all);
    let known = state.subs[number].known_id().map(str::to_owned);
    let remote = state.remotes(number, now).first().cloned();
    let receives = state.apps[state.subs[number].app].receiver_down.is_none();
    let remote = remote.filter(|remote| receives && Some(&remote.id) == known.as_ref());
    (number, remote)
}

async fn pause(seconds: i64) {
    sleep(Duration::from_secs(seconds.unsigned_abs())).await;
}

fn trouble(state: &mut State) -> Trouble {
    let all = [
        Trouble::Refusing,
        Trouble::Faulty,
        Trouble::Hanging,
        Trouble::Throttling,
    ];
    all[state.rng.usize(0..4)]
}

/// Graph is down for an app.
fn strike(sim: &Sim, app: usize, kind: Trouble) {
    let now = sim.now();
    let mut state = sim.state();
    if state.apps[app].trouble.is_none() {
        state.count("outages");
        state.apps[app].trouble = Some(kind);
        state.apps[app].down.push((now, i64::MAX));
    }
}

fn mend(sim: &Sim, app: usize) {
    let now = sim.now();
    let mut state = sim.state();
    let app = &mut state.apps[app];
    if app.trouble.take().is_some() {
        let until = app.throttled_until.max(now);
        close(&mut app.down, until);
    }
}

/// The last one that began and is open ends. Outages and refusals may overlap.
fn close(down: &mut [(i64, i64)], now: i64) {
    if let Some(open) = down.iter_mut().find(|(_, end)| *end == i64::MAX) {
        open.1 = now;
    }
    down.sort_unstable();
}

async fn outages(sim: Arc<Sim>, app: usize) {
    while wait(&sim, 4 * DAY).await {
        let (kind, seconds) = {
            let mut state = sim.state();
            // What lapsed is tried every five minutes: that costs a large simulation more than all the rest.
            let long = if state.is_large() { 2 } else { 10 };
            let seconds = match state.rng.u32(0..100) {
                0..60 => state.rng.i64(60..40 * 60),
                kind if kind < 100 - long => state.rng.i64(HOUR..6 * HOUR),
                _ => state.rng.i64(DAY..3 * DAY),
            };
            (trouble(&mut state), seconds)
        };
        strike(&sim, app, kind);
        pause(seconds).await;
        mend(&sim, app);
    }
}

async fn outage_of_all(sim: Arc<Sim>) {
    while wait(&sim, 9 * DAY).await {
        let (apps, seconds) = {
            let mut state = sim.state();
            let longest = if state.is_large() { 8 } else { 30 };
            (state.scale.apps, state.rng.i64(2 * HOUR..longest * HOUR))
        };
        for app in 0..apps {
            let kind = trouble(&mut sim.state());
            strike(&sim, app, kind);
        }
        sim.state().count("outages of all apps");
        pause(seconds).await;
        (0..apps).for_each(|app| mend(&sim, app));
    }
}

/// A secret ends before the cluster has the next one.
async fn rotations(sim: Arc<Sim>, app: usize) {
    while wait(&sim, 12 * DAY).await {
        let seconds = {
            let now = sim.now();
            let mut state = sim.state();
            state.count("secrets that ended");
            let longest = if state.is_large() { 4 } else { 20 };
            let seconds = state.rng.i64(10 * 60..longest * HOUR);
            let app = &mut state.apps[app];
            app.valid_secret += 1;
            app.oldest_token = app.tokens + 1;
            app.down.push((now, i64::MAX));
            seconds
        };
        tokio::spawn(look_until_mended(sim.clone(), app));
        pause(seconds).await;
        mend_secret(&sim, app);
    }
}

fn mend_secret(sim: &Sim, app: usize) {
    let now = sim.now();
    let mut state = sim.state();
    let app = &mut state.apps[app];
    if app.stored_secret != app.valid_secret {
        app.stored_secret = app.valid_secret;
        app.roles += 1;
        close(&mut app.down, now);
    }
}

async fn receiver_outages(sim: Arc<Sim>, app: usize) {
    while wait(&sim, 8 * DAY).await {
        let seconds = {
            let mut state = sim.state();
            state.count("outages of receivers");
            match state.rng.u32(0..4) {
                0 => state.rng.i64(60..8 * 60),
                1 | 2 => state.rng.i64(15 * 60..2 * HOUR),
                _ => state.rng.i64(2 * HOUR..8 * HOUR),
            }
        };
        set_receiver(&sim, app, false);
        pause(seconds).await;
        mend_receiver(&sim, app);
    }
}

fn mend_receiver(sim: &Sim, app: usize) {
    let now = sim.now();
    let Some(start) = sim.state().apps[app].receiver_down else {
        return;
    };
    set_receiver(sim, app, true);
    let mut state = sim.state();
    // Graph repeats what is not answered.
    if now < start + 12 * 60 {
        return;
    }
    let (apps, all) = (state.scale.apps, state.subs.len());
    for number in (app..all).step_by(apps) {
        let lived = state.remotes(number, now).iter().any(|remote| remote.made <= start);
        let sub = &mut state.subs[number];
        if lived && sub.missing.is_none() && sub.known_id().is_some() {
            sub.lost(start, now, "receiver");
        }
    }
}

/// The receiver's status changes, and as its reconcile does, the subscriptions are woken.
fn set_receiver(sim: &Sim, app: usize, up: bool) {
    let now = sim.now();
    let receiver = {
        let mut state = sim.state();
        let app = &mut state.apps[app];
        app.receiver_down = (!up).then_some(now);
        if up {
            close(&mut app.deaf, now);
        } else {
            app.deaf.push((now, i64::MAX));
        }
        app.receiver_is(up, sim.local_time());
        app.receiver.clone()
    };
    let mut process = sim.process.lock().unwrap();
    let Some(process) = &mut *process else { return };
    process.writers.receivers.apply_watcher_event(&Event::Apply(receiver));
    process.context.wake(&Group::Receiver(reference(app)), |_| true);
}

/// Graph removes subscriptions, at times many at once, and tells of it or not.
async fn removals(sim: Arc<Sim>) {
    let mean = pause_between(&sim, 30);
    while wait(&sim, mean).await {
        let (first, many, apps, all) = {
            let mut state = sim.state();
            let all = state.subs.len();
            let many = if state.rng.u32(0..20) == 0 { 20 } else { 1 };
            (state.rng.usize(0..all), many, state.scale.apps, all)
        };
        for number in (first..all).step_by(apps).take(many) {
            remove(&sim, number);
        }
    }
}

fn remove(sim: &Arc<Sim>, number: usize) {
    let now = sim.now();
    let (id, told) = {
        let mut state = sim.state();
        let known = state.subs[number].known_id().map(str::to_owned);
        let remotes = state.remotes(number, now);
        let Some(place) = remotes.iter().position(|remote| Some(&remote.id) == known.as_ref()) else {
            return;
        };
        let remote = remotes.remove(place);
        let told = state.subs[number].rule.announces != Announces::Nothing && state.rng.u32(0..10) < 7;
        state.count(if told { "removals told" } else { "removals untold" });
        let app = state.subs[number].app;
        let until = if state.scale.broken == Some(Broken::TrustsTheList) {
            i64::MAX
        } else {
            now + state.rng.i64(0..GHOST)
        };
        state.apps[app].ghosts.push((number, remote.clone(), until));
        state.lose(number, now, if told { "removed" } else { UNTOLD });
        (remote.id, told)
    };
    if told {
        tell(sim, number, LifecycleEvent::SubscriptionRemoved, id);
    }
}

/// A lifecycle event reaches the receiver a little later. Graph repeats it while that is down.
fn tell(sim: &Arc<Sim>, number: usize, event: LifecycleEvent, id: String) {
    let sim = sim.clone();
    let (delay, app) = {
        let mut state = sim.state();
        (state.rng.i64(1..60), state.subs[number].app)
    };
    tokio::spawn(async move {
        pause(delay).await;
        while sim.state().apps[app].receiver_down.is_some() {
            pause(60).await;
        }
        {
            let received = sim.local_time();
            let mut state = sim.state();
            state.version += 1;
            let seq = state.version;
            let told = &mut state.subs[number].told;
            // What was acted on long ago needs not be kept.
            if told.len() > 8 {
                told.remove(0);
            }
            told.push((seq, event, id, received));
        }
        deliver(&sim, number);
    });
}

/// `missed` and `reauthorizationRequired`.
async fn lifecycle_events(sim: Arc<Sim>) {
    let mean = pause_between(&sim, 15);
    while wait(&sim, mean).await {
        let now = sim.now();
        let told = {
            let mut state = sim.state();
            let (number, remote) = any_that_receives(&mut state, now);
            let lasted = state.rng.i64(5..120);
            let missed = state.rng.bool();
            let sub = &mut state.subs[number];
            let start = now - lasted;
            remote.map(|remote| {
                let missed =
                    missed && sub.rule.announces == Announces::Loss && remote.renewed < start && sub.heard < start;
                let (what, event) = if missed {
                    sub.lost(start, now, "missed");
                    ("missed", LifecycleEvent::Missed)
                } else {
                    ("reauthorizations asked for", LifecycleEvent::ReauthorizationRequired)
                };
                (what, number, event, remote.id)
            })
        };
        if let Some((what, number, event, id)) = told {
            sim.state().count(what);
            tell(&sim, number, event, id);
        }
    }
}

/// Graph loses a notification and says nothing, where a sweep can find out.
async fn silent_losses(sim: Arc<Sim>) {
    let mean = pause_between(&sim, 15);
    while wait(&sim, mean).await {
        let now = sim.now();
        let mut state = sim.state();
        let (number, remote) = any_that_receives(&mut state, now);
        let sub = &mut state.subs[number];
        // Nothing is compared with before the first sweep.
        let is_swept = sweep_interval(&sub.object.spec).is_some() && sub.bookmark.is_some();
        if remote.is_some() && is_swept {
            sub.change(now);
            state.count("notifications lost in silence");
        }
    }
}

/// Notifications arrive for some, which the pod's state shows.
async fn notifications(sim: Arc<Sim>, app: usize) {
    let mean = if sim.state().is_large() { 5 * DAY } else { 6 * HOUR };
    let mut last: HashMap<String, jiff::Timestamp> = HashMap::new();
    let mut offset = 0;
    while wait(&sim, mean).await {
        if std::mem::replace(&mut offset, sim.offset.load(Ordering::Relaxed)) != offset {
            last.clear();
        }
        let (now, local) = (sim.now(), sim.local_time());
        let mut heard = Vec::new();
        {
            let mut state = sim.state();
            if state.apps[app].receiver_down.is_some() {
                continue;
            }
            let (apps, all) = (state.scale.apps, state.subs.len());
            for number in (app..all).step_by(apps) {
                let lives = !state.remotes(number, now).is_empty();
                if lives && state.rng.u32(0..10) < 3 {
                    state.subs[number].heard = now;
                    heard.push(ObjectRef::from_obj(&*state.subs[number].object));
                    last.insert(uid(number), local);
                }
            }
        }
        let process = sim.process.lock().unwrap();
        let Some(process) = &*process else { continue };
        let state = PodState {
            subscriptions: Arc::new(last.clone()),
            ..PodState::default()
        };
        process.context.observed.put(&reference(app), 0, Ok(state));
        for object in heard {
            process.context.queues.subscriptions.push(object);
        }
    }
}

/// What pods noted by the old clock cannot be told in the new one: a known limit.
fn forget_notifications(sim: &Sim) {
    let process = sim.process.lock().unwrap();
    let Some(process) = &*process else { return };
    for app in 0..sim.state().scale.apps {
        process
            .context
            .observed
            .put(&reference(app), 0, Ok(PodState::default()));
    }
}

/// The clock of the operator's machine is set, wrongly or rightly.
async fn clocks(sim: Arc<Sim>) {
    while wait(&sim, 3 * DAY).await {
        let offset = {
            let mut state = sim.state();
            state.count("steps of the clock");
            match state.rng.u32(0..6) {
                0 | 1 => 0,
                2 => state.rng.i64(-90..90),
                3 => state.rng.i64(-HOUR..HOUR),
                _ => state.rng.i64(-DAY..=DAY),
            }
        };
        sim.offset.store(offset, Ordering::Relaxed);
        forget_notifications(&sim);
        let apps = sim.state().scale.apps;
        for app in 0..apps {
            tokio::spawn(look_at_tenant(sim.clone(), app));
        }
    }
}

/// Tenants are looked at every five minutes or so, which is how a set clock and a dead secret are found out. A large simulation spares
/// most of these looks, but not those that count.
async fn look_until_mended(sim: Arc<Sim>, app: usize) {
    loop {
        let is_mended = {
            let state = sim.state();
            state.apps[app].stored_secret == state.apps[app].valid_secret
        };
        look_at_tenant(sim.clone(), app).await;
        if is_mended {
            return;
        }
    }
}

/// One such look.
async fn look_at_tenant(sim: Arc<Sim>, app: usize) {
    let seconds = sim.state().rng.i64(0..330);
    pause(seconds).await;
    let process = sim.process.lock().unwrap();
    let Some(process) = &*process else { return };
    process
        .context
        .queues
        .tenants
        .push(ObjectRef::from_obj(&sim.state().apps[app].tenant));
}
