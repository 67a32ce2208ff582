//! The engine in a model of both sides, in which messages are late, doubled, reordered and lost, and processes die.

use super::*;

mod history;
mod invariants;
mod kept;
mod naive;
mod operator;
mod pbx;
mod situations;
mod teams;
mod world;
