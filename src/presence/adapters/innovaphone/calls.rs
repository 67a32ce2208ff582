//! Calls, as RCC tells them.

use std::collections::HashMap;

use crate::policy::presence::pbx::Line;

/// More calls than any PBX holds; what is beyond is not kept.
const MOST: usize = 100_000;

/// The calls of one PBX.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: HashMap<u64, Call>,
    /// Calls of each user that has any.
    of: HashMap<String, Vec<u64>>,
}

#[derive(Debug)]
struct Call {
    guid: String,
    line: Line,
}

impl Calls {
    /// A call exists, or changed. Tells the user whose line that may concern; `None` when the call is not known.
    pub(super) fn set(&mut self, call: u64, guid: Option<&str>, line: Option<Line>) -> Option<String> {
        if let Some(known) = self.calls.get_mut(&call) {
            if guid.is_none_or(|guid| guid == known.guid) {
                known.line = line.unwrap_or(known.line);
                return Some(known.guid.clone());
            }
            // The number was given to another user's call.
            self.remove(call);
        }
        let guid = guid.filter(|_| self.calls.len() < MOST)?.to_owned();
        let line = line.unwrap_or(Line::Ringing);
        self.calls.insert(
            call,
            Call {
                guid: guid.clone(),
                line,
            },
        );
        self.of.entry(guid.clone()).or_default().push(call);
        Some(guid)
    }

    /// A call is over. Tells whose.
    pub(super) fn remove(&mut self, call: u64) -> Option<String> {
        let guid = self.calls.remove(&call)?.guid;
        if let Some(calls) = self.of.get_mut(&guid) {
            calls.retain(|other| *other != call);
            if calls.is_empty() {
                self.of.remove(&guid);
            }
        }
        Some(guid)
    }

    /// The line of a user, by the calls known.
    pub(super) fn line(&self, guid: &str) -> Line {
        let lines = || {
            let calls = self.of.get(guid).into_iter().flatten();
            calls.filter_map(|call| self.calls.get(call)).map(|call| call.line)
        };
        if lines().any(|line| line == Line::Connected) {
            Line::Connected
        } else if lines().any(|line| line == Line::Ringing) {
            Line::Ringing
        } else {
            Line::Idle
        }
    }
}

/// What a call's state means. The low bits are the step; the others say outgoing, hold, held and waiting.
/// <https://sdk.innovaphone.com/14r1/doc/pbx/soap.htm>
pub(super) fn meaning(state: u32) -> Line {
    match state & 0x0f {
        0..=4 => Line::Ringing,
        5 => Line::Connected,
        // Being disconnected, or parked: nobody speaks.
        _ => Line::Idle,
    }
}

/// The same for an update that carries no state, by the name of the signalling message: `x-` is sent, `r-` received.
pub(super) fn meaning_of(msg: &str) -> Option<Line> {
    match msg.trim_start_matches("x-").trim_start_matches("r-") {
        "setup" | "setup-ack" | "call-proc" | "alert" => Some(Line::Ringing),
        "conn" => Some(Line::Connected),
        "disc" | "rel" => Some(Line::Idle),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_busiest_of_its_calls() {
        let mut calls = Calls::default();
        assert_eq!(calls.line("ann"), Line::Idle);
        assert_eq!(calls.set(1, Some("ann"), Some(meaning(4))), Some("ann".to_owned()));
        assert_eq!(calls.line("ann"), Line::Ringing);
        calls.set(2, Some("ann"), Some(meaning(5 + 128)));
        assert_eq!(calls.line("ann"), Line::Connected);
        calls.set(2, None, Some(meaning(5 + 256)));
        assert_eq!(calls.line("ann"), Line::Connected, "on hold is still on the phone");
        calls.remove(2);
        assert_eq!(calls.line("ann"), Line::Ringing);
        calls.set(1, None, Some(meaning(7)));
        assert_eq!(calls.line("ann"), Line::Idle);
        assert_eq!(calls.remove(1), Some("ann".to_owned()));
        assert_eq!(calls.remove(1), None);
        assert!(calls.of.is_empty());
    }

    #[test]
    fn a_number_given_anew_leaves_nothing_behind() {
        let mut calls = Calls::default();
        calls.set(1, Some("ann"), Some(Line::Connected));
        calls.set(1, Some("bob"), Some(Line::Connected));
        assert_eq!((calls.line("ann"), calls.line("bob")), (Line::Idle, Line::Connected));
        assert_eq!(calls.set(9, None, Some(Line::Connected)), None);
    }

    #[test]
    fn every_state_has_a_meaning() {
        let steps = [0, 1, 2, 3, 4, 5, 6, 7, 8, 15].map(meaning);
        let (ringing, connected, idle) = (Line::Ringing, Line::Connected, Line::Idle);
        let expected = [
            ringing, ringing, ringing, ringing, ringing, connected, idle, idle, idle, idle,
        ];
        assert_eq!(steps, expected);
        assert_eq!(meaning_of("r-conn"), Some(Line::Connected));
        assert_eq!(meaning_of("x-info"), None);
    }
}
