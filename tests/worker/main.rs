//! The presence worker as its own process, between a simulated Teams and a simulated PBX, with a real receiver where Teams pushes:
//! killed in the middle of things, started again, asked to take everything back.

// Clippy knows only of `#[test]` functions that they are tests, not of what they share.
#![allow(clippy::unwrap_used, clippy::panic)]

mod broadworks;
mod clock;
mod innovaphone;
mod people;
#[path = "../support/ports.rs"]
mod ports;
mod push;
mod receiver;
mod world;
