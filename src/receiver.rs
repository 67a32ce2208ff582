//! The hardened edge: takes Graph's notifications, stores them before it says so, and delivers them.
//!
//! It calls neither Kubernetes nor Graph. What it knows, it knows from files that the controller mounts.

mod absence;
mod answers;
mod arrivals;
mod body;
mod deliver;
mod event;
mod fields;
mod handshake;
mod internal;
mod items;
mod log;
mod metrics;
mod problem;
mod resource;
mod server;
mod settings;
mod setup;
mod tls;
mod webhook;

pub use body::Limits;
pub use deliver::{Patience, Timing};
pub use server::Receiver;
pub use settings::{Args, Settings};
pub use setup::Dirs;

/// Receives until told to stop.
pub async fn run(args: Args) -> crate::RunResult {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let receiver = Receiver::start(args.into()).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    receiver.shutdown().await;
    Ok(())
}

#[cfg(test)]
mod tests;
