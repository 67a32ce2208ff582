//! The events that a report writes.

use super::super::act::Outcome;
use super::super::observe::View;
use crate::api::condition::{self, ConditionType, Reason};
use crate::api::subscription::GraphSubscriptionStatus;
use crate::policy::resource::rule_for;

/// An event to write.
#[derive(Debug, PartialEq, Eq)]
pub struct Note {
    /// How grave it is.
    pub type_: Level,
    /// In one word.
    pub reason: Reason,
    /// In one sentence.
    pub text: String,
}

/// How grave an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// All went well.
    Normal,
    /// Somebody may have to look.
    Warning,
}

/// Events: what was done, and what newly went wrong.
pub fn notes(view: &View, next: &GraphSubscriptionStatus, outcome: &Outcome) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut say = |type_, reason, text: String| notes.push(Note { type_, reason, text });
    if let Outcome::Obtained { how, .. } = outcome {
        let text = match how {
            Reason::Adopted => Some("The existing subscription at this address was taken over."),
            // It happens all the time; the status tells when it last did.
            Reason::Renewed => None,
            Reason::Recreated => Some("The subscription was created anew."),
            _ => Some("The subscription was created."),
        };
        if let Some(text) = text {
            say(Level::Normal, *how, text.to_owned());
        }
        if let Some((wanted, allowed)) = limited(view, next).filter(|_| !is_known(view, next, *how)) {
            say(
                Level::Warning,
                Reason::LifetimeLimited,
                format!("spec.lifetime asks for {wanted} minutes; Graph allows {allowed} for this resource."),
            );
        }
    }
    let old = view
        .object
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    for type_ in [ConditionType::Ready, ConditionType::Subscribed, ConditionType::GapFree] {
        let (before, after) = (condition::find(old, type_), condition::find(&next.conditions, type_));
        let Some(after) = after else { continue };
        let bad = after.status == "False" || (type_ == ConditionType::Subscribed && next.failure.is_some());
        let same = before.is_some_and(|before| before.reason == after.reason && before.status == after.status);
        // Waiting for pods or a first sign-in is not worth a warning.
        let patient = |reason: &Reason| !matches!(reason, Reason::ReceiverNotReady | Reason::TenantNotReady);
        if let (true, false, Some(reason)) = (bad, same, Reason::from_name(&after.reason).filter(patient)) {
            say(Level::Warning, reason, after.message.clone());
        }
    }
    notes.dedup();
    notes
}

/// Whether a renewal told nothing new about the lifetime.
fn is_known(view: &View, next: &GraphSubscriptionStatus, how: Reason) -> bool {
    let seen = Some(view.status.observed_generation) == view.object.metadata.generation;
    how == Reason::Renewed && seen && view.status.learned_maximum_minutes == next.learned_maximum_minutes
}

/// The lifetime wanted and the one allowed, in minutes, where the first is beyond the second.
pub fn limited(view: &View, next: &GraphSubscriptionStatus) -> Option<(i64, i64)> {
    let wanted = view.object.spec.lifetime.as_ref()?.seconds()? / 60;
    let rule = rule_for(&view.object.spec.resource);
    let allowed = next
        .learned_maximum_minutes
        .map_or(rule.maximum_minutes, |learned| learned.min(rule.maximum_minutes));
    (wanted > allowed).then_some((wanted, allowed))
}
