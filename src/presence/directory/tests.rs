use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::policy::presence::matching::Person;

fn somebody(name: &str, enabled: bool) -> Somebody {
    Somebody {
        person: Person {
            id: name.to_owned(),
            user_principal_name: Some(format!("{name}@Contoso.com")),
            ..Person::default()
        },
        enabled,
        licensed: Some(true),
    }
}

fn all() -> Everybody {
    [("ada", true), ("bob", true), ("carl", false)]
        .into_iter()
        .map(|(name, enabled)| (name.into(), Arc::new(somebody(name, enabled))))
        .collect()
}

/// What is listed, members of the groups, and who is meant.
type Case<'a> = (&'a [&'a str], Option<BTreeSet<String>>, &'a [&'a str]);

#[test]
fn each_given_line_leaves_out_whom_it_does_not_name() {
    let all = all();
    let members = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
    let cases: [Case<'_>; 5] = [
        (&[], None, &["ada", "bob"]),
        (&["ADA@contoso.com", "carl"], None, &["ada"]),
        (&[], members(&["bob", "carl"]), &["bob"]),
        (&["ada"], members(&["bob"]), &[]),
        (&["nobody"], None, &[]),
    ];
    for (list, members, expected) in cases {
        let selection = UserSelection {
            list: list.iter().map(|name| (*name).to_owned()).collect(),
            ..UserSelection::default()
        };
        let found = selected(&selection, members.as_ref(), &all);
        assert_eq!(
            found.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
            expected,
            "{list:?}"
        );
    }
}

fn page(value: &serde_json::Value) -> PeoplePage {
    let body = json!({ "value": value }).to_string();
    PeoplePage::for_test(body.as_bytes())
}

fn knowledge() -> Knowledge {
    Knowledge {
        all: Arc::new(all()),
        groups: Some(Groups::default()),
        link: None,
        swept: Instant::now(),
        newcomers: Newcomers::default(),
        told: false,
    }
}

#[tokio::test]
async fn changes_come_and_go_and_newcomers_are_asked_about_soon() {
    let mut known = knowledge();
    let told = known.all.clone();
    take_over(
        &mut known,
        &page(&json!([{"id": "ADA", "mail": "ada@new"}, {"id": "bob", "@removed": {"reason": "deleted"}}])),
    );
    let ada = &known.all["ada"];
    assert_eq!(ada.person.mail.as_deref(), Some("ada@new"));
    assert_eq!(
        (ada.person.id.as_str(), ada.enabled, ada.licensed),
        ("ada", true, Some(true))
    );
    assert_eq!(ada.person.user_principal_name.as_deref(), Some("ada@Contoso.com"));
    assert!(!known.all.contains_key("bob"));
    assert_eq!(*told, all(), "what was told stays as it was");
    assert!(
        Arc::ptr_eq(&told["carl"], &known.all["carl"]),
        "who did not change is held once"
    );
    let due = |known: &Knowledge| {
        known
            .newcomers
            .due(Instant::now(), Duration::from_mins(10), |_| true)
            .len()
    };
    assert_eq!(due(&known), 0);
    take_over(&mut known, &page(&json!([{"id": "dora", "displayName": "Dora"}])));
    assert_eq!((known.all["dora"].licensed, due(&known)), (None, 1));
    take_over(
        &mut known,
        &page(&json!([{"id": "dora", "@removed": {"reason": "deleted"}}])),
    );
    assert_eq!(due(&known), 0);
}

#[test]
fn a_new_reading_holds_those_once_who_did_not_change() {
    let plan = json!({"servicePlanId": "57ff2da0-773e-42df-b2af-ffb7a2317929", "capabilityStatus": "Enabled"});
    let row = |mail: &str| json!({"id": "ADA", "mail": mail, "accountEnabled": true, "assignedPlans": [plan]});
    let read = |before: Option<&Everybody>, mail: &str| shared(before, &page(&json!([row(mail)])).people[0]);
    let before = Everybody::from([read(None, "ada@old")]);
    let (id, ada) = read(Some(&before), "ada@old");
    let (known, somebody) = before.first_key_value().unwrap();
    assert!(Arc::ptr_eq(&ada, somebody) && Arc::ptr_eq(&id, known));
    assert_eq!((&*id, ada.licensed), ("ada", Some(true)));
    let (_, ada) = read(Some(&before), "ada@new");
    assert_eq!(ada.person.mail.as_deref(), Some("ada@new"));
}

#[test]
fn guests_are_known_by_their_name() {
    let called = |name: &str| Person {
        user_principal_name: Some(name.to_owned()),
        ..Person::default()
    };
    assert!(is_guest(&called("ann_fabrikam.com#EXT#@contoso.com")));
    assert!(!is_guest(&called("ext@contoso.com")));
}

#[test]
fn licences_are_known_until_a_look_has_failed_for_long() {
    let hours = Duration::from_hours;
    let interval = hours(6);
    assert!(is_overdue(None, interval), "they never were");
    assert!(!is_overdue(Some(hours(6)), interval));
    assert!(is_overdue(Some(hours(7)), interval));
    assert!(!is_overdue(Some(hours(7)), Duration::MAX));
}
