use super::*;

#[test]
fn finds_the_rule_of_a_resource() {
    let cases = [
        ("communications/callRecords", 4230),
        (
            "communications/callRecords?$filter=participants/any(p:p/id eq 'x')",
            4230,
        ),
        ("communications/presences/8f0c", 60),
        ("users", 41_760),
        ("users/8f0c", 41_760),
        ("users('8f0c')/messages", 10_080),
        ("Users/8f0c/Messages", 10_080),
        ("users/8f0c/mailFolders('inbox')/messages", 10_080),
        ("chats/getAllMessages", 4320),
        ("teams/1/channels/2/messages", 4320),
        ("drives/1/root", 42_300),
        ("teams/1/schedule/shifts", 360),
        ("teams/1/schedule/shifts/2", 360),
        ("users/1/calendars/2/events", 10_080),
        ("users/1/contactFolders('2')/contacts", 10_080),
        ("solutions/approval/approvalItems", 43_200),
        ("copilot/interactionHistory/getAllEnterpriseInteractions", 4320),
        ("security/alerts/?$filter=status eq 'x'", 43_200),
        ("security/alerts_v2", 43_200),
        ("something/new", 4230),
    ];
    for (resource, minutes) in cases {
        assert_eq!(rule_for(resource).maximum_minutes, minutes, "{resource}");
    }
    assert!(!rule_for("something/new").is_listed());
    assert!(!rule_for("communications/presences").app_only);
}

/// The row of a rule in the table of resources.
fn row(rule: &Rule) -> String {
    let changes = if rule.change_types == ALL {
        "all".to_owned()
    } else {
        let names = rule.change_types.iter().map(|change| format!("`{change:?}`"));
        names.collect::<Vec<_>>().join(", ")
    };
    let permission = if !rule.app_only {
        "not with an app: needs a signed-in user".to_owned()
    } else if rule.permissions.is_empty() {
        "not known here: Graph decides".to_owned()
    } else {
        let names = rule.permissions.iter().map(|name| format!("`{name}`"));
        names.collect::<Vec<_>>().join(" or ")
    };
    let loss = match rule.announces {
        Announces::Nothing => "no",
        Announces::Removal => "removal",
        Announces::Loss => "yes",
    };
    let filled = match rule.truth {
        Truth::Nothing(_) => "no".to_owned(),
        Truth::Delta { .. } | Truth::DeltaOfOne | Truth::DeltaSince => "delta query".to_owned(),
        Truth::List { field, .. } => format!("list by `{field}`"),
        Truth::State => "current state".to_owned(),
    };
    format!(
        "| `{}` | {} | {changes} | {permission} | {loss} | {filled} |",
        rule.pattern, rule.maximum_minutes
    )
}

#[test]
fn the_page_shows_every_rule() {
    let page = include_str!("../../../docs/graphsubscription.md");
    let shown: Vec<_> = page
        .lines()
        .skip_while(|line| !line.starts_with("| Resource |"))
        .skip(2)
        .collect();
    let rules: Vec<_> = RULES.iter().map(row).collect();
    assert_eq!(
        shown,
        rules,
        "put this into docs/graphsubscription.md:\n{}",
        rules.join("\n")
    );
}

#[test]
fn one_sufficient_permission_is_enough() {
    let granted = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(rule_for("chats").permits(&granted(&["Chat.Read.All"])));
    assert!(!rule_for("chats").permits(&granted(&["User.Read.All"])));
    assert!(rule_for("something/new").permits(&[]));
}
