//! The connection to one PBX, made again whenever it ends.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use rustls::ClientConfig;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::session::{Out, Part, Session, Told};
use crate::policy::presence::pbx::{OwnEntry, PbxError};
use crate::presence::adapters::metrics::Tally;
use crate::presence::adapters::pace;
use crate::presence::adapters::tls::{self, Stream};

/// How long it may take until a WebSocket stands.
const CONNECT: Duration = Duration::from_secs(15);
/// How long the PBX may take to accept a message.
const SEND: Duration = Duration::from_secs(10);
/// How often the session looks at the time.
const TICK: Duration = Duration::from_secs(1);
/// Longest message that is read, in bytes.
const LONGEST_MESSAGE: usize = 1024 * 1024;

type Answer = oneshot::Sender<Result<(), PbxError>>;
type Socket = WebSocketStream<Box<dyn Stream>>;

/// A write that somebody waits for. `entry` of `None` takes the own entry back.
pub(super) struct Write {
    pub(super) guid: String,
    pub(super) entry: Option<OwnEntry>,
    pub(super) answer: Answer,
}

/// How a PBX is reached.
pub(super) struct Endpoint {
    pub(super) number: usize,
    pub(super) url: Url,
    /// `None` with `ws://`.
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) part: Part,
    pub(super) tally: Tally,
}

/// The ways to and from the rest of the adapter.
pub(super) struct Ways {
    pub(super) told: mpsc::Sender<(usize, Told)>,
    pub(super) writes: mpsc::Receiver<Write>,
    pub(super) wanted: watch::Receiver<Arc<BTreeSet<String>>>,
    pub(super) stop: CancellationToken,
}

/// The adapter is being closed.
struct Closed;

impl Endpoint {
    /// Connects again and again until the adapter is closed.
    pub(super) async fn run(self, mut ways: Ways) {
        let stop = ways.stop.clone();
        let forever = async {
            let mut failures = 0;
            while let Ok(failed) = self.once(&mut ways, &mut failures).await {
                let wait = pace::delay(&failed, failures, fastrand::f64());
                let why = PbxError::Transport(format!("there is no connection to the PBX: {failed}"));
                ways.refuse_during(tokio::time::sleep(wait), &why).await;
            }
        };
        stop.run_until_cancelled(forever).await;
    }

    /// One connection, from its making to its end. Tells why it ended.
    async fn once(&self, ways: &mut Ways, failures: &mut u32) -> Result<PbxError, Closed> {
        self.tally.connects();
        let began = Instant::now();
        let not_yet = PbxError::Transport("the connection to the PBX is being made".to_owned());
        let connecting = async {
            timeout(CONNECT, self.connect())
                .await
                .unwrap_or_else(|_| Err(too_slow()))
        };
        let ended = match ways.refuse_during(connecting, &not_yet).await {
            Ok(socket) => Link::new(self, socket).serve(ways).await?,
            Err(error) => error,
        };
        self.tally.failed(&ended);
        *failures = pace::count(*failures, began.elapsed(), &ended);
        ways.tell(self.number, Told::Down(ended.clone())).await?;
        Ok(ended)
    }

    async fn connect(&self) -> Result<Socket, PbxError> {
        let no_address = || PbxError::Transport("the address cannot be used".to_owned());
        let host = self.url.host_str().ok_or_else(no_address)?;
        let port = self.url.port_or_known_default().ok_or_else(no_address)?;
        let stream = tls::connect(host, port, self.tls.clone()).await?;
        let limits = WebSocketConfig::default()
            .max_message_size(Some(LONGEST_MESSAGE))
            .max_frame_size(Some(LONGEST_MESSAGE))
            .read_buffer_size(16 * 1024)
            .write_buffer_size(0);
        let (socket, _) = client_async_with_config(self.url.as_str(), stream, Some(limits))
            .await
            .map_err(failure)?;
        Ok(socket)
    }
}

impl Ways {
    async fn tell(&self, number: usize, told: Told) -> Result<(), Closed> {
        self.told.send((number, told)).await.map_err(|_| Closed)
    }

    /// Answers writes with an error as long as `future` lasts.
    async fn refuse_during<T>(&mut self, future: impl Future<Output = T>, why: &PbxError) -> T {
        tokio::pin!(future);
        loop {
            tokio::select! {
                done = &mut future => return done,
                Some(write) = self.writes.recv() => {
                    // Who asked may be gone.
                    let _ = write.answer.send(Err(why.clone()));
                }
            }
        }
    }
}

/// A connection that stands.
struct Link<'a> {
    endpoint: &'a Endpoint,
    socket: Socket,
    session: Session,
    answers: HashMap<u64, (Answer, Instant)>,
    tickets: u64,
}

/// What a connection waits for.
enum Next {
    Frame(Option<Result<Message, Error>>),
    Write(Write),
    Wanted,
    Tick,
}

/// Why a connection ends.
enum End {
    Failed(PbxError),
    Closed,
}

impl From<PbxError> for End {
    fn from(error: PbxError) -> Self {
        Self::Failed(error)
    }
}

impl From<Closed> for End {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl<'a> Link<'a> {
    fn new(endpoint: &'a Endpoint, socket: Socket) -> Self {
        Self {
            session: Session::new(endpoint.part.clone(), Instant::now()),
            endpoint,
            socket,
            answers: HashMap::new(),
            tickets: 0,
        }
    }

    /// Serves the connection to its end.
    async fn serve(mut self, ways: &mut Ways) -> Result<PbxError, Closed> {
        ways.wanted.mark_changed();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = loop {
            if let Err(end) = self.act(ways).await {
                break end;
            }
            let next = tokio::select! {
                frame = self.socket.next() => Next::Frame(frame),
                Some(write) = ways.writes.recv() => Next::Write(write),
                Ok(()) = ways.wanted.changed() => Next::Wanted,
                _ = ticks.tick() => Next::Tick,
            };
            if let Err(error) = self.take(next, ways) {
                break End::Failed(error);
            }
        };
        match end {
            End::Failed(error) => {
                for (_, (answer, _)) in self.answers.drain() {
                    let _ = answer.send(Err(PbxError::Transport("the connection to the PBX ended".to_owned())));
                }
                Ok(error)
            }
            End::Closed => Err(Closed),
        }
    }

    fn take(&mut self, next: Next, ways: &mut Ways) -> Result<(), PbxError> {
        let now = Instant::now();
        match next {
            Next::Tick => self.session.tick(now),
            Next::Wanted => {
                let wanted = ways.wanted.borrow_and_update().clone();
                self.session.watch(wanted, now);
                Ok(())
            }
            Next::Write(write) => {
                self.tickets += 1;
                self.answers.insert(self.tickets, (write.answer, now));
                self.session.put(self.tickets, &write.guid, write.entry.as_ref(), now);
                Ok(())
            }
            Next::Frame(None) => Err(PbxError::Transport("the PBX closed the connection".to_owned())),
            Next::Frame(Some(Err(error))) => Err(failure(error)),
            Next::Frame(Some(Ok(message))) => {
                self.session.heard(now);
                self.message(&message, now)
            }
        }
    }

    fn message(&mut self, message: &Message, now: Instant) -> Result<(), PbxError> {
        match message {
            Message::Text(text) => {
                self.endpoint.tally.received();
                self.session.text(text.as_str(), now)
            }
            Message::Close(_) => Err(PbxError::Transport("the PBX closed the connection".to_owned())),
            Message::Binary(_) => {
                self.endpoint.tally.ignored("binary");
                Ok(())
            }
            // A ping was answered by the library.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    /// Does what the session wants.
    async fn act(&mut self, ways: &Ways) -> Result<(), End> {
        while let Some(out) = self.session.next() {
            match out {
                Out::Send(text) => {
                    self.endpoint.tally.sent();
                    self.send(Message::text(text)).await?;
                }
                Out::Ping => self.send(Message::Ping(Bytes::new())).await?,
                Out::Tell(told) => ways.tell(self.endpoint.number, told).await?,
                Out::Ignored(reason) => self.endpoint.tally.ignored(reason),
                Out::Answer(ticket, result) => self.answer(ticket, result),
            }
        }
        Ok(())
    }

    fn answer(&mut self, ticket: u64, result: Result<(), PbxError>) {
        let Some((answer, since)) = self.answers.remove(&ticket) else {
            return;
        };
        self.endpoint.tally.took("set_presence", since.elapsed());
        if let Err(error) = &result {
            self.endpoint.tally.failed(error);
        }
        // Who asked may be gone.
        let _ = answer.send(result);
    }

    async fn send(&mut self, message: Message) -> Result<(), PbxError> {
        match timeout(SEND, self.socket.send(message)).await {
            Ok(sent) => sent.map_err(failure),
            Err(_) => Err(too_slow()),
        }
    }
}

fn too_slow() -> PbxError {
    PbxError::Transport("it does not answer in time".to_owned())
}

/// Why a WebSocket failed, in words that do not change.
#[allow(clippy::needless_pass_by_value)] // for map_err
fn failure(error: Error) -> PbxError {
    match error {
        Error::Io(error) => tls::broken(&error),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete) => {
            PbxError::Transport("the PBX closed the connection".to_owned())
        }
        Error::Capacity(_) => PbxError::Protocol("a message is longer than 1 MiB".to_owned()),
        Error::Utf8(_) => PbxError::Protocol("a text message is not UTF-8".to_owned()),
        Error::Http(response) => PbxError::Protocol(format!(
            "HTTP status {} instead of a WebSocket: is the path right?",
            response.status().as_u16()
        )),
        Error::Url(_) | Error::HttpFormat(_) => PbxError::Transport("the address cannot be used".to_owned()),
        _ => PbxError::Protocol("the PBX does not speak WebSocket as it should".to_owned()),
    }
}

#[cfg(test)]
mod tests;
