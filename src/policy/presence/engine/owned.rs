//! The record of what we wrote for a person. It is on the disk before a write is sent, so that whatever happens, what is ours is
//! known as ours.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::super::mapping::{Choice, Session};
use super::super::pbx::{Activity, OwnEntry};
use super::LATE;

/// What is, or may be, ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Owned {
    /// Our app's session in Teams.
    #[serde(skip_serializing_if = "Layer::is_new")]
    pub session: Layer<Session>,
    /// The preferred presence in Teams.
    #[serde(skip_serializing_if = "Layer::is_new")]
    pub choice: Layer<Chosen>,
    /// Our entry on the PBX.
    #[serde(skip_serializing_if = "Layer::is_new")]
    pub entry: Layer<OwnEntry>,
    /// The choice on the PBX that was told, and that the person then replaced in Teams. It is not told again until it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Activity>,
    /// Our do not disturb was switched off on the PBX. Where it is a switch of the person's, it is not switched on again for the same
    /// state of Teams.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub switched_off: bool,
}

impl Owned {
    /// Whether nothing is, or may be, ours any more: this is when a person may be forgotten.
    pub fn is_clear(&self, now: Timestamp) -> bool {
        !self.session.is_live(now) && !self.choice.is_live(now) && !self.entry.is_live(now)
    }

    /// What is left after a restart: of what was under way, nothing is known. Times that are ahead of the clock are its.
    pub(super) fn restored(mut self, now: Timestamp) -> Self {
        self.session.restore(now);
        self.choice.restore(now);
        self.entry.restore(now);
        self
    }
}

/// A choice that was written to Teams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chosen {
    /// What was written.
    pub choice: Choice,
    /// The choice on the PBX that it tells.
    pub tells: Activity,
    /// Sequence number of what was last read before: as long as Graph shows that, it has not acted on the write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<str>>,
}

/// Something that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held<T> {
    /// What it says.
    pub value: T,
    /// When it was sent.
    pub sent: Timestamp,
    /// When the answer came, or it was given up.
    pub settled: Timestamp,
    /// When it has vanished by itself at the latest; never, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Whether it was seen there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seen: bool,
    /// How often in a row the same was written within a minute.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeats: u8,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks so
fn is_zero(repeats: &u8) -> bool {
    *repeats == 0
}

impl<T> Held<T> {
    /// Whether it may be there yet.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| expires > now)
    }
}

/// One layer: what is there, and what may be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "T: Deserialize<'de>"))]
pub struct Layer<T> {
    /// Written, and acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Held<T>>,
    /// Sent, with no answer so far. It may be in force instead of `held`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<Held<T>>,
    /// When it was last taken back, or found gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Whether one sent before `intent` had no answer either.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    doubtful: bool,
    /// Whether it is being taken back: when it is found gone, that was us.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) clearing: bool,
    /// When a request to take it back was given up without an answer. It may be acted on yet, also after another write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unanswered_clear: Option<Timestamp>,
    /// Whether `held` may not be there, and is written again: it had no answer, and what was seen may have been something else of
    /// ours, or an earlier one with a shorter life; or taking it back had no answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) unsure: bool,
}

impl<T> Default for Layer<T> {
    fn default() -> Self {
        Self {
            held: None,
            intent: None,
            ended: None,
            doubtful: false,
            clearing: false,
            unanswered_clear: None,
            unsure: false,
        }
    }
}

impl<T> Layer<T> {
    fn is_new(&self) -> bool {
        self.held.is_none() && self.intent.is_none() && self.ended.is_none()
    }

    /// Whether something of ours is, or may be, there.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.each().any(|held| held.is_live(now))
    }

    /// What is, or may be, there now.
    pub fn live(&self, now: Timestamp) -> impl Iterator<Item = &Held<T>> {
        self.each().filter(move |held| held.is_live(now))
    }

    /// What is surely there: acknowledged, and nothing sent since that could have changed it.
    pub fn certain(&self, now: Timestamp) -> Option<&Held<T>> {
        let doubted = self.intent.is_some() || self.clearing || self.unsure;
        self.held.as_ref().filter(|held| !doubted && held.is_live(now))
    }

    /// When the last write was settled, or what was there ended.
    pub fn settled(&self) -> Option<Timestamp> {
        let written = self.each().map(|held| held.settled).max();
        written.max(self.ended)
    }

    /// When nothing of it can be there any more; `None` if there is nothing, or if it does not vanish by itself.
    pub fn vanishes(&self) -> Option<Timestamp> {
        self.each().filter_map(|held| held.expires).max()
    }

    fn each(&self) -> impl Iterator<Item = &Held<T>> {
        self.held.iter().chain(&self.intent)
    }

    /// It is not there any more, and has not been for long.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Before it is taken back.
    pub(super) fn clear(&mut self) {
        self.clearing = true;
    }

    /// It was surely not taken back.
    pub(super) fn keep(&mut self) {
        self.clearing = false;
    }

    /// Before it is sent.
    pub(super) fn intend(&mut self, value: T, ttl: Option<SignedDuration>, now: Timestamp)
    where
        T: PartialEq,
    {
        let again = self
            .held
            .as_ref()
            .filter(|held| held.value == value && now < held.sent + LATE);
        let repeats = again.map_or(0, |held| held.repeats.saturating_add(1));
        // Of an earlier one without an answer nothing is known either; the longer life counts.
        self.doubtful = self.intent.is_some();
        self.clearing = false;
        let seen = self.intent.as_ref().is_some_and(|held| held.seen);
        let earlier = self.intent.as_ref().and_then(|held| held.expires);
        let expires = ttl.map(|ttl| now + ttl + LATE);
        self.intent = Some(Held {
            value,
            sent: now,
            settled: now,
            expires: expires.map(|at| earlier.map_or(at, |earlier| at.max(earlier))),
            seen,
            repeats,
        });
    }

    /// It was written.
    pub(super) fn confirm(&mut self, ttl: Option<SignedDuration>, now: Timestamp, same: impl Fn(&T, &T) -> bool) {
        let Some(mut written) = self.intent.take() else {
            return;
        };
        written.settled = now;
        written.expires = ttl.map(|ttl| now + ttl);
        self.doubtful = false;
        self.unsure = false;
        let seen = |before: &Held<T>| before.seen && before.is_live(now) && same(&before.value, &written.value);
        written.seen |= self.held.as_ref().is_some_and(seen);
        self.held = Some(written);
    }

    /// It was surely not written.
    pub(super) fn refuse(&mut self, now: Timestamp) {
        if self.doubtful {
            self.lose(now);
        } else {
            self.intent = None;
        }
    }

    /// Whether it was taken back is not known.
    pub(super) fn lose_clearing(&mut self, now: Timestamp) {
        self.unsure = true;
        self.unanswered_clear = Some(now);
        self.lose(now);
    }

    /// Whether it was written, or taken back, is not known.
    pub(super) fn lose(&mut self, now: Timestamp) {
        self.held
            .iter_mut()
            .chain(&mut self.intent)
            .for_each(|held| held.settled = now);
    }

    /// What was sent is what is there; `surely`, if what was seen cannot be anything else.
    pub(super) fn promote(&mut self, surely: bool) {
        if let Some(mut intent) = self.intent.take() {
            intent.seen = true;
            self.held = Some(intent);
            self.unsure = !surely || self.doubtful;
            self.doubtful = false;
        }
    }

    /// Nothing of it is there any more.
    pub(super) fn end(&mut self, now: Timestamp) {
        *self = Self {
            ended: Some(now),
            unanswered_clear: self.unanswered_clear,
            ..Self::default()
        };
    }

    fn restore(&mut self, now: Timestamp) {
        if self.clearing {
            self.unsure = true;
            self.unanswered_clear = Some(now);
        }
        if let Some(intent) = &mut self.intent {
            intent.settled = now;
        }
        if let Some(held) = &mut self.held {
            held.settled = held.settled.min(now);
        }
        self.ended = self.ended.map(|ended| ended.min(now));
    }
}
