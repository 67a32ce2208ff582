//! The conditions of an object, each from what the worker says of it.

use super::act::Outcome;
use super::report::{Findings, unseen};
use crate::api::condition::{self, ConditionType, Reason, Truth, Verdict};
use crate::api::presence::PresenceSync;
use crate::api::presence_report::{Fault, Lamp, Phase, WorkerReport};

/// A clock that is further off than this is told of; Graph's lifetimes are minutes.
const SKEW_SECONDS: u64 = 60;

/// All that apply.
pub fn all(object: &PresenceSync, findings: &Findings) -> Vec<Verdict> {
    let mut verdicts = vec![available(findings)];
    let report = match findings.worker {
        Some(Ok(report)) => report,
        Some(Err(trouble)) => return unseen_ones(object, verdicts, &format!("the worker cannot be asked: {trouble}")),
        None => return unseen_ones(object, verdicts, "no worker runs yet"),
    };
    verdicts.extend([
        of_lamp(ConditionType::PbxConnected, &report.pbx),
        authenticated(object, report),
        subscribed(report),
        matched(report),
        licences(report),
        clock(report),
    ]);
    if object.spec.push.is_some() {
        verdicts.push(notification_url(findings, report));
        verdicts.push(report.shards.as_ref().map_or_else(
            || {
                unseen(
                    ConditionType::ShardsReady,
                    "the worker has not shared out the users yet",
                )
            },
            |lamp| of_lamp(ConditionType::ShardsReady, lamp),
        ));
    }
    verdicts
}

fn unseen_ones(object: &PresenceSync, mut verdicts: Vec<Verdict>, why: &str) -> Vec<Verdict> {
    let always = [
        ConditionType::PbxConnected,
        ConditionType::Authenticated,
        ConditionType::PresenceSubscribed,
        ConditionType::UsersMatched,
        ConditionType::LicencesValid,
        ConditionType::ClockSynchronized,
    ];
    let with_push = [ConditionType::NotificationUrlReachable, ConditionType::ShardsReady];
    let with_push = with_push.into_iter().filter(|_| object.spec.push.is_some());
    verdicts.extend(always.into_iter().chain(with_push).map(|type_| unseen(type_, why)));
    verdicts
}

/// Whether the worker is there and can do its work.
fn available(findings: &Findings) -> Verdict {
    let verdict = |truth: bool, reason, message: &str| Verdict::new(ConditionType::Available, truth, reason, message);
    match (findings.worker, findings.outcome) {
        (None, Outcome::Refused(refusal)) => verdict(false, refusal.reason, &refusal.message),
        (None, _) => verdict(false, Reason::PodsNotReady, "the worker's pod is not ready"),
        (Some(Err(_)), _) if findings.ready == 0 => {
            verdict(false, Reason::PodsNotReady, "the worker's pod is not ready")
        }
        (Some(Err(trouble)), _) => {
            let message = format!("the worker cannot be asked: {trouble}");
            verdict(false, Reason::WorkerNotAnswering, &message)
        }
        (Some(Ok(report)), _) => match (&report.config_error, &report.storage) {
            (_, storage) if storage.ok == Some(false) => verdict(false, Reason::StorageFailing, &storage.message),
            (Some(error), _) => {
                let message = format!("the worker goes on with an earlier configuration: {error}");
                verdict(false, Reason::ConfigurationRefused, &message)
            }
            _ => verdict(true, Reason::PodsReady, "the worker is at work"),
        },
    }
}

/// A lamp as a condition of the same meaning.
fn of_lamp(type_: ConditionType, lamp: &Lamp) -> Verdict {
    let truth = match lamp.ok {
        Some(true) => return Verdict::new(type_, true, Reason::Succeeded, &lamp.message),
        Some(false) => Truth::False,
        None => Truth::Unknown,
    };
    let reason = lamp.fault.map_or(Reason::NotObserved, |fault| reason(type_, fault));
    Verdict::new(type_, truth, reason, &lamp.message)
}

/// The first lamp that is red, else the first that nobody knows of, else the last one's good news.
fn worst<'a>(lamps: impl IntoIterator<Item = &'a Lamp>) -> Option<&'a Lamp> {
    lamps.into_iter().min_by_key(|lamp| match lamp.ok {
        Some(false) => 0,
        None => 1,
        Some(true) => 2,
    })
}

/// One word for the same thing, whoever says it: a PBX is not Graph.
fn reason(type_: ConditionType, fault: Fault) -> Reason {
    let pbx = type_ == ConditionType::PbxConnected;
    match fault {
        Fault::NotTried => Reason::NotObserved,
        Fault::SecretMissing => Reason::SecretKeyMissing,
        Fault::CredentialsRejected => Reason::CredentialsRejected,
        Fault::CredentialsMalformed => Reason::CredentialsMalformed,
        Fault::CertificateExpired => Reason::CertificateExpired,
        Fault::UnknownTenant => Reason::UnknownTenant,
        Fault::UnknownApplication => Reason::UnknownApplication,
        Fault::PermissionMissing => Reason::PermissionMissing,
        Fault::MfaRequired => Reason::MfaRequired,
        Fault::PasswordExpired => Reason::PasswordExpired,
        Fault::Unlicensed => Reason::Unlicensed,
        Fault::Throttled => Reason::Throttled,
        Fault::Unavailable if pbx => Reason::PbxUnavailable,
        Fault::Unavailable => Reason::GraphUnavailable,
        Fault::CertificateNotTrusted => Reason::CertificateNotTrusted,
        Fault::Protocol => Reason::ProtocolViolated,
        Fault::Rejected if pbx => Reason::RejectedByPbx,
        Fault::Rejected => Reason::RejectedByGraph,
        Fault::EndpointValidation => Reason::EndpointValidationFailed,
        Fault::SubscriptionInUse => Reason::SubscriptionInUse,
        Fault::ReceiverRefuses => Reason::ReceiverRefuses,
        Fault::ReceiverUnavailable => Reason::ReceiverUnavailable,
        Fault::OverLimit => Reason::OverLimit,
        Fault::StorageFailing => Reason::StorageFailing,
    }
}

/// Both apps and every communication account. The writer counts where there is something to write.
fn authenticated(object: &PresenceSync, report: &WorkerReport) -> Verdict {
    let writer = object.spec.direction.to_teams().then_some(&report.writer);
    let accounts = report.accounts.iter().map(|account| &account.signed_in);
    let lamps = std::iter::once(&report.reader).chain(writer).chain(accounts);
    match worst(lamps) {
        Some(lamp) if !lamp.is_green() => of_lamp(ConditionType::Authenticated, lamp),
        _ => Verdict::new(
            ConditionType::Authenticated,
            true,
            Reason::Succeeded,
            "every app and account is signed in",
        ),
    }
}

/// Whether presence of Teams is learned: polled, or subscribed and fetched from the receiver.
fn subscribed(report: &WorkerReport) -> Verdict {
    let lamps = std::iter::once(&report.source).chain(&report.receiver);
    match worst(lamps) {
        Some(lamp) if !lamp.is_green() => of_lamp(ConditionType::PresenceSubscribed, lamp),
        _ => of_lamp(ConditionType::PresenceSubscribed, &report.source),
    }
}

fn matched(report: &WorkerReport) -> Verdict {
    let type_ = ConditionType::UsersMatched;
    if !report.directory.is_green() {
        return of_lamp(type_, &report.directory);
    }
    if report.phase != Phase::Running {
        return unseen(type_, "the worker has not matched users yet");
    }
    let users = &report.users;
    if users.ambiguous > 0 {
        let message =
            "some users have more than one candidate and are left out; status.unmatched has the first, with the reason";
        return Verdict::new(type_, false, Reason::UsersAmbiguous, message);
    }
    if users.unmatched > 0 {
        let message =
            "some users are found on one side only, the PBX or Entra; status.unmatched has the first, with the reason";
        return Verdict::new(type_, false, Reason::UsersUnmatched, message);
    }
    Verdict::new(type_, true, Reason::Succeeded, "every user of the PBX is matched")
}

/// Those of the users, and of the accounts: Graph tells of an account's when it is to subscribe.
fn licences(report: &WorkerReport) -> Verdict {
    let type_ = ConditionType::LicencesValid;
    let is_unlicensed = |lamp: &Lamp| lamp.fault == Some(Fault::Unlicensed);
    let accounts = &report.accounts;
    if let Some(account) = accounts.iter().find(|account| is_unlicensed(&account.subscribed)) {
        let message = format!("{}: {}", account.shard.account, account.subscribed.message);
        return Verdict::new(type_, false, Reason::Unlicensed, &message);
    }
    if !report.licences.is_green() {
        return of_lamp(type_, &report.licences);
    }
    if report.users.unlicensed > 0 {
        let message = "some matched users have no Teams licence in force and are left out";
        return Verdict::new(type_, false, Reason::Unlicensed, message);
    }
    of_lamp(type_, &report.licences)
}

fn clock(report: &WorkerReport) -> Verdict {
    let type_ = ConditionType::ClockSynchronized;
    match report.clock_skew_seconds {
        None => unseen(type_, "no answer of Microsoft told the time yet"),
        Some(skew) if skew.unsigned_abs() > SKEW_SECONDS => {
            let message = "the worker's clock is more than a minute off Microsoft's; set the clock of its node";
            Verdict::new(type_, false, Reason::ClockSkewed, message)
        }
        Some(_) => Verdict::new(
            type_,
            true,
            Reason::Succeeded,
            "the worker's clock agrees with Microsoft's",
        ),
    }
}

/// Graph's own word, where there is one; else what the operator sees of the receiver's address.
fn notification_url(findings: &Findings, report: &WorkerReport) -> Verdict {
    let type_ = ConditionType::NotificationUrlReachable;
    let refused = |lamp: &&Lamp| lamp.fault == Some(Fault::EndpointValidation);
    let accounts = report.accounts.iter().map(|account| &account.subscribed);
    if let Some(lamp) = accounts.chain(std::iter::once(&report.source)).find(refused) {
        return Verdict::new(type_, false, Reason::EndpointValidationFailed, &lamp.message);
    }
    let conditions = findings.receiver.and_then(|receiver| receiver.status.as_ref());
    let reachable = conditions.and_then(|status| condition::find(&status.conditions, ConditionType::Reachable));
    let Some(reachable) = reachable else {
        return unseen(type_, "the receiver has not tried its address yet");
    };
    let truth = match reachable.status.as_str() {
        "True" => Truth::True,
        "False" => Truth::False,
        _ => Truth::Unknown,
    };
    let reason = Reason::from_name(&reachable.reason).unwrap_or(Reason::NotObserved);
    Verdict::new(type_, truth, reason, &reachable.message)
}
