//! Calls of the history, with the errors that only the support log tells.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::calls::{CallEnd, CallRecord};
use super::{Answer, Node};
use crate::api::connector::Pexip;

/// A failure of the log without a known call belongs to a call that failed so near to it.
const NEAR: SignedDuration = SignedDuration::from_mins(1);

/// A request to the connector that failed, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
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

/// Gives calls the errors that the log has for them. What is logged of one call counts once. Returned is what belongs to none of
/// these calls.
pub fn explain<'a>(calls: impl IntoIterator<Item = &'a mut Known>, logged: &[Logged]) -> Vec<CallRecord> {
    let mut calls: Vec<&mut Known> = calls.into_iter().collect();
    let mut by_id: HashMap<Arc<str>, usize> = HashMap::new();
    for (at, call) in calls.iter().enumerate() {
        by_id.extend(call.ids.iter().flatten().map(|id| (id.clone(), at)));
    }
    let mut told = HashSet::new();
    let once: Vec<&Logged> = logged
        .iter()
        .filter(|one| one.call.as_ref().is_none_or(|call| told.insert(call.clone())))
        .collect();
    let mut left = Vec::new();
    for one in once {
        let known = one.call.as_ref().and_then(|call| by_id.get(call).copied());
        if let Some(at) = known
            && let Some(call) = calls.get_mut(at)
        {
            call.record.end = one.end;
        } else {
            left.push(one);
        }
    }
    // Those that say how they failed in other words cannot be it.
    let may_be = |end: CallEnd| matches!(end, CallEnd::DialOutFailed | CallEnd::Rejected | CallEnd::Other);
    let mut open: Vec<&mut Known> = calls.into_iter().filter(|call| may_be(call.record.end)).collect();
    left.retain(|one| match nearest(&open, one) {
        Some(at) => {
            open.swap_remove(at).record.end = one.end;
            false
        }
        None => true,
    });
    let own = |one: &Logged| CallRecord {
        ended: one.at,
        end: one.end,
        digits: None,
    };
    left.into_iter().map(own).collect()
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
        ];
        assert_eq!(explain(&mut calls, &log), [], "tries of one call count once");
        assert_eq!(ends(&calls), [Unauthorized, ServerError, Completed]);
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
        let left = explain(&mut calls, &log);
        assert_eq!(ends(&calls), [Unauthorized, Unauthorized, Completed, InvalidId]);
        let ended: Vec<Timestamp> = left.iter().map(|one| one.ended).collect();
        assert_eq!(ended, [ago(101), ago(10)], "calls of their own");
        assert!(left.iter().all(|one| one.end == Unauthorized && one.digits.is_none()));
    }
}
