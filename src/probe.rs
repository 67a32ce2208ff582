//! Looks at things from outside, and only looks.

pub mod endpoint;
mod handshake;

pub use handshake::{Problem, handshake};
