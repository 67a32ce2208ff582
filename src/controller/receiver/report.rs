//! The status of a receiver.

use jiff::Timestamp;

use super::Findings;
use crate::api::condition::{self, ConditionType, Reason, Standing, Truth, Verdict};
use crate::api::receiver::{NotificationReceiver, NotificationReceiverStatus};
use crate::controller::news::in_use;
use crate::controller::observed::{PodState, Storage};
use crate::probe::Problem;

/// The status for what was found out.
pub fn next_status(
    receiver: &NotificationReceiver,
    findings: &Findings,
    pods: &[Result<PodState, String>],
    now: Timestamp,
) -> NotificationReceiverStatus {
    let mut next = receiver.status.clone().unwrap_or_default();
    let generation = receiver.metadata.generation;
    next.observed_generation = generation.unwrap_or(0);
    next.ready_replicas = findings.ready_replicas;
    next.key_id = findings.key_id.clone().or(next.key_id);
    let (standing, reason, message) = standing(findings);
    condition::set_standing(&mut next.conditions, standing, reason, &message, generation, now);
    for verdict in [
        available(receiver, findings, pods),
        reachable(findings),
        sinks_delivering(receiver, pods),
    ] {
        condition::set(&mut next.conditions, &verdict, generation, now);
    }
    next
}

fn standing(findings: &Findings) -> (Standing, Reason, String) {
    if !findings.users.is_empty() {
        return (Standing::Waiting, Reason::InUse, in_use(&findings.users));
    }
    match &findings.refusal {
        Some(refusal) if refusal.stalled => (Standing::Stalled, refusal.reason, refusal.message.clone()),
        Some(refusal) => (Standing::Waiting, refusal.reason, refusal.message.clone()),
        None => (Standing::Working, Reason::Accepted, "the spec is accepted".to_owned()),
    }
}

fn available(receiver: &NotificationReceiver, findings: &Findings, pods: &[Result<PodState, String>]) -> Verdict {
    let verdict = |truth: bool, reason, message: String| Verdict::new(ConditionType::Available, truth, reason, message);
    if let Some((reason, message)) = storage_trouble(pods) {
        return verdict(findings.ready_replicas > 0, reason, message);
    }
    match (&findings.refusal, findings.ready_replicas) {
        (Some(refusal), 0) => verdict(false, refusal.reason, refusal.message.clone()),
        (_, 0) => verdict(false, Reason::PodsNotReady, "no pod is ready".to_owned()),
        (_, ready) if ready < receiver.spec.replicas => verdict(
            true,
            Reason::PodsNotReady,
            format!("{ready} of {} pods are ready", receiver.spec.replicas),
        ),
        _ => verdict(true, Reason::PodsReady, "all pods are ready".to_owned()),
    }
}

/// A pod whose log takes nothing refuses notifications, and Graph repeats them for hours.
fn storage_trouble(pods: &[Result<PodState, String>]) -> Option<(Reason, String)> {
    let worst = pods
        .iter()
        .filter_map(|pod| pod.as_ref().ok())
        .map(|pod| &pod.storage)
        .max_by_key(|storage| storage.state)?;
    match worst.state {
        Storage::Ok => None,
        Storage::Full => Some((
            Reason::StorageFull,
            "the log of a pod is full; mend the sinks and consumers that are behind, or give it more storage"
                .to_owned(),
        )),
        Storage::Failing => Some((
            Reason::StorageFailing,
            format!(
                "the log of a pod cannot be written: {}",
                worst.problem.as_deref().unwrap_or("no reason told")
            ),
        )),
    }
}

/// What the operator itself sees of the public address. Graph's own view decides, and shows at the subscriptions.
fn reachable(findings: &Findings) -> Verdict {
    let verdict = |truth, reason, message: String| Verdict::new(ConditionType::Reachable, truth, reason, message);
    let problem = match &findings.handshake {
        None => {
            return verdict(
                Truth::Unknown,
                Reason::PodsNotReady,
                "no pod is ready to answer".to_owned(),
            );
        }
        Some(Ok(())) => {
            return verdict(
                Truth::True,
                Reason::HandshakeSucceeded,
                "the public address answers Graph's handshake, seen from the operator".to_owned(),
            );
        }
        Some(Err(problem)) => problem,
    };
    let reason = match problem {
        Problem::Connection(_) | Problem::Timeout => Reason::ConnectionFailed,
        Problem::CertificateNotTrusted(_) => Reason::CertificateNotTrusted,
        Problem::WrongPath => Reason::WrongPath,
        Problem::Status(_) | Problem::Altered | Problem::NotPlainText => Reason::HandshakeAltered,
    };
    verdict(
        Truth::False,
        reason,
        format!("the handshake at spec.publicUrl fails, seen from the operator: {problem}"),
    )
}

fn sinks_delivering(receiver: &NotificationReceiver, pods: &[Result<PodState, String>]) -> Verdict {
    let verdict = |truth, reason, message: String| Verdict::new(ConditionType::SinksDelivering, truth, reason, message);
    let unheard = pods.iter().find_map(|pod| pod.as_ref().err());
    if let (Some(trouble), None) = (unheard, trouble_of(pods)) {
        let message = format!("a pod cannot be asked: {trouble}; its lifecycle events are not read either");
        return verdict(Truth::Unknown, Reason::NotObserved, message);
    }
    if receiver.spec.sinks.is_empty() {
        return verdict(
            Truth::True,
            Reason::Succeeded,
            "there is no sink; events wait for pull consumers".to_owned(),
        );
    }
    if let Some((reason, message)) = trouble_of(pods) {
        return verdict(Truth::False, reason, message);
    }
    if pods.is_empty() {
        let message = "no pod has told about its sinks yet".to_owned();
        return verdict(Truth::Unknown, Reason::NotObserved, message);
    }
    verdict(Truth::True, Reason::Succeeded, "all sinks take events".to_owned())
}

/// What keeps a sink from taking events, as far as pods tell.
fn trouble_of(pods: &[Result<PodState, String>]) -> Option<(Reason, String)> {
    let sinks = || {
        pods.iter()
            .filter_map(|pod| pod.as_ref().ok())
            .flat_map(|pod| &pod.sinks)
    };
    if let Some(sink) = sinks().find(|sink| sink.failing_since.is_some()) {
        let error = sink.last_error.as_deref().unwrap_or("no error told");
        let message = format!("sink {} fails: {error}; events wait in the log", sink.name);
        return Some((Reason::SinkFailing, message));
    }
    let sink = sinks().find(|sink| sink.dead_letters > 0)?;
    let message = format!("sink {} refused events; they are kept as dead letters", sink.name);
    Some((Reason::DeadLettered, message))
}

#[cfg(test)]
mod tests;
