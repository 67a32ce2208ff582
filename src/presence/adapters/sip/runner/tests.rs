//! Against a server of a few lines, over TCP.

use std::time::Duration;

use prometheus::Registry;
use secrecy::SecretString;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::presence::adapters::metrics::Metrics;
use crate::presence::adapters::sip;
use crate::presence::adapters::sip::message::{Message, Start};

/// Serves a connection to its end: whether it is there, it tells anybody, and grants nothing.
async fn refuse(listener: &TcpListener) {
    let (mut tcp, _) = timeout(Duration::from_secs(10), listener.accept())
        .await
        .unwrap()
        .unwrap();
    let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let count = tcp.read(&mut chunk).await.unwrap_or(0);
        if count == 0 {
            return;
        }
        seen.extend_from_slice(&chunk[..count]);
        while let Some(end) = seen.windows(4).position(|part| part == b"\r\n\r\n") {
            let request: Vec<u8> = seen.drain(..end + 4).collect();
            let request = Message::read(&request).unwrap();
            let is_probe = matches!(&request.start, Start::Request { method, .. } if method == "OPTIONS");
            let answer = if is_probe {
                Message::answer(&request, 200)
            } else {
                Message::answer(&request, 401).with("WWW-Authenticate", r#"Digest realm="r", nonce="n""#)
            };
            // The worker may have hung up.
            let _ = tcp.write_all(&answer.to_bytes()).await;
        }
    }
}

/// Grants everything, until subscriptions are ended and `ends` says no. Returns how many were ended.
async fn grant(listener: TcpListener, ends: bool) -> usize {
    let (mut tcp, _) = listener.accept().await.unwrap();
    let (mut seen, mut chunk, mut ended) = (Vec::new(), [0; 4096], 0);
    loop {
        let count = tcp.read(&mut chunk).await.unwrap_or(0);
        if count == 0 {
            return ended;
        }
        seen.extend_from_slice(&chunk[..count]);
        while let Some(end) = seen.windows(4).position(|part| part == b"\r\n\r\n") {
            let request: Vec<u8> = seen.drain(..end + 4).collect();
            let request = Message::read(&request).unwrap();
            if !matches!(&request.start, Start::Request { .. }) {
                continue;
            }
            let is_end = request.number("Expires") == Some(0);
            ended += usize::from(is_end);
            if is_end && !ends {
                continue;
            }
            let expires = request.field("Expires").unwrap_or("0").to_owned();
            let status = if request.field("Event") == Some("dialog") {
                489
            } else {
                200
            };
            let answer = Message::answer(&request, status).with("Expires", expires).to_bytes();
            let answer = String::from_utf8(answer).unwrap();
            let to = request.field("To").unwrap();
            let tagged = if to.contains(";tag=") {
                to.to_owned()
            } else {
                format!("{to};tag=server")
            };
            let answer = answer.replace(&format!("To: {to}\r\n"), &format!("To: {tagged}\r\n"));
            let _ = tcp.write_all(answer.as_bytes()).await;
            if request.field("Event") == Some("presence") && !is_end {
                let body = r#"<presence xmlns="urn:ietf:params:xml:ns:pidf"/>"#;
                let notify = format!(
                    "NOTIFY sip:x SIP/2.0\r\nVia: SIP/2.0/TCP s;branch=z9hG4bKn\r\nFrom: {tagged}\r\nTo: {}\r\nCall-ID: {}\r\n\
                     CSeq: 1 NOTIFY\r\nEvent: presence\r\nSubscription-State: active\r\nContent-Type: application/pidf+xml\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    request.field("From").unwrap(),
                    request.field("Call-ID").unwrap(),
                    body.len(),
                );
                let _ = tcp.write_all(notify.as_bytes()).await;
            }
        }
    }
}

#[tokio::test]
async fn who_closes_ends_the_subscriptions_if_the_server_lets_it() {
    for ends in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = json!({ "host": "127.0.0.1", "port": port, "domain": "example.test", "transport": "TCP" });
        let (sender, mut events) = mpsc::channel(1000);
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let config = serde_json::from_value(config).unwrap();
        let sip = sip::start(&config, None, &[], &metrics, sender).unwrap();
        let server = tokio::spawn(grant(listener, ends));
        sip.watch((0..100).map(|at| format!("u{at}")).collect()).await;
        let mut users = 0;
        while users < 100 {
            let event = timeout(Duration::from_secs(10), events.recv()).await.unwrap().unwrap();
            users += usize::from(matches!(event, PbxEvent::View { view, .. } if view.entries.is_some()));
        }
        // As when the worker ends: it does not listen any more.
        drop(events);
        let closing = tokio::spawn(sip.close());
        if !ends {
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert!(!closing.is_finished(), "the server is given a moment");
            jump(5).await;
        }
        timeout(Duration::from_secs(3), closing).await.unwrap().unwrap();
        let ended = timeout(Duration::from_secs(3), server).await.unwrap().unwrap();
        let expected = if ends { 100 } else { 64 };
        assert_eq!(ended, expected, "{ends}");
    }
}

/// So many seconds pass at once.
async fn jump(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_wrong_password_is_tried_ever_more_slowly_although_options_is_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = json!({
        "host": "127.0.0.1", "port": port, "domain": "example.test", "transport": "TCP", "username": "sync",
    });
    let (sender, mut events) = mpsc::channel(100);
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let config = serde_json::from_value(config).unwrap();
    let sip = sip::start(&config, Some(&SecretString::from("wrong")), &[], &metrics, sender).unwrap();
    sip.watch(vec!["anna".to_owned()]).await;
    for _ in 0..2 {
        refuse(&listener).await;
        while !matches!(
            events.recv().await.unwrap(),
            PbxEvent::Down {
                why: PbxError::Auth(_),
                ..
            }
        ) {}
        // The first wait is of 15 to 18 seconds.
        jump(19).await;
    }
    let again = timeout(Duration::from_millis(500), listener.accept()).await;
    assert!(again.is_err(), "it would lock the account out");
    jump(19).await;
    refuse(&listener).await;
}
