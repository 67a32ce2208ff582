//! What the parts of the worker say about themselves, for the report.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::metrics::Metrics;
use crate::api::presence_report::{AccountReport, Lamp, LastTimes};

/// The parts that are no endpoint of the PBX.
#[derive(Clone, Debug)]
pub struct Lamps {
    /// The app that reads.
    pub reader: Lamp,
    /// The app that writes.
    pub writer: Lamp,
    /// Presence by polling; `None` when nothing polls.
    pub polling: Option<Lamp>,
    /// The receiver's pull API; `None` without push.
    pub receiver: Option<Lamp>,
    /// The volume.
    pub storage: Lamp,
    /// The people.
    pub directory: Lamp,
    /// Their licences.
    pub licences: Lamp,
}

/// What is on the board.
#[derive(Clone, Debug)]
pub struct State {
    /// How the parts stand.
    pub lamps: Lamps,
    /// The communication accounts, by name.
    pub accounts: BTreeMap<String, AccountReport>,
    /// When things last went well.
    pub last: LastTimes,
    /// How pulling from each pod of the receiver goes, by its address.
    pulls: BTreeMap<String, Lamp>,
}

/// The board. Cheap to clone.
#[derive(Clone)]
pub struct Board {
    state: Arc<Mutex<State>>,
    metrics: Arc<Metrics>,
}

impl Board {
    /// A board on which nothing is known yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let dark = |message| Lamp::dark(message);
        let lamps = Lamps {
            reader: dark("not signed in yet"),
            writer: dark("nothing was written yet"),
            polling: None,
            receiver: None,
            storage: Lamp::green("what is written is remembered"),
            directory: dark("the users of the tenant were not read yet"),
            licences: dark("licences were not read yet"),
        };
        Self {
            state: Arc::new(Mutex::new(State {
                lamps,
                accounts: BTreeMap::new(),
                last: LastTimes::default(),
                pulls: BTreeMap::new(),
            })),
            metrics,
        }
    }

    /// Everything as it is now.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// Changes lamps.
    pub fn lamps(&self, change: impl FnOnce(&mut Lamps)) {
        self.change(|state| change(&mut state.lamps));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let lamps = &state.lamps;
        for (part, lamp) in [
            ("reader", Some(&lamps.reader)),
            ("receiver", lamps.receiver.as_ref()),
            ("storage", Some(&lamps.storage)),
            ("directory", Some(&lamps.directory)),
            ("licences", Some(&lamps.licences)),
        ] {
            if let Some(lamp) = lamp {
                self.metrics.lamp(part, lamp);
            }
        }
    }

    /// How pulling from the pod at this address goes. The receiver is as well as the worst of its pods: what lies there, nobody
    /// else tells.
    pub fn pull(&self, url: &str, lamp: Lamp) {
        self.change(|state| {
            state.pulls.insert(url.to_owned(), lamp);
            let rank = |lamp: &&Lamp| match lamp.ok {
                Some(false) => 0,
                None => 1,
                Some(true) => 2,
            };
            state.lamps.receiver = state.pulls.values().min_by_key(rank).cloned();
        });
    }

    /// Something went well.
    pub fn went_well(&self, now: Timestamp, field: impl FnOnce(&mut LastTimes) -> &mut Option<Timestamp>) {
        *field(&mut self.lock().last) = Some(now);
    }

    /// An account's state.
    pub fn account(&self, report: AccountReport) {
        let (name, expires) = (report.shard.account.clone(), report.shard.expiration_time.as_ref());
        self.metrics.expiry(&name, expires.map(|time| time.0));
        self.lock().accounts.insert(name, report);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::api::presence_report::Fault;

    #[test]
    fn a_healthy_pod_of_the_receiver_does_not_hide_a_dead_one() {
        let board = Board::new(Arc::new(Metrics::new(&Registry::new()).unwrap()));
        let receiver = || board.state().lamps.receiver.unwrap();
        let green = || Lamp::green("pulled");
        board.pull("http://a", Lamp::dark("nothing was pulled yet"));
        board.pull("http://b", green());
        assert_eq!(receiver().ok, None);
        board.pull("http://a", Lamp::red(Fault::ReceiverUnavailable, "it does not answer"));
        board.pull("http://b", green());
        assert_eq!(receiver().fault, Some(Fault::ReceiverUnavailable));
        board.pull("http://a", green());
        assert!(receiver().is_green());
    }
}
