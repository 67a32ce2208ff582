//! The presence worker: keeps the presence of people in step between Microsoft Teams and a PBX.

pub mod adapters;
