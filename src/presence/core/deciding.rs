//! Asks the engine for all marked users.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::Core;
use super::user::User;
use crate::api::presence_report::Layer;
use crate::local_clock;
use crate::policy::presence::engine::{self, Decision, Why};
use crate::policy::presence::pbx::Origin;
use crate::presence::writing::Order;

/// When somebody was forgotten, the PBX is told within this time.
const UNWATCH: Duration = Duration::from_secs(5);
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
        self.count_outcome(person);
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
            self.mark_unstored(person);
        }
        match look {
            Some(at) => self.agenda.set(person.clone(), at),
            None => self.agenda.cancel(person),
        }
        order
    }

    /// Nothing of ours is left, and nothing is to be kept in step.
    fn forget(&mut self, person: &Arc<str>) {
        let user = self.users.remove(person);
        if let Some(user) = user.filter(|user| self.by_pbx.get(&user.pbx) == Some(person)) {
            self.by_pbx.remove(&user.pbx);
        }
        self.agenda.cancel(person);
        self.mark_unstored(person);
        if self.roster.pairs.contains_key(person) {
            // Somebody else's desk waits for this: see `Core::pair`.
            self.roster_changed();
        } else {
            // The PBX need not watch the user any more, which is no hurry: many are forgotten one after the other.
            self.roster_due_within(UNWATCH);
        }
    }

    /// Counts what an observation came to, once.
    fn count_outcome(&mut self, person: &Arc<str>) {
        let Some(user) = self.users.get_mut(person).filter(|user| user.observed) else {
            return;
        };
        user.observed = false;
        let Some(why) = user.why else { return };
        let metrics = &self.parts.metrics;
        match why.entry {
            Why::Echo => {
                let now = local_clock::now();
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
            Why::Unmapped => {
                if let Some(word) = chosen_word(user) {
                    metrics.unmapped("pbx", &word);
                }
            }
            _ => {}
        }
    }

    /// What the PBX told waits to be told in Teams since now, unless something waits longer.
    pub(super) fn pbx_changed(&mut self, person: &Arc<str>) {
        if let Some(user) = self.users.get_mut(person) {
            user.observed = true;
            user.pbx_since.get_or_insert_with(Instant::now);
            self.marked.insert(person.clone());
        }
    }
}

/// What the newest entry says that is not ours.
fn chosen_word(user: &User) -> Option<String> {
    let entries = user.state.pbx()?.view.entries.as_ref()?;
    let chosen = entries.iter().find(|entry| entry.origin != Origin::Ours)?;
    Some(chosen.activity.to_string())
}

fn next_look(decision: &Decision, reading: bool, now: Timestamp) -> Option<Timestamp> {
    let again = (decision.read || reading).then(|| now.checked_add(ASK_AGAIN).unwrap_or(now));
    again.into_iter().chain(decision.look_again).min()
}
