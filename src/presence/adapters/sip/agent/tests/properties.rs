//! Whatever a server says, in whatever order: nothing panics, nothing grows without bound, and everybody gets an outcome.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Watch(u8),
    Put(u8),
    Clear(u8),
    /// Answers one of the requests, in a way that may be wrong.
    Answer(usize, u16, bool),
    /// Notifies within one of the subscriptions seen so far.
    Notify(usize, u32, u8),
    Wait(u16),
    Lose,
    Connect,
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop_oneof![
        5 => Just(200_u16),
        1 => Just(100),
        1 => prop::sample::select(vec![202, 302, 400, 403, 404, 405, 408, 412, 423, 481, 489, 500, 503, 603]),
        1 => prop::sample::select(vec![401, 407]),
    ];
    prop_oneof![
        1 => any::<u8>().prop_map(Step::Watch),
        2 => (0..4_u8).prop_map(Step::Put),
        1 => (0..4_u8).prop_map(Step::Clear),
        8 => (any::<prop::sample::Index>(), status, any::<bool>()).prop_map(|(at, status, good)| Step::Answer(at.index(64), status, good)),
        5 => (any::<prop::sample::Index>(), 0..20_u32, any::<u8>()).prop_map(|(at, number, body)| Step::Notify(at.index(64), number, body)),
        2 => prop::sample::select(vec![0_u16, 1, 3, 20, 33, 700, 2000]).prop_map(Step::Wait),
        1 => Just(Step::Lose),
        2 => Just(Step::Connect),
    ]
}

fn bodies(which: u8) -> String {
    match which % 6 {
        0 => String::new(),
        1 => pidf("busy"),
        2 => dialog_info("confirmed"),
        3 => dialog_info("terminated"),
        4 => "<presence xmlns".to_owned(),
        _ => "\u{0}".to_owned(),
    }
}

struct Run {
    world: World,
    connected: bool,
    seen: Vec<Message>,
    asked: u64,
    outcomes: Vec<Ticket>,
}

impl Run {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Watch(which) => {
                let users: Vec<String> = (0..8)
                    .filter(|bit| which & (1 << bit) != 0)
                    .map(|bit| format!("u{bit}"))
                    .collect();
                self.world.agent.watch(users, self.world.now);
            }
            Step::Put(user) => {
                self.asked += 1;
                let entry = OwnEntry {
                    activity: Activity::Busy,
                    note: "<&>".to_owned(),
                };
                let ttl = Duration::from_secs(1200);
                let (ticket, now) = (self.asked, self.world.now);
                self.world.agent.put(
                    ticket,
                    &format!("u{user}"),
                    Put { entry, ttl },
                    Timestamp::UNIX_EPOCH,
                    now,
                );
            }
            Step::Clear(user) => {
                self.asked += 1;
                self.world.agent.clear(self.asked, &format!("u{user}"), self.world.now);
            }
            Step::Answer(at, status, good) if !self.world.sent.is_empty() => {
                let request = self.world.sent.remove(at % self.world.sent.len());
                if matches!(request.start, Start::Request { .. }) {
                    let good: &[(&str, &str)] = &[
                        ("Expires", "600"),
                        ("SIP-ETag", "e"),
                        ("Contact", "<sip:pbx>"),
                        ("Min-Expires", "9999999999"),
                        ("Retry-After", "5"),
                        ("WWW-Authenticate", "Digest realm=\"r\", nonce=\"n\", stale=true"),
                    ];
                    let bad: &[(&str, &str)] = &[("Expires", "-1"), ("Contact", "<"), ("Min-Expires", "900")];
                    self.world.answer_to(
                        &request,
                        *status,
                        if *status % 2 == 0 && *at % 2 == 0 { good } else { bad },
                    );
                }
            }
            Step::Notify(at, number, body) if !self.seen.is_empty() => {
                let subscribe = self.seen[at % self.seen.len()].clone();
                let states = [
                    "active;expires=30",
                    "active",
                    "pending",
                    "terminated;reason=timeout",
                    "",
                    "active;expires=99999999999",
                ];
                self.world
                    .notify_as(&subscribe, *number, states[*at % states.len()], &bodies(*body));
            }
            Step::Wait(seconds) => self.world.advance(f64::from(*seconds)),
            Step::Lose if self.connected => {
                self.world.lose();
                self.connected = false;
            }
            Step::Connect if !self.connected => {
                self.world
                    .agent
                    .connected("10.0.0.9:4000".parse().unwrap(), self.world.now);
                self.connected = true;
            }
            _ => {}
        }
        self.settle();
    }

    fn settle(&mut self) {
        self.world.collect();
        if self.world.dropped.take().is_some() {
            // As the task does.
            self.world.lose();
            self.connected = false;
        }
        let subscribes = self
            .world
            .sent
            .iter()
            .filter(|message| message.field("Accept").is_some() && message.field("Event").is_some());
        self.seen.extend(subscribes.cloned());
        let excess = self.seen.len().saturating_sub(64);
        self.seen.drain(..excess);
        self.outcomes
            .extend(self.world.done().into_iter().map(|(ticket, _)| ticket));
    }
}

proptest! {
    #[test]
    fn any_history(steps in proptest::collection::vec(step(), 1..80)) {
        let mut run = Run {
            world: World::new("UDP", Some("sync")),
            connected: false,
            seen: Vec::new(),
            asked: 0,
            outcomes: Vec::new(),
        };
        for step in &steps {
            run.take(step);
            let agent = &run.world.agent;
            prop_assert!(agent.exchanges.len() <= WINDOW + 1, "{}", agent.exchanges.len());
            prop_assert!(agent.calls.len() <= 2 * agent.watched.len());
            prop_assert!(agent.later.len() <= 4 * 2 * 8, "{}", agent.later.len());
            prop_assert!(agent.urgent.len() <= 4, "{}", agent.urgent.len());
            prop_assert!(agent.publications.len() <= 4);
        }
        run.world.events();
        // When the connection is lost for good, nobody is left waiting, and nothing is known.
        run.world.lose();
        run.settle();
        run.outcomes.sort_unstable();
        let expected: Vec<Ticket> = (1..=run.asked).collect();
        prop_assert_eq!(&run.outcomes, &expected);
        prop_assert!(run.world.agent.watched.values_mut().all(|watched| watched.news() == Some(PbxView::default())));
        prop_assert_eq!(run.world.agent.deadline(), None);

        // And with a server that does as it should, all is well again.
        run.world.connect();
        let mut turns = 0;
        while !run.world.sent.is_empty() && turns < 1000 {
            turns += 1;
            let request = run.world.sent.remove(0);
            if matches!(request.start, Start::Request { .. }) {
                run.world.answer_to(&request, 200, &[("Expires", "600"), ("SIP-ETag", "e")]);
                if request.field("Accept").is_some() && request.field("Event").is_some() {
                    run.world.notify_as(&request, 1, "active", "");
                }
            }
        }
        let agent = &run.world.agent;
        prop_assert!(agent.is_up());
        for watched in agent.watched.values() {
            for package in Package::ALL {
                prop_assert!(watched.seen(package).holds(run.world.now), "{:?}", watched.seen(package));
            }
        }
        prop_assert_eq!(agent.calls.len(), 2 * agent.watched.len());
    }
}
