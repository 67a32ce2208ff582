//! What was lost, and whether the operator knows.

use super::faults::GHOST;
use super::world::{State, Sub, at, since_start};
use crate::api::condition::{ConditionType, find};
use crate::api::subscription::{GapState, GraphSubscriptionStatus};
use crate::controller::doubts::TRUST;
use crate::policy::backfill::obstacle;
use crate::policy::truth::Truth;

/// How far a gap's start may be after the loss: the clock is corrected to within five seconds, times are cut to seconds.
const CLOCKS: i64 = 15;
/// A gap ends when the reconcile began that made the new subscription; one lasts at most 90 s.
const RECONCILE: i64 = 95;
/// Life that a subscription has left when it is renewed, at least: a third less a twentieth.
const DUE: f64 = 2.0 / 3.0 + 0.05;

/// From when it can be known that one is missing until it is made again, in seconds, where nothing stands in the way but single
/// calls that fail: tries are up to five minutes apart, and of a hundred thousand some fail four times.
const REPAIR: i64 = 30 * 60;
/// Removed by Graph without a word.
pub const UNTOLD: &str = "removed untold";

fn most_seconds(why: &'static str) -> &'static str {
    match why {
        UNTOLD => "most seconds until a repair, removed untold",
        "removed" => "most seconds until a repair, removed",
        "lapsed" => "most seconds until a repair, lapsed",
        _ => "most seconds until a repair, otherwise",
    }
}

/// A stretch of time without notifications.
#[derive(Clone, Debug)]
pub struct Loss {
    pub start: i64,
    pub end: i64,
    pub why: &'static str,
}

/// A gap as it was last seen in a status.
#[derive(Clone, Debug)]
pub struct Seen {
    pub cause: String,
    pub start: i64,
    pub end: Option<i64>,
    pub state: GapState,
}

impl State {
    /// A subscription ran out.
    pub fn expired(&mut self, number: usize, remote: &super::world::Remote) {
        let sub = &self.subs[number];
        if !sub.remote.is_empty() {
            return;
        }
        if sub.known_id() != Some(&remote.id) {
            // One whose create's answer was lost, for instance.
            self.lose(number, remote.expires, "unknown one lapsed");
            return;
        }
        let life = remote.expires - remote.renewed;
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
        let due = remote.renewed + (life as f64 * DUE) as i64;
        let usable = self.apps[sub.app].usable_for(due, remote.expires);
        let status = sub.object.status.as_ref();
        let planned = status.and_then(|status| status.renewal_time.as_ref());
        let text = format!(
            "{} ({}) lapsed at {} s; it was due at {due} s, and Graph was there for {usable} s of the {} s between; renewal planned at {:?} s, {:?}",
            sub.object.spec.resource,
            remote.id,
            remote.expires,
            remote.expires - due,
            planned.map(|at| since_start(at.0)),
            status.and_then(|status| status.failure.as_ref()),
        );
        self.count("lapses");
        if usable >= (15 * 60).min((remote.expires - due) / 4) {
            self.violation(text);
        } else if self.lapses.len() < 20 {
            self.lapses.push(text);
        }
        self.lose(number, remote.expires, "lapsed");
    }

    /// From now on notifications are missing.
    pub fn lose(&mut self, number: usize, now: i64, why: &'static str) {
        let sub = &mut self.subs[number];
        if sub.missing.is_none() && sub.remote.is_empty() {
            sub.missing = Some((now, why));
            sub.change(now + 1);
        }
    }

    /// There is one again.
    pub fn regain(&mut self, number: usize, now: i64) {
        let sub = &mut self.subs[number];
        let Some((start, why)) = sub.missing.take() else {
            return;
        };
        sub.lost(start, now, why);
        let mendable = self.apps[sub.app].mendable_for(start, now);
        let most = self.totals.entry(most_seconds(why)).or_default();
        *most = (*most).max(mendable.unsigned_abs());
        if mendable > self.longest(why) {
            let sub = &self.subs[number];
            let text = format!(
                "{} was missing ({why}) from {start} to {now} s, and could have been made for {mendable} s of these",
                sub.object.spec.resource
            );
            self.violation(text);
        }
    }

    /// For how many seconds a subscription may be missing while it could be made. What nobody tells of, the list shows, when it has
    /// been read again, unless the subscription was doubted and turned out to live just before.
    fn longest(&self, why: &str) -> i64 {
        let read = i64::try_from(self.scale.interval.as_secs()).unwrap();
        let seen = if why == UNTOLD {
            GHOST.max(TRUST.as_secs()) + 2 * read
        } else {
            0
        };
        seen + REPAIR
    }

    /// A status is written.
    pub fn written(&mut self, number: usize, status: &GraphSubscriptionStatus) {
        let sub = &mut self.subs[number];
        let mut news = Vec::new();
        for gap in &status.gaps {
            let start = since_start(gap.start.0);
            let end = gap.end.as_ref().map(|end| since_start(end.0));
            // Several may begin at the same sign of life.
            let known = sub.seen.iter_mut().find(|seen| {
                (seen.start, &seen.cause) == (start, &gap.cause) && (seen.end.is_none() || seen.end == end)
            });
            let before = known.as_ref().map(|seen| seen.state);
            match known {
                Some(seen) => (seen.end, seen.state) = (end, gap.state),
                None => sub.seen.push(Seen {
                    cause: gap.cause.clone(),
                    start,
                    end,
                    state: gap.state,
                }),
            }
            if before.is_none() {
                news.push("gaps recorded");
            }
            if before != Some(gap.state) {
                match gap.state {
                    GapState::Pending => {}
                    GapState::Backfilled => news.push("gaps filled"),
                    GapState::CannotBackfill => news.push("gaps that cannot be filled"),
                }
            }
        }
        for what in news {
            self.count(what);
        }
    }

    /// What must hold when all is calm.
    pub fn judge(&mut self, now: i64) {
        for number in 0..self.subs.len() {
            self.remotes(number, now);
            for text in self.subs[number].faults(now) {
                self.violation(text);
            }
        }
    }
}

impl Sub {
    /// Something changes that nobody is told of.
    pub fn change(&mut self, at: i64) {
        self.changes.push((format!("c{}", self.changes.len()), at));
    }

    pub fn lost(&mut self, start: i64, end: i64, why: &'static str) {
        self.change((end - 1).max(start + 1));
        self.losses.push(Loss { start, end, why });
    }

    fn faults(&self, now: i64) -> Vec<String> {
        let name = &self.object.spec.resource;
        let mut faults = Vec::new();
        let mut say = |text: String| faults.push(format!("{name}: {text}"));
        let Some(status) = &self.object.status else {
            say("it has no status".to_owned());
            return faults;
        };
        match &self.remote[..] {
            [remote] => {
                let expires = status.expiration_time.as_ref().map(|time| since_start(time.0));
                if self.known_id() != Some(&remote.id) || expires != Some(remote.expires) {
                    say(format!(
                        "the status has {:?} until {expires:?}, Graph {remote:?}",
                        self.known_id()
                    ));
                }
            }
            remotes => say(format!("{} live subscriptions at the end: {remotes:?}", remotes.len())),
        }
        if status.failure.is_some() || status.create_pending_since.is_some() {
            say(format!(
                "unsettled: {:?} {:?}",
                status.failure, status.create_pending_since
            ));
        }
        for loss in &self.losses {
            if !self.covers(loss) {
                say(format!(
                    "a loss ({}, {} to {} s) is not on record; there are {:?}",
                    loss.why, loss.start, loss.end, self.seen
                ));
            }
        }
        let open = self
            .seen
            .iter()
            .filter(|seen| seen.end.is_none() || seen.state == GapState::Pending);
        for seen in open {
            say(format!("a gap is not settled: {seen:?} at {}", at(now)));
        }
        let fillable = obstacle(&self.object.spec).is_none();
        let free = find(&status.conditions, ConditionType::GapFree).is_some_and(|condition| condition.status == "True");
        let unfilled = status.gaps.iter().any(|gap| gap.state != GapState::Backfilled);
        if free == unfilled || fillable && !free {
            say(format!("GapFree is {free} with {:?}", status.gaps));
        }
        if status
            .gaps
            .iter()
            .any(|gap| gap.state == GapState::CannotBackfill && gap.outcome.is_empty())
        {
            say("a gap that cannot be filled does not say why".to_owned());
        }
        if fillable {
            faults.extend(self.untold().map(|text| format!("{name}: {text}")));
        }
        faults
    }

    /// Whether gaps on record span a loss together.
    fn covers(&self, loss: &Loss) -> bool {
        let mut seen: Vec<_> = self
            .seen
            .iter()
            .map(|seen| (seen.start, seen.end.unwrap_or(i64::MAX)))
            .collect();
        seen.sort_unstable();
        let mut reached = loss.start;
        for (start, end) in seen {
            if start <= reached + CLOCKS {
                reached = reached.max(end);
            }
        }
        reached + RECONCILE >= loss.end
    }

    /// Changes that never reached the receiver.
    fn untold(&self) -> Option<String> {
        let whole = matches!(
            self.rule.truth,
            Truth::Delta { whole: true, .. } | Truth::DeltaOfOne | Truth::State
        );
        let newest = self.handed.values().max();
        let missing = self.changes.iter().find(|(id, at)| {
            let handed = if whole { newest } else { self.handed.get(id) };
            handed.is_none_or(|handed| handed < at)
        });
        missing.map(|change| {
            format!(
                "the receiver was never told of {change:?}; losses: {:?}, on record: {:?}",
                self.losses, self.seen
            )
        })
    }
}
