//! What is to be done in one layer.

use jiff::Timestamp;

use super::{Why, Write};

/// What is to be done in one layer.
#[derive(Debug)]
pub(super) struct Verdict {
    pub write: Option<Write>,
    pub read: bool,
    pub look: Option<Timestamp>,
    pub why: Why,
}

impl Verdict {
    /// Nothing is to be done.
    pub fn rest(why: Why) -> Self {
        Self {
            write: None,
            read: false,
            look: None,
            why,
        }
    }

    /// Nothing before this time.
    pub fn wait(why: Why, until: Option<Timestamp>) -> Self {
        Self {
            look: until,
            ..Self::rest(why)
        }
    }

    /// This is to be written.
    pub fn write(write: Write, why: Why) -> Self {
        Self {
            write: Some(write),
            ..Self::rest(why)
        }
    }

    /// Presence in Teams is to be read.
    pub fn read() -> Self {
        Self {
            read: true,
            ..Self::rest(Why::ToBeRead)
        }
    }
}
