//! Whose presence in Teams is not learned any more. What was read long ago is no knowledge.
//!
//! Presence comes by polling, which reads everybody, or by notifications: over an account, which watches its share of the people,
//! and the receiver. Who is reached by one of them is known.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Core;
use crate::api::presence::Source;
use crate::api::presence_report::Lamp;
use crate::presence::accounts::Shards;
use crate::presence::board::State;

/// When presence of Teams could not be learned for so long, nothing is known of it any more.
const LONG: Duration = Duration::from_mins(10);

/// How presence of a person is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hearing {
    Heard,
    /// Not now, and it may be a passing fault.
    Silent,
    /// Not for long.
    Lost,
}

/// Since when each way is silent; those that work are not in it.
#[derive(Debug, Default)]
pub struct Silence {
    polling: Option<Instant>,
    /// The app that reads what a notification hints at.
    reader: Option<Instant>,
    receiver: Option<Instant>,
    accounts: BTreeMap<String, Instant>,
}

impl Silence {
    /// Notes how each way stands now. An account that says nothing yet is silent.
    fn note<'a>(&mut self, state: &State, accounts: impl Iterator<Item = &'a str>, now: Instant) {
        let works = |lamp: Option<&Lamp>| lamp.is_some_and(Lamp::is_green);
        let lamps = &state.lamps;
        self.polling = since(self.polling, works(lamps.polling.as_ref()), now);
        self.reader = since(self.reader, works(Some(&lamps.reader)), now);
        self.receiver = since(self.receiver, works(lamps.receiver.as_ref()), now);
        let before = std::mem::take(&mut self.accounts);
        let silent = accounts.filter_map(|name| {
            let report = state.accounts.get(name);
            let works = report.is_some_and(|account| account.signed_in.is_green() && account.subscribed.is_green());
            let since = since(before.get(name).copied(), works, now)?;
            Some((name.to_owned(), since))
        });
        self.accounts = silent.collect();
    }

    /// How presence of a person is learned whom this account watches; `None`: none does.
    fn hearing(&self, source: Source, account: Option<&str>, now: Instant) -> Hearing {
        let of = |since: Option<Instant>| match since {
            None => Hearing::Heard,
            Some(since) if now.duration_since(since) < LONG => Hearing::Silent,
            Some(_) => Hearing::Lost,
        };
        let polled = || of(self.polling);
        let pushed = || {
            let account = account.map_or(Hearing::Lost, |name| of(self.accounts.get(name).copied()));
            account.max(of(self.receiver)).max(of(self.reader))
        };
        match source {
            Source::Poll => polled(),
            Source::Subscription => pushed(),
            Source::Both => polled().min(pushed()),
        }
    }

    /// Whether what changes with a person from now on is told, as far as it is not the reading app that fails.
    fn is_over(&self, source: Source, account: Option<&str>) -> bool {
        let polled = self.polling.is_none();
        let watched = account.is_some_and(|name| !self.accounts.contains_key(name));
        let pushed = watched && self.receiver.is_none();
        match source {
            Source::Poll => polled,
            Source::Subscription => pushed,
            Source::Both => polled || pushed,
        }
    }
}

/// Since when it is silent, if it is.
fn since(before: Option<Instant>, works: bool, now: Instant) -> Option<Instant> {
    (!works).then(|| before.unwrap_or(now))
}

impl Core {
    /// Forgets what Teams showed of those who are not heard of for long, and has it read when they can be heard of again: what did
    /// not change is told by nobody.
    pub(super) fn watch_source(&mut self, state: &State) {
        let now = Instant::now();
        let source = self.parts.setup.config.spec.source;
        let shards = self.parts.shards.as_ref();
        let names = shards.into_iter().flat_map(Shards::names);
        self.silence.note(state, names, now);
        // One question is enough to see whether the app may read again.
        let mut questions = if self.silence.reader.is_none() { usize::MAX } else { 1 };
        for (person, user) in &mut self.users {
            let account = shards.and_then(|shards| shards.account_of(person));
            let hearing = self.silence.hearing(source, account, now);
            let is_old = user.read.is_none_or(|read| now.duration_since(read) >= LONG);
            if hearing == Hearing::Lost && is_old && user.state.teams().is_some() {
                user.state.lose_teams();
                user.lost = true;
                self.marked.insert(person.clone());
            }
            let is_due = user.lost && !user.reading && user.state.in_scope() && questions > 0;
            if is_due && self.silence.is_over(source, account) && self.parts.wanted.try_send(person.to_string()).is_ok()
            {
                user.reading = true;
                questions -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus::Registry;
    use serde_json::json;

    use super::*;
    use crate::presence::board::Board;
    use crate::presence::metrics::Metrics;

    fn green() -> Lamp {
        Lamp::green("well")
    }

    /// A board on which all is well, with account `one` at work.
    fn well() -> State {
        let mut state = Board::new(Arc::new(Metrics::new(&Registry::new()).unwrap())).state();
        state.lamps.reader = green();
        (state.lamps.polling, state.lamps.receiver) = (Some(green()), Some(green()));
        let account = json!({"account": "one", "users": 1, "signedIn": green(), "subscribed": green()});
        let account = serde_json::from_value(account).unwrap();
        state.accounts.insert("one".to_owned(), account);
        state
    }

    #[tokio::test]
    async fn each_way_is_silent_by_itself() {
        let mut deaf = well();
        deaf.lamps.receiver = None;
        let mut unread = well();
        unread.lamps.reader = Lamp::dark("not signed in");
        let mut unpolled = well();
        unpolled.lamps.polling = None;
        let start = Instant::now();
        // What is said, and whether it is heard of who is watched by `one`, by `two`, which says nothing, and by none.
        let cases = [
            (well(), Source::Poll, [true, true, true]),
            (well(), Source::Subscription, [true, false, false]),
            (well(), Source::Both, [true, true, true]),
            (deaf.clone(), Source::Subscription, [false, false, false]),
            (deaf.clone(), Source::Both, [true, true, true]),
            (deaf, Source::Poll, [true, true, true]),
            (unread, Source::Subscription, [false, false, false]),
            (unpolled.clone(), Source::Poll, [false, false, false]),
            (unpolled, Source::Both, [true, false, false]),
        ];
        for (number, (state, source, expected)) in cases.into_iter().enumerate() {
            let mut silence = Silence::default();
            let names = || ["one", "two"].into_iter();
            silence.note(&state, names(), start);
            let late = start + LONG;
            silence.note(&state, names(), late);
            let accounts = [Some("one"), Some("two"), None];
            let heard = accounts.map(|account| silence.hearing(source, account, late) != Hearing::Lost);
            assert_eq!(heard, expected, "{number}");
            let soon = silence.hearing(source, Some("two"), late - Duration::from_secs(1));
            assert!(soon < Hearing::Lost, "{number}");
            // One good word, and it begins anew.
            silence.note(&well(), std::iter::once("one"), late);
            assert_eq!(silence.hearing(source, Some("one"), late), Hearing::Heard, "{number}");
        }
    }
}
