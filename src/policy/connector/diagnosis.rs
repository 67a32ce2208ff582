//! What is probably wrong: a table of causes over everything that was found.
//!
//! A fault that is seen is a cause by itself. What calls end with is only a sign: the table says which faults explain it, and how
//! surely. A sign that nothing explains is told with all that could be behind it.

use jiff::{SignedDuration, Timestamp};

use self::causes::{Page, page};
use self::links::LINKS;
use super::{Finding, Outcome};
use crate::api::condition::{Reason, time};
use crate::api::connector::{Confidence, Diagnosis, Severity};

mod causes;
mod links;

/// The connector keeps its logs for 30 days, and removes the oldest each day.
/// <https://docs.pexip.com/admin/teams_troubleshooting.htm>
pub const PEXIP_LOGS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Bounds of the status.
const DIAGNOSES: usize = 16;
const EVIDENCE: usize = 8;
const TEXT: usize = 512;
/// Subjects that a summary names.
const SUBJECTS: usize = 4;

/// A cause, without the times that a status adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The reason that names it.
    pub code: Reason,
    /// How bad it is.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// Whether it explains what calls or logins end with.
    pub explains: bool,
    /// The cause in one sentence, with what it concerns.
    pub summary: String,
    /// What it rests on.
    pub evidence: Vec<String>,
    /// What to do.
    pub remedy: &'static str,
    /// Name of the runbook.
    pub runbook: &'static str,
}

/// The causes of what was found, the likeliest and worst first. The same cause of several subjects is one.
pub fn diagnose(findings: &[Finding]) -> Vec<Cause> {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by(|a, b| (&a.subject, &a.message).cmp(&(&b.subject, &b.message)));
    let mut reasons: Vec<Reason> = sorted.iter().filter_map(|finding| told(finding)).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let mut causes: Vec<Cause> = reasons
        .iter()
        .filter(|sign| !is_explained(**sign, &sorted))
        .filter_map(|code| Some(cause(*code, page(*code)?, &sorted)))
        .collect();
    causes.sort_by_key(|cause| {
        let rank = (cause.severity, cause.confidence, cause.explains);
        (std::cmp::Reverse(rank), cause.code)
    });
    causes.truncate(DIAGNOSES);
    causes
}

/// The reason of a finding that is worth a diagnosis: a fault, or what keeps the operator from seeing.
fn told(finding: &Finding) -> Option<Reason> {
    match finding.outcome {
        Outcome::Pass => None,
        Outcome::Fail(_, reason) => Some(reason),
        Outcome::Unknown(reason) => causes::blinds(reason).then_some(reason),
    }
}

fn severity(finding: &Finding) -> Severity {
    match finding.outcome {
        Outcome::Fail(severity, _) => severity,
        Outcome::Pass | Outcome::Unknown(_) => Severity::Info,
    }
}

fn of(reason: Reason, findings: &[&Finding]) -> Vec<Finding> {
    let of_it = findings.iter().filter(|finding| told(finding) == Some(reason));
    of_it.map(|finding| (*finding).clone()).collect()
}

/// Whether a sign is there as a link wants it: some hold only for what fails nearly always.
fn holds(sign: Reason, persistent: bool, findings: &[&Finding]) -> bool {
    of(sign, findings)
        .iter()
        .any(|finding| !persistent || severity(finding) == Severity::Critical)
}

fn is_there(reason: Reason, findings: &[&Finding]) -> bool {
    !of(reason, findings).is_empty()
}

/// Whether something that was found explains this.
fn is_explained(sign: Reason, findings: &[&Finding]) -> bool {
    let mut links = LINKS.iter().filter(|link| link.signs.contains(&sign));
    links.any(|link| {
        holds(sign, link.persistent, findings) && link.causes.iter().any(|cause| is_there(*cause, findings))
    })
}

fn cause(code: Reason, page: Page, findings: &[&Finding]) -> Cause {
    let own = of(code, findings);
    let links = LINKS.iter().filter(|link| link.causes.contains(&code));
    let explained: Vec<(Reason, Confidence)> = links
        .flat_map(|link| link.signs.iter().map(move |sign| (*sign, link)))
        .filter(|(sign, link)| holds(*sign, link.persistent, findings))
        .map(|(sign, link)| (sign, link.confidence))
        .collect();
    let mut signs: Vec<Reason> = explained.iter().map(|(sign, _)| *sign).collect();
    signs.sort_unstable();
    signs.dedup();
    let signs: Vec<Finding> = signs.iter().flat_map(|sign| of(*sign, findings)).collect();
    let confidence = explained.iter().map(|(_, confidence)| *confidence).max();
    let mut evidence: Vec<String> = Vec::new();
    for finding in own.iter().chain(&signs) {
        let text = cut(&finding.message);
        if !evidence.contains(&text) {
            evidence.push(text);
        }
    }
    // What calls end with is the better proof than a fifth node with the same fault.
    if evidence.len() > EVIDENCE {
        let last = evidence.split_off(evidence.len() - signs.len().clamp(1, EVIDENCE / 2));
        evidence.truncate(EVIDENCE - last.len());
        evidence.extend(last);
    }
    let worst = own.iter().chain(&signs).map(severity).max();
    Cause {
        code,
        severity: worst.unwrap_or(Severity::Info),
        confidence: confidence.unwrap_or(page.confidence),
        explains: !signs.is_empty(),
        summary: cut(&summary(page.summary, &own)),
        evidence,
        remedy: page.remedy,
        runbook: page.runbook,
    }
}

/// The sentence, and whom it concerns.
fn summary(sentence: &str, findings: &[Finding]) -> String {
    let mut subjects: Vec<&str> = findings.iter().map(|finding| finding.subject.as_str()).collect();
    subjects.retain(|subject| !subject.is_empty());
    subjects.dedup();
    let more = subjects.len().saturating_sub(SUBJECTS);
    subjects.truncate(SUBJECTS);
    match (subjects.is_empty(), more) {
        (true, _) => sentence.to_owned(),
        (false, 0) => format!("{sentence} ({})", subjects.join(", ")),
        (false, more) => format!("{sentence} ({} and {more} more)", subjects.join(", ")),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT).collect()
}

/// The diagnoses of a status. What was diagnosed before keeps the time at which it was first seen.
pub fn dated(
    causes: Vec<Cause>,
    before: &[Diagnosis],
    logs_kept: Option<SignedDuration>,
    now: Timestamp,
) -> Vec<Diagnosis> {
    let dated = causes.into_iter().map(|cause| {
        let code = cause.code.to_string();
        let known = before.iter().find(|diagnosis| diagnosis.code == code);
        let first_seen = known.map_or_else(|| time(now), |known| known.first_seen.clone());
        // What is told for care alone has nothing in the logs.
        let logs_kept = logs_kept.filter(|_| cause.severity > Severity::Info);
        let evidence_expires_at = logs_kept.and_then(|kept| first_seen.0.checked_add(kept).ok()).map(time);
        Diagnosis {
            code,
            severity: cause.severity,
            confidence: cause.confidence,
            summary: cause.summary,
            evidence: cause.evidence,
            remedy: cause.remedy.to_owned(),
            runbook: cause.runbook.to_owned(),
            first_seen,
            evidence_expires_at,
        }
    });
    dated.collect()
}

#[cfg(test)]
mod tests;
