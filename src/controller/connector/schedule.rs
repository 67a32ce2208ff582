//! When an object is looked at: on a grid of its own, so that nothing drifts and not all are looked at together.

use std::time::Duration;

use tokio::time::Instant;

use crate::api::connector::TeamsConnectorHealth;
use crate::controller::reconcile::Action;

/// A look that begins later than this part of the interval is late.
const LATE: f64 = 0.1;
/// The schema admits no shorter interval; a text that cannot be read counts as the default.
const SHORTEST: Duration = Duration::from_secs(15);
const DEFAULT: Duration = Duration::from_secs(60);

/// What calls for a look.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    generation: i64,
    interval: Duration,
    /// Whether a status speaks of this generation.
    known: bool,
    /// Whether the annotation asks for one now.
    asked: bool,
}

impl Call {
    /// That of an object.
    pub fn new(object: &TeamsConnectorHealth, asked: bool) -> Self {
        let generation = object.metadata.generation.unwrap_or(0);
        let seen = object.status.as_ref().map(|status| status.observed_generation);
        Self {
            generation,
            interval: interval(object),
            known: seen == Some(generation),
            asked,
        }
    }
}

/// Time between two looks.
pub fn interval(object: &TeamsConnectorHealth) -> Duration {
    let seconds = object
        .spec
        .interval
        .seconds()
        .and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(DEFAULT, Duration::from_secs).max(SHORTEST)
}

/// Whether to look now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Yes.
    Look {
        /// Whether it should have been earlier.
        late: bool,
    },
    /// In so long.
    Rest(Duration),
}

/// The looks of one object.
#[derive(Clone, Copy, Debug, Default)]
pub struct Schedule {
    next: Option<(i64, Instant)>,
}

impl Schedule {
    /// Whether it is time, and if so, plans the next look. `chance` is from 0 to 1 and spreads the objects over their intervals.
    pub fn turn(&mut self, call: &Call, now: Instant, chance: f64) -> Turn {
        let (look, due) = match self.next {
            Some((generation, due)) if generation == call.generation && !call.asked => {
                if now < due {
                    return Turn::Rest(due - now);
                }
                let late = (now - due).as_secs_f64() > call.interval.as_secs_f64() * LATE;
                let next = due + call.interval;
                // What was missed is not made up for.
                let next = if next > now { next } else { now + call.interval };
                (Turn::Look { late }, next)
            }
            // A new leader does not look at everything at once. What nobody has looked at yet does not wait.
            None if call.known && !call.asked => {
                let rest = call.interval.mul_f64(chance.clamp(0.0, 1.0));
                self.next = Some((call.generation, now + rest));
                return Turn::Rest(rest);
            }
            _ => {
                // Objects that were made together are spread too, from the second look on.
                let next = now + call.interval.mul_f64(chance.clamp(0.1, 1.0));
                (Turn::Look { late: false }, next)
            }
        };
        self.next = Some((call.generation, due));
        look
    }

    /// When to come back.
    pub fn rest(&self, now: Instant) -> Action {
        match self.next {
            Some((_, due)) => Action::requeue(due.saturating_duration_since(now)),
            None => Action::await_change(),
        }
    }

    /// The next call finds nothing planned.
    pub fn forget(&mut self) {
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const NOW: Turn = Turn::Look { late: false };

    fn call(generation: i64, known: bool) -> Call {
        Call {
            generation,
            interval: MINUTE,
            known,
            asked: false,
        }
    }

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn looks_stay_on_their_grid_however_long_they_take() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        assert_eq!(schedule.turn(&call(1, false), start, 0.5), NOW);
        // The next at 30 s, and then each minute.
        let steps = [
            (10, Turn::Rest(after(20))),
            (30, NOW),
            (31, Turn::Rest(after(59))),
            (95, NOW),
            (95, Turn::Rest(after(55))),
            (157, Turn::Look { late: true }),
            (157, Turn::Rest(after(53))),
            // Three were missed.
            (400, Turn::Look { late: true }),
            (400, Turn::Rest(MINUTE)),
        ];
        for (at, expected) in steps {
            let turn = schedule.turn(&call(1, true), start + after(at), 0.0);
            assert_eq!(turn, expected, "at {at} s");
        }
    }

    #[test]
    fn a_new_leader_spreads_and_what_is_new_does_not_wait() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        assert_eq!(schedule.turn(&call(1, true), start, 0.25), Turn::Rest(after(15)));
        assert_eq!(schedule.turn(&call(1, true), start + after(15), 0.9), NOW);
        assert_eq!(
            schedule.turn(&call(2, false), start + after(16), 1.0),
            NOW,
            "another spec"
        );
        assert_eq!(
            schedule.turn(&call(2, false), start + after(17), 1.0),
            Turn::Rest(after(59))
        );
        let asked = Call {
            asked: true,
            ..call(2, true)
        };
        assert_eq!(schedule.turn(&asked, start + after(18), 1.0), NOW);
        let mut schedule = Schedule::default();
        assert_eq!(schedule.turn(&asked, start, 1.0), NOW);
    }
}
