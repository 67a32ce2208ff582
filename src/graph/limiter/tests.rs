use std::sync::Mutex as StdMutex;

use prometheus::Registry;

use super::bucket::{LISTS, WINDOW, WRITES};
use super::*;

fn limiter() -> Arc<Limiter> {
    Arc::new(Limiter::new(Metrics::new(&Registry::new()).unwrap(), Arc::default()))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Calls without waiting until nothing passes any more; returns how many passed.
async fn exhaust(limiter: &Limiter, lane: Lane) -> usize {
    let mut passed = 0;
    while tokio::time::timeout(Duration::ZERO, limiter.acquire(lane, at(0)))
        .await
        .is_ok()
    {
        passed += 1;
    }
    passed
}

fn waiting(limiter: &Limiter) -> usize {
    limiter.lock().lanes.iter().map(|queue| queue.waiting.len()).sum()
}

#[tokio::test(start_paused = true)]
async fn the_earliest_deadline_goes_first() {
    let limiter = limiter();
    exhaust(&limiter, Lane::Write).await;
    let order = Arc::new(StdMutex::new(Vec::new()));
    let mut calls = Vec::new();
    for deadline in [50, 10, 40, 20, 30] {
        let (limiter, order) = (limiter.clone(), order.clone());
        calls.push(tokio::spawn(async move {
            limiter.acquire(Lane::Write, at(deadline)).await.unwrap();
            order.lock().unwrap().push(deadline);
        }));
        tokio::task::yield_now().await;
    }
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [10, 20, 30, 40, 50]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_keep_to_the_rate() {
    let (limiter, start) = (limiter(), Instant::now());
    let mut times = Vec::new();
    for _ in 0..1000 {
        limiter.acquire(Lane::Write, at(0)).await.unwrap();
        times.push(Instant::now());
    }
    for (index, first) in times.iter().enumerate() {
        let inside = times[index..].iter().take_while(|t| **t - *first <= WINDOW).count();
        assert!(inside <= WRITES as usize);
    }
    // Neither does it dawdle: 900 after the burst at 15 a second.
    assert!(start.elapsed() < Duration::from_secs(62), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn lanes_do_not_hold_up_each_other() {
    let limiter = limiter();
    assert_eq!(exhaust(&limiter, Lane::List).await, LISTS as usize / 4);
    let start = Instant::now();
    limiter.acquire(Lane::Write, at(0)).await.unwrap();
    limiter.acquire(Lane::Get, at(0)).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_all_lanes_and_ends_gently() {
    let limiter = limiter();
    let start = Instant::now();
    assert_eq!(limiter.pause(Some(Duration::from_secs(7))), Duration::from_secs(7));
    for lane in [Lane::List, Lane::Get, Lane::Write] {
        limiter.acquire(lane, at(0)).await.unwrap();
        assert!(start.elapsed() >= Duration::from_secs(7));
    }
    assert!(exhaust(&limiter, Lane::Write).await <= 1);
    assert!((limiter.metrics_paused() - 7.0).abs() < 0.01);
}

#[tokio::test(start_paused = true)]
async fn a_pause_reaches_calls_that_wait_already() {
    let limiter = limiter();
    exhaust(&limiter, Lane::Write).await;
    let start = Instant::now();
    let waiter = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.acquire(Lane::Write, at(0)).await }
    });
    tokio::task::yield_now().await;
    limiter.pause(Some(Duration::from_secs(15)));
    waiter.await.unwrap().unwrap();
    assert!(start.elapsed() >= Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_kept_waiting_through_a_long_pause() {
    let limiter = limiter();
    limiter.pause(Some(Duration::from_secs(300)));
    let start = Instant::now();
    let refused = limiter.acquire(Lane::Write, at(0)).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(1));
    let Class::Throttled(Some(remaining)) = refused.class else {
        panic!("{refused:?}");
    };
    assert!(
        remaining > Duration::from_secs(290) && remaining <= Duration::from_secs(301),
        "{remaining:?}"
    );
    assert!(
        !refused.message.contains("29"),
        "the same text for the same state: {}",
        refused.message
    );
}

#[tokio::test(start_paused = true)]
async fn pauses_are_clamped_and_grow_when_no_time_is_named() {
    let limiter = limiter();
    assert_eq!(limiter.pause(Some(Duration::ZERO)), SHORTEST_PAUSE);
    assert_eq!(limiter.pause(Some(Duration::from_secs(1 << 40))), LONGEST_PAUSE);
    tokio::time::sleep(LONGEST_PAUSE).await;
    for expected in [1, 2, 4, 8] {
        assert_eq!(limiter.pause(None), Duration::from_secs(expected));
        // The answers to the other calls of the same rush.
        assert_eq!(limiter.pause(None), Duration::ZERO);
        tokio::time::sleep(Duration::from_secs(expected)).await;
    }
    limiter.passed();
    assert_eq!(limiter.pause(None), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_frees_its_place_and_wakes_the_next() {
    let limiter = limiter();
    exhaust(&limiter, Lane::Write).await;
    let spawn = |deadline| {
        let limiter = limiter.clone();
        tokio::spawn(async move { limiter.acquire(Lane::Write, at(deadline)).await })
    };
    let (first, second) = (spawn(1), spawn(2));
    tokio::task::yield_now().await;
    assert_eq!(waiting(&limiter), 2);
    assert_eq!(limiter.metrics.waiting().get(), 2);
    first.abort();
    second.await.unwrap().unwrap();
    assert_eq!(waiting(&limiter), 0);
    assert_eq!(limiter.metrics.waiting().get(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded() {
    let limiter = limiter();
    exhaust(&limiter, Lane::Write).await;
    let places: Vec<_> = (0..LONGEST_QUEUE)
        .map(|_| limiter.join(Lane::Write, at(0)).unwrap())
        .collect();
    let refused = limiter.acquire(Lane::List, at(0)).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Throttled);
    drop(places);
    limiter.acquire(Lane::List, at(0)).await.unwrap();
}

impl Limiter {
    fn metrics_paused(&self) -> f64 {
        self.metrics.paused_seconds()
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_not_answered_tries_with_one_call_now_and_then() {
    let limiter = limiter();
    let waited = Duration::from_secs(15);
    let goes = || async { limiter.acquire(Lane::Get, at(0)).await.map_err(|failure| failure.kind) };
    for _ in 0..2 {
        limiter.unanswered(waited);
        assert_eq!(goes().await, Ok(()), "may be chance");
    }
    limiter.unanswered(waited);
    assert_eq!(goes().await, Err(Kind::Unavailable));
    tokio::time::advance(waited * 4).await;
    assert_eq!(goes().await, Ok(()), "the one that tries");
    assert_eq!(goes().await, Err(Kind::Unavailable), "it is not back yet");
    limiter.unanswered(waited);
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(goes().await, Err(Kind::Unavailable));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(goes().await, Ok(()));
    limiter.answered();
    for _ in 0..10 {
        assert_eq!(goes().await, Ok(()), "answered again");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_when_an_app_falls_silent_is_refused_too() {
    let limiter = limiter();
    exhaust(&limiter, Lane::Write).await;
    let call = |limiter: Arc<Limiter>| async move {
        limiter
            .acquire(Lane::Write, at(0))
            .await
            .map_err(|failure| failure.kind)
    };
    let waiting: Vec<_> = (0..50).map(|_| tokio::spawn(call(limiter.clone()))).collect();
    tokio::task::yield_now().await;
    (0..3).for_each(|_| limiter.unanswered(Duration::from_secs(35)));
    for one in waiting {
        assert_eq!(one.await.unwrap(), Err(Kind::Unavailable));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_refused_at_once_costs_nobody_a_slot() {
    let limiter = limiter();
    (0..3).for_each(|_| limiter.unanswered(Duration::from_millis(5)));
    tokio::time::advance(Duration::from_millis(20)).await;
    limiter.acquire(Lane::Get, at(0)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn questions_about_changes_have_the_budget_that_was_set() {
    for per_minute in [12, 60, 600] {
        let limiter = limiter();
        limiter.set_changes_budget(per_minute);
        let mut asked = 0;
        let _ = tokio::time::timeout(Duration::from_mins(1), async {
            loop {
                limiter.acquire(Lane::Changes, at(0)).await.unwrap();
                asked += 1;
            }
        })
        .await;
        let used = (per_minute * 3 / 4)..=per_minute;
        assert!(used.contains(&asked), "{asked} of {per_minute}");
    }
}
