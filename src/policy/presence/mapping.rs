//! What a state of one side means on the other: the profiles, the rows that differ, and the policies. Every state has an answer.

use serde::{Deserialize, Serialize};

use super::pbx::{Activity, Line, OwnEntry};
use super::teams::{Base, TeamsState, Word};
use crate::api::presence::{
    DoNotDisturbPolicy, Mapping as Rows, OfflinePolicy, OutOfOfficePolicy, PbxTarget, Policy, Profile, RingingPolicy,
    TeamsTarget,
};

#[cfg(test)]
mod tests;

/// Note of our entry while the person is out of office, if the policy asks for it.
const OUT_OF_OFFICE_NOTE: &str = "Out of office";

/// What our app's session says: the pairs that `setPresence` accepts, less those that fade or that nothing here means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Session {
    /// `Busy`, `InACall`.
    InACall,
    /// `Busy`, `InAConferenceCall`.
    InAConferenceCall,
    /// `DoNotDisturb`, `Presenting`.
    DoNotDisturb,
}

impl Session {
    /// Graph's `availability`.
    pub fn availability(self) -> &'static str {
        match self {
            Self::InACall | Self::InAConferenceCall => "Busy",
            Self::DoNotDisturb => "DoNotDisturb",
        }
    }

    /// Graph's `activity`.
    pub fn activity(self) -> &'static str {
        match self {
            Self::InACall => "InACall",
            Self::InAConferenceCall => "InAConferenceCall",
            Self::DoNotDisturb => "Presenting",
        }
    }

    /// What it comes down to.
    pub fn base(self) -> Base {
        match self {
            Self::InACall | Self::InAConferenceCall => Base::Busy,
            Self::DoNotDisturb => Base::DoNotDisturb,
        }
    }
}

/// A preferred presence: a pair that `setUserPreferredPresence` accepts. `Offline`, `OffWork` is never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // Graph's words
pub enum Choice {
    Available,
    Busy,
    DoNotDisturb,
    BeRightBack,
    Away,
}

impl Choice {
    /// Graph's `availability`.
    pub fn availability(self) -> &'static str {
        match self {
            Self::Available => "Available",
            Self::Busy => "Busy",
            Self::DoNotDisturb => "DoNotDisturb",
            Self::BeRightBack => "BeRightBack",
            Self::Away => "Away",
        }
    }

    /// Graph's `activity`: always the same word.
    pub fn activity(self) -> &'static str {
        self.availability()
    }

    /// Whether Teams may show this state because of this choice. Graph gives back related words at times.
    pub fn explains(self, state: &TeamsState) -> bool {
        match self {
            Self::Available => state.base() == Base::Available,
            Self::Busy => state.base() == Base::Busy,
            Self::DoNotDisturb => state.base() == Base::DoNotDisturb,
            Self::BeRightBack => state.base() == Base::Away && state.activity != Word::Away,
            Self::Away => state.base() == Base::Away && state.activity != Word::BeRightBack,
        }
    }

    /// What it comes down to.
    pub fn base(self) -> Base {
        match self {
            Self::Available => Base::Available,
            Self::Busy => Base::Busy,
            Self::DoNotDisturb => Base::DoNotDisturb,
            Self::BeRightBack | Self::Away => Base::Away,
        }
    }
}

/// What a state of Teams is on the PBX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnPbx {
    /// Our entry says this.
    Entry(OwnEntry),
    /// There is no entry of ours.
    Unset,
    /// Our entry stays as it is.
    NoChange,
    /// The same, because no row knows the state.
    Unmapped,
}

/// What a state of the PBX is in Teams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InTeams {
    /// The person's choice.
    Choice(Choice),
    /// Our app's session.
    Session(Session),
    /// Nothing; what told an earlier state is taken back.
    Nothing,
    /// The same, because no row knows the state.
    Unmapped,
}

/// The mapping in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    profile: Profile,
    to_pbx: Vec<(Word, PbxTarget)>,
    to_teams: Vec<(String, TeamsTarget)>,
    offline: OfflinePolicy,
    out_of_office: OutOfOfficePolicy,
    do_not_disturb: DoNotDisturbPolicy,
    ringing: RingingPolicy,
}

impl Mapping {
    /// The mapping that the spec describes.
    pub fn new(rows: &Rows, policy: &Policy) -> Self {
        let to_pbx = rows.teams_to_pbx.iter().map(|row| (Word::read(&row.teams), row.pbx));
        let to_teams = rows.pbx_to_teams.iter().map(|row| (plain(&row.pbx), row.teams));
        Self {
            profile: rows.profile,
            to_pbx: to_pbx.collect(),
            to_teams: to_teams.collect(),
            offline: policy.offline,
            out_of_office: policy.out_of_office,
            do_not_disturb: policy.do_not_disturb,
            ringing: policy.ringing,
        }
    }

    /// What our entry on the PBX is to say while Teams shows this. The activity decides, and the availability where no row knows it.
    pub fn on_pbx(&self, state: &TeamsState) -> OnPbx {
        let Some(target) = self.row(&state.activity).or_else(|| self.row(&state.availability)) else {
            return OnPbx::Unmapped;
        };
        let absent = state.out_of_office && state.base() != Base::Unknown;
        match self.out_of_office {
            OutOfOfficePolicy::Away if absent && matches!(target, PbxTarget::Unset | PbxTarget::NoChange) => {
                entry(Activity::Away, "")
            }
            OutOfOfficePolicy::Note if absent => says(target, OUT_OF_OFFICE_NOTE),
            _ => says(target, ""),
        }
    }

    fn row(&self, word: &Word) -> Option<PbxTarget> {
        let overridden = self.to_pbx.iter().find(|(name, _)| name.is(word));
        overridden
            .map(|(_, target)| *target)
            .or_else(|| self.by_policy(word))
            .or_else(|| by_profile(self.profile, word))
    }

    fn by_policy(&self, word: &Word) -> Option<PbxTarget> {
        match (self.offline, word) {
            (OfflinePolicy::Unset, Word::Offline | Word::OffWork) => Some(PbxTarget::Unset),
            (OfflinePolicy::NoChange, Word::Offline | Word::OffWork) => Some(PbxTarget::NoChange),
            _ => None,
        }
    }

    /// What Teams is to show while an entry on the PBX that is not ours says this.
    pub fn in_teams(&self, activity: &Activity) -> InTeams {
        if let Some(target) = self.override_of(activity) {
            return target;
        }
        match activity {
            Activity::Away => InTeams::Choice(Choice::Away),
            Activity::BeRightBack | Activity::Lunch => InTeams::Choice(Choice::BeRightBack),
            Activity::Busy | Activity::Meeting => InTeams::Choice(Choice::Busy),
            Activity::DoNotDisturb => match self.do_not_disturb {
                DoNotDisturbPolicy::Preferred => InTeams::Choice(Choice::DoNotDisturb),
                DoNotDisturbPolicy::Session => InTeams::Session(Session::DoNotDisturb),
                DoNotDisturbPolicy::Ignore => InTeams::Nothing,
            },
            Activity::OnThePhone => InTeams::Session(Session::InACall),
            // Out of office cannot be written to Teams: it comes from the mailbox alone.
            Activity::Unset | Activity::Vacation => InTeams::Nothing,
            Activity::Other(_) => InTeams::Unmapped,
        }
    }

    fn override_of(&self, activity: &Activity) -> Option<InTeams> {
        if self.to_teams.is_empty() {
            return None;
        }
        let word = plain(match activity {
            Activity::Other(word) => word,
            known => name(known),
        });
        let (_, target) = self.to_teams.iter().find(|(name, _)| *name == word)?;
        Some(match target {
            TeamsTarget::Available => InTeams::Choice(Choice::Available),
            TeamsTarget::Busy => InTeams::Choice(Choice::Busy),
            TeamsTarget::DoNotDisturb => InTeams::Choice(Choice::DoNotDisturb),
            TeamsTarget::BeRightBack => InTeams::Choice(Choice::BeRightBack),
            TeamsTarget::Away => InTeams::Choice(Choice::Away),
            TeamsTarget::NoChange => InTeams::Nothing,
        })
    }

    /// What our session is to say while the line is so; `None` also where the line is not known.
    pub fn of_line(&self, line: Line) -> Option<Session> {
        match line {
            Line::Connected => Some(Session::InACall),
            Line::Conference => Some(Session::InAConferenceCall),
            Line::Ringing if matches!(self.ringing, RingingPolicy::InACall) => Some(Session::InACall),
            Line::Ringing | Line::Idle | Line::Unknown => None,
        }
    }
}

fn says(target: PbxTarget, note: &str) -> OnPbx {
    match target {
        PbxTarget::NoChange => OnPbx::NoChange,
        PbxTarget::Unset if note.is_empty() => OnPbx::Unset,
        PbxTarget::Unset => entry(Activity::Unset, note),
        PbxTarget::Away => entry(Activity::Away, note),
        PbxTarget::Busy => entry(Activity::Busy, note),
        PbxTarget::DoNotDisturb => entry(Activity::DoNotDisturb, note),
        PbxTarget::Meeting => entry(Activity::Meeting, note),
        PbxTarget::OnThePhone => entry(Activity::OnThePhone, note),
    }
}

fn entry(activity: Activity, note: &str) -> OnPbx {
    OnPbx::Entry(OwnEntry {
        activity,
        note: note.to_owned(),
    })
}

fn by_profile(profile: Profile, word: &Word) -> Option<PbxTarget> {
    let row = match profile {
        Profile::Innovaphone => innovaphone(word),
        Profile::Sip => sip(word),
        Profile::Conservative => conservative(word),
    };
    // Idle is said of a state that goes on.
    row.or_else(|| match word {
        Word::AvailableIdle => by_profile(profile, &Word::Available),
        Word::BusyIdle => by_profile(profile, &Word::Busy),
        _ => None,
    })
}

/// The fifteen rows of innovaphone's Connector for Microsoft 365; its `online` is no entry.
fn innovaphone(word: &Word) -> Option<PbxTarget> {
    Some(match word {
        Word::Away | Word::BeRightBack | Word::OutOfOffice => PbxTarget::Away,
        Word::Busy => PbxTarget::Busy,
        Word::DoNotDisturb | Word::UrgentInterruptionsOnly => PbxTarget::DoNotDisturb,
        Word::InACall | Word::InAConferenceCall | Word::Presenting => PbxTarget::OnThePhone,
        Word::InAMeeting => PbxTarget::Meeting,
        Word::Inactive | Word::PresenceUnknown | Word::Available | Word::Offline | Word::OffWork => PbxTarget::Unset,
        _ => return None,
    })
}

/// The names of RFC 4480. Who is offline has no entry: what the person's other devices publish is left to speak.
fn sip(word: &Word) -> Option<PbxTarget> {
    Some(match word {
        Word::Focusing => PbxTarget::DoNotDisturb,
        Word::PresenceUnknown => PbxTarget::NoChange,
        other => return innovaphone(other),
    })
}

/// Changes nothing where Teams does not know.
fn conservative(word: &Word) -> Option<PbxTarget> {
    Some(match word {
        Word::Presenting | Word::Focusing => PbxTarget::DoNotDisturb,
        Word::Offline | Word::OffWork | Word::PresenceUnknown => PbxTarget::NoChange,
        other => return innovaphone(other),
    })
}

fn name(activity: &Activity) -> &'static str {
    match activity {
        Activity::Unset => "online",
        Activity::Away => "away",
        Activity::BeRightBack => "be-right-back",
        Activity::Busy => "busy",
        Activity::DoNotDisturb => "dnd",
        Activity::Lunch => "lunch",
        Activity::Meeting => "meeting",
        Activity::OnThePhone => "on-the-phone",
        Activity::Vacation => "vacation",
        Activity::Other(_) => "",
    }
}

/// A word of a PBX as it is compared: small letters and digits, other spellings of the same replaced.
fn plain(word: &str) -> String {
    let letters: String = word
        .chars()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    match letters.as_str() {
        "" if !word.trim().is_empty() => word.trim().to_owned(),
        "" | "available" | "unset" => name(&Activity::Unset).to_owned(),
        "donotdisturb" => "dnd".to_owned(),
        "brb" => "berightback".to_owned(),
        "inacall" | "onthephone" => "onthephone".to_owned(),
        _ => letters,
    }
}
