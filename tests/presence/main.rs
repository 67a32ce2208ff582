//! The SIP adapter against a real Kamailio. Run with `tests/support/gate presence`.
//!
//! What the server knows is asked over JSON-RPC, and other clients are written by hand here, so that a mistake of the adapter
//! cannot hide itself.

// Clippy knows only of `#[test]` functions that they are tests, not of what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

mod entries;
mod kamailio;
mod lines;
mod phone;
#[path = "../support/ports.rs"]
mod ports;
mod security;
mod world;
