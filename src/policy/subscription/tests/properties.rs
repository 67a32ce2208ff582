//! What holds for every plan, whatever the situation.

use proptest::prelude::*;

use super::*;

const IDS: [&str; 3] = ["s1", "s2", "s9"];

fn instant() -> impl Strategy<Value = i64> {
    prop_oneof![
        -72 * HOUR..72 * HOUR,
        -1200_i64..1200,
        Just(0_i64),
        Just(-600_i64),
        Just(600_i64)
    ]
}

fn maybe_time() -> impl Strategy<Value = Option<Time>> {
    proptest::option::of(instant()).prop_map(|offset| offset.and_then(at_time))
}

fn id() -> impl Strategy<Value = String> {
    prop::sample::select(IDS.to_vec()).prop_map(str::to_owned)
}

fn refusal() -> impl Strategy<Value = Refusal> {
    (
        prop::sample::select(vec![
            Reason::TenantNotFound,
            Reason::CredentialsRejected,
            Reason::ReceiverNotReady,
        ]),
        any::<bool>(),
    )
        .prop_map(|(reason, stalled)| Refusal {
            reason,
            message: "why".to_owned(),
            stalled,
        })
}

fn applied_before() -> impl Strategy<Value = Option<Applied>> {
    let word = |one: &'static str, other: &'static str| prop::sample::select(vec![one, one, one, other]);
    let some = (
        word("communications/callRecords", "users"),
        word("app", "other"),
        word("n", "old"),
        word("l", "old"),
        prop::sample::select(vec![MINUTES, 60]),
    );
    proptest::option::weighted(
        0.9,
        some.prop_map(|(resource, app, notification, lifecycle, lifetime_minutes)| Applied {
            resource: resource.to_owned(),
            app: app.to_owned(),
            notification_url: notification.to_owned(),
            lifecycle_url: lifecycle.to_owned(),
            lifetime_minutes,
            ..applied()
        }),
    )
}

fn status() -> impl Strategy<Value = GraphSubscriptionStatus> {
    let failure = proptest::option::of((instant(), instant())).prop_map(|times| {
        times.map(|(happened, not_before)| Failure {
            count: 2,
            time: time(at(happened.min(0))),
            not_before: time(at(not_before)),
            reason: "Throttled".to_owned(),
            basis: None,
        })
    });
    (
        (0_i64..2, proptest::option::of(id())),
        (maybe_time(), maybe_time(), instant(), any::<bool>()),
        (maybe_time(), failure),
        applied_before(),
        proptest::option::of(any::<i64>()),
    )
        .prop_map(
            |((observed_generation, subscription_id), times, (pending, failure), applied, learned)| {
                let (expiration_time, renewal_time, renewed, was_renewed) = times;
                GraphSubscriptionStatus {
                    observed_generation,
                    subscription_id,
                    expiration_time,
                    renewal_time,
                    // What was, was not later than now.
                    last_renewal_time: was_renewed.then_some(renewed.min(0)).and_then(at_time),
                    create_pending_since: pending,
                    failure,
                    applied,
                    learned_maximum_minutes: learned,
                    ..Default::default()
                }
            },
        )
}

fn remote_view() -> impl Strategy<Value = Remote> {
    prop_oneof![
        2 => Just(Remote::NotAsked),
        2 => Just(Remote::Absent),
        2 => (id(), instant(), any::<bool>()).prop_map(|(id, expiration, matches)| {
            Remote::Present(RemoteView { id, expiration: at(expiration), matches })
        }),
    ]
}

fn events() -> impl Strategy<Value = Vec<Lifecycle>> {
    let event = prop::sample::select(vec![
        LifecycleEvent::Missed,
        LifecycleEvent::ReauthorizationRequired,
        LifecycleEvent::SubscriptionRemoved,
    ]);
    let one = (event, proptest::option::of(id()), instant()).prop_map(|(event, subscription_id, received)| Lifecycle {
        event,
        subscription_id,
        received: at(received.min(0)),
    });
    proptest::collection::vec(one, 0..3)
}

fn any_case() -> impl Strategy<Value = Case> {
    let surroundings = (
        prop_oneof![4 => Just(None), 1 => refusal().prop_map(Some)],
        prop_oneof![4 => any::<bool>().prop_map(Ok), 1 => refusal().prop_map(Err)],
        prop_oneof![4 => Just(true), 1 => Just(false)],
        any::<bool>(),
        proptest::option::weighted(0.1, Just("a/b".to_owned())),
    );
    let wishes = (
        proptest::option::weighted(0.3, instant()),
        any::<bool>(),
        any::<bool>(),
        proptest::bool::weighted(0.1),
        proptest::bool::weighted(0.2),
    );
    (status(), surroundings, remote_view(), events(), wishes).prop_map(
        |(status, (no_app, ready, permitted, recovered, rival), remote, lifecycle, wishes)| {
            let (deleted, namespace_terminating, forced, suspend, orphan) = wishes;
            let mut case = case(status);
            case.spec.suspend = suspend;
            if orphan {
                case.spec.deletion_policy = DeletionPolicy::Orphan;
            }
            case.app = no_app.map_or_else(
                || {
                    Ok(AppView {
                        permissions: Some(if permitted {
                            vec!["CallRecords.Read.All".to_owned()]
                        } else {
                            Vec::new()
                        }),
                        ..app()
                    })
                },
                Err,
            );
            case.endpoint = ready.map(|ready| EndpointView { ready, ..endpoint() });
            case.endpoint_recovered = recovered;
            case.rival = rival;
            case.remote = remote;
            case.lifecycle = lifecycle;
            case.deleted_at = deleted.map(at);
            case.namespace_terminating = namespace_terminating;
            case.look = if forced { Look::Forced } else { Look::Usual };
            case
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_same_situation_gives_the_same_plan(case in any_case()) {
        prop_assert_eq!(decide(&case), decide(&case));
    }

    #[test]
    fn nothing_is_created_unless_the_list_was_searched(case in any_case()) {
        if let Plan::Create { .. } = decide(&case) {
            prop_assert_eq!(&case.remote, &Remote::Absent);
            prop_assert!(case.deleted_at.is_none() && !case.spec.suspend && case.rival.is_none());
        }
    }

    #[test]
    fn a_look_is_taken_once(case in any_case()) {
        if case.remote != Remote::NotAsked {
            prop_assert_ne!(decide(&case), Plan::LookUp);
        }
    }

    /// Unless it would expire meanwhile.
    #[test]
    fn two_renewals_are_ten_minutes_apart(case in any_case()) {
        if let Plan::Renew { id, minutes, .. } = decide(&case) {
            let status = &case.status;
            prop_assert_eq!(status.subscription_id.as_ref(), Some(&id));
            let renewed = status.last_renewal_time.as_ref().map(|at| at.0);
            let next = renewed.map(|renewed| renewed + renewal::MINIMUM_SPACING);
            let lasts = |next| status.expiration_time.as_ref().is_none_or(|expiry| expiry.0 > next);
            prop_assert!(next.is_none_or(|next| at(0) >= next || !lasts(next)));
            prop_assert!((45..=MINUTES).contains(&minutes));
        }
    }

    #[test]
    fn only_what_is_held_or_was_found_is_deleted(case in any_case()) {
        let (Plan::Release(Release::Delete { id: deleted }) | Plan::Replace { id: deleted, .. }) = decide(&case) else {
            return Ok(());
        };
        let found = matches!(&case.remote, Remote::Present(remote) if remote.id == deleted);
        prop_assert!(found || case.status.subscription_id.as_ref() == Some(&deleted));
    }

    #[test]
    fn only_one_that_lives_is_adopted(case in any_case()) {
        if let Plan::Adopt(remote) = decide(&case) {
            prop_assert!(remote.matches && remote.expiration > at(0));
        }
    }

    #[test]
    fn what_is_waited_for_lies_ahead(case in any_case()) {
        if let Plan::Keep { until } | Plan::BackOff { until } = decide(&case) {
            prop_assert!(until > at(0) || case.deleted_at.is_some());
        }
    }

    /// However often the remote calls fail, in a time that is bounded.
    #[test]
    fn a_deletion_reaches_its_end(mut case in any_case(), since in 0_i64..600, delays in proptest::collection::vec(1_i64..900, 64)) {
        case.deleted_at = Some(at(-since));
        let mut now = 0_i64;
        for delay in delays {
            let plan = plan(&Situation { now: at(now), ..situation(&case) });
            match plan {
                Plan::Release(Release::Delete { .. }) | Plan::LookUp => {
                    // It fails.
                    case.remote = Remote::NotAsked;
                    case.status.observed_generation = 1;
                    case.status.failure = Some(Failure {
                        count: 1,
                        time: time(at(now)),
                        not_before: time(at(now + delay)),
                        reason: "GraphUnavailable".to_owned(),
                        basis: None,
                    });
                    now += delay;
                }
                Plan::Release(_) => return Ok(()),
                Plan::BackOff { until } => {
                    prop_assert!(until <= at(-since) + DELETION_PATIENCE);
                    now = now.max(until.as_second() - NOW);
                }
                Plan::Refuse(_) => now += 60,
                other => prop_assert!(false, "not part of a deletion: {other:?}"),
            }
            prop_assert!(now <= 600 - since + 900 + 60, "still there after {now} s");
        }
        prop_assert!(false, "never released");
    }
}
