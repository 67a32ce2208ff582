#![allow(clippy::unnecessary_wraps)] // they stand in fields that are optional

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::json;

use super::*;
use crate::api::condition::time;
use crate::api::subscription::{ChangeType, DeletionPolicy, Failure};
use crate::policy::quota::{self, Full};

mod properties;

const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3600;
const MINUTES: i64 = 4225;

fn at(offset: i64) -> Timestamp {
    Timestamp::from_second(NOW + offset).unwrap()
}

fn at_time(offset: i64) -> Option<Time> {
    Some(time(at(offset)))
}

fn spec() -> GraphSubscriptionSpec {
    serde_json::from_value(json!({
        "tenantRef": { "name": "contoso" },
        "receiverRef": { "name": "calls" },
        "resource": "communications/callRecords",
        "changeTypes": ["Created", "Updated"],
    }))
    .unwrap()
}

fn app() -> AppView {
    AppView {
        fingerprint: "app".to_owned(),
        permissions: Some(vec!["CallRecords.Read.All".to_owned()]),
    }
}

fn endpoint() -> EndpointView {
    EndpointView {
        notification_url: "n".to_owned(),
        lifecycle_url: "l".to_owned(),
        client_state: "c".to_owned(),
        ready: true,
        proven: true,
    }
}

fn applied() -> Applied {
    Applied {
        resource: "communications/callRecords".to_owned(),
        change_type: "created,updated".to_owned(),
        app: "app".to_owned(),
        notification_url: "n".to_owned(),
        lifecycle_url: "l".to_owned(),
        client_state: "c".to_owned(),
        lifetime_minutes: MINUTES,
        notification_query_options: None,
    }
}

/// Subscribed an hour ago, to be renewed in a day, expiring in two.
fn subscribed() -> GraphSubscriptionStatus {
    GraphSubscriptionStatus {
        observed_generation: 1,
        subscription_id: Some("s1".to_owned()),
        expiration_time: at_time(48 * HOUR),
        renewal_time: at_time(24 * HOUR),
        last_renewal_time: at_time(-HOUR),
        applied: Some(applied()),
        ..Default::default()
    }
}

fn failed(not_before: i64) -> Option<Failure> {
    Some(Failure {
        count: 3,
        time: time(at(-1)),
        not_before: time(at(not_before)),
        reason: "Throttled".to_owned(),
        basis: None,
    })
}

#[derive(Clone, Debug)]
struct Case {
    spec: GraphSubscriptionSpec,
    status: GraphSubscriptionStatus,
    deleted_at: Option<Timestamp>,
    namespace_terminating: bool,
    app: Result<AppView, Refusal>,
    endpoint: Result<EndpointView, Refusal>,
    endpoint_recovered: bool,
    rival: Option<String>,
    remote: Remote,
    full: Option<Full>,
    lifecycle: Vec<Lifecycle>,
    look: Look,
}

fn case(status: GraphSubscriptionStatus) -> Case {
    Case {
        spec: spec(),
        status,
        deleted_at: None,
        namespace_terminating: false,
        app: Ok(app()),
        endpoint: Ok(endpoint()),
        endpoint_recovered: false,
        rival: None,
        remote: Remote::NotAsked,
        full: None,
        lifecycle: Vec::new(),
        look: Look::Usual,
    }
}

fn situation(case: &Case) -> Situation<'_> {
    Situation {
        now: at(0),
        uid: "uid",
        generation: 1,
        spec: &case.spec,
        status: &case.status,
        deleted_at: case.deleted_at,
        namespace_terminating: case.namespace_terminating,
        app: case.app.clone(),
        endpoint: case.endpoint.clone(),
        endpoint_recovered: case.endpoint_recovered,
        rival: case.rival.clone(),
        remote: case.remote.clone(),
        full: case.full,
        lifecycle: &case.lifecycle,
        look: case.look,
    }
}

fn decide(case: &Case) -> Plan {
    plan(&situation(case))
}

fn remote(matches: bool) -> RemoteView {
    RemoteView {
        id: "s9".to_owned(),
        expiration: at(HOUR),
        matches,
    }
}

fn renew() -> Plan {
    Plan::Renew {
        id: "s1".to_owned(),
        minutes: MINUTES,
        move_url: false,
    }
}

fn create(cause: Cause) -> Plan {
    Plan::Create {
        minutes: MINUTES,
        cause,
    }
}

fn lifecycle(event: LifecycleEvent, id: &str, received: i64) -> Vec<Lifecycle> {
    vec![Lifecycle {
        event,
        subscription_id: Some(id.to_owned()),
        received: at(received),
    }]
}

fn refused(plan: &Plan) -> (Reason, bool) {
    match plan {
        Plan::Refuse(refusal) => (refusal.reason, refusal.stalled),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_new_object_is_looked_up_before_it_is_created() {
    let fresh = GraphSubscriptionStatus::default;
    assert_eq!(decide(&case(fresh())), Plan::LookUp);
    assert_eq!(
        decide(&Case {
            remote: Remote::Absent,
            ..case(fresh())
        }),
        create(Cause::First)
    );
    assert_eq!(
        decide(&Case {
            remote: Remote::Present(remote(true)),
            ..case(fresh())
        }),
        Plan::Adopt(remote(true))
    );
    assert_eq!(
        decide(&Case {
            remote: Remote::Present(remote(false)),
            ..case(fresh())
        }),
        Plan::Replace {
            id: "s9".to_owned(),
            minutes: MINUTES,
            cause: Cause::First
        }
    );
}

#[test]
fn a_create_whose_outcome_is_unknown_is_looked_up() {
    let status = GraphSubscriptionStatus {
        create_pending_since: at_time(-5),
        ..subscribed()
    };
    assert_eq!(decide(&case(status)), Plan::LookUp);
}

#[test]
fn a_live_subscription_is_kept_until_its_renewal() {
    assert_eq!(decide(&case(subscribed())), Plan::Keep { until: at(24 * HOUR) });
    let due = GraphSubscriptionStatus {
        renewal_time: at_time(0),
        ..subscribed()
    };
    assert_eq!(decide(&case(due)), renew());
    let just_renewed = GraphSubscriptionStatus {
        renewal_time: at_time(0),
        last_renewal_time: at_time(-60),
        ..subscribed()
    };
    assert_eq!(decide(&case(just_renewed.clone())), Plan::Keep { until: at(540) });
    let expires_before_that = GraphSubscriptionStatus {
        expiration_time: at_time(500),
        ..just_renewed
    };
    assert_eq!(decide(&case(expires_before_that)), renew());
}

#[test]
fn a_lapsed_subscription_is_looked_up_and_created_anew() {
    let lapsed = || GraphSubscriptionStatus {
        expiration_time: at_time(-7),
        ..subscribed()
    };
    assert_eq!(decide(&case(lapsed())), Plan::LookUp);
    let absent = Case {
        remote: Remote::Absent,
        ..case(lapsed())
    };
    assert_eq!(
        decide(&absent),
        create(Cause::Lapsed(at(-HOUR))),
        "it may have been removed before"
    );
}

#[test]
fn drift_is_patched_where_graph_allows_and_replaced_where_not() {
    let with = |change: fn(&mut Applied)| {
        let mut status = subscribed();
        change(status.applied.as_mut().unwrap());
        decide(&case(status))
    };
    let replace = Plan::Replace {
        id: "s1".to_owned(),
        minutes: MINUTES,
        cause: Cause::Replaced(at(0)),
    };
    let other = Plan::Replace {
        id: "s1".to_owned(),
        minutes: MINUTES,
        cause: Cause::First,
    };
    assert_eq!(with(|applied| applied.resource = "users".to_owned()), other);
    assert_eq!(with(|applied| applied.change_type = "created".to_owned()), replace);
    assert_eq!(with(|applied| applied.client_state = "old".to_owned()), replace);
    assert_eq!(with(|applied| applied.lifecycle_url = "old".to_owned()), replace);
    assert_eq!(
        with(|applied| applied.notification_query_options = Some("x".to_owned())),
        replace
    );
    let moved = Plan::Renew {
        id: "s1".to_owned(),
        minutes: MINUTES,
        move_url: true,
    };
    assert_eq!(with(|applied| applied.notification_url = "old".to_owned()), moved);
    assert_eq!(with(|applied| applied.lifetime_minutes = 60), renew());
    assert_eq!(with(|applied| applied.app = "other".to_owned()), Plan::LookUp);
}

#[test]
fn lifecycle_events_are_acted_on_once() {
    use LifecycleEvent::{Missed, ReauthorizationRequired, SubscriptionRemoved};
    let told = |event, id, received| {
        decide(&Case {
            lifecycle: lifecycle(event, id, received),
            ..case(subscribed())
        })
    };
    let keep = Plan::Keep { until: at(24 * HOUR) };
    assert_eq!(told(ReauthorizationRequired, "s1", -1), renew());
    assert_eq!(
        told(ReauthorizationRequired, "s0", -1),
        keep,
        "of an earlier subscription"
    );
    assert_eq!(
        told(ReauthorizationRequired, "s1", -2 * HOUR),
        keep,
        "answered by the renewal since"
    );
    assert_eq!(told(SubscriptionRemoved, "s1", -1), Plan::LookUp);
    assert_eq!(told(SubscriptionRemoved, "s0", -1), keep);
    assert_eq!(told(Missed, "s1", -1), keep);
    let removed = Case {
        lifecycle: lifecycle(SubscriptionRemoved, "s1", -9),
        remote: Remote::Absent,
        ..case(subscribed())
    };
    assert_eq!(decide(&removed), create(Cause::Removed(at(-HOUR))));
    // The word may come hours later, while the receiver is away. Never renewed nor heard of, it lived when it was made.
    let made = Condition {
        type_: ConditionType::Subscribed.to_string(),
        status: "True".to_owned(),
        reason: Reason::Created.to_string(),
        message: String::new(),
        last_transition_time: time(at(-2 * HOUR)),
        observed_generation: None,
    };
    let never_heard_of = Case {
        status: GraphSubscriptionStatus {
            last_renewal_time: None,
            last_event_time: None,
            conditions: vec![made],
            ..subscribed()
        },
        ..removed
    };
    assert_eq!(decide(&never_heard_of), create(Cause::Removed(at(-2 * HOUR))));
    let renewed_just_now = GraphSubscriptionStatus {
        last_renewal_time: at_time(-60),
        ..subscribed()
    };
    let soon = Case {
        lifecycle: lifecycle(ReauthorizationRequired, "s1", -1),
        ..case(renewed_just_now)
    };
    assert_eq!(
        decide(&soon),
        Plan::Keep { until: at(540) },
        "never twice within ten minutes"
    );
}

/// The local clock may be a day ahead until Graph's is known.
#[test]
fn what_a_wrong_clock_wrote_holds_nothing_up() {
    let due = || GraphSubscriptionStatus {
        renewal_time: at_time(-1),
        ..subscribed()
    };
    let mut failed_tomorrow = due();
    failed_tomorrow.failure = failed(24 * HOUR + 30);
    assert_eq!(
        decide(&case(failed_tomorrow.clone())),
        Plan::BackOff {
            until: at(24 * HOUR + 30)
        }
    );
    failed_tomorrow.failure.as_mut().unwrap().time = time(at(24 * HOUR));
    let mut renewed_tomorrow = due();
    renewed_tomorrow.last_renewal_time = at_time(24 * HOUR);
    for status in [failed_tomorrow, renewed_tomorrow] {
        assert!(
            matches!(decide(&case(status.clone())), Plan::Renew { .. }),
            "{status:?}"
        );
    }
}

#[test]
fn one_that_the_list_lacks_is_asked_for_and_made_anew_if_it_is_gone() {
    let doubted = |remote| {
        decide(&Case {
            look: Look::Doubted,
            remote,
            ..case(subscribed())
        })
    };
    assert_eq!(doubted(Remote::NotAsked), Plan::LookUp);
    assert_eq!(doubted(Remote::Absent), create(Cause::Removed(at(-HOUR))));
    let alive = RemoteView {
        id: "s1".to_owned(),
        ..remote(true)
    };
    assert_eq!(doubted(Remote::Present(alive)), Plan::Keep { until: at(24 * HOUR) });
}

#[test]
fn failures_are_waited_out_unless_there_is_news() {
    let failing = || GraphSubscriptionStatus {
        failure: failed(30),
        ..GraphSubscriptionStatus {
            observed_generation: 1,
            ..Default::default()
        }
    };
    assert_eq!(decide(&case(failing())), Plan::BackOff { until: at(30) });
    assert_eq!(
        decide(&Case {
            look: Look::Forced,
            ..case(failing())
        }),
        Plan::LookUp
    );
    assert_eq!(
        decide(&Case {
            endpoint_recovered: true,
            ..case(failing())
        }),
        Plan::LookUp
    );
    let changed = GraphSubscriptionStatus {
        observed_generation: 0,
        ..failing()
    };
    assert_eq!(decide(&case(changed)), Plan::LookUp);
    let tried_with = |change: fn(&mut Case)| {
        let mut case = case(failing());
        change(&mut case);
        let basis = basis(&situation(&case));
        case.app = Ok(app());
        case.endpoint = Ok(endpoint());
        case.status.failure.as_mut().unwrap().basis = basis;
        decide(&case)
    };
    assert_eq!(tried_with(|_| {}), Plan::BackOff { until: at(30) });
    let others: [fn(&mut Case); 3] = [
        |case| case.app.as_mut().unwrap().fingerprint = "another app".to_owned(),
        |case| case.app.as_mut().unwrap().permissions = Some(Vec::new()),
        |case| case.endpoint.as_mut().unwrap().notification_url = "another address".to_owned(),
    ];
    for other in others {
        assert_eq!(tried_with(other), Plan::LookUp, "it was tried with something else");
    }
    let over = GraphSubscriptionStatus {
        failure: failed(0),
        ..failing()
    };
    assert_eq!(decide(&case(over)), Plan::LookUp);
}

#[test]
fn what_cannot_work_is_refused_with_its_reason() {
    let mut deleted = case(GraphSubscriptionStatus::default());
    deleted.spec.change_types.push(ChangeType::Deleted);
    assert_eq!(refused(&decide(&deleted)), (Reason::InvalidSpec, true));
    let mut presence = case(GraphSubscriptionStatus::default());
    presence.spec.resource = "communications/presences/1".to_owned();
    assert_eq!(refused(&decide(&presence)), (Reason::InvalidSpec, true));
    let no_tenant = Refusal::waiting(Reason::TenantNotFound, "none");
    let waiting = Case {
        app: Err(no_tenant),
        ..case(subscribed())
    };
    assert_eq!(refused(&decide(&waiting)), (Reason::TenantNotFound, false));
    let rival = Case {
        rival: Some("a/b".to_owned()),
        ..case(GraphSubscriptionStatus::default())
    };
    assert_eq!(refused(&decide(&rival)), (Reason::DuplicateSubscription, false));
}

#[test]
fn permissions_are_checked_before_a_create_only() {
    let without = || {
        Ok(AppView {
            permissions: Some(Vec::new()),
            ..app()
        })
    };
    let new = Case {
        app: without(),
        remote: Remote::Absent,
        ..case(GraphSubscriptionStatus::default())
    };
    assert_eq!(refused(&decide(&new)), (Reason::PermissionMissing, false));
    let due = GraphSubscriptionStatus {
        renewal_time: at_time(0),
        ..subscribed()
    };
    assert_eq!(
        decide(&Case {
            app: without(),
            ..case(due)
        }),
        renew(),
        "Graph decides about one that lives"
    );
    let opaque = Ok(AppView {
        permissions: None,
        ..app()
    });
    let unknown = Case {
        app: opaque,
        remote: Remote::Absent,
        ..case(GraphSubscriptionStatus::default())
    };
    assert_eq!(decide(&unknown), create(Cause::First));
}

#[test]
fn a_create_waits_for_the_receiver_but_a_renewal_does_not() {
    let nobody_there = || {
        Ok(EndpointView {
            ready: false,
            ..endpoint()
        })
    };
    let new = Case {
        endpoint: nobody_there(),
        remote: Remote::Absent,
        ..case(GraphSubscriptionStatus::default())
    };
    assert_eq!(refused(&decide(&new)), (Reason::ReceiverNotReady, false));
    let due = GraphSubscriptionStatus {
        renewal_time: at_time(0),
        ..subscribed()
    };
    assert_eq!(
        decide(&Case {
            endpoint: nobody_there(),
            ..case(due)
        }),
        renew()
    );
}

#[test]
fn what_lives_is_renewed_while_its_endpoint_is_missing() {
    let missing = |reason| Err(Refusal::waiting(reason, "gone"));
    let due = || GraphSubscriptionStatus {
        renewal_time: at_time(0),
        ..subscribed()
    };
    for reason in [
        Reason::ReceiverNotFound,
        Reason::ReceiverNotReady,
        Reason::SecretNotFound,
    ] {
        let gone = Case {
            endpoint: missing(reason),
            ..case(due())
        };
        assert_eq!(decide(&gone), renew(), "{reason}");
        let not_due = Case {
            endpoint: missing(reason),
            ..case(subscribed())
        };
        assert_eq!(refused(&decide(&not_due)), (reason, false));
    }
    let expelled = Case {
        endpoint: missing(Reason::NamespaceNotAllowed),
        ..case(due())
    };
    assert_eq!(refused(&decide(&expelled)), (Reason::NamespaceNotAllowed, false));
}

#[test]
fn a_suspended_object_is_left_alone() {
    let mut suspended = case(GraphSubscriptionStatus {
        renewal_time: at_time(0),
        ..subscribed()
    });
    suspended.spec.suspend = true;
    assert_eq!(decide(&suspended), Plan::Suspend);
}

#[test]
fn a_persons_wish_looks_at_graph() {
    let forced = |remote| {
        decide(&Case {
            look: Look::Forced,
            remote,
            ..case(subscribed())
        })
    };
    assert_eq!(forced(Remote::NotAsked), Plan::LookUp);
    let known = RemoteView {
        id: "s1".to_owned(),
        ..remote(true)
    };
    assert_eq!(forced(Remote::Present(known)), Plan::Keep { until: at(24 * HOUR) });
    assert_eq!(
        forced(Remote::Present(remote(true))),
        Plan::Adopt(remote(true)),
        "the known one was asked for first, and is gone"
    );
    assert_eq!(forced(Remote::Absent), create(Cause::Removed(at(-HOUR))));
}

/// Of what Graph made before, it shows no client state: where that has changed, another at the address is no use.
#[test]
fn another_at_the_address_is_replaced_where_it_cannot_be_as_wanted() {
    let twin = |change: fn(&mut Applied), matches, permissions: Option<Vec<String>>| {
        let mut status = subscribed();
        change(status.applied.as_mut().unwrap());
        let mut case = Case {
            look: Look::Forced,
            remote: Remote::Present(remote(matches)),
            ..case(status)
        };
        case.app.as_mut().unwrap().permissions = permissions;
        decide(&case)
    };
    let replace = Plan::Replace {
        id: "s9".to_owned(),
        minutes: MINUTES,
        cause: Cause::Removed(at(-HOUR)),
    };
    assert_eq!(
        twin(|applied| applied.client_state = "old".to_owned(), true, None),
        replace
    );
    assert_eq!(twin(|_| {}, false, None), replace, "with another address");
    let refused_all = twin(
        |applied| applied.client_state = "old".to_owned(),
        true,
        Some(Vec::new()),
    );
    assert_eq!(refused(&refused_all), (Reason::PermissionMissing, false));
}

#[test]
fn deletion_always_ends() {
    let deleting = |status| Case {
        deleted_at: Some(at(-60)),
        ..case(status)
    };
    let delete = |id: &str| Plan::Release(Release::Delete { id: id.to_owned() });
    let no_app = || Err(Refusal::waiting(Reason::CredentialsRejected, "dead"));
    let abandon = |message: &str| {
        Plan::Release(Release::Abandon {
            message: message.to_owned(),
        })
    };
    assert_eq!(decide(&deleting(subscribed())), delete("s1"));
    assert_eq!(
        decide(&deleting(GraphSubscriptionStatus::default())),
        Plan::Release(Release::Nothing)
    );
    let expired = GraphSubscriptionStatus {
        expiration_time: at_time(-1),
        ..subscribed()
    };
    assert_eq!(decide(&deleting(expired)), Plan::Release(Release::Nothing));
    let mut orphan = deleting(subscribed());
    orphan.spec.deletion_policy = DeletionPolicy::Orphan;
    assert_eq!(decide(&orphan), Plan::Release(Release::Orphan));

    let pending = || GraphSubscriptionStatus {
        create_pending_since: at_time(-5),
        ..Default::default()
    };
    assert_eq!(decide(&deleting(pending())), Plan::LookUp);
    let found = Case {
        remote: Remote::Present(remote(true)),
        ..deleting(pending())
    };
    assert_eq!(decide(&found), delete("s9"));
    let none = Case {
        remote: Remote::Absent,
        ..deleting(pending())
    };
    assert_eq!(decide(&none), Plan::Release(Release::Nothing));

    let dead = Case {
        app: no_app(),
        ..deleting(subscribed())
    };
    assert_eq!(refused(&decide(&dead)), (Reason::CredentialsRejected, false));
    let long = Case {
        deleted_at: Some(at(-600)),
        app: no_app(),
        ..case(subscribed())
    };
    assert_eq!(decide(&long), abandon("dead"));
    let namespace_goes = Case {
        namespace_terminating: true,
        app: no_app(),
        ..deleting(subscribed())
    };
    assert_eq!(decide(&namespace_goes), abandon("dead"));
    let not_looked_at = Case {
        namespace_terminating: true,
        app: Err(Refusal::waiting(Reason::TenantNotReady, "a new leader")),
        ..deleting(subscribed())
    };
    assert_eq!(refused(&decide(&not_looked_at)), (Reason::TenantNotReady, false));
    let refused_in_it = |reason: &str| Case {
        namespace_terminating: true,
        ..deleting(GraphSubscriptionStatus {
            failure: Some(Failure {
                reason: reason.to_owned(),
                ..failed(30).unwrap()
            }),
            ..subscribed()
        })
    };
    let rejected = refused_in_it("CredentialsRejected");
    assert_eq!(
        decide(&rejected),
        abandon("the last attempt failed: CredentialsRejected")
    );
    assert_eq!(
        decide(&refused_in_it("Throttled")),
        Plan::BackOff { until: at(30) },
        "that passes"
    );
    let failing = GraphSubscriptionStatus {
        failure: failed(30),
        ..subscribed()
    };
    assert_eq!(decide(&deleting(failing.clone())), Plan::BackOff { until: at(30) });
    let failing_long = Case {
        deleted_at: Some(at(-600)),
        ..case(failing)
    };
    assert_eq!(decide(&failing_long), abandon("the last attempt failed: Throttled"));
}

#[test]
fn what_failed_before_a_deletion_does_not_end_it_untried() {
    let refused_renewal = GraphSubscriptionStatus {
        failure: Some(Failure {
            time: time(at(-700)),
            ..failed(HOUR).unwrap()
        }),
        observed_generation: 0,
        ..subscribed()
    };
    for deleted in [-60, -600] {
        let deleting = Case {
            deleted_at: Some(at(deleted)),
            ..case(refused_renewal.clone())
        };
        assert_eq!(
            decide(&deleting),
            Plan::Release(Release::Delete { id: "s1".to_owned() }),
            "{deleted}"
        );
    }
}

#[test]
fn an_expired_entry_of_the_list_is_not_adopted() {
    let stale = RemoteView {
        expiration: at(-1),
        ..remote(true)
    };
    let case = Case {
        remote: Remote::Present(stale),
        ..case(GraphSubscriptionStatus::default())
    };
    assert!(matches!(decide(&case), Plan::Replace { id, .. } if id == "s9"));
}

/// The process died after the mark and before the delete.
#[test]
fn a_replacement_that_was_cut_off_is_not_settled_with_the_old_one() {
    let marked = |client_state: &str| {
        let mut status = subscribed();
        status.create_pending_since = at_time(-5);
        status.applied.as_mut().unwrap().client_state = client_state.to_owned();
        status
    };
    let found = |id: &str| RemoteView {
        id: id.to_owned(),
        ..remote(true)
    };
    let decided = |client_state: &str, id: &str| {
        decide(&Case {
            remote: Remote::Present(found(id)),
            ..case(marked(client_state))
        })
    };
    let replace = Plan::Replace {
        id: "s1".to_owned(),
        minutes: MINUTES,
        cause: Cause::Replaced(at(0)),
    };
    assert_eq!(decided("old", "s1"), replace);
    assert_eq!(decided("c", "s1"), Plan::Adopt(found("s1")), "made as it is wanted");
    assert_eq!(
        decided("old", "s2"),
        Plan::Adopt(found("s2")),
        "the one that was made instead"
    );
}

#[test]
fn the_old_one_is_kept_alive_while_no_new_one_is_to_be_had() {
    let drifted = |renewal| {
        let mut status = subscribed();
        status.renewal_time = at_time(renewal);
        status.applied.as_mut().unwrap().client_state = "old".to_owned();
        Case {
            endpoint: Ok(EndpointView {
                ready: false,
                ..endpoint()
            }),
            ..case(status)
        }
    };
    assert_eq!(refused(&decide(&drifted(HOUR))), (Reason::ReceiverNotReady, false));
    assert_eq!(decide(&drifted(0)), renew());
    let unproven = |renewal| Case {
        endpoint: Ok(EndpointView {
            proven: false,
            ..endpoint()
        }),
        ..drifted(renewal)
    };
    assert_eq!(refused(&decide(&unproven(HOUR))), (Reason::ReceiverNotReady, false));
    assert_eq!(decide(&unproven(0)), renew());
    let proven = Case {
        endpoint: Ok(endpoint()),
        ..drifted(HOUR)
    };
    assert!(matches!(decide(&proven), Plan::Replace { .. }));
    let mut other_resource = Case {
        endpoint: unproven(HOUR).endpoint,
        ..case(subscribed())
    };
    other_resource.status.applied.as_mut().unwrap().resource = "users".to_owned();
    assert!(
        matches!(decide(&other_resource), Plan::Replace { .. }),
        "the address stays the same"
    );
}

#[test]
fn a_list_is_searched_only_where_something_may_be_there_that_is_not_on_record() {
    type Change = fn(&mut Case);
    let cases: [(&str, bool, Change); 9] = [
        ("subscribed", true, |_| {}),
        ("never made", true, |case| {
            case.status = GraphSubscriptionStatus::default();
        }),
        ("lapsed", true, |case| case.status.expiration_time = at_time(-1)),
        ("removed", true, |case| {
            case.status.subscription_id = None;
            case.status.applied = None;
            case.status.previous_ids = vec!["s1".to_owned()];
        }),
        ("a create is pending", false, |case| {
            case.status.create_pending_since = at_time(-1);
        }),
        ("made by another app", false, |case| {
            case.app = Ok(AppView {
                fingerprint: "other".to_owned(),
                ..app()
            });
        }),
        ("a person asks", false, |case| case.look = Look::Forced),
        ("Graph has another", false, |case| {
            case.status.failure = failed(-1);
            case.status.failure.as_mut().unwrap().reason = Reason::Conflict.to_string();
        }),
        // It takes what others made at the same address.
        ("a webhook run elsewhere", false, |case| case.spec.receiver_ref = None),
    ];
    for (name, on_record, change) in cases {
        let mut case = case(subscribed());
        change(&mut case);
        assert_eq!(pending::all_is_on_record(&situation(&case)), on_record, "{name}");
    }
}

#[test]
fn a_used_up_quota_is_told_before_a_create_and_hinders_nothing_else() {
    let users: Vec<String> = (0..100).map(|n| format!("users/{n}")).collect();
    let full = quota::full("users", users.iter().map(String::as_str));
    assert!(full.is_some());
    let with = |remote, status| {
        let mut case = Case {
            remote,
            full,
            ..case(status)
        };
        case.spec.resource = "users".to_owned();
        case.spec.change_types = vec![ChangeType::Updated];
        case.app.as_mut().unwrap().permissions = None;
        case
    };
    let fresh = GraphSubscriptionStatus::default;
    let expired = || GraphSubscriptionStatus {
        expiration_time: at_time(-1),
        ..subscribed()
    };
    for status in [fresh(), expired()] {
        assert_eq!(
            refused(&decide(&with(Remote::Absent, status))),
            (Reason::QuotaExceeded, false)
        );
    }
    assert_eq!(
        decide(&with(Remote::Present(remote(true)), fresh())),
        Plan::Adopt(remote(true))
    );
    let replaced = decide(&with(Remote::Present(remote(false)), fresh()));
    assert!(
        matches!(replaced, Plan::Replace { .. }),
        "it makes room for itself: {replaced:?}"
    );
    let mut lives = with(Remote::NotAsked, subscribed());
    lives.status.applied.as_mut().unwrap().resource = "users".to_owned();
    lives.status.applied.as_mut().unwrap().change_type = "updated".to_owned();
    lives.status.renewal_time = at_time(0);
    let renewed = decide(&lives);
    assert!(matches!(renewed, Plan::Renew { .. }), "{renewed:?}");
}
