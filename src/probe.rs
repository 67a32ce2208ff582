//! Looks at things from outside, and only looks.

pub mod broadworks;
pub mod client;
pub mod discovery;
pub mod endpoint;
mod fetch;
mod handshake;
pub mod microsoft;
pub mod pexip;
pub mod sip_options;
#[cfg(test)]
pub(crate) mod testing;
pub mod webex;
pub mod xsp;

pub use handshake::{Problem, handshake};
