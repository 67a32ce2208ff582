//! Sinks that are misconfigured, down, or hold a grudge against one event.

use std::io::{BufRead, BufReader};

use super::sinks::{Sink, post_item};
use super::*;
use crate::receiver::deliver::Patience;

#[tokio::test]
async fn a_sink_is_never_contacted_without_its_token() {
    let sink = Sink::start(|_, _| 200).await;
    let dir = folder(&with_sink(&sink.url, "Structured"));
    std::fs::remove_file(dir.path().join("tokens/sink")).unwrap();
    let harness = Harness::start_in(dir, |_| {}).await;
    assert_eq!(harness.notify(&[harness.item(1)]).await, 202);
    harness
        .until("failing", async || {
            harness.state().await["sinks"][0]["lastError"] == "token missing"
        })
        .await;
    assert!(sink.numbers().is_empty());
    write(&harness.dir, "tokens/sink", "late");
    harness.until("delivered", async || sink.numbers() == [1]).await;
    let offered = sink.offered.lock().unwrap();
    assert_eq!(offered[0].headers["authorization"], "Bearer late");
}

#[tokio::test]
async fn a_misconfigured_sink_loses_nothing() {
    // As many tries as would be enough to give an event up that is refused.
    let sink = Sink::start(|_, times| match times {
        1..=3 => 401,
        4..=6 => 404,
        7..=9 => 302,
        _ => 200,
    })
    .await;
    let harness = Harness::start(with_sink(&sink.url, "Structured")).await;
    harness.notify(&[harness.item(1)]).await;
    harness
        .until("delivered", async || {
            harness.has_metric("delivered_total{sink=\"s\"} 1").await
        })
        .await;
    assert_eq!(sink.numbers().len(), 10);
    assert!(harness.has_metric("dead_letters_total{sink=\"s\"} 0").await);
}

#[tokio::test]
async fn an_event_that_only_ever_fails_is_given_up_when_others_are_taken() {
    let sink = Sink::start(|number, _| if number == 13 { 500 } else { 200 }).await;
    let harness = Harness::start_with(with_sink(&sink.url, "Structured"), |settings| {
        settings.timing.retry_most = Duration::from_millis(20);
        settings.timing.patience = Patience {
            time: Duration::from_millis(300),
            tries: 6,
        };
    })
    .await;
    for number in [13, 14] {
        post_item(&harness, "a", number).send().await.unwrap();
    }
    // Alone, it could as well be the sink.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(harness.state().await["sinks"][0]["deadLetters"], 0);
    post_item(&harness, "b", 1).send().await.unwrap();
    harness.until("others", async || sink.numbers().contains(&14)).await;
    assert_eq!(harness.state().await["sinks"][0]["deadLetters"], 1);
    let listed = harness.get("/v1/deadletters?sink=s").send().await.unwrap();
    let listed: Value = listed.json().await.unwrap();
    assert_eq!(listed["deadLetters"][0]["reason"], "HTTP 500");
    let after = harness.get("/v1/deadletters?sink=s&after=1").send().await.unwrap();
    assert_eq!(after.json::<Value>().await.unwrap()["deadLetters"], json!([]));
}

#[tokio::test]
async fn a_sink_that_is_down_does_not_hold_up_another() {
    let (up, down) = (Sink::start(|_, _| 200).await, Sink::start(|_, _| 503).await);
    let mut two = with_sink(&up.url, "Structured");
    let mut other = two["sinks"][0].clone();
    other["name"] = json!("down");
    other["target"]["http"]["url"] = json!(down.url);
    two["sinks"].as_array_mut().unwrap().push(other);
    let harness = Harness::start(two).await;
    for number in 1..=50 {
        assert_eq!(harness.notify(&[harness.item(number)]).await, 202);
    }
    harness.until("all", async || up.numbers().len() == 50).await;
    assert_eq!(up.numbers(), (1..=50).collect::<Vec<_>>());
    harness
        .until("saved", async || harness.state().await["sinks"][0]["lag"] == 0)
        .await;
    let state = harness.state().await;
    assert_eq!(state["sinks"][0].get("failingSince"), None);
    assert_eq!(
        (&state["sinks"][1]["lag"], &state["sinks"][1]["lastError"]),
        (&json!(50), &json!("HTTP 503"))
    );
    assert!(down.numbers().iter().all(|number| *number == 1), "in order");
    // What is newer and not for sinks is nothing that a sink lags behind.
    let mut lifecycle = harness.item(0);
    lifecycle["lifecycleEvent"] = json!("missed");
    assert_eq!(harness.notify(&[lifecycle]).await, 202);
    assert_eq!(harness.state().await["sinks"][0]["lag"], 0);
}

const STDOUT_DIR: &str = "RECEIVER_STDOUT_TEST";

// Not a test: the process whose standard output the next test reads.
#[tokio::test]
async fn stdout_child() {
    if std::env::var_os(STDOUT_DIR).is_none() {
        return;
    }
    let mut config = config();
    config["sinks"] = json!([{ "name": "out", "target": "stdout" }]);
    let harness = Harness::start(config).await;
    let pretty = serde_json::to_string_pretty(&json!({ "value": [harness.item(1)] })).unwrap();
    assert_eq!(harness.post(pretty).await.status(), 202);
    harness
        .until("delivered", async || {
            harness.has_metric("delivered_total{sink=\"out\"} 1").await
        })
        .await;
}

#[tokio::test]
async fn a_standard_output_sink_writes_a_line_per_event() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "receiver::tests::failing_sinks::stdout_child", "--nocapture"])
        .env(STDOUT_DIR, "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .collect();
    assert!(child.wait().unwrap().success());
    // The harness of the tests writes to the same line.
    let line = lines
        .iter()
        .find_map(|line| Some(&line[line.find("{\"id\"")?..]))
        .unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&line["graphSubscription"], &line["item"]["number"]),
        (&json!(UID), &json!(1))
    );
    assert_eq!(
        (&line["kind"], &line["origin"]),
        (&json!("notification"), &json!("Push"))
    );
}
