use crate::api::condition::ConditionType::CallsSucceeding;
use crate::api::connector::DigitRange;
use crate::policy::connector::pexip::calls::{CallCounts, CallEnd, CallRecord, CallResult, count};
use crate::policy::connector::pexip::testing::{ago, calls, world};
use crate::policy::connector::pexip::*;

fn told(calls: Vec<CallRecord>) -> Vec<String> {
    let mut world = world();
    world.calls = Some(Ok(calls));
    world.told(CallsSucceeding)
}

#[test]
fn single_failures_are_noise_and_many_are_not() {
    use CallEnd::{Completed, DialOutFailed, Other, Rejected, ServerError, Unauthorized};
    for (ends, expected) in [
        (vec![], vec!["Unknown NoTraffic"]),
        (vec![(Completed, 1)], vec![]),
        (vec![(DialOutFailed, 1)], vec!["Unknown NoTraffic"]),
        (vec![(DialOutFailed, 3)], vec!["Warning GatewayDialOutFailed"]),
        (vec![(DialOutFailed, 4), (Completed, 1)], vec![]),
        (vec![(DialOutFailed, 1), (Completed, 10)], vec![]),
        (
            vec![(DialOutFailed, 1), (Completed, 9)],
            vec!["Warning GatewayDialOutFailed"],
        ),
        (vec![(Rejected, 5), (Completed, 6)], vec!["Warning CallRejected"]),
        (
            vec![(DialOutFailed, 9), (Completed, 1)],
            vec!["Critical GatewayDialOutFailed"],
        ),
        (
            vec![(DialOutFailed, 8), (Completed, 2)],
            vec!["Warning GatewayDialOutFailed"],
        ),
        (vec![(Rejected, 10)], vec!["Critical CallRejected"]),
        (vec![(Unauthorized, 3), (Completed, 100)], vec![]),
        (
            vec![(Unauthorized, 4), (Completed, 100)],
            vec!["Critical ApiUnauthorized"],
        ),
        (
            vec![(ServerError, 4), (Completed, 100)],
            vec!["Critical ApiServerError"],
        ),
        (vec![(Other, 20)], vec!["Critical GatewayDialOutFailed"]),
    ] {
        assert_eq!(told(calls(&ends)), expected, "{ends:?}");
    }
}

#[test]
fn calls_of_long_ago_do_not_count() {
    let mut old = calls(&[(CallEnd::DialOutFailed, 50)]);
    for call in &mut old {
        call.ended = ago(16 * 60);
    }
    assert_eq!(told(old.clone()), ["Unknown NoTraffic"]);
    old.extend(calls(&[(CallEnd::Completed, 1)]));
    assert_eq!(told(old), Vec::<String>::new());
}

#[test]
fn slips_of_callers_are_no_fault_of_the_connector() {
    let slip = |count| {
        let mut slips = calls(&[(CallEnd::DialOutFailed, count)]);
        for call in &mut slips {
            call.digits = Some(8);
        }
        slips
    };
    let mut mixed = slip(5);
    mixed.extend(calls(&[(CallEnd::Completed, 20)]));
    assert_eq!(told(mixed.clone()), ["Info UserInput user input"]);
    assert_eq!(
        count(&mixed, DigitRange { min: 9, max: 13 }),
        CallCounts {
            ok: 20,
            user_input: 5,
            failed: std::collections::BTreeMap::new()
        }
    );
    // When nearly all calls fail, a rule is wrong rather than everybody's fingers.
    assert_eq!(
        told(slip(20)),
        ["Critical GatewayDialOutFailed", "Info UserInput user input"]
    );
}

#[test]
fn results_depend_on_the_digits() {
    let range = DigitRange { min: 9, max: 13 };
    for (end, digits, expected) in [
        (CallEnd::Completed, Some(3), CallResult::Ok),
        (CallEnd::DialOutFailed, Some(8), CallResult::UserInput),
        (CallEnd::DialOutFailed, Some(9), CallResult::Failed),
        (CallEnd::DialOutFailed, Some(13), CallResult::Failed),
        (CallEnd::Rejected, Some(14), CallResult::UserInput),
        (CallEnd::Rejected, None, CallResult::Failed),
        (CallEnd::InvalidId, Some(9), CallResult::UserInput),
        (CallEnd::Unauthorized, Some(8), CallResult::Failed),
        (CallEnd::ServerError, Some(8), CallResult::Failed),
        (CallEnd::Other, None, CallResult::Failed),
    ] {
        let ended = ago(1);
        let call = CallRecord { ended, end, digits };
        assert_eq!(call.result(range), expected, "{call:?}");
    }
}

#[test]
fn reasons_are_read() {
    for (text, expected) in [
        ("Gateway dial out failed", CallEnd::DialOutFailed),
        ("gateway dial out failed: no answer", CallEnd::DialOutFailed),
        ("Call rejected", CallEnd::Rejected),
        ("Teams API request failed: 401", CallEnd::Unauthorized),
        ("Teams API request failed Error=\"500\"", CallEnd::ServerError),
        ("Teams API request failed", CallEnd::Other),
        ("Conference ID invalid", CallEnd::InvalidId),
        ("Cannot connect to this extension", CallEnd::InvalidId),
        ("Call disconnected", CallEnd::Completed),
        ("User initiated disconnect", CallEnd::Completed),
        ("Media timeout", CallEnd::Other),
        ("Insufficient licenses", CallEnd::Other),
        ("", CallEnd::Completed),
        // Keys are matched, not numbers anywhere.
        ("Participant 401 left", CallEnd::Completed),
    ] {
        assert_eq!(CallEnd::read(text), expected, "{text}");
    }
}

#[test]
fn a_history_that_cannot_be_read_is_unknown_and_one_that_is_not_asked_for_is_absent() {
    let mut denied = world();
    denied.calls = Some(Err(ApiFault::Forbidden.into()));
    assert_eq!(denied.told(CallsSucceeding), ["Unknown FeedDisconnected"]);
    let mut silent = world();
    silent.calls = None;
    assert!(silent.findings().iter().all(|one| one.condition != CallsSucceeding));
}
