use proptest::prelude::*;

use super::*;

const NOTIFY: &str = "NOTIFY sip:watch@10.0.0.1:5060 SIP/2.0\r\n\
    v: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1;rport, SIP/2.0/UDP 10.0.0.3;branch=z9hG4bK0\r\n\
    f: \"A;tag=no\" <sip:anna@example.com>;tag=remote\r\n\
    t: <sip:watch@example.com>;tag=local\r\n\
    i: call-1\r\n\
    CSEQ :  7 NOTIFY\r\n\
    o: presence\r\n\
    Subscription-State: active\r\n\
    \t;expires=600\r\n\
    Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n\
    record-route: <sip:p3;lr>\r\n\
    Expires: 60;x=y\r\n\
    l: 4\r\n\
    \r\n\
    bodyignored";

#[test]
fn a_request_is_read() {
    let message = Message::read(NOTIFY.as_bytes()).unwrap();
    assert_eq!(
        message.start,
        Start::Request {
            method: "NOTIFY".to_owned(),
            uri: "sip:watch@10.0.0.1:5060".to_owned()
        }
    );
    assert_eq!(message.branch(), Some("z9hG4bK1"));
    assert_eq!(message.tag("From"), Some("remote"));
    assert_eq!(message.tag("To"), Some("local"));
    assert_eq!(message.sequence(), Some((7, "NOTIFY")));
    assert_eq!(message.field("event"), Some("presence"));
    assert_eq!(message.field("Subscription-State"), Some("active ;expires=600"));
    assert_eq!(message.number("Expires"), Some(60));
    let routes: Vec<_> = message.list("Record-Route").collect();
    assert_eq!(routes, ["<sip:p1;lr>", "<sip:p2;lr>", "<sip:p3;lr>"]);
    assert_eq!(message.body, b"body");
}

#[test]
fn an_answer_copies_what_it_must() {
    let message = Message::read(NOTIFY.as_bytes()).unwrap();
    let bytes = Message::answer(&message, 200).to_bytes();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(
        text.starts_with("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1;rport, "),
        "{text}"
    );
    assert!(!text.contains("Record-Route"), "{text}");
    let read = Message::read(&bytes).unwrap();
    assert_eq!(read.start, Start::Response { status: 200 });
    assert_eq!(read.sequence(), Some((7, "NOTIFY")));
}

#[test]
fn what_is_not_sip_is_refused() {
    let head = |lines: &str| Message::read(format!("{lines}\r\n\r\n").as_bytes()).map(|_| ());
    let cases = [
        ("", Malformed::StartLine),
        ("GET / HTTP/1.1", Malformed::StartLine),
        ("SIP/2.0 20 OK", Malformed::StartLine),
        ("SIP/2.0 0200 OK", Malformed::StartLine),
        ("SIP/2.0 700 OK", Malformed::StartLine),
        ("NOTIFY sip:a b SIP/2.0", Malformed::StartLine),
        ("NOTI\u{e4}Y sip:a SIP/2.0", Malformed::StartLine),
        ("NOTIFY sip:a SIP/2.0\r\nno colon", Malformed::Field),
        ("NOTIFY sip:a SIP/2.0\r\n: x", Malformed::Field),
        ("NOTIFY sip:a SIP/2.0\r\n folded first", Malformed::Field),
        ("NOTIFY sip:a SIP/2.0\r\nX: a\rb", Malformed::Field),
        ("NOTIFY sip:a SIP/2.0\r\nX: a\0b", Malformed::Field),
        ("NOTIFY sip:a SIP/2.0\r\nContent-Length: -1", Malformed::Length),
        ("NOTIFY sip:a SIP/2.0\r\nContent-Length: +0", Malformed::Length),
        ("NOTIFY sip:a SIP/2.0\r\nl: 0\r\nl: 1", Malformed::Length),
        ("NOTIFY sip:a SIP/2.0\r\nl: 99", Malformed::Length),
        ("NOTIFY sip:a SIP/2.0\r\nl: 99999999999999999999", Malformed::Length),
    ];
    for (text, expected) in cases {
        assert_eq!(head(text), Err(expected), "{text:?}");
    }
    assert_eq!(
        head(&format!("SIP/2.0 200 OK\r\nX: {}", "x".repeat(MOST_HEAD_BYTES))),
        Err(Malformed::TooLong)
    );
    let many = format!("SIP/2.0 200 OK{}", "\r\nX: x".repeat(MOST_FIELDS + 1));
    assert_eq!(head(&many), Err(Malformed::TooLong));
    assert_eq!(Message::read(&vec![b' '; MOST_BYTES + 1]), Err(Malformed::TooLong));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::read(&bytes);
    }

    /// Any damage to a good message is either refused, or leaves a message that can be asked anything.
    #[test]
    fn damage_never_panics(at in 0..NOTIFY.len(), byte in any::<u8>(), cut in 0..NOTIFY.len()) {
        let mut bytes = NOTIFY.as_bytes().to_vec();
        bytes[at] = byte;
        bytes.truncate(NOTIFY.len() - cut);
        if let Ok(message) = Message::read(&bytes) {
            let _ = (message.branch(), message.sequence(), message.tag("To"), message.number("Expires"));
            let _ = Message::read(&message.to_bytes());
        }
    }

    #[test]
    fn what_is_written_is_read(value in "[!-~][ -~]{0,30}[!-~]", body in ".{0,50}") {
        let written = Message::request("PUBLISH", "sip:a@b").with("X-Test", &*value).with_body("text/plain", body.clone());
        let read = Message::read(&written.to_bytes()).unwrap();
        prop_assert_eq!(read.field("x-test"), Some(value.as_str()));
        prop_assert_eq!(read.body, body.into_bytes());
        prop_assert_eq!(read.start, written.start);
    }
}
