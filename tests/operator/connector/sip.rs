//! Direct Routing: a session border controller that is asked over UDP and TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::{CONNECTOR, Connection, Server, loopback, spec};
use crate::world::World;

/// Fields of a request that its answer repeats (RFC 3261 section 8.2.6.2).
const REPEATED: [&str; 5] = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
/// In place of a status: it does not answer.
const SILENT: u16 = 0;

/// What both servers answer.
#[derive(Clone)]
struct Says(Arc<AtomicU16>);

impl Says {
    fn set(&self, status: u16) {
        self.0.store(status, Ordering::SeqCst);
    }

    fn answer(&self, request: &[u8]) -> Option<Vec<u8>> {
        let status = self.0.load(Ordering::SeqCst);
        let request = str::from_utf8(request).unwrap();
        assert!(request.starts_with("OPTIONS sip:"), "{request}");
        let repeated = request
            .lines()
            .filter(|line| REPEATED.iter().any(|name| line.starts_with(name)));
        let fields: Vec<&str> = repeated.collect();
        let answer = format!(
            "SIP/2.0 {status} So\r\n{}\r\nContent-Length: 0\r\n\r\n",
            fields.join("\r\n")
        );
        (status != SILENT).then(|| answer.into_bytes())
    }
}

/// Answers one request, and waits for the other side to end the connection.
async fn serve(mut stream: Connection, says: Says) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return; // whoever looked at the certificate alone
        }
    }
    if let Some(answer) = says.answer(&request) {
        stream.write_all(&answer).await.unwrap();
    }
    let _ = stream.read(&mut [0; 1]).await;
}

/// A server over UDP. Returns its port.
async fn udp(says: Says) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            if let Some(answer) = says.answer(&buffer[..length]) {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    });
    port
}

/// Looks again until this is said, of both servers.
async fn told(world: &World, status: &str, reason: &str) -> Value {
    world.ask(CONNECTOR, "c").await;
    let message = world
        .condition(CONNECTOR, "c", "EndpointReachable", status, reason)
        .await;
    if status == "False" {
        for name in ["plain", "edge"] {
            assert!(message.contains(&format!("The endpoint {name} ")), "{name}: {message}");
        }
        world.event(CONNECTOR, "c", reason).await;
    }
    world.get(CONNECTOR, "c").await.unwrap()["status"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_border_controller_is_asked_whether_it_takes_calls() {
    let world = World::new("connector-sip").await;
    let says = Says(Arc::new(AtomicU16::new(200)));
    let of_tls = says.clone();
    let server = Server::serving(move |stream| serve(stream, of_tls.clone())).await;
    world.secret("authority", &[("ca.crt", &server.authority)]).await;
    let mut edge = loopback(&server);
    edge["sip"] = json!({ "domain": "sbc.example.com" });
    let plain = json!({
        "name": "plain", "host": "127.0.0.1", "port": udp(says.clone()).await, "protocol": "Udp", "allowPrivateAddresses": true,
        "sip": {},
    });
    let changes = json!({ "type": "DirectRouting", "endpoints": [edge, plain] });
    world.apply(CONNECTOR, "c", spec(&json!({}), &changes)).await;
    told(&world, "True", "Succeeded").await;
    for type_ in ["CertificatesValid", "Healthy"] {
        world.condition(CONNECTOR, "c", type_, "True", "Succeeded").await;
    }

    for (status, reason) in [(503, "SipUnavailable"), (SILENT, "SipNoAnswer")] {
        says.set(status);
        let told = told(&world, "False", reason).await;
        assert_eq!(
            (&told["health"], &told["diagnoses"][0]["code"]),
            (&json!("Unhealthy"), &json!(reason)),
            "{told:#}"
        );
    }
    // Who refuses the method is there, and takes calls.
    says.set(405);
    let told = told(&world, "True", "Succeeded").await;
    assert_eq!(told["health"], "Healthy", "{told:#}");
}
