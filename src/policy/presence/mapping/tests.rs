//! The tables word for word; P8: every state has an answer; P9: no round trip raises a state.

use proptest::prelude::*;

use super::*;
use crate::api::presence::{PbxRow, TeamsRow};
use crate::policy::presence::testing::histories;

/// The table of innovaphone's page, as it is printed there.
const SEED: &str = "Away away
BeRightBack away
Busy busy
DoNotDisturb dnd
InACall on-the-phone
InAMeeting meeting
Inactive online
PresenceUnknown online
Available online
Offline online
Offwork online
OutOfOffice away
UrgentInterruptionsOnly dnd
Presenting on-the-phone
InAConferenceCall on-the-phone";

fn mapping(profile: Profile) -> Mapping {
    let rows = Rows {
        profile,
        ..Rows::default()
    };
    Mapping::new(&rows, &Policy::default())
}

fn shown(mapping: &Mapping, availability: &str, activity: &str) -> String {
    match mapping.on_pbx(&TeamsState::read(availability, activity, false)) {
        OnPbx::Entry(entry) => entry.activity.to_string(),
        OnPbx::Unset => "online".to_owned(),
        OnPbx::NoChange => "no change".to_owned(),
        OnPbx::Unmapped => "unmapped".to_owned(),
    }
}

#[test]
fn the_innovaphone_profile_is_the_table_of_the_connector() {
    let innovaphone = mapping(Profile::Innovaphone);
    assert_eq!(SEED.lines().count(), 15);
    for row in SEED.lines() {
        let (teams, pbx) = row.split_once(' ').unwrap();
        assert_eq!(shown(&innovaphone, "", teams), pbx, "{teams}");
        assert_eq!(shown(&innovaphone, "new", teams), pbx, "{teams}");
    }
    // It has no other rows.
    let in_table = |word: &str| {
        SEED.lines()
            .any(|row| row.to_lowercase().starts_with(&format!("{} ", word.to_lowercase())))
    };
    for word in ["Focusing", "AvailableIdle", "BusyIdle", "new"] {
        assert!(!in_table(word));
        assert_eq!(super::innovaphone(&Word::read(word)), None, "{word}");
    }
}

#[test]
fn each_profile_knows_each_state() {
    // Availability and activity as Graph gives them; innovaphone, sip, conservative.
    let cases = [
        ("Available", "Available", ["online", "online", "online"]),
        ("AvailableIdle", "Inactive", ["online", "online", "online"]),
        ("AvailableIdle", "AvailableIdle", ["online", "online", "online"]),
        ("Away", "Away", ["away", "away", "away"]),
        ("BeRightBack", "BeRightBack", ["away", "away", "away"]),
        ("Busy", "Busy", ["busy", "busy", "busy"]),
        ("BusyIdle", "Inactive", ["busy", "busy", "busy"]),
        ("DoNotDisturb", "DoNotDisturb", ["dnd", "dnd", "dnd"]),
        ("DoNotDisturb", "UrgentInterruptionsOnly", ["dnd", "dnd", "dnd"]),
        ("DoNotDisturb", "Focusing", ["dnd", "dnd", "dnd"]),
        ("Busy", "InACall", ["on-the-phone", "on-the-phone", "on-the-phone"]),
        ("inACall", "new", ["on-the-phone", "on-the-phone", "on-the-phone"]),
        (
            "Busy",
            "InAConferenceCall",
            ["on-the-phone", "on-the-phone", "on-the-phone"],
        ),
        ("DoNotDisturb", "Presenting", ["on-the-phone", "on-the-phone", "dnd"]),
        ("Busy", "InAMeeting", ["meeting", "meeting", "meeting"]),
        ("Away", "OutOfOffice", ["away", "away", "away"]),
        ("Offline", "Offline", ["online", "online", "no change"]),
        ("Offline", "OffWork", ["online", "online", "no change"]),
        (
            "PresenceUnknown",
            "PresenceUnknown",
            ["online", "no change", "no change"],
        ),
        ("new", "newer", ["unmapped", "unmapped", "unmapped"]),
        ("Busy", "newer", ["busy", "busy", "busy"]),
    ];
    let profiles = [Profile::Innovaphone, Profile::Sip, Profile::Conservative].map(mapping);
    for (availability, activity, expected) in cases {
        for (profile, expected) in profiles.iter().zip(expected) {
            let found = shown(profile, availability, activity);
            assert_eq!(found, expected, "{availability}/{activity} {:?}", profile.profile);
        }
    }
}

#[test]
fn rows_of_the_spec_go_before_policies_and_these_before_the_profile() {
    let row = |teams: &str, pbx: PbxTarget| TeamsRow {
        teams: teams.to_owned(),
        pbx,
    };
    let rows = Rows {
        profile: Profile::Conservative,
        teams_to_pbx: vec![
            row("inameeting", PbxTarget::Busy),
            row("OnTheMoon", PbxTarget::Away),
            row("Busy", PbxTarget::DoNotDisturb),
            row("OffWork", PbxTarget::Away),
        ],
        pbx_to_teams: Vec::new(),
    };
    let policy = Policy {
        offline: OfflinePolicy::Unset,
        ..Policy::default()
    };
    let mapping = Mapping::new(&rows, &policy);
    let cases = [
        ("Busy", "InAMeeting", "busy"),
        ("Available", "onthemoon", "away"),
        // The activity goes first: a row for Busy says nothing of calls.
        ("Busy", "InACall", "on-the-phone"),
        ("Busy", "Busy", "dnd"),
        ("Offline", "Offline", "online"),
        ("Offline", "OffWork", "away"),
    ];
    for (availability, activity, expected) in cases {
        assert_eq!(
            shown(&mapping, availability, activity),
            expected,
            "{availability}/{activity}"
        );
    }
}

#[test]
fn out_of_office_is_shown_as_the_policy_says() {
    let show = |policy: OutOfOfficePolicy, profile: Profile, availability: &str, activity: &str| {
        let rows = Rows {
            profile,
            ..Rows::default()
        };
        let policy = Policy {
            out_of_office: policy,
            ..Policy::default()
        };
        match Mapping::new(&rows, &policy).on_pbx(&TeamsState::read(availability, activity, true)) {
            OnPbx::Entry(entry) => format!("{}:{}", entry.activity, entry.note),
            other => format!("{other:?}"),
        }
    };
    let cases = [
        (OutOfOfficePolicy::Ignore, Profile::Innovaphone, "Available", "Unset"),
        (OutOfOfficePolicy::Away, Profile::Innovaphone, "Available", "away:"),
        (OutOfOfficePolicy::Away, Profile::Conservative, "Offline", "away:"),
        (OutOfOfficePolicy::Away, Profile::Innovaphone, "Busy", "busy:"),
        (
            OutOfOfficePolicy::Away,
            Profile::Innovaphone,
            "PresenceUnknown",
            "Unset",
        ),
        (
            OutOfOfficePolicy::Note,
            Profile::Innovaphone,
            "Available",
            "online:Out of office",
        ),
        (
            OutOfOfficePolicy::Note,
            Profile::Innovaphone,
            "Busy",
            "busy:Out of office",
        ),
        (OutOfOfficePolicy::Note, Profile::Conservative, "Offline", "NoChange"),
    ];
    for (policy, profile, word, expected) in cases {
        assert_eq!(show(policy, profile, word, word), expected, "{policy:?} {word}");
    }
}

#[test]
fn what_is_said_on_the_pbx_becomes_what_graph_accepts() {
    let cases = [
        (Activity::Unset, InTeams::Nothing),
        (Activity::Away, InTeams::Choice(Choice::Away)),
        (Activity::BeRightBack, InTeams::Choice(Choice::BeRightBack)),
        (Activity::Lunch, InTeams::Choice(Choice::BeRightBack)),
        (Activity::Busy, InTeams::Choice(Choice::Busy)),
        (Activity::Meeting, InTeams::Choice(Choice::Busy)),
        (Activity::DoNotDisturb, InTeams::Choice(Choice::DoNotDisturb)),
        (Activity::OnThePhone, InTeams::Session(Session::InACall)),
        (Activity::Vacation, InTeams::Nothing),
        (Activity::Other("onTheMoon".to_owned()), InTeams::Unmapped),
    ];
    let mapping = mapping(Profile::Sip);
    for (activity, expected) in cases {
        assert_eq!(mapping.in_teams(&activity), expected, "{activity}");
    }
    let of = |policy: DoNotDisturbPolicy| {
        let policy = Policy {
            do_not_disturb: policy,
            ..Policy::default()
        };
        Mapping::new(&Rows::default(), &policy).in_teams(&Activity::DoNotDisturb)
    };
    assert_eq!(of(DoNotDisturbPolicy::Session), InTeams::Session(Session::DoNotDisturb));
    assert_eq!(of(DoNotDisturbPolicy::Ignore), InTeams::Nothing);
}

#[test]
fn rows_for_the_pbxs_words_are_found_however_they_are_written() {
    let row = |pbx: &str, teams: TeamsTarget| PbxRow {
        pbx: pbx.to_owned(),
        teams,
    };
    let rows = Rows {
        pbx_to_teams: vec![
            row("Do-Not-Disturb", TeamsTarget::Busy),
            row("ON THE PHONE", TeamsTarget::NoChange),
            row("vacation", TeamsTarget::Away),
            row("Worship", TeamsTarget::DoNotDisturb),
            row("online", TeamsTarget::Available),
        ],
        ..Rows::default()
    };
    let mapping = Mapping::new(&rows, &Policy::default());
    let cases = [
        (Activity::DoNotDisturb, InTeams::Choice(Choice::Busy)),
        (Activity::OnThePhone, InTeams::Nothing),
        (Activity::Vacation, InTeams::Choice(Choice::Away)),
        (
            Activity::Other("worship".to_owned()),
            InTeams::Choice(Choice::DoNotDisturb),
        ),
        (Activity::Unset, InTeams::Choice(Choice::Available)),
        (Activity::Lunch, InTeams::Choice(Choice::BeRightBack)),
    ];
    for (activity, expected) in cases {
        assert_eq!(mapping.in_teams(&activity), expected, "{activity}");
    }
}

#[test]
fn only_pairs_that_graph_accepts_can_be_written() {
    let sessions = [Session::InACall, Session::InAConferenceCall, Session::DoNotDisturb];
    let accepted = [
        ("Busy", "InACall"),
        ("Busy", "InAConferenceCall"),
        ("DoNotDisturb", "Presenting"),
    ];
    assert_eq!(
        sessions.map(|session| (session.availability(), session.activity())),
        accepted
    );
    let choices = [
        Choice::Available,
        Choice::Busy,
        Choice::DoNotDisturb,
        Choice::BeRightBack,
        Choice::Away,
    ];
    let accepted = ["Available", "Busy", "DoNotDisturb", "BeRightBack", "Away"].map(|word| (word, word));
    assert_eq!(
        choices.map(|choice| (choice.availability(), choice.activity())),
        accepted
    );
}

/// How little a person is to be reached.
fn level(base: Base) -> u8 {
    match base {
        Base::DoNotDisturb => 2,
        Base::Busy => 1,
        Base::Available | Base::Away | Base::Offline | Base::Unknown => 0,
    }
}

fn word() -> impl Strategy<Value = String> {
    let known = vec![
        "Available",
        "AvailableIdle",
        "away",
        "BERIGHTBACK",
        "Busy",
        "BusyIdle",
        "DoNotDisturb",
        "Focusing",
        "inACall",
        "InAConferenceCall",
        "InAMeeting",
        "Inactive",
        "Offline",
        "OffWork",
        "OutOfOffice",
        "Presenting",
        "UrgentInterruptionsOnly",
        "PresenceUnknown",
        "",
    ];
    prop_oneof![4 => prop::sample::select(known).prop_map(str::to_owned), 1 => any::<String>()]
}

fn profile() -> impl Strategy<Value = Profile> {
    prop::sample::select(vec![Profile::Innovaphone, Profile::Sip, Profile::Conservative])
}

fn rows() -> impl Strategy<Value = (Rows, Policy)> {
    let target = prop::sample::select(vec![
        PbxTarget::Unset,
        PbxTarget::DoNotDisturb,
        PbxTarget::Meeting,
        PbxTarget::NoChange,
    ]);
    let teams = prop::sample::select(vec![
        TeamsTarget::Available,
        TeamsTarget::DoNotDisturb,
        TeamsTarget::NoChange,
    ]);
    let to_pbx = prop::collection::vec((word(), target).prop_map(|(teams, pbx)| TeamsRow { teams, pbx }), 0..4);
    let to_teams = prop::collection::vec(
        (any::<String>(), teams).prop_map(|(pbx, teams)| PbxRow { pbx, teams }),
        0..4,
    );
    let offline = prop::sample::select(vec![
        OfflinePolicy::Profile,
        OfflinePolicy::Unset,
        OfflinePolicy::NoChange,
    ]);
    let absent = prop::sample::select(vec![
        OutOfOfficePolicy::Ignore,
        OutOfOfficePolicy::Note,
        OutOfOfficePolicy::Away,
    ]);
    (profile(), to_pbx, to_teams, offline, absent).prop_map(
        |(profile, teams_to_pbx, pbx_to_teams, offline, out_of_office)| {
            let rows = Rows {
                profile,
                teams_to_pbx,
                pbx_to_teams,
            };
            (
                rows,
                Policy {
                    offline,
                    out_of_office,
                    ..Policy::default()
                },
            )
        },
    )
}

proptest! {
    #![proptest_config(histories())]

    #[test]
    fn p8_mapping_is_total(
        (rows, policy) in rows(),
        (availability, activity) in (word(), word()),
        out_of_office in any::<bool>(),
        said in any::<String>(),
    ) {
        let mapping = Mapping::new(&rows, &policy);
        let state = TeamsState::read(&availability, &activity, out_of_office);
        let on_pbx = mapping.on_pbx(&state);
        // What nothing knows changes nothing.
        let known = |word: &Word| !matches!(word, Word::Other(_)) || rows.teams_to_pbx.iter().any(|row| Word::read(&row.teams).is(word));
        if !known(&state.activity) && !known(&state.availability) {
            prop_assert_eq!(on_pbx, OnPbx::Unmapped);
        }
        mapping.in_teams(&Activity::Other(said));
    }

    #[test]
    fn p9_a_round_trip_never_raises_a_state(
        profile in profile(),
        (availability, activity) in (word(), word()),
        out_of_office in any::<bool>(),
        policies in (0_usize..3, 0_usize..3, 0_usize..3),
    ) {
        let policy = Policy {
            offline: [OfflinePolicy::Profile, OfflinePolicy::Unset, OfflinePolicy::NoChange][policies.0],
            out_of_office: [OutOfOfficePolicy::Ignore, OutOfOfficePolicy::Note, OutOfOfficePolicy::Away][policies.1],
            do_not_disturb: [DoNotDisturbPolicy::Preferred, DoNotDisturbPolicy::Session, DoNotDisturbPolicy::Ignore][policies.2],
            ..Policy::default()
        };
        let mapping = Mapping::new(&Rows { profile, ..Rows::default() }, &policy);
        let state = TeamsState::read(&availability, &activity, out_of_office);
        let before = [&state.availability, &state.activity].map(|word| word.base().map_or(0, level));
        if let OnPbx::Entry(entry) = mapping.on_pbx(&state) {
            let after = match mapping.in_teams(&entry.activity) {
                InTeams::Choice(choice) => level(choice.base()),
                InTeams::Session(session) => level(session.base()),
                InTeams::Nothing | InTeams::Unmapped => 0,
            };
            prop_assert!(after <= before[0].max(before[1]), "{state} became {} became {after}", entry.activity);
        }
    }
}
