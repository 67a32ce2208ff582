//! A connector over time: what one look found, in the light of the looks before.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::diagnosis::{Cause, diagnose};
use super::flap::{Limits, Moment, Track, settle};
use super::health::{self, Above, CONDITIONS, Judged};
use super::{Finding, Outcome};
use crate::api::condition::{self, ConditionType, Reason, Truth, Verdict};
use crate::api::connector::{Health, Severity};

/// What is remembered of one connector between two looks.
#[derive(Clone, Debug, Default)]
pub struct Course(HashMap<ConditionType, Remembered>);

#[derive(Clone, Debug)]
struct Remembered {
    track: Track,
    /// The faults that the condition is false for, while it is.
    held: Vec<Finding>,
}

/// What a connector is, all looks considered.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// A verdict for each condition that is asked for, in the order of [`CONDITIONS`].
    pub conditions: Vec<Verdict>,
    /// The verdict on the whole.
    pub healthy: Verdict,
    /// The same in one word.
    pub health: Health,
    /// What is probably wrong.
    pub causes: Vec<Cause>,
}

/// What a look found, and how it is to be taken.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Conditions that the spec asks for.
    pub asked_for: &'a [ConditionType],
    /// What was found.
    pub findings: &'a [Finding],
    /// What was seen elsewhere; it proves a cause and belongs to no condition.
    pub signs: &'a [Finding],
    /// What the status says.
    pub before: &'a [Condition],
    /// Until when at the latest that was true.
    pub judged_before: Option<Timestamp>,
    /// What stands above the conditions.
    pub above: Above,
}

impl Course {
    /// Takes a look in.
    pub fn take(&mut self, look: &Look<'_>, limits: &Limits, at: Moment) -> Standing {
        let mut judged: Vec<Judged> = Vec::new();
        let mut evidence: Vec<Finding> = look.signs.to_vec();
        self.0.retain(|type_, _| is_told(*type_, look));
        for type_ in CONDITIONS {
            if !is_told(type_, look) {
                continue;
            }
            let known = self.0.entry(type_).or_insert_with(|| Remembered {
                track: Track::resumed(look.judged_before, at),
                held: Vec::new(),
            });
            let before = condition::find(look.before, type_).and_then(|before| verdict_of(type_, before));
            let found = health::fold(type_, look.findings);
            let fails = found.as_ref().is_some_and(|found| found.severity.is_some());
            let now_so = settle(type_, &mut known.track, before.as_ref(), found, limits, at);
            let is_false = now_so.verdict.truth == Truth::False;
            if fails || !is_false {
                known.held = look
                    .findings
                    .iter()
                    .filter(|finding| is_fault(finding, type_))
                    .cloned()
                    .collect();
            }
            if is_false {
                evidence.extend(known.held.iter().cloned());
            }
            evidence.extend(
                look.findings
                    .iter()
                    .filter(|finding| speaks(finding, &now_so.verdict))
                    .cloned(),
            );
            judged.push(now_so);
        }
        let (healthy, health) = health::verdict(look.above, &judged);
        Standing {
            conditions: judged.into_iter().map(|judged| judged.verdict).collect(),
            healthy,
            health,
            causes: diagnose(&evidence),
        }
    }
}

/// Whether a condition is told: it was asked for, or something was found out about it all the same.
fn is_told(type_: ConditionType, look: &Look<'_>) -> bool {
    look.asked_for.contains(&type_) || look.findings.iter().any(|finding| finding.condition == type_)
}

fn is_fault(finding: &Finding, type_: ConditionType) -> bool {
    finding.condition == type_ && matches!(finding.outcome, Outcome::Fail(severity, _) if severity != Severity::Info)
}

/// Findings beside the faults that a diagnosis may rest on: what is told for care, and why a condition is unknown.
fn speaks(finding: &Finding, verdict: &Verdict) -> bool {
    if finding.condition != verdict.type_ {
        return false;
    }
    match finding.outcome {
        Outcome::Fail(Severity::Info, _) => true,
        Outcome::Unknown(_) => verdict.truth == Truth::Unknown && verdict.reason != Reason::Settling,
        _ => false,
    }
}

/// A condition of the status, as a verdict. A reason that this version does not know is none.
fn verdict_of(type_: ConditionType, condition: &Condition) -> Option<Verdict> {
    let truth = match condition.status.as_str() {
        "True" => Truth::True,
        "False" => Truth::False,
        _ => Truth::Unknown,
    };
    let reason = Reason::from_name(&condition.reason)?;
    Some(Verdict::new(type_, truth, reason, condition.message.clone()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;

    use super::*;

    const ASKED: &[ConditionType] = &[ConditionType::EndpointReachable, ConditionType::CallsSucceeding];

    fn at(look: u64) -> Moment {
        let seconds = look * 60;
        Moment {
            now: Timestamp::from_second(1_800_000_000 + seconds.cast_signed()).unwrap(),
            elapsed: Duration::from_secs(seconds),
        }
    }

    fn limits() -> Limits {
        Limits {
            failures: 2,
            successes: 2,
            stale_after: SignedDuration::from_secs(180),
            settles: None,
        }
    }

    struct World {
        course: Course,
        status: Vec<Condition>,
        look: u64,
    }

    impl World {
        fn look(&mut self, findings: &[Finding], signs: &[Finding]) -> Standing {
            let look = Look {
                asked_for: ASKED,
                findings,
                signs,
                before: &self.status,
                judged_before: None,
                above: Above::Nothing,
            };
            let standing = self.course.take(&look, &limits(), at(self.look));
            for verdict in &standing.conditions {
                condition::set(&mut self.status, verdict, Some(1), at(self.look).now);
            }
            self.look += 1;
            standing
        }
    }

    fn world() -> World {
        World {
            course: Course::default(),
            status: Vec::new(),
            look: 0,
        }
    }

    fn timeout() -> Finding {
        let (type_, severity) = (ConditionType::EndpointReachable, Severity::Critical);
        Finding::fail(type_, "edge", severity, Reason::ConnectTimeout, "edge: no answer.")
    }

    fn reached() -> Finding {
        Finding::pass(ConditionType::EndpointReachable, "edge", "edge answers.")
    }

    fn calls() -> Finding {
        Finding::pass(ConditionType::CallsSucceeding, "", "Calls succeed.")
    }

    fn codes(standing: &Standing) -> Vec<Reason> {
        standing.causes.iter().map(|cause| cause.code).collect()
    }

    #[test]
    fn a_diagnosis_is_told_as_long_as_its_condition_is_false() {
        let mut world = world();
        let first = world.look(&[timeout(), calls()], &[]);
        assert_eq!(
            (first.health, codes(&first)),
            (Health::Unknown, vec![]),
            "one look is not enough"
        );
        let second = world.look(&[timeout(), calls()], &[]);
        assert_eq!(
            (second.health, codes(&second)),
            (Health::Unhealthy, vec![Reason::ConnectTimeout])
        );
        assert_eq!(second.healthy.reason, Reason::ConnectTimeout);
        let third = world.look(&[reached(), calls()], &[]);
        assert_eq!(codes(&third), [Reason::ConnectTimeout], "nor is one success");
        let fourth = world.look(&[reached(), calls()], &[]);
        assert_eq!((fourth.health, codes(&fourth)), (Health::Healthy, vec![]));
    }

    #[test]
    fn what_was_not_found_out_is_unknown_and_what_is_not_asked_for_is_absent() {
        let mut world = world();
        let standing = world.look(&[reached()], &[]);
        let told: Vec<_> = standing
            .conditions
            .iter()
            .map(|verdict| (verdict.type_, verdict.truth))
            .collect();
        let expected = [
            (ConditionType::EndpointReachable, Truth::True),
            (ConditionType::CallsSucceeding, Truth::Unknown),
        ];
        assert_eq!(told, expected);
        let slip = (ConditionType::CallsSucceeding, Severity::Info, Reason::UserInput);
        let slip = Finding::fail(slip.0, "", slip.1, slip.2, "Some callers typed a wrong ID.");
        let standing = world.look(&[reached(), calls(), slip], &[]);
        assert_eq!(
            (standing.health, codes(&standing)),
            (Health::Healthy, vec![Reason::UserInput])
        );
    }

    #[test]
    fn what_blinds_the_operator_is_told_once_the_condition_is_unknown() {
        let mut world = world();
        world.look(&[reached(), calls()], &[]);
        let type_ = ConditionType::CallsSucceeding;
        let blind = Finding::unknown(type_, "", Reason::FeedDisconnected, "The history cannot be read.");
        let told: Vec<_> = (0..4)
            .map(|_| codes(&world.look(&[reached(), blind.clone()], &[])).len())
            .collect();
        assert_eq!(told, [0, 0, 1, 1]);
    }

    #[test]
    fn a_new_controller_goes_on_where_the_status_stands() {
        let mut world = world();
        for _ in 0..2 {
            world.look(&[timeout(), calls()], &[]);
        }
        world.course = Course::default();
        let standing = world.look(&[reached(), calls()], &[]);
        assert_eq!(
            (standing.health, standing.healthy.reason),
            (Health::Unhealthy, Reason::ConnectTimeout)
        );
        let standing = world.look(&[reached(), calls()], &[]);
        assert_eq!(standing.health, Health::Healthy);
    }
}
