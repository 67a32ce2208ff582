//! The model: both sides, the ways between them and the operator, the operator, and time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use fastrand::Rng;

use super::history::{Action, History, Own, Source, Terms};
use super::naive::{NaiveWrite, Side};
use super::operator::{Brain, Order, at};
use super::pbx::Pbx;
use super::teams::{Author, Client, Preferred, Teams};
use crate::api::presence::{DoNotDisturbPolicy, Mapping as Rows, OutOfOfficePolicy, Policy, RingingPolicy};
use crate::policy::backoff::Class;
use crate::policy::presence::engine::{FRESH, Outcome, Part, Write};
use crate::policy::presence::mapping::{Choice, InTeams, Mapping, OnPbx, Session};
use crate::policy::presence::pbx::{Activity, Line, Origin, OwnEntry, PbxView};
use crate::policy::presence::teams::{Base, Reading, TeamsState, Word};

const MINUTE: i64 = 60_000;
/// After that, an unanswered call is given up.
const PATIENCE: i64 = 10_000;

/// What the ways between do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Notifications come late, twice, out of order, or not at all.
    pub lossy: bool,
    /// Calls are refused, or lost before or after they were acted on.
    pub faults: bool,
}

/// What happens when the history is over. From then on, nothing goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everybody is idle.
    Idle,
    /// Everything stays as it is.
    Stay,
    /// The person is no longer kept in step.
    Release,
    /// The operator dies for good.
    Death,
}

/// What came of it.
#[allow(clippy::struct_excessive_bools)] // findings that have nothing to do with each other
#[derive(Debug, Default)]
pub struct Report {
    /// Writes, with the time since the history was over.
    pub writes: Vec<(i64, Order)>,
    /// A person's choice in Teams was overwritten or cleared though it could have been known.
    pub overwritten: Vec<String>,
    /// Our entry was put above what the person had chosen on the PBX, or over the person's hand on the switch.
    pub hidden: Vec<String>,
    /// Writes that nobody asks for, that the PBX cannot do, or that nobody knows enough for.
    pub unasked: Vec<String>,
    /// What is not in the end as it has to be told.
    pub astray: Vec<String>,
    /// What is of ours in the end.
    pub session: Option<Session>,
    pub preferred: Option<Choice>,
    pub entry: Option<Activity>,
    /// Whether our entry has to say just one thing in the end. An echo, for one, leaves what was said before.
    pub entry_is_due: bool,
    /// What entries on the PBX say in the end.
    pub entries: Vec<(Origin, Activity)>,
    /// Whether the record says that nothing is ours.
    pub clear: bool,
    /// The least life that was left to a session when it was refreshed.
    pub least_margin: Option<i64>,
    /// Whether a session ended by itself during a call that was known.
    pub lapsed_in_call: bool,
    pub session_at_death: bool,
    /// Sessions that were cleared though an earlier write had surely ended them, or none was ever written.
    pub cleared_in_vain: Vec<String>,
}

impl Report {
    pub fn left_over(&self) -> bool {
        let entries = self.entries.iter().any(|(_, activity)| *activity != Activity::Unset);
        self.session.is_some() || self.preferred.is_some() || self.entry.is_some() || entries
    }
}

/// The person switched our do not disturb off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hand {
    /// Nobody told the operator yet.
    Untold,
    /// It was told, and knows that this was not its own doing.
    Told,
    /// It was told too soon after a write of its own, or was never told of its entry: it may not know.
    Missed,
}

/// The person ended, in Teams, what the operator had chosen or may take for its own: what the PBX says is told again once it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spared {
    /// No reading has shown it: what changes on the PBX until then may, for all that is known, have come before.
    Unseen(Option<Choice>),
    /// The operator was shown it.
    Seen,
}

#[derive(Clone, Debug)]
enum Event {
    Act(usize),
    Over,
    Notify(Option<(TeamsState, String, i64)>),
    ServeRead {
        sent: i64,
        process: u64,
    },
    Read {
        reading: Option<(TeamsState, String, i64)>,
        process: u64,
    },
    View {
        view: Option<PbxView>,
        process: u64,
    },
    PbxUp,
    EntriesKnown,
    LineKnown,
    GraphUp,
    Serve {
        order: Order,
        sent: i64,
        answered: bool,
        process: u64,
    },
    Answer {
        order: Order,
        outcome: Outcome,
        process: u64,
    },
    Sweep {
        process: u64,
    },
    Wake,
    Restart,
    End,
}

#[allow(clippy::struct_excessive_bools)] // independent circumstances, not states
pub struct World {
    now: i64,
    over: Option<i64>,
    order: u64,
    events: BinaryHeap<Reverse<(i64, u64)>>,
    bodies: BTreeMap<u64, Event>,
    history: History,
    dice: Rng,
    weather: Weather,
    ending: Ending,
    teams: Teams,
    pbx: Pbx,
    brain: Brain,
    /// What the PBX last told this process.
    told: Option<PbxView>,
    /// Since when this process has been told entries.
    entries_told_since: Option<i64>,
    /// Whether our entry was among those that this process was last told.
    told_of_ours: bool,
    hand: Option<Hand>,
    alive: bool,
    process: u64,
    graph_up: bool,
    reading: bool,
    waking: Option<i64>,
    next_view: i64,
    acted: u64,
    /// The choice that was last written, or attempted, and whether its author may be wrong about it.
    last_choice: Option<Choice>,
    doubt: bool,
    /// A choice of the operator's that the person ended, as long as no reading has shown it.
    unseen_end: Option<Choice>,
    spared: Option<Spared>,
    /// Whether a session was ever written, and whether the operator may think that it is there.
    session_written: bool,
    session_may_be: bool,
    /// The greatest sequence number that this process has learned.
    newest_learned: Option<String>,
    /// For when the next look at what ends by itself is planned.
    ends: Option<i64>,
    report: Report,
    trace: bool,
}

/// Lets a history happen, and then so many minutes pass.
pub fn run(history: &History, brain: Brain, weather: Weather, ending: Ending, minutes: i64) -> Report {
    let mut world = World {
        now: 0,
        over: None,
        order: 0,
        events: BinaryHeap::new(),
        bodies: BTreeMap::new(),
        history: history.clone(),
        dice: Rng::with_seed(history.seed),
        weather,
        ending,
        teams: Teams::new(),
        pbx: Pbx::new(history.terms),
        brain,
        told: None,
        entries_told_since: None,
        told_of_ours: false,
        hand: None,
        alive: true,
        process: 0,
        graph_up: true,
        reading: false,
        waking: None,
        next_view: 0,
        acted: 0,
        last_choice: None,
        doubt: false,
        unseen_end: None,
        spared: None,
        session_written: false,
        session_may_be: false,
        newest_learned: None,
        ends: None,
        report: Report::default(),
        trace: std::env::var_os("PRESENCE_TRACE").is_some(),
    };
    world.say(|| format!("{ending:?}: {history:?}"));
    let mut time = 1_000;
    for number in 0..history.actions.len() {
        time += history.actions[number].0;
        world.schedule(time, Event::Act(number));
    }
    world.schedule(time + 1, Event::Over);
    world.start();
    let end = time + 1 + minutes * MINUTE;
    while let Some(Reverse((when, number))) = world.events.pop() {
        if when > end {
            break;
        }
        world.now = when;
        if let Some(event) = world.bodies.remove(&number) {
            world.happen(event);
        }
    }
    world.now = end;
    world.settle();
    world.finish()
}

impl World {
    fn schedule(&mut self, when: i64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((when, self.order)));
        self.bodies.insert(self.order, event);
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>6}.{:03} {}", self.now / 1000, self.now % 1000, what());
        }
    }

    fn latency(&mut self) -> i64 {
        if self.faulty() {
            self.dice.i64(20..900)
        } else {
            self.dice.i64(20..200)
        }
    }

    fn faulty(&self) -> bool {
        self.weather.faults && self.over.is_none()
    }

    fn chance(&mut self, percent: u8) -> bool {
        self.dice.u8(0..100) < percent
    }

    fn start(&mut self) {
        self.process += 1;
        self.alive = true;
        self.told = None;
        self.entries_told_since = None;
        self.told_of_ours = false;
        self.newest_learned = None;
        self.reading = false;
        self.waking = None;
        if self.pbx.connected {
            self.tell_view();
        }
        self.schedule(self.now, Event::Sweep { process: self.process });
    }

    fn happen(&mut self, event: Event) {
        self.settle();
        match event {
            Event::Act(number) => {
                self.acted += 1;
                let action = self.history.actions[number].1.clone();
                self.say(|| format!("{action:?}"));
                self.act(&action);
            }
            Event::Over => self.end_history(),
            Event::Notify(content) => self.notified(content),
            Event::ServeRead { sent, process } => self.serve_read(sent, process),
            Event::Read { reading, process } if self.serves(process) => {
                self.reading = false;
                if let Some((state, sequence, sent)) = reading.filter(|_| self.brain.reads()) {
                    self.learn(state, &sequence, sent);
                }
                self.decide();
            }
            Event::View { view, process } if self.serves(process) => {
                self.note_hand(view.as_ref());
                self.note_new_choice(view.as_ref());
                let tells = view.as_ref().is_some_and(|view| view.entries.is_some());
                self.entries_told_since = tells.then(|| self.entries_told_since.unwrap_or(self.now));
                self.told.clone_from(&view);
                match view {
                    Some(view) => self.brain.see_pbx(view, self.now),
                    None => self.brain.lose_pbx(),
                }
                self.decide();
            }
            Event::PbxUp => {
                self.pbx.connected = true;
                self.tell_view();
            }
            Event::EntriesKnown => {
                self.pbx.knows_entries = true;
                self.tell_view();
            }
            Event::LineKnown => {
                self.pbx.knows_line = true;
                self.tell_view();
            }
            Event::GraphUp => self.graph_up = true,
            Event::Serve {
                order,
                sent,
                answered,
                process,
            } => self.serve(order, sent, answered, process),
            Event::Answer {
                order,
                outcome,
                process,
            } if self.serves(process) => self.answered(&order, outcome),
            Event::Sweep { process } if self.serves(process) => {
                self.read();
                let pause = match self.history.source {
                    _ if self.over.is_some_and(|over| self.now > over + 5 * MINUTE) => 4 * MINUTE,
                    Source::Poll => 30_000,
                    Source::Hint | Source::Rich => 60_000,
                };
                self.schedule(self.now + pause, Event::Sweep { process });
            }
            Event::Wake => {
                if self.waking == Some(self.now) {
                    self.waking = None;
                }
                self.decide();
            }
            Event::Restart if !self.alive && self.over.is_none() => {
                self.brain.restart(self.now);
                self.start();
            }
            Event::End
            | Event::Read { .. }
            | Event::View { .. }
            | Event::Answer { .. }
            | Event::Sweep { .. }
            | Event::Restart => {}
        }
        self.settle();
    }

    fn serves(&self, process: u64) -> bool {
        self.alive && process == self.process
    }

    /// What has ended by itself, and who is told.
    fn settle(&mut self) {
        let lives = self.teams.session.is_some();
        if self.teams.settle(self.now) {
            self.notify();
        }
        if self.teams.shown().base() != Base::DoNotDisturb {
            self.hand = None;
        }
        let in_call = self.pbx.tells_line() && matches!(self.pbx.line, Line::Connected | Line::Conference);
        if lives && self.teams.session.is_none() && in_call {
            self.report.lapsed_in_call = true;
        }
        if self.pbx.settle(self.now) {
            self.tell_view();
        }
        let ends = self.teams.next_end().into_iter().chain(self.pbx.own_ends).min();
        if let Some(when) = ends.filter(|when| *when > self.now && self.ends != Some(*when)) {
            self.schedule(when, Event::End);
        }
        self.ends = ends;
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Client(client) => self.teams.client = *client,
            Action::Choose(chosen) => self.choose(*chosen),
            Action::Reset => {
                self.note_end();
                self.teams.preferred = None;
            }
            Action::OutOfOffice(absent) => self.teams.out_of_office = *absent,
            Action::Line(line) => {
                self.pbx.line = *line;
                self.tell_view();
            }
            Action::Entry(activity) => self.choose_on_pbx(Some(activity)),
            Action::NoEntry => self.choose_on_pbx(None),
            Action::Calendar(activity) => {
                self.pbx.plan(activity, self.now);
                self.tell_view();
            }
            Action::EntriesUnknown(time) => {
                self.pbx.knows_entries = false;
                self.tell_view();
                self.schedule(self.now + time, Event::EntriesKnown);
            }
            Action::LineUnknown(time) => {
                self.pbx.knows_line = false;
                self.tell_view();
                self.schedule(self.now + time, Event::LineKnown);
            }
            Action::PbxDown(time) => {
                self.pbx.connected = false;
                let delay = self.latency();
                self.schedule(
                    self.now + delay,
                    Event::View {
                        view: None,
                        process: self.process,
                    },
                );
                self.schedule(self.now + delay + time, Event::PbxUp);
            }
            Action::GraphDown(time) => {
                self.graph_up = false;
                self.schedule(self.now + time, Event::GraphUp);
            }
            Action::Crash(time) if self.alive => {
                self.alive = false;
                // The answer that says it is cleared may not have got to the disk.
                self.session_may_be = self.session_written;
                self.doubt = true;
                self.confuse(self.last_choice);
                self.confuse_by_record();
                self.schedule(self.now + time, Event::Restart);
            }
            Action::Crash(_) => {}
        }
    }

    fn choose_on_pbx(&mut self, activity: Option<&Activity>) {
        let was_ours = self.pbx.ours().is_some();
        self.pbx.choose(activity, self.now);
        let is_switch = self.history.terms.own == Own::Switch;
        if is_switch && was_ours && self.pbx.entries.is_empty() && self.teams.shown().base() == Base::DoNotDisturb {
            self.hand = Some(Hand::Untold);
        }
        self.tell_view();
    }

    /// The operator is told of a switch that is off.
    fn note_hand(&mut self, view: Option<&PbxView>) {
        let Some(entries) = view.and_then(|view| view.entries.as_ref()) else {
            return;
        };
        if self.hand == Some(Hand::Untold) && entries.is_empty() {
            let knows = self.told_of_ours && self.brain.watches_its_entry(self.now);
            self.hand = Some(if knows { Hand::Told } else { Hand::Missed });
        }
        self.told_of_ours = entries.iter().any(|entry| entry.origin == Origin::Ours);
    }

    /// A person chooses in Teams.
    fn choose(&mut self, chosen: Option<Choice>) {
        let ours = self
            .teams
            .preferred
            .filter(|preferred| preferred.author == Author::Operator);
        if ours.is_some_and(|ours| ours.chosen == chosen) {
            return; // Graph does not tell it from ours.
        }
        self.note_end();
        let unseen = chosen.is_some() && self.unseen_end == chosen;
        let lapsed = self
            .teams
            .lapsed
            .is_some_and(|(when, choice)| self.now - when < 70_000 && Some(choice) == chosen);
        let counted = chosen.is_some_and(|choice| self.brain.counts_as_own(choice, self.now));
        // By the record, it may have lapsed earlier than it did: a refresh of which no answer is there may never have been done.
        let known_until = self.brain.knows_own_until();
        let ours_ends = ours.and_then(|ours| ours.expires).min(known_until);
        let replaces = chosen == Some(Choice::Available) && ours_ends.is_some_and(|ends| self.now < ends);
        // To choose the same again changes nothing that could be seen.
        let before = self
            .teams
            .preferred
            .filter(|preferred| preferred.author == Author::Person);
        let repeated = before.is_some_and(|before| before.indistinguishable && before.chosen == chosen);
        self.teams.preferred = Some(Preferred {
            chosen,
            author: Author::Person,
            expires: None,
            shown_since: None,
            hidden_since: None,
            indistinguishable: repeated || counted && (lapsed || self.doubt || unseen),
            replaced_ours: ours_ends.filter(|_| replaces).map(|ends| (self.pbx.choices, ends)),
        });
    }

    /// What the person chose cannot be told from what the operator tried to write, as no answer says that it was not written.
    fn confuse(&mut self, tried: Option<Choice>) {
        if !tried.is_some_and(|choice| self.brain.counts_as_own(choice, self.now)) {
            return;
        }
        let theirs = self.teams.preferred.as_mut();
        let theirs = theirs.filter(|preferred| preferred.author == Author::Person && preferred.chosen.is_some());
        if let Some(theirs) = theirs.filter(|theirs| theirs.chosen == tried) {
            theirs.indistinguishable = true;
        }
    }

    /// The same at a death: the disk may hold a choice and begin the write that came after it. Who reads only that cannot tell whether
    /// the later one was acted on, and the person then chose what was there before.
    fn confuse_by_record(&mut self) {
        let chosen = self.teams.preferred.and_then(|preferred| preferred.chosen);
        if chosen.is_some_and(|choice| self.brain.doubts_its_record(choice, self.now)) {
            self.confuse(chosen);
        }
    }

    fn note_end(&mut self) {
        let ours = self
            .teams
            .preferred
            .filter(|preferred| preferred.author == Author::Operator);
        self.unseen_end = ours.and_then(|ours| ours.chosen).or(self.unseen_end);
        let taken_for_ours = |ended: &Preferred| ended.author == Author::Operator || ended.indistinguishable;
        if let Some(ended) = self.teams.preferred.filter(taken_for_ours) {
            self.spared = Some(Spared::Unseen(ended.chosen));
        }
    }

    /// The PBX tells what the person chose there. It is new only to who knows what was said before: after a silence, it may be older
    /// than what the person did in Teams.
    fn note_new_choice(&mut self, view: Option<&PbxView>) {
        let told = self.told.as_ref().filter(|told| told.entries.is_some());
        let (Some(before), Some(now)) = (told, view.filter(|view| view.entries.is_some())) else {
            return;
        };
        if self.spared == Some(Spared::Seen) && choice_told(before) != choice_told(now) {
            self.spared = None;
        }
    }

    fn end_history(&mut self) {
        self.say(|| "the history is over".to_owned());
        self.over = Some(self.now);
        self.graph_up = true;
        if self.ending == Ending::Death {
            self.alive = false;
            self.report.session_at_death = self.teams.session.is_some();
            return;
        }
        if self.ending == Ending::Idle {
            self.teams.client = Client::Available;
            self.teams.out_of_office = false;
            self.teams.preferred = self
                .teams
                .preferred
                .filter(|preferred| preferred.author == Author::Operator);
            self.pbx.line = Line::Idle;
            self.pbx.remove(&Origin::User);
            self.pbx.remove(&Origin::System);
        }
        self.pbx.connected = true;
        self.pbx.knows_entries = true;
        self.pbx.knows_line = true;
        if !self.alive {
            self.brain.restart(self.now);
            self.start();
        }
        if self.ending == Ending::Release {
            self.brain.release();
        }
        self.settle();
        self.tell_view();
        self.decide();
    }

    /// Graph notifies of a change.
    fn notify(&mut self) {
        let (state, sequence) = self.teams.read();
        self.say(|| format!("Teams shows {state}"));
        let rich = match self.history.source {
            Source::Poll => return,
            Source::Hint => None,
            Source::Rich => Some((state, sequence, self.now)),
        };
        let lossy = self.weather.lossy;
        if lossy && self.chance(10) {
            return;
        }
        let copies = if lossy && self.chance(15) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = if lossy { self.dice.i64(1_000..25_000) } else { 1_000 };
            self.schedule(self.now + delay, Event::Notify(rich.clone()));
        }
    }

    fn notified(&mut self, content: Option<(TeamsState, String, i64)>) {
        if !self.alive {
            return;
        }
        match content {
            None => self.read(),
            Some((state, sequence, when)) => {
                self.learn(state, &sequence, when);
                self.decide();
            }
        }
    }

    fn learn(&mut self, state: TeamsState, sequence: &str, when: i64) {
        if self.newest_learned.as_deref().is_none_or(|newest| newest <= sequence) {
            self.newest_learned = Some(sequence.to_owned());
            self.note_shown(&state, when);
        }
        let reading = Reading {
            state,
            sequence: Some(sequence.into()),
            at: at(when),
        };
        self.brain.see_teams(reading, self.now);
    }

    /// What a reading tells of choices that ended. One that comes after a newer one is dropped, and tells nothing.
    fn note_shown(&mut self, state: &TeamsState, when: i64) {
        let other = |choice: Choice| !choice.explains(state) && state.visible() && !state.looks_derived();
        if let Some(choice) = self.unseen_end.filter(|choice| other(*choice)) {
            // What has lapsed in the meantime, nobody looks for.
            // As long as a write of its own may be acted on yet, what is shown is not the end.
            let can_tell = self.brain.can_tell(when) && !self.brain.awaits_own(when);
            let looked_for = self.brain.counts_as_own(choice, self.now) && can_tell;
            self.unseen_end = (!looked_for).then_some(choice);
            // What is shown after ours would have ended anyway does not tell that it was replaced.
            if let Some(theirs) = &mut self.teams.preferred {
                theirs.replaced_ours.take_if(|(_, ends)| self.now >= *ends);
            }
        }
        if let Some(Spared::Unseen(ended)) = self.spared {
            let shown = ended.is_none_or(other) || state.activity == Word::OffWork;
            // As long as a write of its own may be acted on yet, what is shown is not the end.
            if shown && self.brain.can_tell(when) && !self.brain.awaits_own(when) {
                self.spared = Some(Spared::Seen);
            }
        }
    }

    fn read(&mut self) {
        if self.reading {
            return;
        }
        self.reading = true;
        let delay = self.latency();
        let (sent, process) = (self.now, self.process);
        self.schedule(self.now + delay, Event::ServeRead { sent, process });
    }

    fn serve_read(&mut self, sent: i64, process: u64) {
        let lost = !self.graph_up || (self.faulty() && self.chance(10));
        let (state, sequence) = self.teams.read();
        let reading = (!lost).then_some((state, sequence, sent));
        let delay = if lost { 3_000 } else { self.latency() };
        self.schedule(self.now + delay, Event::Read { reading, process });
    }

    /// The PBX tells the operator how a user is. One connection: what is told stays in order.
    fn tell_view(&mut self) {
        if !self.alive || !self.pbx.connected {
            return;
        }
        let delay = self.latency();
        self.next_view = (self.now + delay).max(self.next_view);
        let (view, process) = (self.pbx.view(), self.process);
        self.schedule(
            self.next_view,
            Event::View {
                view: Some(view),
                process,
            },
        );
    }

    fn decide(&mut self) {
        if !self.alive {
            return;
        }
        let wanted = self.brain.decide(self.now);
        for order in wanted.orders {
            self.send(order);
        }
        if wanted.read {
            self.read();
        }
        if let Some(when) = wanted.look_again {
            assert!(when > self.now, "decides again at once");
            if self.waking.is_none_or(|waking| waking > when || waking <= self.now) {
                self.waking = Some(when);
                self.schedule(when, Event::Wake);
            }
        }
    }

    fn send(&mut self, order: Order) {
        self.say(|| format!("sends {order:?}"));
        // Whether it arrives or not.
        if is_choice(&order) {
            self.judge(&format!("{order:?}"), self.now, choice_of(&order).is_some());
        }
        if let Order::Engine(write) = &order {
            self.examine(write);
            self.note_session(write);
        }
        self.brain.begin(&order, self.now);
        self.report
            .writes
            .push((self.now - self.over.unwrap_or(i64::MAX), order.clone()));
        let process = self.process;
        let reaches = if to_teams(&order) {
            self.graph_up
        } else {
            self.pbx.connected
        };
        let fate = if self.faulty() { self.dice.u8(0..100) } else { 100 };
        let delay = self.latency();
        if let Some(choice) = choice_of(&order) {
            self.last_choice = Some(choice);
        }
        let sent = self.now;
        match fate {
            _ if !reaches => {
                let outcome = Outcome::Refused(Class::Retry);
                self.schedule(
                    self.now + delay,
                    Event::Answer {
                        order,
                        outcome,
                        process,
                    },
                );
            }
            0..6 => {
                let outcome = Outcome::Refused(Class::Throttled(None));
                self.schedule(
                    self.now + delay,
                    Event::Answer {
                        order,
                        outcome,
                        process,
                    },
                );
            }
            6..12 => {
                // Never arrives.
                self.lose(order, process);
            }
            12..18 => {
                // Acted on, perhaps late, and not answered.
                let late = self.dice.i64(100..PATIENCE - 1_000);
                let served = order.clone();
                self.schedule(
                    self.now + late,
                    Event::Serve {
                        order: served,
                        sent,
                        answered: false,
                        process,
                    },
                );
                self.lose(order, process);
            }
            _ => self.schedule(
                self.now + delay,
                Event::Serve {
                    order,
                    sent,
                    answered: true,
                    process,
                },
            ),
        }
    }

    /// Whether a write is asked for, and enough is known for it.
    fn examine(&mut self, write: &Write) {
        let terms = self.history.terms;
        let asked = match write.part() {
            Part::Session | Part::Choice => terms.direction.to_teams(),
            Part::Entry => terms.direction.to_pbx() && terms.own != Own::Nothing,
        };
        // Who is given up needs no reason.
        let founded = if self.brain.released() {
            matches!(write, Write::ClearSession | Write::ClearPreferred | Write::ClearOwn)
        } else {
            self.told.as_ref().is_some_and(|told| is_founded(write, told, &terms))
        };
        if !asked || !founded {
            let line = format!("{} s: {write:?}, told {:?}", self.now / 1000, self.told);
            self.report.unasked.push(line);
        }
        if self.hand == Some(Hand::Told) && matches!(write, Write::PutOwn { .. }) {
            self.report
                .hidden
                .push(format!("{} s: switched on again", self.now / 1000));
        }
    }

    /// P12: a session is cleared only where one may be.
    fn note_session(&mut self, write: &Write) {
        match write {
            Write::SetSession { .. } => {
                self.session_written = true;
                self.session_may_be = true;
            }
            Write::ClearSession if !self.session_may_be => {
                let line = format!("{} s: {write:?}", self.now / 1000);
                self.report.cleared_in_vain.push(line);
            }
            _ => {}
        }
    }

    fn lose(&mut self, order: Order, process: u64) {
        self.doubt = self.doubt || is_choice(&order);
        self.confuse(choice_of(&order));
        let outcome = Outcome::Lost(Class::Retry);
        self.schedule(
            self.now + PATIENCE,
            Event::Answer {
                order,
                outcome,
                process,
            },
        );
    }

    fn serve(&mut self, order: Order, sent: i64, answered: bool, process: u64) {
        self.say(|| format!("is done: {order:?}"));
        match &order {
            Order::Engine(write) => self.serve_engine(write, sent),
            Order::Naive(write) => self.serve_naive(write, sent),
        }
        if answered {
            let delay = self.latency();
            let outcome = Outcome::Done;
            self.schedule(
                self.now + delay,
                Event::Answer {
                    order,
                    outcome,
                    process,
                },
            );
        }
    }

    fn answered(&mut self, order: &Order, outcome: Outcome) {
        self.say(|| format!("{outcome:?}: {order:?}"));
        if is_choice(order) && outcome == Outcome::Done {
            self.doubt = false;
        }
        if matches!(order, Order::Engine(Write::ClearSession)) && outcome == Outcome::Done {
            self.session_may_be = false;
        }
        let noted = self.dice.bool();
        self.brain.settle(order, outcome, self.now, noted);
        self.decide();
    }

    fn serve_engine(&mut self, write: &Write, sent: i64) {
        match write {
            Write::SetSession { session, ttl } => self.set_session(*session, whole(*ttl)),
            Write::ClearSession => self.teams.session = None,
            Write::SetPreferred { choice, ttl, .. } => self.set_preferred(*choice, whole(*ttl), sent),
            Write::ClearPreferred => self.clear_preferred(sent),
            Write::PutOwn { entry, ttl } => {
                let ends = ttl.map(|ttl| self.now + whole(ttl));
                let before = self.pbx.entries.first().cloned();
                self.pbx.put_own(entry, ends, self.now);
                // What nobody told when it was sent, nobody could heed.
                let hides = self.pbx.chosen_since.is_some_and(|since| since < sent - 2_000);
                let hides = hides && self.entries_told_since.is_some_and(|since| since < sent);
                if hides
                    && before.is_some_and(|first| first.origin != Origin::Ours)
                    && self.pbx.entries[0].origin == Origin::Ours
                {
                    self.report.hidden.push(format!("{} s: {entry:?}", self.now / 1000));
                }
                self.tell_view();
            }
            Write::ClearOwn => {
                self.pbx.own_ends = None;
                self.pbx.remove(&Origin::Ours);
                self.tell_view();
            }
        }
    }

    fn serve_naive(&mut self, write: &NaiveWrite, sent: i64) {
        match write {
            NaiveWrite::SetSession(session) => self.set_session(*session, 15 * MINUTE),
            NaiveWrite::ClearSession => self.teams.session = None,
            NaiveWrite::SetPreferred(choice) => self.set_preferred(*choice, 24 * 60 * MINUTE, sent),
            NaiveWrite::ClearPreferred => self.clear_preferred(sent),
            NaiveWrite::Entry(side, activity) => {
                let origin = match side {
                    Side::Person => Origin::User,
                    Side::Own => Origin::Ours,
                };
                match (side, activity) {
                    (_, Activity::Unset) => drop(self.pbx.remove(&origin)),
                    (Side::Person, _) => self.pbx.set(origin, activity.clone(), "", self.now),
                    (Side::Own, _) => {
                        let entry = OwnEntry {
                            activity: activity.clone(),
                            note: String::new(),
                        };
                        self.pbx.put_own(&entry, None, self.now);
                    }
                }
                self.tell_view();
            }
        }
    }

    fn set_session(&mut self, session: Session, ttl: i64) {
        // Graph gives back another word at times; the same one for the same call.
        let mut word = match session {
            _ if self.other_word() => match session {
                Session::DoNotDisturb => Word::DoNotDisturb,
                Session::InACall | Session::InAConferenceCall => Word::Busy,
            },
            Session::DoNotDisturb => Word::Presenting,
            Session::InACall => Word::InACall,
            Session::InAConferenceCall => Word::InAConferenceCall,
        };
        if let Some((before, known, ends)) = self.teams.session.take() {
            let margin = ends - self.now;
            self.report.least_margin = Some(self.report.least_margin.map_or(margin, |least| least.min(margin)));
            if before == session {
                word = known;
            }
        }
        self.teams.session = Some((session, word, self.now + ttl));
    }

    fn other_word(&self) -> bool {
        let mixed = self.history.seed ^ self.acted.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed.count_ones().is_multiple_of(3)
    }

    fn set_preferred(&mut self, choice: Choice, ttl: i64, sent: i64) {
        self.judge(&format!("set {choice:?}"), sent, true);
        self.teams.preferred = Some(Preferred {
            chosen: Some(choice),
            author: Author::Operator,
            expires: Some(self.now + ttl),
            shown_since: None,
            hidden_since: None,
            indistinguishable: false,
            replaced_ours: None,
        });
    }

    fn clear_preferred(&mut self, sent: i64) {
        self.judge("cleared", sent, false);
        self.teams.preferred = None;
    }

    /// P3: what a person chose, and what could be known when the write was sent, is not touched.
    fn judge(&mut self, what: &str, sent: i64, sets: bool) {
        let Some(theirs) = self
            .teams
            .preferred
            .filter(|preferred| preferred.author == Author::Person)
        else {
            return;
        };
        let known_since = sent - whole(FRESH);
        let shown = theirs.shown_since.is_some_and(|since| since <= known_since);
        // Who is not visible may have chosen something; only when the person is given up, nobody waits to see it.
        let hidden = theirs.hidden_since.is_some_and(|since| since <= known_since) && !self.brain.released();
        // A chosen Available looks like no choice, unless it was seen to replace ours, and the PBX has told nothing new since.
        let unseen_until = |ends: i64| self.unseen_end.is_some() && sent >= ends;
        let replaced = theirs.replaced_ours.filter(|(choices, _)| *choices == self.pbx.choices);
        let replaced = replaced.is_some_and(|(_, ends)| !unseen_until(ends));
        let open = sets && theirs.chosen == Some(Choice::Available) && !replaced;
        if (shown || hidden) && !open && !theirs.indistinguishable {
            let line = format!("{} s: {what} over {theirs:?}", self.now / 1000);
            self.report.overwritten.push(line);
        }
    }

    /// What is to be told in the end, when everything is known, and nothing is under way any more.
    fn look_for_astray(&mut self) {
        let terms = self.history.terms;
        let session = self.session_due(&terms);
        let is = self.teams.session.as_ref().map(|(session, _, _)| *session);
        if is != session {
            self.report.astray.push(format!("session {is:?}, not {session:?}"));
        }
        let choice = self.choice_of_ours();
        let due = self.choice_due(&terms);
        if choice != due && !self.may_differ(choice) {
            self.report.astray.push(format!("choice {choice:?}, not {due:?}"));
        }
        let entry = self.pbx.ours().cloned();
        if let Some(due) = self.entry_due(&terms)
            && due != entry.as_ref().map(|entry| (entry.activity.clone(), entry.note.clone()))
        {
            self.report.astray.push(format!("entry {entry:?}, not {due:?}"));
        }
    }

    /// The newest choice on the PBX that is told.
    fn chosen_on_pbx(&self, terms: &Terms) -> Option<&Activity> {
        let mut entries = self.pbx.entries.iter().filter(|_| terms.entries);
        let chosen = entries.find(|entry| entry.origin == Origin::User && entry.activity != Activity::OnThePhone);
        chosen.map(|entry| &entry.activity)
    }

    /// What the operator chose in Teams, and is in force.
    fn choice_of_ours(&self) -> Option<Choice> {
        let ours = self
            .teams
            .preferred
            .filter(|preferred| preferred.author == Author::Operator);
        ours.and_then(|preferred| preferred.chosen)
    }

    /// What has to be chosen in Teams, where nothing is in the way.
    fn choice_due(&self, terms: &Terms) -> Option<Choice> {
        let chosen = self.chosen_on_pbx(terms).filter(|_| terms.direction.to_teams())?;
        match mapping(terms).in_teams(chosen) {
            InTeams::Choice(choice) => Some(choice),
            InTeams::Session(_) | InTeams::Nothing | InTeams::Unmapped => None,
        }
    }

    /// Whether the operator may know no better than to leave this, or nothing, in Teams.
    fn may_differ(&self, choice: Option<Choice>) -> bool {
        let shown = self.teams.shown();
        // Of who cannot be seen, nobody can tell whose choice is in force: nothing is written, and nothing taken back.
        if !shown.visible() {
            return true;
        }
        // What is of ours, and can be seen, is known: another is told, or it is taken back.
        if choice.is_some() {
            return false;
        }
        // The person's choice goes before; so does what looks like one, such as an idle client, or our session in another word.
        let theirs = self.teams.preferred.is_some() || shown.looks_chosen();
        theirs || self.spared.is_some()
    }

    fn session_due(&self, terms: &Terms) -> Option<Session> {
        if !terms.direction.to_teams() {
            return None;
        }
        let as_session = terms.do_not_disturb == DoNotDisturbPolicy::Session;
        if as_session && self.chosen_on_pbx(terms) == Some(&Activity::DoNotDisturb) {
            return Some(Session::DoNotDisturb);
        }
        if !terms.line {
            let mut entries = self.pbx.entries.iter().filter(|_| terms.entries);
            let by_entry = entries.any(|entry| entry.activity == Activity::OnThePhone && entry.origin != Origin::Ours);
            return by_entry.then_some(Session::InACall);
        }
        match self.pbx.line {
            Line::Connected => Some(Session::InACall),
            Line::Conference => Some(Session::InAConferenceCall),
            Line::Ringing if terms.ringing == RingingPolicy::InACall => Some(Session::InACall),
            Line::Ringing | Line::Idle | Line::Unknown => None,
        }
    }

    /// What our entry has to say, with its note; nothing, if it may say anything.
    #[allow(clippy::option_option)] // unknown, nothing, or this
    fn entry_due(&self, terms: &Terms) -> Option<Option<(Activity, String)>> {
        if !terms.direction.to_pbx() || terms.own == Own::Nothing {
            return Some(None);
        }
        if self
            .chosen_on_pbx(terms)
            .is_some_and(|activity| *activity != Activity::Unset)
        {
            return Some(None);
        }
        let shown = self.teams.shown();
        let ours = self.teams.session.is_some() || self.brain.explains(shown, self.now);
        // An echo changes nothing, nor does the state over which the person switched ours off. Whether Teams showed another in
        // between, a notification that came late need not tell.
        if ours || self.hand.is_some() || self.brain.was_switched_off() {
            return None;
        }
        match mapping(terms).on_pbx(shown) {
            OnPbx::NoChange | OnPbx::Unmapped => None,
            OnPbx::Unset => Some(None),
            OnPbx::Entry(entry) if terms.own == Own::Switch && entry.activity != Activity::DoNotDisturb => Some(None),
            OnPbx::Entry(entry) => Some(Some((entry.activity, entry.note))),
        }
    }

    fn finish(mut self) -> Report {
        if matches!(self.ending, Ending::Stay | Ending::Idle) {
            self.look_for_astray();
        }
        self.report.entry_is_due = self.entry_due(&self.history.terms).is_some();
        self.report.session = self.teams.session.as_ref().map(|(session, _, _)| *session);
        self.report.preferred = self.choice_of_ours();
        self.report.entry = self.pbx.ours().map(|entry| entry.activity.clone());
        let entries = self.pbx.entries.iter();
        self.report.entries = entries
            .map(|entry| (entry.origin.clone(), entry.activity.clone()))
            .collect();
        self.report.clear = self.brain.is_clear(self.now);
        self.report
    }
}

fn whole(duration: jiff::SignedDuration) -> i64 {
    duration.as_secs() * 1000
}

/// Whether what the PBX told is enough to write this, and the PBX can do it.
fn is_founded(write: &Write, told: &PbxView, terms: &Terms) -> bool {
    let mut entries = told.entries.iter().flatten();
    match write {
        Write::SetSession { session, .. } if *session == Session::DoNotDisturb => {
            terms.do_not_disturb == DoNotDisturbPolicy::Session && told.entries.is_some()
        }
        Write::SetSession { .. } => {
            told.line != Line::Unknown || entries.any(|entry| entry.activity == Activity::OnThePhone)
        }
        Write::ClearSession if terms.line => told.line != Line::Unknown,
        Write::ClearSession | Write::SetPreferred { .. } | Write::ClearPreferred => told.entries.is_some(),
        Write::PutOwn { entry, ttl } => {
            let expires = ttl.is_some() == (terms.own == Own::Expires);
            let can = terms.own != Own::Switch || entry.activity == Activity::DoNotDisturb;
            expires && can && (entry.note.is_empty() || terms.out_of_office == OutOfOfficePolicy::Note)
        }
        Write::ClearOwn => true,
    }
}

/// The choice of the person's that the PBX tells of.
fn choice_told(view: &PbxView) -> Option<&Activity> {
    let mut entries = view.entries.iter().flatten();
    let chosen = entries.find(|entry| entry.origin == Origin::User && entry.activity != Activity::OnThePhone);
    chosen.map(|entry| &entry.activity)
}

fn mapping(terms: &Terms) -> Mapping {
    let rows = Rows {
        profile: terms.profile,
        ..Rows::default()
    };
    let policy = Policy {
        offline: terms.offline,
        out_of_office: terms.out_of_office,
        do_not_disturb: terms.do_not_disturb,
        ..Policy::default()
    };
    Mapping::new(&rows, &policy)
}

fn is_choice(order: &Order) -> bool {
    use NaiveWrite as N;
    matches!(
        order,
        Order::Engine(Write::SetPreferred { .. } | Write::ClearPreferred)
            | Order::Naive(N::SetPreferred(_) | N::ClearPreferred)
    )
}

fn choice_of(order: &Order) -> Option<Choice> {
    match order {
        Order::Engine(Write::SetPreferred { choice, .. }) | Order::Naive(NaiveWrite::SetPreferred(choice)) => {
            Some(*choice)
        }
        _ => None,
    }
}

fn to_teams(order: &Order) -> bool {
    !matches!(
        order,
        Order::Engine(Write::PutOwn { .. } | Write::ClearOwn) | Order::Naive(NaiveWrite::Entry(..))
    )
}
