//! P10: a matching is one to one, and what is ambiguous stays unmatched with a reason.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::api::presence::AddressRule;
use crate::policy::presence::testing::histories;

fn rule(pbx_field: PbxField, graph_field: GraphField) -> MatchRule {
    MatchRule {
        pbx_field,
        graph_field,
        strip_domain: false,
        country_code: None,
        extension_digits: None,
    }
}

#[allow(clippy::unnecessary_wraps)] // as the fields want it
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn user(id: &str, cn: &str, h323: &str) -> PbxUser {
    PbxUser {
        id: id.to_owned(),
        cn: some(cn),
        h323: some(h323),
        extension: None,
    }
}

fn person(id: &str, name: &str, upn: &str) -> Person {
    Person {
        id: id.to_owned(),
        display_name: some(name),
        user_principal_name: some(upn),
        ..Person::default()
    }
}

fn by_upn() -> MatchRule {
    MatchRule {
        strip_domain: true,
        ..rule(PbxField::H323, GraphField::UserPrincipalName)
    }
}

fn by_name() -> MatchRule {
    rule(PbxField::Cn, GraphField::DisplayName)
}

fn pairs(matching: &Matching) -> Vec<(&str, &str, usize)> {
    matching
        .pairs
        .iter()
        .map(|pair| (pair.pbx.as_str(), pair.person.as_str(), pair.rule))
        .collect()
}

#[test]
fn the_first_rule_with_one_candidate_decides() {
    let users = [
        user("1", "Ann Smith", "ann"),
        user("2", "Bob Stone", "bstone"),
        user("3", "Carl", "carl"),
    ];
    let people = [
        person("b", "Bob Stone", "bob@example.com"),
        person("a", "Somebody Else", "Ann@example.com"),
    ];
    let matching = match_users(&[by_upn(), by_name()], &users, &people);
    assert_eq!(pairs(&matching), [("1", "a", 0), ("2", "b", 1)]);
    assert_eq!(matching.unmatched, [("3".to_owned(), Why::Nobody)]);
}

#[test]
fn two_users_of_the_pbx_are_never_one_person() {
    let users = [user("1", "Ann", "x"), user("2", "ann ", "y")];
    let people = [person("a", "ANN", "u@example.com")];
    let matching = match_users(&[by_name()], &users, &people);
    assert!(matching.pairs.is_empty());
    let why = Why::ManyUsers { rule: 1, users: 2 };
    assert_eq!(
        matching.unmatched,
        [("1".to_owned(), why.clone()), ("2".to_owned(), why)]
    );
}

#[test]
fn two_people_of_one_name_are_ambiguous_until_another_rule_tells_them_apart() {
    let users = [user("1", "Ann", "ann2"), user("2", "Ann", "nobody")];
    let people = [
        person("a", "Ann", "ann1@example.com"),
        person("b", "Ann", "ann2@example.com"),
    ];
    let matching = match_users(&[by_name(), by_upn()], &users, &people);
    assert_eq!(pairs(&matching), [("1", "b", 1)]);
    // That one of them is known does not make the other one this one.
    assert_eq!(
        matching.unmatched,
        [("2".to_owned(), Why::ManyPeople { rule: 1, people: 2 })]
    );
}

#[test]
fn a_person_who_is_taken_is_not_given_again() {
    let users = [user("1", "Somebody", "ann"), user("2", "Ann", "other")];
    let people = [person("a", "Ann", "ann@example.com")];
    let matching = match_users(&[by_upn(), by_name()], &users, &people);
    assert_eq!(pairs(&matching), [("1", "a", 0)]);
    assert_eq!(matching.unmatched, [("2".to_owned(), Why::Taken { rule: 2 })]);
}

#[test]
fn a_number_that_two_users_reach_by_different_ways_is_ambiguous() {
    let extension = |id: &str, number: &str| PbxUser {
        id: id.to_owned(),
        extension: some(number),
        ..PbxUser::default()
    };
    let people = [Person {
        id: "a".to_owned(),
        phones: vec!["+49 89 1234-10".to_owned(), "+49 89 1234-20".to_owned()],
        ..Person::default()
    }];
    let rule = MatchRule {
        extension_digits: Some(2),
        ..rule(PbxField::Extension, GraphField::Phone)
    };
    let matching = match_users(
        std::slice::from_ref(&rule),
        &[extension("1", "10"), extension("2", "20")],
        &people,
    );
    assert!(matching.pairs.is_empty());
    assert!(matching.unmatched.iter().all(|(_, why)| why.is_ambiguous()));
    let matching = match_users(&[rule], &[extension("1", "10"), extension("2", "30")], &people);
    assert_eq!(pairs(&matching), [("1", "a", 0)]);
}

#[test]
fn a_user_without_properties_says_so() {
    let bare = PbxUser {
        id: "1".to_owned(),
        cn: some("  "),
        ..PbxUser::default()
    };
    let matching = match_users(&[by_name(), by_upn()], &[bare], &[person("a", "", "")]);
    assert_eq!(matching.unmatched, [("1".to_owned(), Why::NoValue)]);
}

#[test]
fn every_field_of_entra_can_be_compared() {
    let person = Person {
        id: "a".to_owned(),
        display_name: some("1"),
        mail: some("2"),
        mail_nickname: some("3"),
        on_premises_distinguished_name: some("4"),
        on_premises_sam_account_name: some("5"),
        on_premises_user_principal_name: some("6"),
        user_principal_name: some("7"),
        phones: vec!["8".to_owned()],
    };
    let fields = [
        GraphField::DisplayName,
        GraphField::Mail,
        GraphField::MailNickname,
        GraphField::OnPremisesDistinguishedName,
        GraphField::OnPremisesSamAccountName,
        GraphField::OnPremisesUserPrincipalName,
        GraphField::UserPrincipalName,
        GraphField::Phone,
    ];
    for (number, graph_field) in (1..).zip(fields) {
        for pbx_field in [PbxField::Cn, PbxField::H323, PbxField::Extension] {
            let value = some(&number.to_string());
            let user = PbxUser {
                id: "u".to_owned(),
                cn: value.clone().filter(|_| pbx_field == PbxField::Cn),
                h323: value.clone().filter(|_| pbx_field == PbxField::H323),
                extension: value.filter(|_| pbx_field == PbxField::Extension),
            };
            let matching = match_users(&[rule(pbx_field, graph_field)], &[user], std::slice::from_ref(&person));
            assert_eq!(pairs(&matching), [("u", "a", 0)], "{pbx_field:?} {graph_field:?}");
        }
    }
}

#[test]
fn spellings_of_the_same_are_the_same() {
    let same = [
        ("  Jürgen Groß ", "JU\u{308}RGEN GROSS", false),
        ("ΣΊΣΥΦΟΣ", "σίσυφος", false),
        ("ann@one.example", "Ann@two.example", true),
        ("a@b@example.com", "a@b", true),
    ];
    for (one, other, strip_domain) in same {
        let rule = MatchRule {
            strip_domain,
            ..by_name()
        };
        let other = if other == "a@b" { "a@b@x" } else { other };
        assert_eq!(key::of(&rule, one), key::of(&rule, other), "{one}");
    }
    assert_ne!(
        key::of(&by_name(), "ann@one.example"),
        key::of(&by_name(), "ann@two.example")
    );
    assert_eq!(key::of(&by_upn(), "@example.com"), None);
}

#[test]
fn numbers_are_compared_as_e_164() {
    let key = |country: Option<&str>, digits: Option<i32>, number: &str| {
        let rule = MatchRule {
            country_code: country.map(str::to_owned),
            extension_digits: digits,
            ..rule(PbxField::Extension, GraphField::Phone)
        };
        key::of(&rule, number)
    };
    let cases = [
        (Some("49"), None, "+49 (0)89 1234-56", Some("498912345 6")),
        (Some("49"), None, "089/123456", Some("4989123456")),
        (Some("49"), None, "0049 89 123456", Some("4989123456")),
        (Some("49"), None, "tel:+4989123456;ext=3", Some("4989123456")),
        (Some("39"), None, "06 12345", Some("390612345")),
        (Some("1"), None, "(206) 555-1234", Some("12065551234")),
        (Some("1"), None, "1-206-555-1234", Some("12065551234")),
        (None, None, "089 123456", Some("089123456")),
        (None, None, "+4989123456", Some("4989123456")),
        (None, Some(3), "+49 89 123-456", Some("456")),
        (None, Some(3), "456", Some("456")),
        (None, Some(3), "56", None),
        (None, None, "none", None),
        (Some("49"), None, "", None),
    ];
    for (country, digits, number, expected) in cases {
        let expected = expected.map(|text| text.replace(' ', ""));
        assert_eq!(key(country, digits, number), expected, "{number}");
    }
}

#[test]
fn an_address_is_made_from_a_property() {
    let person = Person {
        user_principal_name: some(" Ann@example.com"),
        phones: vec!["+49 89 1234-56".to_owned()],
        ..Person::default()
    };
    let make = |from: GraphField, strip_domain: bool, extension_digits: Option<i32>| {
        let rule = AddressRule {
            from,
            strip_domain,
            extension_digits,
        };
        address(&rule, &person)
    };
    assert_eq!(make(GraphField::UserPrincipalName, true, None), some("Ann"));
    assert_eq!(
        make(GraphField::UserPrincipalName, false, None),
        some("Ann@example.com")
    );
    assert_eq!(make(GraphField::Phone, false, None), some("+4989123456"));
    assert_eq!(make(GraphField::Phone, false, Some(2)), some("56"));
    assert_eq!(make(GraphField::Phone, false, Some(12)), None);
    assert_eq!(make(GraphField::Mail, false, None), None);
}

#[test]
fn ten_thousand_users_are_matched_at_once() {
    let users: Vec<PbxUser> = (0..10_000)
        .map(|number| user(&number.to_string(), "Same Name", &format!("user{number}")))
        .collect();
    let people: Vec<Person> = (0..10_000)
        .map(|number| person(&format!("p{number}"), "Same Name", &format!("USER{number}@example.com")))
        .collect();
    // A quadratic match of these would take minutes.
    let matching = match_users(&[by_name(), by_upn()], &users, &people);
    assert_eq!(matching.pairs.len(), 10_000);
}

fn name() -> impl Strategy<Value = Option<String>> {
    let names = vec![
        "ann", "Ann", " ann", "bob", "Bob@x", "bob@y", "carl", "10", "+49 10", "0010", "é", "e\u{301}", "",
    ];
    proptest::option::weighted(0.8, prop::sample::select(names).prop_map(str::to_owned))
}

fn rules() -> impl Strategy<Value = Vec<MatchRule>> {
    let pbx = prop::sample::select(vec![PbxField::Cn, PbxField::H323, PbxField::Extension]);
    let graph = prop::sample::select(vec![GraphField::DisplayName, GraphField::Mail, GraphField::Phone]);
    let country = proptest::option::of(Just("49".to_owned()));
    let digits = proptest::option::of(2..4_i32);
    let rule = (pbx, graph, any::<bool>(), country, digits).prop_map(
        |(pbx_field, graph_field, strip_domain, country_code, extension_digits)| MatchRule {
            pbx_field,
            graph_field,
            strip_domain,
            country_code,
            extension_digits,
        },
    );
    prop::collection::vec(rule, 1..4)
}

fn users() -> impl Strategy<Value = Vec<PbxUser>> {
    let user = (name(), name(), name()).prop_map(|(cn, h323, extension)| PbxUser {
        id: String::new(),
        cn,
        h323,
        extension,
    });
    prop::collection::vec(user, 0..8).prop_map(|mut users| {
        for (number, user) in users.iter_mut().enumerate() {
            user.id = number.to_string();
        }
        users
    })
}

fn everybody() -> impl Strategy<Value = Vec<Person>> {
    let phones = prop::collection::vec(name(), 0..3).prop_map(|phones| phones.into_iter().flatten().collect());
    let person = (name(), name(), phones).prop_map(|(display_name, mail, phones)| Person {
        display_name,
        mail,
        phones,
        ..Person::default()
    });
    prop::collection::vec(person, 0..8).prop_map(|mut people| {
        for (number, person) in people.iter_mut().enumerate() {
            person.id = format!("p{number}");
        }
        people
    })
}

proptest! {
    #![proptest_config(histories())]

    #[test]
    fn p10_matching_is_a_partial_injection(rules in rules(), users in users(), people in everybody()) {
        let matching = match_users(&rules, &users, &people);
        let left: BTreeSet<&String> = matching.pairs.iter().map(|pair| &pair.pbx).collect();
        let right: BTreeSet<&String> = matching.pairs.iter().map(|pair| &pair.person).collect();
        prop_assert_eq!(left.len(), matching.pairs.len());
        prop_assert_eq!(right.len(), matching.pairs.len());
        prop_assert_eq!(matching.pairs.len() + matching.unmatched.len(), users.len());
        // Each pair is the only one that its rule admits, by a count over everybody.
        for pair in &matching.pairs {
            let rule = &rules[pair.rule];
            let user = users.iter().find(|user| user.id == pair.pbx).unwrap();
            let key = key::of(rule, pbx_value(user, rule.pbx_field).unwrap()).unwrap();
            let has = |person: &&Person| graph_values(person, rule.graph_field).any(|value| key::of(rule, value).as_ref() == Some(&key));
            let candidates: Vec<&Person> = people.iter().filter(has).collect();
            prop_assert_eq!(candidates.len(), 1);
            prop_assert_eq!(&candidates[0].id, &pair.person);
            let same = |user: &&PbxUser| pbx_value(user, rule.pbx_field).and_then(|value| key::of(rule, value)).as_ref() == Some(&key);
            prop_assert_eq!(users.iter().filter(same).count(), 1);
        }
        // Nobody is left out whom the first rule knows for certain.
        let mut reversed: Vec<PbxUser> = users.clone();
        reversed.reverse();
        let mut again = match_users(&rules, &reversed, &people);
        again.pairs.reverse();
        again.unmatched.reverse();
        prop_assert_eq!(again, matching);
    }
}
