//! Calls that nodes tell of, against the simulator's configuration.

use jiff::SignedDuration;

use super::*;
use crate::policy::connector::pexip::calls::WINDOW;

fn counts() -> Counts {
    let counters = |name: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, "Help."), labels).unwrap();
    Counts {
        events: counters("events", &["feed", "result"]),
        gaps: counters("gaps", &["feed"]),
    }
}

fn with(feed: CallFeed) -> Pexip {
    Pexip {
        call_feed: feed,
        ..spec()
    }
}

fn event(seq: u64, alias: &str, reason: &str) -> Value {
    json!({
        "node": "10.0.0.5", "seq": seq, "version": 2, "time": local_clock::now().as_second(), "event": "participant_disconnected",
        "data": {
            "uuid": format!("p{seq}"), "service_type": "gateway", "call_direction": "in", "destination_alias": alias,
            "source_alias": "ann@example.com", "display_name": "Ann", "disconnect_reason": reason,
        },
    })
}

fn push(sink: &Sink, events: &[Value]) {
    let bulk = json!({ "node": "127.0.0.1", "seq": 0, "event": "eventsink_bulk", "data": events });
    sink.take(bulk.to_string().as_bytes(), local_clock::now());
}

fn ends(evidence: &PexipEvidence) -> Vec<CallEnd> {
    let calls = evidence.calls.as_ref().unwrap().as_ref().unwrap();
    calls.iter().map(|call| call.end).collect()
}

fn reason_of(spec: &Pexip, evidence: &PexipEvidence) -> Option<Reason> {
    let found = judge(spec, evidence, local_clock::now());
    let of_calls = found
        .into_iter()
        .find(|one| one.condition == ConditionType::CallsSucceeding);
    of_calls.unwrap().reason()
}

fn failed(node: &str, call: &str) -> String {
    format!(
        "<134>Nov 27 09:00:00 {node} 2026-11-27 09:00:00,123 Level=\"ERROR\" Name=\"support.teams\" \
         Message=\"Teams API request failed\" Call-Id=\"{call}\" Error=\"401\""
    )
}

#[tokio::test]
async fn events_are_judged_as_the_history_is() {
    let world = World::new().await;
    let sinks = Sinks::new(counts());
    let sink = sinks.open("n", "c", "u", "pexip", "pass");
    let mut memory = Memory::default();
    memory.pushed.events = Ok(sink.clone());
    let (spec, client) = (with(CallFeed::EventSink), world.client());
    let dialled = "123456789@example.com";
    let mut events: Vec<Value> = (1..=4)
        .map(|seq| event(seq, dialled, "Teams API request failed: 401"))
        .collect();
    events.push(event(5, "ann@example.com", "Call rejected"));
    push(&sink, &events);
    // As long as nobody can say where the rules lead a call, it waits.
    world.manners(json!({"denied": ["gateway_routing_rule"]})).await;
    let blind = client.look(&spec, &mut memory, LIMIT).await;
    assert!(matches!(
        blind.calls,
        Some(Err(FeedFault::Configuration(ApiFault::Forbidden)))
    ));
    world.manners(json!({"denied": []})).await;
    drop((blind, client));
    let client = world.client();
    let evidence = client.look(&spec, &mut memory, LIMIT).await;
    assert_eq!(ends(&evidence), [CallEnd::Unauthorized; 4], "not those to other places");
    assert_eq!(evidence.fresh_calls.len(), 4, "nobody else counted them");
    assert_eq!(reason_of(&spec, &evidence), Some(Reason::ApiUnauthorized));
    assert!(!format!("{evidence:?}").contains(dialled), "no alias is kept");
    assert_eq!(world.asked("participant").await, 0, "the history is not read");

    push(
        &sink,
        &[
            event(4, dialled, "Teams API request failed: 401"),
            event(6, dialled, "Call disconnected"),
        ],
    );
    let again = client.look(&spec, &mut memory, LIMIT).await;
    assert_eq!(again.fresh_calls.len(), 1, "each once");
    assert_eq!(ends(&again).len(), 5, "those that came before count on");
}

#[tokio::test]
async fn an_event_sink_that_is_not_let_in_is_a_feed_that_is_cut() {
    let world = World::new().await;
    let (spec, client) = (with(CallFeed::EventSink), world.client());
    let mut memory = Memory::default();
    let fault = |evidence: PexipEvidence| evidence.calls.unwrap().unwrap_err();
    assert_eq!(fault(client.look(&spec, &mut memory, LIMIT).await), FeedFault::NoEvents);
    memory.pushed.events = Err(FeedFault::NoCredentials);
    let evidence = client.look(&spec, &mut memory, LIMIT).await;
    assert_eq!(reason_of(&spec, &evidence), Some(Reason::FeedDisconnected));
    assert_eq!(fault(evidence), FeedFault::NoCredentials);
    let sink = Sinks::new(counts()).open("n", "c", "u", "pexip", "pass");
    memory.pushed.events = Ok(sink.clone());
    let evidence = client.look(&spec, &mut memory, LIMIT).await;
    assert_eq!(
        reason_of(&spec, &evidence),
        Some(Reason::NoTraffic),
        "silence is no fault"
    );
    for _ in 0..3 {
        assert!(!sink.admits(None));
    }
    assert_eq!(fault(client.look(&spec, &mut memory, LIMIT).await), FeedFault::Refused);
}

#[tokio::test]
async fn the_support_log_tells_with_which_errors_calls_failed() {
    let world = World::new().await;
    let (spec, client) = (with(CallFeed::Syslog), world.client());
    let mut memory = Memory::default();
    let unheard = client.look(&spec, &mut memory, LIMIT).await;
    assert!(matches!(unheard.calls, Some(Err(FeedFault::NoLog))));
    let log = Arc::new(Log::new(counts()));
    memory.pushed.log = Some(log.clone());
    // So long ago that no call of then is missing in the history.
    let then = local_clock::now() - SignedDuration::from_mins(3);
    let reason = json!({"count": 4, "reason": "Gateway dial out failed", "ended": then.to_string()});
    world.admin("POST", "/pexip/calls", reason).await;
    let evidence = client.look(&spec, &mut memory, LIMIT).await;
    assert_eq!(reason_of(&spec, &evidence), Some(Reason::GatewayDialOutFailed));
    for call in ["a", "b", "c", "d", "e", "e"] {
        log.take(failed("edge01", call).as_bytes(), then);
    }
    for call in ["v", "w", "x", "y", "z"] {
        log.take(failed("edge77", call).as_bytes(), then);
    }
    log.take(failed("edge01", "new").as_bytes(), local_clock::now());
    let evidence = client.look(&spec, &mut memory, LIMIT).await;
    assert_eq!(
        ends(&evidence),
        [CallEnd::Unauthorized; 5],
        "four of the history, one that it lacks, and not one that it may still get"
    );
    assert_eq!(evidence.fresh_calls.len(), 1, "nobody else counted it");
    let again = client.look(&spec, &mut memory, LIMIT).await;
    assert_eq!(again.fresh_calls, [], "once");
    assert_eq!(reason_of(&spec, &evidence), Some(Reason::ApiUnauthorized));
    // By the id, however long ago.
    let id = {
        let rows = world
            .admin("GET", "/pexip/objects/history/participant", Value::Null)
            .await;
        rows[0]["id"].as_str().unwrap().to_owned()
    };
    let alone = Arc::new(Log::new(counts()));
    alone.take(failed("edge01", &id).as_bytes(), local_clock::now() - WINDOW);
    memory.pushed.log = Some(alone);
    let evidence = client.look(&spec, &mut memory, LIMIT).await;
    let explained = ends(&evidence)
        .into_iter()
        .filter(|end| *end == CallEnd::Unauthorized)
        .count();
    assert_eq!((explained, ends(&evidence).len()), (1, 4));
}

#[tokio::test]
async fn with_several_connectors_an_error_without_a_call_is_of_none() {
    let world = World::new().await;
    let other = json!([{"id": 2, "name": "us"}]);
    world
        .admin("POST", "/pexip/objects/configuration/teams_proxy", other)
        .await;
    let log = Arc::new(Log::new(counts()));
    let mut memory = Memory::default();
    memory.pushed.log = Some(log.clone());
    for call in ["a", "b", "c", "d"] {
        log.take(
            failed("edge01", call).as_bytes(),
            local_clock::now() - SignedDuration::from_mins(3),
        );
    }
    let evidence = world.client().look(&with(CallFeed::Syslog), &mut memory, LIMIT).await;
    assert_eq!(ends(&evidence), []);
}
