//! Presence of a person on two sides, and what is written where: mapping, matching, ownership.

pub mod pbx;
