use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use prometheus::Registry;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::notes::limited;
use super::*;
use crate::api::reference::ObjectRef;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::GAPS_ACKNOWLEDGED_ANNOTATION;
use crate::api::subscription::{Applied, Gap, GraphSubscription};
use crate::controller::subscription::delivery::Delivery;
use crate::controller::subscription::endpoint::Endpoint;
use crate::graph::{App, Credential, Graph, Metrics, http_client};
use crate::policy::backoff::Class;
use crate::policy::subscription::{AppView, Cause, Lifecycle, LifecycleEvent, RemoteView, plan};

mod gaps_tests;
mod model;

const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3600;
const UID: &str = "3b1f5f0e-1111-2222-3333-444455556666";
const ID: &str = "7e5f4a2c-1b2c-4d3e-9f00-aabbccddeeff";

fn at(offset: i64) -> Timestamp {
    Timestamp::from_second(NOW + offset).unwrap()
}

#[allow(clippy::unnecessary_wraps)] // it stands in fields that are optional
fn at_time(offset: i64) -> Option<Time> {
    Some(time(at(offset)))
}

fn graph() -> Graph {
    let app = App {
        tenant_id: "t".to_owned(),
        client_id: None,
        login: "https://login.example".to_owned(),
        graph: "https://graph.example".to_owned(),
        credential: Credential::ManagedIdentity,
    };
    let metrics = Metrics::new(&Registry::new()).unwrap();
    Graph::new(app, http_client().unwrap(), metrics)
}

fn app() -> AppView {
    AppView {
        fingerprint: "app".to_owned(),
        permissions: None,
    }
}

fn endpoint() -> Endpoint {
    let url = "https://hooks.example/notify";
    Endpoint::external(url, None, SecretString::from("state"))
}

/// An object of the second generation with this status, a receiver and nothing out of the ordinary.
fn view(status: GraphSubscriptionStatus) -> View {
    let object: GraphSubscription = serde_json::from_value(json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription",
        "metadata": { "name": "calls", "namespace": "n", "uid": UID, "generation": 2, "annotations": {} },
        "spec": {
            "tenantRef": { "name": "contoso" }, "receiverRef": { "name": "calls" },
            "resource": "communications/callRecords", "changeTypes": ["Created"],
        },
    }))
    .unwrap();
    let mut view = View {
        object: Arc::new(object),
        status: GraphSubscriptionStatus::default(),
        now: at(0),
        app: Ok((graph(), app())),
        endpoint: Ok(endpoint()),
        receiver: Some(ObjectRef {
            name: "calls".to_owned(),
            namespace: Some("n".to_owned()),
        }),
        rival: None,
        remote: Remote::NotAsked,
        full: None,
        lifecycle: Vec::new(),
        origins: Vec::new(),
        asked: None,
        doubted: false,
        deleted_at: None,
        namespace_terminating: false,
        endpoint_recovered: false,
        skew: SignedDuration::ZERO,
        unsure: false,
        begun: tokio::time::Instant::now(),
        delivery: Delivery::Fine,
        away: None,
        backfill: None,
    };
    put(&mut view, status);
    view
}

/// As if the status had been written and read again.
fn put(view: &mut View, status: GraphSubscriptionStatus) {
    Arc::make_mut(&mut view.object).status = Some(status.clone());
    view.status = status;
}

fn wanted() -> Applied {
    desired(&view(GraphSubscriptionStatus::default()).situation()).unwrap()
}

/// Subscribed an hour ago, to be renewed in a day, expiring in two.
fn subscribed_status() -> GraphSubscriptionStatus {
    let mut status = GraphSubscriptionStatus {
        observed_generation: 2,
        subscription_id: Some(ID.to_owned()),
        expiration_time: at_time(48 * HOUR),
        renewal_time: at_time(24 * HOUR),
        last_renewal_time: at_time(-HOUR),
        applied: Some(wanted()),
        ..Default::default()
    };
    status = next(&view(status), &keep(), &Outcome::Idle);
    assert_eq!(said(&status, ConditionType::Subscribed), ("True", "Succeeded"));
    status
}

fn next(view: &View, plan: &Plan, outcome: &Outcome) -> GraphSubscriptionStatus {
    let status = next_status(view, plan, outcome, None, 0.0);
    lint(&status);
    assert_eq!(
        status,
        next_status(view, plan, outcome, None, 0.0),
        "the same input gives the same status"
    );
    // Whoever reads what was written sees what was written.
    let stored = serde_json::from_value(serde_json::to_value(&status).unwrap()).unwrap();
    assert_eq!(status, stored);
    status
}

fn keep() -> Plan {
    Plan::Keep { until: at(24 * HOUR) }
}

fn create(cause: Cause) -> Plan {
    Plan::Create { minutes: 4225, cause }
}

fn renew() -> Plan {
    Plan::Renew {
        id: ID.to_owned(),
        minutes: 4225,
        move_url: false,
    }
}

fn got(id: &str, how: Reason) -> Outcome {
    Outcome::Obtained {
        id: id.to_owned(),
        expiration: at(70 * HOUR),
        how,
        found: false,
    }
}

fn failed(reason: Reason, class: Class) -> Outcome {
    Outcome::Failed(Failed {
        reason,
        class,
        message: format!("it failed: {reason}"),
        uncertain: false,
        learned: None,
    })
}

fn event(event: LifecycleEvent, received: i64) -> Lifecycle {
    Lifecycle {
        event,
        subscription_id: Some(ID.to_owned()),
        received: at(received),
    }
}

fn said(status: &GraphSubscriptionStatus, type_: ConditionType) -> (&str, &str) {
    condition::find(&status.conditions, type_).map_or(("absent", ""), |condition| {
        (condition.status.as_str(), condition.reason.as_str())
    })
}

fn message(status: &GraphSubscriptionStatus, type_: ConditionType) -> &str {
    condition::find(&status.conditions, type_).map_or("", |condition| condition.message.as_str())
}

fn gap(cause: &str, start: i64, end: Option<i64>) -> (String, Time, Option<Time>) {
    (cause.to_owned(), time(at(start)), end.and_then(at_time))
}

fn gaps_of(status: &GraphSubscriptionStatus) -> Vec<(String, Time, Option<Time>)> {
    let gaps = status.gaps.iter();
    gaps.map(|gap| (gap.cause.clone(), gap.start.clone(), gap.end.clone()))
        .collect()
}

/// What must hold for the conditions of every status.
fn lint(status: &GraphSubscriptionStatus) {
    let conditions = &status.conditions;
    for type_ in [
        ConditionType::Ready,
        ConditionType::Subscribed,
        ConditionType::Delivering,
        ConditionType::GapFree,
    ] {
        assert!(condition::find(conditions, type_).is_some(), "{type_} is missing");
    }
    let holds = |type_| condition::is_true(conditions, type_);
    assert!(!(holds(ConditionType::Reconciling) && holds(ConditionType::Stalled)));
    assert_eq!(
        holds(ConditionType::Ready),
        !holds(ConditionType::Reconciling) && !holds(ConditionType::Stalled)
    );
    let mut types: Vec<_> = conditions.iter().map(|condition| &condition.type_).collect();
    types.sort();
    types.dedup();
    assert_eq!(types.len(), conditions.len(), "a type stands twice");
    for condition in conditions {
        lint_one(condition, status);
    }
    assert!(status.gaps.len() <= gaps::KEPT_GAPS && status.previous_ids.len() <= KEPT_IDS);
    assert!(
        status.gaps.iter().filter(|gap| gap.end.is_none()).count() <= 2,
        "of each source one"
    );
    for gap in &status.gaps {
        assert!(gap.end.as_ref().is_none_or(|end| end.0 >= gap.start.0), "{gap:?}");
    }
    let whole = |at: &Option<Time>| at.as_ref().is_none_or(|at| at.0.subsec_nanosecond() == 0);
    assert!(whole(&status.expiration_time) && whole(&status.renewal_time) && whole(&status.last_renewal_time));
    assert_eq!(status.observed_generation, 2);
}

fn lint_one(condition: &Condition, status: &GraphSubscriptionStatus) {
    let Condition { type_, message, .. } = condition;
    assert!(
        ["True", "False", "Unknown"].contains(&condition.status.as_str()),
        "{type_}"
    );
    assert!(
        Reason::from_name(&condition.reason).is_some(),
        "{type_}: {}",
        condition.reason
    );
    assert!(
        !message.is_empty() && message.len() < 1024 && !message.contains('\n'),
        "{type_}: {message}"
    );
    assert_eq!(condition.observed_generation, Some(2), "{type_}");
    assert_eq!(condition.last_transition_time.0.subsec_nanosecond(), 0, "{type_}");
    let mut words = message.split([' ', ',', ';', '(', ')']);
    if type_ != "GapFree" || status.gaps.is_empty() {
        assert!(
            words.all(|word| word.parse::<Timestamp>().is_err()),
            "{type_}: {message}"
        );
    }
    assert!(
        !message.contains(ID) && !message.contains(UID) && !message.contains("https://"),
        "{type_}: {message}"
    );
}

#[test]
fn success_is_recorded_with_what_graph_returned() {
    let fresh = view(GraphSubscriptionStatus {
        create_pending_since: at_time(-1),
        failure: Some(Failure {
            count: 3,
            time: time(at(-5)),
            not_before: time(at(0)),
            reason: "Throttled".to_owned(),
            basis: None,
        }),
        ..Default::default()
    });
    let status = next(&fresh, &create(Cause::First), &got(ID, Reason::Created));
    assert_eq!(status.subscription_id.as_deref(), Some(ID));
    assert_eq!(status.expiration_time, at_time(70 * HOUR));
    assert_eq!(status.last_renewal_time, at_time(0));
    assert_eq!(status.applied, Some(wanted()));
    assert_eq!((&status.create_pending_since, &status.failure), (&None, &None));
    let renewal = status.renewal_time.clone().unwrap().0;
    assert!(renewal > at(40 * HOUR) && renewal < at(52 * HOUR), "{renewal}");
    assert_eq!(said(&status, ConditionType::Ready), ("True", "Accepted"));
    assert_eq!(said(&status, ConditionType::Subscribed), ("True", "Succeeded"));
    assert_eq!(said(&status, ConditionType::Delivering), ("Unknown", "NoEventYet"));
    assert_eq!(said(&status, ConditionType::GapFree), ("True", "NoGap"));
    let look = next_look(&fresh, &create(Cause::First), &got(ID, Reason::Created), &status);
    assert_eq!(look, Some(renewal));

    let adopted = next(&fresh, &create(Cause::First), &got(ID, Reason::Adopted));
    assert_eq!(adopted.last_renewal_time, None, "how old it is, Graph does not say");
}

#[test]
fn what_was_found_is_renewed_when_a_third_of_its_life_is_left() {
    let fresh = view(GraphSubscriptionStatus::default());
    for how in [Reason::Adopted, Reason::Renewed] {
        let renewal_of_found = |left| {
            let found = Outcome::Obtained {
                id: ID.to_owned(),
                expiration: at(left),
                how,
                found: true,
            };
            next(&fresh, &create(Cause::First), &found).renewal_time.unwrap().0
        };
        assert!(renewal_of_found(3 * 60) <= at(0), "about to expire");
        assert!(renewal_of_found(20 * HOUR) <= at(0), "less than a third is left");
        assert!(renewal_of_found(70 * HOUR) > at(40 * HOUR), "made just now");
    }
}

#[test]
fn what_was_found_is_not_renewed_within_ten_minutes_of_its_create() {
    let old = view(GraphSubscriptionStatus {
        last_renewal_time: at_time(-30 * HOUR),
        ..subscribed_status()
    });
    let adopted = |left| {
        let found = Outcome::Obtained {
            id: "another".to_owned(),
            expiration: at(left),
            how: Reason::Adopted,
            found: true,
        };
        next(&old, &create(Cause::First), &found).last_renewal_time
    };
    let whole = wanted().lifetime_minutes * 60;
    assert_eq!(adopted(whole - 90), at_time(-90), "its create was not answered");
    assert_eq!(
        adopted(HOUR),
        at_time(-30 * HOUR),
        "older than the last sign of the one before"
    );
    assert_eq!(
        adopted(whole + HOUR),
        at_time(-30 * HOUR),
        "how old it is, Graph does not say"
    );
}

#[test]
fn an_id_that_is_replaced_is_kept_among_the_earlier_ones() {
    let mut view = view(subscribed_status());
    for number in 0..12 {
        let status = next(&view, &renew(), &got(&format!("s{number}"), Reason::Recreated));
        put(&mut view, status);
    }
    assert_eq!(view.status.previous_ids.len(), KEPT_IDS);
    assert_eq!(view.status.previous_ids[0], "s10");
}

#[test]
fn nothing_new_gives_an_equal_status() {
    let mut view = view(subscribed_status());
    for now in [0, 1, 600, HOUR] {
        view.now = at(now);
        assert_eq!(next(&view, &keep(), &Outcome::Idle), view.status, "after {now} s");
    }
}

#[test]
fn a_failure_is_counted_told_and_waited_out() {
    let mut view = view(subscribed_status());
    let outcome = failed(Reason::Throttled, Class::Throttled(None));
    for (count, wait) in [(1, 2), (2, 4), (3, 8)] {
        let status = next(&view, &renew(), &outcome);
        let failure = status.failure.clone().unwrap();
        assert_eq!(
            (failure.count, failure.not_before.clone()),
            (count, time(view.now + SignedDuration::from_secs(wait)))
        );
        assert_eq!(
            next_look(&view, &renew(), &outcome, &status),
            Some(failure.not_before.0)
        );
        // It lives, whatever the renewal says.
        assert_eq!(said(&status, ConditionType::Subscribed), ("True", "Throttled"));
        assert_eq!(said(&status, ConditionType::Ready), ("True", "Accepted"));
        put(&mut view, status);

        let until = view.now + SignedDuration::from_secs(wait);
        let waiting = next(&view, &Plan::BackOff { until }, &Outcome::Idle);
        assert_eq!(waiting, view.status, "what was said stays while it is waited out");
        view.now = until;
    }
    view.now = at(49 * HOUR);
    let lapsed = next(&view, &Plan::LookUp, &outcome);
    assert_eq!(said(&lapsed, ConditionType::Subscribed), ("False", "Throttled"));
}

#[test]
fn a_wait_tells_of_its_own_failure_only() {
    let mut view = view(subscribed_status());
    let status = next(&view, &renew(), &failed(Reason::Throttled, Class::Retry));
    put(&mut view, status);
    let refusal = Plan::Refuse(Refusal::waiting(Reason::TenantNotReady, "not looked at yet"));
    let status = next(&view, &refusal, &Outcome::Idle);
    put(&mut view, status);
    let status = next(&view, &Plan::BackOff { until: at(9) }, &Outcome::Idle);
    assert_eq!(said(&status, ConditionType::Subscribed), ("True", "Throttled"));
    assert_eq!(
        message(&status, ConditionType::Subscribed),
        "the last attempt failed; the next one waits"
    );
}

#[test]
fn the_pending_mark_stays_while_the_outcome_is_unknown() {
    for (uncertain, kept) in [(true, true), (false, false)] {
        let pending = view(GraphSubscriptionStatus {
            create_pending_since: at_time(-1),
            ..Default::default()
        });
        let outcome = Outcome::Failed(Failed {
            reason: Reason::GraphUnavailable,
            class: Class::Retry,
            message: "no answer".to_owned(),
            uncertain,
            learned: uncertain.then_some(60),
        });
        let status = next(&pending, &create(Cause::First), &outcome);
        assert_eq!(status.create_pending_since.is_some(), kept);
        assert_eq!(status.learned_maximum_minutes, uncertain.then_some(60));
    }
}

#[test]
fn one_that_is_gone_leaves_an_open_gap_until_the_next() {
    let mut view = view(subscribed_status());
    let status = next(&view, &renew(), &Outcome::Gone);
    assert_eq!(next_look(&view, &renew(), &Outcome::Gone, &status), Some(at(0)));
    assert_eq!((&status.subscription_id, &status.expiration_time), (&None, &None));
    assert_eq!((&status.renewal_time, &status.applied), (&None, &None));
    assert_eq!(status.previous_ids, [ID]);
    assert_eq!(gaps_of(&status), [gap("Removed", -HOUR, None)]);
    assert_eq!(said(&status, ConditionType::Subscribed), ("False", "Removed"));
    assert_eq!(said(&status, ConditionType::GapFree), ("False", "Removed"));
    assert!(message(&status, ConditionType::GapFree).contains("and now may be missing"));

    put(&mut view, status);
    view.now = at(60);
    let status = next(&view, &create(Cause::First), &got("new", Reason::Created));
    assert_eq!(gaps_of(&status), [gap("Removed", -HOUR, Some(60))]);
    assert_eq!(said(&status, ConditionType::Subscribed), ("True", "Succeeded"));
    assert_eq!(said(&status, ConditionType::GapFree), ("False", "Removed"));
}

#[test]
fn a_plan_opens_its_gap_before_the_create_is_sent() {
    let replace = |cause| Plan::Replace {
        id: ID.to_owned(),
        minutes: 60,
        cause,
    };
    let cases = [
        (create(Cause::First), None),
        (create(Cause::Lapsed(at(-9))), Some(("Lapsed", -9))),
        (create(Cause::Removed(at(-8))), Some(("Removed", -8))),
        (replace(Cause::Replaced(at(0))), Some(("Recreated", 0))),
        (replace(Cause::First), None),
        (replace(Cause::Removed(at(-7))), Some(("Removed", -7))),
        (renew(), None),
    ];
    for (plan, expected) in cases {
        let mut status = subscribed_status();
        // As `act` does with the pending mark.
        for _ in 0..2 {
            if let Some(gap) = gaps::opened_by(&plan) {
                gaps::open(&mut status, gap);
            }
        }
        let expected: Vec<_> = expected.iter().map(|(cause, start)| gap(cause, *start, None)).collect();
        assert_eq!(gaps_of(&status), expected, "{plan:?}");
    }
}

#[test]
fn a_delete_that_fails_opens_no_gap() {
    let view = view(subscribed_status());
    let plan = Plan::Replace {
        id: ID.to_owned(),
        minutes: 60,
        cause: Cause::Replaced(at(0)),
    };
    let status = next(&view, &plan, &failed(Reason::GraphUnavailable, Class::Retry));
    assert!(status.gaps.is_empty());
    assert_eq!(status.subscription_id.as_deref(), Some(ID));
}

#[test]
fn gaps_are_bounded_told_once_and_struck_off_by_a_person() {
    let mut view = view(subscribed_status());
    for number in 0..40 {
        view.now = at(100 * number);
        view.lifecycle = vec![event(LifecycleEvent::Missed, 100 * number)];
        let status = next(&view, &keep(), &Outcome::Idle);
        put(&mut view, status);
        assert_eq!(next(&view, &keep(), &Outcome::Idle), view.status, "read again");
    }
    assert_eq!(view.status.gaps.len(), gaps::KEPT_GAPS);
    assert_eq!(gaps_of(&view.status)[0], gap("Missed", 3800, Some(3900)));
    assert_eq!(said(&view.status, ConditionType::GapFree), ("False", "Missed"));

    view.lifecycle.clear();
    for (until, left) in [
        ("2020-01-01T00:00:00Z".to_owned(), 16),
        (at(3800).to_string(), 1),
        (at(3900).to_string(), 0),
    ] {
        let annotations = [(GAPS_ACKNOWLEDGED_ANNOTATION.to_owned(), until)];
        Arc::make_mut(&mut view.object).metadata.annotations = Some(annotations.into());
        let status = next(&view, &keep(), &Outcome::Idle);
        assert_eq!(status.gaps.len(), left);
    }
    let nonsense = [(GAPS_ACKNOWLEDGED_ANNOTATION.to_owned(), "yesterday".to_owned())];
    Arc::make_mut(&mut view.object).metadata.annotations = Some(nonsense.into());
    assert_eq!(next(&view, &keep(), &Outcome::Idle).gaps.len(), 16);
}

#[test]
fn an_open_gap_is_not_struck_off() {
    let mut view = view(subscribed_status());
    let status = next(&view, &renew(), &Outcome::Gone);
    put(&mut view, status);
    let annotations = [(GAPS_ACKNOWLEDGED_ANNOTATION.to_owned(), at(HOUR).to_string())];
    Arc::make_mut(&mut view.object).metadata.annotations = Some(annotations.into());
    assert_eq!(
        next(&view, &Plan::LookUp, &failed(Reason::Throttled, Class::Retry))
            .gaps
            .len(),
        1
    );
}

/// Lifecycle events are struck off once they were reported, so nothing they ask for may depend on them any more.
#[test]
fn what_a_lifecycle_event_asks_for_outlives_it() {
    let undone = [
        (Plan::LookUp, failed(Reason::GraphUnavailable, Class::Retry)),
        (Plan::Suspend, Outcome::Idle),
        (
            Plan::Refuse(Refusal::waiting(Reason::TenantNotReady, "not yet")),
            Outcome::Idle,
        ),
        (
            Plan::Refuse(Refusal::stalled(Reason::InvalidSpec, "wrong")),
            Outcome::Idle,
        ),
    ];
    for (plan_now, outcome) in undone {
        let mut removed = view(subscribed_status());
        removed.lifecycle = vec![event(LifecycleEvent::SubscriptionRemoved, -9)];
        let status = next(&removed, &plan_now, &outcome);
        assert_eq!(gaps_of(&status), [gap("Removed", -HOUR, None)], "{plan_now:?}");
        put(&mut removed, status);
        removed.lifecycle.clear();
        removed.now = at(10);
        assert_eq!(plan(&removed.situation()), Plan::LookUp, "{plan_now:?}");

        let mut asked = view(subscribed_status());
        asked.lifecycle = vec![event(LifecycleEvent::ReauthorizationRequired, -9)];
        let status = next(&asked, &plan_now, &outcome);
        put(&mut asked, status);
        asked.lifecycle.clear();
        asked.now = at(10);
        assert_eq!(plan(&asked.situation()), renew(), "{plan_now:?}");
    }
}

#[test]
fn a_reauthorization_within_ten_minutes_of_a_renewal_is_not_forgotten() {
    let mut view = view(GraphSubscriptionStatus {
        last_renewal_time: at_time(-60),
        ..subscribed_status()
    });
    view.lifecycle = vec![event(LifecycleEvent::ReauthorizationRequired, -1)];
    let keep = plan(&view.situation());
    assert_eq!(keep, Plan::Keep { until: at(540) });
    let status = next(&view, &keep, &Outcome::Idle);
    assert_eq!(next_look(&view, &keep, &Outcome::Idle, &status), Some(at(540)));
    put(&mut view, status);
    view.lifecycle.clear();
    assert_eq!(plan(&view.situation()), keep);
    view.now = at(540);
    assert_eq!(plan(&view.situation()), renew());
}

#[test]
fn what_the_list_does_not_have_is_not_called_live() {
    let mut view = view(subscribed_status());
    view.remote = Remote::Absent;
    let refusal = Plan::Refuse(Refusal::waiting(Reason::ReceiverNotReady, "no pod"));
    let status = next(&view, &refusal, &Outcome::Idle);
    assert_eq!(said(&status, ConditionType::Subscribed), ("False", "ReceiverNotReady"));
    assert_eq!(said(&status, ConditionType::Ready), ("True", "Accepted"));
    assert_eq!(gaps_of(&status), [gap("Removed", -HOUR, None)]);
}

#[test]
fn ready_speaks_of_the_spec_alone() {
    let refused = |stalled, reason| {
        Plan::Refuse(Refusal {
            reason,
            message: "because".to_owned(),
            stalled,
        })
    };
    let cases = [
        (refused(true, Reason::InvalidSpec), ("False", "InvalidSpec"), "Stalled"),
        (
            refused(false, Reason::TenantNotFound),
            ("False", "TenantNotFound"),
            "Reconciling",
        ),
        (
            refused(false, Reason::NamespaceNotAllowed),
            ("False", "NamespaceNotAllowed"),
            "Reconciling",
        ),
        (
            refused(false, Reason::DuplicateSubscription),
            ("False", "DuplicateSubscription"),
            "Reconciling",
        ),
        (refused(false, Reason::PermissionMissing), ("True", "Accepted"), ""),
        (refused(false, Reason::ReceiverNotReady), ("True", "Accepted"), ""),
        (refused(false, Reason::TenantNotReady), ("True", "Accepted"), ""),
        (Plan::Suspend, ("True", "Suspended"), ""),
    ];
    for (plan, ready, other) in cases {
        let mut view = view(GraphSubscriptionStatus::default());
        let status = next(&view, &plan, &Outcome::Idle);
        assert_eq!(said(&status, ConditionType::Ready), ready, "{plan:?}");
        for type_ in [ConditionType::Stalled, ConditionType::Reconciling] {
            let there = condition::is_true(&status.conditions, type_);
            assert_eq!(there, type_.to_string() == other, "{plan:?} {type_}");
        }
        assert_eq!(said(&status, ConditionType::Subscribed).0, "False", "{plan:?}");
        let looks = next_look(&view, &plan, &Outcome::Idle, &status).is_some();
        let waits = !matches!(&plan, Plan::Suspend) && other != "Stalled";
        assert_eq!(looks, waits, "{plan:?}");
        // It mends, and what was set is gone.
        put(&mut view, status);
        let status = next(&view, &create(Cause::First), &got(ID, Reason::Created));
        assert_eq!(said(&status, ConditionType::Ready), ("True", "Accepted"));
        assert_eq!(said(&status, ConditionType::Stalled).0, "absent");
        assert_eq!(said(&status, ConditionType::Reconciling).0, "absent");
    }
}

#[test]
fn a_suspended_one_is_looked_at_when_it_lapses() {
    let mut view = view(subscribed_status());
    let status = next(&view, &Plan::Suspend, &Outcome::Idle);
    assert_eq!(said(&status, ConditionType::Subscribed), ("True", "Suspended"));
    let look = next_look(&view, &Plan::Suspend, &Outcome::Idle, &status);
    assert_eq!(look, Some(at(48 * HOUR)));
    put(&mut view, status);
    view.now = at(48 * HOUR);
    let status = next(&view, &Plan::Suspend, &Outcome::Idle);
    assert_eq!(said(&status, ConditionType::Subscribed), ("False", "Suspended"));
    assert_eq!(next_look(&view, &Plan::Suspend, &Outcome::Idle, &status), None);
}

#[test]
fn the_time_of_the_last_event_moves_in_steps() {
    let mut view = view(subscribed_status());
    let with = |view: &View, last| next_status(view, &keep(), &Outcome::Idle, Some(at(last)), 0.0);
    let status = with(&view, 0);
    assert_eq!(status.last_event_time, at_time(0));
    assert_eq!(said(&status, ConditionType::Delivering), ("True", "EventsArriving"));
    put(&mut view, status);
    assert_eq!(with(&view, 599), view.status);
    assert_eq!(with(&view, 600).last_event_time, at_time(600));
}

#[test]
fn a_persons_wish_is_answered() {
    let mut view = view(subscribed_status());
    view.asked = Some("now".to_owned());
    let status = next(&view, &keep(), &Outcome::Idle);
    assert_eq!(status.last_handled_reconcile_at.as_deref(), Some("now"));
    let status = next(&view, &Plan::LookUp, &failed(Reason::GraphUnavailable, Class::Retry));
    assert_eq!(
        status.last_handled_reconcile_at.as_deref(),
        Some("now"),
        "or it would bypass every wait"
    );
}

#[test]
fn events_tell_what_was_done_and_what_newly_went_wrong() {
    let told = |view: &View, plan: &Plan, outcome: &Outcome| {
        let status = next(view, plan, outcome);
        let notes = notes(view, &status, outcome);
        assert!(
            notes
                .iter()
                .all(|note| !note.text.contains(ID) && !note.text.is_empty())
        );
        let reasons: Vec<_> = notes.iter().map(|note| (note.type_, note.reason)).collect();
        (status, reasons)
    };
    let mut view = view(GraphSubscriptionStatus::default());
    for how in [Reason::Created, Reason::Recreated, Reason::Adopted] {
        let (_, reasons) = told(&view, &create(Cause::First), &got(ID, how));
        assert_eq!(reasons, [(Level::Normal, how)]);
    }
    assert_eq!(
        told(&view, &renew(), &got(ID, Reason::Renewed)).1,
        [],
        "it happens all the time"
    );
    let no_pod = Plan::Refuse(Refusal::waiting(Reason::ReceiverNotReady, "no pod"));
    assert_eq!(told(&view, &no_pod, &Outcome::Idle).1, []);
    let no_tenant = Plan::Refuse(Refusal::waiting(Reason::TenantNotFound, "none"));
    let (status, reasons) = told(&view, &no_tenant, &Outcome::Idle);
    assert_eq!(
        reasons,
        [(Level::Warning, Reason::TenantNotFound)],
        "once, not per condition"
    );
    put(&mut view, status);
    assert_eq!(told(&view, &no_tenant, &Outcome::Idle).1, [], "not again");

    put(&mut view, subscribed_status());
    let (status, reasons) = told(&view, &renew(), &failed(Reason::Forbidden, Class::RetrySlowly));
    assert_eq!(reasons, [(Level::Warning, Reason::Forbidden)], "though it still lives");
    put(&mut view, status);
    assert_eq!(
        told(&view, &renew(), &failed(Reason::Forbidden, Class::RetrySlowly)).1,
        []
    );
    let (_, reasons) = told(&view, &renew(), &Outcome::Gone);
    assert_eq!(
        reasons,
        [(Level::Warning, Reason::Removed); 2],
        "of Subscribed and GapFree"
    );
}

#[test]
fn a_lifetime_beyond_what_is_allowed_is_told() {
    let cases = [
        ("100h", None, Some((6000, 4230))),
        ("70h", None, None),
        ("70h", Some(60), Some((4200, 60))),
        ("1h", Some(9999), None),
    ];
    for (lifetime, learned, expected) in cases {
        let mut view = view(subscribed_status());
        Arc::make_mut(&mut view.object).spec.lifetime = Some(lifetime.into());
        let mut status = view.status.clone();
        status.learned_maximum_minutes = learned;
        // The spec is new.
        status.observed_generation -= 1;
        put(&mut view, status);
        let status = next(&view, &renew(), &got(ID, Reason::Renewed));
        assert_eq!(limited(&view, &status), expected, "{lifetime} {learned:?}");
        let warned = notes(&view, &status, &got(ID, Reason::Renewed))
            .iter()
            .any(|note| note.reason == Reason::LifetimeLimited && note.type_ == Level::Warning);
        assert_eq!(warned, expected.is_some());
        put(&mut view, status.clone());
        let again = next(&view, &renew(), &got(ID, Reason::Renewed));
        assert_eq!(notes(&view, &again, &got(ID, Reason::Renewed)), [], "once is enough");
    }
}

#[test]
fn an_external_webhook_is_not_observed() {
    let mut view = view(GraphSubscriptionStatus::default());
    let external = json!({
        "notificationUrl": "https://hooks.example/notify", "clientStateRef": { "name": "s", "key": "k" },
    });
    let object = Arc::make_mut(&mut view.object);
    object.spec.receiver_ref = None;
    object.spec.external_endpoint = serde_json::from_value(external).unwrap();
    view.receiver = None;
    let status = next(&view, &create(Cause::First), &got(ID, Reason::Created));
    assert_eq!(said(&status, ConditionType::Delivering), ("Unknown", "NotObserved"));
}

#[test]
fn a_status_stays_small() {
    let mut view = view(subscribed_status());
    let long = "x".repeat(300);
    for number in 0..100 {
        view.now = at(number * HOUR);
        view.lifecycle = vec![event(LifecycleEvent::Missed, number * HOUR)];
        let outcome = Outcome::Failed(Failed {
            message: long.clone(),
            ..match failed(Reason::RejectedByGraph, Class::Invalid) {
                Outcome::Failed(failed) => failed,
                other => panic!("{other:?}"),
            }
        });
        let status = next(&view, &renew(), &outcome);
        put(&mut view, status);
        let status = next(&view, &renew(), &got(&format!("{number}-{ID}"), Reason::Recreated));
        put(&mut view, status);
    }
    let bytes = serde_json::to_vec(&view.status).unwrap().len();
    assert!(bytes < 8 * 1024, "{bytes}");
    let gaps: Vec<Gap> = view.status.gaps.clone();
    assert_eq!(gaps.len(), gaps::KEPT_GAPS);
    let _: Value = serde_json::to_value(gaps).unwrap();
}
