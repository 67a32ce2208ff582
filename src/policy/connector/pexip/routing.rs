//! The rules by which calls reach the connector, run as the Management Node runs them.
//!
//! The engine behind the original is not documented; its replace strings are Python's. Rules are therefore linted, and a
//! finding is a warning. <https://docs.pexip.com/admin/teams_configuration.htm>

mod lint;

use fancy_regex::{CompileError, Error, Expander, Expr, Regex, RegexBuilder};

use super::{Answer, Location, Uri};

pub(super) use lint::judge;

/// Steps back that one match may take: some milliseconds.
const MOST_STEPS: usize = 50_000;
/// Size of a compiled pattern, in bytes.
const LARGEST: usize = 4 << 20;

/// A Call Routing Rule (`gateway_routing_rule`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Whether it is in force.
    pub is_enabled: bool,
    /// The least comes first, and the first that matches wins.
    pub priority: i32,
    /// The pattern that an alias must match in full.
    pub pattern: String,
    /// Whether the pattern is for the alias as it was dialled, with scheme and parameters.
    pub takes_full_alias: bool,
    /// What becomes of the alias; empty: it stays.
    pub replacement: String,
    /// Whether the call goes to Teams.
    pub is_teams: bool,
    /// The Teams Connector; `None`: that of the outgoing location.
    pub connector: Option<Uri>,
    /// The outgoing location; `None`: chosen by the deployment.
    pub location: Option<Uri>,
    /// Which calls it is for.
    pub scope: Scope,
}

/// Which calls a rule is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Sorts of calls and protocols, one bit each.
    pub kinds: u8,
    /// Only for callers who are registered.
    pub only_registered: bool,
    /// Only for calls in this location.
    pub source: Option<Uri>,
}

impl Scope {
    /// Whether it takes every call that `other` takes.
    fn covers(&self, other: &Self) -> bool {
        self.kinds & other.kinds == other.kinds
            && (!self.only_registered || other.only_registered)
            && (self.source.is_none() || self.source == other.source)
    }
}

/// Where a rule leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lead {
    /// To something else than Teams.
    Elsewhere,
    /// To this Teams Connector.
    Connector(Uri),
    /// To that of a location which the deployment chooses.
    Automatic,
    /// To no Teams Connector: the call fails.
    Nowhere,
}

/// A rule that is ready to run.
#[derive(Clone, Debug)]
pub struct Route {
    /// The rule.
    pub rule: Rule,
    /// Where it leads.
    pub lead: Lead,
    pattern: Result<Regex, Unusable>,
}

/// All rules, in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub struct Table(Vec<Route>);

/// What the rules make of an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routed<'t> {
    /// The first rule that matches, with what it makes of the alias.
    By(&'t Rule, &'t Lead, String),
    /// No rule matches.
    Unmatched,
    /// A pattern takes too long.
    TooCostly(&'t Rule),
}

impl Table {
    /// Makes rules ready to run.
    pub fn new(mut rules: Vec<Rule>, locations: &Answer<Vec<Location>>) -> Self {
        rules.sort_by_key(|rule| rule.priority);
        Self(rules.into_iter().map(|rule| Route::new(rule, locations)).collect())
    }

    /// The rules, in the order in which they are tried.
    pub fn rules(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// Runs the rules that are in force.
    pub fn route(&self, alias: &str) -> Routed<'_> {
        Self::first(self.0.iter().filter(|route| route.rule.is_enabled), alias)
    }

    fn first<'t>(routes: impl Iterator<Item = &'t Route>, alias: &str) -> Routed<'t> {
        for route in routes {
            match route.run(alias) {
                Ok(None) => {}
                Ok(Some(result)) => return Routed::By(&route.rule, &route.lead, result),
                Err(TooCostly) => return Routed::TooCostly(&route.rule),
            }
        }
        Routed::Unmatched
    }

    /// The connector of a call to this alias, and the digits of the conference ID that the rules make of it. `None` when it does
    /// not go to a connector that is known.
    pub fn landing(&self, alias: &str) -> Option<(&Uri, Option<u32>)> {
        match self.route(alias) {
            Routed::By(_, Lead::Connector(uri), result) => Some((uri, digits(&result))),
            _ => None,
        }
    }
}

/// A match took more steps than it may.
struct TooCostly;

/// Why a pattern cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unusable {
    /// It is no regular expression.
    Invalid,
    /// It is larger than it may be.
    TooLarge,
}

impl From<Error> for Unusable {
    fn from(error: Error) -> Self {
        match error {
            Error::CompileError(error) => match *error {
                CompileError::InnerError(inner) if inner.size_limit().is_some() => Self::TooLarge,
                CompileError::PatternTooComplex => Self::TooLarge,
                _ => Self::Invalid,
            },
            _ => Self::Invalid,
        }
    }
}

impl Route {
    fn new(rule: Rule, locations: &Answer<Vec<Location>>) -> Self {
        Self {
            lead: lead(&rule, locations),
            pattern: compile(&rule.pattern),
            rule,
        }
    }

    /// What the rule makes of the alias, if it matches. A pattern that is none matches nothing.
    fn run(&self, alias: &str) -> Result<Option<String>, TooCostly> {
        let pattern = match &self.pattern {
            Ok(pattern) => pattern,
            Err(Unusable::Invalid) => return Ok(None),
            Err(Unusable::TooLarge) => return Err(TooCostly),
        };
        let alias = if self.rule.takes_full_alias {
            alias
        } else {
            parsed(alias)
        };
        let captures = match pattern.captures(alias) {
            Ok(Some(captures)) => captures,
            Ok(None) => return Ok(None),
            Err(_) => return Err(TooCostly),
        };
        if self.rule.replacement.is_empty() {
            return Ok(Some(alias.to_owned()));
        }
        Ok(Some(Expander::python().expansion(&self.rule.replacement, &captures)))
    }

    /// What is wrong with the replace string, for any alias.
    fn template_fault(&self) -> Option<&'static str> {
        let pattern = self.pattern.as_ref().ok()?;
        let template = &self.rule.replacement;
        match Expander::python().check(template, pattern) {
            Err(Error::CompileError(error)) => match *error {
                // In Python, named groups have numbers too.
                CompileError::NamedBackrefOnly => None,
                _ => Some("refers to a group that its pattern does not have"),
            },
            Err(_) => Some("cannot be read"),
            Ok(()) if names_groups_with_dollar(template) => {
                Some("names groups with $, which is taken as text: write \\1")
            }
            Ok(()) => None,
        }
    }
}

fn names_groups_with_dollar(template: &str) -> bool {
    let after = template.split('$').skip(1);
    after
        .into_iter()
        .any(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == '{'))
}

fn compile(pattern: &str) -> Result<Regex, Unusable> {
    // On its own first: an unbalanced pattern must not be balanced by what is put around it.
    Expr::parse_tree(pattern)?;
    let whole = RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
        .backtrack_limit(MOST_STEPS)
        .delegate_size_limit(LARGEST)
        .build()?;
    Ok(whole)
}

fn lead(rule: &Rule, locations: &Answer<Vec<Location>>) -> Lead {
    if !rule.is_teams {
        return Lead::Elsewhere;
    }
    lead_of(rule.connector.as_ref(), rule.location.as_ref(), locations)
}

/// Where a call goes by its connector or, without one, by its location.
fn lead_of(connector: Option<&Uri>, location: Option<&Uri>, locations: &Answer<Vec<Location>>) -> Lead {
    if let Some(uri) = connector {
        return Lead::Connector(uri.clone());
    }
    let Ok(locations) = locations else {
        return Lead::Automatic;
    };
    match location {
        Some(location) => locations
            .iter()
            .find(|one| one.uri == *location)
            .map_or(Lead::Automatic, |one| {
                one.connector.clone().map_or(Lead::Nowhere, Lead::Connector)
            }),
        None => automatic(locations),
    }
}

/// Where all locations agree, it does not matter which of them the deployment chooses.
fn automatic(locations: &[Location]) -> Lead {
    let Some(first) = locations.first() else {
        return Lead::Nowhere;
    };
    if locations.iter().any(|one| one.connector != first.connector) {
        return Lead::Automatic;
    }
    first.connector.clone().map_or(Lead::Nowhere, Lead::Connector)
}

/// The alias as rules see it: without scheme, parameters and the address of a host.
/// By the schema's description of `match_string_full`.
fn parsed(alias: &str) -> &str {
    let schemes = ["sip:", "sips:", "h323:"];
    let scheme = schemes.iter().find(|scheme| {
        alias
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let rest = scheme.map_or(alias, |scheme| alias.get(scheme.len()..).unwrap_or(alias));
    let rest = rest.split([';', '?']).next().unwrap_or(rest);
    match rest.rsplit_once('@') {
        Some((user, host)) if is_address(host) => user,
        _ => rest,
    }
}

fn is_address(host: &str) -> bool {
    let bare = host.trim_start_matches('[');
    let dotted = bare.split('.').count() == 4 && bare.chars().all(|c| c.is_ascii_digit() || ['.', ':'].contains(&c));
    dotted || (host.starts_with('[') && host.contains(']'))
}

/// How many digits a conference ID has; `None` if it is none. Digits of other scripts are none for Teams.
fn digits(id: &str) -> Option<u32> {
    let all = !id.is_empty() && id.chars().all(|c| c.is_ascii_digit());
    all.then(|| u32::try_from(id.len()).unwrap_or(u32::MAX))
}
