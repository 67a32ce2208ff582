use prometheus::Opts;
use serde_json::{Value, json};

use super::*;
use crate::policy::connector::pexip::calls::CallEnd;

fn counts() -> Counts {
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

fn second(at: i64) -> Timestamp {
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
    sink.take(body.to_string().as_bytes(), second(100)).unwrap();
}

fn drained(sink: &Sink) -> Vec<String> {
    let left = sink.drain(second(100), SignedDuration::ZERO);
    left.into_iter().map(|one| one.id.unwrap()).collect()
}

impl Counts {
    fn of(&self, feed: &str, result: &str) -> u64 {
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
fn only_calls_through_a_gateway_are_kept_and_nothing_of_people() {
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
        assert_eq!(sink.take(body.as_bytes(), second(100)), Err(NotEvents), "{body}");
    }
    let deep = format!("{{\"event\":\"x\",\"node\":{}", "[".repeat(100_000));
    assert_eq!(sink.take(deep.as_bytes(), second(100)), Err(NotEvents));
    // Without node and number, it is taken for new.
    let mut plain = left("a", 9, 2);
    plain
        .as_object_mut()
        .unwrap()
        .retain(|key, _| !["node", "seq"].contains(&key.as_str()));
    take(&sink, &plain);
    assert_eq!(drained(&sink), ["a-9-2"]);
}

#[test]
fn too_many_events_are_dropped_and_counted() {
    let (sink, counts) = sink();
    for seq in 1..=u64::try_from(MOST).unwrap() + 5 {
        take(&sink, &left("a", seq, 1));
    }
    assert_eq!(drained(&sink).len(), MOST);
    assert_eq!(counts.of("event_sink", "dropped"), 5);
}

#[test]
fn who_shows_the_name_and_password_is_let_in() {
    let (sink, _) = sink();
    let header = |text: &str| format!("Basic {}", STANDARD.encode(text));
    assert!(sink.admits(Some(&header("pexip:p:ass"))));
    assert!(sink.admits(Some(&header("pexip:p:ass").replace("Basic ", "basic  "))));
    assert!(sink.fault().is_none());
    let wrong = ["pexip:p:asS", "pexip:", ":", "pexip:p:ass ", "Pexip:p:ass"];
    for text in wrong {
        assert!(!sink.admits(Some(&header(text))), "{text}");
    }
    for header in [None, Some("Basic"), Some("Basic %%"), Some("Bearer cGV4aXA6cDphc3M=")] {
        assert!(!sink.admits(header), "{header:?}");
    }
    assert_eq!(sink.fault(), Some(FeedFault::Refused));
    assert!(sink.admits(Some(&header("pexip:p:ass"))));
    assert!(sink.fault().is_none(), "the right one came since");
}

#[test]
fn objects_have_sinks_of_their_own_that_go_with_them() {
    let sinks = Sinks::new(counts());
    let header = |text: &str| format!("Basic {}", STANDARD.encode(text));
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

fn failed(node: &str, call: &str, error: &str) -> String {
    format!(
        "<134>Nov 27 09:00:00 {node} 2026-11-27 09:00:00,123 Level=\"ERROR\" Name=\"support.teams\" \
         Message=\"Teams API request failed\" Call-Id=\"{call}\" Error=\"{error}\""
    )
}

#[test]
fn lines_are_kept_for_a_while_by_the_node_that_wrote_them() {
    let counts = counts();
    let log = Log::new(counts.clone());
    for (node, call, error, at) in [
        ("edge01", "c", "401", 0),
        ("edge02", "d", "500", 60),
        ("edge01", "e", "404", 60),
    ] {
        log.take(failed(node, call, error).as_bytes(), second(at));
    }
    log.take(b"hello", second(60));
    let of = |now, skew| log.of(|node| node == "edge01", second(now), SignedDuration::from_secs(skew));
    let expected = Logged {
        at: second(30),
        call: Some("c".into()),
        end: CallEnd::Unauthorized,
    };
    assert_eq!(of(100, 30), [expected]);
    assert_eq!(of(3600, 0), [], "too old");
    let counted = ["call", "other", "malformed"].map(|result| counts.of("syslog", result));
    assert_eq!(counted, [2, 1, 1]);
    for number in 0..=MOST {
        log.take(failed("edge01", &number.to_string(), "401").as_bytes(), second(200));
    }
    assert_eq!(of(200, 0).len(), MOST);
    assert_eq!(counts.of("syslog", "dropped"), 3, "the oldest");
}
