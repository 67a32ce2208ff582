//! The stream of a channel: how it leaves, and the watch over it.

use std::io;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use tokio::sync::mpsc;

use super::host::Host;
use super::xml::NAMESPACE;
use crate::simulator::state::Shared;

/// How often a channel is looked after.
const LOOK: Duration = Duration::from_millis(50);
/// Now and then between two pieces, so that they leave apart.
const PAUSE: Duration = Duration::from_millis(1);

type Item = Result<Bytes, io::Error>;

struct Flow {
    shared: Shared,
    waiting: mpsc::Receiver<Item>,
    rest: Bytes,
}

/// The body of the answer: documents as they come, in pieces if the settings say so.
pub fn body(shared: Shared, waiting: mpsc::Receiver<Item>) -> Body {
    let flow = Flow {
        shared,
        waiting,
        rest: Bytes::new(),
    };
    Body::from_stream(futures::stream::unfold(flow, |mut flow| async move {
        let piece = flow.next().await?;
        Some((piece, flow))
    }))
}

impl Flow {
    async fn next(&mut self) -> Option<Item> {
        if self.rest.is_empty() {
            match self.waiting.recv().await? {
                Ok(document) => self.rest = document,
                Err(error) => return Some(Err(error)),
            }
        }
        while self.manners().silent {
            tokio::time::sleep(LOOK).await;
        }
        let largest = self.manners().piece_bytes;
        if largest == 0 {
            return Some(Ok(std::mem::take(&mut self.rest)));
        }
        if fastrand::u8(..) < 8 {
            tokio::time::sleep(PAUSE).await;
        } else {
            tokio::task::yield_now().await;
        }
        let size = fastrand::usize(1..=largest).min(self.rest.len());
        Some(Ok(self.rest.split_to(size)))
    }

    fn manners(&self) -> super::host::Manners {
        self.shared.state().xsi.setup.manners.clone()
    }
}

/// Looks after a channel until it is gone.
pub async fn watch(shared: Shared, id: String) {
    loop {
        tokio::time::sleep(LOOK).await;
        let mut state = shared.state();
        if !look(&mut state.xsi, &id, Instant::now()) {
            return;
        }
    }
}

/// Whether the channel goes on.
fn look(host: &mut Host, id: &str, now: Instant) -> bool {
    let manners = host.setup.manners.clone();
    let over = |since: Instant, limit: u64| now.duration_since(since) > Duration::from_millis(limit);
    let Some(channel) = host.channels.get_mut(id) else {
        return false;
    };
    if channel.out.is_closed() || channel.out.capacity() == 0 {
        host.forget_channel(id);
        return false;
    }
    let fate = if now > channel.ends {
        Some(("expired", "Expired"))
    } else if over(channel.heard, manners.heartbeat_limit_ms) {
        Some(("heartbeat", "Heartbeat timeout"))
    } else if channel
        .unanswered
        .values()
        .any(|since| over(*since, manners.ack_limit_ms))
    {
        Some(("unanswered", "Event response timeout"))
    } else {
        None
    };
    if let Some((kind, reason)) = fate {
        host.breach(kind, reason);
        host.end_channel(id, reason);
        return false;
    }
    if over(channel.told, manners.heartbeat_ms) {
        channel.told = now;
        channel.say(format!("<ChannelHeartBeat xmlns=\"{NAMESPACE}\"/>"));
    }
    host.subscriptions.retain(|_, subscription| subscription.ends > now);
    true
}
