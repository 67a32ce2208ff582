//! Teams, as far as presence goes: what a client shows, what somebody chose, our app's session; which of them is seen.

use crate::policy::presence::mapping::{Choice, Session};
use crate::policy::presence::teams::{TeamsState, Word};

/// What a person's client, and Teams itself, make of what the person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Offline,
    Available,
    Idle,
    InACall,
    InAMeeting,
}

/// Who made a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    Person,
    Operator,
}

/// What is chosen: `None` is to appear offline, which only a person does.
pub type Chosen = Option<Choice>;

/// A preferred presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preferred {
    pub chosen: Chosen,
    pub author: Author,
    pub expires: Option<i64>,
    /// Since when Graph has shown it, or hidden it.
    pub shown_since: Option<i64>,
    pub hidden_since: Option<i64>,
    /// Nobody who reads Graph could tell it from ours.
    pub indistinguishable: bool,
    /// A person's `Available` that replaced ours, the number of the choice on the PBX then, and when ours would have ended.
    pub replaced_ours: Option<(u64, i64)>,
}

fn word(choice: Choice) -> Word {
    match choice {
        Choice::Available => Word::Available,
        Choice::Busy => Word::Busy,
        Choice::DoNotDisturb => Word::DoNotDisturb,
        Choice::BeRightBack => Word::BeRightBack,
        Choice::Away => Word::Away,
    }
}

#[derive(Clone, Debug)]
pub struct Teams {
    pub client: Client,
    pub out_of_office: bool,
    pub preferred: Option<Preferred>,
    /// Our app's session, what Graph calls its activity, and its end.
    pub session: Option<(Session, Word, i64)>,
    sequence: u64,
    shown: TeamsState,
    /// When a preferred presence of ours last ended by itself, and what it was.
    pub lapsed: Option<(i64, Choice)>,
}

impl Teams {
    pub fn new() -> Self {
        Self {
            client: Client::Available,
            out_of_office: false,
            preferred: None,
            session: None,
            sequence: 1,
            shown: TeamsState::read("Available", "Available", false),
            lapsed: None,
        }
    }

    /// Lets end what has ended, and works out what is seen. True if that is something else.
    pub fn settle(&mut self, now: i64) -> bool {
        self.session.take_if(|(_, _, ends)| *ends <= now);
        if let Some(preferred) = self
            .preferred
            .filter(|preferred| preferred.expires.is_some_and(|ends| ends <= now))
        {
            self.lapsed = preferred.chosen.map(|choice| (now, choice));
            self.preferred = None;
        }
        let seen = self.seen();
        let visible = self.has_session() || self.preferred.is_some_and(|preferred| preferred.chosen.is_none());
        if let Some(preferred) = &mut self.preferred {
            preferred.shown_since = visible.then(|| preferred.shown_since.unwrap_or(now));
            preferred.hidden_since = (!visible).then(|| preferred.hidden_since.unwrap_or(now));
        }
        if seen == self.shown {
            return false;
        }
        self.sequence += 1;
        self.shown = seen;
        true
    }

    fn has_session(&self) -> bool {
        self.client != Client::Offline || self.session.is_some()
    }

    /// What Graph tells now, with its sequence number.
    pub fn read(&self) -> (TeamsState, String) {
        (self.shown.clone(), format!("{:010}", self.sequence))
    }

    /// What is shown now.
    pub fn shown(&self) -> &TeamsState {
        &self.shown
    }

    fn seen(&self) -> TeamsState {
        let pair = |availability: Word, activity: Word| TeamsState {
            availability,
            activity,
            out_of_office: self.out_of_office,
        };
        match self.preferred.map(|preferred| preferred.chosen) {
            Some(None) => return pair(Word::Offline, Word::OffWork),
            Some(Some(choice)) if self.has_session() => return pair(word(choice), word(choice)),
            _ => {}
        }
        let client = match self.client {
            Client::Offline => None,
            Client::Idle => Some((0, Word::Away, Word::Away)),
            Client::Available => Some((1, Word::Available, Word::Available)),
            Client::InACall => Some((2, Word::Busy, Word::InACall)),
            Client::InAMeeting => Some((2, Word::Busy, Word::InAMeeting)),
        };
        let session = self.session.as_ref().map(|(session, activity, _)| match session {
            Session::DoNotDisturb => (3, Word::DoNotDisturb, activity.clone()),
            Session::InACall | Session::InAConferenceCall => (2, Word::Busy, activity.clone()),
        });
        let stronger = match (client, session) {
            (Some(client), Some(session)) if client.0 > session.0 => Some(client),
            (client, session) => session.or(client),
        };
        stronger.map_or_else(
            || pair(Word::Offline, Word::Offline),
            |(_, availability, activity)| pair(availability, activity),
        )
    }

    /// When something ends by itself next.
    pub fn next_end(&self) -> Option<i64> {
        let session = self.session.as_ref().map(|(_, _, ends)| *ends);
        let preferred = self.preferred.and_then(|preferred| preferred.expires);
        session.into_iter().chain(preferred).min()
    }
}
