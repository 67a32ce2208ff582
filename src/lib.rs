//! Keeps Microsoft Graph change-notification subscriptions alive, and loses no notification.
//!
//! `docs/design/architecture.md` shows the house: which folder does what, and which may import which.

pub mod api;
pub mod controller;
pub mod explain;
pub mod graph;
pub mod import;
pub mod local_clock;
pub mod policy;
pub mod presence;
pub mod probe;
pub mod receiver;
pub mod simulator;
pub mod telemetry;
#[cfg(test)]
mod testing;

/// How a process ends.
pub type RunResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;
