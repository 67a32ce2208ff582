//! A PBX with an entry for each contact, the newest first, and a phone line.

use super::history::{Own, Terms};
use crate::policy::presence::pbx::{Activity, Entry, Line, Origin, OwnEntry, PbxView};

#[derive(Clone, Debug)]
pub struct Pbx {
    pub entries: Vec<Entry>,
    pub line: Line,
    /// When our entry ends by itself.
    pub own_ends: Option<i64>,
    /// Counts the person's choices.
    pub choices: u64,
    /// Since when the person's choice has been there, if it is one.
    pub chosen_since: Option<i64>,
    pub connected: bool,
    /// Whether it knows entries, and calls, just now.
    pub knows_entries: bool,
    pub knows_line: bool,
    terms: Terms,
}

impl Pbx {
    pub fn new(terms: Terms) -> Self {
        Self {
            entries: Vec::new(),
            line: Line::Idle,
            own_ends: None,
            choices: 0,
            chosen_since: None,
            connected: true,
            knows_entries: true,
            knows_line: true,
            terms,
        }
    }

    pub fn view(&self) -> PbxView {
        PbxView {
            entries: (self.terms.entries && self.knows_entries).then(|| self.entries.clone()),
            line: if self.tells_line() { self.line } else { Line::Unknown },
        }
    }

    pub fn tells_line(&self) -> bool {
        self.terms.line && self.knows_line
    }

    /// The person says something, or nothing any more.
    pub fn choose(&mut self, activity: Option<&Activity>, now: i64) {
        let is_on = !self.entries.is_empty();
        match activity {
            // A switch that is on stays whose it was.
            Some(Activity::DoNotDisturb) if self.terms.own == Own::Switch && is_on => {}
            Some(Activity::DoNotDisturb) => self.set(Origin::User, Activity::DoNotDisturb, "", now),
            _ if self.terms.own == Own::Switch => {
                self.remove(&Origin::Ours);
                self.remove(&Origin::User);
            }
            Some(activity) => self.set(Origin::User, activity.clone(), "", now),
            None => drop(self.remove(&Origin::User)),
        }
    }

    /// The calendar says something; a switch has none.
    pub fn plan(&mut self, activity: &Activity, now: i64) {
        if self.terms.own != Own::Switch {
            self.set(Origin::System, activity.clone(), "", now);
        }
    }

    pub fn settle(&mut self, now: i64) -> bool {
        if self.own_ends.is_none_or(|ends| ends > now) {
            return false;
        }
        self.own_ends = None;
        self.remove(&Origin::Ours)
    }

    pub fn ours(&self) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.origin == Origin::Ours)
    }

    /// A contact says something, and is the newest.
    pub fn set(&mut self, origin: Origin, activity: Activity, note: &str, now: i64) {
        self.remove(&origin);
        if origin == Origin::User {
            self.choices += 1;
            // Calls are no choice.
            let is_choice = !matches!(activity, Activity::Unset | Activity::OnThePhone);
            self.chosen_since = is_choice.then_some(now);
        }
        let entry = Entry {
            origin,
            activity,
            note: note.to_owned(),
            since: None,
        };
        self.entries.insert(0, entry);
    }

    /// Our entry says something. A refresh of what expires does not make it the newest.
    pub fn put_own(&mut self, entry: &OwnEntry, ends: Option<i64>, now: i64) {
        if self.terms.own == Own::Switch && self.entries.iter().any(|entry| entry.origin == Origin::User) {
            return; // It is on already, and stays the person's.
        }
        self.own_ends = ends;
        let same = |shown: &Entry| shown.activity == entry.activity && shown.note == entry.note;
        if ends.is_none() || !self.ours().is_some_and(same) {
            self.set(Origin::Ours, entry.activity.clone(), &entry.note, now);
        }
    }

    pub fn remove(&mut self, origin: &Origin) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.origin != *origin);
        if *origin == Origin::User && self.entries.len() != before {
            self.choices += 1;
            self.chosen_since = None;
        }
        self.entries.len() != before
    }
}
