//! Presence entries as innovaphone words them.

use super::message::Item;
use crate::policy::presence::pbx::{Activity, Entry, Origin, OwnEntry};

/// More entries than a user has contacts.
const MOST: usize = 64;
/// Longest note that is kept, in characters.
const LONGEST_NOTE: usize = 1000;
/// Ends the note of an own entry whose contact others use too, so that it is known again.
const MARK: &str = "(Teams)";

/// The contact of the worker's own entry.
#[derive(Clone, Debug)]
pub(super) struct OwnContact {
    contact: String,
}

impl OwnContact {
    pub(super) fn new(contact: &str) -> Self {
        Self {
            contact: contact.to_owned(),
        }
    }

    /// Activity and note as they are sent.
    pub(super) fn wording(&self, entry: &OwnEntry) -> (String, String) {
        let note = match (self.origin_by_contact(), entry.note.as_str()) {
            (Origin::Ours, note) => note.to_owned(),
            (_, "") => MARK.to_owned(),
            (_, note) => format!("{note} {MARK}"),
        };
        (word(&entry.activity), note)
    }

    pub(super) fn contact(&self) -> &str {
        &self.contact
    }

    /// What the own contact would be, were it not ours.
    fn origin_by_contact(&self) -> Origin {
        match self.contact.as_str() {
            "tel:" => Origin::User,
            "im:" | "calendar:" => Origin::System,
            _ => Origin::Ours,
        }
    }

    /// What the PBX tells of a user, newest first. An own entry that says nothing is one that was taken back: the PBX knows no
    /// other way to end an entry.
    pub(super) fn entries(&self, items: &[Item]) -> Vec<Entry> {
        let entries = items.iter().take(MOST).map(|item| self.entry(item));
        entries
            .filter(|entry| entry.origin != Origin::Ours || entry.activity != Activity::Unset || !entry.note.is_empty())
            .collect()
    }

    fn entry(&self, item: &Item) -> Entry {
        Entry {
            origin: self.origin(item),
            activity: activity(&item.activity),
            note: item.note.chars().take(LONGEST_NOTE).collect(),
            since: None,
        }
    }

    fn origin(&self, item: &Item) -> Origin {
        if item.contact == self.contact {
            return match self.origin_by_contact() {
                Origin::Ours => Origin::Ours,
                _ if item.note.ends_with(MARK) => Origin::Ours,
                others => others,
            };
        }
        match item.contact.as_str() {
            "tel:" => Origin::User,
            "im:" | "calendar:" => Origin::System,
            other => Origin::Other(other.chars().take(64).collect()),
        }
    }
}

/// The words of the PBX, and those of RFC 4480 that it passes on.
fn activity(word: &str) -> Activity {
    match word.to_ascii_lowercase().as_str() {
        "" | "available" => Activity::Unset,
        "away" => Activity::Away,
        "be-right-back" => Activity::BeRightBack,
        "busy" => Activity::Busy,
        "dnd" => Activity::DoNotDisturb,
        "lunch" | "meal" => Activity::Lunch,
        "meeting" => Activity::Meeting,
        "on-the-phone" => Activity::OnThePhone,
        "vacation" => Activity::Vacation,
        other => Activity::Other(other.chars().take(64).collect()),
    }
}

fn word(activity: &Activity) -> String {
    match activity {
        Activity::Unset => String::new(),
        // The PBX has no word for it.
        Activity::BeRightBack => "away".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(contact: &str, activity: &str, note: &str) -> Item {
        Item {
            contact: contact.to_owned(),
            activity: activity.to_owned(),
            note: note.to_owned(),
        }
    }

    fn own(activity: Activity, note: &str) -> OwnEntry {
        OwnEntry {
            activity,
            note: note.to_owned(),
        }
    }

    #[test]
    fn entries_are_known_by_their_contact() {
        let items = [
            item("teams:", "on-the-phone", ""),
            item("tel:", "DND", "back at 5"),
            item("im:", "", ""),
            item("calendar:", "meeting", ""),
            item("fax:", "juggling", ""),
        ];
        let entries = OwnContact::new("teams:").entries(&items);
        let told: Vec<_> = entries.iter().map(|entry| (&entry.origin, &entry.activity)).collect();
        let (fax, juggling) = (Origin::Other("fax:".to_owned()), Activity::Other("juggling".to_owned()));
        let expected = [
            (&Origin::Ours, &Activity::OnThePhone),
            (&Origin::User, &Activity::DoNotDisturb),
            (&Origin::System, &Activity::Unset),
            (&Origin::System, &Activity::Meeting),
            (&fax, &juggling),
        ];
        assert_eq!(told, expected);
        assert_eq!(entries[1].note, "back at 5");
    }

    #[test]
    fn an_own_entry_that_says_nothing_is_none() {
        let contact = OwnContact::new("teams:");
        assert_eq!(contact.entries(&[item("teams:", "", "")]), []);
        assert_eq!(contact.entries(&[item("tel:", "", "")]).len(), 1);
    }

    #[test]
    fn on_a_contact_that_others_use_ours_are_marked() {
        let contact = OwnContact::new("tel:");
        let (activity, note) = contact.wording(&own(Activity::Busy, "in Teams"));
        assert_eq!((activity.as_str(), note.as_str()), ("busy", "in Teams (Teams)"));
        let origin = |note: &str| contact.entries(&[item("tel:", "busy", note)])[0].origin.clone();
        assert_eq!(origin(&note), Origin::Ours);
        assert_eq!(origin("out"), Origin::User);
        assert_eq!(contact.wording(&own(Activity::Away, "")).1, MARK);
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let contact = OwnContact::new("teams:");
        let activities = [
            Activity::Away,
            Activity::Busy,
            Activity::DoNotDisturb,
            Activity::Lunch,
            Activity::Meeting,
            Activity::OnThePhone,
            Activity::Vacation,
        ];
        for written in activities {
            let (activity, note) = contact.wording(&own(written.clone(), "note"));
            let entries = contact.entries(&[item("teams:", &activity, &note)]);
            assert_eq!((&entries[0].origin, &entries[0].activity), (&Origin::Ours, &written));
        }
    }
}
