//! What the server tells by itself: notifications (RFC 6665 section 4.1.3).

use std::time::{Duration, Instant};

use super::subscription::{Package, Subscription, Watched};
use super::watching::{LONGEST, refresh_after};
use super::{Agent, Timer, User, wait};
use crate::policy::backoff::Class;
use crate::presence::adapters::metrics::Tally;
use crate::presence::adapters::sip::dialog_info::Applied;
use crate::presence::adapters::sip::message::Message;
use crate::presence::adapters::sip::pidf;
use crate::presence::adapters::sip::text::{parameter, uri};

/// Wait before a whole document is asked for in place of a change that does not fit.
const GAP: Duration = Duration::from_secs(1);

impl Agent {
    /// Takes a notification; returns the status to answer it with.
    pub(super) fn notified(&mut self, message: &Message, now: Instant) -> u16 {
        let known = message.field("Call-ID").and_then(|call_id| self.calls.get(call_id));
        let Some((user, package)) = known.cloned() else {
            return 481;
        };
        let Some(watched) = self.watched.get_mut(&user) else {
            return 481;
        };
        let first = watched.seen(package).notified.is_none();
        match belongs(watched.of(package), package, message) {
            Belongs::Yes => {}
            Belongs::Repeated => return 200,
            Belongs::No(status) => return status,
        }
        if let Some(link) = &mut self.link {
            link.notified = true;
        }
        let state = message.field("Subscription-State").unwrap_or_default();
        if word(state) == "terminated" {
            self.ended(&user, package, state, now);
            return 200;
        }
        self.reschedule(&user, package, state, first, now);
        let Some(watched) = self.watched.get_mut(&user) else {
            return 481;
        };
        if word(state) == "pending" {
            // Somebody has yet to allow it.
            watched.forget(package);
        } else {
            let own = self.publications.get(&user);
            let own = own.and_then(|publication| publication.own_id());
            if learn(watched, package, message, own, &self.tally) == Applied::Gap {
                self.timers.set(Timer::Subscription(user.clone(), package), now + GAP);
            }
        }
        self.outbox.user(&user);
        200
    }

    /// The server may shorten a subscription, and it is then refreshed sooner. After the first notification nobody waits for it
    /// any more.
    fn reschedule(&mut self, user: &User, package: Package, state: &str, first: bool, now: Instant) {
        let Some(watched) = self.watched.get_mut(user) else {
            return;
        };
        let subscription = watched.of(package);
        let Some(expires) = subscription.expires else {
            return;
        };
        let left = parameter(state, "expires").and_then(|seconds| seconds.parse::<u32>().ok());
        let told = left.map(|left| now + Duration::from_secs(left.min(LONGEST).into()));
        let sooner = told.filter(|told| *told + Duration::from_secs(5) < expires);
        if first || sooner.is_some() {
            let expires = sooner.unwrap_or(expires);
            subscription.expires = Some(expires);
            let after = refresh_after(expires.saturating_duration_since(now));
            self.timers.set(Timer::Subscription(user.clone(), package), now + after);
        }
    }

    /// The server has ended a subscription.
    fn ended(&mut self, user: &User, package: Package, state: &str, now: Instant) {
        self.renew(user, package);
        let reason = parameter(state, "reason").unwrap_or_default().to_ascii_lowercase();
        let asked = parameter(state, "retry-after").and_then(|seconds| seconds.parse::<u32>().ok());
        let class = match (reason.as_str(), asked) {
            (_, Some(seconds)) => Class::Throttled(Some(Duration::from_secs(seconds.into()))),
            ("deactivated" | "timeout", None) => Class::Retry,
            _ => Class::RetrySlowly,
        };
        let Some(watched) = self.watched.get_mut(user) else {
            return;
        };
        let subscription = watched.of(package);
        subscription.failures = subscription.failures.saturating_add(1);
        let at = now + wait(class, subscription.failures);
        self.timers.set(Timer::Subscription(user.clone(), package), at);
    }
}

enum Belongs {
    Yes,
    /// It was seen before: our answer was lost.
    Repeated,
    No(u16),
}

/// Whether a notification is the next one of this subscription; notes it if so.
fn belongs(subscription: &mut Subscription, package: Package, message: &Message) -> Belongs {
    let from = message.tag("From");
    let other = subscription.remote_tag.is_some() && subscription.remote_tag.as_deref() != from;
    if message.tag("To") != Some(&*subscription.tag) || from.is_none() || other {
        return Belongs::No(481);
    }
    if word(message.field("Event").unwrap_or_default()) != package.name() {
        return Belongs::No(489);
    }
    let Some((number, _)) = message.sequence() else {
        return Belongs::No(400);
    };
    match subscription.notified {
        Some(last) if last == number => return Belongs::Repeated,
        Some(last) if last > number => return Belongs::No(500),
        _ => subscription.notified = Some(number),
    }
    subscription.remote_tag = from.map(str::to_owned);
    if let Some(target) = message.field("Contact").and_then(uri) {
        subscription.target = Some(target.to_owned());
    }
    Belongs::Yes
}

fn learn(watched: &mut Watched, package: Package, message: &Message, own: Option<&str>, tally: &Tally) -> Applied {
    // Nothing said is nothing known, which is not the same as available or free.
    if message.body.is_empty() {
        watched.forget(package);
        return Applied::Whole;
    }
    if word(message.field("Content-Type").unwrap_or_default()) != package.content_type() {
        tally.ignored("content_type");
        watched.forget(package);
        return Applied::Whole;
    }
    let read = match package {
        Package::Presence => pidf::read(&message.body, own).map(|entries| {
            watched.learn(entries, own.is_some());
            Applied::Whole
        }),
        Package::Dialog => watched.calls.apply(&message.body).inspect(|applied| {
            if *applied == Applied::Whole {
                watched.line = watched.calls.line();
            }
        }),
    };
    read.unwrap_or_else(|_| {
        tally.ignored("unreadable");
        watched.forget(package);
        Applied::Whole
    })
}

/// The first word of a value with parameters, in small letters.
fn word(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
