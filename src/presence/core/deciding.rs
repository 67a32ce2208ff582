//! Asks the engine for all marked users.

use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::Core;
use crate::api::presence_report::Layer;
use crate::policy::presence::engine::{self, Decision, Part, Why};
use crate::presence::writing::Order;

/// When presence could not be asked for, or does not come, it is asked for again after this.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(2);

impl Core {
    /// Decides for all that are marked, and says what is to be written once it is stored.
    pub(super) fn decide(&mut self, now: Timestamp) -> Vec<Order> {
        let marked = std::mem::take(&mut self.marked);
        marked
            .into_iter()
            .filter_map(|person| self.decide_for(&person, now))
            .collect()
    }

    fn decide_for(&mut self, person: &Arc<str>, now: Timestamp) -> Option<Order> {
        let user = self.users.get_mut(person)?;
        if user.is_over(now) {
            self.forget(person);
            return None;
        }
        if user.writing {
            // Its answer marks the user again.
            return None;
        }
        let decision = engine::decide(&user.state, &self.engine, now);
        user.decided(decision.explanation);
        let asked = decision.read && !user.reading && self.parts.wanted.try_send(person.to_string()).is_ok();
        let user = self.users.get_mut(person)?;
        user.reading |= asked;
        let look = next_look(&decision, user.reading, now);
        user.look = look;
        let order = decision.writes.into_iter().next().map(|write| {
            user.state.begin(&write, now);
            user.writing = true;
            Order {
                person: person.clone(),
                pbx: user.pbx.clone(),
                write,
            }
        });
        if order.is_some() {
            self.to_store(person);
        }
        self.agenda.set(person, look);
        order
    }

    /// Nothing of ours is left, and nothing is to be kept in step.
    fn forget(&mut self, person: &Arc<str>) {
        if let Some(user) = self.users.remove(person) {
            if self.by_pbx.get(&user.pbx) == Some(person) {
                self.by_pbx.remove(&user.pbx);
            }
        }
        self.agenda.set(person, None);
        self.to_store(person);
    }

    /// Counts what an observation came to.
    pub(super) fn count_outcome(&self, person: &Arc<str>) {
        let Some(user) = self.users.get(person) else { return };
        let Some(why) = user.why else { return };
        let metrics = &self.parts.metrics;
        match why.entry {
            Why::Echo => {
                let now = jiff::Timestamp::MIN.max(crate::local_clock::now());
                let session = user.state.owned().session.is_live(now);
                metrics.echo(if session { Layer::Line } else { Layer::Chosen });
            }
            Why::NoChange => metrics.unchanged("mapping"),
            Why::ChosenOnPbx => metrics.unchanged("chosen_on_pbx"),
            Why::TeamsUnknown => metrics.unchanged("teams_unknown"),
            Why::Unmapped => {
                metrics.unchanged("unmapped");
                if let Some(reading) = user.state.teams() {
                    metrics.unmapped("teams", reading.state.activity.text());
                }
            }
            _ => {}
        }
        match why.choice {
            Why::ChosenInTeams => metrics.unchanged("chosen_in_teams"),
            Why::Replaced => metrics.unchanged("replaced_in_teams"),
            Why::NotVisible => metrics.unchanged("not_visible"),
            _ => {}
        }
    }

    /// What the PBX told waits to be told in Teams since now, unless something waits longer.
    pub(super) fn pbx_changed(&mut self, person: &Arc<str>) {
        if let Some(user) = self.users.get_mut(person) {
            user.pbx_since.get_or_insert_with(Instant::now);
            self.marked.insert(person.clone());
        }
    }
}

fn next_look(decision: &Decision, reading: bool, now: Timestamp) -> Option<Timestamp> {
    let again = (decision.read || reading).then(|| now.checked_add(ASK_AGAIN).unwrap_or(now));
    again.into_iter().chain(decision.look_again).min()
}

/// The part that a layer of the report is about.
pub(super) fn part_of(layer: Layer) -> Part {
    match layer {
        Layer::Line => Part::Session,
        Layer::Chosen => Part::Choice,
        Layer::Derived => Part::Entry,
    }
}
