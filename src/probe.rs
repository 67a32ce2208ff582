//! Looks at things from outside, and only looks.

pub mod discovery;
mod fetch;
mod handshake;
pub mod microsoft;

pub use handshake::{Problem, handshake};
