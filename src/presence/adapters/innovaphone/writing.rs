//! Writes of own entries that wait for their answer.

use std::collections::BTreeMap;

use tokio::time::{Duration, Instant};

use crate::policy::presence::pbx::PbxError;

/// Most writes under way at a time.
const MOST: usize = 256;
/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What a write is known by to who asked for it.
pub(super) type Ticket = u64;

/// Writes under way, by their number, which rises.
#[derive(Debug, Default)]
pub(super) struct Writing {
    next: u64,
    waiting: BTreeMap<u64, (Ticket, Instant)>,
}

impl Writing {
    /// Begins a write. Tells the `src` to send it with.
    pub(super) fn begin(&mut self, ticket: Ticket, now: Instant) -> Result<String, PbxError> {
        if self.waiting.len() >= MOST {
            return Err(PbxError::Throttled(Duration::from_secs(1)));
        }
        self.next += 1;
        self.waiting.insert(self.next, (ticket, now));
        Ok(format!("set-{}", self.next))
    }

    /// An answer came; without `src` it is the oldest's. Tells whose it is.
    pub(super) fn answered(&mut self, src: Option<&str>) -> Option<(Ticket, Instant)> {
        let number = match src {
            Some(src) => src.strip_prefix("set-")?.parse().ok()?,
            None => *self.waiting.keys().next()?,
        };
        self.waiting.remove(&number)
    }

    /// Those that waited too long.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Ticket> {
        let overdue = |(_, since): &mut (Ticket, Instant)| now.duration_since(*since) >= LIMIT;
        let mut tickets = Vec::new();
        while let Some(mut oldest) = self.waiting.first_entry() {
            if !overdue(oldest.get_mut()) {
                break;
            }
            tickets.push(oldest.remove().0);
        }
        tickets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_find_their_write() {
        let now = Instant::now();
        let mut writing = Writing::default();
        let first = writing.begin(10, now).unwrap();
        let second = writing.begin(11, now).unwrap();
        assert_ne!(first, second);
        assert_eq!(writing.answered(Some(&second)), Some((11, now)));
        assert_eq!(writing.answered(Some(&second)), None);
        assert_eq!(writing.answered(Some("other")), None);
        assert_eq!(writing.answered(None), Some((10, now)));
        assert_eq!(writing.answered(None), None);
    }

    #[tokio::test]
    async fn what_waits_too_long_is_given_up() {
        let now = Instant::now();
        let mut writing = Writing::default();
        writing.begin(10, now).unwrap();
        writing.begin(11, now + Duration::from_secs(1)).unwrap();
        assert_eq!(writing.overdue(now + LIMIT), [10]);
        assert_eq!(writing.overdue(now + LIMIT), Vec::<Ticket>::new());
    }

    #[tokio::test]
    async fn there_are_never_too_many() {
        let now = Instant::now();
        let mut writing = Writing::default();
        for ticket in 0..MOST as u64 {
            writing.begin(ticket, now).unwrap();
        }
        assert!(matches!(writing.begin(0, now), Err(PbxError::Throttled(_))));
    }
}
