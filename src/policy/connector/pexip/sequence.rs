//! Numbers of events. Each Conferencing Node numbers what it sends to an event sink from 1 on, and begins again when the sink does:
//! <https://docs.pexip.com/admin/api_event_sink.htm>. Events are delivered at least once.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};

/// Nodes that are remembered; beyond, the one that was silent for longest is forgotten.
pub const NODES: usize = 256;
/// Numbers of a node that may still come. Of a greater gap, the older ones count as lost at once.
const AWAITED: usize = 1024;
/// How long a number is waited for.
const PATIENCE: SignedDuration = SignedDuration::from_mins(2);

/// What the number of an event says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It came before.
    Duplicate,
    /// It did not come before.
    New,
    /// The same, and it is the first after the node began again.
    Restart,
}

/// An event, as far as its number is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Numbered<'a> {
    /// The node that sent it.
    pub node: &'a str,
    /// Its number.
    pub seq: u64,
    /// When it happened, by the node's clock.
    pub at: Option<Timestamp>,
    /// Whether it says that the sink begins.
    pub begins: bool,
}

/// The numbers that came, node by node.
#[derive(Debug, Default)]
pub struct Sequences {
    nodes: HashMap<String, Series>,
    lost: u64,
}

/// The numbers of one node since it began.
#[derive(Debug)]
struct Series {
    highest: u64,
    /// The time of its latest event.
    latest: Option<Timestamp>,
    /// The time of the first since it began again. `None`: it did not, as far as is known.
    began: Option<Timestamp>,
    /// When it was last heard of, by the local clock.
    heard: Timestamp,
    /// Numbers below the highest that did not come, and since when they are waited for.
    awaited: BTreeMap<u64, Timestamp>,
}

impl Sequences {
    /// Takes note of an event that arrived at `now`.
    pub fn place(&mut self, event: &Numbered<'_>, now: Timestamp) -> Place {
        let Some(series) = self.nodes.get_mut(event.node) else {
            // What it sent before was for another process.
            self.make_room();
            let series = Series {
                highest: event.seq,
                began: None,
                ..Series::new(event, now)
            };
            self.nodes.insert(event.node.to_owned(), series);
            return Place::New;
        };
        series.heard = now;
        if series.is_of_an_earlier_run(event) {
            // Its number says nothing here; that a call is told of twice is seen by its id.
            return Place::New;
        }
        if event.seq <= series.highest {
            if series.awaited.remove(&event.seq).is_some() {
                return Place::New;
            }
            if !series.begins_again(event) {
                return Place::Duplicate;
            }
            self.lost = self.lost.saturating_add(count(series.awaited.len()));
            *series = Series::new(event, now);
            self.lost = self.lost.saturating_add(series.reach(event, now));
            return Place::Restart;
        }
        self.lost = self.lost.saturating_add(series.reach(event, now));
        Place::New
    }

    /// How many events are lost that were not told of as such before.
    pub fn take_lost(&mut self, now: Timestamp) -> u64 {
        for series in self.nodes.values_mut() {
            let before = series.awaited.len();
            series.awaited.retain(|_, since| now.duration_since(*since) <= PATIENCE);
            self.lost = self.lost.saturating_add(count(before - series.awaited.len()));
        }
        std::mem::take(&mut self.lost)
    }

    fn make_room(&mut self) {
        if self.nodes.len() < NODES {
            return;
        }
        let silent = self.nodes.iter().min_by_key(|(_, series)| series.heard);
        let Some(name) = silent.map(|(name, _)| name.clone()) else {
            return;
        };
        let gone = self.nodes.remove(&name);
        let awaited = gone.map_or(0, |series| series.awaited.len());
        self.lost = self.lost.saturating_add(count(awaited));
    }
}

impl Series {
    /// One that begins with this event.
    fn new(event: &Numbered<'_>, now: Timestamp) -> Self {
        Self {
            highest: 0,
            latest: event.at,
            began: event.at,
            heard: now,
            awaited: BTreeMap::new(),
        }
    }

    /// Whether it was sent before the node began again.
    fn is_of_an_earlier_run(&self, event: &Numbered<'_>) -> bool {
        matches!((event.at, self.began), (Some(at), Some(began)) if at < began && event.seq > self.highest)
    }

    /// A number that came before, on an event that is newer than all that came: the node counts anew. A duplicate is as old as
    /// what it repeats.
    fn begins_again(&self, event: &Numbered<'_>) -> bool {
        match (event.at, self.latest) {
            (Some(at), Some(latest)) => at > latest,
            _ => event.begins && event.seq < self.highest,
        }
    }

    /// Goes on to a number above the highest. Numbers left out are waited for; how many of them are given up is returned.
    fn reach(&mut self, event: &Numbered<'_>, now: Timestamp) -> u64 {
        let gap = event.seq.saturating_sub(self.highest).saturating_sub(1);
        let kept = gap.min(count(AWAITED));
        self.awaited
            .extend((event.seq - kept..event.seq).map(|number| (number, now)));
        self.highest = self.highest.max(event.seq);
        self.latest = self.latest.max(event.at);
        let mut given_up = gap - kept;
        while self.awaited.len() > AWAITED {
            self.awaited.pop_first();
            given_up += 1;
        }
        given_up
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of a node, each with the second at which it was sent, taken at that second.
    struct Bench(Sequences);

    fn second(at: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + at).unwrap()
    }

    impl Bench {
        fn new() -> Self {
            Self(Sequences::default())
        }

        fn take(&mut self, node: &str, seq: u64, at: i64) -> Place {
            let event = Numbered {
                node,
                seq,
                at: Some(second(at)),
                begins: false,
            };
            self.0.place(&event, second(at.max(0)))
        }

        fn lost(&mut self, at: i64) -> u64 {
            self.0.take_lost(second(at))
        }
    }

    #[test]
    fn duplicates_are_told_from_what_is_new() {
        let mut bench = Bench::new();
        let sent = [(7, 0), (8, 1), (8, 1), (7, 0), (9, 2), (9, 2)];
        let places: Vec<Place> = sent.iter().map(|(seq, at)| bench.take("a", *seq, *at)).collect();
        let (new, twice) = (Place::New, Place::Duplicate);
        assert_eq!(places, [new, new, twice, twice, new, twice]);
        assert_eq!(bench.lost(1000), 0);
    }

    #[test]
    fn what_comes_late_is_not_lost_and_what_does_not_come_is() {
        let mut bench = Bench::new();
        for (seq, at) in [(1, 0), (5, 4), (3, 2)] {
            assert_eq!(bench.take("a", seq, at), Place::New);
        }
        assert_eq!(bench.take("a", 3, 2), Place::Duplicate, "it came once");
        assert_eq!(bench.lost(60), 0, "2 and 4 may still come");
        assert_eq!(bench.lost(200), 2);
        assert_eq!(bench.lost(400), 0, "each is told of once");
    }

    #[test]
    fn nodes_have_numbers_of_their_own() {
        let mut bench = Bench::new();
        for (node, seq) in [("a", 100), ("b", 1), ("a", 101), ("b", 2), ("c", 100)] {
            assert_eq!(bench.take(node, seq, 1), Place::New, "{node} {seq}");
        }
        assert_eq!(bench.lost(1000), 0);
    }

    #[test]
    fn a_node_that_begins_again_neither_loses_nor_repeats() {
        let mut bench = Bench::new();
        for seq in 5000..5010 {
            bench.take("a", seq, i64::try_from(seq).unwrap() - 5000);
        }
        assert_eq!(bench.take("a", 1, 60), Place::Restart);
        for seq in 2..20 {
            assert_eq!(
                bench.take("a", seq, 60 + i64::try_from(seq).unwrap()),
                Place::New,
                "{seq}"
            );
        }
        assert_eq!(bench.take("a", 1, 60), Place::Duplicate);
        assert_eq!(
            bench.take("a", 5009, 9),
            Place::New,
            "of the run before: no gap of 5,000"
        );
        assert_eq!(bench.take("a", 20, 90), Place::New);
        assert_eq!(bench.lost(1000), 0);
        // The first numbers of the next run are lost on their way.
        assert_eq!(bench.take("a", 4, 1100), Place::Restart);
        assert_eq!(bench.lost(2000), 3);
    }

    #[test]
    fn a_node_without_times_begins_again_when_it_says_so() {
        let mut sequences = Sequences::default();
        let mut take = |seq, begins| {
            let event = Numbered {
                node: "a",
                seq,
                at: None,
                begins,
            };
            sequences.place(&event, second(0))
        };
        let sent = [(8, false), (1, true), (2, false), (1, true), (1, false)];
        let places: Vec<Place> = sent.into_iter().map(|(seq, begins)| take(seq, begins)).collect();
        let (new, again) = (Place::New, Place::Restart);
        assert_eq!(places, [new, again, new, again, Place::Duplicate]);
    }

    #[test]
    fn great_gaps_and_many_nodes_take_little_memory() {
        let mut bench = Bench::new();
        bench.take("a", 1, 0);
        bench.take("a", u64::MAX, 1);
        assert_eq!(bench.0.nodes["a"].awaited.len(), AWAITED);
        assert_eq!(bench.lost(1), u64::MAX - 2 - 1024);
        assert_eq!(bench.take("a", u64::MAX, 1), Place::Duplicate);
        for node in 0..1000 {
            bench.take(&format!("n{node}"), 1, 2 + node);
        }
        assert_eq!(bench.0.nodes.len(), NODES);
        assert!(bench.0.nodes.contains_key("n999"), "who speaks is remembered");
        assert_eq!(bench.lost(2), 1024, "nobody waits for a node that is forgotten");
    }
}
