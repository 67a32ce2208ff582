//! Strategies that suggest themselves, and do not hold: they have to fail where the engine passes, or the tests see nothing.

use crate::api::presence::{Mapping as Rows, Policy};
use crate::policy::presence::engine::Outcome;
use crate::policy::presence::mapping::{Choice, InTeams, Mapping, OnPbx, Session};
use crate::policy::presence::pbx::{Activity, Origin, PbxView};
use crate::policy::presence::teams::{Reading, TeamsState};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// What one side shows is written to the other.
    Mirror,
    /// The same, but for what was written there last.
    EchoFilter,
    /// An entry of its own on the PBX, and no record of what it wrote to Teams.
    OwnContact,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Person,
    Own,
}

#[derive(Clone, Debug, PartialEq)]
pub enum NaiveWrite {
    SetSession(Session),
    ClearSession,
    SetPreferred(Choice),
    ClearPreferred,
    Entry(Side, Activity),
}

pub struct Naive {
    strategy: Strategy,
    mapping: Mapping,
    teams: Option<TeamsState>,
    pbx: Option<PbxView>,
    session: Option<Session>,
    told_teams: Option<Choice>,
    told_pbx: Option<Activity>,
    orders: Vec<NaiveWrite>,
}

impl Naive {
    pub fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            mapping: Mapping::new(&Rows::default(), &Policy::default()),
            teams: None,
            pbx: None,
            session: None,
            told_teams: None,
            told_pbx: None,
            orders: Vec::new(),
        }
    }

    pub fn restart(&mut self) {
        *self = Self::new(self.strategy);
    }

    pub fn lose_pbx(&mut self) {
        self.pbx = None;
    }

    pub fn see_teams(&mut self, reading: Reading) {
        let state = reading.state;
        let echo =
            self.strategy == Strategy::EchoFilter && self.told_teams.is_some_and(|choice| choice.explains(&state));
        let activity = match self.mapping.on_pbx(&state) {
            OnPbx::Entry(entry) => entry.activity,
            OnPbx::Unset => Activity::Unset,
            OnPbx::NoChange | OnPbx::Unmapped => return,
        };
        self.teams = Some(state);
        let side = match self.strategy {
            Strategy::OwnContact => Side::Own,
            Strategy::Mirror | Strategy::EchoFilter => Side::Person,
        };
        let shown = match side {
            Side::Own => self.told_pbx.clone().unwrap_or(Activity::Unset),
            Side::Person => self.newest().unwrap_or(Activity::Unset),
        };
        if !echo && shown != activity {
            self.told_pbx = Some(activity.clone());
            self.orders.push(NaiveWrite::Entry(side, activity));
        }
    }

    pub fn see_pbx(&mut self, view: PbxView) {
        let session = self.mapping.of_line(view.line);
        self.pbx = Some(view);
        if session != self.session {
            self.session = session;
            self.orders
                .push(session.map_or(NaiveWrite::ClearSession, NaiveWrite::SetSession));
        }
        let activity = self.newest().unwrap_or(Activity::Unset);
        if self.strategy == Strategy::EchoFilter && self.told_pbx.as_ref() == Some(&activity) {
            return;
        }
        let Some(teams) = &self.teams else { return };
        match self.mapping.in_teams(&activity) {
            InTeams::Choice(choice) if !choice.explains(teams) => {
                self.told_teams = Some(choice);
                self.orders.push(NaiveWrite::SetPreferred(choice));
            }
            InTeams::Nothing if teams.looks_chosen() => {
                self.told_teams = None;
                self.orders.push(NaiveWrite::ClearPreferred);
            }
            _ => {}
        }
    }

    pub fn decide(&mut self) -> Vec<NaiveWrite> {
        std::mem::take(&mut self.orders)
    }

    pub fn settle(&mut self, write: &NaiveWrite, outcome: Outcome) {
        if outcome != Outcome::Done {
            self.orders.push(write.clone());
        }
    }

    fn newest(&self) -> Option<Activity> {
        let entries = self.pbx.as_ref()?.entries.as_ref()?;
        let counts = |origin: &Origin| self.strategy != Strategy::OwnContact || *origin != Origin::Ours;
        entries
            .iter()
            .find(|entry| counts(&entry.origin))
            .map(|entry| entry.activity.clone())
    }
}
