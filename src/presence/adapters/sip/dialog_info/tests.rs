use proptest::prelude::*;

use super::*;

fn dialog(id: &str, state: &str) -> String {
    format!(r#"<dialog id="{id}" direction="recipient"><state>{state}</state></dialog>"#)
}

fn document(version: u64, state: &str, dialogs: &[String]) -> Vec<u8> {
    let dialogs = dialogs.concat();
    format!(
        r#"<?xml version="1.0"?><dialog-info xmlns="{DIALOG_INFO}" version="{version}" state="{state}" entity="sip:a@b">{dialogs}</dialog-info>"#
    )
    .into_bytes()
}

#[test]
fn states_of_one_call() {
    let cases = [
        ("trying", Line::Ringing),
        ("proceeding", Line::Ringing),
        ("early", Line::Ringing),
        (" confirmed ", Line::Connected),
        ("terminated", Line::Idle),
        ("something", Line::Idle),
    ];
    for (state, expected) in cases {
        let mut calls = Calls::default();
        assert_eq!(
            calls.apply(&document(0, "full", &[dialog("1", state)])),
            Ok(Applied::Whole)
        );
        assert_eq!(calls.line(), expected, "{state}");
    }
}

#[test]
fn several_calls_and_a_conference() {
    let mut calls = Calls::default();
    calls
        .apply(&document(
            0,
            "full",
            &[
                dialog("1", "confirmed"),
                dialog("2", "early"),
                dialog("3", "terminated"),
            ],
        ))
        .unwrap();
    assert_eq!(calls.line(), Line::Connected);
    let focus = r#"<dialog id="4"><state>confirmed</state><remote><target uri="sip:c"><param pname="isfocus" pval="true"/></target></remote></dialog>"#;
    calls
        .apply(&document(1, "full", &[dialog("1", "confirmed"), focus.to_owned()]))
        .unwrap();
    assert_eq!(calls.line(), Line::Conference);
    calls.apply(&document(2, "full", &[])).unwrap();
    assert_eq!(calls.line(), Line::Idle);
}

#[test]
fn partial_documents_follow_each_other() {
    let mut calls = Calls::default();
    assert_eq!(
        calls.apply(&document(5, "partial", &[dialog("1", "early")])),
        Ok(Applied::Gap)
    );
    calls
        .apply(&document(5, "full", &[dialog("1", "early"), dialog("2", "confirmed")]))
        .unwrap();
    assert_eq!(
        calls.apply(&document(6, "partial", &[dialog("2", "terminated")])),
        Ok(Applied::Whole)
    );
    assert_eq!(calls.line(), Line::Ringing);
    assert_eq!(
        calls.apply(&document(8, "partial", &[dialog("1", "terminated")])),
        Ok(Applied::Gap)
    );
    assert_eq!(calls.line(), Line::Ringing, "nothing is taken from it");
    assert_eq!(calls.apply(&document(0, "full", &[])), Ok(Applied::Whole));
}

#[test]
fn other_documents() {
    let mut calls = Calls::default();
    assert_eq!(calls.apply(b"<dialog-info/>"), Err(Unreadable::Kind));
    let many: Vec<_> = (0..=MOST_CALLS).map(|at| dialog(&at.to_string(), "early")).collect();
    assert_eq!(calls.apply(&document(0, "full", &many)), Err(Unreadable::TooLarge));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Calls::default().apply(&bytes);
    }

    /// A whole document wins over all that was known before.
    #[test]
    fn a_whole_document_forgets_the_past(before in proptest::collection::vec((0..4_u8, 0..3_usize), 0..10), last in 0..3_usize) {
        let states = ["early", "confirmed", "terminated"];
        let mut calls = Calls::default();
        for (version, (id, state)) in before.iter().enumerate() {
            let kind = if version == 0 { "full" } else { "partial" };
            calls.apply(&document(version as u64, kind, &[dialog(&id.to_string(), states[*state])])).unwrap();
        }
        calls.apply(&document(99, "full", &[dialog("9", states[last])])).unwrap();
        prop_assert_eq!(calls.line(), [Line::Ringing, Line::Connected, Line::Idle][last]);
    }
}
