//! The adapter's task: keeps a connection, and moves messages, wishes and news between it, the agent and the worker.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, timeout};

use super::agent::{Agent, Output, Put, Ticket};
use super::framing::Frame;
use super::transport::{Server, Wire};
use crate::policy::presence::pbx::{PbxError, PbxEvent};
use crate::presence::adapters::metrics::Tally;
use crate::presence::adapters::pace;

/// How long subscriptions may take to end with the adapter: less than the worker gives it to end. At an answer in 10 ms this is enough
/// for 10,000 users.
const LEAVING: Duration = Duration::from_secs(4);

/// Where the outcome of a change goes.
pub(super) type Reply = oneshot::Sender<Result<(), PbxError>>;

/// What the worker wants.
#[derive(Debug)]
pub(super) enum Command {
    /// Whom to watch from now on.
    Watch(Vec<String>),
    /// An own entry shall say this.
    Put(String, Put, Reply),
    /// An own entry shall go.
    Clear(String, Reply),
}

/// Nobody is interested any more.
struct Closed;

/// The task.
pub(super) struct Runner {
    pub(super) agent: Agent,
    pub(super) server: Server,
    pub(super) tally: Tally,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: mpsc::Sender<PbxEvent>,
    pub(super) replies: HashMap<Ticket, Reply>,
    pub(super) last_ticket: Ticket,
}

impl Runner {
    /// Runs until the worker lets go of the adapter or of its events.
    pub(super) async fn run(mut self) {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let Ok(why) = self.session().await else {
                return;
            };
            self.tally.failed(&why);
            // That OPTIONS was answered says nothing: it is answered to anybody.
            failures = pace::count(failures, began.elapsed(), &why);
            let delay = pace::delay(&why, failures, fastrand::f64());
            tracing::info!(error = %why, "the SIP server is tried again in {} s", delay.as_secs().max(1));
            self.agent.disconnected(why);
            if self.attend(tokio::time::sleep(delay)).await.is_err() {
                return;
            }
        }
    }

    /// One connection, from its making to why it ended.
    async fn session(&mut self) -> Result<PbxError, Closed> {
        self.tally.connects();
        let server = self.server.clone();
        match self.attend(server.connect()).await? {
            Ok(wire) => {
                self.agent.connected(wire.local, Instant::now());
                self.serve(wire).await
            }
            Err(why) => Ok(why),
        }
    }

    /// Waits for something, and is there for the worker meanwhile.
    async fn attend<T>(&mut self, something: impl Future<Output = T>) -> Result<T, Closed> {
        let events = self.events.clone();
        let mut something = pin!(something);
        loop {
            while let Some(output) = self.agent.output() {
                if let Output::Done(ticket, outcome) = output {
                    self.done(ticket, outcome);
                }
            }
            tokio::select! {
                done = &mut something => return Ok(done),
                command = self.commands.recv() => self.take(command.ok_or(Closed)?),
                permit = events.reserve(), if !self.agent.is_silent() => {
                    let permit = permit.map_err(|_| Closed)?;
                    if let Some(event) = self.agent.event() {
                        permit.send(event);
                    }
                }
            }
        }
    }

    /// Serves a connection until it breaks, or nobody is interested any more.
    async fn serve(&mut self, mut wire: Wire) -> Result<PbxError, Closed> {
        let ended = self.follow(&mut wire).await;
        if ended.is_err() {
            // What is left in the end lapses.
            let _ = timeout(LEAVING, self.leave(&mut wire)).await;
        }
        ended
    }

    /// Ends what is subscribed.
    async fn leave(&mut self, wire: &mut Wire) -> Result<(), PbxError> {
        self.agent.leave_all(Instant::now());
        loop {
            self.act(wire).await?;
            if !self.agent.is_leaving() {
                return Ok(());
            }
            let moment = self.agent.deadline().unwrap_or_else(Instant::now).into();
            tokio::select! {
                frame = wire.receive(&self.tally) => if let Frame::Message(message) = frame? {
                    self.agent.received(&message, Instant::now());
                },
                () = sleep_until(moment) => self.agent.tick(Instant::now()),
            }
        }
    }

    /// Follows a connection until it breaks.
    async fn follow(&mut self, wire: &mut Wire) -> Result<PbxError, Closed> {
        let events = self.events.clone();
        loop {
            if let Err(why) = self.act(wire).await {
                return Ok(why);
            }
            let deadline = self.agent.deadline();
            let moment = deadline.unwrap_or_else(Instant::now).into();
            tokio::select! {
                frame = wire.receive(&self.tally) => match frame {
                    Ok(Frame::Message(message)) => self.agent.received(&message, Instant::now()),
                    Ok(Frame::Ping) => if let Err(why) = wire.send(&[b"\r\n".to_vec()]).await {
                        return Ok(why);
                    },
                    Err(why) => return Ok(why),
                },
                command = self.commands.recv() => self.take(command.ok_or(Closed)?),
                permit = events.reserve(), if !self.agent.is_silent() => {
                    let permit = permit.map_err(|_| Closed)?;
                    if let Some(event) = self.agent.event() {
                        permit.send(event);
                    }
                }
                () = sleep_until(moment), if deadline.is_some() => self.agent.tick(Instant::now()),
            }
        }
    }

    /// Does what the agent wants done.
    async fn act(&mut self, wire: &mut Wire) -> Result<(), PbxError> {
        let mut messages = Vec::new();
        while let Some(output) = self.agent.output() {
            match output {
                Output::Send(bytes) => messages.push(bytes),
                Output::Done(ticket, outcome) => self.done(ticket, outcome),
                Output::Drop(why) => return Err(why),
            }
        }
        if messages.is_empty() {
            Ok(())
        } else {
            wire.send(&messages).await
        }
    }

    fn take(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Watch(users) => self.agent.watch(users, now),
            Command::Put(user, put, reply) => {
                let ticket = self.ticket(reply);
                self.agent.put(ticket, &user, put, Timestamp::now(), now);
            }
            Command::Clear(user, reply) => {
                let ticket = self.ticket(reply);
                self.agent.clear(ticket, &user, now);
            }
        }
    }

    fn ticket(&mut self, reply: Reply) -> Ticket {
        self.last_ticket += 1;
        self.replies.insert(self.last_ticket, reply);
        self.last_ticket
    }

    fn done(&mut self, ticket: Ticket, outcome: Result<(), PbxError>) {
        if let Err(why) = &outcome {
            self.tally.failed(why);
        }
        if let Some(reply) = self.replies.remove(&ticket) {
            // Nobody waits any more: nothing to do.
            let _ = reply.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests;
