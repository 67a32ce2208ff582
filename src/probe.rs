//! Looks at things from outside, and only looks.

mod handshake;
pub mod pexip;

pub use handshake::{Problem, handshake};
