//! What became of a question to somebody else's API.

/// The answer, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Learned<T> {
    /// The answer.
    Known(T),
    /// The credentials are good, but do not allow this question.
    Denied,
    /// The credentials are refused. Why, as a sentence.
    Refused(String),
    /// No answer. Why, as a sentence.
    Unavailable(String),
}

impl<T> Learned<T> {
    /// The same with another answer.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Learned<U> {
        match self {
            Self::Known(answer) => Learned::Known(change(answer)),
            Self::Denied => Learned::Denied,
            Self::Refused(why) => Learned::Refused(why),
            Self::Unavailable(why) => Learned::Unavailable(why),
        }
    }
}
