//! Calls that ended, by participants who left, each taken once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::get::Getter;
use super::{FAILURE_AGE, STATUS_AGE, pages, wire};
use crate::policy::connector::pexip::calls::{CallEnd, CallRecord, WINDOW};
use crate::policy::connector::pexip::explain::{Known, Logged, explain};
use crate::policy::connector::pexip::routing::Table;
use crate::policy::connector::pexip::{Answer, Uri};

/// Records come into the history some seconds late: so far is looked back each time.
const LATE: SignedDuration = SignedDuration::from_mins(2);
/// How long calls are kept, and the most of them.
pub(super) const KEPT: SignedDuration = SignedDuration::from_mins(20);
pub(super) const MOST: usize = 10_000;

/// The calls of all connectors that ended lately.
#[derive(Default)]
pub(super) struct Feed {
    calls: VecDeque<Call>,
    /// Number of the last call.
    last: u64,
    /// Participants who were read, with their end.
    seen: HashMap<String, Timestamp>,
    asked: Option<(Instant, Answer<()>)>,
}

#[derive(Clone)]
struct Call {
    number: u64,
    connector: Uri,
    known: Known,
}

/// Calls of one connector, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Ended {
    calls: Vec<(u64, Known)>,
    /// Failures that the support log tells and the calls do not, by their numbers in it.
    others: Vec<(u64, CallRecord)>,
    last: u64,
    /// The number of the last line that no longer waits for its call.
    last_logged: u64,
}

impl Ended {
    pub(super) fn records(self) -> Vec<CallRecord> {
        let known = self.calls.into_iter().map(|(_, known)| known.record);
        known.chain(self.others.into_iter().map(|(_, record)| record)).collect()
    }

    /// Those with a higher number.
    pub(super) fn after(&self, number: u64) -> Vec<CallRecord> {
        let later = self.calls.iter().filter(|(its, _)| *its > number);
        later.map(|(_, known)| known.record).collect()
    }

    /// The number of the last call of any connector.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Failures that the support log alone has with a higher number, and the number up to which that was found out.
    pub(super) fn others_after(&self, number: u64) -> (Vec<CallRecord>, u64) {
        let later = self.others.iter().filter(|(its, _)| *its > number);
        (later.map(|(_, record)| *record).collect(), self.last_logged)
    }
}

impl Feed {
    /// Reads what is new, unless that was done a moment ago.
    pub(super) async fn refresh(&mut self, getter: &Getter, routes: &Table, deadline: Instant) -> Answer<()> {
        if let Some((at, answer)) = &self.asked {
            let age = if answer.is_ok() { STATUS_AGE } else { FAILURE_AGE };
            if at.elapsed() < age {
                return answer.clone();
            }
        }
        let answer = self.read(getter, routes, deadline).await;
        self.asked = Some((Instant::now(), answer.clone()));
        answer
    }

    /// The calls of a connector.
    pub(super) fn of(&self, connector: &str) -> Ended {
        let own = self.calls.iter().filter(|call| call.connector == connector);
        Ended {
            calls: own.map(|call| (call.number, call.known.clone())).collect(),
            last: self.last,
            ..Ended::default()
        }
    }

    /// The same, with the errors that the support log has. With `alone`, what belongs to no call is of this connector all the same.
    /// `now` is the time by the clock that wrote the calls.
    pub(super) fn explained(&self, connector: &str, logged: Vec<Logged>, now: Timestamp, alone: bool) -> Ended {
        let (logged, settled) = (self.of_connectors(logged), now - LATE);
        // Those of other connectors too, so that nothing of theirs is taken for this one's.
        let mut calls: Vec<Call> = self.calls.iter().cloned().collect();
        let others = explain(calls.iter_mut().map(|call| &mut call.known), &logged, settled);
        let known = logged.iter().filter(|one| one.at <= settled);
        let own = calls.into_iter().filter(|call| call.connector == connector);
        Ended {
            calls: own.map(|call| (call.number, call.known)).collect(),
            others: if alone { others } else { Vec::new() },
            last: self.last,
            last_logged: known.map(|one| one.number).max().unwrap_or(0),
        }
    }

    /// Without what is logged under the id of a participant whom no rule led to a connector.
    fn of_connectors(&self, mut logged: Vec<Logged>) -> Vec<Logged> {
        let ids = self.calls.iter().flat_map(|call| call.known.ids.iter().flatten());
        let ids: HashSet<&str> = ids.map(AsRef::as_ref).collect();
        let is_elsewhere = |id: &str| self.seen.contains_key(id) && !ids.contains(id);
        logged.retain(|one| !one.call.as_deref().is_some_and(is_elsewhere));
        logged
    }

    /// As if a while had passed.
    #[cfg(test)]
    pub(super) fn forget_when(&mut self) {
        self.asked = None;
    }

    async fn read(&mut self, getter: &Getter, routes: &Table, deadline: Instant) -> Answer<()> {
        let now = getter.now();
        let from = self.from(now).strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let path = ["history", "v1", "participant"];
        let read: Answer<Vec<wire::Participant>> =
            pages::list(getter, &path, &[("end_time__gte", &from)], deadline).await;
        self.take(read?, routes, now);
        Ok(())
    }

    /// Takes participants who left. `now` is the time by the clock that wrote theirs.
    pub(super) fn take(
        &mut self,
        participants: impl IntoIterator<Item = wire::Participant>,
        routes: &Table,
        now: Timestamp,
    ) {
        self.forget(now);
        for participant in participants {
            self.add(participant, routes, now);
        }
    }

    /// From when on the history is asked for.
    fn from(&self, now: Timestamp) -> Timestamp {
        let oldest = now - WINDOW;
        let newest = self.seen.values().max().copied();
        newest
            .map_or(oldest, |newest| (newest - LATE).max(oldest))
            .min(now - LATE)
    }

    fn forget(&mut self, now: Timestamp) {
        let is_recent = |ended: Timestamp| now.duration_since(ended) <= KEPT;
        self.seen.retain(|_, ended| is_recent(*ended));
        self.calls.retain(|call| is_recent(call.known.record.ended));
    }

    fn add(&mut self, participant: wire::Participant, routes: &Table, now: Timestamp) {
        let is_gateway = participant
            .service_type
            .as_deref()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("gateway"));
        let (Some(id), Some(ended), true) = (participant.id, participant.end_time, is_gateway) else {
            return;
        };
        // One that ends in the future would be kept for ever.
        let is_recent = (-LATE..=KEPT).contains(&now.duration_since(ended));
        if !is_recent || self.seen.len() >= MOST || self.seen.insert(id.clone(), ended).is_some() {
            return;
        }
        let alias = participant.local_alias.unwrap_or_default();
        let Some((connector, digits)) = routes.landing(&alias) else {
            return;
        };
        self.last += 1;
        self.calls.push_back(Call {
            number: self.last,
            connector: connector.clone(),
            known: Known {
                record: CallRecord {
                    ended,
                    end: CallEnd::read(participant.disconnect_reason.as_deref().unwrap_or_default()),
                    digits,
                },
                ids: [Some(Arc::from(id)), participant.call_uuid.map(Arc::from)],
            },
        });
    }
}

#[cfg(test)]
mod tests;
