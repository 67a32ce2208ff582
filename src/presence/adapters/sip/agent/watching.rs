//! Subscriptions to presence and calls of each user (RFC 6665, 3856, 4235): made, refreshed, ended.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::exchanges::{Errand, PATIENCE, Proofs, Purpose};
use super::probing::PROBE_PATIENCE;
use super::subscription::{Package, Watched};
use super::{Agent, Leaving, Output, SHORTEST, Timer, User, wait};
use crate::policy::backoff::Class;
use crate::policy::presence::pbx::PbxError;
use crate::presence::adapters::sip::message::Message;
use crate::presence::adapters::sip::text::uri;

/// The longest that is asked for or believed, in seconds.
pub(super) const LONGEST: u32 = 86_400;
/// So many users must be refused, and none accepted, before it is the account that is refused; and likewise with notifications.
const ENOUGH: usize = 10;
/// How often it may be asked whether the server has forgotten all subscriptions.
const DOUBT: Duration = Duration::from_secs(60);

impl Agent {
    /// Whom to watch from now on.
    pub(in super::super) fn watch(&mut self, users: Vec<String>, now: Instant) {
        let wanted: HashSet<User> = users.into_iter().map(User::from).collect();
        let known = self.watched.keys();
        let gone: Vec<User> = known.filter(|user| !wanted.contains(*user)).cloned().collect();
        for user in gone {
            self.let_go(&user);
        }
        for user in wanted {
            if !self.watched.contains_key(&user) {
                self.watched.insert(user.clone(), Watched::new());
                self.want(&user, now);
            }
        }
        self.tick(now);
    }

    /// All subscriptions anew, as the connection is.
    pub(super) fn watch_all(&mut self, now: Instant) {
        let users: Vec<User> = self.watched.keys().cloned().collect();
        for user in users {
            self.want(&user, now);
        }
    }

    /// The connection is gone, and with it all that was known.
    pub(super) fn forget_all(&mut self) {
        self.calls.clear();
        for watched in self.watched.values_mut() {
            *watched = Watched::new();
        }
    }

    fn want(&mut self, user: &User, now: Instant) {
        if self.is_up() {
            for package in Package::ALL {
                self.timers.set(Timer::Subscription(user.clone(), package), now);
            }
        }
    }

    fn let_go(&mut self, user: &User) {
        let Some(watched) = self.watched.remove(user) else {
            return;
        };
        for (package, subscription) in watched.into_subscriptions() {
            self.timers.cancel(&Timer::Subscription(user.clone(), package));
            self.calls.remove(&subscription.call_id);
            if self.is_up() && subscription.expires.is_some() {
                let user = user.clone();
                let leaving = Leaving {
                    user,
                    package,
                    subscription,
                };
                self.leaving.push_back(Purpose::Leave(Box::new(leaving)));
            }
        }
    }

    /// Ends a subscription at the server, unless it has ended by itself.
    pub(super) fn leave(&mut self, mut leaving: Leaving, proofs: Proofs, now: Instant) {
        if leaving.subscription.expires.is_none_or(|expires| expires <= now) {
            return;
        }
        let address = self.profile.address(&leaving.user);
        let subscriber = self.profile.subscriber();
        let message = leaving.subscription.request(subscriber, &address, leaving.package, 0);
        let message = message.with("Contact", self.contact());
        let purpose = Purpose::Leave(Box::new(leaving));
        self.send(Errand::new(purpose, proofs), message, now);
    }

    /// The moment of a subscription has come.
    pub(super) fn subscription_due(&mut self, user: &User, package: Package, now: Instant) {
        let Some(watched) = self.watched.get(user) else {
            return;
        };
        let subscription = watched.seen(package);
        if subscription.busy {
            return;
        }
        if subscription.expires.is_some() && subscription.notified.is_none() {
            // Accepted, but the notification that must follow at once never came.
            self.silent();
            self.retry(user, package, Class::RetrySlowly, now);
            return;
        }
        if subscription.expires.is_some_and(|expires| expires <= now) {
            self.renew(user, package);
        }
        self.queue(user, package);
    }

    fn queue(&mut self, user: &User, package: Package) {
        if let Some(watched) = self.watched.get_mut(user) {
            let subscription = watched.of(package);
            if !subscription.busy {
                subscription.busy = true;
                self.later.push_back(Purpose::Subscribe(user.clone(), package));
            }
        }
    }

    /// Forgets what the server knows of a subscription, and what it told.
    pub(super) fn renew(&mut self, user: &User, package: Package) {
        if let Some(watched) = self.watched.get_mut(user) {
            let subscription = watched.of(package);
            self.calls.remove(&subscription.call_id);
            *subscription = subscription.anew();
            watched.forget(package);
            self.outbox.user(user);
        }
    }

    /// Sends the request of a subscription.
    pub(super) fn subscribe(&mut self, user: &User, package: Package, proofs: Proofs, now: Instant) {
        let errand = Errand::new(Purpose::Subscribe(user.clone(), package), proofs);
        self.subscribe_with(errand, user, package, now);
    }

    fn subscribe_with(&mut self, errand: Errand, user: &User, package: Package, now: Instant) {
        let address = self.profile.address(user);
        let contact = self.contact();
        let Some(watched) = self.watched.get_mut(user) else {
            return;
        };
        let subscription = watched.of(package);
        let asked = subscription.asked;
        subscription.before = None;
        self.calls.insert(subscription.call_id.clone(), (user.clone(), package));
        let message = subscription.request(self.profile.subscriber(), &address, package, asked);
        let message = message.with("Contact", contact);
        self.send(errand, message, now);
    }

    /// The server's answer to a subscription.
    pub(super) fn subscribed(&mut self, user: &User, package: Package, status: u16, answer: &Message, now: Instant) {
        let Some(watched) = self.watched.get_mut(user) else {
            return;
        };
        let subscription = watched.of(package);
        if answer.field("Call-ID") != Some(&*subscription.call_id) {
            let call_id = answer.field("Call-ID").unwrap_or_default();
            self.outdated(user, package, call_id, now);
            return;
        }
        subscription.busy = false;
        let refresh = subscription.expires.is_some();
        match status {
            200..300 => self.accepted(user, package, answer, now),
            423 if lengthen(&mut subscription.asked, answer) => self.queue(user, package),
            481 if refresh => {
                self.renew(user, package);
                self.queue(user, package);
                self.doubt(now);
            }
            // The server does not know this package. It is asked again with the next connection.
            405 | 489 | 501 => {
                self.tally.ignored("package_not_supported");
                self.renew(user, package);
            }
            403 => {
                self.refused(status);
                self.retry(user, package, Class::RetrySlowly, now);
            }
            408 | 481 | 500..600 => self.retry(user, package, Class::Retry, now),
            404 | 410 | 604 => {
                subscription.absent = true;
                self.retry(user, package, Class::RetrySlowly, now);
            }
            _ => self.retry(user, package, Class::RetrySlowly, now),
        }
    }

    /// Nobody answers a subscription's request.
    pub(super) fn subscription_unanswered(&mut self, user: &User, package: Package, call_id: &str, now: Instant) {
        let Some(watched) = self.watched.get_mut(user) else {
            return;
        };
        let subscription = watched.of(package);
        if *subscription.call_id == *call_id {
            subscription.busy = false;
            self.retry(user, package, Class::Retry, now);
        } else {
            self.outdated(user, package, call_id, now);
        }
    }

    /// A request has ended that was made under another name. Either the user was let go and wanted again meanwhile, or the server
    /// ended the subscription, and waited for is this.
    fn outdated(&mut self, user: &User, package: Package, call_id: &str, now: Instant) {
        let Some(watched) = self.watched.get_mut(user) else {
            return;
        };
        let subscription = watched.of(package);
        if subscription.before.take_if(|before| before == call_id).is_some() {
            subscription.busy = false;
            let after = wait(Class::Retry, subscription.failures);
            self.timers.set(Timer::Subscription(user.clone(), package), now + after);
        }
    }

    fn accepted(&mut self, user: &User, package: Package, answer: &Message, now: Instant) {
        if let Some(link) = &mut self.link {
            link.accepted = true;
        }
        let Some(watched) = self.watched.get_mut(user) else {
            return;
        };
        let subscription = watched.of(package);
        let granted = answer.number("Expires").unwrap_or(subscription.asked).min(LONGEST);
        let Some(tag) = answer.tag("To").filter(|_| granted > 0) else {
            self.retry(user, package, Class::RetrySlowly, now);
            return;
        };
        if subscription.remote_tag.as_deref().is_some_and(|known| known != tag) {
            // Another of several servers answered than the one that notified.
            self.retry(user, package, Class::Retry, now);
            return;
        }
        if subscription.expires.is_none() {
            subscription.route = answer.list("Record-Route").map(str::to_owned).collect();
            subscription.route.reverse();
        }
        subscription.remote_tag = Some(tag.to_owned());
        if let Some(target) = answer.field("Contact").and_then(uri) {
            subscription.target = Some(target.to_owned());
        }
        subscription.failures = 0;
        if std::mem::take(&mut subscription.absent) {
            self.outbox.user(user);
        }
        let granted = Duration::from_secs(granted.into());
        subscription.expires = Some(now + granted);
        let next = refresh_after(granted);
        let next = if subscription.notified.is_none() {
            next.min(PATIENCE)
        } else {
            next
        };
        self.timers.set(Timer::Subscription(user.clone(), package), now + next);
    }

    /// Nothing is known until it works again, which is tried after a while.
    pub(super) fn retry(&mut self, user: &User, package: Package, class: Class, now: Instant) {
        let Some(watched) = self.watched.get_mut(user) else {
            return;
        };
        let subscription = watched.of(package);
        subscription.failures = subscription.failures.saturating_add(1);
        let mut after = wait(class, subscription.failures);
        match subscription.expires.filter(|expires| *expires > now) {
            // It still holds: there is time for another try.
            Some(expires) if class == Class::Retry => after = after.min(expires - now),
            _ => self.renew(user, package),
        }
        self.timers.set(Timer::Subscription(user.clone(), package), now + after);
    }

    /// A subscription was accepted, and nothing came of it.
    fn silent(&mut self) {
        self.tally.ignored("no_notification");
        let enough = self.enough();
        if let Some(link) = &mut self.link {
            link.silent += 1;
            if !link.notified && link.silent >= enough {
                let why = "the server accepts subscriptions, but its notifications do not arrive";
                self.outputs.push_back(Output::Drop(PbxError::Protocol(why.to_owned())));
            }
        }
    }

    /// How many users it takes to say that it is not about the user.
    fn enough(&self) -> usize {
        ENOUGH.min(self.watched.len().max(1))
    }

    /// An answer that says that the account may not do it.
    pub(super) fn refused(&mut self, status: u16) {
        let enough = self.enough();
        if let Some(link) = &mut self.link {
            link.refused += 1;
            if !link.accepted && link.refused >= enough {
                let why = format!("the server refuses what the account asks for ({status})");
                self.outputs.push_back(Output::Drop(PbxError::Auth(why)));
            }
        }
    }

    /// The server has forgotten one subscription, as after a restart: does it know the others?
    fn doubt(&mut self, now: Instant) {
        let Some(link) = &mut self.link else {
            return;
        };
        if link.doubted.is_some_and(|before| now < before + DOUBT) {
            return;
        }
        link.doubted = Some(now);
        for (user, watched) in &self.watched {
            for package in Package::ALL {
                if watched.seen(package).holds(now) {
                    self.timers.set(Timer::Subscription(user.clone(), package), now);
                }
            }
        }
        self.publish_all(now);
    }

    /// Refreshes the subscription whose turn comes next, to see whether the server is there and knows it.
    pub(super) fn probe_by_refresh(&mut self, now: Instant) -> bool {
        let next = self.timers.iter().find_map(|timer| {
            let Timer::Subscription(user, package) = timer else {
                return None;
            };
            let subscription = self.watched.get(user)?.seen(*package);
            (subscription.holds(now) && !subscription.busy).then(|| (user.clone(), *package))
        });
        let Some((user, package)) = next else {
            return false;
        };
        if let Some(watched) = self.watched.get_mut(&user) {
            watched.of(package).busy = true;
        }
        let errand = Errand {
            patience: PROBE_PATIENCE,
            ..Errand::new(Purpose::Subscribe(user.clone(), package), Proofs::NONE)
        };
        self.subscribe_with(errand, &user, package, now);
        true
    }
}

/// Somewhere between half and three quarters of what was granted, so that not all come at once; and not too soon, whatever was
/// granted. What has ended by then is made anew.
pub(super) fn refresh_after(granted: Duration) -> Duration {
    granted.mul_f64(0.5 + 0.25 * fastrand::f64()).max(SHORTEST)
}

/// Whether the server wants to be asked for longer, and may be.
pub(super) fn lengthen(asked: &mut u32, answer: &Message) -> bool {
    let least = answer.number("Min-Expires").unwrap_or(0).min(LONGEST);
    let longer = least > *asked;
    *asked = least.max(*asked);
    longer
}
