//! The presence worker: keeps the presence of people in step between Microsoft Teams and a PBX.
//!
//! It runs as the `presence-worker` subcommand, without any rights in Kubernetes. What it knows, it knows from files that the
//! controller mounts.

mod account;
mod accounts;
pub mod adapters;
mod agenda;
mod apps;
mod board;
mod connect;
mod core;
mod directory;
mod fault;
mod input;
mod metrics;
mod pull;
mod roster;
mod server;
mod settings;
mod setup;
mod store;
mod teams;
#[cfg(test)]
mod testing;
mod token;
mod worker;
mod writing;

#[cfg(test)]
mod tests;

pub use settings::{Args, Dirs, Settings};
pub use worker::Worker;

/// Works until told to stop.
pub async fn run(args: Args) -> crate::RunResult {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut worker = Worker::start(args.into()).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = worker.ended() => return Err("the work ended unexpectedly".into()),
    }
    worker.shutdown().await;
    Ok(())
}
