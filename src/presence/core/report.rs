//! What the worker says about itself and about a user.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use super::refusals::Refusals;
use super::user::{Done, User};
use super::{Core, TICK};
use crate::api::presence::UserCounts;
use crate::api::presence_report::{
    EntryReport, Fault, Lamp, Layer, LayerReport, PbxSide, TeamsSide, UserReport, WorkerReport, WriteReport,
};
use crate::local_clock;
use crate::policy::presence::engine::owned::{Held, Layer as OwnedLayer};
use crate::policy::presence::engine::{Part, Why, Write};
use crate::policy::presence::pbx::{Entry, Line, Origin, PbxUser, PbxView};
use crate::presence::input::Ask;
use crate::presence::roster::{NO_PLACE, NOT_THERE};

impl Core {
    /// Answers a question. Who asked may have gone.
    pub(super) fn on_ask(&mut self, ask: Ask) {
        match ask {
            Ask::Status(reply) => drop(reply.send(self.report(local_clock::now()))),
            Ask::User(name, reply) => drop(reply.send(self.explain(&name))),
            Ask::Release(reply) => self.release(reply),
        }
    }

    /// Gauges, from time to time.
    pub(super) fn tick(&mut self, now: Timestamp) {
        if self.ticked.is_some_and(|at| at.elapsed() < TICK) {
            return;
        }
        self.ticked = Some(Instant::now());
        let report = self.report(now);
        let metrics = &self.parts.metrics;
        metrics.lamp("pbx", &report.pbx);
        metrics.lamp("writer", &report.writer);
        metrics.lamp("source", &report.source);
        if let Some(shards) = &report.shards {
            metrics.lamp("shards", shards);
        }
        metrics.users(&report.users);
        metrics.owned(&report.owned);
        let state = self.parts.board.state();
        self.watch_source(&state);
    }

    /// The PBX as a whole.
    pub(super) fn pbx_lamp(&self) -> Lamp {
        let lamp = self.parts.unusable.clone().unwrap_or_else(|| self.endpoints.lamp());
        if let Some(why) = self.no_entries.as_ref().filter(|_| lamp.is_green()) {
            return Lamp::red(Fault::Rejected, why);
        }
        self.unless_refused(lamp, &self.refused_by_pbx)
    }

    /// The app that writes.
    fn writer_lamp(&self, lamp: Lamp) -> Lamp {
        self.unless_refused(lamp, &self.refused_by_teams)
    }

    /// A side that refuses everybody is not well, however well one is connected to it.
    fn unless_refused(&self, lamp: Lamp, refusals: &Refusals) -> Lamp {
        let refused = refusals.lamp(self.roster.pairs.len(), local_clock::now());
        refused.filter(|_| lamp.is_green()).unwrap_or(lamp)
    }

    fn report(&self, now: Timestamp) -> WorkerReport {
        let state = self.parts.board.state();
        let config = &self.parts.setup.config;
        let shards = self.parts.shards.as_ref();
        let accounts: Vec<_> = state.accounts.into_values().collect();
        let subscribed = shards.map(|shards| shards.subscribed(&accounts));
        let shards_lamp = shards.map(|shards| shards.lamp(&accounts));
        WorkerReport {
            generation: config.generation,
            config_error: self.parts.in_force.borrow().error.clone(),
            phase: self.phase(),
            started: self.parts.started,
            pbx: self.pbx_lamp(),
            endpoints: self.endpoints.reports(),
            reader: state.lamps.reader,
            writer: self.writer_lamp(state.lamps.writer),
            source: source(state.lamps.polling, subscribed.as_ref(), state.lamps.receiver.as_ref()),
            receiver: state.lamps.receiver,
            storage: state.lamps.storage,
            directory: state.lamps.directory,
            licences: state.lamps.licences,
            users: self.counts(),
            selected: count(self.people.as_ref().map_or(0, |people| people.selected.len())),
            unmatched: self.roster.first_unmatched(self.over(), &self.absent),
            clock_skew_seconds: self.skew_seconds(),
            shards: shards_lamp,
            accounts,
            last: state.last,
            owned: self.owned(now),
        }
    }

    /// How many are in which state. Who is paired and cannot be kept in step is not in step.
    fn counts(&self) -> UserCounts {
        let mut users = self.roster.counts;
        let over = self.over();
        users.over_limit = count(over.len());
        if !over.is_empty() || !self.absent.is_empty() {
            let hindered = self.roster.pairs.iter();
            let hindered = hindered.filter(|(person, pbx)| self.hindrance(person, pbx).is_some());
            users.synced -= count(hindered.count());
            let absent = self
                .roster
                .pairs
                .values()
                .filter(|pbx| self.absent.contains::<str>(pbx));
            users.unmatched += count(absent.count());
        }
        users
    }

    /// Who has no place at an account.
    fn over(&self) -> &[String] {
        self.parts.shards.as_ref().map_or(&[], |shards| shards.over())
    }

    /// Why somebody who is paired with a user of the PBX is not kept in step all the same.
    fn hindrance(&self, person: &str, pbx: &str) -> Option<&'static str> {
        let is_over = || self.parts.shards.as_ref().is_some_and(|shards| shards.is_over(person));
        let is_absent = self.absent.contains(pbx);
        is_absent.then_some(NOT_THERE).or_else(|| is_over().then_some(NO_PLACE))
    }

    fn skew_seconds(&self) -> Option<i64> {
        Some(self.parts.reader.as_ref()?.skew()?.as_secs())
    }

    /// One user, by anything that names one: object id, user principal name, mail, or a name on the PBX.
    fn explain(&self, name: &str) -> Option<UserReport> {
        let name = name.trim().to_lowercase();
        let person = self.person_named(&name);
        let pbx = match &person {
            Some(person) => match self.users.get(person) {
                Some(user) => Some(user.pbx.to_string()),
                None => self.left_out(person),
            },
            None => self.pbx_named(&name),
        };
        let person = person.or_else(|| self.by_pbx.get(pbx.as_deref()?).cloned());
        if person.is_none() && pbx.is_none() {
            return None;
        }
        let user = person
            .as_ref()
            .and_then(|person| self.users.get(person))
            .map(Box::as_ref);
        let (synced, why) = self.standing(person.as_deref(), pbx.as_deref(), user);
        Some(UserReport {
            // Somebody without an address is left out by a name that the PBX does not know.
            pbx: pbx
                .filter(|id| user.is_some() || self.pbx.contains_key(id))
                .map(|id| self.pbx_side(&id)),
            teams: person.as_ref().map(|person| self.teams_side(person, user)),
            why,
            synced,
            layers: user.map(|user| layers(user, local_clock::now())).unwrap_or_default(),
            writes: user
                .map(|user| user.writes.iter().map(write).collect())
                .unwrap_or_default(),
            look_again: user.and_then(|user| user.look),
        })
    }

    fn person_named(&self, name: &str) -> Option<Arc<str>> {
        let people = self.people.as_ref()?;
        if people.all.contains_key(name) {
            return Some(Arc::from(name));
        }
        let is_called = |text: &Option<String>| text.as_ref().is_some_and(|text| text.to_lowercase() == name);
        people
            .all
            .iter()
            .find(|(_, somebody)| {
                let person = &somebody.person;
                is_called(&person.user_principal_name) || is_called(&person.mail)
            })
            .map(|(id, _)| id.clone())
    }

    fn pbx_named(&self, name: &str) -> Option<String> {
        let is_called = |text: &Option<String>| text.as_ref().is_some_and(|text| text.to_lowercase() == name);
        let found = self.pbx.iter().find(|(id, side)| {
            let PbxUser {
                cn, h323, extension, ..
            } = &side.user;
            id.to_lowercase() == name || is_called(h323) || is_called(cn) || is_called(extension)
        });
        found.map(|(id, _)| id.clone())
    }

    /// What the roster knows a person by who is not kept in step.
    fn left_out(&self, person: &str) -> Option<String> {
        let people = self.people.as_ref()?;
        let somebody = people.all.get(person).filter(|_| people.selected.contains(person))?;
        let known = self.pbx.values().map(|side| &side.user);
        let spec = &self.parts.setup.config.spec;
        self.roster.left_out(spec, known, &somebody.person)
    }

    fn standing(&self, person: Option<&str>, pbx: Option<&str>, user: Option<&User>) -> (bool, String) {
        if let Some(user) = user {
            let hindrance = person.and_then(|person| self.hindrance(person, &user.pbx));
            return if let Some(why) = hindrance.filter(|_| user.state.in_scope()) {
                (false, why.to_owned())
            } else if user.state.in_scope() {
                (true, "kept in step".to_owned())
            } else {
                (
                    false,
                    "no longer kept in step; what was written is taken back".to_owned(),
                )
            };
        }
        let told = pbx.and_then(|pbx| self.roster.why_not(pbx));
        let selected = person.is_none_or(|person| {
            self.people
                .as_ref()
                .is_some_and(|people| people.selected.contains(person))
        });
        let why = match told {
            Some(why) => why.to_owned(),
            None if !selected => "not selected: see spec.users, and whether the account is enabled".to_owned(),
            None => "no user of the PBX matches".to_owned(),
        };
        (false, why)
    }

    fn pbx_side(&self, id: &str) -> PbxSide {
        let side = self.pbx.get(id);
        let user = side.map(|side| side.user.clone()).unwrap_or_default();
        let view = side.and_then(|side| side.view.clone()).unwrap_or_default();
        let PbxView { entries, line } = view;
        PbxSide {
            id: id.to_owned(),
            cn: user.cn,
            h323: user.h323,
            extension: user.extension,
            line: line_word(line).to_owned(),
            entries: entries.map(|entries| entries.iter().map(entry).collect()),
        }
    }

    fn teams_side(&self, id: &str, user: Option<&User>) -> TeamsSide {
        let somebody = self.people.as_ref().and_then(|people| people.all.get(id));
        let reading = user.and_then(|user| user.state.teams());
        TeamsSide {
            id: id.to_owned(),
            user_principal_name: somebody.and_then(|somebody| somebody.person.user_principal_name.clone()),
            display_name: somebody.and_then(|somebody| somebody.person.display_name.clone()),
            availability: reading.map(|reading| reading.state.availability.text().to_owned()),
            activity: reading.map(|reading| reading.state.activity.text().to_owned()),
            out_of_office: reading.is_some_and(|reading| reading.state.out_of_office),
            read: reading.map(|reading| reading.at),
            licensed: somebody.and_then(|somebody| somebody.licensed),
        }
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// How presence of Teams is learned. Where notifications are asked for, they are what counts: polling is only the safety net. Who
/// has no place at an account is no fault of those who have.
fn source(polling: Option<Lamp>, subscribed: Option<&Lamp>, receiver: Option<&Lamp>) -> Lamp {
    let broken = receiver.filter(|receiver| !receiver.is_green());
    let push = subscribed.map(|subscribed| broken.unwrap_or(subscribed).clone());
    push.or(polling)
        .unwrap_or_else(|| Lamp::dark("presence was not read yet"))
}

fn layers(user: &User, now: Timestamp) -> Vec<LayerReport> {
    let owned = user.state.owned();
    let session = shown(&owned.session, now, |session| {
        format!("{}/{}", session.availability(), session.activity())
    });
    let choice = shown(&owned.choice, now, |chosen| {
        format!("{}/{}", chosen.choice.availability(), chosen.choice.activity())
    });
    let entry = shown(&owned.entry, now, |entry| entry.activity.to_string());
    [
        (Layer::Line, Part::Session, session),
        (Layer::Chosen, Part::Choice, choice),
        (Layer::Derived, Part::Entry, entry),
    ]
    .into_iter()
    .map(|(layer, part, (held, until))| LayerReport {
        layer,
        held,
        until,
        why: user
            .why
            .map_or_else(|| "not decided yet".to_owned(), |why| sentence(why.of(part))),
    })
    .collect()
}

fn sentence(why: Why) -> String {
    why.to_string()
}

fn shown<T>(
    layer: &OwnedLayer<T>,
    now: Timestamp,
    words: impl Fn(&T) -> String,
) -> (Option<String>, Option<Timestamp>) {
    let certain = layer.certain(now);
    let held: Vec<&Held<T>> = layer.live(now).collect();
    let text = match (certain, held.as_slice()) {
        (Some(held), _) => Some(words(&held.value)),
        (None, []) => None,
        (None, some) => {
            let possible: Vec<String> = some.iter().map(|held| words(&held.value)).collect();
            Some(format!("{}, as far as is known", possible.join(" or ")))
        }
    };
    let until = text.as_ref().and_then(|_| layer.vanishes());
    (text, until)
}

fn write(done: &Done) -> WriteReport {
    WriteReport {
        at: done.at,
        what: words(&done.write),
        result: done.error.as_deref().unwrap_or("ok").to_owned(),
    }
}

fn words(write: &Write) -> String {
    match write {
        Write::SetSession { session, ttl } => {
            format!(
                "setPresence {}/{} for {ttl:#}",
                session.availability(),
                session.activity()
            )
        }
        Write::ClearSession => "clearPresence".to_owned(),
        Write::SetPreferred { choice, ttl, .. } => {
            format!(
                "setUserPreferredPresence {}/{} for {ttl:#}",
                choice.availability(),
                choice.activity()
            )
        }
        Write::ClearPreferred => "clearUserPreferredPresence".to_owned(),
        Write::PutOwn { entry, .. } => format!("own entry on the PBX: {}", entry.activity),
        Write::ClearOwn => "own entry on the PBX taken back".to_owned(),
    }
}

fn entry(entry: &Entry) -> EntryReport {
    EntryReport {
        origin: match &entry.origin {
            Origin::Ours => "Ours".to_owned(),
            Origin::User => "User".to_owned(),
            Origin::System => "System".to_owned(),
            Origin::Other(name) => name.clone(),
        },
        activity: entry.activity.to_string(),
        note: entry.note.clone(),
        since: entry.since,
    }
}

fn line_word(line: Line) -> &'static str {
    match line {
        Line::Unknown => "Unknown",
        Line::Idle => "Idle",
        Line::Ringing => "Ringing",
        Line::Connected => "Connected",
        Line::Conference => "Conference",
    }
}
