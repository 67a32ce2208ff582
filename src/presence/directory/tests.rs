use serde_json::json;

use super::*;

fn somebody(name: &str, enabled: bool) -> Somebody {
    Somebody {
        person: Person {
            id: name.to_owned(),
            user_principal_name: Some(format!("{name}@Contoso.com")),
            account_enabled: enabled,
            ..Person::default()
        },
        licensed: Some(true),
    }
}

fn all() -> BTreeMap<String, Somebody> {
    [("ada", true), ("bob", true), ("carl", false)]
        .into_iter()
        .map(|(name, enabled)| (name.to_owned(), somebody(name, enabled)))
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
            found.iter().map(String::as_str).collect::<Vec<_>>(),
            expected,
            "{list:?}"
        );
    }
}

#[test]
fn changes_come_and_go_and_newcomers_are_looked_at_soon() {
    let mut known = Knowledge {
        all: all(),
        members: None,
        link: None,
        swept: Instant::now(),
        newcomers: false,
        unasked: VecDeque::new(),
        told: false,
    };
    let page = |value: serde_json::Value| -> PeoplePage {
        let body = json!({ "value": value }).to_string();
        PeoplePage::for_test(body.as_bytes())
    };
    take_over(
        &mut known,
        &page(json!([{"id": "ADA", "mail": "ada@new"}, {"id": "bob", "@removed": {"reason": "deleted"}}])),
    );
    assert_eq!(known.all["ada"].person.mail.as_deref(), Some("ada@new"));
    assert_eq!((known.all.contains_key("bob"), known.newcomers), (false, false));
    take_over(&mut known, &page(json!([{"id": "dora", "displayName": "Dora"}])));
    assert_eq!((known.all["dora"].licensed, known.newcomers), (None, true));
    assert_eq!(known.unasked, ["dora"]);
    let with = |plans: serde_json::Value| {
        let news = page(json!([{ "id": "dora", "assignedPlans": plans }]));
        news.people[0].person()
    };
    let teams = json!([{ "servicePlanId": "57ff2da0-773e-42df-b2af-ffb7a2317929", "capabilityStatus": "Enabled" }]);
    // An account is made first, and licensed then.
    welcome(&mut known, "dora", with(json!([])));
    assert_eq!((known.all["dora"].licensed, known.newcomers), (None, true));
    welcome(&mut known, "nobody", with(teams.clone()));
    welcome(&mut known, "dora", with(teams));
    assert_eq!((known.all["dora"].licensed, known.newcomers), (Some(true), false));
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
