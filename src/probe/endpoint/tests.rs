use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::SignedDuration;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::api::condition::{ConditionType, Reason, Truth, Verdict};
use crate::policy::connector::address::Range;
use crate::policy::connector::endpoint::{Answer, HttpEvidence, Proof, judge};
use crate::policy::connector::flap::{Limits, Moment, Track, settle};
use crate::policy::connector::health::fold;
use crate::probe::testing::{BlackHole, DRIPS, drip, drips};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that says the same to everyone, and how many came.
async fn says(words: &'static [u8]) -> (u16, Arc<AtomicUsize>) {
    serve(move |mut stream| async move {
        let mut read = [0; 2048];
        let _ = stream.read(&mut read).await;
        let _ = stream.write_all(words).await;
    })
    .await
}

async fn serve<F, T>(answer: F) -> (u16, Arc<AtomicUsize>)
where
    F: Fn(TcpStream) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let came = Arc::new(AtomicUsize::new(0));
    let count = came.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(answer(stream));
        }
    });
    (port, came)
}

fn plan(port: u16, more: &Value) -> Plan {
    let mut endpoint = json!({ "name": "probed", "host": "127.0.0.1", "port": port, "allowPrivateAddresses": true });
    for (name, value) in more.as_object().unwrap() {
        endpoint[name] = value.clone();
    }
    Plan::new(serde_json::from_value(endpoint).unwrap(), Arc::default())
}

async fn first(plan: &Plan) -> AddressEvidence {
    look(plan, PATIENCE).await.addresses.remove(0)
}

#[tokio::test]
async fn nothing_is_sent_to_addresses_that_are_not_allowed() {
    let (port, came) = says(b"HTTP/1.1 200 OK\r\n\r\n").await;
    for (host, expected) in [
        ("127.0.0.1", Range::Loopback),
        ("::1", Range::Loopback),
        ("::ffff:127.0.0.1", Range::Loopback),
        ("localhost", Range::Loopback),
        ("10.0.0.1", Range::Private),
        ("169.254.169.254", Range::Metadata),
    ] {
        for protocol in ["Tls", "Tcp"] {
            let plan = plan(
                port,
                &json!({ "host": host, "protocol": protocol, "allowPrivateAddresses": false }),
            );
            for found in look(&plan, PATIENCE).await.addresses {
                assert_eq!(found.obstacle, Some(Obstacle::NotAllowed(expected)), "{host}");
            }
        }
    }
    // With leave, all but what gives credentials.
    let metadata = plan(port, &json!({ "host": "169.254.169.254" }));
    assert_eq!(
        first(&metadata).await.obstacle,
        Some(Obstacle::NotAllowed(Range::Metadata))
    );
    assert_eq!(came.load(Ordering::SeqCst), 0);
    let allowed = plan(port, &json!({ "protocol": "Tcp" }));
    assert_eq!(first(&allowed).await.obstacle, None);
}

#[tokio::test]
async fn an_answer_over_plain_tcp_tells_status_emptiness_and_time() {
    let more = json!({ "protocol": "Tcp", "http": { "path": "/Page?x=1" } });
    let cases: [(&'static [u8], _, _); 6] = [
        (
            b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 4\r\n\r\n \r\nx",
            Ok(HttpEvidence {
                status: 200,
                blank: false,
            }),
            true,
        ),
        (
            b"HTTP/1.1 404 Not Found\r\nAge: 5\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n \r\n\t",
            Ok(HttpEvidence {
                status: 404,
                blank: true,
            }),
            false,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Ok(HttpEvidence {
                status: 200,
                blank: true,
            }),
            false,
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Err(Obstacle::NotHttp), false),
        (b"", Err(Obstacle::Closed), false),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
            Err(Obstacle::Closed),
            false,
        ),
    ];
    for (words, expected, tells_time) in cases {
        let (port, _) = says(words).await;
        let evidence = look(&plan(port, &more), PATIENCE).await;
        let found = &evidence.addresses[0];
        let seen = found.obstacle.clone().map_or_else(|| Ok(found.http.unwrap()), Err);
        assert_eq!(seen, expected, "{}", String::from_utf8_lossy(words));
        assert_eq!(evidence.clock.len(), usize::from(tells_time));
        assert!(
            evidence
                .clock
                .iter()
                .all(|sample| sample.source == "probed" && sample.skew.is_negative())
        );
    }
}

/// Hard input 7: bytes that come now and then earn no more time.
#[tokio::test]
async fn the_deadline_counts_for_all_of_it() {
    let (port, _) = serve(|stream| drip(stream, DRIPS[0])).await;
    let start = Instant::now();
    let asking = plan(port, &json!({ "protocol": "Tcp", "http": {} }));
    let evidence = look(&asking, Duration::from_millis(500)).await;
    assert_eq!(evidence.addresses[0].obstacle, Some(Obstacle::HttpTimeout));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// Hard input 7.
#[tokio::test]
async fn documents_that_come_byte_by_byte_are_given_up() {
    for beginning in DRIPS {
        let (url, start) = (drips(beginning).await, Instant::now());
        let plan = plan(443, &json!({}));
        let answer = documents::fetch(&plan, &url, start + Duration::from_millis(500)).await;
        assert_eq!(answer, Answer::None, "{beginning}");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

/// Hard input 6: an IPv6 address that swallows packets takes nothing from the IPv4 address beside it. Skipped only on a machine
/// without `::1`.
#[tokio::test]
async fn a_black_hole_takes_nothing_from_the_other_address() {
    let Some((hole, _listener)) = BlackHole::beside_ipv4().await else {
        println!("skipped: this machine has no ::1");
        return;
    };
    let plan = plan(hole.port, &json!({ "protocol": "Tcp" }));
    let addresses = ["::1", "127.0.0.1"].map(|text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(1);
    let (found, _) = look_at_all(&plan, &addresses, end).await;
    let obstacles: Vec<_> = found.into_iter().map(|found| found.obstacle).collect();
    assert_eq!(obstacles, [Some(Obstacle::ConnectTimeout), None]);
}

/// Shows one certificate after the other.
#[derive(Debug)]
struct ByTurns(Vec<Arc<CertifiedKey>>, AtomicUsize);

impl ResolvesServerCert for ByTurns {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let turn = self.1.fetch_add(1, Ordering::SeqCst);
        self.0.get(turn % self.0.len()).cloned()
    }
}

/// A certificate for `a.example` that ends in this year, and its key.
fn signed(authority: &CertifiedIssuer<'static, KeyPair>, ends: i32) -> Arc<CertifiedKey> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(ends, 1, 1);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
    Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// Hard input 5: a load balancer with two servers behind one address, one with the old certificate.
#[tokio::test]
async fn two_certificates_by_turns_do_not_toggle_the_verdict() {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let (good, old) = (signed(&authority, 2090), signed(&authority, 2021));
    for shown in [[good.clone(), old.clone()], [old, good]] {
        let resolver = ByTurns(shown.to_vec(), AtomicUsize::new(0));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (port, came) = serve(move |stream| {
            let accepting = acceptor.accept(stream);
            async move {
                if let Ok(mut stream) = accepting.await {
                    let _ = stream.read(&mut [0]).await;
                }
            }
        })
        .await;
        let tls = json!({ "serverName": "a.example", "trust": "Bundle" });
        let plan = plan(port, &json!({ "tls": tls }));
        let plan = plan.with_bundle(authority.pem().as_bytes()).unwrap();
        let told = eight_looks(&plan).await;
        assert_eq!(came.load(Ordering::SeqCst), 8, "one handshake each");
        let truths: Vec<Truth> = told.iter().map(|verdict| verdict.truth).collect();
        let turns_back = truths.windows(2).any(|two| two == [Truth::False, Truth::True]);
        assert!(!turns_back && truths.contains(&Truth::True), "{truths:?}");
        let last = told.last().unwrap();
        assert_eq!((last.truth, last.reason), (Truth::False, Reason::Expired), "{truths:?}");
    }
}

/// What `CertificatesValid` says after each of eight looks.
async fn eight_looks(plan: &Plan) -> Vec<Verdict> {
    let limits = Limits {
        failures: 3,
        successes: 2,
        stale_after: SignedDuration::from_mins(3),
        settles: None,
    };
    let (mut track, mut told) = (Track::default(), Vec::<Verdict>::new());
    let type_ = ConditionType::CertificatesValid;
    let began = Instant::now();
    for _ in 0..8 {
        let at = Moment {
            now: crate::local_clock::now(),
            elapsed: began.elapsed(),
        };
        let found = fold(type_, &judge(&plan.endpoint, &look(plan, PATIENCE).await, at.now));
        told.push(settle(type_, &mut track, told.last(), found, &limits, at).verdict);
    }
    told
}

/// Shows one certificate, and signs with another key.
#[derive(Debug)]
struct Impostor(Arc<CertifiedKey>);

impl ResolvesServerCert for Impostor {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

#[tokio::test]
async fn a_server_without_the_key_of_its_certificate_is_found_out() {
    let (own, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = CertificateParams::new(["a.example".to_owned()])
        .unwrap()
        .self_signed(&own)
        .unwrap();
    for (key, expected) in [(&own, Proof::Right), (&other, Proof::Wrong)] {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
        let provider = Arc::new(aws_lc_rs::default_provider());
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let config = ServerConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&[version])
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(Impostor(Arc::new(certified.clone()))));
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let (port, _) = serve(move |stream| {
                let accepting = acceptor.accept(stream);
                async move {
                    if let Ok(mut stream) = accepting.await {
                        let _ = stream.read(&mut [0]).await;
                    }
                }
            })
            .await;
            let found = first(&plan(port, &json!({ "tls": { "serverName": "a.example" } }))).await;
            assert_eq!((found.obstacle, found.tls.proof), (None, expected), "{version:?}");
            assert_eq!(found.tls.chain, [certificate.der().to_vec()]);
        }
    }
}

async fn fetched(url: &str, allow: bool) -> Answer {
    let plan = plan(443, &json!({ "allowPrivateAddresses": allow }));
    documents::fetch(&plan, url, Instant::now() + Duration::from_secs(20)).await
}

#[tokio::test]
async fn documents_are_fetched_without_following_and_within_limits() {
    let at = |port: u16| format!("http://127.0.0.1:{port}/ca.der");
    let (here, came) = says(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nder").await;
    assert_eq!(fetched(&at(here), true).await, Answer::Body(b"der".to_vec()));
    assert_eq!(fetched(&at(here), false).await, Answer::NotAllowed);
    assert_eq!(
        fetched(&format!("http://localhost:{here}/ca.der"), false).await,
        Answer::NotAllowed
    );
    assert_eq!(
        fetched(&format!("http://[::ffff:127.0.0.1]:{here}/"), false).await,
        Answer::NotAllowed
    );
    // Programs of old read these as 127.0.0.1.
    for disguise in ["0x7f000001", "2130706433", "127.1"] {
        assert_eq!(
            fetched(&format!("http://{disguise}:{here}/"), false).await,
            Answer::NotAllowed,
            "{disguise}"
        );
    }
    assert_eq!(
        fetched("http://169.254.169.254/latest/meta-data/", true).await,
        Answer::NotAllowed
    );
    assert_eq!(came.load(Ordering::SeqCst), 1);
    let (moved, _) = says(b"HTTP/1.1 301 Moved\r\nLocation: https://ca.example/\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(
        fetched(&at(moved), true).await,
        Answer::Redirect("https://ca.example/".to_owned())
    );
    let (gone, _) = says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(fetched(&at(gone), true).await, Answer::Status(404));
    let endless = |mut stream: TcpStream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
    };
    let (huge, _) = serve(endless).await;
    assert_eq!(fetched(&at(huge), true).await, Answer::TooLong);
    for nonsense in ["", "http://", "ca.der", "http://no-such-name.invalid/"] {
        assert_eq!(fetched(nonsense, true).await, Answer::None, "{nonsense}");
    }
}

#[tokio::test]
async fn secrets_that_are_of_no_use_say_why() {
    let pair = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let other = KeyPair::generate().unwrap();
    let pem = pair.cert.pem();
    let key = |key: &KeyPair| SecretString::from(key.serialize_pem());
    let plan = || plan(443, &json!({}));
    assert!(plan().with_bundle(pem.as_bytes()).is_ok());
    assert_eq!(
        plan().with_bundle(b"").unwrap_err(),
        Unusable::Bundle("holds no certificate")
    );
    let broken = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    assert_eq!(plan().with_bundle(broken).unwrap_err(), Unusable::Bundle("is not PEM"));
    let long = vec![b'x'; LONGEST_BUNDLE + 1];
    assert_eq!(plan().with_bundle(&long).unwrap_err(), Unusable::Bundle("is too long"));
    assert!(
        plan()
            .with_client_certificate(pem.as_bytes(), &key(&pair.signing_key))
            .is_ok()
    );
    for (certificates, key) in [
        (pem.as_str(), key(&other)),
        ("", key(&other)),
        (pem.as_str(), SecretString::from("nonsense".to_owned())),
    ] {
        let error = plan()
            .with_client_certificate(certificates.as_bytes(), &key)
            .unwrap_err();
        assert!(matches!(error, Unusable::ClientCertificate(_)));
    }
    let plan = plan()
        .with_client_certificate(pem.as_bytes(), &key(&pair.signing_key))
        .unwrap();
    assert!(!format!("{plan:?}").contains("PRIVATE"));
}

#[tokio::test]
async fn every_address_of_a_name_is_looked_at() {
    let (port, _) = says(b"").await;
    let evidence = look(
        &plan(port, &json!({ "host": "localhost", "protocol": "Tcp" })),
        PATIENCE,
    )
    .await;
    assert_eq!(evidence.resolution, Resolution::Found);
    let v4: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    let found = evidence
        .addresses
        .iter()
        .find(|found| found.address == v4.ip())
        .unwrap();
    assert_eq!(found.obstacle, None);
    // Where there is IPv6, nobody listens there.
    for other in evidence.addresses.iter().filter(|found| found.address != v4.ip()) {
        assert!(other.obstacle.is_some(), "{other:?}");
    }
    let none = look(&plan(port, &json!({ "host": "no-such-name.invalid" })), PATIENCE).await;
    assert_eq!((none.resolution, none.addresses), (Resolution::NotFound, Vec::new()));
}
