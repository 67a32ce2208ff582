//! The invariants that hold over histories. P8 and P9 are beside the mapping, P10 beside the matching, P11 beside the shards.

use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::json;

use super::Write;
use super::history::{Action, History, Own, Terms, crashing, leisurely, troubled, undisturbed};
use super::naive::{Naive, Strategy as Plan};
use super::operator::{Brain, Order, Sends, capabilities, spec};
use super::world::{Ending, Report, Weather, run};
use crate::api::presence::{Direction, DoNotDisturbPolicy, OfflinePolicy, OutOfOfficePolicy, PresenceSyncSpec};
use crate::policy::presence::engine::settings::{LONGEST_SESSION, MARGIN, SHORTEST_SESSION};
use crate::policy::presence::engine::{Outcome, Owned, Settings, UserState};
use crate::policy::presence::mapping::Choice;
use crate::policy::presence::pbx::{Activity, Line, OwnEntry};
use crate::policy::presence::testing::histories;

const CALM: Weather = Weather {
    lossy: false,
    faults: false,
};
const LOSSY: Weather = Weather {
    lossy: true,
    faults: false,
};
const STORM: Weather = Weather {
    lossy: true,
    faults: true,
};

/// Enough for every message, every retry and, where choices live for minutes, for these to end.
const LONG: i64 = 40;
/// By then, all that was wrong has been put right: the longest pause after failures is six minutes.
const SETTLED: i64 = 15 * 60_000;

/// In each history nothing is written that the spec does not ask for, that the PBX cannot do, or that nobody knows enough for.
fn engine(history: &History, weather: Weather, ending: Ending, minutes: i64) -> Report {
    let report = run(history, Brain::engine(history), weather, ending, minutes);
    assert!(report.unasked.is_empty(), "unasked: {:?}", report.unasked);
    report
}

/// After the last change, writes end, but for refreshes of what holds.
fn p1_quiet(report: &Report) -> Result<(), String> {
    let after = |from: i64| report.writes.iter().filter(move |(time, _)| *time >= from);
    let soon = after(0).count() - after(SETTLED).count();
    if soon > 16 {
        return Err(format!("{soon} writes after the last change"));
    }
    for (time, order) in after(SETTLED) {
        // What came last may have been refused, and then what was before goes on.
        let mut earlier = report.writes.iter().filter(|(at, _)| at < time);
        let refresh = earlier.any(|(_, other)| other == order) && !matches!(order, Order::Naive(_));
        if !refresh
            || matches!(
                order,
                Order::Engine(Write::ClearOwn | Write::ClearSession | Write::ClearPreferred)
            )
        {
            return Err(format!("{order:?} {} s after the last change", time / 1000));
        }
    }
    let many = after(SETTLED).count();
    if many > 30 {
        return Err(format!("{many} refreshes"));
    }
    Ok(())
}

/// Nothing of ours is left, and the record knows.
fn p2_nothing_left(report: &Report) -> Result<(), String> {
    match (report.left_over(), report.clear) {
        (false, true) => Ok(()),
        (true, _) => Err(format!(
            "left: {:?} {:?} {:?}",
            report.session, report.preferred, report.entries
        )),
        (false, false) => Err("the record still tells of something".to_owned()),
    }
}

/// The same of who is no longer kept in step.
fn p2_nothing_kept(report: &Report) -> Result<(), String> {
    let ours = (report.session, report.preferred, &report.entry);
    match (ours, report.clear) {
        ((None, None, None), true) => Ok(()),
        _ => Err(format!("kept: {ours:?}, and the record is clear: {}", report.clear)),
    }
}

/// What is of ours in the end is what is to be told, and all of it.
fn p2_in_step(report: &Report) -> Result<(), String> {
    if report.astray.is_empty() {
        return Ok(());
    }
    Err(report.astray.join("; "))
}

fn p3_no_choice_touched(report: &Report) -> Result<(), String> {
    if report.overwritten.is_empty() {
        return Ok(());
    }
    Err(report.overwritten.join("; "))
}

/// Two reports of one history end alike.
fn p6_alike(calm: &Report, lossy: &Report) -> Result<(), String> {
    let ours = |report: &Report| (report.session, report.preferred);
    // What is passed over for a time may be left standing, if what comes after it changes nothing.
    if ours(calm) == ours(lossy) && (!calm.entry_is_due || calm.entry == lossy.entry) {
        return Ok(());
    }
    let all = |report: &Report| format!("{:?} {:?}", ours(report), report.entry);
    Err(format!("{} in calm, {} else", all(calm), all(lossy)))
}

fn hold(result: Result<(), String>) -> Result<(), TestCaseError> {
    result.map_err(TestCaseError::fail)
}

/// All that holds for every history, of this one.
pub fn hold_all(history: &History) {
    let run = |ending: Ending| engine(history, STORM, ending, LONG);
    let staying = run(Ending::Stay);
    let idle = run(Ending::Idle);
    let released = run(Ending::Release);
    let results = [
        p1_quiet(&staying),
        p2_in_step(&staying),
        p3_no_choice_touched(&staying),
        p2_nothing_left(&idle),
        p3_no_choice_touched(&released),
        p2_nothing_kept(&released),
    ];
    for result in results {
        assert_eq!(result, Ok(()), "{history:?}");
    }
    assert!(staying.hidden.is_empty(), "{history:?}");
}

/// What a history ends with for P14: no call any more, and nothing else that is told as a session.
fn hang_up(history: &mut History) {
    history.actions.push((1_000, Action::Line(Line::Idle)));
    if !history.terms.line {
        let no_call = [(1_000, Action::NoEntry), (0, Action::Calendar(Activity::Unset))];
        history.actions.extend(no_call);
    }
    if history.terms.do_not_disturb == DoNotDisturbPolicy::Session {
        history.terms.do_not_disturb = DoNotDisturbPolicy::Preferred;
    }
}

proptest! {
    #![proptest_config(histories())]

    #[test]
    fn p1_writes_end_after_the_last_change(history in troubled()) {
        hold(p1_quiet(&engine(&history, STORM, Ending::Stay, LONG)))?;
    }

    #[test]
    fn p2_when_all_are_idle_nothing_of_ours_is_left(history in troubled()) {
        hold(p2_nothing_left(&engine(&history, STORM, Ending::Idle, LONG)))?;
    }

    #[test]
    fn p2_who_is_no_longer_kept_in_step_keeps_nothing_of_ours(history in crashing()) {
        hold(p2_nothing_kept(&engine(&history, STORM, Ending::Release, LONG)))?;
    }

    #[test]
    fn p2_in_the_end_is_told_what_is_so(history in crashing()) {
        hold(p2_in_step(&engine(&history, STORM, Ending::Stay, LONG)))?;
    }

    #[test]
    fn p3_a_choice_that_is_not_ours_is_never_touched(history in crashing(), released in any::<bool>()) {
        let ending = if released { Ending::Release } else { Ending::Stay };
        let report = engine(&history, STORM, ending, LONG);
        hold(p3_no_choice_touched(&report))?;
        prop_assert!(report.hidden.is_empty(), "hidden on the PBX: {:?}", report.hidden);
    }

    #[test]
    fn p4_after_crashes_and_restarts_nothing_is_left(history in crashing()) {
        hold(p2_nothing_left(&engine(&history, STORM, Ending::Idle, LONG)))?;
    }

    #[test]
    fn p5_when_the_operator_dies_for_good_teams_heals(history in crashing()) {
        // The longest life of a choice, or of an entry.
        let minutes = if history.short_lives { 65 } else { 7 * 24 * 60 + 5 };
        let report = engine(&history, STORM, Ending::Death, minutes);
        prop_assert_eq!((report.session, report.preferred), (None, None));
        prop_assert!(history.terms.own != Own::Expires || report.entry.is_none());
    }

    #[test]
    fn p6_loss_and_disorder_do_not_alter_the_end(mut history in leisurely()) {
        // A refresh that is due at the same time as something else happens would race with it.
        history.short_lives = false;
        let calm = engine(&history, CALM, Ending::Stay, LONG);
        let lossy = engine(&history, LOSSY, Ending::Stay, LONG);
        hold(p6_alike(&calm, &lossy))?;
    }

    // That a decision made twice is made once is asserted at each step of each history, see operator.rs.
    #[test]
    fn p7_the_same_twice_is_once(history in crashing()) {
        engine(&history, STORM, Ending::Stay, 1);
    }

    // Our app has one session by the form of the write, and that writes of one layer never overlap is asserted at each of them, see
    // operator.rs. What can be broken here: to clear what was cleared before, or never set.
    #[test]
    fn p12_there_is_one_session_at_most(history in crashing()) {
        let report = engine(&history, STORM, Ending::Stay, LONG);
        prop_assert!(report.cleared_in_vain.is_empty(), "{:?}", report.cleared_in_vain);
    }

    #[test]
    fn p13_a_session_is_refreshed_long_before_it_ends(history in undisturbed()) {
        let report = engine(&history, LOSSY, Ending::Stay, LONG);
        let margin = i64::try_from(MARGIN.as_millis()).unwrap();
        prop_assert!(report.least_margin.is_none_or(|least| least >= margin), "{:?}", report.least_margin);
        prop_assert!(!report.lapsed_in_call);
    }

    #[test]
    fn p13_whatever_the_spec_says_a_refresh_comes_in_time(seconds in 1_i64..1_000_000) {
        let says = json!({ "lifetimes": { "lineRefresh": format!("{seconds}s"), "chosen": format!("{seconds}s"), "away": format!("{seconds}s") } });
        let settings = Settings::new(&spec(&says), capabilities(true));
        let session = settings.session();
        prop_assert!(session.ttl - session.refresh >= MARGIN);
        prop_assert!(session.ttl >= SHORTEST_SESSION && session.ttl <= LONGEST_SESSION);
        prop_assert!(session.refresh > SignedDuration::ZERO);
        for choice in [Choice::Busy, Choice::Away] {
            let lifetime = settings.choice(choice);
            prop_assert!(lifetime.ttl - lifetime.refresh >= MARGIN);
        }
    }

    #[test]
    fn p14_when_the_line_is_free_the_session_ends(mut history in crashing(), dies in any::<bool>()) {
        hang_up(&mut history);
        let ending = if dies { Ending::Death } else { Ending::Stay };
        // Whatever goes wrong, it lives no longer than that.
        let report = engine(&history, STORM, ending, 17);
        prop_assert_eq!(report.session, None);
    }

    #[test]
    fn p14_where_nothing_goes_wrong_it_ends_within_the_minute(mut history in undisturbed()) {
        hang_up(&mut history);
        let report = engine(&history, CALM, Ending::Stay, 1);
        prop_assert_eq!(report.session, None);
    }

    #[test]
    fn p15_the_record_keeps_any_text(word in any::<String>(), note in any::<String>(), lost in any::<bool>()) {
        let now = super::operator::at(0);
        let mut state = UserState::default();
        let writes = [
            Write::PutOwn { entry: OwnEntry { activity: Activity::Other(word.clone()), note }, ttl: None },
            Write::SetPreferred { choice: Choice::Busy, ttl: SignedDuration::from_hours(1), tells: Activity::Other(word) },
        ];
        for write in &writes {
            state.begin(write, now);
            if !lost {
                state.settle(write, Outcome::Done, now, 0.0);
            }
        }
        let written = serde_json::to_vec(state.owned()).unwrap();
        let read: Owned = serde_json::from_slice(&written).unwrap();
        prop_assert_eq!(&read, state.owned());
    }
}

/// How many of some histories break an invariant, with a plan.
#[derive(Debug, Default, PartialEq, Eq)]
struct Broken {
    restless: u32,
    endless: u32,
    left: u32,
    overwritten: u32,
    astray: u32,
    unasked: u32,
    hidden: u32,
    in_vain: u32,
    lapsed: u32,
    lingering: u32,
}

/// Whether a plan that refreshes nothing still writes when all that it wrote for a call has long ended.
fn never_ends(report: &Report) -> bool {
    let mut naive = report
        .writes
        .iter()
        .filter(|(_, order)| matches!(order, Order::Naive(_)));
    naive.any(|(time, _)| *time > 2 * SETTLED)
}

fn broken(make: impl Fn(&History) -> Brain, strategy: impl Strategy<Value = History>, weather: Weather) -> Broken {
    let mut broken = Broken::default();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..1_000 {
        let history = strategy.new_tree(&mut runner).unwrap().current();
        let staying = run(&history, make(&history), weather, Ending::Stay, LONG);
        let idle = run(&history, make(&history), weather, Ending::Idle, LONG);
        broken.restless += u32::from(p1_quiet(&staying).is_err());
        broken.endless += u32::from(never_ends(&staying));
        broken.left += u32::from(p2_nothing_left(&idle).is_err());
        broken.overwritten += u32::from(p3_no_choice_touched(&staying).is_err());
        broken.astray += u32::from(p2_in_step(&staying).is_err());
        broken.unasked += u32::from(!staying.unasked.is_empty());
        broken.hidden += u32::from(!staying.hidden.is_empty());
        broken.in_vain += u32::from(!staying.cleared_in_vain.is_empty());
        broken.lapsed += u32::from(staying.lapsed_in_call);
        let mut hung_up = history.clone();
        hang_up(&mut hung_up);
        let ended = run(&hung_up, make(&hung_up), CALM, Ending::Stay, 1);
        broken.lingering += u32::from(ended.session.is_some());
    }
    broken
}

#[test]
fn plans_that_know_no_better_fail_the_same_tests() {
    let naive = |plan: Plan| broken(|_| Brain::Naive(Naive::new(plan)), undisturbed(), LOSSY);
    let mirror = naive(Plan::Mirror);
    assert!(mirror.left > 0 && mirror.overwritten > 0, "mirror: {mirror:?}");
    assert!(mirror.restless > 0 && mirror.endless > 0, "mirror: {mirror:?}");
    let filter = naive(Plan::EchoFilter);
    assert!(filter.left > 0 && filter.overwritten > 0, "echo filter: {filter:?}");
    assert!(filter.restless > 0 && filter.endless > 0, "echo filter: {filter:?}");
    let own = naive(Plan::OwnContact);
    assert!(own.overwritten > 0 && own.endless == 0, "own contact: {own:?}");
    assert_eq!(broken(Brain::engine, undisturbed(), LOSSY), Broken::default());
}

#[test]
fn without_its_record_the_engine_fails_the_same_tests() {
    let found = broken(Brain::forgetful, crashing(), STORM);
    assert!(found.left > 0, "{found:?}");
}

#[test]
fn without_its_choices_or_with_choices_for_ever_the_engine_fails_the_same_tests() {
    let sending = |sends: Sends| broken(|history| Brain::faulty(history, sends), undisturbed(), LOSSY);
    let silent = sending(|write| (!matches!(write, Write::SetPreferred { .. })).then_some(write));
    assert!(silent.astray > 0 && silent.left == 0, "{silent:?}");
    let clinging = sending(|write| (write != Write::ClearPreferred).then_some(write));
    assert!(clinging.astray > 0 && clinging.left > 0, "{clinging:?}");
}

#[test]
fn with_faults_in_its_sessions_the_engine_fails_the_same_tests() {
    let sending = |sends: Sends| broken(|history| Brain::faulty(history, sends), undisturbed(), CALM);
    let short = sending(|write| match write {
        Write::SetSession { session, ttl } => Some(Write::SetSession { session, ttl: ttl / 3 }),
        other => Some(other),
    });
    assert!(short.lapsed > 0, "a life that ends with the refresh: {short:?}");
    let lingering = sending(|write| (write != Write::ClearSession).then_some(write));
    assert!(lingering.lingering > 0, "ends by its lifetime alone: {lingering:?}");
    let vain = sending(|write| match write {
        Write::SetSession { .. } => Some(Write::ClearSession),
        other => Some(other),
    });
    assert!(vain.in_vain > 0, "clears what is not there: {vain:?}");
}

/// How many of some histories break P5 and P6.
fn unhealed_and_unlike(make: impl Fn(&History) -> Brain, short_lives: bool) -> (u32, u32) {
    let mut counts = (0, 0);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = leisurely();
    for _ in 0..200 {
        let mut history = strategy.new_tree(&mut runner).unwrap().current();
        history.short_lives = short_lives;
        let end = |weather, ending, minutes| run(&history, make(&history), weather, ending, minutes);
        let dead = end(LOSSY, Ending::Death, if short_lives { 65 } else { 7 * 24 * 60 + 5 });
        let (calm, lossy) = (end(CALM, Ending::Stay, LONG), end(LOSSY, Ending::Stay, LONG));
        counts.0 += u32::from((dead.session, dead.preferred) != (None, None));
        counts.1 += u32::from(p6_alike(&calm, &lossy).is_err());
    }
    counts
}

#[test]
fn with_lives_too_long_or_by_news_alone_it_fails_the_same_tests() {
    assert_eq!(unhealed_and_unlike(Brain::engine, false), (0, 0));
    let for_ever: Sends = |write| match write {
        Write::SetPreferred { choice, tells, .. } => Some(Write::SetPreferred {
            choice,
            ttl: SignedDuration::from_hours(24 * 30),
            tells,
        }),
        other => Some(other),
    };
    let (unhealed, _) = unhealed_and_unlike(|history| Brain::faulty(history, for_ever), true);
    assert!(unhealed > 0, "P5: choices for a month");
    let (_, unlike) = unhealed_and_unlike(Brain::credulous, false);
    assert!(unlike > 0, "P6: what is not told is never read");
}

#[test]
fn on_other_terms_than_the_historys_the_engine_fails_the_same_tests() {
    let told = |change: fn(&mut Terms)| {
        let make = move |history: &History| {
            let mut terms = history.terms;
            change(&mut terms);
            Brain::on_terms(history, &terms)
        };
        broken(make, undisturbed(), LOSSY)
    };
    let both = told(|terms| terms.direction = Direction::Both);
    assert!(both.unasked > 0 && both.astray > 0, "{both:?}");
    let contact = told(|terms| terms.own = Own::Stays);
    assert!(contact.unasked > 0, "{contact:?}");
    let silent = told(|terms| terms.own = Own::Nothing);
    assert!(silent.unasked == 0 && silent.astray > 0, "{silent:?}");
    let noted = told(|terms| terms.out_of_office = OutOfOfficePolicy::Note);
    assert!(noted.unasked > 0 && noted.astray > 0, "{noted:?}");
    let offline = told(|terms| terms.offline = OfflinePolicy::NoChange);
    assert!(offline.unasked == 0 && offline.astray > 0, "{offline:?}");
    let ignored = told(|terms| terms.do_not_disturb = DoNotDisturbPolicy::Ignore);
    assert!(ignored.astray > 0, "{ignored:?}");
    let away = told(|terms| terms.out_of_office = OutOfOfficePolicy::Away);
    assert!(away.unasked == 0 && away.astray > 0, "{away:?}");
}

#[test]
fn settings_follow_the_spec() {
    let says = json!({
        "direction": "TeamsToPbx", "suspend": true,
        "policy": { "debounce": "4s" },
        "lifetimes": { "lineRefresh": "1m", "chosen": "2h", "away": "3h" },
    });
    let spec: PresenceSyncSpec = spec(&says);
    let settings = Settings::new(&spec, capabilities(true));
    assert!(settings.to_pbx && !settings.to_teams && settings.suspended);
    assert_eq!(settings.debounce, SignedDuration::from_secs(4));
    assert_eq!(settings.session().ttl, SignedDuration::from_mins(5));
    assert_eq!(settings.session().refresh, SignedDuration::from_mins(1));
    assert_eq!(settings.choice(Choice::Busy).ttl, SignedDuration::from_hours(2));
    assert_eq!(
        settings.choice(Choice::BeRightBack).refresh,
        SignedDuration::from_mins(90)
    );
}
