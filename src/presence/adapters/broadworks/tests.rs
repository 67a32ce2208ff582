//! Against an XSP of a few lines, over HTTP.

use std::convert::Infallible;
use std::sync::Mutex;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::Registry;
use tokio::net::TcpListener;

use super::*;
use crate::api::presence::AddressRule;
use crate::api::reference::SecretKeyRef;
use crate::policy::presence::pbx::{Line, Origin, PbxView};

mod simulator;

const PASSWORD: &str = "pä:ss\"&<wörd";

/// What was asked, and how the XSP is to behave.
#[derive(Default)]
struct Xspd {
    asked: Mutex<Vec<(String, String)>>,
    streams: Mutex<Vec<mpsc::UnboundedSender<Bytes>>>,
    /// The status that channels are refused with.
    refuse: Mutex<Option<u16>>,
    /// Requests whose line contains this fail with status 500.
    broken: Mutex<Option<&'static str>>,
    /// Requests whose line contains this are not answered.
    mute: Mutex<Option<&'static str>>,
    /// Channels are accepted, and nothing is said over them.
    is_speechless: bool,
    is_on: Mutex<bool>,
    /// The ring splash of do not disturb.
    rings: Mutex<bool>,
}

impl Xspd {
    fn asked(&self, what: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let bodies = asked.iter().filter(|(line, _)| line.contains(what));
        bodies.map(|(_, body)| body.clone()).collect()
    }

    /// Sends over the newest channel, a few bytes at a time.
    fn say(&self, text: &str) {
        let streams = self.streams.lock().unwrap();
        for chunk in text.as_bytes().chunks(7) {
            streams.last().unwrap().send(Bytes::copy_from_slice(chunk)).unwrap();
        }
    }

    fn hang_up(&self) {
        self.streams.lock().unwrap().clear();
    }
}

async fn answer(State(xsp): State<Arc<Xspd>>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri().path());
    let headers = request.headers().clone();
    let body = axum::body::to_bytes(request.into_body(), 100_000).await.unwrap();
    xsp.asked
        .lock()
        .unwrap()
        .push((line.clone(), String::from_utf8(body.to_vec()).unwrap()));
    if !is_administrator(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let is_mute = xsp.mute.lock().unwrap().is_some_and(|part| line.contains(part));
    if is_mute {
        return std::future::pending().await;
    }
    if line.starts_with("POST /com.broadsoft.async/") {
        return open(&xsp);
    }
    if xsp.broken.lock().unwrap().is_some_and(|part| line.contains(part)) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if headers
        .get(header::COOKIE)
        .is_none_or(|cookie| cookie != "JSESSIONID=x1")
    {
        return (StatusCode::NOT_FOUND, "another XSP holds the channel").into_response();
    }
    if line.starts_with("POST /com.broadsoft.xsi-events/v2.0/user/") {
        let id = if body.windows(9).any(|part| part == b"Disturb</") {
            "s2"
        } else {
            "s1"
        };
        let text = format!(
            "<Subscription xmlns='x'><subscriptionId>{id}</subscriptionId><expires>3600</expires></Subscription>"
        );
        return text.into_response();
    }
    if line.ends_with("/services/DoNotDisturb") {
        let (mut is_on, mut rings) = (xsp.is_on.lock().unwrap(), xsp.rings.lock().unwrap());
        if line.starts_with("PUT") {
            let says = |part: &str| std::str::from_utf8(&body).unwrap().contains(part);
            *is_on = says("<active>true<");
            *rings = says("<ringSplash>true<");
        }
        let fields = format!("<active>{}</active><ringSplash>{}</ringSplash>", *is_on, *rings);
        return format!("<DoNotDisturb xmlns='x'>{fields}</DoNotDisturb>").into_response();
    }
    if line.ends_with("/calls") {
        return "<Calls xmlns='x'/>".into_response();
    }
    StatusCode::OK.into_response()
}

fn is_administrator(headers: &HeaderMap) -> bool {
    use base64::Engine;
    let expected = base64::engine::general_purpose::STANDARD.encode(format!("admin@x:{PASSWORD}"));
    headers
        .get(header::AUTHORIZATION)
        .is_some_and(|given| given == &format!("Basic {expected}"))
}

fn open(xsp: &Xspd) -> Response {
    if let Some(status) = *xsp.refuse.lock().unwrap() {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    let (sender, mut receiver) = mpsc::unbounded_channel::<Bytes>();
    xsp.streams.lock().unwrap().push(sender);
    let chunks = futures::stream::poll_fn(move |context| {
        receiver.poll_recv(context).map(|chunk| chunk.map(Ok::<_, Infallible>))
    });
    let headers = [(header::SET_COOKIE, "JSESSIONID=x1; Path=/; HttpOnly")];
    if xsp.is_speechless {
        return (headers, Body::from_stream(chunks)).into_response();
    }
    xsp.say("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Channel xmlns='x'><channelId>ch1</channelId><expires>3600</expires></Channel>");
    (headers, Body::from_stream(chunks)).into_response()
}

fn event(id: &str, number: u64, data: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><xsi:Event xsi1:type=\"xsi:SubscriptionEvent\"><xsi:eventID>{id}</xsi:eventID>\
         <xsi:sequenceNumber>{number}</xsi:sequenceNumber><xsi:subscriptionId>s1</xsi:subscriptionId>\
         <xsi:targetId>ann@x</xsi:targetId>{data}</xsi:Event>\n"
    )
}

fn call(kind: &str, state: &str) -> String {
    format!(
        "<xsi:eventData xsi1:type=\"xsi:{kind}\"><xsi:call><xsi:callId>c1</xsi:callId><xsi:state>{state}</xsi:state>\
         </xsi:call></xsi:eventData>"
    )
}

struct Stage {
    xsp: Arc<Xspd>,
    pbx: BroadWorks,
    events: mpsc::Receiver<PbxEvent>,
    address: String,
}

async fn stage(xsp: Xspd, password: &str) -> Stage {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let xsp = Arc::new(xsp);
    let app = Router::new().fallback(answer).with_state(xsp.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let config = Config {
        xsps: vec![address.clone()],
        username: "admin@x".to_owned(),
        password_secret_ref: SecretKeyRef {
            name: "xsi".to_owned(),
            key: "password".to_owned(),
        },
        service_provider: None,
        address: AddressRule::default(),
        ca_bundle_secret_ref: None,
    };
    let (sender, events) = mpsc::channel(100);
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let pbx = start(&config, &SecretString::from(password), &[], &metrics, sender).unwrap();
    Stage {
        xsp,
        pbx,
        events,
        address,
    }
}

impl Stage {
    async fn next(&mut self) -> PbxEvent {
        timeout(Duration::from_secs(10), self.events.recv())
            .await
            .unwrap()
            .unwrap()
    }

    /// The next view that fulfils a condition.
    async fn view(&mut self, is: impl Fn(&PbxView) -> bool) -> PbxView {
        loop {
            if let PbxEvent::View { id, view } = self.next().await
                && is(&view)
            {
                assert_eq!(id, "ann@x");
                return view;
            }
        }
    }

    async fn until(&self, what: &str, count: usize) {
        for _ in 0..500 {
            if self.xsp.asked(what).len() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: {:?}", self.xsp.asked.lock().unwrap());
    }
}

#[tokio::test]
async fn calls_are_told_and_events_acknowledged() {
    let mut stage = stage(Xspd::default(), PASSWORD).await;
    let up = PbxEvent::Up {
        endpoint: stage.address.clone(),
    };
    assert_eq!(stage.next().await, up);
    stage.pbx.watch(vec!["ann@x".to_owned()]).await;
    stage.until("POST /com.broadsoft.xsi-events/v2.0/user/ann@x", 2).await;
    stage.xsp.say(&event(
        "e1",
        1,
        "<xsi:eventData xsi1:type=\"xsi:CallSubscriptionEvent\"/>",
    ));
    stage.view(|view| view.line == Line::Idle).await;
    stage.xsp.say(&event("e2", 2, &call("CallReceivedEvent", "Alerting")));
    stage.view(|view| view.line == Line::Ringing).await;
    stage.xsp.say(&event("e3", 3, &call("CallAnsweredEvent", "Active")));
    stage.view(|view| view.line == Line::Connected).await;
    stage.xsp.say(&event("e4", 4, &call("CallReleasedEvent", "Released")));
    stage.view(|view| view.line == Line::Idle).await;
    stage.until("eventresponse", 4).await;
    let acks = stage.xsp.asked("eventresponse");
    assert!(
        acks[0].contains("<eventID>e1</eventID>") && acks[3].contains("<eventID>e4</eventID>"),
        "{acks:?}"
    );
    let xsp = stage.xsp.clone();
    stage.pbx.close().await;
    assert_eq!(xsp.asked("DELETE /com.broadsoft.xsi-events/v2.0/channel/ch1").len(), 1);
}

#[tokio::test]
async fn a_lost_channel_is_told_and_opened_again() {
    let mut stage = stage(Xspd::default(), PASSWORD).await;
    stage.pbx.watch(vec!["ann@x".to_owned()]).await;
    stage.until("POST /com.broadsoft.xsi-events/v2.0/user/ann@x", 2).await;
    stage.xsp.say(&event(
        "e1",
        1,
        "<xsi:eventData xsi1:type=\"xsi:CallSubscriptionEvent\"/>",
    ));
    stage.view(|view| view.line == Line::Idle).await;
    stage
        .xsp
        .say("<xsi:Event xsi1:type=\"xsi:ChannelTerminatedEvent\"><reason>x</reason></xsi:Event>");
    let unknown = stage.view(|view| view.line == Line::Unknown).await;
    assert_eq!(unknown, PbxView::default());
    stage.until("POST /com.broadsoft.xsi-events/v2.0/user/ann@x", 4).await;
    stage.xsp.hang_up();
    stage.until("POST /com.broadsoft.async", 3).await;
    assert!(
        !stage
            .xsp
            .asked("eventresponse")
            .iter()
            .any(|ack| ack.contains("Terminated"))
    );
}

#[tokio::test]
async fn do_not_disturb_is_switched_and_taken_back() {
    let rings = Xspd {
        rings: Mutex::new(true),
        ..Xspd::default()
    };
    let mut stage = stage(rings, PASSWORD).await;
    stage.pbx.watch(vec!["ann@x".to_owned()]).await;
    stage.view(|view| view.entries == Some(vec![])).await;
    let entry = |activity| OwnEntry {
        activity,
        note: String::new(),
    };
    stage
        .pbx
        .put_own("ann@x", &entry(Activity::DoNotDisturb))
        .await
        .unwrap();
    assert!(*stage.xsp.is_on.lock().unwrap());
    let view = stage.view(|view| view.entries != Some(vec![])).await;
    assert_eq!(view.entries.unwrap()[0].origin, Origin::Ours);
    let refused = stage.pbx.put_own("ann@x", &entry(Activity::Away)).await;
    assert!(matches!(refused, Err(PbxError::Protocol(_))));
    stage.pbx.put_own("ann@x", &entry(Activity::Unset)).await.unwrap();
    assert!(!*stage.xsp.is_on.lock().unwrap());
    assert!(*stage.xsp.rings.lock().unwrap(), "the ring splash is the user's");
    *stage.xsp.is_on.lock().unwrap() = true;
    stage.pbx.clear_own("ann@x").await.unwrap();
    assert!(*stage.xsp.is_on.lock().unwrap(), "the user's own");
}

#[tokio::test]
async fn a_wrong_password_is_told_as_such() {
    let mut stage = stage(Xspd::default(), "wrong").await;
    let event = stage.next().await;
    assert!(
        matches!(
            &event,
            PbxEvent::Down {
                why: PbxError::Auth(_),
                ..
            }
        ),
        "{event:?}"
    );
    let again = timeout(Duration::from_secs(3), stage.events.recv()).await;
    assert!(again.is_err(), "not tried again at once");
    assert!(
        stage
            .pbx
            .put_own(
                "ann@x",
                &OwnEntry {
                    activity: Activity::DoNotDisturb,
                    note: String::new()
                }
            )
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_overloaded_server_is_given_time() {
    let overloaded = Xspd {
        refuse: Mutex::new(Some(503)),
        ..Xspd::default()
    };
    let mut stage = stage(overloaded, PASSWORD).await;
    let event = stage.next().await;
    assert!(
        matches!(
            &event,
            PbxEvent::Down {
                why: PbxError::Throttled(_),
                ..
            }
        ),
        "{event:?}"
    );
    assert_eq!(stage.xsp.asked("POST /com.broadsoft.async").len(), 1);
}

#[tokio::test]
async fn a_stream_that_is_no_xml_ends_the_channel() {
    let mut stage = stage(Xspd::default(), PASSWORD).await;
    stage.next().await;
    stage.xsp.say("<html>oops</body>");
    let event = stage.next().await;
    assert!(
        matches!(
            &event,
            PbxEvent::Down {
                why: PbxError::Protocol(_),
                ..
            }
        ),
        "{event:?}"
    );
}

/// So many seconds pass at once.
async fn jump(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

impl Stage {
    /// Ann is watched, and her line is idle.
    async fn idle(&mut self) {
        self.pbx.watch(vec!["ann@x".to_owned()]).await;
        self.until("POST /com.broadsoft.xsi-events/v2.0/user/ann@x", 2).await;
        let data = "<xsi:eventData xsi1:type=\"xsi:CallSubscriptionEvent\"/>";
        self.xsp.say(&event("e1", 1, data));
        self.view(|view| view.line == Line::Idle).await;
        self.until("eventresponse", 1).await;
    }

    async fn ends(&mut self) -> PbxError {
        loop {
            if let PbxEvent::Down { why, .. } = self.next().await {
                return why;
            }
        }
    }

    /// A call comes and goes, with events of these numbers; the second is awaited.
    async fn call(&mut self, number: u64) {
        let name = |number: u64| format!("e{number}");
        self.xsp
            .say(&event(&name(number), number, &call("CallAnsweredEvent", "Active")));
        self.view(|view| view.line == Line::Connected).await;
        let released = call("CallReleasedEvent", "Released");
        self.xsp.say(&event(&name(number + 1), number + 1, &released));
        self.view(|view| view.line == Line::Idle).await;
    }
}

#[tokio::test]
async fn acknowledgements_may_fail_now_and_then() {
    let mut stage = stage(Xspd::default(), PASSWORD).await;
    stage.idle().await;
    for number in [2, 5] {
        let acks = stage.xsp.asked("eventresponse").len();
        *stage.xsp.broken.lock().unwrap() = Some("eventresponse");
        stage.call(number).await;
        stage.until("eventresponse", acks + 2).await;
        *stage.xsp.broken.lock().unwrap() = None;
        let data = call("CallReleasedEvent", "Released");
        stage.xsp.say(&event(&format!("e{}", number + 2), number + 2, &data));
        stage.until("eventresponse", acks + 3).await;
    }
    assert_eq!(stage.xsp.asked("POST /com.broadsoft.async").len(), 1, "one channel");
    *stage.xsp.broken.lock().unwrap() = Some("eventresponse");
    for number in [10, 12, 14] {
        let acks = stage.xsp.asked("eventresponse").len();
        let data = call("CallReleasedEvent", "Released");
        stage.xsp.say(&event(&format!("e{number}"), number, &data));
        stage.until("eventresponse", acks + 1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let why = stage.ends().await;
    assert!(matches!(why, PbxError::Transport(_)), "{why:?}");
}

#[tokio::test]
async fn two_heartbeats_may_be_missed_and_a_third_may_not() {
    let mut stage = stage(Xspd::default(), PASSWORD).await;
    stage.idle().await;
    for (misses, is_over) in [(2, false), (3, true)] {
        *stage.xsp.broken.lock().unwrap() = Some("heartbeat");
        for _ in 0..misses {
            let asked = stage.xsp.asked("heartbeat").len();
            jump(15).await;
            stage.until("heartbeat", asked + 1).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        *stage.xsp.broken.lock().unwrap() = None;
        if is_over {
            let why = stage.ends().await;
            assert!(why.to_string().contains("500"), "{why:?}");
            return;
        }
        // One that is answered makes good for those before, and the stream is not silent either.
        let asked = stage.xsp.asked("heartbeat").len();
        jump(15).await;
        stage.until("heartbeat", asked + 1).await;
        stage.call(2).await;
        assert_eq!(stage.xsp.asked("POST /com.broadsoft.async").len(), 1, "one channel");
    }
}

#[tokio::test]
async fn a_stream_on_which_nothing_comes_is_given_up() {
    let mut stage = stage(Xspd::default(), PASSWORD).await;
    stage.idle().await;
    jump(80).await;
    stage.xsp.say("<?xml version=\"1.0\"?><ChannelHeartBeat xmlns='x'/>");
    tokio::time::sleep(Duration::from_millis(200)).await;
    jump(80).await;
    stage.call(2).await;
    assert_eq!(stage.xsp.asked("POST /com.broadsoft.async").len(), 1, "one channel");
    jump(91).await;
    let why = stage.ends().await;
    assert_eq!(why, PbxError::Transport("the events channel is silent".to_owned()));
}

#[tokio::test]
async fn a_channel_that_is_accepted_and_not_named_is_given_up() {
    let speechless = Xspd {
        is_speechless: true,
        ..Xspd::default()
    };
    let mut stage = stage(speechless, PASSWORD).await;
    stage.until("POST /com.broadsoft.async", 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    jump(11).await;
    let why = stage.ends().await;
    assert_eq!(
        why,
        PbxError::Protocol("the events channel is not named in time".to_owned())
    );
    stage.until("POST /com.broadsoft.async", 2).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_down() {
    let mute = Xspd {
        mute: Mutex::new(Some("com.broadsoft.async")),
        ..Xspd::default()
    };
    let mut stage = stage(mute, PASSWORD).await;
    stage.until("POST /com.broadsoft.async", 1).await;
    jump(11).await;
    let why = stage.ends().await;
    assert!(matches!(why, PbxError::Transport(_)), "{why:?}");
}

#[tokio::test]
async fn a_server_that_accepts_subscriptions_and_tells_nothing_is_asked() {
    let mut stage = stage(Xspd::default(), PASSWORD).await;
    stage.pbx.watch(vec!["ann@x".to_owned()]).await;
    stage.until("POST /com.broadsoft.xsi-events/v2.0/user/ann@x", 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(stage.xsp.asked("/calls").is_empty(), "it is given a moment");
    jump(6).await;
    let known = |view: &PbxView| view.line == Line::Idle && view.entries == Some(vec![]);
    stage.view(known).await;
    assert_eq!(stage.xsp.asked("POST /com.broadsoft.async").len(), 1, "one channel");
}

#[tokio::test]
async fn heartbeats_that_are_not_answered_end_the_channel() {
    let mut stage = stage(Xspd::default(), PASSWORD).await;
    stage.idle().await;
    *stage.xsp.mute.lock().unwrap() = Some("heartbeat");
    for _ in 0..3 {
        let asked = stage.xsp.asked("heartbeat").len();
        jump(15).await;
        stage.until("heartbeat", asked + 1).await;
        // As long as an answer may take.
        jump(11).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let why = stage.ends().await;
    assert!(matches!(why, PbxError::Transport(_)), "{why:?}");
    assert_eq!(stage.view(|_| true).await, PbxView::default(), "nothing is known");
}
