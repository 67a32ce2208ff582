use super::*;

#[test]
fn words_are_read_whatever_their_capitals() {
    for (spelling, word) in WORDS {
        assert_eq!(Word::read(spelling), word);
        assert_eq!(Word::read(&spelling.to_uppercase()), word);
        assert_eq!(Word::read(&format!(" {} ", spelling.to_lowercase())), word);
        assert_eq!(word.text(), spelling);
    }
    assert_eq!(Word::read(""), Word::PresenceUnknown);
    assert_eq!(Word::read("onTheMoon"), Word::Other("onTheMoon".into()));
    assert!(Word::read("onTheMoon").is(&Word::read("ONTHEMOON")));
    assert_eq!(Word::read(&"ü".repeat(1000)).text().chars().count(), LONGEST_WORD);
}

#[test]
fn a_state_comes_down_to_its_availability_or_what_its_activity_tells() {
    let cases = [
        ("Available", "Available", Base::Available),
        ("AvailableIdle", "Inactive", Base::Available),
        ("Away", "Away", Base::Away),
        ("BeRightBack", "BeRightBack", Base::Away),
        ("Busy", "InACall", Base::Busy),
        ("inACall", "", Base::Busy),
        ("BusyIdle", "Inactive", Base::Busy),
        ("DoNotDisturb", "Presenting", Base::DoNotDisturb),
        ("Offline", "Offline", Base::Offline),
        ("Offline", "OffWork", Base::Offline),
        ("PresenceUnknown", "PresenceUnknown", Base::Unknown),
        ("PresenceUnknown", "Busy", Base::Busy),
        ("new", "newer", Base::Unknown),
        ("new", "InAMeeting", Base::Busy),
    ];
    for (availability, activity, base) in cases {
        let state = TeamsState::read(availability, activity, false);
        assert_eq!(state.base(), base, "{state}");
        assert_eq!(
            state.visible(),
            !matches!(base, Base::Offline | Base::Unknown),
            "{state}"
        );
    }
}

#[test]
fn what_a_person_can_choose_looks_chosen() {
    let cases = [
        ("Available", "Available", false),
        ("Busy", "Busy", true),
        ("BusyIdle", "Inactive", true),
        ("Busy", "InACall", false),
        ("Busy", "InAMeeting", false),
        ("DoNotDisturb", "DoNotDisturb", true),
        ("DoNotDisturb", "new", true),
        ("DoNotDisturb", "UrgentInterruptionsOnly", true),
        ("DoNotDisturb", "Presenting", false),
        ("DoNotDisturb", "Focusing", false),
        ("BeRightBack", "BeRightBack", true),
        ("Away", "Away", true),
        ("Away", "OutOfOffice", false),
        ("Offline", "Offline", false),
        ("Offline", "OffWork", true),
        ("", "", false),
    ];
    for (availability, activity, chosen) in cases {
        let state = TeamsState::read(availability, activity, false);
        assert_eq!(state.looks_chosen(), chosen, "{state}");
    }
}

#[test]
fn a_state_is_shown_with_both_words() {
    assert_eq!(TeamsState::read("busy", "inacall", false).to_string(), "Busy/InACall");
    assert_eq!(
        TeamsState::read("away", "away", true).to_string(),
        "Away/Away, out of office"
    );
}
