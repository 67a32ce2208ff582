use proptest::prelude::*;

use super::*;

fn message(body: &str) -> Vec<u8> {
    Message::request("NOTIFY", "sip:a@b")
        .with("CSeq", "1 NOTIFY")
        .with_body("text/plain", body.to_owned())
        .to_bytes()
}

fn frames(framer: &mut Framer) -> Vec<Frame> {
    std::iter::from_fn(|| framer.next().unwrap()).collect()
}

fn bodies(frames: &[Frame]) -> Vec<String> {
    let text = |frame: &Frame| match frame {
        Frame::Message(message) => String::from_utf8(message.body.clone()).unwrap(),
        Frame::Ping => "ping".to_owned(),
    };
    frames.iter().map(text).collect()
}

#[test]
fn lengths_and_limits() {
    let cases = [
        ("NOTIFY sip:a SIP/2.0\r\nX: y\r\n\r\n", Malformed::Length),
        ("NOTIFY sip:a SIP/2.0\r\nl: 65537\r\n\r\n", Malformed::TooLong),
        ("HTTP/1.1 200 OK\r\n\r\n", Malformed::StartLine),
    ];
    for (text, expected) in cases {
        let mut framer = Framer::default();
        framer.push(text.as_bytes());
        assert_eq!(framer.next(), Err(expected), "{text:?}");
    }
    let mut framer = Framer::default();
    framer.push(&vec![b'x'; MOST_HEAD_BYTES]);
    assert_eq!(framer.next(), Ok(None));
    framer.push(b"x");
    assert_eq!(framer.next(), Err(Malformed::TooLong));
}

proptest! {
    /// However the network cuts the bytes, the same messages come out.
    #[test]
    fn any_split_gives_the_same_messages(
        bodies_in in proptest::collection::vec("[a-z\r\n]{0,20}", 1..6),
        pings in proptest::collection::vec(0..3_usize, 6),
        cuts in proptest::collection::vec(1..40_usize, 1..60),
    ) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for (body, ping) in bodies_in.iter().zip(&pings) {
            match ping {
                1 => stream.extend_from_slice(b"\r\n"),
                2 => {
                    stream.extend_from_slice(b"\r\n\r\n");
                    expected.push("ping".to_owned());
                }
                _ => {}
            }
            stream.extend(message(body));
            expected.push(body.clone());
        }
        let (mut framer, mut seen, mut at) = (Framer::default(), Vec::new(), 0);
        for cut in cuts.iter().cycle() {
            let end = (at + cut).min(stream.len());
            framer.push(&stream[at..end]);
            seen.extend(frames(&mut framer));
            at = end;
            if at == stream.len() {
                break;
            }
        }
        prop_assert_eq!(bodies(&seen), expected);
    }

    #[test]
    fn random_bytes_never_panic(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..10)) {
        let mut framer = Framer::default();
        for chunk in chunks {
            framer.push(&chunk);
            while let Ok(Some(_)) = framer.next() {}
        }
    }
}
