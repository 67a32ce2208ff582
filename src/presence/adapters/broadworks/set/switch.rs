//! Do not disturb, as this worker switches it. It is the user's one switch, so what is ours is remembered, and only that is taken back.

use tokio::time::{Duration, Instant};

use super::{Done, Job, Out, Set};
use crate::policy::presence::pbx::PbxError;

/// What a write is known by to who asked for it.
pub(in super::super) type Ticket = u64;

/// So long after a write, an event may still tell of the time before it.
const SETTLE: Duration = Duration::from_secs(3);
/// Most writes that wait.
const MOST: usize = 256;

impl Set {
    /// Switches do not disturb on for a user, unless it is on already: then it stays the user's.
    pub(in super::super) fn put(&mut self, ticket: Ticket, id: &str, now: Instant) {
        let user = id.to_lowercase();
        let is_on = self.users.get(&user).and_then(|user| user.do_not_disturb);
        let was_own = self.own.contains_key(&user);
        match is_on {
            _ if !self.is_up() => self.answer(
                ticket,
                Err(PbxError::Transport("there is no connection to the PBX".to_owned())),
            ),
            Some(true) => self.answer(ticket, Ok(())),
            None if !was_own => {
                // Whose it is cannot be told once it is on.
                let error = PbxError::Transport("whether do not disturb is on is not known yet".to_owned());
                self.answer(ticket, Err(error));
            }
            Some(false) | None => {
                self.own.insert(user.clone(), now);
                self.switch(ticket, user, true, was_own);
            }
        }
    }

    /// Switches do not disturb off for a user, if this worker switched it on.
    pub(in super::super) fn clear(&mut self, ticket: Ticket, id: &str) {
        let user = id.to_lowercase();
        if !self.own.contains_key(&user) {
            self.answer(ticket, Ok(()));
        } else if self.is_up() {
            self.switch(ticket, user, false, true);
        } else {
            self.answer(
                ticket,
                Err(PbxError::Transport("there is no connection to the PBX".to_owned())),
            );
        }
    }

    fn switch(&mut self, ticket: Ticket, user: String, active: bool, was_own: bool) {
        let waiting = self
            .jobs
            .iter()
            .filter(|task| matches!(task.job, Job::Switch { .. }))
            .count();
        if waiting >= MOST {
            if !was_own {
                self.own.remove(&user);
            }
            return self.answer(ticket, Err(PbxError::Throttled(Duration::from_secs(1))));
        }
        let task = self.task(Job::Switch {
            ticket,
            user,
            active,
            was_own,
        });
        // Somebody waits for it, unlike for what is read.
        self.jobs.push_front(task);
    }

    /// A write ended.
    pub(super) fn switched(
        &mut self,
        ticket: Ticket,
        user: &str,
        (active, was_own): (bool, bool),
        result: Result<Done, PbxError>,
        now: Instant,
    ) {
        let is_gone = matches!(result, Err(PbxError::NotFound(_)));
        match &result {
            Ok(_) => self.set_switch(user, active, now),
            // Whoever has no such service has none of ours.
            Err(PbxError::NotFound(_)) if !active => self.set_switch(user, false, now),
            // It may have been done.
            Err(PbxError::Transport(_)) => self.read_anew(user, super::Package::DoNotDisturb),
            Err(_) if active && !was_own => {
                self.own.remove(user);
            }
            Err(_) => {}
        }
        self.show(user);
        let result = result.map(drop);
        self.answer(ticket, if is_gone && !active { Ok(()) } else { result });
    }

    fn set_switch(&mut self, user: &str, active: bool, now: Instant) {
        if active {
            self.own.insert(user.to_owned(), now);
        } else {
            self.own.remove(user);
        }
        if let Some(user) = self.users.get_mut(user) {
            user.version += 1;
            user.do_not_disturb = Some(active);
        }
    }

    /// Do not disturb is seen off: what was ours is no longer, unless that was told before our write came into force.
    pub(super) fn switched_off(&mut self, user: &str, now: Instant) {
        let Some(written) = self.own.get(user).copied() else {
            return;
        };
        let settled = written + SETTLE;
        if now >= settled {
            self.own.remove(user);
            return;
        }
        let version = self.users.get(user).map_or(0, |user| user.version);
        let task = self.task(Job::ReadSwitch(user.to_owned(), version));
        self.do_at(settled, task);
    }

    fn answer(&mut self, ticket: Ticket, result: Result<(), PbxError>) {
        self.out.push_back(Out::Answer(ticket, result));
    }
}
