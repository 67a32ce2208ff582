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
        let mut state = self.lock();
        change(&mut state.lamps);
        let lamps = &state.lamps;
        for (part, lamp) in [
            ("reader", Some(&lamps.reader)),
            ("writer", Some(&lamps.writer)),
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
