//! The controller and the receiver as processes, against a real API server and the simulator.
//! Run with `make test`, or `LIBFAKETIME=$(tests/support/tools libfaketime) tests/cluster/api run cargo test --test operator`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod backfill;
mod bad_input;
mod connector;
mod faults;
mod identity;
mod import;
mod lifecycle;
mod orphans;
mod outage;
mod presence;
mod road;
#[path = "../support/mod.rs"]
mod support;
mod worker;
#[allow(dead_code)] // the benches use the rest
mod world;
