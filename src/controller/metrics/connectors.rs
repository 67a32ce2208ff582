//! Metrics of the connectors: of their statuses, and of what the last looks found. None outlives its object; what is not known is
//! absent.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use kube::runtime::reflector::Store;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::objects::{head, owner, series};
use crate::api::connector::TeamsConnectorHealth;
use crate::controller::connector::{Part, Shown};
use crate::probe::pexip::Counts;

mod families;

use families::{FAMILIES, Family, Seen};

/// Objects whose series make one piece.
const PIECE: usize = 200;

/// What metrics show of the connectors, by UID.
#[derive(Clone, Default)]
pub struct Board(Arc<Mutex<HashMap<String, Arc<Shown>>>>);

impl Board {
    /// What is shown of one.
    pub fn get(&self, uid: &str) -> Option<Arc<Shown>> {
        self.lock().get(uid).cloned()
    }

    /// Shows this of one.
    pub fn put(&self, uid: &str, shown: Shown) {
        self.lock().insert(uid.to_owned(), Arc::new(shown));
    }

    /// Shows nothing of one any more.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Shows nothing of any but these.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.lock().retain(|uid, _| uids.contains(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Shown>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks of this process.
#[derive(Clone)]
pub struct Looks {
    on_time: IntCounter,
    late: IntCounter,
    seconds: HistogramVec,
    /// Requests to the APIs of connectors, by API and status code.
    pub requests: IntCounterVec,
    /// What Pexip's nodes push.
    pub feeds: Counts,
}

impl Looks {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let begun = IntCounterVec::new(
            Opts::new(
                "teams_connector_looks_total",
                "Looks at connectors, by whether they began within a tenth of the interval after their time (on_time, late).",
            ),
            &["result"],
        )?;
        let looks = Self {
            on_time: begun.with_label_values(&["on_time"]),
            late: begun.with_label_values(&["late"]),
            seconds: HistogramVec::new(
                HistogramOpts::new(
                    "teams_connector_probe_duration_seconds",
                    "Time a probe of a connector took, by kind of probe.",
                )
                .buckets(vec![0.01, 0.05, 0.1, 0.5, 1.0, 3.0, 10.0, 30.0]),
                &["probe"],
            )?,
            requests: IntCounterVec::new(
                Opts::new(
                    "teams_connector_api_requests_total",
                    "Requests to the APIs of connectors, by API and status code, or what failed.",
                ),
                &["api", "code"],
            )?,
            feeds: Counts {
                events: IntCounterVec::new(
                    Opts::new(
                        "teams_connector_feed_events_total",
                        "What Pexip's nodes pushed, by feed (event_sink, syslog) and what came of it: call is what counts.",
                    ),
                    &["feed", "result"],
                )?,
                gaps: IntCounterVec::new(
                    Opts::new(
                        "teams_connector_feed_gap_events_total",
                        "Events of Pexip's nodes that did not come, by the numbers of those that did.",
                    ),
                    &["feed"],
                )?,
            },
        };
        registry.register(Box::new(begun))?;
        registry.register(Box::new(looks.seconds.clone()))?;
        registry.register(Box::new(looks.requests.clone()))?;
        registry.register(Box::new(looks.feeds.events.clone()))?;
        registry.register(Box::new(looks.feeds.gaps.clone()))?;
        Ok(looks)
    }

    /// A look began.
    pub fn began(&self, late: bool) {
        let counter = if late { &self.late } else { &self.on_time };
        counter.inc();
    }

    /// A part of it took so long.
    pub fn took(&self, part: &Part) {
        let seconds = part.took.as_secs_f64();
        self.seconds.with_label_values(&[part.probe]).observe(seconds);
    }
}

/// All series of all connectors, in pieces. The series of a name stand together.
pub fn pieces(store: &Store<TeamsConnectorHealth>, board: &Board) -> impl Iterator<Item = String> + Send + use<> {
    let all: Vec<(Arc<TeamsConnectorHealth>, Option<Arc<Shown>>)> = store
        .state()
        .into_iter()
        .map(|object| {
            let shown = object.uid().and_then(|uid| board.get(&uid));
            (object, shown)
        })
        .collect();
    let all = Arc::new(all);
    FAMILIES.iter().flat_map(move |family| {
        let all = all.clone();
        let lines = (0..all.len()).step_by(PIECE).map(move |start| {
            let mut text = String::new();
            for (object, shown) in all.iter().skip(start).take(PIECE) {
                let seen = Seen {
                    object,
                    shown: shown.as_deref(),
                };
                write(family, &seen, &mut text);
            }
            text
        });
        let gauge = head(family.name, family.help);
        let head = gauge.replace(" gauge\n", &format!(" {}\n", family.type_));
        std::iter::once(head).chain(lines)
    })
}

fn write(family: &Family, seen: &Seen<'_>, text: &mut String) {
    let owner = owner(seen.object);
    for (labels, value) in (family.lines)(seen) {
        let own = labels.iter().map(|(name, value)| (*name, value.as_str()));
        let labels: Vec<(&str, &str)> = owner.into_iter().chain(own).collect();
        series(text, family.name, &labels, value);
    }
}

#[cfg(test)]
mod tests;
