//! One job: what changed at a resource, less what arrived, goes to the receiver.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

use super::Trouble;
use super::handing::{Bookmark, Handing, Untold};
use crate::api::condition::Reason;
use crate::api::subscription::ChangeType;
use crate::controller::pod::Pod;
use crate::graph::{ChangePage, Failure, Graph, Kind};
use crate::policy::backfill::{Change, Found, Job, Window, kind};
use crate::policy::backoff::Class;
use crate::policy::resource::{self, Rule};
use crate::policy::truth::{Start, Truth, path};

/// How long one job may take once it has a slot.
const LIMIT: Duration = Duration::from_mins(30);
/// Pages that one job reads.
const MOST_PAGES: usize = 500;
/// Events that one job hands over.
pub const MOST_EVENTS: usize = 10_000;
/// What nobody waits for goes behind what somebody does.
const SWEEP_URGENCY: SignedDuration = SignedDuration::from_hours(1);
/// Pauses that Microsoft asks for within one question.
const MOST_PAUSES: usize = 10;
const USUAL_PAUSE: Duration = Duration::from_secs(30);

/// Everything a job needs.
pub struct Order {
    /// Whom to ask.
    pub graph: Graph,
    /// Of the app and the resource: a link of another one is of no use.
    pub basis: String,
    /// The receiver's pods. All of them are asked what arrived; the first that can takes what did not.
    pub pods: Vec<Pod>,
    /// Since when there are not fewer pods: what others knew went with them.
    pub pods_since: Timestamp,
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
    /// How long a sweep waits for notifications that may be on their way.
    pub grace: Duration,
}

/// What did not arrive, and where to go on next time.
#[derive(Default)]
struct Answer {
    untold: Vec<Untold>,
    link: Option<String>,
}

/// Does it, when a slot is free.
pub async fn run(order: &Order, slots: &Semaphore) -> Result<Found, Trouble> {
    let slot = slots.acquire().await.map_err(|_| Trouble::pod("the controller ends"))?;
    let handing = Handing::new(order);
    let asked = tokio::time::timeout(LIMIT, order.ask_and_compare(&handing)).await;
    let (begun, since, answer) = asked.unwrap_or_else(|_| Err(slow()))?;
    drop(slot);
    let (rule, truth) = order.truth();
    let next = bookmark_at(truth, rule, answer.link, begun);
    let mut untold = answer.untold;
    if order.is_sweep() && !untold.is_empty() && truth.follows_a_link() {
        tokio::time::sleep(order.grace).await;
        let judged: Vec<bool> = untold.iter().map(|(_, _, judged)| *judged).collect();
        let changes = untold.into_iter().map(|(change, kind, _)| (change, kind)).zip(judged);
        let mut still = Vec::new();
        for (change, judged) in changes {
            let left = handing
                .untold(vec![change], since, order.judged_from(since, rule))
                .await?;
            still.extend(
                left.into_iter()
                    .map(|(change, kind, known)| (change, kind, known && judged)),
            );
        }
        untold = still;
    }
    handing.hand_over(&untold, &next).await?;
    let lost = order.lost(&untold, since, begun);
    let changes = untold.iter().map(|(change, _, _)| change).collect();
    Ok(order.found(begun, changes, lost))
}

impl Order {
    fn truth(&self) -> (&'static Rule, Truth) {
        let rule = resource::rule_for(&self.resource);
        (rule, rule.truth.of(&self.resource))
    }

    fn is_sweep(&self) -> bool {
        self.job.windows.is_empty()
    }

    async fn ask_and_compare(&self, handing: &Handing<'_>) -> Result<(Timestamp, Timestamp, Answer), Trouble> {
        let bookmark = handing.bookmark().await?;
        let begun = self.graph.now();
        let since = self.since(bookmark.as_ref(), begun);
        match self.ask(handing, bookmark.as_ref(), since, begun).await {
            Ok(answer) => Ok((begun, since, answer)),
            Err(Stop::TooMany) => {
                // What the link leads to would only grow.
                self.follow_anew(handing).await?;
                Err(too_many(Window {
                    start: since,
                    end: begun,
                }))
            }
            Err(Stop::Failed(_, trouble)) => Err(trouble),
        }
    }

    /// From when on changes are wanted.
    fn since(&self, bookmark: Option<&Bookmark>, begun: Timestamp) -> Timestamp {
        let oldest_gap = self.job.windows.iter().map(|window| window.start).min();
        let swept = bookmark.map_or(begun, |bookmark| bookmark.time.min(begun));
        let since = oldest_gap.map_or(swept, |oldest| oldest.min(swept));
        // Many objects carry whole seconds.
        Timestamp::from_second(since.as_second()).unwrap_or(since)
    }

    /// Where a change carries no time, an arrival after this tells of it: after a gap, what came since it ended; otherwise what
    /// came since Graph was last asked, when it may not have known of the change yet.
    fn judged_from(&self, since: Timestamp, rule: &Rule) -> Timestamp {
        let ended = self.job.windows.iter().map(|window| window.end).max();
        ended.unwrap_or_else(|| since - SignedDuration::from_mins(rule.latency_minutes))
    }

    /// Asks Graph.
    async fn ask(
        &self,
        handing: &Handing<'_>,
        bookmark: Option<&Bookmark>,
        since: Timestamp,
        begun: Timestamp,
    ) -> Result<Answer, Stop> {
        let (rule, truth) = self.truth();
        let known = bookmark.and_then(|bookmark| bookmark.link.clone());
        if truth.follows_a_link() {
            match known {
                // All that the link leads to is new, whatever time it carries.
                Some(link) => match self.walk(handing, link, Timestamp::MIN, since).await {
                    Err(stop) if stop.is_of_the_link() => {}
                    other => return other,
                },
                None if self.is_sweep() => {
                    let link = self.begin(truth).await?;
                    return Ok(Answer {
                        untold: Vec::new(),
                        link,
                    });
                }
                None => {}
            }
        } else if self.is_sweep() && bookmark.is_none() {
            // There is nothing to compare with yet.
            return Ok(Answer::default());
        }
        let Some(first) = truth.first(&self.resource, Start::Since(since)) else {
            return Ok(Answer::default());
        };
        let mut answer = match self.walk(handing, first, since, since).await {
            Err(Stop::Failed(Kind::NotFound, _)) if truth == Truth::State => self.gone(),
            other => other?,
        };
        for (change, _, judged) in &mut answer.untold {
            // Everything was asked for: what carries no time may not have changed at all.
            *judged &= change.modified.is_some();
        }
        if self.is_sweep() && !truth.follows_a_link() {
            // What is younger is seen next time, when its notification has had its time.
            let until = begun - SignedDuration::from_mins(rule.latency_minutes);
            let due = |change: &Change| change.modified.is_none_or(|at| at <= until);
            answer.untold.retain(|(change, _, _)| due(change));
        }
        Ok(answer)
    }

    /// The one object whose state was asked for does not exist any more.
    fn gone(&self) -> Answer {
        let change = Change {
            id: last_segment(&self.resource),
            odata_type: None,
            created: None,
            modified: None,
            removed: true,
        };
        let kind = kind(&change, &self.change_types, Timestamp::MIN);
        Answer {
            untold: kind.map(|kind| (change, kind, false)).into_iter().collect(),
            link: None,
        }
    }

    /// Begins to follow; what is there already is of no interest.
    async fn begin(&self, truth: Truth) -> Result<Option<String>, Stop> {
        let Some(mut address) = truth.first(&self.resource, Start::Now) else {
            return Ok(None);
        };
        for _ in 0..MOST_PAGES {
            let page = self.page(&address).await?;
            match page.next {
                Some(next) => address = next,
                None => return Ok(page.link),
            }
        }
        Err(Stop::TooMany)
    }

    async fn follow_anew(&self, handing: &Handing<'_>) -> Result<(), Trouble> {
        let (rule, truth) = self.truth();
        let link = if truth.follows_a_link() {
            self.begin(truth).await.map_err(Stop::into_trouble)?
        } else {
            None
        };
        handing.keep(&bookmark_at(truth, rule, link, self.graph.now())).await
    }

    /// All pages from `address` on; of each page only what did not arrive is kept.
    async fn walk(
        &self,
        handing: &Handing<'_>,
        mut address: String,
        oldest: Timestamp,
        since: Timestamp,
    ) -> Result<Answer, Stop> {
        let (rule, truth) = self.truth();
        let judged_from = self.judged_from(since, rule);
        let whole = matches!(truth, Truth::Delta { whole: true, .. });
        let mut untold: Vec<Untold> = Vec::new();
        for _ in 0..MOST_PAGES {
            let page = self.page(&address).await?;
            let wanted = if whole {
                self.as_a_whole(&page.changes, oldest)
            } else {
                let kind = |change: &Change| kind(change, &self.change_types, oldest);
                page.changes
                    .into_iter()
                    .filter_map(|change| Some((kind(&change)?, change)))
                    .map(|(kind, change)| (change, kind))
                    .collect()
            };
            untold.extend(handing.untold(wanted, since, judged_from).await?);
            if whole {
                // However many items changed, one notification tells of it.
                untold.sort_by_key(|(change, _, _)| std::cmp::Reverse(change.modified));
                untold.truncate(1);
            }
            if untold.len() > MOST_EVENTS {
                return Err(Stop::TooMany);
            }
            match page.next {
                Some(next) => address = next,
                None => {
                    return Ok(Answer {
                        untold,
                        link: page.link,
                    });
                }
            }
        }
        Err(Stop::TooMany)
    }

    /// One page. A pause that Microsoft asks for is waited out here: from the first page on it might never come to an end.
    async fn page(&self, address: &str) -> Result<ChangePage, Failure> {
        let mut pauses = 0;
        loop {
            match self.graph.changes(address, self.deadline()).await {
                Err(Failure {
                    class: Class::Throttled(after),
                    ..
                }) if pauses < MOST_PAUSES => {
                    pauses += 1;
                    tokio::time::sleep(after.unwrap_or(USUAL_PAUSE)).await;
                }
                other => return other,
            }
        }
    }

    /// Notifications of drives and lists are about the whole; whatever changed in it, deletions too, is an update of that.
    fn as_a_whole(&self, changes: &[Change], oldest: Timestamp) -> Vec<(Change, ChangeType)> {
        let new = |change: &&Change| change.modified.is_none_or(|at| at >= oldest);
        let newest = changes.iter().filter(new).map(|change| change.modified).max();
        let whole = newest.map(|modified| Change {
            id: last_segment(&self.resource),
            odata_type: None,
            created: None,
            modified,
            removed: false,
        });
        whole.map(|whole| (whole, ChangeType::Updated)).into_iter().collect()
    }

    fn deadline(&self) -> Timestamp {
        let gap = self.job.windows.iter().map(|window| window.end).min();
        gap.unwrap_or_else(|| self.graph.now() + SWEEP_URGENCY)
    }

    /// What a sweep found that should have arrived. What happened before the receivers remember cannot be judged.
    fn lost(&self, untold: &[Untold], since: Timestamp, begun: Timestamp) -> Option<(Window, i64)> {
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
}

fn last_segment(resource: &str) -> String {
    path(resource).rsplit('/').next().unwrap_or_default().to_owned()
}

/// Where the next job goes on.
fn bookmark_at(truth: Truth, rule: &Rule, link: Option<String>, begun: Timestamp) -> Bookmark {
    let late = if truth.follows_a_link() {
        0
    } else {
        rule.latency_minutes
    };
    Bookmark {
        link: link.filter(|_| truth.follows_a_link()),
        time: begun - SignedDuration::from_mins(late),
    }
}

/// Why a walk ended early.
enum Stop {
    TooMany,
    Failed(Kind, Trouble),
}

impl Stop {
    /// Whether the link is to blame, so that beginning anew helps.
    fn is_of_the_link(&self) -> bool {
        matches!(
            self,
            Self::Failed(
                Kind::ResyncRequired | Kind::NotFound | Kind::Rejected | Kind::Protocol,
                _
            )
        )
    }

    fn into_trouble(self) -> Trouble {
        match self {
            Self::TooMany => slow(),
            Self::Failed(_, trouble) => trouble,
        }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.kind.clone(), failure.into())
    }
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Failed(Kind::Unavailable, trouble)
    }
}

fn slow() -> Trouble {
    Trouble {
        reason: Reason::GraphUnavailable,
        message: "Graph did not tell all that changed within 30 minutes".to_owned(),
        class: Class::RetrySlowly,
        window: None,
    }
}

fn too_many(window: Window) -> Trouble {
    Trouble {
        reason: Reason::QuotaExceeded,
        message: format!("more than {MOST_EVENTS} changes would have to be handed over"),
        class: Class::Invalid,
        window: Some(window),
    }
}
