//! Calls of the history, with the errors that only the support log tells.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::calls::{CallEnd, CallRecord};
use super::{Answer, Node};
use crate::api::connector::Pexip;

/// A failure of the log without a known call belongs to a call that failed so near to it.
const NEAR: SignedDuration = SignedDuration::from_mins(1);
/// For so many of these, the latest, a call is looked for: anybody may write lines, and each is compared with all calls.
const MOST_NEAR: usize = 1000;

/// A request to the connector that failed, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its place among all that was logged.
    pub number: u64,
    /// When, by the clock of the Management Node.
    pub at: Timestamp,
    /// The call that it was for.
    pub call: Option<Arc<str>>,
    /// With which error.
    pub end: CallEnd,
}

/// A call that the history tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The call.
    pub record: CallRecord,
    /// The ids under which it may be logged.
    pub ids: [Option<Arc<str>>; 2],
}

/// Names under which the nodes of a deployment may write, in lower case: in full, and without the domain.
pub fn writers(spec: &Pexip, nodes: &Answer<Vec<Node>>) -> HashSet<String> {
    let configured = nodes.iter().flatten();
    let configured = configured.flat_map(|node| [&node.name, &node.fqdn].into_iter().chain(&node.alternative));
    let names = configured.chain(&spec.node_fqdns).map(|name| name.to_ascii_lowercase());
    names
        .flat_map(|name| {
            let host = name.split('.').next().unwrap_or_default().to_owned();
            [name, host]
        })
        .filter(|name| !name.is_empty())
        .collect()
}

/// Gives calls the errors that the log has for them. What is logged of one call counts once. The calls are complete up to
/// `settled`: what was logged later and not under the id of one of them waits for its own. Returned is what belongs to none of these
/// calls, with its number.
pub fn explain<'a>(
    calls: impl IntoIterator<Item = &'a mut Known>,
    logged: &[Logged],
    settled: Timestamp,
) -> Vec<(u64, CallRecord)> {
    let mut calls: Vec<&mut Known> = calls.into_iter().collect();
    let left = explain_by_id(&mut calls, logged);
    let mut left: Vec<&Logged> = left.into_iter().filter(|one| one.at <= settled).collect();
    // Those that say how they failed in other words cannot be it.
    let may_be = |end: CallEnd| matches!(end, CallEnd::DialOutFailed | CallEnd::Rejected | CallEnd::Other);
    let mut open: Vec<&mut Known> = calls.into_iter().filter(|call| may_be(call.record.end)).collect();
    let latest = left.split_off(left.len().saturating_sub(MOST_NEAR));
    let without = latest.into_iter().filter(|one| match nearest(&open, one) {
        Some(at) => {
            open.swap_remove(at).record.end = one.end;
            false
        }
        None => true,
    });
    left.extend(without.collect::<Vec<_>>());
    let own = |one: &Logged| CallRecord {
        ended: one.at,
        end: one.end,
        digits: None,
    };
    left.into_iter().map(|one| (one.number, own(one))).collect()
}

/// The same by ids alone. Returned is what has none of these.
fn explain_by_id<'a>(calls: &mut [&mut Known], logged: &'a [Logged]) -> Vec<&'a Logged> {
    let mut by_id: HashMap<Arc<str>, usize> = HashMap::new();
    for (at, call) in calls.iter().enumerate() {
        by_id.extend(call.ids.iter().flatten().map(|id| (id.clone(), at)));
    }
    let mut told = HashSet::new();
    let mut left = Vec::new();
    for one in logged {
        if one.call.as_ref().is_some_and(|call| !told.insert(call)) {
            continue;
        }
        let known = one.call.as_ref().and_then(|call| by_id.get(call).copied());
        match known.and_then(|at| calls.get_mut(at)) {
            // A later try got through.
            Some(call) if call.record.end == CallEnd::Completed => {}
            Some(call) => call.record.end = one.end,
            None => left.push(one),
        }
    }
    left
}

/// The nearest of these calls that failed.
fn nearest(calls: &[&mut Known], one: &Logged) -> Option<usize> {
    let distance = |call: &Known| call.record.ended.duration_since(one.at).abs();
    let near = calls
        .iter()
        .map(|call| distance(call))
        .enumerate()
        .filter(|(_, distance)| *distance <= NEAR);
    near.min_by_key(|(_, distance)| *distance).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ago, spec, world};
    use super::*;
    use crate::policy::connector::pexip::ApiFault;

    fn call(id: &str, seconds: i64, end: CallEnd) -> Known {
        Known {
            record: CallRecord {
                ended: ago(seconds),
                end,
                digits: Some(9),
            },
            ids: [Some(id.into()), None],
        }
    }

    fn logged(call: Option<&str>, seconds: i64, end: CallEnd) -> Logged {
        Logged {
            number: 1000 - u64::try_from(seconds).unwrap(),
            at: ago(seconds),
            call: call.map(Into::into),
            end,
        }
    }

    fn ends(calls: &[Known]) -> Vec<CallEnd> {
        calls.iter().map(|call| call.record.end).collect()
    }

    #[test]
    fn nodes_write_under_their_names_with_and_without_the_domain() {
        let mut nodes = world().configuration.nodes.unwrap();
        nodes[0].alternative = Some("Edge.example.net".into());
        nodes[0].name = "Node 1".into();
        let mut spec = spec();
        spec.node_fqdns = vec!["other.example.com".into()];
        let mut names: Vec<String> = writers(&spec, &Ok(nodes)).into_iter().collect();
        names.sort_unstable();
        let known = ["edge", "edge.example.net", "edge01", "edge01.example.com", "node 1"];
        assert_eq!(names, [&known[..], &["other", "other.example.com"]].concat());
        let unknown = writers(&spec, &Err(ApiFault::Forbidden));
        assert_eq!(unknown.len(), 2, "what the spec has is known without the manager");
    }

    #[test]
    fn a_call_gets_the_error_that_is_logged_under_its_id() {
        use CallEnd::{Completed, DialOutFailed, ServerError, Unauthorized};
        let mut calls = [
            call("a", 100, DialOutFailed),
            call("b", 100, DialOutFailed),
            call("c", 100, Completed),
        ];
        calls[1].ids[1] = Some("b2".into());
        let log = [
            logged(Some("a"), 101, Unauthorized),
            logged(Some("a"), 100, Unauthorized),
            logged(Some("b2"), 900, ServerError),
            logged(Some("c"), 101, Unauthorized),
        ];
        let left = explain(&mut calls, &log, ago(500));
        assert_eq!(left, [], "tries of one call count once, and an id needs not wait");
        assert_eq!(
            ends(&calls),
            [Unauthorized, ServerError, Completed],
            "one that went through after all did not fail"
        );
    }

    #[test]
    fn without_its_id_the_nearest_call_that_failed_gets_it() {
        use CallEnd::{Completed, DialOutFailed, InvalidId, Unauthorized};
        let mut calls = [
            call("a", 160, DialOutFailed),
            call("b", 95, DialOutFailed),
            call("c", 100, Completed),
            call("d", 100, InvalidId),
        ];
        let log = [
            logged(None, 100, Unauthorized),
            logged(Some("sip"), 100, Unauthorized),
            logged(Some("other"), 101, Unauthorized),
            logged(Some("later"), 10, Unauthorized),
        ];
        let left = explain(&mut calls, &log, ago(0));
        assert_eq!(ends(&calls), [Unauthorized, Unauthorized, Completed, InvalidId]);
        let found: Vec<(u64, Timestamp)> = left.iter().map(|(number, one)| (*number, one.ended)).collect();
        assert_eq!(found, [(899, ago(101)), (990, ago(10))], "calls of their own");
        assert!(
            left.iter()
                .all(|(_, one)| one.end == Unauthorized && one.digits.is_none())
        );
    }

    #[test]
    fn what_was_logged_a_moment_ago_waits_for_its_call() {
        use CallEnd::{DialOutFailed, Unauthorized};
        let mut calls = [call("a", 100, DialOutFailed)];
        let log = [
            logged(None, 101, Unauthorized),
            logged(Some("b"), 99, Unauthorized),
            logged(Some("c"), 60, Unauthorized),
        ];
        assert_eq!(explain(&mut calls, &log, ago(120)), []);
        assert_eq!(ends(&calls), [DialOutFailed], "it may be another's");
        // Then it came.
        let mut calls = [call("a", 100, DialOutFailed), call("b", 99, DialOutFailed)];
        let left = explain(&mut calls, &log[1..], ago(61));
        assert_eq!((left, ends(&calls)), (Vec::new(), vec![DialOutFailed, Unauthorized]));
    }

    #[test]
    fn only_the_latest_lines_are_compared_with_all_calls() {
        use CallEnd::{DialOutFailed, Unauthorized};
        let mut calls = [call("a", 100, DialOutFailed)];
        let log: Vec<Logged> = (0..=MOST_NEAR)
            .map(|_| logged(None, 100, Unauthorized))
            .chain([logged(Some("x"), 500, Unauthorized)])
            .rev()
            .collect();
        let left = explain(&mut calls, &log, ago(0));
        assert_eq!(left.len(), MOST_NEAR + 1);
        assert_eq!(left[0].1.ended, ago(500), "in their order");
    }
}
