//! Why something is, or is not, written for a person.

use std::fmt;

use super::Part;

/// Why a layer is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// This way is not asked for, or the PBX cannot do it.
    Off,
    /// There is nothing to tell.
    Nothing,
    /// What is to be told is told.
    InStep,
    /// A write is due.
    Due,
    /// A write is under way.
    UnderWay,
    /// The last write failed, and is tried again later.
    Waiting,
    /// The person is not kept in step any more: what was written is taken back.
    TakenBack,
    /// The line has not been free for long enough.
    LineJustFree,
    /// Nothing is known of the person on the PBX, so nothing is changed.
    PbxUnknown,
    /// Nothing is known of the person in Teams, so nothing is changed.
    TeamsUnknown,
    /// The person cannot be seen in Teams, so whose choice is in force there cannot be known.
    NotVisible,
    /// Somebody else chose what Teams shows.
    ChosenInTeams,
    /// The person replaced our choice in Teams: the choice on the PBX is told again when it changes.
    Replaced,
    /// What Teams shows is, or may be, what we wrote there.
    Echo,
    /// The person chose something on the PBX, which goes before what Teams shows.
    ChosenOnPbx,
    /// Our do not disturb was switched off on the PBX; it is told again when Teams changes.
    SwitchedOff,
    /// The mapping says that this state changes nothing.
    NoChange,
    /// The mapping does not know this state.
    Unmapped,
    /// Presence in Teams has to be read first.
    ToBeRead,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "this way is off",
            Self::Nothing => "nothing to tell",
            Self::InStep => "in step",
            Self::Due => "a write is due",
            Self::UnderWay => "a write is under way",
            Self::Waiting => "the last write failed; it is tried again",
            Self::TakenBack => "no longer kept in step; what was written is taken back",
            Self::LineJustFree => "the line has only just become free",
            Self::PbxUnknown => "nothing is known from the PBX, so nothing is changed",
            Self::TeamsUnknown => "nothing is known from Teams, so nothing is changed",
            Self::NotVisible => "not visible in Teams, so it cannot be known whose choice is in force there",
            Self::ChosenInTeams => "somebody chose what Teams shows",
            Self::Replaced => "our choice was replaced in Teams; the next choice on the PBX is told again",
            Self::Echo => "Teams shows what was written there",
            Self::ChosenOnPbx => "a choice on the PBX goes before what Teams shows",
            Self::SwitchedOff => "our do not disturb was switched off on the PBX; it is told again when Teams changes",
            Self::NoChange => "the mapping says that this state changes nothing",
            Self::Unmapped => "the mapping does not know this state",
            Self::ToBeRead => "presence in Teams has to be read first",
        })
    }
}

/// Why each layer is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Explanation {
    /// Calls on the PBX, told to Teams as our app's session.
    pub session: Why,
    /// The choice on the PBX, told to Teams as preferred presence.
    pub choice: Why,
    /// What Teams shows, told to the PBX as our entry.
    pub entry: Why,
}

impl Explanation {
    /// Why this layer is as it is.
    pub fn of(&self, part: Part) -> Why {
        match part {
            Part::Session => self.session,
            Part::Choice => self.choice,
            Part::Entry => self.entry,
        }
    }
}
