//! The operator with everything between it and its peers going wrong: killed before and after every call, cut off, told late, twice
//! or not at all. Run with `make test`, or `tests/cluster/api run cargo test --test faults`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout
)]

mod crash;
mod gate;
mod kubelet;
mod life;
mod orders;
mod process;
mod proxy;
mod scenario;
mod stale;
mod stand;
mod storm;
#[path = "../support/mod.rs"]
mod support;
mod trap;
mod weather;
#[allow(dead_code)] // shared with tests/operator
#[path = "../operator/world.rs"]
mod world;
