//! Whether a side refuses everybody. What concerns one person says nothing of a side, until nobody fares better.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::api::presence_report::{Fault, Lamp};
use crate::policy::backoff::Class;
use crate::policy::presence::engine::{Outcome, Write};

/// So many people refused in a row, one in a hundred of all if that is more, or all there are, are everybody.
const ENOUGH: usize = 10;
/// What was refused longer ago says nothing any more: the person may be gone.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(1);

/// Who was refused since somebody was served.
#[derive(Default)]
pub struct Refusals {
    people: BTreeMap<Arc<str>, Timestamp>,
    /// Why the first of them was.
    why: String,
}

impl Refusals {
    /// A write for this person ended. What is taken back does not count: there may have been nothing.
    pub fn note(&mut self, person: &Arc<str>, write: &Write, outcome: Outcome, why: Option<&str>, now: Timestamp) {
        if matches!(write, Write::ClearSession | Write::ClearPreferred | Write::ClearOwn) {
            return;
        }
        match outcome {
            Outcome::Done => *self = Self::default(),
            Outcome::Refused(class) | Outcome::Lost(class) if needs_somebody(class) => {
                if self.people.is_empty() {
                    why.unwrap_or_default().clone_into(&mut self.why);
                }
                self.people.insert(person.clone(), now);
            }
            // A throttled or broken connection has lamps of its own.
            Outcome::Refused(_) | Outcome::Lost(_) => {}
        }
    }

    /// A red lamp, if everybody was refused. So many people are kept in step.
    pub fn lamp(&self, in_step: usize, now: Timestamp) -> Option<Lamp> {
        let enough = in_step.clamp(1, ENOUGH.max(in_step / 100));
        let lately = self.people.values().filter(|at| **at + FORGOTTEN >= now).count();
        let message = || format!("whatever is written is refused, for everybody: {}", self.why);
        (lately >= enough).then(|| Lamp::red(Fault::Rejected, message()))
    }
}

/// Whether it is refused until somebody changes something.
fn needs_somebody(class: Class) -> bool {
    matches!(class, Class::RetrySlowly | Class::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::presence::pbx::{Activity, OwnEntry};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn put() -> Write {
        let entry = OwnEntry {
            activity: Activity::Busy,
            note: String::new(),
        };
        Write::PutOwn { entry, ttl: None }
    }

    #[test]
    fn a_side_is_red_once_everybody_was_refused_and_nobody_served_since() {
        let mut refusals = Refusals::default();
        let refused = Outcome::Refused(Class::RetrySlowly);
        let note = |refusals: &mut Refusals, number: usize, write: &Write, outcome| {
            refusals.note(&Arc::from(number.to_string()), write, outcome, Some("no"), NOW);
        };
        for _ in 0..20 {
            note(&mut refusals, 1, &put(), refused);
        }
        assert_eq!(refusals.lamp(2, NOW), None, "one of two");
        assert!(refusals.lamp(1, NOW).is_some_and(|lamp| lamp.message.ends_with(": no")));
        for number in 2..=10 {
            assert_eq!(refusals.lamp(1_000, NOW), None, "{number}");
            note(&mut refusals, number, &put(), refused);
        }
        assert_eq!(refusals.lamp(1_000, NOW).unwrap().fault, Some(Fault::Rejected));
        assert_eq!(refusals.lamp(5_000, NOW), None, "ten of five thousand");
        assert_eq!(refusals.lamp(1_000, NOW + FORGOTTEN + FORGOTTEN), None, "long ago");
        // Taking back what is not there always succeeds.
        note(&mut refusals, 1, &Write::ClearOwn, Outcome::Done);
        assert!(refusals.lamp(1_000, NOW).is_some());
        note(&mut refusals, 7, &put(), Outcome::Done);
        assert_eq!(refusals.lamp(1, NOW), None);
    }

    #[test]
    fn a_broken_connection_is_no_refusal() {
        let mut refusals = Refusals::default();
        let person = Arc::from("ada");
        for outcome in [Outcome::Lost(Class::Retry), Outcome::Refused(Class::Throttled(None))] {
            refusals.note(&person, &put(), outcome, None, NOW);
            assert_eq!(refusals.lamp(1, NOW), None, "{outcome:?}");
        }
        refusals.note(&person, &put(), Outcome::Lost(Class::RetrySlowly), None, NOW);
        assert!(refusals.lamp(1, NOW).is_some());
    }
}
