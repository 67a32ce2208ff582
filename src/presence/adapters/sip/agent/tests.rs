use std::time::{Duration, Instant};

use jiff::Timestamp;
use prometheus::Registry;
use serde_json::json;

use super::*;
use crate::policy::presence::pbx::{Activity, Entry, Line, Origin, OwnEntry, PbxView};
use crate::presence::adapters::metrics::{Kind, Metrics};

mod properties;
mod publishing;
mod watching;

/// An agent with a server that the test plays.
struct World {
    agent: Agent,
    now: Instant,
    sent: Vec<Message>,
    done: Vec<(Ticket, Result<(), PbxError>)>,
    dropped: Option<PbxError>,
    notifications: u32,
}

impl World {
    fn new(transport: &str, username: Option<&str>) -> Self {
        let config = json!({ "host": "pbx", "domain": "example.test", "transport": transport, "username": username });
        let credentials = username.map(|name| Credentials {
            username: name.to_owned(),
            password: "secret".to_owned().into(),
        });
        let profile = Profile::new(&serde_json::from_value(config).unwrap(), credentials).unwrap();
        let tally = Metrics::new(&Registry::new()).unwrap().of(Kind::Sip);
        Self {
            agent: Agent::new(profile, tally),
            now: Instant::now(),
            sent: Vec::new(),
            done: Vec::new(),
            dropped: None,
            notifications: 0,
        }
    }

    /// Connected and answered, with these users watched, whose subscriptions are not answered yet.
    fn up(users: &[&str]) -> Self {
        let mut world = Self::new("TCP", None);
        world.watch(users);
        world.connect();
        world.answer(0, 200, &[]);
        assert_eq!(
            world.events(),
            [PbxEvent::Up {
                endpoint: "pbx".to_owned()
            }]
        );
        world
    }

    /// The same, with every subscription accepted and told of once.
    fn settled(users: &[&str]) -> Self {
        let mut world = Self::up(users);
        world.accept_all();
        world.events();
        world
    }

    fn connect(&mut self) {
        self.sent.clear();
        self.dropped = None;
        self.agent.connected("10.0.0.9:4000".parse().unwrap(), self.now);
        self.collect();
    }

    fn watch(&mut self, users: &[&str]) {
        let users = users.iter().map(|user| (*user).to_owned()).collect();
        self.agent.watch(users, self.now);
        self.collect();
    }

    fn put(&mut self, ticket: Ticket, user: &str, activity: Activity, ttl: u64) {
        let entry = OwnEntry {
            activity,
            note: String::new(),
        };
        let ttl = Duration::from_secs(ttl);
        self.agent
            .put(ticket, user, Put { entry, ttl }, Timestamp::UNIX_EPOCH, self.now);
        self.collect();
    }

    fn clear(&mut self, ticket: Ticket, user: &str) {
        self.agent.clear(ticket, user, self.now);
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(output) = self.agent.output() {
            match output {
                Output::Send(bytes) => self.sent.push(Message::read(&bytes).unwrap()),
                Output::Done(ticket, outcome) => self.done.push((ticket, outcome)),
                Output::Drop(why) => self.dropped = Some(why),
            }
        }
    }

    fn events(&mut self) -> Vec<PbxEvent> {
        std::iter::from_fn(|| self.agent.event()).collect()
    }

    fn done(&mut self) -> Vec<(Ticket, Result<(), PbxError>)> {
        std::mem::take(&mut self.done)
    }

    fn views(&mut self) -> Vec<(String, PbxView)> {
        let views = self.events().into_iter().filter_map(|event| match event {
            PbxEvent::View { id, view } => Some((id, view)),
            _ => None,
        });
        views.collect()
    }

    /// Takes the requests of this method that were sent, the oldest first.
    fn requests(&mut self, wanted: &str) -> Vec<Message> {
        let is = |message: &Message| matches!(&message.start, Start::Request { method, .. } if method == wanted);
        let (taken, rest) = std::mem::take(&mut self.sent).into_iter().partition(is);
        self.sent = rest;
        taken
    }

    fn only(&mut self, method: &str) -> Message {
        let mut requests = self.requests(method);
        assert_eq!(requests.len(), 1, "{method}: {requests:?}");
        requests.remove(0)
    }

    /// Answers the request that was sent at this place of the list.
    fn answer(&mut self, at: usize, status: u16, fields: &[(&str, &str)]) {
        let request = self.sent.remove(at);
        self.answer_to(&request, status, fields);
    }

    fn answer_to(&mut self, request: &Message, status: u16, fields: &[(&str, &str)]) {
        let mut answer = Message::answer(request, status);
        for (name, value) in fields {
            answer = answer.with(name, *value);
        }
        let text = String::from_utf8(answer.to_bytes()).unwrap();
        // The server's tag, as SUBSCRIBE wants it.
        let text = if request.tag("To").is_none() {
            let to = request.field("To").unwrap();
            text.replace(&format!("To: {to}\r\n"), &format!("To: {to};tag=server\r\n"))
        } else {
            text
        };
        self.receive(&text);
    }

    fn receive(&mut self, text: &str) {
        self.agent.received(&Message::read(text.as_bytes()).unwrap(), self.now);
        self.collect();
    }

    /// Accepts every subscription that was asked for, and tells that nothing is known.
    fn accept_all(&mut self) {
        loop {
            let requests = self.requests("SUBSCRIBE");
            if requests.is_empty() {
                return;
            }
            for request in requests {
                self.answer_to(&request, 200, &[("Expires", "600"), ("Contact", "<sip:pbx:5060>")]);
                assert_eq!(self.notify(&request, "active", ""), 200);
            }
        }
    }

    /// Notifies within the subscription of a request; returns how it was answered.
    fn notify(&mut self, subscribe: &Message, state: &str, body: &str) -> u16 {
        self.notifications += 1;
        let number = self.notifications;
        self.notify_as(subscribe, number, state, body)
    }

    fn notify_as(&mut self, subscribe: &Message, number: u32, state: &str, body: &str) -> u16 {
        let event = subscribe.field("Event").unwrap();
        let kind = subscribe.field("Accept").unwrap();
        let to = subscribe.field("From").unwrap();
        let call_id = subscribe.field("Call-ID").unwrap();
        self.receive(&format!(
            "NOTIFY sip:x SIP/2.0\r\nVia: SIP/2.0/TCP pbx;branch=z9hG4bKn{number}\r\nFrom: <sip:u@x>;tag=server\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: {number} NOTIFY\r\nEvent: {event}\r\nSubscription-State: {state}\r\nContent-Type: {kind}\r\n\r\n{body}"
        ));
        let Start::Response { status } = self.sent.pop().unwrap().start else {
            panic!("no answer to the notification");
        };
        status
    }

    fn advance(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while let Some(at) = self.agent.deadline().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.agent.tick(self.now);
            self.collect();
        }
        self.now = end;
    }

    /// The same, second by second, with a server that is there.
    fn pass(&mut self, seconds: u32, mut each: impl FnMut(&mut Self)) {
        for _ in 0..seconds {
            self.advance(1.0);
            for probe in self.requests("OPTIONS") {
                self.answer_to(&probe, 200, &[]);
            }
            each(self);
        }
    }

    fn lose(&mut self) {
        self.agent.disconnected(PbxError::Transport("lost".to_owned()));
        self.collect();
        self.sent.clear();
    }
}

fn of_event<'a>(requests: &'a [Message], event: &str) -> &'a Message {
    requests
        .iter()
        .find(|request| request.field("Event") == Some(event))
        .unwrap()
}

fn pidf(activity: &str) -> String {
    format!(
        r#"<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:d="urn:ietf:params:xml:ns:pidf:data-model" xmlns:r="urn:ietf:params:xml:ns:pidf:rpid"><d:person id="p"><r:activities><r:{activity}/></r:activities></d:person></presence>"#
    )
}

fn dialog_info(state: &str) -> String {
    format!(
        r#"<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="0" state="full"><dialog id="1"><state>{state}</state></dialog></dialog-info>"#
    )
}

fn user_entry(activity: Activity) -> Entry {
    Entry {
        origin: Origin::User,
        activity,
        note: String::new(),
        since: None,
    }
}

#[test]
fn a_password_is_proven_and_remembered() {
    let mut world = World::new("TCP", Some("sync"));
    world.watch(&["anna"]);
    world.connect();
    let challenge = r#"Digest realm="example.test", nonce="n1", qop="auth", algorithm=SHA-256"#;
    world.answer(0, 401, &[("WWW-Authenticate", challenge)]);
    assert!(world.events().is_empty());
    let probe = world.only("OPTIONS");
    assert!(probe.field("Authorization").unwrap().contains("nc=00000001"));
    world.answer_to(&probe, 404, &[]);
    let subscribes = world.requests("SUBSCRIBE");
    assert_eq!(
        subscribes.len(),
        2,
        "whatever OPTIONS is answered with, the server is there"
    );
    for subscribe in &subscribes {
        let proof = subscribe.field("Authorization").unwrap();
        assert!(
            proof.contains(r#"username="sync""#) && proof.contains(r#"nonce="n1""#),
            "{proof}"
        );
        assert!(!proof.contains("secret"), "{proof}");
    }
    // The nonce is old: once more, without a word to anybody.
    let fresh = r#"Digest realm="example.test", nonce="n2", qop="auth", stale=true"#;
    world.answer_to(&subscribes[0], 401, &[("WWW-Authenticate", fresh)]);
    assert!(
        world
            .only("SUBSCRIBE")
            .field("Authorization")
            .unwrap()
            .contains(r#"nonce="n2""#)
    );
    assert_eq!(world.dropped, None);
}

#[test]
fn a_wrong_password_ends_the_connection() {
    let challenge = [("WWW-Authenticate", r#"Digest realm="r", nonce="n""#)];
    let basic = [("WWW-Authenticate", r#"Basic realm="r""#)];
    let cases = [
        (
            Some("sync"),
            &challenge,
            2,
            "the server refuses the user name or the password",
        ),
        (
            None,
            &challenge,
            1,
            "the server asks for a user name and password, and none is configured",
        ),
        (
            Some("sync"),
            &basic,
            1,
            "the server asks for a proof of a kind that is not known here",
        ),
    ];
    for (username, fields, answers, expected) in cases {
        let mut world = World::new("TCP", username);
        world.connect();
        for _ in 0..answers {
            world.answer(0, 401, fields);
        }
        assert_eq!(world.dropped, Some(PbxError::Auth(expected.to_owned())));
        assert!(world.events().is_empty());
    }
}

#[test]
fn datagrams_are_repeated_and_given_up() {
    let mut world = World::new("UDP", None);
    world.connect();
    world.advance(9.9);
    let probes = world.requests("OPTIONS");
    assert_eq!(probes.len(), 5, "at 0, 0.5, 1.5, 3.5, 7.5 s");
    assert!(probes.iter().all(|probe| *probe == probes[0]));
    world.advance(0.2);
    assert_eq!(
        world.dropped,
        Some(PbxError::Transport("it does not answer in time".to_owned()))
    );
}

#[test]
fn a_silent_server_is_noticed() {
    let mut world = World::settled(&["anna"]);
    world.advance(37.0);
    assert_eq!(
        world.requests("SUBSCRIBE").len(),
        1,
        "a refresh that is also a question"
    );
    assert_eq!(world.requests("OPTIONS").len(), 0);
    world.advance(10.0);
    assert_eq!((world.requests("OPTIONS").len(), world.dropped.clone()), (1, None));
    world.advance(10.0);
    assert_eq!(
        world.dropped,
        Some(PbxError::Transport("it does not answer in time".to_owned()))
    );
    world.lose();
    let lost = PbxError::Transport("lost".to_owned());
    assert_eq!(
        world.events(),
        [PbxEvent::Down {
            endpoint: "pbx".to_owned(),
            why: lost
        }]
    );
    // With nobody to watch, the question is OPTIONS.
    let mut world = World::settled(&[]);
    world.advance(31.0);
    assert_eq!(world.requests("OPTIONS").len(), 1);
}

#[test]
fn one_user_whose_requests_are_not_answered_does_not_end_the_connection() {
    let mut world = World::up(&["anna", "lost"]);
    world.put(1, "lost", Activity::Busy, 3600);
    let is_of = |user: &str, request: &Message| request.field("To").is_some_and(|to| to.contains(user));
    let mut tries = 0;
    let mut told = Vec::new();
    for _ in 0..120 {
        let publish = world.requests("PUBLISH");
        assert!(publish.iter().all(|request| is_of("lost", request)));
        for request in world.requests("SUBSCRIBE") {
            if is_of("lost", &request) {
                tries += 1;
            } else {
                world.answer_to(&request, 200, &[("Expires", "600"), ("Contact", "<sip:pbx:5060>")]);
                world.notify(&request, "active", "");
            }
        }
        world.pass(1, |_| {});
        told.extend(world.done());
        assert_eq!(world.dropped, None);
    }
    assert!((4..12).contains(&tries), "both packages, a few times: {tries}");
    let late = Err(PbxError::Transport("it does not answer in time".to_owned()));
    assert_eq!(told, [(1, late)]);
}

#[test]
fn the_address_is_as_the_server_sees_it() {
    let mut world = World::new("UDP", None);
    world.watch(&["anna"]);
    world.connect();
    let probe = world.only("OPTIONS");
    assert_eq!(probe.field("Contact"), Some("<sip:teams-graph-operator@10.0.0.9:4000>"));
    let text = String::from_utf8(Message::answer(&probe, 200).to_bytes()).unwrap();
    world.receive(&text.replace(";rport", ";received=192.0.2.7;rport=61000"));
    let contact = "<sip:teams-graph-operator@192.0.2.7:61000>";
    assert!(
        world
            .requests("SUBSCRIBE")
            .iter()
            .all(|request| request.field("Contact") == Some(contact))
    );
}

#[test]
fn other_requests_are_answered() {
    let mut world = World::up(&[]);
    for (method, expected) in [
        ("OPTIONS", Some(200)),
        ("INVITE", Some(405)),
        ("NOTIFY", Some(481)),
        ("ACK", None),
    ] {
        world.sent.clear();
        world.receive(&format!(
            "{method} sip:x SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\n\r\n"
        ));
        let seen = world.sent.pop().map(|answer| answer.start);
        assert_eq!(seen, expected.map(|status| Start::Response { status }), "{method}");
    }
}
