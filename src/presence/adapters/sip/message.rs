//! SIP messages (RFC 3261 section 7), read strictly and written plainly.

use super::text::{parameter, split};

/// Longest message that is read, in bytes. A person's presence takes a few hundred, a busy line with many calls a few thousand.
pub(super) const MOST_BYTES: usize = 65_536;
/// Longest start line and header fields together, in bytes.
pub(super) const MOST_HEAD_BYTES: usize = 16_384;
/// Most header fields of a message.
const MOST_FIELDS: usize = 128;

/// Why bytes are not a SIP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// Longer than is read.
    #[error("a message is too long")]
    TooLong,
    /// No start line of SIP/2.0.
    #[error("a message does not begin as SIP does")]
    StartLine,
    /// A header field that is none.
    #[error("a message has a malformed header field")]
    Field,
    /// `Content-Length` is missing on a stream, repeated with another value, or more than there is.
    #[error("a message has no usable Content-Length")]
    Length,
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Somebody wants something.
    Request {
        /// Such as `NOTIFY`.
        method: String,
        /// To whom.
        uri: String,
    },
    /// The answer.
    Response {
        /// 100 to 699.
        status: u16,
    },
}

/// A message. Names of header fields are in their long form; case does not matter when they are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The first line.
    pub(super) start: Start,
    fields: Vec<(String, String)>,
    /// What follows the header fields.
    pub(super) body: Vec<u8>,
}

impl Message {
    /// A request to be written.
    pub(super) fn request(method: &str, uri: &str) -> Self {
        let start = Start::Request {
            method: method.to_owned(),
            uri: uri.to_owned(),
        };
        Self {
            start,
            fields: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The answer to a request, with what RFC 3261 section 8.2.6.2 wants copied.
    pub(super) fn answer(request: &Self, status: u16) -> Self {
        let copied = ["Via", "From", "To", "Call-ID", "CSeq"];
        let fields = request.fields.iter();
        let fields = fields.filter(|(name, _)| copied.iter().any(|one| one.eq_ignore_ascii_case(name)));
        Self {
            start: Start::Response { status },
            fields: fields.cloned().collect(),
            body: Vec::new(),
        }
    }

    /// The same with one more header field. Whoever calls sees to it that the value is one line.
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// The same with a header field before all others, where `Via` belongs.
    pub(super) fn with_first(mut self, name: &str, value: String) -> Self {
        self.fields.insert(0, (name.to_owned(), value));
        self
    }

    /// The same with a body.
    pub(super) fn with_body(mut self, kind: &str, body: String) -> Self {
        self.body = body.into_bytes();
        self.with("Content-Type", kind)
    }

    /// The first header field of this name.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(one, _)| one.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Every header field of this name, in order, each as it stands.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.fields.iter();
        let fields = fields.filter(move |(one, _)| one.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str())
    }

    /// Every value of a header field that is a list.
    pub(super) fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(|value| split(value, ','))
    }

    /// A header field that is a number, such as seconds; what follows a semicolon or a blank is left out.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        let value = self.field(name)?.split([';', ' ', '(']).next()?;
        value.trim().parse().ok()
    }

    /// Number and method of `CSeq`.
    pub(super) fn sequence(&self) -> Option<(u32, &str)> {
        let mut words = self.field("CSeq")?.split_ascii_whitespace();
        Some((words.next()?.parse().ok()?, words.next()?))
    }

    /// The tag of `From` or `To`.
    pub(super) fn tag(&self, name: &str) -> Option<&str> {
        parameter(self.field(name)?, "tag")
    }

    /// The branch of the topmost `Via`: the name of the transaction.
    pub(super) fn branch(&self) -> Option<&str> {
        parameter(self.list("Via").next()?, "branch")
    }

    /// Reads the only message of a datagram. What is behind its `Content-Length` is left out.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MOST_BYTES {
            return Err(Malformed::TooLong);
        }
        let (head, rest) = split_head(bytes).ok_or(Malformed::Field)?;
        let mut message = Self::read_head(head)?;
        let length = message.content_length()?.unwrap_or(rest.len());
        message.body = rest.get(..length).ok_or(Malformed::Length)?.to_vec();
        Ok(message)
    }

    /// Reads start line and header fields, without the empty line behind them.
    pub(super) fn read_head(head: &[u8]) -> Result<Self, Malformed> {
        if head.len() > MOST_HEAD_BYTES {
            return Err(Malformed::TooLong);
        }
        let head = std::str::from_utf8(head).map_err(|_| Malformed::Field)?;
        let mut lines = head.split("\r\n");
        let start = read_start(lines.next().unwrap_or_default())?;
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.contains(|one: char| one.is_control() && one != '\t') {
                return Err(Malformed::Field);
            }
            if line.starts_with([' ', '\t']) {
                // Folded: it continues the field before.
                let (_, value) = fields.last_mut().ok_or(Malformed::Field)?;
                value.push(' ');
                value.push_str(line.trim());
                continue;
            }
            if fields.len() == MOST_FIELDS {
                return Err(Malformed::TooLong);
            }
            fields.push(read_field(line)?);
        }
        Ok(Self {
            start,
            fields,
            body: Vec::new(),
        })
    }

    /// How long the body is, if the message tells.
    pub(super) fn content_length(&self) -> Result<Option<usize>, Malformed> {
        let mut known = None;
        for value in self.all("Content-Length") {
            let digits = !value.is_empty() && value.bytes().all(|one| one.is_ascii_digit());
            let length: usize = value.parse().map_err(|_| Malformed::Length)?;
            if !digits || known.is_some_and(|known| known != length) {
                return Err(Malformed::Length);
            }
            known = Some(length);
        }
        Ok(known)
    }

    /// The bytes to send, with `Content-Length`.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut text = match &self.start {
            Start::Request { method, uri } => format!("{method} {uri} SIP/2.0\r\n"),
            Start::Response { status } => format!("SIP/2.0 {status} {}\r\n", reason(*status)),
        };
        for (name, value) in &self.fields {
            text.push_str(name);
            text.push_str(": ");
            text.push_str(value);
            text.push_str("\r\n");
        }
        for part in ["Content-Length: ", &self.body.len().to_string(), "\r\n\r\n"] {
            text.push_str(part);
        }
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Parts head and body at the empty line; the head without it.
pub(super) fn split_head(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((bytes.get(..end)?, bytes.get(end + 4..)?))
}

fn read_start(line: &str) -> Result<Start, Malformed> {
    let mut words = line.splitn(3, ' ');
    let (Some(first), Some(second), third) = (words.next(), words.next(), words.next()) else {
        return Err(Malformed::StartLine);
    };
    if first.eq_ignore_ascii_case("SIP/2.0") {
        let status = second.parse().ok().filter(|status| (100..700).contains(status));
        let status = status.filter(|_| second.len() == 3).ok_or(Malformed::StartLine)?;
        return Ok(Start::Response { status });
    }
    let plain = |text: &str| !text.is_empty() && !text.contains(|one: char| one.is_control() || one.is_whitespace());
    let version = third.is_some_and(|version| version.eq_ignore_ascii_case("SIP/2.0"));
    if !version || !first.bytes().all(is_token) || !plain(first) || !plain(second) {
        return Err(Malformed::StartLine);
    }
    Ok(Start::Request {
        method: first.to_owned(),
        uri: second.to_owned(),
    })
}

fn read_field(line: &str) -> Result<(String, String), Malformed> {
    let (name, value) = line.split_once(':').ok_or(Malformed::Field)?;
    let name = name.trim_end_matches([' ', '\t']);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(Malformed::Field);
    }
    Ok((long_name(name).to_owned(), value.trim().to_owned()))
}

/// A character of a `token`.
fn is_token(one: u8) -> bool {
    one.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&one)
}

/// The compact forms of RFC 3261, 3265 and 3903 in full.
fn long_name(name: &str) -> &str {
    match name {
        "v" | "V" => "Via",
        "f" | "F" => "From",
        "t" | "T" => "To",
        "i" | "I" => "Call-ID",
        "m" | "M" => "Contact",
        "l" | "L" => "Content-Length",
        "c" | "C" => "Content-Type",
        "e" | "E" => "Content-Encoding",
        "o" | "O" => "Event",
        "k" | "K" => "Supported",
        other => other,
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        405 => "Method Not Allowed",
        481 => "Call/Transaction Does Not Exist",
        489 => "Bad Event",
        500 => "Server Internal Error",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests;
