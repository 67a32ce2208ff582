//! As much of PromQL and of Prometheus' text format as the alerts need.

use std::collections::BTreeMap;

const PREFIXES: [&str; 2] = ["teamsgraph_", "teams_connector_"];

/// `metric{label="value"}`
#[derive(Debug)]
pub struct Selector {
    pub metric: String,
    pub matchers: Vec<Matcher>,
}

/// `label=~"value"`
#[derive(Debug, PartialEq)]
pub struct Matcher {
    pub label: String,
    pub operator: String,
    pub value: String,
}

/// Every selector of a metric of ours in a text, an expression or not.
pub fn selectors(text: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = PREFIXES.iter().filter_map(|prefix| rest.find(prefix)).min() {
        rest = &rest[start..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (metric, after) = rest.split_at(end.unwrap_or(rest.len()));
        let (matchers, after) = matchers(after);
        found.push(Selector {
            metric: metric.to_owned(),
            matchers,
        });
        rest = after;
    }
    found
}

/// What stands in braces at the beginning, and what follows.
fn matchers(text: &str) -> (Vec<Matcher>, &str) {
    let mut found = Vec::new();
    let Some(mut rest) = text.strip_prefix('{') else {
        return (found, text);
    };
    loop {
        rest = rest.trim_start_matches([',', ' ', '\n']);
        if let Some(after) = rest.strip_prefix('}') {
            return (found, after);
        }
        let at = rest.find(['=', '!']).expect("a matcher");
        let (label, after) = rest.split_at(at);
        let quote = after.find(['"', '\'']).expect("a value in quotes");
        let (operator, value) = after.split_at(quote);
        let end = value[1..].find(&value[..1]).expect("the end of a value") + 1;
        found.push(Matcher {
            label: label.trim().to_owned(),
            operator: operator.trim().to_owned(),
            value: value[1..end].to_owned(),
        });
        rest = &value[end + 1..];
    }
}

/// Labels of every sample in what a program exports, by metric.
pub fn samples(text: &str) -> BTreeMap<String, Vec<BTreeMap<String, String>>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let is_ours = |line: &&str| PREFIXES.iter().any(|prefix| line.starts_with(prefix));
    for line in text.lines().filter(is_ours) {
        for Selector { metric, matchers } in selectors(line) {
            let labels = matchers.into_iter().map(|matcher| (matcher.label, matcher.value));
            found.entry(metric).or_default().push(labels.collect());
        }
    }
    found
}

#[test]
fn selectors_are_read() {
    let text =
        "max by (x) (teamsgraph_a{b=\"c,}\", d!~\"e|f\"}[5m]) > teamsgraph_g unless printf teams_connector_h{i='%s'}";
    let found = selectors(text);
    let names: Vec<&str> = found.iter().map(|selector| selector.metric.as_str()).collect();
    assert_eq!(names, ["teamsgraph_a", "teamsgraph_g", "teams_connector_h"]);
    let matcher = |label: &str, operator: &str, value: &str| Matcher {
        label: label.to_owned(),
        operator: operator.to_owned(),
        value: value.to_owned(),
    };
    assert_eq!(found[0].matchers, [matcher("b", "=", "c,}"), matcher("d", "!~", "e|f")]);
    assert!(found[1].matchers.is_empty());
    assert_eq!(found[2].matchers, [matcher("i", "=", "%s")]);
}
