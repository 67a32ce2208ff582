//! The kinds on a real API server: what it accepts, refuses, fills in, keeps and shows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::too_many_lines)]

#[path = "../support/mod.rs"]
mod support;

mod columns;
mod connector;
mod drift;
mod kept;
mod manifests;
mod presence;
mod roundtrip;
mod status;
mod style;
