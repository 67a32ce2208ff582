//! One job: what changed at a resource, less what arrived, goes to the receiver.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

use super::Trouble;
use super::handing::{Bookmark, Handing};
use crate::api::subscription::ChangeType;
use crate::controller::pod::Pod;
use crate::graph::{Graph, Kind};
use crate::policy::backfill::{Change, Found, Job, Window, kind, told};
use crate::policy::backoff::Class;
use crate::policy::resource::{self, Rule};
use crate::policy::truth::{Start, Truth, path};

/// Pages that one job reads.
const MOST_PAGES: usize = 500;
/// Events that one job hands over.
pub const MOST_EVENTS: usize = 10_000;
/// What nobody waits for goes behind what somebody does.
const SWEEP_URGENCY: SignedDuration = SignedDuration::from_hours(1);

/// Everything a job needs.
pub struct Order {
    /// Whom to ask.
    pub graph: Graph,
    /// The receiver's pods. All of them are asked what arrived; the first takes what did not.
    pub pods: Vec<Pod>,
    /// UID of the object.
    pub uid: String,
    /// Id of the remote subscription.
    pub subscription_id: Option<String>,
    /// What is watched.
    pub resource: String,
    /// For which changes.
    pub change_types: Vec<ChangeType>,
    /// The gaps to be filled, or none.
    pub job: Job,
    /// Graph's clock minus this cluster's.
    pub skew: SignedDuration,
    /// How long a sweep waits for notifications that may be on their way.
    pub grace: Duration,
}

/// What is to be handed over, and where to go on next time.
struct Answer {
    changes: Vec<(Change, ChangeType)>,
    link: Option<String>,
}

/// Does it.
pub async fn run(order: &Order, slots: &Semaphore) -> Result<Found, Trouble> {
    let slot = slots.acquire().await.map_err(|_| Trouble::pod("the controller ends"))?;
    let begun = order.graph.now();
    let rule = resource::rule_for(&order.resource);
    let truth = rule.truth.of(&order.resource);
    let handing = Handing::new(order);
    let bookmark = handing.bookmark().await?;
    let since = order.since(bookmark.as_ref(), begun);
    let Some(answer) = order.ask(truth, rule, bookmark.as_ref(), since, begun).await? else {
        // There was nothing to compare with yet.
        handing.keep(&bookmark_at(truth, rule, None, begun)).await?;
        return Ok(order.found(begun, Vec::new(), None));
    };
    let next = bookmark_at(truth, rule, answer.link, begun);
    let judged_from = order.judged_from(since);
    let mut untold = handing.untold(answer.changes, judged_from).await?;
    if order.job.windows.is_empty() && !untold.is_empty() && truth.follows_a_link() {
        drop(slot);
        tokio::time::sleep(order.grace).await;
        let changes = untold.into_iter().map(|(change, kind, _)| (change, kind)).collect();
        untold = handing.untold(changes, judged_from).await?;
    }
    handing.hand_over(&untold, &next).await?;
    let lost = order.lost(&untold, since, begun);
    let changes = untold.iter().map(|(change, _, _)| change).collect();
    Ok(order.found(begun, changes, lost))
}

impl Order {
    fn is_sweep(&self) -> bool {
        self.job.windows.is_empty()
    }

    /// From when on changes are wanted.
    fn since(&self, bookmark: Option<&Bookmark>, begun: Timestamp) -> Timestamp {
        let oldest_gap = self.job.windows.iter().map(|window| window.start).min();
        let swept = bookmark.map_or(begun, |bookmark| bookmark.time);
        let since = oldest_gap.map_or(swept, |oldest| oldest.min(swept));
        // Many objects carry whole seconds.
        Timestamp::from_second(since.as_second()).unwrap_or(since)
    }

    /// Where a change carries no time, an arrival after this tells of it: after a gap, what came since it ended; otherwise
    /// anything that came since Graph was last asked.
    fn judged_from(&self, since: Timestamp) -> Timestamp {
        self.job.windows.iter().map(|window| window.end).max().unwrap_or(since)
    }

    /// Asks Graph. None when nothing can be compared: the first look at something that is followed from here on.
    async fn ask(
        &self,
        truth: Truth,
        rule: &Rule,
        bookmark: Option<&Bookmark>,
        since: Timestamp,
        begun: Timestamp,
    ) -> Result<Option<Answer>, Trouble> {
        let known = bookmark.and_then(|bookmark| bookmark.link.as_deref());
        if truth.follows_a_link() {
            if let Some(link) = known {
                match self.walk(link.to_owned(), since).await {
                    Err(trouble) if trouble.kind == Some(Kind::ResyncRequired) => {}
                    other => return Ok(Some(other?)),
                }
            }
            let first_look = self.is_sweep() && known.is_none();
            if first_look {
                let link = self.begin(truth).await?;
                return Ok(Some(Answer {
                    changes: Vec::new(),
                    link,
                }));
            }
        } else if self.is_sweep() && bookmark.is_none() {
            return Ok(None);
        }
        let Some(first) = truth.first(&self.resource, Start::Since(since)) else {
            return Ok(None);
        };
        let mut answer = self.walk(first, since).await?;
        if self.is_sweep() && !truth.follows_a_link() {
            // What is younger is seen next time, when its notification has had its time.
            let until = begun - SignedDuration::from_mins(rule.latency_minutes);
            answer
                .changes
                .retain(|(change, _)| change.modified.is_none_or(|at| at <= until));
        }
        Ok(Some(answer))
    }

    /// Begins to follow; what is there already is of no interest.
    async fn begin(&self, truth: Truth) -> Result<Option<String>, Trouble> {
        let Some(mut address) = truth.first(&self.resource, Start::Now) else {
            return Ok(None);
        };
        for _ in 0..MOST_PAGES {
            let page = self.graph.changes(&address, self.deadline()).await?;
            match page.next {
                Some(next) => address = next,
                None => return Ok(page.link),
            }
        }
        Err(too_many().into())
    }

    /// All pages from `address` on.
    async fn walk(&self, mut address: String, since: Timestamp) -> Result<Answer, Stop> {
        let mut changes = Vec::new();
        for _ in 0..MOST_PAGES {
            let page = self.graph.changes(&address, self.deadline()).await?;
            let wanted = page.changes.into_iter().filter_map(|change| {
                let kind = kind(&change, &self.change_types, since)?;
                Some((change, kind))
            });
            changes.extend(wanted);
            if changes.len() > MOST_EVENTS {
                return Err(too_many());
            }
            match page.next {
                Some(next) => address = next,
                None => {
                    return Ok(Answer {
                        changes: self.as_notified(changes),
                        link: page.link,
                    });
                }
            }
        }
        Err(too_many())
    }

    /// Notifications of drives and lists are about the whole; what changed in it counts as one change.
    fn as_notified(&self, changes: Vec<(Change, ChangeType)>) -> Vec<(Change, ChangeType)> {
        let truth = resource::rule_for(&self.resource).truth;
        if !matches!(truth, Truth::Delta { whole: true, .. }) {
            return changes;
        }
        let id = path(&self.resource).rsplit('/').next().unwrap_or_default().to_owned();
        let newest = changes.iter().map(|(change, _)| change.modified).max();
        newest.map_or_else(Vec::new, |modified| {
            let whole = Change {
                id,
                odata_type: None,
                created: None,
                modified,
                removed: false,
            };
            vec![(whole, ChangeType::Updated)]
        })
    }

    fn deadline(&self) -> Timestamp {
        let gap = self.job.windows.iter().map(|window| window.end).min();
        gap.unwrap_or_else(|| self.graph.now() + SWEEP_URGENCY)
    }

    /// What a sweep found that should have arrived. What happened before the receivers remember cannot be judged.
    fn lost(&self, untold: &[(Change, ChangeType, bool)], since: Timestamp, begun: Timestamp) -> Option<(Window, i64)> {
        let judged: Vec<_> = untold.iter().filter(|(_, _, judged)| *judged).collect();
        if !self.is_sweep() || judged.is_empty() {
            return None;
        }
        let times = judged.iter().map(|(change, _, _)| change.modified.unwrap_or(since));
        let window = Window {
            start: times.min().unwrap_or(since),
            end: begun,
        };
        Some((window, i64::try_from(judged.len()).unwrap_or(i64::MAX)))
    }

    /// Counts each event for the window it falls into; one without a time, or beside all, for the newest.
    fn found(&self, begun: Timestamp, changes: Vec<&Change>, lost: Option<(Window, i64)>) -> Found {
        let handed = i64::try_from(changes.len()).unwrap_or(i64::MAX);
        let mut filled: Vec<(Window, i64)> = self.job.windows.iter().map(|window| (*window, 0)).collect();
        for change in changes {
            let inside = |window: &Window| change.modified.is_some_and(|at| window.start <= at && at <= window.end);
            let place = filled.iter().position(|(window, _)| inside(window)).unwrap_or(0);
            if let Some((_, events)) = filled.get_mut(place) {
                *events += 1;
            }
        }
        Found {
            begun,
            handed,
            filled,
            lost,
        }
    }

    /// Whether a change was told of, by when an item about it last came.
    pub fn is_told(&self, change: &Change, received: Option<Timestamp>, judged_from: Timestamp) -> bool {
        let received = received.map(|at| at.checked_add(self.skew).unwrap_or(at));
        told(change, received, judged_from)
    }
}

/// Where the next job goes on.
fn bookmark_at(truth: Truth, rule: &Rule, link: Option<String>, begun: Timestamp) -> Bookmark {
    let late = if truth.follows_a_link() {
        0
    } else {
        rule.latency_minutes
    };
    Bookmark {
        link,
        time: begun - SignedDuration::from_mins(late),
    }
}

/// Why a walk ended early.
struct Stop {
    kind: Option<Kind>,
    trouble: Trouble,
}

impl From<crate::graph::Failure> for Stop {
    fn from(failure: crate::graph::Failure) -> Self {
        Self {
            kind: Some(failure.kind.clone()),
            trouble: failure.into(),
        }
    }
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        stop.trouble
    }
}

fn too_many() -> Stop {
    Stop {
        kind: None,
        trouble: Trouble {
            reason: crate::api::condition::Reason::QuotaExceeded,
            message: format!("more than {MOST_EVENTS} changes would have to be handed over"),
            class: Class::Invalid,
        },
    }
}
