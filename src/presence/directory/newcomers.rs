//! Those who came since everybody was read. No delta query tells of licences, so each is asked about alone, and a few times: a licence
//! often comes some time after the person.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// When a newcomer is asked about, in multiples of the least time between two readings of everybody: ten minutes. Later licences
/// are found when all are read.
const TIMES: [u32; 3] = [0, 1, 6];
/// Newcomers who are asked about in one look: what is asked about people otherwise has to have room beside it.
const AT_ONCE: usize = 20;
/// Of more newcomers than this, it is cheaper to read everybody: a page has 500.
const MANY: usize = 200;

/// Those who came.
#[derive(Default)]
pub(super) struct Newcomers(BTreeMap<Arc<str>, Newcomer>);

struct Newcomer {
    came: Instant,
    /// How often they were asked about.
    asked: usize,
}

impl Newcomers {
    /// Somebody came.
    pub(super) fn came(&mut self, id: Arc<str>, now: Instant) {
        self.0.insert(id, Newcomer { came: now, asked: 0 });
    }

    /// Somebody went.
    pub(super) fn forget(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// Whom to ask about now, of those who are wanted; `pause` is the measure of time.
    pub(super) fn due(&self, now: Instant, pause: Duration, wanted: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        let is_due = |newcomer: &Newcomer| {
            let wait = TIMES.get(newcomer.asked).map(|times| pause * *times);
            wait.is_some_and(|wait| now.duration_since(newcomer.came) >= wait)
        };
        let due = self.0.iter().filter(|(id, newcomer)| is_due(newcomer) && wanted(id));
        due.take(AT_ONCE).map(|(id, _)| id.clone()).collect()
    }

    /// Somebody was asked about.
    pub(super) fn asked(&mut self, id: &str, licensed: bool) {
        let Some(newcomer) = self.0.get_mut(id) else { return };
        newcomer.asked += 1;
        if licensed || newcomer.asked >= TIMES.len() {
            self.0.remove(id);
        }
    }

    /// Whether those who are wanted are too many to be asked about one by one.
    pub(super) fn are_many(&self, wanted: impl Fn(&str) -> bool) -> bool {
        self.0.len() > MANY && self.0.keys().filter(|id| wanted(id)).count() > MANY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_mins(10);

    #[tokio::test]
    async fn each_is_asked_about_three_times_at_most_and_a_licence_ends_it() {
        let start = Instant::now();
        let mut newcomers = Newcomers::default();
        newcomers.came("ada".into(), start);
        newcomers.came("guest".into(), start);
        let due = |newcomers: &Newcomers, minutes| {
            let now = start + Duration::from_mins(minutes);
            newcomers.due(now, PAUSE, |id| id != "guest").len()
        };
        for (minutes, before, after) in [(0, 1, 0), (10, 1, 0), (60, 1, 0)] {
            assert_eq!(due(&newcomers, minutes), before, "{minutes}");
            newcomers.asked("ada", false);
            assert_eq!(due(&newcomers, minutes), after, "{minutes}");
        }
        assert_eq!(due(&newcomers, 10_000), 0);
        newcomers.came("bob".into(), start);
        newcomers.asked("bob", true);
        assert_eq!(due(&newcomers, 10_000), 0);
    }

    #[tokio::test]
    async fn a_crowd_is_not_asked_about_one_by_one() {
        let start = Instant::now();
        let mut newcomers = Newcomers::default();
        for number in 0..=MANY {
            newcomers.came(format!("{number}").into(), start);
        }
        assert_eq!(newcomers.due(start, PAUSE, |_| true).len(), AT_ONCE);
        assert!(newcomers.are_many(|_| true));
        assert!(!newcomers.are_many(|id| id != "0"), "nobody waits for that one");
    }
}
