//! A ClientHello as clients wrote it ten years ago, and what a server answers in clear: its choice and its certificates.
//!
//! For servers that `rustls` does not speak to: TLS 1.0 and 1.1, RSA key exchange, CBC, DHE, old curves, RSA-PSS keys. No key is
//! agreed on, nothing is decrypted: the connection ends with the certificates. RFC 5246, RFC 8446 appendix D.

use std::net::IpAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::policy::connector::endpoint::Fallback;

/// More than this is not read, in bytes.
const LONGEST_ANSWER: usize = 128 * 1024;
/// So many certificates are kept.
const MOST_CERTIFICATES: usize = 16;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;

/// <https://www.iana.org/assignments/tls-parameters>: ECDHE, DHE and RSA key exchange with GCM, CBC, 3DES and RC4; anonymous and
/// export suites are left out.
const CIPHER_SUITES: [u16; 40] = [
    0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xccaa, 0x009e, 0x009f, 0xc09e, 0xc09f, 0xc023, 0xc027, 0xc024,
    0xc028, 0xc009, 0xc013, 0xc00a, 0xc014, 0x0067, 0x006b, 0x0033, 0x0039, 0x009c, 0x009d, 0x003c, 0x003d, 0x002f,
    0x0035, 0x0041, 0x0084, 0xc008, 0xc012, 0x0016, 0x000a, 0xc007, 0xc011, 0x0005, 0x0004, 0x00ff,
];
/// X25519, P-256, P-384, P-521, X448, three Brainpool curves, and finite fields.
const GROUPS: [u16; 10] = [29, 23, 24, 25, 30, 26, 27, 28, 256, 257];
/// ECDSA, RSA-PSS with keys of both sorts, RSA, EdDSA, and SHA-1 and DSA at the end.
const SIGNATURES: [u16; 21] = [
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x0401, 0x0501, 0x0601,
    0x0303, 0x0301, 0x0203, 0x0201, 0x0402, 0x0302, 0x0202,
];

/// What a server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its choice, or its refusal; nothing if it gave no sensible answer.
    pub(super) fallback: Option<Fallback>,
    /// Its certificates (DER).
    pub(super) chain: Vec<Vec<u8>>,
}

/// Asks, and reads until the certificates came, the server refused, or `end`.
pub(super) async fn ask(mut tcp: TcpStream, server_name: &str, end: Instant) -> Answer {
    let mut read = Vec::new();
    // Whatever came until then is the answer.
    let _ = timeout_at(end, exchange(&mut tcp, server_name, &mut read)).await;
    understand(&read).0
}

async fn exchange(tcp: &mut TcpStream, server_name: &str, read: &mut Vec<u8>) -> std::io::Result<()> {
    tcp.write_all(&client_hello(server_name)).await?;
    let mut piece = [0; 4096];
    while read.len() < LONGEST_ANSWER {
        let length = tcp.read(&mut piece).await?;
        if length == 0 {
            break;
        }
        read.extend_from_slice(piece.get(..length).unwrap_or_default());
        if understand(read).1 {
            break;
        }
    }
    Ok(())
}

fn client_hello(server_name: &str) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend(std::iter::repeat_with(|| fastrand::u8(..)).take(32));
    // No session.
    body.push(0);
    put(&mut body, 2, &words(&CIPHER_SUITES));
    // No compression.
    body.extend([1, 0]);
    let mut extensions = Vec::new();
    if server_name.parse::<IpAddr>().is_err() {
        let mut name = vec![0];
        put(&mut name, 2, server_name.as_bytes());
        extension(&mut extensions, 0, |list| put(list, 2, &name));
    }
    extension(&mut extensions, 10, |list| put(list, 2, &words(&GROUPS)));
    // Uncompressed points.
    extension(&mut extensions, 11, |list| list.extend([1, 0]));
    extension(&mut extensions, 13, |list| put(list, 2, &words(&SIGNATURES)));
    // Extended master secret, which some servers insist on.
    extension(&mut extensions, 23, |_| {});
    put(&mut body, 2, &extensions);
    let mut message = vec![1];
    put(&mut message, 3, &body);
    // The record's version is the oldest, as servers of old expect.
    let mut record = vec![HANDSHAKE, 3, 1];
    put(&mut record, 2, &message);
    record
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn extension(into: &mut Vec<u8>, number: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut content = Vec::new();
    fill(&mut content);
    into.extend(number.to_be_bytes());
    put(into, 2, &content);
}

/// Appends the length of `content` in so many bytes, and `content`.
fn put(into: &mut Vec<u8>, length_bytes: usize, content: &[u8]) {
    let length = content.len().to_be_bytes();
    into.extend(length.iter().skip(length.len() - length_bytes));
    into.extend(content);
}

/// What was read so far, and whether more of it would tell nothing.
fn understand(mut read: &[u8]) -> (Answer, bool) {
    let mut answer = Answer::default();
    let mut messages = Vec::new();
    while let Some(kind) = take(&mut read, 1) {
        let _version = take(&mut read, 2);
        let Some(content) = counted(&mut read, 2) else { break };
        match kind {
            [HANDSHAKE] => messages.extend_from_slice(content),
            [ALERT] => {
                // Warnings, such as of an unknown name, end nothing.
                if let [2, code] = content {
                    answer.fallback.get_or_insert(Fallback::Alert(*code));
                    return (answer, true);
                }
            }
            _ => return (answer, true),
        }
        if hear(&messages, &mut answer) {
            return (answer, true);
        }
    }
    (answer, false)
}

/// Reads handshake messages; says whether all that is wanted came.
fn hear(mut messages: &[u8], answer: &mut Answer) -> bool {
    while let Some(kind) = take(&mut messages, 1) {
        let Some(body) = counted(&mut messages, 3) else { break };
        match kind {
            [SERVER_HELLO] => answer.fallback = choice(body),
            [CERTIFICATE] => {
                answer.chain = certificates(body);
                return true;
            }
            // What comes before the certificates in no version of TLS.
            _ => return true,
        }
    }
    false
}

fn choice(mut body: &[u8]) -> Option<Fallback> {
    let version = word(&mut body)?;
    take(&mut body, 32)?;
    counted(&mut body, 1)?;
    let cipher = word(&mut body)?;
    Some(Fallback::Chose { version, cipher })
}

fn certificates(mut body: &[u8]) -> Vec<Vec<u8>> {
    let mut list = counted(&mut body, 3).unwrap_or_default();
    let mut chain = Vec::new();
    while let Some(certificate) = counted(&mut list, 3)
        && chain.len() < MOST_CERTIFICATES
    {
        chain.push(certificate.to_vec());
    }
    chain
}

fn word(from: &mut &[u8]) -> Option<u16> {
    let bytes = take(from, 2)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// What follows its length, which is written in so many bytes.
fn counted<'a>(from: &mut &'a [u8], length_bytes: usize) -> Option<&'a [u8]> {
    let mut ahead = *from;
    let length = take(&mut ahead, length_bytes)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let content = take(&mut ahead, length)?;
    *from = ahead;
    Some(content)
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(kind: u8, content: &[u8]) -> Vec<u8> {
        let mut record = vec![kind, 3, 1];
        put(&mut record, 2, content);
        record
    }

    fn server_hello(version: u16, cipher: u16) -> Vec<u8> {
        let mut body = version.to_be_bytes().to_vec();
        body.extend([7; 32]);
        put(&mut body, 1, b"session");
        body.extend(cipher.to_be_bytes());
        body.push(0);
        let mut message = vec![SERVER_HELLO];
        put(&mut message, 3, &body);
        message
    }

    fn certificate(certificates: &[&[u8]]) -> Vec<u8> {
        let mut list = Vec::new();
        for one in certificates {
            put(&mut list, 3, one);
        }
        let mut body = Vec::new();
        put(&mut body, 3, &list);
        let mut message = vec![CERTIFICATE];
        put(&mut message, 3, &body);
        message
    }

    fn chose(version: u16, cipher: u16) -> Fallback {
        Fallback::Chose { version, cipher }
    }

    #[test]
    fn choice_and_certificates_are_read_however_they_are_cut_into_records() {
        let mut messages = server_hello(0x0301, 0x002f);
        messages.extend(certificate(&[b"leaf", b"intermediate"]));
        for size in [1, 3, 50, 1000] {
            let read: Vec<u8> = messages
                .chunks(size)
                .flat_map(|piece| record(HANDSHAKE, piece))
                .collect();
            let (answer, done) = understand(&read);
            assert!(done);
            assert_eq!(answer.fallback, Some(chose(0x0301, 0x002f)));
            assert_eq!(answer.chain, [b"leaf".to_vec(), b"intermediate".to_vec()]);
            for length in 0..read.len() {
                assert!(!understand(&read[..length]).1, "{length} of {}", read.len());
            }
        }
    }

    #[test]
    fn a_refusal_is_an_answer_and_a_warning_is_none() {
        let (answer, done) = understand(&record(ALERT, &[2, 70]));
        assert_eq!((answer.fallback, done), (Some(Fallback::Alert(70)), true));
        let mut warned = record(ALERT, &[1, 112]);
        assert_eq!(understand(&warned), (Answer::default(), false));
        warned.extend(record(HANDSHAKE, &server_hello(0x0303, 0x0035)));
        assert_eq!(understand(&warned).0.fallback, Some(chose(0x0303, 0x0035)));
        assert_eq!(understand(b"HTTP/1.1 400 Bad Request\r\n\r\n").0, Answer::default());
    }

    #[test]
    fn the_hello_names_the_server_unless_it_is_an_address() {
        let holds = |hello: &[u8], name: &str| hello.windows(name.len()).any(|window| window == name.as_bytes());
        assert!(holds(&client_hello("a.example"), "a.example"));
        assert!(!holds(&client_hello("192.0.2.1"), "192.0.2.1"));
        let hello = client_hello("a.example");
        assert_eq!(usize::from(u16::from_be_bytes([hello[3], hello[4]])), hello.len() - 5);
    }

    proptest! {
        #[test]
        fn nothing_that_a_server_says_does_harm(read in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = understand(&read);
            let _ = understand(&record(HANDSHAKE, &read));
        }
    }
}
