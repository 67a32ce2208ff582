use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::policy::presence::pbx::{Activity, Origin};

fn set(is_wide: bool) -> Set {
    Set::new(["xsp1".to_owned(), "xsp2".to_owned()], is_wide)
}

fn gone() -> PbxError {
    PbxError::Transport("gone".to_owned())
}

fn outs(set: &mut Set) -> Vec<Out> {
    std::iter::from_fn(|| set.next()).collect()
}

fn views(set: &mut Set) -> Vec<(String, PbxView)> {
    let views = outs(set).into_iter().filter_map(|out| match out {
        Out::Event(PbxEvent::View { id, view }) => Some((id, view)),
        _ => None,
    });
    views.collect()
}

fn user(name: &str, package: Package) -> Key {
    Key {
        user: Some(name.to_owned()),
        package,
    }
}

fn wide(package: Package) -> Key {
    Key { user: None, package }
}

/// A server that grants everything: subscriptions are named after what they are for, nobody has calls, do not disturb is off.
fn grant(job: &Job, life: u64) -> Done {
    match job {
        Job::Subscribe(key) | Job::Renew(key, _) => Done::Subscribed {
            id: subscription(key, life),
            expires: Some(Duration::from_secs(600)),
        },
        Job::ReadCalls(..) => Done::Calls(vec![]),
        Job::ReadSwitch(..) => Done::Switch(false),
        Job::Unsubscribe(_) | Job::Switch { .. } => Done::Nothing,
    }
}

fn subscription(key: &Key, life: u64) -> String {
    format!("{}-{:?}-{life}", key.user.as_deref().unwrap_or("all"), key.package)
}

/// Has the server grant all that is asked. Tells what was asked.
fn serve(set: &mut Set, now: Instant) -> Vec<Job> {
    let mut asked = Vec::new();
    while let Some((_, task)) = set.next_task() {
        asked.push(task.job.clone());
        let done = grant(&task.job, task.life);
        set.done(task, Ok(done), now);
        assert!(asked.len() < 10_000, "it never ends");
    }
    asked
}

fn event(name: &str, package: Package, life: u64, number: u64, news: News) -> Event {
    Event {
        id: None,
        user: name.to_owned(),
        subscription: subscription(&user(name, package), life),
        number: Some(number),
        news,
    }
}

fn call(life: u64, number: u64, news: News) -> Event {
    event("ann", Package::Calls, life, number, news)
}

fn connected(id: &str) -> News {
    News::Call(id.to_owned(), Some(Line::Connected))
}

fn answers(set: &mut Set) -> Vec<(Ticket, Result<(), PbxError>)> {
    let answers = outs(set).into_iter().filter_map(|out| match out {
        Out::Answer(ticket, result) => Some((ticket, result)),
        _ => None,
    });
    answers.collect()
}

/// Up, with ann watched and everything read.
fn ready(now: Instant) -> Set {
    let mut set = set(false);
    set.watch(&["Ann".to_owned()]);
    set.up(0);
    serve(&mut set, now);
    set.event(&call(1, 1, News::Calls(vec![])), now);
    set.event(
        &event("ann", Package::DoNotDisturb, 1, 1, News::DoNotDisturb(false)),
        now,
    );
    outs(&mut set);
    set
}

fn entries(set: &Set) -> Option<Vec<Origin>> {
    let view = set.users["ann"].view(set.own.contains_key("ann"));
    assert!(
        view.entries
            .iter()
            .flatten()
            .all(|entry| entry.activity == Activity::DoNotDisturb)
    );
    view.entries
        .map(|entries| entries.into_iter().map(|entry| entry.origin).collect())
}

#[tokio::test]
async fn each_user_is_subscribed_when_a_channel_stands() {
    let now = Instant::now();
    let mut set = set(false);
    set.watch(&["Ann".to_owned()]);
    assert_eq!(set.next_task(), None, "there is no channel to ask over");
    set.up(1);
    let asked = serve(&mut set, now);
    let expected = [
        Job::Subscribe(user("ann", Package::Calls)),
        Job::Subscribe(user("ann", Package::DoNotDisturb)),
    ];
    assert_eq!(asked, expected);
    assert_eq!(outs(&mut set).len(), 1);
    set.event(
        &call(1, 1, News::Calls(vec![("c".to_owned(), Some(Line::Connected))])),
        now,
    );
    let told = views(&mut set);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].0.as_str(), told[0].1.line), ("Ann", Line::Connected));
    set.watch(&[]);
    assert_eq!(serve(&mut set, now).len(), 2, "both are unsubscribed");
    set.event(&call(1, 2, connected("d")), now);
    assert_eq!(outs(&mut set), [Out::Ignored("retired")]);
}

#[tokio::test]
async fn what_the_subscriptions_do_not_tell_is_asked_for() {
    let now = Instant::now();
    let mut set = set(false);
    set.watch(&["ann".to_owned()]);
    set.up(0);
    serve(&mut set, now);
    assert_eq!(set.users["ann"].view(false).line, Line::Unknown);
    let at = set.look_again().unwrap();
    set.tick(at);
    let asked = serve(&mut set, at);
    assert_eq!(
        asked,
        [
            Job::ReadCalls("ann".to_owned(), 0),
            Job::ReadSwitch("ann".to_owned(), 0)
        ]
    );
    let known = set.users["ann"].view(false);
    assert_eq!((known.line, known.entries), (Line::Idle, Some(vec![])));
    let mut set = ready(now);
    let at = set.look_again().unwrap();
    set.tick(at);
    assert_eq!(serve(&mut set, at), [], "all was told");
}

#[tokio::test]
async fn a_service_provider_is_subscribed_as_a_whole() {
    let now = Instant::now();
    let mut set = set(true);
    set.watch(&["ann".to_owned()]);
    set.up(0);
    let asked = serve(&mut set, now);
    let wide_ones = [Package::Calls, Package::DoNotDisturb].map(|package| Job::Subscribe(wide(package)));
    assert_eq!(asked, wide_ones);
    let at = set.look_again().unwrap();
    set.tick(at);
    let reads = [
        Job::ReadCalls("ann".to_owned(), 0),
        Job::ReadSwitch("ann".to_owned(), 0),
    ];
    assert_eq!(serve(&mut set, at), reads);
    set.watch(&["ann".to_owned(), "bob".to_owned()]);
    let reads = [
        Job::ReadCalls("bob".to_owned(), 0),
        Job::ReadSwitch("bob".to_owned(), 0),
    ];
    assert_eq!(serve(&mut set, now), reads);
    let mut stranger = call(1, 1, connected("c"));
    stranger.user = "zoe".to_owned();
    outs(&mut set);
    set.event(&stranger, now);
    assert_eq!(outs(&mut set), [Out::Ignored("not_watched")]);
}

#[tokio::test]
async fn a_lost_channel_means_that_all_is_subscribed_anew() {
    let now = Instant::now();
    let mut set = ready(now);
    set.up(1);
    assert_eq!(serve(&mut set, now), [], "a second channel takes its part");
    set.event(&call(1, 2, connected("c")), now);
    outs(&mut set);
    set.down(1, gone());
    let told = outs(&mut set);
    assert!(matches!(&told[0], Out::Event(PbxEvent::Down { endpoint, .. }) if endpoint == "xsp2"));
    let Out::Event(PbxEvent::View { view, .. }) = &told[1] else {
        panic!("{told:?}")
    };
    assert_eq!(view.line, Line::Connected, "the other channel still tells");
    let asked = serve(&mut set, now);
    let unsubscribed = asked.iter().filter(|job| matches!(job, Job::Unsubscribe(_))).count();
    let subscribed = asked.iter().filter(|job| matches!(job, Job::Subscribe(_))).count();
    assert_eq!((unsubscribed, subscribed), (2, 2));
    set.event(&call(1, 3, News::Released("c".to_owned())), now);
    assert_eq!(outs(&mut set), [Out::Ignored("retired")], "an event of before");
    set.event(&call(2, 1, News::Calls(vec![])), now);
    assert_eq!(
        views(&mut set)[0].1.line,
        Line::Idle,
        "the call ended while nobody looked"
    );
}

#[tokio::test]
async fn without_any_channel_nothing_is_known() {
    let now = Instant::now();
    let mut set = ready(now);
    set.down(0, gone());
    let told = outs(&mut set);
    assert_eq!(told.len(), 2);
    assert!(matches!(&told[1], Out::Event(PbxEvent::View { view, .. }) if *view == PbxView::default()));
    assert_eq!(set.next_task(), None);
    set.down(0, gone());
    assert_eq!(outs(&mut set).len(), 1);
    set.up(0);
    assert!(!serve(&mut set, now).is_empty());
}

#[tokio::test]
async fn subscriptions_are_renewed_at_half_of_what_was_granted() {
    let now = Instant::now();
    let mut set = ready(now);
    set.tick(now + Duration::from_secs(299));
    let early: Vec<Job> = serve(&mut set, now);
    assert!(!early.iter().any(|job| matches!(job, Job::Renew(..))), "{early:?}");
    let at = now + Duration::from_secs(300);
    set.tick(at);
    let renewed = serve(&mut set, at);
    assert_eq!(renewed.iter().filter(|job| matches!(job, Job::Renew(..))).count(), 2);
    set.tick(at + Duration::from_secs(300));
    let (_, task) = set.next_task().unwrap();
    set.done(task, Err(PbxError::NotFound(String::new())), at);
    let asked = serve(&mut set, at);
    assert_eq!(
        asked.iter().filter(|job| matches!(job, Job::Subscribe(_))).count(),
        1,
        "{asked:?}"
    );
}

#[tokio::test]
async fn what_the_server_ends_is_subscribed_again() {
    let now = Instant::now();
    let mut set = ready(now);
    set.event(&call(1, 9, News::Unsubscribed), now);
    let at = now + Duration::from_secs(1);
    set.tick(at);
    assert_eq!(serve(&mut set, at), [Job::Subscribe(user("ann", Package::Calls))]);
    outs(&mut set);
    let unknown = Event {
        subscription: "zz".to_owned(),
        ..call(1, 9, News::Unsubscribed)
    };
    set.event(&unknown, now);
    assert_eq!(outs(&mut set), [Out::Ignored("unknown_subscription")]);
}

#[tokio::test]
async fn one_that_ends_makes_only_its_user_be_looked_at() {
    let now = Instant::now();
    let mut set = set(false);
    set.watch(&["ann".to_owned(), "bob".to_owned()]);
    set.up(0);
    serve(&mut set, now);
    for name in ["ann", "bob"] {
        set.event(&event(name, Package::Calls, 1, 1, News::Calls(vec![])), now);
        let off = News::DoNotDisturb(false);
        set.event(&event(name, Package::DoNotDisturb, 1, 1, off), now);
    }
    set.event(&call(1, 2, News::Unsubscribed), now);
    let told = |set: &Set, name: &str| (set.users[name].is_listed, set.users[name].is_switch_told);
    assert_eq!((told(&set, "ann"), told(&set, "bob")), ((false, true), (true, true)));
    let at = now + Duration::from_secs(1);
    set.tick(at);
    let (_, task) = set.next_task().unwrap();
    assert_eq!(task.job, Job::Subscribe(user("ann", Package::Calls)));
    let done = Done::Subscribed {
        id: "anew".to_owned(),
        expires: Some(Duration::from_secs(600)),
    };
    set.done(task, Ok(done), at);
    // The one that ended is not renewed.
    let mut renewed = |seconds: u64| {
        let at = now + Duration::from_secs(seconds);
        set.tick(at);
        let asked = serve(&mut set, at);
        asked.iter().filter(|job| matches!(job, Job::Renew(..))).count()
    };
    assert_eq!((renewed(300), renewed(301)), (3, 1));
}

/// What is not due costs nothing.
#[tokio::test]
async fn only_what_is_due_is_done() {
    let now = Instant::now();
    let mut set = set(false);
    let users: Vec<String> = (0..1000).map(|number| format!("u{number}")).collect();
    set.watch(&users);
    set.up(0);
    serve(&mut set, now);
    let waiting = set.later.len();
    assert_eq!(waiting, 4000, "to be read if nothing is told, and to be renewed");
    set.tick(now + Duration::from_secs(4));
    assert_eq!((set.jobs.len(), set.later.len()), (0, waiting));
    let at = set.look_again().unwrap();
    assert_eq!(at, now + Duration::from_secs(5));
    set.tick(at);
    assert_eq!((set.jobs.len(), set.later.len()), (2000, 2000));
    serve(&mut set, at);
    assert_eq!(set.look_again(), Some(now + Duration::from_secs(300)));
}

#[tokio::test]
async fn who_is_wanted_again_at_once_is_subscribed_once() {
    let now = Instant::now();
    let mut set = set(false);
    let ann = ["ann".to_owned()];
    set.watch(&ann);
    set.up(0);
    set.watch(&[]);
    set.watch(&ann);
    let mut number = 0;
    while let Some((_, task)) = set.next_task() {
        number += 1;
        let done = match &task.job {
            Job::Subscribe(_) => Done::Subscribed {
                id: format!("s{number}"),
                expires: None,
            },
            job => grant(job, task.life),
        };
        set.done(task, Ok(done), now);
    }
    assert_eq!((set.subscriptions.len(), set.by_id.len()), (2, 2));
    assert_eq!(number, 6, "four subscriptions, of which two were ended");
}

#[tokio::test]
async fn an_administrator_without_rights_ends_all_channels() {
    let now = Instant::now();
    let mut set = set(true);
    set.up(0);
    outs(&mut set);
    let (_, task) = set.next_task().unwrap();
    let refused = PbxError::Auth("no".to_owned());
    set.done(task, Err(refused.clone()), now);
    assert_eq!(outs(&mut set), [Out::Fail(refused)]);
}

#[tokio::test]
async fn failed_requests_are_made_again() {
    let now = Instant::now();
    let mut set = set(false);
    set.watch(&["ann".to_owned()]);
    set.up(0);
    for (error, seconds) in [
        (gone(), 1),
        (gone(), 2),
        (PbxError::Throttled(Duration::from_secs(9)), 9),
    ] {
        let (_, task) = set.next_task().unwrap();
        set.done(task.clone(), Err(error), now);
        let at = now + Duration::from_secs(seconds);
        assert_eq!(set.look_again(), Some(at));
        set.jobs.clear();
        set.tick(at);
    }
    let (_, task) = set.next_task().unwrap();
    set.done(task, Err(PbxError::NotFound("no such user".to_owned())), now);
    assert_eq!(set.look_again(), Some(now + AGAIN));
    assert_eq!(set.under_way, 0);
}

fn existence(set: &mut Set) -> Vec<(String, bool)> {
    let told = outs(set).into_iter().filter_map(|out| match out {
        Out::Event(PbxEvent::Exists { id, exists }) => Some((id, exists)),
        _ => None,
    });
    told.collect()
}

/// Whether users are subscribed one by one or all together.
#[tokio::test]
async fn who_is_not_on_the_server_is_told_until_it_is() {
    for is_wide in [false, true] {
        let now = Instant::now();
        let mut set = set(is_wide);
        set.watch(&["Ann".to_owned()]);
        set.up(0);
        let mut at = now;
        // All that asks for a user's calls, or for a subscription of them, is answered with 404.
        for _ in 0..3 {
            while let Some((_, task)) = set.next_task() {
                let is_of_user = matches!(
                    &task.job,
                    Job::ReadCalls(..) | Job::Subscribe(Key { user: Some(_), .. })
                );
                let result = if is_of_user {
                    Err(PbxError::NotFound(String::new()))
                } else {
                    Ok(grant(&task.job, task.life))
                };
                set.done(task, result, at);
            }
            at += AGAIN;
            set.tick(at);
        }
        assert_eq!(existence(&mut set), [("Ann".to_owned(), false)], "{is_wide}");
        for _ in 0..3 {
            serve(&mut set, at);
            at += AGAIN;
            set.tick(at);
        }
        assert_eq!(existence(&mut set), [("Ann".to_owned(), true)], "{is_wide}");
    }
}

#[tokio::test]
async fn few_requests_are_under_way_at_a_time() {
    let now = Instant::now();
    let mut set = set(false);
    let users: Vec<String> = (0..100).map(|number| format!("u{number}")).collect();
    set.watch(&users);
    set.up(0);
    let mut under_way = Vec::new();
    while let Some((_, task)) = set.next_task() {
        under_way.push(task);
    }
    assert_eq!(under_way.len(), WINDOW);
    set.up(1);
    set.down(1, gone());
    for task in under_way {
        let done = grant(&task.job, task.life);
        set.done(task, Ok(done), now);
    }
    let asked = serve(&mut set, now);
    let count = |is: fn(&Job) -> bool| asked.iter().filter(|job| is(job)).count();
    assert_eq!(
        count(|job| matches!(job, Job::Unsubscribe(_))),
        WINDOW,
        "granted for a life that was over"
    );
    assert_eq!(count(|job| matches!(job, Job::Subscribe(_))), 200);
}

#[tokio::test]
async fn do_not_disturb_is_taken_back_only_if_it_is_ours() {
    let now = Instant::now();
    let mut set = ready(now);
    set.put(1, "Ann", now);
    let (_, task) = set.next_task().unwrap();
    assert!(matches!(&task.job, Job::Switch { active: true, user, .. } if user == "ann"));
    set.done(task, Ok(Done::Nothing), now);
    assert_eq!(answers(&mut set), [(1, Ok(()))]);
    assert_eq!(entries(&set), Some(vec![Origin::Ours]));
    set.put(2, "ann", now);
    assert_eq!(answers(&mut set), [(2, Ok(()))]);
    assert_eq!(set.next_task(), None, "it is on already");
    set.clear(3, "ann");
    serve(&mut set, now);
    assert_eq!(answers(&mut set), [(3, Ok(()))]);
    assert_eq!(entries(&set), Some(vec![]));
    let switched = |number, active| event("ann", Package::DoNotDisturb, 1, number, News::DoNotDisturb(active));
    set.event(&switched(2, true), now);
    assert_eq!(entries(&set), Some(vec![Origin::User]));
    set.put(4, "ann", now);
    set.clear(5, "ann");
    assert_eq!(answers(&mut set), [(4, Ok(())), (5, Ok(()))]);
    assert_eq!(set.next_task(), None, "the user's own is left alone");
}

#[tokio::test]
async fn a_user_who_switches_ours_off_owns_the_next() {
    let now = Instant::now();
    let mut set = ready(now);
    set.put(1, "ann", now);
    serve(&mut set, now);
    let switched = |number, active| event("ann", Package::DoNotDisturb, 1, number, News::DoNotDisturb(active));
    set.event(&switched(2, false), now);
    assert!(set.own.contains_key("ann"), "told before our write came into force");
    set.event(&switched(3, true), now);
    assert_eq!(entries(&set), Some(vec![Origin::Ours]));
    let later = now + Duration::from_secs(60);
    set.event(&switched(4, false), later);
    set.event(&switched(5, true), later);
    assert_eq!(entries(&set), Some(vec![Origin::User]));
}

#[tokio::test]
async fn what_was_ours_before_a_restart_is_ours() {
    let now = Instant::now();
    let mut set = set(false);
    set.recall(&["Ann".to_owned()], now);
    set.watch(&["ann".to_owned()]);
    set.clear(1, "ann");
    assert!(matches!(answers(&mut set)[..], [(1, Err(PbxError::Transport(_)))]));
    set.up(0);
    serve(&mut set, now);
    set.own.insert("ann".to_owned(), now);
    set.clear(2, "ann");
    assert!(
        serve(&mut set, now)
            .iter()
            .any(|job| matches!(job, Job::Switch { active: false, .. }))
    );
    assert_eq!(answers(&mut set), [(2, Ok(()))]);
}

#[tokio::test]
async fn a_write_that_fails_leaves_the_truth_to_be_read() {
    let now = Instant::now();
    let mut set = ready(now);
    let fail = |set: &mut Set, error: PbxError| {
        let (_, task) = set.next_task().unwrap();
        set.done(task, Err(error), now);
    };
    set.put(1, "ann", now);
    fail(&mut set, PbxError::NotFound(String::new()));
    assert!(!set.own.contains_key("ann"), "surely not done");
    set.put(2, "ann", now);
    fail(&mut set, gone());
    assert!(set.own.contains_key("ann"), "it may have been done");
    let (_, task) = set.next_task().unwrap();
    assert!(matches!(task.job, Job::ReadSwitch(..)));
    set.done(task, Ok(Done::Switch(true)), now);
    assert_eq!(entries(&set), Some(vec![Origin::Ours]));
    set.clear(3, "ann");
    fail(&mut set, PbxError::NotFound(String::new()));
    assert_eq!(answers(&mut set).last(), Some(&(3, Ok(()))), "none is no error");
    let mut unread = self::set(false);
    unread.watch(&["ann".to_owned()]);
    unread.put(4, "ann", now);
    unread.up(0);
    unread.put(5, "ann", now);
    assert!(
        answers(&mut unread)
            .iter()
            .all(|(_, result)| matches!(result, Err(PbxError::Transport(_))))
    );
}

#[derive(Clone, Debug)]
enum Step {
    Up(usize),
    Down(usize),
    Watch(u8),
    Event(usize, u64, News),
    Serve(usize, bool),
    Put(usize),
    Clear(usize),
    Wait(u64),
}

const NAMES: [&str; 3] = ["ann", "bob", "cat"];

fn step() -> impl Strategy<Value = Step> {
    let news = prop::sample::select(vec![
        News::Calls(vec![]),
        connected("c"),
        News::Released("c".to_owned()),
        News::OnHook,
        News::DoNotDisturb(true),
        News::DoNotDisturb(false),
        News::Unsubscribed,
        News::Other,
    ]);
    prop_oneof![
        1 => (0..2_usize).prop_map(Step::Up),
        1 => (0..2_usize).prop_map(Step::Down),
        1 => any::<u8>().prop_map(Step::Watch),
        1 => (0..3_usize, 0..20_u64, news).prop_map(|(user, number, news)| Step::Event(user, number, news)),
        3 => (0..12_usize, any::<bool>()).prop_map(|(count, granted)| Step::Serve(count, granted)),
        1 => (0..3_usize).prop_map(Step::Put),
        1 => (0..3_usize).prop_map(Step::Clear),
        1 => (0..400_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever happens: who listens knows what the set knows; every write is answered once; nothing is asked without a channel;
    /// and when all goes well again, every watched user is known.
    #[test]
    fn a_set_keeps_its_promises(is_wide: bool, steps in prop::collection::vec(step(), 0..60)) {
        let mut now = Instant::from_std(std::time::Instant::now());
        let mut set = set(is_wide);
        let mut seen: BTreeMap<String, PbxView> = BTreeMap::new();
        let mut wanted: Vec<String> = Vec::new();
        let (mut asked, mut answered) = (0, BTreeSet::new());
        for step in steps {
            match step {
                Step::Up(number) => set.up(number),
                Step::Down(number) => set.down(number, gone()),
                Step::Watch(mask) => {
                    wanted = NAMES.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0)
                        .map(|(_, name)| (*name).to_owned()).collect();
                    set.watch(&wanted);
                    seen.retain(|id, _| wanted.contains(id));
                }
                Step::Event(user, number, news) => {
                    let life = set.life;
                    set.event(&event(NAMES[user], Package::Calls, life, number, news), now);
                }
                Step::Serve(count, granted) => {
                    for _ in 0..count {
                        let Some((number, task)) = set.next_task() else { break };
                        prop_assert!(set.channels[number].1);
                        let result = if granted { Ok(grant(&task.job, task.life)) } else { Err(gone()) };
                        set.done(task, result, now);
                    }
                }
                Step::Put(user) => {
                    asked += 1;
                    set.put(asked, NAMES[user], now);
                }
                Step::Clear(user) => {
                    asked += 1;
                    set.clear(asked, NAMES[user]);
                }
                Step::Wait(seconds) => {
                    now += Duration::from_secs(seconds);
                    set.tick(now);
                }
            }
            for out in outs(&mut set) {
                match out {
                    Out::Event(PbxEvent::View { id, view }) => {
                        prop_assert!(wanted.contains(&id));
                        seen.insert(id, view);
                    }
                    Out::Answer(ticket, _) => prop_assert!(answered.insert(ticket), "answered twice"),
                    _ => {}
                }
            }
            prop_assert!(set.under_way <= WINDOW);
            for id in &wanted {
                let known = set.users[id].view(set.own.contains_key(id));
                prop_assert_eq!(seen.get(id).cloned().unwrap_or_default(), known, "{}", id);
            }
        }
        set.up(0);
        for _ in 0..20 {
            serve(&mut set, now);
            now += Duration::from_secs(40);
            set.tick(now);
        }
        for out in outs(&mut set) {
            if let Out::Answer(ticket, _) = out {
                prop_assert!(answered.insert(ticket), "answered twice");
            }
        }
        prop_assert_eq!(answered.len() as u64, asked, "every write is answered");
        for id in &wanted {
            let view = set.users[id].view(false);
            prop_assert!(view.line != Line::Unknown && view.entries.is_some(), "{} is not known: {:?}", id, view);
        }
    }
}
