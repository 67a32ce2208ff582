//! Presence of a person on two sides, and what is written where: mapping, matching, ownership.

pub mod engine;
pub mod licence;
pub mod mapping;
pub mod matching;
pub mod pbx;
pub mod shards;
pub mod teams;
#[cfg(test)]
pub(crate) mod testing;
