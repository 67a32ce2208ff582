//! What the processes tell about themselves: logs, metrics gathered at scrape, liveness and readiness.

pub mod health;
pub mod logs;
pub mod server;
