//! Whether calls reach the connector with a conference ID that Teams can know.

use super::{Lead, Route, Routed, Table, Unusable, digits, lead_of};
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::{DigitRange, RoutingSample, Severity};
use crate::policy::connector::Finding;
use crate::policy::connector::pexip::{Lookup, Reception, View};

const CONDITION: ConditionType = ConditionType::RoutingValid;
/// Most findings of one sort.
const MOST: usize = 32;

pub(in crate::policy::connector::pexip) fn judge(view: &View<'_>) -> Vec<Finding> {
    let name = &view.spec.connector_name;
    if matches!(view.connector, Lookup::Missing) {
        let message = format!(
            "The Management Node has no Teams Connector named {name}: correct spec.pexip.connectorName, or add it under Call control > Microsoft Teams Connectors."
        );
        return vec![Finding::fail(
            CONDITION,
            "",
            Severity::Critical,
            Reason::ConnectorNotFound,
            message,
        )];
    }
    let connector = match view.connector(CONDITION) {
        Ok(connector) => connector,
        Err(finding) => return vec![finding],
    };
    let mut found = match &view.configuration.routes {
        Ok(table) => rules(view, table, &connector.uri),
        Err(fault) => vec![fault.finding(CONDITION, "Call Routing Rules")],
    };
    found.extend(receptions(view));
    if let Err(fault) = &view.configuration.locations {
        found.push(fault.finding(CONDITION, "system locations"));
    }
    let is_mild = |finding: &Finding| {
        matches!(
            finding.outcome,
            crate::policy::connector::Outcome::Fail(Severity::Info, _)
        )
    };
    if found.iter().all(is_mild) {
        found.push(Finding::pass(
            CONDITION,
            "",
            format!("The Call Routing Rules lead to Teams Connector {name}."),
        ));
    }
    found
}

fn rules(view: &View<'_>, table: &Table, connector: &str) -> Vec<Finding> {
    let enabled = || table.rules().filter(|route| route.rule.is_enabled);
    let is_own = |route: &&Route| matches!(&route.lead, Lead::Connector(uri) if uri == connector);
    let own: Vec<&Route> = enabled().filter(is_own).collect();
    let mut found: Vec<Finding> = enabled()
        .filter(|route| route.lead == Lead::Nowhere)
        .take(MOST)
        .map(without_connector)
        .collect();
    if own.is_empty() && !enabled().any(|route| route.lead == Lead::Automatic) {
        found.push(unused(view, table.rules().find(is_own)));
    }
    found.extend(own.iter().filter_map(|route| unusable(route)).take(MOST));
    found.extend(own.iter().filter_map(|route| shadowed(table, route)).take(MOST));
    found.extend(samples(view, table, connector));
    found
}

fn warning(subject: impl Into<String>, reason: Reason, message: String) -> Finding {
    Finding::fail(CONDITION, subject, Severity::Warning, reason, message)
}

fn without_connector(route: &Route) -> Finding {
    let name = &route.rule.name;
    let message = format!(
        "Call Routing Rule {name} leads to Teams, and neither it nor its outgoing location has a Teams Connector: its calls fail; select one in the rule."
    );
    warning(format!("rule {name}"), Reason::RuleWithoutConnector, message)
}

fn unused(view: &View<'_>, disabled: Option<&Route>) -> Finding {
    let name = &view.spec.connector_name;
    let remedy = match disabled {
        Some(route) => format!("enable rule {}", route.rule.name),
        None => "select it in a rule or in an outgoing location".to_owned(),
    };
    let message = format!("No Call Routing Rule that is enabled leads to Teams Connector {name}: {remedy}.");
    warning("", Reason::RuleWithoutConnector, message)
}

fn unusable(route: &Route) -> Option<Finding> {
    let name = &route.rule.name;
    if route.pattern.as_ref().err() == Some(&Unusable::Invalid) {
        let message = format!(
            "The pattern of Call Routing Rule {name} is not a regular expression that can be read: correct it."
        );
        return Some(warning(format!("rule {name}"), Reason::RegexInvalid, message));
    }
    let fault = route.template_fault()?;
    let message = format!("The replace string of Call Routing Rule {name} {fault}: it does not yield a conference ID.");
    Some(warning(
        format!("rule {name}"),
        Reason::ReplaceDoesNotYieldConferenceId,
        message,
    ))
}

/// A rule that is never reached, because an earlier one takes all its calls. What patterns have in common cannot be told in general:
/// equal ones and those that take anything are found, and others by the samples.
fn shadowed(table: &Table, route: &Route) -> Option<Finding> {
    let takes_all = |pattern: &str| [".*", ".+", "(.*)", "(.+)"].contains(&pattern);
    let rule = &route.rule;
    let earlier = table
        .rules()
        .take_while(|one| one.rule != *rule)
        .filter(|one| one.rule.is_enabled);
    let by = earlier
        .map(|one| &one.rule)
        .find(|one| (one.pattern == rule.pattern || takes_all(&one.pattern)) && one.scope.covers(&rule.scope))?;
    let message = format!(
        "Call Routing Rule {} is never reached, because rule {} comes before it and takes the same aliases: change their priorities.",
        rule.name, by.name
    );
    Some(warning(format!("rule {}", rule.name), Reason::RuleShadowed, message))
}

fn samples(view: &View<'_>, table: &Table, connector: &str) -> Vec<Finding> {
    let samples = &view.spec.routing_samples;
    if samples.is_empty() {
        let message = "Whether the Call Routing Rules make conference IDs of aliases is not tried: give samples in spec.pexip.routingSamples.";
        return vec![Finding::fail(
            CONDITION,
            "samples",
            Severity::Info,
            Reason::NoSamples,
            message,
        )];
    }
    let numbered = samples.iter().take(MOST).zip(1..);
    let trial = Trial {
        table,
        connector,
        range: view.spec.conference_id_digits,
    };
    numbered
        .filter_map(|(sample, number)| trial.run(sample, number))
        .collect()
}

/// What samples are tried on. They are told by their number: an alias may name a person.
struct Trial<'a> {
    table: &'a Table,
    connector: &'a str,
    range: DigitRange,
}

impl Trial<'_> {
    fn run(&self, sample: &RoutingSample, number: usize) -> Option<Finding> {
        let subject = format!("sample {number}");
        let fault = match self.table.route(&sample.alias) {
            Routed::TooCostly(rule) => {
                let message = format!(
                    "The pattern of Call Routing Rule {} takes too long for routing sample {number}: make it simpler.",
                    rule.name
                );
                return Some(Finding::unknown(CONDITION, subject, Reason::RegexTooCostly, message));
            }
            Routed::Unmatched => return Some(self.unmatched(sample, &subject)),
            Routed::By(rule, lead, result) if self.is_own(lead) => {
                if result == sample.expect && self.fits(&result) {
                    return self.lengths(sample, &subject);
                }
                format!(
                    "Call Routing Rule {} makes {} of routing sample {number}: correct its replace string.",
                    rule.name,
                    self.described(&result)
                )
            }
            Routed::By(rule, ..) => return Some(self.misled(sample, &subject, &rule.name)),
        };
        Some(warning(subject, Reason::ReplaceDoesNotYieldConferenceId, fault))
    }

    fn is_own(&self, lead: &Lead) -> bool {
        matches!(lead, Lead::Automatic) || matches!(lead, Lead::Connector(uri) if uri == self.connector)
    }

    fn fits(&self, id: &str) -> bool {
        let range = self.range.min..=self.range.max;
        digits(id).is_some_and(|digits| i32::try_from(digits).is_ok_and(|digits| range.contains(&digits)))
    }

    /// In words that do not repeat what was dialled.
    fn described(&self, result: &str) -> String {
        let DigitRange { min, max } = self.range;
        match digits(result) {
            Some(count) if self.fits(result) => format!("another conference ID of {count} digits"),
            Some(count) => format!("a number of {count} digits, where {min} to {max} are allowed,"),
            None => "something that is not all digits (0 to 9)".to_owned(),
        }
    }

    /// A rule that is disabled, or comes too late, is the likeliest cause.
    fn unmatched(&self, sample: &RoutingSample, subject: &str) -> Finding {
        let disabled = self
            .table
            .rules()
            .filter(|route| !route.rule.is_enabled && self.is_own(&route.lead));
        let remedy = match Table::first(disabled, &sample.alias) {
            Routed::By(rule, ..) => format!("rule {} would, and is disabled", rule.name),
            _ => "correct the pattern of the rule that is meant for it".to_owned(),
        };
        let message = format!("No Call Routing Rule that is enabled matches routing {subject}: {remedy}.");
        warning(subject, Reason::ReplaceDoesNotYieldConferenceId, message)
    }

    fn misled(&self, sample: &RoutingSample, subject: &str, by: &str) -> Finding {
        let own = self
            .table
            .rules()
            .filter(|route| route.rule.is_enabled && self.is_own(&route.lead));
        if let Routed::By(rule, ..) = Table::first(own, &sample.alias) {
            let message = format!(
                "Call Routing Rule {} is not reached by routing {subject}, because rule {by} comes before it and leads elsewhere: change their priorities.",
                rule.name
            );
            return warning(subject, Reason::RuleShadowed, message);
        }
        let message =
            format!("Call Routing Rule {by} leads routing {subject} away from the Teams Connector: correct the rules.");
        warning(subject, Reason::ReplaceDoesNotYieldConferenceId, message)
    }

    /// A rule that is right for the sample may still refuse shorter or longer conference IDs.
    fn lengths(&self, sample: &RoutingSample, subject: &str) -> Option<Finding> {
        let (before, after) = sample.alias.split_once(&sample.expect)?;
        let refused = [self.range.min, self.range.max].into_iter().find(|length| {
            let id = "1234567890".chars().cycle().take(usize::try_from(*length).unwrap_or_default());
            let id: String = id.collect();
            !matches!(self.table.route(&format!("{before}{id}{after}")), Routed::By(_, lead, result) if self.is_own(lead) && result == id)
        })?;
        let message = format!(
            "Conference IDs of {refused} digits do not pass the Call Routing Rules that routing {subject} passes: widen their patterns, or narrow spec.pexip.conferenceIdDigits."
        );
        Some(Finding::fail(
            CONDITION,
            subject,
            Severity::Info,
            Reason::ReplaceDoesNotYieldConferenceId,
            message,
        ))
    }
}

/// Only nodes themselves know whether they reach the connector; the configuration tells whether they know of one.
fn receptions(view: &View<'_>) -> Vec<Finding> {
    let receptions = match &view.configuration.receptions {
        Ok(receptions) => receptions,
        Err(fault) => return vec![fault.finding(CONDITION, "Virtual Receptions")],
    };
    let lead = |one: &Reception| {
        lead_of(
            one.connector.as_ref(),
            one.location.as_ref(),
            &view.configuration.locations,
        )
    };
    let lost = receptions.iter().filter(|one| lead(one) == Lead::Nowhere);
    let found = lost.take(MOST).map(|one| {
        let name = &one.name;
        let message = format!(
            "Virtual Reception {name} cannot look conference IDs up, because neither it nor its lookup location has a Teams Connector: select one, which the nodes of that location can reach."
        );
        warning(format!("reception {name}"), Reason::ReceptionWithoutConnector, message)
    });
    found.collect()
}
