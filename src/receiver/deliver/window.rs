//! What a sink has read and not yet delivered: in order within a subscription, independent between subscriptions.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::event::Event;

/// How many undelivered events are held.
const HELD: usize = 1280;
/// How many bytes they may take, but for the event that reaches it.
const HELD_BYTES: usize = 8 << 20;
/// How far ahead of the oldest undelivered event is read. What is delivered within is delivered again after a restart.
const AHEAD: u64 = 10_000;

/// The events of one subscription.
struct Group {
    queue: VecDeque<Arc<Event>>,
    failures: u32,
    refusals: u32,
}

/// Events between the cursor and where the sink has read to.
pub struct Window {
    groups: HashMap<String, Group>,
    outstanding: BTreeSet<u64>,
    bytes: usize,
    read_to: u64,
    ready: VecDeque<String>,
    waiting: BTreeSet<(Instant, String)>,
}

impl Window {
    /// An empty window after a cursor.
    pub fn new(cursor: u64) -> Self {
        Self {
            groups: HashMap::new(),
            outstanding: BTreeSet::new(),
            bytes: 0,
            read_to: cursor,
            ready: VecDeque::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// Everything up to here is settled.
    pub fn cursor(&self) -> u64 {
        self.outstanding.first().map_or(self.read_to, |seq| seq - 1)
    }

    /// Up to where it has read.
    pub fn read_to(&self) -> u64 {
        self.read_to
    }

    /// How many more events it takes.
    pub fn room(&self) -> usize {
        if self.read_to - self.cursor() >= AHEAD {
            return 0;
        }
        HELD.saturating_sub(self.outstanding.len())
    }

    /// How many more bytes it takes; it takes the event that is over it, too.
    pub fn room_bytes(&self) -> usize {
        HELD_BYTES.saturating_sub(self.bytes)
    }

    /// Takes in events that were read, and up to where.
    pub fn fill(&mut self, events: Vec<Event>, read_to: u64) {
        self.read_to = self.read_to.max(read_to);
        for event in events {
            if self.outstanding.insert(event.seq) {
                self.bytes += size(&event);
            }
            let uid = event.record.uid.clone();
            let event = Arc::new(event);
            if let Some(group) = self.groups.get_mut(&uid) {
                group.queue.push_back(event);
                continue;
            }
            self.ready.push_back(uid.clone());
            let queue = VecDeque::from([event]);
            self.groups.insert(
                uid,
                Group {
                    queue,
                    failures: 0,
                    refusals: 0,
                },
            );
        }
    }

    /// The next event to try. Its subscription is busy until it is settled or put off.
    pub fn next(&mut self, now: Instant) -> Option<Arc<Event>> {
        while let Some((at, _)) = self.waiting.first()
            && *at <= now
        {
            let (_, uid) = self.waiting.pop_first()?;
            self.ready.push_back(uid);
        }
        let uid = self.ready.pop_front()?;
        self.groups.get(&uid)?.queue.front().cloned()
    }

    /// When the next put-off subscription is to be tried.
    pub fn wakes(&self) -> Option<Instant> {
        self.waiting.first().map(|(at, _)| *at)
    }

    /// The event is dealt with, even if its subscription was put off.
    pub fn settle(&mut self, event: &Event) {
        if self.outstanding.remove(&event.seq) {
            self.bytes = self.bytes.saturating_sub(size(event));
        }
        let uid = &event.record.uid;
        let Some(group) = self.groups.get_mut(uid) else { return };
        if group.failures > 0 {
            self.waiting.retain(|(_, waiting)| waiting != uid);
        }
        group.queue.pop_front();
        (group.failures, group.refusals) = (0, 0);
        if group.queue.is_empty() {
            self.groups.remove(uid);
        } else {
            self.ready.push_back(uid.clone());
        }
    }

    /// The event's subscription waits.
    pub fn put_off(&mut self, event: &Event, until: Instant) {
        self.waiting.insert((until, event.record.uid.clone()));
    }

    /// Counts a failed attempt of the event's subscription, and says how many there were in a row.
    pub fn failed(&mut self, event: &Event) -> u32 {
        let Some(group) = self.groups.get_mut(&event.record.uid) else {
            return 1;
        };
        group.failures += 1;
        group.failures
    }

    /// Counts a refusal of the event, and says how many there were.
    pub fn refused(&mut self, event: &Event) -> u32 {
        let Some(group) = self.groups.get_mut(&event.record.uid) else {
            return 1;
        };
        group.refusals += 1;
        group.refusals
    }

    /// How often the event failed.
    pub fn failures(&self, event: &Event) -> u32 {
        self.groups.get(&event.record.uid).map_or(0, |group| group.failures)
    }

    /// Whether the event was tried before.
    pub fn is_retry(&self, event: &Event) -> bool {
        self.failures(event) > 0
    }
}

fn size(event: &Event) -> usize {
    event.record.item.get().len() + event.record.uid.len()
}

/// How long to wait after so many failures in a row: doubling, and spread so that many do not come at once.
pub fn backoff(failures: u32, first: Duration, most: Duration) -> Duration {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(most);
    doubled.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::super::super::event::{Kind, Origin, Record};
    use super::*;

    fn event(seq: u64, uid: &str) -> Event {
        event_of(seq, uid, 2)
    }

    fn event_of(seq: u64, uid: &str, bytes: usize) -> Event {
        let record = Record {
            received_millis: 0,
            uid: uid.to_owned(),
            key_id: String::new(),
            origin: Origin::Push,
            subscription_id: None,
            item: RawValue::from_string("7".repeat(bytes)).unwrap(),
        };
        Event {
            seq,
            kind: Kind::Notification,
            record,
        }
    }

    #[test]
    fn a_failing_subscription_holds_back_only_itself_and_the_cursor() {
        let now = Instant::now();
        let mut window = Window::new(10);
        window.fill(vec![event(11, "a"), event(12, "b"), event(13, "a"), event(14, "b")], 15);
        let first = window.next(now).unwrap();
        assert_eq!((first.seq, window.failed(&first)), (11, 1));
        window.put_off(&first, now + Duration::from_secs(5));
        for expected in [12, 14] {
            let event = window.next(now).unwrap();
            assert_eq!(event.seq, expected);
            window.settle(&event);
        }
        assert!(window.next(now).is_none());
        assert_eq!(
            (window.cursor(), window.wakes()),
            (10, Some(now + Duration::from_secs(5)))
        );
        let again = window.next(now + Duration::from_secs(5)).unwrap();
        assert_eq!((again.seq, window.is_retry(&again)), (11, true));
        window.settle(&again);
        assert_eq!(window.cursor(), 12);
        let last = window.next(now).unwrap();
        assert!(!window.is_retry(&last));
        window.settle(&last);
        assert_eq!((last.seq, window.cursor()), (13, 15));
    }

    #[test]
    fn reads_only_so_far_ahead() {
        let mut window = Window::new(0);
        window.fill((1..=1000).map(|seq| event(seq, "a")).collect(), 1000);
        assert_eq!(window.room(), 280);
        let mut window = Window::new(0);
        window.fill(vec![event(1, "a")], AHEAD);
        assert_eq!(window.room(), 0);
    }

    #[test]
    fn holds_only_so_many_bytes_and_one_event_more() {
        let mut window = Window::new(0);
        assert_eq!(window.room_bytes(), HELD_BYTES);
        window.fill(vec![event_of(1, "a", HELD_BYTES - 100), event_of(2, "a", 4 << 20)], 2);
        assert_eq!(window.room_bytes(), 0);
        let first = window.next(Instant::now()).unwrap();
        window.settle(&first);
        assert_eq!(window.room_bytes(), HELD_BYTES - (4 << 20) - 1);
        let second = window.next(Instant::now()).unwrap();
        window.settle(&second);
        assert_eq!(window.room_bytes(), HELD_BYTES);
    }

    #[test]
    fn waits_double_up_to_the_most() {
        let (first, most) = (Duration::from_secs(1), Duration::from_mins(1));
        for (failures, seconds) in [(1, 1.0), (2, 2.0), (3, 4.0), (7, 60.0), (100, 60.0)] {
            let wait = backoff(failures, first, most).as_secs_f64();
            assert!((seconds / 2.0..=seconds).contains(&wait), "{failures}: {wait}");
        }
    }
}
