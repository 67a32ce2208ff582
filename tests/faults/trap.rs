//! Where the process dies: at a request of a certain sort, or at the n-th of all.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::proxy::{Call, Judge, Verdict, When};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Death {
    /// At the n-th request of this sort, counted from 1.
    At { sort: String, nth: usize, when: When },
    /// At the n-th request, whatever it is.
    Nth { nth: usize, when: When },
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::At { sort, nth, when } => write!(f, "{when:?} {sort} #{nth}"),
            Self::Nth { nth, when } => write!(f, "{when:?} request #{nth}"),
        }
    }
}

/// Counts the requests of one process, and says when it dies.
pub struct Trap(Mutex<State>);

struct State {
    armed: bool,
    death: Option<Death>,
    seen: Vec<String>,
    last: Instant,
}

impl Trap {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            armed: false,
            death: None,
            seen: Vec::new(),
            last: Instant::now(),
        })))
    }

    /// Counts from here on; with a death, until then.
    pub fn arm(&self, death: Option<Death>) {
        *self.0.lock().unwrap() = State {
            armed: true,
            death,
            seen: Vec::new(),
            last: Instant::now(),
        };
    }

    /// It strikes no more.
    pub fn disarm(&self) {
        self.0.lock().unwrap().armed = false;
    }

    /// The requests since it was armed.
    pub fn seen(&self) -> Vec<String> {
        self.0.lock().unwrap().seen.clone()
    }

    pub fn quiet_for(&self) -> Duration {
        self.0.lock().unwrap().last.elapsed()
    }

    /// For requests to the API server, or to Graph and Entra.
    pub fn judge(self: &Arc<Self>, peer: &'static str) -> Judge {
        let trap = self.clone();
        Arc::new(move |call: &Call| trap.treat(peer, call))
    }

    fn treat(&self, peer: &str, call: &Call) -> Verdict {
        // Periodic or endless: they are no step of anything.
        if call.is_lease() || call.is_watch() || call.is_list() {
            return Verdict::Pass;
        }
        let mut state = self.0.lock().unwrap();
        state.last = Instant::now();
        if !state.armed {
            return Verdict::Pass;
        }
        let sort = format!("{peer} {} {}", call.method, plain(&call.path));
        state.seen.push(sort.clone());
        let of_sort = state.seen.iter().filter(|seen| **seen == sort).count();
        let deadly = match &state.death {
            Some(Death::At {
                sort: deadly,
                nth,
                when,
            }) if *deadly == sort && *nth == of_sort => Some(*when),
            Some(Death::Nth { nth, when }) if *nth == state.seen.len() => Some(*when),
            _ => None,
        };
        deadly.map_or(Verdict::Pass, |when| {
            state.armed = false;
            Verdict::Kill(when)
        })
    }
}

/// Without what differs between two runs.
fn plain(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    if let [.., "namespaces", _] = parts[..] {
        return "namespaces/…".to_owned();
    }
    let after_namespace = parts.iter().position(|part| *part == "namespaces").map(|at| at + 2);
    let parts = &parts[after_namespace.unwrap_or(1).min(parts.len() - 1)..];
    let is_event = parts.first() == Some(&"events");
    let plain = parts.iter().enumerate().map(|(at, part)| {
        let is_id = part.len() == 36 && part.matches('-').count() == 4;
        if is_id || is_event && at > 0 { "…" } else { part }
    });
    plain.collect::<Vec<_>>().join("/")
}

#[test]
fn paths_are_told_without_what_differs() {
    let cases = [
        (
            "/apis/teamsgraph.dev/v1alpha1/namespaces/n-1/graphsubscriptions/calls/status",
            "graphsubscriptions/calls/status",
        ),
        ("/apis/events.k8s.io/v1/namespaces/n-1/events/calls.17", "events/…"),
        ("/api/v1/namespaces/n-1", "namespaces/…"),
        (
            "/v1.0/subscriptions/8f0c2d3e-0000-4000-8000-000000000001",
            "v1.0/subscriptions/…",
        ),
        (
            "/11111111-1111-1111-1111-111111111111/oauth2/v2.0/token",
            "…/oauth2/v2.0/token",
        ),
    ];
    for (path, expected) in cases {
        assert_eq!(plain(path), expected);
    }
}
