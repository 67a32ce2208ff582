//! Presence subscriptions of the watched users: few requests under way at a time, each user once.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::message;

/// Requests under way at a time.
const WINDOW: usize = 32;
/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(30);
/// When a user whose subscription was refused, or not answered, is tried again.
const AGAIN: Duration = Duration::from_mins(5);

/// The subscriptions of one connection. Users are known by guid.
#[derive(Debug, Default)]
pub(super) struct Watching {
    wanted: Arc<BTreeSet<String>>,
    users: HashMap<String, User>,
    /// Users to be subscribed; may name some that are no longer to be.
    queue: VecDeque<String>,
    /// Requests under way, oldest first.
    asked: VecDeque<(Instant, String)>,
    /// Users to be tried again.
    refused: VecDeque<(Instant, String)>,
}

#[derive(Debug)]
struct User {
    sip: String,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Queued,
    Asked,
    Subscribed,
    Refused,
    /// Not wanted.
    Idle,
}

impl Watching {
    /// Whom to watch from now on. Tells the messages to send.
    pub(super) fn want(&mut self, wanted: Arc<BTreeSet<String>>, now: Instant) -> Vec<String> {
        let before = std::mem::replace(&mut self.wanted, wanted);
        let changed: Vec<String> = before.symmetric_difference(&self.wanted).cloned().collect();
        let mut out = Vec::new();
        for guid in changed {
            out.extend(self.consider(&guid));
        }
        out.extend(self.next(now));
        out
    }

    /// A user exists at the PBX, under this address.
    pub(super) fn add(&mut self, guid: &str, sip: &str, now: Instant) -> Vec<String> {
        if self.users.get(guid).is_some_and(|user| user.sip == sip) {
            return Vec::new();
        }
        let mut out = self.remove(guid);
        let user = User {
            sip: sip.to_owned(),
            state: State::Idle,
        };
        self.users.insert(guid.to_owned(), user);
        out.extend(self.consider(guid));
        out.extend(self.next(now));
        out
    }

    /// A user is gone from the PBX.
    pub(super) fn remove(&mut self, guid: &str) -> Vec<String> {
        let user = self.users.remove(guid);
        self.asked.retain(|(_, asked)| asked != guid);
        user.filter(User::is_known_to_pbx)
            .map(|user| message::unsubscribe(guid, &user.sip))
            .into_iter()
            .collect()
    }

    /// Whether what is told of this user was asked for.
    pub(super) fn expects(&self, guid: &str) -> bool {
        self.wanted.contains(guid) && self.users.get(guid).is_some_and(User::is_known_to_pbx)
    }

    /// A subscription was answered; without `src`, the oldest is meant. Tells the user if it was refused, and what to send next.
    pub(super) fn answered(&mut self, src: Option<&str>, refused: bool, now: Instant) -> (Option<String>, Vec<String>) {
        let place = match src {
            Some(src) => self.asked.iter().position(|(_, guid)| guid == src),
            None => (!self.asked.is_empty()).then_some(0),
        };
        let Some((_, guid)) = place.and_then(|place| self.asked.remove(place)) else {
            return (None, Vec::new());
        };
        if refused {
            self.refuse(&guid, now);
        } else {
            self.enter(&guid, State::Subscribed);
        }
        (refused.then_some(guid), self.next(now))
    }

    /// Time passes. Tells the users whose subscription was not answered, and what to send.
    pub(super) fn tick(&mut self, now: Instant) -> (Vec<String>, Vec<String>) {
        let mut lost = Vec::new();
        while let Some((_, guid)) = self.asked.pop_front_if(|(at, _)| now.duration_since(*at) >= LIMIT) {
            self.refuse(&guid, now);
            lost.push(guid);
        }
        while let Some((_, guid)) = self.refused.pop_front_if(|(at, _)| now >= *at) {
            if self.state(&guid) == Some(State::Refused) {
                self.enter(&guid, State::Idle);
                self.consider(&guid);
            }
        }
        (lost, self.next(now))
    }

    fn consider(&mut self, guid: &str) -> Option<String> {
        let wanted = self.wanted.contains(guid);
        let user = self.users.get_mut(guid)?;
        match (wanted, user.state) {
            (true, State::Idle) => {
                user.state = State::Queued;
                self.queue.push_back(guid.to_owned());
                None
            }
            (false, State::Queued | State::Refused) => {
                user.state = State::Idle;
                None
            }
            (false, State::Asked | State::Subscribed) => {
                user.state = State::Idle;
                let message = message::unsubscribe(guid, &user.sip);
                self.asked.retain(|(_, asked)| asked != guid);
                Some(message)
            }
            _ => None,
        }
    }

    fn next(&mut self, now: Instant) -> Vec<String> {
        let mut out = Vec::new();
        while self.asked.len() < WINDOW {
            let Some(guid) = self.queue.pop_front() else { break };
            // Queued twice, or no longer wanted.
            let Some(user) = self.users.get_mut(&guid).filter(|user| user.state == State::Queued) else {
                continue;
            };
            user.state = State::Asked;
            out.push(message::subscribe(&guid, &user.sip));
            self.asked.push_back((now, guid));
        }
        out
    }

    fn refuse(&mut self, guid: &str, now: Instant) {
        self.enter(guid, State::Refused);
        self.refused.push_back((now + AGAIN, guid.to_owned()));
    }

    fn enter(&mut self, guid: &str, state: State) {
        if let Some(user) = self.users.get_mut(guid) {
            user.state = state;
        }
    }

    fn state(&self, guid: &str) -> Option<State> {
        self.users.get(guid).map(|user| user.state)
    }
}

impl User {
    fn is_known_to_pbx(&self) -> bool {
        matches!(self.state, State::Asked | State::Subscribed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(count: usize) -> Arc<BTreeSet<String>> {
        Arc::new((0..count).map(|number| format!("guid{number:03}")).collect())
    }

    fn with_users(count: usize, now: Instant) -> Watching {
        let mut watching = Watching::default();
        for guid in users(count).iter() {
            assert!(watching.add(guid, &format!("sip-{guid}"), now).is_empty());
        }
        watching
    }

    #[tokio::test]
    async fn asks_for_few_at_a_time_until_all_are_subscribed() {
        let now = Instant::now();
        let mut watching = with_users(100, now);
        let mut sent = watching.want(users(100), now);
        assert_eq!(sent.len(), WINDOW);
        let mut answered = 0;
        while let Some((_, guid)) = watching.asked.front().cloned() {
            let (refused, more) = watching.answered(Some(&guid), false, now);
            assert_eq!(refused, None);
            assert!(watching.asked.len() <= WINDOW);
            sent.extend(more);
            answered += 1;
        }
        assert_eq!((answered, sent.len()), (100, 100));
        assert!(users(100).iter().all(|guid| watching.expects(guid)));
    }

    #[tokio::test]
    async fn users_no_longer_wanted_are_let_go() {
        let now = Instant::now();
        let mut watching = with_users(2, now);
        watching.want(users(2), now);
        watching.answered(None, false, now);
        let sent = watching.want(users(1), now);
        assert_eq!(sent, [message::unsubscribe("guid001", "sip-guid001")]);
        assert!(watching.expects("guid000") && !watching.expects("guid001"));
        let (refused, _) = watching.answered(Some("guid001"), true, now);
        assert_eq!(refused, None, "the answer comes late");
    }

    #[tokio::test]
    async fn a_new_address_is_subscribed_anew() {
        let now = Instant::now();
        let mut watching = with_users(1, now);
        watching.want(users(1), now);
        watching.answered(None, false, now);
        assert!(watching.add("guid000", "sip-guid000", now).is_empty());
        let sent = watching.add("guid000", "ann", now);
        let expected = [
            message::unsubscribe("guid000", "sip-guid000"),
            message::subscribe("guid000", "ann"),
        ];
        assert_eq!(sent, expected);
        assert_eq!(watching.remove("guid000"), [message::unsubscribe("guid000", "ann")]);
        assert_eq!(watching.remove("guid000"), Vec::<String>::new());
    }

    #[tokio::test]
    async fn refused_and_unanswered_ones_are_tried_again_later() {
        let now = Instant::now();
        let mut watching = with_users(2, now);
        watching.want(users(2), now);
        assert_eq!(
            watching.answered(Some("guid001"), true, now).0,
            Some("guid001".to_owned())
        );
        let late = now + LIMIT;
        assert_eq!(watching.tick(late), (vec!["guid000".to_owned()], vec![]));
        assert!(!watching.expects("guid000"));
        let (lost, sent) = watching.tick(late + AGAIN);
        assert_eq!((lost.len(), sent.len()), (0, 2));
    }
}
