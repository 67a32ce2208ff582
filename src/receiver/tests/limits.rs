//! What senders may not do: send too much, too slowly, over too many connections.

use super::*;

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_given_up() {
    let harness = Harness::start_with(config(), |settings| {
        settings.limits.answer_time = Duration::from_millis(100);
    })
    .await;
    let head = harness.head("content-length: 100");
    let mut stream = harness.connect(&format!("{head}{{\"value\"")).await;
    let answer = answer_of(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(
        harness
            .has_metric("requests_refused_total{reason=\"too_slow\"} 1")
            .await
    );
}

#[tokio::test]
async fn a_body_in_chunks_is_limited_as_it_comes() {
    let harness = Harness::start_with(config(), |settings| settings.limits.body_bytes = 1000).await;
    let chunk = format!("{:x}\r\n{}\r\n", 600, "x".repeat(600));
    let head = harness.head("transfer-encoding: chunked");
    let mut stream = harness.connect(&format!("{head}{chunk}{chunk}")).await;
    let answer = answer_of(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(
        harness
            .has_metric("requests_refused_total{reason=\"too_large\"} 1")
            .await
    );
}

#[tokio::test]
async fn a_connection_that_breaks_within_a_body_costs_nothing_else() {
    let harness = Harness::start(config()).await;
    let head = harness.head("content-length: 5000");
    drop(harness.connect(&format!("{head}{{\"value\"")).await);
    harness
        .until("counted", async || {
            let text = harness.metrics().await;
            ["400", "499"]
                .iter()
                .any(|code| text.contains(&format!("requests_total{{channel=\"notification\",code=\"{code}\"}} 1")))
        })
        .await;
    assert_eq!(harness.notify(&[harness.item(1)]).await, 202);
    assert_eq!(harness.state().await["lastSeq"], 1);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_idle_ones_end() {
    let harness = Harness::start_with(config(), |settings| {
        settings.limits.connections = 2;
        settings.idle = Duration::from_millis(1500);
    })
    .await;
    let request = harness.head("content-length: 0");
    let (mut first, mut second) = (harness.connect(&request).await, harness.connect(&request).await);
    for stream in [&mut first, &mut second] {
        assert!(answer_of(stream).await.starts_with("HTTP/1.1 400"));
    }
    assert_eq!(answer_of(&mut harness.connect("").await).await, "");
    assert!(
        harness
            .has_metric("connections_refused_total{listener=\"webhook\"} 1")
            .await
    );
    // Nobody asks anything any more, so both are closed, and there is room again.
    for stream in [&mut first, &mut second] {
        assert_eq!(answer_of(stream).await, "");
    }
    harness
        .until("room", async || {
            let mut stream = harness.connect(&request).await;
            answer_of(&mut stream).await.starts_with("HTTP/1.1 400")
        })
        .await;
    // Neither does one that never asks stay.
    let answer = answer_of(&mut harness.connect("POST / HT").await).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_request_under_way_when_the_end_comes_is_answered() {
    let harness = Harness::start(config()).await;
    let body = json!({ "value": [harness.item(1)] }).to_string();
    let head = harness.head(&format!("content-length: {}", body.len()));
    let (begin, end) = body.split_at(20);
    let mut stream = harness.connect(&format!("{head}{begin}")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let stopping = tokio::spawn(harness.receiver.shutdown());
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream.write_all(end.as_bytes()).await.unwrap();
    let answer = answer_of(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    stopping.await.unwrap();
    let again = Harness::start_in(harness.dir, |_| {}).await;
    assert_eq!(again.state().await["lastSeq"], 1);
}

#[tokio::test]
async fn nobody_without_a_token_makes_the_internal_api_read() {
    let harness = Harness::start(config()).await;
    let token = harness.key.internal_token();
    let token = token.as_str();
    let send = async |path: &str, token: &str, length: usize| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n"
        );
        let mut stream = TcpStream::connect(harness.receiver.internal_addr()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    // None of these sends the body that it announces.
    for (path, token, length, expected) in [
        ("/v1/ingest", "wrong", 16 << 20, "401"),
        ("/v1/ingest", PULL_TOKEN, 16 << 20, "403"),
        ("/v1/ingest", token, (16 << 20) + 1, "413"),
        ("/v1/consumers/audit/ack", "wrong", 100, "401"),
        ("/v1/consumers/audit/ack", PULL_TOKEN, 5000, "413"),
    ] {
        let answer = answer_of(&mut send(path, token, length).await).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{path} {answer}");
    }
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(send("/v1/ingest", token, 16 << 20).await);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answer = answer_of(&mut send("/v1/ingest", token, 16 << 20).await).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    drop(held);
    let item = json!({ "items": [{ "uid": "u", "origin": "Poll", "item": {} }] });
    harness
        .until("room", async || {
            harness.send("/v1/ingest", &item).send().await.unwrap().status() == 202
        })
        .await;
}
