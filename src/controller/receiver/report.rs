//! The status of a receiver.

use jiff::Timestamp;

use super::Findings;
use crate::api::condition::{self, ConditionType, Reason, Standing, Truth, Verdict};
use crate::api::receiver::{NotificationReceiver, NotificationReceiverStatus};
use crate::controller::news::in_use;
use crate::controller::observed::PodState;
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
        available(receiver, findings),
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

fn available(receiver: &NotificationReceiver, findings: &Findings) -> Verdict {
    let verdict = |truth: bool, reason, message: String| Verdict::new(ConditionType::Available, truth, reason, message);
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
    if receiver.spec.sinks.is_empty() {
        return verdict(
            Truth::True,
            Reason::Succeeded,
            "there is no sink; events wait for pull consumers".to_owned(),
        );
    }
    let sinks: Vec<_> = pods
        .iter()
        .filter_map(|pod| pod.as_ref().ok())
        .flat_map(|pod| &pod.sinks)
        .collect();
    if sinks.is_empty() {
        return verdict(
            Truth::Unknown,
            Reason::NotObserved,
            "no pod has told about its sinks yet".to_owned(),
        );
    }
    if let Some(sink) = sinks.iter().find(|sink| sink.failing_since.is_some()) {
        let error = sink.last_error.as_deref().unwrap_or("no error told");
        return verdict(
            Truth::False,
            Reason::SinkFailing,
            format!("sink {} fails: {error}; events wait in the log", sink.name),
        );
    }
    if let Some(sink) = sinks.iter().find(|sink| sink.dead_letters > 0) {
        let message = format!("sink {} refused events; they are kept as dead letters", sink.name);
        return verdict(Truth::False, Reason::DeadLettered, message);
    }
    verdict(Truth::True, Reason::Succeeded, "all sinks take events".to_owned())
}
