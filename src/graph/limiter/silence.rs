//! Whether Graph answers an app at all. Each call that it does not answer holds a slot that the apps it does answer need, so of a
//! silent one only one call at a time goes, and that seldom.

use std::time::Duration;

use tokio::time::Instant;

/// So many calls in a row without an answer are silence.
const AFTER: u32 = 3;
/// How long no call goes, in terms of what the last one waited for nothing: an app that is silent takes a fifth of a slot.
const FACTOR: u32 = 4;
/// No longer than this: an app that is answered again should soon know.
const LONGEST: Duration = Duration::from_mins(2);
/// While one tries, no other goes. Longer than any call takes.
const TRIAL: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Silence {
    unanswered: u32,
    until: Option<Instant>,
}

impl Silence {
    /// Whether no call may go now.
    pub(super) fn refuses(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }

    /// A call goes. If the app was silent, no other does until this one is back.
    pub(super) fn is_tried(&mut self, now: Instant) {
        if self.unanswered >= AFTER {
            self.until = Some(now + TRIAL);
        }
    }

    /// An answer came.
    pub(super) fn ends(&mut self) {
        *self = Self::default();
    }

    /// No answer came. `true` when it begins to be silence.
    pub(super) fn goes_on(&mut self, waited: Duration, now: Instant) -> bool {
        self.unanswered = self.unanswered.saturating_add(1);
        if self.unanswered >= AFTER {
            self.until = Some(now + (waited * FACTOR).min(LONGEST));
        }
        self.unanswered == AFTER
    }
}
