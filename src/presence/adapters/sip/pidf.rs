//! A person's presence as a document: PIDF (RFC 3863), its data model (RFC 4479) and rich activities (RFC 4480).
//!
//! A presence server joins the documents of all publishers into one: their tuples and persons in a row, the newest last. Which
//! of them are the worker's own is told by their ids.

use jiff::Timestamp;

use super::xml::{self, Element, Unreadable, escape};
use crate::policy::presence::pbx::{Activity, Entry, Origin, OwnEntry};

const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
const DATA_MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";
/// With this begin the ids of what any worker publishes.
const OWN_PREFIX: &str = "teamsgraph-";
/// Longest note that is kept, in characters.
const LONGEST_NOTE: usize = 256;
/// Longest unknown word that is kept, in characters.
const LONGEST_WORD: usize = 64;
/// Most entries of a person.
const MOST_ENTRIES: usize = 32;

/// A new id for an own document: `random` must differ from document to document. A server keeps only the first of two tuples
/// with the same id, which would be an old one that nobody can take back any more.
pub(super) fn own_id(random: &str) -> String {
    format!("{OWN_PREFIX}{random}")
}

/// The own document.
pub(super) fn write(entity: &str, id: &str, entry: &OwnEntry, now: Timestamp) -> String {
    let activities = words(&entry.activity);
    let activities = if activities.is_empty() {
        String::new()
    } else {
        format!("<r:activities>{activities}</r:activities>")
    };
    let note = if entry.note.is_empty() {
        String::new()
    } else {
        format!("<d:note>{}</d:note>", escape(&cut(&entry.note, LONGEST_NOTE)))
    };
    let entity = escape(entity);
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="{PIDF}" xmlns:d="{DATA_MODEL}" xmlns:r="{RPID}" entity="{entity}"><tuple id="{id}"><status><basic>open</basic></status></tuple><d:person id="{id}-p">{activities}{note}<d:timestamp>{now:.0}</d:timestamp></d:person></presence>"#
    )
}

/// An activity in the words of RFC 4480, which knows neither "do not disturb" nor "soon back".
fn words(activity: &Activity) -> String {
    let known = match activity {
        Activity::Unset => "",
        Activity::Away => "<r:away/>",
        Activity::BeRightBack => "<r:away/><r:other>be-right-back</r:other>",
        Activity::Busy => "<r:busy/>",
        Activity::DoNotDisturb => "<r:busy/><r:other>do-not-disturb</r:other>",
        Activity::Lunch => "<r:lunch/>",
        Activity::Meeting => "<r:meeting/>",
        Activity::OnThePhone => "<r:on-the-phone/>",
        Activity::Vacation => "<r:vacation/>",
        Activity::Other(word) => return format!("<r:other>{}</r:other>", escape(&cut(word, LONGEST_WORD))),
    };
    known.to_owned()
}

/// The entries of a document, newest first. `own_id` is that of the own document that is held now; of other own ones, which an
/// earlier worker left, the newest counts only while there is none.
pub(super) fn read(bytes: &[u8], own_id: Option<&str>) -> Result<Vec<Entry>, Unreadable> {
    let root = xml::read(bytes)?;
    if !root.is(PIDF, "presence") {
        return Err(Unreadable::Kind);
    }
    let mut own = Own::default();
    let mut others = Vec::new();
    let mut open = false;
    for element in root.children.iter().rev() {
        let person = element.is(DATA_MODEL, "person");
        if !person && !element.is(PIDF, "tuple") {
            continue;
        }
        let id = element.attribute("id").unwrap_or_default();
        if id.starts_with(OWN_PREFIX) {
            if person {
                own.add(element, own_id.is_some_and(|own| id.starts_with(own)), others.len());
            }
            continue;
        }
        open |= !person && is_open(element);
        if let Some(activity) = activity(element) {
            others.push(entry(Origin::User, activity, element));
        }
    }
    // A device that is there says something about the person only if nobody says more.
    if others.is_empty() && open {
        others.push(plain());
    }
    if let Some((at, entry)) = own.found {
        others.insert(at.min(others.len()), entry);
    }
    others.truncate(MOST_ENTRIES);
    Ok(others)
}

/// The own entry, and its place among the others.
#[derive(Default)]
struct Own {
    found: Option<(usize, Entry)>,
    held: bool,
}

impl Own {
    fn add(&mut self, element: &Element, held: bool, at: usize) {
        if self.found.is_none() || (held && !self.held) {
            let activity = activity(element).unwrap_or(Activity::Unset);
            self.found = Some((at, entry(Origin::Ours, activity, element)));
            self.held = held;
        }
    }
}

fn entry(origin: Origin, activity: Activity, element: &Element) -> Entry {
    let since = element.text_of("timestamp").and_then(|text| text.parse().ok());
    Entry {
        origin,
        activity,
        note: cut(element.text_of("note").unwrap_or_default(), LONGEST_NOTE),
        since,
    }
}

fn plain() -> Entry {
    Entry {
        origin: Origin::User,
        activity: Activity::Unset,
        note: String::new(),
        since: None,
    }
}

fn is_open(tuple: &Element) -> bool {
    let status = tuple.named("status").next();
    let basic = status.and_then(|status| status.text_of("basic"));
    basic.is_some_and(|basic| basic.eq_ignore_ascii_case("open"))
}

/// What a person or tuple says it does; `None` if it says nothing, or says that nobody knows. Tuples may say it within their
/// status, as older clients do.
fn activity(element: &Element) -> Option<Activity> {
    let inner = element.named("status").flat_map(|status| status.named("activities"));
    let all = element.named("activities").chain(inner);
    let said = all.flat_map(|activities| &activities.children).filter_map(one_activity);
    said.min_by_key(rank)
}

fn one_activity(element: &Element) -> Option<Activity> {
    let word = match element.name() {
        "other" => element.text.trim(),
        name => name,
    };
    Some(match word.to_ascii_lowercase().as_str() {
        "" | "unknown" | "note" => return None,
        "away" => Activity::Away,
        "be-right-back" | "brb" => Activity::BeRightBack,
        "busy" => Activity::Busy,
        "do-not-disturb" | "dnd" => Activity::DoNotDisturb,
        "lunch" | "meal" => Activity::Lunch,
        "meeting" | "appointment" => Activity::Meeting,
        "on-the-phone" => Activity::OnThePhone,
        "vacation" | "holiday" => Activity::Vacation,
        other => Activity::Other(cut(other, LONGEST_WORD)),
    })
}

/// Of several words the one that says most.
fn rank(activity: &Activity) -> u8 {
    match activity {
        Activity::DoNotDisturb => 0,
        Activity::OnThePhone => 1,
        Activity::Meeting => 2,
        Activity::Vacation => 3,
        Activity::Lunch => 4,
        Activity::BeRightBack => 5,
        Activity::Busy => 6,
        Activity::Away => 7,
        Activity::Other(_) => 8,
        Activity::Unset => 9,
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests;
