//! Gaps from their cause to what was done about them.

use super::*;
use crate::api::subscription::{Backfill, GapState};
use crate::controller::backfill::{Report, Trouble};
use crate::policy::backfill::{Found, Job, Window};

fn spec(view: &mut View) -> &mut crate::api::subscription::GraphSubscriptionSpec {
    &mut Arc::make_mut(&mut view.object).spec
}

fn step(view: &mut View, now: i64) -> GraphSubscriptionStatus {
    view.now = at(now);
    let status = next(view, &keep(), &Outcome::Idle);
    put(view, status.clone());
    status
}

/// A person has seen the gaps until then.
fn acknowledge(view: &mut View, until: i64) {
    let until = [(GAPS_ACKNOWLEDGED_ANNOTATION.to_owned(), at(until).to_string())];
    Arc::make_mut(&mut view.object).metadata.annotations = Some(until.into());
}

fn window(start: i64, end: i64) -> Window {
    Window {
        start: at(start),
        end: at(end),
    }
}

#[allow(clippy::unnecessary_wraps)] // it stands in a field that is optional
fn report(windows: &[(Window, i64)], begun: i64, lost: Option<(Window, i64)>) -> Option<Report> {
    let found = Found {
        begun: at(begun),
        handed: 0,
        filled: windows.to_vec(),
        lost,
    };
    Some(Report {
        job: Job {
            windows: windows.iter().map(|(window, _)| *window).collect(),
        },
        result: Ok(found),
    })
}

/// One that missed something an hour ago.
fn missed() -> View {
    let mut view = view(subscribed_status());
    view.lifecycle = vec![event(LifecycleEvent::Missed, 0)];
    step(&mut view, 0);
    view.lifecycle.clear();
    view
}

#[test]
fn a_filled_gap_is_history() {
    let mut view = missed();
    assert_eq!(said(&view.status, ConditionType::GapFree), ("False", "Missed"));
    assert!(message(&view.status, ConditionType::GapFree).contains("Waits to be filled"));
    let late = 151 * 60;
    view.backfill = report(&[(window(-4 * HOUR, 0), 3)], late, None);
    let status = step(&mut view, late);
    assert_eq!(
        (status.gaps[0].state, status.gaps[0].backfilled),
        (GapState::Backfilled, Some(3))
    );
    assert_eq!(said(&status, ConditionType::GapFree), ("True", "Backfilled"));
}

#[test]
fn a_failed_try_is_told_and_a_hopeless_one_ends_the_waiting() {
    for (class, state, words) in [
        (Class::Retry, GapState::Pending, "the last try failed: no access"),
        (Class::Invalid, GapState::CannotBackfill, "Cannot be filled: no access"),
    ] {
        let mut view = missed();
        let windows = vec![window(-4 * HOUR, 0)];
        view.backfill = Some(Report {
            job: Job { windows },
            result: Err(Trouble {
                reason: Reason::Forbidden,
                message: "no access".to_owned(),
                class,
                window: None,
            }),
        });
        let status = step(&mut view, 60);
        assert_eq!(status.gaps[0].state, state);
        assert!(status.gaps[0].outcome.contains(words), "{}", status.gaps[0].outcome);
        assert_eq!(said(&status, ConditionType::GapFree), ("False", "Missed"));
    }
}

#[test]
fn what_is_given_up_begins_where_graph_was_asked_from() {
    let mut view = missed();
    let windows = vec![window(-4 * HOUR, 0)];
    view.backfill = Some(Report {
        job: Job { windows },
        result: Err(Trouble {
            reason: Reason::QuotaExceeded,
            message: "too many".to_owned(),
            class: Class::Invalid,
            window: Some(window(-5 * HOUR, 60)),
        }),
    });
    let status = step(&mut view, 60);
    assert_eq!(gaps_of(&status), [gap("Missed", -5 * HOUR, Some(0))]);
}

fn asked(view: &mut View, when: i64) {
    view.lifecycle = vec![Lifecycle {
        event: LifecycleEvent::ReauthorizationRequired,
        subscription_id: Some(ID.to_owned()),
        received: at(when),
    }];
}

/// The subscription is renewed at this time.
fn renewed(view: &mut View, now: i64) -> GraphSubscriptionStatus {
    view.now = at(now);
    let status = next(view, &renew(), &got(ID, Reason::Renewed));
    put(view, status.clone());
    status
}

#[test]
fn a_renewal_that_graph_asked_for_and_got_late_leaves_a_gap() {
    let mut view = view(subscribed_status());
    asked(&mut view, 0);
    let status = step(&mut view, 60);
    assert_eq!(status.reauthorization_required_since, at_time(0));
    view.lifecycle.clear();
    let status = renewed(&mut view, 3 * HOUR);
    assert!(status.gaps.is_empty(), "Graph held what happened");
    assert_eq!(status.reauthorization_required_since, None);

    asked(&mut view, 4 * HOUR);
    step(&mut view, 4 * HOUR + 60);
    asked(&mut view, 5 * HOUR);
    step(&mut view, 5 * HOUR + 60);
    let status = renewed(&mut view, 9 * HOUR);
    assert_eq!(gaps_of(&status), [gap("ReauthorizedLate", 4 * HOUR, Some(9 * HOUR))]);
}

#[test]
fn what_graph_asked_for_while_nobody_was_there_counts_from_when_it_asked() {
    let mut view = view(subscribed_status());
    asked(&mut view, HOUR);
    let status = renewed(&mut view, 6 * HOUR);
    assert_eq!(gaps_of(&status), [gap("ReauthorizedLate", HOUR, Some(6 * HOUR))]);
}

#[test]
fn what_cannot_be_filled_says_why_at_once() {
    let mut disabled = missed();
    spec(&mut disabled).backfill = Backfill::Disabled;
    let mut filtered = missed();
    spec(&mut filtered).resource.push_str("?$filter=x");
    for (mut view, why) in [
        (disabled, "spec.backfill is Disabled"),
        (filtered, "the resource has a filter"),
    ] {
        let status = step(&mut view, 60);
        assert_eq!(status.gaps[0].state, GapState::CannotBackfill);
        assert!(message(&status, ConditionType::GapFree).contains(why));
        assert!(message(&status, ConditionType::GapFree).contains(GAPS_ACKNOWLEDGED_ANNOTATION));
    }
}

#[test]
fn a_receiver_that_is_away_long_leaves_a_gap_until_it_is_back() {
    let mut view = view(subscribed_status());
    view.delivery = Delivery::Unavailable(at(-60));
    assert!(step(&mut view, 0).gaps.is_empty(), "Graph repeats what is not answered");
    let status = step(&mut view, 600);
    assert_eq!(gaps_of(&status), [gap("ReceiverUnavailable", -540, None)]);
    assert_eq!(said(&status, ConditionType::GapFree), ("False", "ReceiverUnavailable"));
    view.delivery = Delivery::Unknown;
    assert_eq!(step(&mut view, 700).gaps[0].end, None, "nobody knows that it is back");
    view.delivery = Delivery::Fine;
    assert_eq!(
        gaps_of(&step(&mut view, 800)),
        [gap("ReceiverUnavailable", -540, Some(1400))],
        "Graph may drop for ten minutes more"
    );
    view.delivery = Delivery::Dropping;
    assert_eq!(gaps_of(&step(&mut view, 2000))[0], gap("EndpointDropping", 1400, None));
}

#[test]
fn an_outage_that_nobody_watched_is_told_of_by_the_pods() {
    let mut view = view(subscribed_status());
    view.now = at(8 * HOUR);
    view.away = Some(window(60, 540));
    assert!(
        step(&mut view, 8 * HOUR).gaps.is_empty(),
        "Graph repeats what is not answered"
    );
    view.away = Some(window(HOUR, 7 * HOUR));
    let status = step(&mut view, 8 * HOUR);
    let expected = [gap("ReceiverUnavailable", HOUR, Some(7 * HOUR + 600))];
    assert_eq!(gaps_of(&status), expected);
    assert_eq!(gaps_of(&step(&mut view, 9 * HOUR)), expected, "once");
    // What a person has seen does not come back.
    acknowledge(&mut view, 10 * HOUR);
    for now in [10, 11] {
        assert!(step(&mut view, now * HOUR).gaps.is_empty());
    }
}

#[test]
fn an_outage_that_was_watched_or_not_lived_through_is_not_told_of_twice() {
    let mut watched = view(subscribed_status());
    watched.delivery = Delivery::Unavailable(at(HOUR));
    step(&mut watched, 2 * HOUR);
    watched.delivery = Delivery::Fine;
    watched.away = Some(window(HOUR + 60, 7 * HOUR));
    assert_eq!(step(&mut watched, 7 * HOUR + 60).gaps.len(), 1);
    let mut new = view(subscribed_status());
    new.away = Some(window(-9 * HOUR, -2 * HOUR));
    assert!(step(&mut new, 60).gaps.is_empty(), "it was made later");
}

#[test]
fn an_outage_that_begins_in_the_future_began_before_the_clock_was_set_back() {
    let mut view = view(subscribed_status());
    view.delivery = Delivery::Unavailable(at(20));
    assert!(step(&mut view, 0).gaps.is_empty(), "by the clock of another machine");
    view.delivery = Delivery::Unavailable(at(3600));
    assert_eq!(gaps_of(&step(&mut view, 0)), [gap("ReceiverUnavailable", -1080, None)]);
}

#[test]
fn a_renewal_does_not_end_the_outage_of_a_receiver() {
    let mut view = view(subscribed_status());
    view.delivery = Delivery::Unavailable(at(-600));
    step(&mut view, 0);
    let gone = next(&view, &renew(), &Outcome::Gone);
    put(&mut view, gone);
    assert_eq!(view.status.gaps.len(), 2, "the subscription went too");
    view.now = at(60);
    let status = next(&view, &create(Cause::First), &got("new", Reason::Created));
    let open: Vec<_> = status
        .gaps
        .iter()
        .filter(|gap| gap.end.is_none())
        .map(|gap| gap.cause.as_str())
        .collect();
    assert_eq!(open, ["ReceiverUnavailable"]);
}

#[test]
fn silence_is_believed_so_long_and_then_looked_into() {
    let mut view = view(subscribed_status());
    spec(&mut view).max_silence = Some("6h".into());
    let mut status = view.status.clone();
    status.last_event_time = at_time(HOUR);
    put(&mut view, status);
    let quiet = step(&mut view, HOUR);
    assert!(quiet.gaps.is_empty());
    assert_eq!(next_look(&view, &keep(), &Outcome::Idle, &quiet), Some(at(7 * HOUR)));
    let status = step(&mut view, 7 * HOUR);
    assert_eq!(gaps_of(&status), [gap("Silent", HOUR, Some(7 * HOUR))]);
    assert_eq!(step(&mut view, 7 * HOUR + 60).gaps.len(), 1);
    let begun = 7 * HOUR + 151 * 60;
    view.backfill = report(&[(window(HOUR, 7 * HOUR), 0)], begun, None);
    let status = step(&mut view, begun);
    assert_eq!(
        said(&status, ConditionType::GapFree),
        ("True", "Backfilled"),
        "nothing had happened"
    );
    view.backfill = None;
    let status = step(&mut view, 13 * HOUR);
    assert_eq!(gaps_of(&status)[0], gap("Silent", 7 * HOUR, Some(13 * HOUR)));
    let status = step(&mut view, 19 * HOUR);
    assert_eq!(
        gaps_of(&status)[0],
        gap("Silent", 7 * HOUR, Some(19 * HOUR)),
        "one silence is one window"
    );
    // What a person has seen does not come back.
    acknowledge(&mut view, 20 * HOUR);
    for now in [20, 21] {
        assert!(step(&mut view, now * HOUR).gaps.is_empty());
    }
}

#[test]
fn what_a_sweep_finds_is_on_record() {
    let mut view = view(subscribed_status());
    view.backfill = report(&[], 0, Some((window(-600, 0), 2)));
    let status = step(&mut view, 1);
    assert_eq!(gaps_of(&status), [gap("ListingDisagrees", -600, Some(0))]);
    assert_eq!(
        (status.gaps[0].state, status.gaps[0].backfilled),
        (GapState::Backfilled, Some(2))
    );
    assert_eq!(said(&status, ConditionType::GapFree), ("True", "Backfilled"));
}

#[test]
fn what_is_settled_makes_room_first() {
    let mut view = missed();
    let unsettled = view.status.gaps[0].clone();
    for number in 1..40 {
        view.backfill = report(&[], number * 100, Some((window(number * 100 - 50, number * 100), 1)));
        step(&mut view, number * 100);
    }
    assert_eq!(view.status.gaps.len(), gaps::KEPT_GAPS);
    assert!(view.status.gaps.contains(&unsettled));
    assert_eq!(gaps_of(&view.status)[0], gap("ListingDisagrees", 3850, Some(3900)));
}
