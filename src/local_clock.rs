//! This machine's clock, read in one place, so that a simulation can set it.

use jiff::Timestamp;

/// Now, by this machine's clock. It may be wrong: what concerns Microsoft goes by [`Graph::now`](crate::graph::Graph::now).
pub fn now() -> Timestamp {
    #[cfg(test)]
    if let Some(now) = crate::testing::now() {
        return now;
    }
    Timestamp::now()
}
