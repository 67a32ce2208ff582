//! Calls as a document: dialog-info (RFC 4235).

use std::collections::BTreeMap;

use super::xml::{self, Element, Unreadable};
use crate::policy::presence::pbx::Line;

const DIALOG_INFO: &str = "urn:ietf:params:xml:ns:dialog-info";
/// Most calls of a person that are kept in mind.
const MOST_CALLS: usize = 256;

/// What is known of a person's calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Calls {
    version: Option<u64>,
    /// By id; without those that have ended.
    calls: BTreeMap<String, Line>,
}

/// What a document was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// All is known.
    Whole,
    /// It tells of changes to something that was missed: a whole one must be asked for.
    Gap,
}

impl Calls {
    /// The line: what the call that matters most says.
    pub(super) fn line(&self) -> Line {
        let rank = |line: &Line| match line {
            Line::Unknown | Line::Idle => 0,
            Line::Ringing => 1,
            Line::Connected => 2,
            Line::Conference => 3,
        };
        self.calls.values().copied().max_by_key(rank).unwrap_or(Line::Idle)
    }

    /// Takes a document in, whole or partial.
    pub(super) fn apply(&mut self, bytes: &[u8]) -> Result<Applied, Unreadable> {
        let root = xml::read(bytes)?;
        if !root.is(DIALOG_INFO, "dialog-info") {
            return Err(Unreadable::Kind);
        }
        let version = root
            .attribute("version")
            .and_then(|version| version.trim().parse::<u64>().ok());
        let partial = root.attribute("state").is_some_and(|state| state == "partial");
        if partial && self.missed(version) {
            return Ok(Applied::Gap);
        }
        if !partial {
            self.calls.clear();
        }
        self.version = version;
        for dialog in root.named("dialog") {
            let id = dialog.attribute("id").unwrap_or_default();
            match line_of(dialog) {
                Some(line) => {
                    self.calls.insert(id.to_owned(), line);
                }
                None => {
                    self.calls.remove(id);
                }
            }
            if self.calls.len() > MOST_CALLS {
                return Err(Unreadable::TooLarge);
            }
        }
        Ok(Applied::Whole)
    }

    /// Whether a partial document of this version does not follow the one before.
    fn missed(&self, version: Option<u64>) -> bool {
        let expected = self.version.and_then(|known| known.checked_add(1));
        expected.is_none() || version != expected
    }
}

/// `None`: the call has ended. A call on hold is a call.
fn line_of(dialog: &Element) -> Option<Line> {
    match dialog
        .text_of("state")
        .unwrap_or_default()
        .to_ascii_lowercase()
        .as_str()
    {
        "confirmed" if is_conference(dialog) => Some(Line::Conference),
        "confirmed" => Some(Line::Connected),
        "trying" | "proceeding" | "early" => Some(Line::Ringing),
        _ => None,
    }
}

/// Whether one end is the focus of a conference (RFC 4579): a parameter of its target says so.
fn is_conference(dialog: &Element) -> bool {
    let ends = ["local", "remote"].into_iter().flat_map(|end| dialog.named(end));
    let targets = ends.flat_map(|end| end.named("target"));
    let mut parameters = targets.flat_map(|target| target.named("param"));
    parameters.any(|parameter| {
        parameter
            .attribute("pname")
            .is_some_and(|name| name.eq_ignore_ascii_case("isfocus"))
    })
}

#[cfg(test)]
mod tests;
