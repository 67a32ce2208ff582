//! What goes wrong on the way to the API server, and how often.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::proxy::{Call, Judge, Meddler, Verdict};

/// Part of the requests that are refused.
const REFUSED: f64 = 0.25;
/// Part of the events that are lost.
const LOST: f64 = 0.3;
/// The longest that an event is late, in milliseconds; those behind it wait with it.
const LATE_MS: u64 = 600;
/// How long a list takes.
const SLOW: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    LateEvents,
    RepeatedEvents,
    LostEvents,
    Conflicts,
    TooManyRequests,
    Unavailable,
    SlowLists,
    /// The leader hears nothing for longer than its lease, and is told nothing.
    Silence,
    /// The leader's connections are closed, for longer than its lease.
    Cut,
}

impl Fault {
    pub const ALL: [Self; 9] = [
        Self::LateEvents,
        Self::RepeatedEvents,
        Self::LostEvents,
        Self::Conflicts,
        Self::TooManyRequests,
        Self::Unavailable,
        Self::SlowLists,
        Self::Silence,
        Self::Cut,
    ];
}

pub struct Weather {
    faults: Vec<Fault>,
    random: Mutex<fastrand::Rng>,
    calm: AtomicBool,
    struck: AtomicUsize,
}

impl Weather {
    pub fn new(faults: Vec<Fault>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            faults,
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            calm: AtomicBool::new(false),
            struck: AtomicUsize::new(0),
        })
    }

    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// From here on nothing goes wrong any more.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::SeqCst);
    }

    /// How many requests and events had something happen to them.
    pub fn struck(&self) -> usize {
        self.struck.load(Ordering::SeqCst)
    }

    pub fn judge(self: &Arc<Self>) -> Judge {
        let weather = self.clone();
        let meddler: Meddler = Arc::new(move |event: &Value| weather.deliver(event));
        let weather = self.clone();
        Arc::new(move |call: &Call| weather.treat(call, &meddler))
    }

    fn treat(&self, call: &Call, meddler: &Meddler) -> Verdict {
        let refusals = [
            // Only a write to what exists can conflict.
            (Fault::Conflicts, 409, ["PUT", "PATCH"].contains(&call.method.as_str())),
            (Fault::TooManyRequests, 429, true),
            (Fault::Unavailable, 503, true),
        ];
        for (fault, status, concerns) in refusals {
            if concerns && self.strikes(fault, REFUSED) {
                return Verdict::Refuse(status);
            }
        }
        if call.is_list() && self.strikes(Fault::SlowLists, 1.0) {
            return Verdict::Delay(SLOW);
        }
        if call.is_watch() {
            return Verdict::Meddle(meddler.clone());
        }
        Verdict::Pass
    }

    fn deliver(&self, event: &Value) -> Vec<Duration> {
        let told = ["ADDED", "MODIFIED", "DELETED"]
            .iter()
            .any(|sort| event["type"] == *sort);
        if !told {
            return vec![Duration::ZERO];
        }
        if self.strikes(Fault::LostEvents, LOST) {
            return Vec::new();
        }
        let late = if self.strikes(Fault::LateEvents, 0.5) {
            self.random.lock().unwrap().u64(..LATE_MS)
        } else {
            0
        };
        let copies = if self.strikes(Fault::RepeatedEvents, 0.5) { 2 } else { 1 };
        vec![Duration::from_millis(late); copies]
    }

    fn strikes(&self, fault: Fault, part: f64) -> bool {
        let strikes = self.has(fault) && !self.calm.load(Ordering::SeqCst) && self.random.lock().unwrap().f64() < part;
        if strikes {
            self.struck.fetch_add(1, Ordering::SeqCst);
        }
        strikes
    }
}
