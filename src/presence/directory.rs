//! The people of the tenant: read as a whole at the start and at each licence sweep, followed by delta in between.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::fault;
use super::input::Input;
use super::settings::Settings;
use crate::api::presence::UserSelection;
use crate::api::presence_report::Lamp;
use crate::graph::{Failure, Graph, Kind, PeoplePage, Person};
use crate::local_clock;
use crate::policy::backoff;
use crate::policy::presence::licence::teams_licence;

/// Most people that are kept: more than any worker could serve.
const MOST_PEOPLE: usize = 500_000;
/// Pages of one answer that are followed.
const MOST_PAGES: usize = 2_000;
/// After this many looks for changes, groups are read again: no delta query tells of members of members.
const GROUPS_EVERY: u32 = 5;
/// Most newcomers whose licence is asked for at one look; those of a crowd are known with the next sweep.
const NEWCOMERS: usize = 20;
/// A look at licences may fail for so long after it was due; then they count as not known.
const OVERDUE: Duration = Duration::from_hours(1);

/// Somebody of the tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Somebody {
    /// As Entra describes the person; without the plans.
    pub person: Person,
    /// Whether a Teams plan is in force; `None`: the person is new, and it is not known yet.
    pub licensed: Option<bool>,
}

/// All people, by object id in lower case, and who of them is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// All of them.
    pub all: BTreeMap<String, Somebody>,
    /// Ids of those whom the spec selects, licences aside.
    pub selected: BTreeSet<String>,
}

/// What keeps them up to date.
pub struct Directory {
    /// The app that reads.
    pub graph: Graph,
    /// Whom the spec selects.
    pub selection: UserSelection,
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
    all: BTreeMap<String, Somebody>,
    /// Members of the selected groups; `None` without groups.
    members: Option<BTreeSet<String>>,
    link: Option<String>,
    swept: Instant,
    /// Somebody came whose licence is not known.
    newcomers: bool,
    /// Ids of those whose licence was not asked for yet.
    unasked: VecDeque<String>,
    /// It was told of at all.
    told: bool,
}

impl Knowledge {
    /// Tells everybody, if anything is new.
    async fn publish(&mut self, directory: &Directory) {
        let selected = selected(&directory.selection, self.members.as_ref(), &self.all);
        let known = directory.known.borrow().clone();
        if self.told && known.selected == selected && known.all == self.all {
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
            self.show(&result);
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

    fn show(&self, result: &Result<(), Failure>) {
        let now = local_clock::now();
        let lamp = fault::lamp(result, "the users of the tenant are known");
        if result.is_ok() {
            self.board.went_well(now, |last| &mut last.directory);
        }
        self.board.lamps(|lamps| lamps.directory = lamp);
    }

    async fn look(&self, known: &mut Option<Knowledge>, looks: u32) -> Result<(), Failure> {
        let mut now = match known.take() {
            Some(mut now) if !self.is_due(&now) => {
                // What fails here leaves what was known.
                let result = self.follow_changes(&mut now, looks).await;
                if let Err(failure) = result {
                    *known = Some(now);
                    return Err(failure);
                }
                now
            }
            before => match self.sweep().await {
                Ok(now) => now,
                Err(failure) => {
                    let age = before.as_ref().map(|known| known.swept.elapsed());
                    if is_overdue(age, self.licence_interval()) {
                        self.board.lamps(|lamps| lamps.licences = fault::red(&failure));
                    }
                    *known = before;
                    return Err(failure);
                }
            },
        };
        now.publish(self).await;
        *known = Some(now);
        Ok(())
    }

    async fn follow_changes(&self, now: &mut Knowledge, looks: u32) -> Result<(), Failure> {
        self.changes(now).await?;
        self.ask_for_newcomers(now).await;
        if looks.is_multiple_of(GROUPS_EVERY) {
            now.members = self.members().await?;
        }
        Ok(())
    }

    /// Whether licences have to be looked at again.
    fn is_due(&self, known: &Knowledge) -> bool {
        let age = known.swept.elapsed();
        age >= self.licence_interval() || known.newcomers && age >= self.settings.sweep
    }

    fn licence_interval(&self) -> Duration {
        let seconds = self.selection.licence_interval.seconds().unwrap_or(21_600);
        Duration::from_secs(seconds.unsigned_abs()).max(self.settings.changes)
    }

    /// Reads everything. The link to later changes first: what changes meanwhile is told again, and not lost.
    async fn sweep(&self) -> Result<Knowledge, Failure> {
        let link = self.graph.people_changes(None, self.deadline()).await?.link;
        let mut all = BTreeMap::new();
        let mut next: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let page = self.graph.people(next.as_deref(), self.deadline()).await?;
            for news in page.people.iter().filter(|news| !news.removed) {
                if all.len() < MOST_PEOPLE {
                    let somebody = somebody(news.person());
                    all.insert(news.id.to_ascii_lowercase(), somebody);
                }
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        let members = self.members().await?;
        self.board.went_well(local_clock::now(), |last| &mut last.licences);
        self.board
            .lamps(|lamps| lamps.licences = Lamp::green("licences are known"));
        Ok(Knowledge {
            all,
            members,
            link,
            swept: Instant::now(),
            newcomers: false,
            unasked: VecDeque::new(),
            told: false,
        })
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

    /// Asks for the licences of who came. What cannot be learned so, the next sweep tells.
    async fn ask_for_newcomers(&self, known: &mut Knowledge) {
        for _ in 0..NEWCOMERS {
            let Some(id) = known.unasked.pop_front() else { return };
            match self.graph.person(&id, self.deadline()).await {
                Ok(person) => welcome(known, &id, person),
                Err(failure) if failure.kind == Kind::NotFound => {}
                Err(failure) => {
                    tracing::debug!("the licence of somebody new cannot be asked for: {failure}");
                    known.unasked.push_front(id);
                    return;
                }
            }
        }
    }

    async fn members(&self) -> Result<Option<BTreeSet<String>>, Failure> {
        if self.selection.groups.is_empty() {
            return Ok(None);
        }
        let mut members = BTreeSet::new();
        for group in &self.selection.groups {
            let mut next: Option<String> = None;
            for _ in 0..MOST_PAGES {
                let page = self.graph.members(group, next.as_deref(), self.deadline()).await?;
                members.extend(page.people.iter().map(|news| news.id.to_ascii_lowercase()));
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
        }
        Ok(Some(members))
    }

    /// A question about people can wait; within a minute it should be asked.
    fn deadline(&self) -> Timestamp {
        let soon = jiff::SignedDuration::from_mins(1);
        self.graph.now().checked_add(soon).unwrap_or(Timestamp::MAX)
    }
}

/// Licences are noted also where nobody needs one to be kept in step: a communication account does.
fn somebody(mut person: Person) -> Somebody {
    let plans = std::mem::take(&mut person.plans);
    let plans = plans
        .iter()
        .map(|plan| (plan.service_plan_id.as_str(), plan.capability_status.as_str()));
    let licensed = Some(teams_licence(plans).usable());
    Somebody { person, licensed }
}

/// Whether licences that were read so long ago, or never, count as not known.
fn is_overdue(age: Option<Duration>, interval: Duration) -> bool {
    age.is_none_or(|age| age >= interval.saturating_add(OVERDUE))
}

fn take_over(known: &mut Knowledge, page: &PeoplePage) {
    for news in &page.people {
        let id = news.id.to_ascii_lowercase();
        if news.removed {
            known.all.remove(&id);
        } else if let Some(somebody) = known.all.get_mut(&id) {
            somebody.person.apply(news);
        } else if known.all.len() < MOST_PEOPLE {
            let person = news.person();
            known.newcomers = true;
            known.unasked.push_back(id.clone());
            known.all.insert(id, Somebody { person, licensed: None });
        }
    }
}

/// Takes over that somebody new has a licence. Who has none may be given one in the next minutes, as is usual with new accounts: the
/// next sweep decides.
fn welcome(known: &mut Knowledge, id: &str, person: Person) {
    let licensed = somebody(person).licensed.filter(|licensed| *licensed);
    if let Some(newcomer) = known.all.get_mut(id).filter(|newcomer| newcomer.licensed.is_none()) {
        newcomer.licensed = licensed;
    }
    known.newcomers = known.all.values().any(|somebody| somebody.licensed.is_none());
}

/// Who is selected: all who can sign in, less those whom each given line leaves out.
fn selected(
    selection: &UserSelection,
    members: Option<&BTreeSet<String>>,
    all: &BTreeMap<String, Somebody>,
) -> BTreeSet<String> {
    let list: BTreeSet<String> = selection.list.iter().map(|name| name.trim().to_lowercase()).collect();
    let is_listed = |id: &String, person: &Person| {
        let name = person.user_principal_name.as_ref().map(|name| name.to_lowercase());
        list.is_empty() || list.contains(id) || name.is_some_and(|name| list.contains(&name))
    };
    all.iter()
        .filter(|(_, somebody)| somebody.person.account_enabled)
        .filter(|(id, _)| members.is_none_or(|members| members.contains(*id)))
        .filter(|(id, somebody)| is_listed(id, &somebody.person))
        .map(|(id, _)| id.clone())
        .collect()
}

#[cfg(test)]
mod tests;
