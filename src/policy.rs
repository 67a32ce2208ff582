//! Every decision as a pure function, with the clock passed in.

pub mod backoff;
pub mod identity;
pub mod renewal;
pub mod resource;
pub mod subscription;
pub mod urgency;
