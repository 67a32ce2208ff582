//! Presence of a person on two sides, and what is written where: mapping, matching, ownership.

pub mod engine;
pub mod mapping;
pub mod pbx;
pub mod teams;
