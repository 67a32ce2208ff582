use super::*;

const DAY: i64 = 24 * HOUR;

fn bookmark(uid: &str, value: &str) -> Bookmark {
    Bookmark {
        uid: uid.to_owned(),
        value: value.to_owned(),
        time: "2026-01-02T03:04:05Z".to_owned(),
    }
}

fn set(bookmark: &Bookmark) -> Op {
    Op::Append {
        records: Vec::new(),
        bookmark: Some(bookmark.clone()),
        reply: oneshot::channel().0,
        share: None,
    }
}

fn remove_table(dir: &Path) {
    let (database, _) = tables::open(dir, |_| {}).unwrap();
    let transaction = database.begin_write().unwrap();
    assert!(transaction.delete_table(tables::BOOKMARKS).unwrap());
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_file_of_an_older_version_takes_bookmarks() {
    let dir = tempfile::tempdir().unwrap();
    drop(tables::open(dir.path(), |_| {}).unwrap());
    remove_table(dir.path());
    let log = open(dir.path(), rules(&[])).await;
    assert_eq!(log.bookmark("u").await, Ok(None));
    append(&log, "an event").await.unwrap();
    let kept = bookmark("u", "link");
    log.hand_in(Vec::new(), Some(kept.clone()), None).await.unwrap();
    log.close().await;
    let log = open(dir.path(), rules(&[])).await;
    assert_eq!(log.bookmark("u").await, Ok(Some(kept)));
    assert_eq!(log.bookmark("v").await, Ok(None));
    assert_eq!(log.status().bookmarks.keys().collect::<Vec<_>>(), ["u"]);
}

#[tokio::test]
async fn at_the_limit_a_bookmark_is_taken_alone_but_not_with_items() {
    let dir = tempfile::tempdir().unwrap();
    let reader = Reader::of_sink("s");
    let mut limited = rules(std::slice::from_ref(&reader));
    limited.limit_bytes = 16 << 10;
    let log = open(dir.path(), limited.clone()).await;
    while append(&log, &"x".repeat(900)).await.is_ok() {}
    // What is there may even be beyond a limit that was lowered.
    limited.limit_bytes = 4 << 10;
    log.set_rules(limited);
    let (alone, with_items) = (bookmark("u", "alone"), bookmark("u", "with items"));
    let used = log.status().used_bytes;
    log.hand_in(Vec::new(), Some(alone.clone()), None).await.unwrap();
    let records = vec![(Kind::Notification, record("x", now_millis()))];
    let refused = log.hand_in(records, Some(with_items), None).await;
    assert_eq!(refused, Err(StoreError::Full));
    assert_eq!(log.bookmark("u").await, Ok(Some(alone)));
    assert_eq!(log.status().used_bytes, used);
    assert!(log.status().is_full(log.rules().limit_bytes));
}

#[test]
fn a_bookmark_is_forgotten_thirty_days_after_it_was_last_written() {
    let dir = tempfile::tempdir().unwrap();
    let (database, mut status) = tables::open(dir.path(), |_| {}).unwrap();
    let rules = rules(&[]);
    let start = now_millis();
    let mut run = |days: i64, ops: &[Op]| {
        let (changes, outcomes) = transaction::run(&database, &status, &rules, ops, start + days * DAY).unwrap();
        assert!(outcomes.iter().all(Result::is_ok));
        changes.apply(&mut status);
        let read = |uid| read::bookmark(&database, uid).unwrap().map(|bookmark| bookmark.value);
        let found = (read("moved"), read("left"));
        let known: Vec<String> = status.bookmarks.keys().cloned().collect();
        let values = [&found.0, &found.1];
        assert_eq!(known.len(), values.iter().filter(|value| value.is_some()).count());
        found
    };
    let some = |text: &str| Some(text.to_owned());
    let (left, moved) = (bookmark("left", "l"), bookmark("moved", "m"));
    assert_eq!(run(0, &[set(&left), set(&moved)]), (some("m"), some("l")));
    assert_eq!(run(20, &[set(&bookmark("moved", "n"))]), (some("n"), some("l")));
    assert_eq!(run(30, &[Op::Tick]), (some("n"), some("l")));
    assert_eq!(run(31, &[Op::Tick]), (some("n"), None));
    // One that is written just when it would be forgotten stays.
    assert_eq!(run(60, &[set(&bookmark("moved", "o")), Op::Tick]), (some("o"), None));
    assert_eq!(run(91, &[Op::Tick]), (None, None));
}
