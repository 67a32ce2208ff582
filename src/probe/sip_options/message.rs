//! The one request that is written, and as much of an answer as has to be read.

use std::net::SocketAddr;

/// An OPTIONS request of its own transaction and dialog.
#[derive(Debug)]
pub(super) struct Options {
    text: String,
    call_id: String,
}

/// What bytes from the other side are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The final answer to our request, with this status.
    Final(u16),
    /// Something else of so many bytes: a provisional answer, a request, a keep-alive.
    Other(usize),
    /// More has to come.
    Unfinished,
    /// Not SIP.
    NotSip,
}

/// What every SIP message has on its first line.
const VERSION: &[u8] = b"SIP/2.0";
/// Longest first line.
const LONGEST_LINE: usize = 1024;

impl Options {
    /// For a domain, sent from `local` over `transport` (`UDP`, `TCP`, `TLS`).
    pub(super) fn new(transport: &str, domain: &str, local: SocketAddr) -> Self {
        let word = || uuid::Uuid::new_v4().simple().to_string();
        let (call_id, tag, branch) = (word(), word(), word());
        // An IPv6 address stands in brackets.
        let domain = if domain.contains(':') && !domain.starts_with('[') {
            format!("[{domain}]")
        } else {
            domain.to_owned()
        };
        let contact = match transport {
            "UDP" => String::new(),
            other => format!(";transport={}", other.to_ascii_lowercase()),
        };
        let lines = [
            format!("OPTIONS sip:{domain}{contact} SIP/2.0"),
            format!("Via: SIP/2.0/{transport} {local};branch=z9hG4bK{branch};rport"),
            "Max-Forwards: 70".to_owned(),
            format!("From: <sip:probe@{local}>;tag={tag}"),
            format!("To: <sip:{domain}>"),
            format!("Call-ID: {call_id}"),
            "CSeq: 1 OPTIONS".to_owned(),
            format!("Contact: <sip:probe@{local}{contact}>"),
            "Accept: application/sdp".to_owned(),
            concat!("User-Agent: teams-graph-operator/", env!("CARGO_PKG_VERSION")).to_owned(),
            "Content-Length: 0".to_owned(),
        ];
        Self {
            text: lines.join("\r\n") + "\r\n\r\n",
            call_id,
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.text.clone().into_bytes()
    }

    /// Reads the first message of what came.
    pub(super) fn read(&self, bytes: &[u8]) -> Reading {
        let skipped = bytes.iter().take_while(|one| matches!(one, b'\r' | b'\n')).count();
        if skipped > 0 {
            return Reading::Other(skipped);
        }
        if !may_be_sip(bytes) {
            return Reading::NotSip;
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Reading::Unfinished;
        };
        let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(status);
        let (mut ours, mut body) = (false, 0_usize);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "call-id" | "i" => ours |= value.trim() == self.call_id,
                "content-length" | "l" => body = value.trim().parse().unwrap_or(0),
                _ => {}
            }
        }
        match status {
            Some(status) if ours && status >= 200 => Reading::Final(status),
            _ => Reading::Other((end + 4).saturating_add(body)),
        }
    }
}

/// Whether the first line, as far as it came, is one of SIP: it begins or ends with the version.
fn may_be_sip(bytes: &[u8]) -> bool {
    let begins = bytes
        .iter()
        .zip(VERSION)
        .all(|(one, other)| one.eq_ignore_ascii_case(other));
    if begins {
        return true;
    }
    match bytes.windows(2).position(|two| two == b"\r\n") {
        Some(end) => bytes.get(..end).is_some_and(|line| line.ends_with(VERSION)),
        None => bytes.len() < LONGEST_LINE && bytes.iter().all(|one| (b' '..0x7f).contains(one) || *one == b'\r'),
    }
}

fn status(line: &str) -> Option<u16> {
    let (version, rest) = line.split_once(' ')?;
    let digits = rest.split(' ').next().filter(|digits| digits.len() == 3)?;
    let status = digits.parse().ok().filter(|status| (100..700).contains(status))?;
    version.eq_ignore_ascii_case("SIP/2.0").then_some(status)
}

#[cfg(test)]
mod tests;
