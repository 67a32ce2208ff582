use super::*;

fn options() -> Options {
    Options::new("TLS", "sbc.example.com", "192.0.2.7:40000".parse().unwrap())
}

fn answer(options: &Options, line: &str, more: &str) -> Vec<u8> {
    format!("{line}\r\nCall-ID: {}\r\n{more}\r\n", options.call_id).into_bytes()
}

#[test]
fn the_request_has_all_that_rfc_3261_wants() {
    let options = options();
    let text = String::from_utf8(options.bytes()).unwrap();
    assert!(text.starts_with("OPTIONS sip:sbc.example.com;transport=tls SIP/2.0\r\n"));
    for name in [
        "Via",
        "Max-Forwards",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "Content-Length",
    ] {
        assert_eq!(text.matches(&format!("\r\n{name}: ")).count(), 1, "{name}");
    }
    assert!(text.contains(";branch=z9hG4bK") && text.contains(";tag=") && text.ends_with("\r\n\r\n"));
    let six = Options::new("UDP", "2001:db8::1", "[2001:db8::2]:5060".parse().unwrap());
    let text = String::from_utf8(six.bytes()).unwrap();
    assert!(text.starts_with("OPTIONS sip:[2001:db8::1] SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::2]:5060;"));
    assert_ne!(options.call_id, six.call_id);
}

#[test]
fn only_the_final_answer_to_our_request_counts() {
    let options = options();
    let cases: Vec<(Vec<u8>, Reading)> = vec![
        (
            answer(&options, "SIP/2.0 200 OK", "Content-Length: 0\r\n"),
            Reading::Final(200),
        ),
        (
            answer(&options, "sip/2.0 503 Service Unavailable", ""),
            Reading::Final(503),
        ),
        (answer(&options, "SIP/2.0 405", ""), Reading::Final(405)),
        (b"".to_vec(), Reading::Unfinished),
        (b"SI".to_vec(), Reading::Unfinished),
        (b"SIP/2.0 200 OK\r\nCall-ID: x".to_vec(), Reading::Unfinished),
        (b"\r\n\r\nSIP".to_vec(), Reading::Other(4)),
        (b"SIP/2.0 200 OK\r\nCall-ID: other\r\n\r\n".to_vec(), Reading::Other(34)),
        (
            b"OPTIONS sip:us SIP/2.0\r\nl: 3\r\n\r\nabc".to_vec(),
            Reading::Other(35),
        ),
        (b"SIP/2.0 99 Odd\r\n\r\n".to_vec(), Reading::Other(18)),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Reading::NotSip),
        (b"\x15\x03\x01\x00\x02\x02\x46".to_vec(), Reading::NotSip),
        (b"<html>\r\n".to_vec(), Reading::NotSip),
        (vec![b'x'; LONGEST_LINE], Reading::NotSip),
    ];
    for (bytes, expected) in cases {
        assert_eq!(options.read(&bytes), expected, "{}", String::from_utf8_lossy(&bytes));
    }
    let trying = answer(&options, "SIP/2.0 100 Trying", "");
    assert_eq!(options.read(&trying), Reading::Other(trying.len()));
    let short = format!("SIP/2.0 200 OK\r\ni: {}\r\n\r\n", options.call_id);
    assert_eq!(options.read(short.as_bytes()), Reading::Final(200));
}

proptest::proptest! {
    #[test]
    fn nothing_that_comes_does_harm(bytes: Vec<u8>) {
        let reading = options().read(&bytes);
        proptest::prop_assert!(!matches!(reading, Reading::Final(_)));
    }
}
