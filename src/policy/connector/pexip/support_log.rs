//! The support log, of which one kind of line counts: a request to the Teams Connector failed.
//!
//! A line has times and the node in front, and then pairs `Key="value"`, in which quotes are escaped with a backslash. It is read by
//! keys and never searched: names of people and aliases stand in it too, and they may hold anything. A line of another form counts as
//! unreadable.

use super::calls::CallEnd;

/// How the loggers are called whose lines count.
const LOGGER: &str = "support.teams";
/// What its line says.
const MESSAGE: &str = "Teams API request failed";
/// Longest names of nodes and calls, in bytes: those of others are of no use.
const LONGEST_NODE: usize = 253;
const LONGEST_CALL: usize = 255;

/// A request to the Teams Connector that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiFailure {
    /// The node that wrote it, in lower case.
    pub node: String,
    /// `Call-Id`. `None`: not told.
    pub call: Option<String>,
    /// With which error.
    pub end: CallEnd,
}

/// What a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// It counts.
    Failure(ApiFailure),
    /// It tells of something else.
    Other,
    /// It is not of the form of this log, or does not tell who wrote it.
    Unreadable,
}

/// Reads a line, with or without the header of syslog.
pub fn read(line: &[u8]) -> Line {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\r', '\n', '\0']);
    let Some((node, pairs)) = header(text) else {
        return Line::Unreadable;
    };
    match Fields::read(pairs) {
        None => Line::Unreadable,
        Some(fields) => match (fields.failure(), node) {
            (None, _) => Line::Other,
            (Some(_), None) => Line::Unreadable,
            (Some(end), Some(node)) => Line::Failure(ApiFailure {
                node: node.to_ascii_lowercase(),
                call: fields.call.filter(|call| (1..=LONGEST_CALL).contains(&call.len())),
                end,
            }),
        },
    }
}

/// The node, and the pairs behind the header. The node stands behind a time; where a relay wrote a header in front, the last one is
/// the node's own.
fn header(text: &str) -> Option<(Option<&str>, &str)> {
    let mut rest = text;
    let (mut node, mut behind_time) = (None, false);
    loop {
        rest = rest.trim_start_matches([' ', '\u{feff}']);
        if begins_pair(rest) {
            return Some((node, rest));
        }
        if rest.starts_with('[') {
            rest = behind_structured_data(rest)?;
            behind_time = false;
            continue;
        }
        let (mut word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        if word.is_empty() {
            return None;
        }
        if word.starts_with('<') {
            // `<134>`, `<134>1` and `<134>Nov` alike.
            word = word.split_once('>')?.1;
        }
        if is_time(word) {
            behind_time = true;
        } else if behind_time {
            let is_name = word != "-" && word.len() <= LONGEST_NODE;
            node = is_name.then_some(word).or(node);
            behind_time = false;
        }
        rest = behind;
    }
}

/// `Key="`.
fn begins_pair(text: &str) -> bool {
    let behind = text.trim_start_matches(is_of_key);
    behind.len() < text.len() && behind.starts_with("=\"")
}

fn is_of_key(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&letter)
}

/// A moment with date and time, or the bare time of day of an old header. The node's own time, `09:00:00,123`, is neither.
fn is_time(word: &str) -> bool {
    let (time, is_moment) = word.split_once('T').map_or((word, false), |(_, time)| (time, true));
    let is_number = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = time.splitn(3, ':');
    let (Some(hour), Some(minute), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let second = if is_moment { rest.get(..2).unwrap_or(rest) } else { rest };
    [hour, minute, second].into_iter().all(is_number)
}

/// Behind `[id key="value" …]`, as many as there are.
fn behind_structured_data(text: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ']' if !quoted => return text.get(at + 1..),
            _ => {}
        }
    }
    None
}

/// The values that matter.
#[derive(Debug, Default)]
struct Fields {
    name: Option<String>,
    message: Option<String>,
    error: Option<String>,
    call: Option<String>,
}

impl Fields {
    /// Reads pairs to the end of the line. `None` where it is not made of pairs alone, or where a value that matters stands twice.
    fn read(mut text: &str) -> Option<Self> {
        let mut fields = Self::default();
        loop {
            text = text.trim_start();
            if text.is_empty() {
                return Some(fields);
            }
            let (key, value, behind) = pair(text)?;
            if !(behind.is_empty() || behind.starts_with(char::is_whitespace)) {
                return None;
            }
            if let Some(field) = fields.named(key)
                && field.replace(value).is_some()
            {
                return None;
            }
            text = behind;
        }
    }

    fn named(&mut self, key: &str) -> Option<&mut Option<String>> {
        match key.to_ascii_lowercase().as_str() {
            "name" => Some(&mut self.name),
            "message" => Some(&mut self.message),
            "error" => Some(&mut self.error),
            "call-id" => Some(&mut self.call),
            _ => None,
        }
    }

    /// The error with which a request failed, if the line tells of that.
    fn failure(&self) -> Option<CallEnd> {
        let tells = self.name.as_ref().is_some_and(|name| name.starts_with(LOGGER))
            && self.message.as_ref().is_some_and(|message| message.contains(MESSAGE));
        match self.error.as_deref().map(str::trim).filter(|_| tells)? {
            "401" => Some(CallEnd::Unauthorized),
            "500" => Some(CallEnd::ServerError),
            _ => None,
        }
    }
}

/// A key, its value, and what stands behind. The value may stand without quotes if there are none in it.
fn pair(text: &str) -> Option<(&str, String, &str)> {
    let (key, behind) = text.split_once('=')?;
    if key.is_empty() || !key.chars().all(is_of_key) {
        return None;
    }
    let Some(quoted) = behind.strip_prefix('"') else {
        let end = behind.find(char::is_whitespace).unwrap_or(behind.len());
        let (value, behind) = behind.split_at(end);
        return (!value.contains('"')).then(|| (key, value.to_owned(), behind));
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, letter) in quoted.char_indices() {
        match letter {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return Some((key, value, quoted.get(at + 1..)?)),
            _ => {
                // A backslash before anything else stands for itself.
                if escaped && !['"', '\\'].contains(&letter) {
                    value.push('\\');
                }
                escaped = false;
                value.push(letter);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
