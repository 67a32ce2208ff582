//! Makes the writes that the core ordered: to Teams through Graph, to the PBX through the adapter.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::adapters::Adapter;
use super::board::Board;
use super::fault;
use super::input::{Input, Written};
use crate::api::presence_report::Lamp;
use crate::graph::{Failure, Graph, Kind};
use crate::local_clock;
use crate::policy::backoff::{self, Class};
use crate::policy::presence::engine::{Outcome, Write};
use crate::policy::presence::pbx::PbxError;

/// Writes to one side that are under way at the same time.
const TOGETHER: usize = 64;
/// What a write to the PBX may take.
const PBX_LIMIT: Duration = Duration::from_secs(20);
/// Life of an entry, where the engine leaves it to the PBX.
const ENTRY_LIFE: Duration = Duration::from_hours(1);

/// A write to be made.
pub struct Order {
    /// Object id of the person.
    pub person: Arc<str>,
    /// What the adapter calls the user.
    pub pbx: Arc<str>,
    /// What to write.
    pub write: Write,
}

/// Makes writes. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    graph: Result<Graph, Lamp>,
    adapter: Option<Arc<Adapter>>,
    core: mpsc::Sender<Input>,
    board: Board,
    teams_turns: Arc<Semaphore>,
    /// Its own: a PBX that does not answer holds nothing up in Teams.
    pbx_turns: Arc<Semaphore>,
}

/// Why a write was not made.
struct Failed {
    outcome: Outcome,
    label: &'static str,
    message: String,
}

impl Writer {
    /// A writer for this app and this PBX, which tells the core how each write ended.
    pub fn new(
        graph: Result<Graph, Lamp>,
        adapter: Option<Arc<Adapter>>,
        core: mpsc::Sender<Input>,
        board: Board,
    ) -> Self {
        if let Err(lamp) = &graph {
            let lamp = lamp.clone();
            board.lamps(|lamps| lamps.writer = lamp);
        }
        Self {
            graph,
            adapter,
            core,
            board,
            teams_turns: Arc::new(Semaphore::new(TOGETHER)),
            pbx_turns: Arc::new(Semaphore::new(TOGETHER)),
        }
    }

    /// From now on, the PBX is written to over this adapter; `None`: not any more.
    pub fn use_pbx(&mut self, adapter: Option<Arc<Adapter>>) {
        self.adapter = adapter;
    }

    /// Makes a write, in its turn. How many there are is bounded by the users, of whom each has one at most.
    pub fn start(&self, order: Order) {
        let writer = self.clone();
        tokio::spawn(async move {
            let turns = match order.write {
                Write::PutOwn { .. } | Write::ClearOwn => &writer.pbx_turns,
                _ => &writer.teams_turns,
            };
            let Ok(_turn) = turns.acquire().await else {
                return;
            };
            let result = writer.write(&order).await;
            let written = Written::new(order, result);
            // The core is gone only when everything ends.
            let _ = writer.core.send(Input::Written(written)).await;
        });
    }

    async fn write(&self, order: &Order) -> Result<(), Failed> {
        match &order.write {
            Write::PutOwn { .. } | Write::ClearOwn => self.to_pbx(order).await,
            write => self.to_teams(&order.person, write).await,
        }
    }

    async fn to_teams(&self, person: &str, write: &Write) -> Result<(), Failed> {
        let graph = self.graph.as_ref().map_err(|lamp| Failed {
            outcome: Outcome::Refused(Class::RetrySlowly),
            label: "not_configured",
            message: lamp.message.clone(),
        })?;
        let result = match write {
            Write::SetSession { session, ttl } => {
                let state = (session.availability(), session.activity());
                graph.set_presence(person, state, life(*ttl)).await
            }
            Write::SetPreferred { choice, ttl, .. } => {
                let state = (choice.availability(), choice.activity());
                graph.set_preferred_presence(person, state, life(*ttl)).await
            }
            Write::ClearPreferred => graph.clear_preferred_presence(person).await,
            Write::ClearSession | Write::PutOwn { .. } | Write::ClearOwn => graph.clear_presence(person).await,
        };
        self.tell(&result);
        result.map_err(|failure| Failed::graph(&failure))
    }

    /// A refusal that concerns one person says nothing about the app.
    fn tell(&self, result: &Result<(), Failure>) {
        let lamp = match result {
            Ok(()) => {
                self.board
                    .went_well(local_clock::now(), |last| &mut last.write_to_teams);
                Lamp::green("the app is signed in and may write presence")
            }
            Err(failure) if matches!(failure.kind, Kind::NotFound | Kind::Rejected) => return,
            Err(failure) => fault::red(failure),
        };
        self.board.lamps(|lamps| lamps.writer = lamp);
    }

    async fn to_pbx(&self, order: &Order) -> Result<(), Failed> {
        let adapter = self.adapter.as_ref().ok_or_else(|| Failed {
            outcome: Outcome::Refused(Class::RetrySlowly),
            label: "not_configured",
            message: "the PBX cannot be used".to_owned(),
        })?;
        let write = async {
            match &order.write {
                Write::PutOwn { entry, ttl } => {
                    let ttl = ttl.map_or(ENTRY_LIFE, life);
                    adapter.put_own(&order.pbx, entry, ttl).await
                }
                _ => match adapter.clear_own(&order.pbx).await {
                    // Whoever is not there has no entry.
                    Err(PbxError::NotFound(_)) => Ok(()),
                    cleared => cleared,
                },
            }
        };
        let result = tokio::time::timeout(PBX_LIMIT, write).await;
        let result = result.unwrap_or_else(|_| Err(PbxError::Transport("the PBX does not answer in time".to_owned())));
        if result.is_ok() {
            self.board.went_well(local_clock::now(), |last| &mut last.write_to_pbx);
        }
        result.map_err(|error| Failed::pbx(&error))
    }
}

/// Signs in before there is anything to write, so that a refusal does not wait for the first write to be seen. Tried until it
/// works, or until a write has told.
pub async fn sign_in(graph: Graph, board: Board, stop: CancellationToken) {
    let (mut failures, mut told) = (0, board.state().lamps.writer);
    loop {
        let result = tokio::select! {
            result = graph.authenticate() => result,
            () = stop.cancelled() => return,
        };
        let lamp = fault::lamp(&result, "the app is signed in; it has written nothing yet");
        let mut is_first = false;
        board.lamps(|lamps| {
            is_first = lamps.writer == told;
            if is_first {
                lamps.writer = lamp.clone();
            }
        });
        let Err(failure) = result else { return };
        if !is_first {
            return;
        }
        told = lamp;
        failures += 1;
        let wait = backoff::delay(failure.class, failures, local_clock::now(), None, fastrand::f64());
        tokio::select! {
            () = tokio::time::sleep(wait.unsigned_abs()) => {}
            () = stop.cancelled() => return,
        }
    }
}

impl Written {
    fn new(order: Order, result: Result<(), Failed>) -> Self {
        let (outcome, label, error) = match result {
            Ok(()) => (Outcome::Done, "ok", None),
            Err(failed) => (failed.outcome, failed.label, Some(failed.message)),
        };
        Self {
            person: order.person,
            write: order.write,
            outcome,
            error,
            label,
        }
    }
}

impl Failed {
    fn graph(failure: &Failure) -> Self {
        let outcome = match failure.kind {
            Kind::Unavailable | Kind::Protocol => Outcome::Lost(failure.class),
            _ => Outcome::Refused(failure.class),
        };
        Self {
            outcome,
            label: failure.kind.label(),
            message: failure.message.clone(),
        }
    }

    fn pbx(error: &PbxError) -> Self {
        let (outcome, label) = match error {
            PbxError::Auth(_) => (Outcome::Refused(Class::RetrySlowly), "auth"),
            PbxError::Forbidden(_) => (Outcome::Refused(Class::RetrySlowly), "forbidden"),
            PbxError::Licence(_) => (Outcome::Refused(Class::RetrySlowly), "licence"),
            PbxError::NotFound(_) => (Outcome::Refused(Class::RetrySlowly), "not_found"),
            PbxError::Throttled(after) => (Outcome::Refused(Class::Throttled(Some(*after))), "throttled"),
            PbxError::NotTrusted(_) => (Outcome::Refused(Class::RetrySlowly), "not_trusted"),
            PbxError::Protocol(_) => (Outcome::Lost(Class::RetrySlowly), "protocol"),
            PbxError::Transport(_) => (Outcome::Lost(Class::Retry), "transport"),
        };
        Self {
            outcome,
            label,
            message: error.to_string(),
        }
    }
}

fn life(ttl: SignedDuration) -> Duration {
    ttl.max(SignedDuration::ZERO).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::presence::metrics::Metrics;

    #[tokio::test]
    async fn a_pbx_that_does_not_answer_holds_nothing_up_in_teams() {
        let (core, mut inputs) = mpsc::channel(10);
        let board = Board::new(Arc::new(Metrics::new(&Registry::new()).unwrap()));
        let writer = Writer::new(Err(Lamp::dark("no app")), None, core, board);
        let under_way = writer.pbx_turns.acquire_many(u32::try_from(TOGETHER).unwrap()).await;
        let order = |write| Order {
            person: "ada".into(),
            pbx: "guid-ada".into(),
            write,
        };
        writer.start(order(Write::ClearOwn));
        writer.start(order(Write::ClearSession));
        let Ok(Some(Input::Written(written))) = tokio::time::timeout(PBX_LIMIT, inputs.recv()).await else {
            panic!("nothing was written")
        };
        assert_eq!(written.write, Write::ClearSession);
        drop(under_way);
        let Ok(Some(Input::Written(written))) = tokio::time::timeout(PBX_LIMIT, inputs.recv()).await else {
            panic!("nothing was written")
        };
        assert_eq!(written.write, Write::ClearOwn);
    }
}
