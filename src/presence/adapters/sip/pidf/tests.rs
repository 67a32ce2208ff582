use proptest::prelude::*;

use super::*;

fn tuple(id: &str, basic: &str) -> String {
    format!(r#"<tuple id="{id}"><status><basic>{basic}</basic></status></tuple>"#)
}

fn person(id: &str, activities: &str) -> String {
    format!(r#"<dm:person id="{id}"><rp:activities>{activities}</rp:activities></dm:person>"#)
}

/// As a server joins it.
fn document(parts: &[String]) -> Vec<u8> {
    let parts = parts.concat();
    format!(r#"<presence xmlns="{PIDF}" xmlns:dm="{DATA_MODEL}" xmlns:rp="{RPID}" entity="sip:a@b">{parts}</presence>"#)
        .into_bytes()
}

fn said(bytes: &[u8], own: Option<&str>) -> Vec<(Origin, Activity)> {
    let entries = read(bytes, own).unwrap();
    entries
        .into_iter()
        .map(|entry| (entry.origin, entry.activity))
        .collect()
}

fn own(activity: Activity, note: &str) -> OwnEntry {
    OwnEntry {
        activity,
        note: note.to_owned(),
    }
}

#[test]
fn activities_of_others() {
    let cases = [
        ("<rp:busy/>", Some(Activity::Busy)),
        ("<rp:on-the-phone/><rp:busy/>", Some(Activity::OnThePhone)),
        ("<rp:meal/>", Some(Activity::Lunch)),
        ("<rp:holiday/>", Some(Activity::Vacation)),
        ("<rp:other>DND</rp:other>", Some(Activity::DoNotDisturb)),
        ("<rp:dnd/>", Some(Activity::DoNotDisturb)),
        ("<rp:away/><rp:steering/>", Some(Activity::Away)),
        ("<rp:Steering/>", Some(Activity::Other("steering".to_owned()))),
        ("<rp:unknown/>", None),
        ("<rp:other> </rp:other>", None),
        ("", None),
    ];
    for (words, expected) in cases {
        let bytes = document(&[tuple("t", "closed"), person("p", words)]);
        let expected: Vec<_> = expected.into_iter().map(|activity| (Origin::User, activity)).collect();
        assert_eq!(said(&bytes, None), expected, "{words}");
    }
}

#[test]
fn a_device_speaks_only_if_nobody_says_more() {
    let online = (Origin::User, Activity::Unset);
    let busy = (Origin::User, Activity::Busy);
    assert_eq!(
        said(&document(&[tuple("t", "open")]), None),
        std::slice::from_ref(&online)
    );
    assert_eq!(said(&document(&[tuple("t", "open"), person("p", "")]), None), [online]);
    assert_eq!(said(&document(&[tuple("t", "closed")]), None), []);
    assert_eq!(said(&document(&[]), None), []);
    let phone_registers = document(&[tuple("a", "open"), person("p", "<rp:busy/>"), tuple("phone", "open")]);
    assert_eq!(said(&phone_registers, None), [busy]);
    let within = format!(
        r#"<tuple id="t"><status><basic>open</basic><rp:activities xmlns:rp="{RPID}"><rp:away/></rp:activities></status></tuple>"#
    );
    assert_eq!(said(&document(&[within]), None), [(Origin::User, Activity::Away)]);
}

#[test]
fn the_own_entry_keeps_its_place() {
    let ours = [tuple("teamsgraph-2", "open"), person("teamsgraph-2-p", "<rp:meeting/>")].concat();
    let stale = [tuple("teamsgraph-1", "open"), person("teamsgraph-1-p", "<rp:busy/>")].concat();
    let user = |word: &str| {
        [
            tuple("u", "open"),
            person(&format!("p{word}"), &format!("<rp:{word}/>")),
        ]
        .concat()
    };
    let own = Some("teamsgraph-2");
    let of = |origin, activity| (origin, activity);
    let cases = [
        (
            vec![user("busy"), ours.clone()],
            own,
            vec![of(Origin::Ours, Activity::Meeting), of(Origin::User, Activity::Busy)],
        ),
        (
            vec![user("busy"), ours.clone(), user("away")],
            own,
            vec![
                of(Origin::User, Activity::Away),
                of(Origin::Ours, Activity::Meeting),
                of(Origin::User, Activity::Busy),
            ],
        ),
        // An earlier worker's entry does not hide the one that is held, wherever it stands.
        (
            vec![stale.clone(), ours.clone()],
            own,
            vec![of(Origin::Ours, Activity::Meeting)],
        ),
        (
            vec![ours, stale.clone()],
            own,
            vec![of(Origin::Ours, Activity::Meeting)],
        ),
        (vec![stale.clone()], own, vec![of(Origin::Ours, Activity::Busy)]),
        (vec![stale], None, vec![of(Origin::Ours, Activity::Busy)]),
    ];
    for (parts, own, expected) in cases {
        assert_eq!(said(&document(&parts), own), expected, "{parts:?}");
    }
}

#[test]
fn notes_times_and_other_documents() {
    let text = format!(
        r#"<presence xmlns="{PIDF}" xmlns:d="{DATA_MODEL}"><d:person id="p"><a:activities xmlns:a="{RPID}"><a:away/></a:activities>
        <d:note> at &lt;lunch&gt; </d:note><d:timestamp>2026-11-22T10:00:00+01:00</d:timestamp></d:person></presence>"#
    );
    let entries = read(text.as_bytes(), None).unwrap();
    assert_eq!(entries[0].note, "at <lunch>");
    assert_eq!(entries[0].since, Some("2026-11-22T09:00:00Z".parse().unwrap()));
    assert_eq!(read(b"<presence/>", None), Err(Unreadable::Kind));
    assert_eq!(read(b"", None), Err(Unreadable::Malformed));
    let many: Vec<_> = (0..100).map(|at| person(&format!("p{at}"), "<rp:busy/>")).collect();
    assert_eq!(read(&document(&many), None).unwrap().len(), MOST_ENTRIES);
}

fn any_activity() -> impl Strategy<Value = Activity> {
    prop_oneof![
        Just(Activity::Unset),
        Just(Activity::Away),
        Just(Activity::BeRightBack),
        Just(Activity::Busy),
        Just(Activity::DoNotDisturb),
        Just(Activity::Lunch),
        Just(Activity::Meeting),
        Just(Activity::OnThePhone),
        Just(Activity::Vacation),
        "zz[a-z<&]{1,20}".prop_map(Activity::Other),
    ]
}

proptest! {
    /// What was asked for is what is seen: otherwise the worker would write again for ever.
    #[test]
    fn the_own_entry_comes_back_as_it_was(activity in any_activity(), note in r#"([!-~äöü<>&"'€]([ -~äöü<>&"'€]{0,40}[!-~äöü])?)?"#) {
        let now = "2026-11-22T10:00:00.5Z".parse().unwrap();
        let wanted = own(activity.clone(), &note);
        let text = write("sip:a&b@c", &own_id("x"), &wanted, now);
        let entries = read(text.as_bytes(), Some("teamsgraph-x")).unwrap();
        prop_assert_eq!(entries.len(), 1);
        prop_assert_eq!(&entries[0].origin, &Origin::Ours);
        prop_assert_eq!(&entries[0].activity, &activity);
        prop_assert_eq!(&entries[0].note, &note);
        prop_assert_eq!(entries[0].since, Some("2026-11-22T10:00:00Z".parse().unwrap()));
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes, None);
    }
}
