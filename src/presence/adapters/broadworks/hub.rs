//! Runs the channel set: makes its requests, and passes on what it tells.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use reqwest::Method;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Duration, Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::channel::Told;
use super::element::{Element, document};
use super::set::{Done, Job, Key, Out, Package, Set, Task, Ticket};
use super::xsp::Xsp;
use super::{item, requests};
use crate::policy::presence::pbx::{PbxError, PbxEvent};

type Answer = oneshot::Sender<Result<(), PbxError>>;
type Running = FuturesUnordered<BoxFuture<'static, (Task, Result<Done, PbxError>)>>;

/// What the worker wants.
pub(super) enum Command {
    /// Whom to watch.
    Watch(Vec<String>),
    /// Whose do not disturb is ours from before.
    Recall(Vec<String>),
    /// Do not disturb is to be on.
    Put(String, Answer),
    /// Do not disturb is to be off, if it is ours.
    Clear(String, Answer),
}

/// The set and the ways to and from it.
pub(super) struct Hub {
    pub(super) set: Set,
    /// What the set is called at the server.
    pub(super) name: String,
    pub(super) provider: Option<String>,
    pub(super) xsps: Vec<Arc<Xsp>>,
    pub(super) news: mpsc::Receiver<(usize, Told)>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: mpsc::Sender<PbxEvent>,
    pub(super) failed: watch::Sender<Option<PbxError>>,
    pub(super) stop: CancellationToken,
    pub(super) answers: HashMap<Ticket, Answer>,
    pub(super) tickets: Ticket,
}

impl Hub {
    /// Runs until the adapter is closed, or nobody listens.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.serve()).await;
        // Nobody listens any more: nothing is to be connected for.
        stop.cancel();
    }

    async fn serve(&mut self) {
        let mut running = Running::new();
        loop {
            if self.act().await.is_err() {
                return;
            }
            while let Some((number, task)) = self.set.next_task() {
                if let Some(xsp) = self.xsps.get(number) {
                    running.push(self.perform(xsp.clone(), task));
                }
            }
            let look_again = self.set.look_again();
            tokio::select! {
                Some((number, told)) = self.news.recv() => self.take(number, told),
                Some(command) = self.commands.recv() => self.command(command),
                Some((task, result)) = running.next() => self.set.done(task, result, Instant::now()),
                () = sleep_until(look_again.unwrap_or_else(Instant::now)), if look_again.is_some() => {
                    self.set.tick(Instant::now());
                }
                else => return,
            }
        }
    }

    fn take(&mut self, number: usize, told: Told) {
        match told {
            Told::Up => self.set.up(number),
            Told::Down(why) => self.set.down(number, why),
            Told::Event(event) => self.set.event(&event, Instant::now()),
        }
    }

    fn command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Watch(users) => self.set.watch(&users),
            Command::Recall(users) => self.set.recall(&users, now),
            Command::Put(user, answer) => {
                let ticket = self.ticket(answer);
                self.set.put(ticket, &user, now);
            }
            Command::Clear(user, answer) => {
                let ticket = self.ticket(answer);
                self.set.clear(ticket, &user);
            }
        }
    }

    fn ticket(&mut self, answer: Answer) -> Ticket {
        self.tickets += 1;
        self.answers.insert(self.tickets, answer);
        self.tickets
    }

    /// Does what the set wants. An error means that nobody listens.
    async fn act(&mut self) -> Result<(), mpsc::error::SendError<PbxEvent>> {
        while let Some(out) = self.set.next() {
            match out {
                Out::Event(event) => self.events.send(event).await?,
                Out::Answer(ticket, result) => {
                    if let Some(answer) = self.answers.remove(&ticket) {
                        // Who asked may be gone.
                        let _ = answer.send(result);
                    }
                }
                Out::Fail(error) => {
                    self.failed.send_replace(Some(error));
                }
                Out::Ignored(reason) => {
                    if let Some(xsp) = self.xsps.first() {
                        xsp.tally.ignored(reason);
                    }
                }
            }
        }
        Ok(())
    }

    fn perform(&self, xsp: Arc<Xsp>, task: Task) -> BoxFuture<'static, (Task, Result<Done, PbxError>)> {
        let call = match &task.job {
            Job::Subscribe(key) => self.subscribe(key),
            Job::Renew(_, id) => Call {
                operation: "refresh_subscription",
                method: Method::PUT,
                path: owned(&requests::events(&["subscription", id])),
                body: Some(requests::refresh("Subscription")),
                read: renewed,
            },
            Job::Unsubscribe(id) => Call {
                operation: "unsubscribe",
                method: Method::DELETE,
                path: owned(&requests::events(&["subscription", id])),
                body: None,
                read: |_| Ok(Done::Nothing),
            },
            Job::ReadCalls(user, _) => Call {
                operation: "calls",
                method: Method::GET,
                path: owned(&requests::actions(self.set.id_of(user), &["calls"])),
                body: None,
                read: calls,
            },
            Job::Switch { user, active, .. } => {
                let (user, active) = (self.set.id_of(user).to_owned(), *active);
                return Box::pin(async move {
                    let result = switch(&xsp, &user, active).await;
                    (task, result)
                });
            }
            Job::ReadSwitch(user, _) => Call {
                operation: "do_not_disturb",
                method: Method::GET,
                path: owned(&requests::do_not_disturb_of(self.set.id_of(user))),
                body: None,
                read: do_not_disturb,
            },
        };
        Box::pin(async move {
            let result = call.make(&xsp).await;
            (task, result)
        })
    }

    fn subscribe(&self, key: &Key) -> Call {
        let package = match key.package {
            Package::Calls => requests::STANDARD_CALL,
            Package::DoNotDisturb => requests::DO_NOT_DISTURB,
        };
        let provider = self.provider.as_deref().unwrap_or_default();
        let path = match &key.user {
            Some(user) => requests::events(&["user", self.set.id_of(user)]),
            None => requests::events(&["serviceprovider", provider]),
        };
        Call {
            operation: "subscribe",
            method: Method::POST,
            path: owned(&path),
            body: Some(requests::subscription(&self.name, package)),
            read: subscribed,
        }
    }
}

/// A request, and how its answer is read.
struct Call {
    operation: &'static str,
    method: Method,
    path: Vec<String>,
    body: Option<String>,
    read: fn(&[u8]) -> Result<Done, PbxError>,
}

impl Call {
    async fn make(self, xsp: &Xsp) -> Result<Done, PbxError> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let answer = xsp.ask(self.operation, self.method, &path, self.body).await?;
        (self.read)(&answer)
    }
}

/// Switches do not disturb of a user, and leaves the ring splash as it is found.
async fn switch(xsp: &Xsp, user: &str, active: bool) -> Result<Done, PbxError> {
    let path = requests::do_not_disturb_of(user);
    let found = xsp.ask("do_not_disturb", Method::GET, &path, None).await?;
    let body = requests::do_not_disturb(active, read(&found)?.flag("ringSplash"));
    xsp.ask("switch_do_not_disturb", Method::PUT, &path, Some(body)).await?;
    Ok(Done::Nothing)
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|part| (*part).to_owned()).collect()
}

fn subscribed(body: &[u8]) -> Result<Done, PbxError> {
    let element = read(body)?;
    let id = element
        .text_of("subscriptionId")
        .ok_or_else(|| missing("subscriptionId"))?;
    Ok(Done::Subscribed {
        id: id.to_owned(),
        expires: expires(&element),
    })
}

/// The answer to a refresh may be empty.
fn renewed(body: &[u8]) -> Result<Done, PbxError> {
    if body.trim_ascii().is_empty() {
        return Ok(Done::Nothing);
    }
    let element = read(body)?;
    Ok(Done::Subscribed {
        id: element.text_of("subscriptionId").unwrap_or_default().to_owned(),
        expires: expires(&element),
    })
}

fn calls(body: &[u8]) -> Result<Done, PbxError> {
    Ok(Done::Calls(item::calls(&read(body)?)))
}

fn do_not_disturb(body: &[u8]) -> Result<Done, PbxError> {
    let active = read(body)?.flag("active").ok_or_else(|| missing("active"))?;
    Ok(Done::Switch(active))
}

fn expires(element: &Element) -> Option<Duration> {
    element.text_of("expires")?.parse().ok().map(Duration::from_secs)
}

fn read(body: &[u8]) -> Result<Element, PbxError> {
    document(body).map_err(|why| PbxError::Protocol(format!("an answer cannot be read: {why}")))
}

fn missing(name: &str) -> PbxError {
    PbxError::Protocol(format!("an answer has no {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let body = b"<?xml version=\"1.0\"?><Subscription xmlns=\"x\"><subscriptionId>s1</subscriptionId><expires>7200</expires></Subscription>";
        let expected = Done::Subscribed {
            id: "s1".to_owned(),
            expires: Some(Duration::from_hours(2)),
        };
        assert_eq!(subscribed(body), Ok(expected.clone()));
        assert_eq!(renewed(body), Ok(expected));
        assert_eq!(renewed(b"\r\n"), Ok(Done::Nothing));
        assert!(matches!(subscribed(b"<Subscription/>"), Err(PbxError::Protocol(_))));
        let body = b"<DoNotDisturb xmlns='x'><active>true</active><ringSplash>false</ringSplash></DoNotDisturb>";
        assert_eq!(do_not_disturb(body), Ok(Done::Switch(true)));
        assert!(matches!(do_not_disturb(b"<html>"), Err(PbxError::Protocol(_))));
        assert_eq!(calls(b"<Calls/>"), Ok(Done::Calls(vec![])));
    }
}
