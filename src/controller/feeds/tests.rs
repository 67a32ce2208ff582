//! The listeners over real sockets, and the way to the leader.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prometheus::{IntCounterVec, Opts};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::controller::testing::{client, recording, refusal};

const ANYWHERE: &str = "127.0.0.1:0";

fn counts() -> Counts {
    let counters = |name: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, "Help."), labels).unwrap();
    Counts {
        events: counters("events", &["feed", "result"]),
        gaps: counters("gaps", &["feed"]),
    }
}

struct Bench {
    address: SocketAddr,
    counts: Counts,
    sinks: Arc<Sinks>,
    http: reqwest::Client,
    server: Option<Server>,
}

type Server = AbortOnDropHandle<io::Result<()>>;

impl Bench {
    /// A server with the sink of `n/c`.
    fn start() -> Self {
        Self::settling(Duration::ZERO)
    }

    /// The same, for a leader that takes so long to let all others in.
    fn settling(limit: Duration) -> Self {
        let counts = counts();
        let sinks = Arc::new(Sinks::new(counts.clone()));
        sinks.open("n", "c", "u", "pexip", "pass");
        let listener = events::bind(ANYWHERE.parse().unwrap()).unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            server: Some(AbortOnDropHandle::new(tokio::spawn(events::serve(
                listener,
                sinks.clone(),
                counts.clone(),
                Instant::now() + limit,
            )))),
            sinks,
            counts,
        }
    }

    async fn post(
        &self,
        object: &str,
        login: Option<(&str, &str)>,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Response {
        let url = format!("http://{}/pexip/{object}/events", self.address);
        let request = self.http.post(url).body(body);
        let request = match login {
            Some((name, password)) => request.basic_auth(name, Some(password)),
            None => request,
        };
        request.send().await.unwrap()
    }

    /// What is answered to a request as it stands here, if the connection is closed then.
    async fn closed(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // What was not read resets the connection, and may take the answer along.
        let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        let _ = read.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// What is answered to a request as it stands here.
    async fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = vec![0; 4096];
        let length = timeout(Duration::from_secs(20), stream.read(&mut answer))
            .await
            .unwrap()
            .unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    fn counted(&self, result: &str) -> u64 {
        self.counts.events.with_label_values(&["event_sink", result]).get()
    }
}

fn left(seq: u64) -> Value {
    json!({
        "node": "10.0.0.1", "seq": seq, "version": 2, "time": 1_800_000_000.5, "event": "participant_disconnected",
        "data": { "uuid": format!("p{seq}"), "service_type": "gateway", "destination_alias": "123456789@example.com" },
    })
}

const RIGHT: Option<(&str, &str)> = Some(("pexip", "pass"));

#[tokio::test]
async fn events_are_taken_from_who_has_the_password() {
    let bench = Bench::start();
    for body in [
        left(1),
        left(1),
        json!({ "event": "eventsink_bulk", "data": [left(2), left(3)] }),
    ] {
        assert_eq!(bench.post("n/c", RIGHT, body.to_string()).await.status(), 200);
    }
    assert_eq!((bench.counted("call"), bench.counted("duplicate")), (3, 1));
    let mut answers = Vec::new();
    for (object, login) in [
        ("n/c", None),
        ("n/c", Some(("pexip", "Pass"))),
        ("n/c", Some(("", ""))),
        ("n/other", RIGHT),
    ] {
        let answer = bench.post(object, login, left(9).to_string()).await;
        let challenge = answer.headers()["www-authenticate"].to_str().unwrap().to_owned();
        answers.push((answer.status().as_u16(), challenge, answer.text().await.unwrap()));
    }
    answers.dedup();
    assert_eq!(
        answers,
        [(401, "Basic realm=\"events\"".to_owned(), String::new())],
        "all alike"
    );
    assert_eq!((bench.counted("unauthorized"), bench.counted("call")), (4, 3));
    let status = bench.post("n/c", RIGHT, "<html>").await.status();
    assert_eq!(
        (status.as_u16(), bench.counted("malformed")),
        (200, 1),
        "or it comes again"
    );
    assert_eq!(bench.post("n/c/x", RIGHT, left(9).to_string()).await.status(), 404);
    bench.sinks.close("n", "c");
    assert_eq!(bench.post("n/c", RIGHT, left(9).to_string()).await.status(), 401);
}

#[tokio::test]
async fn who_does_not_succeed_keeps_no_connection() {
    let bench = Bench::start();
    for (request, status) in [
        ("GET / HTTP/1.1\r\n", "404"),
        ("GET /pexip/n/c/events HTTP/1.1\r\n", "405"),
        ("POST /pexip/n/c/events HTTP/1.1\r\nContent-Length: 0\r\n", "401"),
        ("POST /pexip/%ff/c/events HTTP/1.1\r\nContent-Length: 0\r\n", "400"),
    ] {
        let answer = bench.closed(format!("{request}Host: x\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    // Nor much memory: so long a head is not read to its end.
    let filler = "x".repeat(20_000);
    let request = format!("GET /{filler} HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = bench.closed(request.as_bytes()).await;
    assert!(!answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn a_new_leader_refuses_nobody_for_good() {
    let bench = Bench::settling(Duration::from_secs(3600));
    for (object, login) in [("n/c", None), ("n/other", RIGHT)] {
        assert_eq!(bench.post(object, login, left(9).to_string()).await.status(), 503);
    }
    assert_eq!(bench.post("n/c", RIGHT, left(1).to_string()).await.status(), 200);
    assert_eq!((bench.counted("not_settled"), bench.counted("unauthorized")), (2, 0));
}

#[tokio::test]
async fn connections_end_with_the_server() {
    let mut bench = Bench::start();
    let login = STANDARD.encode("pexip:pass");
    let request = format!(
        "POST /pexip/n/c/events HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    let mut answer = vec![0; 4096];
    for _ in 0..2 {
        stream.write_all(request.as_bytes()).await.unwrap();
        let length = stream.read(&mut answer).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200 "));
    }
    drop(bench.server.take());
    let ended = timeout(Duration::from_secs(20), stream.read(&mut answer))
        .await
        .unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

/// Hard input 15: a batch of 10 MB.
#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let bench = Bench::start();
    let login = STANDARD.encode("pexip:pass");
    let head = format!("POST /pexip/n/c/events HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\n");
    let announced = format!("{head}Content-Length: 10485760\r\n\r\n");
    let answer = bench.raw(announced.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // One that does not say how long it is.
    let chunk = "x".repeat(events::LONGEST + 1);
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{chunk}\r\n",
        chunk.len()
    );
    let answer = bench.raw(chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(bench.counted("too_large"), 2);
    // Who has no password is not read at all.
    let answer = bench.raw(announced.replace(&login, "x").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    // The largest that is taken.
    let mut full = json!({ "event": "eventsink_bulk", "data": [left(1)], "filler": "" });
    full["filler"] = json!("x".repeat(events::LONGEST - full.to_string().len()));
    let full = full.to_string();
    assert_eq!(full.len(), events::LONGEST);
    assert_eq!(bench.post("n/c", RIGHT, full).await.status(), 200);
    assert_eq!(bench.counted("call"), 1);
}

fn failed(call: &str) -> String {
    format!(
        "<134>1 2026-11-27T09:00:00Z edge01 pexip - - - Level=\"ERROR\" Name=\"support.teams\" \
         Message=\"Teams API request failed\" Call-Id=\"{call}\" Error=\"401\""
    )
}

#[tokio::test]
async fn the_support_log_is_taken_over_tcp_and_udp() {
    let counts = counts();
    let log = Arc::new(Log::new(counts.clone()));
    let listener = TcpListener::bind(ANYWHERE).await.unwrap();
    let address = listener.local_addr().unwrap();
    let receiver = UdpSocket::bind(address).await.unwrap();
    let _tcp = AbortOnDropHandle::new(tokio::spawn(syslog::connections(listener, log.clone())));
    let _udp = AbortOnDropHandle::new(tokio::spawn(syslog::datagrams(receiver, log)));
    let line = failed("c");
    let number = |result: &str| counts.events.with_label_values(&["syslog", result]).get();

    let mut stream = TcpStream::connect(address).await.unwrap();
    let oversized = format!("<134>{}\n", "x".repeat(9000));
    let sent = format!("{line}\n{} {line}{oversized}{line}", line.len());
    // In pieces that end anywhere.
    for piece in sent.as_bytes().chunks(37) {
        stream.write_all(piece).await.unwrap();
    }
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    timeout(Duration::from_secs(20), stream.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((number("call"), number("cut"), number("malformed")), (3, 1, 1));

    let socket = UdpSocket::bind(ANYWHERE).await.unwrap();
    for datagram in [line.as_bytes(), b"\xff\x00", oversized.as_bytes()] {
        socket.send_to(datagram, address).await.unwrap();
    }
    let all = async {
        while (number("call"), number("cut"), number("malformed")) != (4, 2, 3) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), all).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_taken_is_tried_until_it_is_free() {
    let counts = counts();
    let (events, syslog) = (
        TcpListener::bind(ANYWHERE).await.unwrap(),
        TcpListener::bind(ANYWHERE).await.unwrap(),
    );
    let (at_events, at_syslog) = (events.local_addr().unwrap(), syslog.local_addr().unwrap());
    let datagrams = UdpSocket::bind(at_syslog).await.unwrap();
    let args = Args {
        events_listen: Some(at_events),
        syslog_listen: Some(at_syslog),
        ..Args::default()
    };
    let feeds = args.feeds(&counts);
    let number = |feed: &str, result: &str| counts.events.with_label_values(&[feed, result]).get();
    let own = counts.clone();
    let listening = AbortOnDropHandle::new(tokio::spawn(async move { listen(&args, &feeds, &own).await }));
    sleep(PAUSE * 3).await;
    assert!(number("event_sink", "listener_failed") > 1 && number("syslog", "listener_failed") > 2);
    drop((events, datagrams));
    while TcpStream::connect(at_events).await.is_err() {
        sleep(PAUSE).await;
    }
    let socket = UdpSocket::bind(ANYWHERE).await.unwrap();
    while number("syslog", "call") == 0 {
        let _ = socket.send_to(failed("c").as_bytes(), at_syslog).await;
        sleep(PAUSE).await;
    }
    // The third goes on trying by itself.
    assert!(!listening.is_finished());
    let before = number("syslog", "listener_failed");
    sleep(PAUSE * 3).await;
    assert!(number("syslog", "listener_failed") > before);
}

#[tokio::test]
async fn who_stops_leading_listens_no_more_and_does_not_end() {
    let (client, _) = recording(|_| (500, json!({})));
    let (mut context, _writers) = crate::controller::testing::context(&client, "");
    let free = std::net::TcpListener::bind(ANYWHERE).unwrap().local_addr().unwrap();
    let mut leader = leader("192.0.2.7");
    leader.args = Args {
        events_listen: Some(free),
        ..Args::default()
    };
    let looks = &context.metrics.looks;
    let feeds = leader.args.feeds(&looks.feeds);
    let connectors = crate::controller::connector::Connectors::new(looks.requests.clone(), feeds);
    Arc::get_mut(&mut context).unwrap().connectors = connectors;
    let stop = CancellationToken::new();
    let running = AbortOnDropHandle::new(tokio::spawn(run(context, leader, stop.clone())));
    let is_open = async |wanted: bool| {
        while TcpStream::connect(free).await.is_ok() != wanted {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), is_open(true)).await.unwrap();
    stop.cancel();
    timeout(Duration::from_secs(20), is_open(false)).await.unwrap();
    assert!(!running.is_finished(), "the leader's work goes on to its end");
}

fn leader(ip: &str) -> Leader {
    Leader {
        args: Args {
            events_listen: Some("[::]:8081".parse().unwrap()),
            syslog_listen: Some("[::]:5514".parse().unwrap()),
            node_name: Some("node-1".to_owned()),
            feeds_service: Some("op-feeds".to_owned()),
            pod_ip: Some(ip.parse().unwrap()),
            pod_uid: Some("u1".to_owned()),
        },
        pod: "op-1".to_owned(),
        namespace: "system".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_leader_makes_the_way_to_itself_and_tries_until_it_is_made() {
    let mut refusals = 2;
    let (client, asked) = recording(move |asked| {
        if refusals > 0 {
            refusals -= 1;
            return refusal(500, "InternalError");
        }
        (200, asked.body.clone())
    });
    let slice = slice::Slice::of(&leader("fd00::7")).unwrap().unwrap();
    let _keeping = timeout(Duration::from_secs(60), slice.keep(&client)).await;
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 3, "and then it rests");
    let last = &asked[2];
    assert_eq!(last.method, "PATCH");
    assert_eq!(
        last.path,
        "/apis/discovery.k8s.io/v1/namespaces/system/endpointslices/op-feeds"
    );
    assert!(last.query.contains("force=true"), "{}", last.query);
    let body = &last.body;
    assert_eq!(body["addressType"], "IPv6");
    assert_eq!(body["metadata"]["labels"]["kubernetes.io/service-name"], "op-feeds");
    assert_eq!(body["metadata"]["ownerReferences"][0]["uid"], "u1");
    assert_eq!(body["endpoints"][0]["addresses"], json!(["fd00::7"]));
    assert_eq!(body["endpoints"][0]["nodeName"], "node-1");
    let ports: Vec<&str> = body["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| port["name"].as_str().unwrap())
        .collect();
    assert_eq!(ports, ["events", "syslog-tcp", "syslog-udp"]);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_says_nothing_is_asked_again() {
    let mut asked = 0;
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let client = client(move |_| {
        asked += 1;
        sender.send(asked).unwrap();
        None
    });
    let slice = slice::Slice::of(&leader("192.0.2.7")).unwrap().unwrap();
    let _keeping = timeout(Duration::from_secs(40), slice.keep(&client)).await;
    let mut last = 0;
    while let Ok(number) = seen.try_recv() {
        last = number;
    }
    assert!(last >= 2, "{last}");
}

#[test]
fn who_does_not_ask_for_it_gets_no_way() {
    let mut without = leader("192.0.2.7");
    without.args.feeds_service = None;
    assert!(slice::Slice::of(&without).is_ok_and(|slice| slice.is_none()));
    let feeds = Args::default().feeds(&counts());
    assert!(feeds.sinks.is_none() && feeds.log.is_none() && feeds.is_open("n", "c"));
}

#[test]
fn a_way_that_cannot_be_made_is_told_of() {
    let changed = |change: fn(&mut Args)| {
        let mut leader = leader("fd00::7");
        change(&mut leader.args);
        slice::Slice::of(&leader).err()
    };
    assert!(changed(|_| {}).is_none());
    assert!(changed(|args| args.pod_ip = None).unwrap().contains("POD_IP"));
    assert!(changed(|args| args.pod_uid = None).unwrap().contains("POD_UID"));
    let nowhere = changed(|args| args.syslog_listen = Some("0.0.0.0:5514".parse().unwrap()));
    assert!(nowhere.unwrap().contains("SYSLOG_LISTEN"));
}
