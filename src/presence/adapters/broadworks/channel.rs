//! The events channel to one XSP, opened again whenever it ends.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use reqwest::{Method, Response};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::element::Parser;
use super::item::{Event, Item};
use super::requests;
use super::xsp::Xsp;
use crate::policy::presence::pbx::PbxError;
use crate::presence::adapters::pace;

/// How long the server may take to name the channel.
const OPEN: Duration = Duration::from_secs(10);
/// How often the server is told that we live.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After so many heartbeats or acknowledgements in a row that failed, the channel is given up.
const MISSED: u32 = 3;
/// When nothing came for so long, the stream is dead: the server sends heartbeats too.
const SILENT: Duration = Duration::from_secs(90);
/// How long the end of a channel may take.
const CLOSE: Duration = Duration::from_secs(2);
/// Shortest and longest lifetime that is believed.
const LIFETIME: (Duration, Duration) = (Duration::from_secs(60), Duration::from_hours(24));
/// Acknowledgements that may wait.
const ACKS: usize = 256;
/// Acknowledgements under way at a time.
const ACKS_AT_ONCE: usize = 16;

/// News of one channel.
#[derive(Debug)]
pub(super) enum Told {
    Up,
    Down(PbxError),
    Event(Event),
}

/// A channel and the ways to and from the rest of the adapter.
pub(super) struct Channel {
    pub(super) number: usize,
    pub(super) xsp: Arc<Xsp>,
    /// The channel set.
    pub(super) set: String,
    pub(super) told: mpsc::Sender<(usize, Told)>,
    /// Why all channels are to end, each time they are.
    pub(super) failed: watch::Receiver<Option<PbxError>>,
    pub(super) stop: CancellationToken,
}

/// Why a channel ends.
enum End {
    Failed(PbxError),
    /// The adapter is being closed.
    Closed,
}

impl From<PbxError> for End {
    fn from(error: PbxError) -> Self {
        Self::Failed(error)
    }
}

impl Channel {
    /// Opens the channel again and again until the adapter is closed.
    pub(super) async fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            self.xsp.tally.connects();
            let began = Instant::now();
            self.failed.mark_unchanged();
            let error = match self.once().await {
                End::Failed(error) => error,
                End::Closed => return,
            };
            self.xsp.tally.failed(&error);
            failures = pace::count(failures, began.elapsed(), &error);
            let wait = pace::delay(&error, failures, fastrand::f64());
            if self.tell(Told::Down(error)).await.is_err() {
                return;
            }
            if self.stop.run_until_cancelled(sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// One channel, from its opening to its end.
    async fn once(&mut self) -> End {
        let stop = self.stop.clone();
        let Some(opened) = stop.run_until_cancelled(self.xsp.open(&self.set)).await else {
            return End::Closed;
        };
        match opened {
            Ok(response) => Stream::new(response).serve(self).await,
            Err(error) => End::Failed(error),
        }
    }

    async fn tell(&self, told: Told) -> Result<(), End> {
        self.told.send((self.number, told)).await.map_err(|_| End::Closed)
    }
}

/// A stream and what was read from it.
struct Stream {
    response: Response,
    parser: Parser,
    items: VecDeque<Item>,
}

impl Stream {
    fn new(response: Response) -> Self {
        Self {
            response,
            parser: Parser::default(),
            items: VecDeque::new(),
        }
    }

    /// Serves the stream to its end.
    async fn serve(mut self, channel: &mut Channel) -> End {
        let stop = channel.stop.clone();
        let named = timeout(OPEN, self.name(channel));
        let (id, expires) = match stop.run_until_cancelled(named).await {
            None => return End::Closed,
            Some(Err(_)) => {
                return End::Failed(PbxError::Protocol("the events channel is not named in time".to_owned()));
            }
            Some(Ok(Err(error))) => return End::Failed(error),
            Some(Ok(Ok(named))) => named,
        };
        let (acks, to_ack) = mpsc::channel(ACKS);
        let alive = keep_alive(channel.xsp.clone(), id.clone(), expires);
        let acknowledging = acknowledge(channel.xsp.clone(), to_ack);
        let mut failed = channel.failed.clone();
        let end = tokio::select! {
            end = self.follow(channel, &acks) => end,
            error = alive => End::Failed(error),
            error = acknowledging => End::Failed(error),
            error = ordered_to_end(&mut failed) => End::Failed(error),
            () = stop.cancelled() => End::Closed,
        };
        // What the server still holds for us would otherwise wait for its expiry.
        let path = requests::events(&["channel", &id]);
        let delete = channel.xsp.ask("delete_channel", Method::DELETE, &path, None);
        let _ = timeout(CLOSE, delete).await;
        end
    }

    /// What the server calls the channel, and how long it lives.
    async fn name(&mut self, channel: &Channel) -> Result<(String, Duration), PbxError> {
        loop {
            match self.next(channel).await? {
                Item::Channel { id, expires } => {
                    let expires = Duration::from_secs(expires.unwrap_or(requests::EXPIRES));
                    let (shortest, longest) = LIFETIME;
                    return Ok((id, expires.clamp(shortest, longest)));
                }
                Item::HeartBeat => {}
                _ => {
                    return Err(PbxError::Protocol(
                        "the events channel does not begin with its name".to_owned(),
                    ));
                }
            }
        }
    }

    /// Tells and acknowledges what comes.
    async fn follow(&mut self, channel: &Channel, acks: &mpsc::Sender<String>) -> End {
        if let Err(end) = channel.tell(Told::Up).await {
            return end;
        }
        loop {
            let item = match timeout(SILENT, self.next(channel)).await {
                Ok(Ok(item)) => item,
                Ok(Err(error)) => return End::Failed(error),
                Err(_) => return End::Failed(PbxError::Transport("the events channel is silent".to_owned())),
            };
            match item {
                Item::Event(event) => {
                    let id = event.id.clone();
                    if let Err(end) = channel.tell(Told::Event(event)).await {
                        return end;
                    }
                    // Acknowledged only now: what is lost before, the server sends again.
                    if let Some(id) = id
                        && acks.send(id).await.is_err()
                    {
                        return End::Closed;
                    }
                }
                Item::Terminated => {
                    return End::Failed(PbxError::Transport("the XSP ended the events channel".to_owned()));
                }
                Item::HeartBeat => {}
                Item::Channel { .. } | Item::Other => channel.xsp.tally.ignored("unknown"),
            }
        }
    }

    async fn next(&mut self, channel: &Channel) -> Result<Item, PbxError> {
        loop {
            if let Some(item) = self.items.pop_front() {
                channel.xsp.tally.received();
                return Ok(item);
            }
            let chunk = self.response.chunk().await?;
            let chunk = chunk.ok_or_else(|| PbxError::Transport("the XSP closed the events channel".to_owned()))?;
            let unreadable = |why| PbxError::Protocol(format!("the events channel cannot be read: {why}"));
            let elements = self.parser.feed(&chunk).map_err(unreadable)?;
            self.items.extend(elements.iter().map(Item::of));
        }
    }
}

/// Tells the server that we live, and gives the channel a new lifetime at half of the old. Ends with an error.
async fn keep_alive(xsp: Arc<Xsp>, id: String, expires: Duration) -> PbxError {
    let mut heartbeats = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refresh_at = Instant::now() + expires / 2;
    let mut missed = 0;
    loop {
        let result = tokio::select! {
            _ = heartbeats.tick() => {
                let path = requests::events(&["channel", &id, "heartbeat"]);
                xsp.ask("heartbeat", Method::PUT, &path, None).await
            }
            () = sleep_until(refresh_at) => {
                refresh_at = Instant::now() + expires / 2;
                let path = requests::events(&["channel", &id]);
                xsp.ask("refresh_channel", Method::PUT, &path, Some(requests::refresh("Channel"))).await
            }
        };
        match result {
            Ok(_) => missed = 0,
            // A channel that is gone is answered with 401 or 404; the next opening tells which it was.
            Err(PbxError::NotFound(_) | PbxError::Auth(_)) => {
                return PbxError::Transport("the XSP does not know the events channel any more".to_owned());
            }
            Err(error) if missed + 1 >= MISSED => return error,
            Err(_) => missed += 1,
        }
    }
}

/// Acknowledges events, some at a time. What could not be, the server sends again. Ends with an error.
async fn acknowledge(xsp: Arc<Xsp>, mut events: mpsc::Receiver<String>) -> PbxError {
    let mut running = FuturesUnordered::new();
    let mut missed = Missed::default();
    loop {
        let (began, result) = tokio::select! {
            Some(event) = events.recv(), if running.len() < ACKS_AT_ONCE => {
                let xsp = xsp.clone();
                running.push(async move {
                    let began = Instant::now();
                    let result = xsp.ask("ack", Method::POST, requests::ACK, Some(requests::ack(&event))).await;
                    (began, result)
                });
                continue;
            }
            Some(done) = running.next() => done,
            // The stream ended, which is told elsewhere.
            else => std::future::pending().await,
        };
        match result {
            // An event that the server no longer waits for.
            Ok(_) | Err(PbxError::NotFound(_)) => missed = Missed::default(),
            Err(error) if missed.is_too_often(began, Instant::now()) => return error,
            Err(_) => {}
        }
    }
}

/// Acknowledgements that failed in a row. Those that were under way together fail together, which counts once.
#[derive(Default)]
struct Missed {
    count: u32,
    last: Option<Instant>,
}

impl Missed {
    /// One more failed, which began then. Whether there were as many as there may be.
    fn is_too_often(&mut self, began: Instant, now: Instant) -> bool {
        if self.last.is_none_or(|last| began > last) {
            self.count += 1;
            self.last = Some(now);
        }
        self.count >= MISSED
    }
}

async fn ordered_to_end(failed: &mut watch::Receiver<Option<PbxError>>) -> PbxError {
    while failed.changed().await.is_ok() {
        if let Some(error) = failed.borrow_and_update().clone() {
            return error;
        }
    }
    std::future::pending().await
}
