//! Looks at things from outside, and only looks.

mod handshake;

pub use handshake::{Problem, handshake};
