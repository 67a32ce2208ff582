//! What is known of one user: calls and do not disturb, from events that may come late or twice.

use std::collections::HashMap;

use super::item::{CONFERENCE, News};
use super::set::Package;
use crate::policy::presence::pbx::{Activity, Entry, Line, Origin, PbxView};

/// Calls that are remembered after their end, so that a late event does not bring them back.
const MOST_CALLS: usize = 256;

/// A user.
#[derive(Debug, Default)]
pub(super) struct User {
    /// As the worker calls the user.
    pub(super) id: String,
    /// Rises with each event, so that an answer to an older question is known as such.
    pub(super) version: u64,
    /// Whether all calls are known.
    pub(super) knows_calls: bool,
    /// Whether a list told of all calls since everything was subscribed anew.
    pub(super) is_listed: bool,
    /// The same of do not disturb.
    pub(super) is_switch_told: bool,
    /// Whether do not disturb is on.
    pub(super) do_not_disturb: Option<bool>,
    /// Of each call, the event that last told of it, and the line by it; `None`: over.
    calls: HashMap<String, (u64, Option<Line>)>,
    /// The event up to which a list told of all calls.
    listed: u64,
    calls_from: Stream,
    switch_from: Stream,
}

/// Events of one subscription.
#[derive(Debug, Default)]
struct Stream {
    subscription: String,
    /// Highest number so far.
    last: u64,
}

impl Stream {
    /// The number of an event; one without a number is the next. Tells also whether a new stream begins with it.
    fn number(&mut self, subscription: &str, number: Option<u64>) -> (u64, bool) {
        let is_new = self.subscription != subscription;
        if is_new {
            *self = Self {
                subscription: subscription.to_owned(),
                last: 0,
            };
        }
        let number = number.unwrap_or(self.last + 1);
        self.last = self.last.max(number);
        (number, is_new)
    }
}

impl User {
    pub(super) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            ..Self::default()
        }
    }

    /// Nothing is known any more.
    pub(super) fn forget(&mut self) {
        *self = Self {
            version: self.version + 1,
            ..Self::new(&self.id)
        };
    }

    /// What was told by a subscription that is over may be out of date.
    pub(super) fn doubt(&mut self, package: Package) {
        match package {
            Package::Calls => self.is_listed = false,
            Package::DoNotDisturb => self.is_switch_told = false,
        }
    }

    /// Takes an event. Tells whether it was news.
    pub(super) fn take(&mut self, subscription: &str, number: Option<u64>, news: &News) -> bool {
        let taken = match news {
            News::DoNotDisturb(active) => {
                let before = self.switch_from.last;
                let (number, is_new) = self.switch_from.number(subscription, number);
                let is_news = is_new || number > before;
                if is_news {
                    self.switched(*active);
                }
                is_news
            }
            News::Calls(calls) => {
                let number = self.begin(subscription, number);
                self.set_calls(calls, number);
                true
            }
            News::Call(call, line) => {
                let number = self.begin(subscription, number);
                self.call(call, number, |known| Some(line.or(known).unwrap_or(Line::Ringing)))
            }
            News::Released(call) => {
                let number = self.begin(subscription, number);
                self.call(call, number, |_| None)
            }
            News::OnHook => {
                let number = self.begin(subscription, number);
                self.calls.retain(|_, (last, _)| *last >= number);
                self.knows_calls = true;
                // Of what is not kept, a late event brings nothing back.
                self.listed = self.listed.max(number);
                true
            }
            News::Unsubscribed | News::Other => false,
        };
        self.version += u64::from(taken);
        taken
    }

    /// Takes what do not disturb is.
    pub(super) fn switched(&mut self, active: bool) {
        self.do_not_disturb = Some(active);
        self.is_switch_told = true;
    }

    /// Takes a list of all calls, as they were at the event of this number. What later events told stays.
    pub(super) fn set_calls(&mut self, calls: &[(String, Option<Line>)], number: u64) {
        let before = std::mem::take(&mut self.calls);
        for (id, line) in calls.iter().take(MOST_CALLS) {
            // Listed without a state, a call is one all the same.
            let known = before.get(id).and_then(|(_, line)| *line);
            let line = line.or(known).unwrap_or(Line::Ringing);
            self.calls.insert(id.clone(), (number, Some(line)));
        }
        self.calls
            .extend(before.into_iter().filter(|(_, (last, _))| *last > number));
        self.knows_calls = true;
        self.is_listed = true;
        self.listed = self.listed.max(number);
    }

    /// The number of the last event about calls.
    pub(super) fn last_number(&self) -> u64 {
        self.calls_from.last
    }

    fn begin(&mut self, subscription: &str, number: Option<u64>) -> u64 {
        let (number, is_new) = self.calls_from.number(subscription, number);
        if is_new {
            // Numbers begin anew, so those of the old stream say nothing.
            self.calls.values_mut().for_each(|(last, _)| *last = 0);
            self.listed = 0;
        }
        number
    }

    fn call(&mut self, id: &str, number: u64, line: impl FnOnce(Option<Line>) -> Option<Line>) -> bool {
        let known = self.calls.get(id).copied();
        if known.is_some_and(|(last, _)| last >= number) || number < self.listed {
            return false;
        }
        if known.is_none() && self.calls.len() >= MOST_CALLS {
            self.drop_oldest();
        }
        let line = line(known.and_then(|(_, line)| line));
        self.calls.insert(id.to_owned(), (number, line));
        if line.is_none() && !self.has_calls() {
            // Should its end not be told.
            self.calls.remove(CONFERENCE);
        }
        true
    }

    fn has_calls(&self) -> bool {
        let mut calls = self.calls.iter();
        calls.any(|(id, (_, line))| id != CONFERENCE && line.is_some())
    }

    fn drop_oldest(&mut self) {
        let oldest = self
            .calls
            .iter()
            .min_by_key(|(_, (last, line))| (line.is_some(), *last));
        if let Some(id) = oldest.map(|(id, _)| id.clone()) {
            self.calls.remove(&id);
        }
    }

    /// What is told of the user. `is_ours` tells whether do not disturb, if on, was switched on by this worker.
    pub(super) fn view(&self, is_ours: bool) -> PbxView {
        let entry = |()| Entry {
            origin: if is_ours { Origin::Ours } else { Origin::User },
            activity: Activity::DoNotDisturb,
            note: String::new(),
            since: None,
        };
        PbxView {
            entries: self
                .do_not_disturb
                .map(|is_on| is_on.then_some(()).map(entry).into_iter().collect()),
            line: self.line(),
        }
    }

    fn line(&self) -> Line {
        let has = |wanted| self.calls.values().any(|(_, line)| *line == Some(wanted));
        if has(Line::Connected) && has(Line::Conference) {
            Line::Conference
        } else if has(Line::Connected) {
            Line::Connected
        } else if has(Line::Ringing) {
            Line::Ringing
        } else if self.knows_calls {
            Line::Idle
        } else {
            Line::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(id: &str, line: Line) -> News {
        News::Call(id.to_owned(), Some(line))
    }

    fn released(id: &str) -> News {
        News::Released(id.to_owned())
    }

    fn line(user: &User) -> Line {
        user.view(false).line
    }

    #[test]
    fn a_line_is_unknown_until_all_calls_are_known() {
        let mut user = User::new("ann");
        assert_eq!(user.view(false), PbxView::default());
        assert!(user.take("s", Some(2), &call("c", Line::Connected)));
        assert_eq!(line(&user), Line::Connected);
        user.take("s", Some(3), &released("c"));
        assert_eq!(line(&user), Line::Unknown);
        user.take("s", Some(4), &News::OnHook);
        assert_eq!(line(&user), Line::Idle);
        user.forget();
        assert_eq!(line(&user), Line::Unknown);
    }

    #[test]
    fn a_late_event_does_not_bring_a_call_back() {
        let mut user = User::new("ann");
        user.take("s", Some(1), &News::Calls(vec![]));
        user.take("s", Some(4), &released("c"));
        assert!(!user.take("s", Some(3), &call("c", Line::Connected)));
        assert_eq!(line(&user), Line::Idle);
        assert!(
            user.take("s", Some(2), &call("d", Line::Ringing)),
            "another call, told late"
        );
        assert_eq!(line(&user), Line::Ringing);
        assert!(
            user.take("t", Some(1), &call("c", Line::Ringing)),
            "another subscription numbers anew"
        );
    }

    #[test]
    fn a_conference_lasts_as_long_as_there_are_calls() {
        let conference = || call(CONFERENCE, Line::Conference);
        let mut user = User::new("ann");
        user.take("s", Some(1), &News::Calls(vec![]));
        user.take("s", Some(2), &conference());
        assert_eq!(line(&user), Line::Idle, "without a call it is none");
        user.take("s", Some(3), &call("c", Line::Connected));
        user.take("s", Some(4), &call("d", Line::Connected));
        assert_eq!(line(&user), Line::Conference);
        user.take("s", Some(5), &released("c"));
        assert_eq!(line(&user), Line::Conference);
        assert!(user.take("s", Some(6), &released(CONFERENCE)));
        assert!(!user.take("s", Some(5), &conference()), "late");
        assert_eq!(line(&user), Line::Connected);
        user.take("s", Some(7), &conference());
        user.take("s", Some(8), &released("d"));
        assert_eq!(line(&user), Line::Idle);
        user.take("s", Some(9), &call("e", Line::Connected));
        assert_eq!(line(&user), Line::Connected, "its end was not told");
        user.take("s", Some(10), &conference());
        user.take("s", Some(11), &News::OnHook);
        assert_eq!(line(&user), Line::Idle);
    }

    #[test]
    fn do_not_disturb_is_ours_or_the_users() {
        let mut user = User::new("ann");
        user.take("s", Some(2), &News::DoNotDisturb(true));
        assert!(!user.take("s", Some(1), &News::DoNotDisturb(false)));
        let origin = |is_ours| user.view(is_ours).entries.unwrap()[0].origin.clone();
        assert_eq!((origin(true), origin(false)), (Origin::Ours, Origin::User));
        user.take("s", Some(3), &News::DoNotDisturb(false));
        assert_eq!(user.view(true).entries, Some(vec![]));
    }

    #[test]
    fn when_the_receiver_is_put_down_ended_calls_are_forgotten() {
        let mut user = User::new("ann");
        user.take("s", Some(1), &News::Calls(vec![]));
        for number in 1..=100 {
            user.take("s", Some(3 * number), &call(&format!("c{number}"), Line::Connected));
            user.take("s", Some(3 * number + 1), &released(&format!("c{number}")));
            user.take("s", Some(3 * number + 2), &News::OnHook);
        }
        assert_eq!((user.calls.len(), line(&user)), (0, Line::Idle));
        assert!(!user.take("s", Some(300), &call("c100", Line::Connected)), "late");
        user.take("s", Some(310), &call("next", Line::Ringing));
        user.take("s", Some(309), &News::OnHook);
        assert_eq!(line(&user), Line::Ringing, "a later call stays");
    }

    #[test]
    fn calls_do_not_pile_up() {
        let mut user = User::new("ann");
        user.take("s", Some(1), &call("standing", Line::Connected));
        for number in 2..2000 {
            user.take("s", Some(number), &released(&format!("c{number}")));
        }
        assert!(user.calls.len() <= MOST_CALLS);
        assert_eq!(line(&user), Line::Connected);
    }

    proptest! {
        /// Events of a subscription may come in any order, and twice: in the end the line is what the calls are.
        #[test]
        fn order_does_not_matter(
            steps in prop::collection::vec((0..4_u8, 0..4_u8), 1..30),
            order in any::<prop::sample::Index>(),
            seed in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let events: Vec<(u64, News)> = (1_u64..).zip(steps.iter().map(|(id, step)| {
                let id = format!("c{id}");
                match step {
                    0 => released(&id),
                    1 => call(&id, Line::Ringing),
                    2 => News::OnHook,
                    _ => call(&id, Line::Connected),
                }
            })).collect();
            let snapshot = News::Calls(vec![]);
            let mut straight = User::new("ann");
            straight.take("s", Some(0), &snapshot);
            for (number, news) in &events {
                straight.take("s", Some(*number), news);
            }
            let mut shuffled = events.clone();
            let doubled = order.index(events.len());
            shuffled.push(events[doubled].clone());
            for (place, index) in seed.iter().enumerate() {
                let (a, b) = (place % shuffled.len(), index.index(shuffled.len()));
                shuffled.swap(a, b);
            }
            let mut user = User::new("ann");
            user.take("s", Some(0), &snapshot);
            for (number, news) in &shuffled {
                user.take("s", Some(*number), news);
            }
            prop_assert_eq!(line(&user), line(&straight));
        }
    }
}
