//! Looks at things from outside, and only looks.

pub mod broadworks;
pub mod client;
pub mod discovery;
mod fetch;
pub mod endpoint;
mod handshake;
pub mod microsoft;
pub mod sip_options;
pub mod webex;
pub mod xsp;
pub mod pexip;

pub use handshake::{Problem, handshake};
