//! Phones and other clients, in a few lines of their own: what is tested has no part in them.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

/// A client at a UDP port of its own.
pub struct Phone {
    socket: UdpSocket,
    server: u16,
    port: u16,
    name: String,
    count: u32,
    waiting: VecDeque<String>,
}

/// A call, as the phone that placed it knows it.
pub struct Call {
    id: String,
    route: Vec<String>,
    target: String,
    from: String,
    to: String,
}

impl Phone {
    pub async fn new(name: &str, server: u16) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        Self {
            socket,
            server,
            port,
            name: name.to_owned(),
            count: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Registers, so that it can be called.
    pub async fn register(&mut self) {
        let to = format!("sip:{}@example.test", self.name);
        let answer = self
            .ask("REGISTER", "sip:example.test", &to, "Expires: 600\r\n", "")
            .await;
        assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    }

    /// Publishes presence for the phone's user; returns the server's name of the entry.
    pub async fn publish(&mut self, activity: &str, seconds: u32) -> String {
        let user = format!("sip:{}@example.test", self.name);
        let id = format!("phone{}", self.port);
        let body = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="{user}"><tuple id="{id}"><status><basic>open</basic></status></tuple><dm:person id="{id}p"><rpid:activities><rpid:{activity}/></rpid:activities></dm:person></presence>"#
        );
        let fields = format!("Event: presence\r\nExpires: {seconds}\r\nContent-Type: application/pidf+xml\r\n");
        let answer = self.ask("PUBLISH", &user, &user, &fields, &body).await;
        assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
        field(&answer, "SIP-ETag").unwrap().to_owned()
    }

    /// Calls somebody, whose phone takes the call when told to.
    pub async fn call(&mut self, other: &mut Phone) -> (Call, String) {
        self.count += 1;
        let id = format!("call{}-{}", self.port, self.count);
        let from = format!("<sip:{}@example.test>;tag=caller", self.name);
        let to = format!("<sip:{}@example.test>", other.name);
        let uri = format!("sip:{}@example.test", other.name);
        self.send(&format!(
            "INVITE {uri} SIP/2.0\r\n{}From: {from}\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: 1 INVITE\r\nContact: <sip:{}@127.0.0.1:{}>\r\nContent-Length: 0\r\n\r\n",
            self.via(), self.name, self.port
        ))
        .await;
        let invite = other.next("INVITE").await;
        other.answer(&invite, "180 Ringing").await;
        self.next("SIP/2.0 180").await;
        let call = Call {
            id,
            route: Vec::new(),
            target: String::new(),
            from,
            to: format!("{to};tag=callee"),
        };
        (call, invite)
    }

    /// The called phone takes the call.
    pub async fn take(&mut self, caller: &mut Phone, call: &mut Call, invite: &str) {
        self.answer(invite, "200 OK").await;
        let taken = caller.next("SIP/2.0 200").await;
        call.route = fields(&taken, "Record-Route")
            .map(|route| format!("Route: {route}\r\n"))
            .collect();
        call.route.reverse();
        let target = field(&taken, "Contact").unwrap();
        target.trim_matches(['<', '>']).clone_into(&mut call.target);
        caller.within(call, 1, "ACK").await;
        self.next("ACK").await;
    }

    /// The phone that placed the call ends it.
    pub async fn hang_up(&mut self, other: &mut Phone, call: &Call) {
        self.within(call, 2, "BYE").await;
        let bye = other.next("BYE").await;
        other.answer(&bye, "200 OK").await;
        self.next("SIP/2.0 200").await;
    }

    async fn within(&mut self, call: &Call, number: u32, method: &str) {
        let route = call.route.concat();
        let text = format!(
            "{method} {} SIP/2.0\r\n{}{route}From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n",
            call.target,
            self.via(),
            call.from,
            call.to,
            call.id
        );
        self.send(&text).await;
    }

    async fn answer(&self, request: &str, status: &str) {
        let mut copied = String::new();
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in fields(request, name) {
                let tag = if name == "To" && !value.contains(";tag=") {
                    ";tag=callee"
                } else {
                    ""
                };
                copied.extend([name, ": ", value, tag, "\r\n"]);
            }
        }
        let contact = format!("Contact: <sip:{}@127.0.0.1:{}>\r\n", self.name, self.port);
        self.send(&format!(
            "SIP/2.0 {status}\r\n{copied}{contact}Content-Length: 0\r\n\r\n"
        ))
        .await;
    }

    async fn ask(&mut self, method: &str, uri: &str, to: &str, extra: &str, body: &str) -> String {
        self.count += 1;
        let text = format!(
            "{method} {uri} SIP/2.0\r\n{}From: <sip:{}@example.test>;tag=t\r\nTo: <{to}>\r\nCall-ID: {}-{}\r\nCSeq: {} {method}\r\nContact: <sip:{}@127.0.0.1:{}>\r\n{extra}Content-Length: {}\r\n\r\n{body}",
            self.via(),
            self.name,
            self.port,
            self.count,
            self.count,
            self.name,
            self.port,
            body.len()
        );
        self.send(&text).await;
        self.next("SIP/2.0").await
    }

    fn via(&self) -> String {
        let branch = fastrand::u64(..);
        format!(
            "Via: SIP/2.0/UDP 127.0.0.1:{};branch=z9hG4bK{branch:x}\r\nMax-Forwards: 70\r\n",
            self.port
        )
    }

    async fn send(&self, text: &str) {
        self.socket
            .send_to(text.as_bytes(), ("127.0.0.1", self.server))
            .await
            .unwrap();
    }

    /// The next message that begins so; others are kept for later, save what only says that the server works on it.
    async fn next(&mut self, start: &str) -> String {
        if let Some(at) = self.waiting.iter().position(|text| text.starts_with(start)) {
            return self.waiting.remove(at).unwrap();
        }
        loop {
            let mut buffer = vec![0; 65_536];
            let received = timeout(Duration::from_secs(10), self.socket.recv(&mut buffer)).await;
            let length = received
                .unwrap_or_else(|_| panic!("{}: no {start}", self.name))
                .unwrap();
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if text.starts_with(start) {
                return text;
            }
            if !text.starts_with("SIP/2.0 100") {
                self.waiting.push_back(text);
            }
        }
    }
}

fn fields<'a>(message: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let head = message.split("\r\n\r\n").next().unwrap_or_default();
    let name = format!("{name}: ");
    head.split("\r\n").filter_map(move |line| line.strip_prefix(&name))
}

fn field<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    fields(message, name).next()
}
