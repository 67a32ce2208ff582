//! A report as text.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::Report;
use crate::api::connector::{Diagnosis, EndpointHealth, PexipHealth};

/// The whole report, with a line end.
pub fn render(report: &Report) -> String {
    let mut lines = head(report);
    lines.push(String::new());
    lines.extend(conditions(&report.conditions));
    lines.push(String::new());
    lines.extend(diagnoses(&report.diagnoses));
    if !report.endpoints.is_empty() {
        lines.push(String::new());
        lines.push("Endpoints".to_owned());
        lines.extend(report.endpoints.iter().flat_map(endpoint));
    }
    if let Some(figures) = &report.pexip {
        lines.push(String::new());
        lines.push("Pexip".to_owned());
        lines.extend(pexip(figures));
    }
    let printable = |line: &String| {
        line.chars()
            .map(|one| if one.is_control() { '\u{fffd}' } else { one })
            .collect()
    };
    let lines: Vec<String> = lines.iter().map(printable).collect();
    lines.join("\n") + "\n"
}

fn head(report: &Report) -> Vec<String> {
    let health = report
        .health
        .map_or_else(|| "Unknown".to_owned(), |health| format!("{health:?}"));
    let looked = report.looked.map_or_else(
        || "It was not looked at yet.".to_owned(),
        |at| format!("Last written at {at}; what did not change since was looked at later too."),
    );
    let mut lines = vec![
        format!("{health}: {:?} {}/{}", report.type_, report.namespace, report.name),
        looked,
    ];
    if report.suspended {
        lines.push("It is suspended: nothing is probed.".to_owned());
    }
    if report.outdated {
        lines.push("The spec was changed, and that is not looked at yet.".to_owned());
    }
    lines
}

fn conditions(conditions: &[Condition]) -> Vec<String> {
    let rows = conditions.iter().map(|condition| {
        let since = condition.last_transition_time.0.to_string();
        [
            condition.type_.clone(),
            condition.status.clone(),
            condition.reason.clone(),
            since,
            condition.message.clone(),
        ]
    });
    let head = ["CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"].map(str::to_owned);
    table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row
            .iter()
            .zip(widths.iter().copied())
            .map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect()
}

fn diagnoses(diagnoses: &[Diagnosis]) -> Vec<String> {
    if diagnoses.is_empty() {
        return vec!["No diagnosis: nothing that was found points at a cause.".to_owned()];
    }
    let mut lines = vec!["Diagnoses, the likeliest first".to_owned()];
    for (number, diagnosis) in diagnoses.iter().enumerate() {
        lines.push(format!(
            "  {}. {} ({:?}, confidence {:?}), since {}",
            number + 1,
            diagnosis.code,
            diagnosis.severity,
            diagnosis.confidence,
            diagnosis.first_seen.0
        ));
        lines.push(format!("     {}.", diagnosis.summary));
        lines.extend(
            diagnosis
                .evidence
                .iter()
                .map(|evidence| format!("     evidence  {evidence}")),
        );
        lines.push(format!("     remedy    {}", diagnosis.remedy));
        lines.push(format!("     runbook   {}", diagnosis.runbook));
        if let Some(until) = &diagnosis.evidence_expires_at {
            lines.push(format!("     logs      kept until {}: save them before", until.0));
        }
    }
    lines
}

fn endpoint(endpoint: &EndpointHealth) -> Vec<String> {
    let reachable = if endpoint.reachable {
        "reachable"
    } else {
        "not reachable"
    };
    let tls = endpoint
        .tls_version
        .as_ref()
        .map_or_else(String::new, |version| format!(", TLS {version}"));
    let addresses = match endpoint.addresses.as_slice() {
        [] => String::new(),
        addresses => format!(", {}", addresses.join(" ")),
    };
    let certificates = endpoint.certificates.iter().map(|certificate| {
        let until: Timestamp = certificate.not_after.0;
        format!(
            "    {:12}  {}, {}, until {until}, by {}",
            certificate.role, certificate.subject, certificate.key, certificate.issuer
        )
    });
    let head = format!("  {}: {reachable}{tls}{addresses}", endpoint.name);
    std::iter::once(head).chain(certificates).collect()
}

fn pexip(figures: &PexipHealth) -> Vec<String> {
    let known = |figure: Option<i32>| figure.map_or_else(|| "unknown".to_owned(), |figure| figure.to_string());
    let instances = figures.instances.map_or_else(
        || "unknown".to_owned(),
        |counts| {
            format!(
                "{} active, {} draining, {} in maintenance, {} failed, {} other",
                counts.active, counts.draining, counts.maintenance, counts.failed, counts.other
            )
        },
    );
    let alarms = match figures.alarms.as_slice() {
        [] => "none".to_owned(),
        alarms => alarms.join(", "),
    };
    vec![
        format!("  instances  {instances}"),
        format!("  calls      {} of {}", known(figures.calls), known(figures.capacity)),
        format!(
            "  licences   {} of {}",
            known(figures.licences_used),
            known(figures.licences_total)
        ),
        format!("  alarms     {alarms}"),
    ]
}
