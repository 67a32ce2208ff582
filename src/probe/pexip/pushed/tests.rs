use prometheus::Opts;
use serde_json::{Value, json};

use super::*;
use crate::probe::pexip::feed::{KEPT, MOST};

pub(super) fn counts() -> Counts {
    let counters = |name: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, "Help."), labels).unwrap();
    Counts {
        events: counters("events", &["feed", "result"]),
        gaps: counters("gaps", &["feed"]),
    }
}

fn sink() -> (Arc<Sink>, Counts) {
    let counts = counts();
    (Sinks::new(counts.clone()).open("n", "c", "u", "pexip", "p:ass"), counts)
}

pub(super) fn second(at: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + at).unwrap()
}

fn event(node: &str, seq: u64, at: i64, name: &str, data: &Value) -> Value {
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    let time = (1_800_000_000 + at) as f64 + 0.25;
    json!({ "node": node, "seq": seq, "version": 2, "time": time, "event": name, "data": data })
}

fn left(node: &str, seq: u64, at: i64) -> Value {
    let data = json!({
        "uuid": format!("{node}-{seq}-{at}"), "service_type": "gateway", "call_direction": "in", "protocol": "SIP",
        "destination_alias": "123456789@example.com", "source_alias": "ann@example.com", "display_name": "Ann",
        "disconnect_reason": "Gateway dial out failed", "media_streams": [{ "id": 1 }],
    });
    event(node, seq, at, "participant_disconnected", &data)
}

fn bulk(events: &[Value]) -> Value {
    json!({ "node": "127.0.0.1", "seq": 0, "version": 2, "time": 1.0, "event": "eventsink_bulk", "data": events })
}

fn take(sink: &Sink, body: &Value) {
    sink.take(body.to_string().as_bytes(), second(100));
}

fn drained(sink: &Sink) -> Vec<String> {
    let left = sink.drain(second(100), SignedDuration::ZERO);
    left.into_iter().map(|one| one.id.unwrap()).collect()
}

impl Counts {
    pub(super) fn of(&self, feed: &str, result: &str) -> u64 {
        self.events.with_label_values(&[feed, result]).get()
    }

    fn gaps(&self) -> u64 {
        self.gaps.with_label_values(&["event_sink"]).get()
    }
}

/// Hard input 15: duplicates, gaps, a bulk with mixed nodes, a restart.
#[test]
fn each_event_is_taken_once_however_it_comes() {
    let (sink, counts) = sink();
    take(&sink, &left("10.0.0.1", 7, 1));
    take(&sink, &left("10.0.0.1", 7, 1));
    let mixed = [
        left("10.0.0.1", 8, 2),
        left("10.0.0.2", 8, 2),
        left("10.0.0.1", 7, 1),
        left("10.0.0.2", 12, 5),
    ];
    take(&sink, &bulk(&mixed));
    take(&sink, &bulk(&mixed));
    let started = event("10.0.0.1", 1, 10, "eventsink_started", &json!({}));
    take(&sink, &bulk(&[started, left("10.0.0.1", 2, 11)]));
    assert_eq!(
        drained(&sink),
        [
            "10.0.0.1-7-1",
            "10.0.0.1-8-2",
            "10.0.0.2-8-2",
            "10.0.0.2-12-5",
            "10.0.0.1-2-11"
        ]
    );
    assert_eq!(drained(&sink), [""; 0], "once");
    assert_eq!(
        (counts.of("event_sink", "call"), counts.of("event_sink", "duplicate")),
        (5, 6)
    );
    assert_eq!(counts.of("event_sink", "other"), 1);
    assert_eq!(counts.gaps(), 0, "9 to 11 may still come");
    sink.drain(second(300), SignedDuration::ZERO);
    assert_eq!(counts.gaps(), 3);
}

#[test]
fn only_calls_through_a_gateway_are_kept() {
    let (sink, counts) = sink();
    let changed = |seq, key: &str, value: Value| {
        let mut one = left("10.0.0.1", seq, 1);
        one["data"][key] = value;
        one
    };
    take(
        &sink,
        &bulk(&[
            changed(1, "service_type", json!("conference")),
            changed(2, "call_direction", json!("out")),
            event("10.0.0.1", 3, 1, "participant_connected", &left("", 1, 1)["data"]),
            event("10.0.0.1", 4, 1, "participant_updated", &json!([])),
            changed(5, "disconnect_reason", Value::Null),
        ]),
    );
    let kept = sink.drain(second(100), SignedDuration::ZERO);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].disconnect_reason, None);
    assert_eq!(kept[0].local_alias.as_deref(), Some("123456789@example.com"));
    assert_eq!(
        kept[0].end_time,
        Some(Timestamp::from_millisecond(1_800_000_001_250).unwrap())
    );
    assert_eq!(counts.of("event_sink", "other"), 4);
}

#[test]
fn times_that_cannot_be_are_replaced_by_when_it_came() {
    let (sink, _) = sink();
    let mut odd = left("a", 1, 1);
    odd["time"] = json!("yesterday");
    take(&sink, &bulk(&[odd, left("b", 1, 5000), left("c", 1, -50)]));
    let hour = SignedDuration::from_hours(1);
    let ended = sink
        .drain(second(100), hour)
        .into_iter()
        .map(|one| one.end_time.unwrap());
    let ended: Vec<i64> = ended.map(|at| at.as_second() - 1_800_000_000).collect();
    assert_eq!(ended, [3700, 3700, -50], "by the manager's clock");
}

#[test]
fn what_cannot_be_read_costs_nothing_else() {
    let (sink, counts) = sink();
    let without_id = event(
        "a",
        2,
        1,
        "participant_disconnected",
        &json!({ "service_type": "gateway" }),
    );
    let broken = [
        json!(1),
        json!({}),
        json!({ "event": 7 }),
        bulk(&[left("a", 1, 1)]),
        without_id,
        event("a", 3, 1, "participant_disconnected", &json!("text")),
        json!({ "event": "participant_disconnected" }),
        left("a", 4, 1),
    ];
    take(&sink, &bulk(&broken));
    assert_eq!(drained(&sink), ["a-4-1"]);
    assert_eq!(counts.of("event_sink", "malformed"), 6, "a number as a name is a name");
    for body in [
        "",
        "[]",
        "{}",
        "null",
        "{\"event\":\"eventsink_bulk\"}",
        "{\"event\":\"eventsink_bulk\",\"data\":{}}",
        "<html>",
    ] {
        let before = counts.of("event_sink", "malformed");
        sink.take(body.as_bytes(), second(100));
        assert_eq!(counts.of("event_sink", "malformed"), before + 1, "{body}");
    }
    let deep = format!("{{\"event\":\"x\",\"node\":{}", "[".repeat(100_000));
    sink.take(deep.as_bytes(), second(100));
    assert_eq!(counts.of("event_sink", "malformed"), 14);
    // Without node and number, it is taken for new.
    let mut plain = left("a", 9, 2);
    plain
        .as_object_mut()
        .unwrap()
        .retain(|key, _| !["node", "seq"].contains(&key.as_str()));
    take(&sink, &plain);
    assert_eq!(drained(&sink), ["a-9-2"]);
}

/// What makes a number look like one of before must not cost a call: the id decides.
#[test]
fn a_call_with_a_number_that_came_before_is_taken() {
    let (sink, counts) = sink();
    for seq in 1..=9 {
        take(&sink, &left("a", seq, 50));
    }
    // The node begins again, and its clock was set back.
    let started = event("a", 1, 20, "eventsink_started", &json!({}));
    take(&sink, &bulk(&[started, left("a", 2, 21), left("a", 3, 22)]));
    let kept = drained(&sink);
    assert_eq!(kept.len(), 11);
    assert_eq!(kept[9..], ["a-2-21", "a-3-22"]);
    assert_eq!(
        (counts.of("event_sink", "call"), counts.of("event_sink", "duplicate")),
        (9, 3)
    );
}

#[test]
fn what_no_call_has_is_not_kept() {
    let (sink, counts) = sink();
    let with = |seq, key: &str, length| {
        let mut one = left("a", seq, 1);
        one["data"][key] = json!("ä".repeat(length));
        one
    };
    let sent = [
        with(1, "uuid", 33),
        with(2, "destination_alias", 128),
        with(3, "uuid", 32),
        with(4, "destination_alias", 127),
        with(5, "disconnect_reason", 900),
    ];
    take(&sink, &bulk(&sent));
    let kept = sink.drain(second(100), SignedDuration::ZERO);
    assert_eq!((kept.len(), counts.of("event_sink", "malformed")), (3, 2));
    assert_eq!(kept[2].disconnect_reason.as_ref().unwrap().len(), 128);
}

#[test]
fn too_many_events_are_dropped_and_counted() {
    let (sink, counts) = sink();
    for seq in 1..=u64::try_from(MOST).unwrap() + 5 {
        take(&sink, &left("a", seq, 1));
    }
    assert_eq!(counts.of("event_sink", "dropped"), 5);
    let kept = drained(&sink);
    assert_eq!((kept.len(), kept[0].as_str()), (MOST, "a-6-1"), "the oldest go");
    take(&sink, &left("b", 1, 1));
    let late = second(101) + KEPT;
    sink.take(left("b", 2, 1).to_string().as_bytes(), late);
    assert_eq!(counts.of("event_sink", "dropped"), 6, "and those of long ago");
    assert_eq!(sink.drain(late, SignedDuration::ZERO).len(), 1);
}

fn header(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

#[test]
fn who_shows_the_name_and_password_is_let_in() {
    let (sink, _) = sink();
    let right = header("pexip:p:ass");
    let wrong = ["pexip:p:asS", "pexip:", ":", "pexip:p:ass ", "Pexip:p:ass"];
    for text in wrong {
        assert!(!sink.admits(Some(&header(text))), "{text}");
    }
    for header in [None, Some("Basic"), Some("Basic %%"), Some("Bearer cGV4aXA6cDphc3M=")] {
        assert!(!sink.admits(header), "{header:?}");
    }
    assert!(sink.admits(Some(&right)));
    assert!(sink.admits(Some(&right.replace("Basic ", "basic  "))));
}

#[tokio::test(start_paused = true)]
async fn strangers_do_not_make_an_event_sink_look_misconfigured() {
    let (sink, _) = sink();
    let (right, wrong) = (header("pexip:p:ass"), header("pexip:other"));
    let refuse = || assert!(!sink.admits(Some(&wrong)) && !sink.admits(None));
    refuse();
    assert_eq!(sink.fault(), None, "twice is not often");
    refuse();
    assert_eq!(sink.fault(), Some(FeedFault::Refused), "nobody showed the right ones");
    assert!(sink.admits(Some(&right)));
    assert_eq!(sink.fault(), None);
    refuse();
    refuse();
    assert_eq!(sink.fault(), None, "the right one came lately");
    tokio::time::advance(WINDOW.unsigned_abs() * 2).await;
    assert_eq!(sink.fault(), None, "both are long ago");
    refuse();
    assert_eq!(sink.fault(), Some(FeedFault::Refused));
}

#[test]
fn a_changed_password_forgets_who_came_before() {
    let sinks = Sinks::new(counts());
    let sink = sinks.open("n", "c", "u", "a", "one");
    assert!(sink.admits(Some(&header("a:one"))));
    sinks.open("n", "c", "u", "a", "two");
    for _ in 0..3 {
        assert!(sinks.admit("n", "c", Some(&header("a:one"))).is_none());
    }
    assert_eq!(sink.fault(), Some(FeedFault::Refused), "the event sink has the old one");
    sinks.open("n", "c", "u", "a", "two");
    assert!(sink.fault().is_some(), "nothing changed");
    sinks.open("n", "c", "u", "a", "three");
    assert_eq!(sink.fault(), None);
}

#[test]
fn without_its_secret_a_sink_lets_nobody_in_and_keeps_what_came() {
    let sinks = Sinks::new(counts());
    sinks.withhold("n", "c");
    assert!(!sinks.is_open("n", "c"));
    let sink = sinks.open("n", "c", "u", "a", "one");
    assert!(sinks.is_open("n", "c") && sinks.admit("n", "c", Some(&header("a:one"))).is_some());
    take(&sink, &left("a", 1, 1));
    sinks.withhold("n", "c");
    for shown in [Some(header("a:one")), Some(header("")), None] {
        assert!(sinks.admit("n", "c", shown.as_deref()).is_none());
        assert!(sinks.admit("n", "other", shown.as_deref()).is_none());
    }
    assert!(!sinks.is_open("n", "c") && sink.fault().is_none());
    let again = sinks.open("n", "c", "u", "a", "one");
    assert!(sinks.admit("n", "c", Some(&header("a:one"))).is_some());
    assert_eq!(drained(&again), ["a-1-1"]);
}

#[test]
fn objects_have_sinks_of_their_own_that_go_with_them() {
    let sinks = Sinks::new(counts());
    let first = sinks.open("n", "c", "u", "a", "one");
    take(&first, &left("a", 1, 1));
    let again = sinks.open("n", "c", "u", "a", "two");
    assert!(Arc::ptr_eq(&first, &again), "another password keeps what came");
    assert!(again.admits(Some(&header("a:two"))) && !again.admits(Some(&header("a:one"))));
    let other = sinks.open("n", "c", "v", "a", "two");
    assert!(!Arc::ptr_eq(&first, &other), "another object of the same name");
    sinks.open("n", "d", "w", "a", "two");
    sinks.keep_only(|uid| uid == "v");
    assert!(sinks.find("n", "c").is_some() && sinks.find("n", "d").is_none() && sinks.find("m", "c").is_none());
    sinks.close("n", "c");
    assert!(sinks.find("n", "c").is_none());
}
