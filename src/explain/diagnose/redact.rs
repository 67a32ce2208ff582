//! What is struck out of a text that goes into a ticket.

use std::net::{IpAddr, SocketAddr};

/// Numbers from so many digits on are those of conferences and telephones.
const NUMBER: usize = 7;
/// What may stand around a word. An IPv6 address may begin and end with a colon, and stand in brackets before a port: what is
/// taken off grows step by step.
const AROUND: [&[char]; 4] = [
    &[],
    &['"', '\'', '(', ')', '<', '>', ',', ';', '.', '=', '!', '?'],
    &['"', '\'', '(', ')', '<', '>', ',', ';', '.', '=', '!', '?', '[', ']'],
    &[
        '"', '\'', '(', ')', '<', '>', ',', ';', '.', '=', '!', '?', '[', ']', ':',
    ],
];

/// What stands between an alias and something else.
const BETWEEN: &[char] = &['"', '\'', '(', ')', '<', '>', ',', ';', '=', '[', ']'];

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
    // One colon ends a part of a sentence, two an IPv6 address.
    if let Some(rest) = word.strip_suffix(':').filter(|rest| !rest.ends_with(':')) {
        return format!("{}:", redact_word(rest));
    }
    for around in AROUND {
        let core = word.trim_matches(around);
        if let Some(stead) = stead_of(core) {
            return word.replacen(core, &stead, 1);
        }
        // `CN=a@b`, `id=…`
        let named = core
            .split_once('=')
            .and_then(|(name, value)| Some((name, stead_of(value)?)));
        if let Some((name, stead)) = named {
            return word.replacen(core, &format!("{name}={stead}"), 1);
        }
    }
    // However it is written.
    let stead = if word.contains('@') { "<alias>" } else { word };
    stead.to_owned()
}

fn stead_of(word: &str) -> Option<String> {
    if word.is_empty() {
        return None;
    }
    let network = word.split_once('/').map_or(word, |(address, _)| address);
    if network.parse::<IpAddr>().is_ok() || word.parse::<SocketAddr>().is_ok() {
        return Some("<address>".to_owned());
    }
    if word.contains('@') && !word.contains(BETWEEN) && !word.ends_with('.') {
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
            ("at [2001:db8::1]:443, and ::1", "at <address>, and <address>"),
            (
                "[fe80::1]: fe80::, (::1): ok",
                "[<address>]: <address>, (<address>): ok",
            ),
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
            ("of anna@example.com. a=b=(c@d)", "of <alias>. <alias>"),
            ("call +4930123456", "call <number>"),
            (
                "edge1.example.com ends on 2026-12-01 at port 443",
                "edge1.example.com ends on 2026-12-01 at port 443",
            ),
            ("TLS 1.2, 2048 bits", "TLS 1.2, 2048 bits"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(redact(text), expected, "{text}");
        }
    }
}
