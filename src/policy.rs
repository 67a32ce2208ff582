//! Every decision as a pure function, with the clock passed in.

pub mod backfill;
pub mod backoff;
pub mod connector;
pub mod identity;
pub mod orphan;
pub mod presence;
pub mod quota;
pub mod renewal;
pub mod resource;
pub mod subscription;
pub mod truth;
pub mod urgency;
