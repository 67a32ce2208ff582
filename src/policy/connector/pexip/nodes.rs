//! The Conferencing Nodes that call the connector: whether it admits them, and whether their certificates hold.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::routing::Lead;
use super::{Answer, Authority, Configuration, Lookup, Node, NodeCertificate, View, listed};
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::{ExpiryLimits, Severity};
use crate::policy::connector::Finding;

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Most findings of one sort.
const MOST: usize = 32;

/// Nodes in the locations from which the connector is called. A rule or reception without a location leaves the choice to the
/// deployment and adds none.
pub(super) fn serving<'a>(view: &View<'a>) -> Answer<Vec<&'a Node>> {
    let configuration = view.configuration;
    let nodes = configuration.nodes.as_ref().map_err(Clone::clone)?;
    let connector = match view.connector {
        Lookup::Found(connector) => &connector.uri,
        Lookup::Missing => return Ok(Vec::new()),
        Lookup::Unknown(fault) => return Err(fault.clone()),
    };
    let locations = locations(configuration, connector)?;
    let is_there = |node: &&Node| node.location.as_deref().is_some_and(|uri| locations.contains(uri));
    Ok(nodes.iter().filter(|node| !node.is_proxy).filter(is_there).collect())
}

fn locations<'a>(configuration: &'a Configuration, connector: &str) -> Answer<BTreeSet<&'a str>> {
    let locations = configuration.locations.as_ref().map_err(Clone::clone)?;
    let routes = configuration.routes.as_ref().map_err(Clone::clone)?;
    let receptions = configuration.receptions.as_ref().map_err(Clone::clone)?;
    let own = locations
        .iter()
        .filter(|one| one.connector.as_deref() == Some(connector));
    let mut found: BTreeSet<&str> = own.map(|one| one.uri.as_str()).collect();
    let leads_here = |lead: &Lead| matches!(lead, Lead::Connector(uri) if uri == connector);
    let rules = routes
        .rules()
        .filter(|route| route.rule.is_enabled && leads_here(&route.lead));
    found.extend(rules.filter_map(|route| route.rule.location.as_deref().or(route.rule.scope.source.as_deref())));
    let receptions = receptions
        .iter()
        .filter(|one| one.connector.as_deref() == Some(connector));
    found.extend(receptions.filter_map(|one| one.location.as_deref()));
    Ok(found)
}

/// Whether the connector admits the nodes that call it. It looks for its list in the names of their certificates.
pub(super) fn judge_allow_list(view: &View<'_>) -> Vec<Finding> {
    const CONDITION: ConditionType = ConditionType::RoutingValid;
    let admitted = &view.spec.node_fqdns;
    if admitted.is_empty() || matches!(view.connector, Lookup::Missing) {
        return Vec::new();
    }
    let nodes = match serving(view) {
        Ok(nodes) => nodes,
        Err(fault) => return vec![fault.finding(CONDITION, "Conferencing Nodes")],
    };
    let is_admitted = |node: &&Node| {
        let names = names(view, node);
        admitted
            .iter()
            .any(|admitted| names.iter().any(|name| covers(name, admitted)))
    };
    let refused = nodes.into_iter().filter(|node| !is_admitted(node));
    let found = refused.take(MOST).map(|node| {
        let message = format!(
            "Conferencing Node {} calls Teams Connector {}, which does not admit it (error 401): add its name to $PxNodeFqdns and redeploy, or choose another outgoing location.",
            node.name, view.spec.connector_name
        );
        Finding::fail(CONDITION, &node.name, Severity::Critical, Reason::NodeNotInConnectorAllowList, message)
    });
    found.collect()
}

/// The names under which the connector sees a node: those of its certificate, or its own where that is not known.
fn names<'a>(view: &View<'a>, node: &'a Node) -> Vec<&'a str> {
    let certificates = view.configuration.certificates.as_deref().unwrap_or_default();
    let shown = certificates
        .iter()
        .find(|one| node.certificate.as_ref() == Some(&one.uri));
    match shown {
        Some(certificate) if !certificate.names.is_empty() => certificate.names.iter().map(String::as_str).collect(),
        _ => std::iter::once(node.fqdn.as_str())
            .chain(node.alternative.as_deref())
            .collect(),
    }
}

/// Whether a name of a certificate covers a host: a wildcard stands for one label.
fn covers(name: &str, host: &str) -> bool {
    let (name, host) = (name.trim_end_matches('.'), host.trim_end_matches('.'));
    match name.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(host),
    }
}

/// Certificates that nodes show to the connector, and those that complete their chains.
pub(super) fn judge_certificates(view: &View<'_>) -> Vec<Finding> {
    const CONDITION: ConditionType = ConditionType::CertificatesValid;
    let certificates = match &view.configuration.certificates {
        Ok(certificates) => certificates,
        Err(fault) => return vec![fault.finding(CONDITION, "certificates of nodes")],
    };
    let serving = serving(view).unwrap_or_default();
    let is_used = |certificate: &&NodeCertificate| {
        let shown = |node: &&Node| {
            node.certificate.as_ref() == Some(&certificate.uri)
                || certificate
                    .nodes
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(&node.fqdn))
        };
        // Where it is not known which nodes call the connector, each may.
        (serving.is_empty() && !certificate.nodes.is_empty()) || serving.iter().any(shown)
    };
    let used: Vec<&NodeCertificate> = certificates.iter().filter(is_used).collect();
    let mut found: Vec<Finding> = used.iter().take(MOST).flat_map(|one| of_node(view.now, one)).collect();
    let authorities = view.configuration.authorities.as_deref().unwrap_or_default();
    found.extend(
        authorities
            .iter()
            .filter_map(|one| of_authority(view.now, one))
            .take(MOST),
    );
    if found.is_empty() && !used.is_empty() {
        found.push(Finding::pass(
            CONDITION,
            "nodes",
            "The certificates of the Conferencing Nodes are valid.",
        ));
    }
    found
}

fn of_node(now: Timestamp, certificate: &NodeCertificate) -> Vec<Finding> {
    const CONDITION: ConditionType = ConditionType::CertificatesValid;
    let nodes = listed(certificate.nodes.iter().map(String::as_str));
    let subject = if nodes.is_empty() {
        listed(certificate.names.iter().map(String::as_str))
    } else {
        nodes
    };
    let fail = |severity, reason, what: &str| {
        let message = format!("The certificate of Conferencing Node {subject} {what}.");
        Finding::fail(CONDITION, format!("node {subject}"), severity, reason, message)
    };
    let mut found = Vec::new();
    if certificate.ends.is_some_and(|ends| ends <= now) {
        found.push(fail(
            Severity::Critical,
            Reason::Expired,
            "has expired, and the connector answers with error 401: replace it",
        ));
    } else if certificate.starts.is_some_and(|starts| starts > now) {
        found.push(fail(
            Severity::Critical,
            Reason::NotYetValid,
            "is not valid yet: compare the clocks, or replace it",
        ));
    } else if let Some(severity) = expiring(now, certificate) {
        found.push(fail(severity, Reason::ExpiringSoon, "expires soon: replace it"));
    }
    if certificate.server_auth == Some(false) {
        found.push(fail(
            Severity::Warning,
            Reason::WrongExtendedKeyUsage,
            "is not meant for servers (no serverAuth): replace it",
        ));
    }
    if certificate.client_auth == Some(false) {
        found.push(fail(
            Severity::Info,
            Reason::NodeCertificateWithoutClientAuth,
            "is not meant for clients (no clientAuth), as public authorities issue them since 2026: if the connector answers with error 401, this may be why",
        ));
    }
    found
}

/// The limits of endpoints in their default. What lives shorter is told at a part of its life, and is critical at a third of that.
fn expiring(now: Timestamp, certificate: &NodeCertificate) -> Option<Severity> {
    let limits = ExpiryLimits::default();
    let left = certificate.ends?.duration_since(now);
    let lifetime = certificate.starts.zip(certificate.ends);
    let lifetime = lifetime.map_or(SignedDuration::MAX, |(starts, ends)| ends.duration_since(starts));
    let part = lifetime / 100 * limits.lifetime_percent;
    let limit = |days: i32, part: SignedDuration| DAY.saturating_mul(days).min(part);
    if left < limit(limits.critical_days, part / 3) {
        return Some(Severity::Critical);
    }
    (left < limit(limits.warn_days, part)).then_some(Severity::Warning)
}

/// An expired intermediate breaks the chain of the nodes' certificates; an expired root may be one of many that nobody uses.
fn of_authority(now: Timestamp, authority: &Authority) -> Option<Finding> {
    const CONDITION: ConditionType = ConditionType::CertificatesValid;
    let has_expired = authority.is_intermediate && authority.ends.is_some_and(|ends| ends <= now);
    has_expired.then(|| {
        let subject = &authority.subject;
        let message = format!(
            "The intermediate certificate {subject} on the Management Node has expired: replace it, unless no certificate of a node is signed by it."
        );
        Finding::fail(CONDITION, format!("authority {subject}"), Severity::Warning, Reason::Expired, message)
    })
}
