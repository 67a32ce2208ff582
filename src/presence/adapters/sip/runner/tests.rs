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
