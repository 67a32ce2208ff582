//! Taking back all that was written: asked for on the internal port, or by `suspend`.

use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::Core;
use crate::api::presence_report::{Lamp, Owned, ReleaseReport};
use crate::presence::accounts::Shards;
use crate::presence::worker;

/// Where taking back stands.
pub struct Release {
    wanted: bool,
    asked: Vec<(Instant, oneshot::Sender<ReleaseReport>)>,
}

impl Release {
    /// Wanted from the beginning, with `suspend`.
    pub fn new(wanted: bool) -> Self {
        Self {
            wanted,
            asked: Vec::new(),
        }
    }

    /// Whether all is to be taken back.
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }
}

impl Core {
    /// From now on nothing is written any more but to take back.
    pub(super) fn release(&mut self, reply: oneshot::Sender<ReleaseReport>) {
        tracing::info!("asked to take back all that was written");
        self.release.asked.push((Instant::now(), reply));
        self.release.wanted = true;
        self.engine.suspended = true;
        for (person, user) in &mut self.users {
            user.state.try_again();
            self.marked.insert(person.clone());
        }
    }

    /// Answers those who asked, when nothing is left or the time is up.
    pub(super) fn answer_release(&mut self, now: Timestamp) {
        if !self.release.wanted {
            return;
        }
        if let Some(shards) = &mut self.parts.shards {
            shards.release();
        }
        let remaining = self.owned(now);
        let shards = self.parts.shards.as_ref();
        let subscriptions = shards.map_or(0, Shards::remaining);
        let done = remaining.is_empty() && shards.is_none_or(Shards::is_released);
        if done {
            self.rest();
        }
        let most = self.parts.settings.release_time;
        let why = match (done, subscriptions) {
            (true, 0) => String::new(),
            (true, _) => "some presence subscriptions could not be deleted; they end within the hour".to_owned(),
            (false, _) => self.why_not_released(&remaining),
        };
        let asked = std::mem::take(&mut self.release.asked);
        for (since, reply) in asked {
            if !done && since.elapsed() < most {
                self.release.asked.push((since, reply));
                continue;
            }
            // Who asked may have gone.
            let _ = reply.send(ReleaseReport {
                done,
                remaining,
                subscriptions,
                why: why.clone(),
            });
        }
    }

    /// Idle means idle.
    fn rest(&mut self) {
        self.parts.helpers.cancel();
        let adapter = self.parts.adapter.take();
        if self.restart.cancel() || adapter.is_some() {
            self.parts.writer.use_pbx(None);
            self.parts.unusable = Some(Lamp::dark("idle: everything was taken back"));
            tokio::spawn(worker::close(adapter));
        }
    }

    fn why_not_released(&self, remaining: &Owned) -> String {
        let state = self.parts.board.state();
        let (pbx, writer) = (self.pbx_lamp(), state.lamps.writer);
        if remaining.entries > 0 && !pbx.is_green() {
            return format!("entries on the PBX cannot be taken back: {}", pbx.message);
        }
        if remaining.sessions + remaining.chosen > 0 && writer.ok == Some(false) {
            return format!("presence in Teams cannot be taken back: {}", writer.message);
        }
        let last = self
            .users
            .values()
            .find_map(|user| user.writes.front()?.error.as_deref());
        last.map_or_else(
            || "it takes longer than this request may".to_owned(),
            |error| format!("the last try failed: {error}"),
        )
    }

    /// What is, or may be, held.
    pub(super) fn owned(&self, now: Timestamp) -> Owned {
        let mut sum = Owned::default();
        for user in self.users.values() {
            let owned = user.state.owned();
            sum.sessions += i32::from(owned.session.is_live(now));
            sum.chosen += i32::from(owned.choice.is_live(now));
            sum.entries += i32::from(owned.entry.is_live(now));
        }
        sum
    }
}
