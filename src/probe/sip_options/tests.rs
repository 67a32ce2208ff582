use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const SHORT: Duration = Duration::from_millis(700);
const LONG: Duration = Duration::from_secs(10);

fn plan(address: SocketAddr, transport: Transport, limit: Duration) -> Plan {
    Plan {
        addresses: vec![address],
        transport,
        domain: "sbc.example.com".into(),
        limit,
    }
}

async fn reply(plan: Plan) -> SipReply {
    let address = plan.addresses[0].to_string();
    let began = Instant::now();
    let evidence = look(&plan).await;
    assert!(began.elapsed() < plan.limit + Duration::from_secs(2));
    assert_eq!(evidence.replies[0].0, address);
    evidence.replies[0].1.clone()
}

/// The answer of this status to a request, with what has to be copied.
fn answer(request: &[u8], status: &str) -> Vec<u8> {
    let request = String::from_utf8(request.to_vec()).unwrap();
    let copied = |name: &str| request.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let fields = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].map(copied).join("\r\n");
    format!("SIP/2.0 {status}\r\n{fields}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// A server over UDP that lets so many requests go by before it answers.
async fn udp(lost: usize, status: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut buffer, mut seen) = (vec![0; 4096], 0);
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            seen += 1;
            if seen > lost {
                socket
                    .send_to(&answer(&buffer[..length], "100 Trying"), from)
                    .await
                    .unwrap();
                socket.send_to(&answer(&buffer[..length], status), from).await.unwrap();
            }
        }
    });
    address
}

/// A server over TCP that says this to a request; `None`: the answer of SIP.
async fn tcp(says: Option<&'static [u8]>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, says));
        }
    });
    address
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, says: Option<&'static [u8]>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let said = match says {
        Some(says) => says.to_vec(),
        None => [
            b"\r\n\r\n".to_vec(),
            answer(&request, "100 Trying"),
            answer(&request, "404 Not Found"),
        ]
        .concat(),
    };
    // In pieces, as networks deliver it.
    for piece in said.chunks(7) {
        let _ = stream.write_all(piece).await;
        let _ = stream.flush().await;
    }
    if says.is_some_and(<[u8]>::is_empty) {
        tokio::time::sleep(LONG).await;
    }
}

#[tokio::test]
async fn udp_repeats_until_something_answers() {
    let address = udp(1, "200 OK").await;
    assert_eq!(reply(plan(address, Transport::Udp, LONG)).await, SipReply::Final(200));
    let address = udp(0, "503 Service Unavailable").await;
    assert_eq!(reply(plan(address, Transport::Udp, LONG)).await, SipReply::Final(503));
    let address = udp(usize::MAX, "").await;
    assert_eq!(reply(plan(address, Transport::Udp, SHORT)).await, SipReply::Silent);
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(reply(plan(closed, Transport::Udp, LONG)).await, SipReply::Refused);
    assert_eq!(reply(plan(closed, Transport::Tcp, LONG)).await, SipReply::Refused);
}

#[tokio::test]
async fn streams_are_read_up_to_the_final_answer() {
    for (says, expected) in [
        (None, SipReply::Final(404)),
        (Some(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]), SipReply::NotSip),
        (
            Some(b"SIP/2.0 200 OK\r\n"),
            SipReply::Broken("it ends the connection".into()),
        ),
        (Some(b""), SipReply::Silent),
    ] {
        let address = tcp(says).await;
        assert_eq!(reply(plan(address, Transport::Tcp, SHORT)).await, expected, "{says:?}");
    }
}

/// Whoever talks without end and never in answer is left at the deadline.
#[tokio::test]
async fn an_endless_talker_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while stream.write_all(b"SIP/2.0 100 Trying\r\n\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert_eq!(reply(plan(address, Transport::Tcp, SHORT)).await, SipReply::Silent);
}

#[tokio::test]
async fn tls_is_trusted_as_the_plan_says() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["sbc.example.com".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, None).await;
                }
            });
        }
    });
    let transport = |roots: RootCertStore| {
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Transport::Tls(Arc::new(config), ServerName::try_from("sbc.example.com").unwrap())
    };
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    assert_eq!(reply(plan(address, transport(roots), LONG)).await, SipReply::Final(404));
    let strange = reply(plan(address, transport(RootCertStore::empty()), LONG)).await;
    assert!(
        matches!(&strange, SipReply::Broken(why) if why.contains("issuer")),
        "{strange:?}"
    );
}
