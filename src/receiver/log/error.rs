//! Why the log did not do what it was asked to.

/// Why the log did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The limit is reached, and nothing may be dropped.
    #[error("storage limit reached")]
    Full,
    /// Too much is waiting to be written.
    #[error("too many requests are waiting for the storage")]
    Busy,
    /// A commit has been under way for too long.
    #[error("the storage does not answer")]
    Slow,
    /// The sink has as many dead letters as are kept.
    #[error("there is no room for another dead letter")]
    TooManyDeadLetters,
    /// The storage fails; it is tried again later.
    #[error("storage unavailable: {0}")]
    Unavailable(String),
}

/// Why a cursor was not moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It is already further.
    #[error("the cursor is already at {0}")]
    Backwards(u64),
    /// There is no such event yet.
    #[error("the log ends at {0}")]
    BeyondEnd(u64),
    /// The storage did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
