//! What the processes tell about themselves: logs, metrics gathered at scrape, liveness and readiness. And what their listeners share.

pub mod connections;
pub mod health;
pub mod logs;
pub mod server;
