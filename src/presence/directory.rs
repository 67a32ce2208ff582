//! The people of the tenant: read as a whole at the start and at each licence sweep, followed by delta in between.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::groups::Groups;
use self::newcomers::Newcomers;
use self::people::{read, shared};
use self::selection::{Selection, is_guest, selected};
use super::board::Board;
use super::fault;
use super::input::Input;
use super::settings::Settings;
use crate::api::presence::{Licence, UserSelection};
use crate::api::presence_report::{Fault, Lamp};
use crate::graph::{Failure, Graph, Kind, PeoplePage};
use crate::local_clock;
use crate::policy::backoff;

mod groups;
mod newcomers;
mod people;
mod selection;

pub use people::{Everybody, People, Somebody};

/// Most people that are kept: more than any worker could serve.
const MOST_PEOPLE: usize = 500_000;
/// Pages of one answer that are followed.
const MOST_PAGES: usize = 2_000;
/// After this many looks for changes, groups are read again: no delta query tells of members of members.
const GROUPS_EVERY: u32 = 5;
/// A look at licences may fail for so long after it was due; then they count as not known.
const OVERDUE: Duration = Duration::from_hours(1);

/// What keeps them up to date.
pub struct Directory {
    /// The app that reads.
    pub graph: Graph,
    /// Whom the spec selects.
    pub selection: UserSelection,
    /// Whether a guest can be a user of the PBX by the spec's rules.
    pub guests_match: bool,
    /// The core.
    pub core: mpsc::Sender<Input>,
    /// Everybody else who wants to know.
    pub known: watch::Sender<Arc<People>>,
    /// Where it is said whether it works.
    pub board: Board,
    /// How often it is looked.
    pub settings: Settings,
    /// Ends it.
    pub stop: CancellationToken,
}

/// What is known between two looks.
struct Knowledge {
    all: Arc<Everybody>,
    /// Who is in the groups of the spec; `None`: they could not be read yet.
    groups: Option<Groups>,
    link: Option<String>,
    swept: Instant,
    /// Those who came since, and whose licence may not be known.
    newcomers: Newcomers,
    /// It was told of at all.
    told: bool,
}

impl Knowledge {
    /// Tells everybody, if anything is new.
    async fn publish(&mut self, directory: &Directory) {
        let Some(groups) = &self.groups else { return };
        let selected = selected(&directory.selection, groups.members.as_ref(), &self.all);
        let known = directory.known.borrow().clone();
        if self.told && known.selected == selected && known.all == self.all {
            self.all = known.all.clone();
            return;
        }
        self.told = true;
        let all = self.all.clone();
        let people = Arc::new(People { all, selected });
        directory.known.send_replace(people.clone());
        // The core is gone only when everything ends.
        let _ = directory.core.send(Input::People(people)).await;
    }
}

impl Directory {
    /// Follows until stopped.
    pub async fn run(self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = self.follow() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn follow(self) {
        let (mut failures, mut looks) = (0, 0_u32);
        let mut known: Option<Knowledge> = None;
        loop {
            let result = self.look(&mut known, looks).await;
            self.show(&result, known.as_ref());
            let pause = match result {
                Ok(()) => {
                    (failures, looks) = (0, looks.wrapping_add(1));
                    self.settings.changes.mul_f64(0.9 + 0.2 * fastrand::f64())
                }
                Err(failure) => {
                    if failure.kind == Kind::ResyncRequired {
                        known = None;
                    }
                    failures += 1;
                    let wait = backoff::delay(failure.class, failures, local_clock::now(), None, fastrand::f64());
                    wait.unsigned_abs()
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    fn show(&self, result: &Result<(), Failure>, known: Option<&Knowledge>) {
        let now = local_clock::now();
        let groups = known.and_then(|known| known.groups.as_ref());
        let absent = groups.map(Groups::absent).unwrap_or_default();
        let lamp = if result.is_ok() && !absent.is_empty() {
            let names = absent.join(", ");
            let message = format!("of spec.users.groups, Entra does not have {names}; the others are followed");
            Lamp::red(Fault::Rejected, message)
        } else {
            fault::lamp(result, "the users of the tenant are known")
        };
        if result.is_ok() {
            self.board.went_well(now, |last| &mut last.directory);
        }
        self.board.lamps(|lamps| lamps.directory = lamp);
    }

    /// What fails here leaves what was known; what is known by now is told all the same.
    async fn look(&self, known: &mut Option<Knowledge>, looks: u32) -> Result<(), Failure> {
        let is_sweep = known.as_ref().is_none_or(|known| self.is_due(known));
        if is_sweep {
            self.sweep(known).await?;
        }
        let Some(now) = known else { return Ok(()) };
        let result = self.catch_up(now, is_sweep, looks).await;
        now.publish(self).await;
        result
    }

    /// Reads everybody anew.
    async fn sweep(&self, known: &mut Option<Knowledge>) -> Result<(), Failure> {
        let read = self.everybody(known.as_ref()).await;
        match read {
            Ok((all, link)) => {
                *known = Some(Knowledge {
                    all: Arc::new(all),
                    groups: known.take().and_then(|known| known.groups),
                    link,
                    swept: Instant::now(),
                    newcomers: Newcomers::default(),
                    told: false,
                });
                self.board.went_well(local_clock::now(), |last| &mut last.licences);
                self.board
                    .lamps(|lamps| lamps.licences = Lamp::green("licences are known"));
                Ok(())
            }
            Err(failure) => {
                let age = known.as_ref().map(|known| known.swept.elapsed());
                if is_overdue(age, self.licence_interval()) {
                    self.board.lamps(|lamps| lamps.licences = fault::red(&failure));
                }
                Err(failure)
            }
        }
    }

    /// Learns what changed since: of people, of groups, and of the licences of newcomers.
    async fn catch_up(&self, now: &mut Knowledge, is_swept: bool, looks: u32) -> Result<(), Failure> {
        if !is_swept {
            self.changes(now).await?;
        }
        // A group that cannot be read keeps no newcomer waiting.
        let groups = if is_swept || now.groups.is_none() || looks.is_multiple_of(GROUPS_EVERY) {
            self.read_groups(now).await
        } else {
            Ok(())
        };
        let newcomers = self.meet(now).await;
        groups.and(newcomers)
    }

    async fn read_groups(&self, now: &mut Knowledge) -> Result<(), Failure> {
        let groups = Groups::read(
            &self.graph,
            &self.selection.groups,
            now.groups.as_ref(),
            self.deadline(),
        )
        .await?;
        now.groups = Some(groups);
        Ok(())
    }

    /// Asks about newcomers, one by one. Where they are many, everybody is read before long.
    async fn meet(&self, known: &mut Knowledge) -> Result<(), Failure> {
        let due = known
            .newcomers
            .due(Instant::now(), self.settings.sweep, self.wanted(known));
        for id in due {
            let news = match self.graph.person(&id, self.deadline()).await {
                // What is wrong with one must not hide what changed with others.
                Err(failure) if failure.kind == Kind::Rejected => None,
                news => news?,
            };
            let licensed = news.as_ref().and_then(|news| read(&id, news).licensed);
            known.newcomers.asked(&id, licensed == Some(true));
            // Who is not there any more is told of by the changes.
            if let Some(somebody) = Arc::make_mut(&mut known.all)
                .get_mut(&id)
                .filter(|_| licensed.is_some())
            {
                Arc::make_mut(somebody).licensed = licensed;
            }
        }
        Ok(())
    }

    /// Tells whether the licence of a newcomer decides about anything.
    fn wanted<'a>(&'a self, known: &'a Knowledge) -> impl Fn(&str) -> bool + 'a {
        let members = known.groups.as_ref().and_then(|groups| groups.members.as_ref());
        let selection = Selection::of(&self.selection, members);
        move |id| {
            let somebody = known.all.get(id).filter(|_| self.selection.licence == Licence::Teams);
            somebody.is_some_and(|somebody| {
                selection.holds(id, somebody) && (self.guests_match || !is_guest(&somebody.person))
            })
        }
    }

    /// Whether licences have to be looked at again.
    fn is_due(&self, known: &Knowledge) -> bool {
        let age = known.swept.elapsed();
        let many = || known.newcomers.are_many(self.wanted(known));
        age >= self.licence_interval() || age >= self.settings.sweep && many()
    }

    fn licence_interval(&self) -> Duration {
        let seconds = self.selection.licence_interval.seconds().unwrap_or(21_600);
        Duration::from_secs(seconds.unsigned_abs()).max(self.settings.changes)
    }

    /// Everybody, and the link to later changes. The link first: what changes meanwhile is told again, and not lost.
    /// Whoever is as before is held only once.
    async fn everybody(&self, before: Option<&Knowledge>) -> Result<(Everybody, Option<String>), Failure> {
        let link = self.graph.people_changes(None, self.deadline()).await?.link;
        let mut all = Everybody::new();
        let mut next: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let page = self.graph.people(next.as_deref(), self.deadline()).await?;
            for news in page.people.iter().filter(|news| !news.removed) {
                if all.len() < MOST_PEOPLE {
                    let (id, somebody) = shared(before.map(|known| &*known.all), news);
                    all.insert(id, somebody);
                }
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        Ok((all, link))
    }

    async fn changes(&self, known: &mut Knowledge) -> Result<(), Failure> {
        for _ in 0..MOST_PAGES {
            let page = self
                .graph
                .people_changes(known.link.as_deref(), self.deadline())
                .await?;
            let more = page.next.is_some();
            take_over(known, &page);
            // What was taken over is not asked for again, also when the next page fails.
            if let Some(link) = page.next.or(page.link) {
                known.link = Some(link);
            }
            if !more {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A question about people can wait; within a minute it should be asked.
    fn deadline(&self) -> Timestamp {
        let soon = jiff::SignedDuration::from_mins(1);
        self.graph.now().checked_add(soon).unwrap_or(Timestamp::MAX)
    }
}

/// Whether licences that were read so long ago, or never, count as not known.
fn is_overdue(age: Option<Duration>, interval: Duration) -> bool {
    age.is_none_or(|age| age >= interval.saturating_add(OVERDUE))
}

fn take_over(known: &mut Knowledge, page: &PeoplePage) {
    if page.people.is_empty() {
        return;
    }
    let all = Arc::make_mut(&mut known.all);
    for news in &page.people {
        let id = news.id.to_ascii_lowercase();
        if news.removed {
            all.remove(id.as_str());
            known.newcomers.forget(&id);
        } else if let Some(somebody) = all.get_mut(id.as_str()) {
            Arc::make_mut(somebody).apply(news);
        } else if all.len() < MOST_PEOPLE {
            let somebody = Arc::new(Somebody::new(&id, news.person()));
            let id: Arc<str> = id.into();
            known.newcomers.came(id.clone(), Instant::now());
            all.insert(id, somebody);
        }
    }
}

#[cfg(test)]
mod tests;
