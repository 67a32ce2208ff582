//! What to do about one object: an ordered list of checks that ends in exactly one [`Plan`].

use jiff::Timestamp;

use crate::policy::subscription::{DELETION_PATIENCE, Refusal};

/// What became of the request to take everything back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Released {
    /// It was not made.
    #[default]
    NotAsked,
    /// Nothing is left.
    Done,
    /// Something is left, and why.
    Remains(String),
    /// The worker gave no answer, and why.
    Unanswered(String),
}

/// All that a decision rests on.
#[allow(clippy::struct_excessive_bools)] // independent facts, not states
#[derive(Clone, Debug)]
pub struct Situation {
    /// Now, by this cluster's clock, as the other times.
    pub now: Timestamp,
    /// When deletion was asked for.
    pub deleted_at: Option<Timestamp>,
    /// Whether the namespace is going away.
    pub namespace_terminating: bool,
    /// Whether the spec asks for rest.
    pub suspend: bool,
    /// Whether the worker is wanted: its StatefulSet exists and asks for a pod.
    pub worker_wanted: bool,
    /// Whether a pod of it exists.
    pub worker_exists: bool,
    /// Whether the worker has stopped for good, by its own word, though its spec does not ask for it.
    pub worker_stopped: bool,
    /// Since when it is asked to take everything back.
    pub releasing_since: Option<Timestamp>,
    /// What came of that.
    pub released: Released,
    /// Why no worker can be built or changed.
    pub refusal: Option<Refusal>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Ask the worker to take back what it wrote, then decide again.
    Release,
    /// Give it time, for this reason.
    Wait {
        /// Why it is not done.
        why: String,
    },
    /// Let the object go. What was not taken back, and why, if anything.
    LetGo {
        /// Why something may be left.
        abandoned: Option<String>,
    },
    /// Run no worker.
    Rest {
        /// Why something may be left.
        abandoned: Option<String>,
    },
    /// End a worker that has stopped, so that a new one begins.
    Restart,
    /// Leave at work what was built before.
    Refuse(Refusal),
    /// Build what the spec says.
    Run,
}

/// Decides. Called again with [`Situation::released`] filled after [`Plan::Release`].
pub fn plan(situation: &Situation) -> Plan {
    if let Some(deleted_at) = situation.deleted_at {
        return ending(situation, deleted_at, |abandoned| Plan::LetGo { abandoned });
    }
    if situation.suspend {
        let since = situation.releasing_since.unwrap_or(situation.now);
        return ending(situation, since, |abandoned| Plan::Rest { abandoned });
    }
    // One that took everything back does nothing any more, whatever its configuration says later.
    let stopped = situation.releasing_since.is_some() || situation.worker_stopped;
    if stopped && situation.worker_exists {
        return Plan::Restart;
    }
    match &situation.refusal {
        Some(refusal) => Plan::Refuse(refusal.clone()),
        None => Plan::Run,
    }
}

/// An end that always comes: what the worker wrote in Teams expires by itself, and a PBX is no reason to hold a namespace.
fn ending(situation: &Situation, since: Timestamp, end: impl Fn(Option<String>) -> Plan) -> Plan {
    if !situation.worker_wanted {
        return end(None);
    }
    let out_of_time = situation.now >= since + DELETION_PATIENCE;
    match &situation.released {
        Released::NotAsked => Plan::Release,
        Released::Done => end(None),
        // The namespace ends its pods in any order.
        Released::Unanswered(why) if situation.namespace_terminating => end(Some(why.clone())),
        Released::Remains(why) | Released::Unanswered(why) if out_of_time => end(Some(why.clone())),
        Released::Remains(why) | Released::Unanswered(why) => Plan::Wait { why: why.clone() },
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::api::condition::Reason;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn running() -> Situation {
        Situation {
            now: NOW,
            deleted_at: None,
            namespace_terminating: false,
            suspend: false,
            worker_wanted: true,
            worker_exists: true,
            worker_stopped: false,
            releasing_since: None,
            released: Released::NotAsked,
            refusal: None,
        }
    }

    fn ago(minutes: i64) -> Timestamp {
        NOW - SignedDuration::from_mins(minutes)
    }

    fn why() -> String {
        "3 entries".to_owned()
    }

    type Change = fn(&mut Situation);

    #[test]
    #[allow(clippy::too_many_lines)] // a table
    fn every_situation_has_its_plan() {
        let refusal = Refusal::waiting(Reason::TenantNotFound, "no tenant");
        let rest = |abandoned: Option<String>| Plan::Rest { abandoned };
        let go = |abandoned: Option<String>| Plan::LetGo { abandoned };
        let wait = || Plan::Wait { why: why() };
        let cases: Vec<(&str, Change, Plan)> = vec![
            ("nothing is wrong", |_| {}, Plan::Run),
            (
                "nothing is built yet",
                |s| {
                    s.worker_wanted = false;
                    s.worker_exists = false;
                },
                Plan::Run,
            ),
            (
                "a tenant is missing",
                |s| s.refusal = Some(Refusal::waiting(Reason::TenantNotFound, "no tenant")),
                Plan::Refuse(refusal),
            ),
            // rest
            ("suspended", |s| s.suspend = true, Plan::Release),
            (
                "suspended, taken back",
                |s| {
                    s.suspend = true;
                    s.released = Released::Done;
                },
                rest(None),
            ),
            (
                "suspended, and something is left",
                |s| {
                    s.suspend = true;
                    s.releasing_since = Some(ago(9));
                    s.released = Released::Remains(why());
                },
                wait(),
            ),
            (
                "suspended, and something stays",
                |s| {
                    s.suspend = true;
                    s.releasing_since = Some(ago(10));
                    s.released = Released::Remains(why());
                },
                rest(Some(why())),
            ),
            (
                "suspended, and nobody answers",
                |s| {
                    s.suspend = true;
                    s.releasing_since = Some(ago(10));
                    s.released = Released::Unanswered(why());
                },
                rest(Some(why())),
            ),
            (
                "suspended before anything was built",
                |s| {
                    s.suspend = true;
                    s.worker_wanted = false;
                },
                rest(None),
            ),
            (
                "suspended, whatever is missing",
                |s| {
                    s.suspend = true;
                    s.released = Released::Done;
                    s.refusal = Some(Refusal::waiting(Reason::SecretNotFound, ""));
                },
                rest(None),
            ),
            // and work again
            (
                "no longer suspended, in the midst of it",
                |s| s.releasing_since = Some(ago(1)),
                Plan::Restart,
            ),
            (
                "the same after a restart of the controller",
                |s| s.worker_stopped = true,
                Plan::Restart,
            ),
            (
                "no longer suspended, and its pod is gone",
                |s| {
                    s.releasing_since = Some(ago(1));
                    s.worker_wanted = false;
                    s.worker_exists = false;
                },
                Plan::Run,
            ),
            // deletion
            ("deleted", |s| s.deleted_at = Some(ago(0)), Plan::Release),
            (
                "deleted, taken back",
                |s| {
                    s.deleted_at = Some(ago(0));
                    s.released = Released::Done;
                },
                go(None),
            ),
            (
                "deleted before anything was built",
                |s| {
                    s.deleted_at = Some(ago(0));
                    s.worker_wanted = false;
                },
                go(None),
            ),
            (
                "deleted while suspended",
                |s| {
                    s.deleted_at = Some(ago(0));
                    s.suspend = true;
                    s.worker_wanted = false;
                },
                go(None),
            ),
            (
                "deleted, and something is left",
                |s| {
                    s.deleted_at = Some(ago(9));
                    s.released = Released::Remains(why());
                },
                wait(),
            ),
            (
                "deleted, and something stays",
                |s| {
                    s.deleted_at = Some(ago(10));
                    s.released = Released::Remains(why());
                },
                go(Some(why())),
            ),
            (
                "deleted, and nobody answers",
                |s| {
                    s.deleted_at = Some(ago(9));
                    s.released = Released::Unanswered(why());
                },
                wait(),
            ),
            (
                "deleted, and nobody ever answers",
                |s| {
                    s.deleted_at = Some(ago(10));
                    s.released = Released::Unanswered(why());
                },
                go(Some(why())),
            ),
            (
                "deleted with its namespace, and nobody answers",
                |s| {
                    s.deleted_at = Some(ago(0));
                    s.namespace_terminating = true;
                    s.released = Released::Unanswered(why());
                },
                go(Some(why())),
            ),
            (
                "deleted with its namespace, and something is left",
                |s| {
                    s.deleted_at = Some(ago(0));
                    s.namespace_terminating = true;
                    s.released = Released::Remains(why());
                },
                wait(),
            ),
        ];
        for (name, change, expected) in cases {
            let mut situation = running();
            change(&mut situation);
            assert_eq!(plan(&situation), expected, "{name}");
        }
    }

    /// Whatever the worker does, a deletion and a suspension end within the patience.
    #[test]
    fn nothing_holds_an_end_for_ever() {
        let answers = [Released::Done, Released::Remains(why()), Released::Unanswered(why())];
        for answer in answers {
            for (terminating, suspend) in [(false, false), (true, false), (false, true)] {
                let situation = Situation {
                    deleted_at: (!suspend).then(|| ago(10)),
                    releasing_since: Some(ago(10)),
                    namespace_terminating: terminating,
                    suspend,
                    released: answer.clone(),
                    ..running()
                };
                let plan = plan(&situation);
                assert!(
                    matches!(plan, Plan::LetGo { .. } | Plan::Rest { .. }),
                    "{situation:?}: {plan:?}"
                );
            }
        }
    }
}
