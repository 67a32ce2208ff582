//! Presence of a person in Teams, as Graph tells it.

use std::fmt;

use jiff::Timestamp;

#[cfg(test)]
mod tests;

/// Longest word that is kept; Graph's own have 23 letters.
const LONGEST_WORD: usize = 64;

/// A word of Graph's `availability` or `activity`. Graph uses some words in both, and spells them with and without capitals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Graph's words
pub enum Word {
    Available,
    AvailableIdle,
    Away,
    BeRightBack,
    Busy,
    BusyIdle,
    DoNotDisturb,
    Focusing,
    InACall,
    InAConferenceCall,
    InAMeeting,
    Inactive,
    Offline,
    OffWork,
    OutOfOffice,
    Presenting,
    UrgentInterruptionsOnly,
    #[default]
    PresenceUnknown,
    /// One that is not known here, as it came.
    Other(Box<str>),
}

/// Every known word with its spelling.
const WORDS: [(&str, Word); 18] = [
    ("Available", Word::Available),
    ("AvailableIdle", Word::AvailableIdle),
    ("Away", Word::Away),
    ("BeRightBack", Word::BeRightBack),
    ("Busy", Word::Busy),
    ("BusyIdle", Word::BusyIdle),
    ("DoNotDisturb", Word::DoNotDisturb),
    ("Focusing", Word::Focusing),
    ("InACall", Word::InACall),
    ("InAConferenceCall", Word::InAConferenceCall),
    ("InAMeeting", Word::InAMeeting),
    ("Inactive", Word::Inactive),
    ("Offline", Word::Offline),
    ("OffWork", Word::OffWork),
    ("OutOfOffice", Word::OutOfOffice),
    ("Presenting", Word::Presenting),
    ("UrgentInterruptionsOnly", Word::UrgentInterruptionsOnly),
    ("PresenceUnknown", Word::PresenceUnknown),
];

/// What a word comes down to, for one who wants to reach the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// Nobody knows.
    Unknown,
    /// Not signed in, or so it shall seem.
    Offline,
    /// Away.
    Away,
    /// Available.
    Available,
    /// Busy.
    Busy,
    /// Not to be disturbed.
    DoNotDisturb,
}

impl Word {
    /// Reads a word; capitals and surrounding blanks do not matter. No word at all is `PresenceUnknown`.
    pub fn read(text: &str) -> Self {
        let text = text.trim();
        if text.is_empty() {
            return Self::PresenceUnknown;
        }
        match WORDS.iter().find(|(spelling, _)| spelling.eq_ignore_ascii_case(text)) {
            Some((_, word)) => word.clone(),
            None => Self::Other(text.chars().take(LONGEST_WORD).collect()),
        }
    }

    /// The word as Graph's documentation spells it, or as it came.
    pub fn text(&self) -> &str {
        match self {
            Self::Other(text) => text,
            known => WORDS
                .iter()
                .find(|(_, word)| word == known)
                .map_or("", |(spelling, _)| spelling),
        }
    }

    /// Whether both are the same word, whatever their capitals.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(one), Self::Other(other)) => one.eq_ignore_ascii_case(other),
            _ => self == other,
        }
    }

    /// What it comes down to; `None` where the word alone does not tell.
    pub fn base(&self) -> Option<Base> {
        Some(match self {
            Self::Available | Self::AvailableIdle => Base::Available,
            Self::Away | Self::BeRightBack | Self::OutOfOffice => Base::Away,
            Self::Busy | Self::BusyIdle | Self::InACall | Self::InAConferenceCall | Self::InAMeeting => Base::Busy,
            Self::DoNotDisturb | Self::Focusing | Self::Presenting | Self::UrgentInterruptionsOnly => {
                Base::DoNotDisturb
            }
            Self::Offline | Self::OffWork => Base::Offline,
            Self::PresenceUnknown => Base::Unknown,
            Self::Inactive | Self::Other(_) => return None,
        })
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A state of a person in Teams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TeamsState {
    /// `availability`.
    pub availability: Word,
    /// `activity`, which often says more.
    pub activity: Word,
    /// `outOfOfficeSettings.isOutOfOffice`, which may go with any state.
    pub out_of_office: bool,
}

impl TeamsState {
    /// Reads a state from Graph's words.
    pub fn read(availability: &str, activity: &str, out_of_office: bool) -> Self {
        let availability = Word::read(availability);
        let activity = match Word::read(activity) {
            // Busy without a hand on the keyboard is busy: the availability tells more here.
            Word::Inactive if availability == Word::BusyIdle => Word::BusyIdle,
            word => word,
        };
        Self {
            availability,
            activity,
            out_of_office,
        }
    }

    /// What the state comes down to, by the availability, or by the activity where that does not tell.
    pub fn base(&self) -> Base {
        match self.availability.base() {
            None | Some(Base::Unknown) => self.activity.base().unwrap_or(Base::Unknown),
            Some(base) => base,
        }
    }

    /// Whether the person can be seen. A choice made for somebody who cannot is neither shown nor known.
    pub fn visible(&self) -> bool {
        !matches!(self.base(), Base::Offline | Base::Unknown)
    }

    /// Whether it looks as if somebody chose it, the person in Teams or an app. Graph does not tell. A chosen `Available` looks like
    /// no choice, and an idle person's `Away` like a chosen one.
    pub fn looks_chosen(&self) -> bool {
        let deciding = match self.activity {
            Word::Inactive | Word::PresenceUnknown | Word::Other(_) => &self.availability,
            _ => &self.activity,
        };
        matches!(
            deciding,
            Word::Busy
                | Word::BusyIdle
                | Word::DoNotDisturb
                | Word::UrgentInterruptionsOnly
                | Word::BeRightBack
                | Word::Away
                | Word::OffWork
        )
    }

    /// Whether Teams itself made it, from a call, a meeting or the calendar: nobody can choose it.
    pub fn looks_derived(&self) -> bool {
        matches!(
            self.activity,
            Word::InACall
                | Word::InAConferenceCall
                | Word::InAMeeting
                | Word::Presenting
                | Word::Focusing
                | Word::OutOfOffice
        )
    }
}

impl fmt::Display for TeamsState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.availability, self.activity)?;
        if self.out_of_office {
            f.write_str(", out of office")?;
        }
        Ok(())
    }
}

/// A state as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The state.
    pub state: TeamsState,
    /// Graph's `sequenceNumber`: the greater text is the later state. Never made up here.
    pub sequence: Option<Box<str>>,
    /// When the request was sent that this is the answer to: the state is no older.
    pub at: Timestamp,
}
