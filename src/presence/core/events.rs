//! What happened, and whom it concerns.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::user::{Done, User};
use super::{Core, PbxSide, QUIET};
use crate::graph::Presence;
use crate::local_clock;
use crate::policy::presence::engine::owned::{Held, Layer};
use crate::policy::presence::engine::settings::LONGEST_SESSION;
use crate::policy::presence::engine::{Outcome, Part, UserState, Write};
use crate::policy::presence::mapping::Session;
use crate::policy::presence::pbx::{Origin, OwnEntry, PbxError, PbxEvent, PbxView};
use crate::policy::presence::teams::{Reading, TeamsState, Word};
use crate::presence::input::{Input, Seen, Written};
use crate::presence::metrics::Way;
use crate::presence::roster::Roster;

/// How long an adapter may take to be told whom to watch.
const TELLING: Duration = Duration::from_secs(2);

impl Core {
    /// The PBX told something.
    pub(super) fn on_pbx(&mut self, event: PbxEvent) {
        self.parts.metrics.pbx_events.inc();
        match event {
            PbxEvent::Up { endpoint } => self.on_up(&endpoint),
            PbxEvent::Down { endpoint, why } => {
                tracing::warn!(endpoint, "the PBX is not connected: {why}");
                if self.endpoints.down(&endpoint, why) {
                    self.lose_pbx();
                }
            }
            PbxEvent::NoEntries { why } => self.on_no_entries(why),
            PbxEvent::User(user) => {
                self.restart.told(&user.id);
                let side = self.pbx.entry(user.id.clone()).or_default();
                side.user = user;
                self.roster_changed();
            }
            PbxEvent::UserRemoved { id } => self.on_removed(&id),
            PbxEvent::Exists { id, exists: true } => drop(self.absent.remove(&id)),
            PbxEvent::Exists { id, exists: false } => drop(self.absent.insert(id)),
            PbxEvent::View { id, view } => self.on_view(&id, view),
            PbxEvent::Complete { endpoint, users } => self.on_complete(&endpoint, users),
        }
    }

    fn on_up(&mut self, endpoint: &str) {
        self.endpoints.up(endpoint);
        self.no_entries = None;
        self.engine.capabilities = self.parts.capabilities;
        if !self.parts.capabilities.enumerates_users {
            self.works(endpoint);
        }
        self.roster_changed();
        // What the PBX refused or lost may work now; Graph is as patient as before.
        for (person, user) in &mut self.users {
            user.state.try_part_again(Part::Entry);
            self.marked.insert(person.clone());
        }
    }

    /// The PBX takes no entries of ours, so none is written any more.
    fn on_no_entries(&mut self, why: String) {
        tracing::warn!("{why}");
        self.no_entries = Some(why);
        self.engine.capabilities.own_entry = false;
        self.marked.extend(self.users.keys().cloned());
    }

    /// An endpoint told everything.
    fn on_complete(&mut self, endpoint: &str, users: bool) {
        self.works(endpoint);
        if users {
            for id in self.restart.untold() {
                self.on_removed(&id);
            }
        }
        self.complete |= users;
        self.roster_changed();
    }

    fn works(&mut self, endpoint: &str) {
        if self.endpoints.works(endpoint) {
            tracing::info!(endpoint, "the PBX is connected");
        }
    }

    /// The adapter has ended. Without one, and after a release, there is none to tell anything.
    pub(super) fn on_silence(&mut self) {
        self.is_deaf = true;
        if let Some(ended) = self.parts.adapter.take() {
            self.await_restart(ended);
            self.endpoints
                .all_down(&PbxError::Transport("the adapter has ended".to_owned()));
            self.lose_pbx();
        }
    }

    /// Nothing is known of the PBX any more.
    fn lose_pbx(&mut self) {
        self.pbx.values_mut().for_each(|side| side.view = None);
        self.absent.clear();
        for (person, user) in &mut self.users {
            user.state.lose_pbx();
            user.pbx_since = None;
            self.marked.insert(person.clone());
        }
    }

    fn on_removed(&mut self, id: &str) {
        self.restart.told(id);
        self.pbx.remove(id);
        self.roster_changed();
        let Some(person) = self.by_pbx.get(id).cloned() else {
            return;
        };
        if let Some(user) = self.users.get_mut(&person) {
            user.state.pbx_user_gone();
            self.mark_unstored(&person);
            self.marked.insert(person);
        }
    }

    fn on_view(&mut self, id: &str, view: PbxView) {
        if self.parts.capabilities.enumerates_users && !self.pbx.contains_key(id) {
            // Of one who was just removed.
            return;
        }
        let side = self.pbx.entry(id.to_owned()).or_default();
        if side.user.id.is_empty() {
            // An adapter that does not enumerate tells of whom it was asked to watch.
            id.clone_into(&mut side.user.id);
        }
        let changed = side.view.as_ref() != Some(&view);
        side.view = Some(view.clone());
        let Some(person) = self.by_pbx.get(id).cloned() else {
            return;
        };
        self.see_view(&person, view);
        if changed {
            self.pbx_changed(&person);
        }
    }

    /// The engine sees what the PBX told.
    fn see_view(&mut self, person: &Arc<str>, view: PbxView) {
        let now = local_clock::now();
        let Some(user) = self.users.get_mut(person) else { return };
        let adopted = adopt_entry(user, &view, now);
        if user.state.see_pbx(view, now) || adopted {
            self.mark_unstored(person);
        }
        self.marked.insert(person.clone());
    }

    /// Another part of the worker told something.
    pub(super) fn on_input(&mut self, input: Input) {
        match input {
            Input::Teams(seen) => self.on_teams(seen),
            Input::Unread(people) => self.on_unread(&people),
            Input::People(people) => {
                self.people = Some(people);
                self.roster_due = Some(Instant::now());
            }
            Input::Written(written) => self.on_written(written),
        }
    }

    fn on_teams(&mut self, seen: Seen) {
        for presence in seen.presences {
            let person: Arc<str> = presence.id.to_ascii_lowercase().into();
            self.see_presence(&person, presence, seen.sent, seen.since);
        }
    }

    fn see_presence(&mut self, person: &Arc<str>, presence: Presence, sent: Timestamp, since: Instant) {
        let now = local_clock::now();
        let is_new_store = self.parts.store.is_new();
        let Some(user) = self.users.get_mut(person) else { return };
        (user.reading, user.lost) = (false, false);
        user.read = Some(tokio::time::Instant::now());
        let reading = Reading {
            state: TeamsState::read(&presence.availability, &presence.activity, presence.out_of_office),
            sequence: presence.sequence_number.map(String::into_boxed_str),
            at: sent,
        };
        // Where Teams is not written to, no session there is ours.
        let adopted = is_new_store && self.engine.to_teams && adopt_session(user, &reading, now);
        let before = user.state.teams().map(|reading| reading.state.clone());
        let stored = user.state.see_teams(reading, now);
        let after = user.state.teams().map(|reading| &reading.state);
        let changed = before.as_ref() != after;
        if changed {
            user.observed = true;
            user.teams_since.get_or_insert(since);
        }
        if stored || adopted {
            self.mark_unstored(person);
        }
        self.marked.insert(person.clone());
    }

    fn on_unread(&mut self, people: &[String]) {
        for person in people {
            if let Some(user) = self.users.get_mut(person.as_str()) {
                // Asked again when its time comes.
                user.reading = false;
            }
        }
    }

    fn on_written(&mut self, written: Written) {
        let now = local_clock::now();
        let (way, kind) = describe(&written.write);
        self.parts.metrics.wrote(way, kind, written.label);
        let refusals = match way {
            Way::ToTeams => &mut self.refused_by_teams,
            Way::ToPbx => &mut self.refused_by_pbx,
        };
        refusals.note(
            &written.person,
            &written.write,
            written.outcome,
            written.error.as_deref(),
            now,
        );
        let Some(user) = self.users.get_mut(&written.person) else {
            return;
        };
        user.writing = false;
        let is_refresh = is_refresh(&user.state, &written.write, now);
        user.state.settle(&written.write, written.outcome, now, fastrand::f64());
        let since = match way {
            Way::ToTeams => &mut user.pbx_since,
            Way::ToPbx => &mut user.teams_since,
        };
        match written.outcome {
            Outcome::Done => {
                if let Some(since) = since.take() {
                    self.parts.metrics.arrived(way, since.elapsed());
                }
            }
            _ if is_refresh => self.parts.metrics.refresh_failed(),
            _ => {}
        }
        user.remember(Done {
            at: now,
            write: written.write,
            error: written.error.map(String::into_boxed_str),
        });
        self.mark_unstored(&written.person);
        self.marked.insert(written.person);
    }

    /// Finds out who is to be kept in step, once changes have come to a rest.
    pub(super) async fn refresh_roster(&mut self, now: Timestamp) {
        if self.roster_due.is_none_or(|due| due > Instant::now()) {
            return;
        }
        self.roster_due = None;
        // The people's arrival is a change itself.
        let Some(people) = self.people.clone() else { return };
        let known = self.pbx.values().map(|side| &side.user);
        let spec = &self.parts.setup.config.spec;
        let roster = Roster::new(spec, self.parts.capabilities.enumerates_users, known, &people);
        self.complete |= !self.parts.capabilities.enumerates_users;
        self.adopt(roster, now);
        self.people_gone(&people);
        self.tell_others().await;
    }

    /// Who there is has changed; more of it may be on its way.
    pub(super) fn roster_changed(&mut self) {
        self.roster_due_within(QUIET);
    }

    /// Finds out within this time who is to be kept in step; sooner if that is due already.
    pub(super) fn roster_due_within(&mut self, time: Duration) {
        let due = Instant::now() + time;
        self.roster_due = Some(self.roster_due.map_or(due, |known| known.min(due)));
    }

    fn adopt(&mut self, roster: Roster, now: Timestamp) {
        for (person, user) in &mut self.users {
            let in_scope = roster.pairs.contains_key(person);
            // Before all is known, nobody is let go.
            if in_scope != user.state.in_scope() && (in_scope || self.complete) {
                user.state.set_scope(in_scope);
                self.marked.insert(person.clone());
            }
        }
        for (person, pbx) in &roster.pairs {
            self.pair(person, pbx, now);
        }
        self.roster = roster;
    }

    /// Makes sure that a person is kept in step with this user of the PBX.
    fn pair(&mut self, person: &Arc<str>, pbx: &Arc<str>, now: Timestamp) {
        match self.users.get_mut(person) {
            Some(user) if user.pbx == *pbx => {}
            // An entry of ours is there still: it is taken back first, and then the new user is served.
            Some(user) if user.state.owned().entry.is_live(now) || user.writing => {
                user.state.set_scope(false);
                self.roster_due_within(QUIET * 4);
                self.marked.insert(person.clone());
                return;
            }
            Some(user) => {
                // Somebody else may have been paired with it a moment ago.
                if self.by_pbx.get(&user.pbx) == Some(person) {
                    self.by_pbx.remove(&user.pbx);
                }
                user.pbx = pbx.clone();
                user.state.lose_pbx();
            }
            None => {
                let user = User::new(pbx.clone(), UserState::default());
                self.users.insert(person.clone(), Box::new(user));
            }
        }
        if self.by_pbx.insert(pbx.clone(), person.clone()).as_ref() != Some(person) {
            self.marked.insert(person.clone());
        }
        let unseen = self.users.get(person).is_some_and(|user| user.state.pbx().is_none());
        let view = self.pbx.get(pbx.as_ref()).and_then(|side: &PbxSide| side.view.clone());
        if let Some(view) = view.filter(|_| unseen) {
            self.see_view(person, view);
        }
    }

    /// Whoever is not in the tenant any more has nothing of ours there.
    fn people_gone(&mut self, people: &crate::presence::directory::People) {
        let gone = self
            .users
            .keys()
            .filter(|person| !people.all.contains_key(person.as_ref()));
        for person in gone.cloned().collect::<Vec<_>>() {
            if let Some(user) = self.users.get_mut(&person) {
                user.state.account_gone();
                self.mark_unstored(&person);
                self.marked.insert(person);
            }
        }
    }

    /// The other parts are told whom to watch.
    async fn tell_others(&mut self) {
        let pairs = &self.roster.pairs;
        self.parts.ids.send_if_modified(|known| {
            let people = || pairs.keys().map(|id| &**id);
            let changed = !known.iter().map(String::as_str).eq(people());
            if changed {
                *known = people().map(str::to_owned).collect();
            }
            changed
        });
        if let Some(shards) = &mut self.parts.shards {
            let ids = self.parts.ids.borrow().clone();
            shards.assign(&ids, self.complete, &self.parts.store).await;
        }
        if let Some(adapter) = &self.parts.adapter {
            // Also of those whose entry is still to be taken back.
            let watched: BTreeSet<Arc<str>> = self.users.values().map(|user| user.pbx.clone()).collect();
            self.absent.retain(|id| watched.contains(id.as_str()));
            if watched != self.watched {
                // It may be busy telling us something itself: then it is told later.
                let told = adapter.watch(watched.iter().map(ToString::to_string).collect());
                match tokio::time::timeout(TELLING, told).await {
                    Ok(()) => self.watched = watched,
                    Err(_) => self.roster_due_within(Duration::ZERO),
                }
            }
        }
    }
}

/// The record may be lost, but an entry under our contact is ours.
fn adopt_entry(user: &mut User, view: &PbxView, now: Timestamp) -> bool {
    let owned = user.state.owned();
    let is_known = owned.entry.held.is_some() || owned.entry.intent.is_some() || owned.entry.ended.is_some();
    if user.writing || is_known {
        return false;
    }
    let ours = view.entries.iter().flatten().find(|entry| entry.origin == Origin::Ours);
    let Some(entry) = ours else { return false };
    let mut owned = owned.clone();
    owned.entry = known_since(
        OwnEntry {
            activity: entry.activity.clone(),
            note: entry.note.clone(),
        },
        now,
        None,
    );
    restore(user, owned, now);
    true
}

/// The record is lost, and Teams shows what a session of ours would be: it may be one. Clearing one that is not there does no harm.
fn adopt_session(user: &mut User, reading: &Reading, now: Timestamp) -> bool {
    let owned = user.state.owned();
    let session = match reading.state.activity {
        Word::InACall => Session::InACall,
        Word::InAConferenceCall => Session::InAConferenceCall,
        Word::Presenting => Session::DoNotDisturb,
        _ => return false,
    };
    let is_first = user.state.teams().is_none();
    if !is_first || user.writing || owned.session.is_live(now) || owned.session.ended.is_some() {
        return false;
    }
    let mut owned = owned.clone();
    owned.session = known_since(session, now, now.checked_add(LONGEST_SESSION).ok());
    restore(user, owned, now);
    true
}

fn known_since<T>(value: T, now: Timestamp, expires: Option<Timestamp>) -> Layer<T> {
    let mut layer = Layer::default();
    layer.held = Some(Held {
        value,
        sent: now,
        settled: now,
        expires,
        seen: true,
        repeats: 0,
    });
    layer
}

fn restore(user: &mut User, owned: crate::policy::presence::engine::Owned, now: Timestamp) {
    let mut state = UserState::restored(owned, now);
    state.set_scope(user.state.in_scope());
    if let Some(reading) = user.state.teams() {
        state.see_teams(reading.clone(), now);
    }
    if let Some(told) = user.state.pbx() {
        state.see_pbx(told.view.clone(), now);
    }
    user.state = state;
}

/// Whether this write says again what is held.
fn is_refresh(state: &UserState, write: &Write, now: Timestamp) -> bool {
    let owned = state.owned();
    match write {
        Write::SetSession { session, .. } => {
            owned.session.live(now).any(|held| held.value == *session) && owned.session.held.is_some()
        }
        Write::SetPreferred { choice, .. } => {
            owned.choice.live(now).any(|held| held.value.choice == *choice) && owned.choice.held.is_some()
        }
        _ => false,
    }
}

/// Which way a write goes, and its kind in metrics.
fn describe(write: &Write) -> (Way, &'static str) {
    match write {
        Write::SetSession { .. } => (Way::ToTeams, "set_session"),
        Write::ClearSession => (Way::ToTeams, "clear_session"),
        Write::SetPreferred { .. } => (Way::ToTeams, "set_preferred"),
        Write::ClearPreferred => (Way::ToTeams, "clear_preferred"),
        Write::PutOwn { .. } => (Way::ToPbx, "put_own"),
        Write::ClearOwn => (Way::ToPbx, "clear_own"),
    }
}
