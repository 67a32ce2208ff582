//! Requests that wait for their answer (RFC 3261 section 17.1.2): repeated over UDP, given up after a time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Leaving, Package, User};
use crate::presence::adapters::sip::digest::Asker;

/// First wait before a request is repeated over UDP; it doubles (timer E).
const T1: Duration = Duration::from_millis(500);
/// Longest wait between repetitions.
const T2: Duration = Duration::from_secs(4);
/// How long an answer is waited for (timer F).
pub(super) const PATIENCE: Duration = Duration::from_secs(32);

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Whether the server is there.
    Probe,
    /// A subscription is made or refreshed.
    Subscribe(User, Package),
    /// A subscription is ended. Nobody waits for it.
    Leave(Box<Leaving>),
    /// An own entry is made, changed, refreshed or taken back.
    Publish(User),
}

impl Purpose {
    /// A metric label.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Subscribe(..) => "subscribe",
            Self::Leave(_) => "unsubscribe",
            Self::Publish(_) => "publish",
        }
    }
}

/// What a request is sent for.
#[derive(Debug)]
pub(super) struct Errand {
    /// The purpose.
    pub(super) purpose: Purpose,
    /// How often proof was given.
    pub(super) proofs: Proofs,
    /// How long an answer is waited for.
    pub(super) patience: Duration,
}

impl Errand {
    /// With the usual patience.
    pub(super) fn new(purpose: Purpose, proofs: Proofs) -> Self {
        Self {
            purpose,
            proofs,
            patience: PATIENCE,
        }
    }
}

/// How often proof was given on one errand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Proofs {
    server: u8,
    proxy: u8,
}

impl Proofs {
    /// None so far: the errand begins.
    pub(super) const NONE: Self = Self { server: 0, proxy: 0 };
    /// Most proofs to one asker: the nonce may have been old, and old again.
    const MOST: u8 = 3;

    /// One more, unless the last one was refused. `stale`: only because the nonce was old.
    pub(super) fn another(mut self, asker: Asker, stale: bool) -> Option<Self> {
        let given = match asker {
            Asker::Server => &mut self.server,
            Asker::Proxy => &mut self.proxy,
        };
        let refused = *given > 0 && !stale || *given >= Self::MOST;
        *given += 1;
        (!refused).then_some(self)
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Exchange {
    /// What it is for.
    pub(super) purpose: Purpose,
    /// When it was first sent.
    pub(super) began: Instant,
    /// How often proof was given on this errand.
    pub(super) proofs: Proofs,
    call_id: String,
    bytes: Vec<u8>,
    wait: Duration,
    repeat: Option<Instant>,
    end: Instant,
}

/// What is to be done with a request whose moment has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Send it again, and look again then.
    Repeat(Vec<u8>, Instant),
    /// Nobody answers the request of this purpose and `Call-ID`.
    GiveUp(Purpose, String),
}

/// All requests under way over one connection.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    open: HashMap<u64, Exchange>,
    last: u64,
    prefix: String,
    datagrams: bool,
}

impl Exchanges {
    /// For a new connection; `random` makes its names differ from those of others.
    pub(super) fn new(random: &str, datagrams: bool) -> Self {
        Self {
            prefix: format!("z9hG4bK{random}-"),
            datagrams,
            ..Self::default()
        }
    }

    /// How many are under way.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether it is being asked whether the server is there.
    pub(super) fn is_probing(&self) -> bool {
        self.open.values().any(|exchange| exchange.purpose == Purpose::Probe)
    }

    /// Whether subscriptions are being ended.
    pub(super) fn is_leaving(&self) -> bool {
        let mut purposes = self.open.values().map(|exchange| &exchange.purpose);
        purposes.any(|purpose| matches!(purpose, Purpose::Leave(_)))
    }

    /// The number of the next request, and its branch.
    pub(super) fn name(&mut self) -> (u64, String) {
        self.last += 1;
        (self.last, format!("{}{:x}", self.prefix, self.last))
    }

    /// Begins to wait; returns when to look.
    pub(super) fn begin(&mut self, id: u64, errand: Errand, call_id: &str, bytes: &[u8], now: Instant) -> Instant {
        let repeat = self.datagrams.then(|| now + T1);
        let end = now + errand.patience;
        let exchange = Exchange {
            purpose: errand.purpose,
            began: now,
            proofs: errand.proofs,
            call_id: call_id.to_owned(),
            // A stream repeats nothing.
            bytes: if self.datagrams { bytes.to_vec() } else { Vec::new() },
            wait: T1,
            repeat,
            end,
        };
        self.open.insert(id, exchange);
        repeat.map_or(end, |repeat| repeat.min(end))
    }

    /// The number in a branch, if it is one of ours.
    pub(super) fn find(&self, branch: &str) -> Option<u64> {
        let id = u64::from_str_radix(branch.strip_prefix(&self.prefix)?, 16).ok()?;
        self.open.contains_key(&id).then_some(id)
    }

    /// The server has it and works on it: it is repeated less often.
    pub(super) fn provisional(&mut self, id: u64) {
        if let Some(exchange) = self.open.get_mut(&id) {
            exchange.wait = T2;
        }
    }

    /// The answer is there.
    pub(super) fn end(&mut self, id: u64) -> Option<Exchange> {
        self.open.remove(&id)
    }

    /// The moment of a request has come.
    pub(super) fn overdue(&mut self, id: u64, now: Instant) -> Option<Overdue> {
        let exchange = self.open.get_mut(&id)?;
        if exchange.end <= now || exchange.repeat.is_none() {
            let exchange = self.open.remove(&id)?;
            return Some(Overdue::GiveUp(exchange.purpose, exchange.call_id));
        }
        exchange.wait = (exchange.wait * 2).min(T2);
        let next = (now + exchange.wait).min(exchange.end);
        exchange.repeat = Some(next);
        Some(Overdue::Repeat(exchange.bytes.clone(), next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(datagrams: bool, now: Instant) -> (Exchanges, u64, Instant) {
        let mut exchanges = Exchanges::new("r", datagrams);
        let (id, branch) = exchanges.name();
        assert_eq!(branch, "z9hG4bKr-1");
        let look = exchanges.begin(id, Errand::new(Purpose::Probe, Proofs::NONE), "c", b"OPTIONS", now);
        assert!(exchanges.is_probing());
        (exchanges, id, look)
    }

    #[test]
    fn datagrams_are_repeated_ever_less_often() {
        let start = Instant::now();
        let (mut exchanges, id, mut look) = begun(true, start);
        let mut sent = Vec::new();
        loop {
            sent.push(look.duration_since(start).as_millis());
            match exchanges.overdue(id, look) {
                Some(Overdue::Repeat(bytes, next)) => {
                    assert_eq!(bytes, b"OPTIONS");
                    look = next;
                }
                other => {
                    assert_eq!(other, Some(Overdue::GiveUp(Purpose::Probe, "c".to_owned())));
                    break;
                }
            }
        }
        let expected = [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500, 32000];
        assert_eq!(sent, expected);
        assert_eq!(exchanges.len(), 0);
    }

    #[test]
    fn proof_is_given_once_unless_the_nonce_was_old() {
        let first = Proofs::NONE.another(Asker::Server, false).unwrap();
        assert_eq!(first.another(Asker::Server, false), None);
        let both = first.another(Asker::Proxy, false).unwrap();
        assert_eq!(both.another(Asker::Proxy, false), None);
        let second = both.another(Asker::Server, true).unwrap();
        let third = second.another(Asker::Server, true).unwrap();
        assert_eq!(third.another(Asker::Server, true), None);
    }

    #[test]
    fn streams_are_not_repeated() {
        let start = Instant::now();
        let (mut exchanges, id, look) = begun(false, start);
        assert_eq!(look, start + PATIENCE);
        let given_up = Overdue::GiveUp(Purpose::Probe, "c".to_owned());
        assert_eq!(exchanges.overdue(id, look), Some(given_up));
        assert_eq!(exchanges.overdue(id, look), None);
    }

    #[test]
    fn only_own_branches_are_found() {
        let (mut exchanges, id, _) = begun(true, Instant::now());
        assert_eq!(exchanges.find("z9hG4bKr-1"), Some(id));
        for other in ["z9hG4bKr-2", "z9hG4bKs-1", "z9hG4bKr-", "z9hG4bKr-x", ""] {
            assert_eq!(exchanges.find(other), None, "{other}");
        }
        assert!(exchanges.end(id).is_some());
        assert_eq!(exchanges.find("z9hG4bKr-1"), None);
    }
}
