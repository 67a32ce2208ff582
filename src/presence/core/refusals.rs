//! Whether a side refuses everybody. What concerns one person says nothing of a side, until nobody fares better.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::api::presence_report::{Fault, Lamp};
use crate::policy::backoff::Class;
use crate::policy::presence::engine::{Outcome, Write};

/// So many people refused in a row, or all there are, are everybody.
const ENOUGH: usize = 10;

/// Who was refused since somebody was served.
#[derive(Default)]
pub struct Refusals {
    people: BTreeSet<Arc<str>>,
    /// Why the first of them was.
    why: String,
}

impl Refusals {
    /// A write for this person ended. What is taken back does not count: there may have been nothing.
    pub fn note(&mut self, person: &Arc<str>, write: &Write, outcome: Outcome, why: Option<&str>) {
        if matches!(write, Write::ClearSession | Write::ClearPreferred | Write::ClearOwn) {
            return;
        }
        match outcome {
            Outcome::Done => *self = Self::default(),
            Outcome::Refused(class) | Outcome::Lost(class) if needs_somebody(class) => {
                if self.people.is_empty() {
                    why.unwrap_or_default().clone_into(&mut self.why);
                }
                if self.people.len() < ENOUGH {
                    self.people.insert(person.clone());
                }
            }
            // A throttled or broken connection has lamps of its own.
            Outcome::Refused(_) | Outcome::Lost(_) => {}
        }
    }

    /// A red lamp, if everybody was refused. So many people are kept in step.
    pub fn lamp(&self, in_step: usize) -> Option<Lamp> {
        let enough = in_step.clamp(1, ENOUGH);
        let message = || format!("whatever is written is refused, for everybody: {}", self.why);
        (self.people.len() >= enough).then(|| Lamp::red(Fault::Rejected, message()))
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
            refusals.note(&Arc::from(number.to_string()), write, outcome, Some("no"));
        };
        for _ in 0..20 {
            note(&mut refusals, 1, &put(), refused);
        }
        assert_eq!(refusals.lamp(2), None, "one of two");
        assert!(refusals.lamp(1).is_some_and(|lamp| lamp.message.ends_with(": no")));
        for number in 2..=10 {
            assert_eq!(refusals.lamp(10_000), None, "{number}");
            note(&mut refusals, number, &put(), refused);
        }
        assert_eq!(refusals.lamp(10_000).unwrap().fault, Some(Fault::Rejected));
        // Taking back what is not there always succeeds.
        note(&mut refusals, 1, &Write::ClearOwn, Outcome::Done);
        assert!(refusals.lamp(10_000).is_some());
        note(&mut refusals, 7, &put(), Outcome::Done);
        assert_eq!(refusals.lamp(1), None);
    }

    #[test]
    fn a_broken_connection_is_no_refusal() {
        let mut refusals = Refusals::default();
        let person = Arc::from("ada");
        for outcome in [Outcome::Lost(Class::Retry), Outcome::Refused(Class::Throttled(None))] {
            refusals.note(&person, &put(), outcome, None);
            assert_eq!(refusals.lamp(1), None, "{outcome:?}");
        }
        refusals.note(&person, &put(), Outcome::Lost(Class::RetrySlowly), None);
        assert!(refusals.lamp(1).is_some());
    }
}
