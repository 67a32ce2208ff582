//! Situations, one by one: what is known, and what is to be done.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::operator::{at, capabilities, spec};
use crate::policy::backoff::Class;
use crate::policy::presence::engine::{Outcome, Owned, Part, SETTLE, Settings, UserState, Why, Write, decide};
use crate::policy::presence::mapping::{Choice, Session};
use crate::policy::presence::pbx::{Activity, Capabilities, Entry, Line, Origin, OwnEntry, PbxView};
use crate::policy::presence::teams::{Reading, TeamsState};

fn settings(says: &serde_json::Value) -> Settings {
    Settings::new(&spec(says), capabilities(false))
}

/// Where our entry is the person's one switch for do not disturb.
fn with_a_switch() -> Settings {
    let switch = Capabilities {
        own_is_do_not_disturb: true,
        ..capabilities(false)
    };
    Settings::new(&spec(&json!({})), switch)
}

fn second(second: i64) -> Timestamp {
    at(second * 1000)
}

fn reading(availability: &str, activity: &str, sequence: u32, when: i64) -> Reading {
    Reading {
        state: TeamsState::read(availability, activity, false),
        sequence: Some(format!("{sequence:04}").into()),
        at: second(when),
    }
}

fn view(entries: &[(Origin, Activity)], line: Line) -> PbxView {
    let entry = |(origin, activity): &(Origin, Activity)| Entry {
        origin: origin.clone(),
        activity: activity.clone(),
        note: String::new(),
        since: None,
    };
    PbxView {
        entries: Some(entries.iter().map(entry).collect()),
        line,
    }
}

fn own(activity: Activity) -> OwnEntry {
    OwnEntry {
        activity,
        note: String::new(),
    }
}

/// A person who is available, with a free line, of whom all is known at second 0.
fn person() -> UserState {
    let mut state = UserState::default();
    state.see_teams(reading("Available", "Available", 1, 0), second(0));
    state.see_pbx(view(&[], Line::Idle), second(0));
    state
}

/// Does what is decided, and answers it at once.
fn perform(state: &mut UserState, settings: &Settings, when: i64) -> Vec<Write> {
    let writes = decide(state, settings, second(when)).writes;
    for write in &writes {
        state.begin(write, second(when));
        state.settle(write, Outcome::Done, second(when), 0.0);
    }
    writes
}

fn in_a_call() -> Write {
    Write::SetSession {
        session: Session::InACall,
        ttl: SignedDuration::from_mins(15),
    }
}

#[test]
fn a_call_is_told_at_once_refreshed_and_taken_back_after_the_debounce() {
    let settings = settings(&json!({}));
    let mut state = person();
    assert_eq!(decide(&state, &settings, second(0)).explanation.session, Why::Nothing);
    state.see_pbx(view(&[], Line::Connected), second(10));
    assert_eq!(perform(&mut state, &settings, 10), [in_a_call()]);
    let decision = decide(&state, &settings, second(11));
    assert_eq!(
        (decision.writes.as_slice(), decision.look_again),
        ([].as_slice(), Some(second(310)))
    );
    assert_eq!(perform(&mut state, &settings, 310), [in_a_call()]);

    state.see_pbx(view(&[], Line::Idle), second(400));
    let decision = decide(&state, &settings, second(401));
    assert_eq!(decision.explanation.session, Why::LineJustFree);
    assert_eq!(decision.look_again, Some(second(402)));
    // The next call within the debounce goes on as if nothing had happened.
    state.see_pbx(view(&[], Line::Conference), second(401));
    let conference = Write::SetSession {
        session: Session::InAConferenceCall,
        ttl: SignedDuration::from_mins(15),
    };
    assert_eq!(perform(&mut state, &settings, 401), [conference]);
    state.see_pbx(view(&[], Line::Idle), second(500));
    assert_eq!(perform(&mut state, &settings, 502), [Write::ClearSession]);
    assert!(state.owned().is_clear(second(502)));
}

#[test]
fn what_the_session_shows_is_not_mapped_back_in_either_wording() {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_pbx(view(&[], Line::Connected), second(10));
    perform(&mut state, &settings, 10);
    for (sequence, activity) in [(2, "InACall"), (3, "Busy"), (4, "InAMeeting")] {
        state.see_teams(reading("Busy", activity, sequence, 20), second(20));
        let decision = decide(&state, &settings, second(20));
        assert_eq!(
            (decision.writes.len(), decision.explanation.entry),
            (0, Why::Echo),
            "{activity}"
        );
    }
    // Do not disturb is more than our call explains.
    state.see_teams(reading("DoNotDisturb", "DoNotDisturb", 5, 21), second(21));
    let put = Write::PutOwn {
        entry: own(Activity::DoNotDisturb),
        ttl: None,
    };
    assert_eq!(perform(&mut state, &settings, 21), [put]);
}

#[test]
fn after_a_session_ended_teams_is_read_once_before_busy_is_believed() {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_pbx(view(&[], Line::Connected), second(10));
    perform(&mut state, &settings, 10);
    state.see_teams(reading("Busy", "InACall", 2, 20), second(20));
    state.see_pbx(view(&[], Line::Idle), second(30));
    perform(&mut state, &settings, 32);
    let decision = decide(&state, &settings, second(33));
    assert_eq!((decision.read, decision.look_again), (false, Some(second(32) + SETTLE)));
    assert!(decide(&state, &settings, second(37)).read);
    // Teams' own meeting comes to light.
    state.see_teams(reading("Busy", "InAMeeting", 3, 38), second(38));
    let put = Write::PutOwn {
        entry: own(Activity::Meeting),
        ttl: None,
    };
    assert_eq!(decide(&state, &settings, second(38)).writes, [put]);
}

#[test]
fn a_choice_is_written_on_a_fresh_reading_where_nobody_chose() {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_pbx(view(&[(Origin::User, Activity::DoNotDisturb)], Line::Idle), second(60));
    let decision = decide(&state, &settings, second(60));
    assert!(decision.read && decision.writes.is_empty());
    assert_eq!(decision.explanation.choice, Why::ToBeRead);

    let mut busy = state.clone();
    busy.see_teams(reading("Busy", "Busy", 2, 61), second(61));
    let decision = decide(&busy, &settings, second(61));
    assert_eq!(
        (decision.read, decision.explanation.choice),
        (false, Why::ChosenInTeams)
    );

    let mut offline = state.clone();
    offline.see_teams(reading("Offline", "Offline", 2, 61), second(61));
    assert_eq!(
        decide(&offline, &settings, second(61)).explanation.choice,
        Why::NotVisible
    );

    state.see_teams(reading("Available", "Available", 1, 61), second(61));
    let set = Write::SetPreferred {
        choice: Choice::DoNotDisturb,
        ttl: SignedDuration::from_hours(24),
        tells: Activity::DoNotDisturb,
    };
    assert_eq!(perform(&mut state, &settings, 61), std::slice::from_ref(&set));
    let decision = decide(&state, &settings, second(70));
    assert_eq!(
        (decision.explanation.choice, decision.look_again),
        (Why::InStep, Some(second(61 + 12 * 3600)))
    );
    // Refreshed at half of its life, again on a fresh reading.
    let later = 61 + 12 * 3600;
    assert!(decide(&state, &settings, second(later)).read);
    state.see_teams(reading("DoNotDisturb", "DoNotDisturb", 2, later), second(later));
    assert_eq!(decide(&state, &settings, second(later)).writes, [set]);
}

#[test]
fn who_replaces_our_choice_in_teams_is_left_alone_until_the_pbx_tells_another() {
    let settings = settings(&json!({}));
    let mut state = person();
    let dnd = view(&[(Origin::User, Activity::DoNotDisturb)], Line::Idle);
    state.see_pbx(dnd.clone(), second(1));
    perform(&mut state, &settings, 1);
    assert!(state.owned().choice.is_live(second(1)));
    // What was read before the write counts for nothing, nor does what Graph showed before.
    state.see_teams(reading("Available", "Available", 1, 20), second(20));
    assert!(state.owned().choice.is_live(second(20)));
    assert!(state.see_teams(reading("Available", "Available", 3, 30), second(30)));
    assert!(!state.owned().choice.is_live(second(30)));
    for when in [30, 100_000] {
        let decision = decide(&state, &settings, second(when));
        assert_eq!((decision.writes.len(), decision.explanation.choice), (0, Why::Replaced));
    }
    state.see_pbx(view(&[], Line::Idle), second(200));
    state.see_pbx(dnd, second(201));
    state.see_teams(reading("Available", "Available", 3, 202), second(202));
    assert_eq!(perform(&mut state, &settings, 202).len(), 1);
}

#[test]
fn what_comes_to_light_on_the_pbx_is_not_taken_for_newer_than_the_word_in_teams() {
    let settings = settings(&json!({}));
    let replaced_after = |between: PbxView| {
        let mut state = person();
        state.see_pbx(busy_by_hand(), second(1));
        perform(&mut state, &settings, 1);
        state.see_pbx(between, second(10));
        state.see_teams(reading("Available", "Available", 3, 30), second(30));
        state.see_pbx(view(&[(Origin::User, Activity::Away)], Line::Idle), second(60));
        state.owned().replaced.clone()
    };
    // Chosen while the PBX told of entries, it is new; otherwise it may be the older of both.
    assert_eq!(replaced_after(busy_by_hand()), None);
    let silent = PbxView {
        entries: None,
        line: Line::Idle,
    };
    assert_eq!(replaced_after(silent), Some(Activity::Away));
    assert_eq!(replaced_after(view(&[], Line::Idle)), None);
}

fn busy_by_hand() -> PbxView {
    view(&[(Origin::User, Activity::Busy)], Line::Idle)
}

#[test]
fn a_choice_that_may_not_be_ours_is_not_cleared_unseen() {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_pbx(view(&[(Origin::User, Activity::Away)], Line::Idle), second(1));
    perform(&mut state, &settings, 1);
    state.see_pbx(view(&[], Line::Idle), second(60));
    assert!(decide(&state, &settings, second(60)).read);
    let mut offline = state.clone();
    offline.see_teams(reading("Offline", "Offline", 5, 61), second(61));
    assert_eq!(
        decide(&offline, &settings, second(61)).explanation.choice,
        Why::NotVisible
    );
    // Who is given up is not waited for.
    offline.set_scope(false);
    assert_eq!(decide(&offline, &settings, second(62)).writes, [Write::ClearPreferred]);

    let mut theirs = state.clone();
    theirs.see_teams(reading("Busy", "Busy", 5, 61), second(61));
    assert!(
        decide(&theirs, &settings, second(61))
            .writes
            .iter()
            .all(|write| write.part() != Part::Choice)
    );

    state.see_teams(reading("Away", "Away", 5, 61), second(61));
    assert_eq!(perform(&mut state, &settings, 61), [Write::ClearPreferred]);
}

#[test]
fn our_entry_says_what_teams_shows_and_gives_way_to_the_persons() {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_teams(reading("Busy", "InAMeeting", 2, 10), second(10));
    let put = |activity: Activity| Write::PutOwn {
        entry: own(activity),
        ttl: None,
    };
    assert_eq!(perform(&mut state, &settings, 10), [put(Activity::Meeting)]);
    let ours = (Origin::Ours, Activity::Meeting);
    let lunch = (Origin::User, Activity::Lunch);
    state.see_pbx(view(&[lunch.clone(), ours], Line::Idle), second(20));
    assert_eq!(
        decide(&state, &settings, second(20)).explanation.entry,
        Why::ChosenOnPbx
    );
    let writes = perform(&mut state, &settings, 20);
    assert!(writes.contains(&Write::ClearOwn), "{writes:?}");
    state.see_pbx(view(&[lunch], Line::Idle), second(26));
    state.see_teams(reading("BeRightBack", "BeRightBack", 4, 40), second(40));
    assert_eq!(perform(&mut state, &settings, 40), []);
}

#[test]
fn an_entry_that_vanished_is_put_again_and_one_that_no_record_knows_is_cleared() {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_teams(reading("Busy", "Busy", 2, 10), second(10));
    perform(&mut state, &settings, 10);
    state.see_pbx(view(&[(Origin::Ours, Activity::Busy)], Line::Idle), second(11));
    assert_eq!(perform(&mut state, &settings, 20), []);
    assert!(state.see_pbx(view(&[], Line::Idle), second(30)));
    assert_eq!(perform(&mut state, &settings, 30).len(), 1);

    let mut stranger = person();
    stranger.see_pbx(view(&[(Origin::Ours, Activity::Busy)], Line::Idle), second(11));
    assert_eq!(perform(&mut stranger, &settings, 11), [Write::ClearOwn]);
    assert_eq!(perform(&mut stranger, &settings, 12), []);
}

#[test]
fn an_entry_waits_until_another_without_an_answer_cannot_come_after_it() {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_teams(reading("Busy", "Busy", 2, 10), second(10));
    let put = decide(&state, &settings, second(10)).writes.remove(0);
    state.begin(&put, second(10));
    state.settle(&put, Outcome::Lost(Class::Retry), second(20), 0.0);
    state.see_teams(reading("Away", "Away", 3, 25), second(25));
    assert_eq!(perform(&mut state, &settings, 69), []);
    let written = perform(&mut state, &settings, 70);
    assert!(
        matches!(&written[..], [Write::PutOwn { entry, .. }] if entry.activity == Activity::Away),
        "{written:?}"
    );
}

#[test]
fn a_switch_that_the_person_turned_off_is_not_turned_on_for_the_same_state() {
    let settings = with_a_switch();
    let mut state = person();
    state.see_teams(reading("Busy", "InAMeeting", 2, 10), second(10));
    assert_eq!(perform(&mut state, &settings, 10), []);
    let dnd = |sequence: u32, when: i64| reading("DoNotDisturb", "DoNotDisturb", sequence, when);
    state.see_teams(dnd(3, 20), second(20));
    assert_eq!(perform(&mut state, &settings, 20).len(), 1);
    state.see_pbx(view(&[(Origin::Ours, Activity::DoNotDisturb)], Line::Idle), second(21));
    state.see_pbx(view(&[], Line::Idle), second(40));
    state.see_teams(dnd(3, 41), second(41));
    let decision = decide(&state, &settings, second(41));
    assert_eq!(
        (decision.writes.len(), decision.explanation.entry),
        (0, Why::SwitchedOff)
    );
    state.see_teams(reading("Available", "Available", 4, 50), second(50));
    state.see_teams(dnd(5, 60), second(60));
    assert_eq!(perform(&mut state, &settings, 60).len(), 1);
}

#[test]
fn a_switch_that_stayed_the_persons_is_put_again_once_it_is_off() {
    let settings = with_a_switch();
    let mut state = person();
    let unknown = PbxView {
        entries: None,
        line: Line::Idle,
    };
    state.see_pbx(unknown, second(5));
    state.see_teams(reading("DoNotDisturb", "DoNotDisturb", 2, 10), second(10));
    // It is on by the person's hand, which nobody can see: the write changes nothing.
    let put = perform(&mut state, &settings, 10);
    assert_eq!(put.len(), 1);
    // The person turned it off before it could be seen again; just after the write that may be what was before.
    state.see_pbx(view(&[], Line::Idle), second(12));
    let decision = decide(&state, &settings, second(12));
    assert_eq!((decision.writes, decision.look_again), (Vec::new(), Some(second(15))));
    assert_eq!(perform(&mut state, &settings, 15), put);
    assert!(!state.owned().switched_off, "that was not ours");
    assert_eq!(perform(&mut state, &settings, 30), [], "once");
}

#[test]
fn an_entry_that_vanished_just_after_it_was_put_is_put_again() {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_teams(reading("Away", "Away", 2, 10), second(10));
    let put = perform(&mut state, &settings, 10);
    assert_eq!(put.len(), 1);
    state.see_pbx(view(&[(Origin::Ours, Activity::Away)], Line::Idle), second(11));
    // An earlier process took it back, and that came late.
    state.see_pbx(view(&[], Line::Idle), second(12));
    let decision = decide(&state, &settings, second(12));
    assert_eq!((decision.writes, decision.look_again), (Vec::new(), Some(second(15))));
    assert_eq!(perform(&mut state, &settings, 15), put);
}

#[test]
fn who_takes_our_entry_away_each_time_is_not_fought() {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_teams(reading("Away", "Away", 2, 10), second(10));
    let mut puts = 0;
    for when in (10..300).step_by(5) {
        if perform(&mut state, &settings, when).is_empty() {
            continue;
        }
        puts += 1;
        state.see_pbx(view(&[(Origin::Ours, Activity::Away)], Line::Idle), second(when + 1));
        state.see_pbx(view(&[], Line::Idle), second(when + 2));
    }
    assert_eq!(puts, 4);
}

#[test]
fn an_entry_that_shows_before_its_write_is_answered_is_missed_when_it_vanishes() {
    let settings = with_a_switch();
    let shown = |origin: Origin| view(&[(origin, Activity::DoNotDisturb)], Line::Idle);
    for first_lost in [false, true] {
        let mut state = person();
        state.see_teams(reading("DoNotDisturb", "DoNotDisturb", 2, 10), second(10));
        let [put] = decide(&state, &settings, second(10)).writes.try_into().unwrap();
        state.begin(&put, second(10));
        state.see_pbx(shown(Origin::Ours), second(11));
        if first_lost {
            state.settle(&put, Outcome::Lost(Class::Retry), second(20), 0.0);
            state.begin(&put, second(30));
        }
        state.settle(&put, Outcome::Done, second(31), 0.0);

        state.see_pbx(view(&[], Line::Idle), second(40));
        assert!(state.owned().switched_off);
        // Nor after the person's own hand was on it again.
        state.see_pbx(shown(Origin::User), second(50));
        assert_eq!(perform(&mut state, &settings, 50), []);
        state.see_pbx(view(&[], Line::Idle), second(60));
        let decision = decide(&state, &settings, second(60));
        assert_eq!(
            (decision.writes, decision.explanation.entry),
            (Vec::new(), Why::SwitchedOff)
        );
    }
}

#[test]
fn what_is_unknown_changes_nothing() {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_pbx(view(&[(Origin::User, Activity::Busy)], Line::Connected), second(1));
    // The choice waits to see what Teams shows then.
    assert_eq!(perform(&mut state, &settings, 1), [in_a_call()]);
    state.lose_pbx();
    let decision = decide(&state, &settings, second(400));
    assert_eq!(decision.writes, []);
    let whys = [
        decision.explanation.session,
        decision.explanation.choice,
        decision.explanation.entry,
    ];
    assert_eq!(whys, [Why::PbxUnknown; 3]);
    // Nothing is refreshed either: in the end, all has vanished.
    assert!(state.owned().session.is_live(second(900)) && !state.owned().session.is_live(second(902)));

    let mut dark = person();
    dark.see_teams(reading("Busy", "Busy", 2, 10), second(10));
    perform(&mut dark, &settings, 10);
    dark.lose_teams();
    let decision = decide(&dark, &settings, second(20));
    assert_eq!(
        (decision.writes.len(), decision.explanation.entry),
        (0, Why::TeamsUnknown)
    );
}

#[test]
fn old_readings_are_dropped_by_their_number_and_numbers_that_begin_anew_are_not_for_ever() {
    let mut state = UserState::default();
    let shown = |state: &UserState| state.teams().unwrap().state.to_string();
    state.see_teams(reading("Busy", "Busy", 5, 10), second(10));
    state.see_teams(reading("Available", "Available", 4, 12), second(12));
    assert_eq!(shown(&state), "Busy/Busy");
    state.see_teams(reading("Away", "Away", 6, 9), second(12));
    assert_eq!(shown(&state), "Away/Away");
    state.see_teams(reading("Available", "Available", 1, 200), second(200));
    assert_eq!(shown(&state), "Available/Available");
}

#[test]
fn a_failed_write_is_tried_again_later_and_its_intent_is_kept_while_nobody_knows() {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_pbx(view(&[], Line::Connected), second(10));
    let write = in_a_call();
    state.begin(&write, second(10));
    assert!(
        state.owned().session.is_live(second(10)),
        "on the record before it is sent"
    );
    assert_eq!(decide(&state, &settings, second(10)).explanation.session, Why::UnderWay);
    let mut refused = state.clone();
    refused.settle(&write, Outcome::Refused(Class::Retry), second(11), 0.0);
    assert!(refused.owned().is_clear(second(11)));
    let decision = decide(&refused, &settings, second(11));
    assert_eq!(
        (decision.explanation.session, decision.look_again),
        (Why::Waiting, Some(second(13)))
    );
    refused.try_part_again(Part::Entry);
    assert_eq!(
        decide(&refused, &settings, second(11)).explanation.session,
        Why::Waiting,
        "a PBX that is back says nothing of Teams"
    );
    refused.try_again();
    assert_eq!(
        decide(&refused, &settings, second(11)).writes,
        std::slice::from_ref(&write)
    );

    state.settle(&write, Outcome::Lost(Class::Retry), second(20), 0.0);
    assert!(state.owned().session.is_live(second(20)));
    state.see_pbx(view(&[], Line::Idle), second(21));
    assert_eq!(perform(&mut state, &settings, 23), [Write::ClearSession]);
}

#[test]
fn what_our_session_shows_is_not_taken_for_our_choice() {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_pbx(view(&[(Origin::User, Activity::Busy)], Line::Idle), second(1));
    let choose = decide(&state, &settings, second(1)).writes;
    let [
        write @ Write::SetPreferred {
            choice: Choice::Busy, ..
        },
    ] = choose.as_slice()
    else {
        panic!("{choose:?}");
    };
    state.begin(write, second(1));
    state.settle(write, Outcome::Lost(Class::Retry), second(11), 0.0);
    // A call is told meanwhile, and Graph words it as it words the choice.
    state.see_pbx(view(&[(Origin::User, Activity::Busy)], Line::Connected), second(12));
    perform(&mut state, &settings, 12);
    state.see_teams(reading("Busy", "Busy", 2, 30), second(30));
    state.see_pbx(view(&[(Origin::User, Activity::Busy)], Line::Idle), second(40));
    assert_eq!(perform(&mut state, &settings, 42), [Write::ClearSession]);
    state.see_teams(reading("Available", "Available", 3, 70), second(70));
    assert_eq!(perform(&mut state, &settings, 70), choose);
}

#[test]
fn a_choice_that_lapsed_after_a_refresh_without_an_answer_is_told_again() {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_pbx(busy_by_hand(), second(1));
    let choose = perform(&mut state, &settings, 1);
    let half = 1 + 12 * 3600;
    state.see_teams(reading("Busy", "Busy", 2, half), second(half));
    let refresh = decide(&state, &settings, second(half)).writes;
    assert_eq!(refresh, choose);
    state.begin(&refresh[0], second(half));
    // The process dies, and Graph never saw the refresh; what shows is the choice of half a day ago.
    let mut state = UserState::restored(state.owned().clone(), second(half + 10));
    state.see_teams(reading("Busy", "Busy", 2, half + 30), second(half + 30));
    let lapsed = 24 * 3600 + 10;
    state.see_teams(reading("Available", "Available", 3, lapsed), second(lapsed));
    state.see_pbx(busy_by_hand(), second(lapsed));
    assert_eq!(perform(&mut state, &settings, lapsed), choose);
}

#[test]
fn the_same_choice_made_anew_on_the_pbx_is_told_though_it_was_replaced_before() {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_pbx(busy_by_hand(), second(1));
    let choose = perform(&mut state, &settings, 1);
    // On the PBX it is no longer so when Teams tells that the person replaced ours.
    state.see_pbx(view(&[], Line::Idle), second(20));
    state.see_teams(reading("Available", "Available", 3, 21), second(21));
    state.see_pbx(busy_by_hand(), second(40));
    state.see_teams(reading("Available", "Available", 3, 41), second(41));
    assert_eq!(perform(&mut state, &settings, 41), choose);
}

#[test]
fn what_may_have_been_taken_back_is_written_again_though_a_write_was_refused() {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_pbx(view(&[], Line::Connected), second(10));
    perform(&mut state, &settings, 10);
    state.see_pbx(view(&[], Line::Idle), second(20));
    let clear = decide(&state, &settings, second(22)).writes;
    assert_eq!(clear, [Write::ClearSession]);
    state.begin(&clear[0], second(22));
    state.settle(&clear[0], Outcome::Lost(Class::Retry), second(32), 0.0);
    // The next call. Whether the session of the last one is there, nobody knows.
    state.see_pbx(view(&[], Line::Connected), second(33));
    state.begin(&in_a_call(), second(40));
    state.settle(&in_a_call(), Outcome::Refused(Class::Retry), second(41), 0.0);
    assert_eq!(perform(&mut state, &settings, 60), [in_a_call()]);
}

#[test]
fn a_new_process_goes_on_from_the_record() {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_pbx(view(&[], Line::Connected), second(10));
    state.begin(&in_a_call(), second(10));
    let record = serde_json::to_string(state.owned()).unwrap();
    let owned: Owned = serde_json::from_str(&record).unwrap();
    let mut state = UserState::restored(owned, second(100));
    assert_eq!(decide(&state, &settings, second(100)).writes, []);
    state.see_pbx(view(&[], Line::Idle), second(101));
    assert_eq!(perform(&mut state, &settings, 103), [Write::ClearSession]);
}

/// The process dies while Busy is ours in Teams, and be right back was sent with no answer. What the next one decides at second 200,
/// when Graph shows this.
fn after_a_death_between_two_choices(word: &str, sequence: u32) -> (UserState, Vec<Write>) {
    let settings = settings(&json!({}));
    let mut state = person();
    state.see_pbx(view(&[(Origin::User, Activity::Busy)], Line::Idle), second(1));
    perform(&mut state, &settings, 1);
    let lunch = view(&[(Origin::User, Activity::Lunch)], Line::Idle);
    state.see_pbx(lunch.clone(), second(20));
    state.see_teams(reading("Busy", "Busy", 2, 20), second(20));
    let [write] = decide(&state, &settings, second(20)).writes.try_into().unwrap();
    state.begin(&write, second(20));
    let record = serde_json::to_string(state.owned()).unwrap();

    let mut state = UserState::restored(serde_json::from_str(&record).unwrap(), second(30));
    state.see_pbx(lunch, second(31));
    state.see_teams(reading(word, word, sequence, 200), second(200));
    let writes = perform(&mut state, &settings, 200);
    (state, writes)
}

#[test]
fn after_a_death_between_two_choices_the_record_and_the_sequence_tell_whose_is_in_force() {
    let choice = |writes: &[Write]| match writes {
        [Write::SetPreferred { choice, .. }] => Some(*choice),
        _ => None,
    };
    // Graph shows what it showed before: it did not act, and Busy is still ours.
    let (_, writes) = after_a_death_between_two_choices("Busy", 2);
    assert_eq!(choice(&writes), Some(Choice::BeRightBack));
    // It acted.
    let (state, writes) = after_a_death_between_two_choices("BeRightBack", 3);
    assert_eq!(writes, []);
    assert!(state.owned().choice.certain(second(200)).is_some());
    // The person has chosen something else since.
    let (state, writes) = after_a_death_between_two_choices("DoNotDisturb", 3);
    assert_eq!(choice(&writes), None);
    assert_eq!(state.owned().replaced, Some(Activity::Lunch));
    // Busy, and something happened in between: whether the person chose it nobody can tell. The PBX's word is told.
    let (_, writes) = after_a_death_between_two_choices("Busy", 4);
    assert_eq!(choice(&writes), Some(Choice::BeRightBack));
}

#[test]
fn policies_and_capabilities_decide_what_is_told() {
    let decide_with = |says: serde_json::Value, capabilities: Capabilities, view: PbxView| {
        let settings = Settings::new(&spec(&says), capabilities);
        let mut state = person();
        state.see_pbx(view, second(1));
        decide(&state, &settings, second(1))
    };
    let all = capabilities(false);
    let dnd = || view(&[(Origin::User, Activity::DoNotDisturb)], Line::Ringing);
    let session = json!({ "policy": { "doNotDisturb": "Session" } });
    let as_session = Write::SetSession {
        session: Session::DoNotDisturb,
        ttl: SignedDuration::from_mins(15),
    };
    assert_eq!(decide_with(session, all, dnd()).writes, [as_session]);
    let ignore = json!({ "policy": { "doNotDisturb": "Ignore" } });
    assert_eq!(decide_with(ignore, all, dnd()).writes, []);
    let ringing = json!({ "policy": { "doNotDisturb": "Ignore", "ringing": "InACall" } });
    assert_eq!(decide_with(ringing, all, dnd()).writes, [in_a_call()]);
    let one_way = json!({ "direction": "TeamsToPbx" });
    assert_eq!(decide_with(one_way, all, dnd()).explanation.choice, Why::Off);
    // Where the line is not told, an entry may tell of a call.
    let no_line = Capabilities { line: false, ..all };
    let by_entry = || view(&[(Origin::User, Activity::OnThePhone)], Line::Unknown);
    assert_eq!(decide_with(json!({}), no_line, by_entry()).writes, [in_a_call()]);
    let system = view(&[(Origin::System, Activity::Meeting)], Line::Idle);
    assert_eq!(decide_with(json!({}), all, system).writes, []);
}

#[test]
fn a_call_that_only_an_entry_tells_of_goes_on_while_entries_are_unknown() {
    let no_line = Capabilities {
        line: false,
        ..capabilities(false)
    };
    let settings = Settings::new(&spec(&json!({})), no_line);
    let mut state = person();
    let on_the_phone = [(Origin::User, Activity::OnThePhone)];
    state.see_pbx(view(&on_the_phone, Line::Unknown), second(10));
    assert_eq!(perform(&mut state, &settings, 10), [in_a_call()]);
    state.see_pbx(PbxView::default(), second(20));
    let decision = decide(&state, &settings, second(20));
    assert_eq!(
        (decision.writes.len(), decision.explanation.session),
        (0, Why::PbxUnknown)
    );
    state.see_pbx(view(&[], Line::Unknown), second(30));
    assert_eq!(perform(&mut state, &settings, 30), [Write::ClearSession]);
}

#[test]
fn suspension_takes_everything_back() {
    let active = settings(&json!({}));
    let mut state = person();
    state.see_teams(reading("Busy", "InAMeeting", 2, 1), second(1));
    state.see_pbx(view(&[], Line::Connected), second(1));
    assert_eq!(perform(&mut state, &active, 1).len(), 2);
    let suspended = settings(&json!({ "suspend": true }));
    state.lose_pbx();
    assert_eq!(
        perform(&mut state, &suspended, 2),
        [Write::ClearSession, Write::ClearOwn]
    );
    assert!(state.owned().is_clear(second(2)));
    assert_eq!(decide(&state, &suspended, second(3)).explanation.entry, Why::TakenBack);
}
