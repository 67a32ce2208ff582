//! What is known of a person: what both sides show, what is ours, and what is under way.

use jiff::{SignedDuration, Timestamp};

use super::super::super::backoff;
use super::super::mapping::Session;
use super::super::pbx::{Activity, Entry, Line, Origin, PbxView};
use super::super::teams::{Base, Reading, Word};
use super::owned::{Chosen, Held, Layer, Owned};
use super::{LATE, Outcome, Part, SETTLE, Settings, Write};

/// Graph's notifications take a minute at most: what is read later than that after the last reading counts, whatever its number.
const OUT_OF_ORDER: SignedDuration = SignedDuration::from_mins(2);

/// What is known of a person.
#[derive(Clone, Debug)]
pub struct UserState {
    in_scope: bool,
    teams: Option<Reading>,
    pbx: Option<Told>,
    owned: Owned,
    session: Attempts,
    choice: Attempts,
    entry: Attempts,
}

/// What the PBX told.
#[derive(Clone, Debug)]
pub struct Told {
    /// What it told.
    pub view: PbxView,
    /// When.
    pub at: Timestamp,
    /// Since when no call is connected; `None` while one is, or while nobody knows.
    pub free_since: Option<Timestamp>,
}

/// The writes of one layer.
#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    under_way: bool,
    failures: i32,
    not_before: Option<Timestamp>,
}

impl Default for UserState {
    fn default() -> Self {
        Self::restored(Owned::default(), Timestamp::UNIX_EPOCH)
    }
}

impl UserState {
    /// A person of whom nothing is known but the record of what is ours, as it was read from the disk. In scope.
    pub fn restored(owned: Owned, now: Timestamp) -> Self {
        Self {
            in_scope: true,
            teams: None,
            pbx: None,
            owned: owned.restored(now),
            session: Attempts::default(),
            choice: Attempts::default(),
            entry: Attempts::default(),
        }
    }

    /// Whether the person is kept in step. When no longer, all that is ours is taken back; [`Owned::is_clear`] tells when it is.
    pub fn set_scope(&mut self, in_scope: bool) {
        self.in_scope = in_scope;
    }

    /// See [`UserState::set_scope`].
    pub fn in_scope(&self) -> bool {
        self.in_scope
    }

    /// Whether all that is ours is to be taken back.
    pub(super) fn released(&self, settings: &Settings) -> bool {
        !self.in_scope || settings.suspended
    }

    /// What is, or may be, ours.
    pub fn owned(&self) -> &Owned {
        &self.owned
    }

    /// What was last read from Teams.
    pub fn teams(&self) -> Option<&Reading> {
        self.teams.as_ref()
    }

    /// What the PBX last told.
    pub fn pbx(&self) -> Option<&Told> {
        self.pbx.as_ref()
    }

    /// Nothing is known of the person in Teams any more: the source has been silent for too long.
    pub fn lose_teams(&mut self) {
        self.teams = None;
    }

    /// Nothing is known of the person on the PBX any more: the connection is down.
    pub fn lose_pbx(&mut self) {
        self.pbx = None;
    }

    /// The person has no account in Teams any more, so nothing of ours is there. To be persisted.
    pub fn account_gone(&mut self) {
        self.teams = None;
        self.owned.session.forget();
        self.owned.choice.forget();
        self.owned.replaced = None;
    }

    /// The person does not exist on the PBX any more, so nothing of ours is there. To be persisted.
    pub fn pbx_user_gone(&mut self) {
        self.pbx = None;
        self.owned.entry.forget();
    }

    /// Presence was read from Teams. What is older than what is known is dropped. True: [`UserState::owned`] is to be persisted.
    pub fn see_teams(&mut self, reading: Reading, now: Timestamp) -> bool {
        if self.teams.as_ref().is_some_and(|last| is_older(&reading, last)) {
            return false;
        }
        let base = reading.state.base();
        // What comes late, of a time before the switch was turned off, is no new state.
        let since = self.owned.entry.ended.is_none_or(|off| reading.at >= off);
        self.teams = Some(reading);
        let over = self.owned.switched_off && since && !matches!(base, Base::DoNotDisturb | Base::Unknown);
        if over {
            self.owned.switched_off = false;
        }
        self.recognise_choice(now) || over
    }

    /// Finds out from what Teams shows whether our choice is still in force there.
    fn recognise_choice(&mut self, now: Timestamp) -> bool {
        let Some(reading) = &self.teams else { return false };
        let layer = &mut self.owned.choice;
        let settled = layer.settled().is_none_or(|settled| reading.at >= settled + SETTLE);
        if self.choice.under_way || !settled || !layer.is_live(now) {
            return false;
        }
        let before = layer.clone();
        // What our session says as well, or an idle client, proves nothing of a choice.
        let unproven = may_be_of_session(&self.owned.session, reading, now) || reading.state.activity == Word::Away;
        // A call or a meeting Teams puts above a choice: what is shown does not change with one, nor does its number.
        let masked = reading.state.looks_derived();
        let shows = |chosen: &Chosen| !masked && chosen.choice.explains(&reading.state);
        // As long as Graph shows what it showed before the write, it has not acted on it.
        let unmoved = |chosen: &Chosen| chosen.before.is_some() && chosen.before == reading.sequence;
        let on_its_way = |sent: Timestamp| reading.at < sent + LATE;
        let in_force = |held: &Held<Chosen>| held.is_live(now) && shows(&held.value);
        if layer.held.as_ref().is_some_and(in_force) {
            layer.clearing &= unproven;
            // The same without an answer is as well explained by what was there before: whether its life counts is not known.
            layer
                .intent
                .take_if(|intent| !on_its_way(intent.sent) && !shows(&intent.value));
        } else if layer.intent.as_ref().is_some_and(|intent| shows(&intent.value)) {
            layer.promote(!unproven);
            layer.keep();
        } else if layer.intent.as_ref().is_some_and(|intent| on_its_way(intent.sent)) {
            // It may be acted on yet.
        } else if masked || !reading.state.visible() && reading.state.activity != Word::OffWork {
            // Whose choice is in force cannot be seen.
        } else if layer.intent.as_ref().is_some_and(|intent| unmoved(&intent.value)) {
            layer.intent = None;
        } else if layer.held.as_ref().is_some_and(|held| unmoved(&held.value)) {
            // Not acted on yet.
        } else {
            // What may have lapsed, or never have been there, nobody need have replaced.
            let surely_there = !layer.unsure && !layer.clearing;
            let replaced = layer
                .held
                .take()
                .filter(|held| held.is_live(now + LATE) && surely_there);
            layer.forget();
            if let Some(held) = replaced {
                // Which came first, that or the latest choice on the PBX, nobody knows: the person's word in Teams goes before. Where
                // the PBX says that nothing is chosen there, whatever comes next is new.
                let told = self.pbx.as_ref().filter(|told| told.view.entries.is_some());
                self.owned.replaced = match told {
                    Some(told) => choice_in(&told.view).cloned(),
                    None => Some(held.value.tells),
                };
            }
            return true;
        }
        *layer != before
    }

    /// The PBX told. True: [`UserState::owned`] is to be persisted.
    pub fn see_pbx(&mut self, view: PbxView, now: Timestamp) -> bool {
        let before = self.pbx.as_ref().and_then(|told| told.free_since);
        let free_since = match view.line {
            Line::Idle | Line::Ringing => before.or(Some(now)),
            Line::Unknown | Line::Connected | Line::Conference => None,
        };
        let told = Told {
            view,
            at: now,
            free_since,
        };
        let changed = self.recognise_entry(&told, now);
        let changed = self.recognise_new_choice(&told) || changed;
        self.pbx = Some(told);
        changed
    }

    /// Finds out whether our entry is still there.
    fn recognise_entry(&mut self, told: &Told, now: Timestamp) -> bool {
        let layer = &mut self.owned.entry;
        let Some(shown) = told.view.shows_ours() else {
            return false;
        };
        if let Some(intent) = &mut layer.intent {
            // It may show before the answer comes, and is not told again then.
            return std::mem::replace(&mut intent.seen, shown) != shown;
        }
        if self.entry.under_way {
            return false;
        }
        let Some(held) = &mut layer.held else { return false };
        if shown {
            return !std::mem::replace(&mut held.seen, true);
        }
        // Only an entry that was there can have vanished: some adapters cannot show it.
        let vanished = held.seen && now >= held.settled + SETTLE;
        if vanished {
            self.owned.switched_off = !layer.clearing && held.value.activity == Activity::DoNotDisturb;
            layer.end(now);
        }
        vanished
    }

    /// Finds out whether the person chose something else on the PBX since our choice was replaced in Teams.
    fn recognise_new_choice(&mut self, told: &Told) -> bool {
        let (Some(replaced), Some(_)) = (&self.owned.replaced, &told.view.entries) else {
            return false;
        };
        let said = choice_in(&told.view).cloned();
        let new = said.as_ref() != Some(replaced);
        if new {
            // When it was chosen is not known after a time without news: it may have been before.
            let unknown = self.pbx.as_ref().is_none_or(|last| last.view.entries.is_none());
            self.owned.replaced = said.filter(|_| unknown);
        }
        new
    }

    /// Entries on the PBX that are not ours, newest first; `None` if nobody knows.
    pub(super) fn entries_of_others(&self) -> Option<impl Iterator<Item = &Entry>> {
        let entries = self.pbx.as_ref()?.view.entries.as_deref()?;
        Some(entries.iter().filter(|entry| entry.origin != Origin::Ours))
    }

    /// Before a write is sent. [`UserState::owned`] is to be persisted then, before anything goes out.
    pub fn begin(&mut self, write: &Write, now: Timestamp) {
        self.attempts(write.part()).under_way = true;
        let before = self.teams.as_ref().and_then(|reading| reading.sequence.clone());
        let owned = &mut self.owned;
        match write {
            Write::SetSession { session, ttl } => owned.session.intend(*session, Some(*ttl), now),
            Write::SetPreferred { choice, ttl, tells } => {
                let chosen = Chosen {
                    choice: *choice,
                    tells: tells.clone(),
                    before,
                };
                owned.choice.intend(chosen, Some(*ttl), now);
            }
            Write::PutOwn { entry, ttl } => owned.entry.intend(entry.clone(), *ttl, now),
            Write::ClearSession => owned.session.clear(),
            Write::ClearPreferred => owned.choice.clear(),
            Write::ClearOwn => owned.entry.clear(),
        }
    }

    /// After a write. `jitter` in 0..1 spreads further tries. [`UserState::owned`] is to be persisted; should that fail or be late,
    /// no more is lost than the knowledge that this write was answered.
    pub fn settle(&mut self, write: &Write, outcome: Outcome, now: Timestamp, jitter: f64) {
        let owned = &mut self.owned;
        match write {
            Write::SetSession { ttl, .. } => owned.session.written(outcome, Some(*ttl), now, |a, b| a == b),
            Write::SetPreferred { ttl, .. } => {
                owned
                    .choice
                    .written(outcome, Some(*ttl), now, |a, b| a.choice == b.choice);
            }
            Write::PutOwn { ttl, .. } => owned.entry.written(outcome, *ttl, now, |a, b| a.activity == b.activity),
            Write::ClearSession => owned.session.cleared(outcome, now),
            Write::ClearPreferred => owned.choice.cleared(outcome, now),
            Write::ClearOwn => owned.entry.cleared(outcome, now),
        }
        self.attempts(write.part()).ended(outcome, now, jitter);
    }

    /// Failures are forgotten: what was wrong may be right now, such as after new credentials or settings.
    pub fn try_again(&mut self) {
        for part in [Part::Session, Part::Choice, Part::Entry] {
            self.try_part_again(part);
        }
    }

    /// The same for one layer.
    pub fn try_part_again(&mut self, part: Part) {
        let attempts = self.attempts(part);
        attempts.failures = 0;
        attempts.not_before = None;
    }

    /// Whether a write of this layer is under way.
    pub fn under_way(&self, part: Part) -> bool {
        self.attempts_of(part).under_way
    }

    /// Until when this layer waits after a failure.
    pub(super) fn waits(&self, part: Part, now: Timestamp) -> Option<Timestamp> {
        self.attempts_of(part).not_before.filter(|until| *until > now)
    }

    fn attempts_of(&self, part: Part) -> &Attempts {
        match part {
            Part::Session => &self.session,
            Part::Choice => &self.choice,
            Part::Entry => &self.entry,
        }
    }

    fn attempts(&mut self, part: Part) -> &mut Attempts {
        match part {
            Part::Session => &mut self.session,
            Part::Choice => &mut self.choice,
            Part::Entry => &mut self.entry,
        }
    }
}

impl<T> Layer<T> {
    fn written(
        &mut self,
        outcome: Outcome,
        ttl: Option<SignedDuration>,
        now: Timestamp,
        same: impl Fn(&T, &T) -> bool,
    ) {
        match outcome {
            Outcome::Done => self.confirm(ttl, now, same),
            Outcome::Refused(_) => self.refuse(now),
            Outcome::Lost(_) => self.lose(now),
        }
    }

    fn cleared(&mut self, outcome: Outcome, now: Timestamp) {
        match outcome {
            Outcome::Done => self.end(now),
            Outcome::Refused(_) => self.keep(),
            Outcome::Lost(_) => self.lose_clearing(now),
        }
    }
}

impl Attempts {
    fn ended(&mut self, outcome: Outcome, now: Timestamp, jitter: f64) {
        self.under_way = false;
        match outcome {
            Outcome::Done => *self = Self::default(),
            Outcome::Refused(class) | Outcome::Lost(class) => {
                self.failures = self.failures.saturating_add(1);
                self.not_before = Some(now + backoff::delay(class, self.failures, now, None, jitter));
            }
        }
    }
}

/// What the newest entry says that may be the person's choice.
fn choice_in(view: &PbxView) -> Option<&Activity> {
    let theirs = |entry: &&Entry| !matches!(entry.origin, Origin::Ours | Origin::System);
    let mut choices = view
        .entries
        .iter()
        .flatten()
        .filter(theirs)
        .map(|entry| &entry.activity);
    choices.find(|activity| !matches!(activity, Activity::OnThePhone))
}

/// Whether Teams may show this because of our session. Just after that ended, it may be shown yet.
fn may_be_of_session(session: &Layer<Session>, reading: &Reading, now: Timestamp) -> bool {
    let base = reading.state.base();
    let just_ended = session.ended.is_some_and(|ended| reading.at < ended + SETTLE);
    let fits = matches!(base, Base::Busy | Base::DoNotDisturb);
    just_ended && fits || session.live(now).any(|held| held.value.base() == base)
}

fn is_older(reading: &Reading, last: &Reading) -> bool {
    match (&reading.sequence, &last.sequence) {
        (Some(new), Some(known)) if new == known => reading.at < last.at,
        (Some(new), Some(known)) => new < known && reading.at < last.at + OUT_OF_ORDER,
        _ => reading.at < last.at,
    }
}
