use crate::api::condition::ConditionType::RoutingValid;
use crate::api::connector::{DigitRange, RoutingSample};
use crate::policy::connector::pexip::routing::{Routed, Rule, Table};
use crate::policy::connector::pexip::testing::{CONNECTOR, OTHER, PLACE, World, rule, world};
use crate::policy::connector::pexip::*;

/// A rule that leads elsewhere.
pub fn rule_named(name: &str, pattern: &str) -> Rule {
    Rule {
        name: name.into(),
        pattern: pattern.into(),
        replacement: String::new(),
        is_teams: false,
        connector: None,
        priority: 5,
        ..rule()
    }
}

fn with(change: impl FnOnce(&mut World)) -> Vec<String> {
    let mut world = world();
    change(&mut world);
    world.told(RoutingValid)
}

fn sample(alias: &str, expect: &str) -> RoutingSample {
    RoutingSample {
        alias: alias.into(),
        expect: expect.into(),
    }
}

/// Hard input 11: replace strings.
#[test]
fn replace_strings_must_yield_conference_ids() {
    const YIELDS_NONE: &str = "Warning ReplaceDoesNotYieldConferenceId sample 1";
    const BROKEN: &str = "Warning ReplaceDoesNotYieldConferenceId rule teams";
    for (pattern, replacement, alias, expected) in [
        (r"(\d{9,13})@example\.com", r"\1", "123456789@example.com", vec![]),
        (
            r"(?P<id>\d{9,13})@example\.com",
            r"\g<id>",
            "123456789@example.com",
            vec![],
        ),
        (r"(?P<id>\d{9,13})@example\.com", r"\1", "123456789@example.com", vec![]),
        (
            r"(\d{9,13})@example\.com",
            r"\2",
            "123456789@example.com",
            vec![BROKEN, YIELDS_NONE],
        ),
        (
            r"(\d{9,13})@example\.com",
            "$1",
            "123456789@example.com",
            vec![BROKEN, YIELDS_NONE],
        ),
        (
            r"(\d{9,13})@example\.com",
            "${1}",
            "123456789@example.com",
            vec![BROKEN, YIELDS_NONE],
        ),
        // Empty: the alias stays as it is.
        (
            r"(\d{9,13})@example\.com",
            "",
            "123456789@example.com",
            vec![YIELDS_NONE],
        ),
        (r"\d{9,13}", "", "123456789", vec![]),
        (
            r"(\d{9,13})@example\.com",
            r"0\1",
            "123456789@example.com",
            vec![YIELDS_NONE],
        ),
        // A sample that the pattern does not match in full.
        (r"(\d{9,13})", r"\1", "123456789@example.com", vec![YIELDS_NONE]),
        (
            r"(\d{9,12}).*@example\.com",
            r"\1",
            "123456789@example.com",
            vec!["Info ReplaceDoesNotYieldConferenceId sample 1"],
        ),
        (
            r"(?<=x)(\d{9,13})@example\.com",
            r"\1",
            "123456789@example.com",
            vec![YIELDS_NONE],
        ),
        (r"(?!0)(\d{9,13})@example\.com", r"\1", "123456789@example.com", vec![]),
        (
            r"(\d{9,13}@example\.com",
            r"\1",
            "123456789@example.com",
            vec!["Warning RegexInvalid rule teams", YIELDS_NONE],
        ),
        (
            r"a)|(b",
            r"\1",
            "a",
            vec!["Warning RegexInvalid rule teams", YIELDS_NONE],
        ),
    ] {
        let told = with(|world| {
            world.rules[0].pattern = pattern.into();
            world.rules[0].replacement = replacement.into();
            world.spec.routing_samples = vec![sample(alias, "123456789")];
        });
        assert_eq!(told, expected, "{pattern} {replacement}");
    }
}

/// Hard input 11: 8 and 14 digits, and digits of another script.
#[test]
fn conference_ids_have_so_many_digits_of_the_latin_script() {
    let told = |alias: &str, expect: &str| {
        with(|world| {
            world.rules[0].pattern = r"(\d+)@example\.com".into();
            world.spec.routing_samples = vec![sample(alias, expect)];
        })
    };
    let bad = ["Warning ReplaceDoesNotYieldConferenceId sample 1"];
    assert_eq!(told("12345678@example.com", "12345678"), bad, "8 digits");
    assert_eq!(told("12345678901234@example.com", "12345678901234"), bad, "14 digits");
    assert_eq!(
        told(
            "\u{661}\u{662}\u{663}\u{664}\u{665}\u{666}\u{667}\u{668}\u{669}@example.com",
            "123456789"
        ),
        bad,
        "Arabic digits"
    );
    assert_eq!(told("1234567890123@example.com", "1234567890123"), Vec::<String>::new());
}

#[test]
fn lengths_that_do_not_pass_are_told_for_information() {
    let told = |max| {
        with(|world| {
            world.rules[0].pattern = r"(\d{9,12})@example\.com".into();
            world.spec.conference_id_digits = DigitRange { min: 9, max };
        })
    };
    assert_eq!(told(12), Vec::<String>::new());
    assert_eq!(told(13), ["Info ReplaceDoesNotYieldConferenceId sample 1"]);
}

/// Hard input 11: backtracking without end.
#[test]
fn a_pattern_that_takes_too_long_is_unknown() {
    let told = with(|world| {
        world.rules[0].pattern = r"(a|b|ab)*(?=c)c".into();
        world.spec.routing_samples = vec![sample(&"ab".repeat(100), "123456789")];
    });
    assert_eq!(told, ["Unknown RegexTooCostly sample 1"]);
    let huge = Table::new(
        vec![rule_named("huge", r"((\w{1,1000}){1,1000}){1,1000}")],
        &Ok(Vec::new()),
    );
    assert!(matches!(huge.route("a"), Routed::TooCostly(_)), "{:?}", huge.route("a"));
}

/// Hard input 11: a rule that another one shadows.
#[test]
fn the_first_rule_wins() {
    let earlier = |pattern: &str, change: fn(&mut Rule)| {
        with(|world| {
            let mut other = rule_named("other", pattern);
            change(&mut other);
            world.rules.push(other);
        })
    };
    let same = r"(\d{9,13})@example\.com";
    assert_eq!(
        earlier(same, |_| ()),
        ["Warning RuleShadowed rule teams", "Warning RuleShadowed sample 1"]
    );
    assert_eq!(
        earlier(".*", |_| ()),
        ["Warning RuleShadowed rule teams", "Warning RuleShadowed sample 1"]
    );
    assert_eq!(earlier(r"\d+@.*", |_| ()), ["Warning RuleShadowed sample 1"]);
    assert_eq!(earlier(".*", |other| other.is_enabled = false), Vec::<String>::new());
    assert_eq!(earlier(".*", |other| other.priority = 20), Vec::<String>::new());
    assert_eq!(earlier(r"[a-z]+", |_| ()), Vec::<String>::new());
    let of_a_place = |other: &mut Rule| other.scope.source = Some(PLACE.into());
    assert_eq!(earlier(same, of_a_place), ["Warning RuleShadowed sample 1"]);
}

/// Hard input 11: a rule that is disabled.
#[test]
fn a_disabled_rule_is_named() {
    let mut world = world();
    world.rules[0].is_enabled = false;
    let found = world.findings();
    let told: Vec<String> = found
        .iter()
        .filter(|one| one.condition == RoutingValid && one.reason().is_some())
        .map(testing::brief)
        .collect();
    assert_eq!(
        told,
        [
            "Warning RuleWithoutConnector",
            "Warning ReplaceDoesNotYieldConferenceId sample 1"
        ]
    );
    assert!(
        found
            .iter()
            .any(|one| one.message.contains("rule teams would, and is disabled"))
    );
    assert!(found.iter().any(|one| one.message.contains("enable rule teams")));
}

#[test]
fn aliases_are_not_repeated() {
    let mut world = world();
    world.rules[0].replacement = r"\1@example.com".into();
    let all = format!("{:?}", world.findings());
    assert!(all.contains("sample 1") && !all.contains("123456789"), "{all}");
}

#[test]
fn rules_and_receptions_need_a_connector() {
    let place = |connector: Option<&str>| Location {
        uri: PLACE.into(),
        name: "Europe".into(),
        connector: connector.map(str::to_owned),
    };
    let far = |connector: Option<&str>| Location {
        uri: "/far/".into(),
        ..place(connector)
    };
    let rule = "Warning RuleWithoutConnector rule teams";
    let reception = "Warning ReceptionWithoutConnector reception Lobby";
    // The connector and location of both, and the locations that there are.
    for (connector, location, locations, expected) in [
        (Some(CONNECTOR), Some(PLACE), vec![place(None)], vec![]),
        (None, Some(PLACE), vec![place(Some(CONNECTOR))], vec![]),
        (None, Some(PLACE), vec![place(None)], vec![rule, reception]),
        (None, None, vec![place(None), far(None)], vec![rule, reception]),
        (None, None, vec![place(Some(CONNECTOR)), far(Some(CONNECTOR))], vec![]),
        // Which of them is chosen, the deployment alone knows.
        (None, None, vec![place(Some(CONNECTOR)), far(None)], vec![]),
        (None, Some("/unknown/"), vec![place(None)], vec![]),
    ] {
        let told = with(|world| {
            world.rules[0].connector = connector.map(str::to_owned);
            world.rules[0].location = location.map(str::to_owned);
            world.configuration.locations = Ok(locations.clone());
            world.configuration.receptions = Ok(vec![Reception {
                name: "Lobby".into(),
                connector: connector.map(str::to_owned),
                location: location.map(str::to_owned),
            }]);
        });
        let concerned = told
            .into_iter()
            .filter(|one| one.contains("rule teams") || one.contains("reception"));
        assert_eq!(concerned.collect::<Vec<_>>(), expected, "{connector:?} {location:?}");
    }
}

#[test]
fn a_rule_of_another_connector_does_not_concern_this_one() {
    let told = with(|world| {
        world.rules.push(Rule {
            name: "us".into(),
            connector: Some(OTHER.into()),
            replacement: "$1".into(),
            pattern: "us(.*)".into(),
            ..rule()
        });
    });
    assert_eq!(told, Vec::<String>::new());
}

#[test]
fn without_samples_the_rest_is_judged() {
    let told = with(|world| world.spec.routing_samples.clear());
    assert_eq!(told, ["Info NoSamples samples"]);
}

#[test]
fn calls_land_where_the_rules_lead() {
    let mut other = rule();
    other.connector = Some(OTHER.into());
    other.pattern = r"us(\d+)".into();
    let table = Table::new(vec![rule(), other, rule_named("other", "x.*")], &Ok(Vec::new()));
    for (alias, expected) in [
        ("sip:123456789@example.com;transport=tls", Some((CONNECTOR, Some(9)))),
        ("SIPS:123456789@example.com", Some((CONNECTOR, Some(9)))),
        ("us12345678@10.0.0.7", Some((OTHER, Some(8)))),
        ("us1@[2001:db8::1]:5061", Some((OTHER, Some(1)))),
        ("x", None),
        ("unknown", None),
        ("", None),
    ] {
        let landed = table.landing(alias).map(|(uri, digits)| (uri.as_str(), digits));
        assert_eq!(landed, expected, "{alias}");
    }
}
