use std::sync::Mutex as StdMutex;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::Registry;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::graph::limiter::Limiter;
use crate::graph::limiter::bucket::{LISTS, LISTS_OF_APP, WINDOW, WRITES_OF_APP};
use crate::graph::metrics::Metrics;

/// A call that went: when, for which tenant, with which deadline.
#[derive(Clone, Copy, Debug)]
struct Went {
    at: Instant,
    tenant: usize,
    deadline: i64,
}

/// An app in some tenants, and the calls that went.
struct App {
    tenants: Vec<Arc<Limiter>>,
    went: Arc<StdMutex<Vec<Went>>>,
    calls: JoinSet<()>,
}

impl App {
    fn new(tenants: usize) -> Self {
        let (metrics, all) = (Metrics::new(&Registry::new()).unwrap(), Arc::default());
        let limiter = |_| Arc::new(Limiter::new(metrics.clone(), Arc::clone(&all)));
        Self {
            tenants: (0..tenants).map(limiter).collect(),
            went: Arc::default(),
            calls: JoinSet::new(),
        }
    }

    fn call(&mut self, tenant: usize, lane: Lane, deadline: i64) {
        let (limiter, went) = (self.tenants[tenant].clone(), self.went.clone());
        self.calls.spawn(async move {
            let time = Timestamp::from_second(deadline).unwrap();
            limiter.acquire(lane, time).await.unwrap();
            let at = Instant::now();
            went.lock().unwrap().push(Went { at, tenant, deadline });
        });
    }

    /// Until all went, in the order in which they did.
    async fn all(&mut self) -> Vec<Went> {
        // One that nobody wakes would wait for ever.
        while let Some(call) = timeout(Duration::from_hours(1), self.calls.join_next()).await.unwrap() {
            call.unwrap();
        }
        assert!(self.tenants[0].all_tenants.is_empty(), "no place is left behind");
        self.went.lock().unwrap().clone()
    }
}

impl AllTenants {
    fn is_empty(&self) -> bool {
        self.lanes.iter().all(|queue| queue.lock().unwrap().waiting.is_empty())
    }
}

/// The most in any window.
fn most(went: &[Went]) -> usize {
    let inside = |start: Instant| {
        let times = went.iter().map(|one| one.at);
        times.filter(|at| *at >= start && *at - start <= WINDOW).count()
    };
    went.iter().map(|one| inside(one.at)).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn two_hundred_tenants_that_list_at_once_keep_to_the_limit_nearest_deadline_first() {
    let (mut app, start) = (App::new(200), Instant::now());
    for (tenant, number) in (0..200).zip(0_i64..) {
        app.call(tenant, Lane::List, number * 77 % 200);
    }
    let went = app.all().await;
    assert!(most(&went) <= LISTS_OF_APP as usize, "{}", most(&went));
    let after_the_burst = &went[LISTS_OF_APP as usize / 4..];
    assert!(after_the_burst.is_sorted_by_key(|one| one.deadline), "{went:?}");
    // Neither does it dawdle: 192 after the burst at 24 in a window.
    assert!(
        start.elapsed() < WINDOW * 8 + Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn each_tenant_keeps_to_its_own_limit_and_holds_up_no_other() {
    let mut app = App::new(3);
    for number in 0..60 {
        app.call(0, Lane::List, 0);
        app.call(1, Lane::List, 1000 + number);
    }
    // The most urgent of one that waits for its own tenant must not stand in the way.
    app.call(2, Lane::List, 500);
    let went = app.all().await;
    assert!(most(&went) <= LISTS_OF_APP as usize);
    for tenant in 0..2 {
        let own: Vec<Went> = went.iter().filter(|one| one.tenant == tenant).copied().collect();
        assert!(most(&own) <= LISTS as usize, "{}", most(&own));
    }
    let before = went.iter().take_while(|one| one.tenant != 2).count();
    assert!(before < LISTS_OF_APP as usize, "{before} went first");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_app_is_not_let_go_together_in_its_tenant() {
    let mut app = App::new(40);
    // Urgent calls of the other tenants use up what there is, while those of one tenant wait.
    for tenant in 1..40 {
        (0..3).for_each(|_| app.call(tenant, Lane::List, 1));
    }
    (0..60).for_each(|_| app.call(0, Lane::List, 2));
    let went = app.all().await;
    let own: Vec<Went> = went.iter().filter(|one| one.tenant == 0).copied().collect();
    assert!(most(&own) <= LISTS as usize, "{}", most(&own));
    assert!(most(&went) <= LISTS_OF_APP as usize);
}

#[tokio::test(start_paused = true)]
async fn writes_of_many_tenants_keep_to_the_limit() {
    let mut app = App::new(20);
    for call in 0..4000 {
        app.call(call % 20, Lane::Write, 0);
    }
    let went = app.all().await;
    assert!(most(&went) <= WRITES_OF_APP as usize, "{}", most(&went));
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_pauses_gives_its_place_to_the_next() {
    let (mut app, start) = (App::new(30), Instant::now());
    for tenant in 0..30 {
        app.call(tenant, Lane::List, 0);
    }
    tokio::task::yield_now().await;
    // The next in turn.
    app.tenants[LISTS_OF_APP as usize / 4].pause(Some(Duration::from_secs(19)));
    let went = app.all().await;
    let paused = went.iter().find(|one| one.tenant == LISTS_OF_APP as usize / 4).unwrap();
    assert!(paused.at - start >= Duration::from_secs(19));
    let last_other = went
        .iter()
        .filter(|one| one.tenant != paused.tenant)
        .map(|one| one.at)
        .max();
    assert!(last_other.unwrap() - start < Duration::from_secs(18), "{last_other:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_its_place_among_all_tenants() {
    let mut app = App::new(20);
    (0..8).for_each(|tenant| app.call(tenant, Lane::List, 0));
    app.all().await;
    (8..12).for_each(|tenant| app.call(tenant, Lane::List, 1));
    tokio::task::yield_now().await;
    app.calls.shutdown().await;
    app.call(12, Lane::List, 2);
    assert_eq!(app.all().await.len(), 9);
}

#[tokio::test(start_paused = true)]
async fn lanes_and_other_apps_do_not_wait() {
    let (mut app, mut other, start) = (App::new(30), App::new(1), Instant::now());
    (0..30).for_each(|tenant| app.call(tenant, Lane::List, 0));
    tokio::task::yield_now().await;
    other.call(0, Lane::List, 0);
    other.all().await;
    for lane in [Lane::Write, Lane::Get, Lane::Changes, Lane::Presence, Lane::Inspection] {
        app.tenants[29].acquire(lane, Timestamp::UNIX_EPOCH).await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    app.all().await;
}
