mod bookmarks;
mod crash;
mod model;

use std::path::Path;
use std::time::Duration;

use serde_json::value::RawValue;

use super::*;
use crate::receiver::event::{Origin, now_millis};

const HOUR: i64 = 3_600_000;

fn rules(readers: &[Reader]) -> Rules {
    Rules {
        limit_bytes: 64 << 20,
        retention_millis: HOUR,
        dead_letters: 2,
        readers: readers.to_vec(),
    }
}

fn options(dir: &Path, rules: Rules) -> Options {
    Options {
        dir: dir.to_owned(),
        tick: Duration::from_millis(20),
        slow: Duration::from_millis(200),
        rules,
    }
}

fn begin(dir: &Path, rules: Rules) -> Log {
    let metrics = Arc::new(Metrics::new(&prometheus::Registry::new()).unwrap());
    Log::open(options(dir, rules), metrics).unwrap().0
}

async fn open(dir: &Path, rules: Rules) -> Log {
    let log = begin(dir, rules);
    until("opened", || log.problem().is_none()).await;
    log
}

fn record(text: &str, received_millis: i64) -> Record {
    Record {
        received_millis,
        uid: "uid".to_owned(),
        key_id: "k1".to_owned(),
        origin: Origin::Push,
        subscription_id: None,
        item: RawValue::from_string(format!("\"{text}\"")).unwrap(),
    }
}

async fn append(log: &Log, text: &str) -> Result<(), StoreError> {
    append_at(log, Kind::Notification, text, now_millis()).await
}

async fn append_at(log: &Log, kind: Kind, text: &str, millis: i64) -> Result<(), StoreError> {
    log.append(vec![(kind, record(text, millis))], None).await
}

async fn seqs(log: &Log, after: u64, kind: Option<Kind>) -> Vec<u64> {
    let query = Query {
        after,
        limit: 10_000,
        kind,
        bytes: PAGE_BYTES,
    };
    let page = log.read(query).await.unwrap();
    page.events.iter().map(|event| event.seq).collect()
}

async fn until(what: &str, mut check: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if check() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("timed out: {what}");
}

#[tokio::test]
async fn reads_both_kinds_in_order_and_one_kind_with_a_cursor_past_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), rules(&[])).await;
    for number in 0..6 {
        let kind = if number % 3 == 0 {
            Kind::Lifecycle
        } else {
            Kind::Notification
        };
        append_at(&log, kind, "x", now_millis()).await.unwrap();
    }
    assert_eq!(seqs(&log, 0, None).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(seqs(&log, 1, Some(Kind::Lifecycle)).await, [4]);
    let query = Query {
        after: 4,
        limit: 10,
        kind: Some(Kind::Lifecycle),
        bytes: PAGE_BYTES,
    };
    let page = log.read(query).await.unwrap();
    assert_eq!((page.events.len(), page.next), (0, 6));
    let query = Query {
        after: 0,
        limit: 2,
        kind: Some(Kind::Notification),
        bytes: PAGE_BYTES,
    };
    assert_eq!(log.read(query).await.unwrap().next, 3);
}

#[tokio::test]
async fn a_cursor_moves_forward_only_and_not_beyond_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), rules(&[])).await;
    append(&log, "a").await.unwrap();
    append(&log, "b").await.unwrap();
    assert_eq!(log.acknowledge("c", 3).await, Err(CursorError::BeyondEnd(2)));
    assert_eq!(log.acknowledge("c", 2).await, Ok(()));
    assert_eq!(log.acknowledge("c", 2).await, Ok(()));
    assert_eq!(log.acknowledge("c", 1).await, Err(CursorError::Backwards(2)));
    assert_eq!(log.cursor("c"), 2);
}

#[tokio::test]
async fn drops_what_everybody_has_and_keeps_what_somebody_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let (sink, all) = (Reader::of_sink("s"), Reader::of_consumer("a", None));
    let controller = Reader::of_consumer("controller", Some(Kind::Lifecycle));
    let log = open(dir.path(), rules(&[sink.clone(), all.clone(), controller.clone()])).await;
    for kind in [
        Kind::Notification,
        Kind::Lifecycle,
        Kind::Notification,
        Kind::Notification,
    ] {
        append_at(&log, kind, "x", now_millis()).await.unwrap();
    }
    log.acknowledge(&sink.name, 4).await.unwrap();
    log.acknowledge(&all.name, 3).await.unwrap();
    until("trimmed", || log.status().events == 2).await;
    assert_eq!(seqs(&log, 0, None).await, [2, 4]);
    log.acknowledge(&controller.name, 2).await.unwrap();
    log.acknowledge(&all.name, 4).await.unwrap();
    until("empty", || log.status().events == 0).await;
    assert_eq!(log.status().used_bytes, 0);
    append(&log, "next").await.unwrap();
    assert_eq!(seqs(&log, 0, None).await, [5]);
}

#[tokio::test]
async fn drops_what_is_too_old_and_counts_who_missed_it() {
    let dir = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let metrics = Arc::new(Metrics::new(&registry).unwrap());
    let readers = [
        Reader::of_sink("s"),
        Reader::of_consumer("controller", Some(Kind::Lifecycle)),
    ];
    let (log, _) = Log::open(options(dir.path(), rules(&readers)), metrics).unwrap();
    until("opened", || log.problem().is_none()).await;
    let old = now_millis() - 2 * HOUR;
    let records = [old, old, now_millis()].map(|millis| (Kind::Notification, record("x", millis)));
    log.append(records.into(), None).await.unwrap();
    until("trimmed", || log.status().events == 1).await;
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap();
    assert!(
        text.contains("expired_undelivered_total{consumer=\"sink/s\"} 2"),
        "{text}"
    );
    assert!(
        text.contains("expired_undelivered_total{consumer=\"consumer/controller\"} 0"),
        "{text}"
    );
}

#[tokio::test]
async fn at_the_limit_it_refuses_rather_than_drops_what_somebody_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let reader = Reader::of_sink("s");
    let limited = Rules {
        limit_bytes: 64 << 10,
        ..rules(std::slice::from_ref(&reader))
    };
    let log = open(dir.path(), limited.clone()).await;
    let text = "x".repeat(900);
    let mut stored = 0;
    while append(&log, &text).await.is_ok() {
        stored += 1;
    }
    assert!((40..=64).contains(&stored), "{stored}");
    assert_eq!(append(&log, &text).await, Err(StoreError::Full));
    assert_eq!(seqs(&log, 0, None).await.len(), stored);
    log.acknowledge(&reader.name, 10).await.unwrap();
    append(&log, &text).await.unwrap();
    // Kept for nobody: the oldest make room.
    log.set_rules(Rules {
        readers: Vec::new(),
        ..limited
    });
    for _ in 0..100 {
        append(&log, &text).await.unwrap();
    }
    assert!(log.status().used_bytes <= 64 << 10);
}

#[tokio::test]
async fn dead_letters_are_kept_until_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), rules(&[])).await;
    append(&log, "poison").await.unwrap();
    let event = log
        .read(Query {
            after: 0,
            limit: 1,
            kind: None,
            bytes: PAGE_BYTES,
        })
        .await
        .unwrap()
        .events
        .remove(0);
    let letter = DeadLetter {
        event,
        reason: "HTTP 400".to_owned(),
    };
    log.bury("s", &letter).await.unwrap();
    log.bury("s", &letter).await.unwrap();
    assert_eq!(log.status().dead_letters["s"], 1);
    let kept = log.dead_letters("s", 0, 10).await.unwrap();
    assert_eq!((kept[0].event.seq, kept[0].reason.as_str()), (1, "HTTP 400"));
    assert_eq!(
        kept[0].event.record.received_millis,
        letter.event.record.received_millis
    );
    assert!(log.dead_letters("t", 0, 10).await.unwrap().is_empty());
    log.forget("s", vec![1, 7]).await.unwrap();
    assert_eq!(log.status().dead_letters["s"], 0);
}

async fn letter(log: &Log, seq: u64) -> DeadLetter {
    let query = Query {
        after: seq - 1,
        limit: 1,
        kind: None,
        bytes: PAGE_BYTES,
    };
    DeadLetter {
        event: log.read(query).await.unwrap().events.remove(0),
        reason: "HTTP 400".to_owned(),
    }
}

#[tokio::test]
async fn a_dead_letter_for_which_there_is_no_room_is_refused_and_none_is_dropped_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut small = rules(&[Reader::of_sink("s")]);
    let log = open(dir.path(), small.clone()).await;
    for _ in 0..3 {
        append(&log, &"x".repeat(1000)).await.unwrap();
    }
    for seq in 1..=2 {
        log.bury("s", &letter(&log, seq).await).await.unwrap();
    }
    let third = letter(&log, 3).await;
    assert_eq!(log.bury("s", &third).await, Err(StoreError::TooManyDeadLetters));
    log.bury("s", &letter(&log, 2).await).await.unwrap();
    assert_eq!(log.dead_letters("s", 0, 10).await.unwrap().len(), 2);
    assert_eq!(log.dead_letters("s", 1, 10).await.unwrap().len(), 1);
    small.limit_bytes = log.status().used_bytes;
    log.set_rules(small);
    assert_eq!(log.bury("t", &third).await, Err(StoreError::Full));
    log.forget("s", vec![1]).await.unwrap();
    log.bury("t", &third).await.unwrap();
}

#[tokio::test]
async fn pages_and_lists_end_by_bytes_but_hold_at_least_one_event() {
    let dir = tempfile::tempdir().unwrap();
    let mut wide = rules(&[]);
    wide.dead_letters = 10;
    let log = open(dir.path(), wide).await;
    for _ in 0..4 {
        append(&log, &"x".repeat(3 << 20)).await.unwrap();
    }
    for (bytes, expected) in [(1, 1), (4 << 20, 2)] {
        let query = Query {
            after: 0,
            limit: 100,
            kind: None,
            bytes,
        };
        assert_eq!(log.read(query).await.unwrap().events.len(), expected);
    }
    for seq in 1..=4 {
        log.bury("s", &letter(&log, seq).await).await.unwrap();
    }
    assert_eq!(log.dead_letters("s", 0, 100).await.unwrap().len(), 3);
    assert_eq!(log.dead_letters("s", 3, 100).await.unwrap().len(), 1);
}

#[tokio::test]
async fn is_full_only_when_an_ordinary_item_finds_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let limited = Rules {
        limit_bytes: 64 << 10,
        ..rules(&[Reader::of_sink("s")])
    };
    let log = open(dir.path(), limited).await;
    let is_full = || log.status().is_full(log.rules().limit_bytes);
    append(&log, "small").await.unwrap();
    assert_eq!(append(&log, &"x".repeat(100_000)).await, Err(StoreError::Full));
    assert!(!is_full());
    while append(&log, &"x".repeat(900)).await.is_ok() {}
    assert!(is_full());
    log.acknowledge("sink/s", 20).await.unwrap();
    until("trimmed", || !is_full()).await;
}

#[tokio::test]
async fn a_commit_that_does_not_end_is_told_and_closing_does_not_wait_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), rules(&[])).await;
    let stalled = log.stall();
    let waiting = tokio::spawn({
        let log = log.clone();
        async move { append(&log, "taken up").await }
    });
    until("slow", || log.check() == Err(StoreError::Slow)).await;
    assert_eq!(append(&log, "refused").await, Err(StoreError::Slow));
    assert!(seqs(&log, 0, None).await.is_empty(), "reading goes on");
    let closing = std::time::Instant::now();
    tokio::time::pause();
    log.close().await;
    tokio::time::resume();
    assert!(closing.elapsed() < Duration::from_secs(5));
    drop(stalled);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_log_whose_creation_was_cut_short_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(file::NAME), vec![0; 1 << 20]).unwrap();
    let log = open(dir.path(), rules(&[])).await;
    append(&log, "x").await.unwrap();
}

#[tokio::test]
async fn state_survives_closing() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), rules(&[Reader::of_sink("s")])).await;
    append(&log, "a").await.unwrap();
    append_at(&log, Kind::Lifecycle, "b", now_millis()).await.unwrap();
    log.acknowledge("sink/s", 1).await.unwrap();
    until("trimmed", || log.status().events == 1).await;
    let before = log.status();
    log.close().await;
    assert!(matches!(append(&log, "late").await, Err(StoreError::Unavailable(_))));
    let log = open(dir.path(), rules(&[])).await;
    let mut after = log.status();
    // Where the last notification was is only of use to those who wait for the next.
    after.ends.notification = before.ends.notification;
    assert_eq!(after, before);
    assert_eq!(after.subscriptions["uid"].count, 2);
}

#[tokio::test]
async fn storage_that_fails_at_the_start_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let obstacle = dir.path().join(file::NAME);
    std::fs::create_dir(&obstacle).unwrap();
    let log = begin(dir.path(), rules(&[]));
    until("failed", || log.problem().is_some_and(|problem| problem != OPENING)).await;
    assert!(!log.is_known());
    assert!(matches!(append(&log, "x").await, Err(StoreError::Unavailable(_))));
    std::fs::remove_dir(&obstacle).unwrap();
    until("opened", || log.problem().is_none()).await;
    append(&log, "x").await.unwrap();
    assert_eq!(log.problem(), None);
}
